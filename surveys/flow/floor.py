"""The floor between two messages holds for an address, whoever has it. In: hashes of addresses. Out: locks, and when each was written to.

Two customers may share an address, so that a lock on a customer is not enough. The address itself is never here, only its keyed hash:
it survives erasure, as a suppression does, and is forgotten when it can matter no more.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db import connection

from surveys.models import Organisation, WrittenAddress

KEPT = timedelta(days=35)  # longer than any floor that makes sense; a longer one is kept as long as it is
TABLE = WrittenAddress._meta.db_table
_WRITE = f"""
INSERT INTO {TABLE} (address_hash, last_message_at) SELECT hash, %s FROM unnest(%s::text[]) AS hash ORDER BY hash
ON CONFLICT (address_hash) DO UPDATE SET last_message_at = greatest({TABLE}.last_message_at, EXCLUDED.last_message_at)
"""


def lock_addresses(hashes: Iterable[str]) -> None:
    """Nobody else decides about a message to one of these until the transaction ends. After people: see flow/locks.py."""
    names = sorted({int(hashed[:15], 16) for hashed in hashes})
    if names:
        with connection.cursor() as cursor:
            # One after the other, in the order of the list.
            cursor.execute("SELECT pg_advisory_xact_lock(name) FROM unnest(%s::bigint[]) AS name", [names])


def note_written(hashes: Iterable[str], now: datetime) -> None:
    """A message to each of these is about to leave."""
    given = sorted(set(hashes))
    if given:
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [now, given])


def unnote_written(before: Mapping[str, datetime | None], now: datetime) -> None:
    """None left after all: what was noted `now` is what it was `before`."""
    for hashed in sorted(before):
        rows = WrittenAddress.objects.filter(address_hash=hashed, last_message_at=now)
        was = before[hashed]
        rows.delete() if was is None else rows.update(last_message_at=was)


def forget_addresses(now: datetime) -> int:
    """Forget where nobody was written to for longer than any floor asks; how many were forgotten."""
    floor = timedelta(seconds=Organisation.current().floor_s)
    deleted, _by_model = WrittenAddress.objects.filter(last_message_at__lt=now - max(floor, KEPT)).delete()
    return deleted
