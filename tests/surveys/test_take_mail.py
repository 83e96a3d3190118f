"""Unsubscribing by mail: the token of a letter, and nothing else, in whatever a mail server hands over."""

import hmac
import json
import os
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection

from surveys.channels.email import inbound
from surveys.flow.compose import unsubscribe_header
from surveys.flow.take_mail import HEADERS_MAX, Taken, take_mail
from surveys.models import Invitation, Suppression
from tests.factories import NOW, make_customer, make_invitation, make_organisation
from tests.mail_api import basic

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent.parent
OURS = "unsubscribe@cx.example.org"


@pytest.fixture(autouse=True)
def invitation(settings) -> Invitation:
    settings.UNSUBSCRIBE_MAILTO = OURS
    make_organisation()
    return make_invitation(customer=make_customer(email="li@example.com"), token="abcDEF_-0123456789wxyz")


def mail(subject: str = "", to: str = OURS, **headers: str) -> bytes:
    message = EmailMessage()
    message["From"] = headers.pop("From", "Li <li@example.com>")
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = "<m@example.com>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("unsubscribe-abcDEF_-0123456789wxyz, as it were")
    return message.as_bytes()


def suppressed() -> int:
    return Suppression.objects.filter(of_person=False).count()


def test_what_a_letters_header_makes_a_mail_program_write_unsubscribes(invitation):
    header = unsubscribe_header("https://cx.example.org/u/x/", invitation.token)
    address, _mark, subject = header.split("<mailto:")[1].rstrip(">").partition("?subject=")
    assert address == OURS
    assert take_mail(mail(subject), NOW) == Taken.UNSUBSCRIBED
    assert suppressed() == 1
    assert take_mail(mail(subject), NOW) == Taken.UNSUBSCRIBED
    assert suppressed() == 1


@pytest.mark.parametrize(
    "subject",
    [
        "UNSUBSCRIBE-abcDEF_-0123456789wxyz",
        "[EXTERNAL] unsubscribe-abcDEF_-0123456789wxyz",
        "退订 unsubscribe-abcDEF_-0123456789wxyz",
        "  unsubscribe-abcDEF_-0123456789wxyz.",
    ],
)
def test_the_token_is_found_whatever_stands_around_it(subject):
    assert take_mail(mail(subject), NOW) == Taken.UNSUBSCRIBED


@pytest.mark.parametrize("header", ["To", "Delivered-To", "X-Original-To", "recipient"])
def test_the_token_is_found_behind_the_plus_of_our_address(header, settings):
    address = "unsubscribe+abcDEF_-0123456789wxyz@cx.example.org"

    def take() -> Taken:
        if header == "recipient":
            return take_mail(mail("Stop"), NOW, address)
        headers = {} if header == "To" else {header: address}
        return take_mail(mail("Stop", to=f'"Tea, stop" <{address}>' if header == "To" else OURS, **headers), NOW)

    assert take() == Taken.UNSUBSCRIBED
    settings.UNSUBSCRIBE_MAILTO = "other@cx.example.org"
    assert take() == Taken.NO_TOKEN


GOOD = "unsubscribe-abcDEF_-0123456789wxyz"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (mail("Re: How was it? Delivery – Harbour Tea", In_Reply_To="<abcDEF_-0123456789wxyz@cx.example.org>"), "no token"),
        (mail("unsubscribe"), "no token"),
        (mail("unsubscribe-ABCdef_-0123456789wxyz"), "unknown token"),
        (mail("unsubscribe-abcDEF_-0123456789wxy"), "unknown token"),
        (mail("unsubscribe-abcDEF_-0123456789wxyz0"), "unknown token"),
        (mail(f"unsubscribe-{'x' * 40}"), "no token"),
        (mail("unsubscribe-test"), "no token"),
        (mail("unsubscribe-abc' OR 1=1 --            "), "no token"),
        (mail(GOOD, Auto_Submitted="auto-replied"), "automatic reply"),
        (mail(GOOD, Auto_Submitted="auto-notified; owner-email=x@example.com"), "automatic reply"),
        (mail(GOOD, Precedence="auto_reply"), "automatic reply"),
        (mail(GOOD, X_Autoreply="yes"), "automatic reply"),
        (mail(GOOD, Return_Path="<>"), "bounce"),
        (mail(GOOD, From="Mail Delivery <MAILER-DAEMON@mx.example.com>"), "bounce"),
        (mail(GOOD).replace(b"text/plain", b"multipart/report; report-type=delivery-status; boundary=x"), "bounce"),
        (b"", "no token"),
        (b"\x00\xff\xfe" * 1000, "no token"),
        (b"Subject: =?utf-8?b?////?= =?no-such-charset?q?x?=\n\n", "no token"),
        (b"Subject: " + b"x" * 5_000_000, "no token"),
        (b"X: y\r\n" * 200_000 + b"Subject: " + GOOD.encode() + b"\r\n\r\n", "no token"),
        (b"To: " + b"<" * 50_000 + b"\n\n", "no token"),
        (b"To: a+abcDEF_-0123456789wxyz@\xff\xfe\nTo: \xc3\x28\n\n", "no token"),
    ],
)  # fmt: skip
def test_whatever_else_comes_changes_nothing_and_never_fails(message, expected):
    assert take_mail(message, NOW) == expected
    assert suppressed() == 0


def test_what_a_program_generated_for_its_user_counts():
    assert take_mail(mail(GOOD, Auto_Submitted="auto-generated"), NOW) == Taken.UNSUBSCRIBED
    assert take_mail(b"From li@example.com Fri Nov 20 10:00:00 2026\n" + mail(GOOD), NOW) == Taken.UNSUBSCRIBED


def test_what_is_logged_names_nobody(caplog):
    take_mail(mail("Li Na is away", From="Li Na <li@example.com>"), NOW)
    assert "no token" in caplog.text
    assert "Message-ID '<m@example.com>'" in caplog.text
    assert "Li" not in caplog.text.replace("unsubscribing", "")


# --- Where a provider receives it -------------------------------------------------------------------------------------


def mailgun_form(key: str = "key-1", **fields: str) -> dict[str, str]:
    """What a route of Mailgun forwards, signed."""
    signature = hmac.new(key.encode(), b"1700000000t1", "sha256").hexdigest()
    return {"timestamp": "1700000000", "token": "t1", "signature": signature, "recipient": OURS, **fields}


def test_a_mail_that_mailgun_forwards_unsubscribes_and_a_forged_one_does_not(client, mail_api, settings):
    raw = mail(GOOD).decode()
    path = "/email/inbound/mailgun/"
    assert client.post(path, mailgun_form("another-key", **{"body-mime": raw})).status_code == 403
    assert client.post(path, mailgun_form(sender="", **{"body-mime": raw})).status_code == 200  # a bounce
    assert suppressed() == 0
    assert client.post(path, mailgun_form(sender="li@example.com", **{"body-mime": raw})).status_code == 200
    assert suppressed() > 0
    Suppression.objects.all().delete()
    parsed = {"subject": GOOD, "from": "li@example.com", "To": OURS, "body-plain": "", "message-headers": "[]"}
    assert client.post(path, mailgun_form(**parsed)).status_code == 200
    assert client.post(path, mailgun_form(**{"attachment-count": "many"})).status_code == 400
    assert client.post("/email/inbound/postmark/", {}).status_code == 404


def test_a_mail_that_postmark_posts_unsubscribes_by_the_plus_of_its_recipient(client, mail_api):
    mail_api.use("postmark")
    event = {
        "FromFull": {"Email": "li@example.com"}, "ToFull": [{"Email": OURS}], "Subject": "Stop", "TextBody": "x",
        "OriginalRecipient": "unsubscribe+abcDEF_-0123456789wxyz@cx.example.org",
    }  # fmt: skip

    def post(**headers: str) -> int:
        body = json.dumps(event)
        return client.post(
            "/email/inbound/postmark/", body, content_type="application/json", headers=headers
        ).status_code

    assert post(**basic("guess")) == post() == 403
    assert suppressed() == 0
    assert post(**basic()) == 200
    assert suppressed() > 0


@pytest.mark.parametrize("name", sorted(inbound._HOLD))
def test_each_provider_that_may_bring_mails_has_a_view_for_them(settings, name):
    settings.CX_EMAIL_PROVIDER, settings.CX_EMAIL_IS_HEARD = name, True
    settings.ANYMAIL = {
        f"{name.upper()}_{key}": "x" for key in ("API_KEY", "WEBHOOK_KEY", "SIGNING_SECRET", "INBOUND_SECRET")
    }
    assert inbound.view() is not None
    settings.CX_EMAIL_PROVIDER = "amazon_ses"
    assert inbound.view() is None


# --- Where a mail server pipes it -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_command_takes_any_mail_and_asks_for_it_again_while_the_database_is_away(settings):
    held = connection.settings_dict
    port = f":{held['PORT']}" if held["PORT"] else ""
    database = f"postgres://{held['USER']}:{held['PASSWORD']}@{quote(held['HOST'], safe='')}{port}/{held['NAME']}"

    def run(message: bytes, database_url: str = database) -> int:
        command = [sys.executable, "manage.py", "take_mail", "--recipient", OURS]
        environment = {
            **os.environ, "DATABASE_URL": database_url, "REDIS_URL": settings.REDIS_URL, "UNSUBSCRIBE_MAILTO": OURS,
        }  # fmt: skip
        done = subprocess.run(command, input=message, cwd=ROOT, env=environment, capture_output=True, timeout=60)
        assert done.stdout == b""  # a mail server may send it back to whoever wrote
        return done.returncode

    assert run(mail(GOOD), "postgres://x:y@127.0.0.1:9/none") == 75
    assert suppressed() == 0
    assert run(b"\x00" * HEADERS_MAX) == 0
    assert run(mail(GOOD) + b"x" * 3_000_000) == 0
    assert suppressed() == 1
