"""PURE: did it change, do they differ? In: counts of independent answers or tickets on two sides. Out: a Comparison.

`compare` is the one entry that pages, alerts, decisions and the API call: it picks the method of each metric, and p and the interval
are of that one method, so that p < 0.05 exactly where the interval leaves 0 out. Which n is enough is an argument. No Django, no
database, no rounding; docs/metrics.md says the same to people.
"""

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, Protocol

from metrics.formulas import (
    Estimate,
    MedianOfSteps,
    Ranks,
    bucket_value,
    kaplan_meier_steps,
    nps_variance,
    t_beyond,
    t_quantile,
    wilson,
)
from surveys.planning import NPS_PRIOR, Z
from surveys.scales import NPS, SCALES, Scale, scale_for

Bands = tuple[float, float, float]  # detractors, passives, promoters
MINIMUM_N = 5  # where the organisation says nothing else: fewer answers say more of chance than of the touchpoint
LOW_N = 30  # fewer are told as few
SURE = 0.05  # a two-sided p below it is more than noise; of a family that is looked at together, Holm's p
LOWER_IS_BETTER = frozenset({"ttr"})

# What is compared, under the names that the API gives it: `value` is the metric's own, of ttr the mean.
Statistic = Literal["value", "mean", "easy_share", "median", "median_with_open"]
# not_significant: chance alone may do this. too_few: no test of so few. untestable: there is no interval, see `Comparison`.
Verdict = Literal["higher", "lower", "not_significant", "too_few", "untestable"]


@dataclass(frozen=True, slots=True)
class Counts:
    """One side: answers per score of the metric's scale, or resolved tickets per bucket of their duration.

    Of tickets also `sum_s`, the exact sum of their durations (without it buckets stand for them), and for `median_with_open`
    alone `waiting`: tickets still open per bucket of their age.
    """

    distribution: Mapping[int, int]
    waiting: Mapping[int, int] = field(default_factory=dict)
    sum_s: float | None = None

    @property
    def n(self) -> int:
        """The answers, or the tickets, open ones too where they are given."""
        return sum(self.distribution.values()) + sum(self.waiting.values())


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides of one metric, in its unit: NPS and shares in points, means on their scale, durations in seconds.

    `difference` is `now` less `before`, None where a side has no value. `low`, `high` and `p` are None unless the verdict is higher,
    lower or not_significant: too_few is where a side has fewer than the minimum, untestable where the method has no interval
    (means: nobody differs on either side; medians: an end is not reached). The interval of a difference of two NPS is centred on the
    adjusted scores, so that of a few answers it need not contain `difference`.
    """

    now: float | None
    before: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    n_now: int
    n_before: int
    verdict: Verdict

    @property
    def significant(self) -> bool | None:
        """Whether it is more than noise at 5 %; None where that cannot be told."""
        return None if self.p is None else self.verdict in ("higher", "lower")


def compare(
    metric: str,
    points: int,
    now: Counts,
    before: Counts,
    *,
    statistic: Statistic = "value",
    minimum: int = MINIMUM_N,
) -> Comparison:
    """Whether a statistic of a metric on a scale of so many points (ttr: 0) differs between two sides of independent answers.

    `minimum`: how many answers each side needs; with fewer there is a difference but no interval, no p and no verdict.
    ValueError for a statistic that the metric does not have, or a scale that is not measured here.
    Not valid where the same answers, or the same people, stand on both sides; and of twenty comparisons one is significant by
    chance alone: see `holm`. Methods: `compare_nps`, `compare_shares`, `compare_means`, `compare_medians`.
    """
    if metric == "ttr" and points == 0 and statistic in ("value", "median", "median_with_open"):
        if statistic == "value":
            return compare_means(moments_of_tickets(now), moments_of_tickets(before), minimum=minimum)
        if statistic == "median":
            return compare_medians(_MedianOfResolved(now), _MedianOfResolved(before), minimum=minimum)
        return compare_medians(_MedianOfAll(now), _MedianOfAll(before), minimum=minimum)
    if (metric, points) not in SCALES:
        raise ValueError(f"{metric} on {points} points is not measured here")
    scale = scale_for(metric, points)
    sides = [histogram_of(scale, side) for side in (now, before)]
    if scale is NPS and statistic == "value":
        thirds = [bands_of(histogram) for histogram in sides]
        return compare_nps(thirds[0], thirds[1], minimum=minimum)
    if statistic == {"csat": "value", "ces": "easy_share"}.get(metric):
        tops = [(scale.band_counts(histogram)[scale.highest_band], sum(histogram)) for histogram in sides]
        return compare_shares(*tops[0], *tops[1], minimum=minimum)
    if statistic == {"csat": "mean", "ces": "value"}.get(metric):
        moments = [moments_of_scores(scale, histogram) for histogram in sides]
        return compare_means(moments[0], moments[1], minimum=minimum, widest=scale.high - scale.low)
    raise ValueError(f"{metric} has no {statistic}")


def histogram_of(scale: Scale, side: Counts) -> list[int]:
    return [side.distribution.get(score, 0) for score in scale.scores]


def bands_of(histogram: Sequence[int]) -> Bands:
    bands = NPS.band_counts(histogram)
    return bands["detractors"], bands["passives"], bands["promoters"]


Side = tuple[float | None, int]  # a value and its n


def _verdict(low: float, high: float) -> Verdict:
    return "higher" if low > 0 else "lower" if high < 0 else "not_significant"


def tell_apart(
    sides: tuple[Side, Side], minimum: int, find: Callable[[], tuple[float, float, float] | None]
) -> Comparison:
    """The Comparison of two sides; `find` gives (low, high, p), or None where there is no interval, and is asked of enough answers only."""
    (now, n_now), (before, n_before) = sides
    difference = None if now is None or before is None else now - before
    found: tuple[float, float, float] | None = None
    verdict: Verdict = "too_few"
    if difference is not None and min(n_now, n_before) >= max(1, minimum):
        found = find()
        verdict = "untestable" if found is None else _verdict(found[0], found[1])
    low, high, p = found or (None, None, None)
    return Comparison(now, before, difference, low, high, p, n_now, n_before, verdict)


def _two_sided(z: float) -> float:
    """P(|Z| >= |z|); by erfc, which keeps its digits far out."""
    return math.erfc(abs(z) / math.sqrt(2))


# --- Net Promoter Scores ----------------------------------------------------------------------------------------------


def compare_nps(now: Bands, before: Bands, *, minimum: int = MINIMUM_N) -> Comparison:
    """Two Net Promoter Scores, in points, from (detractors, passives, promoters) of each: `nps_z_test` on the adjusted counts.

    The interval is the adjusted difference ± 1.96 of its standard errors, clamped to ±200.
    Source: Rocks, "Interval Estimation for the 'Net Promoter Score'", The American Statistician 70(4), 2016.
    """

    def find() -> tuple[float, float, float] | None:
        test = nps_z_test(now, before)
        if test is None:
            return None
        half = Z * test.standard_error
        return max(-200.0, test.difference - half), min(200.0, test.difference + half), test.p

    sides = [(100 * (of[2] - of[0]) / sum(of) if sum(of) else None, round(sum(of))) for of in (now, before)]
    return tell_apart((sides[0], sides[1]), minimum, find)


@dataclass(frozen=True, slots=True)
class ZTest:
    """A difference and its standard error, in the unit of the function that made them; z; the two-sided p of no difference."""

    difference: float
    standard_error: float
    z: float
    p: float


def nps_z_test(now: Bands, before: Bands, *, adjusted: bool = True) -> ZTest | None:
    """Whether two Net Promoter Scores of independent answers differ, in points, from (detractors, passives, promoters) of each.

    `adjusted` adds Rocks' prior to both sides, as his interval does: the plain test finds differences too readily in small samples.
    None where a side has nobody, or where neither side varies at all: then there is no error to measure a difference by.
    Not valid where the same people answered on both sides.
    Source: Rocks, "Interval Estimation for the 'Net Promoter Score'", The American Statistician 70(4), 2016.
    """
    if min(sum(now), sum(before)) <= 0:
        return None
    prior = NPS_PRIOR if adjusted else (0.0, 0.0, 0.0)
    scores, squares = [], 0.0
    for counts in (now, before):
        detractors, passives, promoters = (count + more for count, more in zip(counts, prior, strict=True))
        n = detractors + passives + promoters
        scores.append(100 * (promoters - detractors) / n)
        squares += 100**2 * nps_variance(detractors, passives, promoters) / n
    if squares <= 0:
        return None
    difference, error = scores[0] - scores[1], math.sqrt(squares)
    z = difference / error
    return ZTest(difference, error, z, _two_sided(z))


# --- Shares -----------------------------------------------------------------------------------------------------------


def compare_shares(
    successes: int, n: int, other_successes: int, other_n: int, *, minimum: int = MINIMUM_N
) -> Comparison:
    """Two shares, in percentage points: Newcombe's tenth method, and the p at which his interval just touches 0.

    Each end adds the squares of the distances from the shares to the ends of their own Wilson intervals. p solves the same
    equation for its level, so that it says the same as the interval; it lies close to that of Pearson's χ² (`share_z_test`).
    ValueError where successes do not lie in 0…n. Not valid for shares of the same people.
    Source: Newcombe, "Interval Estimation for the Difference between Independent Proportions", Statistics in Medicine 17, 1998.
    """
    for count, of in ((successes, n), (other_successes, other_n)):
        if not 0 <= count <= of:
            raise ValueError(f"{count} of {of} is not a share")

    def find() -> tuple[float, float, float]:
        now, before = _Share(successes, n), _Share(other_successes, other_n)
        low, high, p = recover(now.value, now, before.value, before)
        return 100 * low, 100 * high, p

    sides = [(100 * count / of if of else None, of) for count, of in ((successes, n), (other_successes, other_n))]
    return tell_apart((sides[0], sides[1]), minimum, find)


class _Share:
    """A share with the ends of Wilson's interval at any z."""

    def __init__(self, successes: int, n: int) -> None:
        self.value: float = successes / n
        self._of = (successes, n)

    def low(self, z: float) -> float:
        return wilson(*self._of, z)[0]

    def high(self, z: float) -> float:
        return wilson(*self._of, z)[1]


EXPECTED_AT_LEAST = 5  # in each of the four cells; with fewer, z is not near enough to normal


def share_z_test(successes: int, n: int, other_successes: int, other_n: int) -> ZTest | None:
    """Whether two shares of independent people differ, in percentage points, with the pooled standard error.

    z² is Pearson's χ² of the table of both; so it is also the test of whether a group's part among those who answered differs
    from its part among those who did not. None where a side has nobody, where nobody or everybody succeeded, and where a cell of
    the table is expected to hold fewer than five. ValueError where successes do not lie in 0…n.
    Source: Pearson, "On the Criterion that a Given System of Deviations…", Philosophical Magazine 50, 1900; Cochran, "Some Methods
    for Strengthening the Common χ² Tests", Biometrics 10, 1954, for the five. Not valid where one person stands on both sides.
    """
    for count, of in ((successes, n), (other_successes, other_n)):
        if not 0 <= count <= of:
            raise ValueError(f"{count} of {of} is not a share")
    if min(n, other_n) == 0:
        return None
    pooled = (successes + other_successes) / (n + other_n)
    if min(n, other_n) * min(pooled, 1 - pooled) < EXPECTED_AT_LEAST:
        return None
    difference = 100 * (successes / n - other_successes / other_n)
    error = 100 * math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / other_n))
    z = difference / error
    return ZTest(difference, error, z, _two_sided(z))


# --- Means ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moments:
    """n answers or tickets, their mean and the variance of the sample (over n − 1); None where there is none."""

    n: int
    mean: float | None
    variance: float | None


def moments_of_scores(scale: Scale, histogram: Sequence[int]) -> Moments:
    counted = {float(score): count for score, count in zip(scale.scores, histogram, strict=True) if count}
    return _moments(counted, None)


def moments_of_tickets(side: Counts) -> Moments:
    """Each duration is taken for its bucket's middle, 0.5 % off at most; the mean is exact where the sum is given."""
    return _moments({bucket_value(bucket): count for bucket, count in side.distribution.items() if count}, side.sum_s)


def _moments(counted: Mapping[float, int], exact_sum: float | None) -> Moments:
    n = sum(counted.values())
    if n == 0:
        return Moments(0, None, None)
    mean = (sum(value * count for value, count in counted.items()) if exact_sum is None else exact_sum) / n
    if n == 1:
        return Moments(1, mean, None)
    squares = sum(count * (value - mean) ** 2 for value, count in counted.items()) if len(counted) > 1 else 0.0
    return Moments(n, mean, squares / (n - 1))


def compare_means(now: Moments, before: Moments, *, minimum: int = MINIMUM_N, widest: float = math.inf) -> Comparison:
    """Two means, in their unit, by Welch's t test with Satterthwaite's degrees of freedom; clamped to ±`widest`.

    Untestable where a side has one answer, or where neither side varies at all: then there is no error to measure by. For few
    answers that are very skewed, as durations are, it is only a guide: compare medians.
    Source: Welch, "The Generalization of 'Student's' Problem when Several Different Population Variances Are Involved",
    Biometrika 34, 1947; Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", Biometrics Bulletin 2, 1946.
    """

    def find() -> tuple[float, float, float] | None:
        if now.variance is None or before.variance is None or now.mean is None or before.mean is None:
            return None
        parts = [(side.variance / side.n, side.n - 1) for side in (now, before) if side.variance is not None]
        return t_test(now.mean - before.mean, parts, widest)

    return tell_apart(((now.mean, now.n), (before.mean, before.n)), minimum, find)


def t_test(
    value: float, parts: Sequence[tuple[float, int]], widest: float = math.inf
) -> tuple[float, float, float] | None:
    """(low, high, p) of a sum of independent means, such as a difference; None where nothing varies. Clamped to ±`widest`.

    `parts`: the variance of each mean and its degrees of freedom, of which Satterthwaite makes those of the sum.
    Source: Satterthwaite, as in `compare_means`.
    """
    square = sum(variance for variance, _freedom in parts)
    if square <= 0:
        return None
    # Of shares of the variance, whose squares neither vanish nor overflow.
    freedom = 1 / sum((variance / square) ** 2 / own for variance, own in parts)
    error = math.sqrt(square)
    half = t_quantile(0.975, freedom) * error
    return max(-widest, value - half), min(widest, value + half), t_beyond(value / error, freedom)


# --- Medians ----------------------------------------------------------------------------------------------------------


class _MedianOfResolved:
    """The median of resolved tickets with the order statistics that enclose it at any z."""

    def __init__(self, side: Counts) -> None:
        self._ranks = Ranks(side.distribution)
        self.n = self._ranks.n
        self.value = self._ranks.quantile(0.5)

    def low(self, z: float) -> float | None:
        return self._ranks.median_ends(z)[0]

    def high(self, z: float) -> float | None:
        return self._ranks.median_ends(z)[1]


class _MedianOfAll(MedianOfSteps):
    """The Kaplan–Meier median, open tickets counted."""

    def __init__(self, side: Counts) -> None:
        super().__init__(kaplan_meier_steps(side.distribution, side.waiting))
        self.n = side.n


Median = _MedianOfResolved | _MedianOfAll


def compare_medians(now: Median, before: Median, *, minimum: int = MINIMUM_N) -> Comparison:
    """Two medians of durations, in seconds: each with its own interval, and the variances recovered from their ends (MOVER).

    The medians' own intervals are Campbell and Gardner's of resolved tickets, Brookmeyer and Crowley's where open ones are counted.
    p is the level at which the interval of the difference just touches 0; ends are durations that occurred, so p moves in steps.
    Untestable where an end of either median is not reached: fewer than six resolved tickets, or too many still open. Not valid where
    Kaplan–Meier is not. It compares one point of two curves: `compare_curves` compares them whole.
    Source: Zou and Donner, "Construction of Confidence Limits about Effect Measures", Statistics in Medicine 27, 2008.
    """

    def find() -> tuple[float, float, float] | None:
        if now.value is None or before.value is None:
            return None
        low, high, p = recover(now.value, now, before.value, before)
        return None if math.isinf(low) or math.isinf(high) else (low, high, p)

    return tell_apart(((now.value, now.n), (before.value, before.n)), minimum, find)


class Ends(Protocol):
    """The ends of a value's own interval at any z, which part as z grows; None is not reached."""

    def low(self, z: float) -> float | None: ...

    def high(self, z: float) -> float | None: ...


def recover(value: float, now: Ends, other: float, before: Ends) -> tuple[float, float, float]:
    """(low, high, p) of `value` less `other`, by MOVER; an end is infinite where one of those it is made of is not reached."""

    def down(z: float) -> float:
        low, high = now.low(z), before.high(z)
        return math.inf if low is None or high is None else math.hypot(value - low, high - other)

    def up(z: float) -> float:
        high, low = now.high(z), before.low(z)
        return math.inf if low is None or high is None else math.hypot(high - value, other - low)

    change = value - other
    below, above = down(Z), up(Z)
    toward, reach = (down, below) if change > 0 else (up, above)
    return change - below, change + above, _two_sided(_reaching(toward, abs(change), reach))


FARTHEST = 38.0  # p is 0 from here on: 1e-315


def _reaching(distance: Callable[[float], float], wanted: float, at_z: float) -> float:
    """The z at which an interval first reaches as far as `wanted`; `distance` only grows, `at_z` is what it is at Z.

    It starts from the side of Z that the interval itself shows, so that p never contradicts it.
    """
    if wanted <= 0:
        return 0.0
    if at_z < wanted:
        low, high = Z, 2 * Z
        while high < FARTHEST and distance(high) < wanted:
            low, high = high, 2 * high
        if high >= FARTHEST and distance(FARTHEST) < wanted:
            return FARTHEST
    else:
        low, high = 0.0, Z
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if distance(middle) >= wanted else (middle, high)
    return (low + high) / 2


# --- Curves -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogRank:
    """Tickets resolved on the first side, how many would have been were there no difference, χ² of one degree of freedom, its p."""

    resolved: int
    expected: float
    chi_square: float
    p: float

    @property
    def faster(self) -> bool:
        """Whether the first side resolved more than was expected of it."""
        return self.resolved > self.expected


def compare_curves(
    now: tuple[Mapping[int, int], Mapping[int, int]],
    before: tuple[Mapping[int, int], Mapping[int, int]],
    *,
    minimum: int = MINIMUM_N,
) -> LogRank | None:
    """The log-rank test of two Kaplan–Meier curves, each as (resolved, waiting), the maps that `kaplan_meier` takes.

    None where a side has fewer than `minimum` tickets, and where at no duration anything can differ. Most able where one side is
    faster by the same factor at every age; where curves cross it may see nothing. Not valid where tickets are left open because
    they are hopeless: censoring must not depend on the duration. Ties have the variance of drawing without return.
    Source: Mantel, "Evaluation of Survival Data and Two New Rank Order Statistics", Cancer Chemotherapy Reports 50, 1966; Peto and
    Peto, "Asymptotically Efficient Rank Invariant Test Procedures", JRSS A 135, 1972.
    """
    (resolved, _waiting), (other_resolved, _other_waiting) = now, before
    here, there = _AtRisk(*now), _AtRisk(*before)
    if min(here.total, there.total) < max(1, minimum):
        return None
    observed, expected, variance = 0, 0.0, 0.0
    for duration in sorted({*resolved, *other_resolved}):
        at_risk = here.at(duration) + there.at(duration)
        done = resolved.get(duration, 0) + other_resolved.get(duration, 0)
        if not done:
            continue
        share = here.at(duration) / at_risk
        observed += resolved.get(duration, 0)
        expected += done * share
        if at_risk > 1:
            variance += done * share * (1 - share) * (at_risk - done) / (at_risk - 1)
    if variance <= 0:
        return None
    chi_square = (observed - expected) ** 2 / variance
    return LogRank(observed, expected, chi_square, _two_sided(math.sqrt(chi_square)))


class _AtRisk:
    """Tickets still open at a duration: those resolved or last seen there count as at risk there."""

    def __init__(self, resolved: Mapping[int, int], waiting: Mapping[int, int]) -> None:
        leaving = sorted([*resolved.items(), *waiting.items()])
        self._durations = [duration for duration, _count in leaving]
        self._left = [0, *accumulate(count for _duration, count in leaving)]
        self.total = self._left[-1]

    def at(self, duration: float) -> int:
        return self.total - self._left[bisect.bisect_left(self._durations, duration)]


# --- Whatever has an interval -----------------------------------------------------------------------------------------


def difference(now: Estimate, before: Estimate) -> Estimate | None:
    """`now` less `before` with its 95 % interval, in their unit; None where either lacks a value or an interval.

    n is that of both together. The interval squares and adds the distances from each value to its own ends, so it serves
    whatever has an interval, skewed ones too. For two shares with Wilson's intervals this is Newcombe's tenth method.
    Not valid where the same answers stand on both sides.
    Source: Newcombe, "Interval Estimation for the Difference between Independent Proportions", Statistics in Medicine 17,
    1998; Zou and Donner, "Construction of Confidence Limits about Effect Measures", Statistics in Medicine 27, 2008.
    """
    if now.value is None or now.low is None or now.high is None:
        return None
    if before.value is None or before.low is None or before.high is None:
        return None
    change = now.value - before.value
    # An adjusted interval need not contain its value when n is tiny: the distance to that end is then 0.
    down = math.hypot(max(0.0, now.value - now.low), max(0.0, before.high - before.value))
    up = math.hypot(max(0.0, now.high - now.value), max(0.0, before.value - before.low))
    return Estimate(change, change - down, change + up, now.n + before.n)


def is_significant(change: Estimate) -> bool:
    """Whether 0 lies outside the interval of a difference."""
    return change.low is not None and change.high is not None and (change.low > 0 or change.high < 0)


# --- Several at once --------------------------------------------------------------------------------------------------


def holm(ps: Sequence[float]) -> list[float]:
    """Each p, adjusted for all of them being looked at together, in their order: at most 5 % find any difference where there is none.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    adjusted = [0.0] * len(ps)
    reached = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        reached = max(reached, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = reached
    return adjusted
