"""Invitations by text, to a real HTTP server in the place of the provider."""

from datetime import timedelta

import pytest

from surveys.flow.deliver import DOUBT, deliver_due
from surveys.flow.invite import invite_pending
from surveys.gsm import measure
from surveys.models import Customer, DeliveryAttempt, Instrument, Invitation, SentMessage, Suppression
from tests.factories import NOW, make_customer, make_event, make_organisation, make_rule, make_touchpoint

pytestmark = pytest.mark.django_db
PHONE = "+8613800000000"


def invite(modes=("sms", "email"), **customer):
    """One scheduled invitation, through the rules."""
    make_organisation()
    touchpoint = make_touchpoint(
        "delivery", name={"en": "Delivery", "zh-hans": "配送"}, instrument=Instrument.objects.get(slug="nps")
    )
    make_rule(touchpoint, modes=list(modes))
    make_event(make_customer(**{"phone": PHONE, **customer}))
    invite_pending(NOW)
    return Invitation.objects.get()


def status(invitation):
    invitation.refresh_from_db()
    return invitation.status, invitation.reason, invitation.mode


def test_a_text_asks_the_question_and_says_how_to_answer_and_how_to_end_it(sms):
    invitation = invite()
    assert deliver_due(NOW) == (1, 1)
    [(to, text)] = sms.texts
    assert to == PHONE
    assert text == (
        "Harbour Tea, Delivery: How likely are you to recommend Harbour Tea to a friend or colleague? Reply with a number: "
        f"0 = Not at all likely, 10 = Extremely likely. Or answer here: https://cx.example.org/s/{invitation.token}/\n"
        "Reply STOP for no more."
    )
    assert measure(text).encoding == "GSM-7"
    assert status(invitation) == ("sent", "", "sms")
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.mode, attempt.result, attempt.reference) == ("sms", "sent", "SM1")
    assert attempt.address_hash
    assert sms.mails == []


def test_a_text_is_in_the_customers_language(sms):
    invite(language="zh-hans")
    deliver_due(NOW)
    [(_to, text)] = sms.texts
    assert text.startswith("港湾茶，配送：")
    assert "请回复数字：0 = " in text
    assert text.endswith("拒收请回复“TD”。")


def test_where_nobody_can_text_back_the_link_alone_is_sent(sms, settings):
    settings.SMS_URL = settings.SMS_URL.replace("+15551234567", "HarbourTea")
    invitation = invite()
    deliver_due(NOW)
    base = "https://cx.example.org"
    assert sms.texts[0][1] == (
        f"How was it? Delivery, Harbour Tea: {base}/s/{invitation.token}/\n"
        f"No more surveys from us: {base}/u/{invitation.token}/"
    )


def test_without_a_provider_staff_can_read_the_text(settings):
    settings.SMS_URL = ""
    invitation = invite()
    assert deliver_due(NOW) == (1, 1)
    kept = SentMessage.objects.get()
    assert (kept.mode, kept.to) == ("sms", PHONE)
    assert f"/s/{invitation.token}/" in kept.text
    assert kept.message_id.startswith(f"<{invitation.token}@")


@pytest.mark.parametrize(
    ("customer", "suppressed", "expected"),
    [
        ({}, (), "sms"),
        ({"phone": ""}, (), "email"),
        ({}, (PHONE,), "email"),
        ({"phone": "", "email": ""}, (), ""),
        ({"email": "a@example.com"}, (PHONE, "a@example.com"), ""),
    ],
)
def test_the_next_mode_serves_where_an_address_is_missing_or_suppressed(sms, customer, suppressed, expected):
    from surveys.flow.addresses import address_hash

    for address in suppressed:
        Suppression.objects.create(address_hash=address_hash(address), reason="unsubscribed", created_at=NOW)
    invitation = invite(**customer)
    deliver_due(NOW)
    assert (len(sms.texts), len(sms.mails)) == (int(expected == "sms"), int(expected == "email"))
    if not expected:
        assert status(invitation)[:2] == ("withheld", "unsubscribed" if suppressed else "no_address")


def test_a_number_that_fails_for_good_gives_way_to_the_next_mode(sms):
    invitation = invite()
    sms.answer = (400, {"code": 21211, "message": "Invalid 'To'"}, {})
    assert deliver_due(NOW) == (1, 0)
    assert status(invitation) == ("scheduled", "", "sms")
    assert Suppression.objects.get().reason == "bounced"
    assert deliver_due(NOW) == (1, 1)
    assert status(invitation) == ("sent", "", "email")
    assert (len(sms.texts), len(sms.mails)) == (1, 1)
    assert list(DeliveryAttempt.objects.order_by("id").values_list("mode", "result")) == [
        ("sms", "permanent"),
        ("email", "sent"),
    ]


def test_where_no_mode_is_left_the_invitation_has_failed(sms):
    invitation = invite(email="")
    sms.answer = (400, {"code": 21614, "message": "not mobile"}, {})
    deliver_due(NOW)
    assert status(invitation) == ("failed", "bounced", "sms")
    assert invitation.detail == "21614 not mobile"


def test_a_busy_provider_is_asked_again_when_it_says_and_once_per_batch(sms):
    invitation = invite()
    for number in range(3):
        make_event(make_customer(phone=f"+861380000001{number}"))
    invite_pending(NOW)
    sms.answer = (429, {}, {"Retry-After": "600"})
    assert deliver_due(NOW) == (4, 0)
    assert len(sms.requests) == 1
    invitation.refresh_from_db()
    assert invitation.send_at == NOW + timedelta(seconds=600)  # and not after a minute, as by itself
    sms.as_twilio()
    assert deliver_due(NOW + timedelta(seconds=599)) == (0, 0)
    assert deliver_due(NOW + timedelta(seconds=600)) == (4, 4)


def test_two_customers_who_share_a_number_share_its_suppression(sms):
    invite()
    Customer.objects.create(external_id="other", phone=PHONE, language="en", profile_at=NOW)
    sms.answer = (400, {"code": 21211, "message": "no"}, {})
    deliver_due(NOW)
    make_event(Customer.objects.get(external_id="other"))
    invite_pending(NOW)
    assert Invitation.objects.order_by("id").last().reason == "bounced"


@pytest.mark.parametrize("answer", ["nothing", (200, "<html>Maintenance</html>", {}), (201, {}, {})])
def test_a_text_that_may_have_arrived_goes_out_twice_at_most(sms, monkeypatch, answer):
    """The provider takes each and says nothing in time, or nothing that can be understood."""
    if answer == "nothing":
        monkeypatch.setattr("surveys.channels.sms.posting.TIMEOUT", (1, 0.05))
        sms.pause_s = 0.15
    else:
        sms.answer = answer
    invitation = invite()
    assert deliver_due(NOW) == (1, 0)
    assert deliver_due(NOW + DOUBT - timedelta(seconds=1)) == (0, 0)
    assert status(invitation) == ("scheduled", "", "sms")
    assert deliver_due(NOW + DOUBT) == (1, 0)
    assert status(invitation) == ("failed", "undeliverable", "sms")  # and not by email too: it may have come as a text
    assert deliver_due(NOW + timedelta(days=2)) == (0, 0)
    assert (len(sms.requests), len(sms.mails)) == (2, 0)
    assert set(DeliveryAttempt.objects.values_list("result", flat=True)) == {"unknown"}


@pytest.mark.parametrize("answer", ["gone", (500, "<h1>Server error</h1>", {}), (404, "no such page", {})])
def test_a_provider_that_refuses_or_is_not_there_leaves_nothing_in_doubt(sms, answer):
    if answer == "gone":
        sms.stop()
    else:
        sms.answer = answer
    invite()
    for minutes in (0, 1, 6):
        assert deliver_due(NOW + timedelta(minutes=minutes)) == (1, 0)
    assert set(DeliveryAttempt.objects.values_list("result", flat=True)) == {"temporary"}
    assert Invitation.objects.get().status == "scheduled"
