"""Email against real servers: a provider's API, and SMTP. What they say, and whose fault it is."""

import pytest

from surveys.channels import email
from surveys.channels.email.refusals import OURS, RECIPIENT, SOFT, judge
from surveys.letters import Letter, Outcome
from tests.mail_api import fields_of

ID = "<abc@cx.example.org>"
INACTIVE = (
    "You tried to send to a recipient that has been marked as inactive. Found inactive addresses: li@example.com. "
    "Inactive recipients are ones that have generated a hard bounce"
)


def letter(to="li@example.com"):
    return Letter(
        to,
        "How was it?",
        "How was it? 好",
        "<p>How was it?</p>",
        ID,
        {"List-Unsubscribe": "<https://cx.example.org/u/abc/>"},
    )


def send(*addresses):
    with email.connect() as carrier:
        return [carrier.send(letter(to)) for to in addresses or ["li@example.com"]][-1]


def what(outcome):
    return outcome.result, outcome.carrier_away, outcome.reference


def test_a_provider_gets_the_letter_and_names_it(mail_api):
    assert send() == Outcome("sent", reference=ID)
    request = mail_api.requests[0]
    form = fields_of(request)
    assert request.path == "/v3/mg.example.com/messages"
    assert (form["to"], form["subject"], form["h:Message-Id"]) == ("li@example.com", "How was it?", ID)
    assert form["h:List-Unsubscribe"] == "<https://cx.example.org/u/abc/>"
    assert (form["o:tracking-clicks"], form["o:tracking-opens"]) == ("no", "no")  # nobody is watched


@pytest.mark.parametrize(
    ("provider", "reference"), [("postmark", "pm-li@example.com"), ("mandrill", "md-li@example.com")]
)
def test_the_providers_own_name_for_the_message_is_kept(mail_api, provider, reference):
    mail_api.use(provider)
    assert send() == Outcome("sent", reference=reference)


@pytest.mark.filterwarnings("ignore:django-anymail has dropped")
def test_a_provider_that_gives_no_name_gets_one_of_ours(mail_api):
    mail_api.use("sendgrid")
    outcome = send()
    assert (outcome.result, len(outcome.reference)) == ("sent", 36)
    assert outcome.reference in mail_api.requests[0].body


@pytest.mark.parametrize(
    ("status", "body", "result", "away"),
    [
        (429, {"message": "Too many requests"}, "temporary", True),
        (500, "oops", "temporary", True),
        (503, "", "temporary", True),
        (401, "Forbidden", "temporary", True),
        (402, {"message": "pay"}, "temporary", True),
        (200, "not JSON", "temporary", True),
        (200, [], "temporary", True),
        (200, {"id": 1}, "temporary", True),
        (200, {"id": "x", "message": "Mailgun Magnificent API"}, "temporary", True),
        (400, {"message": "'to' parameter is not a valid address. please check documentation"}, "permanent", False),
        (400, {"message": "'from' parameter is not a valid address. please check documentation"}, "temporary", False),
        (400, {"message": "Domain mg.example.com is not allowed to send: disabled"}, "temporary", False),
    ],
)
def test_what_a_provider_says_is_told_apart(mail_api, status, body, result, away):
    mail_api.answer = (status, body, {})
    outcome = send()
    assert what(outcome) == (result, away, "")
    assert str(status) in outcome.detail
    assert outcome.in_doubt is (status == 200)  # taken, in words that nobody understands
    assert len(mail_api.requests) == 1


def test_a_busy_provider_says_when_to_come_back(mail_api):
    mail_api.answer = (429, "", {"Retry-After": "90"})
    assert send().retry_after_s == 90


def test_a_provider_that_is_silent_is_away_and_its_address_stays_our_secret(mail_api):
    mail_api.settings.ANYMAIL |= {"REQUESTS_TIMEOUT": (0.2, 0.2)}
    mail_api.pause_s = 1
    outcome = send()
    assert what(outcome) == ("temporary", True, "")
    assert outcome.in_doubt  # it has the letter, and may bring it
    assert "mg.example.com" not in outcome.detail


def test_a_provider_that_is_gone_is_away(mail_api):
    mail_api.stop()
    outcome = send()
    assert (what(outcome), outcome.in_doubt) == (("temporary", True, ""), False)


@pytest.mark.parametrize(
    ("provider", "status", "body", "result"),
    [
        ("postmark", 422, {"ErrorCode": 406, "Message": INACTIVE}, "permanent"),
        ("postmark", 422, {"ErrorCode": 300, "Message": "Invalid 'To' address: 'li@example.com'."}, "permanent"),
        ("postmark", 422, {"ErrorCode": 300, "Message": "Invalid 'From' address: 'x'."}, "temporary"),
        ("mandrill", 200, [{"email": "li@example.com", "status": "rejected", "_id": "1", "reject_reason": "hard-bounce"}], "permanent"),
        ("mandrill", 200, [{"email": "li@example.com", "status": "invalid", "_id": "1", "reject_reason": None}], "permanent"),
        ("mandrill", 200, [{"email": "li@example.com", "status": "rejected", "_id": "1", "reject_reason": "unsigned"}], "temporary"),
        ("postmark", 200, ["surprise"], "temporary"),
        ("mandrill", 200, [{"status": "sent"}], "temporary"),
    ],
)  # fmt: skip
def test_a_recipient_whom_the_provider_refuses_is_told_from_a_mistake_of_ours(mail_api, provider, status, body, result):
    mail_api.use(provider)
    mail_api.answer = (status, body, {})
    outcome = send()
    assert (outcome.result, outcome.reference) == (result, "")
    assert outcome.detail


def test_one_session_serves_a_batch_and_a_new_one_what_comes_after_a_failure(mail_api):
    with email.connect() as carrier:
        assert carrier.send(letter()).result == "sent"
        first = carrier.backend.session
        assert carrier.send(letter()).result == "sent"
        assert carrier.backend.session is first
        took, mail_api.answer = mail_api.answer, (500, "", {})
        assert carrier.send(letter()).carrier_away
        mail_api.answer = took
        assert carrier.send(letter()).result == "sent"
        carrier.close()
        carrier.close()


def test_a_sender_that_is_none_is_nobodys_fault_but_ours(settings, mail_api):
    settings.DEFAULT_FROM_EMAIL = "not an address"
    assert send().result == "temporary"
    settings.DEFAULT_FROM_EMAIL = "survey@example.com"
    assert send("not an address").result == "permanent"


def test_what_is_missing_for_a_provider_keeps_mail_waiting(settings):
    settings.EMAIL_BACKEND = "anymail.backends.amazon_ses.EmailBackend"
    try:
        import boto3  # noqa: F401
    except ImportError:
        outcome = send()
        assert what(outcome) == ("temporary", True, "")
        assert "boto3" in outcome.detail


# --- SMTP: whose fault ------------------------------------------------------------------------------------------------


@pytest.fixture
def smtp(settings, smtp_sink):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    return smtp_sink


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("550 5.1.1 no such user", ("permanent", False, False)),
        ("551 5.1.6 moved", ("permanent", False, False)),
        ("552 5.2.2 mailbox full", ("temporary", True, False)),
        ("451 4.2.2 mailbox full", ("temporary", True, False)),
        ("450 4.2.0 greylisted, come back", ("temporary", False, False)),
        ("550 5.7.1 relaying denied", ("temporary", False, False)),
        ("554 5.7.26 DMARC", ("temporary", False, False)),
        ("552 5.3.4 message too large", ("temporary", False, False)),
        ("530 5.7.0 authentication required", ("temporary", False, True)),
        ("421 4.3.2 closing", ("temporary", False, True)),
    ],
)
def test_a_mail_servers_refusal_is_told_apart(smtp, reply, expected):
    smtp.refuse["li@example.com"] = reply
    outcome = send()
    assert (outcome.result, outcome.soft, outcome.carrier_away) == expected
    assert reply[:9] in outcome.detail


@pytest.mark.parametrize("step", ["refuse_sender", "refuse_data"])
def test_a_refusal_of_our_address_or_of_the_message_says_nothing_of_the_recipient(smtp, step):
    setattr(smtp, step, "550 no")
    outcome = send()
    assert (outcome.result, outcome.soft) == ("temporary", False)


@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        # RFC 3463 with RFC 5248: class.subject.detail
        (550, "5.1.0 Address rejected", RECIPIENT), (550, "5.1.0 Sender rejected", OURS), (550, "5.1.2 bad domain", RECIPIENT),
        (550, "5.1.3 bad syntax", RECIPIENT), (556, "5.1.10 null MX", RECIPIENT), (550, "5.1.4 ambiguous", SOFT),
        (553, "5.1.7 bad sender syntax", OURS), (550, "5.1.8 bad sender system", OURS),
        (550, "5.2.1 mailbox disabled", RECIPIENT), (550, "5.2.3 too long", OURS), (452, "4.2.2 full", SOFT),
        (450, "4.1.1 unknown for now", SOFT), (450, "4.2.1 receiving too many messages", OURS),
        (554, "5.3.0 other", OURS), (452, "4.3.1 system full", OURS), (550, "5.4.1 Recipient address rejected", SOFT),
        (451, "4.4.1 no answer", OURS), (501, "5.5.4 syntax", OURS), (554, "5.6.0 content", OURS),
        (550, "5.7.1 blocked", OURS), (550, "5.7.509 DMARC", OURS), (554, "5.0.0 spam", OURS),
        (550, "host 192.0.2.5.1.1 said 5.1.1 unknown", RECIPIENT),
        # RFC 5321: the number and its words alone
        (550, "no such user here", RECIPIENT), (550, "relay not permitted", OURS), (550, "blocked by our policy", OURS),
        (551, "not local", RECIPIENT), (553, "mailbox name not allowed", RECIPIENT), (552, "over quota", SOFT),
        (550, "mailbox is full", SOFT), (552, "message size exceeds", OURS), (554, "transaction failed", OURS),
        (450, "mailbox busy", SOFT), (450, "greylisted", OURS), (451, "local error", OURS), (452, "no space", SOFT),
        (503, "bad sequence", OURS),
    ],
)  # fmt: skip
def test_whose_fault_a_refusal_is(code, text, verdict):
    assert judge(code, text) == verdict
