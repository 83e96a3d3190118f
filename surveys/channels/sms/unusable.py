"""An SMS_URL that nobody understands. In: Letters. Out: word that they have to wait, and why; what they say is not lost."""

import contextlib
from collections.abc import Iterator

from surveys.channels.sms.shape import Forged, IncomingText, Report, Thanks, Webhook
from surveys.letters import DETAIL_MAX, Letter, Outcome


class Unusable:
    """In the place of a provider until SMS_URL is mended."""

    name = ""  # no webhook is its own
    takes_replies = False
    thanks = Thanks()

    def __init__(self, problem: str) -> None:
        self.problem = problem

    @contextlib.contextmanager
    def connect(self) -> Iterator["Unusable"]:
        yield self

    def send(self, letter: Letter) -> Outcome:
        return Outcome("temporary", self.problem[:DETAIL_MAX], carrier_away=True)

    def verify(self, webhook: Webhook) -> None:
        raise Forged("there is no provider to hear from")

    def read_texts(self, webhook: Webhook) -> list[IncomingText]:
        return []

    def read_reports(self, webhook: Webhook) -> list[Report]:
        return []
