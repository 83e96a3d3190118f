"""How invitations look. In: Passages, Loads and the like, and names. Out: Tables, Rates and sentences that pages print and files hold.

Here a rate is rounded, for the first and only time; here is the smallest n that is shown. No query, no formula.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from metrics import formulas
from metrics.display.figures import DASH, is_enough, marked_count, too_few
from metrics.display.tables import Cell, Column, Line, Row, Table
from metrics.display.trends import Placed, chart_marks, notes_of, period_label
from metrics.formulas import Estimate
from metrics.raw.fatigue import MOST, WEARING_DAYS, WINDOWS, Load, Objections, Spared, Wearing
from metrics.raw.funnel import Cases, Passage, whole
from metrics.significance import SURE, holm, share_z_test
from metrics.slices import Interval
from surveys.models import Invitation
from surveys.words import MINUS, rounded

MAX_ROWS = 100

# Reasons that belong together, from the most lasting to the most passing.
GROUPS: Sequence[tuple[str, Any, tuple[str, ...]]] = (
    ("lasting", gettext_lazy("Must not be asked"), ("unsubscribed", "bounced", "consent_missing", "erased")),
    ("unreachable", gettext_lazy("Cannot be reached"), ("no_address", "undeliverable")),
    ("resting", gettext_lazy("Asked or written to recently"), ("resting_same", "resting_any", "floor_24h", "superseded")),
    ("sample", gettext_lazy("Quota and sample"), ("quota_full", "sampled_out")),
    ("occasion", gettext_lazy("Not an occasion, or no longer"), ("ineligible", "reopened", "expired", "inactive")),
)  # fmt: skip
DELIBERATE = "occasion"  # the rule's own condition and the course of things hold nobody back


# --- Numbers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rate:
    """A rate with all that must stand beside it, as `_figure.html` draws it. `state`: value, few, nothing or unknown."""

    title: str
    state: str
    text: str
    n: int = 0
    n_text: str = ""
    whisker: Line | None = None
    change: None = None
    verdict: None = None


def percent_text(value: float) -> str:
    return f"{rounded(value, 1)}%"


def unknown() -> str:
    return _("not known")


def rate(title: str, found: Estimate | None) -> Rate:
    """None is not known."""
    if found is None:
        return Rate(title, "unknown", unknown())
    cell = rate_cell(found)
    if cell.state != "value":
        return Rate(title, cell.state, cell.text, found.n)
    return Rate(title, "value", cell.text, found.n, cell.note, cell.line)


def rate_cell(found: Estimate | None, longest: float = 100.0, unit: str = "%") -> Cell:
    """`longest` is the right end of its line. None is not known; of too few nothing is said, of few it is marked."""
    if found is None:
        return Cell(unknown(), state="unknown")
    if found.n and not is_enough(found.n):
        return Cell(too_few(found.n), state="few")
    if found.value is None or found.low is None or found.high is None:
        return Cell(DASH, state="nothing")
    low, high = (f"{rounded(end, 1)}{unit}" for end in (found.low, found.high))
    said = _("95%% interval: %(low)s to %(high)s") % {"low": low, "high": high}
    places = [round(100 * min(1.0, place / (longest or 1.0)), 2) for place in (found.low, found.high, found.value)]
    note = marked_count(found.n)
    return Cell(
        f"{rounded(found.value, 1)}{unit}", found.value, (found.low, found.high),
        Line(places[0], places[1], places[2], said), note=note,
    )  # fmt: skip


def longest_of(rates: Sequence[Estimate | None]) -> float:
    """So that neighbours' lines share one scale."""
    return max((found.high or 0 for found in rates if found is not None and is_enough(found.n)), default=0) or 100.0


def number(value: int, **fields: Any) -> Cell:
    return Cell(f"{value:,}", value, **fields)


def share_cell(part: int, of: int, **fields: Any) -> Cell:
    """A plain share of counts, without an interval: nothing is estimated of all there are."""
    if not of:
        return Cell(DASH, state="nothing", **fields)
    return Cell(percent_text(100 * part / of), 100 * part / of, **fields)


def not_known(**fields: Any) -> Cell:
    return Cell(unknown(), state="unknown", **fields)


def answered_of_sent(passage: Passage) -> Estimate:
    return formulas.response_rate(passage.answered, passage.sent)


def answered_of_delivered(passage: Passage) -> Estimate | None:
    """Of those whose carrier reports deliveries; None where none does."""
    return formulas.response_rate(passage.traced_answered, passage.delivered) if passage.traced else None


def reason_text(reason: str) -> str:
    return str(dict(Invitation.Reason.choices).get(reason, reason))


def open_text(count: int) -> str:
    return _("Links that still work: %(count)s. The rate can rise.") % {"count": f"{count:,}"}


# --- The funnel -------------------------------------------------------------------------------------------------------


def funnel_table(passage: Passage) -> Table:
    """Step by step, each with its share of the step before and of those sent; what leaves on the way stands between."""
    columns = [
        Column(_("Step"), "text"),
        Column(_("Invitations")),
        Column(_("Of the step before")),
        Column(_("Of those sent")),
    ]
    most, sent = passage.decided, passage.sent
    rows: list[Row] = []

    def step(
        name: str, n: int, of: int | None, *, note: str = "", part: bool = False, is_after_sending: bool = True
    ) -> None:
        cells = [
            Cell(name, note=note, bar=100 * n / most if most else 0),
            number(n),
            Cell("", state="nothing") if of is None else share_cell(n, of),
            share_cell(n, sent) if is_after_sending else Cell("", state="nothing"),
        ]
        rows.append(Row(cells, "part" if part else "plain"))

    step(_("Decided on"), passage.decided, None, is_after_sending=False)
    step(_("Withheld"), passage.withheld_in_all, passage.decided, part=True, is_after_sending=False)
    step(_("Scheduled"), passage.scheduled, passage.decided, is_after_sending=False)
    if passage.waiting:
        step(_("Still waiting"), passage.waiting, passage.scheduled, part=True, is_after_sending=False)
    if passage.refused:
        step(_("No carrier took it"), passage.refused, passage.scheduled, part=True, is_after_sending=False)
    step(_("Sent"), sent, passage.scheduled)
    if passage.returned:
        step(_("Came back, or was reported lost"), passage.returned, sent, part=True)
    rows.append(_delivered_step(passage))
    arrived = passage.delivered if sent and passage.traced == sent else sent
    step(_("Opened"), passage.opened, arrived, note=_("may be a mail scanner"))
    step(_("Started"), passage.started, passage.opened)
    if passage.started > passage.answered:
        step(_("Left out by staff, or as a machine’s"), passage.started - passage.answered, passage.started, part=True)
    step(_("Answered"), passage.answered, passage.started)
    step(_("of them in part"), passage.partial, passage.answered, part=True, note=_("“Send” was not pressed"))
    step(_("of them complete"), passage.complete, passage.answered, part=True)
    about = _("Each step holds the invitations that came so far or farther; who answers by text opens no page.")
    return Table("funnel", _("From decision to answer"), columns, rows, about)


def _delivered_step(passage: Passage) -> Row:
    """Counted of those whose carrier reports on them; nobody knows the rest."""
    if not passage.traced:
        note = _("no carrier here reports deliveries") if passage.sent else ""
        nothing = Cell(DASH, state="nothing")
        cells = [not_known(), nothing, nothing] if passage.sent else [number(0), share_cell(0, 0), share_cell(0, 0)]
        return Row([Cell(_("Delivered"), note=note, bar=None if passage.sent else 0), *cells])
    note = ""
    if passage.traced < passage.sent:
        told = {"traced": f"{passage.traced:,}", "sent": f"{passage.sent:,}"}
        note = _("of %(traced)s that carriers report on; of %(sent)s sent") % told
    return Row([
        Cell(_("Delivered"), note=note, bar=100 * passage.delivered / passage.decided),
        number(passage.delivered),
        share_cell(passage.delivered, passage.traced),
        share_cell(passage.delivered, passage.sent) if passage.traced == passage.sent else not_known(),
    ])  # fmt: skip


def withheld_table(passage: Passage) -> Table:
    """Reasons in groups, the most lasting first; a group's row is the sum of its reasons."""
    columns = [Column(_("Why not"), "text"), Column(_("Invitations")), Column(_("Of all decided on"))]
    rows: list[Row] = []
    most = max([1, *(count for _name, count, _reasons in _withheld_groups(passage))])
    for name, count, reasons in _withheld_groups(passage):
        rows.append(_withheld_row(name, count, passage.decided, most, "group"))
        rows += [_withheld_row(reason_text(reason), n, passage.decided, most, "part") for reason, n in reasons]
    about = _("Refused when the event came, or withdrawn before anything was sent; the most lasting reason is told.")
    return Table("withheld", _("Withheld, by reason"), columns, rows, about)


def _withheld_groups(passage: Passage) -> list[tuple[str, int, list[tuple[str, int]]]]:
    known = {reason for _key, _title, reasons in GROUPS for reason in reasons}
    others = tuple(sorted(set(passage.withheld) - known))
    found = []
    for _key, title, reasons in (*GROUPS, ("", gettext_lazy("Other reasons"), others)):
        held = [(reason, passage.withheld[reason]) for reason in reasons if passage.withheld.get(reason)]
        if held:
            found.append((str(title), sum(n for _reason, n in held), sorted(held, key=lambda pair: -pair[1])))
    return found


def _withheld_row(name: str, n: int, of: int, most: int, level: str) -> Row:
    return Row([Cell(name, bar=100 * n / most), number(n), share_cell(n, of)], level)


# What invitations are told apart by: as the head of a column, and of a table.
DIMENSIONS: Mapping[str, tuple[Any, Any]] = {
    "rule": (gettext_lazy("Rule"), gettext_lazy("By rule")),
    "touchpoint": (gettext_lazy("Touchpoint"), gettext_lazy("By touchpoint")),
    "mode": (gettext_lazy("Sent by"), gettext_lazy("By way of sending")),
    "language": (gettext_lazy("Language"), gettext_lazy("By language")),
    "segment": (gettext_lazy("Segment"), gettext_lazy("By segment")),
}


def parts_table(dimension: str, parts: Sequence[tuple[str, str, Passage]]) -> Table:
    """One row per group, (name, query, passage), most sent first, and the whole below."""
    title, heading = DIMENSIONS[dimension]
    columns = [
        Column(str(title), "text"),
        Column(_("Decided on")),
        Column(_("Withheld")),
        Column(_("Sent")),
        Column(_("Delivered")),
        Column(_("Opened")),
        Column(_("Started")),
        Column(_("Answered")),
        Column(_("Answers ÷ sent"), "rate"),
    ]
    ordered = sorted(parts, key=lambda part: (-part[2].sent, -part[2].decided, part[0]))
    total = whole({place: passage for place, (_name, _query, passage) in enumerate(ordered)})
    longest = longest_of([answered_of_sent(passage) for _name, _query, passage in ordered[:MAX_ROWS]])
    rows = [_part_row(name, query, passage, longest) for name, query, passage in ordered[:MAX_ROWS]]
    rest = ordered[MAX_ROWS:]
    if rest:
        others = whole({place: passage for place, (_name, _query, passage) in enumerate(rest)})
        rows.append(_part_row(_("%(count)d others") % {"count": len(rest)}, "", others, longest))
    if len(ordered) > 1:
        rows.append(_part_row(_("All"), "", total, longest, "group"))
    return Table(f"by-{dimension}", str(heading), columns, rows)


def _part_row(name: str, query: str, passage: Passage, longest: float, level: str = "plain") -> Row:
    if passage.traced:
        note = "" if passage.traced == passage.sent else _("of %(count)s") % {"count": f"{passage.traced:,}"}
        delivered = number(passage.delivered, note=note)
    else:
        delivered = not_known() if passage.sent else number(0)
    plain = (passage.opened, passage.started, passage.answered)
    return Row([
        Cell(name, query=query), number(passage.decided), number(passage.withheld_in_all), number(passage.sent), delivered,
        *(number(n) for n in plain), rate_cell(answered_of_sent(passage), longest),
    ], level)  # fmt: skip


def holding_back(passage: Passage) -> list[str]:
    """What costs most answers: the largest reason to withhold, and the step at which most of those sent are lost."""
    said = []
    groups = {str(title): key for key, title, _reasons in GROUPS}
    withheld = [
        (n, reason_text(reason)) for name, _count, reasons in _withheld_groups(passage) for reason, n in reasons
        if groups.get(name) != DELIBERATE
    ]  # fmt: skip
    if withheld:
        n, reason = max(withheld)
        told = {
            "reason": reason,
            "n": f"{n:,}",
            "share": percent_text(100 * n / passage.decided),
            "all": f"{passage.decided:,}",
        }
        said.append(_("Most often withheld: %(reason)s – %(n)s of %(all)s decisions (%(share)s).") % told)
    if is_enough(passage.sent):
        losses = (
            (passage.sent - passage.opened, _("Of %(sent)s sent, %(n)s were never opened (%(share)s).")),
            (passage.opened - passage.started, _("Of %(sent)s sent, %(n)s were opened and not started (%(share)s).")),
        )
        n, text = max(losses, key=lambda loss: loss[0])
        if n > 0:
            said.append(
                text % {"n": f"{n:,}", "sent": f"{passage.sent:,}", "share": percent_text(100 * n / passage.sent)}
            )
    return said


# --- Response rates ---------------------------------------------------------------------------------------------------


def rates_table(periods: Sequence[tuple[date, Passage]], interval: Interval, placed: Sequence[Placed] = ()) -> Table:
    """By week or month of the decision, newest first; what can still rise is called so. Of deliveries only where any are reported.

    `placed`: the decisions that the chart marks, by their places in `periods`.
    """
    columns = [
        Column(_("Week from") if interval == "week" else _("Month"), "text"),
        Column(_("Sent")),
        Column(_("Answered")),
        Column(_("Answers ÷ sent"), "rate"),
    ]
    are_traced = any(passage.traced for _start, passage in periods)
    if are_traced:
        columns += [Column(_("Delivered")), Column(_("Answers ÷ delivered"), "rate")]
    passages = [passage for _start, passage in periods]
    longest = longest_of([rate for one in passages for rate in (answered_of_sent(one), answered_of_delivered(one))])
    notes = notes_of(placed)
    rows = []
    for place, (start, passage) in reversed(list(enumerate(periods))):
        cells = [
            Cell(period_label(start, interval), note=_not_final(passage), marks=notes.get(place, ())),
            number(passage.sent),
            number(passage.answered),
            rate_cell(answered_of_sent(passage), longest),
        ]
        if are_traced:
            known = not passage.sent or bool(passage.traced)
            of_delivered = answered_of_delivered(passage) if passage.sent else formulas.NOTHING
            cells += [number(passage.delivered) if known else not_known(), rate_cell(of_delivered, longest)]
        rows.append(Row(cells))
    about = _(
        "By the day on which each invitation was decided on. As long as links of a period still work, its rate can rise."
    )
    return Table("rates", _("Response rate over time"), columns, rows, about)


def _not_final(passage: Passage) -> str:
    return "" if passage.is_final else _still_open(passage.open + passage.waiting)


def _still_open(count: int) -> str:
    """What can still be answered, so that a rate can rise."""
    return _("not final, %(count)s still open") % {"count": f"{count:,}"} if count else ""


def rates_chart(
    periods: Sequence[tuple[date, Passage]], interval: Interval, placed: Sequence[Placed] = ()
) -> dict[str, Any]:
    """For the page's script; gaps where too few were sent, and dashes where a rate can still rise."""
    labels: list[str] = []
    texts: list[str] = []
    rising: list[bool] = []
    values: list[float | None] = []
    lows: list[float | None] = []
    highs: list[float | None] = []
    for start, passage in periods:
        found = answered_of_sent(passage)
        shown = found if is_enough(found.n) else formulas.NOTHING
        label = period_label(start, interval)
        cell = rate_cell(found)
        labels.append(label if passage.is_final else f"{label} *")
        for ends, value in ((values, shown.value), (lows, shown.low), (highs, shown.high)):
            ends.append(None if value is None else round(value, 3))
        texts.append(" · ".join(filter(None, [cell.text, cell.note, _not_final(passage)])))
        rising.append(not passage.is_final)
    title = _("Answers ÷ sent")
    return {
        "labels": labels, "values": values, "lows": lows, "highs": highs, "texts": texts, "target": None, "min": 0, "max": None,
        "title": title, "unit": "%", "rising": rising, "marks": chart_marks(placed),
        "words": {"value": title, "interval": _("95% interval"), "target": ""},
    }  # fmt: skip


# (name, counts in the numerator, how the unknown ones count in the denominator)
AAPOR = ("RR1", "RR2", "RR3", "RR4", "RR5", "RR6")


@dataclass(frozen=True)
class Definition:
    """One rate of the AAPOR's, a click away: its formula and what it takes for granted."""

    name: str
    formula: str
    meaning: str


def definitions() -> list[Definition]:
    unknown_all = _("Takes all of which nobody knows for reachable: the lowest of the three.")
    unknown_part = _("Takes the share e of those of which nobody knows for reachable.")
    unknown_none = _("Takes none of which nobody knows for reachable: the highest of the three.")
    denominators = (
        ("(I + P) + (R + NC + O) + U", unknown_all),
        ("(I + P) + (R + NC + O) + e · U", unknown_part),
        ("(I + P) + (R + NC + O)", unknown_none),
    )
    found = []
    for place, name in enumerate(AAPOR):
        denominator, meaning = denominators[place // 2]
        only = _("Counts complete answers alone.") if place % 2 == 0 else _("Counts answers in part, too.")
        found.append(
            Definition(
                name,
                f"{'I' if place % 2 == 0 else '(I + P)'} ÷ ({denominator})",
                _("%(first)s %(second)s") % {"first": only, "second": meaning},
            )
        )
    return found


def eligible_share(cases: Cases) -> float:
    """e; 1 where nothing is known of any fate, which takes all for reachable."""
    found = formulas.eligible_share(cases.arrived, cases.returned)
    return 1.0 if found is None else found


def aapor_rates(cases: Cases) -> dict[str, float | None]:
    return formulas.response_rates(
        complete=cases.complete, partial=cases.partial, refused=cases.refused, silent=cases.silent, other=cases.other,
        unknown=cases.unknown + cases.returned, eligible_share=eligible_share(cases),
    )  # fmt: skip


def aapor_table(cases: Cases) -> Table:
    """RR1…RR6 with what each is divided by; nothing of too few."""
    columns = [Column(_("Rate"), "text"), Column(_("Percent")), Column("n"), Column(_("Formula"), "text")]
    known, hidden = cases.arrived, cases.unknown + cases.returned
    rows = []
    for place, one in enumerate(definitions()):
        share = (1.0, eligible_share(cases), 0.0)[place // 2]
        n = known + share * hidden
        value = aapor_rates(cases)[one.name]
        if value is None:
            cell = Cell(DASH, state="nothing")
        else:
            cell = Cell(percent_text(value), value) if is_enough(n) else Cell(too_few(int(n)), state="few")
        rows.append(Row([Cell(one.name), cell, Cell(f"{int(rounded(n)):,}", n), Cell(one.formula)]))
    e = _("e = %(share)s: of the invitations whose fate is known, the share that arrived.")
    return Table(
        "aapor", _("Response rates as the AAPOR defines them"), columns, rows,
        _("Source: AAPOR, Standard Definitions, 10th edition, 2023."),
        [e % {"share": rounded(eligible_share(cases), 3)}],
    )  # fmt: skip


def cases_table(cases: Cases) -> Table:
    columns = [Column(_("Case"), "text"), Column(_("Invitations")), Column(_("Share")), Column(_("What it is"), "text")]
    kinds = (
        ("I", cases.complete, _("Complete answer")),
        ("P", cases.partial, _("Answered in part: “Send” was not pressed")),
        (
            "R",
            cases.refused,
            _(
                "Said no: complained or unsubscribed by the carrier’s report, texted STOP, or unsubscribed while a reminder waited"
            ),
        ),
        ("NC", cases.silent, _("It arrived (reported, or opened), and nothing was answered")),
        ("O", cases.other, _("It arrived; the answer was left out, or the customer erased or the ticket reopened")),
        ("U", cases.unknown, _("Sent; nobody knows whether it arrived")),
        ("U", cases.returned, _("Came back, or no carrier took it")),
    )
    rows = [Row([Cell(kind), number(n), share_cell(n, cases.in_all), Cell(text)]) for kind, n, text in kinds]
    return Table("cases", _("What became of each invitation"), columns, rows)


# --- Who is missing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """A group's part among those invited and among those who answered, in percent, and what the difference means.

    `p` is adjusted for all groups of its table (Holm); None where there are too few to test.
    """

    name: str
    query: str
    sent: int
    answered: int
    of_sent: float
    of_answered: float | None
    p: float | None

    @property
    def gap(self) -> float | None:
        return None if self.of_answered is None else self.of_answered - self.of_sent

    @property
    def is_missing(self) -> bool:
        return self.p is not None and self.p < SURE and (self.gap or 0) < 0


def standings(parts: Sequence[tuple[str, str, Passage]]) -> list[Standing]:
    """Each group against all others: whether it answers as often is whether its part among both is the same."""
    parts = [part for part in parts if part[2].sent]
    sent, answered = sum(part[2].sent for part in parts), sum(part[2].answered for part in parts)
    tests = [
        share_z_test(passage.answered, passage.sent, answered - passage.answered, sent - passage.sent)
        if is_enough(passage.sent)
        else None
        for _name, _query, passage in parts
    ]
    adjusted = iter(holm([test.p for test in tests if test is not None]))
    found = [
        Standing(
            name, query, passage.sent, passage.answered, 100 * passage.sent / sent,
            100 * passage.answered / answered if answered else None, None if test is None else next(adjusted),
        )
        for (name, query, passage), test in zip(parts, tests, strict=True)
    ]  # fmt: skip
    return sorted(found, key=lambda one: (-one.sent, one.name))


def standings_table(dimension: str, found: Sequence[Standing]) -> Table:
    title, heading = DIMENSIONS[dimension]
    columns = [
        Column(str(title), "text"),
        Column(_("Invited")),
        Column(_("Of all invited")),
        Column(_("Answered")),
        Column(_("Of all answers")),
        Column(_("Difference, points")),
        Column(_("Which means"), "text"),
        Column(_("Response rate"), "rate"),
    ]
    rates = [formulas.response_rate(one.answered, one.sent) for one in found]
    longest = longest_of(rates)
    rows = []
    for one, its_rate in list(zip(found, rates, strict=True))[:MAX_ROWS]:
        name = Cell(one.name, query=one.query)
        if not is_enough(one.sent):
            few = Cell(too_few(one.sent), state="few")
            rows.append(Row([name, number(one.sent), *[Cell("", state="nothing")] * 5, few]))
            continue
        of_answers = Cell(DASH, state="nothing") if one.of_answered is None else _percent_cell(one.of_answered)
        rows.append(Row([
            name, number(one.sent), _percent_cell(one.of_sent), number(one.answered), of_answers, _gap_cell(one.gap),
            _verdict_cell(one), rate_cell(its_rate, longest),
        ]))  # fmt: skip
    about = _(
        "Invited: the invitation was sent. Each group is held against all others (two shares, z test); p by Holm."
    )
    return Table(f"missing-by-{dimension}", str(heading), columns, rows, about)


def _percent_cell(value: float) -> Cell:
    return Cell(percent_text(value), value)


def _gap_cell(gap: float | None) -> Cell:
    if gap is None:
        return Cell(DASH, state="nothing")
    text = rounded(gap, 1)
    return Cell(text if text.startswith(MINUS) or not float(text) else f"+{text}", gap)


def _verdict_cell(one: Standing) -> Cell:
    if one.p is None:
        return Cell(_("too few to test"), tone="quiet")
    if one.p >= SURE:
        return Cell(_("no significant difference"), tone="quiet")
    return Cell(_("answers less often"), tone="bad") if one.is_missing else Cell(_("answers more often"), tone="good")


def missing_sentences(tables: Sequence[tuple[str, Sequence[Standing]]]) -> list[str]:
    """Who is missing most, per table; that nobody is, where that is so."""
    said = []
    for title, found in tables:
        missing = [one for one in found if one.is_missing]
        if missing:
            most = min(missing, key=lambda one: one.gap or 0)
            told = {
                "what": title, "name": most.name, "invited": percent_text(most.of_sent),
                "answered": percent_text(most.of_answered or 0),
            }  # fmt: skip
            said.append(
                _("%(what)s: %(name)s is %(invited)s of those invited and %(answered)s of those who answered.") % told
            )
    return said


# --- Fatigue ----------------------------------------------------------------------------------------------------------


def many_text(many: int) -> str:
    return _("%(count)d or more") % {"count": many} if many == MOST else str(many)


def load_table(loads: Sequence[Load]) -> Table:
    columns = [Column(_("Messages"), "text")]
    for load in loads:
        columns += [
            Column(_("Customers, %(days)d days") % {"days": load.days}),
            Column(_("Share, %(days)d days") % {"days": load.days}),
        ]
    rows = []
    for many in range(1, MOST + 1):
        cells = [Cell(many_text(many))]
        for load in loads:
            n = load.customers.get(many, 0)
            cells += [number(n), share_cell(n, load.written_to)]
        rows.append(Row(cells))
    total = [Cell(_("Customers written to"))]
    for load in loads:
        total += [number(load.written_to), share_cell(load.written_to, load.written_to)]
    rows.append(Row(total, "group"))
    about = _("Invitations and reminders that a carrier took, about whatever touchpoint, up to the end of the period.")
    return Table("load", _("Messages per customer"), columns, rows, about)


def load_sentences(loads: Sequence[Load]) -> list[str]:
    said = []
    for load in loads:
        if load.written_to:
            often = sum(n for many, n in load.customers.items() if many >= 3)
            told = {
                "days": load.days, "customers": f"{load.written_to:,}", "share": percent_text(100 * often / load.written_to),
                "mean": rounded(load.messages / load.written_to, 2),
            }  # fmt: skip
            said.append(
                _("In %(days)d days %(customers)s customers got %(mean)s messages each; %(share)s got three or more.")
                % told
            )
    return said


def wearing_table(found: Mapping[int, Wearing]) -> Table:
    columns = [
        Column(_("Messages in the %(days)d days before") % {"days": max(WINDOWS)}, "text"),
        Column(_("Sent")),
        Column(_("Answered")),
        Column(_("Response rate"), "rate"),
    ]
    rates = {many: formulas.response_rate(one.answered, one.sent) for many, one in found.items()}
    longest = longest_of(list(rates.values()))
    rows = []
    for many in range(MOST + 1):
        one = found.get(many, Wearing(0, 0, 0))
        its_rate = rate_cell(rates.get(many, formulas.NOTHING), longest)
        rows.append(
            Row([Cell(many_text(many), note=_still_open(one.open)), number(one.sent), number(one.answered), its_rate])
        )
    about = _("Of the invitations sent (of a long period those of the last %(days)d days), by how often the customer had been written to "
              "before. Who is asked more often is another kind of customer: a hint, not a cause.") % {"days": WEARING_DAYS}  # fmt: skip
    return Table("wearing", _("Does it wear off?"), columns, rows, about)


def spared_table(spared: Spared) -> Table:
    columns = [
        Column(_("Why not"), "text"),
        Column(_("Invitations")),
        Column(_("Of all decided on")),
        Column(_("Customers")),
    ]
    ordered = sorted(spared.reasons.items(), key=lambda pair: -pair[1][0])
    rows = [
        Row([Cell(reason_text(reason)), number(n), share_cell(n, spared.decided), number(people)])
        for reason, (n, people) in ordered
    ]
    n, people = spared.in_all
    rows.append(Row([Cell(_("All")), number(n), share_cell(n, spared.decided), number(people)], "group"))
    about = _("Messages that customers were spared because of others, by the day of the decision.")
    return Table("spared", _("What resting and the floor held back"), columns, rows, about)


def objections_table(periods: Mapping[date, Objections], interval: Interval, placed: Sequence[Placed] = ()) -> Table:
    """`placed`: the decisions that the chart marks, by the order of the periods."""
    columns = [
        Column(_("Week from") if interval == "week" else _("Month"), "text"),
        Column(_("Messages sent")),
        Column(_("Unsubscribed")),
        Column(_("Complained")),
        Column(_("Unsubscribed per 1,000 sent"), "rate"),
        Column(_("Complaints per 1,000 sent"), "rate"),
    ]
    total = Objections(*(sum(getattr(one, name) for one in periods.values()) for name in Objections.__slots__))
    pairs = {
        start: (
            formulas.per_thousand(one.unsubscribed, one.messages),
            formulas.per_thousand(one.complained, one.messages),
        )
        for start, one in (*periods.items(), (None, total))
    }
    longest = longest_of([rate for pair in pairs.values() for rate in pair])
    notes = notes_of(placed)
    rows = [
        _objections_row(
            Cell(period_label(start, interval), marks=notes.get(place, ())), periods[start], pairs[start], longest
        )
        for place, start in reversed(list(enumerate(sorted(periods))))
    ]
    rows.append(_objections_row(Cell(_("All")), total, pairs[None], longest, "group"))
    about = _(
        "By the day on which it was said, taken back since or not. It is kept without the person, so no filter narrows it."
    )
    return Table("objections", _("Unsubscribed and complained"), columns, rows, about)


def _objections_row(
    head: Cell, one: Objections, rates: tuple[Estimate, Estimate], longest: float, level: str = "plain"
) -> Row:
    counts = (number(n) for n in (one.messages, one.unsubscribed, one.complained))
    return Row([head, *counts, *(rate_cell(found, longest, "") for found in rates)], level)


def objections_chart(
    periods: Mapping[date, Objections], interval: Interval, placed: Sequence[Placed] = ()
) -> dict[str, Any]:
    ordered = sorted(periods.items())
    found = [formulas.per_thousand(one.unsubscribed, one.messages) for _start, one in ordered]
    shown = [one if is_enough(one.n) else formulas.NOTHING for one in found]

    def values(name: str) -> list[float | None]:
        held = [getattr(one, name) for one in shown]
        return [None if value is None else round(value, 3) for value in held]

    title = _("Unsubscribed per 1,000 sent")
    cells = [rate_cell(one, unit="") for one in found]
    return {
        "labels": [period_label(start, interval) for start, _one in ordered],
        "values": values("value"), "lows": values("low"), "highs": values("high"),
        "texts": [" · ".join(filter(None, [cell.text, cell.note])) for cell in cells],
        "target": None, "min": 0, "max": None, "title": title, "unit": "", "marks": chart_marks(placed),
        "words": {"value": title, "interval": _("95% interval"), "target": ""},
    }  # fmt: skip
