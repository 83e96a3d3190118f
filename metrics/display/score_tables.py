"""Scores as tables. In: what a page measured. Out: Tables that the page prints and files hold: one and the same.

Values are whole in files and rounded for readers: NPS in points, CSAT in percent, CES from 1 to 7, TTR in seconds. No query, no formula.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from metrics.display import figures, trends
from metrics.display.figures import DASH, Column, band_title
from metrics.display.grid import Place
from metrics.display.tables import Cell, Line, Row, Table
from metrics.display.tables import Column as Head
from metrics.formulas import Estimate
from metrics.queries import MatrixRow, Measured
from metrics.significance import LOWER_IS_BETTER, SURE, Comparison, holm
from metrics.slices import Interval
from metrics.strata import Weighted
from surveys.scales import scale_for
from surveys.words import rounded

MAX_GROUPS = 50


def units() -> str:
    return _("NPS in points, CSAT in percent, CES from 1 to 7, TTR as the median in seconds.")


def score_cell(column: Column, now: Estimate, longest: float = 0) -> Cell:
    """A value with its interval. `longest`: the right end of a duration's line, so that neighbours share one scale."""
    figure = figures.figure(column, now, None, {}, longest)
    if figure.state != "value":
        return Cell(figure.text, state=figure.state)
    whisker = figure.whisker
    line = Line(whisker.low, whisker.high, whisker.value, whisker.text) if whisker else None
    ends = (now.low, now.high) if now.low is not None and now.high is not None else None
    return Cell(figure.text, now.value, ends, line)


def count_cell(n: int) -> Cell:
    return Cell(f"{n:,}", n)


def _number(column: Column, value: float | None, text: str = "") -> Cell:
    return Cell(DASH, state="nothing") if value is None else Cell(text or figures.value_text(column[0], value), value)


# --- The overview -----------------------------------------------------------------------------------------------------


def matrix_table(
    rows: Sequence[MatrixRow], places: Sequence[Place], changes: Mapping[tuple[str, Column], str]
) -> Table:
    """A line per touchpoint × metric that holds anything now. `changes` says of each change that was tested what it is."""
    heads = [
        Head(_("Journey"), "text"),
        Head(_("Touchpoint"), "text"),
        Head(_("Channel"), "text"),
        Head(_("Metric"), "text"),
        Head(_("Value"), "rate"),
        Head("n"),
        Head(_("Before")),
        Head(_("n before")),
        Head(pgettext("how far a score moved", "Change")),
        Head(_("More than noise?"), "text"),
        Head(_("Target")),
    ]
    held = {(row.touchpoint, (row.metric, row.points)): row for row in rows if row.now.n}
    lines = []
    for place in places:
        for column in figures.COLUMNS:
            row = held.get((place.slug, column))
            if row is None:
                continue
            now, before = figures.of(row.now), figures.of(row.before)
            is_told = figures.is_enough(min(now.n, before.n)) and now.value is not None and before.value is not None
            change = (now.value or 0) - (before.value or 0) if is_told else None
            cells = [
                Cell(place.journey), Cell(place.name), Cell(place.channel), Cell(figures.title(column)),
                score_cell(column, now), count_cell(now.n),
                score_cell(column, before), count_cell(before.n),
                _number(column, change, figures.change_text(column[0], change) if change is not None else ""),
                Cell(changes.get((place.slug, column), "")),
                _number(column, figures.target_of(column[0], place.targets)),
            ]  # fmt: skip
            lines.append(Row(cells))
    return Table("matrix", _("By touchpoint"), heads, lines, units())


def trends_table(
    parts: Sequence[tuple[Column, Sequence[tuple[date, Measured]]]], interval: Mapping[Column, Interval]
) -> Table:
    """Every metric's periods, one metric below the other."""
    heads = [Head(_("Metric"), "text"), Head(_("From"), "text"), Head(_("Value"), "rate"), Head("n")]
    rows = []
    for column, series in parts:
        estimates = [figures.of(measured) for _start, measured in series]
        longest = longest_of(estimates)
        for (start, _measured), now in zip(series, estimates, strict=True):
            label = trends.period_label(start, interval[column])
            rows.append(
                Row([Cell(figures.title(column)), Cell(label), score_cell(column, now, longest), count_cell(now.n)])
            )
    return Table("trends", _("Over time"), heads, rows, units())


def weights_table(head: str, parts: Sequence[tuple[Column, Weighted]], names: Mapping[str, str]) -> Table:
    """What each weighted score is made of: the weights that were given, the share that each has in it, its own value and n."""
    left_out = {"": "", "too_few": _("too few answers"), "no_weight": _("no weight given")}
    heads = [
        Head(_("Metric"), "text"), Head(head, "text"), Head(_("Weight")), Head(_("Share of the score")), Head(_("Value")),
        Head("n"), Head(_("Left out"), "text"),
    ]  # fmt: skip
    rows = []
    for column, weighted in parts:
        for one in weighted.strata:
            told = one.value if figures.is_enough(one.n) else None
            rows.append(
                Row([
                    Cell(figures.title(column)), Cell(names.get(one.key, one.key)), Cell(f"{one.weight:g}", one.weight),
                    Cell(f"{rounded(100 * one.share)}%", 100 * one.share), _number(column, told), count_cell(one.n),
                    Cell(left_out[one.left_out]),
                ])
            )  # fmt: skip
    return Table("weights", _("Weights used"), heads, rows, units())


def longest_of(estimates: Sequence[Estimate]) -> float:
    return max((now.high or now.value or 0 for now in estimates if figures.is_enough(now.n)), default=0)


# --- A touchpoint -----------------------------------------------------------------------------------------------------


def figures_table(
    pairs: Sequence[tuple[Column, Estimate, Estimate]], targets: Mapping[str, float], changes: Mapping[Column, str]
) -> Table:
    """Each metric with what it was before and its target."""
    heads = [
        Head(_("Metric"), "text"), Head(_("Value"), "rate"), Head("n"), Head(_("Before")), Head(_("n before")),
        Head(_("More than noise?"), "text"), Head(_("Target")),
    ]  # fmt: skip
    rows = [
        Row([
            Cell(figures.title(column)), score_cell(column, now), count_cell(now.n), score_cell(column, before),
            count_cell(before.n), Cell(changes.get(column, "")), _number(column, figures.target_of(column[0], targets)),
        ])
        for column, now, before in pairs
    ]  # fmt: skip
    return Table("figures", _("Figures"), heads, rows, units())


def series_table(column: Column, series: Sequence[tuple[date, Measured]], interval: Interval) -> Table:
    estimates = [figures.of(measured) for _start, measured in series]
    longest = longest_of(estimates)
    heads = [Head(_("From"), "text"), Head(figures.title(column), "rate"), Head("n")]
    rows = [
        Row([Cell(trends.period_label(start, interval)), score_cell(column, now, longest), count_cell(now.n)])
        for (start, _measured), now in zip(series, estimates, strict=True)
    ]
    return Table("trend", _("Over time"), heads, rows, units())


def distribution_table(measured: Measured) -> Table:
    """A line per score with its band, its share and how many."""
    scale = scale_for(measured.metric, measured.points)
    heads = [Head(_("Score"), "text"), Head(_("Band"), "text"), Head("%"), Head("n")]
    rows = [
        Row([
            Cell(str(score)), Cell(band_title(scale.band(score))),
            _share(count, measured.n), count_cell(count),
        ])
        for score, count in sorted(measured.distribution.items())
    ]  # fmt: skip
    return Table("distribution", _("How the answers spread"), heads, rows)


def bands_table(series: Sequence[tuple[date, Measured]], interval: Interval) -> Table:
    """Each period's share of each band, best first."""
    bands = list(series[0][1].breakdown) if series else []
    heads = [Head(_("From"), "text"), *(Head(f"{band_title(band)} %") for band in bands), Head("n")]
    rows = []
    for start, measured in series:
        cells = [
            _share(measured.breakdown[band], measured.n)
            if figures.is_enough(measured.n)
            else Cell(DASH, state="nothing")
            for band in bands
        ]
        few = _("too few") if measured.n and not figures.is_enough(measured.n) else ""
        rows.append(
            Row([Cell(trends.period_label(start, interval)), *cells, Cell(f"{measured.n:,}", measured.n, note=few)])
        )
    return Table("bands", _("Bands over time"), heads, rows)


def _share(count: int, n: int) -> Cell:
    share = 100 * count / n if n else None
    return Cell(DASH, state="nothing") if share is None else Cell(f"{rounded(share)}%", share)


@dataclass(frozen=True)
class Part:
    """One group: its name, what narrows the page to it ("" for nothing), what was measured."""

    name: str
    query: str
    measured: Measured


def parts_table(key: str, title: str, head: str, parts: Sequence[Part], note: str = "") -> Table:
    """Each group beside all others together, most answers first; whether it differs is judged for all rows together (Holm).

    A group is held against the rest and not against the whole, which holds the group itself.
    """
    ordered = sorted(parts, key=lambda part: (-part.measured.n, part.name))
    column = (ordered[0].measured.metric, ordered[0].measured.points)
    found = [_against_rest(place, ordered) for place in range(len(ordered))]
    told = [place for place, one in enumerate(found) if one.p is not None]
    ps = [found[place].p or 0.0 for place in told]
    # Two groups are each other's rest: that is one question, asked twice.
    sure = {place: p < SURE for place, p in zip(told, ps if len(ordered) == 2 else holm(ps), strict=True)}
    shown = ordered[:MAX_GROUPS]
    longest = longest_of([figures.of(part.measured) for part in shown])
    heads = [
        Head(head, "text"),
        Head(figures.title(column), "rate"),
        Head("n"),
        Head(_("Against the rest")),
        Head(_("Does it differ?"), "text"),
    ]
    rows = [
        Row([
            Cell(part.name, query=part.query),
            score_cell(column, figures.of(part.measured), longest),
            count_cell(part.measured.n),
            _difference(column, found[place]),
            _word(column, found[place], sure.get(place)),
        ])
        for place, part in enumerate(shown)
    ]  # fmt: skip
    notes = [note] if note else []
    if len(ordered) > len(shown):
        notes.append(
            _("Shown are the %(shown)d largest of %(all)d groups.") % {"shown": len(shown), "all": len(ordered)}
        )
    return Table(key, title, heads, rows, notes=notes)


def _against_rest(place: int, parts: Sequence[Part]) -> Comparison:
    own = parts[place].measured
    rest: dict[int, int] = {}
    for other, part in enumerate(parts):
        if other != place:
            for score, count in part.measured.distribution.items():
                rest[score] = rest.get(score, 0) + count
    column = (own.metric, own.points)
    return figures.compared(column, figures.of(own), figures.estimate(column, rest))


def _difference(column: Column, found: Comparison) -> Cell:
    if found.difference is None or found.verdict == "too_few":
        return Cell(DASH, state="nothing")
    return Cell(figures.change_text(column[0], found.difference), found.difference)


def _word(column: Column, found: Comparison, sure: bool | None) -> Cell:
    if sure is None:
        return Cell(_("too few to tell"), state="few")
    if not sure:
        return Cell(_("no significant difference"), tone="quiet")
    better = ((found.difference or 0) < 0) == (column[0] in LOWER_IS_BETTER)
    return Cell(_("better than the rest"), tone="good") if better else Cell(_("worse than the rest"), tone="bad")


def change_word(metric: str, told: Comparison) -> str:
    """Of a change that was tested: better, worse, or neither."""
    if not told.significant:
        return _("no significant change")
    return _("better") if (told.verdict == "lower") == (metric in LOWER_IS_BETTER) else _("worse")
