"""Rules fire at their boundary and not one step before, once; they clear by another threshold; and a closed day is looked at once."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from metrics.alerting.evaluate import CATCH_UP, look_at_counts, look_at_days
from metrics.alerting.rules import UNKNOWN_LOOKS
from metrics.formulas import nps
from metrics.models import Alert, AlertLook, AlertNotice, AlertRule, Team, TeamAddress
from metrics.models.alerts import rule_faults
from metrics.queries import Ask, Catalogue, Slice, count_many, measure
from metrics.raw.funnel import PROMPT_DAYS
from metrics.rollup import roll_up
from metrics.significance import Counts, compare
from surveys.models import DurationLedger, Journey, Response, ScoreLedger, Stage, Touchpoint
from tests.concurrency import together
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.metrics import invited
from tests.metrics.raw import answer, score_question, ticket

pytestmark = pytest.mark.django_db

DAY = date(2026, 11, 18)
MORNING = datetime(2026, 11, 19, 1, 0, tzinfo=UTC)  # 9:00 in Shanghai: the 18th is closed
DAY_S = 86_400


@pytest.fixture(autouse=True)
def organisation() -> Any:
    return make_organisation()


@pytest.fixture
def touchpoint() -> Touchpoint:
    return make_touchpoint("delivery", make_instrument("nps-x"), targets={"nps": 40})


def give(touchpoint: Touchpoint, day: date = DAY, drain: bool = True, **scores: int) -> None:
    """So many answers of each score (s9=30), as the flow counts them."""
    question = score_question(touchpoint).pk
    ScoreLedger.objects.bulk_create(
        ScoreLedger(
            day=day, touchpoint_id=touchpoint.pk, question_id=question, mode="email", segment="", location="", score=int(name[1:]),
            delta=1,
        )
        for name, count in scores.items()
        for _ in range(count)
    )  # fmt: skip
    while drain and roll_up():
        pass


def take(touchpoint: Touchpoint, day: date = DAY, **scores: int) -> None:
    give(touchpoint, day, drain=False, **scores)
    ScoreLedger.objects.filter(day=day, touchpoint_id=touchpoint.pk).update(delta=-1)
    while roll_up():
        pass


def watch(touchpoint: Touchpoint | None = None, kind: str = "below_target", **fields: Any) -> AlertRule:
    defaults = {"metric": "nps"} if kind in ("below_target", "drop") else {}
    slug = fields.pop("slug", f"rule-{AlertRule.objects.count()}")
    rule = AlertRule(slug=slug, kind=kind, touchpoint=touchpoint, **{**defaults, **fields})
    assert rule_faults(rule) == {}
    rule.save()
    return rule


def at(days: int) -> datetime:
    return MORNING + timedelta(days=days)


def standing() -> list[str]:
    return list(Alert.objects.filter(cleared_at=None).order_by("rule__slug").values_list("rule__slug", flat=True))


# --- The numbers ------------------------------------------------------------------------------------------------------


def test_a_thousand_slices_hold_what_each_of_them_holds_alone() -> None:
    journey = Journey.objects.create(slug="buying")
    nps_place = make_touchpoint("a", journey=journey)
    csat_place = make_touchpoint("b", make_instrument(metric="csat", points=7), journey=journey, channel="app")
    for day, score, mode, segment in [
        (DAY, 9, "email", "gold"),
        (DAY, 3, "sms", ""),
        (DAY - timedelta(days=40), 10, "email", ""),
    ]:
        answer(nps_place, score, day=day, mode=mode, segment=segment, location="x")
        answer(csat_place, min(score, 7), day=day, mode=mode, segment=segment)
    for seconds in (0, 60, 4000, 90_000):
        ticket(nps_place, datetime(2026, 11, 17, 3, tzinfo=UTC), seconds, segment="gold")
    ticket(None, datetime(2026, 11, 17, 3, tzinfo=UTC), 7)
    roll_up()
    catalogue = Catalogue.load()
    asked: list[tuple[Ask, Slice]] = []
    places: list[tuple[set[str], tuple[int, ...] | None]] = [
        (set(), None), ({"a"}, (nps_place.pk,)), ({"a", "b"}, (nps_place.pk, csat_place.pk)),
    ]  # fmt: skip
    scales = ((11, "nps"), (7, "csat"), (7, "ces"), (0, "ttr"))
    cuts = (("", "", ""), ("email", "", ""), ("", "gold", ""), ("sms", "", "x"))
    for first, (points, metric), (named, ids), cut in product((DAY, DAY - timedelta(days=60)), scales, places, cuts):
        mode, segment, location = ("" if metric == "ttr" else cut[0], *cut[1:])
        slice_ = Slice(
            touchpoints=frozenset(named), day_from=first, day_to=DAY, scale=points or None,
            modes=frozenset([mode]) - {""}, segments=frozenset([segment]) - {""}, locations=frozenset([location]) - {""},
        )  # fmt: skip
        asked.append((Ask(metric, points, ids, mode, segment, location, first, DAY), slice_))
    with CaptureQueriesContext(connection) as queries:
        found = count_many([ask for ask, _slice in asked], catalogue)
    assert len(queries) == 1
    assert sum(counted.measured.n > 0 for counted in found) > 20
    for counted, (_ask, slice_) in zip(found, asked, strict=True):
        alone = measure(counted.ask.metric, slice_, now=MORNING, catalogue=catalogue).total
        mine = counted.measured
        for name in ("metric", "points", "value", "n", "low", "high", "distribution", "breakdown"):
            assert getattr(mine, name) == getattr(alone, name), (name, counted.ask)
        if counted.ask.metric != "ttr":
            assert (counted.estimate.value, counted.estimate.n) == (alone.value, alone.n)
            assert mine.extra == alone.extra
        else:
            assert counted.estimate.value == alone.extra["median"]


def test_an_alert_holds_the_numbers_of_the_page(touchpoint: Touchpoint) -> None:
    give(touchpoint, s9=40, s7=20, s3=60)
    watch(touchpoint)
    assert look_at_days(MORNING) == 1
    alert, look = Alert.objects.get(), AlertLook.objects.get()
    days = Slice(touchpoints=frozenset({"delivery"}), day_from=DAY - timedelta(days=6), day_to=DAY)
    total = measure("nps", days, now=MORNING).total
    assert (alert.fired["value"], alert.fired["low"], alert.fired["high"], alert.fired["n"]) == (
        total.value,
        total.low,
        total.high,
        120,
    )
    assert (look.value, look.low, look.high, look.n, look.mark) == (total.value, total.low, total.high, 120, 40)
    assert (alert.fired["target"], alert.fired["first"], alert.fired["last"]) == (40, "2026-11-12", "2026-11-18")
    assert (alert.day, alert.fired_at) == (DAY, MORNING)


# --- Firing at the boundary -------------------------------------------------------------------------------------------


def test_below_target_fires_where_the_whole_interval_is_below_and_not_one_answer_before(touchpoint: Touchpoint) -> None:
    """100 answers, s of them promoters and the others passives: NPS = s."""
    ends = {promoters: nps([0] * 7 + [100 - promoters, 0, promoters, 0]).high for promoters in range(101)}
    most = max(promoters for promoters, high in ends.items() if high is not None and high < 40)
    give(touchpoint, s9=most + 1, s7=99 - most)
    watch(touchpoint)
    look_at_days(MORNING)
    assert standing() == []
    give(touchpoint, DAY + timedelta(days=1), s9=100)  # another day, so that the slate is clean
    take(touchpoint, DAY + timedelta(days=1), s9=100)
    give(touchpoint, s7=1)
    take(touchpoint, s9=1)
    look_at_days(at(1))
    assert standing() == ["rule-0"]


@pytest.mark.parametrize(("target", "fires"), [(12.0, False), (10.0, True)])
def test_a_time_to_resolution_is_missed_from_above(touchpoint: Touchpoint, target: float, fires: bool) -> None:
    """Forty tickets that took eleven hours each: the median and both its ends are eleven hours."""
    for _ in range(40):
        ticket(touchpoint, datetime(2026, 11, 17, 3, tzinfo=UTC), 11 * 3600)
    roll_up()
    watch(touchpoint, metric="ttr", target=target)
    look_at_days(MORNING)
    assert bool(standing()) == fires


def test_targets_are_the_rules_the_touchpoints_or_the_channels(organisation: Any, touchpoint: Touchpoint) -> None:
    """Everybody is a passive: NPS 0, at most some 10 by chance."""
    organisation.channel_targets = {"website": {"nps": 30}}
    organisation.save()
    give(touchpoint, s7=200)
    watch(touchpoint, slug="own", target=-50)
    watch(touchpoint, slug="touchpoint")
    watch(None, slug="channel", channel="website")
    watch(None, slug="other-channel", channel="app")
    look_at_days(MORNING)
    assert standing() == ["channel", "touchpoint"]
    assert {alert.rule.slug: alert.fired["target"] for alert in Alert.objects.select_related("rule")} == {
        "channel": 30,
        "touchpoint": 40,
    }


def test_a_rule_watches_the_touchpoints_of_its_journey_stage_and_channel(touchpoint: Touchpoint) -> None:
    journey = Journey.objects.create(slug="buying")
    stage = Stage.objects.create(journey=journey, slug="pay")
    inside = make_touchpoint("inside", journey=journey, stage=stage, channel="app")
    make_touchpoint("beside", journey=journey, channel="website")
    for place in Touchpoint.objects.all():
        give(place, s9=30)
    give(inside, s9=1)
    for slug, cut in (
        ("j", {"journey": journey}),
        ("s", {"stage": stage}),
        ("c", {"channel": "website"}),
        ("js", {"journey": journey, "channel": "website"}),
        ("all", {}),
    ):
        watch(None, slug=slug, target=0, **cut)
    look_at_days(MORNING)
    seen = dict(AlertLook.objects.values_list("rule__slug", "n"))
    assert seen == {"j": 61, "s": 31, "c": 60, "js": 30, "all": 91}


@pytest.mark.parametrize(("promoters", "fires"), [(41, False), (40, True)])
def test_a_drop_fires_where_nought_lies_outside_the_interval_and_not_one_answer_before(
    touchpoint: Touchpoint, promoters: int, fires: bool
) -> None:
    """As the pages' own test has it."""
    sides = [Counts({9: some, 7: 100 - some}) for some in (promoters, 55)]
    assert compare("nps", 11, *sides).significant == fires
    give(touchpoint, DAY - timedelta(days=7), s9=55, s7=45)
    give(touchpoint, s9=promoters, s7=100 - promoters)
    watch(touchpoint, "drop")
    look_at_days(MORNING)
    assert bool(standing()) == fires


def test_a_rise_is_no_drop_and_a_longer_time_is_one(touchpoint: Touchpoint) -> None:
    give(touchpoint, DAY - timedelta(days=7), s0=100)
    give(touchpoint, s10=100)
    for day, hours in ((10, 1), (17, 30)):
        for _ in range(40):
            ticket(touchpoint, datetime(2026, 11, day, 3, tzinfo=UTC), hours * 3600)
    roll_up()
    watch(touchpoint, "drop", slug="better")
    watch(touchpoint, "drop", slug="slower", metric="ttr")
    look_at_days(MORNING)
    assert standing() == ["slower"]


@pytest.mark.parametrize(
    ("fields", "when"),
    [
        ({}, DAY - timedelta(days=13)),
        ({"baseline_days": 30}, DAY - timedelta(days=36)),
        ({"baseline": "year"}, date(2025, 11, 12)),
    ],
)
def test_what_it_is_compared_with(touchpoint: Touchpoint, fields: dict[str, Any], when: date) -> None:
    """The first day of the baseline counts, and the day before it does not."""
    give(touchpoint, s7=100)
    give(touchpoint, when, s9=100)
    watch(touchpoint, "drop", **fields)
    look_at_days(MORNING)
    assert standing() == ["rule-0"]
    Alert.objects.all().delete()
    AlertLook.objects.all().delete()
    take(touchpoint, when, s9=100)
    early = when - timedelta(days=1)
    give(touchpoint, early, s9=100)
    look_at_days(MORNING)
    assert standing() == []


def test_tested_together_a_drop_must_be_clearer_unless_it_is_judged_on_its_own(touchpoint: Touchpoint) -> None:
    """p is about 0.03: by itself significant, not as one of five (Holm)."""
    give(touchpoint, DAY - timedelta(days=7), s9=55, s7=45)
    give(touchpoint, s9=39, s7=61)
    for number in range(4):
        other = make_touchpoint(f"other-{number}")
        for day in (DAY, DAY - timedelta(days=7)):
            give(other, day, s9=50, s7=50)
        watch(other, "drop", slug=f"steady-{number}")
    rule = watch(touchpoint, "drop", slug="down")
    look_at_days(MORNING)
    assert standing() == []
    AlertLook.objects.all().delete()
    AlertRule.objects.filter(pk=rule.pk).update(alone=True)
    look_at_days(MORNING)
    assert standing() == ["down"]


@pytest.mark.parametrize(("n", "state"), [(29, "unknown"), (30, "held")])
def test_too_few_answers_say_nothing(touchpoint: Touchpoint, n: int, state: str) -> None:
    give(touchpoint, s0=n)
    watch(touchpoint)
    look_at_days(MORNING)
    assert AlertLook.objects.get().state == state
    assert bool(standing()) == (state == "held")


@pytest.mark.parametrize(("n", "state"), [(4, "unknown"), (5, "held")])
def test_no_rule_is_content_with_less_than_five(touchpoint: Touchpoint, n: int, state: str) -> None:
    give(touchpoint, s0=n)
    watch(touchpoint, at_least=1)
    look_at_days(MORNING)
    assert AlertLook.objects.get().state == state


def test_a_response_rate_is_compared_where_all_had_the_same_time_to_answer(touchpoint: Touchpoint) -> None:
    """Whoever was asked yesterday has not answered yet: that is no drop. Those of last week had their days."""
    noon = datetime(2026, 11, 18, 4, tzinfo=UTC)

    def send(days_ago: int, count: int, answered: int) -> None:
        for number in range(count):
            made = invited.send(touchpoint, noon - timedelta(days=days_ago))
            if number < answered:
                invited.answer(made)

    send(PROMPT_DAYS + 7, 60, 30)  # the last day of what it is compared with
    send(PROMPT_DAYS, 60, 30)  # the last day that is final
    send(0, 60, 0)
    watch(touchpoint, "response_drop")
    look_at_days(MORNING)
    look = AlertLook.objects.get()
    assert (look.state, look.n, look.value, look.mark) == ("back", 60, 50, 50)
    look_at_days(at(PROMPT_DAYS))
    assert standing() == ["rule-0"]
    assert (Alert.objects.get().fired["n"], Alert.objects.get().fired["value"]) == (120, 25)


# --- Once, and clearing -----------------------------------------------------------------------------------------------


def spoil(touchpoint: Touchpoint, day: date) -> None:
    give(touchpoint, day, s0=100)


def test_it_fires_once_and_is_not_repeated_while_it_stands(touchpoint: Touchpoint) -> None:
    spoil(touchpoint, DAY)
    rule = watch(touchpoint)
    for days in range(3):
        assert look_at_days(at(days)) == 1
    assert Alert.objects.filter(rule=rule).count() == 1
    assert list(AlertLook.objects.order_by("day").values_list("state", flat=True)) == ["held"] * 3


def test_a_closed_day_is_looked_at_once_whatever_restarts(touchpoint: Touchpoint) -> None:
    watch(touchpoint)
    assert look_at_days(MORNING) == 1
    spoil(touchpoint, DAY)  # comes late, by an import
    assert look_at_days(MORNING + timedelta(hours=3)) == 0
    assert standing() == []
    assert look_at_days(at(1)) == 1  # it lies in the next window, too
    assert standing() == ["rule-0"]


def test_a_second_look_at_a_day_is_refused_by_the_database(touchpoint: Touchpoint) -> None:
    rule = watch(touchpoint)
    look_at_days(MORNING)
    with pytest.raises(IntegrityError), transaction.atomic():
        AlertLook.objects.create(rule=rule, day=DAY, at=MORNING, state="held")
    Alert.objects.create(rule=rule, fired_at=MORNING)
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.create(rule=rule, fired_at=MORNING)


def test_days_that_nobody_looked_at_are_looked_at_afterwards_in_their_order(touchpoint: Touchpoint) -> None:
    watch(touchpoint, window_days=1)
    look_at_days(MORNING)
    spoil(touchpoint, DAY + timedelta(days=1))
    give(touchpoint, DAY + timedelta(days=2), s10=100)
    assert look_at_days(at(3)) == 3
    alert = Alert.objects.get()
    assert (alert.day, alert.cleared_why, alert.cleared["last"]) == (DAY + timedelta(days=1), "back", "2026-11-20")
    assert look_at_days(at(30)) == CATCH_UP


def test_back_on_the_right_side_clears_at_once_and_undecided_only_after_two_looks(touchpoint: Touchpoint) -> None:
    spoil(touchpoint, DAY)
    watch(touchpoint, window_days=1)
    look_at_days(MORNING)
    give(touchpoint, DAY + timedelta(days=1), s9=40, s7=60)  # 40: neither below nor above
    look_at_days(at(1))
    assert standing() == ["rule-0"]
    spoil(touchpoint, DAY + timedelta(days=2))  # below again: counted from the start
    look_at_days(at(2))
    for day in (3, 4):
        assert standing() == ["rule-0"]
        give(touchpoint, DAY + timedelta(days=day), s9=40, s7=60)
        look_at_days(at(day))
    alert = Alert.objects.get()
    assert (alert.cleared_why, alert.cleared_at, alert.cleared["value"]) == ("quiet", at(4), 40)

    spoil(touchpoint, DAY + timedelta(days=5))
    look_at_days(at(5))
    give(touchpoint, DAY + timedelta(days=6), s9=100)
    look_at_days(at(6))
    alert = Alert.objects.latest("fired_at")
    assert (alert.cleared_why, alert.cleared_at) == ("back", at(6))


def test_where_nothing_is_known_any_more_it_stands_for_two_weeks(touchpoint: Touchpoint) -> None:
    spoil(touchpoint, DAY)
    watch(touchpoint, window_days=1)
    look_at_days(MORNING)
    for days in range(1, UNKNOWN_LOOKS + 1):
        assert standing() == ["rule-0"]
        look_at_days(at(days))
    assert Alert.objects.get().cleared_why == "unknown"


def test_a_rule_that_is_switched_off_is_not_looked_at_and_its_alert_goes(touchpoint: Touchpoint) -> None:
    spoil(touchpoint, DAY)
    rule = watch(touchpoint)
    look_at_days(MORNING)
    AlertRule.objects.filter(pk=rule.pk).update(active=False)
    assert look_at_days(at(1)) == 0
    assert standing() == ["rule-0"]
    assert look_at_counts(at(1)) == 1
    assert Alert.objects.get().cleared_why == "off"


# --- Days -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Asia/Shanghai", date(2026, 11, 18)),
        ("Europe/Berlin", date(2026, 10, 25)),  # 25 hours
        ("Europe/Berlin", date(2026, 3, 29)),  # 23
        ("America/New_York", date(2026, 11, 1)),
        ("America/New_York", date(2026, 3, 8)),
    ],
)
def test_a_day_is_closed_at_midnight_and_not_a_second_before(touchpoint: Touchpoint, zone: str, day: date) -> None:
    make_organisation(time_zone=zone)
    after = day + timedelta(days=1)
    midnight = datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    watch(touchpoint)
    look_at_days(midnight - timedelta(seconds=1))
    assert [look.day for look in AlertLook.objects.all()] == [day - timedelta(days=1)]
    look_at_days(midnight)
    assert [look.day for look in AlertLook.objects.order_by("day")] == [day - timedelta(days=1), day]


def test_a_day_waits_until_its_ledger_is_drained(touchpoint: Touchpoint) -> None:
    watch(touchpoint)
    give(touchpoint, DAY, drain=False, s0=40)
    assert look_at_days(MORNING) == 0
    roll_up()
    DurationLedger.objects.create(
        basis="resolved", day=DAY, touchpoint_id=0, segment="", location="", seconds=1, reopened=False, delta=1
    )
    assert look_at_days(MORNING) == 0
    roll_up()
    give(touchpoint, DAY + timedelta(days=1), drain=False, s0=1)  # today's: no matter
    assert look_at_days(MORNING) == 1
    assert standing() == ["rule-0"]


# --- What counts ------------------------------------------------------------------------------------------------------


def test_a_ticket_fires_when_it_is_open_for_so_long_and_not_a_second_before(touchpoint: Touchpoint) -> None:
    opened = datetime(2026, 11, 17, 1, tzinfo=UTC)
    ticket(touchpoint, opened)
    ticket(make_touchpoint("elsewhere"), opened)
    watch(touchpoint, "open_longer", longer_than_s=2 * DAY_S)
    due = opened + timedelta(days=2)
    assert look_at_counts(due - timedelta(seconds=1)) == 0
    assert look_at_counts(due) == 1
    alert = Alert.objects.get()
    assert (alert.fired["count"], alert.fired["oldest_at"]) == (1, opened.isoformat())
    assert look_at_counts(due + timedelta(hours=1)) == 0


def test_it_clears_only_where_none_is_nearly_as_old(touchpoint: Touchpoint) -> None:
    """Eight tenths of the span: else the next ticket would fire it again at once."""
    opened = datetime(2026, 11, 10, tzinfo=UTC)
    old, next_one = ticket(touchpoint, opened), ticket(touchpoint, opened + timedelta(hours=1))
    watch(touchpoint, "open_longer", longer_than_s=10 * 3600)
    look_at_counts(opened + timedelta(hours=10))
    type(old).objects.filter(pk=old.pk).update(resolved_at=opened, day_resolved=opened.date())
    look_at_counts(opened + timedelta(hours=10, minutes=10))
    assert standing() == ["rule-0"]
    assert Alert.objects.get().latest["count"] == 0
    type(old).objects.filter(pk=next_one.pk).update(opened_at=opened + timedelta(hours=2, minutes=11))
    assert look_at_counts(opened + timedelta(hours=10, minutes=10)) == 1
    assert Alert.objects.get().cleared_why == "back"


@pytest.mark.parametrize(("count", "fires"), [(2, False), (3, True)])
def test_a_rule_may_want_several_tickets(touchpoint: Touchpoint, count: int, fires: bool) -> None:
    for _ in range(count):
        ticket(touchpoint, datetime(2026, 11, 1, tzinfo=UTC))
    watch(None, "open_longer", longer_than_s=DAY_S, at_least=3)
    look_at_counts(MORNING)
    assert bool(standing()) == fires


def heard(touchpoint: Touchpoint, when: datetime, **fields: Any) -> Response:
    made = answer(touchpoint, 9, **fields)
    Response.objects.filter(pk=made.pk).update(responded_at=when)
    return made


def test_silence_fires_when_it_has_lasted_so_long_and_the_next_answer_clears_it(touchpoint: Touchpoint) -> None:
    heard(touchpoint, MORNING)
    rule = watch(touchpoint, "no_answers", longer_than_s=2 * DAY_S)
    AlertRule.objects.filter(pk=rule.pk).update(since=MORNING - timedelta(days=30))
    assert look_at_counts(at(2) - timedelta(seconds=1)) == 0
    assert look_at_counts(at(2)) == 1
    assert look_at_counts(at(3)) == 0
    heard(touchpoint, at(3))
    assert look_at_counts(at(3)) == 1
    assert Alert.objects.get().cleared["newest_at"] == at(3).isoformat()


def test_what_does_not_count_breaks_no_silence(touchpoint: Touchpoint) -> None:
    rule = watch(touchpoint, "no_answers", longer_than_s=DAY_S, mode="sms", segment="gold")
    AlertRule.objects.filter(pk=rule.pk).update(since=MORNING - timedelta(days=30))
    heard(touchpoint, MORNING, mode="email", segment="gold")
    heard(touchpoint, MORNING, mode="sms", segment="")
    heard(make_touchpoint("other"), MORNING, mode="sms", segment="gold")
    excluded = heard(touchpoint, MORNING, mode="sms", segment="gold")
    Response.objects.filter(pk=excluded.pk).update(excluded_at=MORNING, excluded_reason="test")
    assert look_at_counts(MORNING) == 1
    heard(touchpoint, MORNING, mode="sms", segment="gold")
    assert look_at_counts(MORNING) == 1
    assert standing() == []


def test_a_rule_that_is_new_or_was_off_has_heard_nothing_yet(touchpoint: Touchpoint) -> None:
    rule = watch(touchpoint, "no_answers", longer_than_s=DAY_S)
    AlertRule.objects.filter(pk=rule.pk).update(since=MORNING)
    assert look_at_counts(at(1) - timedelta(seconds=1)) == 0
    AlertRule.objects.filter(pk=rule.pk).update(active=False)
    look_at_counts(at(9))
    AlertRule.objects.filter(pk=rule.pk).update(active=True)
    assert look_at_counts(at(10) - timedelta(seconds=1)) == 0
    assert look_at_counts(at(10)) == 1


def test_a_touchpoint_that_is_switched_off_may_be_silent(touchpoint: Touchpoint) -> None:
    rule = watch(touchpoint, "no_answers", longer_than_s=DAY_S)
    AlertRule.objects.filter(pk=rule.pk).update(since=MORNING - timedelta(days=30))
    look_at_counts(MORNING)
    assert standing() == ["rule-0"]
    Touchpoint.objects.update(active=False)
    look_at_counts(MORNING)
    assert Alert.objects.get().cleared_why == "off"
    look_at_counts(at(1))
    assert standing() == []


# --- Whom it tells ----------------------------------------------------------------------------------------------------


def team(slug: str = "care", *addresses: str, **fields: Any) -> Team:
    made = Team.objects.create(slug=slug, name={"en": slug.title()}, **fields)
    TeamAddress.objects.bulk_create(TeamAddress(team=made, address=address) for address in addresses)
    return made


def test_every_address_of_its_teams_has_a_notice_once(touchpoint: Touchpoint) -> None:
    spoil(touchpoint, DAY)
    rule = watch(touchpoint)
    rule.teams.set(
        [
            team("care", "a@example.com", "b@example.com"),
            team("shift", "b@example.com"),
            team("off", "c@example.com", active=False),
        ]
    )
    team("others", "d@example.com")
    look_at_days(MORNING)
    assert sorted(notice.address.address for notice in AlertNotice.objects.select_related("address")) == [
        "a@example.com",
        "b@example.com",
    ]
    assert Alert.objects.get().told
    look_at_days(at(1))
    assert AlertNotice.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_evaluators_at_once_look_once_and_fire_once(touchpoint: Touchpoint) -> None:
    spoil(touchpoint, DAY)
    for _ in range(5):
        watch(touchpoint).teams.set([team(f"team-{AlertRule.objects.count()}", "a@example.com")])
    watch(touchpoint, "open_longer", longer_than_s=3600)
    ticket(touchpoint, datetime(2026, 11, 1, tzinfo=UTC))
    looks = together(4, lambda _index: look_at_days(MORNING))
    together(4, lambda _index: look_at_counts(MORNING))
    look_at_days(MORNING), look_at_counts(MORNING)
    assert sorted(looks) == [0, 0, 0, 5]
    assert (AlertLook.objects.count(), Alert.objects.count(), AlertNotice.objects.count()) == (5, 6, 5)


@pytest.mark.django_db(transaction=True)
def test_an_evaluator_that_dies_before_its_end_loses_nothing(
    touchpoint: Touchpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(touchpoint, DAY)
    watch(touchpoint).teams.set([team("care", "a@example.com")])

    class Killed(BaseException):
        pass

    def die(*_arguments: Iterable[Any]) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(AlertNotice.objects, "bulk_create", die)
        with pytest.raises(Killed):
            look_at_days(MORNING)
    assert (AlertLook.objects.count(), Alert.objects.count()) == (0, 0)
    look_at_days(MORNING)
    assert (AlertLook.objects.count(), Alert.objects.count(), AlertNotice.objects.count()) == (1, 1, 1)


# --- What cannot be watched -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"kind": "below_target"}, {"metric"}),
        ({"kind": "below_target", "metric": "nps"}, {"target"}),
        ({"kind": "below_target", "metric": "nps", "target": 101}, {"target"}),
        ({"kind": "below_target", "metric": "nps", "channel": "app"}, set()),
        ({"kind": "drop", "metric": "csat"}, {"points"}),
        ({"kind": "drop", "metric": "csat", "points": 6}, {"points"}),
        ({"kind": "drop", "metric": "csat", "points": 7}, set()),
        ({"kind": "drop", "metric": "ttr", "mode": "sms"}, {"mode"}),
        ({"kind": "open_longer"}, {"longer_than_s"}),
        ({"kind": "open_longer", "longer_than_s": 60, "mode": "sms"}, {"mode"}),
        ({"kind": "no_answers", "longer_than_s": 60, "mode": "sms"}, set()),
        ({"kind": "response_drop", "segment": "gold"}, {"segment"}),
    ],
)
def test_a_rule_that_cannot_be_looked_at_is_refused(fields: dict[str, Any], wrong: set[str]) -> None:
    assert rule_faults(AlertRule(slug="r", **fields)).keys() == wrong
