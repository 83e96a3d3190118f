"""PURE: did answers move after a change as was expected? In: comparisons of the days after with those before. Out: Effects.

Nothing here says why they moved: what else happened in these days moves answers, too. No Django, no database, no rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from metrics.formulas import Estimate
from metrics.significance import SURE, Comparison, difference, holm

YEAR = timedelta(days=364)  # 52 weeks: the same weekdays, and as many of them

Days = tuple[date, date]  # both ends included
# as_expected, more, less, against: it moved, by more than chance. no_change: chance alone may do this. The others say why nothing is told.
Verdict = Literal["as_expected", "more", "less", "against", "no_change", "too_early", "too_few", "untestable"]
TOLD: frozenset[Verdict] = frozenset({"as_expected", "more", "less", "against", "no_change"})


def windows(day: date, length: int) -> tuple[Days, Days]:
    """The days before and after a change that took effect on `day`, which is the first one after; `length` of each.

    >>> windows(date(2026, 3, 1), 28)
    ((datetime.date(2026, 2, 1), datetime.date(2026, 2, 28)), (datetime.date(2026, 3, 1), datetime.date(2026, 3, 28)))
    """
    one = timedelta(days=1)
    return (day - length * one, day - one), (day, day + (length - 1) * one)


def closed_days(day: date, length: int, today: date) -> int:
    """How many days after the change are over, 0…length: today is not, it may still bring answers.

    >>> closed_days(date(2026, 3, 1), 28, date(2026, 3, 28)), closed_days(date(2026, 3, 1), 28, date(2026, 3, 29))
    (27, 28)
    """
    return min(length, max(0, (today - day).days))


def disturbs(other: date, day: date, length: int) -> bool:
    """Whether another change divides the days that are compared: it holds on some of them and not on others.

    One that took effect on the first day before holds on all of them, so it is on both sides.
    """
    (first, _), (_, last) = windows(day, length)
    return first < other <= last


def quarter_of(day: date) -> tuple[int, int]:
    """(year, quarter): decisions of one quarter are judged together."""
    return day.year, (day.month + 2) // 3


def adjust(ps: Sequence[float | None]) -> list[float | None]:
    """Each p by Holm's method for the whole family; None, what is not tested, stays so and counts as 1.

    So the family is as large from the start as it will be, and no verdict is taken back when the days of another decision are over:
    a p below 1 in the place of a 1 never raises another's.
    """
    adjusted = holm([1.0 if p is None else p for p in ps])
    return [None if p is None else found for p, found in zip(ps, adjusted, strict=True)]


@dataclass(frozen=True, slots=True)
class Effect:
    """What became of one expected change. `comparison` is None as long as it is too early, `p` Holm's where one was tested.

    `expected` is the expected difference with its sign, in the metric's unit; None where only the direction was said.
    """

    comparison: Comparison | None
    p: float | None
    rises: bool
    expected: float | None
    verdict: Verdict

    @property
    def allows_expected(self) -> bool | None:
        """Whether the expected difference lies within the interval of the one seen; None where it cannot be told."""
        found = self.comparison
        if self.expected is None or found is None or found.low is None or found.high is None:
            return None
        return found.low <= self.expected <= found.high


def judge(comparison: Comparison | None, p: float | None, *, rises: bool, expected: float | None) -> Effect:
    """The Effect of one expected change. `comparison`: after against before, None where the days after are not over.

    `p` is the comparison's own, adjusted for its family. The verdict on whether it moved goes by `p`; on how far, by the interval.
    """
    return Effect(comparison, p, rises, expected, _verdict(comparison, p, rises, expected))


def _verdict(found: Comparison | None, p: float | None, rises: bool, expected: float | None) -> Verdict:
    if found is None:
        return "too_early"
    if found.verdict == "too_few":
        return "too_few"
    if found.low is None or found.high is None or p is None:
        return "untestable"
    if found.verdict == "not_significant" or p >= SURE:
        return "no_change"
    if (found.verdict == "higher") != rises:
        return "against"
    if expected is None or found.low <= expected <= found.high:
        return "as_expected"
    return "less" if (expected > found.high) == rises else "more"


def difference_of_changes(here: Comparison, there: Comparison) -> Estimate | None:
    """How much more it changed here than there, with its 95 % interval; None where either has no interval.

    Valid where both would have moved alike without the change, and where nothing of it was met there.
    Source: Card and Krueger, "Minimum Wages and Employment", American Economic Review 84, 1994, for the idea; the interval is that of
    `significance.difference`.
    """
    sides = [Estimate(side.difference, side.low, side.high, side.n_now + side.n_before) for side in (here, there)]
    return difference(sides[0], sides[1])
