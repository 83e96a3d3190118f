"""Tickets from their events, in any order. In: ticket events. Out: Ticket rows, and ±1 in the duration ledger.

A ticket's state is a pure function of its events, so late, repeated and shuffled ones end in the same state. Only its
segment is not: it is its customer's at first sight, and never changes after; and days and business times are those of the zone and
the hours that held when they were written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from django.db import connection

from surveys.flow.customers import Held
from surveys.flow.hours import present_hours
from surveys.flow.incoming import TICKET_EVENTS, Incoming
from surveys.flow.segments import counted_segments, segment_of
from surveys.models import DurationLedger, InteractionEvent, Invitation, Organisation, Ticket
from surveys.signals import ledger_written
from surveys.worktime import WorkCalendar, business_seconds

ORDER = {name: position for position, name in enumerate(TICKET_EVENTS)}
SECOND = timedelta(seconds=1)
BUSINESS = "-business"  # the end of a basis on the organisation's clock
TABLE, EVENTS = Ticket._meta.db_table, InteractionEvent._meta.db_table
LEDGER, INVITATIONS = DurationLedger._meta.db_table, Invitation._meta.db_table


class TicketEvent(NamedTuple):
    """What a ticket must know of one of its events. `kind` is one of TICKET_EVENTS."""

    time: datetime
    kind: str
    touchpoint_id: int | None = None
    location: str = ""
    customer_id: int = 0


class TicketState(NamedTuple):
    """What the events of one ticket amount to. In the order of the last columns of `_TYPES`."""

    customer_id: int = 0
    touchpoint_id: int | None = None
    location: str = ""
    opened_at: datetime | None = None
    first_response_at: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    reopened_count: int = 0

    @property
    def in_ttr(self) -> bool:
        """An opening is known and no resolution precedes it."""
        return self.opened_at is not None and (self.resolved_at is None or self.resolved_at >= self.opened_at)

    @property
    def spans(self) -> tuple[tuple[datetime, datetime] | None, tuple[datetime, datetime] | None]:
        """From the opening to the resolution, and to the first response; None for what is not counted."""
        opened, resolved, answered = self.opened_at, self.resolved_at, self.first_response_at
        if opened is None or not self.in_ttr:
            return None, None
        return (
            (opened, resolved) if resolved is not None else None,
            (opened, answered) if answered is not None and answered >= opened else None,
        )


def state_of(events: Iterable[TicketEvent]) -> TicketState:
    """The state after all `events`, whatever order they are given in.

    From the first opening to the last resolution; closed and not resolved counts as resolved when it was closed; a later
    reopening makes it open again. The customer is that of the earliest event, touchpoint and location are those of the
    earliest that names one.
    """
    # What follows the order is there for events alike in it: without it, their order of arrival would decide.
    ordered = sorted(
        events,
        key=lambda event: (event.time, ORDER[event.kind], event.touchpoint_id or 0, event.location, event.customer_id),
    )
    customer_id = ordered[0].customer_id if ordered else 0
    opened = first_response = resolved = closed = None
    touchpoint_id: int | None = None
    location = ""
    reopened = 0
    for event in ordered:
        touchpoint_id = touchpoint_id if touchpoint_id is not None else event.touchpoint_id
        location = location or event.location
        if event.kind == "ticket.opened":
            opened = opened or event.time
        elif event.kind == "ticket.first_response":
            first_response = first_response or event.time
        elif event.kind == "ticket.reopened":
            resolved = closed = None
            reopened += 1
        elif event.kind == "ticket.resolved":
            resolved = event.time
        else:
            closed = event.time
            resolved = resolved or event.time
    return TicketState(customer_id, touchpoint_id, location, opened, first_response, resolved, closed, reopened)


class TicketRow(NamedTuple):
    """A ticket as it is stored."""

    id: int
    state: TicketState
    segment: str
    in_ttr: bool
    day_opened: date | None
    day_resolved: date | None
    business_s: int | None = None
    first_business_s: int | None = None

    def counted(self) -> list[tuple[str, date, int, str, str, int, bool]]:
        """What it is counted as: up to three durations on each clock, under their bases (DurationLedger.Basis)."""
        resolution, response = self.state.spans
        if self.day_opened is None or not self.in_ttr:
            return []
        place = (self.state.touchpoint_id or 0, self.segment, self.state.location)
        found: list[tuple[str, date, int, str, str, int, bool]] = []
        for suffix, resolved_s, answered_s in (
            ("", _seconds(resolution), _seconds(response)),
            (BUSINESS, resolution and self.business_s, response and self.first_business_s),
        ):
            if resolved_s is not None:
                assert self.day_resolved is not None
                reopened = self.state.reopened_count > 0
                found.append((f"resolved{suffix}", self.day_resolved, *place, resolved_s, reopened))
                found.append((f"opened{suffix}", self.day_opened, *place, resolved_s, reopened))
            if answered_s is not None:
                # No reopening: it changes nothing about the first response.
                found.append((f"answered{suffix}", self.day_opened, *place, answered_s, False))
        return found


def _seconds(span: tuple[datetime, datetime] | None) -> int | None:
    return None if span is None else (span[1] - span[0]) // SECOND


@dataclass(frozen=True, slots=True)
class ClaimedTickets:
    """The tickets of a batch: (source, reference) to row id, all locked; `new` are those that the batch made."""

    ids: Mapping[tuple[str, str], int] = field(default_factory=dict)
    new: frozenset[int] = frozenset()

    def id_of(self, event: Incoming) -> int | None:
        return self.ids.get((event.source, event.reference)) if event.ticket_event else None


_INSERT = f"""
INSERT INTO {TABLE} (source, reference, customer_id, segment, location, reopened_count, in_ttr)
SELECT source, reference, customer_id, '', '', 0, false
FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS given (source, reference, customer_id)
ON CONFLICT (source, reference) DO NOTHING RETURNING id, source, reference
"""
# Not FOR UPDATE: the foreign keys of events that are being recorded need not wait.
_LOCK = f"""
SELECT t.id, t.source, t.reference FROM {TABLE} t
JOIN unnest(%s::text[], %s::text[]) AS given (source, reference) USING (source, reference)
ORDER BY t.source, t.reference FOR NO KEY UPDATE OF t
"""
_READ_EVENTS = f"""
SELECT ticket_id, {", ".join("ticket_event" if name == "kind" else name for name in TicketEvent._fields)}
FROM {EVENTS} WHERE ticket_id = ANY(%s)
"""
_TYPES = {
    "id": "bigint",
    "segment": "text",
    "in_ttr": "boolean",
    "day_opened": "date",
    "day_resolved": "date",
    "business_s": "bigint",
    "first_business_s": "bigint",
    "customer_id": "bigint",
    "touchpoint_id": "bigint",
    "location": "text",
    "opened_at": "timestamptz",
    "first_response_at": "timestamptz",
    "resolved_at": "timestamptz",
    "closed_at": "timestamptz",
    "reopened_count": "int",
}
_READ = f"SELECT {', '.join(_TYPES)} FROM {TABLE} WHERE id = ANY(%s)"
_UPDATE = f"""
UPDATE {TABLE} t SET {", ".join(f"{name} = given.{name}" for name in _TYPES if name != "id")}
FROM unnest({", ".join(f"%s::{kind}[]" for kind in _TYPES.values())}) AS given ({", ".join(_TYPES)})
WHERE t.id = given.id
"""
_LEDGER = f"""
INSERT INTO {LEDGER} (basis, day, touchpoint_id, segment, location, seconds, reopened, delta)
SELECT * FROM unnest(%s::text[], %s::date[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::boolean[], %s::smallint[])
"""
# Of an interaction `e` that a reopening made void: what is asked about a later resolution stands.
_VOID = """(e.time < reopened.time
 OR (e.time = reopened.time AND e.ticket_event IN ('ticket.opened', 'ticket.first_response')))"""
# One that a worker has a lease on is being sent. Nor is one waited for that somebody holds: we hold its customer already, whom they
# may want (flow/locks.py). What still waits afterwards is refused when it is due, where reopenings are asked again.
_CANCEL = f"""
WITH held AS MATERIALIZED (
    SELECT i.id FROM {INVITATIONS} i
    JOIN {EVENTS} e ON e.id = i.event_id
    JOIN unnest(%s::bigint[], %s::timestamptz[]) AS reopened (ticket_id, time) ON reopened.ticket_id = e.ticket_id
    WHERE i.status = 'scheduled' AND (i.lease_until IS NULL OR i.lease_until < %s) AND {_VOID}
    FOR NO KEY UPDATE OF i SKIP LOCKED
)
UPDATE {INVITATIONS} i SET status = 'cancelled', reason = 'reopened', lease_until = NULL FROM held WHERE i.id = held.id
"""
_REOPENED = f"""
SELECT DISTINCT e.id FROM {EVENTS} e
JOIN {EVENTS} reopened ON reopened.ticket_id = e.ticket_id AND reopened.ticket_event = 'ticket.reopened' AND {_VOID}
WHERE e.id = ANY(%s)
"""
# When that came to be known.
_REOPENED_AT = f"""
SELECT e.id, min(reopened.received_at) FROM {EVENTS} e
JOIN {EVENTS} reopened ON reopened.ticket_id = e.ticket_id AND reopened.ticket_event = 'ticket.reopened' AND {_VOID}
WHERE e.id = ANY(%s) GROUP BY e.id
"""


def reopened_at(events: Iterable[InteractionEvent]) -> dict[int, datetime]:
    """As `reopened_since`, by event id, with the moment from which it was known that the ticket was reopened."""
    ids = [event.pk for event in events if event.ticket_id is not None]
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_REOPENED_AT, [ids])
        return dict(cursor.fetchall())


def reopened_since(events: Iterable[InteractionEvent | None]) -> set[int]:
    """The ids of those of these events after which their ticket was reopened: nobody is asked how it was solved."""
    ids = [event.pk for event in events if event is not None and event.ticket_id is not None]
    if not ids:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_REOPENED, [ids])
        return {id for (id,) in cursor.fetchall()}


def claim_tickets(events: Sequence[Incoming], customers: Mapping[str, Held]) -> ClaimedTickets:
    """Rows for the tickets that `events` speak of, made where there are none, locked in sorted order."""
    first: dict[tuple[str, str], Incoming] = {}
    for event in events:
        if event.ticket_event:
            first.setdefault((event.source, event.reference), event)
    if not first:
        return ClaimedTickets()
    keys = sorted(first)
    people = [customers[first[key].profile.external_id] for key in keys]
    sources, references = [key[0] for key in keys], [key[1] for key in keys]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [sources, references, [person.id for person in people]])
        ids = {(source, reference): id for id, source, reference in cursor.fetchall()}
        new = frozenset(ids.values())
        if len(ids) < len(keys):
            cursor.execute(_LOCK, [sources, references])
            ids |= {(source, reference): id for id, source, reference in cursor.fetchall()}
    return ClaimedTickets(ids, new)


def rebuild_tickets(
    claimed: ClaimedTickets,
    accepted: Sequence[Incoming],
    customers: Mapping[str, Held],
    organisation: Organisation,
    now: datetime,
) -> None:
    """Bring claimed tickets in line with their events, the ledger with the tickets, and what waits to be sent with both."""
    alive = {claimed.id_of(event) for event in accepted}
    _forget(claimed.new - alive)
    ids = sorted(id for id in alive if id is not None)
    if not ids:
        return
    stored, events = _read(ids)
    states = {id: state_of(events[id]) for id in ids}
    segments = _first_segments(claimed.new, states, customers, organisation)
    changed: list[TicketRow] = []
    ledger: list[tuple[object, ...]] = []
    hours = _Hours()
    for id in ids:
        was = stored[id]
        row = _row(was, states[id], segments.get(id, was.segment), organisation, hours)
        if row == was:
            continue
        changed.append(row)
        before, after = was.counted(), row.counted()
        ledger += [(*entry, -1) for entry in before if entry not in after]
        ledger += [(*entry, 1) for entry in after if entry not in before]
    _write(changed, ledger)
    _cancel_invitations(claimed, accepted, now)


def _forget(ids: Iterable[int]) -> None:
    """Tickets made for events that somebody else recorded a moment earlier, under another reference."""
    if ids:
        Ticket.objects.filter(id__in=ids).delete()


def _read(ids: Sequence[int]) -> tuple[dict[int, TicketRow], dict[int, list[TicketEvent]]]:
    with connection.cursor() as cursor:
        cursor.execute(_READ, [list(ids)])
        stored = {}
        for id, segment, in_ttr, day_opened, day_resolved, business_s, first_business_s, *state in cursor.fetchall():
            stored[id] = TicketRow(
                id, TicketState(*state), segment, in_ttr, day_opened, day_resolved, business_s, first_business_s
            )
        cursor.execute(_READ_EVENTS, [list(ids)])
        events: dict[int, list[TicketEvent]] = {id: [] for id in ids}
        for id, *event in cursor.fetchall():
            events[id].append(TicketEvent(*event))
    return stored, events


def _first_segments(
    new: Iterable[int], states: Mapping[int, TicketState], customers: Mapping[str, Held], organisation: Organisation
) -> dict[int, str]:
    """The segment of each new ticket: its customer's now."""
    by_id = {customer.id: customer for customer in customers.values()}
    people = {id: by_id[states[id].customer_id] for id in new if id in states}
    names = {id: segment_of(person.fields["segment"], person.attributes, organisation) for id, person in people.items()}
    counted = counted_segments(names.values()) if names else {}
    return {id: counted[name] for id, name in names.items()}


class _Hours:
    """The organisation's hours, read when a ticket first needs them: most events of tickets do not."""

    def __init__(self) -> None:
        self._read: list[WorkCalendar | None] = []

    def seconds(self, span: tuple[datetime, datetime] | None) -> int | None:
        if span is None:
            return None
        if not self._read:
            self._read.append(present_hours())
        calendar = self._read[0]
        return None if calendar is None else business_seconds(*span, calendar)


def _row(
    was: TicketRow, state: TicketState, segment: str, organisation: Organisation, hours: _Hours
) -> TicketRow:  # fmt: skip
    """A day or a business time is kept while its moments are: only a rebuild moves them to a changed zone or to changed hours."""
    opened = was.day_opened if state.opened_at == was.state.opened_at else _day(state.opened_at, organisation)
    resolved = was.day_resolved if state.resolved_at == was.state.resolved_at else _day(state.resolved_at, organisation)
    business = [
        held if now == before else hours.seconds(now)
        for held, before, now in zip((was.business_s, was.first_business_s), was.state.spans, state.spans, strict=True)
    ]
    return TicketRow(was.id, state, segment, state.in_ttr, opened, resolved, *business)


def _day(moment: datetime | None, organisation: Organisation) -> date | None:
    return None if moment is None else organisation.day_of(moment)


def _write(changed: Sequence[TicketRow], ledger: Sequence[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor:
        if changed:
            rows = [
                (r.id, r.segment, r.in_ttr, r.day_opened, r.day_resolved, r.business_s, r.first_business_s, *r.state)
                for r in changed
            ]
            cursor.execute(_UPDATE, [list(column) for column in zip(*rows, strict=True)])
        if ledger:
            cursor.execute(_LEDGER, [list(column) for column in zip(*ledger, strict=True)])
    if ledger:
        ledger_written.send(sender=Ticket)


def _cancel_invitations(claimed: ClaimedTickets, accepted: Sequence[Incoming], now: datetime) -> None:
    """Nobody is asked how it went while it is open again."""
    latest: dict[int, datetime] = {}
    for event in accepted:
        id = claimed.id_of(event)
        if id is not None and event.ticket_event == "ticket.reopened":
            latest[id] = max(event.time, latest.get(id, event.time))
    if latest:
        with connection.cursor() as cursor:
            cursor.execute(_CANCEL, [list(latest), list(latest.values()), now])
