"""Answers whose quality is in doubt, and what each kind of them does to the scores. In: a slice and moments. Out: counts and scores.

Raw rows are read, bounded in time: no cell knows how fast somebody answered. Nothing is changed and nothing is decided here: an
answer that is listed counts as it did, until staff exclude it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from metrics.slices import OF_CELLS, Catalogue, Slice
from surveys.models import Answer, Invitation, Question, Response, Ticket, Wording

LISTED = 100  # answers of one kind that are told by their ids
AGAIN_HOURS = 24  # the same customer at the same touchpoint, within it
FAST_S = 2  # from opening the link to “Send”: hardly time to read the question
SAME_WORDS = 3  # so often the same comment at one touchpoint
WORDS_AT_LEAST = 12  # characters: “很好” and “Thanks” are said by many
SCALES_AT_LEAST = 3  # questions on one scale with one and the same score
# Kinds whose answers are out of the scores as it is; of all others the question is what the scores were without them.
LEFT_OUT = ("suspected", "excluded")
KINDS = ("suspected", "repeated", "same_words", "fast", "straight", "excluded")

_response, _answer, _question, _invitation, _wording, _ticket = (
    model._meta.db_table for model in (Response, Answer, Question, Invitation, Wording, Ticket)
)


@dataclass(frozen=True)
class Doubted:
    """The answers of one kind: how many, the newest of them, and their scores by (metric, points) as score to count."""

    kind: str
    count: int = 0
    newest: Sequence[int] = ()
    scores: Mapping[tuple[str, int], Mapping[int, int]] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether these answers are in the scores."""
        return self.kind not in LEFT_OUT


@dataclass(frozen=True)
class Quality:
    """`answers` count, of which `without_segment` name none and `other_segment` came after the last segment there was room for."""

    answers: int
    without_segment: int
    other_segment: int
    doubted: Mapping[str, Doubted]


_STATEMENT = f"""
WITH asked AS (
    SELECT DISTINCT version_id FROM (
        SELECT w.version_id FROM {_wording} w JOIN {_question} q ON q.id = w.question_id
        WHERE q.kind = 'scale' GROUP BY w.version_id, q.points HAVING count(*) >= {SCALES_AT_LEAST}
    ) AS batteries
), held AS MATERIALIZED (
    SELECT r.id, r.touchpoint_id, r.customer_id, r.version_id, r.invitation_id, r.segment, r.responded_at, r.completed_at,
        r.suspected_at, r.excluded_at, r.excluded_by_id,
        CASE WHEN char_length(btrim(r.comment)) >= {WORDS_AT_LEAST} THEN lower(btrim(r.comment)) END AS words
    FROM {_response} r
    WHERE r.responded_at >= %(begin)s AND r.responded_at < %(end)s AND {{where}}
), counted AS MATERIALIZED (
    SELECT * FROM held WHERE excluded_at IS NULL
), doubted AS MATERIALIZED (
    SELECT 'suspected' AS kind, id, responded_at FROM held
    WHERE suspected_at IS NOT NULL AND excluded_at IS NOT NULL AND excluded_by_id IS NULL
    UNION ALL
    SELECT 'excluded', id, responded_at FROM held WHERE excluded_by_id IS NOT NULL
    UNION ALL
    SELECT 'repeated', id, responded_at FROM (
        SELECT id, responded_at,
            lag(responded_at) OVER (PARTITION BY customer_id, touchpoint_id ORDER BY responded_at, id) AS before
        FROM counted WHERE customer_id IS NOT NULL
    ) AS own WHERE responded_at - before < interval '{AGAIN_HOURS} hours'
    UNION ALL
    SELECT 'same_words', id, responded_at FROM (
        SELECT id, responded_at, count(*) OVER (PARTITION BY touchpoint_id, words) AS times FROM counted WHERE words IS NOT NULL
    ) AS said WHERE times >= {SAME_WORDS}
    UNION ALL
    SELECT 'fast', c.id, c.responded_at FROM counted c JOIN {_invitation} i ON i.id = c.invitation_id
    WHERE c.completed_at >= i.opened_at AND c.completed_at - i.opened_at < interval '{FAST_S} seconds'
    UNION ALL
    SELECT DISTINCT 'straight', id, responded_at FROM (
        SELECT c.id, c.responded_at FROM counted c
        JOIN {_answer} a ON a.response_id = c.id JOIN {_question} q ON q.id = a.question_id
        WHERE c.version_id IN (SELECT version_id FROM asked) AND a.score IS NOT NULL
        GROUP BY c.id, c.responded_at, q.points HAVING count(*) >= {SCALES_AT_LEAST} AND min(a.score) = max(a.score)
    ) AS straight
)
SELECT '' AS kind, NULL::text AS metric, NULL::int AS points, NULL::int AS score, count(*),
    ARRAY[count(*) FILTER (WHERE segment = ''), count(*) FILTER (WHERE segment = %(other)s)] AS ids
FROM counted
UNION ALL
SELECT kind, NULL, NULL, NULL, count(*), (array_agg(id ORDER BY responded_at DESC, id DESC))[1:{LISTED}] FROM doubted GROUP BY kind
UNION ALL
SELECT d.kind, q.metric, q.points, a.score, count(*), NULL
FROM doubted d JOIN {_answer} a ON a.response_id = d.id JOIN {_question} q ON q.id = a.question_id
WHERE a.score IS NOT NULL GROUP BY 1, 2, 3, 4
"""


def measure_quality(slice_: Slice, begin: datetime, end: datetime, other: str, catalogue: Catalogue) -> Quality:
    """The doubtful answers of the slice given from `begin` to before `end`, in one query. `other`: the name of the rest's segment."""
    where, values = _narrowed(slice_, catalogue, "r.touchpoint_id")
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT.format(where=where), {"begin": begin, "end": end, "other": other, **values})
        rows = cursor.fetchall()
    whole = next((count, ids) for kind, _metric, _points, _score, count, ids in rows if kind == "")
    found: dict[str, Doubted] = {}
    for kind in KINDS:
        own = [row for row in rows if row[0] == kind]
        count, newest = next(((row[4], row[5]) for row in own if row[1] is None), (0, []))
        scores: dict[tuple[str, int], dict[int, int]] = {}
        for _kind, metric, points, score, times, _ids in own:
            if metric is not None:
                scores.setdefault((metric, points), {})[score] = times
        found[kind] = Doubted(kind, count, newest, scores)
    return Quality(whole[0], whole[1][0], whole[1][1], found)


def count_tickets_without_time(slice_: Slice, catalogue: Catalogue) -> int:
    """Tickets that are not in TTR, whatever the days: their opening is not known, or they were resolved before it."""
    where, values = _narrowed(slice_, catalogue, "touchpoint_id", ("segment", "location"))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {_ticket} r WHERE NOT r.in_ttr AND {where}", values)
        count: int = cursor.fetchone()[0]
    return count


def _narrowed(
    slice_: Slice, catalogue: Catalogue, touchpoint: str, dimensions: Sequence[str] = OF_CELLS
) -> tuple[str, dict[str, Any]]:
    """(condition over `r`, its values) of the slice without its days."""
    conditions: list[str] = ["TRUE"]
    values: dict[str, Any] = {}
    touchpoints = catalogue.touchpoint_ids(slice_)
    if touchpoints is not None:
        conditions.append(f"{touchpoint} = ANY(%(touchpoints)s)")
        values["touchpoints"] = touchpoints
    for dimension in dimensions:
        if chosen := slice_.values_of(dimension):
            conditions.append(f"r.{dimension} = ANY(%({dimension}s)s)")
            values[f"{dimension}s"] = sorted(chosen)
    return " AND ".join(conditions), values
