"""Every decision to ask or not to ask, what became of each letter, and the addresses that must not be written to.

In: what the flow decided and the carriers said. Out: pages that only read, and lifting a suppression, with a reason. A mail
server's words quote addresses, so they are told only to whoever may view customers.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from surveys.admin.filters import ModeFilter, MomentRangeFilter
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
)
from surveys.admin.responses import ReasonForm
from surveys.admin.why import why_context
from surveys.flow.addresses import address_hash, normalise_phone
from surveys.flow.occasions import case_of_invitation
from surveys.flow.unsubscribe import lift_suppression
from surveys.flow.why import until_of
from surveys.models import DeliveryAttempt, Invitation, ReceiptKind, Suppression

LIFTS = "surveys.delete_suppression"
TONES = {
    "scheduled": "going", "sent": "going", "delivered": "going", "opened": "going", "answered": "best", "expired": "quiet",
    "cancelled": "quiet", "withheld": "middle", "failed": "worst",
}  # fmt: skip
RECEIPT_TONES: Mapping[str, str] = {
    ReceiptKind.DELIVERED: "best",
    ReceiptKind.SOFT: "middle",
    ReceiptKind.DEFERRED: "middle",
}
REFUSED = ("withheld", "cancelled", "failed")


def status_chip(row: Invitation) -> SafeString:
    return chip(row.get_status_display(), TONES[row.status])


def attempt_chip(row: DeliveryAttempt) -> SafeString:
    """The carrier's last word: its receipt where there is one."""
    if row.receipt:
        return chip(row.get_receipt_display(), RECEIPT_TONES.get(row.receipt, "worst"))
    return chip(row.get_result_display(), {"sent": "best", "temporary": "middle"}.get(row.result, "worst"))


def attempt_title(row: DeliveryAttempt) -> str:
    mode = mode_word(row.mode)
    if row.reminder:
        return _("Reminder %(number)d · %(mode)s") % {"number": row.reminder, "mode": mode}
    return _("Delivery · %(mode)s") % {"mode": mode}


def why(row: Invitation) -> str:
    """The reason in words, with the day on which it ends where it does; "" for what was or will be sent."""
    if not row.reason:
        return ""
    until = until_of(row.detail)
    reason = row.get_reason_display()
    return _("%(reason)s (until %(day)s)") % {"reason": reason, "day": moment(until)} if until else reason


def invitation_story(row: Invitation) -> tuple[str, str]:
    """What was decided, and what became of it, in words."""
    if row.status == "withheld":
        return _("Not asked"), why(row)
    if row.status == "cancelled":
        return _("Invitation withdrawn"), why(row)
    if row.status == "failed":
        return _("Invitation could not be delivered"), why(row)
    steps = (
        (_("to be sent %(at)s"), row.send_at if row.status == "scheduled" else None),
        (_("sent %(at)s"), row.sent_at),
        (_("opened %(at)s"), row.opened_at),
        (_("answered %(at)s"), row.answered_at),
        (_("expired %(at)s"), row.expires_at if row.status == "expired" else None),
    )
    told = " · ".join(text % {"at": moment(at)} for text, at in steps if at is not None)
    return _("Invited · %(mode)s") % {"mode": mode_word(row.mode)}, told


@admin.register(Invitation)
class InvitationAdmin(PeopleAdmin):
    list_display = [
        *("decided", "status_shown", "why_shown", "customer_shown", "touchpoint_shown", "mode_shown", "rule"),
        *("planned", "sent", "detail_shown"),
    ]
    list_filter = [
        ("status", ChoicesDropdownFilter),
        ("reason", ChoicesDropdownFilter),
        ("rule", RelatedDropdownFilter),
        ("touchpoint", RelatedDropdownFilter),
        ModeFilter,
        ("decided_at", MomentRangeFilter),
    ]
    linked_by = ("customer__id__exact", "event__id__exact")
    list_select_related = ("touchpoint", "customer", "rule")
    personal_columns = ("customer_shown", "detail_shown")
    personal_search = ("customer__external_id", "customer__name", "customer__email")
    search_help_text = gettext_lazy("Customer")
    page_template = "staff/invitation.html"
    empty_text = gettext_lazy(
        "Each event that a rule is for, and each day of a calendar, leaves its decisions here, also when nobody is asked."
    )

    @admin.display(description=gettext_lazy("decided"), ordering="decided_at")
    def decided(self, row: Invitation) -> str:
        return moment(row.decided_at)

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def status_shown(self, row: Invitation) -> SafeString:
        return status_chip(row)

    @admin.display(description=gettext_lazy("why not"))
    def why_shown(self, row: Invitation) -> str:
        return why(row) or NOTHING

    @admin.display(description=gettext_lazy("customer"))
    def customer_shown(self, row: Invitation) -> SafeString | str:
        return customer_link(row.customer)

    @admin.display(description=gettext_lazy("touchpoint"))
    def touchpoint_shown(self, row: Invitation) -> str:
        return row.touchpoint.label

    @admin.display(description=gettext_lazy("mode"))
    def mode_shown(self, row: Invitation) -> str:
        return mode_word(row.mode)

    @admin.display(description=gettext_lazy("to be sent"), ordering="send_at")
    def planned(self, row: Invitation) -> str:
        return moment(row.send_at if row.status == "scheduled" else None)

    @admin.display(description=gettext_lazy("sent"), ordering="sent_at")
    def sent(self, row: Invitation) -> str:
        return moment(row.sent_at)

    @admin.display(description=gettext_lazy("what the carrier said"))
    def detail_shown(self, row: Invitation) -> str:
        return NOTHING if not row.detail or until_of(row.detail) else row.detail

    def page_context(self, request: HttpRequest, obj: Invitation) -> dict[str, Any]:
        title, told = invitation_story(obj)
        sees_people = request.user.has_perm(SEES_PEOPLE)
        about = [
            (_("Touchpoint"), obj.touchpoint.label),
            (_("Instrument"), obj.instrument.label),
            (_("Rule"), obj.rule.slug if obj.rule else NOTHING),
            (_("Mode"), mode_word(obj.mode)),
            (_("Language"), obj.language or NOTHING),
            (_("Location"), obj.location or NOTHING),
            (_("Link works until"), moment(obj.expires_at)),
        ]
        if obj.period:
            about.insert(3, (_("Period from"), date_format(obj.period, pgettext("date format of a day", "j M Y"))))
        if sees_people:
            about.insert(0, (_("Customer"), customer_link(obj.customer)))
        if obj.event is not None and request.user.has_perm("surveys.view_interactionevent"):
            about.append((_("Event"), link(obj.event, obj.event.type)))
        return {
            "title": title,
            "state": status_chip(obj),
            "told": told,
            "about": about,
            **why_context([case_of_invitation(obj, timezone.now())], request.user.has_perm),
        }


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(PeopleAdmin):
    list_display = ["at_shown", "result_shown", "detail_shown", "customer_shown", "touchpoint_shown", "mode_shown"]
    list_filter = [("result", ChoicesDropdownFilter), ModeFilter, ("at", MomentRangeFilter)]
    linked_by = ("result__in",)
    list_select_related = ("invitation__customer", "invitation__touchpoint")
    personal_columns = ("customer_shown", "detail_shown")
    personal_search = ("invitation__customer__external_id", "invitation__customer__name")
    search_help_text = gettext_lazy("Customer")
    page_template = "staff/attempt.html"
    empty_text = gettext_lazy("Each try to hand a message to a carrier leaves a line here, with what the carrier said.")

    @admin.display(description=gettext_lazy("at"), ordering="at")
    def at_shown(self, row: DeliveryAttempt) -> str:
        return moment(row.at)

    @admin.display(description=gettext_lazy("result"), ordering="result")
    def result_shown(self, row: DeliveryAttempt) -> SafeString:
        return attempt_chip(row)

    @admin.display(description=gettext_lazy("what the carrier said"))
    def detail_shown(self, row: DeliveryAttempt) -> str:
        return row.detail or NOTHING

    @admin.display(description=gettext_lazy("customer"))
    def customer_shown(self, row: DeliveryAttempt) -> SafeString | str:
        return customer_link(row.invitation.customer)

    @admin.display(description=gettext_lazy("touchpoint"))
    def touchpoint_shown(self, row: DeliveryAttempt) -> str:
        return row.invitation.touchpoint.label

    @admin.display(description=gettext_lazy("mode"))
    def mode_shown(self, row: DeliveryAttempt) -> str:
        return mode_word(row.mode)

    def page_context(self, request: HttpRequest, obj: DeliveryAttempt) -> dict[str, Any]:
        invitation = obj.invitation
        about: list[tuple[str, Any]] = [
            (_("Touchpoint"), invitation.touchpoint.label),
            (_("Mode"), mode_word(obj.mode)),
            (_("At"), moment(obj.at)),
        ]
        if request.user.has_perm("surveys.view_invitation"):
            about.append((_("Invitation"), link(invitation, invitation.get_status_display())))
        if request.user.has_perm(SEES_PEOPLE):
            about.insert(0, (_("Customer"), customer_link(invitation.customer)))
            about.append((_("Message-ID"), obj.message_id or NOTHING))
        said = obj.detail if request.user.has_perm(SEES_PEOPLE) else ""
        return {"title": attempt_title(obj), "state": attempt_chip(obj), "said": said, "about": about}


@admin.register(Suppression)
class SuppressionAdmin(PeopleAdmin):
    """Addresses are kept as keyed hashes; an address that is typed in whole is found."""

    list_display = ["since", "reason_shown", "hash_shown", "detail_shown"]
    list_filter = [("reason", ChoicesDropdownFilter), ("created_at", MomentRangeFilter)]
    personal_columns = ("detail_shown",)
    personal_search = ("address_hash",)
    search_help_text = gettext_lazy("A whole email address or phone number")
    page_template = "staff/suppression.html"
    empty_text = gettext_lazy("Whoever unsubscribes, complains or bounces stands here, and is not written to.")

    @admin.display(description=gettext_lazy("since"), ordering="created_at")
    def since(self, row: Suppression) -> str:
        return moment(row.created_at)

    @admin.display(description=gettext_lazy("reason"), ordering="reason")
    def reason_shown(self, row: Suppression) -> SafeString:
        return chip(row.get_reason_display(), "worst")

    @admin.display(description=gettext_lazy("address hash"))
    def hash_shown(self, row: Suppression) -> SafeString:
        return format_html("<code>{}…</code>", row.address_hash[:16])

    @admin.display(description=gettext_lazy("detail"))
    def detail_shown(self, row: Suppression) -> str:
        return row.detail or NOTHING

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        term = search_term.strip()
        if not term or not request.user.has_perm(SEES_PEOPLE):
            return queryset, False
        hashes = [address_hash(term)]
        with contextlib.suppress(ValueError):  # not a phone number
            hashes.append(address_hash(normalise_phone(term)))
        return queryset.filter(Q(address_hash__in=hashes) | Q(address_hash__startswith=term.rstrip("…"))), False

    def page_context(self, request: HttpRequest, obj: Suppression) -> dict[str, Any]:
        about = [
            (_("Since"), moment(obj.created_at)),
            (_("Address hash"), format_html("<code>{}</code>", obj.address_hash)),
        ]
        if request.user.has_perm(SEES_PEOPLE):
            about.append((_("Detail"), obj.detail or NOTHING))
        return {
            "title": _("An address that is not written to"),
            "row": obj,
            "state": self.reason_shown(obj),
            "about": about,
            "can_lift": request.user.has_perm(LIFTS),
        }

    def get_urls(self) -> list[URLPattern]:
        lift = path(
            "<path:object_id>/lift/", self.admin_site.admin_view(self.lift_view), name="surveys_suppression_lift"
        )
        return [lift, *super().get_urls()]

    def lift_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.asked_for(request, object_id, LIFTS)
        if row is None:
            return self.missing(request, object_id)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            with transaction.atomic():
                noted(request, row, _("Lifted: %(reason)s") % form.cleaned_data, DELETION)
                lift_suppression(row.pk, timezone.now(), request.user, form.cleaned_data["reason"])
            messages.success(request, _("This address may be written to again."))
            return HttpResponseRedirect(list_of(Suppression))
        return self.page(request, "staff/lift.html", title=_("Write to this address again"), row=row, form=form)
