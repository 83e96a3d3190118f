"""The local mailbox: Django's email backend until EMAIL_URL names a server. In: messages. Out: SentMessage rows."""

from collections.abc import Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from surveys.models import SentMessage


class MailboxBackend(BaseEmailBackend):
    """Keeps every message where staff can open it; nothing leaves the machine."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        rows = [
            as_row(message.message(), recipient) for message in email_messages for recipient in message.recipients()
        ]
        SentMessage.objects.bulk_create(rows)
        return len(email_messages)


def as_row(message: Message, recipient: str, at: Any = None) -> SentMessage:
    """One unsaved SentMessage of a built MIME message."""
    parts = {"text/plain": "", "text/html": ""}
    for part in message.walk():
        if part.get_content_type() in parts and not part.is_multipart():
            payload = part.get_payload(decode=True)
            text = (
                payload.decode(part.get_content_charset() or "utf-8", "replace") if isinstance(payload, bytes) else ""
            )
            parts[part.get_content_type()] = parts[part.get_content_type()] or text
    return SentMessage(
        at=at or timezone.now(),
        to=recipient[:254],
        subject=_readable(message.get("Subject", ""))[:500],
        message_id=str(message.get("Message-ID", ""))[:200],
        headers=[[key, _readable(value)] for key, value in message.items()],
        text=parts["text/plain"],
        html=parts["text/html"],
    )


def _readable(header: Any) -> str:
    """A header as a mail program shows it: its encoded words (RFC 2047) decoded."""
    try:
        return str(make_header(decode_header(str(header))))
    except (HeaderParseError, LookupError, ValueError):
        return str(header)
