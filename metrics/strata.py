"""PURE: scores of several touchpoints or segments together, each with a weight of its own. In: counts per stratum, weights. Out: Weighted.

Pooled answers weigh each touchpoint by how many happened to answer there. Weights that are chosen answer another question: what the
score were if each counted as much as it matters. Counts are never changed. No Django, no database, no rounding.
"""

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

from metrics.formulas import bucket_value, nps_variance, wilson
from metrics.significance import (
    MINIMUM_N,
    Comparison,
    Counts,
    Statistic,
    bands_of,
    histogram_of,
    moments_of_scores,
    moments_of_tickets,
    recover,
    t_test,
    tell_apart,
)
from surveys.planning import NPS_PRIOR, Z
from surveys.scales import NPS, Scale, scale_for

MOST_LEFT_OUT = 0.2  # of all weight; what lacks more than a fifth of its parts is another score
Why = Literal["", "too_few", "no_weight"]


@dataclass(frozen=True, slots=True)
class Stratum:
    """One touchpoint or segment: the `weight` it was given, the `share` (0…1) that it has in the score, its own value and n.

    `left_out` says why the share is 0: too few answers, or no weight was given. A weight of 0 is no weight, on purpose.
    """

    key: str
    weight: float
    share: float
    value: float | None
    n: int
    left_out: Why = ""


@dataclass(frozen=True, slots=True)
class Weighted:
    """The score with its 95 % interval, in the metric's unit; n is the answers of the strata that it is made of.

    `value` is None where nothing can be told: no weights, nobody in any stratum, or more than MOST_LEFT_OUT of all weight is on
    strata with too few answers (`missing`, 0…1). `strata` are all that hold answers or have a weight, the heaviest first.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    missing: float = 0.0
    strata: Sequence[Stratum] = field(default_factory=tuple)


def weigh(
    metric: str,
    points: int,
    counts: Mapping[str, Counts],
    weights: Mapping[str, float],
    *,
    statistic: Statistic = "value",
    minimum: int = MINIMUM_N,
) -> Weighted:
    """A metric of strata, Σ share · value, where shares are the weights of strata with enough answers, made to add up to 1.

    The variance is Σ share² · variance. The interval is made of each metric's own: of NPS of Rocks' adjusted counts, of shares of
    the distances to the ends of Wilson's intervals (Zou, Huang and Zhang), of means of Satterthwaite's t, of a median (`median`, ttr
    alone) Woodruff's. With one stratum it is the interval that the metric has without weights.
    Strata with fewer answers than `minimum` are left out, named, and their weight is spread over the others in proportion; above
    MOST_LEFT_OUT nothing is told. ValueError for a weight below 0, or a statistic that the metric does not have.
    Not valid where a person stands in two strata; weights are taken as known, so their own error is in no interval.
    Source: Cochran, "Sampling Techniques", 3rd ed. 1977, chapter 5; Zou, Huang and Zhang, "A Note on Confidence Interval Estimation
    for a Linear Function of Binomial Proportions", Computational Statistics & Data Analysis 53, 2009; Woodruff, "Confidence
    Intervals for Medians and Other Position Measures", JASA 47, 1952.
    """
    _check(metric, statistic, weights)
    ns = {key: n for key, side in counts.items() if (n := _n_of(side))}
    used, missing = _used(ns, weights, minimum)
    strata = [
        Stratum(
            key,
            weights.get(key, 0),
            used.get(key, 0.0),
            _combine(metric, points, statistic, [(counts[key], 1.0)]).value if ns.get(key) else None,
            ns.get(key, 0),
            "" if key in used or weights.get(key) == 0 else "too_few" if key in weights else "no_weight",
        )
        for key in sorted({*ns, *weights}, key=lambda key: (-weights.get(key, 0), key))
    ]
    n = sum(ns[key] for key in used)
    if not used or missing > MOST_LEFT_OUT:
        return Weighted(None, None, None, n, missing, strata)
    found = _combine(metric, points, statistic, [(counts[key], share) for key, share in used.items()])
    low, high = found.ends()
    return Weighted(found.value, low, high, n, missing, strata)


def compare_weighted(
    metric: str,
    points: int,
    now: Mapping[str, Counts],
    before: Mapping[str, Counts],
    weights: Mapping[str, float],
    *,
    statistic: Statistic = "value",
    minimum: int = MINIMUM_N,
) -> Comparison:
    """Whether a weighted score changed, in the same strata with the same shares on both sides; so `now` may not be `weigh`'s value.

    Strata with too few answers on either side are left out of both. too_few where they carry more than MOST_LEFT_OUT of all weight.
    Methods as in `weigh`, and for the difference as in `significance.compare`. Not valid where that is not.
    """
    _check(metric, statistic, weights)
    fewest = {key: min(_n_of(now[key]), _n_of(before[key])) for key in now.keys() & before.keys()}
    used, missing = _used(fewest, weights, minimum)
    sums = [sum(_n_of(side[key]) for key in used) for side in (now, before)]
    if not used or missing > MOST_LEFT_OUT:
        return Comparison(None, None, None, None, None, None, sums[0], sums[1], "too_few")
    here, there = (
        _combine(metric, points, statistic, [(side[key], share) for key, share in used.items()])
        for side in (now, before)
    )
    return tell_apart(((here.value, sums[0]), (there.value, sums[1])), minimum, lambda: here.less(there))


def _check(metric: str, statistic: Statistic, weights: Mapping[str, float]) -> None:
    if any(not weight >= 0 or math.isinf(weight) for weight in weights.values()):
        raise ValueError("a weight is a number, not below 0")
    if statistic not in {"ttr": ("value", "median")}.get(metric, ("value",)):
        raise ValueError(f"{metric} has no weighted {statistic}")


def _n_of(side: Counts) -> int:
    return sum(side.distribution.values())


def _used(ns: Mapping[str, int], weights: Mapping[str, float], minimum: int) -> tuple[dict[str, float], float]:
    """The shares of the strata that have enough answers, adding up to 1; and which part of all weight has not."""
    total = sum(weights.values())
    enough = {
        key: weight for key, weight in sorted(weights.items()) if weight > 0 and ns.get(key, 0) >= max(1, minimum)
    }
    held = sum(enough.values())
    if held <= 0:
        return {}, 1.0 if total > 0 else 0.0
    return {key: weight / held for key, weight in enough.items()}, max(0.0, 1 - held / total)


# --- Each metric's own ------------------------------------------------------------------------------------------------


def _combine(metric: str, points: int, statistic: Statistic, parts: Sequence[tuple[Counts, float]]) -> "_Combined":
    if metric == "ttr":
        return _Median(parts) if statistic == "median" else _Mean([(moments_of_tickets(c), w) for c, w in parts], 0)
    scale = scale_for(metric, points)
    histograms = [(histogram_of(scale, counts), share) for counts, share in parts]
    if scale is NPS:
        return _Nps(histograms)
    if metric == "csat":
        return _Share(histograms, scale)
    return _Mean([(moments_of_scores(scale, counts), share) for counts, share in histograms], scale.low, scale.high)


class _Combined:
    """Σ share · value of strata that each have answers. `centre` is what its interval is built about."""

    value: float | None
    centre: float
    lowest, highest = -math.inf, math.inf

    def low(self, z: float) -> float | None:
        raise NotImplementedError

    def high(self, z: float) -> float | None:
        raise NotImplementedError

    def ends(self) -> tuple[float | None, float | None]:
        low, high = self.low(Z), self.high(Z)
        if low is None or high is None:
            return None, None
        return max(self.lowest, low), min(self.highest, high)

    def less(self, other: "_Combined") -> tuple[float, float, float] | None:
        """(low, high, p) of the difference; None where it has no interval."""
        low, high, p = recover(self.centre, self, other.centre, other)
        widest = self.highest - self.lowest
        return None if math.isinf(low) or math.isinf(high) else (max(-widest, low), min(widest, high), p)


class _Nps(_Combined):
    lowest, highest = -100.0, 100.0

    def __init__(self, parts: Sequence[tuple[Sequence[int], float]]) -> None:
        self.value, self.centre, square = 0.0, 0.0, 0.0
        for histogram, share in parts:
            bands = bands_of(histogram)
            self.value += share * 100 * (bands[2] - bands[0]) / sum(bands)
            detractors, passives, promoters = (count + more for count, more in zip(bands, NPS_PRIOR, strict=True))
            n = detractors + passives + promoters
            self.centre += share * 100 * (promoters - detractors) / n
            square += (100 * share) ** 2 * nps_variance(detractors, passives, promoters) / n
        self._error = math.sqrt(square)

    def low(self, z: float) -> float:
        return self.centre - z * self._error

    def high(self, z: float) -> float:
        return self.centre + z * self._error


class _Share(_Combined):
    lowest, highest = 0.0, 100.0

    def __init__(self, parts: Sequence[tuple[Sequence[int], float]], scale: Scale) -> None:
        self._parts = [
            (scale.band_counts(histogram)[scale.highest_band], sum(histogram), share) for histogram, share in parts
        ]
        self.value = self.centre = sum(100 * share * of / n for of, n, share in self._parts)

    def _reach(self, z: float, end: int) -> float:
        return 100 * math.hypot(*(share * (of / n - wilson(of, n, z)[end]) for of, n, share in self._parts))

    def low(self, z: float) -> float:
        return self.centre - self._reach(z, 0)

    def high(self, z: float) -> float:
        return self.centre + self._reach(z, 1)


class _Mean(_Combined):
    def __init__(self, parts: Sequence[tuple[Any, float]], lowest: float, highest: float = math.inf) -> None:
        self.lowest, self.highest = lowest, highest
        self.value = self.centre = sum(share * moments.mean for moments, share in parts)
        self._is_known = all(moments.variance is not None for moments, _share in parts)
        self._variances = [
            (share**2 * (moments.variance or 0.0) / moments.n, max(1, moments.n - 1)) for moments, share in parts
        ]

    def ends(self) -> tuple[float | None, float | None]:
        """By t, whose degrees of freedom are of all strata together."""
        if not self._is_known:
            return None, None
        low, high, _p = t_test(self.centre, self._variances) or (self.centre, self.centre, 0.0)
        return max(self.lowest, low), min(self.highest, high)

    def less(self, other: "_Combined") -> tuple[float, float, float] | None:
        assert isinstance(other, _Mean)
        if not self._is_known or not other._is_known:
            return None
        return t_test(self.centre - other.centre, [*self._variances, *other._variances], self.highest - self.lowest)


class _Median(_Combined):
    """Where the weighted distribution of durations reaches one half; Woodruff's ends, where it reaches one half ± z errors of it."""

    lowest = 0.0

    def __init__(self, parts: Sequence[tuple[Counts, float]]) -> None:
        weight: dict[int, float] = {}
        for counts, share in parts:
            n = _n_of(counts)
            for bucket, count in counts.distribution.items():
                weight[bucket] = weight.get(bucket, 0.0) + share * count / n
        self._buckets = sorted(weight)
        self._reached = list(accumulate(weight[bucket] for bucket in self._buckets))
        middle = self._bucket_at(0.5)
        assert middle is not None
        self.value = self.centre = bucket_value(middle)
        square = 0.0
        for counts, share in parts:
            n = _n_of(counts)
            # What lies in the median's own bucket counts by half, else a clump there would look like certainty.
            below = sum(count for bucket, count in counts.distribution.items() if bucket < middle) / n
            below += counts.distribution.get(middle, 0) / n / 2
            square += share**2 * below * (1 - below) / n
        self._error = math.sqrt(square)

    def _bucket_at(self, part: float) -> int | None:
        if not 0 < part < 1:
            return None
        place = bisect.bisect_left(self._reached, part - 1e-12)
        return self._buckets[min(place, len(self._buckets) - 1)]

    def _end(self, part: float) -> float | None:
        bucket = self._bucket_at(part)
        return None if bucket is None else bucket_value(bucket)

    def low(self, z: float) -> float | None:
        return self._end(0.5 - z * self._error)

    def high(self, z: float) -> float | None:
        return self._end(0.5 + z * self._error)
