"""What mail servers say of a letter by mail. In: a message's bytes. Out: the letter's Message-ID, to whom, and what became of it.

A relay that takes every letter writes back when it could not bring one (a delivery status notification, RFC 3464), and a mailbox
provider when somebody called one spam (ARF, RFC 5965). Nothing of the letter's text is read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.utils import getaddresses

from surveys.channels.email.refusals import OURS, RECIPIENT, judge
from surveys.letters import BOUNCED, COMPLAINED, DEFERRED, DELIVERED, DETAIL_MAX, FAILED, SOFT

_MESSAGE_ID = re.compile(r"<[^<>\s]{3,190}>")


@dataclass(frozen=True, slots=True)
class Mailed:
    """One thing said of one letter. `recipients`: the addresses that it names, as they stand there."""

    message_id: str
    recipients: tuple[str, ...]
    kind: str
    detail: str = ""


def read_mailed(message: bytes) -> list[Mailed]:
    """Nothing where the mail is none of these, or does not quote which letter it speaks of."""
    mail = BytesParser().parsebytes(message)
    if mail.get_content_type() != "multipart/report" or not mail.is_multipart():
        return []
    quoted = _quoted(mail)
    found = _MESSAGE_ID.search(str(quoted.get("Message-ID", ""))) if quoted is not None else None
    if found is None:
        return []
    to = _addresses(quoted)
    kind = str(mail.get_param("report-type", "")).lower()
    if kind == "feedback-report":
        says = _fields(mail, "message/feedback-report")
        is_abuse = any(str(fields.get("Feedback-Type", "")).strip().lower() == "abuse" for fields in says)
        return [Mailed(found[0], to, COMPLAINED, "feedback report")] if is_abuse else []
    if kind != "delivery-status":
        return []
    return [
        Mailed(found[0], (*_addresses(fields), *to), said, _detail(fields))
        for fields in _fields(mail, "message/delivery-status")
        if (said := _kind(fields))
    ]


def _kind(fields: Message) -> str:
    """By the action, and for a failure by whose fault it is; "" for what is no news, and for the part about the server."""
    action = str(fields.get("Action", "")).strip().lower()
    if action in ("delayed", "delivered"):
        return DEFERRED if action == "delayed" else DELIVERED
    if action != "failed":
        return ""
    status = str(fields.get("Status", "")).strip()
    verdict = judge(550, f"{status} {_diagnosis(fields)}")
    if status.startswith("4") and not status.startswith("4.7"):
        return SOFT  # the relay has tried for as long as it tries
    return {RECIPIENT: BOUNCED, OURS: FAILED}.get(verdict, SOFT)


def _diagnosis(fields: Message) -> str:
    return " ".join(str(fields.get("Diagnostic-Code", "")).partition(";")[2].split())


def _detail(fields: Message) -> str:
    return f"{fields.get('Status', '')} {_diagnosis(fields)}".strip()[:DETAIL_MAX]


def _fields(mail: Message, content_type: str) -> Iterator[Message]:
    """Each group of fields in the parts of this kind."""
    for part in mail.walk():
        if part.get_content_type() == content_type:
            payload = part.get_payload()
            if isinstance(payload, list):
                yield from (group for group in payload if isinstance(group, Message))
            else:
                yield BytesParser().parsebytes(part.get_payload(decode=True) or b"")  # type: ignore[arg-type]


def _quoted(mail: Message) -> Message | None:
    """The headers of our letter, which stand in the last part: whole, or alone."""
    for part in mail.walk():
        if part.get_content_type() == "message/rfc822":
            payload = part.get_payload()
            if isinstance(payload, list) and payload and isinstance(payload[0], Message):
                return payload[0]
        if part.get_content_type() == "text/rfc822-headers":
            body = part.get_payload(decode=True)
            return BytesParser().parsebytes(body) if isinstance(body, bytes) else None
    return None


def _addresses(fields: Message | None) -> tuple[str, ...]:
    if fields is None:
        return ()
    named = [str(fields[name]).partition(";")[2] for name in ("Original-Recipient", "Final-Recipient") if fields[name]]
    named += [address for _name, address in getaddresses([str(value) for value in fields.get_all("To", [])])]
    return tuple(address.strip().strip("<>") for address in named if address.strip())
