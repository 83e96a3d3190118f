"""How a number looks. In: Estimates, MatrixRows, series. Out: Figures, Rows and Trends that templates only print.

Here a figure is rounded, for the first and only time; here it is held back where too few answered (`limits`). No query, no formula.
"""

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from metrics import formulas
from metrics.formulas import NOTHING, Estimate
from metrics.limits import limits
from metrics.queries import MatrixRow, Measured
from metrics.reach import Reach
from metrics.significance import LOWER_IS_BETTER, Comparison, Counts, Statistic, compare
from metrics.slices import Interval, period_after
from surveys.scales import scale_for
from surveys.words import DAY_S, MINUS, band_tone, duration, rounded

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


# --- Numbers ----------------------------------------------------------------------------------------------------------


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
    is_zero = not any(digit in text for digit in "123456789")
    return text if is_zero or text.startswith(MINUS) else f"+{text}"


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


# --- Figures ----------------------------------------------------------------------------------------------------------


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
    direction = "up" if found.difference > 0 else "down" if found.difference < 0 else "same"
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


# --- The matrix -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A touchpoint as the matrix names it."""

    slug: str
    name: str
    journey: str
    channel: str
    targets: Mapping[str, float] = field(default_factory=dict)
    active: bool = True


@dataclass(frozen=True)
class Line:
    """One touchpoint's row: a figure per column, in their order."""

    place: Place
    figures: Sequence[Figure]

    @property
    def holds_anything(self) -> bool:
        return any(figure.state != "nothing" for figure in self.figures)


@dataclass(frozen=True)
class Group:
    """The rows of one journey; "" is none."""

    journey: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Matrix:
    columns: Sequence[Column]
    groups: Sequence[Group]

    @property
    def heads(self) -> list[tuple[str, str]]:
        return [(title(column), meaning(column)) for column in self.columns]

    @property
    def width(self) -> int:
        return 1 + len(self.columns)


def matrix(
    rows: Sequence[MatrixRow],
    places: Sequence[Place],
    changes: Mapping[tuple[str, Column], Comparison] | None = None,
) -> Matrix:
    """Touchpoints by journey, in the order of `places`; a column only where it holds anything now.

    `changes` by touchpoint and column where they are judged together; without them each is judged by itself.

    A touchpoint that is switched off is listed as long as it holds something.
    """
    found = {(row.touchpoint, (row.metric, row.points)): row for row in rows}
    columns = [column for column in COLUMNS if any(key[1] == column and row.now.n for key, row in found.items())]
    durations = [of(row.now) for row in rows if row.metric == "ttr"]
    longest = max((part.high or part.value or 0 for part in durations if is_enough(part.n)), default=0)
    groups: dict[str, list[Line]] = {}
    for place in places:
        figures = []
        for column in columns:
            row = found.get((place.slug, column))
            before: Counted | Comparison | None = of(row.before) if row and row.before else None
            if changes is not None:
                before = changes.get((place.slug, column))
            figures.append(figure(column, of(row.now) if row else NOTHING, before, place.targets, longest))
        line = Line(place, figures)
        if place.active or line.holds_anything:
            groups.setdefault(place.journey, []).append(line)
    return Matrix(columns, [Group(journey, lines) for journey, lines in groups.items()])


# --- Trends and distributions -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Marker:
    """A decision as trends show it: since which day it holds, at which touchpoints, and its page."""

    day: date
    title: str
    places: Sequence[str]
    url: str

    @property
    def where(self) -> str:
        return pgettext("between the items of a list", ", ").join(self.places)


@dataclass(frozen=True)
class Mark:
    """A Marker within one trend: the number that it bears in the chart and in the list below it."""

    number: int
    marker: Marker

    @property
    def text(self) -> str:
        told = {"day": date_format(self.marker.day, "DATE_FORMAT"), "title": self.marker.title}
        return _("%(day)s: %(title)s") % told


@dataclass(frozen=True)
class Point:
    label: str
    figure: Figure
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class Trend:
    """A line with its interval. `chart` is what the page's script draws; `points` is its table."""

    column: Column
    points: Sequence[Point]
    chart: Mapping[str, Any]
    marks: Sequence[Mark] = ()

    @property
    def holds_anything(self) -> bool:
        return any(point.figure.state == "value" for point in self.points)


def trend(
    column: Column,
    series: Iterable[tuple[date, Measured]],
    interval: Interval,
    targets: Mapping[str, float],
    markers: Iterable[Marker] = (),
) -> Trend:
    """Periods with too few answers are gaps in the line and words in the table. `markers`: decisions.markers of the same slice."""
    series = list(series)
    placed = place_markers(markers, [start for start, _measured in series], interval)
    points, drawn = [], []
    for index, (start, measured) in enumerate(series):
        now = of(measured)
        marks = [mark for held, _at, mark in placed if held == index]
        points.append(Point(period_label(start, interval), figure(column, now, None, {}), marks))
        drawn.append(now if is_enough(now.n) else NOTHING)
    metric = column[0]
    unit, unit_text = _axis_unit(metric, drawn)
    bottom, top = RANGES.get(metric, (0, None))
    chart = {
        "labels": [point.label for point in points],
        "values": [_in_unit(now.value, unit) for now in drawn],
        "lows": [_in_unit(now.low, unit) for now in drawn],
        "highs": [_in_unit(now.high, unit) for now in drawn],
        "texts": [f"{point.figure.text} · {point.figure.n_text}" for point in points],
        "target": _in_unit(target_of(metric, targets), unit),
        "min": bottom,
        "max": top,
        "title": title(column),
        "unit": unit_text,
        "words": {"value": title(column), "interval": _("95% interval"), "target": _("Target")},
        "marks": chart_marks(placed),
    }
    return Trend(column, points, chart, [mark for _held, _at, mark in placed])


Placed = tuple[int, float, Mark]  # the period that holds its day; where along the axis it is drawn; the mark


def place_markers(markers: Iterable[Marker], held: Sequence[date], interval: Interval) -> list[Placed]:
    """Each marker that lies in the periods that start on `held`, in its place along an axis on which period k stands at k.

    Period k fills k − ½ … k + ½: a decision of its first day stands before all of it, so what is right of a line came after it.
    """
    placed: list[Placed] = []
    for marker in markers:
        index = bisect.bisect_right(held, marker.day) - 1
        if index < 0 or marker.day >= period_after(interval, held[index]):
            continue
        start = held[index]
        part = (marker.day - start).days / (period_after(interval, start) - start).days
        at = min(max(0.0, index - 0.5 + part), float(len(held) - 1))
        placed.append((index, round(at, 3), Mark(len(placed) + 1, marker)))
    return placed


def chart_marks(placed: Sequence[Placed]) -> list[dict[str, Any]]:
    """As the page's script draws them: {"at", "period", "number", "text"}."""
    return [{"at": at, "period": held, "number": mark.number, "text": mark.text} for held, at, mark in placed]


def _axis_unit(metric: str, drawn: Sequence[Estimate]) -> tuple[float, str]:
    if metric != "ttr":
        return 1, "%" if metric == "csat" else ""
    longest = max((now.value or 0 for now in drawn), default=0)
    if longest >= 2 * DAY_S:
        return DAY_S, _("days")
    return (HOUR_S, _("hours")) if longest >= 2 * HOUR_S else (60, _("minutes"))


def _in_unit(value: float | None, unit: float) -> float | None:
    return None if value is None else round(value / unit, 3)


def period_label(start: date, interval: Interval) -> str:
    """Short, as an axis names a period: a day, the Monday of a week, a month, a quarter."""
    if interval == "quarter":
        return _("Q%(quarter)d %(year)d") % {"quarter": (start.month + 2) // 3, "year": start.year}
    if interval == "month":
        return date_format(start, pgettext("date format of a month", "M Y"))
    return date_format(start, pgettext("date format of a day in a year", "j M"))


@dataclass(frozen=True)
class Share:
    """One bar: its label, how many, which percent of all, how it is drawn."""

    label: str
    count: int
    percent: float
    percent_text: str
    tone: str


def _share(label: str, count: int, total: int, tone: str) -> Share:
    percent = 100 * count / total if total else 0.0
    return Share(label, count, round(percent, 2), f"{rounded(percent)}%", tone)


def distribution(measured: Measured) -> list[Share]:
    """A bar per score, from the lowest."""
    tones = {score: band_tone(measured.metric, measured.points, score) for score in measured.distribution}
    return [
        _share(str(score), count, measured.n, tones[score]) for score, count in sorted(measured.distribution.items())
    ]


def breakdown(measured: Measured) -> list[Share]:
    """A part per band, best first."""
    scale = scale_for(measured.metric, measured.points)
    tones = {scale.lowest_band: "worst", scale.highest_band: "best"}
    return [
        _share(band_title(band), count, measured.n, tones.get(band, "middle"))
        for band, count in measured.breakdown.items()
    ]


@dataclass(frozen=True)
class ReachRow:
    """One period of the widget: a dash for what was not counted. `state` of the rate: value, few or nothing."""

    label: str
    shown: str
    started: str
    answered: str
    dismissed: str
    rate: str
    state: str
    n_text: str
    whisker: Whisker | None


def reach_row(label: str, reach: Reach) -> ReachRow:
    if reach.views is None:
        return ReachRow(label, DASH, DASH, DASH, DASH, DASH, "nothing", "", None)
    rate = reach.rate
    n_text, whisker = "", None
    if rate.value is None or rate.low is None or rate.high is None:
        state, text = "nothing", DASH
    elif not is_enough(rate.n):
        state, text = "few", too_few(rate.n)
    else:
        state, text, n_text = "value", f"{rounded(rate.value)}%", marked_count(rate.n)
        ends = {"low": f"{rounded(rate.low)}%", "high": f"{rounded(rate.high)}%"}
        said = _("95%% interval: %(low)s to %(high)s") % ends
        whisker = Whisker(round(rate.low, 2), round(rate.high, 2), round(rate.value, 2), None, said)
    shown, started, dismissed = (f"{reach.of(event):,}" for event in ("shown", "started", "dismissed"))
    return ReachRow(label, shown, started, f"{reach.answered:,}", dismissed, text, state, n_text, whisker)


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
