"""The overview: each metric of the organisation, what needs attention first, every touchpoint × metric, the newest answers.

It is the first thing after login, so it stays within a few queries however much there is: scores come from cells, and the newest
answers from an index. Names and addresses of customers are not on it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from redis import RedisError

from metrics import attention
from metrics.alerting import standing
from metrics.attention import HALF_DAYS, Change, Halves, Item
from metrics.decisions import markers
from metrics.display import alert_pages, charts, figures, grid, score_tables, trends
from metrics.display.figures import Column, Figure
from metrics.display.grid import Place
from metrics.display.trends import Marker
from metrics.filters import carried_query
from metrics.formulas import Estimate
from metrics.frame import list_url, may_view, row_url
from metrics.limits import limits
from metrics.models import Alert
from metrics.models.alerts import AlertKind
from metrics.periods import Period
from metrics.queries import (
    WEIGHED_BY,
    MatrixRow,
    Measured,
    Scores,
    Tickets,
    measure_open,
    measure_scores,
    measure_tickets,
    weights_of,
)
from metrics.raw.funnel import Asked, Sent, measure_halves
from metrics.raw.unsurveyed import Asking, measure_asking
from metrics.reports import Page, Report, Request
from metrics.significance import Comparison, Counts, Statistic
from metrics.slices import OF_CELLS, Interval
from metrics.strata import Weighted, compare_weighted, weigh
from metrics.views import answers
from surveys.models import Organisation, Response, Ticket, Touchpoint
from surveys.words import rounded

NEWEST = 8
EACH = 5  # so many of one kind, before all others are folded away
LONGEST_WAIT_DAYS = 28  # a link that lives longer is not waited for: it is counted as if it were answered
KEPT_S = (
    3600  # counts of invitations whose links have ended hardly change, and reading them takes longer than all else here
)


def make(request: Request) -> Report:
    """/admin/. `?weights=` says what counts by a weight of its own, where answers are not simply pooled."""
    frame, filters, http = request.frame, request.filters, request.http
    slice_, catalogue = filters.slice(), frame.catalogue
    finest, by = _finest(filters.period), _weighed_by(request)
    dimensions = ("segment",) if by == "segment" else ()
    scores = measure_scores(slice_, filters.before, finest, dimensions, catalogue=catalogue)
    held, tickets = {}, None
    if not slice_.modes:  # a ticket has none
        held = measure_open(slice_, catalogue=catalogue)
        waiting = {slug: one.count for slug, one in held.items()}
        tickets = measure_tickets(slice_, filters.before, finest, dimensions, waiting=waiting, catalogue=catalogue)
    rows = [*scores.rows, *(tickets.rows if tickets else ())]
    places = _places(request, rows)
    changes = {(one.row.touchpoint, (one.row.metric, one.row.points)): one for one in attention.compared(rows)}
    matrix = grid.matrix(rows, places, {key: one.told for key, one in changes.items()})
    near = markers(frame, slice_)
    cards = _cards(request, by, rows, places, scores, tickets, near)
    items = attention.ordered(_items(request, rows, places, list(changes.values()), held))
    shown, folded = attention.first_of_each(items, EACH)
    pairs = [(card.column, card.series) for card in cards]
    context: dict[str, Any] = {
        "cards": cards,
        "marks": [trends.Mark(number, marker) for number, marker in enumerate(near, 1)],
        "pooled_from": len({row.touchpoint for row in rows if row.metric != "ttr" and row.now.n}),
        "attention": shown,
        "attention_folded": folded,
        "looked_at": attention.looked_at(list(changes.values()), _targets(rows, places)),
        "weighed_by": by,
        "weight_tabs": _weight_tabs(request, by),
        "weights_url": _weights_url(http, by),
        "matrix": matrix,
        "touchpoint_query": carried_query(http),
        "newest": answers.show(http, answers.narrowed(request)[:NEWEST], frame),
        "answers_url": reverse("answers") + carried_query(http) if may_view(http, Response) else "",
        "new_touchpoint_url": _add_url(http),
        "has_touchpoints": bool(frame.touchpoints),
    }
    words = {key: score_tables.change_word(one.row.metric, one.told) for key, one in changes.items()}
    tables = [
        score_tables.matrix_table(rows, places, words),
        score_tables.trends_table(pairs, {card.column: card.interval for card in cards}),
    ]
    if by:
        names = {place.slug: place.name for place in places} if by == "touchpoint" else {"": _("(none)")}
        head = _("Touchpoint") if by == "touchpoint" else _("Segment")
        weighted = [(card.column, card.weighted) for card in cards if card.weighted is not None]
        tables.append(score_tables.weights_table(head, weighted, names))
    return Report(_("Overview"), tables, context)


def _add_url(request: HttpRequest) -> str:
    may = request.user.has_perm("surveys.add_touchpoint") and admin.site.is_registered(Touchpoint)
    return reverse("admin:surveys_touchpoint_add") if may else ""


def _places(request: Request, rows: Sequence[MatrixRow]) -> list[Place]:
    ids = request.frame.catalogue.touchpoint_ids(request.filters.slice())
    slugs = {request.frame.catalogue.place(pk).touchpoint for pk in ids} if ids is not None else None
    places = [place for place in request.frame.places if slugs is None or place.slug in slugs]
    if any(not row.touchpoint for row in rows):
        places.append(Place("", _("Tickets without a touchpoint"), "", ""))
    return places


# --- Each metric ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """One metric of all touchpoints together: its number, and how it went."""

    column: Column
    figure: Figure
    meaning: str
    series: Sequence[tuple[Any, Measured]]
    interval: Interval
    spark: charts.Spark | None
    weighted: Weighted | None = None

    @property
    def missing(self) -> str:
        """Why a weighted score is not told, or which part of it is not in it; "" where it is whole."""
        if self.weighted is None:
            return ""
        if not self.weighted.missing:
            return _("No weights are set.") if self.weighted.value is None else ""
        told = {"share": f"{rounded(100 * self.weighted.missing)}%"}
        if self.weighted.value is None:
            return _("No score: %(share)s of the weight has too few answers.") % told
        return _("%(share)s of the weight has too few answers.") % told


def _finest(period: Period) -> Interval:
    """Of all touchpoints together there are enough answers for days; a line this small has no room for more points than these."""
    return "day" if period.days <= 100 else "month"


def _cards(
    request: Request,
    by: str,
    rows: Sequence[MatrixRow],
    places: Sequence[Place],
    scores: Scores,
    tickets: Tickets | None,
    near: Sequence[Marker],
) -> list[Card]:
    """Each metric that there is anything of, now or before. Their changes are judged together, as they are seen together."""
    period = request.filters.period
    found: list[tuple[Column, Estimate, Comparison | None, Weighted | None]] = []
    for column in figures.COLUMNS:
        own = [row for row in rows if (row.metric, row.points) == column]
        now, before = (
            figures.pooled(column, [row.now for row in own]),
            figures.pooled(column, [row.before for row in own]),
        )
        if not now.n and not before.n:
            continue
        if not by:
            found.append((column, now, figures.compared(column, now, before) if before.n else None, None))
            continue
        weighted, change = _weigh(request, by, column, own, places, scores, tickets)
        found.append((column, Estimate(weighted.value, weighted.low, weighted.high, weighted.n), change, weighted))
    cards = []
    told = attention.told_together([change for _column, _now, change, _weighted in found])
    for (column, estimate, _change, of_weights), change in zip(found, told, strict=True):
        interval = period.interval(sum(row.now.n for row in rows if (row.metric, row.points) == column))
        if _finest(period) == "month" and interval in ("day", "week"):
            interval = "month"
        series = scores.series(column, interval) if column[1] else tickets.series(interval) if tickets else []
        cards.append(
            Card(
                column,
                figures.figure(column, estimate, change, {}, estimate.high or 0),
                figures.meaning(column),
                series,
                interval,
                charts.spark(column, series, interval, near),
                of_weights,
            )
        )
    return cards


# --- Weights ----------------------------------------------------------------------------------------------------------


def _weighed_by(request: Request) -> str:
    """As `?weights=` names it; "" for pooled answers."""
    asked = request.http.GET.get("weights", "")
    return asked if asked in WEIGHED_BY else ""


def _weight_tabs(request: Request, current: str) -> list[dict[str, Any]]:
    titles = {"": _("Pooled answers"), "touchpoint": _("Touchpoints weighted"), "segment": _("Segments weighted")}
    if not request.frame.segments:
        del titles["segment"]
    return [
        {"title": title, "query": request.query_with(weights=key), "current": key == current}
        for key, title in titles.items()
    ]


def _weights_url(http: HttpRequest, by: str) -> str:
    """Where weights are set; "" for who may not."""
    model = Touchpoint if by == "touchpoint" else Organisation
    return list_url(model) if by and may_view(http, model) else ""


def _weigh(
    request: Request,
    by: str,
    column: Column,
    own: Sequence[MatrixRow],
    places: Sequence[Place],
    scores: Scores,
    tickets: Tickets | None,
) -> tuple[Weighted, Comparison | None]:
    """One metric of the page's touchpoints or segments, each counted by its weight; and whether it changed."""
    metric, points = column
    frame = request.frame
    sides: list[dict[str, Counts]] = []
    for window in range(2 if request.filters.before else 1):
        if by == "touchpoint":
            parts = [(row.touchpoint, row.before if window else row.now) for row in own]
        elif points:
            parts = [*scores.groups(column, by, window)]
        else:
            parts = [*tickets.groups(by, window)] if tickets else []
        sides.append({key: Counts(part.distribution) for key, part in parts if part is not None and part.n})
    touchpoints = [frame.touchpoints[place.slug] for place in places if place.slug]
    weights = weights_of(by, frame.organisation, touchpoints, metric, points)
    if by == "touchpoint" and not points:  # where no ticket ever comes there is no time to miss
        there = {row.touchpoint for row in own}
        weights = {slug: weight for slug, weight in weights.items() if slug in there}
    statistic: Statistic = "value" if points else "median"
    minimum = limits().minimum_n
    total = weigh(metric, points, sides[0], weights, statistic=statistic, minimum=minimum)
    if len(sides) == 1:
        return total, None
    return total, compare_weighted(metric, points, sides[0], sides[1], weights, statistic=statistic, minimum=minimum)


# --- What needs attention ---------------------------------------------------------------------------------------------


def _targets(rows: Sequence[MatrixRow], places: Sequence[Place]) -> int:
    targets = {place.slug: place.targets for place in places}
    return sum(figures.target_of(row.metric, targets.get(row.touchpoint, {})) is not None for row in rows if row.now.n)


def _items(
    request: Request,
    rows: Sequence[MatrixRow],
    places: Sequence[Place],
    changes: Sequence[Change],
    held: Mapping[str, Any],
) -> list[Item]:
    frame, http, now = request.frame, request.http, request.now
    known = {place.slug: place for place in places}
    active = {slug: frame.touchpoints[slug] for slug, place in known.items() if slug and place.active}
    asking = measure_asking(list(active.values()))
    halves = _halves(request, asking)

    def link(slug: str, column: Column) -> str:
        if not slug:
            return ""
        return reverse("touchpoint_page", args=[slug]) + carried_query(http, trend=figures.column_key(column))

    def settings(slug: str) -> str:
        if may_view(http, Touchpoint):
            return row_url(Touchpoint, active[slug].pk)
        return reverse("touchpoint_page", args=[slug]) + carried_query(http)

    def funnel(slug: str) -> str:
        first, last = (f"{day}" for day in _half_days(request, asking)[1])
        days = {"period": "custom", "from": first, "to": last, "touchpoint": slug}
        return reverse("response") + carried_query(http, **days)

    by_slug = {slug: asking[one.pk] for slug, one in active.items()}
    return [
        *_alarms(request),
        *attention.below_target(rows, known, link),
        *attention.drops(changes, known, link),
        *attention.long_open(held, known, link, now),
        *attention.unsurveyed(by_slug, known, settings, now),
        *(attention.fewer_respond(halves, known, funnel) if halves else ()),
        *attention.waits([(one.title, one.count, one.url) for one in frame.waiting]),
    ]


def _alarms(request: Request) -> list[Item]:
    """Alerts that stand, of rules that watch what the page shows; each leads to what its rule saw."""
    frame, http = request.frame, request.http

    def url(alert: Alert) -> str:
        if alert.rule.kind == AlertKind.OPEN_LONGER and not may_view(http, Ticket):
            return reverse("alerts")
        return alert_pages.view_path(alert, alert.latest)

    alerts = [one for one in frame.alerts[: standing.MOST] if standing.watches(one.rule, request.filters.narrowing)]
    with timezone.override(frame.organisation.zone):
        items = attention.alarms(alerts, url)
    if len(frame.alerts) > standing.MOST:
        text = _("More alerts stand than are listed here: all of them are on their own page.")
        items.append(Item("alert", text, reverse("alerts"), -len(alerts)))
    return items


def _half_days(request: Request, asking: Mapping[int, Asking]) -> tuple[Any, Any]:
    """((first day, last day) of the earlier half, and of the later), which ends when every link had its time."""
    wait_s = max((one.wait_s for one in asking.values() if one.has_rule), default=0)
    wait = min(LONGEST_WAIT_DAYS, -(-wait_s // 86_400))
    last = request.frame.organisation.day_of(request.now) - timedelta(days=wait + 1)
    half, one = timedelta(days=HALF_DAYS), timedelta(days=1)
    return (last - 2 * half + one, last - half), (last - half + one, last)


def _halves(request: Request, asking: Mapping[int, Asking]) -> Halves | None:
    """None where the page is narrowed to what an invitation does not have."""
    if not asking or any(name in request.filters.narrowing for name in OF_CELLS):
        return None
    frame, zone = request.frame, request.frame.organisation.zone
    earlier, later = _half_days(request, asking)
    begin, middle, end = (
        datetime.combine(day, time.min, zone) for day in (earlier[0], later[0], later[1] + timedelta(days=1))
    )
    everywhere = sorted(frame.touchpoints.values(), key=lambda one: one.pk)
    asked = Asked(begin, end, request.now, frame.organisation.time_zone, [one.pk for one in everywhere])
    named = " ".join([begin.isoformat(), middle.isoformat(), end.isoformat(), *(one.public_key for one in everywhere)])
    found = _kept(f"response-halves-{hashlib.sha256(named.encode()).hexdigest()}", asked, middle)
    sent = {slug: found[one.pk] for slug, one in frame.touchpoints.items() if one.pk in found and one.pk in asking}
    first, last = (date_format(day, "DATE_FORMAT") for day in later)
    return Halves(sent, (first, last))


def _kept(key: str, asked: Asked, middle: datetime) -> dict[int, tuple[Sent, Sent]]:
    """Counted once an hour: a page of many invitations would wait for it else. Without a cache it is counted each time."""
    try:
        found: dict[int, tuple[Sent, Sent]] | None = cache.get(key)
    except (RedisError, OSError):
        return measure_halves(asked, middle)
    if found is None:
        found = measure_halves(asked, middle)
        with suppress(RedisError, OSError):
            cache.set(key, found, KEPT_S)
    return found


PAGE = Page("overview", "", "staff/overview.html", make, kept=("weights",))
