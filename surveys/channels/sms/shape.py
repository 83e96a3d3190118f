"""What every SMS provider is: how it is asked to send, and how its webhooks are read. No network and no database here."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from surveys.letters import BOUNCED, DELIVERED, FAILED, Forged, Letter, Outcome, Report, Unreadable

__all__ = [
    "BOUNCED", "DELIVERED", "FAILED", "Carrier", "Forged", "IncomingText", "Provider", "Report", "Thanks", "Unreadable", "Webhook",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request to us. `url` is the public one, with its query; names of `headers` are in small letters."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    form: Mapping[str, str]
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IncomingText:
    """What somebody texted us. `message_id` is the provider's, "" where it has none; `sender` an E.164 number.

    `answered`: the provider itself has replied (to STOP and the like), so we do not.
    """

    message_id: str
    sender: str
    text: str
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Thanks:
    """What a provider wants to read back, so that it does not send the same again."""

    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


class Carrier(Protocol):
    def send(self, letter: Letter) -> Outcome: ...


class Provider(Protocol):
    name: str  # as in the addresses of its webhooks
    takes_replies: bool  # customers can answer by texting back

    def connect(self) -> AbstractContextManager[Carrier]: ...

    def verify(self, webhook: Webhook) -> None:
        """Forged where it is not the provider's."""

    def read_texts(self, webhook: Webhook) -> list[IncomingText]:
        """Unreadable where it is not what it should be."""

    def read_reports(self, webhook: Webhook) -> list[Report]:
        """Those that settle something; a message that is only on its way is none."""

    @property
    def thanks(self) -> Thanks: ...
