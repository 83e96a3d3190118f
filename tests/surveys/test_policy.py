"""Who gives way to whom, how many a day, at what hour: rules over events, decided at arrival and again at the moment of sending."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surveys.flow.deliver import BACK_OFF, deliver_due, drain
from surveys.flow.floor import KEPT, forget_addresses
from surveys.flow.invite import invite_customer, invite_pending
from surveys.models import Invitation, WrittenAddress
from tests.concurrency import together
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def organisation():
    return make_organisation()


@pytest.fixture
def smtp(settings, smtp_sink):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    return smtp_sink


def decisions():
    """(rule, status, reason) of every row, in the order in which they were made."""
    return [(row.rule.slug, row.status, row.reason) for row in Invitation.objects.select_related("rule").order_by("id")]


def of(rule):
    return Invitation.objects.filter(rule=rule).latest("id")


def make_due(customer=None, rule=None, **fields):
    waits = {"status": "scheduled", "attempted_at": None, "sent_at": None, "expires_at": None, "send_at": NOW}
    return make_invitation(rule.touchpoint if rule else None, customer, **{**waits, "rule": rule, **fields})


# --- Priorities -------------------------------------------------------------------------------------------------------


def test_of_several_rules_that_match_at_once_the_highest_is_scheduled():
    make_rule(slug="frequent")
    make_rule(slug="rare", priority=10, delay_s=3600)
    make_event()
    invite_pending(NOW)
    assert decisions() == [("rare", "scheduled", ""), ("frequent", "withheld", "resting_any")]
    until = NOW + HOUR + 30 * DAY
    assert Invitation.objects.get(status="withheld").detail == f"until {until.isoformat()}"


def test_at_the_same_touchpoint_it_is_the_resting_of_that_touchpoint_that_is_told():
    touchpoint = make_touchpoint()
    make_rule(touchpoint, slug="high", priority=1)
    make_rule(touchpoint, slug="low")
    make_event()
    invite_pending(NOW)
    assert decisions()[1] == ("low", "withheld", "resting_same")


def test_a_lower_one_that_waits_gives_way_to_a_higher_one_that_comes_later(mailoutbox):
    customer = make_customer()
    low = make_rule(slug="low", event_type="order.placed", delay_s=7200)
    make_rule(slug="high", priority=5, event_type="order.delivered", delay_s=86_400)
    make_event(customer, type="order.placed")
    invite_pending(NOW)
    make_event(customer, type="order.delivered", time=NOW + HOUR)
    invite_pending(NOW + HOUR)
    assert decisions() == [("low", "cancelled", "superseded"), ("high", "scheduled", "")]
    assert of(low).detail == "by high"
    drain(lambda: NOW + 2 * DAY)
    assert (len(mailoutbox), decisions()[1][1]) == (1, "sent")


def test_a_lower_one_does_not_push_in_before_a_higher_one_that_waits():
    customer = make_customer()
    make_rule(slug="high", priority=5, event_type="order.delivered", delay_s=86_400)
    make_rule(slug="low", event_type="order.placed")
    make_event(customer)
    invite_pending(NOW)
    make_event(customer, type="order.placed")
    invite_pending(NOW)
    assert decisions() == [("high", "scheduled", ""), ("low", "withheld", "resting_any")]


def test_rules_that_do_not_disturb_each_other_both_go_out_whatever_their_priority():
    make_rule(slug="high", priority=5)
    make_rule(slug="low", resting_any_s=0, delay_s=25 * 3600)
    make_event()
    invite_pending(NOW)
    assert [status for _rule, status, _reason in decisions()] == ["scheduled", "scheduled"]


def test_of_equals_the_one_that_is_due_first_goes_out_and_the_other_rests(mailoutbox):
    make_rule(slug="a", delay_s=3600)
    make_rule(slug="b")
    make_event()
    invite_pending(NOW)
    assert [status for _rule, status, _reason in decisions()] == ["scheduled", "scheduled"]
    drain(lambda: NOW + DAY)
    assert sorted(decisions()) == [("a", "withheld", "resting_any"), ("b", "sent", "")]


def test_a_higher_one_that_is_refused_leaves_the_lower_one_alone(mailoutbox):
    customer = make_customer()
    make_rule(slug="low", event_type="order.placed", delay_s=3600)
    make_rule(slug="high", priority=5, when="facts.vip")
    make_event(customer, type="order.placed")
    make_event(customer)
    invite_pending(NOW)
    assert decisions() == [("low", "scheduled", ""), ("high", "withheld", "ineligible")]
    drain(lambda: NOW + DAY)
    assert decisions()[0] == ("low", "sent", "")


def test_two_that_never_saw_each_other_are_told_apart_when_one_is_due(mailoutbox):
    """Decided on by two workers at the same moment: neither saw the other's row."""
    customer = make_customer()
    low, high = make_rule(slug="low"), make_rule(slug="high", priority=1)
    make_due(customer, low)
    make_due(customer, high, send_at=NOW + 2 * DAY)
    assert deliver_due(NOW) == (1, 0)
    assert (of(low).status, of(low).reason, of(low).detail) == ("cancelled", "superseded", "by high")
    drain(lambda: NOW + 2 * DAY)
    assert (of(high).status, len(mailoutbox)) == ("sent", 1)


def test_a_direct_invitation_does_not_push_in_before_a_rule_of_a_priority():
    customer = make_customer()
    high = make_rule(priority=1)
    make_due(customer, high, send_at=NOW + DAY)
    row = invite_customer(customer, make_touchpoint(), high.touchpoint.instrument, NOW)
    assert (row.status, row.reason) == ("withheld", "resting_any")


# --- A newer event ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [1, 2])
def test_a_newer_event_of_the_same_rule_takes_the_place_of_an_older_one_that_waits(batches):
    customer = make_customer()
    make_rule(slug="after", delay_s=7200)
    make_event(customer, event_id="older")
    if batches == 2:
        invite_pending(NOW)
    make_event(customer, event_id="newer", time=NOW + HOUR)
    invite_pending(NOW + HOUR)
    rows = Invitation.objects.order_by("id").values_list("event__event_id", "status", "reason", "detail")
    assert list(rows) == [("older", "cancelled", "superseded", "by after"), ("newer", "scheduled", "", "")]
    assert Invitation.objects.get(status="scheduled").send_at == NOW + 3 * HOUR


@pytest.mark.parametrize("batches", [1, 2])
def test_an_older_event_that_arrives_late_does_not_take_the_place_of_the_newer_one(batches):
    customer = make_customer()
    make_rule(delay_s=7200)
    make_event(customer, event_id="newer")
    if batches == 2:
        invite_pending(NOW)
    make_event(customer, event_id="older", time=NOW - HOUR)
    invite_pending(NOW)
    rows = Invitation.objects.order_by("id").values_list("event__event_id", "status", "reason")
    assert list(rows) == [("newer", "scheduled", ""), ("older", "withheld", "superseded")]


def test_what_may_have_gone_out_is_not_taken_back():
    customer = make_customer()
    rule = make_rule()
    tried = make_due(customer, rule, attempted_at=NOW, attempts=1, event=make_event(customer, time=NOW, decided=True))
    make_event(customer, time=NOW + HOUR)
    invite_pending(NOW + HOUR)
    tried.refresh_from_db()
    assert (tried.status, of(rule).status, of(rule).reason) == ("scheduled", "withheld", "resting_same")


def test_a_newer_event_that_is_refused_takes_nobodys_place():
    customer = make_customer()
    make_rule(delay_s=7200, when="not facts.gift")
    make_event(customer)
    make_event(customer, time=NOW + HOUR, facts={"gift": True})
    invite_pending(NOW + HOUR)
    assert [row[1:] for row in decisions()] == [("scheduled", ""), ("withheld", "ineligible")]


# --- The floor, and who is exempt -------------------------------------------------------------------------------------


def test_two_customers_who_share_an_address_share_its_floor(mailoutbox):
    first, second = (make_customer(email=email) for email in ("home@example.com", "Home@example.com"))
    make_due(first)
    make_due(second)
    assert deliver_due(NOW) == (2, 1)
    assert Invitation.objects.get(status="withheld").reason == "floor_24h"
    make_rule(slug="r")
    make_event(second, event_id="e-later", time=NOW + DAY - HOUR)
    invite_pending(NOW + DAY - HOUR)
    assert (decisions_of_rules()[-1]) == ("r", "withheld", "floor_24h")
    make_event(second, event_id="e-after", time=NOW + DAY)
    invite_pending(NOW + DAY)
    assert decisions_of_rules()[-1] == ("r", "scheduled", "")


def decisions_of_rules():
    rows = Invitation.objects.filter(rule__isnull=False).select_related("rule").order_by("id")
    return [(row.rule.slug, row.status, row.reason) for row in rows]


def test_a_rule_may_be_exempt_from_resting_and_keeps_the_floor():
    customer = make_customer()
    rule = make_rule(exempt_resting="Safety recall: everyone must be asked.")
    make_invitation(rule.touchpoint, customer, attempted_at=NOW - DAY + HOUR)
    make_event(customer)
    invite_pending(NOW)
    assert (of(rule).status, of(rule).reason) == ("withheld", "floor_24h")
    make_event(customer)
    invite_pending(NOW + HOUR)
    assert of(rule).status == "scheduled"


def test_a_rule_may_be_exempt_from_the_floor_and_rests():
    customer = make_customer()
    rule = make_rule(exempt_floor="The call is over now or never.", resting_any_s=3600)
    make_invitation(customer=customer, attempted_at=NOW - 2 * HOUR)
    make_event(customer)
    invite_pending(NOW)
    assert of(rule).status == "scheduled"
    Invitation.objects.exclude(rule=rule).update(attempted_at=NOW - HOUR + timedelta(seconds=1))
    make_event(customer)
    invite_pending(NOW)
    assert (of(rule).status, of(rule).reason) == ("withheld", "resting_any")


def test_a_message_of_an_exempt_rule_counts_for_all_others(mailoutbox):
    customer = make_customer()
    make_due(customer, make_rule(exempt_resting="…", exempt_floor="…"))
    assert deliver_due(NOW)[1] == 1
    plain = make_rule(event_type="order.placed")
    make_event(customer, type="order.placed")
    invite_pending(NOW + HOUR)
    assert (of(plain).status, of(plain).reason) == ("withheld", "resting_any")


def test_a_message_that_was_given_back_counts_for_no_floor(smtp):
    for _number in range(2):
        make_due()
    assert deliver_due(NOW, over=lambda: len(smtp.messages) == 1) == (2, 1)
    assert WrittenAddress.objects.count() == 1
    assert deliver_due(NOW) == (1, 1)
    assert WrittenAddress.objects.count() == 2


def test_what_is_tried_again_waits_for_the_floor_of_what_went_out_meanwhile(smtp):
    """Its turn was granted once, so it is postponed and not refused."""
    customer = make_customer()
    smtp.refuse_all = "451 4.7.1 try later"
    first = make_due(customer)
    for number in range(5):
        deliver_due(NOW + sum(BACK_OFF[:number], timedelta()))
    first.refresh_from_db()
    again = first.send_at
    assert again > NOW + DAY - HOUR * 16
    smtp.refuse_all = ""
    exempt = make_due(customer, make_rule(exempt_resting="…", exempt_floor="…"), send_at=again - HOUR)
    assert deliver_due(again - HOUR)[1] == 1
    assert deliver_due(again) == (1, 0)
    first.refresh_from_db()
    assert (first.status, first.send_at) == ("scheduled", again - HOUR + DAY)
    assert deliver_due(first.send_at) == (1, 1)
    assert len(smtp.messages) == 2
    exempt.refresh_from_db()
    assert exempt.status == "sent"


def test_addresses_are_forgotten_when_no_floor_asks_for_them(mailoutbox):
    make_due()
    deliver_due(NOW)
    assert forget_addresses(NOW + KEPT) == 0
    assert forget_addresses(NOW + KEPT + timedelta(seconds=1)) == 1


# --- Quotas -----------------------------------------------------------------------------------------------------------


def test_a_quota_is_full_after_so_many_and_begins_anew_with_the_organisations_day():
    make_rule(quota=2)
    evening = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)  # 23:30 in Shanghai
    for _number in range(3):
        make_event(time=evening)
    invite_pending(evening)
    assert [row[1:] for row in decisions()] == [("scheduled", ""), ("scheduled", ""), ("withheld", "quota_full")]
    make_event(time=evening)
    invite_pending(evening + timedelta(minutes=29))
    assert decisions()[-1][1:] == ("withheld", "quota_full")
    make_event(time=evening)
    invite_pending(evening + timedelta(minutes=30))
    assert decisions()[-1][1:] == ("scheduled", "")


def test_a_place_is_of_the_day_on_which_it_is_to_be_sent():
    make_rule(quota=1, delay_s=86_400)
    for hours in (0, 12, 0):
        make_event(time=NOW - hours * HOUR)
    invite_pending(NOW)
    assert [row[1:] for row in decisions()] == [("scheduled", ""), ("scheduled", ""), ("withheld", "quota_full")]
    days = Invitation.objects.filter(status="scheduled").order_by("id").values_list("quota_day", flat=True)
    assert [str(day) for day in days] == ["2026-11-21", "2026-11-20"]


def test_what_is_withdrawn_gives_its_place_back():
    rule = make_rule(quota=1, delay_s=3600)
    make_event()
    invite_pending(NOW)
    Invitation.objects.update(status="cancelled", reason="reopened")
    make_event()
    invite_pending(NOW)
    assert of(rule).status == "scheduled"


def test_a_quota_of_nothing_asks_nobody_and_another_rules_is_not_touched():
    make_rule(slug="none", quota=0)
    make_rule(slug="other", event_type="order.placed", quota=1)
    make_event()
    make_event(type="order.placed")
    invite_pending(NOW)
    assert sorted(decisions()) == [("none", "withheld", "quota_full"), ("other", "scheduled", "")]


def test_what_slips_into_another_day_needs_a_place_there(mailoutbox):
    rule = make_rule(quota=1)
    make_event()
    invite_pending(NOW)
    make_due(None, rule, quota_day=(NOW + DAY).date(), send_at=NOW + DAY + HOUR)
    assert deliver_due(NOW + DAY) == (1, 0)  # no worker had run for a day
    rows = Invitation.objects.order_by("id").values_list("status", "reason")
    assert list(rows) == [("withheld", "quota_full"), ("scheduled", "")]


@pytest.mark.django_db(transaction=True)
def test_workers_that_decide_at_once_never_exceed_a_quota():
    make_rule(quota=7)
    for _number in range(40):
        make_event()
    together(4, lambda _index: [invite_pending(NOW, limit=5) for _batch in range(3)])
    while invite_pending(NOW):
        pass
    assert Invitation.objects.filter(status="scheduled").count() == 7
    assert Invitation.objects.filter(status="withheld", reason="quota_full").count() == 33


@pytest.mark.django_db(transaction=True)
def test_workers_that_send_at_once_never_exceed_a_quota(smtp):
    """Of a day on which more is due than was planned, since none was sent the day before."""
    rule = make_rule(quota=7)
    for _number in range(24):
        make_due(None, rule, quota_day=(NOW - DAY).date())
    together(4, lambda _index: [deliver_due(NOW, limit=3) for _batch in range(3)])
    drain(lambda: NOW)
    assert len(smtp.messages) == 7
    assert Invitation.objects.filter(status="withheld", reason="quota_full").count() == 17


# --- Hours ------------------------------------------------------------------------------------------------------------


def test_an_invitation_is_planned_at_its_rules_hour_by_the_customers_clock(mailoutbox):
    rule = make_rule(at_time=time(10), days=["mon", "tue", "wed", "thu", "fri"])
    make_event(make_customer(time_zone="America/New_York"), time=NOW)  # Thursday 21:00 there
    invite_pending(NOW)
    assert of(rule).send_at == datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
    assert deliver_due(of(rule).send_at + timedelta(seconds=3)) == (1, 1)


def test_quiet_hours_hold_for_a_rule_and_for_a_direct_invitation():
    make_organisation(quiet_hours={"email": "09:00-12:00", "sms": "00:00-23:59"})
    rule = make_rule()
    make_event()
    invite_pending(NOW)
    noon = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
    assert of(rule).send_at == noon
    direct = invite_customer(make_customer(), make_touchpoint(), rule.touchpoint.instrument, NOW)
    assert direct.send_at == noon


def test_what_is_due_in_quiet_hours_is_postponed_and_meets_every_gate_again(smtp):
    make_organisation(quiet_hours={"email": "09:00-12:00"})
    customer = make_customer()
    waits = make_due(customer)
    assert deliver_due(NOW) == (1, 0)
    waits.refresh_from_db()
    noon = NOW + 2 * HOUR
    assert (waits.status, waits.send_at, waits.attempted_at, waits.lease_until) == ("scheduled", noon, None, None)
    make_invitation(customer=customer, attempted_at=NOW + HOUR)
    assert deliver_due(noon) == (1, 0)
    waits.refresh_from_db()
    assert (waits.status, waits.reason) == ("withheld", "resting_any")


def test_what_is_refused_for_good_does_not_wait_for_the_morning():
    make_organisation(quiet_hours={"email": "09:00-12:00"})
    waits = make_due(make_customer(email=""))
    deliver_due(NOW)
    waits.refresh_from_db()
    assert (waits.status, waits.reason) == ("withheld", "no_address")


def test_a_second_try_keeps_to_quiet_hours_too(smtp):
    make_organisation(quiet_hours={"email": "10:01-12:00"})
    waits = make_due()
    smtp.refuse_all = "451 4.7.1 try later"
    assert deliver_due(NOW) == (1, 0)
    smtp.refuse_all = ""
    assert deliver_due(NOW + timedelta(minutes=1)) == (1, 0)
    waits.refresh_from_db()
    assert (waits.status, waits.send_at) == ("scheduled", NOW + 2 * HOUR)
    assert deliver_due(NOW + 2 * HOUR) == (1, 1)


def test_what_missed_its_days_waits_for_the_next_one_and_what_missed_its_hour_goes_out_that_day(mailoutbox):
    rule = make_rule(at_time=time(10), days=["fri"])
    late, too_late = make_due(None, rule), make_due(None, rule, send_at=NOW + 7 * DAY)
    assert deliver_due(NOW + 5 * HOUR) == (1, 1)
    assert deliver_due(NOW + 8 * DAY) == (1, 0)
    too_late.refresh_from_db()
    late.refresh_from_db()
    assert (late.status, too_late.status, too_late.send_at) == ("sent", "scheduled", NOW + 14 * DAY)


def test_those_who_sleep_keep_nobody_behind_them_waiting(mailoutbox):
    make_organisation(quiet_hours={"email": "20:00-09:00"})
    for _number in range(4):
        make_due(make_customer(time_zone="America/New_York"))
    awake = make_due(make_customer())
    assert drain(lambda: NOW, limit=2) == 1
    assert [mail.to for mail in mailoutbox] == [[awake.customer.email]]


# --- Two workers ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_workers_two_rules_and_one_address_never_send_two(smtp):
    """20 households of two customers, two rules each: four invitations an address, and four workers."""
    rules = [make_rule(slug="a"), make_rule(slug="b", priority=1)]
    for number in range(20):
        for _person in range(2):
            customer = make_customer(email=f"home-{number}@example.com")
            for rule in rules:
                make_due(customer, rule)
    together(4, lambda _index: [deliver_due(NOW, limit=3) for _batch in range(8)])
    drain(lambda: NOW, limit=20)
    assert len({to for to, _mail in smtp.messages}) == len(smtp.messages) == 20
    assert not Invitation.objects.filter(status="scheduled").exists()
    left = set(Invitation.objects.exclude(status="sent").values_list("status", "reason"))
    assert left <= {("withheld", "resting_any"), ("withheld", "floor_24h"), ("cancelled", "superseded")}


@pytest.mark.django_db(transaction=True)
def test_workers_that_decide_and_send_at_once_send_each_customer_one(smtp):
    for slug, priority in (("a", 0), ("b", 0), ("c", 3)):
        make_rule(slug=slug, priority=priority)
    customers = [make_customer() for _number in range(12)]
    for customer in customers:
        for number in range(3):
            make_event(customer, time=NOW - number * HOUR)

    def work(index):
        for _batch in range(6):
            invite_pending(NOW, limit=4) if index % 2 else deliver_due(NOW, limit=4)

    together(4, work)
    while invite_pending(NOW):
        pass
    drain(lambda: NOW, limit=50)
    assert len({to for to, _mail in smtp.messages}) == len(smtp.messages) == 12
    assert Invitation.objects.count() == 12 * 3 * 3
    assert Invitation.objects.filter(status="sent").count() == 12


# --- Over generated histories -----------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(st.integers(0, 60 * 24), st.sampled_from("abx"), st.integers(0, 2)), min_size=3, max_size=14
)  # minutes since the step before, the rule's event, whose


@given(steps=steps, lag=st.sampled_from([0, 0, 7, 700]))  # minutes that a worker is late
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_nobody_gets_two_within_the_floor_nor_while_resting(steps, lag, mailoutbox):
    with transaction.atomic():
        check_history(steps, timedelta(minutes=lag))
        transaction.set_rollback(True)


def check_history(steps, lag):
    make_organisation(resting_same_s=3 * 86_400, resting_any_s=2 * 86_400, quiet_hours={"email": "20:00-09:00"})
    touchpoints = [make_touchpoint(), make_touchpoint()]
    make_rule(touchpoints[0], slug="a", event_type="a")
    make_rule(touchpoints[1], slug="b", event_type="b", priority=2, delay_s=7200)
    make_rule(touchpoints[1], slug="x", event_type="x", exempt_resting="It must be known.", quota=2)
    people = [make_customer(email=email) for email in ("one@example.com", "two@example.com", "One@example.com")]
    now = NOW
    for minutes, kind, whose in steps:
        now += timedelta(minutes=minutes)
        make_event(people[whose], type=kind, time=now)
        invite_pending(now)
        deliver_due(now)
    for turn in range(60):
        due = Invitation.objects.filter(status="scheduled").order_by("send_at").first()
        if due is None:
            break
        now = max(now, due.send_at) + (
            lag if turn < 2 else timedelta()
        )  # always as late, it would find them asleep each time
        deliver_due(now)
    assert not Invitation.objects.filter(status="scheduled").exists()
    sent = list(Invitation.objects.filter(status="sent").select_related("rule", "customer").order_by("sent_at", "id"))
    for position, later in enumerate(sent):
        assert 9 <= (later.sent_at + 8 * HOUR).hour < 20  # in Shanghai
        for earlier in sent[:position]:
            apart = later.sent_at - earlier.sent_at
            same_address = earlier.customer.email.lower() == later.customer.email.lower()
            if same_address or earlier.customer_id == later.customer_id:
                assert apart >= DAY
            if earlier.customer_id == later.customer_id and later.rule.slug != "x":
                assert apart >= (3 * DAY if earlier.touchpoint_id == later.touchpoint_id else 2 * DAY)
    days = [(row.sent_at + 8 * HOUR).date() for row in sent if row.rule.slug == "x"]
    assert all(days.count(day) <= 2 for day in days)
