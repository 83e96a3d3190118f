"""PURE: every formula of the product. In: histograms, duration buckets, counts. Out: Estimates.

A histogram has shape (points,): counts of the scores of a Scale from its lowest upward. Who skipped the question is in no
histogram, so in no denominator. Nobody's score is None, never 0. No Django, no database, no rounding; docs/metrics.md says the
same to people. How many answers an interval wants stands in surveys/planning.py.
"""

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, repeat, takewhile
from statistics import NormalDist
from typing import Generic, TypeVar

from surveys.planning import LEVEL, NPS_PRIOR, Z, t_expansion
from surveys.scales import CES, CSAT5, NPS, Scale

T = TypeVar("T", int, float)  # a duration in any unit, or the number of its bucket


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, the two ends of its 95 % interval, and the answers behind it. All three in the unit of the function that made it.

    `value` is None where n = 0; the ends are None where no interval is defined (n = 0, and of a mean n = 1).
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


NOTHING = Estimate(None, None, None, 0)


def merge(histograms: Iterable[Sequence[int]]) -> list[int]:
    """The sum of histograms of one shape, [] for none. ValueError where shapes differ."""
    merged: list[int] = []
    for histogram in histograms:
        if not merged:
            merged = list(histogram)
        else:
            merged = [a + b for a, b in zip(merged, histogram, strict=True)]
    return merged


def _checked(histogram: Sequence[int], scale: Scale) -> int:
    if len(histogram) != scale.points:
        raise ValueError(f"a histogram of {scale.metric} has {scale.points} counts, not {len(histogram)}")
    if any(count < 0 for count in histogram):
        raise ValueError("a count is below 0")
    return sum(histogram)


# --- NPS --------------------------------------------------------------------------------------------------------------


def _thirds(histogram: Sequence[int]) -> tuple[int, int, int]:
    bands = NPS.band_counts(histogram)
    return bands["detractors"], bands["passives"], bands["promoters"]


def nps_variance(detractors: float, passives: float, promoters: float) -> float:
    """Variance V of one answer, as −1, 0 or 1: p + d − (p − d)². √(V / n) is the standard error, where 1 is 100 points.

    The counts may be fractions, as adjusted ones are.
    ValueError on nobody.
    Source: Rocks, "Interval Estimation for the 'Net Promoter Score'", The American Statistician 70(4), 2016.
    """
    n = detractors + passives + promoters
    if n <= 0:
        raise ValueError("no variance of nobody")
    p, d = promoters / n, detractors / n
    return p + d - (p - d) ** 2


def adjusted_wald_nps(detractors: int, passives: int, promoters: int) -> tuple[float, float]:
    """Both ends of the 95 % interval in points, clamped to ±100.

    Three quarters of a detractor and of a promoter and one and a half passives are added, then Wald. It is centred on
    the adjusted value, so draw both ends, never "±"; for a tiny n it need not contain the value. A plain Wald interval would
    be ±0 for ten promoters and overshoot 100 for nine beside two detractors. Nobody at all gives the prior's own interval:
    ask `nps`, which knows that case. Not valid for a sample that is a large part of all customers (no finite correction).
    Source: Rocks 2016, as above.
    """
    d, n0, p = (count + more for count, more in zip((detractors, passives, promoters), NPS_PRIOR, strict=True))
    n = d + n0 + p
    centre = (p - d) / n
    half = Z * math.sqrt(nps_variance(d, n0, p) / n)
    return max(-100.0, 100 * (centre - half)), min(100.0, 100 * (centre + half))


def nps(histogram: Sequence[int]) -> Estimate:
    """Net Promoter Score in points −100…100 of a histogram of shape (11,), with Rocks' adjusted Wald interval.

    Percent promoters (9, 10) less percent detractors (0–6). Not a percentage, and not valid on any other scale.
    Source: Reichheld, "The One Number You Need to Grow", Harvard Business Review, 2003. ValueError on another shape.
    """
    n = _checked(histogram, NPS)
    if n == 0:
        return NOTHING
    detractors, passives, promoters = _thirds(histogram)
    low, high = adjusted_wald_nps(detractors, passives, promoters)
    return Estimate(100 * (promoters - detractors) / n, low, high, n)


# --- Shares -----------------------------------------------------------------------------------------------------------


def wilson(successes: int, n: int, z: float = Z) -> tuple[float, float]:
    """Both ends of the interval of a share, 0…1, of 95 % unless another `z` is given.

    ValueError where n < 1 or successes do not lie in 0…n. Keeps its level for few answers and for shares near 0 and 1, where
    Wald's does not.
    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a share")
    share, square = successes / n, z * z / n
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return max(0.0, low), min(1.0, high)


def _percent(successes: int, n: int) -> Estimate:
    if n == 0:
        return NOTHING
    low, high = wilson(successes, n)
    return Estimate(100 * successes / n, 100 * low, 100 * high, n)


def share_of(part: int, whole: int) -> Estimate:
    """Percent of a whole, with Wilson's interval; n is the whole. Nothing of nobody; ValueError where the part is not within it."""
    return _percent(part, whole)


def web_response_rate(answered: int, shown: int) -> Estimate:
    """Percent of a widget's views that were answered, with Wilson's interval; n is how often it was shown.

    Of views, not of people: not one of the AAPOR's rates, whose denominator is people. Where more answered than were counted as shown
    (a form that was opened where no script counts) there is no value, and none is made up. ValueError below 0.
    """
    if answered < 0 or shown < 0:
        raise ValueError("a count is below 0")
    if answered > shown:
        return Estimate(None, None, None, shown)
    return _percent(answered, shown)


def response_rate(answered: int, invited: int) -> Estimate:
    """Percent of the invitations that were answered, in part or in whole, with Wilson's interval; n is the invitations.

    Over whatever was sent this is RR2, once no link is open any more. ValueError below 0 and where more answered than were invited.
    """
    if answered < 0 or invited < answered:
        raise ValueError(f"{answered} of {invited} is not a share")
    return _percent(answered, invited)


def per_thousand(events: int, messages: int) -> Estimate:
    """Events per 1,000 messages, such as complaints, with Wilson's interval; n is the messages.

    No value where there were more events than messages: they are then of other messages. ValueError below 0.
    """
    if events < 0 or messages < 0:
        raise ValueError("a count is below 0")
    if messages == 0 or events > messages:
        return Estimate(None, None, None, messages)
    low, high = wilson(events, messages)
    return Estimate(1000 * events / messages, 1000 * low, 1000 * high, messages)


def csat_top_box(histogram: Sequence[int], scale: Scale) -> Estimate:
    """Customer satisfaction: percent of answers in the top two boxes, with Wilson's interval; shape (5,) or (7,).

    Answers on 5 and on 7 points are never pooled: their top two boxes are different shares of the scale.
    Source: Sambandam and Hausser, "An Alternative Method of Reporting Customer Satisfaction Scores", Quirk's Marketing
    Research Review, October 1998, on what top boxes hide beside means. ValueError on another shape or another metric's scale.
    """
    if scale.metric != CSAT5.metric:
        raise ValueError(f"{scale.metric} has no top boxes of satisfaction")
    n = _checked(histogram, scale)
    return _percent(scale.band_counts(histogram)[scale.highest_band], n)


def ces_easy_share(histogram: Sequence[int]) -> Estimate:
    """Percent of answers 5, 6, 7, who at least somewhat agree that it was easy; shape (7,), with Wilson's interval.

    Source: Gartner, "What's Your Customer Effort Score?", 2019. ValueError on another shape.
    """
    n = _checked(histogram, CES)
    return _percent(CES.band_counts(histogram)[CES.highest_band], n)


def response_rates(
    *,
    complete: int,
    partial: int = 0,
    refused: int = 0,
    silent: int = 0,
    other: int = 0,
    unknown: int = 0,
    eligible_share: float = 1.0,
) -> dict[str, float | None]:
    """RR1…RR6 in percent, under those names; None where the denominator is 0.

    Counts of invitations: `complete` and `partial` answers, `refused` (unsubscribed), `silent` (never reacted), `other`, and
    `unknown` (not known whether it arrived), of which `eligible_share` (e, 0…1) are taken to be eligible in RR3 and RR4; RR1 and
    RR2 take all, RR5 and RR6 none. The odd ones count complete answers, the even ones partial ones too.
    ValueError for a count below 0 or an e outside 0…1. Source: AAPOR, "Standard Definitions", 10th ed. 2023.
    Not valid for open forms: nobody was invited, so there is no denominator.
    """
    if not 0 <= eligible_share <= 1:
        raise ValueError("eligible_share is a share, 0…1")
    if min(complete, partial, refused, silent, other, unknown) < 0:
        raise ValueError("a count is below 0")
    known = complete + partial + refused + silent + other
    rates: dict[str, float | None] = {}
    for numerator, name in ((complete, 1), (complete + partial, 2)):
        for step, share in enumerate((1.0, eligible_share, 0.0)):
            denominator = known + share * unknown
            rates[f"RR{name + 2 * step}"] = 100 * numerator / denominator if denominator else None
    return dict(sorted(rates.items()))


def eligible_share(arrived: int, returned: int) -> float | None:
    """e of RR3 and RR4: of the invitations whose fate is known, the share that arrived, 0…1; None where none is known.

    It takes the unknown ones for the same as the known ones, which AAPOR calls proportional allocation. ValueError below 0.
    Source: AAPOR, "Standard Definitions", 10th ed. 2023, on estimating e.
    """
    if min(arrived, returned) < 0:
        raise ValueError("a count is below 0")
    return arrived / (arrived + returned) if arrived + returned else None


# --- Means ------------------------------------------------------------------------------------------------------------


def score_mean(histogram: Sequence[int], scale: Scale) -> float | None:
    """The mean score, on the scale's own range. None for nobody; ValueError on another shape.

    It takes the steps between scores for equally wide, which nobody has promised: read it beside the shares, not in their place.
    """
    n = _checked(histogram, scale)
    if n == 0:
        return None
    return sum(score * count for score, count in zip(scale.scores, histogram, strict=True)) / n


def ces_mean(histogram: Sequence[int]) -> Estimate:
    """Customer Effort Score: the mean on 1…7 (7 = very easy) of shape (7,), with a t interval clamped to 1…7.

    The interval is None at n = 1, and has no width where all answers are one score: it knows only the spread that it sees.
    For a few very skewed answers it is only a guide. Source: Dixon, Toman, DeLisi, "The Effortless Experience", 2013 (CES 2.0);
    Student, "The Probable Error of a Mean", Biometrika 6, 1908. ValueError on another shape.
    """
    n = _checked(histogram, CES)
    mean = score_mean(histogram, CES)
    if mean is None:
        return NOTHING
    if n == 1:
        return Estimate(mean, None, None, 1)
    squares = sum(count * (score - mean) ** 2 for score, count in zip(CES.scores, histogram, strict=True))
    half = t_quantile(0.5 + LEVEL / 2, n - 1) * math.sqrt(squares / (n - 1) / n)
    return Estimate(mean, max(float(CES.low), mean - half), min(float(CES.high), mean + half), n)


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t, to 1e-10 of itself, for 0.5 <= probability <= 0.9999 and freedom >= 1; ValueError otherwise.

    Degrees of freedom may be fractions, as Satterthwaite's are. Many of them: by the expansion about the normal quantile (Fisher
    and Cornish, "The Percentile Points of Distributions Having Known Cumulants", Technometrics 2, 1960), whose error is of order
    freedom⁻⁴. Few: from there by Newton's steps on the distribution function, a regularised incomplete beta function, which loses
    digits where there are many. Each step is held inside what is known of the quantile, so that one degree of freedom converges, too.
    """
    if not 0.5 <= probability <= 0.9999 or not freedom >= 1:
        raise ValueError("t_quantile wants 0.5 <= probability <= 0.9999 and freedom >= 1")
    t = t_expansion(NormalDist().inv_cdf(probability), freedom)
    if freedom > 2000:
        return t
    low, high = 0.0, math.inf
    for _step in range(200):
        excess = t_distribution(t, freedom) - probability
        low, high = (low, t) if excess > 0 else (t, high)
        following = t - excess / _t_density(t, freedom)
        if not low <= following <= high:
            following = (low + high) / 2 if high < math.inf else 2 * t + 1
        if abs(following - t) <= 1e-13 * following:
            return following
        t = following
    return t


def t_distribution(t: float, freedom: float) -> float:
    """P(T <= t) for t >= 0."""
    return 1 - t_beyond(t, freedom) / 2


def t_beyond(t: float, freedom: float) -> float:
    """P(|T| >= |t|), the two-sided p of a t test."""
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def _t_density(t: float, freedom: float) -> float:
    front = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    return math.exp(front - (freedom + 1) / 2 * math.log1p(t * t / freedom))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised I_x(a, b), by Lentz's continued fraction (DLMF 8.17.22), which converges fast left of the mean."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )  # fmt: skip
    tiny = 1e-300
    c, d = 1.0, 1 / max(abs(1 - (a + b) * x / (a + 1)), tiny)
    fraction = d
    for m in range(1, 500):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + term * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + term / c
            c = c if abs(c) > tiny else tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction / a


# --- Durations --------------------------------------------------------------------------------------------------------
# Log-spaced buckets of whole seconds: bucket 0 holds exactly 0 s, bucket k holds GROWTH^(k-1) <= s < GROWTH^k. A bucket is told by
# its geometric middle, so no duration is off by more than sqrt(GROWTH) - 1, which is 0.5 %.

GROWTH = 1.01
LONGEST_S = 100 * 366 * 86_400  # no ticket takes longer; what claims to is counted in the last bucket
# By repeated multiplication, which IEEE 754 fixes to the last bit, and not by pow(), which it does not: cells outlive a machine.
_EDGES = list(takewhile(lambda edge: edge <= LONGEST_S, accumulate(repeat(GROWTH), float.__mul__, initial=1.0)))


_MIDDLES = [0.0, *(GROWTH ** (bucket - 0.5) for bucket in range(1, len(_EDGES) + 1))]


def bucket_of(seconds: float) -> int:
    """The bucket of a duration: 0 for 0 s, else k >= 1 with GROWTH^(k-1) <= seconds < GROWTH^k; the last one is open above.

    What is between 0 and 1 s counts as 1 s. About 2,230 buckets hold a century. ValueError below 0 and for NaN.
    """
    if not seconds >= 0:
        raise ValueError("a duration is not below 0")
    return 0 if seconds == 0 else max(1, bisect.bisect_right(_EDGES, seconds))


def bucket_value(bucket: int) -> float:
    """The duration that stands for a bucket, in seconds: its geometric middle; 0 for bucket 0. ValueError below 0."""
    if bucket < 0:
        raise ValueError("there is no bucket below 0")
    return _MIDDLES[bucket] if bucket < len(_MIDDLES) else GROWTH ** (bucket - 0.5)


def ttr_mean(buckets: Mapping[int, int], sum_s: float) -> Estimate:
    """Mean time to resolution in seconds; exact, since `sum_s` is. `buckets`: bucket to count.

    The t interval takes each duration for its bucket's middle (0.5 % off at most) and is clamped at 0; None at n = 1. Durations are
    skewed to the right, so for a small n the interval is only a guide; the median says more.
    """
    n = sum(buckets.values())
    if n == 0:
        return NOTHING
    mean = sum_s / n
    if n == 1:
        return Estimate(mean, None, None, 1)
    squares = sum(count * (bucket_value(bucket) - mean) ** 2 for bucket, count in buckets.items())
    half = t_quantile(0.5 + LEVEL / 2, n - 1) * math.sqrt(squares / (n - 1) / n)
    return Estimate(mean, max(0.0, mean - half), mean + half, n)


def ttr_quantile(buckets: Mapping[int, int], probability: float) -> float | None:
    """A quantile of the resolved tickets' durations in seconds, within 1 %; None for none.

    Between two neighbours it is interpolated linearly: Hyndman and Fan, "Sample Quantiles in Statistical Packages",
    The American Statistician 50, 1996, definition 7. ValueError for a probability outside 0…1.
    """
    if not 0 <= probability <= 1:
        raise ValueError("a probability lies in 0…1")
    return Ranks(buckets).quantile(probability)


def within_share(buckets: Mapping[int, int], seconds: float) -> Estimate:
    """Percent of the durations that are at most so long, with Wilson's interval; n is all of them. As exact as `count_within`."""
    return _percent(count_within(buckets, seconds), sum(buckets.values()))


def count_within(buckets: Mapping[int, int], seconds: float) -> int:
    """How many durations are at most so long; what is up to 1 % longer counts as within. ValueError below 0."""
    last = bucket_of(seconds)
    return sum(count for bucket, count in buckets.items() if bucket <= last)


def ttr_median(buckets: Mapping[int, int]) -> Estimate:
    """Median time to resolution in seconds, with the order statistics that enclose it in 95 % of samples; within 1 %.

    The interval is None where n < 6: fewer tickets have none. Open tickets are not in it: `kaplan_meier_median` counts them.
    Source: Campbell and Gardner, "Calculating Confidence Intervals for Some Non-parametric Analyses", BMJ 296, 1988.
    """
    ranks = Ranks(buckets)
    median = ranks.quantile(0.5)
    if median is None:
        return NOTHING
    low, high = ranks.median_ends()
    return Estimate(median, low, high, ranks.n)


class Ranks:
    """Resolved tickets in the order of their durations, for order statistics. `buckets`: bucket to count."""

    def __init__(self, buckets: Mapping[int, int]) -> None:
        self._buckets = sorted(bucket for bucket, count in buckets.items() if count > 0)
        self._seen = list(accumulate(map(buckets.__getitem__, self._buckets)))
        self.n = self._seen[-1] if self._seen else 0

    def value(self, rank: int) -> float:
        """The duration in seconds of the ticket of this rank, from 1."""
        return bucket_value(self._buckets[bisect.bisect_left(self._seen, rank)])

    def quantile(self, probability: float) -> float | None:
        """As `ttr_quantile` has it."""
        if not self.n:
            return None
        position = probability * (self.n - 1)
        below = math.floor(position)
        share = position - below
        low = self.value(below + 1)
        return low if share == 0 else low + share * (self.value(below + 2) - low)

    def median_ends(self, z: float = Z) -> tuple[float | None, float | None]:
        """The order statistics that enclose the median, by Campbell and Gardner (see `ttr_median`); None for both where there are none."""
        reach = z * math.sqrt(self.n) / 2
        lower, upper = round(self.n / 2 - reach), round(1 + self.n / 2 + reach)  # ranks, from 1
        if lower < 1 or upper > self.n:
            return None, None
        return self.value(lower), self.value(upper)


def kaplan_meier(resolved: Mapping[T, int], waiting: Mapping[T, int]) -> list[tuple[T, float]]:
    """The share still unresolved after each duration at which something was resolved: [(duration, S)], ascending, S in 0…1.

    `resolved`: duration to number of tickets; `waiting`: age to number of tickets still open (censored). Durations and ages are
    both in the same unit, or both buckets, which keep the order. A ticket that is open at an age at which another was
    resolved counts as at risk there; within one bucket their order is lost, and this convention stands in for it.
    Resolved tickets alone would flatter: the slow ones are still open.
    Source: Kaplan and Meier, "Nonparametric Estimation from Incomplete Observations", JASA 53, 1958.
    Not valid where tickets are left open because they are hopeless: censoring must not depend on the duration.
    """
    return [(step.duration, step.share) for step in kaplan_meier_steps(resolved, waiting)]


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """One step of a Kaplan–Meier curve: of `at_risk` tickets `resolved` were resolved at `duration`; `share` of all is still open.

    `error` is the standard error of ln(−ln share), by Greenwood's formula; None where nothing is left, which it cannot tell.
    """

    duration: T
    at_risk: int
    resolved: int
    share: float
    error: float | None

    def interval(self, z: float = Z) -> tuple[float, float] | None:
        """Both ends of the share's own interval, 0…1, of 95 % unless another `z` is given; None where no error is known.

        On the scale of ln(−ln share), so that it stays within 0…1. It holds for this duration alone, not for the whole curve at
        once. Not valid where few are still at risk: then it is far too sure.
        Source: Greenwood, "The Natural Duration of Cancer", Reports on Public Health and Medical Subjects 33, 1926; Kalbfleisch
        and Prentice, "The Statistical Analysis of Failure Time Data", 1980, for the scale.
        """
        if self.error is None:
            return None
        spread = math.exp(z * self.error)
        return self.share**spread, self.share ** (1 / spread)


def kaplan_meier_steps(resolved: Mapping[T, int], waiting: Mapping[T, int]) -> list[Step[T]]:
    """The curve of `kaplan_meier` with what its intervals need, ascending."""
    at_risk = sum(resolved.values()) + sum(waiting.values())
    ages = sorted(waiting.items())
    steps: list[Step[T]] = []
    surviving, greenwood, left = 1.0, 0.0, 0
    for duration in sorted(duration for duration, count in resolved.items() if count > 0):
        while left < len(ages) and ages[left][0] < duration:
            at_risk -= ages[left][1]
            left += 1
        done = resolved[duration]
        if done < at_risk:
            surviving *= 1 - done / at_risk
            greenwood += done / (at_risk * (at_risk - done))
            steps.append(Step(duration, at_risk, done, surviving, math.sqrt(greenwood) / -math.log(surviving)))
        else:
            surviving = 0.0
            steps.append(Step(duration, at_risk, done, surviving, None))
        at_risk -= done
    return steps


def curve_median(curve: Iterable[tuple[T, float]]) -> T | None:
    """The least duration of a Kaplan–Meier curve after which at most half are unresolved; None where that is not reached.

    Half of everything may still be open: then a median is not known yet, and no number may stand in for it.
    """
    # A half that was reached by products of fractions may miss it by a few ulps.
    return next((duration for duration, share in curve if share <= 0.5 + 1e-12), None)


def kaplan_meier_median(resolved: Mapping[int, int], waiting: Mapping[int, int]) -> float | None:
    """The median duration in seconds with open tickets counted, from buckets, within 1 %; None where it is not reached."""
    bucket = curve_median(kaplan_meier(resolved, waiting))
    return None if bucket is None else bucket_value(bucket)


class MedianOfSteps:
    """The median of a Kaplan–Meier curve of buckets, in seconds, and its ends at any z, each within 1 %.

    The ends are those durations at which the curve's own interval, on the scale of ln(−ln S), holds one half: `low` the first one
    whose lower end has come down to it, `high` the first one whose upper end has. None is not reached.
    Source: Brookmeyer and Crowley, "A Confidence Interval for the Median Survival Time", Biometrics 38, 1982.
    """

    def __init__(self, steps: Sequence[Step[int]]) -> None:
        bucket = curve_median((step.duration, step.share) for step in steps)
        self.value = None if bucket is None else bucket_value(bucket)
        half = math.log(math.log(2))
        # How many errors the curve lies below one half at each step. What was below once counts as below: ends never turn back.
        below = [(step.duration, (math.log(-math.log(step.share)) - half) / step.error) for step in steps if step.error]
        self._durations = [duration for duration, _errors in below]
        self._deepest = list(accumulate((errors for _duration, errors in below), max))

    def low(self, z: float = Z) -> float | None:
        return self._first(-z)

    def high(self, z: float = Z) -> float | None:
        return self._first(z)

    def _first(self, errors: float) -> float | None:
        # A half that was reached by products of fractions may miss it by a few ulps.
        place = bisect.bisect_left(self._deepest, errors - 1e-12)
        return bucket_value(self._durations[place]) if place < len(self._durations) else None


def kaplan_meier_median_estimate(resolved: Mapping[int, int], waiting: Mapping[int, int]) -> Estimate:
    """The median with open tickets counted and its 95 % interval, in seconds, from buckets; n is all tickets.

    An end that is not reached is None; by Brookmeyer and Crowley, see `MedianOfSteps`. Not valid where Kaplan–Meier is not.
    """
    median = MedianOfSteps(kaplan_meier_steps(resolved, waiting))
    n = sum(resolved.values()) + sum(waiting.values())
    return Estimate(median.value, median.low(), median.high(), n)
