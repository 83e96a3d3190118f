"""Decisions and what became of them: the list, and a page for each. What was written down is edited in the admin's own form."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from metrics import decision_pages
from metrics.decision_pages import Group
from metrics.decisions import Beside, Decisions, Judged, column_of, decided_near, expectations_of, marker_of
from metrics.display import figures, trends
from metrics.display.tables import Table
from metrics.filters import carried_query
from metrics.frame import list_url, may_view, row_url
from metrics.models import Decision
from metrics.periods import Period
from metrics.queries import measure_trend
from metrics.reports import NotThere, Page, Report, Request
from metrics.slices import Slice
from metrics.views.trends import asked_column, trend_tabs
from surveys.models import Touchpoint

NOT_OF_DECISIONS = ("mode", "segment", "location")  # a decision is made for everybody at its touchpoints


def record_url(request: Request, *touchpoints: Touchpoint) -> str:
    """Where a decision is written down, begun for these touchpoints and for today; "" for whoever may not."""
    http = request.http
    if not (http.user.has_perm("metrics.add_decision") and admin.site.is_registered(Decision)):
        return ""
    begun: dict[str, Any] = {"day": request.frame.organisation.day_of(request.now).isoformat()}
    if touchpoints:
        begun["touchpoints"] = ",".join(str(one.pk) for one in touchpoints)
    return f"{reverse('admin:metrics_decision_add')}?{urlencode(begun)}"


def near_decisions(request: Request) -> tuple[Table, dict[str, Any]]:
    """For a page on changes: what was decided at its touchpoints in its days, and where more of it is (`staff/_decided.html`)."""
    filters = request.filters
    near = decided_near(request.frame, filters.slice(), filters.before)
    query = carried_query(request.http)
    table = decision_pages.near_table(near, request.frame, compares=filters.before is not None, query=query)
    return table, {"decisions_url": reverse("decisions") + query, "record_url": record_url(request)}


# --- The list ---------------------------------------------------------------------------------------------------------


def _list(request: Request) -> Report:
    """/admin/decisions/: those whose days after lie in the period, newest first."""
    decisions = Decisions.load(request.frame, request.now)
    shown = [row for row in reversed(decisions.rows) if _is_shown(row, request, decisions)]
    judged, _beside = decisions.judge(shown)
    chosen = request.frame.touchpoints.get(request.filters.narrowing.get("touchpoint", ""))
    query = carried_query(request.http)
    context = {
        "cards": [
            decision_pages.card(one, request.frame, reverse("decision", args=[one.decision.pk]) + query)
            for one in judged
        ],
        "said": decision_pages.summary(judged) if judged else "",
        "record_url": record_url(request, *([chosen] if chosen else [])),
        "all_url": list_url(Decision) if may_view(request.http, Decision) else "",
        "others": len(decisions.rows) - len(shown),
        "longest_query": request.query_with(period="365d", **{"from": "", "to": ""}),
    }
    return Report(
        pgettext("changes that were decided", "Decisions"),
        [decision_pages.decisions_table(judged, request.frame)],
        context,
        not judged,
        says=_says(request),
    )


def _is_shown(row: Any, request: Request, decisions: Decisions) -> bool:
    """A decision that is still to take effect is shown where the period reaches today."""
    if row.withdrawn:
        return False
    period = request.filters.period
    ids = request.frame.catalogue.touchpoint_ids(request.filters.slice())
    if ids is not None and not set(ids).intersection(row.places):
        return False
    last_after = row.day + timedelta(days=row.window_days - 1)
    return last_after >= period.first and (row.day <= period.last or period.last >= decisions.today)


def _says(request: Request) -> str:
    period = request.filters.period
    told = {"days": decision_pages.days_text((period.first, period.last))}
    return _("Decisions whose days after lie, at least in part, within %(days)s.") % told


# --- One of them ------------------------------------------------------------------------------------------------------


def _one(request: Request) -> Report:
    """/admin/decisions/{id}/. `?trend=` chooses the trend's metric."""
    decisions = Decisions.load(request.frame, request.now)
    row = decisions.find(int(request.args["number"]))
    if row is None:
        raise NotThere(_("There is no such decision"), _("It may have been deleted. The list shows all there are."))
    beside = Beside.of(row, decisions)
    judged, counts = decisions.judge([row], beside.windows)
    one = judged[0]
    groups = [
        Group(kind, len(ids), counts[2 + 2 * at], counts[3 + 2 * at]) for at, (kind, ids) in enumerate(beside.groups)
    ]
    tables = [
        decision_pages.effect_table(one),
        decision_pages.year_table(one, decisions, counts[0], counts[1]),
        decision_pages.group_table(one, decisions, groups),
    ]
    context = {
        "decision": row,
        "owner": decision_pages.person(row.owner),
        "places": [place for place in request.frame.touchpoints.values() if place.pk in row.places],
        "days": (decision_pages.days_text(one.before), decision_pages.days_text(one.after)),
        "early": "" if one.is_over else decision_pages.early_text(one),
        "shown": [decision_pages.show(one, finding) for finding in one.findings],
        "rivals": decision_pages.rivals_text(one) if one.rivals else "",
        "query": carried_query(request.http),
        "change_url": row_url(Decision, row.pk) if may_view(request.http, Decision) else "",
        **_trend(request, decisions, one),
    }
    return Report(row.title, [table for table in tables if table], context)


def _trend(request: Request, decisions: Decisions, one: Judged) -> dict[str, Any]:
    """The expected metrics over twice the days on either side, at the decision's touchpoints."""
    row = one.decision
    columns = [column_of(expectation) for expectation in expectations_of(row)]
    if not columns or not one.places:
        return {}
    column = asked_column(request, columns)
    reach = timedelta(days=2 * row.window_days)
    last = min(row.day + reach, max(decisions.today, row.day))
    period = Period("custom", row.day - reach, last)
    slugs = frozenset(place.slug for place in request.frame.touchpoints.values() if place.pk in one.places)
    slice_ = Slice(touchpoints=slugs, day_from=period.first, day_to=period.last, scale=column[1] or None)
    sides = next(finding for finding in one.findings if finding.column == column)
    interval = period.interval(2 * (sides.before.n + sides.after.n))
    series = measure_trend(column[0], slice_, interval, catalogue=request.frame.catalogue)
    near = [
        marker_of(other, request.frame)
        for other in decisions.rows
        if (not other.withdrawn or other.pk == row.pk)
        and one.places.intersection(other.places)
        and period.first <= other.day <= period.last
    ]
    return {
        "trend": trends.trend(column, series, interval, {}, near),
        "trend_tabs": trend_tabs(request, columns, column),
        "trend_meaning": figures.meaning(column),
    }


PAGES: Sequence[Page] = (
    Page(
        "decisions",
        "decisions/",
        "staff/decisions.html",
        _list,
        ignores=NOT_OF_DECISIONS,
        compares=False,
    ),
    Page("decision", "decisions/<int:number>/", "staff/decision.html", _one, kept=("trend",), compares=False),
)
