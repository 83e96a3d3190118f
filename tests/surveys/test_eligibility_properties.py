"""What holds of `decide` and `better_of` for every history, and of a whole season of events played through them.

The season is played twice: by a pure model of the flow below, and, with a handful of examples, through the database by two threads.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from surveys.flow.deliver import deliver_due
from surveys.flow.eligibility import REASONS, History, Promise, RuleTerms, better_of, decide, draw
from surveys.flow.invite import invite_pending
from surveys.models import Invitation, InvitationRule
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_event, make_organisation, make_rule, make_touchpoint

DAY = 86_400
MICROSECOND = timedelta(microseconds=1)
TIMED = ("resting_same", "resting_any", "floor_24h")
CLEAN = History(event_at=NOW)

spans = st.integers(0, 200 * DAY)
microseconds = st.integers(0, 200 * DAY * 10**6)
moments = microseconds.map(lambda ago: NOW - timedelta(microseconds=ago))
terms = st.builds(RuleTerms, spans, spans, spans, spans, st.floats(0, 1), st.integers(-100, 100))


# Coarse, so that many meet at the same moment.
coarse = st.sampled_from([0, 0, DAY, 30 * DAY, 90 * DAY])
promised_terms = st.builds(RuleTerms, coarse, coarse, coarse, spans, st.just(1.0), st.integers(-1, 1))
promises = st.builds(
    lambda number, rule, touchpoint, after, terms: Promise(
        number, rule, touchpoint, NOW + timedelta(seconds=after), (NOW, number), terms
    ),
    st.integers(0, 9),
    st.sampled_from([1, 2, 3, None]),
    st.integers(1, 2),
    coarse,
    promised_terms,
)
own = promises.map(lambda promise: replace(promise, rule=1, occasion=(NOW, 100)))
histories = st.builds(
    History,
    event_at=moments,
    suppressed=st.sampled_from(["", "", "unsubscribed", "bounced"]),
    has_address=st.sampled_from([True, True, False]),
    condition_met=st.sampled_from([True, True, False]),
    reopened=st.sampled_from([False, False, True]),
    draw=st.floats(0, 1, exclude_max=True),
    last_same_at=st.none() | moments,
    last_any_at=st.none() | moments,
    last_message_at=st.none() | moments,
    quota_left=st.sampled_from([True, True, False]),
    promise=st.none() | own,
    rivals=st.lists(promises, max_size=3).map(tuple),
)
later = st.integers(0, 400 * DAY * 10**6).map(lambda after: timedelta(microseconds=after))


def obstacles(rule: RuleTerms, history: History, now: datetime) -> Iterator[tuple[str, datetime | None]]:
    """(reason, until) of each thing that speaks against it by itself, all others being as they should."""
    alone = [
        replace(CLEAN, event_at=now, **{name: getattr(history, name)})
        for name in (
            "suppressed",
            "has_address",
            "condition_met",
            "reopened",
            "draw",
            "last_same_at",
            "last_any_at",
            "last_message_at",
            "quota_left",
        )
    ]
    alone.append(replace(CLEAN, event_at=history.event_at))
    alone += [replace(CLEAN, event_at=now, promise=history.promise, rivals=(rival,)) for rival in history.rivals]
    for one in alone:
        # Of a clean history only the draw may speak against it: 0 is in every sample but the empty one.
        held = decide(rule if one.draw else replace(rule, sample_share=1.0), one, now)
        if not held.ok:
            yield held.reason, held.until
    if not history.draw and not rule.sample_share:
        yield "sampled_out", None


@given(terms, histories, later)
def test_time_alone_makes_nobody_rest_who_might_be_asked(rule: RuleTerms, history: History, after: timedelta) -> None:
    rule = replace(rule, sample_share=1.0)
    lasts = (history.last_same_at, history.last_any_at, history.last_message_at)
    history = replace(CLEAN, last_same_at=lasts[0], last_any_at=lasts[1], last_message_at=lasts[2])
    held = (rule.resting_same_s, rule.resting_any_s, rule.floor_s)
    ends = [last + timedelta(seconds=span) for last, span in zip(lasts, held, strict=True) if last is not None]
    free = max([NOW, *ends])  # the first moment at which nothing holds
    assert decide(rule, replace(history, event_at=free), free).ok
    assert decide(rule, replace(history, event_at=free), free + after).reason in ("", "expired")
    if free > NOW:
        assert not decide(rule, replace(history, event_at=free), free - MICROSECOND).ok


@given(terms, histories, later)
def test_with_time_the_reason_becomes_less_lasting_or_stays_but_for_what_grows_old(
    rule: RuleTerms, history: History, after: timedelta
) -> None:
    before, then = decide(rule, history, NOW), decide(rule, history, NOW + after)
    rank = [*REASONS, ""].index
    assert rank(then.reason) >= rank(before.reason) or then.reason == "expired"
    if then.reason == before.reason:
        assert then.until == before.until or before.reason in TIMED  # the longest of several may be over


@given(terms, histories, st.data())
def test_shorter_spans_never_refuse_more(rule: RuleTerms, history: History, data: st.DataObject) -> None:
    shorter = replace(
        rule,
        resting_same_s=data.draw(st.integers(0, rule.resting_same_s)),
        resting_any_s=data.draw(st.integers(0, rule.resting_any_s)),
        floor_s=data.draw(st.integers(0, rule.floor_s)),
    )
    before, then = decide(rule, history, NOW), decide(shorter, history, NOW)
    assert then.ok or not before.ok
    rank = [*REASONS, ""].index
    assert rank(then.reason) >= rank(before.reason)


@given(terms, histories)
@example(RuleTerms(0, 0, 0, 0, 0.0), CLEAN)
def test_the_reason_told_is_the_most_lasting_of_all_that_apply_and_no_other(rule: RuleTerms, history: History) -> None:
    check_told(rule, history)


@given(own, st.lists(promises, min_size=1, max_size=4))
def test_of_several_to_give_way_to_the_one_that_lasts_longest_is_told(promise: Promise, rivals: list[Promise]) -> None:
    check_told(promise.terms, replace(CLEAN, promise=promise, rivals=tuple(rivals)))


def check_told(rule: RuleTerms, history: History) -> None:
    found = list(obstacles(rule, history, NOW))
    decision = decide(rule, history, NOW)
    assert decision.ok is (not found)
    if found:
        assert decision.reason == min((reason for reason, _until in found), key=REASONS.index)
        untils = [until for reason, until in found if reason == decision.reason]
        assert decision.until == (None if None in untils else max(untils))


@given(terms, st.sampled_from(TIMED), microseconds)
def test_until_is_exact_where_one_gate_stands(rule: RuleTerms, gate: str, ago: int) -> None:
    last = {"resting_same": "last_same_at", "resting_any": "last_any_at", "floor_24h": "last_message_at"}[gate]
    rule = replace(rule, sample_share=1.0, max_age_s=10**9)
    history = replace(CLEAN, **{last: NOW - timedelta(microseconds=ago)})
    decision = decide(rule, history, NOW)
    if decision.ok:
        return
    assert decision.until is not None
    assert decision.until > NOW
    assert decide(rule, history, decision.until).ok
    held = decide(rule, history, decision.until - MICROSECOND)
    assert (held.ok, held.reason, held.until) == (False, gate, decision.until)


@given(promises, promises)
def test_which_goes_first_is_the_same_whoever_asks(one: Promise, other: Promise) -> None:
    other = replace(other, occasion=(NOW, one.occasion[1] + 1))  # no rule asks twice about an event
    assert better_of(one, other) is better_of(other, one)


@given(
    st.lists(promises, min_size=2, max_size=5), st.dictionaries(st.sampled_from([1, 2, 3, None]), st.integers(-1, 1))
)
def test_who_gives_way_to_whom_is_no_circle(waiting: list[Promise], priorities: dict[int | None, int]) -> None:
    """Of all that wait at least one has to give way to nobody, or they would wait for each other. A priority is a rule's."""
    named = [
        replace(one, occasion=(NOW, number), terms=replace(one.terms, priority=priorities.get(one.rule, 0)))
        for number, one in enumerate(waiting)
    ]
    assert any(all(better_of(one, rival) is not rival for rival in named if rival is not one) for one in named)


# --- Sampling -----------------------------------------------------------------------------------------------------------

texts = st.text(max_size=12)
KEYS = {
    "numbers": str,
    "orders": lambda number: f"ord-{number:06d}-delivered",
    "uuids": lambda number: str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))),
    "days": lambda number: (NOW + timedelta(days=number)).date().isoformat(),
}


@pytest.mark.parametrize("keys", KEYS)
def test_a_sample_is_even_over_the_key_space_whatever_events_are_called(keys: str) -> None:
    """Chi-square over 64 equal parts of 12,800 draws: 63 degrees of freedom, and 110 is exceeded by chance once in 4,000."""
    draws = [draw("secret", "after-delivery", "/shop", KEYS[keys](number)) for number in range(12_800)]
    assert all(0 <= one < 1 for one in draws)
    counts = Counter(int(one * 64) for one in draws)
    assert sum((counts[part] - 200) ** 2 / 200 for part in range(64)) < 110
    for share in (0.01, 0.1, 0.5, 0.9):
        deviation = (12_800 * share * (1 - share)) ** 0.5
        assert abs(sum(one < share for one in draws) - 12_800 * share) < 4 * deviation


def test_two_rules_draw_apart_from_each_other_and_so_do_two_sources() -> None:
    both = Counter()
    for number in range(10_000):
        first = draw("secret", "a", "/shop", str(number)) < 0.5
        both["rule"] += first and draw("secret", "b", "/shop", str(number)) < 0.5
        both["source"] += first and draw("secret", "a", "/till", str(number)) < 0.5
    assert all(abs(count - 2500) < 4 * (10_000 * 0.25 * 0.75) ** 0.5 for count in both.values())


@given(texts, texts, texts, texts, st.floats(0, 1))
def test_a_redelivered_event_is_sampled_as_it_was(
    key: str, rule: str, source: str, event_id: str, share: float
) -> None:
    first = draw(key, rule, source, event_id)
    assert draw(key, rule, source, event_id) == first
    assert 0 <= first < 1
    wide = replace(CLEAN, draw=first)
    if decide(RuleTerms(0, 0, 0, DAY, share), wide, NOW).ok:  # who is in a sample is in every larger one
        assert decide(RuleTerms(0, 0, 0, DAY, min(1.0, share + 0.1)), wide, NOW).ok


# --- A season of events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    address: str


@dataclass(slots=True)
class Rule:
    """`exempt` from the floor or from resting; the rest as in the terms."""

    number: int
    touchpoint: int
    delay_s: int
    terms: RuleTerms


@dataclass(slots=True)
class Season:
    """The flow as a model of a page: who waits, who was written to and when; every decision by `decide`."""

    waiting: list[Promise] = field(default_factory=list)
    sent: list[tuple[datetime, Person, Rule]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    owners: dict[int, tuple[Person, Rule]] = field(default_factory=dict)

    def arrive(self, person: Person, rule: Rule, now: datetime) -> None:
        key = len(self.owners) + 1
        self.owners[key] = person, rule
        at = now + timedelta(seconds=rule.delay_s)
        promise = Promise(key, rule.number, rule.touchpoint, at, (now, key), rule.terms)
        rivals = [other for other in self.waiting if self.owners[other.key][0] == person]
        decision = decide(rule.terms, self.history(person, rule, now, promise, rivals), now)
        if not decision.ok:
            self.outcomes[decision.reason] += 1
            return
        for rival in rivals:
            if better_of(promise, rival) is promise:
                self.waiting.remove(rival)
                self.outcomes["superseded"] += 1
        self.waiting.append(promise)

    def send(self, now: datetime) -> None:
        for promise in sorted(self.waiting, key=lambda one: (one.at, one.key)):
            if promise.at > now:
                break
            self.waiting.remove(promise)
            person, rule = self.owners[promise.key]
            decision = decide(rule.terms, self.history(person, rule, now), now)
            self.outcomes[decision.reason or "sent"] += 1
            if decision.ok:
                self.sent.append((now, person, rule))

    def history(
        self, person: Person, rule: Rule, now: datetime, promise: Promise | None = None, rivals: Sequence[Promise] = ()
    ) -> History:
        theirs = [(at, sent_rule) for at, other, sent_rule in self.sent if other == person]
        there = [at for at, other, _rule in self.sent if person in (other,) or other.address == person.address]
        return History(
            event_at=now,
            last_same_at=max((at for at, other in theirs if other.touchpoint == rule.touchpoint), default=None),
            last_any_at=max((at for at, _rule in theirs), default=None),
            last_message_at=max(there, default=None),
            promise=promise,
            rivals=tuple(rivals),
        )


PEOPLE = [Person("a", "home@x"), Person("b", "home@x"), Person("c", "c@x")]
HOURS = (0, 1, 23, 24, 25, 48, 72)
seasons = st.lists(
    st.tuples(st.integers(0, 40 * 60), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=40
)  # minutes since the step before, whose, of which rule
rules = st.tuples(
    *[
        st.builds(
            lambda delay, same, any_, floor, priority, number=number: Rule(
                number,
                number % 2,
                delay * 3600,
                RuleTerms(same * 3600, any_ * 3600, 0 if floor else DAY, 7 * DAY, 1.0, priority),
            ),
            st.sampled_from(HOURS),
            st.sampled_from(HOURS),
            st.sampled_from(HOURS),
            st.sampled_from([False, False, False, True]),
            st.integers(-1, 1),
        )
        for number in range(4)
    ]
)


def check_season(sent: list[tuple[datetime, Person, Rule]]) -> None:
    """Of any two messages the later one kept what its rule demands; of two at one moment, one of them did."""
    for one, other in combinations(sorted(sent, key=lambda row: row[0]), 2):
        assert is_apart(one, other) or (one[0] == other[0] and is_apart(other, one)), f"{one} and {other}"


def is_apart(before: tuple[datetime, Person, Rule], after: tuple[datetime, Person, Rule]) -> bool:
    """By the terms of the later: the floor by person and address, resting by person."""
    (at, first, rule), (then, second, later_rule) = before, after
    demanded = later_rule.terms
    span = 0
    if first == second or first.address == second.address:
        span = demanded.floor_s
    if first == second:
        same = demanded.resting_same_s if rule.touchpoint == later_rule.touchpoint else 0
        span = max(span, same, demanded.resting_any_s)
    return (then - at).total_seconds() >= span


@given(seasons, rules, st.sampled_from([0, 1, 90]))
@settings(max_examples=60)
def test_whatever_happens_in_a_season_nobody_is_written_to_too_often_and_somebody_is(
    steps: list[tuple[int, int, int]], given_rules: tuple[Rule, ...], late: int
) -> None:
    season, now = Season(), NOW
    for minutes, whose, which in steps:
        now += timedelta(minutes=minutes)
        season.send(now - timedelta(minutes=late))  # workers come late, and then with the time it is
        season.arrive(PEOPLE[whose], given_rules[which], now)
    while season.waiting:
        now = max(now, min(promise.at for promise in season.waiting))
        season.send(now)
    check_season(season.sent)
    assert season.sent, "the first to be asked was never asked"
    assert season.outcomes.total() == len(steps)  # each occasion is decided on once in the end


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@given(steps=seasons.filter(lambda steps: len(steps) > 5), given_rules=rules)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_season_through_the_database_with_two_threads_keeps_the_same(
    steps: list[tuple[int, int, int]], given_rules: tuple[Rule, ...], mailoutbox: list[object]
) -> None:
    make_organisation(resting_same_s=0, resting_any_s=0, floor_s=DAY)
    InvitationRule.objects.update(active=False)
    mark = uuid.uuid4().hex[:8]
    people = [make_customer(f"{person.name}-{mark}", email=f"{mark}.{person.address}.example.com") for person in PEOPLE]
    touchpoints = [make_touchpoint(), make_touchpoint()]
    made = [
        make_rule(
            touchpoints[rule.touchpoint],
            slug=f"{rule.number}-{mark}",
            event_type=f"{rule.number}-{mark}",
            delay_s=rule.delay_s,
            resting_same_s=rule.terms.resting_same_s,
            resting_any_s=rule.terms.resting_any_s,
            exempt_floor="" if rule.terms.floor_s else "It is urgent.",
            priority=rule.terms.priority,
        )
        for rule in given_rules
    ]
    now = NOW
    for position, (minutes, whose, which) in enumerate(steps):
        now += timedelta(minutes=minutes)
        make_event(people[whose], type=made[which].event_type, time=now)
        if position % 4 == 3 or position + 1 == len(steps):
            at_once(now)
    while (due := Invitation.objects.filter(status="scheduled").order_by("send_at").first()) is not None:
        now = max(now, due.send_at)
        at_once(now)
    rows = Invitation.objects.filter(rule__in=made).select_related("customer", "rule")
    numbers = {rule.slug: given_rules[number] for number, rule in enumerate(made)}
    by_name = {person.external_id: PEOPLE[number] for number, person in enumerate(people)}
    sent = [(row.sent_at, by_name[row.customer.external_id], numbers[row.rule.slug]) for row in rows if row.sent_at]
    check_season(sent)
    assert sent
    assert rows.count() == len(steps)
    assert {row.status for row in rows} <= {"sent", "withheld", "cancelled"}
    assert len([mail for mail in mailoutbox if mark in mail.to[0]]) == len(sent)  # type: ignore[attr-defined]


def at_once(now: datetime) -> None:
    """One decides and the other sends, both at the same moment, until nothing is left to do."""
    together(
        2, lambda index: (invite_pending(now, limit=3), deliver_due(now, limit=2)) if index else deliver_due(now, 2)
    )
    while invite_pending(now) or deliver_due(now)[0]:
        pass
