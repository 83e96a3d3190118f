"""How scores are drawn small, and how bands are drawn over time. In: a series of Measured. Out: shapes and chart data that pages print.

No query, no formula. What is drawn here stands in a table, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.translation import gettext as _

from metrics.display import bars, figures, trends
from metrics.display.figures import Column
from metrics.formulas import NOTHING
from metrics.queries import Measured
from metrics.slices import Interval

WIDTH, HEIGHT = 240, 56  # of a sparkline's own grid; the page stretches it
EDGE = 4  # so that a stroke is not cut off
# At least so much of a metric's range is as high as the line may go: what is drawn large should not be small.
LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Spark:
    """A line with its interval on a grid of WIDTH × HEIGHT: points as SVG writes them, a run for each stretch without a gap."""

    lines: Sequence[str]
    bands: Sequence[str]
    dots: Sequence[tuple[float, float]]
    first: str
    last: str
    text: str
    marks: Sequence[float] = ()  # where decisions took effect
    width: int = WIDTH
    height: int = HEIGHT


def spark(
    column: Column, series: Sequence[tuple[date, Measured]], interval: Interval, markers: Iterable[trends.Marker] = ()
) -> Spark | None:
    """None where fewer than two periods have enough answers. Periods with too few are gaps. `markers`: decisions of the same slice."""
    drawn = [
        now if figures.is_enough(now.n) else NOTHING for now in (figures.of(measured) for _start, measured in series)
    ]
    ends = [end for now in drawn for end in (now.low, now.value, now.high) if end is not None]
    if sum(now.value is not None for now in drawn) < 2:
        return None
    bottom, top = _ends(column, ends)

    def x(place: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * place / max(1, len(drawn) - 1), 1)

    def y(value: float) -> float:
        return round(EDGE + (HEIGHT - 2 * EDGE) * (top - value) / (top - bottom), 1)

    lines, bands, dots = [], [], []
    for run in _runs([now.value is not None for now in drawn]):
        points = [(x(place), y(drawn[place].value or 0.0)) for place in run]
        if len(points) > 1:
            lines.append(_points(points))
        else:
            dots.append(points[0])
    for run in _runs([now.low is not None and now.high is not None for now in drawn]):
        above = [(x(place), y(drawn[place].high or 0.0)) for place in run]
        below = [(x(place), y(drawn[place].low or 0.0)) for place in reversed(run)]
        if len(run) > 1:
            bands.append(_points([*above, *below]))
    labels = [trends.period_label(start, interval) for start, _measured in series]
    told = {
        "metric": figures.title(column),
        "low": figures.value_text(column[0], min(ends)),
        "high": figures.value_text(column[0], max(ends)),
    }
    text = _("%(metric)s over time; its intervals lie between %(low)s and %(high)s") % told
    placed = trends.place_markers(markers, [start for start, _measured in series], interval)
    return Spark(lines, bands, dots, labels[0], labels[-1], text, sorted({x(at) for _held, at, _mark in placed}))


def _ends(column: Column, ends: Sequence[float]) -> tuple[float, float]:
    bottom, top = min(ends), max(ends)
    left, right = figures.RANGES.get(column[0], (0.0, top))
    missing = LEAST_SHARE * (right - left) - (top - bottom)
    if missing > 0:
        bottom, top = bottom - missing / 2, top + missing / 2
    return bottom, top if top > bottom else bottom + 1


def _runs(there: Sequence[bool]) -> list[list[int]]:
    """Places that are there, cut at the gaps."""
    runs: list[list[int]] = [[]]
    for place, is_there in enumerate(there):
        if is_there:
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def band_chart(
    series: Sequence[tuple[date, Measured]], interval: Interval, markers: Iterable[trends.Marker] = ()
) -> dict[str, Any] | None:
    """Each band's share of each period in percent, the best at the bottom; None where no period has enough answers.

    `markers`: decisions of the same slice; they bear the numbers that they have in a trend of the same series.
    """
    enough = [figures.is_enough(measured.n) for _start, measured in series]
    if not any(enough):
        return None
    shares = [bars.breakdown(measured) for _start, measured in series]
    sets = [
        {
            "label": band.label,
            "tone": band.tone,
            "values": [part[place].percent if told else None for part, told in zip(shares, enough, strict=True)],
        }
        for place, band in enumerate(shares[0])
    ]
    placed = trends.place_markers(markers, [start for start, _measured in series], interval, margin=0.5)
    return {
        "labels": [trends.period_label(start, interval) for start, _measured in series],
        "marks": trends.chart_marks(placed),
        "sets": sets,
        "counts": [figures.count_text(measured.n) for _start, measured in series],
    }
