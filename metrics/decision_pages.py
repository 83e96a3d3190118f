"""How a decision's effect is told. In: Judged decisions. Out: words, figures and tables. Nothing is computed, nothing is queried.

No word here says that a decision did anything: answers after it differ from those before it, or they do not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext

from metrics import formulas
from metrics.decisions import Decisions, Finding, Judged, When
from metrics.display import figures
from metrics.display.figures import DASH, Column, Figure
from metrics.display.tables import Cell, Line, Row, Table
from metrics.display.tables import Column as Head
from metrics.effects import TOLD, Days, Verdict, difference_of_changes, quarter_of
from metrics.formulas import NOTHING, Estimate
from metrics.frame import Decided, Frame
from metrics.significance import Comparison, Counts

# How a verdict is drawn, beside its word.
TONES: Mapping[Verdict, str] = {"as_expected": "good", "more": "good", "against": "bad", "less": "some"}
_WORDS: Mapping[Verdict, Any] = {
    "as_expected": gettext_lazy("As expected"),
    "more": gettext_lazy("More than expected"),
    "less": gettext_lazy("Less than expected"),
    "against": gettext_lazy("Moved the other way"),
    "no_change": gettext_lazy("No effect seen"),
    "too_few": gettext_lazy("Too few answers"),
    "untestable": gettext_lazy("Cannot be tested"),
}


def verdict_word(judged: Judged, finding: Finding) -> str:
    if judged.decision.withdrawn:
        return _("Withdrawn")
    if finding.effect.verdict == "too_early":
        return early_text(judged)
    return str(_WORDS[finding.effect.verdict])


def early_text(judged: Judged) -> str:
    told = {"done": judged.done, "days": judged.decision.window_days}
    return _("Too early: %(done)d of %(days)d days") % told


def tone_of(judged: Judged, finding: Finding) -> str:
    return "quiet" if judged.decision.withdrawn else TONES.get(finding.effect.verdict, "quiet")


def expected_text(finding: Finding) -> str:
    """“rises by 5”, “falls”."""
    direction = finding.expectation.get_direction_display()
    if finding.effect.expected is None:
        return str(direction)
    amount = figures.change_text(finding.column[0], abs(finding.effect.expected)).lstrip("+")
    return _("%(direction)s by %(amount)s") % {"direction": direction, "amount": amount}


def p_text(p: float | None) -> str:
    if p is None:
        return DASH
    return _("below 0.001") if p < 0.001 else f"{p:.3f}"


def listed(texts: Sequence[str]) -> str:
    return pgettext("between the items of a list", ", ").join(texts)


def days_text(days: Days) -> str:
    return _("%(first)s to %(last)s") % {"first": _day(days[0]), "last": _day(days[1])}


def _day(day: Any) -> str:
    return date_format(day, "DATE_FORMAT")


def person(user: Any) -> str:
    return (user.get_full_name() or user.get_username()) if user else ""


def places_text(row: Any, frame: Frame) -> str:
    return listed([one.label for one in frame.touchpoints.values() if one.pk in row.places]) or DASH


# --- Numbers ----------------------------------------------------------------------------------------------------------


def side_estimate(column: Column, counts: Counts) -> Estimate:
    """Of TTR the median with open tickets counted, as it is compared."""
    if column == ("ttr", 0):
        return formulas.kaplan_meier_median_estimate(counts.distribution, counts.waiting) if counts.n else NOTHING
    return figures.estimate(column, counts.distribution)


def side_figure(column: Column, counts: Counts, longest: float) -> Figure:
    found = side_estimate(column, counts)
    if found.value is None and counts.n:
        return Figure(column, "few", f"{_('not reached yet')} · {figures.count_text(counts.n)}", counts.n, "")
    return figures.figure(column, found, None, {}, longest)


def longest_of(finding: Finding) -> float:
    """The right end of the lines of both sides, so that they share one scale."""
    sides = [side_estimate(finding.column, counts) for counts in (finding.before, finding.after)]
    return max((side.high or side.value or 0 for side in sides), default=0)


def place_around(found: Estimate, expected: float | None) -> Callable[[float], float]:
    """Where a difference lies along a line of 0…100 with no difference in its middle, the interval and what was expected within it."""
    held = [abs(end) for end in (found.low, found.high, found.value, expected) if end is not None]
    reach = max(held, default=0.0) or 1.0
    return lambda value: round(50 + 48 * value / reach, 2)


def difference_cell(column: Column, found: Estimate, expected: float | None = None) -> Cell:
    if found.value is None:
        return Cell(DASH, state="nothing")
    text = figures.change_text(column[0], found.value)
    if found.low is None or found.high is None:
        return Cell(text, found.value, state="unknown")
    place = place_around(found, expected)
    ends = {"low": figures.change_text(column[0], found.low), "high": figures.change_text(column[0], found.high)}
    said = _("95%% interval: %(low)s to %(high)s") % ends
    line = Line(place(found.low), place(found.high), place(found.value), said, place(0))
    return Cell(text, found.value, (found.low, found.high), line)


def _estimate_of(found: Comparison | None) -> Estimate:
    if found is None:
        return NOTHING
    return Estimate(found.difference, found.low, found.high, found.n_now + found.n_before)


def side_cell(column: Column, counts: Counts, longest: float) -> Cell:
    drawn = side_figure(column, counts, longest)
    if drawn.state != "value":
        return Cell(drawn.text, state=drawn.state)
    found = side_estimate(column, counts)
    line = drawn.whisker
    if line is None or found.low is None or found.high is None:
        return Cell(drawn.text, found.value, state="unknown")
    return Cell(drawn.text, found.value, (found.low, found.high), Line(line.low, line.high, line.value, line.text))


def count_cell(counts: Counts) -> Cell:
    return Cell(f"{counts.n:,}", counts.n)


# --- One expected change ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """One expected change as its decision's page tells it."""

    title: str
    expected: str
    word: str
    tone: str
    before: Figure
    after: Figure
    difference: Cell
    interval: str
    p: str
    adjusted: str
    said: Sequence[str]
    expected_at: float | None  # where the expected change lies along the line of the difference


def show(judged: Judged, finding: Finding) -> Shown:
    column, effect = finding.column, finding.effect
    longest = longest_of(finding)
    found = _estimate_of(effect.comparison)
    cell = difference_cell(column, found, effect.expected)
    return Shown(
        figures.title(column),
        expected_text(finding),
        verdict_word(judged, finding),
        tone_of(judged, finding),
        side_figure(column, finding.before, longest),
        side_figure(column, finding.after, longest),
        cell,
        cell.line.text if cell.line else "",
        p_text(effect.comparison.p if effect.comparison else None),
        p_text(effect.p),
        sentences(judged, finding),
        place_around(found, effect.expected)(effect.expected) if cell.line and effect.expected is not None else None,
    )


def sentences(judged: Judged, finding: Finding) -> list[str]:
    """What can be said, and what cannot."""
    column, effect = finding.column, finding.effect
    if judged.decision.withdrawn:
        return [_("The decision was withdrawn: nothing is compared.")]
    if effect.verdict == "too_early":
        return [
            _("Nothing is tested before all days after it are over: who looks early and often finds what is not there.")
        ]
    found = effect.comparison
    if effect.verdict == "too_few" or found is None:
        told = {"before": finding.before.n, "after": finding.after.n}
        return [_("Answers before: %(before)d, after: %(after)d. That is too few to compare.") % told]
    if effect.verdict == "untestable" or found.difference is None:
        return [
            _("These answers have no interval: all alike, or too many tickets still open. So no difference is told.")
        ]
    names = {
        "metric": figures.title(column),
        "change": figures.change_text(column[0], found.difference),
        "expected": "" if effect.expected is None else figures.change_text(column[0], effect.expected),
    }
    if effect.verdict == "no_change":
        said = [_("%(metric)s: the difference of %(change)s cannot be told apart from no effect.") % names]
        if found.verdict != "not_significant":
            said.append(
                _("By itself it would be more than chance; among all that were compared this quarter it is not.")
            )
        if effect.allows_expected is False:
            said.append(
                _("The expected %(expected)s lies outside the interval: so large an effect is unlikely.") % names
            )
        elif effect.allows_expected:
            said.append(_("The expected %(expected)s lies inside the interval: it is not ruled out either.") % names)
        return said
    said = [_("%(metric)s: the difference of %(change)s is more than chance.") % names]
    if effect.verdict == "against":
        said.append(_("It moved against what was expected."))
    elif effect.verdict == "more":
        said.append(_("It is more than the expected %(expected)s, which lies outside the interval.") % names)
    elif effect.verdict == "less":
        said.append(_("It is less than the expected %(expected)s, which lies outside the interval.") % names)
    elif effect.expected is None:
        said.append(_("It moved the way that was expected; how far was not said."))
    else:
        said.append(_("The expected %(expected)s lies inside the interval.") % names)
    return said


# --- Tables -----------------------------------------------------------------------------------------------------------


def family_note(judged: Sequence[Judged]) -> str:
    """In what company a p was judged."""
    sizes = {quarter_of(one.decision.day): one.family for one in judged}
    parts = [
        _("%(quarter)s: %(count)d") % {"quarter": _quarter(*key), "count": count}
        for key, count in sorted(sizes.items())
    ]
    return _(
        "Decisions that took effect in one quarter are judged together: all their expected changes are one family, those not tested yet "
        "and withdrawn ones included, and each p is corrected for it (Holm). Expected changes by quarter: %(families)s."
    ) % {"families": listed(parts)}  # fmt: skip


def _quarter(year: int, quarter: int) -> str:
    return _("Q%(quarter)d %(year)d") % {"quarter": quarter, "year": year}


def ttr_note(judged: Sequence[Judged]) -> list[str]:
    if not any(finding.column == ("ttr", 0) for one in judged for finding in one.findings):
        return []
    return [_("TTR here is the median of the tickets opened in these days; those still open are counted as open.")]


def caution() -> str:
    return _(
        "A comparison in time tells whether answers differ, never why: whatever else happened in these days is in them, too."
    )


def heads(first: str) -> list[Head]:
    return [
        Head(first, "text"),
        Head(_("Before"), "rate"),
        Head(_("n before")),
        Head(_("After"), "rate"),
        Head(_("n after")),
        Head(_("Difference"), "rate"),
        Head(_("p, corrected")),
        Head(_("Verdict"), "text"),
    ]


def finding_row(judged: Judged, finding: Finding, level: str) -> Row:
    column, effect = finding.column, finding.effect
    longest = longest_of(finding)
    cells = (
        Cell(figures.title(column), note=expected_text(finding)),
        side_cell(column, finding.before, longest),
        count_cell(finding.before),
        side_cell(column, finding.after, longest),
        count_cell(finding.after),
        difference_cell(column, _estimate_of(effect.comparison), effect.expected),
        Cell(p_text(effect.p), effect.p, state="nothing" if effect.p is None else "value"),
        Cell(verdict_word(judged, finding), tone=tone_of(judged, finding)),
    )
    return Row(cells, level)


@dataclass(frozen=True)
class Card:
    """One decision of the list, with what became of each expected change."""

    title: str
    url: str
    about: str
    rivals: str
    shown: Sequence[Shown]


def card(judged: Judged, frame: Frame, url: str) -> Card:
    beside = listed([other.title for other in judged.rivals])
    return Card(
        judged.decision.title, url, about_text(judged, frame),
        _("At the same touchpoints in the same days: %(names)s") % {"names": beside} if beside else "",
        [show(judged, finding) for finding in judged.findings],
    )  # fmt: skip


def about_text(judged: Judged, frame: Frame) -> str:
    """When, where, whose."""
    about = [_day(judged.decision.day), places_text(judged.decision, frame), person(judged.decision.owner)]
    return " · ".join(text for text in about if text)


def decisions_table(judged: Sequence[Judged], frame: Frame) -> Table:
    """Each decision, and below it what was expected."""
    rows: list[Row] = []
    for one in judged:
        blank = [Cell("", state="nothing")] * 6
        beside = listed([other.title for other in one.rivals])
        about = " · ".join(
            text for text in (about_text(one, frame), beside and _("beside: %(names)s") % {"names": beside}) if text
        )
        rows.append(Row((Cell(one.decision.title, note=about), *blank, Cell("")), "group"))
        rows += [finding_row(one, finding, "part") for finding in one.findings]
    return Table(
        "decisions", _("Decisions and what became of them"), heads(pgettext("a change that was decided", "Decision")), rows,
        notes=[family_note(judged), *ttr_note(judged), caution()] if judged else (),
    )  # fmt: skip


MOST_NEAR = 30  # rows; the page of decisions has them all
_WHEN: Mapping[When, Any] = {
    "shown": gettext_lazy("in these days"),
    "between": gettext_lazy("between them"),
    "before": gettext_lazy("in the days compared with"),
}


def near_table(near: Sequence[tuple[Decided, When]], frame: Frame, *, compares: bool, query: str) -> Table:
    """What may stand behind a change that a page shows. `compares`: whether it is held against other days; `query` is carried along."""
    columns = [
        Head(pgettext("a change that was decided", "Decision"), "text"),
        Head(_("Holds since"), "text"),
        Head(_("Where"), "text"),
        Head(_("Channel"), "text"),
        *([Head(pgettext("of a period, beside those compared with", "Days"), "text")] if compares else []),
    ]
    rows = []
    for row, when in near[:MOST_NEAR]:
        places = [one for one in frame.touchpoints.values() if one.pk in row.places]
        cells = [
            Cell(row.title, query=reverse("decision", args=[row.pk]) + query),
            Cell(_day(row.day)),
            Cell(listed([one.label for one in places])),
            Cell(listed(list(dict.fromkeys(str(one.get_channel_display()) for one in places)))),
        ]
        rows.append(Row([*cells, Cell(str(_WHEN[when]))] if compares else cells))
    about = _(
        "What was changed at these touchpoints, newest first. That it stands here does not say that it did anything."
    )
    rest = len(near) - MOST_NEAR
    notes = [_("%(count)d older decisions are not listed.") % {"count": rest}] if rest > 0 else []
    return Table("decisions", _("Decisions in these days"), columns, rows, about, notes, cards=True)


def effect_table(judged: Judged) -> Table:
    rows = [finding_row(judged, finding, "plain") for finding in judged.findings]
    about = _("Before: %(before)s. After: %(after)s.") % {
        "before": days_text(judged.before),
        "after": days_text(judged.after),
    }
    notes = [family_note([judged]), *ttr_note([judged]), caution()]
    return Table("effect", _("Before and after"), heads(_("Metric")), rows, about, notes)


def year_table(
    judged: Judged, decisions: Decisions, before: Mapping[Column, Counts], after: Mapping[Column, Counts]
) -> Table | None:
    """The same days 52 weeks earlier; None where nobody answered then."""
    rows = []
    for finding in judged.findings:
        column = finding.column
        sides = before.get(column, Counts({})), after.get(column, Counts({}))
        if not sides[0].n and not sides[1].n:
            continue
        longest = max((side_estimate(column, side).high or 0 for side in sides), default=0)
        found = decisions.compare(column, before, after)
        rows.append(
            Row(
                (
                    Cell(figures.title(column)),
                    side_cell(column, sides[0], longest),
                    count_cell(sides[0]),
                    side_cell(column, sides[1], longest),
                    count_cell(sides[1]),
                    difference_cell(column, _estimate_of(found)),
                )
            )
        )
    if not rows:
        return None
    about = _("The same days 52 weeks earlier. Where answers moved alike then, the season may be what moves them now.")
    return Table("year", _("A year before"), heads(_("Metric"))[:6], rows, about)


@dataclass(frozen=True)
class Group:
    """Touchpoints that the decision did not touch, with their counts before and after. `kind`: channel or journey."""

    kind: str
    size: int
    before: Mapping[Column, Counts]
    after: Mapping[Column, Counts]


def group_table(judged: Judged, decisions: Decisions, groups: Sequence[Group]) -> Table | None:
    """The changes here less those elsewhere, per metric of the first group that has enough answers; None where none has."""
    rows = []
    for finding in judged.findings:
        column, here = finding.column, finding.effect.comparison
        if here is None or here.low is None:
            continue
        for group in groups:
            there = decisions.compare(column, group.before, group.after)
            more = difference_of_changes(here, there)
            if more is None:
                continue
            rows.append(
                Row(
                    (
                        Cell(figures.title(column), note=_kind(group)),
                        difference_cell(column, _estimate_of(here)),
                        difference_cell(column, _estimate_of(there)),
                        Cell(f"{there.n_now + there.n_before:,}", there.n_now + there.n_before),
                        difference_cell(column, more),
                    )
                )
            )
            break
    if not rows:
        return None
    columns = [
        Head(_("Metric"), "text"),
        Head(_("Change here"), "rate"),
        Head(_("Change elsewhere"), "rate"),
        Head(_("n elsewhere")),
        Head(_("Here less elsewhere"), "rate"),
    ]
    about = _(
        "Touchpoints that no decision touched in these days, held against these: what moved all of them alike falls out."
    )
    notes = [
        _(
            "It holds where both would have moved alike without the decision, where customers elsewhere met nothing of it, and where the "
            "same kind of customers answered before and after. Nobody can test that; whoever knows the touchpoints can judge it."
        )
    ]
    return Table("elsewhere", _("Held against other touchpoints"), columns, rows, about, notes)


def _kind(group: Group) -> str:
    told = {"count": group.size}
    if group.kind == "channel":
        return ngettext("%(count)d of the same channel", "%(count)d of the same channel", group.size) % told
    return ngettext("%(count)d of the same journey", "%(count)d of the same journey", group.size) % told


# --- The page's own answer --------------------------------------------------------------------------------------------


def summary(judged: Sequence[Judged]) -> str:
    """How many expected changes moved as expected, and how many not."""
    verdicts = [finding.effect.verdict for one in judged if not one.decision.withdrawn for finding in one.findings]
    parts = (
        (_("As expected or more"), ("as_expected", "more")),
        (_("Less than expected"), ("less",)),
        (_("No effect seen"), ("no_change",)),
        (_("Moved the other way"), ("against",)),
        (_("Not told yet"), [verdict for verdict in set(verdicts) if verdict not in TOLD]),
    )
    counted = [(title, sum(verdict in among for verdict in verdicts)) for title, among in parts]
    return " · ".join(_("%(title)s: %(count)d") % {"title": title, "count": count} for title, count in counted if count)


def rivals_text(judged: Judged) -> str:
    told = {
        "names": listed(
            [_("%(title)s (%(day)s)") % {"title": other.title, "day": _day(other.day)} for other in judged.rivals]
        )
    }
    return (
        _("Within the same days and at the same touchpoints: %(names)s. What came of which cannot be told apart.")
        % told
    )
