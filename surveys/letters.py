"""What passes between delivery and a channel. In: a Letter. Out: an Outcome. No database here."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    `in_doubt`: the message was handed over and nothing came back; it may have arrived.
    """

    result: str
    detail: str = ""
    carrier_away: bool = False
    reference: str = ""
    retry_after_s: int = 0
    in_doubt: bool = False
