"""PURE: did it change, do they differ? In: two Estimates or counts of independent answers. Out: their difference, its p."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from metrics.formulas import NPS_PRIOR, Estimate, nps_variance


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


@dataclass(frozen=True, slots=True)
class ZTest:
    """A difference and its standard error, in the unit of the function that made them; z; the two-sided p of no difference."""

    difference: float
    standard_error: float
    z: float
    p: float


def nps_z_test(
    now: tuple[float, float, float], before: tuple[float, float, float], *, adjusted: bool = True
) -> ZTest | None:
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
    return ZTest(difference, error, z, 2 * NormalDist().cdf(-abs(z)))


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
    return ZTest(difference, error, z, 2 * NormalDist().cdf(-abs(z)))


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
