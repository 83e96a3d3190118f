"""A rule tried on what has happened: it writes nothing, looks at nothing that came later, and says what the pipeline then does."""

import random
from datetime import time, timedelta

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from surveys.flow.addresses import address_hash
from surveys.flow.deliver import deliver_due
from surveys.flow.dry_run import ABSENT, ASKED, WAITS, Busy, Progress, Result, dry_run
from surveys.flow.invite import drain, invite_pending
from surveys.models import (
    DeliveryAttempt,
    InteractionEvent,
    Invitation,
    InvitationRule,
    Response,
    Suppression,
    WrittenAddress,
)
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.surveys.admin.people import answer, tell

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = NOW - 30 * DAY


@pytest.fixture(autouse=True)
def organisation():
    return make_organisation()


def came(at, customer=None, **fields):
    """An event that came in as it happened, and that no rule waited for."""
    return make_event(customer, time=at, received_at=at, decided=True, **fields)


def tried(rule, chunk=4000, start=START, now=NOW) -> Result:
    *_progress, result = dry_run(rule, start, now, chunk)
    assert isinstance(result, Result)
    return result


def outcomes(rule, **options):
    return dict(tried(rule, **options).outcomes)


def everything():
    return {model._meta.db_table: model._default_manager.count() for model in apps.get_models()}


# --- It only reads ----------------------------------------------------------------------------------------------------


def test_it_writes_nothing_and_sends_nothing(mailoutbox):
    rule = make_rule(active=False)
    for number in range(5):
        came(NOW - (20 - number) * DAY)
    before = everything()
    assert outcomes(rule) == {ASKED: 5}
    assert everything() == before
    assert mailoutbox == []


def test_postgresql_itself_refuses_to_write_meanwhile():
    rule = make_rule()
    came(NOW - DAY)
    running = dry_run(rule, START, NOW)
    assert isinstance(next(running), Progress)
    with pytest.raises(DatabaseError, match="read-only"), transaction.atomic():
        make_customer()
    running.close()
    make_customer()  # afterwards one may


def test_a_rule_that_is_not_saved_can_be_tried_and_stays_unsaved():
    touchpoint = make_touchpoint(active=False)
    rule = InvitationRule(
        slug="new", event_type="order.delivered", touchpoint=touchpoint, modes=["email"], active=False
    )
    customer = make_customer()
    came(NOW - 20 * DAY, customer)
    came(NOW - 10 * DAY, customer)
    result = tried(rule)
    assert dict(result.outcomes) == {ASKED: 1, "resting_same": 1}
    assert (rule.pk, rule.active, touchpoint.active, dict(result.really)) == (None, False, False, {})


@pytest.mark.django_db(transaction=True)
def test_closing_it_ends_its_transaction_and_lets_the_next_one_run():
    make_organisation()
    rule = make_rule()
    came(NOW - DAY)
    running = dry_run(rule, START, NOW)
    next(running)
    assert connection.in_atomic_block
    running.close()
    assert not connection.in_atomic_block
    assert outcomes(rule) == {ASKED: 1}


@pytest.mark.django_db(transaction=True)
def test_no_more_than_two_run_at_once():
    from threading import Event, Thread

    make_organisation()
    rule = make_rule()
    came(NOW - DAY)
    ready, over = [Event(), Event()], Event()

    def hold(number):
        running = dry_run(rule, START, NOW)
        next(running)
        ready[number].set()
        over.wait(20)
        running.close()
        connection.close()

    threads = [Thread(target=hold, args=[number]) for number in (0, 1)]
    for thread, event in zip(threads, ready, strict=True):
        thread.start()
        assert event.wait(20)
    with pytest.raises(Busy):
        next(dry_run(rule, START, NOW))
    over.set()
    for thread in threads:
        thread.join()
    assert outcomes(rule) == {ASKED: 1}


# --- What it says -----------------------------------------------------------------------------------------------------


def test_only_events_of_the_type_that_came_in_the_span_count():
    rule = make_rule()
    came(START - timedelta(seconds=1))
    came(START)
    came(NOW - timedelta(seconds=1))
    came(NOW)
    came(NOW - DAY, type="order.placed")
    result = tried(rule)
    assert (result.events, dict(result.outcomes)) == (2, {ASKED: 2})


def test_days_count_what_came_and_who_of_them_would_have_been_asked(organisation):
    rule = make_rule(delay_s=3 * 86_400)
    customer = make_customer()
    came(NOW - 10 * DAY, customer)
    came(NOW - 10 * DAY)
    came(NOW - 2 * DAY, customer)
    result = tried(rule)
    days = {(organisation.day_of(NOW) - day).days: counts for day, counts in result.days.items()}
    assert days == {10: [2, 2], 2: [1, 0]}


def test_what_is_still_to_be_sent_at_the_end_waits():
    rule = make_rule(delay_s=3 * 86_400)
    came(NOW - 2 * DAY)
    came(NOW - 5 * DAY)
    assert outcomes(rule) == {ASKED: 1, WAITS: 1}


def test_samples_are_the_newest_twenty_of_each_outcome():
    rule = make_rule(when="facts.vip")
    for number in range(25):
        last = came(NOW - DAY + number * timedelta(minutes=1))
    came(NOW - HOUR, facts={"vip": True})
    samples = tried(rule).samples
    assert [sample.event for sample in samples["ineligible"]][-1] == last.pk
    assert (len(samples["ineligible"]), len(samples[ASKED])) == (20, 1)


def test_whoever_rests_may_be_asked_again_when_the_simulated_message_is_long_enough_ago():
    rule = make_rule(resting_same_s=5 * 86_400, resting_any_s=0)
    customer = make_customer()
    for days in (20, 16, 15, 14):
        came(NOW - days * DAY, customer)
    result = tried(rule)
    assert dict(result.outcomes) == {ASKED: 2, "resting_same": 2}
    assert result.samples["resting_same"][0].until == NOW - 15 * DAY


def test_a_newer_event_takes_the_place_of_one_that_waits():
    rule = make_rule(delay_s=86_400)
    customer = make_customer()
    came(NOW - 10 * DAY, customer)
    came(NOW - 10 * DAY + HOUR, customer)
    assert outcomes(rule) == {ASKED: 1, "superseded": 1}


@pytest.mark.parametrize("chunk", [1, 2, 4000])
def test_a_quota_holds_for_each_day_and_places_come_back(chunk):
    rule = make_rule(quota=2, delay_s=3600)
    again = make_customer()
    for minutes in range(5):
        came(NOW - 10 * DAY + timedelta(minutes=minutes))
    came(NOW - 5 * DAY, again)
    came(NOW - 5 * DAY + timedelta(minutes=1), again)  # takes the place of the one before
    came(NOW - 5 * DAY + timedelta(minutes=2))
    assert outcomes(rule, chunk=chunk) == {ASKED: 4, "quota_full": 3, "superseded": 1}


def test_the_place_of_one_that_is_refused_when_it_is_due_is_free_again():
    rule = make_rule(quota=1, delay_s=2 * 3600)
    refused, later = make_customer(), make_customer()
    morning = NOW - 10 * DAY - 4 * HOUR
    came(morning, refused)
    make_invitation(None, refused, attempted_at=morning + HOUR, decided_at=morning + HOUR)
    came(morning + 3 * HOUR, later)
    assert outcomes(rule) == {"resting_any": 1, ASKED: 1}


def test_only_what_had_happened_by_then_counts():
    """No look-ahead: neither a later message nor a later answer of others speaks against an earlier event."""
    rule = make_rule()
    customer = make_customer()
    came(NOW - 20 * DAY, customer)
    make_invitation(rule.touchpoint, customer, attempted_at=NOW - 19 * DAY, decided_at=NOW - 19 * DAY)
    other = make_customer()
    came(NOW - 20 * DAY, other)
    answer(rule.touchpoint, 9, customer=other, now=NOW - 19 * DAY)
    assert outcomes(rule) == {ASKED: 2}
    Invitation.objects.update(attempted_at=NOW - 21 * DAY, decided_at=NOW - 21 * DAY)
    Response.objects.update(responded_at=NOW - 21 * DAY)
    assert outcomes(rule) == {"resting_same": 2}


def test_what_happens_between_the_event_and_its_message_counts():
    rule = make_rule(delay_s=2 * 86_400)
    customer = make_customer()
    came(NOW - 20 * DAY, customer)
    make_invitation(None, customer, attempted_at=NOW - 19 * DAY, decided_at=NOW - 19 * DAY)
    assert outcomes(rule) == {"resting_any": 1}


def test_what_this_rule_really_sent_is_not_held_against_it():
    rule = make_rule()
    customer = make_customer()
    make_invitation(rule.touchpoint, customer, rule=rule, attempted_at=NOW - 21 * DAY, decided_at=NOW - 21 * DAY)
    came(NOW - 20 * DAY, customer)
    assert outcomes(rule) == {ASKED: 1}


def test_of_a_higher_rule_what_waited_then_counts_and_of_an_equal_one_it_does_not():
    rule, high = make_rule(slug="low"), make_rule(slug="high", priority=3)
    equal = make_rule(slug="equal")
    for other in (high, equal):
        customer = make_customer()
        came(NOW - 20 * DAY, customer)
        make_invitation(
            other.touchpoint, customer, rule=other, decided_at=NOW - 21 * DAY, send_at=NOW - 15 * DAY,
            attempted_at=NOW - 15 * DAY,
        )  # fmt: skip
    assert outcomes(rule) == {ASKED: 1, "resting_any": 1}


def test_the_floor_holds_for_an_address_that_two_share():
    rule = make_rule()
    for _number in range(2):
        came(NOW - 20 * DAY + _number * HOUR, make_customer(email="both@example.com"))
    assert outcomes(rule) == {ASKED: 1, "floor_24h": 1}


def test_addresses_and_suppressions_are_those_of_now():
    rule = make_rule()
    came(NOW - 20 * DAY, make_customer(email=""))
    came(NOW - 20 * DAY, make_customer(email="gone@example.com"))
    Suppression.objects.create(address_hash=address_hash("gone@example.com"), reason="bounced", created_at=NOW)
    assert outcomes(rule) == {"no_address": 1, "bounced": 1}


def test_an_event_that_came_too_late_is_told_as_expired():
    rule = make_rule()
    make_event(time=NOW - 20 * DAY, received_at=NOW - 2 * DAY, decided=True)
    assert outcomes(rule) == {"expired": 1}


def test_a_ticket_that_was_reopened_later_did_not_speak_against_asking_before():
    make_touchpoint("help")
    make_customer("C-LI")
    rule = make_rule(event_type="ticket.resolved", active=False)
    slow = make_rule(event_type="ticket.resolved", active=False, delay_s=86_400)
    tell("t-1", "ticket.opened", -120, touchpoint="help", reference="T-1")
    tell("t-2", "ticket.resolved", -60, reference="T-1")
    tell("t-3", "ticket.reopened", -30, reference="T-1")
    for number, minutes in enumerate((120, 60, 30), start=1):
        InteractionEvent.objects.filter(event_id=f"t-{number}").update(received_at=NOW - timedelta(minutes=minutes))
    later = NOW + 2 * DAY
    assert outcomes(rule, now=later) == {ASKED: 1}
    assert outcomes(slow, now=later) == {"reopened": 1}


def test_with_a_rule_that_is_on_it_is_held_against_what_really_happened(mailoutbox):
    rule = make_rule()
    customer = make_customer()
    make_event(customer, time=NOW - 20 * DAY, received_at=NOW - 20 * DAY)
    invite_pending(NOW - 20 * DAY)
    deliver_due(NOW - 20 * DAY)
    make_event(customer, time=NOW - 10 * DAY, received_at=NOW - 10 * DAY)
    invite_pending(NOW - 10 * DAY)
    came(NOW - 5 * DAY)
    rule.resting_same_s = rule.resting_any_s = 5 * 86_400
    assert dict(tried(rule).really) == {(ASKED, ASKED): 1, (ASKED, "resting_same"): 1, (ASKED, ABSENT): 1}


# --- It says what the pipeline does ------------------------------------------------------------------------------------

SEEDS = [pytest.param(seed, marks=[] if seed < 2 else pytest.mark.slow) for seed in range(12)]


def month(rng, organisation):
    """A rule and a month: events, some late or out of order, other rules' messages and answers of others, in the order of time."""
    touchpoint, elsewhere = make_touchpoint(), make_touchpoint()
    rule = make_rule(
        touchpoint,
        active=False,
        when=rng.choice(["", "facts.n < 8"]),
        delay_s=rng.choice([0, 0, 7200, 3 * 86_400]),
        sample_share=rng.choice([1.0, 0.8]),
        resting_same_s=rng.choice([None, 4 * 86_400, 10 * 86_400]),
        resting_any_s=rng.choice([None, 0, 2 * 86_400, 6 * 86_400]),
        quota=rng.choice([None, None, 2]),
        at_time=rng.choice([None, time(10)]),
        days=rng.choice([[], ["mon", "tue", "thu"]]),
        exempt_resting=rng.choice(["", "", "", "pilot"]),
    )
    others = [make_rule(elsewhere, active=False, event_type="x", priority=priority) for priority in (0, 5)]
    organisation.quiet_hours = rng.choice([{}, {"email": "20:00-09:00"}])
    organisation.save()
    people = [
        make_customer(email="" if number == 0 else f"p{number // 2 if number < 4 else number}@example.com")
        for number in range(12)
    ]
    Suppression.objects.create(address_hash=address_hash(people[5].email), reason="unsubscribed", created_at=START)
    moments = iter(sorted(rng.sample(range(30 * 86_400), 75)))
    events, history = [], []
    for _number in range(50):
        at = START + timedelta(seconds=next(moments))
        late = rng.choice([0, 0, 0, 3600, 9 * 86_400])
        made = make_event(
            rng.choice(people), time=at - timedelta(seconds=late), received_at=at, decided=True,
            facts={"n": rng.randrange(10)},
        )  # fmt: skip
        events.append(made)
    rest = list(moments)
    for second in rest + rng.sample(range(30 * 86_400), 10):
        at, customer = START + timedelta(seconds=second, microseconds=7), rng.choice(people)
        if rng.random() < 0.6:
            other = rng.choice(others)
            sent = at + rng.choice([timedelta(), HOUR, 2 * DAY])
            row = make_invitation(
                elsewhere, customer, rule=other, decided_at=at, send_at=sent, attempted_at=sent, sent_at=sent,
                event=make_event(customer, type="x", time=at, received_at=at, decided=True),
            )  # fmt: skip
            DeliveryAttempt.objects.create(invitation=row, mode="email", at=sent, result="sent")
            history.append(row)
        else:
            history.append(answer(rng.choice([touchpoint, elsewhere]), 9, customer=customer, now=at))
    return rule, events, history


def replay(rule, events, history):
    """The real pipeline on the same events in the same order; history comes to be known as the clock goes."""
    told = []
    for row in history:
        if isinstance(row, Invitation):
            told.append(
                (
                    row.decided_at,
                    row,
                    {"status": "scheduled", "attempted_at": None, "sent_at": None, "expires_at": None},
                )
            )
            told.append((row.attempted_at, row, {"status": "sent", "attempted_at": row.attempted_at}))
        else:
            told.append((row.responded_at, row, {"responded_at": row.responded_at}))
    Invitation.objects.filter(rule__isnull=False).exclude(rule=rule).update(
        status="withheld", reason="ineligible", attempted_at=None, send_at=None
    )
    DeliveryAttempt.objects.all().delete()
    Response.objects.update(responded_at=START - 3650 * DAY)
    WrittenAddress.objects.all().delete()
    steps = [(at, 0, number, row, change) for number, (at, row, change) in enumerate(told)]
    steps += [(event.received_at, 1, event.pk, event, {}) for event in events]
    InvitationRule.objects.filter(pk=rule.pk).update(active=True)
    own = Invitation.objects.filter(rule=rule, status="scheduled")
    from django.db.models import Q

    def send(until):
        while (
            due := own.filter(send_at__lt=until).order_by("send_at").values_list("send_at", flat=True).first()
        ) is not None:
            deliver_due(due, limit=1, among=Q(rule=rule))

    for at, kind, _number, row, change in sorted(steps, key=lambda step: step[:3]):
        send(at)
        if kind == 0:
            send_at = {"send_at": row.send_at} if isinstance(row, Invitation) else {}
            type(row)._default_manager.filter(pk=row.pk).update(
                **change, **send_at, **({"reason": ""} if send_at else {})
            )
        else:
            InteractionEvent.objects.filter(pk=row.pk).update(decided=False)
            drain(lambda at=at: at)
    send(NOW)
    found = {}
    for row in Invitation.objects.filter(rule=rule):
        found[row.event_id] = ASKED if row.attempted_at else WAITS if row.status == "scheduled" else row.reason
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_switched_on_the_real_pipeline_decides_the_same(organisation, seed, monkeypatch, mailoutbox):
    """A month, tried while the rule is off; then the rule is on, and the same events come in the same order."""
    rng = random.Random(seed)
    rule, events, history = month(rng, organisation)
    noted = {}
    monkeypatch.setattr("surveys.flow.dry_run.SAMPLES", 10_000)
    result = tried(rule, chunk=rng.choice([7, 4000]))
    for outcome, samples in result.samples.items():
        noted |= {sample.event: outcome for sample in samples}
    assert len(noted) == len(events)
    really = replay(rule, events, history)
    assert noted == really
    assert len(set(noted.values())) >= 3  # a month in which nothing happens says nothing
