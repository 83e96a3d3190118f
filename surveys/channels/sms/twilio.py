"""Twilio's REST API (Messages, 2010-04-01) and its signed webhooks. In: Letters, forms. Out: Outcomes, texts, reports.

    twilio://SID:TOKEN@+15551234567            a number of yours: customers can text back
    twilio://SID:TOKEN@MG0123…                 a messaging service
    twilio://SID:TOKEN@HarbourTea              a name: nobody can text back to it
    …?replies=no                               a number whose replies go elsewhere
    …?api=https://api.dublin.ie1.twilio.com    another region, or any service of the same shape

The signature: base64(HMAC-SHA1(token, public URL + each posted name and value, by name)), as in X-Twilio-Signature.
"""

import base64
import contextlib
import hmac
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

import requests
from django.core.exceptions import ImproperlyConfigured

from surveys.channels.sms.posting import json_of, post, said, wrong
from surveys.channels.sms.shape import (
    BOUNCED,
    DELIVERED,
    FAILED,
    Forged,
    IncomingText,
    Report,
    Thanks,
    Unreadable,
    Webhook,
)
from surveys.letters import DETAIL_MAX, Letter, Outcome

API = "https://api.twilio.com"
SHAPE = "SMS_URL is twilio://SID:TOKEN@SENDER (docs/sms.md)."
# Error codes that speak of the number: no number, not a mobile one, out of reach for good, or its owner wrote STOP.
DEAD_NUMBER = frozenset({21211, 21214, 21217, 21610, 21614, 30004, 30005, 30006})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Twilio:
    name = "twilio"
    thanks = Thanks("<Response/>", "text/xml; charset=utf-8")

    def __init__(self, sid: str, token: str, sender: str, *, api: str, base_url: str, takes_replies: bool) -> None:
        self.sid, self.token, self.sender = sid, token, sender
        self.url = f"{api.rstrip('/')}/2010-04-01/Accounts/{sid}/Messages.json"
        # Twilio refuses a message whose callback it could never reach.
        is_public = urlsplit(base_url).hostname not in LOOPBACK
        self.callback = f"{base_url}/sms/status/{self.name}/" if is_public else ""
        self.takes_replies = takes_replies

    @classmethod
    def from_url(cls, url: str, base_url: str) -> "Twilio":
        parts = urlsplit(url)
        account, _at, sender = parts.netloc.rpartition("@")
        sid, _colon, token = account.partition(":")
        if not (sid and token and sender):
            raise ImproperlyConfigured(SHAPE)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        sender = unquote(sender)
        can_reply = bool(re.fullmatch(r"\+?\d{3,15}|MG\w{32}", sender))
        return cls(
            unquote(sid),
            unquote(token),
            sender,
            api=options.get("api", API),
            base_url=base_url,
            takes_replies=can_reply and options.get("replies") != "no",
        )

    @contextlib.contextmanager
    def connect(self) -> "Iterator[TwilioCarrier]":
        with requests.Session() as session:
            yield TwilioCarrier(self, session)

    # --- Webhooks -----------------------------------------------------------------------------------------------------

    def signature(self, url: str, form: Mapping[str, str]) -> str:
        text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
        return base64.b64encode(hmac.new(self.token.encode(), text.encode(), "sha1").digest()).decode()

    def verify(self, webhook: Webhook) -> None:
        given = webhook.headers.get("x-twilio-signature", "")
        if not hmac.compare_digest(given.encode(), self.signature(webhook.url, webhook.form).encode()):
            raise Forged("X-Twilio-Signature does not fit")

    def read_texts(self, webhook: Webhook) -> list[IncomingText]:
        form = webhook.form
        message_id = form.get("MessageSid") or form.get("SmsSid", "")
        if not (message_id and form.get("From") and "Body" in form):
            raise Unreadable("MessageSid, From or Body is missing")
        return [IncomingText(message_id, form["From"], form["Body"], answered=bool(form.get("OptOutType")))]

    def read_reports(self, webhook: Webhook) -> list[Report]:
        form = webhook.form
        reference, status = form.get("MessageSid") or form.get("SmsSid", ""), form.get("MessageStatus", "")
        if not (reference and status):
            raise Unreadable("MessageSid or MessageStatus is missing")
        if status in ("delivered", "read"):
            return [Report(reference, DELIVERED)]
        if status in ("undelivered", "failed", "canceled"):
            code = form.get("ErrorCode", "")
            dead = code.isascii() and code.isdigit() and int(code) in DEAD_NUMBER
            return [Report(reference, BOUNCED if dead else FAILED, f"{status} {code}".strip())]
        return []  # accepted, queued, sending, sent: on its way


class TwilioCarrier:
    """One session with Twilio."""

    def __init__(self, account: Twilio, session: requests.Session) -> None:
        self.account, self.session = account, session

    def send(self, letter: Letter) -> Outcome:
        """Permanent where Twilio's code speaks of the number, temporary for all else: a refusal of ours is ours to mend."""
        account = self.account
        fields = {"To": letter.to, "Body": letter.text}
        fields["MessagingServiceSid" if account.sender.startswith("MG") else "From"] = account.sender
        if account.callback:
            fields["StatusCallback"] = account.callback
        answer = post(self.session, "POST", account.url, data=fields, auth=(account.sid, account.token))
        if isinstance(answer, Outcome):
            return answer
        document = json_of(answer)
        if not isinstance(document, dict):
            return wrong(answer)
        if 200 <= answer.status_code < 300:
            sid = document.get("sid")
            return Outcome("sent", reference=sid) if isinstance(sid, str) and sid else wrong(answer)
        code, message = document.get("code"), document.get("message")
        detail = f"{code} {message}"[:DETAIL_MAX] if code else said(answer)
        return Outcome("permanent" if code in DEAD_NUMBER else "temporary", detail)
