"""`GET metrics/{nps|csat|ces|ttr}/`. In: a slice as query parameters. Out: the metric as JSON, or a problem with pointers.

Parsing and shaping only: what a slice means stands in `queries`, what a number means in `formulas`.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, cast

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from metrics.queries import INTERVALS, OF_CELLS, OF_TOUCHPOINTS, Interval, Measured, Slice, UnusableSlice, measure
from surveys.api.base import CxView, FieldError, Problem, read_day
from surveys.api.documents import problems
from surveys.models import Channel, Mode, Organisation

DIMENSIONS = (*OF_TOUCHPOINTS, *OF_CELLS)
SINGLE = ("from", "to", "interval", "group_by", "scale")
LEVEL = 0.95


class IntervalEnds(serializers.Serializer[Any]):
    level = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class MetricFields(serializers.Serializer[Any]):
    """One metric of one slice, period or group."""

    value = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()
    ci = IntervalEnds(allow_null=True)
    distribution = serializers.DictField(
        child=serializers.IntegerField(), required=False, help_text="Answers per score."
    )
    breakdown = serializers.DictField(child=serializers.IntegerField(), required=False, help_text="Answers per band.")
    mean = serializers.FloatField(allow_null=True, required=False, help_text="csat: mean score.")
    easy_share = serializers.FloatField(allow_null=True, required=False, help_text="ces: percent that answered 5 to 7.")
    median = serializers.FloatField(allow_null=True, required=False, help_text="ttr: seconds, within 1 %.")
    p90 = serializers.FloatField(allow_null=True, required=False, help_text="ttr: seconds, within 1 %.")
    reopened_share = serializers.FloatField(
        allow_null=True, required=False, help_text="ttr: 0 to 1, of resolved tickets."
    )
    median_with_open = serializers.FloatField(
        allow_null=True, required=False,
        help_text="ttr: Kaplan–Meier median in seconds of the tickets opened in the period; null: not reached.",
    )  # fmt: skip
    open = serializers.IntegerField(
        required=False,
        help_text="ttr: unresolved tickets of the slice now, whatever the days (in each period of a series too).",
    )


class SeriesItem(MetricFields):
    start = serializers.DateField()


class GroupItem(MetricFields):
    key = serializers.CharField(allow_blank=True)


class MetricBody(MetricFields):
    metric = serializers.ChoiceField(["nps", "csat", "ces", "ttr"])
    scale = serializers.IntegerField(required=False, help_text="csat: the points of the scale measured.")
    series = SeriesItem(many=True, required=False, help_text="With `interval`.")
    groups = GroupItem(many=True, required=False, help_text="With `group_by`.")
    as_of = serializers.DateTimeField()


def _many(name: str, text: str, choices: list[str] | None = None) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, many=True, enum=choices, description=f"{text} May repeat.")


PARAMETERS = [
    _many("touchpoint", "Slugs of touchpoints."),
    _many("journey", "Slugs of journeys."),
    _many("stage", "Stages of journeys, as journey/stage."),
    _many("channel", "Where the interaction happened.", Channel.values),
    _many("mode", "How the answer was collected; not for ttr.", Mode.values),
    _many("segment", "Customer segments; empty for none."),
    _many("location", "Branches, tables, teams; empty for none."),
    OpenApiParameter("from", OpenApiTypes.DATE, description="First day."),
    OpenApiParameter("to", OpenApiTypes.DATE, description="Last day, inclusive."),
    OpenApiParameter("interval", OpenApiTypes.STR, enum=list(INTERVALS), description="Adds `series`."),
    OpenApiParameter("group_by", OpenApiTypes.STR, enum=list(DIMENSIONS), description="Adds `groups`."),
    OpenApiParameter("scale", OpenApiTypes.INT, enum=[5, 7], description="csat: 5 and 7 points are never pooled."),
]


class MetricView(CxView):
    """One metric, its interval, distribution, series and groups, from cells alone."""

    scopes = {"GET": "metrics:read"}
    metric = ""  # set in the URLs

    @extend_schema(
        parameters=PARAMETERS,
        responses={200: MetricBody, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        now = timezone.now()
        wanted = read_slice(request.query_params)
        interval, group_by = read_shape(request.query_params)
        try:
            found = measure(self.metric, wanted, now=now, interval=interval, group_by=group_by)
        except UnusableSlice as error:
            raise _refusal({error.field: str(error)}) from None
        body: dict[str, Any] = {"metric": self.metric, **measured_fields(found.total)}
        if self.metric == "csat":
            body["scale"] = found.total.points
        if interval:
            body["series"] = [{"start": start.isoformat(), **measured_fields(part)} for start, part in found.series]
        if group_by:
            body["groups"] = [{"key": key, **measured_fields(part)} for key, part in found.groups]
        body["as_of"] = now.astimezone(Organisation.current().zone).isoformat(timespec="seconds")
        return Response(body)


def measured_fields(measured: Measured) -> dict[str, Any]:
    """A Measured under the contract's names: nothing rounded, nothing for nobody."""
    interval = None
    if measured.low is not None and measured.high is not None:
        interval = {"level": LEVEL, "low": measured.low, "high": measured.high}
    fields: dict[str, Any] = {"value": measured.value, "n": measured.n, "ci": interval, **measured.extra}
    if measured.points:
        fields["distribution"] = {str(score): count for score, count in measured.distribution.items()}
        fields["breakdown"] = dict(measured.breakdown)
    return fields


def read_slice(query: Any) -> Slice:
    """The slice that query parameters (a QueryDict) name; Problem 400 with a pointer to each one that is wrong."""
    known = (*DIMENSIONS, *SINGLE)
    wrong = {
        name: f"There is no parameter “{name}”; there are {', '.join(known)}." for name in query if name not in known
    }
    wrong |= {name: "Give it once." for name in SINGLE if len(query.getlist(name)) > 1}
    wrong |= {
        name: "NUL is not a character of a name." for name in DIMENSIONS if any("\0" in v for v in query.getlist(name))
    }
    days: dict[str, date | None] = {}
    for name in ("from", "to"):
        days[name] = None
        if name in query and name not in wrong:
            days[name] = read_day(query[name])
            if days[name] is None:
                wrong[name] = f"“{query[name]}” is not a day such as 2026-11-20."
    scale = query.get("scale")
    if scale is not None and not re.fullmatch(r"[0-9]{1,2}", scale):
        wrong["scale"] = "scale is 5 or 7."
    if wrong:
        raise _refusal(wrong)
    return Slice(
        **{f"{dimension}s": frozenset(query.getlist(dimension)) for dimension in DIMENSIONS},
        day_from=days["from"],
        day_to=days["to"],
        scale=int(scale) if scale else None,
    )


def read_shape(query: Any) -> tuple[Interval | None, str | None]:
    """`interval` and `group_by`; Problem 400 where one is none of those there are."""
    interval, group_by = query.get("interval"), query.get("group_by")
    wrong = {}
    if interval is not None and interval not in INTERVALS:
        wrong["interval"] = f"interval is one of {', '.join(INTERVALS)}."
    if group_by is not None and group_by not in DIMENSIONS:
        wrong["group_by"] = f"group_by is one of {', '.join(DIMENSIONS)}."
    if wrong:
        raise _refusal(wrong)
    return cast("Interval | None", interval), group_by


def _refusal(wrong: Mapping[str, str]) -> Problem:
    errors = [FieldError(f"/{name}" if name else "", detail) for name, detail in wrong.items()]
    return Problem(400, "; ".join(wrong.values()), errors)
