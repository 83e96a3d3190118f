"""Mail to the address that letters name for unsubscribing. In: a message's bytes, as a mail server hands it over. Out: who is suppressed.

The invitation's token is the only authority, as it is in a link: it stands in the subject ("unsubscribe-TOKEN") or behind the plus of
the address. Only headers are read. A bounce or a complaint goes on to take_report.py. What is anything else, an answer to an
invitation, an automatic reply, changes nothing; none of it is an error, and nothing of its sender or its text is logged.
"""

import logging
import re
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses
from enum import StrEnum

from django.conf import settings

from surveys.flow.take_report import take_report
from surveys.flow.unsubscribe import unsubscribe
from surveys.letters import UNSUBSCRIBE_SUBJECT
from surveys.models import Invitation

logger = logging.getLogger(__name__)

HEADERS_MAX = 64 * 1024  # bytes: what stands behind them is not read
_IN_SUBJECT = re.compile(rf"(?<![\w-])(?i:{UNSUBSCRIBE_SUBJECT})([A-Za-z0-9_-]{{16,32}})(?![\w-])")
_IN_ADDRESS = re.compile(r"([^@+]+)\+([A-Za-z0-9_-]{16,32})(@[^@]+)")
_TO = ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")
_BOUNCERS = ("mailer-daemon", "postmaster")


class Taken(StrEnum):
    """What became of a mail."""

    UNSUBSCRIBED = "unsubscribed"
    UNKNOWN = "unknown token"
    NO_TOKEN = "no token"
    AUTOMATIC = "automatic reply"
    BOUNCE = "bounce"  # of nothing that we know
    REPORT = "report on a letter"


def take_mail(message: bytes, now: datetime, recipient: str = "") -> Taken:
    """Unsubscribe whom a mail speaks for; twice is the same as once. `recipient`: as the mail server says it, "" where it does not.

    Database errors come through: the mail server keeps the mail and brings it again.
    """
    mail = BytesHeaderParser().parsebytes(message[:HEADERS_MAX])
    taken = _take(message[:HEADERS_MAX], mail, now, recipient)
    log = logger.info if taken in (Taken.UNSUBSCRIBED, Taken.REPORT) else logger.warning
    log("Mail for unsubscribing, Message-ID %r: %s.", _header(mail, "Message-ID")[:200], taken.value)
    return taken


def _take(message: bytes, mail: Message, now: datetime, recipient: str) -> Taken:
    if _is_bounce(mail):
        return Taken.REPORT if take_report(message, now) else Taken.BOUNCE
    if _is_automatic_reply(mail):
        return Taken.AUTOMATIC
    token = _token_of(mail, recipient)
    if not token:
        return Taken.NO_TOKEN
    invitation = Invitation.objects.filter(token=token).first()
    if invitation is None:
        return Taken.UNKNOWN
    unsubscribe(invitation, now)
    return Taken.UNSUBSCRIBED


def _token_of(mail: Message, recipient: str) -> str:
    found = _IN_SUBJECT.search(_header(mail, "Subject"))
    if found:
        return found[1]
    headers = [_header(mail, name, at) for name in _TO for at in range(len(mail.get_all(name, [])[:20]))]
    for _name, address in [("", recipient), *getaddresses(headers)]:
        behind_plus = _IN_ADDRESS.fullmatch(address)
        if behind_plus and _is_ours(behind_plus[1] + behind_plus[3]):
            return behind_plus[2]
    return ""


def _is_ours(address: str) -> bool:
    ours = settings.UNSUBSCRIBE_MAILTO
    return not ours or address.lower() == ours.lower()


def _is_bounce(mail: Message) -> bool:
    sender = _header(mail, "From").lower()
    return (
        mail.get_content_type() == "multipart/report"
        or _header(mail, "Return-Path").strip() == "<>"
        or any(f"{name}@" in sender for name in _BOUNCERS)
    )


def _is_automatic_reply(mail: Message) -> bool:
    """RFC 3834, and what came before it. A mail that a program *generated*, such as a button for unsubscribing, is none."""
    submitted = _header(mail, "Auto-Submitted").partition(";")[0].strip().lower()
    is_answer = submitted not in ("", "no", "auto-generated")
    return (
        is_answer
        or _header(mail, "Precedence").strip().lower() in ("auto_reply", "junk")
        or any(name in mail for name in ("X-Autoreply", "X-Autorespond"))
    )


def _header(mail: Message, name: str, at: int = 0) -> str:
    """A header as people read it; as it is where it cannot be decoded, "" where there is none."""
    values = mail.get_all(name, [])
    if at >= len(values):
        return ""
    try:
        return str(make_header(decode_header(str(values[at]))))
    except (HeaderParseError, LookupError, ValueError):
        return str(values[at])
