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
from surveys.channels.sms.unusable import Unusable
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
    """The provider that SMS_URL names. Where it makes no sense, one that sends nothing and says why: mails still leave."""
    try:
        return read_url(settings.SMS_URL, settings.BASE_URL)
    except ImproperlyConfigured as error:
        return Unusable(str(error))


@lru_cache(maxsize=8)
def read_url(url: str, base_url: str) -> Provider:
    """ImproperlyConfigured where the URL, or the file that it names, makes no sense."""
    try:
        if not url:
            return Kept()
        if url.startswith("twilio://"):
            return Twilio.from_url(url, base_url)
        if url.startswith("file:"):
            return Gateway.from_file(url, base_url)
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured(f"SMS_URL cannot be read: {error} (docs/sms.md).") from None
    raise ImproperlyConfigured("SMS_URL begins with twilio:// or file:// (docs/sms.md).")
