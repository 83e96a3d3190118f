"""Two-way texts, from the provider's signed webhook to the reply that goes out by a real HTTP server."""

import itertools
from datetime import timedelta

import pytest
from django.utils import translation

from surveys.channels import sms as channel
from surveys.channels.sms.shape import IncomingText
from surveys.flow.addresses import address_hash, customer_hash
from surveys.flow.converse import take_text
from surveys.flow.deliver import deliver_due
from surveys.flow.erase import erase_customer, export_customer
from surveys.flow.reply import send_replies
from surveys.models import Customer, InboundText, Instrument, Invitation, Response, ScoreLedger, Suppression
from surveys.phrases import PHRASES
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_invitation, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db
PHONE = "+8613800000000"
LATER = NOW + timedelta(minutes=10)
_ids = itertools.count(1)


@pytest.fixture
def sms(settings, sms_server):
    settings.SMS_URL = f"twilio://AC1:tok@+15551234567?api={sms_server.url}"
    settings.BASE_URL = "https://cx.example.org"
    make_organisation()
    return sms_server


def invite(instrument="nps", phone=PHONE, **fields):
    """An invitation that went out by text."""
    touchpoint = make_touchpoint(
        instrument=Instrument.objects.get(slug=instrument), name={"en": "Delivery", "zh-hans": "配送"}
    )
    customer = fields.pop("customer", None) or make_customer(phone=phone)
    fields = {"mode": "sms", "status": "scheduled", "attempted_at": None, "sent_at": None, "expires_at": None, **fields}
    invitation = make_invitation(touchpoint, customer, **fields)
    deliver_due(NOW)
    invitation.refresh_from_db()
    assert invitation.status == "sent"
    return invitation


def text(said, phone=PHONE, message_id="", now=LATER, **more):
    return take_text(IncomingText(message_id or f"IN{next(_ids)}", phone, said, **more), "twilio", now)


def replies(server, now=LATER):
    """What goes out, without the invitations."""
    before = len(server.requests)
    send_replies(now)
    return [said for _to, said in server.texts[before:]]


def answer():
    response = Response.objects.get()
    return response.score, response.comment, response.mode


def test_a_score_is_recorded_and_the_follow_up_asked_and_its_answer_belongs_to_it(sms):
    invitation = invite()
    row = text("9")
    assert (row.meaning, row.invitation) == ("score", invitation)
    assert answer() == (9, "", "sms")
    invitation.refresh_from_db()
    assert invitation.status == "answered"
    [asked] = replies(sms)
    assert asked.startswith("Thank you! ")
    assert asked.endswith("?")
    assert text("The driver was kind.").meaning == "comment"
    assert answer() == (9, "The driver was kind.", "sms")
    assert replies(sms) == ["Your answer has arrived. It helps us to do better."]
    text("And fast.")
    assert answer() == (9, "The driver was kind.\nAnd fast.", "sms")
    assert replies(sms) == []
    assert Invitation.objects.count() == 1
    assert list(ScoreLedger.objects.values_list("score", "delta")) == [(9, 1)]


def test_words_beside_the_score_are_the_comment_and_nothing_more_is_asked(sms):
    invite(language="zh-hans")
    text("９ 很好")
    assert answer() == (9, "很好", "sms")
    with translation.override("zh-hans"):
        assert replies(sms) == [str(PHRASES["thanks_text"])]


def test_nonsense_is_asked_again_once_and_its_words_are_kept(sms):
    invite()
    assert text("it was awful").meaning == "unclear"
    assert replies(sms) == ["Please reply with one number from 0 to 10."]
    text("9-10")
    assert replies(sms) == []
    assert Response.objects.count() == 0
    text("2")
    assert answer() == (2, "it was awful", "sms")
    assert len(replies(sms)) == 1


def test_another_number_corrects_and_a_comment_that_begins_with_one_does_not(sms):
    invite()
    text("3")
    text("2 weeks late")
    text("5 calls before anybody answered")
    assert answer() == (3, "2 weeks late\n5 calls before anybody answered", "sms")
    text("4")
    assert answer() == (4, "2 weeks late\n5 calls before anybody answered", "sms")
    assert sorted(ScoreLedger.objects.values_list("score", "delta")) == [(3, -1), (3, 1), (4, 1)]


def test_a_five_point_scale_takes_one_to_five(sms):
    invite("csat5")
    assert text("9").meaning == "unclear"
    assert replies(sms) == ["Please reply with one number from 1 to 5."]
    text("五分")
    assert answer()[0] == 5


def test_the_same_text_twice_is_one(sms):
    invite()
    assert text("9", message_id="IN-same") is not None
    assert text("9", message_id="IN-same") is None
    assert InboundText.objects.count() == Response.objects.count() == 1
    assert len(replies(sms)) == 1
    assert replies(sms) == []


def test_the_newest_open_survey_is_answered(sms):
    customer = make_customer(phone=PHONE)
    make_organisation(floor_s=0)
    old = invite(customer=customer)
    Invitation.objects.filter(pk=old.pk).update(attempted_at=NOW - timedelta(days=200))
    scheduled = {"mode": "sms", "status": "scheduled", "send_at": NOW, "attempted_at": None, "sent_at": None}
    new = make_invitation(make_touchpoint(instrument=Instrument.objects.get(slug="nps")), customer, **scheduled)
    deliver_due(NOW + timedelta(minutes=1))
    text("7")
    assert Response.objects.get().invitation == new
    Invitation.objects.filter(pk=new.pk).update(expires_at=LATER)
    text("6", now=LATER + timedelta(minutes=1))
    assert {row.invitation_id: row.score for row in Response.objects.all()} == {new.pk: 7, old.pk: 6}


def test_an_answer_that_comes_too_late_is_told_so_once(sms):
    invitation = invite()
    Invitation.objects.filter(pk=invitation.pk).update(expires_at=LATER)
    assert text("9").meaning == "closed"
    assert replies(sms) == ["Thank you for wanting to answer. This survey is closed now."]
    text("9")
    assert replies(sms) == []
    assert Response.objects.count() == 0


def test_a_stranger_gets_no_reply(sms):
    assert text("9", phone="+15550001111").meaning == "stranger"
    assert replies(sms) == []


@pytest.mark.parametrize("word", ["STOP", "Ｔ", "td", "退订", " n "])
def test_stop_ends_it_at_once_with_one_confirmation(sms, word):
    invitation = invite()
    customer = invitation.customer
    waiting = make_invitation(customer=customer, status="scheduled", sent_at=None, attempted_at=None)
    text("9")  # its follow-up waits to be sent
    assert text(word).meaning == "stop"
    assert replies(sms) == ["You will get no more surveys from us. Reply START to get them again."]
    assert text(word).meaning == "stop"
    assert replies(sms) == []
    waiting.refresh_from_db()
    assert (waiting.status, waiting.reason) == ("withheld", "unsubscribed")
    hashes = {address_hash(PHONE), address_hash(customer.email), customer_hash(customer.external_id)}
    assert set(Suppression.objects.values_list("address_hash", "reason")) == {(one, "unsubscribed") for one in hashes}


def test_start_lifts_what_the_person_stopped_by_text_and_nothing_else(sms):
    customer = invite().customer
    Suppression.objects.create(
        address_hash=address_hash(customer.email), reason="unsubscribed", created_at=NOW
    )  # by a link
    text("STOP")
    text("START")
    assert [row.address_hash for row in Suppression.objects.all()] == [address_hash(customer.email)]
    assert replies(sms)[-1] == "You are back: we may ask you again. Reply STOP for no more."
    text("START")
    assert replies(sms) == []
    Suppression.objects.create(address_hash=address_hash(PHONE), reason="complained", created_at=NOW)
    text("START")
    assert Suppression.objects.filter(reason="complained").exists()


def test_stop_from_a_number_that_two_share_says_nothing_of_their_mailboxes(sms):
    invite()
    make_customer(phone=PHONE)
    text("STOP")
    assert [row.address_hash for row in Suppression.objects.all()] == [address_hash(PHONE)]


def test_stop_from_a_number_nobody_knows_is_obeyed_all_the_same(sms):
    text("STOP", phone="+15550001111")
    assert Suppression.objects.get().address_hash == address_hash("+15550001111")
    assert len(replies(sms)) == 1


def test_where_the_provider_has_confirmed_we_do_not(sms):
    invite()
    text("STOP", answered=True)
    assert replies(sms) == []
    assert Suppression.objects.filter(address_hash=address_hash(PHONE)).exists()


def test_help_answers_and_not_for_ever(sms):
    invite()
    for _number in range(5):
        text("HELP")
    said = replies(sms)
    assert said == ["Short surveys from Harbour Tea. To answer, reply with a number. Reply STOP for no more."] * 3


def test_a_reply_that_cannot_be_sent_waits_and_is_sent_once(sms):
    invite()
    text("9")
    sms.answer = (503, "", {"Retry-After": "120"})
    assert send_replies(LATER) == 0
    sms.as_twilio()
    assert send_replies(LATER + timedelta(seconds=119)) == 0
    assert send_replies(LATER + timedelta(seconds=120)) == 1
    assert send_replies(LATER + timedelta(days=1)) == 0
    row = InboundText.objects.get()
    assert (row.replied_at, row.due_at, row.attempts) == (LATER + timedelta(seconds=120), None, 2)


def test_a_reply_that_may_have_arrived_twice_is_not_sent_again(sms):
    invite()
    text("9")
    before = len(sms.requests)
    sms.answer = (200, "<html>Maintenance</html>", {})
    assert [send_replies(LATER + timedelta(minutes=minutes)) for minutes in (0, 1, 10, 100)] == [0, 0, 0, 0]
    assert len(sms.requests) - before == 2
    assert InboundText.objects.get().due_at is None


def test_a_reply_that_nobody_takes_is_given_up(sms):
    invite()
    text("9")
    sms.answer = (400, {"code": 21610, "message": "unsubscribed recipient"}, {})
    send_replies(LATER)
    row = InboundText.objects.get()
    assert (row.due_at, row.replied_at, row.detail) == (None, None, "21610 unsubscribed recipient")


def test_what_cannot_be_stored_does_no_harm(sms):
    invite()
    row = text("9\x00 ok\ud800", message_id="a\x00b" * 100)
    row.refresh_from_db()
    assert answer() == (9, "ok", "sms")


def test_a_reply_is_no_invitation_and_counts_for_no_floor(sms):
    invitation = invite()
    text("9")
    replies(sms)
    invitation.refresh_from_db()
    assert invitation.attempted_at == NOW
    assert Invitation.objects.count() == 1


def test_erasing_takes_texts_along_and_export_shows_them(sms):
    customer = invite().customer
    text("9 my name is Li")
    replies(sms)
    shown = export_customer(customer.external_id)["texts"]
    assert [(row["text"], row["phone"]) for row in shown] == [("9 my name is Li", PHONE)]
    erase_customer(customer.external_id, LATER)
    row = InboundText.objects.get()
    assert (row.text, row.phone, row.reply, row.due_at) == ("", "", "", None)
    assert text("8").meaning == "stranger"
    assert Response.objects.get().score == 9
    assert not Customer.objects.filter(phone=PHONE).exists()


@pytest.mark.django_db(transaction=True)
def test_texts_of_one_number_at_the_same_moment_are_taken_one_after_another(sms):
    invite()
    together(4, lambda index: text("9" if index % 2 else "8", message_id=f"IN-{index % 2}"))
    assert InboundText.objects.count() == 2
    assert Response.objects.get().score in (8, 9)
    assert sum(ScoreLedger.objects.values_list("delta", flat=True)) == 1


# --- Webhooks ---------------------------------------------------------------------------------------------------------


def post(client, form, path="/sms/inbound/twilio/", signature=None):
    signed = channel.provider().signature(f"https://cx.example.org{path}", form)
    return client.post(path, form, headers={"X-Twilio-Signature": signature or signed})


def test_the_webhook_takes_what_twilio_signed(client, sms):
    invite()
    form = {"MessageSid": "SM100", "From": PHONE, "To": "+15551234567", "Body": "9 很好"}
    for _time in range(2):
        said = post(client, form)
        assert (said.status_code, said.content, said["Content-Type"]) == (
            200,
            b"<Response/>",
            "text/xml; charset=utf-8",
        )
        assert not said.cookies
    assert answer() == (9, "很好", "sms")


def test_the_webhook_refuses_all_else(client, sms, settings):
    invite()
    form = {"MessageSid": "SM100", "From": PHONE, "Body": "STOP"}
    assert post(client, form, signature="AAAA").status_code == 403
    assert post(client, {"MessageSid": "SM100"}).status_code == 400
    assert client.post("/sms/inbound/gateway/", form).status_code == 404
    assert client.get("/sms/inbound/twilio/").status_code == 405
    settings.SMS_URL = ""
    assert client.post("/sms/inbound/twilio/", form).status_code == 404
    assert client.post("/sms/inbound/kept/", form).status_code == 403
    assert InboundText.objects.count() == Suppression.objects.count() == 0
