"""The local mailbox: Django's email backend until EMAIL_URL names a server. In: messages. Out: SentMessage rows."""

from collections.abc import Callable, Sequence
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import format_datetime
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from surveys.models import SentMessage


class MailboxBackend(BaseEmailBackend):
    """Keeps every message where staff can open it; nothing leaves the machine. `clock` gives each message its date."""

    def __init__(self, fail_silently: bool = False, clock: Callable[[], datetime] = timezone.now, **_: Any) -> None:
        super().__init__(fail_silently=fail_silently)
        self.clock = clock

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        SentMessage.objects.bulk_create(row for message in email_messages for row in self.rows_of(message))
        return len(email_messages)

    def rows_of(self, message: EmailMessage) -> list[SentMessage]:
        """One unsaved row per recipient."""
        at = self.clock()
        message.extra_headers.setdefault("Date", format_datetime(at))
        built = message.message()
        return [as_row(built, recipient, at) for recipient in message.recipients()]


class NobodyBackend(BaseEmailBackend):
    """In the place of a carrier that EMAIL_URL does not name in a way that anybody understands: mail waits until it is mended."""

    def open(self) -> bool:
        raise ConnectionError(settings.CX_EMAIL_PROBLEM)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        raise ConnectionError(settings.CX_EMAIL_PROBLEM)


def as_row(message: Message, recipient: str, at: datetime) -> SentMessage:
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
        at=at,
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
