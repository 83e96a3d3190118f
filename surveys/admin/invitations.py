"""Every decision to ask or not to ask, and what became of each letter.

In: what the flow decided and the carriers said. Out: pages that only read. A mail server's words quote addresses, so they are told
only to whoever may view customers.
"""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
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
    mode_word,
    moment,
)
from surveys.admin.why import why_context
from surveys.flow.eligibility import until_of
from surveys.flow.occasions import case_of_invitation
from surveys.models import DeliveryAttempt, Invitation, ReceiptKind

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
