"""`GET metrics/{nps|csat|ces|ttr}/`. In: a slice as query parameters. Out: the metric as JSON, or a problem with pointers.

Parsing and shaping only: what a slice means stands in `queries`, what a number means in `formulas`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from typing import Any, cast

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from metrics.periods import COMPARISONS, Period
from metrics.queries import (
    INTERVALS,
    OF_CELLS,
    OF_TOUCHPOINTS,
    WEIGHED_BY,
    Catalogue,
    Interval,
    Measured,
    Slice,
    UnusableSlice,
    measure,
    measure_weighted,
    weights_of,
)
from metrics.significance import Statistic, compare
from surveys.api.base import CxView, FieldError, Problem, read_day
from surveys.api.documents import problems
from surveys.models import Channel, Mode, Organisation, Touchpoint
from surveys.planning import LEVEL
from surveys.worktime import WorkCalendar

DIMENSIONS = (*OF_TOUCHPOINTS, *OF_CELLS)
SINGLE = ("from", "to", "interval", "group_by", "scale", "clock", "compare", "compare_from", "compare_to", "weights")
CLOCKS = ("calendar", "business")


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


class DifferenceFields(serializers.Serializer[Any]):
    """How far the days asked for lie from those that they are held against."""

    value = serializers.FloatField(allow_null=True, help_text="Of the days that it is held against.")
    n = serializers.IntegerField(help_text="Of those days.")
    difference = serializers.FloatField(allow_null=True, help_text="The value less that one, in the metric's unit.")
    difference_ci = IntervalEnds(
        allow_null=True,
        help_text="Null with fewer answers on a side than the organisation's minimum, or without spread.",
    )
    p = serializers.FloatField(
        allow_null=True, help_text="Two-sided, of no difference; below 0.05 exactly where the interval leaves 0 out."
    )
    significant = serializers.BooleanField(
        allow_null=True, help_text="Whether the interval leaves 0 out; null where that cannot be told."
    )


class ComparisonFields(DifferenceFields):
    ci = IntervalEnds(allow_null=True)
    median = DifferenceFields(required=False, help_text="ttr: the same of the medians of resolved tickets.")


class Comparison(ComparisonFields):
    """`from` and `to` are the first and the last day that it is held against."""

    def get_fields(self) -> dict[str, Any]:
        # `from` is no name that Python can give a field.
        return {"from": serializers.DateField(), "to": serializers.DateField(), **super().get_fields()}


class SeriesItem(MetricFields):
    start = serializers.DateField()


class GroupItem(MetricFields):
    key = serializers.CharField(allow_blank=True)
    comparison = ComparisonFields(required=False, help_text="With `compare`.")


class StratumFields(serializers.Serializer[Any]):
    key = serializers.CharField(allow_blank=True)
    weight = serializers.FloatField(help_text="As it is set.")
    share = serializers.FloatField(help_text="What it has in the score, 0 to 1; 0 where it is left out.")
    value = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()
    left_out = serializers.ChoiceField(["", "too_few", "no_weight"], help_text="Why the share is 0.")


class WeightedFields(serializers.Serializer[Any]):
    """Touchpoints or segments, each counted by its weight. Null where more than a fifth of all weight is missing."""

    by = serializers.ChoiceField(list(WEIGHED_BY))
    value = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()
    ci = IntervalEnds(allow_null=True)
    missing = serializers.FloatField(help_text="The part of all weight on those with too few answers, 0 to 1.")
    strata = StratumFields(many=True)


class MetricBody(MetricFields):
    metric = serializers.ChoiceField(["nps", "csat", "ces", "ttr"])
    scale = serializers.IntegerField(required=False, help_text="csat: the points of the scale measured.")
    series = SeriesItem(many=True, required=False, help_text="With `interval`.")
    groups = GroupItem(many=True, required=False, help_text="With `group_by`.")
    clock = serializers.ChoiceField(CLOCKS, required=False, help_text="ttr, where it was asked for.")
    comparison = Comparison(required=False, help_text="With `compare`, or `compare_from` and `compare_to`.")
    weighted = WeightedFields(required=False, help_text="With `weights`.")
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
    OpenApiParameter(
        "clock", OpenApiTypes.STR, enum=list(CLOCKS),
        description="ttr: calendar time (default), or business time by the organisation's working hours; 400 where it has none.",
    ),
    OpenApiParameter(
        "compare", OpenApiTypes.STR, enum=list(COMPARISONS),
        description="Adds `comparison`: with as many days directly before, or the same days a year before. Wants `from`.",
    ),
    OpenApiParameter(
        "compare_from", OpenApiTypes.DATE, description="Adds `comparison`: with these days, which may not be the same ones."
    ),
    OpenApiParameter("compare_to", OpenApiTypes.DATE, description="The last of them, inclusive."),
    OpenApiParameter(
        "weights", OpenApiTypes.STR, enum=list(WEIGHED_BY),
        description="Adds `weighted`: touchpoints or segments count by the weights that the organisation gave them.",
    ),
]  # fmt: skip


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
        organisation = Organisation.current()
        clock = request.query_params.get("clock")
        hours = organisation.work_calendar if clock == "business" else None
        if wrong := _wrong_clock(clock, self.metric, organisation):
            raise _refusal({"clock": wrong})
        days = read_comparison(request.query_params, wanted, organisation.day_of(now))
        weighed_by = _one_of("weights", WEIGHED_BY, request.query_params)
        catalogue = Catalogue.load()
        asked: dict[str, Any] = {"now": now, "group_by": group_by, "hours": hours, "catalogue": catalogue}
        try:
            found = measure(self.metric, wanted, interval=interval, **asked)
            # The scale that was measured is the one to compare.
            held = replace(wanted, scale=found.total.points or None)
            before = None
            if days:
                before = measure(self.metric, replace(held, day_from=days[0], day_to=days[1]), **asked)
            weighted = None
            if weighed_by:
                weighted = self._weighted(weighed_by, held, organisation, catalogue, hours)
        except UnusableSlice as error:
            raise _refusal({error.field: str(error)}) from None
        body: dict[str, Any] = {"metric": self.metric, **measured_fields(found.total)}
        if self.metric == "csat":
            body["scale"] = found.total.points
        if interval:
            body["series"] = [{"start": start.isoformat(), **measured_fields(part)} for start, part in found.series]
        if group_by:
            body["groups"] = [{"key": key, **measured_fields(part)} for key, part in found.groups]
        if clock:
            body["clock"] = clock
        if days and before:
            told = compared_fields(found.total, before.total, organisation.min_n)
            body["comparison"] = {"from": days[0].isoformat(), "to": days[1].isoformat(), **told}
            earlier_groups = dict(before.groups)
            for group, (key, part) in zip(body.get("groups", ()), found.groups, strict=False):
                nothing = Measured(part.metric, part.points, None, 0, None, None)
                group["comparison"] = compared_fields(part, earlier_groups.get(key, nothing), organisation.min_n)
        if weighted:
            body["weighted"] = weighted
        body["as_of"] = now.astimezone(organisation.zone).isoformat(timespec="seconds")
        return Response(body)

    def _weighted(
        self, by: str, wanted: Slice, organisation: Organisation, catalogue: Catalogue, hours: WorkCalendar | None
    ) -> dict[str, Any]:
        touchpoints = Touchpoint.objects.select_related("instrument")
        weights = weights_of(by, organisation, touchpoints, self.metric, wanted.scale or 0)
        found = measure_weighted(
            self.metric, wanted, by, weights, minimum=organisation.min_n, hours=hours, catalogue=catalogue
        ).total
        return {
            "by": by,
            "value": found.value,
            "n": found.n,
            "ci": interval_ends(found.low, found.high),
            "missing": found.missing,
            "strata": [asdict(stratum) for stratum in found.strata],
        }


def _wrong_clock(clock: str | None, metric: str, organisation: Organisation) -> str:
    """What is wrong with `clock`; "" for nothing."""
    if clock is None:
        return ""
    if clock not in CLOCKS:
        return f"clock is one of {', '.join(CLOCKS)}."
    if metric != "ttr":
        return f"{metric} has no clock."
    if clock == "business" and organisation.work_calendar is None:
        return "The organisation has no working hours: there is no business time."
    return ""


def measured_fields(measured: Measured) -> dict[str, Any]:
    """A Measured under the contract's names: nothing rounded, nothing for nobody."""
    fields: dict[str, Any] = {
        "value": measured.value,
        "n": measured.n,
        "ci": interval_ends(measured.low, measured.high),
        **measured.extra,
    }
    if measured.points:
        fields["distribution"] = {str(score): count for score, count in measured.distribution.items()}
        fields["breakdown"] = dict(measured.breakdown)
    return fields


def interval_ends(low: float | None, high: float | None) -> dict[str, float] | None:
    return None if low is None or high is None else {"level": LEVEL, "low": low, "high": high}


def compared_fields(now: Measured, before: Measured, minimum: int) -> dict[str, Any]:
    """A comparison under the API's names, by the one test that pages and alerts use; of ttr the medians, too."""

    def told(statistic: Statistic) -> dict[str, Any]:
        found = compare(now.metric, now.points, now.counts, before.counts, statistic=statistic, minimum=minimum)
        return {
            "value": found.before,
            "n": found.n_before,
            "difference": found.difference,
            "difference_ci": interval_ends(found.low, found.high),
            "p": found.p,
            "significant": found.significant,
        }

    fields = {**told("value"), "ci": interval_ends(before.low, before.high)}
    return {**fields, "median": told("median")} if now.metric == "ttr" else fields


def read_comparison(query: Any, wanted: Slice, today: date) -> tuple[date, date] | None:
    """The days that `compare`, or `compare_from` and `compare_to`, name; None for none. Problem 400 for what cannot be compared.

    Days on both sides would be the same answers on both sides, which no test is valid for.
    """
    chosen = _one_of("compare", COMPARISONS, query)
    own = {name: read_day(query[name]) for name in ("compare_from", "compare_to") if name in query}
    wrong = {name: f"“{query[name]}” is not a day such as 2026-11-20." for name, day in own.items() if day is None}
    if own and chosen:
        wrong["compare"] = "Give compare, or compare_from and compare_to, not both."
    if len(own) == 1:
        wrong["compare_to" if "compare_from" in own else "compare_from"] = "Give both, compare_from and compare_to."
    if not wrong and (own or chosen not in (None, "none")) and wanted.day_from is None:
        wrong["from"] = "To compare, say from which day."
    last = wanted.day_to or today
    if not wrong and chosen not in (None, "none") and wanted.day_from and wanted.day_from > last:
        wrong["from"] = "from is after to."
    if wrong:
        raise _refusal(wrong)
    if wanted.day_from is None:
        return None
    first, until = own.get("compare_from"), own.get("compare_to")
    days = Period("custom", wanted.day_from, last).against(chosen) if chosen else first and until and (first, until)
    if not days:
        return None
    blamed = "compare" if chosen else "compare_from"
    if days[0] > days[1]:
        raise _refusal({blamed: "compare_from is after compare_to."})
    if days[0] <= last and days[1] >= wanted.day_from:
        raise _refusal({blamed: "Those days and these share some: the same answers would stand on both sides."})
    return days


def _one_of(name: str, known: Sequence[str], query: Any) -> str | None:
    value: str | None = query.get(name)
    if value is not None and value not in known:
        raise _refusal({name: f"{name} is one of {', '.join(known)}."})
    return value


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
