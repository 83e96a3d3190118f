"""Reminders: when the rule says so, at most two, to whoever has not answered, said no, or run out of time; each sent once."""

import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from surveys.flow.deliver import BACK_OFF, DOUBT, LEASE, deliver_due
from surveys.flow.erase import erase_customer, export_customer
from surveys.flow.expire import expire_due
from surveys.flow.invite import invite_pending
from surveys.flow.remind import drain, remind_due
from surveys.flow.respond import Given, Submission, record_response
from surveys.flow.unsubscribe import unsubscribe
from surveys.models import Customer, DeliveryAttempt, Invitation, Organisation, Reminder, Suppression
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
THREE_DAYS, WEEK = 3 * 86_400, 7 * 86_400


@pytest.fixture(autouse=True)
def organisation():
    return make_organisation()


@pytest.fixture
def smtp(settings, smtp_sink):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    settings.BASE_URL = "https://cx.example.org"
    settings.DEFAULT_FROM_EMAIL = "Harbour Tea <survey@cx.example.org>"
    return smtp_sink


def send_one(**rule) -> Invitation:
    """An invitation that went out now, by a rule that reminds after three days."""
    make_rule(**{"reminders_s": [THREE_DAYS], **rule})
    make_event()
    invite_pending(NOW)
    assert deliver_due(NOW) == (1, 1)
    return Invitation.objects.get()


def make_reminder(customer=None, **fields) -> Reminder:
    """One of an invitation that was sent three days ago; due now."""
    link = make_invitation(None, customer, attempted_at=NOW - 3 * DAY, sent_at=NOW - 3 * DAY, expires_at=NOW + 11 * DAY)
    return Reminder.objects.create(invitation=link, **{"number": 1, "send_at": NOW, **fields})


def answer(invitation: Invitation, now: datetime, touchpoint=None) -> None:
    touchpoint = touchpoint or invitation.touchpoint
    version = touchpoint.instrument.current_version()
    score = version.wordings.get(question__key="score").question
    link = invitation if touchpoint == invitation.touchpoint else None
    submission = Submission(
        uuid.uuid4(),
        touchpoint,
        version,
        "email",
        [Given(score, score=9)],
        customer=invitation.customer,
        invitation=link,
    )
    assert record_response(submission, now).created


def state(reminder: Reminder | None = None) -> tuple[str, str]:
    row = Reminder.objects.get(pk=reminder.pk) if reminder else Reminder.objects.get()
    return row.status, row.reason


def test_a_rule_that_says_nothing_of_reminders_reminds_nobody(smtp):
    send_one(reminders_s=[])
    assert not Reminder.objects.exists()
    assert remind_due(NOW + 30 * DAY) == (0, 0)


def test_whoever_has_not_answered_is_reminded_once_with_the_same_link(smtp):
    invitation = send_one()
    assert remind_due(NOW + 3 * DAY - timedelta(seconds=1)) == (0, 0)
    assert remind_due(NOW + 3 * DAY) == (1, 1)
    assert remind_due(NOW + 3 * DAY) == (0, 0)
    (_to, first), (to, mail) = smtp.messages
    assert to == invitation.customer.email
    assert mail["Message-ID"] == f"<{invitation.token}.1@cx.example.org>"
    assert mail["In-Reply-To"] == mail["References"] == first["Message-ID"] == f"<{invitation.token}@cx.example.org>"
    assert f"https://cx.example.org/s/{invitation.token}/" in mail.get_body(("plain",)).get_content()
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    before = (invitation.status, invitation.sent_at, invitation.expires_at, invitation.attempted_at)
    invitation.refresh_from_db()
    assert (invitation.status, invitation.sent_at, invitation.expires_at, invitation.attempted_at) == before
    assert state() == ("sent", "")
    attempts = DeliveryAttempt.objects.order_by("id").values_list("reminder", "result", "message_id")
    assert list(attempts) == [(0, "sent", first["Message-ID"]), (1, "sent", mail["Message-ID"])]


def test_two_reminders_each_have_their_time_and_a_third_is_never_sent(smtp):
    send_one(reminders_s=[THREE_DAYS, WEEK, 10 * 86_400])
    for day in range(14):
        drain(lambda day=day: NOW + day * DAY)
    assert list(Reminder.objects.order_by("number").values_list("sent_at", flat=True)) == [NOW + 3 * DAY, NOW + 7 * DAY]
    assert len({mail["Message-ID"] for _to, mail in smtp.messages}) == len(smtp.messages) == 3


def test_a_reminder_that_would_come_after_the_links_end_is_not_planned(smtp):
    send_one(expires_s=5 * 86_400, reminders_s=[THREE_DAYS, 5 * 86_400])
    assert [row.number for row in Reminder.objects.all()] == [1]


def test_an_answer_that_came_before_the_servers_ok_needs_no_reminder(smtp):
    make_rule(reminders_s=[THREE_DAYS])
    make_event()
    invite_pending(NOW)
    link = Invitation.objects.get()
    deliver_due(NOW, over=lambda: answer(link, NOW) or False)
    assert not Reminder.objects.exists()


def answered(reminder):
    answer(reminder.invitation, NOW - HOUR)


def answered_elsewhere(reminder):
    answer(reminder.invitation, NOW - HOUR, make_touchpoint())


def opted_out(reminder):
    unsubscribe(reminder.invitation, NOW - HOUR)


def opted_out_and_moved(reminder):
    unsubscribe(reminder.invitation, NOW - HOUR)
    Customer.objects.update(email="another@example.com")


def suppressed(reason):
    def suppress(reminder):
        from surveys.flow.addresses import address_hash

        Suppression.objects.create(
            address_hash=address_hash(reminder.invitation.customer.email), reason=reason, created_at=NOW
        )

    suppress.__name__ = reason
    return suppress


def ran_out(reminder):
    Invitation.objects.update(expires_at=NOW)


def ran_out_and_marked(reminder):
    ran_out(reminder)
    assert expire_due(NOW) == 1


def erased(reminder):
    erase_customer(reminder.invitation.customer.external_id, NOW)


def lost_address(reminder):
    Customer.objects.update(email="")


def switched_off(reminder):
    reminder.invitation.touchpoint.active = False
    reminder.invitation.touchpoint.save()


@pytest.mark.parametrize(
    ("happened", "reason"),
    [
        (answered, "answered"),
        (answered_elsewhere, "answered"),
        (opted_out, "unsubscribed"),
        (opted_out_and_moved, "unsubscribed"),
        (suppressed("bounced"), "bounced"),
        (suppressed("complained"), "unsubscribed"),
        (ran_out, "expired"),
        (ran_out_and_marked, "expired"),
        (erased, "erased"),
        (lost_address, "no_address"),
        (switched_off, "inactive"),
    ],
)
def test_nobody_is_reminded_after(smtp, happened, reason):
    reminder = make_reminder()
    happened(reminder)
    remind_due(NOW)
    assert state() == ("cancelled", reason)
    assert smtp.messages == []


def test_an_answer_from_before_the_invitation_says_nothing_about_it(smtp):
    reminder = make_reminder()
    answer(reminder.invitation, NOW - 4 * DAY, make_touchpoint())
    assert remind_due(NOW) == (1, 1)


def test_quiet_hours_postpone_a_reminder(smtp):
    make_organisation(quiet_hours={"email": "09:00-12:00"})
    reminder = make_reminder()
    assert remind_due(NOW) == (1, 0)
    reminder.refresh_from_db()
    assert (reminder.status, reminder.send_at, reminder.attempts) == ("scheduled", NOW + 2 * HOUR, 0)
    assert remind_due(NOW + 2 * HOUR) == (1, 1)


def test_the_floor_postpones_a_reminder_and_the_links_end_drops_it(smtp):
    reminder, dying = make_reminder(), make_reminder()
    Invitation.objects.filter(pk=dying.invitation_id).update(expires_at=NOW + 20 * HOUR)
    for row in (reminder, dying):
        make_invitation(customer=row.invitation.customer, attempted_at=NOW - 2 * HOUR)
    assert remind_due(NOW) == (2, 0)
    reminder.refresh_from_db()
    assert (reminder.status, reminder.send_at) == ("scheduled", NOW + 22 * HOUR)
    assert state(dying) == ("cancelled", "expired")


def test_a_reminder_counts_for_the_floor_and_for_no_resting(smtp):
    Organisation.objects.update(resting_any_s=2 * 86_400)
    reminder = make_reminder()
    assert remind_due(NOW) == (1, 1)
    make_rule(slug="r")
    for hours in (23, 24):
        make_event(reminder.invitation.customer, time=NOW + hours * HOUR)
        invite_pending(NOW + hours * HOUR)
    rows = Invitation.objects.filter(rule__slug="r").order_by("id").values_list("status", "reason")
    assert list(rows) == [("withheld", "floor_24h"), ("scheduled", "")]


def test_customers_who_share_an_address_share_the_floor_of_its_reminders(smtp):
    for _person in range(2):
        make_reminder(make_customer(email="home@example.com"))
    assert remind_due(NOW) == (2, 1)
    assert remind_due(NOW + DAY) == (1, 1)


def test_a_temporary_failure_is_tried_again_with_the_same_message_id(smtp):
    reminder = make_reminder()
    smtp.refuse_all = "451 4.7.1 try later"
    assert remind_due(NOW) == (1, 0)
    assert remind_due(NOW + BACK_OFF[0] - timedelta(seconds=1)) == (0, 0)
    smtp.refuse_all = ""
    assert remind_due(NOW + BACK_OFF[0]) == (1, 1)
    assert [row.result for row in DeliveryAttempt.objects.order_by("id")] == ["temporary", "sent"]
    assert smtp.messages[0][1]["Message-ID"] == f"<{reminder.invitation.token}.1@cx.example.org>"


def test_the_second_waits_while_the_first_is_tried_again(smtp):
    reminder = make_reminder()
    make_second = Reminder.objects.create(invitation=reminder.invitation, number=2, send_at=NOW)
    smtp.refuse_all = "451 4.7.1 try later"
    remind_due(NOW)
    smtp.refuse_all = ""
    assert drain(lambda: NOW + BACK_OFF[0], limit=1) == 1
    make_second.refresh_from_db()
    assert make_second.status == "scheduled"
    assert make_second.send_at == NOW + BACK_OFF[0] + DAY


def test_a_permanent_failure_ends_it_and_suppresses_the_address(smtp):
    reminder = make_reminder()
    smtp.refuse[reminder.invitation.customer.email] = "550 5.1.1 no such user"
    assert remind_due(NOW) == (1, 0)
    assert state() == ("failed", "bounced")
    assert Suppression.objects.get().reason == "bounced"
    reminder.invitation.refresh_from_db()
    assert reminder.invitation.status == "sent"  # its link still works


def test_a_worker_that_died_leaves_a_lease_that_runs_out(smtp):
    reminder = make_reminder(lease_until=NOW + LEASE, attempted_at=NOW, attempts=1)
    Invitation.objects.update(reminded_at=NOW)
    assert remind_due(NOW + LEASE - timedelta(seconds=1)) == (0, 0)
    assert remind_due(NOW + LEASE) == (1, 1)
    assert smtp.messages[0][1]["Message-ID"] == f"<{reminder.invitation.token}.1@cx.example.org>"


def test_a_failure_in_the_middle_keeps_the_lease_of_the_one_that_may_have_gone_out_alone(smtp, monkeypatch):
    for _number in range(3):
        make_reminder()

    def cut_off(*_arguments):
        raise RuntimeError("such as a database that has gone away")

    monkeypatch.setattr("surveys.flow.remind._settle", cut_off)
    with pytest.raises(RuntimeError):
        remind_due(NOW)
    monkeypatch.undo()
    assert len(smtp.messages) == 1
    assert Reminder.objects.filter(lease_until=NOW + LEASE).count() == 1
    assert drain(lambda: NOW) == 2


def test_an_erased_customers_reminders_end_and_what_is_held_tells_of_them(smtp):
    reminder = make_reminder()
    name = reminder.invitation.customer.external_id
    assert export_customer(name)["invitations"][0]["reminders"] == [
        {"number": 1, "status": "scheduled", "reason": "", "send_at": NOW, "sent_at": None}
    ]
    erase_customer(name, NOW)
    assert state() == ("cancelled", "erased")


def test_a_customer_who_is_erased_while_a_reminder_is_on_its_way_leaves_nothing(settings):
    settings.EMAIL_BACKEND = "surveys.mailbox.MailboxBackend"
    from surveys.models import SentMessage

    reminder = make_reminder()
    name = reminder.invitation.customer.external_id
    assert remind_due(NOW, over=lambda: bool(erase_once(name)))[0] == 1
    assert not SentMessage.objects.exists()


def erase_once(name: str) -> None:
    if Customer.objects.filter(external_id=name).exists():
        erase_customer(name, NOW)


def test_hours_are_the_customers(smtp):
    make_organisation(quiet_hours={"email": "20:00-09:00"})
    reminder = make_reminder(make_customer(time_zone="America/New_York"))  # where it is Thursday, 21:00
    remind_due(NOW)
    reminder.refresh_from_db()
    assert reminder.send_at == datetime(2026, 11, 20, 14, 0, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
def test_workers_that_remind_at_once_send_each_reminder_once(smtp):
    for _number in range(24):
        make_reminder()
    together(4, lambda _index: [remind_due(NOW, limit=5) for _batch in range(4)])
    drain(lambda: NOW)
    assert len({mail["Message-ID"] for _to, mail in smtp.messages}) == len(smtp.messages) == 24
    assert set(Reminder.objects.values_list("status", flat=True)) == {"sent"}


@pytest.mark.django_db(transaction=True)
def test_a_reminder_and_an_invitation_at_once_are_one_message(smtp):
    customers = [make_customer() for _number in range(16)]
    for customer in customers:
        reminder = make_reminder(customer)
        make_invitation(
            reminder.invitation.touchpoint, customer, rule=make_rule(exempt_resting="…"), status="scheduled",
            attempted_at=None, sent_at=None, expires_at=None, send_at=NOW,
        )  # fmt: skip

    def work(index):
        for _batch in range(6):
            deliver_due(NOW, limit=4) if index % 2 else remind_due(NOW, limit=4)

    together(4, work)
    deliver_due(NOW)
    remind_due(NOW)
    assert len({to for to, _mail in smtp.messages}) == len(smtp.messages) == 16
    assert Reminder.objects.filter(status="sent").count() + Invitation.objects.filter(sent_at=NOW).count() == 16


@pytest.mark.django_db(transaction=True)
def test_a_reminder_whose_link_somebody_holds_is_left_for_the_next_time(smtp):
    """Such as an answer that is being recorded: a drain neither waits for it nor turns in circles."""
    held, free = make_reminder(), make_reminder()

    def hold(index):
        if index:
            gate.wait(10)
            return drain(lambda: NOW, limit=1), drain(lambda: NOW, limit=2), done.set()
        with transaction.atomic():
            Invitation.objects.select_for_update().get(pk=held.invitation_id)
            gate.set()
            assert done.wait(20)
            return None

    gate, done = threading.Event(), threading.Event()
    _holder, (alone, both, _none) = together(2, hold)
    assert alone + both == 1
    assert (state(held)[0], state(free)[0]) == ("scheduled", "sent")
    assert drain(lambda: NOW) == 1


def test_a_reminder_that_may_have_arrived_twice_is_not_sent_again_and_its_link_stays_open(smtp):
    reminder = make_reminder()
    smtp.drops = True
    assert remind_due(NOW) == (1, 0)
    assert remind_due(NOW + DOUBT - timedelta(seconds=1)) == (0, 0)
    assert remind_due(NOW + DOUBT) == (1, 0)
    assert remind_due(NOW + DAY) == (0, 0)
    assert state(reminder) == ("failed", "undeliverable")
    assert len({mail["Message-ID"] for _to, mail in smtp.messages}) == 1
    assert len(smtp.messages) == 2
    assert Invitation.objects.get().status == "sent"
