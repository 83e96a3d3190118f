"""Many windows of days, each of some touchpoints, whose answers are pooled: what decisions are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db import connection

from metrics.buckets import bucket_sql, unpack
from metrics.models import SCORES, Grain
from metrics.queries.asked import DURATION_CELL, SCORE_CELL, TICKET
from metrics.significance import Counts
from metrics.slices import Catalogue


@dataclass(frozen=True)
class Window:
    """Days, both ends included, at touchpoints (their ids), whose answers are pooled."""

    touchpoints: Sequence[int]
    first: date
    last: date


def measure_windows(
    windows: Sequence[Window], *, now: datetime, catalogue: Catalogue
) -> list[dict[tuple[str, int], Counts]]:
    """Each window's counts by (metric, points), where it holds any: three queries, however many windows. Scales stay apart.

    Of ttr (points 0) the tickets opened on these days: resolved ones by bucket, and those still open now by the bucket of their age.
    """
    cut = [
        (number, place, window.first, window.last)
        for number, window in enumerate(windows)
        for place in window.touchpoints
    ]
    counts: list[dict[tuple[str, int], dict[int, int]]] = [{} for _window in windows]
    waiting: list[dict[int, int]] = [{} for _window in windows]
    if not cut:
        return [{} for _window in windows]
    # One index lookup per touchpoint and window. Whole days: a window is a few weeks, so months would save nothing.
    held = "unnest(%s::int[], %s::bigint[], %s::date[], %s::date[]) AS w (number, touchpoint, first, last)"
    params = [list(column) for column in zip(*cut, strict=True)]
    inside = "grain = %s AND touchpoint_id = w.touchpoint AND day BETWEEN w.first AND w.last"
    sums = ", ".join(f"sum(s{score})::bigint" for score in SCORES)
    age = bucket_sql("greatest(floor(extract(epoch FROM %s - opened_at)), 0)::bigint")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT w.number, question_id, {sums} FROM {held} JOIN {SCORE_CELL} ON {inside} GROUP BY 1, 2",
            [*params, Grain.DAY_TOTAL.value],
        )
        for number, question, *scores in cursor.fetchall():
            scale = catalogue.questions.get(question)
            if scale is not None:
                counted = counts[number].setdefault((scale.metric, scale.points), {})
                for score in scale.scores:
                    counted[score] = counted.get(score, 0) + scores[score]
        cursor.execute(
            f"SELECT w.number, sum(histogram)::text FROM {held} JOIN {DURATION_CELL} ON basis = 'opened' AND {inside} GROUP BY 1",
            [*params, Grain.DAY_TOTAL.value],
        )
        for number, packed in cursor.fetchall():
            counts[number]["ttr", 0] = dict(zip(*unpack(packed), strict=True))
        cursor.execute(
            f"SELECT w.number, {age}, count(*) FROM {held} JOIN {TICKET} t ON t.touchpoint_id = w.touchpoint "
            "AND t.day_opened BETWEEN w.first AND w.last WHERE t.in_ttr AND t.resolved_at IS NULL GROUP BY 1, 2",
            [now, *params],
        )
        for number, bucket, count in cursor.fetchall():
            waiting[number][bucket] = count
            counts[number].setdefault(("ttr", 0), {})
    return [
        {
            column: Counts(distribution, waiting[number] if column == ("ttr", 0) else {})
            for column, distribution in found.items()
            if any(distribution.values()) or (column == ("ttr", 0) and waiting[number])
        }
        for number, found in enumerate(counts)
    ]
