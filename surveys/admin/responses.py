"""Answers: the page of one in the wording that was answered, and taking answers out of every metric and back.

In: recorded responses. Out: pages that only read; an exclusion always has a reason, a person and a time. No comment without
`surveys.view_response`, no customer without `surveys.view_customer`. The list is a page of `metrics`, under the name "answers".
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone, translation
from django.utils.html import format_html_join
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.widgets import UnfoldAdminTextareaWidget

from surveys.admin.records import (
    NOTHING,
    SEES_PEOPLE,
    PeopleAdmin,
    chip,
    customer_link,
    link,
    mode_word,
    moment,
    noted,
    page_of,
    score_chip,
)
from surveys.flow.respond import SCORE_KEY, decide_suspect, exclude_response, include_response
from surveys.flow.suspect import SUSPECTED_BOT, was_rushed
from surveys.models import Customer, Organisation, Response, Touchpoint, Wording
from surveys.models.instruments import NO, YES, Kind
from surveys.models.responses import SUSPECT
from surveys.phrases import LANGUAGES, Phrases
from surveys.texts import fill, match_language, pick

EXCLUDES = "surveys.change_response"
LEFT_OUT = gettext_lazy("Left out: it looks like a machine’s.")
ALL_DAYS = "2000-01-01"
# What older links ask for, under the names of the list's own page.
_SAME = {
    "metric": "metric",
    "band": "band",
    "mode": "mode",
    "segment": "segment",
    "touchpoint__channel__exact": "channel",
}
AT_ONCE = 1_000  # each exclusion is a transaction of its own; more than that is no hand's work


class ReasonForm(forms.Form):
    """Why something is done that somebody will ask about later."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


def _ids(given: Iterable[str]) -> list[int]:
    """Primary keys, at most AT_ONCE; what is none is passed over."""
    return [int(part) for part in given if part.isdecimal() and len(part) < 19][:AT_ONCE]


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
    list_select_related = ("touchpoint", "version__instrument", "customer")
    page_template = "staff/response.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list is a page of its own, with the filters of all pages on scores; what an old link asks for goes along."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = {_SAME[name]: str(value) for name, value in request.GET.items() if name in _SAME}
        if request.GET.get("suspected") == "waiting":
            asked["state"] = "suspected"
        for name, column, rows in (
            ("touchpoint__id__exact", "slug", Touchpoint.objects.all()),
            ("customer__id__exact", "external_id", Customer.objects.filter(erased_at__isnull=True)),
        ):
            pk = request.GET.get(name, "")
            if pk.isdecimal() and len(pk) < 19 and (column == "slug" or request.user.has_perm(SEES_PEOPLE)):
                found = rows.filter(pk=pk).values_list(column, flat=True).first()
                asked |= {"touchpoint" if column == "slug" else "of": found} if found else {}
        if asked:
            asked.setdefault("from", ALL_DAYS)  # these lists had no days
        query = f"?{urlencode(asked)}" if asked else ""
        return HttpResponseRedirect(reverse("answers") + query)

    # --- Excluding ----------------------------------------------------------------------------------------------------

    def has_exclude_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(EXCLUDES)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("exclude/", view(self.exclude_view), name="surveys_response_exclude"),
            path("act/", view(self.act_view), name="surveys_response_act"),
            path("<path:object_id>/decide/", view(self.decide_view), name="surveys_response_decide"),
            path("<path:object_id>/include/", view(self.include_view), name="surveys_response_include"),
            *super().get_urls(),
        ]

    def act_view(self, request: HttpRequest) -> HttpResponse:
        """What the list does to the answers that were chosen; each is asked about again where it stands otherwise by now."""
        self.need(request, EXCLUDES)
        act, back = request.POST.get("act", ""), self._back(request)
        ids = _ids(request.POST.getlist("id"))
        if request.method != "POST" or act not in ("exclude", "include", "count", "leave_out"):
            return HttpResponseRedirect(back)
        rows = Response.objects.filter(pk__in=ids)
        if not ids:
            messages.info(request, _("Choose the answers first."))
        elif act == "exclude":
            held = list(rows.filter(excluded_at__isnull=True).values_list("pk", flat=True))
            if held:
                return self._ask_why(request, held, ReasonForm())
            messages.info(request, _("These answers are excluded already."))
        elif act == "include":
            self._include_all(request, list(rows.filter(excluded_at__isnull=False)))
        else:
            self._decide_all(request, list(rows.filter(SUSPECT)), act == "count")
        return HttpResponseRedirect(back)

    def _back(self, request: HttpRequest) -> str:
        """The list as it was when somebody chose in it."""
        back = request.POST.get("next") or request.GET.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
        return back if back and is_ours else reverse("answers")

    def _include_all(self, request: HttpRequest, rows: Sequence[Response]) -> None:
        for row in rows:
            self._include(request, row)
        done = ngettext("%(count)d answer counts again.", "%(count)d answers count again.", len(rows))
        messages.success(request, done % {"count": len(rows)})

    def _decide_all(self, request: HttpRequest, rows: Sequence[Response], counts: bool) -> None:
        decided = [row for row in rows if self._decide(request, row, counts)]
        if not decided:
            messages.info(request, _("None of these waits for a decision."))
            return
        done = (
            ngettext("%(count)d answer counts from now on.", "%(count)d answers count from now on.", len(decided))
            if counts
            else ngettext("%(count)d answer stays left out.", "%(count)d answers stay left out.", len(decided))
        )
        messages.success(request, done % {"count": len(decided)})

    def decide_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Whether an answer that looks like a machine's counts. Whoever comes second is told that it is decided."""
        row = self.asked_for(request, object_id, EXCLUDES)
        if row is None:
            return self.missing(request, object_id)
        decision = request.POST.get("decision", "")
        if decision in ("count", "leave_out"):
            if not self._decide(request, row, decision == "count"):
                messages.info(request, _("This answer no longer waits for a decision. Below is how it stands."))
            elif decision == "count":
                messages.success(request, _("This answer counts from now on."))
            else:
                messages.success(request, _("This answer stays left out."))
        return HttpResponseRedirect(page_of(row))

    def _decide(self, request: HttpRequest, row: Response, counts: bool) -> bool:
        with transaction.atomic():
            decided = decide_suspect(row.pk, counts, request.user, timezone.now())
            if decided:
                noted(request, row, _("Counts, although it looks like a machine’s.") if counts else str(LEFT_OUT))
        return decided

    def exclude_view(self, request: HttpRequest) -> HttpResponse:
        """The reason, given; without one the page asks again and keeps what was chosen."""
        self.need(request, EXCLUDES)
        ids = _ids(request.POST.get("ids", request.GET.get("ids", ""))[: 20 * AT_ONCE].split(","))
        rows = list(Response.objects.filter(pk__in=ids, excluded_at__isnull=True))
        if not rows:
            messages.info(request, _("These answers are excluded already."))
            return HttpResponseRedirect(self._back(request))
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if request.method != "POST" or not form.is_valid():
            return self._ask_why(request, [row.pk for row in rows], form)
        reason, now = form.cleaned_data["reason"], timezone.now()
        for row in rows:
            with transaction.atomic():
                exclude_response(row.pk, reason, request.user, now)
                noted(request, row, _("Excluded from metrics: %(reason)s") % {"reason": reason})
        done = ngettext(
            "%(count)d answer is out of every metric. It stays in the list.",
            "%(count)d answers are out of every metric. They stay in the list.",
            len(rows),
        )
        messages.success(request, done % {"count": len(rows)})
        one = len(rows) == 1 and not request.POST.get("next")
        return HttpResponseRedirect(page_of(rows[0]) if one else self._back(request))

    def include_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.asked_for(request, object_id, EXCLUDES)
        if row is None:
            return self.missing(request, object_id)
        if request.method == "POST" and row.excluded_at is not None:
            self._include(request, row)
            messages.success(request, _("This answer counts again."))
        return HttpResponseRedirect(page_of(row))

    def _include(self, request: HttpRequest, row: Response) -> None:
        with transaction.atomic():
            include_response(row.pk)
            noted(request, row, _("Counts again. It had been excluded: %(reason)s") % {"reason": excluded_why(row)})

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
            back=self._back(request),
            next=request.POST.get("next", ""),
            rows=[
                (
                    moment(row.responded_at),
                    score_chip(row.version.instrument.metric, row.version.instrument.points, row.score),
                    row.touchpoint.label,
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
        if obj.privacy_notice_id is not None:
            about.append((_("Privacy notice"), _("version %(number)d") % {"number": obj.privacy_notice_id}))
        sees_people = request.user.has_perm(SEES_PEOPLE)
        if obj.reference and sees_people:
            about.append((_("Reference"), obj.reference))
        instrument = version.instrument
        wordings, organisation = wordings_of(obj), Organisation.current()
        reader = translation.get_language() or "en"
        return {
            "title": _("Answer of %(at)s") % {"at": moment(obj.responded_at)},
            "row": obj,
            "score": score_chip(instrument.metric, instrument.points, obj.score),
            "chips": state_chips(obj),
            "lines": answered_lines(obj, wordings, organisation),
            "earlier": earlier_states(obj, wordings, organisation),
            "notice": pick(obj.privacy_notice.texts, obj.language or reader) if obj.privacy_notice else "",
            "notice_language": obj.language or reader,
            # What the site that shows the form says of its page may name its customer.
            "facts": [(str(key), told_fact(value)) for key, value in obj.facts.items()] if sees_people else [],
            "about": about,
            "excluded_at": moment(obj.excluded_at),
            "excluded_why": excluded_why(obj),
            "suspected_at": moment(obj.suspected_at),
            "suspected_why": _suspected_why(obj),
            "can_exclude": self.has_exclude_permission(request),
        }


def state_chips(row: Response) -> SafeString | str:
    """What sets it apart from a complete answer that counts."""
    chips = []
    if row.is_suspect:
        chips.append(chip(_("Looks like a machine’s"), "worst"))
    elif row.excluded_at:
        chips.append(chip(_("Excluded"), "middle"))
    if row.completed_at is None:
        chips.append(chip(_("Partial"), "quiet"))
    return format_html_join(" ", "{}", ((one,) for one in chips)) if chips else ""


def excluded_why(row: Response) -> str:
    return str(LEFT_OUT) if row.excluded_reason == SUSPECTED_BOT else row.excluded_reason


def _suspected_why(row: Response) -> str:
    if row.suspected_at is None:
        return ""
    replaced = [change.replaced_at for change in row.changes.all()]
    if was_rushed(row.suspected_at, row.recorded_at, replaced):
        return _(
            "“Send” had not been pressed, and two scores came within two seconds: a machine tries all that a letter offers."
        )
    return _("“Send” had not been pressed, and it came from a network in which machines look at the links of letters.")


def wordings_of(response: Response) -> list[Wording]:
    rows = Wording.objects.filter(version=response.version_id).select_related("question")
    return list(rows.order_by("position"))


def answered_lines(response: Response, wordings: Sequence[Wording], organisation: Organisation) -> list[Line]:
    """Each answered question of a response in the wording of its version: in the reader's language, and as the customer saw it."""
    reader = translation.get_language() or "en"
    answers = {answer.question_id: answer for answer in response.answers.all()}
    lines = []
    for wording in wordings:
        answer = answers.get(wording.question_id)
        if answer is None:
            continue
        question = asked_text(wording, response, reader, organisation)
        shown = asked_text(wording, response, response.language or reader, organisation)
        told = told_value(answer.value, wording, reader)
        is_text = bool(answer.text)
        lines.append(Line(question, "" if shown == question else shown, response.language, told, is_text))
    return lines


def asked_text(wording: Wording, response: Response, language: str, organisation: Organisation) -> str:
    """The question in a language, as it was asked in the band of the score; a contact permission may have our words."""
    instrument = response.version.instrument
    score = response.score
    band = instrument.scale.band(score) if score is not None and instrument.scale.contains(score) else ""
    text = pick(wording.by_band.get(band) or {}, language) or pick(wording.text, language)
    if text or wording.question.kind != Kind.CONTACT:
        names = {"organisation": organisation.name_in(language), "touchpoint": response.touchpoint.name_in(language)}
        return fill(text, **names)
    spoken = match_language(language, LANGUAGES) or "en"
    with translation.override(spoken):
        return Phrases(organisation.phrases.get(spoken))["contact"]


@dataclass(frozen=True)
class Earlier:
    """What a response said until it was changed."""

    until: str
    lines: list[tuple[str, SafeString | str]]


def earlier_states(response: Response, wordings: Sequence[Wording], organisation: Organisation) -> list[Earlier]:
    """The newest first. Of an erased customer's only the scores are left."""
    reader = translation.get_language() or "en"
    states = []
    for change in response.changes.all():
        answers = change.answers or ({SCORE_KEY: change.score} if change.score is not None else {})
        lines = [
            (
                asked_text(wording, response, reader, organisation),
                told_value(answers[wording.question.key], wording, reader),
            )
            for wording in wordings
            if wording.question.key in answers
        ]
        known = {wording.question.key for wording in wordings}
        # A version that a form carried may differ from the one first answered: what it does not ask is told by its key.
        lines += [(key, told_fact(value)) for key, value in answers.items() if key not in known]
        states.append(Earlier(moment(change.replaced_at), lines))
    return states[::-1]


def told_value(value: Any, wording: Wording, reader: str) -> SafeString | str:
    """An answer as people say it: a score with its band, options in words, yes and no."""
    question = wording.question
    if question.kind == Kind.SCALE:
        return score_chip(question.metric, question.points, value)
    if question.kind in (Kind.YES_NO, Kind.CONTACT):
        return {YES: _("Yes"), NO: _("No")}.get(str(value), NOTHING)
    if isinstance(value, list):
        return _(", ").join(pick(wording.options.get(key) or {}, reader) or str(key) for key in value) or NOTHING
    return str(value) or NOTHING


def told_fact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
