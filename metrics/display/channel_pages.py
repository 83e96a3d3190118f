"""How channels and modes look beside each other. In: what was measured of each. Out: lines to draw, sentences and tables.

Channels and modes are two dimensions, told apart and never mixed. Here a value is rounded, for the first and only time. No query, no
formula.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from metrics.display import comparing, figures
from metrics.display.comparing import Told
from metrics.display.figures import DASH, Figure, count_text
from metrics.display.tables import Cell, Column, Row, Table
from metrics.formulas import Estimate
from metrics.queries import Measured
from metrics.significance import LOWER_IS_BETTER, SURE, holm


@dataclass(frozen=True)
class Side:
    """A channel, a mode or a touchpoint and its counts; `before` is None where there are no days to compare with."""

    key: str
    name: str
    column: figures.Column
    distribution: Mapping[int, int]
    before: Mapping[int, int] | None = None
    targets: Mapping[str, float] = field(default_factory=dict)
    url: str = ""
    parts: Sequence["Side"] = ()

    @property
    def held(self) -> Estimate:
        return figures.estimate(self.column, self.distribution)

    @property
    def n(self) -> int:
        return sum(self.distribution.values())


def pooled(parts: Sequence[Measured | None]) -> dict[int, int]:
    """Counts of slices that share no answer, added; values never are."""
    total: dict[int, int] = {}
    for part in parts:
        for place, count in (part.distribution if part else {}).items():
            total[place] = total.get(place, 0) + count
    return total


@dataclass(frozen=True)
class Pair:
    """`one` less `other`, `one` being the better of the two. `p_all` is corrected (Holm) for all pairs of the page."""

    one: Side
    other: Side
    told: Told
    p_all: float | None


@dataclass(frozen=True)
class Standing:
    """The sides in their order, those with enough answers from best to worst, and each two of these held against each other."""

    column: figures.Column
    sides: Sequence[Side]
    ranked: Sequence[Side] = ()
    pairs: Sequence[Pair] = ()
    moves: Mapping[str, tuple[Told, float | None]] = field(default_factory=dict)

    @property
    def longest(self) -> float:
        """The right end of a duration's line, in seconds."""
        return max((side.held.high or side.held.value or 0 for side in self.ranked), default=0)

    @property
    def gap(self) -> Pair | None:
        """Between the best and the worst, whichever of their equals come first."""
        if len(self.ranked) < 2:
            return None
        ends = (self.ranked[0].key, self.ranked[-1].key)
        return next((pair for pair in self.pairs if (pair.one.key, pair.other.key) == ends), None)

    def figure(self, side: Side) -> Figure:
        return figures.figure(self.column, side.held, None, side.targets, self.longest)


def stand(column: figures.Column, sides: Sequence[Side]) -> Standing:
    enough = [side for side in sides if figures.is_enough(side.n) and side.held.value is not None]
    sign = 1 if column[0] in LOWER_IS_BETTER else -1
    ranked = sorted(enough, key=lambda side: sign * (side.held.value or 0.0))
    told = [
        (one, other, found)
        for one, other in combinations(ranked, 2)
        if (found := comparing.tell_apart(column, one.distribution, other.distribution)) is not None
    ]
    corrected = iter(holm([found.p for _one, _other, found in told if found.p is not None]))
    pairs = [Pair(one, other, found, None if found.p is None else next(corrected)) for one, other, found in told]
    changes = [
        (side.key, found)
        for side in sides
        if side.before is not None
        and (found := comparing.tell_apart(column, side.distribution, side.before)) is not None
    ]
    adjusted = iter(holm([found.p for _key, found in changes if found.p is not None]))
    moves = {key: (found, None if found.p is None else next(adjusted)) for key, found in changes}
    return Standing(column, sides, ranked, pairs, moves)


# --- The drawing ------------------------------------------------------------------------------------------------------


def axis(standing: Standing) -> list[str]:
    """Both ends and the middle of the lines, as a reader says them."""
    metric = standing.column[0]
    low, high = figures.RANGES.get(metric, (0.0, standing.longest))
    return [figures.value_text(metric, place) for place in (low, (low + high) / 2, high)]


def drawing(standing: Standing) -> list[dict[str, Any]]:
    """One line per side, the best first, then those that hold too little."""
    rest = [side for side in standing.sides if side not in standing.ranked]
    return [{"name": side.name, "url": side.url, "figure": standing.figure(side)} for side in (*standing.ranked, *rest)]


# --- What it says -----------------------------------------------------------------------------------------------------


def gap_figure(standing: Standing) -> dict[str, str]:
    """The gap between best and worst, as a size: of times the slower less the faster. {} where there are not two."""
    pair = standing.gap
    if pair is None:
        return {}
    metric, change = standing.column[0], pair.told.change
    if metric in LOWER_IS_BETTER:
        low, high = (None if end is None else -end for end in (change.high, change.low))
        change = Estimate(-(change.value or 0.0), low, high, change.n)
    text = figures.change_text(metric, change.value or 0.0)
    interval = ""
    if change.low is not None and change.high is not None:
        interval = comparing.interval_text(
            figures.change_text(metric, change.low), figures.change_text(metric, change.high)
        )
    p = "" if pair.p_all is None else comparing.p_text(pair.p_all)
    return {"text": text, "interval": interval, "n": count_text(change.n), "p": p}


def sentences(standing: Standing) -> list[str]:
    if not standing.ranked:
        return [_("No channel has enough answers within these days and filters.")]
    best, worst = standing.ranked[0], standing.ranked[-1]
    if best is worst:
        return [_("Only %(name)s has enough answers: there is nothing to compare.") % {"name": best.name}]
    metric = standing.column[0]
    told = {
        "best": best.name,
        "high": figures.value_text(metric, best.held.value),
        "worst": worst.name,
        "low": figures.value_text(metric, worst.held.value),
    }
    said = [_("Best is %(best)s with %(high)s, worst %(worst)s with %(low)s.") % told]
    pair = standing.gap
    if pair is None or pair.p_all is None:
        said.append(_("Whether they differ beyond noise cannot be tested."))
    else:
        shown = {"p": comparing.corrected_text(pair.p_all, len(standing.pairs))}
        if pair.p_all < SURE:
            said.append(_("The gap is more than noise (%(p)s).") % shown)
        else:
            said.append(_("The gap is no significant difference (%(p)s).") % shown)
    missed = [side for side in standing.ranked if (verdict := standing.figure(side).verdict) and not verdict.met]
    if missed:
        said.append(_("Below target: %(names)s.") % {"names": _(", ").join(side.name for side in missed)})
    return said


# --- Tables -----------------------------------------------------------------------------------------------------------


def channels_table(standing: Standing) -> Table:
    columns = [
        Column(_("Channel"), "text"),
        Column(figures.title(standing.column), "rate", counted=True),
        Column(_("Touchpoints")),
        Column(pgettext("how far a score moved", "Change")),
        Column(_("p (Holm)")),
        Column(_("Target"), "text"),
    ]
    rows = []
    for side in standing.sides:
        told, p = standing.moves.get(side.key, (None, None))
        rows.append(Row([
            Cell(side.name, query=side.url),
            comparing.figure_cell(standing.figure(side), side.held),
            _count(sum(1 for part in side.parts if part.n)),
            comparing.change_cell(standing.column[0], told.change if told else None),
            comparing.p_cell(p),
            _target_cell(standing, side),
        ]))  # fmt: skip
    about = _(
        "A channel pools the answers of its touchpoints: one with many answers weighs more, so a gap between channels can be one "
        "between touchpoints. They stand below."
    )  # fmt: skip
    return Table("channels", _("By channel"), columns, rows, about)


def _count(value: int) -> Cell:
    return Cell(str(value), value) if value else Cell(DASH, state="nothing")


def _target_cell(standing: Standing, side: Side) -> Cell:
    verdict = standing.figure(side).verdict
    if verdict is not None:
        return Cell(verdict.text, tone="good" if verdict.met else "bad")
    target = figures.target_of(standing.column[0], side.targets)
    return (
        Cell(DASH, state="nothing")
        if target is None
        else Cell(figures.value_text(standing.column[0], target), tone="quiet")
    )


def pairs_table(standing: Standing) -> Table:
    """Each two of those with enough answers, the better one first."""
    columns = [
        Column(_("Pair"), "text"),
        Column(_("Difference")),
        Column(_("p alone")),
        Column(_("p (Holm)")),
        Column(_("Which means"), "text"),
    ]
    rows = [
        Row([
            Cell(_("%(one)s – %(other)s") % {"one": pair.one.name, "other": pair.other.name}),
            comparing.change_cell(standing.column[0], pair.told.change),
            comparing.p_cell(pair.told.p),
            comparing.p_cell(pair.p_all),
            Cell(comparing.meaning(pair.p_all), tone="" if pair.p_all is not None and pair.p_all < SURE else "quiet"),
        ])
        for pair in standing.pairs
    ]  # fmt: skip
    about = _(
        "Each two channels with enough answers, with the 95% interval of their difference. p (Holm) is corrected for all of these "
        "pairs, since whoever looks at the widest has looked at all."
    )
    return Table("pairs", _("Channel against channel"), columns, rows, about, cards=True)


def mix_table(standing: Standing) -> Table:
    """The touchpoints that each channel pools, with the part of its answers that each gives."""
    columns = [
        Column(_("Channel and touchpoint"), "text"),
        Column(figures.title(standing.column), "rate", counted=True),
        Column(_("Of the channel’s answers") if standing.column[1] else _("Of the channel’s tickets")),
    ]
    rows = []
    for side in standing.sides:
        if not side.n:
            continue
        whole = comparing.figure_cell(standing.figure(side), side.held)
        rows.append(Row([Cell(side.name), whole, comparing.share_cell(side.n, side.n)], "group"))
        for part in sorted(side.parts, key=lambda part: -part.n):
            if part.n:
                cell = comparing.figure_cell(standing.figure(part), part.held)
                rows.append(Row([Cell(part.name, query=part.url), cell, comparing.share_cell(part.n, side.n)], "part"))
    return Table("mix", _("What each channel is made of"), columns, rows, cards=True)


def modes_table(standing: Standing) -> Table:
    columns = [
        Column(_("Collected by"), "text"),
        Column(figures.title(standing.column), "rate", counted=True),
        Column(_("Of all answers")),
    ]
    whole = sum(side.n for side in standing.sides)
    rows = [
        Row([
            Cell(side.name, query=side.url),
            comparing.figure_cell(standing.figure(side), side.held),
            comparing.share_cell(side.n, whole),
        ])
        for side in standing.sides
    ]  # fmt: skip
    about = _(
        "How an answer was collected is no channel. People answer differently by mode: spoken answers are more agreeable and choose "
        "the ends of a scale more often, and not the same people answer by each (Dillman and Christian, 2005; Jäckle, Roberts and "
        "Lynn, 2010). So a gap between modes is no proof of a gap in the experience, and modes are not ranked."
    )  # fmt: skip
    return Table("modes", _("By how it was collected"), columns, rows, about, cards=True)


def cross_table(
    channels: Standing, cells: Mapping[tuple[str, str], Mapping[int, int]], modes: Sequence[tuple[str, str]]
) -> Table:
    """Channel × mode, with n in each cell: `cells` are counts by (channel, mode)."""
    columns = [Column(_("Channel"), "text"), *(Column(name, "rate", counted=True) for _key, name in modes)]
    rows = []
    for side in channels.sides:
        if not side.n:
            continue
        held = [Side(mode, name, channels.column, cells.get((side.key, mode), {})) for mode, name in modes]
        rows.append(Row([Cell(side.name), *(comparing.figure_cell(channels.figure(one), one.held) for one in held)]))
    about = _("Within one mode, channels can be compared without the modes’ own effect.")
    return Table("channel-by-mode", _("Channel by mode"), columns, rows, about, cards=True)
