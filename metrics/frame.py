"""What every page on scores stands in: who may see it, the organisation and its touchpoints, the rows that wait, links to lists.

In: a request. Out: a Frame, and pages rendered in the organisation's time. No filter is read here, and nothing is measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from metrics import slices
from metrics.alerting.standing import alerts_of, standing_as_json
from metrics.display import grid
from metrics.models import Alert, Decision
from metrics.slices import Catalogue
from surveys.models import (
    DeliveryAttempt,
    Invitation,
    Organisation,
    QuarantinedEvent,
    Question,
    Response,
    Segment,
    Stage,
    Touchpoint,
)
from surveys.models.customers import MAX_SEGMENTS, OTHER_SEGMENT
from surveys.models.responses import SUSPECT
from surveys.scales import SCALES, Scale

SEES_SCORES = "metrics.view_scorecell"
SEES_ANSWERS = "surveys.view_response"  # verbatims and the people behind them
ALL_DAYS = "2000-01-01"  # as the first of a period: whatever there is
LOOK_BACK = timedelta(days=7)  # a delivery that failed longer ago is no news

View = Callable[..., HttpResponseBase]


def staff_page(view: View, needs: str = SEES_SCORES) -> View:
    """Behind the admin's login, which also keeps caches out, and for those who may see scores, or what else it `needs`; read-only.

    It tells the organisation's time itself (`render_page`): the organisation is read anyway.
    """

    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.has_perm(needs):
            return view(request, *args, **kwargs)
        title = _("These pages are not open to you")
        text = _("Your account may not see scores. An administrator can add it to a group that does.")
        if needs == SEES_ANSWERS:
            text = _("Your account may not read answers. An administrator can add it to a group that does.")
        return render_notice(request, title, text, status=403)

    wrapped: View = admin.site.admin_view(require_safe(guarded))
    wrapped.tells_own_time = True  # type: ignore[attr-defined]
    return wrapped


def render_notice(request: HttpRequest, title: str, text: str, status: int) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, "text": text}
    return TemplateResponse(request, "staff/notice.html", context, status=status).render()


@dataclass(frozen=True)
class Waits:
    """Something that somebody should look at: what, how many, and where it is listed ("" for nowhere)."""

    title: str
    count: int
    url: str


@dataclass(frozen=True)
class Decided:
    """A decision as trends show it: since when it holds, and at which touchpoints (their ids)."""

    pk: int
    day: date
    title: str
    places: frozenset[int]


@dataclass(frozen=True)
class Frame:
    """The organisation, its touchpoints by slug, decisions, alerts that stand, and what waits, in two queries."""

    organisation: Organisation
    touchpoints: Mapping[str, Touchpoint]
    questions: Mapping[int, Scale]
    segments: Sequence[str]
    decisions: Sequence[Decided]  # oldest first; withdrawn ones are not among them
    waiting: Sequence[Waits]
    alerts: Sequence[Alert]  # those that stand, at most standing.MOST and one more

    @classmethod
    def load(cls, request: HttpRequest | None, now: datetime) -> "Frame":
        """Of a page's request; None where nobody looks, for whom nothing waits."""
        organisation = _annotated_organisation(now)
        held: Any = organisation  # with its annotations
        touchpoints = Touchpoint.objects.select_related("journey", "stage__journey", "instrument")
        return cls(
            organisation,
            {touchpoint.slug: touchpoint for touchpoint in touchpoints},
            {one["pk"]: SCALES[one["metric"], one["points"]] for one in held.scale_questions},
            held.segment_names + [OTHER_SEGMENT] * (len(held.segment_names) >= MAX_SEGMENTS),
            [
                Decided(one["pk"], date.fromisoformat(one["day"]), one["title"], frozenset(one["places"]))
                for one in held.decided
            ],
            _waiting(request, held) if request else [],
            alerts_of(held.standing, touchpoints),
        )

    @cached_property
    def catalogue(self) -> Catalogue:
        rows = self.touchpoints.values()
        return Catalogue(
            {
                row.pk: slices.Place(
                    row.slug,
                    row.journey.slug if row.journey else "",
                    row.channel,
                    row.stage.key if row.stage else "",
                )
                for row in rows
            },
            self.questions,
            frozenset(row.journey.slug for row in rows if row.journey),
            frozenset(row.stage.key for row in rows if row.stage),
        )

    @cached_property
    def places(self) -> list[grid.Place]:
        return [place_of(touchpoint) for touchpoint in self.touchpoints.values()]

    @cached_property
    def journeys(self) -> list[tuple[str, str]]:
        return list({row.journey.slug: row.journey.label for row in self.touchpoints.values() if row.journey}.items())

    def stages(self, journey: str = "") -> list[tuple[str, str]]:
        """Those of one journey by their own names; without one, all of them, each with its journey's name."""
        found: dict[str, Stage] = {row.stage.key: row.stage for row in self.touchpoints.values() if row.stage}
        if journey:
            return [(key, stage.label) for key, stage in found.items() if stage.journey.slug == journey]
        return [(key, f"{stage.journey.label} · {stage.label}") for key, stage in found.items()]


def place_of(touchpoint: Touchpoint) -> grid.Place:
    return grid.Place(
        touchpoint.slug,
        touchpoint.label,
        touchpoint.journey.label if touchpoint.journey else "",
        touchpoint.get_channel_display(),
        touchpoint.targets,
        touchpoint.active,
    )


def _annotated_organisation(now: datetime) -> Organisation:
    """The organisation with segments, scale questions, decisions, alerts and counts of what waits, in one query."""

    def counted(rows: QuerySet[Any], what: str, distinct: bool = False) -> Subquery:
        grouped = rows.order_by().annotate(one=Value(1)).values("one")
        return Subquery(grouped.annotate(count=Count(what, distinct=distinct)).values("count"))

    failures = DeliveryAttempt.objects.exclude(result=DeliveryAttempt.Result.SENT).filter(at__gte=now - LOOK_BACK)
    questions = Question.objects.filter(kind="scale").order_by()
    rows = Organisation.objects.filter(pk=1).annotate(
        decided=ArraySubquery(_decided()),
        standing=ArraySubquery(standing_as_json()),
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


def _decided() -> QuerySet[Any]:
    """Decisions as JSON. They are as many as people wrote down, and come with the organisation at the cost of no query."""
    places = Decision.touchpoints.through.objects.filter(decision=OuterRef("pk")).order_by().values("touchpoint")
    told = JSONObject(pk="pk", day="day", title="title", places=ArraySubquery(places))
    return Decision.objects.filter(withdrawn=False).order_by("day", "pk").values(held=told)


def _waiting(request: HttpRequest, organisation: Any) -> list[Waits]:
    """What somebody should look at; only what the user may open."""
    kinds: tuple[tuple[str, str, type[Model], dict[str, str]], ...] = (
        ("suspected", _("Answers that look like a machine’s"), Response, {}),
        ("quarantined", _("Events in quarantine"), QuarantinedEvent, {"state__exact": "waiting"}),
        ("failed", _("Messages not delivered in the last 7 days"), Invitation, {"status__exact": "failed"}),
        ("retried", _("Messages being tried again"), DeliveryAttempt, {"result__exact": "temporary"}),
    )
    addresses: dict[type[Model], str] = {
        Response: f"{reverse('answers')}?{urlencode({'state': 'suspected', 'from': ALL_DAYS})}"
    }
    return [
        Waits(title, getattr(organisation, name) or 0, addresses.get(model) or list_url(model, query))
        for name, title, model, query in kinds
        if may_view(request, model)
    ]


def may_view(request: HttpRequest, model: type[Model]) -> bool:
    """Whether the admin would show this user its list of these rows: it may ask for more than the model's own permission."""
    return admin.site.is_registered(model) and admin.site.get_model_admin(model).has_view_permission(request)


def list_url(model: type[Model], query: Mapping[str, Any] | None = None) -> str:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?{urlencode(query)}" if query else address


def row_url(model: type[Model], pk: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


def render_page(request: HttpRequest, template: str, frame: Frame, context: dict[str, Any]) -> HttpResponse:
    """Rendered at once, since times are told in the organisation's zone and queries are counted here."""
    with timezone.override(frame.organisation.zone):
        common = {
            **admin.site.each_context(request),
            "organisation": frame.organisation,
            "local_mailbox": settings.CX_LOCAL_MAILBOX,
            "base_url": settings.BASE_URL,
            "sees_answers": request.user.has_perm(SEES_ANSWERS),
        }
        return TemplateResponse(request, template, {**common, **context}).render()
