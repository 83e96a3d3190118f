"""How a score looks over time. In: a series of Measured, and decisions. Out: Trends: what a script draws, and its table."""

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from metrics.display.figures import HOUR_S, RANGES, Column, Figure, figure, is_enough, of, target_of, title
from metrics.formulas import NOTHING, Estimate
from metrics.queries import Measured
from metrics.slices import Interval, period_after
from surveys.words import DAY_S


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
    return Trend(column, points, chart, marks_of(placed))


Placed = tuple[int, float, Mark]  # the period that holds its day; where along the axis it is drawn; the mark


def place_markers(
    markers: Iterable[Marker], held: Sequence[date], interval: Interval, margin: float = 0.0
) -> list[Placed]:
    """Each marker that lies in the periods that start on `held`, in its place along an axis on which period k stands at k.

    Period k fills k − ½ … k + ½: a decision of its first day stands before all of it, so what is right of a line came after it.
    `margin`: how far the axis reaches beyond its first and last period; ½ where bars are drawn.
    """
    placed: list[Placed] = []
    for marker in markers:
        index = bisect.bisect_right(held, marker.day) - 1
        if index < 0 or marker.day >= period_after(interval, held[index]):
            continue
        start = held[index]
        part = (marker.day - start).days / (period_after(interval, start) - start).days
        at = min(max(-margin, index - 0.5 + part), len(held) - 1 + margin)
        placed.append((index, round(at, 3), Mark(len(placed) + 1, marker)))
    return placed


def marks_of(placed: Iterable[Placed]) -> list[Mark]:
    """Those that the list below a chart holds."""
    return [mark for _held, _at, mark in placed]


def notes_of(placed: Iterable[Placed]) -> Mapping[int, list[tuple[int, str]]]:
    """By period, what a table's row says of its decisions: their numbers and texts, as Cell.marks."""
    notes: dict[int, list[tuple[int, str]]] = {}
    for held, _at, mark in placed:
        notes.setdefault(held, []).append((mark.number, mark.text))
    return notes


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
