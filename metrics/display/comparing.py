"""How numbers look that are held against each other. In: Estimates and p. Out: Cells and texts that pages print and files hold.

Here a difference is rounded, for the first and only time. No query, no formula; whether it is more than noise is decided below.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _

from metrics.display.figures import (
    DASH,
    Column,
    Figure,
    change_text,
    compared,
    estimate,
    is_enough,
    marked_count,
    too_few,
)
from metrics.display.tables import Cell, Line
from metrics.formulas import Estimate
from metrics.significance import SURE
from surveys.words import MINUS, rounded

SMALL = 0.001  # a smaller p is told as such


@dataclass(frozen=True)
class Told:
    """A difference with its interval, and the two-sided p of there being none; p is None where it cannot be tested."""

    change: Estimate
    p: float | None


def tell_apart(column: Column, now: Mapping[int, int], before: Mapping[int, int]) -> Told | None:
    """`now` less `before`, of counts per score or per bucket of duration; None where a side has too few."""
    found = compared(column, estimate(column, now), estimate(column, before))
    if found.difference is None or found.verdict == "too_few":
        return None
    return Told(Estimate(found.difference, found.low, found.high, found.n_now + found.n_before), found.p)


def corrected_text(p: float, pairs: int) -> str:
    """p, and for how many pairs it is corrected."""
    return p_text(p) if pairs < 2 else _("%(p)s, corrected for all %(pairs)d pairs") % {"p": p_text(p), "pairs": pairs}


def meaning(p: float | None) -> str:
    if p is None:
        return _("cannot be tested")
    return _("more than chance") if p < SURE else _("no significant difference")


def p_text(p: float) -> str:
    """With as many digits as say something; never “p = 0”."""
    return f"p {_size(p)}" if p < SMALL else f"p = {_size(p)}"


def _size(p: float) -> str:
    return f"< {SMALL}" if p < SMALL else rounded(p, 3 if p < 0.1 else 2)


def p_cell(p: float | None) -> Cell:
    return Cell(DASH, state="nothing") if p is None else Cell(_size(p), p)


def interval_text(low: str, high: str) -> str:
    return _("95%% interval: %(low)s to %(high)s") % {"low": low, "high": high}


def change_cell(metric: str, change: Estimate | None) -> Cell:
    """A difference in the metric's own unit with its interval beside it."""
    if change is None or change.value is None:
        return Cell(DASH, state="nothing")
    note = ""
    if change.low is not None and change.high is not None:
        ends = {"low": change_text(metric, change.low), "high": change_text(metric, change.high)}
        note = _("%(low)s to %(high)s") % ends
    return Cell(change_text(metric, change.value), change.value, note=note)


def share_cell(part: int, of: int) -> Cell:
    """A plain share of counts: nothing is estimated of all there are."""
    if not of:
        return Cell(DASH, state="nothing")
    return Cell(f"{rounded(100 * part / of)}%", 100 * part / of)


def figure_cell(figure: Figure, held: Estimate) -> Cell:
    """A Figure in a table's column of rates: its line and n beside it."""
    if figure.state != "value":
        return Cell(figure.text, state=figure.state, n=held.n)
    line = figure.whisker
    drawn = None if line is None else Line(line.low, line.high, line.value, line.text, line.target)
    ends = None if held.low is None or held.high is None else (held.low, held.high)
    return Cell(figure.text, held.value, ends, drawn, note=figure.n_text, n=held.n)


# --- Points of an index -----------------------------------------------------------------------------------------------


def index_text(value: float) -> str:
    return rounded(value)


def points_text(value: float) -> str:
    """A difference of two indices, with its sign."""
    text = rounded(value)
    return text if text.startswith(MINUS) or text == "0" else f"+{text}"


def points_cell(change: Estimate | None) -> Cell:
    if change is None or change.value is None:
        return Cell(DASH, state="nothing")
    note = ""
    if change.low is not None and change.high is not None:
        note = _("%(low)s to %(high)s") % {"low": points_text(change.low), "high": points_text(change.high)}
    return Cell(points_text(change.value), change.value, note=note)


def index_line(held: Estimate) -> Line | None:
    if held.value is None or held.low is None or held.high is None:
        return None
    said = interval_text(index_text(held.low), index_text(held.high))
    low, high, value = (round(min(100.0, max(0.0, place)), 2) for place in (held.low, held.high, held.value))
    return Line(low, high, value, said)


def index_cell(held: Estimate | None) -> Cell:
    if held is None or held.value is None or held.n == 0:
        return Cell(DASH, state="nothing")
    if not is_enough(held.n):
        return Cell(too_few(held.n), state="few", n=held.n)
    ends = None if held.low is None or held.high is None else (held.low, held.high)
    return Cell(index_text(held.value), held.value, ends, index_line(held), note=marked_count(held.n), n=held.n)
