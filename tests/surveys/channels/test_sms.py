"""Providers of text messages against a real HTTP server."""

import base64
import hmac
import json

import pytest
from django.core.exceptions import ImproperlyConfigured

from surveys.channels import sms
from surveys.channels.sms import posting
from surveys.channels.sms.gateway import Gateway, read_spec
from surveys.channels.sms.shape import Forged, IncomingText, Report, Unreadable, Webhook
from surveys.channels.sms.twilio import Twilio
from surveys.letters import Letter, Outcome
from surveys.models import SentMessage

GATEWAY = """
url: {url}/v2/send
headers: {{Authorization: "Bearer ${{SMS_TEST_TOKEN}}"}}
body: json
region: CN
fields:
  mobile: "{{national}}"
  content: "【港湾茶】{{text}}"
  template_id: "{{template}}"
  params: ["{{touchpoint}}", "{{url}}"]
  report: "{{status_url}}"
templates: {{invitation: {{en: T-1, zh-hans: T-2}}}}
answer: {{success: {{code: [0, "OK"]}}, id: data.0.msgid, code: code, error: message, permanent: [4001, BLACKLIST], busy: [5000]}}
texts: {{sender: mobile, text: content, id: sms_id}}
reports: {{id: msgid, state: status, delivered: [DELIVRD], failed: [EXPIRED, UNDELIV], bounced: ["MK:0001"], detail: reason}}
webhooks: {{hmac: "${{SMS_TEST_TOKEN}}", header: X-Signature, says: SUCCESS}}
"""


def letter(to="+8613800000000", **names):
    return Letter(
        to, "", "How was it? https://cx.example.org/s/abc/", "", "<abc@cx.example.org>",
        names={"kind": "invitation", "language": "zh-CN", "touchpoint": "配送", "url": "https://cx.example.org/s/abc/", **names},
    )  # fmt: skip


def webhook(body="", headers=None, form=None, query=None, url="https://cx.example.org/sms/inbound/x/"):
    return Webhook(url, body.encode(), headers or {}, form or {}, query or {})


@pytest.fixture
def twilio(settings, sms_server):
    settings.BASE_URL = "https://cx.example.org"
    settings.SMS_URL = f"twilio://AC1:tok%2Fen@+15551234567?api={sms_server.url}"
    return sms_server


@pytest.fixture
def gateway(settings, sms_server, tmp_path, monkeypatch):
    monkeypatch.setenv("SMS_TEST_TOKEN", "s3cret")
    settings.BASE_URL = "https://cx.example.org"
    path = tmp_path / "sms.yaml"
    path.write_text(GATEWAY.format(url=sms_server.url))
    settings.SMS_URL = f"file://{path}"
    sms_server.answer = (200, {"code": 0, "data": [{"msgid": 881234}]}, {})
    return sms_server


def send(**names):
    with sms.connect() as carrier:
        return carrier.send(letter(**names))


# --- Twilio -----------------------------------------------------------------------------------------------------------


def test_twilio_gets_a_form_with_basic_auth(twilio):
    assert send() == Outcome("sent", reference="SM1")
    request = twilio.requests[0]
    assert (request.method, request.path) == ("POST", "/2010-04-01/Accounts/AC1/Messages.json")
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"AC1:tok/en").decode()
    assert request.form == {
        "To": "+8613800000000",
        "From": "+15551234567",
        "Body": letter().text,
        "StatusCallback": "https://cx.example.org/sms/status/twilio/",
    }


def test_twilio_is_told_no_address_that_it_cannot_reach(settings, twilio):
    settings.BASE_URL = "http://127.0.0.1:8000"
    send()
    assert "StatusCallback" not in twilio.requests[0].form


@pytest.mark.parametrize(
    ("sender", "field", "takes_replies"),
    [
        ("+15551234567", "From", True), ("MG" + "0" * 32, "MessagingServiceSid", True), ("HarbourTea", "From", False),
        ("+15551234567?replies=no", "From", False),
    ],
)  # fmt: skip
def test_a_sender_is_a_number_a_service_or_a_name(settings, sms_server, sender, field, takes_replies):
    settings.SMS_URL = f"twilio://AC1:t@{sender}{'&' if '?' in sender else '?'}api={sms_server.url}"
    send()
    assert sms_server.requests[0].form[field] == sender.partition("?")[0]
    assert sms.provider().takes_replies is takes_replies


@pytest.mark.parametrize(
    ("status", "body", "result", "away"),
    [
        (400, {"code": 21211, "message": "Invalid 'To' Phone Number"}, "permanent", False),
        (400, {"code": 21610, "message": "Attempt to send to unsubscribed recipient"}, "permanent", False),
        (400, {"code": 21614, "message": "not a mobile number"}, "permanent", False),
        (400, {"code": 21606, "message": "The From number is not yours"}, "temporary", False),
        (401, {"code": 20003, "message": "Authenticate"}, "temporary", True),
        (500, "oops", "temporary", True),
        (503, "", "temporary", True),
        (201, "not JSON", "temporary", True),
        (201, [], "temporary", True),
        (201, {"status": "queued"}, "temporary", True),
        (302, "", "temporary", True),
    ],
)
def test_what_twilio_says_is_told_apart(twilio, status, body, result, away):
    twilio.answer = (status, body, {"Location": twilio.url})
    outcome = send()
    assert (outcome.result, outcome.carrier_away, outcome.reference) == (result, away, "")
    assert len(twilio.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "90"}, 90), ({}, 0), ({"Retry-After": "soon"}, 0), ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "99999999999"}, 86_400),
        ({"Date": "Fri, 20 Nov 2026 02:00:00 GMT", "Retry-After": "Fri, 20 Nov 2026 02:02:00 GMT"}, 120),
    ],
)  # fmt: skip
def test_a_busy_provider_says_when_to_come_again(twilio, headers, seconds):
    twilio.answer = (429, {"code": 20429, "message": "Too Many Requests"}, headers)
    outcome = send()
    assert (outcome.result, outcome.carrier_away) == ("temporary", True)
    assert outcome.retry_after_s == seconds


def test_a_provider_that_is_slow_or_gone_is_away(twilio, monkeypatch):
    monkeypatch.setattr(posting, "TIMEOUT", (0.2, 0.2))
    twilio.pause_s = 0.6
    outcome = send()
    assert (outcome.result, outcome.carrier_away) == ("temporary", True)
    twilio.stop()
    outcome = send()
    assert (outcome.result, outcome.carrier_away) == ("temporary", True)
    assert "tok/en" not in outcome.detail


def test_twilios_signature_is_that_of_its_own_example():
    """Known answer: the example of Twilio's helper libraries (their tests of RequestValidator)."""
    account = Twilio.from_url("twilio://AC1:12345@+15551234567", "https://mycompany.com")
    form = {
        "CallSid": "CA1234567890ABCDE", "Digits": "1234", "From": "+14158675309", "To": "+18005551212",
        "Caller": "+14158675309",
    }  # fmt: skip
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert account.signature(url, form) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    signed = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    account.verify(webhook(headers=signed, form=form, url=url))
    for wrong in (
        webhook(headers=signed, form={**form, "Digits": "9"}, url=url),
        webhook(headers=signed, form=form, url=url + "3"),
        webhook(form=form, url=url),
        webhook(headers={"x-twilio-signature": "é"}, form=form, url=url),
    ):
        with pytest.raises(Forged):
            account.verify(wrong)


def test_twilios_webhooks_are_read():
    account = Twilio.from_url("twilio://AC1:12345@+15551234567", "https://cx.example.org")
    form = {"MessageSid": "SM9", "From": "+8613800000000", "Body": "9"}
    assert account.read_texts(webhook(form=form)) == [IncomingText("SM9", "+8613800000000", "9")]
    assert account.read_texts(webhook(form={**form, "OptOutType": "STOP"}))[0].answered
    with pytest.raises(Unreadable):
        account.read_texts(webhook(form={"From": "+1"}))

    def reports(**said):
        return account.read_reports(webhook(form={"MessageSid": "SM9", **said}))

    assert reports(MessageStatus="delivered") == [Report("SM9", "delivered")]
    assert reports(MessageStatus="undelivered", ErrorCode="30005") == [Report("SM9", "bounced", "undelivered 30005")]
    assert reports(MessageStatus="undelivered", ErrorCode="30003") == [Report("SM9", "failed", "undelivered 30003")]
    assert reports(MessageStatus="failed") == [Report("SM9", "failed", "failed")]
    assert [reports(MessageStatus=status) for status in ("queued", "sent", "sending", "accepted")] == [[]] * 4
    with pytest.raises(Unreadable):
        reports()


# --- The gateway ------------------------------------------------------------------------------------------------------


def test_a_gateway_gets_what_its_file_describes(gateway):
    assert send() == Outcome("sent", reference="881234")
    request = gateway.requests[0]
    assert (request.method, request.path) == ("POST", "/v2/send")
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert request.json == {
        "mobile": "13800000000",
        "content": f"【港湾茶】{letter().text}",
        "template_id": "T-2",
        "params": ["配送", "https://cx.example.org/s/abc/"],
        "report": "https://cx.example.org/sms/status/gateway/",
    }


def test_what_a_customer_is_called_cannot_break_a_gateways_document(gateway):
    send(touchpoint='"},{"mobile": "{to}" \\ & 50%')
    assert gateway.requests[0].json["params"][0] == '"},{"mobile": "{to}" \\ & 50%'


@pytest.mark.parametrize(
    ("status", "body", "result", "away"),
    [
        (200, {"code": "OK", "data": [{"msgid": "7"}]}, "sent", False),
        (200, {"code": 4001, "message": "号码错误"}, "permanent", False),
        (400, {"code": "BLACKLIST", "message": ""}, "permanent", False),
        (200, {"code": 4002, "message": "模板不存在"}, "temporary", False),
        (200, {"code": 5000, "message": "busy"}, "temporary", True),
        (200, {"code": 0, "data": []}, "temporary", True),
        (200, {"unheard": "of"}, "temporary", True),
        (200, "<html>", "temporary", True),
        (403, {"code": 4001}, "temporary", True),
        (500, {"code": 0, "data": [{"msgid": "7"}]}, "temporary", True),
        (429, {}, "temporary", True),
    ],
)
def test_what_a_gateway_says_is_told_apart(gateway, status, body, result, away):
    gateway.answer = (status, body, {})
    outcome = send()
    assert (outcome.result, outcome.carrier_away) == (result, away)


def test_a_gateway_that_answers_in_plain_text(sms_server, settings, tmp_path):
    path = tmp_path / "sms.yaml"
    path.write_text(
        f"url: {sms_server.url}/send.aspx\nbody: form\nbasic_auth: 'me:pa:ss'\n"
        "fields: {mobile: '{digits}', content: '{text}【港湾茶】'}\n"
        "answer: {format: text, success: '^0,', id: '^0,(\\d+)', code: '^(-?\\d+)', permanent: ['-6']}\n"
    )
    settings.SMS_URL = f"file://{path}"
    sms_server.answer = (200, "0,20261120", {})
    assert send() == Outcome("sent", reference="20261120")
    assert sms_server.requests[0].form == {"mobile": "8613800000000", "content": f"{letter().text}【港湾茶】"}
    assert sms_server.requests[0].headers["authorization"] == "Basic " + base64.b64encode(b"me:pa:ss").decode()
    sms_server.answer = (200, "-6,wrong number", {})
    assert send().result == "permanent"
    sms_server.answer = (200, "-1,no money", {})
    assert send().result == "temporary"


def test_a_gateways_webhooks_carry_a_proof(gateway):
    body = json.dumps([{"mobile": "13800000000", "content": "９ 很好", "sms_id": 5}])
    proof = hmac.new(b"s3cret", body.encode(), "sha256").hexdigest()
    provider = sms.provider()
    provider.verify(webhook(body, {"x-signature": proof}))
    provider.verify(webhook(body, {"x-signature": f"sha256={proof.upper()}"}))
    for wrong in (webhook(body + " ", {"x-signature": proof}), webhook(body, {}), webhook(body, {"x-signature": ""})):
        with pytest.raises(Forged):
            provider.verify(wrong)
    assert provider.read_texts(webhook(body)) == [IncomingText("5", "+8613800000000", "９ 很好")]
    with pytest.raises(Unreadable):
        provider.read_texts(webhook("<xml/>"))
    with pytest.raises(Unreadable):
        provider.read_texts(webhook(form={"mobile": "13800000000"}))


def test_a_shared_secret_stands_in_a_header_or_in_the_query():
    base = "url: http://x/\nfields: {a: b}\ntexts: {}\nwebhooks: "
    in_header = Gateway(read_spec(base + "{secret: k, header: X-Key}"), "")
    in_header.verify(webhook(headers={"x-key": "k"}))
    in_query = Gateway(read_spec(base + "{secret: k, query: key}"), "")
    in_query.verify(webhook(query={"key": "k"}))
    for provider in (in_header, in_query):
        with pytest.raises(Forged):
            provider.verify(webhook(headers={"x-key": "K"}, query={"key": "K"}))
        with pytest.raises(Forged):
            provider.verify(webhook())


def test_a_gateways_reports_are_read_one_by_one_or_many_at_once(gateway):
    provider = sms.provider()
    body = json.dumps(
        [
            {"msgid": 1, "status": "DELIVRD"},
            {"msgid": 2, "status": "UNDELIV", "reason": "MK:0001"},
            {"msgid": 3, "status": "ACCEPTD"},
        ]
    )
    assert provider.read_reports(webhook(body)) == [Report("1", "delivered"), Report("2", "bounced", "UNDELIV MK:0001")]
    assert provider.read_reports(webhook(form={"msgid": "4", "status": "EXPIRED"})) == [
        Report("4", "failed", "EXPIRED")
    ]
    assert provider.thanks.body == "SUCCESS"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("url: http://x/", "no fields"),
        ("- a", "no map"),
        ("a: [", "no YAML"),
        ("url: ftp://x/\nfields: {a: b}", "begins with"),
        ("url: http://x/\nfields: {a: b}\ncolour: red", "colour"),
        ("url: http://x/\nfields: {a: b}\nanswer: {ok: 1}", "ok"),
        ("url: http://x/\nfields: {a: b}\nbody: xml", "json, form, query"),
        ("url: http://x/\nfields: {a: {b: c}}\nbody: form", "plain texts"),
        ("url: http://x/\nfields: {a: '${NO_SUCH_VARIABLE}'}", "NO_SUCH_VARIABLE"),
        ("url: http://x/\nfields: {a: b}\ntexts: {sender: a}", "anybody could speak"),
        ("url: http://x/\nfields: {a: b}\nwebhooks: {secret: k}", "no header"),
    ],
)
def test_a_gateways_file_says_what_is_wrong_in_it(text, says):
    with pytest.raises(ImproperlyConfigured, match=says):
        read_spec(text)


@pytest.mark.parametrize("url", ["twilio://AC1@+1555", "twilio://AC1:t@", "http://x", "file:///no/such/file.yaml"])
def test_an_address_that_makes_no_sense_is_refused(settings, url):
    settings.SMS_URL = url
    with pytest.raises(ImproperlyConfigured, match="SMS_URL"):
        sms.read_url(url, settings.BASE_URL)
    outcome = send()
    assert (outcome.result, outcome.carrier_away) == ("temporary", True)
    assert "SMS_URL" in outcome.detail


# --- No provider ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_without_a_provider_texts_stay_in_the_local_mailbox(settings):
    settings.SMS_URL = ""
    assert send() == Outcome("sent", reference="<abc@cx.example.org>")
    kept = SentMessage.objects.get()
    assert (kept.mode, kept.to, kept.text, kept.html) == ("sms", "+8613800000000", letter().text, "")
    assert kept.subject.startswith("How was it?")
    assert not sms.provider().takes_replies
    with pytest.raises(Forged):
        sms.provider().verify(webhook())
