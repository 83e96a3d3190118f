"""Scores in which touchpoints or segments count by weights of their own. In: a slice and weights. Out: what strata.weigh makes of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from metrics.queries.asked import Asked
from metrics.queries.durations import DurationSums, duration_rows
from metrics.queries.measured import add_counts
from metrics.queries.scores import only_scale, score_rows
from metrics.significance import MINIMUM_N, Comparison, Counts, Statistic
from metrics.slices import (
    Catalogue,
    Slice,
    check,
)
from metrics.strata import Weighted, compare_weighted, weigh
from surveys.models import Organisation, Touchpoint
from surveys.worktime import WorkCalendar

WEIGHED_BY = ("touchpoint", "segment")  # what can be given a weight


@dataclass(frozen=True)
class WeightedMeasurement:
    """A weighted score, its own parts and weights beside it (`strata`), and whether it changed; `comparison` None without `compare`."""

    total: Weighted
    comparison: Comparison | None


def measure_weighted(
    metric: str,
    slice_: Slice,
    by: str,
    weights: Mapping[str, float],
    *,
    compare: tuple[date, date] | None = None,
    statistic: Statistic = "value",
    minimum: int = MINIMUM_N,
    hours: WorkCalendar | None = None,
    catalogue: Catalogue | None = None,
) -> WeightedMeasurement:
    """`metric` of the slice where each touchpoint or segment (`by`) counts by its weight, in one query beside the catalogue's.

    `weights` by slug or by segment ("" is none): `weights_of` gives the organisation's. `compare`: the days to hold it against.
    `minimum` is the organisation's `min_n`. For ttr of the tickets resolved in the days: their mean, or with `statistic="median"`
    their median; in business time where `hours` are given, as in `measure`. UnusableSlice as `measure`; ValueError for another
    `by`. What it means and when it is withheld: `strata.weigh`.
    """
    if by not in WEIGHED_BY:
        raise ValueError(f"scores are weighted by {' or '.join(WEIGHED_BY)}")
    catalogue = catalogue or Catalogue.load()
    check(metric, slice_, by, catalogue)
    windows = [slice_] if compare is None else [slice_, replace(slice_, day_from=compare[0], day_to=compare[1])]
    points, sides = _strata(metric, Asked(windows, catalogue, group_by=by, hours=hours))
    total = weigh(metric, points, sides[0], weights, statistic=statistic, minimum=minimum)
    if compare is None:
        return WeightedMeasurement(total, None)
    now, before = sides
    found = compare_weighted(metric, points, now, before, weights, statistic=statistic, minimum=minimum)
    return WeightedMeasurement(total, found)


def weights_of(
    by: str, organisation: Organisation, touchpoints: Iterable[Touchpoint], metric: str, points: int = 0
) -> dict[str, float]:
    """The organisation's weights, by slug or by segment. `touchpoints` with their instruments.

    Of touchpoints, those that are active and meant to measure the metric on this scale: by their instrument, and every one for ttr.
    So the weight of one that should have answers and has none is missed, and one that asks something else is not.
    """
    if by == "segment":
        return dict(organisation.segment_weights)
    return {
        row.slug: row.weight
        for row in touchpoints
        if row.active
        and (
            metric == "ttr"
            or (row.instrument is not None and (row.instrument.metric, row.instrument.points) == (metric, points))
        )
    }


def _strata(metric: str, asked: Asked) -> tuple[int, list[dict[str, Counts]]]:
    """The points of the scale, and for each window what each group holds."""
    sides: list[dict[str, Counts]] = [{} for _window in asked.windows]
    if metric == "ttr":
        durations: dict[tuple[int, str], DurationSums] = {}
        for one in duration_rows("resolved", asked):
            durations.setdefault((one.window, one.group), DurationSums()).add(one)
        for (window, group), held in durations.items():
            sides[window][group] = Counts(held.buckets, sum_s=held.sum_s)
        return 0, sides
    wanted = asked.questions_of(metric)
    rows = score_rows(wanted, asked)
    scale = only_scale(metric, rows, asked)
    histograms: dict[tuple[int, str], list[int]] = {}
    for row in rows:
        if wanted[row.question] is scale:
            add_counts(histograms.setdefault((row.window, row.group), [0] * scale.points), row.histogram(scale))
    for (window, group), histogram in histograms.items():
        sides[window][group] = Counts(dict(zip(scale.scores, histogram, strict=True)))
    return scale.points, sides
