"""Stored days after a change of the organisation's time zone. In: times and the zone. Out: moved days and their ledger.

Responses and tickets store the day that they count under, so that a cell can give back what it was given. Only a
rebuild moves these days, and it moves them as every other change is made: −1 under the old day and +1 under the new
one, in the transaction that moves the row. Cells + ledger = raw at every moment of it.
"""

from django.db import connection, transaction

from surveys.models import Answer, DurationLedger, Organisation, Response, ScoreLedger, Ticket

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
_MOVE_TICKETS = f"""
WITH moved AS MATERIALIZED (
    SELECT t.*, floor(extract(epoch FROM resolved_at - opened_at))::bigint AS seconds,
        (opened_at AT TIME ZONE %(zone)s)::date AS new_opened, (resolved_at AT TIME ZONE %(zone)s)::date AS new_resolved
    FROM {_ticket} t WHERE id = ANY(%(ids)s)
), counted AS (
    INSERT INTO {_duration_ledger} (basis, day, touchpoint_id, segment, location, seconds, reopened, delta)
    SELECT side.basis, side.day, coalesce(m.touchpoint_id, 0), m.segment, m.location, m.seconds, m.reopened_count > 0,
        side.delta
    FROM moved m CROSS JOIN LATERAL (VALUES
        ('resolved', m.day_resolved, -1), ('resolved', m.new_resolved, 1),
        ('opened', m.day_opened, -1), ('opened', m.new_opened, 1)
    ) AS side (basis, day, delta)
    WHERE m.in_ttr AND m.resolved_at IS NOT NULL
)
UPDATE {_ticket} t SET day_opened = m.new_opened, day_resolved = m.new_resolved FROM moved m WHERE t.id = m.id
"""


def redate() -> int:
    """Move every stored day to the present time zone of the organisation. How many rows moved: 0 when run again."""
    zone = Organisation.current().time_zone
    return _redate(_response, _LOCK_RESPONSES, _MOVE_RESPONSES, zone) + _redate(
        _ticket, _LOCK_TICKETS, _MOVE_TICKETS, zone
    )


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
