"""What customers say beside how long they waited, and tickets by what their opening said: raw rows, bounded in days.

In: days, filters, edges in seconds. Out: counts per score, per bin and per bucket; nobody's name. Cells know no facts and no
pairs of an answer and a ticket, so these read answers and tickets themselves, by their days' indexes. No formula.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection

from metrics.buckets import bucket_sql
from metrics.queries import Durations
from surveys.models import Instrument, InstrumentVersion, InteractionEvent, Invitation, Response, Ticket

RECENT = 5_000  # so many of the newest rows are looked through for the names of facts
FACTS = 12  # names at most
LONGEST = 100  # characters of a fact's value that tell groups apart

_response, _version, _instrument, _invitation, _event, _ticket = (
    model._meta.db_table for model in (Response, InstrumentVersion, Instrument, Invitation, InteractionEvent, Ticket)
)


@dataclass(frozen=True)
class Asked:
    """Which rows: by the day of the answer or of the resolution; `touchpoints` are ids, None for all; `business` time or calendar."""

    first: date
    last: date
    touchpoints: Sequence[int] | None = None
    segment: str | None = None
    location: str | None = None
    business: bool = False

    def where(self, alias: str) -> tuple[str, dict[str, Any]]:
        conditions, values = ["TRUE"], dict[str, Any](first=self.first, last=self.last)
        if self.touchpoints is not None:
            conditions.append(f"{alias}.touchpoint_id = ANY(%(touchpoints)s)")
            values["touchpoints"] = list(self.touchpoints)
        for name in ("segment", "location"):
            if (value := getattr(self, name)) is not None:
                conditions.append(f"{alias}.{name} = %({name})s")
                values[name] = value
        return " AND ".join(conditions), values

    @property
    def seconds(self) -> str:
        """SQL of a ticket's time to resolution."""
        return "t.business_s" if self.business else "floor(extract(epoch FROM t.resolved_at - t.opened_at))::bigint"


@dataclass(frozen=True)
class Scored:
    """Answers of one metric in one bin: counts per score. `low` and `high` are the least and greatest of what was binned."""

    metric: str
    points: int
    bin: int
    low: float
    high: float
    distribution: Mapping[int, int]


def scores_by_ttr(asked: Asked, edges: Sequence[int]) -> list[Scored]:
    """Scores of answers that were given after their ticket was resolved, by the ticket's time to resolution as it stands now.

    The ticket is that of the event that the answer was asked about; of an answer without such an event the one of the same customer
    with the answer's reference, the last one resolved before it. An answer counts once. Bin 0 lies below the first edge.
    """
    where, values = asked.where("r")
    linked = f"t.in_ttr AND t.resolved_at <= a.responded_at AND {asked.seconds} IS NOT NULL"
    return _scored(
        f"""
        WITH answered AS MATERIALIZED (
            SELECT r.id, r.customer_id, r.reference, r.score, r.responded_at, n.metric, n.points, e.ticket_id
            FROM {_response} r JOIN {_version} v ON v.id = r.version_id JOIN {_instrument} n ON n.id = v.instrument_id
            LEFT JOIN {_invitation} i ON i.id = r.invitation_id LEFT JOIN {_event} e ON e.id = i.event_id
            WHERE r.day BETWEEN %(first)s AND %(last)s AND r.excluded_at IS NULL AND r.score IS NOT NULL AND {where}
        ), valued AS (
            SELECT a.metric, a.points, a.score, {asked.seconds} AS value
            FROM answered a JOIN {_ticket} t ON t.id = a.ticket_id WHERE {linked}
            UNION ALL
            SELECT metric, points, score, value FROM (
                SELECT DISTINCT ON (a.id) a.metric, a.points, a.score, {asked.seconds} AS value
                FROM answered a JOIN {_ticket} t ON t.customer_id = a.customer_id AND t.reference = a.reference
                WHERE a.ticket_id IS NULL AND a.reference <> '' AND {linked} ORDER BY a.id, t.resolved_at DESC, t.id
            ) AS by_reference
        )
        SELECT metric, points, width_bucket(value, %(edges)s::bigint[]) AS bin, score, count(*), min(value), max(value)
        FROM valued GROUP BY 1, 2, 3, 4
        """,
        values | {"edges": list(edges)},
    )


def scores_by_fact(asked: Asked, fact: str) -> list[Scored]:
    """Scores by quarters of a numeric fact, such as wait_seconds: the answer's own fact, else that of the event it was asked about.

    The quarters are of all such answers together: as many in each as ties allow. Bin 0 holds the least values.
    """
    where, values = asked.where("r")
    return _scored(
        f"""
        WITH told AS MATERIALIZED (
            SELECT n.metric, n.points, r.score, coalesce(r.facts -> %(fact)s, e.facts -> %(fact)s) AS fact
            FROM {_response} r JOIN {_version} v ON v.id = r.version_id JOIN {_instrument} n ON n.id = v.instrument_id
            LEFT JOIN {_invitation} i ON i.id = r.invitation_id LEFT JOIN {_event} e ON e.id = i.event_id
            WHERE r.day BETWEEN %(first)s AND %(last)s AND r.excluded_at IS NULL AND r.score IS NOT NULL AND {where}
        ), valued AS MATERIALIZED (
            SELECT metric, points, score, fact::text::float8 AS value FROM told
            WHERE CASE WHEN jsonb_typeof(fact) = 'number' THEN abs(fact::text::numeric) < 1e300 END
        ), quarters AS (
            SELECT percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY value) AS q FROM valued
        )
        SELECT metric, points, (value > q[1])::int + (value > q[2])::int + (value > q[3])::int AS bin, score, count(*),
            min(value), max(value)
        FROM valued, quarters GROUP BY 1, 2, 3, 4
        """,
        values | {"fact": fact},
    )


def _scored(sql: str, values: Mapping[str, Any]) -> list[Scored]:
    found: dict[tuple[str, int, int], tuple[list[float], dict[int, int]]] = {}
    for metric, points, bin, score, count, low, high in _fetch(sql, values):
        ends, distribution = found.setdefault((metric, points, bin), ([low, high], {}))
        ends[0], ends[1] = min(ends[0], low), max(ends[1], high)
        distribution[score] = distribution.get(score, 0) + count
    return [
        Scored(metric, points, bin, ends[0], ends[1], distribution)
        for (metric, points, bin), (ends, distribution) in sorted(found.items())
    ]


def durations_by_fact(asked: Asked, fact: str) -> dict[str, Durations]:
    """Tickets resolved within the days, by a fact of their first opening event; "" for those that lack it."""
    where, values = asked.where("t")
    rows = _fetch(
        f"""
        SELECT CASE WHEN jsonb_typeof(opening.fact) IN ('string', 'number', 'boolean') THEN left(opening.text, {LONGEST}) ELSE '' END,
            {bucket_sql(asked.seconds)}, count(*), sum({asked.seconds})::bigint, count(*) FILTER (WHERE t.reopened_count > 0)
        FROM {_ticket} t LEFT JOIN LATERAL (
            SELECT e.facts -> %(fact)s AS fact, e.facts ->> %(fact)s AS text FROM {_event} e
            WHERE e.ticket_id = t.id AND e.ticket_event = 'ticket.opened' ORDER BY e.time, e.id LIMIT 1
        ) AS opening ON TRUE
        WHERE t.in_ttr AND t.resolved_at IS NOT NULL AND t.day_resolved BETWEEN %(first)s AND %(last)s
            AND {asked.seconds} IS NOT NULL AND {where}
        GROUP BY 1, 2
        """,
        values | {"fact": fact},
    )
    held: dict[str, tuple[dict[int, int], list[int]]] = {}
    for value, bucket, n, sum_s, reopened in rows:
        buckets, sums = held.setdefault(value or "", ({}, [0, 0]))
        buckets[bucket] = n
        sums[0] += sum_s
        sums[1] += reopened
    return {value: Durations(buckets, sum(buckets.values()), *sums) for value, (buckets, sums) in held.items()}


# --- Names of facts ---------------------------------------------------------------------------------------------------


def numeric_facts() -> list[str]:
    """Names of numbers among the facts of the newest events and answers, the most frequent first."""
    rows = _fetch(
        f"""
        SELECT key FROM (
            (SELECT facts FROM {_event} ORDER BY id DESC LIMIT {RECENT})
            UNION ALL (SELECT facts FROM {_response} ORDER BY id DESC LIMIT {RECENT})
        ) AS newest, jsonb_each(CASE WHEN jsonb_typeof(facts) = 'object' THEN facts ELSE '{{}}' END) AS fact (key, value)
        WHERE jsonb_typeof(value) = 'number' GROUP BY key ORDER BY count(*) DESC, key LIMIT {FACTS}
        """,
        {},
    )
    return [key for (key,) in rows]


def opening_facts() -> list[str]:
    """Names of facts that the newest tickets were opened with, the most frequent first."""
    rows = _fetch(
        f"""
        SELECT key FROM (SELECT id FROM {_ticket} ORDER BY id DESC LIMIT {RECENT}) AS newest
        JOIN {_event} e ON e.ticket_id = newest.id AND e.ticket_event = 'ticket.opened',
        jsonb_each(CASE WHEN jsonb_typeof(e.facts) = 'object' THEN e.facts ELSE '{{}}' END) AS fact (key, value)
        WHERE jsonb_typeof(value) IN ('string', 'number', 'boolean') GROUP BY key ORDER BY count(*) DESC, key LIMIT {FACTS}
        """,
        {},
    )
    return [key for (key,) in rows]


# --- Tickets that are open --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OpenTicket:
    """A ticket that waits, as a list names it."""

    id: int
    reference: str
    touchpoint_id: int  # 0 for none
    segment: str
    opened_at: datetime
    is_answered: bool
    reopened: int


def oldest_open(asked: Asked, limit: int) -> list[OpenTicket]:
    """The tickets that have been open for longest, whatever the days: the oldest by one clock is the oldest by the other."""
    where, values = asked.where("t")
    rows = _fetch(
        f"""
        SELECT id, reference, coalesce(touchpoint_id, 0), segment, opened_at,
            coalesce(first_response_at >= opened_at, false), reopened_count
        FROM {_ticket} t WHERE in_ttr AND resolved_at IS NULL AND {where} ORDER BY opened_at, id LIMIT %(limit)s
        """,
        values | {"limit": limit},
    )
    return [OpenTicket(*row) for row in rows]


def _fetch(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
