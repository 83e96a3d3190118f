"""SMS, through whatever SMS_URL names: Twilio, a gateway described by a file, or the local mailbox. In: Letters. Out: Outcomes.

    twilio://SID:TOKEN@SENDER          twilio.py
    file:///etc/cxsurvey/sms.yaml      gateway.py: any HTTP gateway, described there
    (unset)                            kept.py: texts stay here, under Sent messages

A provider also reads its own webhooks: what customers text back, and what became of a message. Nothing here knows the database but
the local mailbox.
"""

import contextlib
from collections.abc import Iterator
from functools import lru_cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from surveys.channels.sms.gateway import Gateway
from surveys.channels.sms.kept import Kept
from surveys.channels.sms.shape import Carrier, Provider
from surveys.channels.sms.twilio import Twilio
from surveys.models import Customer

MODE = "sms"


def address_of(customer: Customer) -> str:
    return customer.phone


@contextlib.contextmanager
def connect() -> Iterator[Carrier]:
    """One session for a batch, closed at its end."""
    with provider().connect() as carrier:
        yield carrier


def provider() -> Provider:
    """The provider that SMS_URL names. ImproperlyConfigured where it makes no sense."""
    return _provider(settings.SMS_URL, settings.BASE_URL)


@lru_cache(maxsize=8)
def _provider(url: str, base_url: str) -> Provider:
    if not url:
        return Kept()
    if url.startswith("twilio://"):
        return Twilio.from_url(url, base_url)
    if url.startswith("file:"):
        return Gateway.from_file(url, base_url)
    raise ImproperlyConfigured("SMS_URL begins with twilio:// or file:// (docs/sms.md).")
