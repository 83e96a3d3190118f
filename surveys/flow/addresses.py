"""Addresses in one spelling, and their keyed hash. In: what other systems sent. Out: normalised text, or ValueError."""

import hmac
import re
from functools import lru_cache

import phonenumbers
from django.conf import settings

_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\u0080-\uffff-]{1,64}@"
    r"(?:[A-Za-z0-9\u0080-\uffff](?:[A-Za-z0-9\u0080-\uffff-]{0,61}[A-Za-z0-9\u0080-\uffff])?\.)+"
    r"[A-Za-z\u0080-\uffff][A-Za-z0-9\u0080-\uffff-]{0,61}[A-Za-z0-9\u0080-\uffff]"
)


def normalise_email(text: str) -> str:
    """The address with its domain in lower case. ValueError where it is none."""
    address = text.strip()
    local, _at, domain = address.rpartition("@")
    if len(address) > 254 or not _EMAIL.fullmatch(address) or ".." in local or local[0] == "." or local[-1] == ".":
        raise ValueError("is not an email address")
    return f"{local}@{domain.lower()}"


@lru_cache(maxsize=20_000)
def normalise_phone(text: str) -> str:
    """E.164, such as +8613800000000. ValueError where it is no possible international number."""
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        raise ValueError("is not an international phone number such as +8613800000000") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is not a possible phone number")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def address_hash(address: str) -> str:
    """Hex HMAC-SHA256 of a normalised address, keyed with SECRET_KEY: what the suppression list keeps, erasure or not.

    Case is folded whole: nobody runs mailboxes that differ in case only, and a missed suppression is the worse error.
    """
    return _keyed(settings.SECRET_KEY, address.strip().casefold())


def customer_hash(external_id: str) -> str:
    """The keyed hash of a customer id, for a suppression of the person. No address has the same."""
    return _keyed(settings.SECRET_KEY, f"customer\x1f{external_id}")


@lru_cache(maxsize=10_000)  # each is asked for several times while its customer is decided on
def _keyed(key: str, text: str) -> str:
    return hmac.digest(key.encode(), text.encode(), "sha256").hex()
