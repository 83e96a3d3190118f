"""What happened to customers, as other systems told it; and what could not be used, to be corrected and tried again.

In: recorded and quarantined events. Out: pages that only read, and retries through flow/quarantine.py. Free facts and bodies are
about people: without `surveys.view_customer` neither is told.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from surveys.admin.filters import MomentRangeFilter, WordFilter, YesNoFilter
from surveys.admin.records import (
    NOTHING,
    SEES_PEOPLE,
    PeopleAdmin,
    chip,
    customer_link,
    link,
    list_of,
    moment,
    noted,
    page_of,
)
from surveys.admin.why import why_context
from surveys.bell import ring
from surveys.flow.incoming import TICKET_EVENTS, InputError
from surveys.flow.occasions import cases_of_event
from surveys.flow.quarantine import discard, retry
from surveys.models import InteractionEvent, InvitationRule, QuarantinedEvent
from surveys.tasks import invite_pending

SETTLES = "surveys.change_quarantinedevent"
AT_ONCE = 500  # each retry is a transaction of its own
LONGEST_LISTING = 2_000  # lines; a body may be megabytes long


class TypeFilter(WordFilter):
    """Types that a rule or a ticket is for: a list of all that ever came would read every event."""

    title = gettext_lazy("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        asked = InvitationRule.objects.filter(calendar="").order_by().values_list("event_type", flat=True).distinct()
        return [(name, name) for name in sorted({*asked, *TICKET_EVENTS})]

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(type=value)


class DecidedFilter(YesNoFilter):
    title = gettext_lazy("decision")
    parameter_name = "decided"
    words = (gettext_lazy("Rules were asked"), gettext_lazy("Waiting"))
    yes = Q(decided=True)


@admin.register(InteractionEvent)
class EventAdmin(PeopleAdmin):
    list_display = [
        *("at", "type", "customer_shown", "touchpoint_shown", "reference", "location", "source", "event_id", "state"),
    ]
    list_filter = [
        TypeFilter,
        ("touchpoint", RelatedDropdownFilter),
        DecidedFilter,
        ("time", MomentRangeFilter),
    ]
    linked_by = ("customer__id__exact", "ticket__id__exact")
    list_select_related = ("touchpoint", "customer")
    personal_columns = ("customer_shown",)
    search_fields = ("event_id", "reference", "type")
    personal_search = ("customer__external_id", "customer__name")
    search_help_text = gettext_lazy("Event id, reference, type or customer")
    page_template = "staff/event.html"
    empty_text = gettext_lazy(
        "Other systems send events to POST /api/v1/events/ with an API key of the scope events:write."
    )

    @admin.display(description=gettext_lazy("time"), ordering="time")
    def at(self, row: InteractionEvent) -> str:
        return moment(row.time)

    @admin.display(description=gettext_lazy("customer"))
    def customer_shown(self, row: InteractionEvent) -> SafeString | str:
        return customer_link(row.customer)

    @admin.display(description=gettext_lazy("touchpoint"))
    def touchpoint_shown(self, row: InteractionEvent) -> str:
        return row.touchpoint.label if row.touchpoint else NOTHING

    @admin.display(description=gettext_lazy("rules"))
    def state(self, row: InteractionEvent) -> SafeString | str:
        return _("Asked") if row.decided else chip(_("Waiting"), "going")

    def page_context(self, request: HttpRequest, obj: InteractionEvent) -> dict[str, Any]:
        sees_people = request.user.has_perm(SEES_PEOPLE)
        about: list[tuple[str, Any]] = [
            (_("Touchpoint"), obj.touchpoint.label if obj.touchpoint else NOTHING),
            (_("Source"), obj.source),
            (_("Event id"), obj.event_id),
            (_("Reference"), obj.reference or NOTHING),
            (_("Location"), obj.location or NOTHING),
            (_("Received"), moment(obj.received_at)),
        ]
        if obj.ticket and request.user.has_perm("surveys.view_ticket"):
            about.append((_("Ticket"), link(obj.ticket, obj.ticket.reference)))
        if sees_people:
            about.insert(0, (_("Customer"), customer_link(obj.customer)))
        decisions = {}
        if request.user.has_perm("surveys.view_invitation"):
            decisions = why_context(cases_of_event(obj, timezone.now()), request.user.has_perm)
        facts = [(str(key), _plain(value)) for key, value in obj.facts.items()] if sees_people else []
        return {
            "title": obj.type,
            "at": moment(obj.time),
            "state": self.state(obj) if not obj.decided else "",
            "facts": facts,
            "about": about,
            **decisions,
        }


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- Quarantine -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BodyLine:
    """One line of a body as it is listed, with what is wrong in it: (pointer, detail)."""

    number: int
    text: str
    errors: Sequence[tuple[str, str]]


def written(
    value: Any, pointer: str = "", depth: int = 0, before: str = "", after: str = ""
) -> Iterator[tuple[str, str]]:
    """The lines of `json.dumps(value, indent=2)`, each with the JSON Pointer of what starts there; "" after a closing bracket's."""
    pad = "  " * depth
    if isinstance(value, dict | list) and value:
        pairs: list[tuple[str, str, Any]]
        if isinstance(value, dict):
            opened, closed = "{", "}"
            pairs = [(_escaped(key), f"{_dumped(key)}: ", inner) for key, inner in value.items()]
        else:
            opened, closed = "[", "]"
            pairs = [(str(index), "", inner) for index, inner in enumerate(value)]
        yield pointer, f"{pad}{before}{opened}"
        for place, (token, name, inner) in enumerate(pairs, start=1):
            yield from written(inner, f"{pointer}/{token}", depth + 1, name, "," if place < len(pairs) else "")
        yield "-", f"{pad}{closed}{after}"
    else:
        yield pointer, f"{pad}{before}{_dumped(value)}{after}"


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _dumped(value: Any) -> str:
    """Readable where a page can hold it; a lone surrogate stays escaped."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def listing(body: str, errors: Sequence[Mapping[str, str]]) -> tuple[str, list[BodyLine]]:
    """A stored body, laid out, and its lines with each error at the place that its pointer names, or the nearest one around it."""
    try:
        lines = list(written(json.loads(body)))
    except (ValueError, RecursionError):
        lines = [("", line) for line in body.splitlines()]
    places: dict[str, int] = {}
    for number, (pointer, _text) in enumerate(lines):
        places.setdefault(pointer, number)
    wrong: dict[int, list[tuple[str, str]]] = {}
    for error in errors:
        pointer = place = error.get("pointer", "")
        while place not in places and place:
            place = place.rpartition("/")[0]
        wrong.setdefault(places.get(place, 0), []).append((pointer, error.get("detail", "")))
    text = "\n".join(line for _pointer, line in lines)
    shown = [
        BodyLine(number + 1, line, wrong.get(number, ()))
        for number, (_pointer, line) in enumerate(lines)
        if number < LONGEST_LISTING or number in wrong
    ]
    return text, shown


@admin.register(QuarantinedEvent)
class QuarantinedEventAdmin(PeopleAdmin):
    needs = (SEES_PEOPLE,)  # a body is all about a person
    list_display = ["received", "what", "first_error", "api_key_name", "state_shown"]
    list_filter = [("state", ChoicesDropdownFilter), ("received_at", MomentRangeFilter)]
    search_fields = ("body", "api_key_name")
    search_help_text = gettext_lazy("A word of the body, or the key’s name")
    ordering = ("-received_at", "-id")
    actions = ("retry_selected", "discard_selected")
    page_template = "staff/quarantine.html"
    empty_text = gettext_lazy(
        "Well. What other systems send and cannot be used is kept here, to be corrected and tried again."
    )

    @admin.display(description=gettext_lazy("received"), ordering="received_at")
    def received(self, row: QuarantinedEvent) -> str:
        return moment(row.received_at)

    @admin.display(description=gettext_lazy("event"))
    def what(self, row: QuarantinedEvent) -> str:
        return _summary(row.body)

    @admin.display(description=gettext_lazy("error"))
    def first_error(self, row: QuarantinedEvent) -> SafeString | str:
        if not row.errors:
            return NOTHING
        first, more = row.errors[0], len(row.errors) - 1
        told = ngettext("and %(count)d more", "and %(count)d more", more) % {"count": more} if more else ""
        detail = Truncator(first.get("detail", "")).chars(120)
        return format_html("<code>{}</code> {} {}", first.get("pointer") or "/", detail, told)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_shown(self, row: QuarantinedEvent) -> SafeString:
        return _state_chip(row)

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(SETTLES)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[QuarantinedEvent], search_term: str
    ) -> tuple[QuerySet[QuarantinedEvent], bool]:
        """Bodies are kept ASCII-escaped, so a word is looked for in that spelling."""
        for word in search_term.split():
            escaped = json.dumps(word)[1:-1]
            queryset = queryset.filter(Q(body__icontains=escaped) | Q(api_key_name__icontains=word))
        return queryset, False

    @admin.action(description=gettext_lazy("Try again as sent"), permissions=["settle"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[QuarantinedEvent]) -> None:
        rows = queryset.exclude(state=QuarantinedEvent.State.RETRIED).exclude(body="{}").order_by("id")
        recorded = duplicates = wrong = undecided = 0
        now = timezone.now()
        for row in rows[:AT_ONCE]:
            try:
                result = retry(row.pk, row.body, now)
            except InputError:
                wrong += 1
                continue
            noted(request, row, _("Tried again as sent."))
            recorded, duplicates = recorded + result.accepted, duplicates + result.duplicates
            undecided += result.undecided
        if undecided:
            ring(invite_pending)
        counts = {"recorded": recorded, "duplicates": duplicates, "wrong": wrong}
        told = _("%(recorded)d recorded, %(duplicates)d known before, %(wrong)d still unusable.") % counts
        messages.warning(request, told) if wrong else messages.success(request, told)

    @admin.action(description=gettext_lazy("Discard"), permissions=["settle"])
    def discard_selected(self, request: HttpRequest, queryset: QuerySet[QuarantinedEvent]) -> None:
        now = timezone.now()
        rows = list(queryset.filter(state=QuarantinedEvent.State.WAITING).order_by("id")[:AT_ONCE])
        for row in rows:
            discard(row.pk, now)
            noted(request, row, _("Discarded."))
        done = ngettext("%(count)d event discarded.", "%(count)d events discarded.", len(rows)) % {"count": len(rows)}
        messages.success(request, done)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<path:object_id>/retry/", view(self.retry_view), name="surveys_quarantinedevent_retry"),
            path("<path:object_id>/discard/", view(self.discard_view), name="surveys_quarantinedevent_discard"),
            *super().get_urls(),
        ]

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """With the body as corrected. What is still wrong comes back as it was typed, with its errors."""
        row = self.asked_for(request, object_id, SETTLES)
        if row is None:
            return self.missing(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(page_of(row))
        typed = request.POST.get("body", "")
        try:
            result = retry(row.pk, typed, timezone.now())
        except InputError as error:
            row.refresh_from_db()
            context = self.page_context(request, row)
            context |= {"typed": typed, "still_wrong": [(pointer or "/", detail) for pointer, detail in error.errors]}
            return self.page(request, self.page_template, status=400, **context)
        if result.undecided:
            ring(invite_pending)
        noted(request, row, _("Corrected and tried again."))
        if result.accepted:
            messages.success(request, _("The event is recorded."))
        else:
            messages.info(request, _("An event with this source and id was recorded before; nothing counts twice."))
        return HttpResponseRedirect(page_of(row))

    def discard_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.asked_for(request, object_id, SETTLES)
        if row is None:
            return self.missing(request, object_id)
        if request.method == "POST" and row.state == QuarantinedEvent.State.WAITING:
            discard(row.pk, timezone.now())
            noted(request, row, _("Discarded."))
            messages.success(request, _("Discarded. It stays in the list and can still be tried again."))
        return HttpResponseRedirect(list_of(QuarantinedEvent, "?state__exact=waiting"))

    def page_context(self, request: HttpRequest, obj: QuarantinedEvent) -> dict[str, Any]:
        text, lines = listing(obj.body, obj.errors)
        open_still = obj.state != QuarantinedEvent.State.RETRIED and obj.body != "{}"
        return {
            "title": _("Quarantined event of %(at)s") % {"at": moment(obj.received_at)},
            "row": obj,
            "state": _state_chip(obj),
            "settled_at": moment(obj.settled_at) if obj.settled_at else "",
            "lines": lines,
            "typed": text,
            "still_wrong": [],
            "can_settle": open_still and request.user.has_perm(SETTLES),
            "can_discard": obj.state == QuarantinedEvent.State.WAITING,
        }


def _state_chip(row: QuarantinedEvent) -> SafeString:
    return chip(row.get_state_display(), {"waiting": "worst", "retried": "best"}.get(row.state, "quiet"))


def _summary(body: str) -> str:
    """The type and id that a body gives, as far as it gives them."""
    try:
        item = json.loads(body)
    except (ValueError, RecursionError):
        return NOTHING
    if not isinstance(item, dict):
        return Truncator(_dumped(item)).chars(60)
    parts = [_dumped(item[key]).strip('"') for key in ("type", "id") if item.get(key)]
    return Truncator(" · ".join(parts)).chars(80) or NOTHING
