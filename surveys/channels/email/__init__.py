"""Email, through whatever backend Django is set to: SMTP, a provider of django-anymail, or the local mailbox.

refusals.py tells whose fault a refusal is, tracking.py reads what a provider posts later on.
"""

import contextlib
import logging
import smtplib
from collections.abc import Iterator
from typing import Any

from anymail.exceptions import AnymailError
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.message import sanitize_address

from surveys.channels.email.refusals import (
    outcome_of_anymail,
    outcome_of_loss,
    outcome_of_nonsense,
    outcome_of_sent,
    outcome_of_smtp,
)
from surveys.letters import DETAIL_MAX, Letter, Outcome
from surveys.mails import send_mail
from surveys.models import Customer

logger = logging.getLogger(__name__)

MODE = "email"
END_OF_MESSAGE = b"\r\n.\r\n"


def address_of(customer: Customer) -> str:
    return customer.email


@contextlib.contextmanager
def connect() -> "Iterator[Carrier]":
    """One connection for a batch, closed at its end."""
    try:
        carrier = Carrier(get_connection())
    except (ImproperlyConfigured, ImportError) as error:  # a system check says it at start
        carrier = Carrier(None, " ".join(str(error).split()))
    try:
        yield carrier
    finally:
        carrier.close()


class Carrier:
    """One connection to the mail server, opened anew where it was lost; without a backend nothing leaves, because of `problem`."""

    def __init__(self, backend: Any, problem: str = "") -> None:
        self.backend, self.problem = backend, problem
        self.handed_over = False

    def send(self, letter: Letter) -> Outcome:
        """Permanent where the carrier says that the address will never work, temporary for all else (refusals.py).

        In doubt where the whole message was handed over, and the connection was lost before the carrier's word.
        """
        if self.backend is None:
            return Outcome("temporary", self.problem[:DETAIL_MAX], carrier_away=True)
        message = EmailMultiAlternatives(
            letter.subject,
            letter.text,
            from_email=letter.sender or None,
            to=[letter.to],
            reply_to=[letter.reply_to] if letter.reply_to else None,
            headers={"Message-ID": letter.message_id, **letter.headers},
        )
        message.attach_alternative(letter.html, "text/html")
        self.handed_over = False
        try:
            self.backend.open()
            self._watch(getattr(self.backend, "connection", None))
            send_mail(self.backend, message)
            return outcome_of_sent(message)
        except smtplib.SMTPException as error:
            outcome = outcome_of_smtp(error, self.handed_over)
        except AnymailError as error:
            outcome = outcome_of_anymail(error, message)
        except OSError as error:
            outcome = outcome_of_loss(error, self.handed_over)
        except (ImproperlyConfigured, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            outcome = self._unexpected(letter, message, error)
        if outcome.carrier_away:
            self.close()
        return outcome

    def _unexpected(self, letter: Letter, message: Any, error: Exception) -> Outcome:
        """An address or a header that no mail can have, or a provider's answer that nobody expected."""
        if isinstance(error, ValueError):
            try:
                sanitize_address(letter.to, "utf-8")
            except ValueError:
                return Outcome("permanent", str(error)[:DETAIL_MAX])
        logger.exception("A letter could not be handed over")
        answered = getattr(getattr(message, "anymail_status", None), "esp_response", None) is not None
        return outcome_of_nonsense(error, answered)

    def _watch(self, connection: object) -> None:
        """smtplib does not say whether a connection was lost before or after the last byte of a message."""
        if not isinstance(connection, smtplib.SMTP) or "send" in vars(connection):
            return
        send = connection.send

        def watched(data: Any) -> None:
            send(data)
            self.handed_over = isinstance(data, bytes) and data.endswith(END_OF_MESSAGE)

        connection.send = watched  # type: ignore[assignment,method-assign]

    def close(self) -> None:
        with contextlib.suppress(smtplib.SMTPException, OSError):
            if self.backend is not None:
                self.backend.close()
