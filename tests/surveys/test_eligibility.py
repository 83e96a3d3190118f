from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.flow.eligibility import REASONS, Decision, History, Promise, RuleTerms, better_of, decide, draw
from tests.factories import NOW

DAY = 86_400
TERMS = RuleTerms(resting_same_s=90 * DAY, resting_any_s=30 * DAY, floor_s=DAY, max_age_s=7 * DAY)


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def test_a_stranger_may_be_asked():
    assert decide(TERMS, History(event_at=NOW), NOW) == Decision(True)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"last_same_at": ago(90 * DAY - 1)}, "resting_same"),
        ({"last_same_at": ago(90 * DAY)}, ""),
        ({"last_any_at": ago(30 * DAY - 1)}, "resting_any"),
        ({"last_any_at": ago(30 * DAY)}, ""),
        ({"last_message_at": ago(DAY - 1)}, "floor_24h"),
        ({"last_message_at": ago(DAY)}, ""),
        ({"event_at": ago(7 * DAY)}, ""),
        ({"event_at": ago(7 * DAY + 1)}, "expired"),
        ({"suppressed": "unsubscribed"}, "unsubscribed"),
        ({"suppressed": "bounced"}, "bounced"),
        ({"has_consent": False}, "consent_missing"),
        ({"has_consent": False, "suppressed": "bounced"}, "bounced"),
        ({"has_consent": False, "has_address": False}, "consent_missing"),
        ({"has_address": False}, "no_address"),
        ({"condition_met": False}, "ineligible"),
        ({"reopened": True}, "reopened"),
        ({"quota_left": False}, "quota_full"),
    ],
)
def test_each_gate_opens_at_its_boundary(fields, reason):
    decision = decide(TERMS, History(**{"event_at": NOW, **fields}), NOW)
    assert (decision.ok, decision.reason) == (not reason, reason)


def test_resting_says_until_when():
    decision = decide(TERMS, History(event_at=NOW, last_any_at=ago(DAY)), NOW)
    assert decision.until == NOW + timedelta(days=29)


def test_of_several_reasons_the_most_lasting_is_told():
    everything = History(
        event_at=ago(30 * DAY),
        suppressed="unsubscribed",
        has_address=False,
        condition_met=False,
        draw=0.9,
        last_same_at=ago(1),
        last_any_at=ago(1),
        last_message_at=ago(1),
    )
    assert decide(RuleTerms(DAY, DAY, DAY, DAY, 0.5), everything, NOW).reason == "unsubscribed"


@pytest.mark.parametrize(
    ("share", "number", "ok"), [(1.0, 0.999999, True), (0.5, 0.5, False), (0.5, 0.49, True), (0.0, 0.0, False)]
)
def test_the_sample_takes_the_draws_below_its_share(share, number, ok):
    terms = RuleTerms(DAY, DAY, DAY, DAY, share)
    assert decide(terms, History(event_at=NOW, draw=number), NOW).ok is ok


def test_a_draw_is_the_same_on_redelivery_and_fresh_at_each_interaction():
    assert draw("key", "rule", "/shop", "1") == draw("key", "rule", "/shop", "1")
    draws = {draw("key", "rule", "/shop", str(number)) for number in range(1000)}
    assert len(draws) == 1000
    assert 0.45 < sum(draws) / 1000 < 0.55
    assert draw("other", "rule", "/shop", "1") != draw("key", "rule", "/shop", "1")


spans = st.integers(0, 200 * DAY)
maybe_moments = st.none() | st.integers(0, 200 * DAY).map(ago)


@given(spans, spans, spans, spans, maybe_moments, maybe_moments, maybe_moments, st.floats(0, 0.999))
def test_every_refusal_has_a_known_reason_and_holds_until_it_says(
    same, any_, floor, age, last_same, last_any, last, number
):
    terms = RuleTerms(same, any_, floor, age)
    history = History(event_at=NOW, draw=number, last_same_at=last_same, last_any_at=last_any, last_message_at=last)
    decision = decide(terms, history, NOW)
    assert decision.ok is (decision.reason == "")
    if decision.until is not None:
        assert decision.reason in REASONS
        assert not decide(terms, history, decision.until - timedelta(seconds=1)).ok
        assert decide(terms, history, decision.until).reason != decision.reason


# --- Two that wait ----------------------------------------------------------------------------------------------------


def promise(rule=1, at=0, priority=0, touchpoint=1, occasion=0, any_=30 * DAY, same=90 * DAY, floor=DAY):
    terms = RuleTerms(same, any_, floor, 7 * DAY, priority=priority)
    return Promise(f"{rule}/{occasion}", rule, touchpoint, NOW + timedelta(seconds=at), (NOW, occasion), terms)


@pytest.mark.parametrize(
    ("one", "other", "better"),
    [
        # Of one rule the newer event's.
        ({"occasion": 1}, {"occasion": 2}, "other"),
        ({"occasion": 2}, {"occasion": 1}, "one"),
        # Of two rules the higher, as long as the later message would be refused because of the earlier one.
        ({"priority": 1}, {"rule": 2, "touchpoint": 2}, "one"),
        ({"priority": -1}, {"rule": 2, "touchpoint": 2}, "other"),
        ({"priority": 1}, {"rule": 2, "touchpoint": 2, "at": 30 * DAY - 1}, "one"),
        ({"priority": 1}, {"rule": 2, "touchpoint": 2, "at": 30 * DAY}, ""),
        ({"priority": 1}, {"rule": 2, "at": 90 * DAY - 1}, "one"),
        ({"priority": 1}, {"rule": 2, "at": 90 * DAY}, ""),
        # It is the later one's terms that count.
        ({"priority": 1, "at": DAY}, {"rule": 2, "touchpoint": 2, "any_": 0}, "one"),
        ({"priority": 1}, {"rule": 2, "touchpoint": 2, "at": DAY, "any_": 0}, ""),
        ({"priority": 1}, {"rule": 2, "touchpoint": 2, "at": DAY - 1, "any_": 0}, "one"),
        # Equals wait side by side.
        ({}, {"rule": 2}, ""),
        ({"rule": None}, {"rule": None}, ""),
    ],
)
def test_which_of_two_that_wait_goes_out(one, other, better):
    pair = {"one": promise(**one), "other": promise(**other)}
    assert better_of(pair["one"], pair["other"]) is pair.get(better)
    assert better_of(pair["other"], pair["one"]) is pair.get(better)


@pytest.mark.parametrize(
    ("own", "rival", "reason", "until"),
    [
        ({}, {"rule": 1, "occasion": 1}, "superseded", None),
        ({}, {"rule": 2, "priority": 1, "at": DAY}, "resting_same", 91 * DAY),
        ({}, {"rule": 2, "priority": 1, "touchpoint": 2, "at": DAY}, "resting_any", 31 * DAY),
        ({"any_": 0}, {"rule": 2, "priority": 1, "touchpoint": 2, "any_": 0}, "floor_24h", DAY),
        ({}, {"rule": 2, "touchpoint": 2}, "", None),
    ],
)
def test_whoever_has_to_give_way_is_told_why_and_until_when(own, rival, reason, until):
    history = History(event_at=NOW, promise=promise(**own), rivals=(promise(**rival),))
    decision = decide(TERMS, history, NOW)
    assert (decision.ok, decision.reason) == (not reason, reason)
    assert decision.until == (None if until is None else NOW + timedelta(seconds=until))


promises = st.builds(
    promise,
    rule=st.sampled_from([1, 2, 3, None]),
    at=st.integers(0, 100 * DAY),
    priority=st.integers(-2, 2),
    touchpoint=st.integers(1, 2),
    occasion=st.integers(0, 9),
    any_=st.integers(0, 40 * DAY),
    floor=st.integers(0, 2 * DAY),
)


@given(promises, promises)
def test_of_two_that_wait_both_know_which_is_better(one, other):
    if one.rule is not None and one.rule == other.rule and one.occasion == other.occasion:
        return  # a rule asks once about an event
    assert better_of(one, other) is better_of(other, one)


histories = st.builds(
    History,
    event_at=st.integers(0, 20 * DAY).map(ago),
    suppressed=st.sampled_from(["", "", "unsubscribed", "bounced"]),
    has_consent=st.booleans(),
    has_address=st.booleans(),
    condition_met=st.booleans(),
    reopened=st.booleans(),
    draw=st.floats(0, 0.999),
    last_same_at=maybe_moments,
    last_any_at=maybe_moments,
    last_message_at=maybe_moments,
    quota_left=st.booleans(),
    promise=st.just(promise()),
    rivals=st.lists(promises, max_size=3).map(tuple),
)
terms = st.builds(RuleTerms, spans, spans, spans, spans, st.floats(0, 1))


@given(terms, histories)
def test_whoever_is_asked_is_within_no_span_and_has_to_give_way_to_nobody(rule, history):
    if not decide(rule, history, NOW).ok:
        return
    for last, span in (
        (history.last_same_at, rule.resting_same_s),
        (history.last_any_at, rule.resting_any_s),
        (history.last_message_at, rule.floor_s),
    ):
        assert last is None or NOW - last >= timedelta(seconds=span)
    assert history.quota_left
    assert history.draw < rule.sample_share
    assert all(better_of(history.promise, rival) is not rival for rival in history.rivals)


@given(terms, histories, st.data())
def test_whatever_more_speaks_against_it_the_reason_only_becomes_more_lasting(rule, history, data):
    """Adding one obstacle never lets anybody through, and never tells a less lasting reason than before."""
    worse = data.draw(
        st.sampled_from(
            [
                {"suppressed": "unsubscribed"},
                {"has_consent": False},
                {"has_address": False},
                {"condition_met": False},
                {"reopened": True},
                {"quota_left": False},
                {"last_any_at": NOW},
                {"last_message_at": NOW},
                {"draw": 0.9999},
            ]
        )
    )
    before, after = decide(rule, history, NOW), decide(rule, replace(history, **worse), NOW)
    rank = [*REASONS, ""].index
    assert rank(after.reason) <= rank(before.reason)


@given(terms, histories, st.integers(0, 300 * DAY))
def test_a_rule_that_is_exempt_asks_whomever_a_rule_that_is_not_would_ask(rule, history, seconds):
    now = NOW + timedelta(seconds=seconds)
    exempt = replace(rule, resting_same_s=0, resting_any_s=0, floor_s=0)
    assert decide(exempt, history, now).ok or not decide(rule, history, now).ok
    assert decide(exempt, history, now).reason not in ("resting_same", "resting_any", "floor_24h") or history.rivals
