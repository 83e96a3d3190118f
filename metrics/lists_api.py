"""`GET alerts/` and `GET decisions/`. In: filters as query parameters. Out: pages of JSON, newest first, or problems with pointers.

Numbers are those that an alert kept, and those that a decision's own page shows: nothing is computed here, and nothing is rounded. No
member of staff is named.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from metrics.api import interval_ends
from metrics.decision_pages import side_estimate
from metrics.decisions import Decisions, Finding, Judged
from metrics.display import alert_pages
from metrics.display.figures import Column
from metrics.effects import Days, Verdict
from metrics.frame import Frame
from metrics.models import Alert, Decision
from metrics.models.alerts import METRICS, AlertKind, Cleared
from metrics.models.decisions import Direction
from metrics.significance import Counts
from surveys.api.base import CursorPages, CxView, FieldError, Problem, filter_faults, read_day
from surveys.api.documents import MOMENT, MOMENT_OR_NULL, TEXT, TEXT_OR_NULL, page_of, problems
from surveys.models import Channel, Organisation

PAGED = ("cursor", "page_size")
_PAGES = [
    OpenApiParameter("cursor", str),
    OpenApiParameter("page_size", int, description="At most 1,000; 100 where it is left out."),
]
_NUMBER_OR_NULL = {"type": ["number", "null"]}
_COUNT = {"type": "integer"}
_DAY = {"type": "string", "format": "date"}


def _object(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """All of its properties are always there."""
    return {
        "type": "object", "required": list(properties), "additionalProperties": False, "properties": dict(properties), **more,
    }  # fmt: skip


# --- Alerts -----------------------------------------------------------------------------------------------------------

_NUMBERS = {
    "type": "object",
    "description": "What one look saw, in the metric's unit: points, percent (response rates, too), 1 to 7, seconds. Only what there is: "
    "rules that count have `count`, and `oldest_at` or `newest_at`. Empty where nothing was looked at.",
    "properties": {
        **dict.fromkeys(
            ("value", "low", "high", "target", "before", "before_low", "before_high", "p"), _NUMBER_OR_NULL
        ),
        **dict.fromkeys(("n", "before_n", "count", "longer_than_s"), _COUNT),
        **dict.fromkeys(("first", "last", "before_first", "before_last"), _DAY),
        "oldest_at": MOMENT_OR_NULL,
        "newest_at": MOMENT,
    },
    "additionalProperties": False,
}
ALERT_SCHEMA = _object({
    "id": _COUNT,
    "rule": TEXT,
    "kind": {"type": "string", "enum": list(AlertKind.values)},
    "metric": {"type": ["string", "null"], "enum": [*dict(METRICS), None]},
    "scale": {"type": ["integer", "null"], "description": "The points of the scale; null for what has one alone, or none."},
    "touchpoint": TEXT_OR_NULL,
    "journey": TEXT_OR_NULL,
    "stage": {"type": ["string", "null"], "description": "As journey/stage."},
    "channel": {"type": ["string", "null"], "enum": [*Channel.values, None]},
    "mode": TEXT_OR_NULL,
    "segment": TEXT_OR_NULL,
    "location": TEXT_OR_NULL,
    "fired_at": MOMENT,
    "fired": _NUMBERS,
    "latest": _NUMBERS,
    "acknowledged_at": MOMENT_OR_NULL,
    "cleared_at": {**MOMENT_OR_NULL, "description": "null: it stands."},
    "cleared": _NUMBERS,
    "cleared_why": {"type": ["string", "null"], "enum": [*Cleared.values, None]},
    "url": {"type": "string", "format": "uri", "description": "The page that shows what the rule saw when it fired; for staff."},
})  # fmt: skip
ALERT_STATES = ("standing", "cleared")
ALERT_FILTERS = {
    "rule": "rule__slug", "kind": "rule__kind", "metric": "rule__metric", "touchpoint": "rule__touchpoint__slug",
}  # fmt: skip
_KNOWN: Mapping[str, Sequence[str]] = {"kind": AlertKind.values, "metric": list(dict(METRICS))}


class AlertPages(CursorPages):
    # One evaluation fires many at the same moment, and one evaluator runs at a time: ids are in the order of firing, and unique.
    ordering = ("-id",)


class AlertsView(CxView):
    scopes = {"GET": "metrics:read"}

    @extend_schema(
        operation_id="alerts_list",
        summary="List alerts that stand and those that are over, newest first",
        parameters=[
            OpenApiParameter("state", str, enum=list(ALERT_STATES), description="Both where it is left out."),
            *(
                OpenApiParameter(name, str, many=True, description="Of its rule. May repeat.", enum=_KNOWN.get(name))
                for name in ALERT_FILTERS
            ),
            *_PAGES,
        ],
        responses={200: page_of(ALERT_SCHEMA), **problems(400, 404)},
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        wrong = filter_faults(query, ("state", *ALERT_FILTERS, *PAGED))
        for name, known in {"state": ALERT_STATES, **_KNOWN}.items():
            if any(value not in known for value in query.getlist(name)):
                wrong.append(FieldError(f"/{name}", f"is one of {', '.join(known)}."))
        if wrong:
            raise Problem(400, "The query is not valid.", wrong)
        rows = Alert.objects.select_related(*alert_pages.OF_RULE)
        for name, column in ALERT_FILTERS.items():
            if query.getlist(name):
                rows = rows.filter(**{f"{column}__in": query.getlist(name)})
        if "state" in query:
            rows = rows.filter(cleared_at__isnull=query["state"] == "standing")
        pages = AlertPages()
        with timezone.override(Organisation.current().zone):
            shown = [alert_fields(row) for row in pages.paginate_queryset(rows, request, self) or []]
        return pages.get_paginated_response(shown)


def alert_fields(alert: Alert) -> dict[str, Any]:
    """An alert as the API shows it. The caller tells the organisation's time, in which the page's days are."""
    rule = alert.rule
    return {
        "id": alert.pk,
        "rule": rule.slug,
        "kind": rule.kind,
        "metric": rule.metric or None,
        "scale": rule.points or None,
        "touchpoint": rule.touchpoint.slug if rule.touchpoint else None,
        "journey": rule.journey.slug if rule.journey else None,
        "stage": rule.stage.key if rule.stage else None,
        **{name: getattr(rule, name) or None for name in ("channel", "mode", "segment", "location")},
        "fired_at": alert.fired_at.isoformat(),
        "fired": alert.fired,
        "latest": alert.latest,
        "acknowledged_at": alert.acknowledged_at.isoformat() if alert.acknowledged_at else None,
        "cleared_at": alert.cleared_at.isoformat() if alert.cleared_at else None,
        "cleared": alert.cleared,
        "cleared_why": alert.cleared_why or None,
        "url": settings.BASE_URL + alert_pages.view_path(alert),
    }


# --- Decisions --------------------------------------------------------------------------------------------------------

_ENDS = {"level": {"type": "number"}, "low": {"type": "number"}, "high": {"type": "number"}}
_ENDS_OR_NULL = _object(_ENDS) | {"type": ["object", "null"]}
_SIDE = _object({"value": _NUMBER_OR_NULL, "n": _COUNT, "ci": _ENDS_OR_NULL})
_EXPECTED = _object({
    "metric": {"type": "string", "enum": [*dict(METRICS)]},
    "scale": {"type": ["integer", "null"], "description": "The points of the scale; null for ttr."},
    "direction": {"type": "string", "enum": list(Direction.values)},
    "change": {**_NUMBER_OR_NULL, "description": "What was expected, signed, in the metric's unit; null where only a direction was."},
    "verdict": {"type": "string", "enum": list(Verdict.__args__)},  # type: ignore[attr-defined]
    "before": _SIDE,
    "after": _SIDE,
    "difference": {**_NUMBER_OR_NULL, "description": "After less before; null as long as it is too early."},
    "difference_ci": _ENDS_OR_NULL,
    "p": {**_NUMBER_OR_NULL, "description": "Two-sided, on its own."},
    "p_holm": {**_NUMBER_OR_NULL, "description": "Corrected for all expectations of the decisions of its quarter; the verdict goes by it."},
})  # fmt: skip
_SPAN = _object({"from": _DAY, "to": _DAY})
DECISION_SCHEMA = _object({
    "id": _COUNT,
    "day": {**_DAY, "description": "The first day on which customers met the change."},
    "title": TEXT,
    "done": TEXT,
    "touchpoints": {"type": "array", "items": TEXT},
    "withdrawn": {"type": "boolean", "description": "Nothing is compared then."},
    "recorded_at": MOMENT,
    "before": _SPAN,
    "after": _SPAN,
    "days_over": {**_COUNT, "description": "Of the days after, how many are over; before all of them are, it is too early."},
    "expected": {"type": "array", "items": _EXPECTED},
    "url": {"type": "string", "format": "uri", "description": "Its page, for staff."},
})  # fmt: skip
DECISION_FILTERS = ("touchpoint", "from", "to", "withdrawn")
_FLAGS = {"true": True, "false": False}


class DecisionPages(CursorPages):
    ordering = ("-day", "-id")


class DecisionsView(CxView):
    scopes = {"GET": "metrics:read"}

    @extend_schema(
        operation_id="decisions_list",
        summary="List decisions with what was expected of them and what became of it, newest first",
        parameters=[
            OpenApiParameter("touchpoint", str, many=True, description="Slugs of touchpoints. May repeat."),
            OpenApiParameter("from", OpenApiTypes.DATE, description="First day on which one took effect."),
            OpenApiParameter("to", OpenApiTypes.DATE, description="Last of these days, inclusive."),
            OpenApiParameter("withdrawn", bool, description="Both where it is left out."),
            *_PAGES,
        ],
        responses={200: page_of(DECISION_SCHEMA), **problems(400, 404)},
    )
    def get(self, request: Request) -> Response:
        now = timezone.now()
        pages = DecisionPages()
        page = pages.paginate_queryset(_wanted(request.query_params), request, self) or []
        if not page:
            return pages.get_paginated_response([])
        frame = Frame.load(None, now)
        decisions = Decisions.load(frame, now)
        rows = [row for one in page if (row := decisions.find(one.pk)) is not None]
        judged, _beside = decisions.judge(rows)
        return pages.get_paginated_response([decision_fields(one, frame) for one in judged])


def _wanted(query: Any) -> QuerySet[Decision]:
    """What the filters leave; Problem 400 for what is none."""
    wrong = filter_faults(query, (*DECISION_FILTERS, *PAGED))
    days: dict[str, date] = {}
    for name in ("from", "to"):
        day = read_day(query[name]) if name in query else None
        if day is not None:
            days[name] = day
        elif name in query:
            wrong.append(FieldError(f"/{name}", "is not a day such as 2026-11-20."))
    if "withdrawn" in query and query["withdrawn"] not in _FLAGS:
        wrong.append(FieldError("/withdrawn", "is true or false."))
    if wrong:
        raise Problem(400, "The query is not valid.", wrong)
    rows = Decision.objects.all()
    if query.getlist("touchpoint"):
        places = Decision.touchpoints.through.objects.filter(touchpoint__slug__in=query.getlist("touchpoint"))
        rows = rows.filter(pk__in=places.values("decision"))
    if "from" in days:
        rows = rows.filter(day__gte=days["from"])
    if "to" in days:
        rows = rows.filter(day__lte=days["to"])
    return rows.filter(withdrawn=_FLAGS[query["withdrawn"]]) if "withdrawn" in query else rows


def decision_fields(judged: Judged, frame: Frame) -> dict[str, Any]:
    """A decision as the API shows it, judged as its page judges it."""
    row = judged.decision
    return {
        "id": row.pk,
        "day": row.day.isoformat(),
        "title": row.title,
        "done": row.done,
        "touchpoints": [slug for slug, touchpoint in frame.touchpoints.items() if touchpoint.pk in judged.places],
        "withdrawn": row.withdrawn,
        "recorded_at": row.created_at.isoformat(),
        "before": _span(judged.before),
        "after": _span(judged.after),
        "days_over": judged.done,
        "expected": [_expected(finding) for finding in judged.findings],
        "url": settings.BASE_URL + reverse("decision", args=[row.pk]),
    }


def _expected(finding: Finding) -> dict[str, Any]:
    effect, found = finding.effect, finding.effect.comparison
    metric, points = finding.column
    return {
        "metric": metric,
        "scale": points or None,
        "direction": finding.expectation.direction,
        "change": effect.expected,
        "verdict": effect.verdict,
        "before": _side(finding.column, finding.before),
        "after": _side(finding.column, finding.after),
        "difference": found.difference if found else None,
        "difference_ci": interval_ends(found.low, found.high) if found else None,
        "p": found.p if found else None,
        "p_holm": effect.p,
    }


def _side(column: Column, counts: Counts) -> dict[str, Any]:
    found = side_estimate(column, counts)
    return {"value": found.value, "n": found.n, "ci": interval_ends(found.low, found.high)}


def _span(days: Days) -> dict[str, str]:
    return {"from": days[0].isoformat(), "to": days[1].isoformat()}
