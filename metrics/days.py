"""Stored days and business times after a change of the organisation's zone or hours. In: times, zone, hours. Out: moved rows and ledger.

Responses and tickets store the day that they count under and their business time, so that a cell can give back what it was given.
Only a rebuild moves these, and it moves them as every other change is made: −1 as it was and +1 as it is now, in the transaction
that moves the row. Cells + ledger = raw at every moment of it.
"""

from datetime import datetime
from typing import Any

from django.db import connection, transaction

from surveys.flow.durations import DURATIONS, Duration
from surveys.flow.hours import wait_for_former_hours
from surveys.models import Answer, DurationLedger, Organisation, Response, ScoreLedger, Ticket
from surveys.worktime import WorkCalendar, business_seconds

ROWS_AT_ONCE = 20_000  # so long a lock on answers lasts a fraction of a second

_answer, _response, _ticket = Answer._meta.db_table, Response._meta.db_table, Ticket._meta.db_table
_score_ledger, _duration_ledger = ScoreLedger._meta.db_table, DurationLedger._meta.db_table

# Locking and moving are two statements: the second one's snapshot then holds what was committed while the first waited.
_LOCK_RESPONSES = f"""
SELECT id FROM {_response} WHERE id >= %(first)s AND id < %(after)s
AND day <> (responded_at AT TIME ZONE %(zone)s)::date ORDER BY id FOR UPDATE
"""
_MOVE_RESPONSES = f"""
WITH moved AS MATERIALIZED (
    SELECT r.*, (responded_at AT TIME ZONE %(zone)s)::date AS new_day FROM {_response} r WHERE id = ANY(%(ids)s)
), counted AS (
    INSERT INTO {_score_ledger} (day, touchpoint_id, question_id, mode, segment, location, score, delta)
    SELECT side.day, m.touchpoint_id, a.question_id, m.mode, m.segment, m.location, a.score, side.delta
    FROM moved m JOIN {_answer} a ON a.response_id = m.id
    CROSS JOIN LATERAL (VALUES (m.day, -1), (m.new_day, 1)) AS side (day, delta)
    WHERE a.score IS NOT NULL AND m.excluded_at IS NULL
)
UPDATE {_response} r SET day = m.new_day FROM moved m WHERE r.id = m.id
"""
_LOCK_TICKETS = f"""
SELECT id FROM {_ticket} WHERE id >= %(first)s AND id < %(after)s
AND (day_opened <> (opened_at AT TIME ZONE %(zone)s)::date OR day_resolved <> (resolved_at AT TIME ZONE %(zone)s)::date)
ORDER BY id FOR UPDATE
"""
_NEW_DAY = {"day_opened": "new_opened", "day_resolved": "new_resolved"}


def _side(duration: Duration) -> str:
    """(basis, day, new day, seconds, reopened) of a ticket."""
    return f"('{duration.basis}', {duration.day}, {_NEW_DAY[duration.day]}, {duration.seconds}, {duration.reopened})"


_MOVE_TICKETS = f"""
WITH moved AS MATERIALIZED (
    SELECT t.*, (opened_at AT TIME ZONE %(zone)s)::date AS new_opened, (resolved_at AT TIME ZONE %(zone)s)::date AS new_resolved
    FROM {_ticket} t WHERE id = ANY(%(ids)s)
), counted AS (
    INSERT INTO {_duration_ledger} (basis, day, touchpoint_id, segment, location, seconds, reopened, delta)
    SELECT side.basis, CASE WHEN delta < 0 THEN side.day ELSE side.new_day END, coalesce(m.touchpoint_id, 0), m.segment,
        m.location, side.seconds, side.reopened, delta
    FROM moved m
    CROSS JOIN LATERAL (VALUES {", ".join(map(_side, DURATIONS))}) AS side (basis, day, new_day, seconds, reopened)
    CROSS JOIN (VALUES (-1), (1)) AS sign (delta)
    WHERE m.in_ttr AND side.seconds IS NOT NULL AND side.day <> side.new_day
)
UPDATE {_ticket} t SET day_opened = m.new_opened, day_resolved = m.new_resolved FROM moved m WHERE t.id = m.id
"""
_TIMES = "opened_at, resolved_at, first_response_at, business_s, first_business_s"
_READ_TIMES = f"""
SELECT id, {_TIMES} FROM {_ticket} WHERE id >= %(first)s AND id < %(after)s AND in_ttr
AND (resolved_at IS NOT NULL OR first_response_at IS NOT NULL)
"""
_LOCK_TIMES = f"SELECT id FROM {_ticket} WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE"
_READ_LOCKED_TIMES = f"SELECT id, {_TIMES} FROM {_ticket} WHERE id = ANY(%(ids)s) AND in_ttr"
_MOVE_TIMES = f"""
WITH moved AS MATERIALIZED (
    SELECT t.*, given.new_s, given.new_first_s
    FROM unnest(%(ids)s::bigint[], %(resolved)s::bigint[], %(answered)s::bigint[]) AS given (id, new_s, new_first_s)
    JOIN {_ticket} t USING (id)
), counted AS (
    INSERT INTO {_duration_ledger} (basis, day, touchpoint_id, segment, location, seconds, reopened, delta)
    SELECT side.basis, side.day, coalesce(m.touchpoint_id, 0), m.segment, m.location, side.seconds, side.reopened, side.delta
    FROM moved m CROSS JOIN LATERAL (VALUES
        ('resolved-business', day_resolved, business_s, reopened_count > 0, -1),
        ('resolved-business', day_resolved, new_s, reopened_count > 0, 1),
        ('opened-business', day_opened, business_s, reopened_count > 0, -1),
        ('opened-business', day_opened, new_s, reopened_count > 0, 1),
        ('answered-business', day_opened, first_business_s, false, -1),
        ('answered-business', day_opened, new_first_s, false, 1)
    ) AS side (basis, day, seconds, reopened, delta)
    WHERE side.seconds IS NOT NULL
)
UPDATE {_ticket} t SET business_s = m.new_s, first_business_s = m.new_first_s FROM moved m WHERE t.id = m.id
"""


def redate() -> int:
    """Move every stored day and business time to the present zone and hours of the organisation. How many rows moved: 0 when run again."""
    wait_for_former_hours()
    organisation = Organisation.current()
    zone = organisation.time_zone
    moved = _redate(_response, _LOCK_RESPONSES, _MOVE_RESPONSES, zone) + _redate(
        _ticket, _LOCK_TICKETS, _MOVE_TICKETS, zone
    )
    return moved + _retime(organisation.work_calendar)


def _redate(table: str, lock: str, move: str, zone: str) -> int:
    moved = 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT min(id), max(id) FROM {table}")
        first, last = cursor.fetchone()
        while first is not None and first <= last:
            span = {"first": first, "after": first + ROWS_AT_ONCE, "zone": zone}
            with transaction.atomic():
                cursor.execute(lock, span)
                ids = [row[0] for row in cursor.fetchall()]
                if ids:
                    cursor.execute(move, {"ids": ids, "zone": zone})
                    moved += cursor.rowcount
            first += ROWS_AT_ONCE
    return moved


def _retime(calendar: WorkCalendar | None) -> int:
    """Business times by these hours, or none. Only tickets that differ are locked, and then looked at again."""
    moved = 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT min(id), max(id) FROM {_ticket}")
        first, last = cursor.fetchone()
        while first is not None and first <= last:
            with transaction.atomic():
                cursor.execute(_READ_TIMES, {"first": first, "after": first + ROWS_AT_ONCE})
                ids = [id for id, *_new in _changed(cursor.fetchall(), calendar)]
                if ids:
                    cursor.execute(_LOCK_TIMES, {"ids": ids})
                    cursor.execute(_READ_LOCKED_TIMES, {"ids": ids})
                    changed = _changed(cursor.fetchall(), calendar)
                    columns = dict(
                        zip(("ids", "resolved", "answered"), map(list, zip(*changed, strict=True)), strict=False)
                    )
                    if columns:
                        cursor.execute(_MOVE_TIMES, columns)
                        moved += cursor.rowcount
            first += ROWS_AT_ONCE
    return moved


def _changed(rows: list[tuple[Any, ...]], calendar: WorkCalendar | None) -> list[tuple[int, int | None, int | None]]:
    """(id, business seconds to the resolution, to the first response) of the tickets that have other ones stored."""
    found = []
    for id, opened, resolved, answered, business_s, first_business_s in rows:
        new = _worked(opened, resolved, calendar), _worked(opened, answered, calendar)
        if new != (business_s, first_business_s):
            found.append((id, *new))
    return found


def _worked(opened: datetime, ended: datetime | None, calendar: WorkCalendar | None) -> int | None:
    return None if calendar is None or ended is None or ended < opened else business_seconds(opened, ended, calendar)
