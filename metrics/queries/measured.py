"""What a measurement is, and how counts become one. In: histograms. Out: Measured, with the metric's own fields. No query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from metrics import formulas
from metrics.significance import Counts
from surveys.scales import SCALES, Scale


@dataclass(frozen=True)
class Measured:
    """One metric of one histogram. `extra` holds the metric's own fields under the names that the API gives them.

    `distribution` counts per score, for ttr per bucket of the duration.

    nps in points −100…100; csat in percent, extra `mean`; ces on 1…7, extra `easy_share` in percent; ttr in seconds,
    extra `median`, `p90`, `median_with_open` (seconds), `reopened_share` (0…1), `open` (tickets).
    """

    metric: str
    points: int  # of the scale; 0 for ttr
    value: float | None
    n: int
    low: float | None
    high: float | None
    distribution: Mapping[int, int] = field(default_factory=dict)
    breakdown: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, float | int | None] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """What `significance.compare` takes."""
        exact = self.value * self.n if self.metric == "ttr" and self.value is not None else None
        return Counts(self.distribution, sum_s=exact)


@dataclass(frozen=True)
class Measurement:
    """The slice as a whole; by period, every one from first to last; by group, those that hold anything."""

    total: Measured
    series: Sequence[tuple[date, Measured]] = ()
    groups: Sequence[tuple[str, Measured]] = ()


def measure_histogram(column: tuple[str, int], histogram: Sequence[int]) -> Measured:
    """Counts per score that were summed up elsewhere, measured. KeyError for what is no metric of a scale."""
    return measured_scores(SCALES[column], histogram)


def measured_scores(scale: Scale, histogram: Sequence[int]) -> Measured:
    extra: dict[str, float | int | None] = {}
    if scale.metric == "nps":
        estimate = formulas.nps(histogram)
    elif scale.metric == "csat":
        estimate = formulas.csat_top_box(histogram, scale)
        extra["mean"] = formulas.score_mean(histogram, scale)
    else:
        estimate = formulas.ces_mean(histogram)
        extra["easy_share"] = formulas.ces_easy_share(histogram).value
    return Measured(
        scale.metric, scale.points, estimate.value, estimate.n, estimate.low, estimate.high,
        dict(zip(scale.scores, histogram, strict=True)), scale.band_counts(list(histogram)), extra,
    )  # fmt: skip


def add_counts(total: list[int], counts: Sequence[int]) -> None:
    for place, count in enumerate(counts):
        total[place] += count
