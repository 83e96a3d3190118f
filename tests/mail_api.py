"""A real HTTP server in the place of a provider of email, and what such a provider posts to us."""

import base64
import hmac
import json
import re
from collections.abc import Callable
from typing import Any

from cxsurvey.carriers import read_email_url
from tests.sms_server import Request, SmsServer

BASE_URL = "https://cx.example.org"
SECRET = "s3cret"


class MailApi(SmsServer):
    """One provider at a time takes every letter as it does in its documentation, and gives it a name."""

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.settings = settings
        self.use("mailgun")

    def use(self, name: str) -> "MailApi":
        """The provider that EMAIL_URL names from now on."""
        url, self.answer = _FORMS[name]
        self.set_url(url.format(url=self.url, secret=SECRET))
        return self

    def set_url(self, url: str) -> None:
        carrier = read_email_url(url, BASE_URL)
        self.settings.BASE_URL = BASE_URL
        self.settings.CX_EMAIL_PROVIDER, self.settings.CX_EMAIL_PROBLEM = carrier.provider, carrier.problem
        self.settings.CX_EMAIL_IS_HEARD = carrier.is_heard
        for name, value in carrier.settings.items():
            setattr(self.settings, name, value)

    @property
    def letters(self) -> list[str]:
        """To whom Mailgun was asked to write."""
        return [fields_of(request)["to"] for request in self.requests]


def fields_of(request: Request) -> dict[str, str]:
    """Mailgun's form, which is plain where nothing is attached, else multipart."""
    kind = request.headers["content-type"]
    if not kind.startswith("multipart"):
        return request.form
    boundary = kind.partition("boundary=")[2]
    parts = (part.partition("\r\n\r\n") for part in request.body.split(f"--{boundary}"))
    named = ((re.search(r'name="([^"]*)"', head), body) for head, _gap, body in parts)
    return {found[1]: body.removesuffix("\r\n") for found, body in named if found}


def _mailgun(request: Request) -> tuple[int, Any, dict[str, str]]:
    return 200, {"id": fields_of(request)["h:Message-Id"], "message": "Queued. Thank you."}, {}


def _postmark(request: Request) -> tuple[int, Any, dict[str, str]]:
    to = request.json["To"]
    return 200, {"To": to, "MessageID": f"pm-{to}", "ErrorCode": 0, "Message": "OK"}, {}


def _mandrill(request: Request) -> tuple[int, Any, dict[str, str]]:
    to = request.json["message"]["to"][0]["email"]
    return 200, [{"email": to, "status": "sent", "_id": f"md-{to}", "reject_reason": None}], {}


def _sendgrid(request: Request) -> tuple[int, Any, dict[str, str]]:
    return 202, "", {}


_FORMS: dict[str, tuple[str, Callable[[Request], tuple[int, Any, dict[str, str]]]]] = {
    "mailgun": ("mailgun://key-1@/?sender_domain=mg.example.com&api_url={url}/v3", _mailgun),
    "postmark": ("postmark://token@/?api_url={url}/&webhook_secret={secret}", _postmark),
    "mandrill": ("mandrill://key@/?api_url={url}/api/1.0&webhook_key={secret}", _mandrill),
    "sendgrid": ("sendgrid://key@/?api_url={url}/v3/&webhook_secret={secret}", _sendgrid),
}


# --- What providers post ----------------------------------------------------------------------------------------------


def mailgun_event(
    event: str, message_id: str, *, key: str = "key-1", token: str = "t1", **fields: Any
) -> dict[str, Any]:
    """One event in Mailgun's form, signed."""
    signature = hmac.new(key.encode(), f"1700000000{token}".encode(), "sha256").hexdigest()
    data = {
        "event": event,
        "timestamp": 1700000000.5,
        "recipient": "li@example.com",
        "message": {"headers": {"message-id": message_id.strip("<>")}},
        **fields,
    }
    return {"signature": {"timestamp": "1700000000", "token": token, "signature": signature}, "event-data": data}


def basic(secret: str = SECRET, user: str = "cxsurvey") -> dict[str, str]:
    """The header of who knows the secret."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def mandrill_form(*events: dict[str, Any], key: str = SECRET, url: str = f"{BASE_URL}/email/status/mandrill/") -> Any:
    """(form, headers) as Mandrill posts them."""
    form = {"mandrill_events": json.dumps(events)}
    signed = url + "".join(name + form[name] for name in sorted(form))
    signature = base64.b64encode(hmac.new(key.encode(), signed.encode(), "sha1").digest()).decode()
    return form, {"X-Mandrill-Signature": signature}
