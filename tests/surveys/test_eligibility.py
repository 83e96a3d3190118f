from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.flow.eligibility import REASONS, Decision, History, RuleTerms, decide, draw
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
        ({"has_address": False}, "no_address"),
        ({"condition_met": False}, "ineligible"),
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
