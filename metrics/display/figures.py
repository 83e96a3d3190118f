"""How a number looks. In: Estimates and Measureds. Out: Figures that templates only print.

Here a figure is rounded, for the first and only time; here it is held back where too few answered (`limits`). No query, no formula.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from metrics import formulas
from metrics.formulas import NOTHING, Estimate
from metrics.limits import limits
from metrics.queries import Measured
from metrics.significance import LOWER_IS_BETTER, Comparison, Counts, Statistic, compare
from surveys.scales import scale_for
from surveys.words import MINUS, duration, rounded

DASH = "–"
HOUR_S = 3600
Column = tuple[str, int]  # a metric and the points of its scale; 0 points for ttr
COLUMNS: tuple[Column, ...] = (("nps", 11), ("csat", 5), ("csat", 7), ("ces", 7), ("ttr", 0))
# The ends of each metric's own range; a duration has none above.
RANGES: Mapping[str, tuple[float, float]] = {"nps": (-100, 100), "csat": (0, 100), "ces": (1, 7)}
_TITLES: Mapping[Column, Any] = {
    ("nps", 11): gettext_lazy("NPS"),
    ("csat", 5): gettext_lazy("CSAT, 5 points"),
    ("csat", 7): gettext_lazy("CSAT, 7 points"),
    ("ces", 7): gettext_lazy("CES"),
    ("ttr", 0): gettext_lazy("TTR, median"),
}
_MEANINGS: Mapping[Column, Any] = {
    ("nps", 11): gettext_lazy("Promoters less detractors, from −100 to +100"),
    ("csat", 5): gettext_lazy("Share of the answers 4 and 5"),
    ("csat", 7): gettext_lazy("Share of the answers 6 and 7"),
    ("ces", 7): gettext_lazy("Mean from 1 to 7; 7 is very easy"),
    ("ttr", 0): gettext_lazy("Half of the tickets were resolved within this time"),
}
_BANDS: Mapping[str, Any] = {
    "promoters": gettext_lazy("Promoters"),
    "passives": gettext_lazy("Passives"),
    "detractors": gettext_lazy("Detractors"),
    "satisfied": gettext_lazy("Satisfied"),
    "neutral": gettext_lazy("Neutral"),
    "dissatisfied": gettext_lazy("Dissatisfied"),
    "easy": gettext_lazy("Easy"),
    "difficult": gettext_lazy("Difficult"),
}


def column_key(column: Column) -> str:
    """As the URL names it: nps, csat5, csat7, ces, ttr."""
    metric, points = column
    return f"{metric}{points}" if metric == "csat" else metric


def column_of(key: str) -> Column | None:
    return next((column for column in COLUMNS if column_key(column) == key), None)


def title(column: Column) -> str:
    return str(_TITLES[column])


def meaning(column: Column) -> str:
    return str(_MEANINGS[column])


def band_title(band: str) -> str:
    return str(_BANDS[band])


def value_text(metric: str, value: float | None) -> str:
    """A dash for nothing; NPS with its sign, CSAT in percent, CES with one decimal, TTR as a duration."""
    if value is None:
        return DASH
    if metric == "nps":
        return _signed(rounded(value))
    if metric == "csat":
        return f"{rounded(value)}%"
    return rounded(value, 1) if metric == "ces" else duration(value)


def change_text(metric: str, change: float) -> str:
    """A difference with its sign: NPS and CSAT in points, CES with one decimal, TTR as a duration."""
    if metric == "ttr":
        return _signed(duration(change))
    return _signed(rounded(change, 1 if metric == "ces" else 0))


def _signed(text: str) -> str:
    return text if _is_zero(text) or text.startswith(MINUS) else f"+{text}"


def _is_zero(text: str) -> bool:
    return not any(digit in text for digit in "123456789")


def count_text(n: int) -> str:
    return f"n = {n:,}"


def marked_count(n: int) -> str:
    """The n of a value that is shown, with a word where it is low."""
    return count_text(n) if n >= limits().low_n else _("%(n)s, low n") % {"n": count_text(n)}


def is_enough(n: float) -> bool:
    """Whether a value of so many answers is shown at all."""
    return n >= max(1, limits().minimum_n)


def too_few(n: int) -> str:
    return _("n = %(n)d, too few") % {"n": n}


@dataclass(frozen=True)
class Change:
    """Against the days before. `direction` is up, down or same; `tone` good, bad or quiet, and `word` says it.

    `interval_text` tells both ends of the difference's interval.
    """

    text: str
    direction: str
    tone: str
    word: str
    interval_text: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a target was met: a word, and only then a colour."""

    met: bool
    text: str


@dataclass(frozen=True)
class Whisker:
    """Places along a line of 0…100: both ends of the interval, the value, the target (None where there is none)."""

    low: float
    high: float
    value: float
    target: float | None
    text: str


@dataclass(frozen=True)
class Figure:
    """One number with all that must stand beside it. `state`: value, few or nothing."""

    column: Column
    state: str
    text: str
    n: int
    n_text: str
    low: str = ""
    high: str = ""
    whisker: Whisker | None = None
    change: Change | None = None
    verdict: Verdict | None = None

    @property
    def title(self) -> str:
        return title(self.column)

    @property
    def key(self) -> str:
        return column_key(self.column)

    @property
    def interval_text(self) -> str:
        return _("95%% interval: %(low)s to %(high)s") % {"low": self.low, "high": self.high} if self.low else ""


@dataclass(frozen=True, slots=True)
class Counted(Estimate):
    """An Estimate with the counts that it was made of, so that it can be held against another one."""

    counts: Mapping[int, int]


def estimate(column: Column, distribution: Mapping[int, int]) -> Counted:
    """The column's own metric of counts per score, or per bucket of duration."""
    found = _estimate(column, distribution)
    return Counted(found.value, found.low, found.high, found.n, distribution)


def _estimate(column: Column, distribution: Mapping[int, int]) -> Estimate:
    metric, points = column
    if metric == "ttr":
        return formulas.ttr_median(distribution)
    if not distribution:
        return NOTHING
    scale = scale_for(metric, points)
    histogram = [distribution.get(score, 0) for score in scale.scores]
    if metric == "nps":
        return formulas.nps(histogram)
    return formulas.csat_top_box(histogram, scale) if metric == "csat" else formulas.ces_mean(histogram)


def of(measured: Measured | None) -> Counted:
    column = ("ttr", 0) if measured is None else (measured.metric, measured.points)
    return estimate(column, {} if measured is None else measured.distribution)


def compared(column: Column, now: Counted, before: Counted) -> Comparison:
    """The column's own metric on two sides, by the one test that there is: of ttr the median of what was resolved."""
    statistic: Statistic = "median" if column[0] == "ttr" else "value"
    minimum = limits().minimum_n
    return compare(*column, Counts(now.counts), Counts(before.counts), statistic=statistic, minimum=minimum)


def pooled(column: Column, parts: Iterable[Measured | None]) -> Counted:
    """The column's metric over several slices that share no answer: counts are added, values never."""
    total: dict[int, int] = {}
    for part in parts:
        for place, count in (part.distribution if part else {}).items():
            total[place] = total.get(place, 0) + count
    return estimate(column, total)


def figure(
    column: Column,
    now: Estimate,
    before: Counted | Comparison | None,
    targets: Mapping[str, float],
    longest: float = 0,
) -> Figure:
    """`before` is what it is held against, or the comparison itself; the former only where `now` is Counted, too.

    `longest` is the right end of a duration's line, in seconds, so that neighbours share one scale.
    """
    if now.n == 0 or now.value is None:
        return Figure(column, "nothing", DASH, 0, "")
    if not is_enough(now.n):
        return Figure(column, "few", too_few(now.n), now.n, "")
    metric = column[0]
    drawn = Figure(column, "value", value_text(metric, now.value), now.n, marked_count(now.n))
    if now.low is not None and now.high is not None:
        drawn = replace(drawn, low=value_text(metric, now.low), high=value_text(metric, now.high))
        drawn = replace(drawn, whisker=_whisker(column, now, targets, longest, drawn.interval_text))
    if isinstance(before, Counted):
        before = compared(column, now, before) if isinstance(now, Counted) else None
    return replace(
        drawn, change=change_of(metric, before) if before else None, verdict=_verdict(metric, now.value, targets)
    )


def target_of(metric: str, targets: Mapping[str, float]) -> float | None:
    """In the metric's own unit; a TTR target is given in hours and held in seconds."""
    if metric == "ttr":
        return targets["ttr_hours"] * HOUR_S if "ttr_hours" in targets else None
    return targets.get(metric)


def _whisker(column: Column, now: Estimate, targets: Mapping[str, float], longest: float, text: str) -> Whisker | None:
    if now.value is None or now.low is None or now.high is None:
        return None
    target = target_of(column[0], targets)
    left, right = RANGES.get(column[0], (0.0, max(longest, now.high, target or 0) or 1.0))

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - left) / (right - left))), 2)

    return Whisker(place(now.low), place(now.high), place(now.value), None if target is None else place(target), text)


def change_of(metric: str, found: Comparison) -> Change | None:
    """What a comparison says; None where a side has too few answers, or the difference has no interval to judge it by."""
    if found.difference is None or found.low is None or found.high is None:
        return None
    text = change_text(metric, found.difference)
    direction = "same" if _is_zero(text) else "up" if found.difference > 0 else "down"  # no arrow beside a 0
    ends = {"low": change_text(metric, found.low), "high": change_text(metric, found.high)}
    interval = _("95%% interval: %(low)s to %(high)s") % ends
    if not found.significant:
        return Change(text, direction, "quiet", _("no significant change"), interval)
    better = (found.verdict == "lower") == (metric in LOWER_IS_BETTER)
    return Change(text, direction, "good" if better else "bad", _("better") if better else _("worse"), interval)


def _verdict(metric: str, value: float, targets: Mapping[str, float]) -> Verdict | None:
    target = target_of(metric, targets)
    if target is None:
        return None
    met = value <= target if metric in LOWER_IS_BETTER else value >= target
    shown = {"target": value_text(metric, target)}
    return Verdict(met, (_("target %(target)s met") if met else _("target %(target)s missed")) % shown)


def score_text(metric: str, points: int, score: int | None) -> str:
    """One answer's score with the top of its scale, such as "9 / 10"; a dash where it was skipped."""
    return DASH if score is None else f"{score} / {scale_for(metric, points).high}"


@dataclass(frozen=True)
class Fact:
    """What stands beside a metric of the same answers: a label and its text."""

    label: str
    text: str


def facts(measured: Measured) -> list[Fact]:
    """The metric's own further fields; none where too few answered, except how many tickets are open now."""
    extra = measured.extra
    found: list[Fact] = []
    enough = is_enough(measured.n)
    if measured.metric == "csat" and enough:
        found.append(Fact(_("Mean score"), f"{_decimal(extra.get('mean'))} / {measured.points}"))
    if measured.metric == "ces" and enough:
        found.append(Fact(_("Say that it was easy"), _percent(extra.get("easy_share"))))
    if measured.metric == "ttr":
        if enough:
            reopened = extra.get("reopened_share")
            found += [
                Fact(_("Mean"), value_text("ttr", measured.value)),
                Fact(_("9 of 10 tickets within"), value_text("ttr", extra.get("p90"))),
                Fact(_("Median with open tickets"), _reached(extra.get("median_with_open"))),
                Fact(_("Reopened"), _percent(None if reopened is None else 100 * reopened)),
            ]
        found.append(Fact(_("Open now"), f"{extra.get('open') or 0:,}"))
    return found


def _decimal(value: float | None) -> str:
    return DASH if value is None else rounded(value, 1)


def _percent(value: float | None) -> str:
    return DASH if value is None else f"{rounded(value)}%"


def _reached(seconds: float | None) -> str:
    """Of a median that counts open tickets: fewer than half may be resolved so far."""
    return _("not reached yet") if seconds is None else duration(seconds)
