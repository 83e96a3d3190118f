"""What needs attention first. In: what a page measured, touchpoints, what waits. Out: Items in order, each a sentence with its numbers.

An Item is a fact that somebody can act on, never a suspicion: an interval that lies wholly on the wrong side of its target; a drop
that is more than noise though all were looked at together; a ticket that waits much longer than it should. No query, no formula.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from metrics.display import alert_pages, figures
from metrics.display.figures import Column, count_text, value_text
from metrics.display.funnel_pages import percent_text
from metrics.display.grid import Place
from metrics.limits import limits
from metrics.models import Alert
from metrics.queries import MatrixRow, OpenTickets
from metrics.raw.funnel import Sent
from metrics.raw.unsurveyed import Asking
from metrics.significance import LOWER_IS_BETTER, SURE, Comparison, compare_shares, holm
from surveys.words import DAY_S, duration, rounded

# A target is held against the median: half of all tickets may take longer. Three times as long is what one of eight takes where
# tickets are resolved as by chance.
TARGETS_OPEN = 3
LONG_OPEN_S = 7 * DAY_S  # where there is no target
SILENT = timedelta(days=30)  # a touchpoint that another system posts answers to is asked, though nothing here asks
HALF_DAYS = 28  # whole weeks, so that each day of the week counts as often before as after
FULL = 100.0  # percent

# The order in which they are told, and what each is called.
KINDS: Mapping[str, Any] = {
    "alert": gettext_lazy("Alert"),
    "below": gettext_lazy("Target missed"),
    "drop": gettext_lazy("Drop"),
    "open": gettext_lazy("Open for long"),
    "unsurveyed": gettext_lazy("No answers"),
    "response": gettext_lazy("Fewer respond"),
    "waits": gettext_lazy("Waits"),
}

Link = Callable[[str, Column], str]  # the page of a touchpoint (slug) on a metric; "" for none


@dataclass(frozen=True)
class Item:
    """One thing to look at. `weight` orders those of one kind, the greatest first; `url` leads to where its numbers stand."""

    kind: str
    text: str
    url: str = ""
    weight: float = 0.0

    @property
    def title(self) -> str:
        return str(KINDS[self.kind])


def ordered(items: Iterable[Item]) -> list[Item]:
    """By kind, and within it by weight."""
    places = list(KINDS)
    return sorted(items, key=lambda item: (places.index(item.kind), -item.weight))


def first_of_each(items: Sequence[Item], most: int) -> tuple[list[Item], list[Item]]:
    """(the first `most` of each kind, all others), so that one kind does not hide the next."""
    shown: list[Item] = []
    rest: list[Item] = []
    counts: dict[str, int] = {}
    for item in items:
        counts[item.kind] = counts.get(item.kind, 0) + 1
        (shown if counts[item.kind] <= most else rest).append(item)
    return shown, rest


# --- Alerts -----------------------------------------------------------------------------------------------------------


def alarms(alerts: Sequence[Alert], url: Callable[[Alert], str]) -> list[Item]:
    """Each alert that stands, in the order in which they come, as of its newest look. The caller tells the organisation's time."""
    items = []
    for place, alert in enumerate(alerts):
        numbers = alert_pages.numbers_text(alert.rule, alert.latest), alert_pages.days_text(alert.latest)
        told = {
            "headline": alert_pages.headline(alert, alert.latest),
            "numbers": pgettext("between facts", "; ").join(part for part in numbers if part),
            "day": date_format(timezone.localtime(alert.fired_at), "DATE_FORMAT"),
        }
        # With a name of its own a rule says what it is for, which its numbers do not.
        if alert.rule.name:
            told["headline"] = _("%(name)s: %(headline)s") % {**told, "name": alert.rule.label}
        text = (
            _("%(headline)s (%(numbers)s). Stands since %(day)s.")
            if told["numbers"]
            else _("%(headline)s. Stands since %(day)s.")
        )
        if alert.acknowledged_at:
            text = _("%(text)s Somebody has seen it.") % {"text": text % told}
        else:
            text %= told
        items.append(Item("alert", text, url(alert), -place))
    return items


# --- Scores -----------------------------------------------------------------------------------------------------------


def below_target(rows: Sequence[MatrixRow], places: Mapping[str, Place], link: Link) -> list[Item]:
    """Where the whole interval lies on the wrong side of the target; farthest off first, by the length of the metric's own range."""
    items = []
    for row in rows:
        column = (row.metric, row.points)
        place, now = places.get(row.touchpoint), figures.of(row.now)
        target = figures.target_of(row.metric, place.targets) if place else None
        if place is None or target is None or not figures.is_enough(now.n) or now.low is None or now.high is None:
            continue
        if row.metric in LOWER_IS_BETTER:
            off, length = now.low - target, target or 1.0
            text = _("%(place)s: %(metric)s is %(value)s (%(interval)s, %(n)s): longer than its target, %(target)s.")
        else:
            low, high = figures.RANGES[row.metric]
            off, length = target - now.high, high - low
            text = _("%(place)s: %(metric)s is %(value)s (%(interval)s, %(n)s): below its target, %(target)s.")
        if off > 0:
            told = {
                "place": place.name,
                "metric": figures.title(column),
                "value": value_text(row.metric, now.value),
                "interval": _interval(row.metric, now.low, now.high),
                "n": count_text(now.n),
                "target": value_text(row.metric, target),
            }
            items.append(Item("below", text % told, link(row.touchpoint, column), off / length))
    return items


def _interval(metric: str, low: float, high: float) -> str:
    return _("95%% interval: %(low)s to %(high)s") % {"low": value_text(metric, low), "high": value_text(metric, high)}


def told_together(found: Sequence[Comparison | None]) -> list[Comparison | None]:
    """The same comparisons as they are to be shown beside each other: what is not sure among them all (Holm) is no change."""
    tested = [one.p for one in found if one is not None and one.p is not None]
    adjusted = iter(holm(tested))
    return [
        replace(one, verdict="not_significant")
        if one is not None and one.p is not None and next(adjusted) >= SURE and one.significant
        else one
        for one in found
    ]


@dataclass(frozen=True)
class Change:
    """One touchpoint × metric against the days before, judged together with all others that were looked at."""

    row: MatrixRow
    told: Comparison
    p: float  # Holm's

    @property
    def is_sure(self) -> bool:
        return bool(self.told.significant)

    @property
    def is_worse(self) -> bool:
        return self.is_sure and (self.told.verdict == "lower") != (self.row.metric in LOWER_IS_BETTER)


def compared(rows: Sequence[MatrixRow]) -> list[Change]:
    """All that can be tested: enough answers now and before. TTR by its median."""
    found = [
        (row, figures.compared((row.metric, row.points), figures.of(row.now), figures.of(row.before)))
        for row in rows
        if row.before is not None
    ]
    pairs = [(row, one) for row, one in found if one.p is not None]
    told = told_together([one for _row, one in pairs])
    ps = holm([one.p or 0.0 for _row, one in pairs])
    return [Change(row, one, p) for (row, _one), one, p in zip(pairs, told, ps, strict=True) if one is not None]


def drops(changes: Sequence[Change], places: Mapping[str, Place], link: Link) -> list[Item]:
    """What became worse for sure; the surest first."""
    items = []
    for change in changes:
        row, found = change.row, change.told
        if not change.is_worse or found.difference is None or row.touchpoint not in places:
            continue
        column = (row.metric, row.points)
        told = {
            "place": places[row.touchpoint].name,
            "metric": figures.title(column),
            "by": figures.change_text(row.metric, abs(found.difference)).lstrip("+"),
            "before": value_text(row.metric, found.before),
            "n_before": count_text(found.n_before),
            "now": value_text(row.metric, found.now),
            "n": count_text(found.n_now),
        }
        text = (
            _("%(place)s: %(metric)s rose by %(by)s, from %(before)s (%(n_before)s) to %(now)s (%(n)s).")
            if row.metric in LOWER_IS_BETTER
            else _("%(place)s: %(metric)s fell by %(by)s, from %(before)s (%(n_before)s) to %(now)s (%(n)s).")
        )
        items.append(Item("drop", text % told, link(row.touchpoint, column), -change.p))
    return items


# --- Tickets ----------------------------------------------------------------------------------------------------------


def open_limit_s(targets: Mapping[str, float]) -> float:
    """How long a ticket may be open before it is told here, in seconds."""
    target = figures.target_of("ttr", targets)
    return LONG_OPEN_S if target is None else TARGETS_OPEN * target


def long_open(held: Mapping[str, OpenTickets], places: Mapping[str, Place], link: Link, now: datetime) -> list[Item]:
    """Touchpoints whose oldest open ticket is older than `open_limit_s`, the oldest first."""
    items = []
    for slug, tickets in held.items():
        place, age = places.get(slug), (now - tickets.oldest).total_seconds()
        if place is None or age <= open_limit_s(place.targets):
            continue
        told = {"place": place.name, "age": duration(age), "count": f"{tickets.count:,}"}
        text = _("%(place)s: the oldest open ticket has waited for %(age)s. Open now: %(count)s.") % told
        items.append(Item("open", text, link(slug, ("ttr", 0)), age))
    return items


# --- Being asked ------------------------------------------------------------------------------------------------------


def unsurveyed(
    asking: Mapping[str, Asking], places: Mapping[str, Place], url: Callable[[str], str], now: datetime
) -> list[Item]:
    """Touchpoints at which nobody is asked, then those that nobody ever answered at. `url` leads to where that is mended."""
    items = []
    for slug, how in asking.items():
        place = places[slug]
        if not how.can_be_asked and (how.answered_at is None or how.answered_at < now - SILENT):
            if not how.has_instrument:
                text = _("%(place)s: it has no instrument, so nobody is asked there.")
            else:
                text = _("%(place)s: nobody is asked there: no rule invites to it, and its open form is off.")
            items.append(Item("unsurveyed", text % {"place": place.name}, url(slug), 1))
        elif how.can_be_asked and how.answered_at is None:
            text = _("%(place)s: customers can answer there, and none ever did.")
            items.append(Item("unsurveyed", text % {"place": place.name}, url(slug)))
    return items


@dataclass(frozen=True)
class Halves:
    """Invitations of two times four weeks whose links have ended, by touchpoint; `days` are the later half's, as texts."""

    sent: Mapping[str, tuple[Sent, Sent]]
    days: tuple[str, str]


def fewer_respond(halves: Halves, places: Mapping[str, Place], url: Callable[[str], str]) -> list[Item]:
    """Where the response rate fell for sure, though all were looked at together and every link still open were answered."""
    pairs = []
    for slug, (before, now) in halves.sent.items():
        best = now.answered + now.open
        found = compare_shares(best, now.sent, before.answered, before.sent, minimum=limits().minimum_n)
        if slug in places and found.p is not None:
            pairs.append((slug, found))
    items = []
    for (slug, found), p in zip(pairs, holm([found.p or 0.0 for _slug, found in pairs]), strict=True):
        if p >= SURE or found.verdict != "lower":
            continue
        before, now = halves.sent[slug]
        told = {
            "place": places[slug].name,
            "first": halves.days[0],
            "last": halves.days[1],
            "now": percent_text(FULL * now.answered / now.sent),
            "n": count_text(now.sent),
            "before": percent_text(FULL * before.answered / before.sent),
            "n_before": count_text(before.sent),
        }
        text = _(
            "%(place)s: of the invitations of %(first)s to %(last)s, %(now)s were answered (%(n)s); of those of the four weeks "
            "before, %(before)s (%(n_before)s)."
        )
        items.append(Item("response", text % told, url(slug), -p))
    return items


def waits(rows: Iterable[tuple[str, int, str]]) -> list[Item]:
    """(title, count, address) of what waits, where there is any."""
    return [
        Item("waits", _("%(what)s: %(count)s") % {"what": title, "count": f"{count:,}"}, url, -place)
        for place, (title, count, url) in enumerate(rows)
        if count
    ]


def looked_at(changes: Sequence[Change], targets: int) -> str:
    """What stands behind the list, in a sentence."""
    told = {"changes": rounded(len(changes)), "targets": rounded(targets)}
    return _("Targets looked at: %(targets)s. Changes looked at, judged together (Holm): %(changes)s.") % told
