"""Events into rows. In: Incoming events. Out: InteractionEvent rows, customers, tickets; how many were new.

Everything of one call happens in one transaction of few statements, whatever the size of the batch.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import OperationalError, connection, transaction

from surveys.flow.customers import Held, upsert_customers
from surveys.flow.incoming import Catalogue, Incoming
from surveys.flow.json_text import json_text
from surveys.flow.tickets import ClaimedTickets, claim_tickets, rebuild_tickets
from surveys.models import InteractionEvent

DEADLOCK_TRIES = 5
DEADLOCK = "40P01"
TABLE = InteractionEvent._meta.db_table

_KNOWN = f"""
SELECT e.source, e.event_id FROM {TABLE} e
JOIN unnest(%s::text[], %s::text[]) AS given (source, event_id) USING (source, event_id)
"""
_COLUMNS = {
    "source": "text",
    "event_id": "text",
    "type": "text",
    "time": "timestamptz",
    "customer_id": "bigint",
    "touchpoint_id": "bigint",
    "ticket_id": "bigint",
    "ticket_event": "text",
    "reference": "text",
    "location": "text",
    "facts": "text",
    "decided": "boolean",
}
_INSERT = f"""
INSERT INTO {TABLE} ({", ".join(_COLUMNS)}, received_at)
SELECT {", ".join("facts::jsonb" if name == "facts" else name for name in _COLUMNS)}, %s
FROM unnest({", ".join(f"%s::{kind}[]" for kind in _COLUMNS.values())}) AS given ({", ".join(_COLUMNS)})
ON CONFLICT (source, event_id) DO NOTHING RETURNING id, source, event_id
"""


@dataclass(frozen=True, slots=True)
class RecordResult:
    """How many of a call's events were new, how many had been there before (or twice in the call), how many wait for rules."""

    accepted: int
    duplicates: int
    undecided: int = 0


def record_events(items: Sequence[Incoming], catalogue: Catalogue, now: datetime) -> RecordResult:
    """Record events once each by (source, id); the first of a repeated pair counts. Safe to repeat as a whole.

    Whoever calls this rings `invite_pending` where `undecided` is not 0.
    """
    if not items:
        return RecordResult(0, 0)
    for attempt in range(DEADLOCK_TRIES):
        try:
            with transaction.atomic():
                return _record(items, catalogue, now)
        except OperationalError as error:
            # Inside somebody else's transaction the deadlock has undone their work too: it is theirs to repeat.
            again = getattr(error.__cause__, "pgcode", None) == DEADLOCK and not connection.in_atomic_block
            if not again or attempt == DEADLOCK_TRIES - 1:
                raise
            time.sleep(0.02 * 2**attempt)
    raise AssertionError("unreachable")


def _record(items: Sequence[Incoming], catalogue: Catalogue, now: datetime) -> RecordResult:
    unique: dict[tuple[str, str], Incoming] = {}
    for item in items:
        unique.setdefault((item.source, item.event_id), item)
    known = _known(sorted(unique))
    # Sorted keys: two batches with the same events wait for each other in one order, never in a circle.
    events = [unique[key] for key in sorted(unique) if key not in known]
    if not events:
        return RecordResult(0, len(items))
    customers = upsert_customers(((event.profile, event.time) for event in events), now)
    tickets = claim_tickets(events, customers)
    ids = _insert(events, customers, tickets, catalogue, now)
    accepted = [event for event in events if (event.source, event.event_id) in ids]
    if tickets.ids:
        rebuild_tickets(tickets, accepted, customers, catalogue.organisation, now)
    undecided = sum(catalogue.is_asked_about(event.type, event.ticket_event) for event in accepted)
    return RecordResult(len(accepted), len(items) - len(accepted), undecided)


def _known(keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """What is recorded already: a redelivery must not write a customer's profile again, nor lock anything."""
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [[source for source, _id in keys], [event_id for _source, event_id in keys]])
        return set(cursor.fetchall())


def _insert(
    events: Sequence[Incoming],
    customers: Mapping[str, Held],
    tickets: ClaimedTickets,
    catalogue: Catalogue,
    now: datetime,
) -> dict[tuple[str, str], int]:
    """(source, event id) to row id of those that were new; somebody else may have been faster with the others."""
    columns: list[list[object]] = [
        [event.source for event in events],
        [event.event_id for event in events],
        [event.type for event in events],
        [event.time for event in events],
        [customers[event.profile.external_id].id for event in events],
        [event.touchpoint_id for event in events],
        [tickets.id_of(event) for event in events],
        [event.ticket_event for event in events],
        [event.reference for event in events],
        [event.location for event in events],
        [json_text(event.facts) if event.facts else "{}" for event in events],
        [not catalogue.is_asked_about(event.type, event.ticket_event) for event in events],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [now, *columns])
        return {(source, event_id): id for id, source, event_id in cursor.fetchall()}
