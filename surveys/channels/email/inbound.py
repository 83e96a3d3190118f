"""Mails that the provider of EMAIL_URL receives for us, through anymail's own webhook views. In: requests. Out: messages as bytes.

What they mean is decided in flow/take_mail.py. Nothing is fetched: a provider whose posts do not hold the mail itself is not heard.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.views.generic import View

from surveys.channels.email.tracking import read_events, webhook_view
from surveys.letters import Unreadable

# Providers whose posts hold the mail; Amazon's and Resend's only name it.
_HOLD = frozenset(
    {"brevo", "mailersend", "mailgun", "mailjet", "mandrill", "postal", "postmark", "sendgrid", "sparkpost"}
)


def view() -> type[View] | None:
    """Anymail's view for mails; None where nobody may bring us any. Raises as tracking.view does."""
    return webhook_view("Inbound") if settings.CX_EMAIL_PROVIDER in _HOLD else None


def read_mails(kind: type[Any], request: HttpRequest) -> list[tuple[bytes, str]]:
    """(message, recipient as the provider says it) of each mail that a request holds. Forged, Unreadable."""
    mails = [event.message for event in read_events(kind, request) if getattr(event, "message", None) is not None]
    try:
        return [(_envelope(mail) + mail.as_bytes(), mail.envelope_recipient or "") for mail in mails]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None


def _envelope(mail: Any) -> bytes:
    """A mail without a sender is a bounce, which providers say beside it."""
    return b"Return-Path: <>\n" if mail.envelope_sender in ("", "<>") else b""
