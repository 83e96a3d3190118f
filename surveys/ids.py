"""Ids that grow with time, so that what is recorded together lies together. In: a moment. Out: an id nobody can guess. PURE.

The unique index on ids in no order is touched all over with each new row: beyond memory's size every insert reads a page of it.
"""

import secrets
from datetime import datetime
from uuid import UUID

RANDOM_BITS = 74  # of which 12 stand before the variant


def time_ordered_id(now: datetime) -> UUID:
    """A UUID of version 7: 48 bits of milliseconds since 1970, then 74 random ones. Source: RFC 9562, 5.7.

    `now` is aware and not before 1970, else ValueError. Within one millisecond the order is chance's.
    """
    milliseconds = int(now.timestamp() * 1000)
    if milliseconds < 0 or now.tzinfo is None:
        raise ValueError("an id grows from an aware moment, 1970 or later")
    random = secrets.randbits(RANDOM_BITS)
    high, low = random >> 62, random & ((1 << 62) - 1)
    return UUID(int=(milliseconds & ((1 << 48) - 1)) << 80 | 7 << 76 | high << 64 | 2 << 62 | low)
