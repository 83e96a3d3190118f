"""The overview: every touchpoint × metric, one trend, the newest answers, what waits.

It is the first thing after login, so it stays within a few queries however much there is: scores come from cells, and the newest
answers from an index. Names and addresses of customers are not on it.
"""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from metrics import pages
from metrics.filters import carried_query
from metrics.frame import list_url, may_view
from metrics.queries import MatrixRow, measure_matrix, measure_trend
from metrics.reports import Page, Report, Request
from metrics.views import answers
from metrics.views.trends import asked_column, trend_tabs
from surveys.models import Response, Touchpoint

NEWEST = 8


def make(request: Request) -> Report:
    """/admin/. `?trend=` chooses the trend's metric."""
    frame, filters = request.frame, request.filters
    rows = measure_matrix(filters.slice(), filters.before, now=request.now, catalogue=frame.catalogue)
    matrix = pages.matrix(rows, _places(request, rows))
    context: dict[str, Any] = {
        "matrix": matrix,
        "touchpoint_query": carried_query(request.http),
        "waiting": frame.waiting,
        "newest": answers.show(request.http, answers.narrowed(request)[:NEWEST], frame),
        "answers_url": list_url(Response) if may_view(request.http, Response) else "",
        "new_touchpoint_url": _add_url(request.http),
        "has_touchpoints": bool(frame.touchpoints),
    }
    if matrix.columns:
        column = asked_column(request, matrix.columns)
        own = [row for row in rows if (row.metric, row.points) == column]
        interval = filters.period.interval(sum(row.now.n for row in own))
        series = measure_trend(column[0], filters.slice(column[1] or None), interval, catalogue=frame.catalogue)
        total = pages.pooled(column, [row.now for row in own])
        before = pages.pooled(column, [row.before for row in own])
        context |= {
            "headline": pages.figure(column, total, before, {}, total.high or 0),
            "headline_meaning": pages.meaning(column),
            "trend": pages.trend(column, series, interval, {}),
            "trend_tabs": trend_tabs(request, matrix.columns, column),
        }
    return Report(_("Overview"), context=context)


def _add_url(request: HttpRequest) -> str:
    may = request.user.has_perm("surveys.add_touchpoint") and admin.site.is_registered(Touchpoint)
    return reverse("admin:surveys_touchpoint_add") if may else ""


def _places(request: Request, rows: Sequence[MatrixRow]) -> list[pages.Place]:
    ids = request.frame.catalogue.touchpoint_ids(request.filters.slice())
    slugs = {request.frame.catalogue.place(pk).touchpoint for pk in ids} if ids is not None else None
    places = [place for place in request.frame.places if slugs is None or place.slug in slugs]
    if any(not row.touchpoint for row in rows):
        places.append(pages.Place("", _("Tickets without a touchpoint"), "", ""))
    return places


PAGE = Page("overview", "", "staff/overview.html", make, kept=("trend",))
