"""What passes between delivery and a channel, and which texts of a letter a rule may word itself. No database here.

In: a Letter. Out: an Outcome, and later Reports.
"""

import re
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


# What a rule may word itself, by the key in the programme file; where it is silent, the phrase of the same key speaks.
LETTER_TEXTS = ("subject", "opening", "closing", "reminder_subject", "reminder_opening", "reminder_closing")
SUBJECT, PASSAGE = 150, 1000  # the longest, in characters
LETTER_PLACES = ("organisation", "touchpoint", "name")  # what is filled in, in braces
UNSUBSCRIBE_SUBJECT = "unsubscribe-"  # of a mail that unsubscribes; the invitation's token follows
_PLACE = re.compile(r"\{([^{}\s]*)\}")
_NAMELESS_FIRST = re.compile(r"^\{name\}[\s,，、:：!！]*")
_NAMELESS_LAST = re.compile(r"[\s,，、]*\{name\}(?=\s*([.?!。？！,，:：)）]|$))")
_NAMELESS = re.compile(r"\s*\{name\}")


def is_one_line(key: str) -> bool:
    """Whether a text of LETTER_TEXTS is a subject."""
    return key.endswith("subject")


def longest_of(key: str) -> int:
    """How many characters a text of LETTER_TEXTS may have."""
    return SUBJECT if is_one_line(key) else PASSAGE


def strange_letter_places(text: str) -> list[str]:
    """What stands in braces and would be filled with nothing.

    >>> strange_letter_places("{touchpoint}: thank you, {name}, from {organization}")
    ['organization']
    """
    return [place for place in _PLACE.findall(text) if place not in LETTER_PLACES]


def address_by_name(text: str, name: str) -> str:
    """`text` with {name} filled in. Nobody is addressed by no name: then it goes, with the comma that stood at it.

    >>> address_by_name("Hi {name}, how was it?", "Li Na"), address_by_name("Hi {name}, how was it?", "")
    ('Hi Li Na, how was it?', 'Hi, how was it?')
    >>> address_by_name("{name}, how was it?", ""), address_by_name("How was it, {name}?", "")
    ('How was it?', 'How was it?')
    """
    if "{name}" not in text:
        return text
    if name:
        return text.replace("{name}", name)
    if text.startswith("{name}"):
        text = _NAMELESS_FIRST.sub("", text)
        text = text[:1].upper() + text[1:]
    return _NAMELESS.sub("", _NAMELESS_LAST.sub("", text))


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one address, rendered. `message_id` stays the same when it has to be sent again."""

    to: str
    subject: str
    text: str
    html: str
    message_id: str
    headers: dict[str, str] = field(default_factory=dict)
    # Whom it is from and who reads an answer, as a header has it, such as "Harbour Tea <hello@example.com>"; "" for the deployment's.
    sender: str = ""
    reply_to: str = ""
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
