"""Bounces and complaints that come by mail: of a letter of ours, by its Message-ID, and of nothing else."""

import pytest

from surveys.flow.addresses import address_hash
from surveys.flow.deliver import deliver_due
from surveys.flow.take_mail import Taken, take_mail
from surveys.models import DeliveryAttempt, Suppression
from tests.factories import NOW, make_customer, make_invitation, make_organisation

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(settings, smtp_sink):
    """(the invitation, our letter) as a mail server has taken it."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    make_organisation()
    unsent = {"status": "scheduled", "attempted_at": None, "sent_at": None, "expires_at": None}
    invitation = make_invitation(customer=make_customer(email="li@example.com"), **unsent)
    assert deliver_due(NOW) == (1, 1)
    return invitation, smtp_sink.messages[0][1]


def bounce(
    letter,
    status="5.1.1",
    action="failed",
    said="550 5.1.1 unknown user",
    to="li@example.com",
    quote="text/rfc822-headers",
):
    """A notification as Postfix writes it."""
    head = "\n".join(f"{name}: {letter[name]}" for name in ("From", "To", "Subject", "Message-ID"))
    return f"""Return-Path: <>
From: MAILER-DAEMON@relay.example.com (Mail Delivery System)
To: survey@cx.example.org
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you …

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.com
Arrival-Date: Fri, 20 Nov 2026 02:00:00 +0000

Final-Recipient: rfc822; {to}
Original-Recipient: rfc822;{to}
Action: {action}
Status: {status}
Remote-MTA: dns; mx.example.com
Diagnostic-Code: smtp; {said}

--b1
Content-Type: {quote}

{head}

--b1--
""".encode()


def complaint(letter, kind="abuse"):
    return f"""From: <fbl@mailbox.example.com>
To: survey@cx.example.org
Subject: FW: How was it?
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b1"

--b1
Content-Type: text/plain

This is an email abuse report.

--b1
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1

--b1
Content-Type: message/rfc822

From: survey@cx.example.org
To: li@example.com
Message-ID: {letter["Message-ID"]}

unsubscribe-me-not
--b1--
""".encode()


def take(message):
    return take_mail(message, NOW)


def end(invitation):
    invitation.refresh_from_db()
    return invitation.status, invitation.reason, sorted(set(Suppression.objects.values_list("reason", flat=True)))


@pytest.mark.parametrize("quote", ["text/rfc822-headers", "message/rfc822"])
def test_a_bounce_of_a_letter_suppresses_its_address_once(sent, quote):
    invitation, letter = sent
    for _time in range(2):
        assert take(bounce(letter, quote=quote)) == Taken.REPORT
    assert end(invitation) == ("failed", "bounced", ["bounced"])
    assert Suppression.objects.get().address_hash == address_hash("li@example.com")
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.receipt, attempt.detail) == ("bounced", "5.1.1 550 5.1.1 unknown user")
    assert attempt.reference == ""  # which would say that its carrier reports on every letter


@pytest.mark.parametrize(
    ("status", "action", "said", "expected"),
    [
        ("5.2.2", "failed", "552 5.2.2 mailbox full", ("scheduled", "", [])),
        ("4.4.7", "failed", "", ("scheduled", "", [])),
        ("5.7.1", "failed", "550 5.7.1 blocked", ("failed", "undeliverable", [])),
        ("5.0.0", "failed", "550 relay denied", ("failed", "undeliverable", [])),
        ("4.2.0", "delayed", "450 4.2.0 greylisted", ("sent", "", [])),
        ("2.0.0", "delivered", "250 ok", ("delivered", "", [])),
        ("2.0.0", "relayed", "250 ok", ("sent", "", [])),
    ],
)
def test_a_notification_is_told_apart(sent, status, action, said, expected):
    invitation, letter = sent
    take(bounce(letter, status, action, said))
    assert end(invitation) == expected


def test_a_complaint_by_mail_is_a_complaint(sent):
    invitation, letter = sent
    assert take(complaint(letter, "not-spam")) == Taken.BOUNCE
    assert end(invitation) == ("sent", "", [])
    assert take(complaint(letter)) == Taken.REPORT
    assert end(invitation) == ("delivered", "", ["complained"])


def test_a_mail_that_names_another_address_says_nothing_of_it(sent):
    invitation, letter = sent
    victim = make_customer(email="wang@example.com")
    forged = bounce(letter, to=victim.email).replace(b"To: li@example.com", b"To: wang@example.com")
    assert take(forged) == Taken.REPORT
    assert end(invitation) == ("failed", "bounced", [])


@pytest.mark.parametrize("message_id", ["<x@example.com>", "<abcdefghijklmnopqrstuv@cx.example.org>", "", "nonsense"])
def test_what_is_no_letter_of_ours_changes_nothing(sent, message_id):
    invitation, letter = sent
    assert take(bounce(letter).replace(letter["Message-ID"].encode(), message_id.encode())) == Taken.BOUNCE
    assert end(invitation) == ("sent", "", [])


@pytest.mark.parametrize("cut", [200, 600, 900])
def test_a_mail_that_was_cut_off_is_no_error(sent, cut):
    assert take(bounce(sent[1])[:cut]) in (Taken.BOUNCE, Taken.REPORT)
