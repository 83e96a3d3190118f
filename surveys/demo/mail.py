"""The demo's way out: the local mailbox, whatever EMAIL_URL says, with the simulated time on each message. Nothing leaves the machine.

In: letters. Out: SentMessage rows, and refusals from mailboxes that are gone, full or slow, as a mail server would put them.
"""

import contextlib
import smtplib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from django.core.mail import EmailMessage

from surveys.channels import email
from surveys.mailbox import MailboxBackend
from surveys.models import Customer, SentMessage

GONE = (550, b"5.1.1 No such mailbox here")
FULL = (452, b"4.3.1 Insufficient system storage")  # of the server: it says nothing of the address
SLOW = (451, b"4.7.1 Greylisted, try again later")


class DemoMailbox(MailboxBackend):
    """A local mailbox at a simulated time. `refuses(address, message)`: what the address's server says, None for yes."""

    def __init__(
        self, clock: Callable[[], datetime], refuses: Callable[[str, EmailMessage], tuple[int, bytes] | None]
    ) -> None:
        super().__init__(clock=clock)
        self.refuses = refuses
        self.taken: list[SentMessage] = []

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            for address in message.recipients():
                refusal = self.refuses(address, message)
                if refusal is not None:
                    raise smtplib.SMTPRecipientsRefused({address: refusal})
            self.taken += self.rows_of(message)
        return len(email_messages)

    def collect(self) -> list[SentMessage]:
        """What came since the last time, now in the database."""
        taken, self.taken = self.taken, []
        return SentMessage.objects.bulk_create(taken)


class DemoEmail:
    """The email channel with another carrier: the same shape as a module of surveys.channels."""

    MODE = email.MODE

    def __init__(self, mailbox: DemoMailbox) -> None:
        self.mailbox = mailbox

    @staticmethod
    def address_of(customer: Customer) -> str:
        return email.address_of(customer)

    @contextlib.contextmanager
    def connect(self) -> Iterator[email.Carrier]:
        yield email.Carrier(self.mailbox)


def channels(mailbox: DemoMailbox) -> Mapping[str, DemoEmail]:
    """What deliver.drain takes in the place of the real ways out."""
    return {email.MODE: DemoEmail(mailbox)}
