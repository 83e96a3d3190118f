"""A touchpoint's own page: all that its customers said, and how they get there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from metrics import pages
from metrics.filters import carried_query
from metrics.frame import SEES_ANSWERS, list_url, may_view, place_of, row_url
from metrics.queries import MatrixRow, Measured, measure, measure_matrix
from metrics.reach import measure_reach, reach_interval
from metrics.reports import NotThere, Page, Report, Request
from metrics.views import answers
from metrics.views.trends import asked_column, trend_tabs
from surveys.flow import links
from surveys.models import Mode, Response, Touchpoint

VERBATIMS = 12
MAX_GROUPS = 50


def make(request: Request) -> Report:
    """/admin/touchpoints/{slug}/. `?trend=` chooses the trend's metric."""
    frame, filters, http = request.frame, request.filters, request.http
    touchpoint = frame.touchpoints.get(request.args["slug"])
    if touchpoint is None:
        raise NotThere(
            _("There is no touchpoint “%(slug)s”") % {"slug": request.args["slug"]},
            _("It may have another name now. The overview lists all there are."),
        )
    rows = measure_matrix(filters.slice(), filters.before, now=request.now, catalogue=frame.catalogue)
    found = {(row.metric, row.points): row for row in rows if row.now.n}
    columns = [column for column in pages.COLUMNS if column in found]
    comments = answers.narrowed(request).exclude(comment="")[:VERBATIMS]
    context = {
        "touchpoint": touchpoint,
        "place": place_of(touchpoint),
        "figures": [_figure(found[column], touchpoint) for column in columns],
        "overview_query": carried_query(http),
        "verbatims": answers.show(http, comments, frame) if http.user.has_perm(SEES_ANSWERS) else [],
        "answers_url": list_url(Response, {"touchpoint__id__exact": touchpoint.pk}) if may_view(http, Response) else "",
    }
    if columns:
        column = asked_column(request, columns)
        interval = filters.period.interval(found[column].now.n)
        measured = measure(
            column[0], filters.slice(column[1] or None), now=request.now, interval=interval, catalogue=frame.catalogue
        )
        context |= {
            "headline_meaning": pages.meaning(column),
            "trend": pages.trend(column, measured.series, interval, touchpoint.targets),
            "trend_tabs": trend_tabs(request, columns, column),
            **_evidence(request, measured.total),
        }
    narrowing = filters.narrowing
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
    return Report(touchpoint.label, context=context)


def _reach(touchpoint: Touchpoint, request: Request) -> dict[str, Any]:
    """Who saw the widget and who answered it; nothing where it was not seen. A view has no segment to filter by."""
    filters = request.filters
    first, last = filters.period.first, filters.period.last
    total, periods = measure_reach(touchpoint.pk, first, last, *filters.moments(request.frame))
    if total.views is None:
        return {}
    interval = reach_interval(first, last)
    return {
        "reach": pages.reach_row(_("All"), total),
        "reach_periods": [pages.reach_row(pages.period_label(start, interval), part) for start, part in periods],
        "reach_heading": _("Week from") if interval == "week" else _("Month"),
    }


def _widget_url(touchpoint: Touchpoint) -> str:
    try:
        return reverse("admin:surveys_touchpoint_widget", args=[touchpoint.pk])
    except NoReverseMatch:
        return ""


def _figure(row: MatrixRow, touchpoint: Touchpoint) -> pages.Figure:
    now = pages.of(row.now)
    return pages.figure((row.metric, row.points), now, pages.of(row.before), touchpoint.targets, now.high or 0)


@dataclass(frozen=True)
class Part:
    """One row of a breakdown; `query` narrows the page to it, "" where it cannot be."""

    name: str
    figure: pages.Figure
    query: str


def _evidence(request: Request, total: Measured) -> dict[str, Any]:
    """Below the trend: how the scores spread, and the same metric by mode, segment and location."""
    headings = {"mode": _("By how it was collected"), "segment": _("By segment"), "location": _("By location")}
    if not total.points:
        del headings["mode"]  # a ticket has none
    slice_, catalogue = request.filters.slice(total.points or None), request.frame.catalogue
    tables = []
    for dimension, heading in headings.items():
        found = measure(total.metric, slice_, now=request.now, group_by=dimension, catalogue=catalogue).groups
        groups = sorted(((key, part) for key, part in found if part.n), key=lambda group: -group[1].n)[:MAX_GROUPS]
        if len(groups) > 1:  # one part alone is the whole again
            tables.append((heading, _parts(request, dimension, groups)))
    has_scores = total.points > 0 and pages.is_enough(total.n)
    distribution = pages.distribution(total) if has_scores else []
    return {
        "n_text": pages.count_text(total.n),
        "distribution": distribution,
        "most": max((share.percent for share in distribution), default=0),  # the longest bar is the whole width
        "breakdown": pages.breakdown(total) if has_scores else [],
        "facts": pages.facts(total),
        "groups": tables,
    }


def _parts(request: Request, dimension: str, groups: Sequence[tuple[str, Measured]]) -> list[Part]:
    names = {value: str(label) for value, label in Mode.choices} if dimension == "mode" else {}
    longest = max((pages.of(part).high or 0 for _key, part in groups), default=0)
    return [
        Part(
            names.get(key, key) or _("(none)"),
            pages.figure((part.metric, part.points), pages.of(part), None, {}, longest),
            request.query_with(**{dimension: key}) if key else "",
        )
        for key, part in groups
    ]


PAGE = Page(
    "touchpoint_page",
    "touchpoints/<slug:slug>/",
    "staff/touchpoint.html",
    make,
    fixes={"slug": "touchpoint"},
    kept=("trend",),
)
