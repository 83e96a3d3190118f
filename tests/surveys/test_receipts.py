"""What carriers report of texts: in any order, again and again, early or late."""

import itertools
from datetime import timedelta

import pytest

from surveys.channels import sms as channel
from surveys.channels.sms.shape import Report
from surveys.flow.addresses import address_hash
from surveys.flow.deliver import deliver_due
from surveys.flow.receipts import note_receipts, settle_receipts
from surveys.models import DeliveryAttempt, Instrument, Receipt, Suppression
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_invitation, make_organisation, make_rule, make_touchpoint

pytestmark = pytest.mark.django_db
PHONE = "+8613800000000"


def invite(modes=("sms", "email"), **customer):
    make_organisation()
    rule = make_rule(make_touchpoint(instrument=Instrument.objects.get(slug="nps")), modes=list(modes))
    fields = {"mode": "sms", "status": "scheduled", "attempted_at": None, "sent_at": None, "expires_at": None}
    invitation = make_invitation(rule.touchpoint, make_customer(phone=PHONE, **customer), rule=rule, **fields)
    deliver_due(NOW)
    return invitation


def hear(*kinds, reference="SM1", now=NOW):
    note_receipts([Report(reference, kind, "30005") for kind in kinds], "twilio", now)
    return settle_receipts(now)


def status(invitation):
    invitation.refresh_from_db()
    return invitation.status, invitation.reason, invitation.mode


def test_a_delivered_text_is_delivered(sms):
    invitation = invite()
    assert hear("delivered") == 1
    assert status(invitation) == ("delivered", "", "sms")
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.result, attempt.receipt, attempt.receipt_at) == ("sent", "delivered", NOW)
    assert Receipt.objects.count() == 0


@pytest.mark.parametrize("further", ["opened", "answered"])
def test_a_receipt_takes_nobody_back(sms, further):
    invitation = invite()
    type(invitation).objects.filter(pk=invitation.pk).update(status=further)
    hear("delivered")
    assert status(invitation)[0] == further
    hear("bounced")
    assert status(invitation)[0] == further


@pytest.mark.parametrize("kinds", list(itertools.permutations(["delivered", "delivered", "failed"], 3)))
def test_the_first_final_word_stands_however_often_and_in_whatever_order_they_come(sms, kinds):
    invitation = invite(modes=["sms"])
    for kind in kinds:
        hear(kind)
        hear(kind)
    expected = ("delivered", "", "sms") if kinds[0] == "delivered" else ("failed", "undeliverable", "sms")
    assert status(invitation) == expected
    assert Suppression.objects.count() == 0


def test_a_receipt_that_comes_before_its_message_is_known_waits_for_it(sms):
    assert hear("delivered") == 0
    invitation = invite()
    assert settle_receipts(NOW) == 1
    assert status(invitation)[0] == "delivered"


def test_a_receipt_that_is_nobodys_is_dropped_in_the_end_and_stands_in_nobodys_way(sms):
    note_receipts([Report(f"SMx{number}", "delivered") for number in range(5)], "twilio", NOW)
    invitation = invite()
    note_receipts([Report("SM1", "delivered")], "twilio", NOW + timedelta(seconds=1))
    assert settle_receipts(NOW, limit=1) == 1
    assert status(invitation)[0] == "delivered"
    settle_receipts(NOW + timedelta(days=3))
    assert Receipt.objects.count() == 0


def test_a_number_that_is_dead_is_suppressed_and_the_next_mode_serves(sms):
    invitation = invite()
    hear("bounced")
    hear("bounced")
    assert status(invitation) == ("scheduled", "", "sms")
    assert Suppression.objects.get().address_hash == address_hash(PHONE)
    assert deliver_due(NOW) == (1, 1)
    assert status(invitation) == ("sent", "", "email")
    assert (len(sms.texts), len(sms.mails)) == (1, 1)
    hear("failed")  # late, and of a message that is history
    assert status(invitation) == ("sent", "", "email")


def test_a_text_that_failed_this_time_leaves_its_number_alone(sms):
    invitation = invite()
    hear("failed")
    assert Suppression.objects.count() == 0
    assert deliver_due(NOW) == (1, 1)
    assert status(invitation)[2] == "email"
    assert len(sms.texts) == 1


def test_where_no_mode_is_left_the_invitation_has_failed(sms):
    invitation = invite(email="")
    hear("bounced")
    assert status(invitation) == ("failed", "bounced", "sms")
    assert invitation.detail == "30005"


@pytest.mark.django_db(transaction=True)
def test_workers_that_settle_at_once_apply_each_receipt_once(sms):
    invite()
    note_receipts([Report("SM1", "bounced")], "twilio", NOW)
    assert sum(together(4, lambda _index: settle_receipts(NOW))) == 1
    assert DeliveryAttempt.objects.get().receipt == "bounced"


def test_twilios_callback_is_noted_where_it_is_signed(client, sms):
    invitation = invite()
    path = "/sms/status/twilio/"

    def post(form, signature=""):
        signed = channel.provider().signature(f"https://cx.example.org{path}", form)
        return client.post(path, form, headers={"X-Twilio-Signature": signature or signed}).status_code

    assert post({"MessageSid": "SM1", "MessageStatus": "delivered"}, "AAAA") == 403
    assert post({"MessageSid": "SM1", "MessageStatus": "sent"}) == 200
    assert settle_receipts(NOW) == 0
    assert [post({"MessageSid": "SM1", "MessageStatus": "delivered"}) for _time in range(2)] == [200, 200]
    assert settle_receipts(NOW) == 1
    assert status(invitation)[0] == "delivered"
    assert post({"MessageSid": "SM1"}) == 400
    assert client.post("/sms/status/gateway/").status_code == 404
