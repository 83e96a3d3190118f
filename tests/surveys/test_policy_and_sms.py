"""Policy and texts together: what falls back goes at once but for quiet hours and others' messages; reminders go the invitation's way."""

import threading
from datetime import timedelta

import pytest

from surveys.channels.sms.shape import IncomingText, Report
from surveys.flow.addresses import address_hash
from surveys.flow.converse import take_text
from surveys.flow.deliver import BACK_OFF, deliver_due, drain
from surveys.flow.erase import erase_customer
from surveys.flow.invite import invite_pending
from surveys.flow.receipts import note_receipts, settle_receipts
from surveys.flow.remind import remind_due
from surveys.models import (
    Customer,
    DeliveryAttempt,
    Instrument,
    Invitation,
    Reminder,
    Suppression,
)
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
PHONE = "+8613800000000"
DEAD = (400, {"code": 21211, "message": "Invalid 'To'"}, {})
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
THREE_DAYS = 3 * DAY
THREE_DAYS_S, WEEK_S = 3 * 86_400, 7 * 86_400


@pytest.fixture
def sms(settings, sms):
    settings.DEFAULT_FROM_EMAIL = "Harbour Tea <survey@cx.example.org>"
    make_organisation()
    return sms


def invite(modes=("sms", "email"), customer=None, **rule):
    """One scheduled invitation, through the rules."""
    make_rule(make_touchpoint(instrument=Instrument.objects.get(slug="nps")), modes=list(modes), **rule)
    make_event(customer or make_customer("ana", phone=PHONE))
    invite_pending(NOW)
    return Invitation.objects.get()


def send(modes=("sms", "email"), **rule):
    """One that went out by text, by a rule that reminds after three days."""
    invitation = invite(modes, **{"reminders_s": [THREE_DAYS_S], **rule})
    assert deliver_due(NOW) == (1, 1)
    return invitation


def hear(kind, reference="SM1", now=NOW):
    note_receipts([Report(reference, kind, "30005")], "twilio", now)
    return settle_receipts(now)


def status(invitation):
    invitation.refresh_from_db()
    return invitation.status, invitation.reason, invitation.mode


def reminders():
    return list(Reminder.objects.order_by("number").values_list("number", "status", "reason", "send_at"))


def went_out(server):
    return len(server.texts), len(server.mails)


# --- A text that failed for good ----------------------------------------------------------------------------------------


def test_the_next_mode_serves_at_once_despite_floor_and_resting(sms):
    """Of which its own failed try is none, neither for the customer nor for an address."""
    invitation = invite()
    sms.answer = DEAD
    assert deliver_due(NOW) == (1, 0)
    assert deliver_due(NOW) == (1, 1)
    assert status(invitation) == ("sent", "", "email")
    assert went_out(sms) == (1, 1)


def test_the_next_mode_serves_at_once_also_where_the_receipt_comes_hours_later(sms):
    invitation = send()
    assert hear("failed", now=NOW + 5 * HOUR) == 1
    assert deliver_due(NOW + 5 * HOUR) == (1, 1)
    assert status(invitation) == ("sent", "", "email")
    assert invitation.sent_at == NOW + 5 * HOUR


def test_a_place_of_the_quota_is_taken_once(sms):
    invitation = invite(quota=1)
    sms.answer = DEAD
    deliver_due(NOW)
    assert deliver_due(NOW) == (1, 1)
    make_event()
    invite_pending(NOW)
    assert Invitation.objects.exclude(pk=invitation.pk).get().reason == "quota_full"


@pytest.mark.parametrize("by_receipt", [True, False])
def test_quiet_hours_are_those_of_the_mode_that_serves(sms, by_receipt):
    """NOW is 10:00 in Shanghai: texts may go out, emails not before noon."""
    make_organisation(quiet_hours={"sms": "20:00-08:00", "email": "09:00-12:00"})
    invitation = invite()
    if by_receipt:
        assert deliver_due(NOW) == (1, 1)
        hear("bounced")
    else:
        sms.answer = DEAD
        assert deliver_due(NOW) == (1, 0)
    assert deliver_due(NOW) == (1, 0)
    assert status(invitation)[:2] == ("scheduled", "")
    assert invitation.send_at == NOW + 2 * HOUR
    assert deliver_due(NOW + 2 * HOUR - timedelta(seconds=1)) == (0, 0)
    assert deliver_due(NOW + 2 * HOUR) == (1, 1)
    assert status(invitation) == ("sent", "", "email")
    assert went_out(sms) == (1, 1)


def test_quiet_hours_of_the_mode_that_failed_keep_nobody_waiting(sms):
    invitation = send()
    make_organisation(quiet_hours={"sms": "09:00-12:00"})
    hear("failed")
    assert deliver_due(NOW) == (1, 1)
    assert status(invitation)[2] == "email"


def test_the_floor_of_another_who_has_the_same_email_address_is_kept(sms):
    """It was written to before the text was tried: which asked nobody about it, since it went elsewhere."""
    other = make_customer("bob", email="ana@example.com")
    make_invitation(customer=other, status="scheduled", attempted_at=None, sent_at=None, expires_at=None, send_at=NOW)
    assert deliver_due(NOW) == (1, 1)
    make_rule(make_touchpoint(instrument=Instrument.objects.get(slug="nps")), modes=["sms", "email"])
    make_event(make_customer("ana", phone=PHONE))
    invite_pending(NOW + HOUR)
    sms.answer = DEAD
    assert deliver_due(NOW + HOUR) == (1, 0)
    assert deliver_due(NOW + HOUR) == (1, 0)
    invitation = Invitation.objects.get(customer__external_id="ana")
    assert (invitation.status, invitation.send_at) == ("scheduled", NOW + DAY)
    assert deliver_due(NOW + DAY) == (1, 1)


def test_what_went_out_in_the_next_mode_counts_for_the_floor_of_every_other(sms):
    """From when it went out in the end, on whatever channel the other is to go."""
    invitation = send(reminders_s=[])
    hear("failed", now=NOW + DAY)
    assert deliver_due(NOW + DAY) == (1, 1)
    make_rule(slug="urgent", modes=["sms"], exempt_resting="A fault", event_type="order.lost")
    make_event(invitation.customer, type="order.lost", time=NOW + DAY)
    invite_pending(NOW + DAY + HOUR)
    refused = Invitation.objects.get(rule__slug="urgent")
    assert (refused.status, refused.reason) == ("withheld", "floor_24h")
    assert refused.detail == f"until {(NOW + 2 * DAY).isoformat(timespec='seconds')}"


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_send_one_email_for_each_dead_number(sms):
    make_rule(make_touchpoint(instrument=Instrument.objects.get(slug="nps")), modes=["sms", "email"])
    for number in range(12):
        make_event(make_customer(phone=f"+86138000000{number:02}"))
    invite_pending(NOW)
    sms.answer = DEAD
    together(4, lambda _index: [deliver_due(NOW, limit=5) for _batch in range(6)])
    drain(lambda: NOW)
    assert set(Invitation.objects.values_list("status", "mode")) == {("sent", "email")}
    assert went_out(sms) == (12, 12)


# --- Reminders by text --------------------------------------------------------------------------------------------------


def test_a_reminder_goes_out_in_the_mode_of_its_invitation_in_the_same_words(sms):
    send()
    assert remind_due(NOW + THREE_DAYS) == (1, 1)
    assert went_out(sms) == (2, 0)
    assert sms.texts[0] == sms.texts[1]
    first, second = DeliveryAttempt.objects.order_by("id")
    assert (second.reminder, second.mode, second.reference) == (1, "sms", "SM2")
    assert second.address_hash == first.address_hash != ""
    assert second.message_id == first.message_id.replace("@", ".1@")


def test_a_reminder_of_what_fell_back_goes_by_email_counted_from_there(sms):
    send()
    hear("failed", now=NOW + DAY)
    assert reminders() == []  # of a text that nobody got
    deliver_due(NOW + DAY)
    assert reminders() == [(1, "scheduled", "", NOW + DAY + THREE_DAYS)]
    assert remind_due(NOW + DAY + THREE_DAYS) == (1, 1)
    assert went_out(sms) == (1, 2)


def test_where_no_mode_is_left_nobody_is_reminded(sms):
    invitation = send(["sms"])
    hear("bounced")
    assert status(invitation) == ("failed", "bounced", "sms")
    assert reminders() == [(1, "cancelled", "bounced", NOW + THREE_DAYS)]


def test_a_score_by_text_answers_the_reminder_too(sms):
    invitation = send(reminders_s=[THREE_DAYS_S, WEEK_S])
    remind_due(NOW + THREE_DAYS)
    take_text(IncomingText("IN1", PHONE, "9"), "twilio", NOW + THREE_DAYS + HOUR)
    assert status(invitation)[0] == "answered"
    assert remind_due(NOW + 7 * DAY) == (1, 0)
    assert [row[1:3] for row in reminders()] == [("sent", ""), ("cancelled", "answered")]


def test_stop_withdraws_reminders_that_wait_and_start_does_not_bring_them_back(sms):
    send()
    take_text(IncomingText("IN1", PHONE, "STOP"), "twilio", NOW + HOUR)
    assert reminders() == [(1, "cancelled", "unsubscribed", NOW + THREE_DAYS)]
    take_text(IncomingText("IN2", PHONE, "START"), "twilio", NOW + 2 * HOUR)
    assert not Suppression.objects.exists()
    assert remind_due(NOW + THREE_DAYS) == (0, 0)
    assert went_out(sms) == (1, 0)


def test_stop_withdraws_the_reminder_also_of_who_has_another_number_by_then(sms):
    send()
    take_text(IncomingText("IN1", PHONE, "STOP"), "twilio", NOW + HOUR)
    Customer.objects.update(phone="+8613800000001")
    assert remind_due(NOW + THREE_DAYS) == (0, 0)
    assert went_out(sms) == (1, 0)


def test_stop_withdraws_the_reminder_of_an_email_to_the_same_person(sms):
    send(["email"])
    take_text(IncomingText("IN1", PHONE, "STOP"), "twilio", NOW + HOUR)
    assert reminders() == [(1, "cancelled", "unsubscribed", NOW + THREE_DAYS)]


def test_quiet_hours_of_texts_postpone_a_reminder_by_text(sms):
    send()
    make_organisation(quiet_hours={"sms": "09:00-12:00"})
    assert remind_due(NOW + THREE_DAYS) == (1, 0)
    assert reminders() == [(1, "scheduled", "", NOW + THREE_DAYS + 2 * HOUR)]


def test_a_busy_provider_is_asked_again_when_it_says(sms):
    send()
    sms.answer = (429, {}, {"Retry-After": "600"})
    assert remind_due(NOW + THREE_DAYS) == (1, 0)
    assert timedelta(seconds=600) > BACK_OFF[0]
    assert reminders() == [(1, "scheduled", "", NOW + THREE_DAYS + timedelta(seconds=600))]


def test_a_number_that_is_dead_by_then_ends_the_reminder_and_not_the_link(sms):
    invitation = send(reminders_s=[THREE_DAYS_S, WEEK_S])
    hear("delivered")
    sms.answer = DEAD
    assert remind_due(NOW + THREE_DAYS) == (1, 0)
    assert remind_due(NOW + 7 * DAY) == (1, 0)
    assert [row[1:3] for row in reminders()] == [("failed", "bounced"), ("cancelled", "bounced")]
    assert status(invitation) == ("delivered", "", "sms")
    assert went_out(sms) == (2, 0)


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_each_reminder_by_text_once(sms):
    make_rule(make_touchpoint(instrument=Instrument.objects.get(slug="nps")), modes=["sms"], reminders_s=[THREE_DAYS_S])
    for number in range(10):
        make_event(make_customer(phone=f"+86138000000{number:02}"))
    invite_pending(NOW)
    assert drain(lambda: NOW) == 10
    together(2, lambda _index: [remind_due(NOW + THREE_DAYS, limit=3) for _batch in range(6)])
    remind_due(NOW + THREE_DAYS)
    assert {to for to, _text in sms.texts} == {f"+86138000000{number:02}" for number in range(10)}
    assert len(sms.texts) == 20
    assert set(Reminder.objects.values_list("status", "attempts")) == {("sent", 1)}


@pytest.mark.django_db(transaction=True)
def test_stop_and_the_reminder_at_once_end_in_one_of_two_ways(sms):
    """Whoever comes first: no reminder after STOP, and nothing that waits for ever."""
    for turn in range(6):
        phone = f"+861380000010{turn}"
        link = make_invitation(
            customer=make_customer(phone=phone), mode="sms", attempted_at=NOW - THREE_DAYS, sent_at=NOW - THREE_DAYS
        )
        DeliveryAttempt.objects.create(
            invitation=link, mode="sms", at=NOW - THREE_DAYS, result="sent", address_hash=address_hash(phone)
        )
        Reminder.objects.create(invitation=link, number=1, send_at=NOW)
        gate = threading.Barrier(2)

        def meet(index, phone=phone, turn=turn, gate=gate):
            gate.wait(10)
            if index:
                return remind_due(NOW)
            return take_text(IncomingText(f"IN{turn}", phone, "STOP"), "twilio", NOW)

        together(2, meet)
        remind_due(NOW + HOUR)
        state = Reminder.objects.get(invitation=link)
        sent = sum(to == phone for to, _text in sms.texts)
        assert (state.status, sent) in {("sent", 1), ("cancelled", 0), ("cancelled", 1)}
        assert Suppression.objects.filter(reason="unsubscribed").count() == 3 * (turn + 1)


# --- Receipts after a reminder ------------------------------------------------------------------------------------------


def reminded():
    invitation = send(reminders_s=[THREE_DAYS_S, WEEK_S])
    assert remind_due(NOW + THREE_DAYS) == (1, 1)
    return invitation


def test_a_reminder_that_arrived_has_brought_the_link(sms):
    invitation = reminded()
    hear("failed", "SM1", NOW + THREE_DAYS)  # the reminder may still arrive
    assert status(invitation) == ("sent", "", "sms")
    hear("delivered", "SM2", NOW + THREE_DAYS)
    assert status(invitation) == ("delivered", "", "sms")
    assert [row[1] for row in reminders()] == ["sent", "scheduled"]


@pytest.mark.parametrize("first", ["delivered", ""])
def test_a_reminder_that_failed_leaves_the_invitation_that_has_arrived_or_may_have(sms, first):
    invitation = reminded()
    if first:
        hear(first, "SM1", NOW + THREE_DAYS)
    before = status(invitation)
    hear("failed", "SM2", NOW + THREE_DAYS)
    assert status(invitation) == before
    assert [row[1:3] for row in reminders()] == [("failed", "undeliverable"), ("scheduled", "")]
    assert not Suppression.objects.exists()
    assert deliver_due(NOW + THREE_DAYS) == (0, 0)


@pytest.mark.parametrize("order", [("SM1", "SM2"), ("SM2", "SM1")])
def test_where_neither_arrived_the_next_mode_serves(sms, order):
    invitation = reminded()
    at = NOW + THREE_DAYS + HOUR
    for reference in order:
        hear("failed", reference, at)
    assert status(invitation)[0] == "scheduled"
    assert deliver_due(at) == (1, 1)  # its own reminder is no floor to it either
    assert status(invitation) == ("sent", "", "email")
    assert went_out(sms) == (2, 1)
    assert reminders() == [
        (1, "failed", "undeliverable", NOW + THREE_DAYS),
        (2, "scheduled", "", at + timedelta(seconds=WEEK_S)),
    ]


@pytest.mark.parametrize(
    ("said", "expected", "left"),
    [
        ("taken", ("sent", "", "sms"), [("sent", "")]),
        (DEAD, ("sent", "", "email"), [("failed", "bounced")]),
        ((503, {}, {}), ("sent", "", "email"), [("scheduled", "")]),  # planned anew, after the email
    ],
)
def test_a_receipt_that_comes_while_a_reminder_is_on_its_way_waits_for_it(sms, said, expected, left):
    invitation = send()
    at = NOW + THREE_DAYS
    sms.answer = sms.answer if said == "taken" else said
    assert remind_due(at, over=lambda: not hear("failed", "SM1", at))[0] == 1
    deliver_due(at)
    assert status(invitation) == expected
    assert [row[1:3] for row in reminders()] == left
    assert went_out(sms) == (2, int(expected[2] == "email"))


def test_a_receipt_of_an_erased_customers_reminder_tells_nothing(sms):
    reminded()
    erase_customer("ana", NOW + THREE_DAYS)
    hear("bounced", "SM2", NOW + THREE_DAYS)
    assert set(DeliveryAttempt.objects.values_list("detail", "address_hash")) == {("", "")}
    assert not Suppression.objects.exists()
    assert Invitation.objects.get().status == "cancelled"
