"""A touchpoint's own page: all that its customers said, where it differs, and how they get there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from metrics import attention
from metrics.decisions import markers
from metrics.display import bars, charts, figures, funnel_pages, score_tables, trends
from metrics.display.figures import Column
from metrics.display.score_tables import Part
from metrics.display.tables import Table
from metrics.filters import carried_query
from metrics.formulas import NOTHING, Estimate, response_rate
from metrics.frame import SEES_ANSWERS, may_view, place_of, row_url
from metrics.queries import (
    MatrixRow,
    Measured,
    Scores,
    Tickets,
    measure_scores,
    measure_tickets,
)
from metrics.raw.funnel import Asked, Segments, Sent, measure_halves
from metrics.raw.languages import MAX_DAYS, measure_languages
from metrics.raw.reach import measure_reach, reach_interval
from metrics.reports import NotThere, Page, Report, Request
from metrics.slices import Interval, Slice
from metrics.views import answers
from metrics.views.decisions import record_url
from metrics.views.trends import asked_column, finest_interval, interval_tabs, trend_interval, trend_tabs
from surveys.admin.texts import language_name
from surveys.channels import SENDING
from surveys.flow import links
from surveys.models import Mode, Response, Touchpoint

VERBATIMS = 12
INVITATION_DAYS = 92  # raw invitations are read: these many days keep nobody waiting
LANGUAGE = "language"


def make(request: Request) -> Report:
    """/admin/touchpoints/{slug}/. `?trend=` chooses the metric, `?interval=` how its trend is cut, `?by=language` also counts raw."""
    frame, http = request.frame, request.http
    touchpoint = frame.touchpoints.get(request.args["slug"])
    if touchpoint is None:
        raise NotThere(
            _("There is no touchpoint “%(slug)s”") % {"slug": request.args["slug"]},
            _("It may have another name now. The overview lists all there are."),
        )
    found = _measure(request)
    comments = answers.narrowed(request).exclude(comment="")[:VERBATIMS]
    context: dict[str, Any] = {
        "touchpoint": touchpoint,
        "place": place_of(touchpoint),
        "figures": _figures(found, touchpoint),
        "overview_query": carried_query(http),
        "record_url": record_url(request, touchpoint),
        "verbatims": answers.show(http, comments, frame) if http.user.has_perm(SEES_ANSWERS) else [],
        "answers_url": reverse("answers") + carried_query(http, touchpoint=touchpoint.slug)
        if may_view(http, Response)
        else "",
        **_invited(touchpoint, request),
    }
    tables: list[Table] = []
    if found.rows:
        tables = _evidence(request, touchpoint, found, context)
    narrowing = request.filters.narrowing
    if not {"segment", "location"} & set(narrowing) and narrowing.get("mode", Mode.WEB) == Mode.WEB:
        context |= _reach(touchpoint, request)
    if http.user.has_perm("surveys.view_touchpoint"):
        context |= {
            "may_open": True,
            "widget_url": _widget_url(touchpoint),
            "public_url": links.public_url(touchpoint),
            "codes_url": reverse("admin:surveys_touchpoint_codes", args=[touchpoint.pk]),
            "snippet": links.embed_snippet(touchpoint),
            "qr": links.qr_svg(links.public_url(touchpoint, "qr")),
            "settings_url": row_url(Touchpoint, touchpoint.pk) if may_view(http, Touchpoint) else "",
        }
    return Report(touchpoint.label, tables, context)


# --- What is measured -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """Each metric that there is anything of, and the one that is looked at closely (None where there is nothing)."""

    rows: Mapping[Column, MatrixRow]
    column: Column | None
    scores: Scores
    tickets: Tickets | None
    changes: Mapping[Column, attention.Change]  # judged together

    def series(self, interval: Interval) -> list[tuple[date, Measured]]:
        if self.column is None:
            return []
        if self.column[1]:
            return self.scores.series(self.column, interval)
        return self.tickets.series(interval) if self.tickets else []

    def groups(self, dimension: str) -> list[tuple[str, Measured]]:
        if self.column is None:
            return []
        if self.column[1]:
            return self.scores.groups(self.column, dimension)
        return self.tickets.groups(dimension) if self.tickets else []


def _measure(request: Request) -> Found:
    """Scores in one query, tickets in one, and where TTR is what is looked at, the open ones in one more."""
    filters, catalogue = request.filters, request.frame.catalogue
    slice_, finest = filters.slice(), finest_interval(request)
    scores = measure_scores(slice_, filters.before, finest, ("mode", "segment", "location"), catalogue=catalogue)
    rows = {(row.metric, row.points): row for row in scores.rows if row.now.n}
    if slice_.modes:  # a ticket has none
        return _found(request, rows, scores, None)
    closely = not rows or figures.column_of(request.http.GET.get("trend", "")) == ("ttr", 0)
    tickets = measure_tickets(
        slice_,
        filters.before,
        finest,
        ("segment", "location") if closely else (),
        now=request.now if closely else None,
        catalogue=catalogue,
    )
    rows |= {(row.metric, row.points): row for row in tickets.rows if row.now.n or row.now.extra["open"]}
    return _found(request, rows, scores, tickets)


def _found(request: Request, rows: dict[Column, MatrixRow], scores: Scores, tickets: Tickets | None) -> Found:
    ordered = {column: rows[column] for column in figures.COLUMNS if column in rows}
    column = asked_column(request, list(ordered)) if ordered else None
    changes = {(one.row.metric, one.row.points): one for one in attention.compared(list(ordered.values()))}
    return Found(ordered, column, scores, tickets, changes)


def _figures(found: Found, touchpoint: Touchpoint) -> list[figures.Figure]:
    drawn = []
    for column, row in found.rows.items():
        now, change = figures.of(row.now), found.changes.get(column)
        told = change.told if change else None
        drawn.append(figures.figure(column, now, told, touchpoint.targets, now.high or 0))
    return drawn


# --- What is shown of it ----------------------------------------------------------------------------------------------


def _evidence(request: Request, touchpoint: Touchpoint, found: Found, context: dict[str, Any]) -> list[Table]:
    """Fills in the context, and gives the tables."""
    assert found.column is not None
    column, columns = found.column, list(found.rows)
    total = found.rows[column].now if column[1] or not found.tickets else found.tickets.total
    interval = trend_interval(request, total.n)
    series = found.series(interval)
    has_scores = total.points > 0 and figures.is_enough(total.n)
    distribution = bars.distribution(total) if has_scores else []
    parts = _parts_tables(request, touchpoint, found)
    near = markers(request.frame, request.filters.slice())
    tables = [
        _figures_table(touchpoint, found),
        score_tables.series_table(column, series, interval),
        *([score_tables.distribution_table(total), score_tables.bands_table(series, interval)] if has_scores else []),
        *parts,
    ]
    context |= {
        "headline_meaning": figures.meaning(column),
        "trend": trends.trend(column, series, interval, touchpoint.targets, near),
        "trend_tabs": trend_tabs(request, columns, column),
        "interval_tabs": interval_tabs(request),
        "n_text": figures.count_text(total.n),
        "distribution": distribution,
        "most": max((share.percent for share in distribution), default=0),  # the longest bar is the whole width
        "breakdown": bars.breakdown(total) if has_scores else [],
        "bands": charts.band_chart(series, interval, near) if has_scores else None,
        "facts": [*figures.facts(total), *_oldest(request, found)],
        "parts": [table.key for table in parts],
        "by_language": request.http.GET.get("by", "") == LANGUAGE,
        "language_query": request.query_with(by=LANGUAGE) if total.points else "",
    }
    return tables


def _oldest(request: Request, found: Found) -> list[figures.Fact]:
    if found.column != ("ttr", 0) or found.tickets is None or found.tickets.oldest is None:
        return []
    age = (request.now - found.tickets.oldest).total_seconds()
    return [figures.Fact(_("Oldest open ticket"), figures.value_text("ttr", max(0.0, age)))]


def _figures_table(touchpoint: Touchpoint, found: Found) -> Table:
    changes = {column: score_tables.change_word(column[0], one.told) for column, one in found.changes.items()}
    pairs = [(column, figures.of(row.now), figures.of(row.before)) for column, row in found.rows.items()]
    return score_tables.figures_table(pairs, touchpoint.targets, changes)


def _parts_tables(request: Request, touchpoint: Touchpoint, found: Found) -> list[Table]:
    """The metric by each dimension of which there is more than one group: one part alone is the whole again."""
    titles = {
        "segment": (_("By segment"), _("Segment")),
        "mode": (_("By how it was collected"), _("Collected by")),
        "location": (_("By location"), _("Location")),
    }
    tables = []
    for dimension, (title, head) in titles.items():
        parts = [
            Part(_name(dimension, key), request.query_with(**{dimension: key}) if key else "", part)
            for key, part in found.groups(dimension)
        ]
        if len(parts) > 1:
            tables.append(score_tables.parts_table(f"by-{dimension}", title, head, parts))
    if found.column and found.column[1] and request.http.GET.get("by", "") == LANGUAGE:
        tables += _by_language(request, touchpoint, found.column)
    return tables


def _name(dimension: str, key: str) -> str:
    if dimension == "mode":
        return str(Mode(key).label) if key in Mode.values else key
    return key or _("(none)")


def _by_language(request: Request, touchpoint: Touchpoint, column: Column) -> list[Table]:
    """Cells keep no language, so raw answers are counted: of a year at most, and that is said."""
    period = request.filters.period
    first = max(period.first, period.last - timedelta(days=MAX_DAYS - 1))
    slice_: Slice = replace(request.filters.slice(), day_from=first)
    found = measure_languages(touchpoint.pk, slice_, column, catalogue=request.frame.catalogue)
    parts = [Part(language_name(key) if key else _("(none)"), "", part) for key, part in found]
    if not parts:
        return []
    note = _("Counted answer by answer: no sum is kept by language.")
    if first > period.first:
        note = _("Counted answer by answer, so only the last %(days)d days of the period.") % {"days": MAX_DAYS}
    return [score_tables.parts_table("by-language", _("By language"), _("Language"), parts, note)]


# --- Who is asked -----------------------------------------------------------------------------------------------------


def _invited(touchpoint: Touchpoint, request: Request) -> dict[str, Any]:
    """How many of those invited answered; nothing where nobody was, or where the page is narrowed to what an invitation has not."""
    frame, filters = request.frame, request.filters
    narrowing, period = filters.narrowing, filters.period
    mode = narrowing.get("mode")
    if "location" in narrowing or (mode is not None and mode not in SENDING):
        return {}
    first = max(period.first, period.last - timedelta(days=INVITATION_DAYS - 1))
    begin, end = replace(filters, period=replace(period, first=first)).moments(frame)
    asked = Asked(
        begin, end, request.now, frame.organisation.time_zone, [touchpoint.pk],
        mode=mode, segment=narrowing.get("segment"),
        segments=Segments(frame.organisation.segment_attribute, frame.segments),
    )  # fmt: skip
    _none, sent = measure_halves(asked, begin).get(touchpoint.pk, (Sent(), Sent()))
    if not sent.sent:
        return {}
    days = {"period": "custom", "from": f"{first}", "to": f"{period.last}"} if first > period.first else {}
    return {
        "invited": funnel_pages.rate(_("Response rate"), _rate(sent)),
        "invited_rising": funnel_pages.open_text(sent.open) if sent.open else "",
        "invited_since": first if days else None,
        "invited_url": reverse("response") + carried_query(request.http, touchpoint=touchpoint.slug, **days),
    }


def _rate(sent: Sent) -> Estimate:
    return response_rate(sent.answered, sent.sent) if sent.sent else NOTHING


def _reach(touchpoint: Touchpoint, request: Request) -> dict[str, Any]:
    """Who saw the widget and who answered it; nothing where it was not seen. A view has no segment to filter by."""
    filters = request.filters
    first, last = filters.period.first, filters.period.last
    total, periods = measure_reach(touchpoint.pk, first, last, *filters.moments(request.frame))
    if total.views is None:
        return {}
    interval = reach_interval(first, last)
    return {
        "reach": bars.reach_row(_("All"), total),
        "reach_periods": [bars.reach_row(trends.period_label(start, interval), part) for start, part in periods],
        "reach_heading": _("Week from") if interval == "week" else _("Month"),
    }


def _widget_url(touchpoint: Touchpoint) -> str:
    try:
        return reverse("admin:surveys_touchpoint_widget", args=[touchpoint.pk])
    except NoReverseMatch:
        return ""


PAGE = Page(
    "touchpoint_page",
    "touchpoints/<slug:slug>/",
    "staff/touchpoint.html",
    make,
    fixes={"slug": "touchpoint"},
    kept=("trend", "interval", "by"),
)
