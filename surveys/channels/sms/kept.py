"""No provider: texts stay where staff can read them. In: Letters. Out: SentMessage rows; nothing leaves the machine."""

import contextlib
from collections.abc import Iterator

from django.utils import timezone

from surveys.channels.sms.shape import Forged, IncomingText, Report, Thanks, Webhook
from surveys.letters import Letter, Outcome
from surveys.models import SentMessage

SUBJECT_MAX = 200


class Kept:
    """The local mailbox, as an SMS provider. Nobody can text back to it."""

    name = "kept"
    takes_replies = False
    thanks = Thanks()

    @contextlib.contextmanager
    def connect(self) -> Iterator["Kept"]:
        yield self

    def send(self, letter: Letter) -> Outcome:
        SentMessage.objects.create(
            at=timezone.now(),
            mode="sms",
            to=letter.to,
            subject=" ".join(letter.text.split())[:SUBJECT_MAX],
            message_id=letter.message_id,
            text=letter.text,
        )
        return Outcome("sent", reference=letter.message_id)

    def verify(self, webhook: Webhook) -> None:
        raise Forged("there is no provider to hear from")

    def read_texts(self, webhook: Webhook) -> list[IncomingText]:
        return []

    def read_reports(self, webhook: Webhook) -> list[Report]:
        return []
