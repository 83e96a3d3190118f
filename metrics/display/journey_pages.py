"""How a journey looks. In: its touchpoints in order with what was measured of them. Out: the line to draw, sentences and tables.

Here an index is rounded, for the first and only time. No query, no formula: what is a peak is decided in journey.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from metrics.display import comparing, figures
from metrics.display.comparing import Told
from metrics.display.figures import DASH, Figure, count_text, too_few
from metrics.display.grid import Place
from metrics.display.tables import Cell, Column, Line, Row, Table
from metrics.formulas import NOTHING, Estimate
from metrics.journey import Shape, Stop, index_factor, index_of, shape
from metrics.limits import limits
from metrics.significance import SURE, holm

PEAK, VALLEY, END = "peak", "valley", "end"
MARKS = {
    PEAK: pgettext_lazy("of a journey", "Peak"),
    VALLEY: pgettext_lazy("of a journey", "Valley"),
    END: pgettext_lazy("of a journey", "End"),
}
MAX_PAIRS = 100


@dataclass(frozen=True)
class Missing:
    """Why something is not measured, and what to do about it."""

    why: str
    todo: str


@dataclass(frozen=True)
class Seen:
    """A touchpoint of the journey and what is known of it: the metric that its index is made of, now and before, and its TTR.

    `column` is None where it has no score and no instrument. `told` is the change against the days before, in the metric's own unit.
    """

    place: Place
    stage: str
    url: str
    column: figures.Column | None
    now: Estimate = NOTHING
    told: Told | None = None
    ttr: Figure | None = None
    missing: Missing | None = None

    @property
    def index(self) -> Estimate:
        return NOTHING if self.column is None else index_of(self.column[0], self.now)

    @property
    def change(self) -> Estimate | None:
        """On the index."""
        if self.told is None or self.column is None:
            return None
        factor, change = index_factor(self.column[0]), self.told.change
        low, high = (None if end is None else factor * end for end in (change.low, change.high))
        return Estimate(factor * (change.value or 0.0), low, high, change.n)


@dataclass(frozen=True)
class StageSeen:
    """A stage with its touchpoints in order; "" where they have none."""

    name: str
    touchpoints: Sequence[Seen] = ()


@dataclass(frozen=True)
class Piece:
    """A piece of the journey's line inside one column, both ends as places 0…100 from the left and from the top."""

    x1: float
    y1: float
    x2: float
    y2: float
    is_gap: bool


@dataclass(frozen=True)
class Point:
    """A column of the drawing. `kind` is peak, valley, end or plain; `words` says what it is; `state` as of a Figure."""

    name: str
    url: str
    state: str
    text: str
    n_text: str = ""
    metric: str = ""
    value_text: str = ""
    line: Line | None = None
    place: float | None = None
    kind: str = "plain"
    words: Sequence[str] = ()
    pieces: Sequence[Piece] = ()
    move: str = ""
    move_tone: str = ""
    move_word: str = ""


@dataclass(frozen=True)
class Part:
    """A stage of the drawing."""

    name: str
    points: Sequence[Point]

    @property
    def width(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class IndexFigure:
    """An index as `_figure.html` draws it, and whose it is."""

    title: str
    state: str
    text: str
    n_text: str = ""
    whisker: Line | None = None
    of: Sequence[tuple[str, str]] = ()  # names with addresses
    about: str = ""
    change: None = None
    verdict: None = None


@dataclass(frozen=True)
class Journey:
    """A journey, looked at. Its stops are those of its touchpoints that have an index or could have one."""

    name: str
    stages: Sequence[StageSeen]
    shape: Shape = field(default_factory=Shape)
    corrected: Mapping[str, float] = field(default_factory=dict)

    @property
    def touchpoints(self) -> list[Seen]:
        return [seen for stage in self.stages for seen in stage.touchpoints]

    @property
    def size(self) -> int:
        """The columns of its drawing."""
        return sum(max(1, len(stage.touchpoints)) for stage in self.stages)

    def by_key(self, key: str) -> Seen:
        return next(seen for seen in self.touchpoints if seen.place.slug == key)

    def marks(self, key: str) -> list[str]:
        found = {PEAK: key in self.shape.peak, VALLEY: key in self.shape.valley, END: key == self.shape.end}
        return [mark for mark, held in found.items() if held]


def look_at(name: str, stages: Sequence[StageSeen]) -> Journey:
    """The journey with its shape, and the p of each change corrected for all that were compared."""
    seen = [one for stage in stages for one in stage.touchpoints]
    compared = [(one.place.slug, one.told.p) for one in seen if one.told and one.told.p is not None]
    adjusted = holm([p for _slug, p in compared])
    corrected = {slug: p for (slug, _p), p in zip(compared, adjusted, strict=True)}
    stops = [Stop(one.place.slug, one.index) for one in seen]
    return Journey(name, stages, shape(stops, max(1, limits().minimum_n)), corrected)


# --- The line ---------------------------------------------------------------------------------------------------------


def drawing(journey: Journey) -> list[Part]:
    """Stages and their points, from left to right; a stage without touchpoints keeps an empty column."""
    nobody: Sequence[Seen | None] = [None]
    columns = [(stage, seen) for stage in journey.stages for seen in (stage.touchpoints or nobody)]
    measured = {
        place: seen.index.value or 0.0
        for place, (_stage, seen) in enumerate(columns)
        if seen is not None and seen.place.slug in journey.shape.measured
    }
    parts: list[tuple[StageSeen, list[Point]]] = []
    for place, (stage, seen) in enumerate(columns):
        if not parts or parts[-1][0] is not stage:
            parts.append((stage, []))
        parts[-1][1].append(_point(journey, seen, _pieces(place, measured)))
    return [Part(stage.name or _("Without a stage"), points) for stage, points in parts]


def _pieces(place: int, measured: Mapping[int, float]) -> list[Piece]:
    """What of the line through the measured columns lies in the column at `place`; dashed where it passes one that is not."""
    pieces = []
    known = sorted(measured)
    for left, right in pairwise(known):
        begin, end = max(left + 0.5, place), min(right + 0.5, place + 1)
        if begin >= end:
            continue

        def height(x: float, left: int = left, right: int = right) -> float:
            share = (x - left - 0.5) / (right - left)
            return round(100 - (measured[left] + share * (measured[right] - measured[left])), 2)

        x1, x2 = round(100 * (begin - place), 2), round(100 * (end - place), 2)
        pieces.append(Piece(x1, height(begin), x2, height(end), right - left > 1))
    return pieces


def _point(journey: Journey, seen: Seen | None, pieces: Sequence[Piece]) -> Point:
    if seen is None:
        return Point(_("no touchpoint"), "", "nothing", DASH, pieces=pieces)
    metric = "" if seen.column is None else figures.title(seen.column)
    if seen.place.slug not in journey.shape.measured:
        text = too_few(seen.index.n) if seen.index.n else DASH
        state = "few" if seen.index.n else "nothing"
        return Point(seen.place.name, seen.url, state, text, metric=metric, pieces=pieces)
    marks = journey.marks(seen.place.slug)
    index = seen.index
    assert seen.column is not None
    drawn = Point(
        seen.place.name, seen.url, "value", comparing.index_text(index.value or 0), count_text(index.n), metric,
        figures.value_text(seen.column[0], seen.now.value), comparing.index_line(index), round(index.value or 0, 2),
        marks[0] if marks else "plain", [str(MARKS[mark]) for mark in marks], pieces,
    )  # fmt: skip
    change, p = seen.change, journey.corrected.get(seen.place.slug)
    if change is None or change.value is None or p is None or p >= SURE:
        return drawn
    better = change.value > 0
    return replace(
        drawn,
        move=f"{'↑' if better else '↓'} {comparing.points_text(change.value)}",
        move_tone="good" if better else "bad",
        move_word=_("better") if better else _("worse"),
    )


# --- What it says -----------------------------------------------------------------------------------------------------


def headline(journey: Journey) -> list[IndexFigure]:
    """The peak–end value and the plain mean; where there is no peak the mean alone."""
    told = journey.shape
    drawn = []
    if told.peak_end is not None:
        about = _("(peak + end) ÷ 2")
        drawn.append(_index_figure(_("Peak–end value"), told.peak_end, about=about))
    if told.mean is not None:
        about = _("%(count)d touchpoints, each counts as one") % {"count": len(told.measured)}
        drawn.append(_index_figure(_("Plain mean of the indices"), told.mean, about=about))
    return drawn


def moments(journey: Journey) -> list[IndexFigure]:
    """Peak, valley and end, each with whose it is; ties name all."""
    told = journey.shape
    wanted = [(PEAK, told.peak), (VALLEY, told.valley), (END, [told.end] if told.end else [])]
    drawn = []
    for mark, keys in wanted:
        if keys:
            seen = [journey.by_key(key) for key in keys]
            of = [(one.place.name, one.url) for one in seen]
            about = _("a tie of %(count)d") % {"count": len(keys)} if len(keys) > 1 else ""
            drawn.append(_index_figure(str(MARKS[mark]), seen[0].index, of, about))
    return drawn


def _index_figure(title: str, held: Estimate, of: Sequence[tuple[str, str]] = (), about: str = "") -> IndexFigure:
    text = DASH if held.value is None else comparing.index_text(held.value)
    return IndexFigure(title, "value", text, figures.marked_count(held.n), comparing.index_line(held), of, about)


def sentences(journey: Journey) -> list[str]:
    """Whether peak and valley differ beyond noise, what makes them hard to compare, what the end stands for, what moved."""
    told = journey.shape
    said = []
    if told.is_flat:
        said.append(_("All measured touchpoints have the same index: there is no peak and no valley."))
    elif len(told.measured) == 1:
        said.append(_("One touchpoint alone is measured: there is no peak and no valley to tell apart."))
    if told.gap is not None:
        said.append(_gap_sentence(journey))
    elif told.peak:
        said.append(
            _("Whether peak and valley differ by more than chance cannot be tested: one of them has no interval.")
        )
    if told.peak and len({journey.by_key(key).column for key in (*told.peak, *told.valley)}) > 1:
        said.append(
            _("They are measured by different metrics, so the questions may explain part of the gap. Choose one metric below to be sure.")
        )  # fmt: skip
    if told.valley_is_extreme and told.valley_end is not None and told.valley_end.value is not None:
        said.append(
            _(
                "The valley is the more extreme moment here, farther from 50 than the peak: with it the value is %(value)s, "
                "(valley + end) ÷ 2."
            )
            % {"value": comparing.index_text(told.valley_end.value)}
        )
    if told.end and not told.end_is_last:
        last = journey.touchpoints[-1].place.name
        said.append(
            _("The journey ends at %(last)s, which is not measured: the end shown is the last touchpoint that is.")
            % {"last": last}
        )
    moved = _moved_sentence(journey)
    return [*said, moved] if moved else said


def _gap_sentence(journey: Journey) -> str:
    gap = journey.shape.gap
    assert gap is not None
    told = {
        "points": comparing.index_text(gap.change.value or 0),
        "low": comparing.points_text(gap.change.low or 0),
        "high": comparing.points_text(gap.change.high or 0),
    }
    if gap.p_all is None:
        return (
            _("Peak and valley are %(points)s points apart; whether that is more than chance cannot be tested.") % told
        )
    told["p"] = comparing.corrected_text(gap.p_all, journey.shape.pairs)
    told["meaning"] = comparing.meaning(gap.p_all)
    return (
        _("Peak and valley differ by %(points)s points, %(meaning)s (95%% interval %(low)s to %(high)s; %(p)s).") % told
    )


def _moved_sentence(journey: Journey) -> str:
    """ "" where there is nothing to compare with."""
    if not journey.corrected:
        return ""
    moved = [one for one in journey.touchpoints if journey.corrected.get(one.place.slug, 1.0) < SURE]
    if not moved:
        return _("Against the days before: no significant change at any touchpoint.")
    names = [
        _("%(name)s %(points)s") % {"name": one.place.name, "points": comparing.points_text((one.change or NOTHING).value or 0)}
        for one in moved
    ]  # fmt: skip
    return _("Against the days before, these moved significantly: %(names)s.") % {"names": _(", ").join(names)}


# --- Tables -----------------------------------------------------------------------------------------------------------


def stops_table(journey: Journey) -> Table:
    """Every touchpoint in order: the drawing's own numbers."""
    columns = [
        Column(_("Touchpoint"), "text"),
        Column(_("Stage"), "text"),
        Column(_("Measured by"), "text"),
        Column(_("Value")),
        Column(_("Index, 0 to 100"), "rate", counted=True),
        Column(_("Mark"), "text"),
        Column(_("Change of the index")),
        Column(_("p (Holm)")),
        Column(_("TTR, median"), "text"),
    ]
    rows = []
    for stage in journey.stages:
        for seen in stage.touchpoints:
            slug = seen.place.slug
            shown = slug in journey.shape.measured
            p = journey.corrected.get(slug)
            value = figures.value_text(seen.column[0], seen.now.value) if shown and seen.column else DASH
            change = comparing.points_cell(seen.change if p is not None else None)
            rows.append(Row([
                Cell(seen.place.name, note="" if seen.place.active else _("switched off"), query=seen.url),
                Cell(stage.name or _("(none)")),
                Cell(figures.title(seen.column) if seen.column else DASH),
                Cell(value, seen.now.value if shown else None, state="value" if shown else "nothing"),
                comparing.index_cell(seen.index),
                _marks_cell(journey.marks(slug)),
                change,
                comparing.p_cell(p),
                _ttr_cell(seen.ttr),
            ]))  # fmt: skip
    about = _(
        "In the journey’s order. The index puts every metric on 0 to 100: NPS (value + 100) ÷ 2, CSAT its share as it is, CES "
        "(mean − 1) ÷ 6 × 100. A duration has no index: TTR stands beside. p is corrected for all touchpoints that were compared."
    )  # fmt: skip
    return Table("touchpoints", _("Touchpoint by touchpoint"), columns, rows, about)


def _marks_cell(marks: Sequence[str]) -> Cell:
    return Cell(_(", ").join(str(MARKS[mark]) for mark in marks), state="value" if marks else "nothing")


def _ttr_cell(ttr: Figure | None) -> Cell:
    """A text: durations in a file would stand there without a unit."""
    if ttr is None or ttr.state == "nothing":
        return Cell(DASH, state="nothing")
    return Cell(" · ".join(filter(None, [ttr.text, ttr.n_text])))


def values_table(journey: Journey) -> Table:
    """What the line comes to, with the interval and n of each."""
    told = journey.shape
    columns = [
        Column(_("Of the journey"), "text"),
        Column(_("Index, 0 to 100"), "rate", counted=True),
        Column(_("Made of"), "text"),
    ]

    def named(keys: Sequence[str]) -> str:
        return _(", ").join(journey.by_key(key).place.name for key in keys)

    def index(keys: Sequence[str]) -> Estimate | None:
        return journey.by_key(keys[0]).index if keys else None

    ends = [told.end] if told.end else []
    lines: list[tuple[str, Estimate | None, str]] = [
        (_("Peak, the highest"), index(told.peak), named(told.peak)),
        (_("Valley, the lowest"), index(told.valley), named(told.valley)),
        (_("End, the last measured"), index(ends), named(ends)),
        (_("Peak–end value"), told.peak_end, _("(peak + end) ÷ 2")),
        (_("Valley–end value"), told.valley_end, _("(valley + end) ÷ 2")),
        (_("Plain mean of the indices"), told.mean, named(told.measured)),
    ]
    rows = [Row([Cell(name), comparing.index_cell(held), Cell(of)]) for name, held, of in lines]
    about = _(
        "People remember an experience by its most intense moment and its end more than by its length (Kahneman and others, 1993; "
        "Fredrickson and Kahneman, 1993). There the peak is the most intense moment of one kind, good or bad; a journey has both, so "
        "here the peak is the best, the valley the worst, and each is averaged with the end. Of long and mixed experiences the plain "
        "mean predicts memories as well or better (Strijbosch and others, 2019): read the two together."
    )  # fmt: skip
    notes = [
        _("The mean is one of indices: each touchpoint counts as one, however many answered. No NPS is averaged."),
        _("The highest of several is partly luck: with few answers a peak comes out too high and a valley too low."),
    ]
    return Table("values", _("Peak, valley and end"), columns, rows, about, notes)


def coverage_table(journey: Journey) -> Table:
    """Touchpoints without enough answers, and stages without touchpoints; no rows where all is measured."""
    columns = [
        Column(_("Touchpoint"), "text"),
        Column(_("What is missing"), "text"),
        Column(_("What to do"), "text"),
    ]
    rows = []
    for stage in journey.stages:
        if not stage.touchpoints:
            todo = _("Add a touchpoint, or leave the stage unmeasured on purpose.")
            rows.append(
                Row([Cell(stage.name, note=_("a whole stage")), Cell(_("The stage has no touchpoint.")), Cell(todo)])
            )
        for seen in stage.touchpoints:
            if seen.missing:
                name = Cell(seen.place.name, query=seen.url, note=stage.name)
                rows.append(Row([name, Cell(seen.missing.why), Cell(seen.missing.todo)]))
    return Table("coverage", _("What is not measured"), columns, rows, cards=True)


def coverage_sentence(journey: Journey) -> str:
    told = {"measured": len(journey.shape.measured), "all": len(journey.touchpoints)}
    return _("%(measured)d of %(all)d touchpoints are measured.") % told


def journeys_table(journeys: Sequence[tuple[Journey, str]]) -> Table:
    """One row per journey, each with its address."""
    columns = [
        Column(_("Journey"), "text"),
        Column(_("Measured")),
        Column(str(MARKS[VALLEY]), "text"),
        Column(str(MARKS[PEAK]), "text"),
        Column(str(MARKS[END]), "text"),
        Column(_("Peak–end value"), "rate", counted=True),
        Column(_("Plain mean of the indices"), "rate", counted=True),
    ]
    rows = []
    for journey, url in journeys:
        told = journey.shape
        of = _("%(measured)d of %(all)d")
        counted = {"measured": len(told.measured), "all": len(journey.touchpoints)}
        rows.append(Row([
            Cell(journey.name, query=url),
            Cell(of % counted, len(told.measured)),
            *(_moment_cell(journey, keys) for keys in (told.valley, told.peak, [told.end] if told.end else [])),
            comparing.index_cell(told.peak_end),
            comparing.index_cell(told.mean),
        ]))  # fmt: skip
    about = _("Of the touchpoints with enough answers, each by its index from 0 to 100. A journey’s own page says how.")
    return Table("journeys", _("Journeys beside each other"), columns, rows, about)


def _moment_cell(journey: Journey, keys: Sequence[str]) -> Cell:
    if not keys:
        return Cell(DASH)
    seen = [journey.by_key(key) for key in keys]
    value = comparing.index_text(seen[0].index.value or 0)
    told = {
        "name": _(", ").join(one.place.name for one in seen),
        "value": value,
        "n": count_text(seen[0].index.n).replace(" ", "\N{NO-BREAK SPACE}"),
    }
    return Cell(_("%(name)s, %(value)s (%(n)s)") % told)


# --- What is missing --------------------------------------------------------------------------------------------------


def no_instrument() -> Missing:
    return Missing(_("It has no instrument, so it asks nothing."), _("Choose an instrument in its settings."))


def nobody_asked() -> Missing:
    return Missing(
        _("Nobody is asked: its form is not open, and no active rule invites to it."),
        _("Open its form, or add an invitation rule."),
    )


def nobody_answered() -> Missing:
    return Missing(
        _("Nobody answered within these days and filters."), _("Choose a longer period, or ask more customers.")
    )


def another_metric() -> Missing:
    return Missing(_("It is not measured by this metric."), _("Choose “each by its own” above."))


def too_few_answers(n: int) -> Missing:
    return Missing(too_few(n), _("Choose a longer period, or ask more customers."))
