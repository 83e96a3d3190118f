"""How tickets look. In: durations, ages, steps of a curve, a clock. Out: figures, tables, charts and sentences that pages only print.

Here a duration is rounded, for the first and only time. Every text that holds a duration says by its clock, so that business time is
never read as calendar time: its hours are working hours, and it is never told in days. No query, no formula.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from metrics import formulas
from metrics.display import figures
from metrics.display.figures import DASH, HOUR_S, is_enough, marked_count, too_few
from metrics.display.tables import Cell, Column, Line, Row, Table
from metrics.display.trends import Placed, chart_marks, notes_of, period_label
from metrics.formulas import Estimate, Step, bucket_of, bucket_value
from metrics.limits import limits
from metrics.queries import Ages, Durations
from metrics.raw.experience import OpenTicket, Scored
from metrics.significance import Counts, compare
from metrics.slices import Interval
from surveys.words import DAY_S, duration, rounded, working_time
from surveys.worktime import WorkCalendar, business_seconds

MAX_ROWS = 50
MINUTE_S = 60
LAST_SHARE = 0.05  # of a curve's tail so much is not drawn
FINEST = 0.002  # steps of a curve that lower it by less are drawn together
AT_RISK = 5  # a curve is not drawn where fewer tickets are left

CALENDAR_EDGES = (HOUR_S, 4 * HOUR_S, DAY_S, 3 * DAY_S, 7 * DAY_S)
BUSINESS_EDGES = (HOUR_S, 4 * HOUR_S, 8 * HOUR_S, 24 * HOUR_S, 40 * HOUR_S)
# After how long a curve's table says what is still open.
CALENDAR_MARKS = (
    15 * MINUTE_S, HOUR_S, 2 * HOUR_S, 4 * HOUR_S, 8 * HOUR_S, 12 * HOUR_S, DAY_S, 2 * DAY_S, 3 * DAY_S, 5 * DAY_S,
    7 * DAY_S, 10 * DAY_S, 14 * DAY_S, 21 * DAY_S, 30 * DAY_S, 60 * DAY_S, 90 * DAY_S, 180 * DAY_S, 365 * DAY_S,
)  # fmt: skip
BUSINESS_MARKS = tuple(hours * HOUR_S for hours in (0.25, 1, 2, 4, 8, 16, 24, 40, 60, 80, 120, 160, 320, 640, 1280))

DIMENSIONS: Mapping[str, Any] = {
    "touchpoint": gettext_lazy("Touchpoint"),
    "channel": gettext_lazy("Channel"),
    "segment": gettext_lazy("Segment"),
    "location": gettext_lazy("Location"),
}


PERIODS: Mapping[Interval, Any] = {
    "day": gettext_lazy("Day"),
    "week": gettext_lazy("Week from"),
    "month": gettext_lazy("Month"),
    "quarter": gettext_lazy("Quarter"),
}


@dataclass(frozen=True)
class Clock:
    """Which time is told: business time by these hours, or calendar time."""

    hours: WorkCalendar | None = None

    @property
    def key(self) -> str:
        return "calendar" if self.hours is None else "business"

    @property
    def name(self) -> str:
        return _("calendar time") if self.hours is None else _("business time")

    @property
    def edges(self) -> Sequence[int]:
        return CALENDAR_EDGES if self.hours is None else BUSINESS_EDGES

    @property
    def marks(self) -> Sequence[float]:
        return CALENDAR_MARKS if self.hours is None else BUSINESS_MARKS

    def text(self, seconds: float | None) -> str:
        """As people say it: of business time never in days."""
        if seconds is None:
            return DASH
        return duration(seconds) if self.hours is None else working_time(seconds)

    def whole(self, seconds: float) -> str:
        """A round duration, such as the edge of a bin."""
        if self.hours is None and seconds > DAY_S and seconds % DAY_S == 0:
            return _("%(count)s d") % {"count": round(seconds / DAY_S)}
        if seconds % HOUR_S == 0:
            return _("%(count)s h") % {"count": f"{round(seconds / HOUR_S):,}"}
        if seconds > HOUR_S:
            return self.text(seconds)
        return _("%(count)s min") % {"count": round(seconds / MINUTE_S)}

    def bins(self) -> list[str]:
        """What the bins between the edges are called."""
        texts = [self.whole(edge) for edge in self.edges]
        between = [_("%(low)s to %(high)s") % {"low": low, "high": high} for low, high in pairwise(texts)]
        return [
            _("under %(high)s") % {"high": texts[0]},
            *between,
            _("%(low)s and more") % {"low": texts[-1]},
        ]

    def unit(self, longest: float) -> tuple[float, str]:
        """Of an axis that ends at so many seconds."""
        if self.hours is None and longest >= 2 * DAY_S:
            return DAY_S, _("days")
        if longest < 2 * HOUR_S:
            return MINUTE_S, _("minutes")
        return HOUR_S, _("hours") if self.hours is None else _("business hours")

    def age(self, opened_at: datetime, now: datetime) -> int:
        if opened_at >= now:
            return 0
        return (
            int((now - opened_at).total_seconds())
            if self.hours is None
            else business_seconds(opened_at, now, self.hours)
        )


# --- Figures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """A median with all that stands beside it: as `_figure.html` draws it, and its interval in words."""

    figure: figures.Figure
    interval: str = ""

    @property
    def state(self) -> str:
        return self.figure.state


def _ends(found: Estimate, clock: Clock) -> str:
    """In words: the upper end of a curve's median may not be reached yet."""
    if found.low is None:
        return ""
    high = _("not reached yet") if found.high is None else clock.text(found.high)
    return _("95%% interval: %(low)s to %(high)s") % {"low": clock.text(found.low), "high": high}


def answer(found: Estimate, clock: Clock, change: figures.Change | None = None) -> Answer:
    """A median large, with its interval and n."""
    column = ("ttr", 0)
    if not found.n:
        return Answer(figures.Figure(column, "nothing", DASH, 0, ""))
    if not is_enough(found.n):
        return Answer(figures.Figure(column, "few", too_few(found.n), found.n, ""))
    text = _("not reached yet") if found.value is None else clock.text(found.value)
    said = _ends(found, clock)
    whisker = None
    if found.value is not None and found.low is not None and found.high is not None:
        line = _line(found, found.high, said)
        whisker = figures.Whisker(line.low, line.high, line.value, None, said)
    return Answer(
        figures.Figure(column, "value", text, found.n, marked_count(found.n), whisker=whisker, change=change), said
    )


def change(now: Counts, before: Counts, statistic: Any, clock: Clock) -> figures.Change | None:
    """Against the days before: how much, and whether it is more than chance; None where that cannot be told."""
    found = compare("ttr", 0, now, before, statistic=statistic, minimum=limits().minimum_n)
    if found.difference is None or found.p is None:
        return None
    sign = "+" if found.difference > 0 else ""
    text = sign + clock.text(found.difference) if round(found.difference) else clock.text(0)
    direction = "up" if found.difference > 0 else "down" if found.difference < 0 else "same"
    if not found.significant:
        return figures.Change(text, direction, "quiet", _("no significant change"))
    better = found.verdict == "lower"
    return figures.Change(text, direction, "good" if better else "bad", _("better") if better else _("worse"))


def spent(held: Durations, clock: Clock) -> list[figures.Fact]:
    """Beside the median of the resolved: the mean and the nine tenths."""
    if not is_enough(held.n):
        return []
    return [
        figures.Fact(_("Mean"), clock.text(held.sum_s / held.n)),
        figures.Fact(_("9 of 10 tickets within"), clock.text(formulas.ttr_quantile(held.buckets, 0.9))),
    ]


def _line(found: Estimate, longest: float, said: str) -> Line:
    low, high, value = (
        round(100 * min(1.0, max(0.0, (end or 0) / (longest or 1.0))), 2)
        for end in (found.low, found.high, found.value)
    )
    return Line(low, high, value, said)


def median_cell(found: Estimate, clock: Clock, longest: float) -> Cell:
    if found.n == 0:
        return Cell(DASH, state="nothing")
    if not is_enough(found.n):
        return Cell(too_few(found.n), state="few")
    if found.value is None:
        return Cell(_("not reached yet"), state="unknown")
    if found.low is None or found.high is None:
        return Cell(f"{clock.text(found.value)} ({marked_count(found.n)})", found.value, state="unknown")
    said = _ends(found, clock)
    return Cell(
        clock.text(found.value),
        found.value,
        (found.low, found.high),
        _line(found, longest, said),
        note=marked_count(found.n),
    )


def percent_cell(found: Estimate) -> Cell:
    if found.n == 0 or found.value is None or found.low is None or found.high is None:
        return Cell(DASH, state="nothing")
    if not is_enough(found.n):
        return Cell(too_few(found.n), state="few")
    low, high = (f"{rounded(end, 1)}%" for end in (found.low, found.high))
    said = _("95%% interval: %(low)s to %(high)s") % {"low": low, "high": high}
    return Cell(
        f"{rounded(found.value, 1)}%",
        found.value,
        (found.low, found.high),
        _line(found, 100, said),
        note=marked_count(found.n),
    )


def _seconds_cell(seconds: float | None, n: int, clock: Clock) -> Cell:
    if n == 0 or seconds is None:
        return Cell(DASH, state="nothing")
    return Cell(clock.text(seconds), seconds) if is_enough(n) else Cell(too_few(n), state="few")


def _number(value: int, **fields: Any) -> Cell:
    return Cell(f"{value:,}", value, **fields)


def _longest(found: Iterable[Estimate]) -> float:
    """So that neighbours' lines share one scale."""
    return max((one.high or one.value or 0 for one in found if is_enough(one.n)), default=0) or 1.0


def in_files(clock: Clock) -> list[tuple[str, str]]:
    """What the top of a file says of its durations."""
    return [(_("Durations"), _("seconds, %(clock)s") % {"clock": clock.name})]


# --- The curve --------------------------------------------------------------------------------------------------------


def curve_chart(steps: Sequence[Step[int]], median: Estimate, clock: Clock) -> dict[str, Any]:
    """A stepped line with its interval at each point, and its median; "points" are (duration in the axis' unit, share, low, high).

    What is drawn ends where few tickets are left, or hardly anything is open.
    """
    shown: list[Step[int]] = []
    for step in steps:
        if step.at_risk < AT_RISK:
            break
        if not shown or shown[-1].share - step.share >= FINEST or len(steps) < 200:
            shown.append(step)
        if step.share <= LAST_SHARE:
            break
    longest = bucket_value(shown[-1].duration) if shown else 0.0
    unit, unit_text = clock.unit(longest)
    points, texts = [[0.0, 100.0, 100.0, 100.0]], [_("All are open.")]
    for step in shown:
        low, high = step.interval() or (step.share, step.share)
        seconds = bucket_value(step.duration)
        points.append([round(seconds / unit, 4), *(round(100 * share, 2) for share in (step.share, low, high))])
        texts.append(_share_said(clock.text(seconds), step.share, low, high, step.at_risk))
    middle = median.value if median.value is not None and median.value <= longest else None
    return {
        "points": points,
        "texts": texts,
        "median": None if middle is None else round(middle / unit, 4),
        "unit": unit_text,
        "title": _("Still open after"),
        "words": {
            "value": _("Still open"),
            "interval": _("95% interval"),
            "median": _("Median, %(value)s") % {"value": clock.text(middle)},
        },
    }


def _share_said(after: str, share: float, low: float, high: float, at_risk: int) -> str:
    return _("After %(after)s: %(share)s%% still open (%(low)s to %(high)s), %(count)s at risk") % {
        "after": after,
        "share": rounded(100 * share, 1),
        "low": rounded(100 * low, 1),
        "high": rounded(100 * high, 1),
        "count": f"{at_risk:,}",
    }


def curve_table(steps: Sequence[Step[int]], n: int, clock: Clock) -> Table:
    """The same at round durations, up to the one after which nothing was resolved any more."""
    columns = [Column(_("Time passed"), "text"), Column(_("Still open"), "rate"), Column(_("At risk"))]
    rows = []
    for mark in clock.marks:
        reached = [step for step in steps if step.duration <= bucket_of(mark)]
        following = next((step for step in steps if step.duration > bucket_of(mark)), None)
        if not is_enough(n) or not steps or (following is None and mark > 2 * bucket_value(steps[-1].duration)):
            break
        share, low, high = 1.0, 1.0, 1.0
        if reached:
            share = reached[-1].share
            low, high = reached[-1].interval() or (share, share)
        at_risk = following.at_risk if following else reached[-1].at_risk - reached[-1].resolved
        found = Estimate(100 * share, 100 * low, 100 * high, n)
        rows.append(Row([Cell(clock.whole(mark), mark), percent_cell(found), _number(at_risk)]))
    about = _(
        "Of all tickets opened in these days, the share that is still open after a time, in %(clock)s. An open ticket counts for as "
        "long as it has been open, then it leaves: nobody knows yet how long it will take (Kaplan–Meier; intervals by Greenwood, each "
        "for its own row)."
    ) % {"clock": clock.name}  # fmt: skip
    return Table("curve", _("How long tickets stay open"), columns, rows, about)


# --- Open now ---------------------------------------------------------------------------------------------------------


def ages_table(ages: Ages, clock: Clock) -> Table:
    columns = [Column(_("Age"), "text"), Column(_("Open tickets")), Column(_("Share"))]
    most = max(ages.bins, default=0) or 1
    rows = [
        Row([
            Cell(name, bar=round(100 * count / most, 2)), _number(count),
            Cell(f"{rounded(100 * count / ages.n, 1)}%", 100 * count / ages.n) if ages.n else Cell(DASH, state="nothing"),
        ])
        for name, count in zip(clock.bins(), ages.bins, strict=True)
    ]  # fmt: skip
    about = _("All that are open at this moment, whenever they were opened; age in %(clock)s.") % {"clock": clock.name}
    return Table("ages", _("Open now, by age"), columns, rows, about)


def oldest_table(
    tickets: Sequence[OpenTicket],
    names: Mapping[int, str],
    urls: Mapping[int, str],
    now: datetime,
    zone: Any,
    clocks: Sequence[Clock],
) -> Table:
    columns = [Column(_("Ticket"), "text"), Column(_("Touchpoint"), "text"), Column(_("Opened at"), "text")]
    columns += [Column(_("Age, %(clock)s") % {"clock": clock.name}) for clock in clocks]
    columns.append(Column(_("First response"), "text"))
    rows = []
    for ticket in tickets:
        opened = date_format(ticket.opened_at.astimezone(zone), "DATETIME_FORMAT")
        ages = [clock.age(ticket.opened_at, now) for clock in clocks]
        rows.append(Row([
            Cell(ticket.reference or f"#{ticket.id}", query=urls.get(ticket.id, ""), note=_reopened(ticket.reopened)),
            Cell(names.get(ticket.touchpoint_id, _("(none)"))), Cell(opened),
            *(Cell(clock.text(age), age) for clock, age in zip(clocks, ages, strict=True)),
            Cell(_("responded") if ticket.is_answered else _("none yet"), tone="" if ticket.is_answered else "bad"),
        ]))  # fmt: skip
    return Table("oldest", _("Open for longest"), columns, rows, _("The oldest first, whenever they were opened."))


def _reopened(count: int) -> str:
    return _("reopened %(count)d ×") % {"count": count} if count else ""


# --- By day resolved --------------------------------------------------------------------------------------------------


def resolved_row(head: Cell, held: Durations, clock: Clock, longest: float) -> list[Cell]:
    return [
        head,
        _number(held.n),
        median_cell(formulas.ttr_median(held.buckets), clock, longest),
        _seconds_cell(held.sum_s / held.n if held.n else None, held.n, clock),
        _seconds_cell(formulas.ttr_quantile(held.buckets, 0.9), held.n, clock),
        percent_cell(formulas.share_of(held.reopened, held.n)),
    ]


def _resolved_columns(first: str) -> list[Column]:
    return [
        Column(first, "text"), Column(_("Resolved")), Column(_("Median"), "rate"), Column(_("Mean")),
        Column(_("9 of 10 within")), Column(_("Reopened"), "rate"),
    ]  # fmt: skip


def resolved_periods(
    parts: Sequence[tuple[date, Durations]], interval: Interval, clock: Clock, placed: Sequence[Placed] = ()
) -> Table:
    """`placed`: the decisions that the chart marks, by their places in `parts`."""
    longest = _longest((formulas.ttr_median(held.buckets) for _start, held in parts))
    heads = period_heads([start for start, _held in parts], interval, placed)
    rows = [
        Row(resolved_row(head, held, clock, longest))
        for head, (_start, held) in reversed(list(zip(heads, parts, strict=True)))
    ]
    about = _("Tickets resolved in each period, whenever they were opened; %(clock)s.") % {"clock": clock.name}
    return Table(
        "periods", _("Period by period, by day resolved"), _resolved_columns(str(PERIODS[interval])), rows, about
    )


def period_heads(held: Sequence[date], interval: Interval, placed: Sequence[Placed]) -> list[Cell]:
    """The first cell of each period's row: its name, and the decisions that took effect in it."""
    notes = notes_of(placed)
    return [Cell(period_label(start, interval), marks=notes.get(place, ())) for place, start in enumerate(held)]


Part = tuple[str, str, Durations]  # name, query that narrows the page to it, durations


def resolved_parts(dimension: str, parts: Sequence[Part], clock: Clock) -> Table:
    title = str(DIMENSIONS[dimension])
    shown = sorted(parts, key=lambda part: -part[2].n)[:MAX_ROWS]
    longest = _longest(formulas.ttr_median(held.buckets) for _name, _query, held in shown)
    rows = [Row(resolved_row(Cell(name, query=query), held, clock, longest)) for name, query, held in shown]
    about = _("By day resolved, %(clock)s; the most tickets first.") % {"clock": clock.name}
    return Table(
        f"by-{dimension}", _("By %(dimension)s") % {"dimension": title.lower()}, _resolved_columns(title), rows, about,
        _left_out(parts),
    )  # fmt: skip


def targets_table(parts: Sequence[tuple[str, str, Durations, float]], clock: Clock) -> Table:
    """The share resolved within the touchpoint's own target (the last of each part, in seconds); the worst first."""
    told = [
        (name, query, held, target, formulas.within_share(held.buckets, target)) for name, query, held, target in parts
    ]
    columns = [
        Column(str(DIMENSIONS["touchpoint"]), "text"), Column(_("Target")), Column(_("Within target"), "rate"),
        Column(_("Median")),
    ]  # fmt: skip
    rows = [
        Row([
            Cell(name, query=query), Cell(clock.whole(target), target), percent_cell(within),
            _seconds_cell(formulas.ttr_quantile(held.buckets, 0.5), held.n, clock),
        ])
        for name, query, held, target, within in sorted(told, key=lambda one: one[4].value or 0)
    ]  # fmt: skip
    about = _("Of the tickets resolved, those that took no longer than their touchpoint’s target; the fewest first.")
    return Table("targets", _("Within target"), columns, rows[:MAX_ROWS], about, _left_out(rows))


def _left_out(parts: Sequence[Any]) -> list[str]:
    rest = len(parts) - MAX_ROWS
    return [_("%(count)d further groups are not listed.") % {"count": rest}] if rest > 0 else []


def trend_chart(
    title: str, parts: Sequence[tuple[date, Estimate, bool]], interval: Interval, clock: Clock,
    target: float | None = None, placed: Sequence[Placed] = (),
) -> dict[str, Any]:  # fmt: skip
    """As `trends.trend` draws; the third of each part says whether it can still rise. `placed`: decisions, by places in `parts`."""
    drawn = [found if is_enough(found.n) else formulas.NOTHING for _start, found, _rises in parts]
    unit, unit_text = clock.unit(max((found.high or found.value or 0 for found in drawn), default=0))

    def scaled(value: float | None) -> float | None:
        return None if value is None else round(value / unit, 3)

    return {
        "labels": [period_label(start, interval) for start, _found, _rises in parts],
        "values": [scaled(found.value) for found in drawn],
        "lows": [scaled(found.low) for found in drawn],
        "highs": [scaled(found.high) for found in drawn],
        "texts": [f"{clock.text(found.value)} · {marked_count(found.n)}" for _start, found, _rises in parts],
        "rising": [rises for _start, _found, rises in parts],
        "target": scaled(target),
        "min": 0,
        "max": None,
        "title": title,
        "unit": unit_text,
        "words": {"value": title, "interval": _("95% interval"), "target": _("Target")},
        "marks": chart_marks(placed),
    }


# --- By day opened ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cohort:
    """Tickets opened in some days: resolved ones per bucket of their duration, open ones per bucket of their age."""

    resolved: Mapping[int, int]
    waiting: Mapping[int, int]

    @property
    def n(self) -> int:
        return sum(self.resolved.values()) + self.open

    @property
    def open(self) -> int:
        return sum(self.waiting.values())

    @property
    def median(self) -> Estimate:
        return formulas.kaplan_meier_median_estimate(self.resolved, self.waiting)

    @property
    def counts(self) -> Counts:
        return Counts(self.resolved, self.waiting)


def _cohort_columns(first: str) -> list[Column]:
    return [
        Column(first, "text"), Column(_("Tickets opened")), Column(_("Still open")), Column(_("Median, open ones counted"), "rate"),
        Column(_("Resolved so far"), "rate"),
    ]  # fmt: skip


def _cohort_row(head: Cell, cohort: Cohort, clock: Clock, longest: float) -> Row:
    return Row([
        head, _number(cohort.n), _number(cohort.open), median_cell(cohort.median, clock, longest),
        percent_cell(formulas.share_of(cohort.n - cohort.open, cohort.n)),
    ])  # fmt: skip


def cohort_periods(
    parts: Sequence[tuple[date, Cohort]], interval: Interval, clock: Clock, placed: Sequence[Placed] = ()
) -> Table:
    """`placed` as in `resolved_periods`."""
    longest = _longest((cohort.median for _start, cohort in parts))
    heads = period_heads([start for start, _cohort in parts], interval, placed)
    rows = [
        _cohort_row(head, cohort, clock, longest)
        for head, (_start, cohort) in reversed(list(zip(heads, parts, strict=True)))
    ]
    about = _("Tickets opened in each period and what has become of them so far; %(clock)s.") % {"clock": clock.name}
    return Table("cohorts", _("Period by period, by day opened"), _cohort_columns(str(PERIODS[interval])), rows, about)


def cohort_parts(dimension: str, parts: Sequence[tuple[str, str, Cohort]], clock: Clock) -> Table:
    title = str(DIMENSIONS[dimension])
    shown = sorted(parts, key=lambda part: -part[2].n)[:MAX_ROWS]
    longest = _longest((cohort.median for _name, _query, cohort in shown))
    rows = [_cohort_row(Cell(name, query=query), cohort, clock, longest) for name, query, cohort in shown]
    about = _("By day opened, %(clock)s; the most tickets first.") % {"clock": clock.name}
    return Table(
        f"by-{dimension}", _("By %(dimension)s") % {"dimension": title.lower()}, _cohort_columns(title), rows, about,
        _left_out(parts),
    )  # fmt: skip


# --- What customers say, and what the opening said --------------------------------------------------------------------


def scores_table(key: str, title: str, about: str, head: str, names: Sequence[str], found: Sequence[Scored]) -> Table:
    """A row per bin, a column per metric (CSAT per scale) that has any answer."""
    columns = [column for column in figures.COLUMNS if any((one.metric, one.points) == column for one in found)]
    held = {(one.metric, one.points, one.bin): one for one in found}
    rows = []
    for place, name in enumerate(names):
        cells = [Cell(name)]
        for column in columns:
            one = held.get((*column, place))
            cells.append(_score_cell(column, one))
        rows.append(Row(cells))
    heads = [Column(figures.title(column), "rate", figures.meaning(column)) for column in columns]
    return Table(key, title, [Column(head, "text"), *heads], rows if columns else [], about)


def _score_cell(column: figures.Column, one: Scored | None) -> Cell:
    estimate = figures.estimate(column, one.distribution if one else {})
    if estimate.n == 0 or estimate.value is None:
        return Cell(DASH, state="nothing")
    if not is_enough(estimate.n):
        return Cell(too_few(estimate.n), state="few")
    text = figures.value_text(column[0], estimate.value)
    if estimate.low is None or estimate.high is None:
        return Cell(f"{text} ({marked_count(estimate.n)})", estimate.value, state="unknown")
    ends = {
        "low": figures.value_text(column[0], estimate.low),
        "high": figures.value_text(column[0], estimate.high),
    }
    left, right = figures.RANGES[column[0]]
    places = [
        round(100 * (end - left) / (right - left), 2) for end in (estimate.low, estimate.high, estimate.value)
    ]  # fmt: skip
    line = Line(places[0], places[1], places[2], _("95%% interval: %(low)s to %(high)s") % ends)
    return Cell(text, estimate.value, (estimate.low, estimate.high), line, note=marked_count(estimate.n))


def quarters(found: Sequence[Scored], fact: str) -> list[str]:
    """What the quarters of a fact are called: their least and greatest values."""
    names = [_("least"), _("below the middle"), _("above the middle"), _("most")]
    told = []
    for place, name in enumerate(names):
        ends = [(one.low, one.high) for one in found if one.bin == place]
        if ends:
            low, high = (
                _fact_text(fact, pick(end)) for pick, end in ((min, [e[0] for e in ends]), (max, [e[1] for e in ends]))
            )
            spread = low if low == high else _("%(low)s to %(high)s") % {"low": low, "high": high}
            told.append(_("%(name)s (%(spread)s)") % {"name": name, "spread": spread})
        else:
            told.append(name)
    return told


def _fact_text(fact: str, value: float) -> str:
    """A fact whose name ends in seconds, minutes or hours is told as a duration."""
    for ending, unit in (("_seconds", 1), ("_s", 1), ("_minutes", MINUTE_S), ("_hours", HOUR_S)):
        if fact.endswith(ending) and value >= 0:
            return duration(value * unit)
    return f"{value:,.6g}"


def facts_table(fact: str, parts: Mapping[str, Durations], clock: Clock) -> Table:
    """Values of few tickets are added up: a rare value may say who it was."""
    named = [("" if value == "" else value, held) for value, held in parts.items() if is_enough(held.n)]
    shown = sorted(named, key=lambda part: (-part[1].n, part[0]))[:MAX_ROWS]
    rest = sum(held.n for held in parts.values()) - sum(held.n for _value, held in shown)
    longest = _longest((formulas.ttr_median(held.buckets) for _value, held in shown))
    rows = [Row(resolved_row(Cell(value or _("(none)")), held, clock, longest)) for value, held in shown]
    about = _(
        "Tickets resolved in these days, by “%(fact)s” of the event that opened them; %(clock)s. Only the tickets themselves know this: "
        "they are counted one by one, over 366 days at most."
    ) % {"fact": fact, "clock": clock.name}  # fmt: skip
    notes = (
        [_("%(count)s further tickets have values that are too rare to be listed.") % {"count": f"{rest:,}"}]
        if rest
        else []
    )
    return Table("facts", _("By what the ticket was opened with"), _resolved_columns(fact), rows, about, notes)
