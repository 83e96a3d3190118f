"""Email, through whatever backend Django is set to: SMTP, a provider of django-anymail, or the local mailbox."""

import contextlib
import smtplib
from collections.abc import Iterator
from typing import Any

from django.core.mail import EmailMultiAlternatives, get_connection

from surveys.letters import Letter, Outcome
from surveys.models import Customer

MODE = "email"
DETAIL_MAX = 500
END_OF_MESSAGE = b"\r\n.\r\n"


def address_of(customer: Customer) -> str:
    return customer.email


@contextlib.contextmanager
def connect() -> "Iterator[Carrier]":
    """One connection for a batch, closed at its end."""
    carrier = Carrier(get_connection())
    try:
        yield carrier
    finally:
        carrier.close()


class Carrier:
    """One connection to the mail server; opened anew where it was lost."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.handed_over = False

    def send(self, letter: Letter) -> Outcome:
        """Temporary for 4xx and a server that is away, permanent for 5xx about the recipient or the message.

        In doubt where the whole message was handed over, and the connection was lost before the server's word.
        """
        message = EmailMultiAlternatives(
            letter.subject,
            letter.text,
            to=[letter.to],
            headers={"Message-ID": letter.message_id, **letter.headers},
        )
        message.attach_alternative(letter.html, "text/html")
        try:
            self.backend.open()
            self._watch(getattr(self.backend, "connection", None))
            self.backend.send_messages([message])
        except smtplib.SMTPRecipientsRefused as error:
            code, reply = next(iter(error.recipients.values()), (550, b"refused"))
            return self._refused(code, reply, error)
        except smtplib.SMTPResponseException as error:
            return self._refused(error.smtp_code, error.smtp_error, error)
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            detail = f"{type(error).__name__}: {error}"[:DETAIL_MAX]
            return Outcome("temporary", detail, carrier_away=True, in_doubt=self.handed_over)
        except ValueError as error:  # an address or a header that no mail can have
            return Outcome("permanent", str(error)[:DETAIL_MAX])
        return Outcome("sent")

    def _watch(self, connection: object) -> None:
        """smtplib does not say whether a connection was lost before or after the last byte of a message."""
        self.handed_over = False
        if not isinstance(connection, smtplib.SMTP) or "send" in vars(connection):
            return
        send = connection.send

        def watched(data: Any) -> None:
            send(data)
            self.handed_over = isinstance(data, bytes) and data.endswith(END_OF_MESSAGE)

        connection.send = watched  # type: ignore[assignment,method-assign]

    def _refused(self, code: int, reply: bytes | str, error: smtplib.SMTPException) -> Outcome:
        text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
        detail = f"{code} {text}"[:DETAIL_MAX]
        about_us = isinstance(error, smtplib.SMTPConnectError | smtplib.SMTPHeloError | smtplib.SMTPAuthenticationError)
        if about_us or code == 421:
            self.close()
            return Outcome("temporary", detail, carrier_away=True)
        return Outcome("permanent" if 500 <= code < 600 else "temporary", detail)

    def close(self) -> None:
        with contextlib.suppress(smtplib.SMTPException, OSError):
            self.backend.close()
