"""A rule on a calendar: whose turn it is, once in each period, through the same gates; and what two workers and a killed one leave."""

import itertools
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings

from surveys.flow.calendar import PAGE, ask_page, begin_passes, drain
from surveys.flow.deliver import deliver_due
from surveys.flow.erase import erase_customer
from surveys.flow.invite import invite_pending
from surveys.flow.periods import Period, period_of, seed_of, turn_of
from surveys.flow.programme import ProgrammeError, export_programme, import_programme
from surveys.models import CalendarPass, Customer, Invitation, InvitationRule
from tests.concurrency import together
from tests.factories import make_customer, make_event, make_organisation, make_rule, make_touchpoint

SHANGHAI = ZoneInfo("Asia/Shanghai")
FIRST = date(2026, 10, 1)  # of a quarter of 92 days
QUARTER = Period(FIRST, date(2026, 12, 31))


def _slow(*values: str):
    return pytest.param(*values, marks=pytest.mark.slow)


def at(day: date, hour: int = 0, minute: int = 5) -> datetime:
    """By the organisation's clock."""
    return datetime.combine(day, time(hour, minute), SHANGHAI).astimezone(UTC)


# --- Periods and turns ---


@pytest.mark.parametrize(
    ("calendar", "day", "first", "last"),
    [
        ("month", date(2028, 2, 29), date(2028, 2, 1), date(2028, 2, 29)),
        ("month", date(2026, 12, 31), date(2026, 12, 1), date(2026, 12, 31)),
        ("quarter", date(2026, 10, 1), FIRST, date(2026, 12, 31)),
        ("quarter", date(2026, 9, 30), date(2026, 7, 1), date(2026, 9, 30)),
        ("half_year", date(2026, 7, 1), date(2026, 7, 1), date(2026, 12, 31)),
        ("half_year", date(2026, 6, 30), date(2026, 1, 1), date(2026, 6, 30)),
        ("year", date(2027, 1, 1), date(2027, 1, 1), date(2027, 12, 31)),
    ],
)
def test_a_period_is_of_the_calendar(calendar, day, first, last):
    assert period_of(calendar, day) == Period(first, last)


def turns(rule="relationship", period=QUARTER, count=18_400):
    seed = seed_of("a key", rule, period)
    return [turn_of(seed, f"C-{number}", period) for number in range(count)]


def test_turns_are_even_over_the_days():
    """Pearson's statistic has the mean 91 and the deviation √182 for 92 days: 150 is more than four deviations away."""
    for rule in ("relationship", "pulse"):
        counts = Counter(turns(rule))
        assert (min(counts), max(counts), len(counts)) == (QUARTER.first, QUARTER.last, 92)
        assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 150


def test_a_turn_stays_the_same_and_is_another_one_in_the_next_period_and_for_another_rule():
    period = Period(date(2027, 1, 1), date(2027, 3, 31))
    assert turns() == turns()
    here = [(turn - FIRST).days for turn in turns()]
    for others in (turns("pulse"), [turn - timedelta(days=92) for turn in turns(period=period)]):
        same = sum(mine == (other - FIRST).days for mine, other in zip(here, others, strict=True))
        assert same / len(here) == pytest.approx(1 / 92, abs=0.005)


@pytest.mark.parametrize("calendar", [_slow("month"), "quarter", _slow("half_year"), "year"])
@pytest.mark.django_db
def test_the_database_finds_the_same_turns(calendar, relationship):
    relationship.calendar = calendar
    relationship.save()
    names = [f"C-{number}" for number in range(60)] + ["客户 7", "it's \\ 5%"]
    for name in names:
        make_customer(name)
    day = date(2026, 11, 20)
    period = period_of(calendar, day)
    CalendarPass.objects.create(rule=relationship, through=period.first - timedelta(days=1))
    drain(lambda: at(day))
    seed = seed_of(settings.SECRET_KEY, "relationship", period)
    asked = {row.customer.external_id for row in Invitation.objects.select_related("customer")}
    assert asked == {name for name in names if turn_of(seed, name, period) <= day}
    assert 0 < len(asked) < len(names) or calendar == "year"


# --- Once in each period ---


@pytest.fixture
def relationship(db):
    make_organisation()
    return make_rule(make_touchpoint("relationship"), slug="relationship", event_type="", calendar="quarter")


def people_of(day: date, count: int = 1, period: Period = QUARTER, **fields) -> list[Customer]:
    """Customers whose turn is on this day."""
    seed = seed_of(settings.SECRET_KEY, "relationship", period)
    there = set(Customer.objects.values_list("external_id", flat=True))
    names = (f"T-{number}" for number in itertools.count())
    fitting = (name for name in names if turn_of(seed, name, period) == day and name not in there)
    return [make_customer(name, **fields) for name in itertools.islice(fitting, count)]


def decisions() -> list[tuple[str, str]]:
    return list(Invitation.objects.order_by("id").values_list("status", "reason"))


TURN = date(2026, 10, 20)


def test_a_customer_is_asked_on_the_day_of_the_turn_at_ten_by_their_own_clock(relationship):
    make_rule(make_touchpoint(), slug="other")  # waits for events
    [here] = people_of(TURN)
    [there] = people_of(TURN, time_zone="America/New_York")
    people_of(TURN + timedelta(days=1))
    assert [drain(lambda: at(TURN - timedelta(days=1))), drain(lambda: at(TURN))] == [0, 2]
    rows = {row.customer_id: row for row in Invitation.objects.all()}
    row = rows[here.pk]
    assert (row.status, row.rule, row.event, row.period, row.touchpoint) == (
        "scheduled", relationship, None, FIRST, relationship.touchpoint,
    )  # fmt: skip
    assert row.send_at == at(TURN, 10, 0)
    assert rows[there.pk].send_at.astimezone(ZoneInfo("America/New_York")).isoformat() == "2026-10-20T10:00:00-04:00"


def test_the_rules_own_hour_days_and_the_quiet_hours_hold(relationship):
    make_organisation(quiet_hours={"email": "20:00-12:00"})
    relationship.at_time, relationship.days = time(9), ["thu"]
    relationship.save()
    people_of(TURN)  # a Tuesday
    drain(lambda: at(TURN))
    assert Invitation.objects.get().send_at == at(date(2026, 10, 22), 12, 0)


def test_a_day_is_gone_through_once_and_each_customer_once_in_the_period(relationship):
    people_of(TURN, 3)
    assert [drain(lambda: at(TURN)) for _again in range(3)] == [3, 0, 0]
    CalendarPass.objects.update(through=FIRST - timedelta(days=1))  # as if it had been lost
    assert drain(lambda: at(TURN, 12)) == 0
    assert Invitation.objects.count() == 3
    for days in (1, 30, 70):
        drain(lambda days=days: at(TURN + timedelta(days=days)))
    assert Counter(Invitation.objects.values_list("customer_id", "period")).most_common(1)[0][1] == 1
    assert Invitation.objects.filter(period=FIRST).count() == 3


def test_the_next_period_draws_anew(relationship):
    people_of(TURN, 5)
    drain(lambda: at(TURN))
    for day in (date(2027, 1, 1), date(2027, 1, 30), date(2027, 3, 31)):
        drain(lambda day=day: at(day))
    second = Invitation.objects.filter(period=date(2027, 1, 1))
    assert second.values("customer").distinct().count() == second.count() == 5


def test_what_was_missed_while_nobody_was_at_work_is_made_up_for_within_the_period(relationship):
    drain(lambda: at(TURN - timedelta(days=1)))
    people_of(TURN)
    people_of(TURN + timedelta(days=2))
    people_of(TURN + timedelta(days=3))
    assert drain(lambda: at(TURN + timedelta(days=2))) == 2


def test_what_was_missed_in_a_former_period_is_not(relationship):
    drain(lambda: at(date(2026, 12, 29)))
    people_of(date(2026, 12, 30))
    drain(lambda: at(date(2027, 1, 1)))
    assert not Invitation.objects.filter(period=FIRST).exists()
    assert CalendarPass.objects.get().through == date(2027, 1, 1)


def test_a_rule_that_is_switched_on_in_the_middle_asks_on_the_days_that_are_left(relationship):
    people_of(TURN - timedelta(days=1))
    people_of(TURN)
    relationship.active = False
    relationship.save()
    drain(lambda: at(TURN - timedelta(days=5)))
    drain(lambda: at(TURN, 8))
    assert not Invitation.objects.exists()
    relationship.active = True
    relationship.save()
    assert drain(lambda: at(TURN, 9)) == 1


def test_days_on_which_its_touchpoint_was_off_are_not_made_up_for(relationship):
    drain(lambda: at(TURN - timedelta(days=3)))
    people_of(TURN - timedelta(days=1))
    relationship.touchpoint.active = False
    relationship.touchpoint.save()
    drain(lambda: at(TURN))
    relationship.touchpoint.active = True
    relationship.touchpoint.save()
    assert drain(lambda: at(TURN)) == 0


def test_who_becomes_known_after_their_day_waits_for_the_next_period(relationship):
    drain(lambda: at(TURN))
    people_of(TURN)
    people_of(TURN - timedelta(days=3))
    assert [drain(lambda: at(TURN, 12)), drain(lambda: at(TURN + timedelta(days=1)))] == [0, 0]


def test_a_clock_that_is_set_back_asks_nobody_twice(relationship):
    people_of(TURN, 2)
    assert [drain(lambda: at(TURN)), drain(lambda: at(TURN, 0) - timedelta(hours=1)), drain(lambda: at(TURN, 1))] == [
        2,
        0,
        0,
    ]


def test_the_erased_are_never_asked(relationship):
    gone, stays = people_of(TURN, 2)
    erase_customer(gone.external_id, at(TURN))
    drain(lambda: at(TURN))
    assert [row.customer for row in Invitation.objects.all()] == [stays]


# --- The same gates ---


@pytest.mark.parametrize(
    ("rule", "customer", "reason"),
    [
        ({"when": "customer.segment == 'gold'"}, {}, "ineligible"),
        ({"when": "customer.attributes.city == 'Shanghai'"}, {"attributes": {"city": "Shanghai"}}, ""),
        ({}, {"email": ""}, "no_address"),
        ({"sample_share": 0.0}, {}, "sampled_out"),
        ({"quota": 0}, {}, "quota_full"),
    ],
)
def test_a_decision_is_a_row_with_its_reason(relationship, rule, customer, reason):
    for name, value in rule.items():
        setattr(relationship, name, value)
    relationship.save()
    people_of(TURN, **customer)
    drain(lambda: at(TURN))
    assert decisions() == [("withheld", reason) if reason else ("scheduled", "")]


def test_a_quota_is_kept_over_pages(relationship):
    relationship.quota = 3
    relationship.save()
    people_of(TURN, 5)
    begin_passes(at(TURN))
    while ask_page(at(TURN), 2, 2) is not None:
        pass
    assert Counter(decisions()) == {("scheduled", ""): 3, ("withheld", "quota_full"): 2}


def asked_before(customer, days: int, **rule) -> Invitation:
    """A message after an event, so many days before the turn."""
    make_rule(make_touchpoint("delivery"), slug="after", **rule)
    when = at(TURN - timedelta(days=days), 10)
    make_event(customer, time=when)
    invite_pending(when)
    assert deliver_due(when)[1] == 1
    return Invitation.objects.get(rule__slug="after")


def test_who_rests_on_the_day_has_a_later_turn_in_the_period(relationship, mailoutbox):
    [customer] = people_of(TURN)
    asked_before(customer, 10)
    drain(lambda: at(TURN))
    row = Invitation.objects.get(rule=relationship)
    # The rest ends at five past ten, twenty days later: the next ten o'clock is of the day after.
    assert (row.status, row.send_at) == ("scheduled", at(TURN + timedelta(days=21), 10, 0))
    assert row.decided_at == at(TURN)


def test_who_rests_beyond_the_period_is_not_asked(relationship, mailoutbox):
    [customer] = people_of(TURN)
    relationship.resting_any_s = 85 * 86_400
    relationship.save()
    asked_before(customer, 1)
    drain(lambda: at(TURN))
    assert list(Invitation.objects.filter(rule=relationship).values_list("status", "reason")) == [
        ("withheld", "resting_any")
    ]


def test_who_is_asked_by_another_rule_before_the_hour_has_a_later_turn(relationship, mailoutbox):
    [customer] = people_of(TURN)
    drain(lambda: at(TURN))
    make_rule(make_touchpoint("delivery"), slug="after")
    make_event(customer, time=at(TURN, 8))
    invite_pending(at(TURN, 8))
    assert deliver_due(at(TURN, 8)) == (1, 1)
    assert deliver_due(at(TURN, 10)) == (1, 0)
    row = Invitation.objects.get(rule=relationship)
    assert (row.status, row.send_at > at(TURN + timedelta(days=30), 8)) == ("scheduled", True)
    Customer.objects.update(email="")
    deliver_due(row.send_at)
    row.refresh_from_db()
    assert (row.status, row.reason) == ("withheld", "no_address")


def test_a_higher_programme_takes_the_place_of_what_waits(relationship):
    relationship.priority = 5
    relationship.save()
    [customer] = people_of(TURN)
    make_rule(make_touchpoint("delivery"), slug="after", delay_s=2 * 86_400)
    make_event(customer, time=at(TURN - timedelta(days=1)))
    invite_pending(at(TURN - timedelta(days=1)))
    drain(lambda: at(TURN))
    assert decisions() == [("cancelled", "superseded"), ("scheduled", "")]


def test_events_of_no_ticket_are_not_taken_for_a_calendars(relationship):
    make_event()
    invite_pending(at(TURN))
    assert not Invitation.objects.exists()


# --- At work ---


def test_a_pass_goes_on_where_it_was(relationship):
    people_of(TURN, 5)
    begin_passes(at(TURN))
    assert ask_page(at(TURN), 2).looked_at == 2
    held = CalendarPass.objects.get()
    assert (held.until, held.through) == (TURN, TURN - timedelta(days=1))
    # It is finished as the pass of its day, also past midnight.
    assert drain(lambda: at(TURN + timedelta(days=1))) == 3
    assert Invitation.objects.count() == 5
    held.refresh_from_db()
    assert (held.until, held.cursor, held.through) == (None, 0, TURN + timedelta(days=1))


def test_a_page_on_which_too_many_have_their_turn_is_gone_through_in_parts(relationship):
    people_of(TURN, 5)
    begin_passes(at(TURN))
    assert [ask_page(at(TURN), PAGE, 2).decided for _part in range(3)] == [2, 2, 1]
    assert ask_page(at(TURN), PAGE, 2) is None


def test_where_nothing_is_due_a_tick_costs_little_however_many_there_are(relationship, django_assert_num_queries):
    make_rule(make_touchpoint(), event_type="", calendar="year", slug="yearly")
    people_of(TURN, 20)
    drain(lambda: at(TURN))
    with django_assert_num_queries(7):  # a transaction's two statements among them
        drain(lambda: at(TURN, 12))


@pytest.mark.django_db(transaction=True)
def test_two_workers_ask_each_customer_once():
    make_organisation()
    make_rule(make_touchpoint("relationship"), slug="relationship", event_type="", calendar="quarter")
    make_rule(make_touchpoint("pulse"), slug="pulse", event_type="", calendar="month")
    people_of(TURN, 30)
    CalendarPass.objects.bulk_create(
        CalendarPass(rule=rule, through=FIRST - timedelta(days=1)) for rule in InvitationRule.objects.all()
    )

    def work(_index: int) -> int:
        begin_passes(at(TURN))
        done = 0
        while (asked := ask_page(at(TURN), 7, 3)) is not None:
            done += asked.decided
        return done

    total = sum(together(2, work))
    assert ask_page(at(TURN)) is None
    assert total == Invitation.objects.count() >= 30
    assert max(Counter(Invitation.objects.values_list("rule_id", "customer_id")).values()) == 1


# --- The programme file ---

PROGRAMME = """
touchpoints:
  - {slug: relationship, channel: website, instrument: nps}
  - {slug: delivery, channel: website, instrument: nps}
rules:
  - {slug: after, event_type: order.delivered, touchpoint: delivery}
  - {slug: relationship, calendar: quarter, touchpoint: relationship, when: customer.segment == "gold", at: "09:30"}
"""


@pytest.mark.django_db
def test_a_calendar_travels_in_the_file():
    make_organisation()
    import_programme(PROGRAMME)
    rule = InvitationRule.objects.get(slug="relationship")
    assert (rule.calendar, rule.event_type, rule.hour) == ("quarter", "", time(9, 30))
    written = export_programme()
    assert import_programme(written).is_empty
    assert export_programme() == written
    import_programme("rules: [{slug: relationship, calendar: half_year, at: null}]")
    rule.refresh_from_db()
    assert (rule.calendar, rule.hour) == ("half_year", time(10))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("slug: relationship, event_type: order.paid", "A rule has an event type or a calendar, not both."),
        _slow("slug: relationship, calendar: null", "A rule has an event type or a calendar, and here is neither."),
        _slow("slug: new, touchpoint: delivery", "A new rule needs “event_type”, or “calendar”."),
        _slow("slug: relationship, calendar: weekly", "“weekly” is not known here"),
        _slow("slug: relationship, delay: 2h", "its delay is 0s"),
        (
            "slug: relationship, when: facts.wait > 3",
            "“facts” is not known to a rule on a calendar, which has no event",
        ),
        _slow("slug: relationship, when: event.type == 'x'", "“event” is not known to a rule on a calendar"),
        ("slug: relationship, touchpoint: delivery", "The rule “after” of the other kind asks at the same touchpoint"),
        ("slug: new, event_type: x, touchpoint: relationship", "The rule “relationship” of the other kind"),
    ],
)
def test_a_calendar_that_cannot_be_is_told_with_its_line(rule, said):
    make_organisation()
    import_programme(PROGRAMME)
    with pytest.raises(ProgrammeError) as caught:
        import_programme(f"rules:\n  - {{{rule}}}")
    [fault] = caught.value.faults
    assert fault.line == 2
    assert said in fault.message


@pytest.mark.django_db
def test_kinds_may_change_places_in_one_file_and_stay_once_they_have_decided():
    make_organisation()
    import_programme(PROGRAMME)
    import_programme("rules: [{slug: after, touchpoint: relationship}, {slug: relationship, touchpoint: delivery}]")
    people_of(TURN, segment="gold")
    drain(lambda: at(TURN))
    with pytest.raises(ProgrammeError, match="stays with events or with a calendar"):
        import_programme("rules: [{slug: relationship, event_type: order.paid, calendar: null}]")
