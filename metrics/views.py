"""Staff pages on scores: the overview and a touchpoint's own page. In: a URL with its filters. Out: pages; nothing is written.

The overview is the first thing after login, so it stays within twelve queries however much there is: scores come from
cells, and the newest answers from an index. Names and addresses of customers are on neither page.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Model, QuerySet, Subquery, Value
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from metrics import pages, slices
from metrics.pages import Column
from metrics.periods import KEYS, Period, read_period
from metrics.queries import Catalogue, MatrixRow, Measured, Slice, measure, measure_matrix, measure_trend
from metrics.reach import measure_reach, reach_interval
from surveys.flow import links
from surveys.models import (
    Channel,
    DeliveryAttempt,
    Invitation,
    Mode,
    Organisation,
    QuarantinedEvent,
    Question,
    Response,
    Segment,
    Touchpoint,
)
from surveys.models.customers import MAX_SEGMENTS, OTHER_SEGMENT
from surveys.models.responses import SUSPECT
from surveys.scales import SCALES, Scale
from surveys.words import band_tone, band_word

SEES_SCORES = "metrics.view_scorecell"
SEES_ANSWERS = "surveys.view_response"  # verbatims and the people behind them
NEWEST = 8
VERBATIMS = 12
LOOK_BACK = timedelta(days=7)  # a delivery that failed longer ago is no news
MAX_GROUPS = 50

View = Callable[..., HttpResponseBase]
Options = Sequence[tuple[str, str]]
Offered = Mapping[str, tuple[str, Options]]  # what can be filtered by: a title and its choices


def staff_page(view: View) -> View:
    """Behind the admin's login, which also keeps caches out, and for those who may see scores; read-only.

    It tells the organisation's time itself (`render_page`): the organisation is read anyway.
    """

    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.has_perm(SEES_SCORES):
            return view(request, *args, **kwargs)
        title = _("These pages are not open to you")
        text = _("Your account may not see scores. An administrator can add it to a group that does.")
        return render_notice(request, title, text, status=403)

    wrapped: View = admin.site.admin_view(require_safe(guarded))
    wrapped.tells_own_time = True  # type: ignore[attr-defined]
    return wrapped


def render_notice(request: HttpRequest, title: str, text: str, status: int) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, "text": text}
    return TemplateResponse(request, "staff/notice.html", context, status=status).render()


# --- What every page needs --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waits:
    """Something that somebody should look at: what, how many, and where it is listed ("" for nowhere)."""

    title: str
    count: int
    url: str


@dataclass(frozen=True)
class Frame:
    """The organisation, its touchpoints and what waits, in two queries."""

    organisation: Organisation
    touchpoints: Mapping[str, Touchpoint]
    questions: Mapping[int, Scale]
    segments: Sequence[str]
    waiting: Sequence[Waits]

    @classmethod
    def load(cls, request: HttpRequest, now: datetime) -> "Frame":
        organisation = _annotated_organisation(now)
        held: Any = organisation  # with its annotations
        touchpoints = Touchpoint.objects.select_related("journey", "instrument")
        return cls(
            organisation,
            {touchpoint.slug: touchpoint for touchpoint in touchpoints},
            {one["pk"]: SCALES[one["metric"], one["points"]] for one in held.scale_questions},
            held.segment_names + [OTHER_SEGMENT] * (len(held.segment_names) >= MAX_SEGMENTS),
            _waiting(request, held),
        )

    @cached_property
    def catalogue(self) -> Catalogue:
        rows = self.touchpoints.values()
        return Catalogue(
            {row.pk: slices.Place(row.slug, row.journey.slug if row.journey else "", row.channel) for row in rows},
            self.questions,
            frozenset(row.journey.slug for row in rows if row.journey),
        )

    @cached_property
    def places(self) -> list[pages.Place]:
        return [place_of(touchpoint) for touchpoint in self.touchpoints.values()]

    @cached_property
    def journeys(self) -> list[tuple[str, str]]:
        return list({row.journey.slug: row.journey.label for row in self.touchpoints.values() if row.journey}.items())

    @cached_property
    def segment_choices(self) -> list[tuple[str, str]]:
        return [(name, name) for name in self.segments]


def place_of(touchpoint: Touchpoint) -> pages.Place:
    return pages.Place(
        touchpoint.slug,
        touchpoint.label,
        touchpoint.journey.label if touchpoint.journey else "",
        touchpoint.get_channel_display(),
        touchpoint.targets,
        touchpoint.active,
    )


def _annotated_organisation(now: datetime) -> Organisation:
    """The organisation with segments, scale questions and counts of what waits, in one query."""

    def counted(rows: QuerySet[Any], what: str, distinct: bool = False) -> Subquery:
        grouped = rows.order_by().annotate(one=Value(1)).values("one")
        return Subquery(grouped.annotate(count=Count(what, distinct=distinct)).values("count"))

    failures = DeliveryAttempt.objects.exclude(result=DeliveryAttempt.Result.SENT).filter(at__gte=now - LOOK_BACK)
    questions = Question.objects.filter(kind="scale").order_by()
    rows = Organisation.objects.filter(pk=1).annotate(
        segment_names=ArraySubquery(Segment.objects.order_by("name").values("name")),
        scale_questions=ArraySubquery(questions.values(held=JSONObject(pk="pk", metric="metric", points="points"))),
        suspected=counted(Response.objects.filter(SUSPECT), "pk"),
        quarantined=counted(QuarantinedEvent.objects.filter(state=QuarantinedEvent.State.WAITING), "pk"),
        failed=counted(failures.filter(invitation__status=Invitation.Status.FAILED), "invitation", distinct=True),
        retried=counted(failures.filter(invitation__status=Invitation.Status.SCHEDULED), "invitation", distinct=True),
    )
    found = rows.first()
    if found is None:
        Organisation.current()  # makes it
        found = rows.get()
    return found


def _waiting(request: HttpRequest, organisation: Any) -> list[Waits]:
    """What somebody should look at; only what the user may open."""
    kinds: tuple[tuple[str, str, type[Model], dict[str, str]], ...] = (
        ("suspected", _("Answers that look like a machine’s"), Response, {"suspected": "waiting"}),
        ("quarantined", _("Events in quarantine"), QuarantinedEvent, {"state__exact": "waiting"}),
        ("failed", _("Messages not delivered in the last 7 days"), Invitation, {"status__exact": "failed"}),
        ("retried", _("Messages being tried again"), DeliveryAttempt, {"result__exact": "temporary"}),
    )
    return [
        Waits(title, getattr(organisation, name) or 0, list_url(model, query))
        for name, title, model, query in kinds
        if may_view(request, model)
    ]


def may_view(request: HttpRequest, model: type[Model]) -> bool:
    """Whether the admin would show this user its list of these rows: it may ask for more than the model's own permission."""
    return admin.site.is_registered(model) and admin.site.get_model_admin(model).has_view_permission(request)


def list_url(model: type[Model], query: Mapping[str, Any]) -> str:
    return f"{reverse(f'admin:{model._meta.app_label}_{model._meta.model_name}_changelist')}?{urlencode(query)}"


def _row_url(model: type[Model], pk: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


@dataclass(frozen=True)
class Filters:
    """What the URL asks for. Names that do not exist are left out and told in `wrong`. `fixed` the page sets itself."""

    period: Period
    chosen: Mapping[str, str]
    wrong: Sequence[str]
    fixed: Mapping[str, str]

    @classmethod
    def read(cls, request: HttpRequest, now: datetime, frame: Frame, offered: Offered, **fixed: str) -> "Filters":
        period = read_period(request.GET.dict(), frame.organisation.day_of(now))
        chosen = {name: request.GET.get(name, "") for name in offered}
        unknown = [name for name, value in chosen.items() if value and value not in dict(offered[name][1])]
        wrong = [_("There is no “%(value)s” to filter by.") % {"value": chosen[name][:60]} for name in unknown]
        if period.wrong:
            wrong.append(_("These are no days to show. Below are the last 30 days."))
        return cls(period, {**chosen, **dict.fromkeys(unknown, "")}, wrong, fixed)

    def slice(self, scale: int | None = None) -> Slice:
        chosen = {**self.chosen, **self.fixed}
        named: dict[str, Any] = {f"{name}s": frozenset([value]) for name, value in chosen.items() if value}
        return Slice(day_from=self.period.first, day_to=self.period.last, scale=scale, **named)

    def moments(self, organisation: Organisation) -> tuple[datetime, datetime]:
        """The period's beginning and end: answers from the first to before the second."""
        zone = organisation.zone
        begin = datetime.combine(self.period.first, time.min, zone)
        return begin, datetime.combine(self.period.last + timedelta(days=1), time.min, zone)


def query_with(request: HttpRequest, **changes: str) -> str:
    """This page's query with other values; "" takes one away."""
    query = request.GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value:
            query[name] = value
    return f"?{query.urlencode()}"


def filter_bar(request: HttpRequest, filters: Filters, offered: Offered, *kept: str) -> dict[str, Any]:
    """What the filter bar draws. `kept`: what else of the URL the form carries on."""
    titles = {
        "7d": _("7 days"),
        "30d": _("30 days"),
        "90d": _("90 days"),
        "month": _("This month"),
        "quarter": _("This quarter"),
        "custom": _("Other days"),
    }
    period = filters.period
    days = {"from": period.first.isoformat(), "to": period.last.isoformat()}
    return {
        "periods": [
            {
                "title": titles[key],
                "current": key == period.key,
                "query": query_with(request, period=key, **(days if key == "custom" else {"from": "", "to": ""})),
            }
            for key in KEYS
        ],
        "period": period,
        "days": days,
        "before": period.before,
        "kept": [(name, value) for name in kept if (value := request.GET.get(name, ""))],
        "fields": [
            {"name": name, "title": title, "options": options, "value": filters.chosen[name]}
            for name, (title, options) in offered.items()
            if options
        ],
        "wrong": filters.wrong,
        "is_narrowed": any(filters.chosen.values()),
        "widened": query_with(request, **dict.fromkeys(offered, "")),
    }


def render_page(request: HttpRequest, template: str, frame: Frame, context: dict[str, Any]) -> HttpResponse:
    """Rendered at once, since times are told in the organisation's zone and queries are counted here."""
    with timezone.override(frame.organisation.zone):
        common = {
            **admin.site.each_context(request),
            "organisation": frame.organisation,
            "local_mailbox": settings.CX_LOCAL_MAILBOX,
            "sees_answers": request.user.has_perm(SEES_ANSWERS),
        }
        return TemplateResponse(request, template, {**common, **context}).render()


# --- The overview -----------------------------------------------------------------------------------------------------


@staff_page
def overview(request: HttpRequest) -> HttpResponse:
    """/admin/: every touchpoint × metric, one trend, the newest answers, what waits. `?trend=` chooses the trend's metric."""
    now = timezone.now()
    frame = Frame.load(request, now)
    offered: Offered = {
        "journey": (_("Journey"), frame.journeys),
        "channel": (_("Channel"), [(value, str(label)) for value, label in Channel.choices]),
        "segment": (_("Segment"), frame.segment_choices),
    }
    filters = Filters.read(request, now, frame, offered)
    rows = measure_matrix(filters.slice(), filters.period.before, now=now, catalogue=frame.catalogue)
    matrix = pages.matrix(rows, _places(frame, filters, rows))
    context = {
        "title": _("Overview"),
        "filters": filter_bar(request, filters, offered, "trend"),
        "matrix": matrix,
        "touchpoint_query": query_with(request, journey="", channel=""),
        "waiting": frame.waiting,
        "newest": _newest(request, frame, filters),
        "answers_url": list_url(Response, {}) if may_view(request, Response) else "",
        "new_touchpoint_url": _add_url(request),
        "has_touchpoints": bool(frame.touchpoints),
    }
    if matrix.columns:
        column = _asked_column(request, matrix.columns)
        own = [row for row in rows if (row.metric, row.points) == column]
        interval = filters.period.interval(sum(row.now.n for row in own))
        series = measure_trend(column[0], filters.slice(column[1] or None), interval, catalogue=frame.catalogue)
        total, before = (
            pages.pooled(column, [row.now for row in own]),
            pages.pooled(column, [row.before for row in own]),
        )
        context |= {
            "headline": pages.figure(column, total, before, {}, total.high or 0),
            "headline_meaning": pages.meaning(column),
            "trend": pages.trend(column, series, interval, {}),
            "trend_tabs": _trend_tabs(request, matrix.columns, column),
        }
    return render_page(request, "staff/overview.html", frame, context)


def _add_url(request: HttpRequest) -> str:
    may = request.user.has_perm("surveys.add_touchpoint") and admin.site.is_registered(Touchpoint)
    return reverse("admin:surveys_touchpoint_add") if may else ""


def _places(frame: Frame, filters: Filters, rows: Sequence[MatrixRow]) -> list[pages.Place]:
    ids = frame.catalogue.touchpoint_ids(filters.slice())
    slugs = {frame.catalogue.place(pk).touchpoint for pk in ids} if ids is not None else None
    places = [place for place in frame.places if slugs is None or place.slug in slugs]
    if any(not row.touchpoint for row in rows):
        places.append(pages.Place("", _("Tickets without a touchpoint"), "", ""))
    return places


def _asked_column(request: HttpRequest, columns: Sequence[Column]) -> Column:
    """The metric that `?trend=` names where there is any of it, else the first."""
    asked = pages.column_of(request.GET.get("trend", ""))
    return asked if asked is not None and asked in columns else columns[0]


def _trend_tabs(request: HttpRequest, columns: Sequence[Column], current: Column) -> list[dict[str, Any]]:
    return [
        {
            "title": pages.title(column),
            "query": query_with(request, trend=pages.column_key(column)),
            "current": column == current,
        }
        for column in columns
    ]


@dataclass(frozen=True)
class ShownAnswer:
    """One answer as lists show it. `comment` is "" for whoever may not read it."""

    touchpoint: Touchpoint
    responded_at: datetime
    mode: str
    segment: str
    score: str
    tone: str
    band: str
    comment: str
    url: str


def _newest(request: HttpRequest, frame: Frame, filters: Filters) -> list[ShownAnswer]:
    """The newest answers of the slice, however few they are: they are raw rows, there before any cell is."""
    begin, end = filters.moments(frame.organisation)
    rows = Response.objects.filter(excluded_at__isnull=True, responded_at__gte=begin, responded_at__lt=end)
    ids = frame.catalogue.touchpoint_ids(filters.slice())
    if ids is not None:
        rows = rows.filter(touchpoint_id__in=ids)
    if filters.chosen["segment"]:
        rows = rows.filter(segment=filters.chosen["segment"])
    return _shown(request, rows.order_by("-responded_at", "-id")[:NEWEST], frame)


def _shown(request: HttpRequest, rows: QuerySet[Response], frame: Frame) -> list[ShownAnswer]:
    """Comments are not even fetched for those who may not read them."""
    may_read, may_open = request.user.has_perm(SEES_ANSWERS), may_view(request, Response)
    names = {touchpoint.pk: touchpoint for touchpoint in frame.touchpoints.values()}
    if not may_read:
        rows = rows.defer("comment")
    answers = []
    for row in rows.select_related("version__instrument"):
        metric, points = row.version.instrument.metric, row.version.instrument.points
        answers.append(
            ShownAnswer(
                names[row.touchpoint_id],
                row.responded_at,
                row.get_mode_display(),
                row.segment,
                pages.score_text(metric, points, row.score),
                band_tone(metric, points, row.score),
                band_word(metric, points, row.score),
                row.comment if may_read else "",
                _row_url(Response, row.pk) if may_open else "",
            )
        )
    return answers


# --- A touchpoint's page ----------------------------------------------------------------------------------------------


@staff_page
def touchpoint_page(request: HttpRequest, slug: str) -> HttpResponse:
    """/admin/touchpoints/{slug}/: all that its customers said, and how they get there."""
    now = timezone.now()
    frame = Frame.load(request, now)
    touchpoint = frame.touchpoints.get(slug)
    if touchpoint is None:
        title = _("There is no touchpoint “%(slug)s”") % {"slug": slug}
        return render_notice(
            request, title, _("It may have another name now. The overview lists all there are."), status=404
        )
    offered: Offered = {
        "mode": (_("Collected by"), [(value, str(label)) for value, label in Mode.choices]),
        "segment": (_("Segment"), frame.segment_choices),
    }
    filters = Filters.read(request, now, frame, offered, touchpoint=slug)
    rows = measure_matrix(filters.slice(), filters.period.before, now=now, catalogue=frame.catalogue)
    found = {(row.metric, row.points): row for row in rows if row.now.n}
    columns = [column for column in pages.COLUMNS if column in found]
    may_read = request.user.has_perm(SEES_ANSWERS)
    context = {
        "title": touchpoint.label,
        "touchpoint": touchpoint,
        "place": place_of(touchpoint),
        "filters": filter_bar(request, filters, offered, "trend"),
        "figures": [_figure(found[column], touchpoint) for column in columns],
        "overview_query": query_with(request, mode="", trend=""),
        "verbatims": _verbatims(request, touchpoint, frame, filters) if may_read else [],
        "answers_url": list_url(Response, {"touchpoint__id__exact": touchpoint.pk})
        if may_view(request, Response)
        else "",
    }
    if columns:
        column = _asked_column(request, columns)
        interval = filters.period.interval(found[column].now.n)
        measured = measure(
            column[0], filters.slice(column[1] or None), now=now, interval=interval, catalogue=frame.catalogue
        )
        context |= {
            "headline_meaning": pages.meaning(column),
            "trend": pages.trend(column, measured.series, interval, touchpoint.targets),
            "trend_tabs": _trend_tabs(request, columns, column),
            **_evidence(request, frame, filters, measured.total, now),
        }
    if not filters.chosen["segment"] and filters.chosen["mode"] in ("", Mode.WEB):
        context |= _reach(touchpoint, frame, filters)
    if request.user.has_perm("surveys.view_touchpoint"):
        context |= {
            "may_open": True,
            "widget_url": _widget_url(touchpoint),
            "public_url": links.public_url(touchpoint),
            "codes_url": reverse("admin:surveys_touchpoint_codes", args=[touchpoint.pk]),
            "snippet": links.embed_snippet(touchpoint),
            "qr": links.qr_svg(links.public_url(touchpoint, "qr")),
            "settings_url": _row_url(Touchpoint, touchpoint.pk) if may_view(request, Touchpoint) else "",
        }
    return render_page(request, "staff/touchpoint.html", frame, context)


def _reach(touchpoint: Touchpoint, frame: Frame, filters: Filters) -> dict[str, Any]:
    """Who saw the widget and who answered it; nothing where it was not seen. A view has no segment to filter by."""
    first, last = filters.period.first, filters.period.last
    total, periods = measure_reach(touchpoint.pk, first, last, *filters.moments(frame.organisation))
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


def _evidence(request: HttpRequest, frame: Frame, filters: Filters, total: Measured, now: datetime) -> dict[str, Any]:
    """Below the trend: how the scores spread, and the same metric by mode, segment and location."""
    headings = {"mode": _("By how it was collected"), "segment": _("By segment"), "location": _("By location")}
    if not total.points:
        del headings["mode"]  # a ticket has none
    slice_ = filters.slice(total.points or None)
    tables = []
    for dimension, heading in headings.items():
        found = measure(total.metric, slice_, now=now, group_by=dimension, catalogue=frame.catalogue).groups
        groups = sorted(((key, part) for key, part in found if part.n), key=lambda group: -group[1].n)[:MAX_GROUPS]
        if len(groups) > 1:  # one part alone is the whole again
            tables.append((heading, _parts(request, dimension, groups)))
    has_scores = total.points > 0 and total.n >= pages.MIN_N
    distribution = pages.distribution(total) if has_scores else []
    return {
        "n_text": pages.count_text(total.n),
        "distribution": distribution,
        "most": max((share.percent for share in distribution), default=0),  # the longest bar is the whole width
        "breakdown": pages.breakdown(total) if has_scores else [],
        "facts": pages.facts(total),
        "groups": tables,
    }


def _parts(request: HttpRequest, dimension: str, groups: Sequence[tuple[str, Measured]]) -> list[Part]:
    names = {value: str(label) for value, label in Mode.choices} if dimension == "mode" else {}
    longest = max((pages.of(part).high or 0 for _key, part in groups), default=0)
    return [
        Part(
            names.get(key, key) or _("(none)"),
            pages.figure((part.metric, part.points), pages.of(part), None, {}, longest),
            query_with(request, **{dimension: key}) if key and dimension in ("mode", "segment") else "",
        )
        for key, part in groups
    ]


def _verbatims(request: HttpRequest, touchpoint: Touchpoint, frame: Frame, filters: Filters) -> list[ShownAnswer]:
    """The newest comments of the period."""
    begin, end = filters.moments(frame.organisation)
    rows = Response.objects.filter(
        touchpoint=touchpoint, excluded_at__isnull=True, responded_at__gte=begin, responded_at__lt=end
    ).exclude(comment="")
    rows = rows.filter(**{name: value for name, value in filters.chosen.items() if value})
    return _shown(request, rows.order_by("-responded_at", "-id")[:VERBATIMS], frame)
