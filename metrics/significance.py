"""PURE: did it change? In: two Estimates of independent answers. Out: the Estimate of their difference."""

import math

from metrics.formulas import Estimate


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
