"""What an alert rule says of numbers. In: estimates, a target or a baseline. Out: a Finding; and when an alert fires and clears.

No database and no clock. A rule of this kind is looked at once per closed day; docs/metrics.md says how often it is wrong.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from metrics.formulas import NOTHING, Estimate
from metrics.models.alerts import Cleared, LookState
from metrics.periods import Period
from metrics.significance import SURE, Comparison, difference, holm, is_significant

QUIET_LOOKS = 2  # a condition that has not held so often in a row is over
UNKNOWN_LOOKS = 14  # and one of which nothing is known for so long, too
CLEAR_SHARE = 0.8  # tickets count towards clearing from this share of the age that makes them count towards firing


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look saw. `p` only where two sides were compared; `mark` is the target or the baseline's value."""

    state: LookState
    now: Estimate = NOTHING
    before: Estimate | None = None
    target: float | None = None
    p: float | None = None
    worse: bool = False  # than the target or the baseline, certain or not

    @property
    def mark(self) -> float | None:
        return self.before.value if self.before else self.target

    def numbers(self) -> dict[str, Any]:
        """As an alert keeps them."""
        found: dict[str, Any] = {"value": self.now.value, "low": self.now.low, "high": self.now.high, "n": self.now.n}
        if self.target is not None:
            found["target"] = self.target
        if self.before is not None:
            found |= {
                "before": self.before.value, "before_low": self.before.low, "before_high": self.before.high,
                "before_n": self.before.n, "p": self.p,
            }  # fmt: skip
        return found


def hold_against_target(now: Estimate, target: float | None, *, lower_is_better: bool, at_least: int) -> Finding:
    """HELD where the whole interval lies on the wrong side of the target, BACK where it lies on the right one."""
    if target is None or now.n < at_least or now.value is None or now.low is None or now.high is None:
        return Finding(LookState.UNKNOWN, now, target=target)
    missed, met = (now.low > target, now.high <= target) if lower_is_better else (now.high < target, now.low >= target)
    state = LookState.HELD if missed else LookState.BACK if met else LookState.NOT
    return Finding(state, now, target=target, worse=now.value > target if lower_is_better else now.value < target)


def hold_against_baseline(
    now: Estimate,
    before: Estimate,
    compare: Callable[[], Comparison],
    *,
    lower_is_better: bool,
    at_least: int,
    quick: bool,
) -> Finding:
    """With its p, of which `settle` makes the state: BACK where it is not worse at all, UNKNOWN where that cannot be told.

    `compare` is asked only where it can matter: what is better counts as p = 1 among those tested together, and so does what the
    intervals alone already say is no significant change, where that is the same method (`quick`: shares and medians).
    """
    if min(now.n, before.n) < at_least or now.value is None or before.value is None:
        return Finding(LookState.UNKNOWN, now, before)
    if not (now.value > before.value if lower_is_better else now.value < before.value):
        return Finding(LookState.BACK, now, before, p=1.0)
    change = difference(now, before) if quick else None
    if change is not None and not is_significant(change):
        return Finding(LookState.NOT, now, before, p=1.0, worse=True)
    found = compare()
    if found.p is None:
        return Finding(LookState.UNKNOWN, now, before)
    return Finding(LookState.NOT, now, before, p=found.p, worse=True)


def settle(findings: Sequence[Finding], alone: Sequence[bool]) -> list[Finding]:
    """The findings of one day's look, those HELD that are worse beyond chance: all that were tested together by Holm, some `alone`.

    So the chance that any of the rules judged together is wrong on one day is 5 % at most, half of it for the worse.
    """
    tested = [at for at, found in enumerate(findings) if found.p is not None and not alone[at]]
    ps = [found.p for found in findings]
    for at, p in zip(tested, holm([p for at in tested if (p := ps[at]) is not None]), strict=True):
        ps[at] = p
    return [
        replace(found, state=LookState.HELD) if p is not None and found.worse and p < SURE else found
        for found, p in zip(findings, ps, strict=True)
    ]


def after_look(state: LookState, quiet: int, unknown: int) -> tuple[int, int, Cleared | None]:
    """(quiet looks, unknown looks, why it clears) of an alert that stands, after one more look."""
    if state == LookState.HELD:
        return 0, 0, None
    if state == LookState.BACK:
        return 0, 0, Cleared.BACK
    if state == LookState.NOT:
        quiet += 1
        return quiet, 0, Cleared.QUIET if quiet >= QUIET_LOOKS else None
    unknown += 1  # it says neither, so a quiet look before it still counts
    return quiet, unknown, Cleared.UNKNOWN if unknown >= UNKNOWN_LOOKS else None


def severity_of(found: Finding, *, lower_is_better: bool) -> float:
    """Grows as it gets worse; to be compared within one rule only."""
    value = found.now.value
    if value is None or not math.isfinite(value):
        return 0.0
    return value if lower_is_better else -value


def window_of(day: date, days: int) -> tuple[date, date]:
    """The `days` days that end with `day`."""
    return day - timedelta(days=days - 1), day


def days_before(day: date, days: int, *, year: bool, baseline_days: int | None) -> tuple[date, date]:
    """What that window is compared with: as many days, or `baseline_days`, directly before; or the same days a year ago."""
    window = Period("custom", *window_of(day, days))
    if year:
        return window.year_before
    return window.first - timedelta(days=baseline_days or days), window.first - timedelta(days=1)
