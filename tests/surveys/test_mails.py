"""The quick way to a mail ends in the same mail, and in the same words from the server."""

import email
import email.policy
import smtplib
from email.message import EmailMessage
from itertools import product

import pytest
from django.core.mail import EmailMultiAlternatives
from django.core.mail.message import BadHeaderError

from surveys.channels import email as channel
from surveys.flow.compose import Personal, compose, draft_of, fill_draft, script_of, write_letter
from surveys.flow.deliver import deliver_due
from surveys.letters import Letter
from surveys.mails import mail_bytes, send_bytes
from surveys.models import Instrument, Wording
from tests.factories import NOW, make_customer, make_invitation, make_organisation, make_rule, make_touchpoint

LANGUAGES = ("en", "zh-hans", "de", "ar", "he")
NAMES = {
    "none": "",
    "plain": "Li Na",
    "emoji": "👩‍👩‍👧 Zoë 🇨🇳",
    "right to left": "ليلى حداد",
    "very long": "Größe " * 33,
    "markup": '<b>O\'Neil & "Co"</b>',
    "our own places": "%(name)s {name} %s {organisation}",
    "another header": "Li Na\r\nBcc: all@example.com",
}


@pytest.fixture
def rule(settings):
    settings.BASE_URL = "https://cx.example.org"
    settings.UNSUBSCRIBE_MAILTO = "unsubscribe@cx.example.org"
    settings.DEFAULT_FROM_EMAIL = "Harbour Tea <survey@cx.example.org>"
    make_organisation(languages=list(LANGUAGES), sender_name={"en": "Tea, “Harbour”", "zh-hans": "港湾茶"})
    names = {"en": "Delivery", "zh-hans": "配送", "ar": "التوصيل"}
    rule = make_rule(make_touchpoint("delivery", Instrument.objects.get(slug="nps"), name=names))
    rule.letter = {
        "subject": {"en": "100 % yours, {name}: how was it?", "zh-hans": "{name}，配送如何？"},
        "opening": {
            "en": "{name}, thank you.\n.A line with a period first\r\n{touchpoint} & more",
            "ar": "شكراً {name}",
        },
        "closing": {"de": "Bis bald, {name}"},
    }
    return rule


def wording_of(rule):
    return Wording.objects.get(version=rule.touchpoint.instrument.current_version(), question__key="score")


def letters_of(rule, language, is_reminder=False):
    """(quick, plain) to everybody."""
    script = script_of(make_organisation(), rule.touchpoint, rule, wording_of(rule), language, is_reminder)
    draft = draft_of(script)
    for number, name in enumerate(NAMES.values()):
        to = Personal(
            f"c{number}@example.com",
            name,
            f"https://cx.example.org/s/{number}&a/",
            f"https://cx.example.org/u/{number}/",
            token=str(number),
            message_id=f"<{number}@cx.example.org>",
            in_reply_to="<first@cx.example.org>" if is_reminder else "",
        )
        yield fill_draft(draft, to), write_letter(script, to)


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "is_reminder"), product(LANGUAGES, (False, True)))
def test_a_letter_from_a_draft_is_the_letter(rule, language, is_reminder):
    for quick, plain in letters_of(rule, language, is_reminder):
        assert quick == plain


@pytest.mark.django_db
def test_the_letters_of_a_batch_share_drafts_and_the_next_batch_sees_an_edit(rule, mailoutbox):
    organisation = make_organisation()
    wording = wording_of(rule)
    link = make_invitation(rule.touchpoint, make_customer(name="Li & Na"), rule=rule)
    drafts = {}
    first = compose(link, organisation, wording, "li@example.com", drafts=drafts)
    assert first == compose(link, organisation, wording, "li@example.com")
    assert [draft.script.subject for draft in drafts.values()] == [rule.letter["subject"]["en"]]
    waiting = {"status": "scheduled", "attempted_at": None, "sent_at": None, "expires_at": None, "send_at": NOW}
    rule.save()
    for text in ("Before", "After"):
        rule.letter["opening"] = {"en": text}
        rule.save()
        make_invitation(rule.touchpoint, make_customer(), rule=rule, **waiting)
        deliver_due(NOW)
    assert ["Before" in mail.body for mail in mailoutbox] == [True, False]
    assert "After" in mailoutbox[1].alternatives[0][0]


def message_of(letter: Letter) -> EmailMultiAlternatives:
    message = EmailMultiAlternatives(
        letter.subject,
        letter.text,
        from_email=letter.sender or None,
        to=[letter.to],
        reply_to=[letter.reply_to] if letter.reply_to else None,
        headers={"Message-ID": letter.message_id, **letter.headers},
    )
    message.attach_alternative(letter.html, "text/html")
    return message


def read(mail: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]], list[object]]:
    """A mail as a program reads it: headers, parts, and what was wrong."""
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    headers = [
        (
            name,
            " ".join(str(value).split()),
        )  # Django begins a long subject in its second line, which then starts with a space
        for name, value in parsed.items()
        if name not in ("Date", "Content-Type")
    ]
    parts = [
        (str(part["Content-Type"]), str(part["Content-Transfer-Encoding"]), part.get_content())
        for part in parsed.iter_parts()
    ]
    defects = [*parsed.defects, *(defect for part in parsed.walk() for defect in part.defects)]
    return sorted(headers), parts, defects


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_built_quickly_reads_as_what_the_standard_library_builds(rule, language):
    for letter, _plain in letters_of(rule, language, is_reminder=language == "de"):
        message = message_of(letter)
        quick = mail_bytes(message)
        assert quick is not None, letter.subject
        assert read(quick) == read(message.message().as_bytes(linesep="\r\n"))
        assert b"\n" not in quick.replace(b"\r\n", b"")
        assert max(map(len, quick.split(b"\r\n"))) <= 998
        assert max(map(len, quick.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 78
        assert not any(name == "Bcc" for name, _value in read(quick)[0])


LETTER = Letter(
    "li@example.com",
    "How was it?",
    "Hello\n",
    "<p>Hello</p>\n",
    "<1@example.org>",
    {"X-Note": "a"},
    "Tea <tea@example.org>",
)


@pytest.mark.parametrize(
    "strange",
    [
        {"to": "lí@example.com"},
        {"to": "li@example.com\r\nBcc: all@example.com"},
        {"to": '"li na"@example.com'},
        {"to": "li@例子.example"},
        {"text": "x" * 999},
        {"html": "é" * 500},
        {"text": "\ud800"},
        {"headers": {"X-Long": "x" * 999}},
        {"headers": {"To": "all@example.com"}},
    ],
    ids=lambda strange: next(iter(strange)),
)
def test_what_is_out_of_the_ordinary_goes_the_standard_way(strange):
    fields = {name: getattr(LETTER, name) for name in Letter.__slots__}
    assert mail_bytes(message_of(LETTER)) is not None
    assert mail_bytes(message_of(Letter(**fields | strange))) is None


@pytest.mark.parametrize("field", ["subject", "sender", "reply_to", "message_id", "X-Note"])
def test_no_value_can_add_a_header(field):
    text = "Tea <tea@example.org>\r\nBcc: all@example.com"
    fields = {name: getattr(LETTER, name) for name in Letter.__slots__}
    fields |= {"headers": {field: text}} if field == "X-Note" else {field: text}
    with pytest.raises(BadHeaderError):
        mail_bytes(message_of(Letter(**fields)))


# --- To the server ---


@pytest.fixture(params=[False, True], ids=["step by step", "pipelining"])
def carrier(request, settings, smtp_sink):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    smtp_sink.pipelining = request.param
    with channel.connect() as carrier:
        yield carrier


def letter_to(address: str, text: str = "Hello\n") -> Letter:
    return Letter(address, "How was it?", text, "<p>Hello</p>\n", f"<{address}>", {}, "Tea <tea@example.org>")


def test_a_mail_arrives_whole_whoever_was_refused_before_it(carrier, smtp_sink):
    smtp_sink.refuse = {"never@example.com": "550 5.1.1 no such user", "later@example.com": "451 4.7.1 greylisted"}
    said = [carrier.send(letter_to(f"{name}@example.com")) for name in ("never", "later")]
    assert [(outcome.result, outcome.detail) for outcome in said] == [
        ("permanent", "550 5.1.1 no such user"),
        ("temporary", "451 4.7.1 greylisted"),
    ]
    text = "One\n.\n.two\n..three\n\n"
    assert carrier.send(letter_to("li@example.com", text)).result == "sent"
    [(recipient, mail)] = smtp_sink.messages
    assert (recipient, smtp_sink.connections) == ("li@example.com", 1)
    assert mail.get_body(("plain",)).get_content().replace("\r\n", "\n") == text
    assert mail["From"] == "Tea <tea@example.org>"


def test_a_server_that_closes_is_away_and_asked_anew_for_the_next_mail(carrier, smtp_sink):
    smtp_sink.refuse_all = "421 4.3.2 closing"
    outcome = carrier.send(letter_to("li@example.com"))
    assert (outcome.result, outcome.carrier_away) == ("temporary", True)
    smtp_sink.refuse_all = ""
    assert carrier.send(letter_to("li@example.com")).result == "sent"
    assert smtp_sink.connections == 2


class Server(smtplib.SMTP):
    """A server's side of the conversation, as a list of what it says."""

    def __init__(self, *replies: tuple[int, bytes]) -> None:
        super().__init__()
        self.replies = list(replies)
        self.written = b""
        self.is_closed = False
        self.ehlo_resp, self.does_esmtp, self.esmtp_features = b"", True, {"pipelining": "", "size": "1000"}

    def send(self, s):
        self.written += s.encode() if isinstance(s, str) else s

    def getreply(self):
        if not self.replies:
            raise smtplib.SMTPServerDisconnected("it was asked more than it said")
        return self.replies.pop(0)

    def close(self):
        self.is_closed = True


OK, GO = (250, b"OK"), (354, b"go on")
ASKED = b"mail FROM:<tea@example.org> size=7\r\nrcpt TO:<li@example.com>\r\ndata\r\n"
MAIL = b"a\r\n.b\r\n"


@pytest.mark.parametrize(
    ("replies", "error", "then"),
    [
        ([OK, OK, GO, OK], None, b"a\r\n..b\r\n.\r\n"),
        ([OK, (251, b"forwarded"), GO, OK], None, b"a\r\n..b\r\n.\r\n"),
        ([(550, b"not you"), (503, b"no"), (503, b"no"), OK], smtplib.SMTPSenderRefused, b"rset\r\n"),
        ([(550, b"not you"), OK, GO, (554, b"nobody"), OK], smtplib.SMTPSenderRefused, b".\r\nrset\r\n"),
        ([OK, (550, b"who?"), GO, (554, b"nobody"), OK], smtplib.SMTPRecipientsRefused, b".\r\nrset\r\n"),
        ([OK, (550, b"who?"), (503, b"no"), OK], smtplib.SMTPRecipientsRefused, b"rset\r\n"),
        ([OK, OK, (451, b"later"), OK], smtplib.SMTPDataError, b"rset\r\n"),
        ([OK, OK, GO, (552, b"too big"), OK], smtplib.SMTPDataError, b"a\r\n..b\r\n.\r\nrset\r\n"),
        ([(421, b"bye")], smtplib.SMTPSenderRefused, b""),
        ([OK, (421, b"bye")], smtplib.SMTPRecipientsRefused, b""),
        ([OK, OK, (421, b"bye")], smtplib.SMTPDataError, b""),
        ([OK, OK, GO, (421, b"bye")], smtplib.SMTPDataError, b"a\r\n..b\r\n.\r\n"),
        ([OK, OK, GO], smtplib.SMTPServerDisconnected, b"a\r\n..b\r\n.\r\n"),
    ],
)
def test_each_reply_is_understood_as_when_it_is_asked_for_alone(replies, error, then):
    server = Server(*replies)
    if error is None:
        send_bytes(server, "<tea@example.org>", "li@example.com", MAIL)
    else:
        with pytest.raises(error):
            send_bytes(server, "<tea@example.org>", "li@example.com", MAIL)
    assert server.written == ASKED + then
    assert server.replies == []
    assert server.is_closed == any(code == 421 for code, _text in replies)
