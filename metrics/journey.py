"""PURE: a journey on one index. In: Estimates, each in its metric's own unit. Out: Estimates on 0…100; valley, peak and end; their values.

An index serves to see a journey as one line. It is no metric: nothing is stored of it, and no NPS is averaged by it. Which n is
enough is an argument. No Django, no database, no rounding, no words; docs/metrics.md says the same to people.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from metrics.formulas import Estimate
from metrics.significance import difference, holm
from surveys.planning import Z
from surveys.scales import CES

# Both ends of what a value can be, in the metric's own unit. A duration has no best and no worst, so it has no index.
ENDS: Mapping[str, tuple[float, float]] = {
    "nps": (-100.0, 100.0),
    "csat": (0.0, 100.0),
    "ces": (float(CES.low), float(CES.high)),
}
MIDDLE = 50.0  # as many promoters as detractors; half are satisfied; neither easy nor difficult
SAME = 1e-9  # values of the same counts may differ by a few ulps


def index_factor(metric: str) -> float:
    """Index points per unit of the metric. KeyError for one without an index."""
    low, high = ENDS[metric]
    return 100 / (high - low)


def index_of(metric: str, estimate: Estimate) -> Estimate:
    """The value and both ends of its interval on 0…100, where 0 and 100 are the worst and the best that can be answered.

    index = 100 · (value − worst) / (best − worst): of an NPS (value + 100) / 2, of CSAT its top-box share as it is, of CES
    (mean − 1) / 6 · 100. The map is linear and grows, so the interval of the index is the interval, mapped, and keeps its level.
    KeyError for a metric without an index (ttr). Not valid as a claim that 70 means the same for two metrics: an NPS of +40 and
    70 % of satisfied customers are different facts that share a number.
    """
    worst, _best = ENDS[metric]
    factor = index_factor(metric)

    def mapped(value: float | None) -> float | None:
        return None if value is None else factor * (value - worst)

    return Estimate(mapped(estimate.value), mapped(estimate.low), mapped(estimate.high), estimate.n)


@dataclass(frozen=True, slots=True)
class Stop:
    """A touchpoint of the journey by its key, and its index; `index.value` is None where nobody answered."""

    key: str
    index: Estimate


def mean_of(parts: Sequence[Estimate]) -> Estimate | None:
    """The plain mean of estimates in one unit: each counts as one, however many answers it has; n is that of all together.

    None for none, or where one has no value. The interval adds the squares of the distances from each value to its own ends and
    divides by their number; its ends are None where one lacks an interval.
    Source: Zou, Huang and Zhang, "A Note on Confidence Interval Estimation for a Linear Function of Binomial Proportions",
    Computational Statistics & Data Analysis 53, 2009. Not valid where the same answers are in two of them.
    """
    values = [part.value for part in parts if part.value is not None]
    if not parts or len(values) < len(parts):
        return None
    value, n = math.fsum(values) / len(values), sum(part.n for part in parts)
    down, up = [], []
    for part in parts:
        if part.value is None or part.low is None or part.high is None:
            return Estimate(value, None, None, n)
        # An adjusted interval need not contain its value when n is tiny: the distance to that end is then 0.
        down.append(max(0.0, part.value - part.low))
        up.append(max(0.0, part.high - part.value))
    return Estimate(value, value - math.hypot(*down) / len(parts), value + math.hypot(*up) / len(parts), n)


def p_of(change: Estimate) -> float | None:
    """The two-sided p of a difference, read from its interval: below 0.05 exactly where the interval leaves 0 out.

    The distance to the end that lies toward 0 is taken for 1.96 standard errors of a normal distribution. None without an
    interval, and where it has no width: then nothing is known of the error.
    Source: Altman and Bland, "How to Obtain the P Value from a Confidence Interval", BMJ 343, 2011.
    """
    if change.value is None or change.low is None or change.high is None:
        return None
    reach = change.value - change.low if change.value > 0 else change.high - change.value
    if reach <= 0:
        return None
    return math.erfc(Z * abs(change.value) / reach / math.sqrt(2))


@dataclass(frozen=True, slots=True)
class Gap:
    """`one` less `other`. `p` is of these two alone, `p_all` corrected (Holm) for all pairs looked at; None where untestable."""

    one: str
    other: str
    change: Estimate
    p: float | None
    p_all: float | None


def gaps(stops: Sequence[Stop]) -> list[Gap]:
    """Every two of them, the higher one first, the widest gap first; pairs without an interval are left out.

    Whoever looks for the highest and the lowest of several has looked at every pair, so each p is corrected for all of them.
    """
    found: list[tuple[Stop, Stop, Estimate]] = []
    for pair in combinations(stops, 2):
        one, other = sorted(pair, key=lambda stop: -(stop.index.value or 0))
        if (change := difference(one.index, other.index)) is not None:
            found.append((one, other, change))
    ps = [p_of(change) for _one, _other, change in found]
    corrected = iter(holm([p for p in ps if p is not None]))
    made = [
        Gap(one.key, other.key, change, p, None if p is None else next(corrected))
        for (one, other, change), p in zip(found, ps, strict=True)
    ]
    return sorted(made, key=lambda gap: -(gap.change.value or 0))


@dataclass(frozen=True, slots=True)
class Shape:
    """What a journey's line says. Keys in the journey's order; several valleys or peaks are ties.

    `measured` are the stops with enough answers. With fewer than two there is no valley and no peak, and with values all alike
    neither (`is_flat`). `end` is the last measured stop; `end_is_last` whether it is the last of all. `peak_end` is
    (peak + end) / 2, `valley_end` (valley + end) / 2; `valley_is_extreme` says that the valley lies farther from the middle
    than the peak. `mean` is the plain mean of the measured. `gap` is between (the first) peak and valley.
    """

    measured: Sequence[str] = ()
    valley: Sequence[str] = ()
    peak: Sequence[str] = ()
    end: str | None = None
    end_is_last: bool = True
    is_flat: bool = False
    valley_is_extreme: bool = False
    mean: Estimate | None = None
    peak_end: Estimate | None = None
    valley_end: Estimate | None = None
    gap: Gap | None = None
    pairs: int = 0


def shape(stops: Sequence[Stop], minimum: int) -> Shape:
    """The shape of a journey, from its stops in order; `minimum` is how many answers each needs to be looked at.

    The peak–end value: people remember an episode mostly by its most intense moment and by its end, and hardly by how long it
    lasted. Those studies are of one kind of feeling each, where the most intense moment is the highest of pleasure or of pain; a
    journey has both. So the peak is the highest index and the valley the lowest, both are averaged with the end, and
    `valley_is_extreme` tells which of them lies farther from the middle and is therefore the peak in the sense of the source.
    Source: Kahneman, Fredrickson, Schreiber and Redelmeier, "When More Pain Is Preferred to Less", Psychological Science 4, 1993;
    Fredrickson and Kahneman, "Duration Neglect in Retrospective Evaluations of Affective Episodes", Journal of Personality and
    Social Psychology 65, 1993. Not valid as what one customer remembers: the answers of a journey are of many people, few of whom
    passed all of it. Of long and mixed experiences the plain mean predicted better (Strijbosch and others, "From Experience to
    Memory", Frontiers in Psychology 10, 2019), so both are told. And the highest of several is partly luck: with few answers the
    peak is too high, the valley too low.
    """
    measured = [stop for stop in stops if stop.index.value is not None and stop.index.n >= minimum]
    keys = [stop.key for stop in measured]
    if not measured:
        return Shape()
    end = measured[-1]
    told = Shape(keys, end=end.key, end_is_last=end is stops[-1], mean=mean_of([stop.index for stop in measured]))
    if len(measured) < 2:
        return told
    values = [stop.index.value or 0.0 for stop in measured]
    low, high = min(values), max(values)
    if high - low <= SAME:
        return replace(told, is_flat=True)
    valleys = [stop for stop, value in zip(measured, values, strict=True) if value - low <= SAME]
    peaks = [stop for stop, value in zip(measured, values, strict=True) if high - value <= SAME]
    found = gaps(measured)
    gap = next((gap for gap in found if (gap.one, gap.other) == (peaks[0].key, valleys[0].key)), None)
    return replace(
        told,
        valley=[stop.key for stop in valleys],
        peak=[stop.key for stop in peaks],
        valley_is_extreme=MIDDLE - low > high - MIDDLE,
        peak_end=_with_end(peaks, end),
        valley_end=_with_end(valleys, end),
        gap=gap,
        pairs=len(found),
    )


def _with_end(ones: Sequence[Stop], end: Stop) -> Estimate | None:
    """The mean of one of these (they tie) and the end; the end itself where it is one of them: no answer counts twice."""
    return end.index if end in ones else mean_of([ones[0].index, end.index])
