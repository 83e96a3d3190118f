"""Tickets of the client's helpdesk: open or resolved, how long it took, and why one is not in TTR. Only read here."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter, RelatedDropdownFilter

from surveys.admin.filters import SegmentFilter, WordFilter, YesNoFilter
from surveys.admin.records import NOTHING, SEES_PEOPLE, PeopleAdmin, chip, customer_link, link, moment
from surveys.models import Ticket
from surveys.words import duration, working_time

NO_OPENING = Q(opened_at__isnull=True)
REVERSED = Q(resolved_at__lt=F("opened_at"))


class StateFilter(WordFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [
            ("open", _("Open")),
            ("resolved", _("Resolved")),
            ("uncounted", _("Not in TTR")),
            ("no_opening", _("Not in TTR: no opening known")),
            ("reversed", _("Not in TTR: resolved before it was opened")),
        ]

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        asked = {
            "open": Q(in_ttr=True, resolved_at__isnull=True),
            "resolved": Q(in_ttr=True, resolved_at__isnull=False),
            "uncounted": Q(in_ttr=False),
            "no_opening": NO_OPENING,
            "reversed": REVERSED,
        }
        return queryset.filter(asked[value])


class ReopenedFilter(YesNoFilter):
    title = gettext_lazy("reopening")
    parameter_name = "reopened"
    words = (gettext_lazy("Reopened"), gettext_lazy("Never reopened"))
    yes = Q(reopened_count__gt=0)


def why_not_counted(ticket: Ticket) -> str:
    """Why a ticket is not in TTR; "" where it is."""
    if ticket.in_ttr:
        return ""
    return _("no opening known") if ticket.opened_at is None else _("resolved before it was opened")


def ticket_chip(ticket: Ticket) -> SafeString:
    if not ticket.in_ttr:
        return chip(_("Not in TTR"), "middle")
    return chip(_("Open"), "going") if ticket.resolved_at is None else chip(_("Resolved"), "best")


def span(start: datetime | None, end: datetime | None) -> str:
    """From `start` to `end` in words; a dash where one of them is not known, or they are reversed."""
    if start is None or end is None or end < start:
        return NOTHING
    return duration((end - start).total_seconds())


def _worked(seconds: int | None) -> str:
    return NOTHING if seconds is None else working_time(seconds)


def ticket_story(ticket: Ticket) -> tuple[SafeString, str]:
    """The state, and in words how long it took."""
    told = []
    if not ticket.in_ttr:
        told.append(why_not_counted(ticket))
    elif ticket.resolved_at is not None:
        told.append(_("resolved after %(duration)s") % {"duration": span(ticket.opened_at, ticket.resolved_at)})
    else:
        told.append(_("open for %(duration)s") % {"duration": span(ticket.opened_at, timezone.now())})
    if ticket.reopened_count:
        count = ticket.reopened_count
        told.append(ngettext("reopened once", "reopened %(count)d times", count) % {"count": count})
    return ticket_chip(ticket), " · ".join(told)


@admin.register(Ticket)
class TicketAdmin(PeopleAdmin):
    list_display = [
        *("reference", "state", "customer_shown", "touchpoint_shown", "opened", "first_response", "to_resolution"),
        *("reopened_count", "segment", "source"),
    ]
    list_filter = [
        StateFilter,
        ("touchpoint", RelatedDropdownFilter),
        ("touchpoint__channel", ChoicesDropdownFilter),
        ReopenedFilter,
        SegmentFilter,
        ("day_opened", RangeDateFilter),
        ("day_resolved", RangeDateFilter),
    ]
    linked_by = ("customer__id__exact",)
    list_select_related = ("touchpoint", "customer")
    personal_columns = ("customer_shown",)
    search_fields = ("reference",)
    personal_search = ("customer__external_id", "customer__name")
    search_help_text = gettext_lazy("Reference or customer")
    page_template = "staff/ticket.html"
    empty_text = gettext_lazy(
        "Tickets build themselves from ticket.opened, ticket.resolved and the other ticket events."
    )

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: Ticket) -> SafeString:
        return ticket_chip(row)

    @admin.display(description=gettext_lazy("customer"))
    def customer_shown(self, row: Ticket) -> SafeString | str:
        return customer_link(row.customer)

    @admin.display(description=gettext_lazy("touchpoint"))
    def touchpoint_shown(self, row: Ticket) -> str:
        return row.touchpoint.label if row.touchpoint else NOTHING

    @admin.display(description=gettext_lazy("opened"), ordering="opened_at")
    def opened(self, row: Ticket) -> str:
        return moment(row.opened_at)

    @admin.display(description=gettext_lazy("first response after"))
    def first_response(self, row: Ticket) -> str:
        return span(row.opened_at, row.first_response_at)

    @admin.display(description=gettext_lazy("resolved after"))
    def to_resolution(self, row: Ticket) -> str:
        if row.in_ttr and row.resolved_at is None:
            return _("open for %(duration)s") % {"duration": span(row.opened_at, timezone.now())}
        return why_not_counted(row) or span(row.opened_at, row.resolved_at)

    def page_context(self, request: HttpRequest, obj: Ticket) -> dict[str, Any]:
        state, told = ticket_story(obj)
        about = [
            (_("Touchpoint"), obj.touchpoint.label if obj.touchpoint else NOTHING),
            (_("Source"), obj.source),
            (_("Segment"), obj.segment or NOTHING),
            (_("Location"), obj.location or NOTHING),
        ]
        if request.user.has_perm(SEES_PEOPLE):
            about.insert(0, (_("Customer"), customer_link(obj.customer)))
        answered, resolved = obj.first_response_at, obj.resolved_at
        times = [
            (_("Ticket opened"), moment(obj.opened_at), "", ""),
            (_("First response"), moment(answered), span(obj.opened_at, answered), _worked(obj.first_business_s)),
            (_("Resolved"), moment(resolved), span(obj.opened_at, resolved), _worked(obj.business_s)),
            (_("Closed"), moment(obj.closed_at), span(obj.opened_at, obj.closed_at), ""),
        ]
        events = []
        if request.user.has_perm("surveys.view_interactionevent"):
            rows = obj.events.order_by("time", "id")[:500]
            events = [(moment(row.time), link(row, row.type), row.source) for row in rows]
        return {
            "title": _("Ticket %(reference)s") % {"reference": obj.reference},
            "state": state,
            "told": told,
            "about": about,
            "times": times,
            "has_business_time": obj.business_s is not None or obj.first_business_s is not None,
            "events": events,
        }
