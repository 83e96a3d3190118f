"""Every touchpoint × metric of a slice, now and over the days to compare with; every touchpoint × mode."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from metrics.queries.asked import Asked
from metrics.queries.durations import DurationRow, DurationSums, duration_rows, open_rows
from metrics.queries.measured import Measured, add_counts, measured_scores
from metrics.queries.scores import ScoreRow, score_rows
from metrics.slices import (
    Catalogue,
    Slice,
    check,
)
from surveys.scales import SCALES


@dataclass(frozen=True)
class MatrixRow:
    """One touchpoint × metric (CSAT per scale): now, and over the days to compare with."""

    touchpoint: str
    metric: str
    points: int
    now: Measured
    before: Measured | None


def measure_matrix(
    slice_: Slice, compare: tuple[date, date] | None, *, now: datetime, catalogue: Catalogue | None = None
) -> list[MatrixRow]:
    """Every touchpoint × metric that holds anything in the slice or in the days of `compare`, in three queries.

    TTR by the day resolved; `median_with_open` is left out here (null). CSAT scales stay apart whatever `slice_.scale`.
    """
    catalogue = catalogue or Catalogue.load()
    check("nps", replace(slice_, scale=None), None, catalogue)
    asked = Asked(windows_of(slice_, compare), catalogue, group_by="touchpoint")
    rows = score_matrix(score_rows(catalogue.questions, asked), asked)
    return rows if slice_.modes else rows + _ttr_matrix(asked, now)  # a ticket has no mode


def windows_of(slice_: Slice, compare: tuple[date, date] | None) -> list[Slice]:
    return [slice_] if compare is None else [slice_, replace(slice_, day_from=compare[0], day_to=compare[1])]


def score_matrix(scores: Sequence["ScoreRow"], asked: Asked) -> list[MatrixRow]:
    rows = []
    for scale in SCALES.values():
        counts: dict[tuple[str, int], list[int]] = {}
        for row in scores:
            if asked.catalogue.questions[row.question] is scale:
                add_counts(counts.setdefault((row.group, row.window), [0] * scale.points), row.histogram(scale))
        for touchpoint in sorted({key for (key, _window), histogram in counts.items() if any(histogram)}):
            pair = [
                measured_scores(scale, counts.get((touchpoint, at), [0] * scale.points))
                for at in range(len(asked.windows))
            ]
            rows.append(MatrixRow(touchpoint, scale.metric, scale.points, pair[0], pair[1] if len(pair) > 1 else None))
    return rows


@dataclass(frozen=True)
class ModeRow:
    """One touchpoint × mode × metric (CSAT per scale)."""

    touchpoint: str
    mode: str
    now: Measured


def measure_modes(slice_: Slice, *, catalogue: Catalogue | None = None) -> list[ModeRow]:
    """Every touchpoint × mode × metric of answers that holds anything, in one query; tickets have no mode."""
    catalogue = catalogue or Catalogue.load()
    check("nps", replace(slice_, scale=None), None, catalogue)
    counts: dict[tuple[str, str, str, int], list[int]] = {}
    for row in score_rows(catalogue.questions, Asked([slice_], catalogue, group_by="touchpoint", by_mode=True)):
        scale = catalogue.questions[row.question]
        touchpoint, _space, mode = row.group.rpartition(" ")
        histogram = counts.setdefault((touchpoint, mode, scale.metric, scale.points), [0] * scale.points)
        add_counts(histogram, row.histogram(scale))
    return [
        ModeRow(touchpoint, mode, measured_scores(SCALES[metric, points], histogram))
        for (touchpoint, mode, metric, points), histogram in sorted(counts.items())
        if any(histogram)
    ]


def _ttr_matrix(asked: Asked, now: datetime) -> list[MatrixRow]:
    waiting: dict[str, int] = {}
    for group, _period, _inside, _bucket, count, _oldest in open_rows(asked, now):
        waiting[group] = waiting.get(group, 0) + count
    return matrix_of_tickets(duration_rows("resolved", asked), waiting, asked)


def matrix_of_tickets(rows: Iterable["DurationRow"], waiting: Mapping[str, int], asked: Asked) -> list[MatrixRow]:
    resolved: dict[tuple[str, int], DurationSums] = {}
    for row in rows:
        resolved.setdefault((row.group, row.window), DurationSums()).add(row)
    found = []
    for touchpoint in sorted({key for (key, _window), durations in resolved.items() if durations.n} | set(waiting)):
        pair = [
            resolved.get((touchpoint, at), DurationSums()).measured(waiting.get(touchpoint, 0))
            for at in range(len(asked.windows))
        ]
        found.append(MatrixRow(touchpoint, "ttr", 0, pair[0], pair[1] if len(pair) > 1 else None))
    return found
