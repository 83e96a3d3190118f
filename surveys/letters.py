"""What passes between delivery and a channel. In: a Letter. Out: an Outcome, and later Reports. No database here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

DETAIL_MAX = 500
RETRY_MAX_S = 86_400

# What carriers report. Final: DELIVERED, FAILED (this message), REJECTED (not even tried), SOFT (did not get there, another one may),
# BOUNCED (nothing will ever reach this address). Not final: DEFERRED (the carrier goes on trying). COMPLAINED and UNSUBSCRIBED are
# the person's own word.
DELIVERED, FAILED, REJECTED, SOFT, BOUNCED = "delivered", "failed", "rejected", "soft", "bounced"
DEFERRED, COMPLAINED, UNSUBSCRIBED = "deferred", "complained", "unsubscribed"


class Forged(Exception):
    """A webhook that does not carry its provider's signature or secret."""


class Unreadable(Exception):
    """A webhook that is the provider's and not what the provider should send."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one address, rendered. `message_id` stays the same when it has to be sent again."""

    to: str
    subject: str
    text: str
    html: str
    message_id: str
    headers: dict[str, str] = field(default_factory=dict)
    # For carriers that send by a template of their own: `kind` (invitation, reply), `language`, `url` and other names to fill in.
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` is "sent", "temporary" (try again later) or "permanent" (this address will never work).

    `carrier_away`: nothing was asked about this address; the carrier itself could not be reached.
    `reference`: the carrier's own name for the message, by which its receipts call it. `retry_after_s`: not sooner, it says.
    `soft`: temporary, and the address is to blame (its mailbox is full); what is to blame otherwise says nothing of the address.
    `in_doubt`: the message was handed over and nothing came back; it may have arrived.
    """

    result: str
    detail: str = ""
    carrier_away: bool = False
    reference: str = ""
    retry_after_s: int = 0
    soft: bool = False
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a message, by the carrier's reference, in one of the words above."""

    reference: str
    kind: str
    detail: str = ""


def retry_after_s(headers: Mapping[str, str]) -> int:
    """Seconds of Retry-After, given as a number or a date (RFC 9110); 0 where there is none."""
    given = headers.get("Retry-After", "").strip()
    if given.isascii() and given.isdigit():
        return min(int(given[:9]), RETRY_MAX_S)
    try:
        now = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
        seconds = (parsedate_to_datetime(given) - now).total_seconds()
    except (ValueError, TypeError):
        return 0
    return int(min(max(seconds, 0), RETRY_MAX_S))
