"""Sent messages (the local mailbox), what customers text back, and the bad-news notices that wait. Only read here.

A letter is shown in a frame without scripts and without our origin: whatever stands in it can do nothing. Its links open in a new
tab, so that an invitation's link can be followed.
"""

from collections.abc import Iterable
from typing import Any

from csp.constants import NONE, SELF
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from surveys.admin.filters import MomentRangeFilter, WordFilter
from surveys.admin.records import (
    NOTHING,
    SEES_ANSWERS,
    SEES_PEOPLE,
    PeopleAdmin,
    chip,
    link,
    moment,
    score_chip,
)
from surveys.models import InboundText, Invitation, SentMessage, WatcherNotice

# Nothing is loaded and nothing runs. As a header of the letter's own page it holds before the first byte is read: a browser that
# reads ahead would ask for a picture before it came to a policy in the letter itself.
LETTER_POLICY = {
    "default-src": [NONE],
    "script-src": [NONE],
    "style-src": ["'unsafe-inline'"],
    "img-src": ["data:"],
    "font-src": [NONE],
    "connect-src": [NONE],
    "frame-src": [NONE],
    "form-action": [NONE],
    "frame-ancestors": [SELF],
    "sandbox": ["allow-popups", "allow-popups-to-escape-sandbox"],
}
LINKS_OUTSIDE = '<base target="_blank">'


@admin.register(SentMessage)
class SentMessageAdmin(PeopleAdmin):
    needs = (SEES_PEOPLE, SEES_ANSWERS)  # letters name people; bad news quotes their answers
    list_display = ["at_shown", "to", "subject_shown"]
    list_filter = [("at", MomentRangeFilter)]
    search_fields = ("to", "subject")
    search_help_text = gettext_lazy("Address or subject")
    ordering = ("-at", "-id")
    page_template = "staff/message.html"

    @property
    def empty_text(self) -> str:
        if settings.CX_LOCAL_MAILBOX:
            return _("Until EMAIL_URL names a mail server, nothing leaves this machine: letters are kept here instead.")
        return _("EMAIL_URL names a mail server, so letters leave and are not kept here.")

    @admin.display(description=gettext_lazy("sent"), ordering="at")
    def at_shown(self, row: SentMessage) -> str:
        return moment(row.at)

    @admin.display(description=gettext_lazy("subject"))
    def subject_shown(self, row: SentMessage) -> str:
        return Truncator(row.subject).chars(120)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SentMessage]:
        rows: QuerySet[SentMessage] = super().get_queryset(request)
        is_list = (
            request.resolver_match is not None and request.resolver_match.url_name == "surveys_sentmessage_changelist"
        )
        return rows.defer("html", "text", "headers") if is_list else rows

    def page_context(self, request: HttpRequest, obj: SentMessage) -> dict[str, Any]:
        about: list[tuple[str, Any]] = [(_("Recipient"), obj.to), (_("Sent at"), moment(obj.at))]
        token = obj.message_id.lstrip("<").partition("@")[0].partition(".")[0]  # a reminder's has its number behind it
        invitation = Invitation.objects.filter(token=token).first() if token else None
        if invitation is not None and request.user.has_perm("surveys.view_invitation"):
            about.append((_("Invitation"), link(invitation, invitation.get_status_display())))
        return {
            "title": obj.subject or _("(no subject)"),
            "row": obj,
            "about": about,
            "letter_url": reverse("admin:surveys_sentmessage_letter", args=[obj.pk]) if obj.html else "",
        }

    def get_urls(self) -> list[URLPattern]:
        letter = path(
            "<int:pk>/letter/", self.admin_site.admin_view(self.letter_view), name="surveys_sentmessage_letter"
        )
        return [letter, *super().get_urls()]

    def letter_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The letter as it looks, for the frame of its page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = SentMessage.objects.filter(pk=pk).first()
        if row is None:
            raise Http404
        return _letter(request, row)


@require_safe
@xframe_options_sameorigin
def _letter(request: HttpRequest, row: SentMessage) -> HttpResponse:
    response = HttpResponse(LINKS_OUTSIDE + row.html)
    response["Referrer-Policy"] = "no-referrer"
    response._csp_replace = LETTER_POLICY  # type: ignore[attr-defined]
    return response


@admin.register(InboundText)
class InboundTextAdmin(PeopleAdmin):
    needs = (SEES_PEOPLE, SEES_ANSWERS)  # a number, and a verbatim
    list_display = ["received", "phone", "text_shown", "meaning_shown", "reply_shown"]
    list_filter = [("meaning", ChoicesDropdownFilter), ("received_at", MomentRangeFilter)]
    search_fields = ("phone", "text")
    search_help_text = gettext_lazy("Phone number")
    ordering = ("-received_at", "-id")
    page_template = "staff/inbound_text.html"
    empty_text = gettext_lazy("What customers text back stands here, with what was made of it.")

    @admin.display(description=gettext_lazy("received"), ordering="received_at")
    def received(self, row: InboundText) -> str:
        return moment(row.received_at)

    @admin.display(description=gettext_lazy("text"))
    def text_shown(self, row: InboundText) -> str:
        return Truncator(row.text).chars(120) or NOTHING

    @admin.display(description=gettext_lazy("understood as"), ordering="meaning")
    def meaning_shown(self, row: InboundText) -> SafeString:
        tones = {"score": "best", "comment": "best", "unclear": "middle", "stop": "worst"}
        return chip(row.get_meaning_display(), tones.get(row.meaning, "quiet"))

    @admin.display(description=gettext_lazy("our reply"))
    def reply_shown(self, row: InboundText) -> SafeString | str:
        if row.replied_at:
            return chip(_("Reply sent"), "best")
        if row.due_at:
            return chip(_("Reply waits"), "going")
        return chip(_("Reply failed"), "worst") if row.detail else NOTHING

    def page_context(self, request: HttpRequest, obj: InboundText) -> dict[str, Any]:
        about: list[tuple[str, Any]] = [
            (_("Phone number"), obj.phone or NOTHING),
            (_("Received"), moment(obj.received_at)),
            (_("Replied"), moment(obj.replied_at)),
        ]
        if obj.invitation is not None and request.user.has_perm("surveys.view_invitation"):
            about.append((_("Invitation"), link(obj.invitation, obj.invitation.get_status_display())))
        if obj.detail:
            about.append((_("Last error"), obj.detail))
        return {"title": _("Text from a customer"), "row": obj, "state": self.meaning_shown(obj), "about": about}


class NoticeStateFilter(WordFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("waiting", _("Waiting")), ("failed", _("Failed, will be tried again")), ("sent", _("Sent"))]

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == "sent":
            return queryset.filter(sent_at__isnull=False)
        waiting = queryset.filter(sent_at__isnull=True)
        failed = Q(attempts__gt=0) & ~Q(watcher__last_error="")
        return waiting.filter(failed) if value == "failed" else waiting


@admin.register(WatcherNotice)
class WatcherNoticeAdmin(PeopleAdmin):
    needs = (SEES_ANSWERS,)
    list_display = ["since", "state", "recipient", "touchpoint_shown", "answer", "attempts", "error"]
    list_filter = [
        NoticeStateFilter,
        ("watcher__touchpoint", RelatedDropdownFilter),
        ("created_at", MomentRangeFilter),
    ]
    list_select_related = ("watcher__touchpoint", "response__version__instrument")
    search_fields = ("watcher__address",)
    search_help_text = gettext_lazy("Recipient")
    page_template = "staff/watcher_notice.html"
    empty_text = gettext_lazy(
        "Name recipients of bad news at a touchpoint; each answer in the lowest band leaves a notice here."
    )

    @admin.display(description=gettext_lazy("since"), ordering="created_at")
    def since(self, row: WatcherNotice) -> str:
        return moment(row.created_at)

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: WatcherNotice) -> SafeString:
        if row.sent_at:
            return chip(_("Sent"), "best")
        failed = row.attempts and row.watcher.last_error
        return chip(_("Failed, will be tried again"), "worst") if failed else chip(_("Waiting"), "going")

    @admin.display(description=gettext_lazy("recipient"))
    def recipient(self, row: WatcherNotice) -> str:
        return row.watcher.address

    @admin.display(description=gettext_lazy("touchpoint"))
    def touchpoint_shown(self, row: WatcherNotice) -> str:
        return row.watcher.touchpoint.label

    @admin.display(description=gettext_lazy("answer"))
    def answer(self, row: WatcherNotice) -> SafeString | str:
        instrument = row.response.version.instrument
        return link(row.response, score_chip(instrument.metric, instrument.points, row.response.score))

    @admin.display(description=gettext_lazy("last error"))
    def error(self, row: WatcherNotice) -> str:
        return row.watcher.last_error if not row.sent_at and row.watcher.last_error else NOTHING

    def page_context(self, request: HttpRequest, obj: WatcherNotice) -> dict[str, Any]:
        about: list[tuple[str, Any]] = [
            (_("Recipient"), obj.watcher.address),
            (_("Touchpoint"), self.touchpoint_shown(obj)),
            (_("Answer"), self.answer(obj)),
            (_("Since"), self.since(obj)),
            (_("Sent at"), moment(obj.sent_at)),
            (_("Attempts"), obj.attempts),
            (_("Last error"), self.error(obj)),
        ]
        return {"title": _("Bad-news notice"), "state": self.state(obj), "about": about}
