"""Scores of cells. In: what is asked. Out: histograms by window, period and group, a metric of them, and days that hold any."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from metrics.grains import SCORE_CUTS
from metrics.models import SCORES
from metrics.queries.asked import SCORE_CELL, Asked, Where, fetch, group_keys, select_parts
from metrics.queries.measured import Measurement, add_counts, measured_scores
from metrics.slices import (
    Catalogue,
    Slice,
    UnusableSlice,
    starts,
)
from surveys.scales import SCALES, Scale


@dataclass(frozen=True, slots=True)
class ScoreRow:
    window: int
    question: int
    period: date | None
    group: str
    counts: Sequence[int]  # s0…s10

    def histogram(self, scale: Scale) -> Sequence[int]:
        return self.counts[scale.low : scale.high + 1]


def metric_of_scores(metric: str, asked: Asked) -> Measurement:
    wanted = asked.questions_of(metric)
    rows = score_rows(wanted, asked.first())
    scale = only_scale(metric, rows, asked)
    nothing = [0] * scale.points
    total = list(nothing)
    periods: dict[date, list[int]] = {}
    for row in rows:
        if wanted[row.question] is scale:
            add_counts(total, row.histogram(scale))
            if row.period:
                add_counts(periods.setdefault(row.period, list(nothing)), row.histogram(scale))
    series = [
        (start, measured_scores(scale, periods.get(start, nothing)))
        for start in starts(
            asked.interval, asked.slice, (start for start, histogram in periods.items() if any(histogram))
        )
    ]
    groups: dict[str, list[int]] = {}
    for row in (score_rows(wanted, asked.grouped()) if asked.interval else rows) if asked.group_by else ():
        if wanted[row.question] is scale:
            add_counts(groups.setdefault(row.group, list(nothing)), row.histogram(scale))
    keys = group_keys(asked, (key for key, histogram in groups.items() if any(histogram)))
    return Measurement(
        measured_scores(scale, total),
        series,
        [(key, measured_scores(scale, groups.get(key, nothing))) for key in keys],
    )


def only_scale(metric: str, rows: Iterable[ScoreRow], asked: Asked) -> Scale:
    """The one scale of which the slice holds answers; where it holds none, the one asked for or the metric's first."""
    held = {asked.catalogue.questions[row.question].points for row in rows if any(row.counts)}
    if len(held) > 1:
        raise UnusableSlice(
            "scale", "This slice holds answers on 5 and on 7 points, which are never pooled: add scale=5|7."
        )
    points = held.pop() if held else asked.slice.scale
    return next(scale for scale in SCALES.values() if scale.metric == metric and points in (None, scale.points))


def score_rows(questions: Mapping[int, Scale], asked: Asked) -> list[ScoreRow]:
    """One query: histograms of the questions by window, period and group."""
    return score_parts(questions, [asked])[0]


def score_parts(questions: Mapping[int, Scale], parts: Sequence[Asked]) -> list[list[ScoreRow]]:
    """The same of several questions about one set of answers, in one query."""
    if not questions:
        return [[] for _asked in parts]
    names = [f"s{score}" for score in SCORES]
    sums = ", ".join(f"sum({name})::bigint" for name in names)
    common = Where().among("question_id", sorted(questions))
    cells, params = select_parts(
        SCORE_CELL, SCORE_CUTS, "question_id", sums, names, [(common, asked) for asked in parts]
    )
    found: list[list[ScoreRow]] = [[] for _asked in parts]
    for part, window, period, key, question, *counts in fetch(cells, params):
        found[part].append(ScoreRow(window, question, period, parts[part].key(key), counts))
    return found


def answered_days(
    touchpoints: Collection[int],
    mode: str,
    segment: str,
    location: str,
    first: date,
    last: date,
    catalogue: Catalogue,
) -> set[date]:
    """On which of these days anybody gave a score at these touchpoints; mode, segment and location "" do not narrow. One query."""
    named = [catalogue.place(pk).touchpoint for pk in touchpoints]
    slice_ = Slice(
        touchpoints=frozenset(named), modes=frozenset([mode]) - {""}, segments=frozenset([segment]) - {""},
        locations=frozenset([location]) - {""}, day_from=first, day_to=last,
    )  # fmt: skip
    rows = score_rows(catalogue.questions, Asked([slice_], catalogue, "day"))
    return {row.period for row in rows if row.period and any(row.counts)}
