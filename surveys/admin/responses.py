"""Answers: the list, the page of one in the wording that was answered, and taking answers out of every metric and back.

In: recorded responses. Out: pages that only read; an exclusion always has a reason, a person and a time. No comment without
`surveys.view_response`, no customer without `surveys.view_customer`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone, translation
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter, RelatedDropdownFilter
from unfold.widgets import UnfoldAdminTextareaWidget

from surveys.admin.filters import BandFilter, MetricFilter, ModeFilter, SegmentFilter, YesNoFilter
from surveys.admin.records import (
    NOTHING,
    SEES_PEOPLE,
    PeopleAdmin,
    chip,
    customer_link,
    link,
    list_of,
    mode_word,
    moment,
    noted,
    page_of,
    score_chip,
)
from surveys.flow.respond import exclude_response, include_response
from surveys.models import Answer, Response, Wording
from surveys.texts import pick

EXCLUDES = "surveys.change_response"
AT_ONCE = 1_000  # each exclusion is a transaction of its own; more than that is no hand's work


class ExcludedFilter(YesNoFilter):
    title = gettext_lazy("exclusion")
    parameter_name = "excluded"
    words = (gettext_lazy("Excluded"), gettext_lazy("Counted"))
    yes = Q(excluded_at__isnull=False)


class CommentFilter(YesNoFilter):
    title = gettext_lazy("comment")
    parameter_name = "has_comment"
    words = (gettext_lazy("With a comment"), gettext_lazy("Without a comment"))
    yes = ~Q(comment="")


class ReasonForm(forms.Form):
    """Why something is done that somebody will ask about later."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


@dataclass(frozen=True)
class Line:
    """One question of the version that was answered, with its answer as it is told. `shown` is the wording in the customer's language."""

    question: str
    shown: str
    language: str
    answer: SafeString | str
    is_text: bool = False


@admin.register(Response)
class ResponseAdmin(PeopleAdmin):
    list_display = [
        *("answered", "score_shown", "comment_shown", "touchpoint_shown", "customer_shown", "mode_shown"),
        *("segment", "location", "language"),
    ]
    list_filter = [
        ("touchpoint", RelatedDropdownFilter),
        MetricFilter,
        BandFilter,
        CommentFilter,
        ExcludedFilter,
        ("day", RangeDateFilter),
        ("touchpoint__channel", ChoicesDropdownFilter),
        ModeFilter,
        SegmentFilter,
    ]
    linked_by = ("customer__id__exact",)
    list_select_related = ("touchpoint", "version__instrument", "customer")
    personal_columns = ("customer_shown",)
    search_fields = ("comment",)
    personal_search = ("customer__external_id", "customer__name", "customer__email")
    search_help_text = gettext_lazy("Comment or customer")
    ordering = ("-responded_at", "-id")
    actions = ("exclude_selected", "include_selected")
    page_template = "staff/response.html"
    empty_text = gettext_lazy(
        "Answers appear here within seconds. Invite customers with a rule, or share a touchpoint’s open form."
    )

    # --- List ---------------------------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("answered"), ordering="responded_at")
    def answered(self, row: Response) -> str:
        return moment(row.responded_at)

    @admin.display(description=gettext_lazy("score"), ordering="score")
    def score_shown(self, row: Response) -> SafeString | str:
        instrument = row.version.instrument
        return score_chip(instrument.metric, instrument.points, row.score)

    @admin.display(description=gettext_lazy("comment"))
    def comment_shown(self, row: Response) -> SafeString | str:
        told = format_html('<span class="rec-verbatim" dir="auto">{}</span>', Truncator(row.comment).chars(160))
        if row.excluded_at:
            return format_html("{} {}", chip(_("Excluded"), "middle"), told)
        return told if row.comment else NOTHING

    @admin.display(description=gettext_lazy("touchpoint"))
    def touchpoint_shown(self, row: Response) -> str:
        return row.touchpoint.label

    @admin.display(description=gettext_lazy("customer"))
    def customer_shown(self, row: Response) -> SafeString | str:
        return customer_link(row.customer)

    @admin.display(description=gettext_lazy("mode"))
    def mode_shown(self, row: Response) -> str:
        return mode_word(row.mode)

    # --- Excluding ----------------------------------------------------------------------------------------------------

    def has_exclude_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(EXCLUDES)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("exclude/", view(self.exclude_view), name="surveys_response_exclude"),
            path("<path:object_id>/include/", view(self.include_view), name="surveys_response_include"),
            *super().get_urls(),
        ]

    @admin.action(description=gettext_lazy("Exclude from metrics …"), permissions=["exclude"])
    def exclude_selected(self, request: HttpRequest, queryset: QuerySet[Response]) -> HttpResponse | None:
        ids = list(queryset.filter(excluded_at__isnull=True).values_list("pk", flat=True)[: AT_ONCE + 1])
        if not ids:
            messages.info(request, _("These answers are excluded already."))
            return None
        if len(ids) > AT_ONCE:
            messages.error(request, _("At most %(count)d answers at once. Narrow the list first.") % {"count": AT_ONCE})
            return None
        return self._ask_why(request, ids, ReasonForm())

    @admin.action(description=gettext_lazy("Count again"), permissions=["exclude"])
    def include_selected(self, request: HttpRequest, queryset: QuerySet[Response]) -> None:
        rows = list(queryset.filter(excluded_at__isnull=False)[:AT_ONCE])
        for row in rows:
            self._include(request, row)
        done = ngettext("%(count)d answer counts again.", "%(count)d answers count again.", len(rows))
        messages.success(request, done % {"count": len(rows)})

    def exclude_view(self, request: HttpRequest) -> HttpResponse:
        """The reason, given; without one the page asks again and keeps what was chosen."""
        self.need(request, EXCLUDES)
        given = request.POST.get("ids", request.GET.get("ids", ""))[: 20 * AT_ONCE]
        ids = [int(part) for part in given.split(",") if part.isdecimal() and len(part) < 19][:AT_ONCE]
        rows = list(Response.objects.filter(pk__in=ids, excluded_at__isnull=True))
        if not rows:
            messages.info(request, _("These answers are excluded already."))
            return HttpResponseRedirect(list_of(Response))
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if request.method != "POST" or not form.is_valid():
            return self._ask_why(request, [row.pk for row in rows], form)
        reason, now = form.cleaned_data["reason"], timezone.now()
        for row in rows:
            exclude_response(row.pk, reason, request.user, now)
            noted(request, row, _("Excluded from metrics: %(reason)s") % {"reason": reason})
        done = ngettext(
            "%(count)d answer is out of every metric. It stays in the list.",
            "%(count)d answers are out of every metric. They stay in the list.",
            len(rows),
        )
        messages.success(request, done % {"count": len(rows)})
        return HttpResponseRedirect(page_of(rows[0]) if len(rows) == 1 else list_of(Response))

    def include_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.asked_for(request, object_id, EXCLUDES)
        if row is None:
            return self.missing(request, object_id)
        if request.method == "POST" and row.excluded_at is not None:
            self._include(request, row)
            messages.success(request, _("This answer counts again."))
        return HttpResponseRedirect(page_of(row))

    def _include(self, request: HttpRequest, row: Response) -> None:
        include_response(row.pk)
        noted(request, row, _("Counts again. It had been excluded: %(reason)s") % {"reason": row.excluded_reason})

    def _ask_why(self, request: HttpRequest, ids: Iterable[int], form: ReasonForm) -> HttpResponse:
        ids = list(ids)
        rows = Response.objects.filter(pk__in=ids).select_related(*self.list_select_related)[:20]
        title = ngettext("Exclude %(count)d answer", "Exclude %(count)d answers", len(ids)) % {"count": len(ids)}
        return self.page(
            request,
            "staff/exclude.html",
            title=title,
            form=form,
            ids=",".join(map(str, ids)),
            rows=[
                (
                    self.answered(row),
                    self.score_shown(row),
                    self.touchpoint_shown(row),
                    Truncator(row.comment).chars(80),
                )
                for row in rows
            ],
            more=max(0, len(ids) - 20),
        )

    # --- Page ---------------------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Response]:
        rows: QuerySet[Response] = super().get_queryset(request)
        return rows.select_related(*self.list_select_related)

    def page_context(self, request: HttpRequest, obj: Response) -> dict[str, Any]:
        version, touchpoint = obj.version, obj.touchpoint
        about = [
            (_("Touchpoint"), touchpoint.label),
            (_("Channel"), touchpoint.get_channel_display()),
            (_("Instrument"), f"{version.instrument.label}, {_('version %(number)d') % {'number': version.number}}"),
            (_("Mode"), mode_word(obj.mode)),
            (_("Segment"), obj.segment or NOTHING),
            (_("Location"), obj.location or NOTHING),
            (_("Language"), obj.language or NOTHING),
            (_("Answered at"), moment(obj.responded_at)),
        ]
        if obj.changed_at:
            about.append((_("Last changed"), moment(obj.changed_at)))
        if request.user.has_perm(SEES_PEOPLE):
            about.insert(0, (_("Customer"), customer_link(obj.customer)))
        if obj.invitation and request.user.has_perm("surveys.view_invitation"):
            about.append((_("Invitation"), link(obj.invitation, moment(obj.invitation.decided_at))))
        instrument = version.instrument
        return {
            "title": _("Answer of %(at)s") % {"at": moment(obj.responded_at)},
            "row": obj,
            "score": score_chip(instrument.metric, instrument.points, obj.score),
            "lines": answered_lines(obj),
            "about": about,
            "excluded_at": moment(obj.excluded_at),
            "can_exclude": self.has_exclude_permission(request),
        }


def answered_lines(response: Response) -> list[Line]:
    """Each answered question of a response in the wording of its version: in the reader's language, and as the customer saw it."""
    reader = translation.get_language() or "en"
    answers = {answer.question_id: answer for answer in response.answers.all()}
    lines = []
    for wording in Wording.objects.filter(version=response.version_id).select_related("question").order_by("position"):
        answer = answers.get(wording.question_id)
        if answer is None:
            continue
        question, shown = pick(wording.text, reader), pick(wording.text, response.language or reader)
        told = _told(answer, wording, reader)
        is_text = bool(answer.text)
        lines.append(Line(question, "" if shown == question else shown, response.language, told, is_text))
    return lines


def _told(answer: Answer, wording: Wording, reader: str) -> SafeString | str:
    question = wording.question
    if answer.score is not None:
        return score_chip(question.metric, question.points, answer.score)
    if answer.text:
        return answer.text
    labels = [pick(wording.options.get(choice) or {}, reader) or str(choice) for choice in answer.choices]
    return _(", ").join(labels) or NOTHING
