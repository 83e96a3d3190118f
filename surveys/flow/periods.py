"""PURE: the periods of a calendar, and on which day of one a customer's turn is. In: days and names. Out: periods and places.

A turn is a keyed hash of (rule, period, customer), not chance and not a list: anybody who computes it again finds the same day, it is
even over the days of the period, and nobody is always the first. The database computes the same (calendar.py), for a million at once.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import date, timedelta

MONTHS = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
BITS = 48  # of the hash that count: times 366 days they still fit into a bigint


@dataclass(frozen=True, slots=True)
class Period:
    """From `first` to `last`, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


def period_of(calendar: str, day: date) -> Period:
    """The period in which a day lies.

    >>> period_of("quarter", date(2028, 2, 29))
    Period(first=datetime.date(2028, 1, 1), last=datetime.date(2028, 3, 31))
    """
    months = MONTHS[calendar]
    number = day.year * 12 + (day.month - 1) // months * months
    first, after = _month(number), _month(number + months)
    return Period(first, after - timedelta(days=1))


def _month(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)


def seed_of(key: str, rule: str, period: Period) -> bytes:
    """What the turns of one rule in one period are drawn with. Not the key: it stands in statements, and those in logs."""
    text = "\x1f".join(("calendar", rule, period.first.isoformat()))
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()


def turn_of(seed: bytes, external_id: str, period: Period) -> date:
    """The day of the period on which it is this customer's turn."""
    digest = hashlib.sha256(seed + external_id.encode()).digest()
    return period.first + timedelta(days=int.from_bytes(digest[: BITS // 8], "big") * period.days >> BITS)
