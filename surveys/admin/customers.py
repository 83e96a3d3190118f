"""Customers: the list, the story of one (a single time line), all that is held as a file, and erasing.

In: what the flow recorded. Out: pages that only read; erasing and exporting through flow/erase.py, each noted in the history.
A kind of row stands in the story only for whoever may view that kind.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from surveys.admin.fields import ModesField
from surveys.admin.filters import MomentRangeFilter, SegmentFilter, WordFilter, YesNoFilter
from surveys.admin.invitations import attempt_chip, invitation_story, status_chip
from surveys.admin.records import (
    NOTHING,
    SEES_ANSWERS,
    PeopleAdmin,
    chip,
    customer_name,
    link,
    mode_word,
    moment,
    noted,
    page_of,
    score_chip,
)
from surveys.admin.suppressions import (
    CONSENTS,
    RECORDS_CONSENT,
    ConsentForm,
    consent_chip,
    consent_source,
    lifted_by,
    scope_said,
    touchpoints_of,
)
from surveys.admin.tickets import ticket_story
from surveys.flow.addresses import address_hash, customer_hash
from surveys.flow.consent import Said, newest_acts, note_consents
from surveys.flow.customers import prefer_modes
from surveys.flow.erase import NoSuchCustomer, erase_customer, export_customer
from surveys.flow.segments import segment_of
from surveys.flow.suppress import hashes_against, suppressions_of
from surveys.models import (
    Consent,
    Customer,
    DeliveryAttempt,
    InteractionEvent,
    Invitation,
    Organisation,
    Response,
    Scope,
    Suppression,
    SuppressionLift,
    Ticket,
)

ERASES, PREFERS = "surveys.delete_customer", "surveys.change_customer"
PER_STORY = 100


class ReachFilter(WordFilter):
    title = gettext_lazy("address")
    parameter_name = "reach"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("email", _("Email")), ("phone", _("Phone")), ("none", _("Neither"))]

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == "none":
            return queryset.filter(email="", phone="", erased_at__isnull=True)
        return queryset.exclude(**{value: ""})


class PreferenceForm(forms.Form):
    """By which means somebody would rather be asked; nothing chosen is no preference."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["modes"] = ModesField(required=False)  # here, since its choices are in the reader's language


class ErasedFilter(YesNoFilter):
    title = gettext_lazy("erasure")
    parameter_name = "erased"
    words = (gettext_lazy("Erased"), gettext_lazy("Not erased"))
    yes = Q(erased_at__isnull=False)


@dataclass(frozen=True)
class Moment:
    """One line of the story. `rank` orders what happened at the same moment: a cause stands before its effect."""

    at: datetime
    rank: int
    icon: str
    title: SafeString | str
    where: str = ""
    chips: tuple[SafeString | str, ...] = ()
    detail: str = ""
    quote: str = ""
    why: str = ""  # where it is told why somebody was asked or not
    facts: tuple[tuple[str, Any], ...] = ()

    @property
    def shown_at(self) -> str:
        return moment(self.at)


@admin.register(Customer)
class CustomerAdmin(PeopleAdmin):
    list_display = ["name_shown", "external_id_shown", "email", "phone", "language", "segment", "asking", "first_seen"]
    list_filter = [ReachFilter, SegmentFilter, ErasedFilter, ("created_at", MomentRangeFilter)]
    search_fields = ("external_id", "name", "email", "phone")
    search_help_text = gettext_lazy("Name, customer id, email or phone")
    page_template = "staff/customer.html"
    empty_text = gettext_lazy("A customer is known from the first event, ticket or answer that names one.")

    @admin.display(description=pgettext_lazy("of a person", "name"), ordering="name")
    def name_shown(self, row: Customer) -> SafeString | str:
        return chip(_("Erased")) if row.erased_at else str(row)

    @admin.display(description=gettext_lazy("customer id"), ordering="external_id")
    def external_id_shown(self, row: Customer) -> str:
        return NOTHING if row.erased_at else row.external_id

    @admin.display(description=gettext_lazy("may be asked"))
    def asking(self, row: Customer) -> SafeString | str:
        found: list[Suppression] = getattr(row, "suppressions", [])
        whole = [held for held in found if held.scope != Scope.THIS_SURVEY]
        if whole:
            return chip(whole[0].get_reason_display(), "worst")
        if found:
            return chip(_("Not about everything"), "middle")
        if row.erased_at:
            return NOTHING
        return _("Yes") if row.email or row.phone else chip(_("No address"), "middle")

    @admin.display(description=gettext_lazy("first seen"), ordering="created_at")
    def first_seen(self, row: Customer) -> str:
        return moment(row.created_at)

    def complete(self, rows: list[Customer]) -> None:
        """The suppressions of a page of customers, by one query."""
        hashes = {row.pk: hashes_against(row) for row in rows}
        known: dict[str, list[Suppression]] = {}
        wanted = [one for some in hashes.values() for one in some]
        for held in Suppression.objects.filter(address_hash__in=wanted).order_by("created_at", "id"):
            known.setdefault(held.address_hash, []).append(held)
        for row in rows:
            row.suppressions = [held for one in hashes[row.pk] for held in known.get(one, [])]  # type: ignore[attr-defined]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<path:object_id>/erase/", view(self.erase_view), name="surveys_customer_erase"),
            path("<path:object_id>/consent/", view(self.consent_view), name="surveys_customer_consent"),
            path("<path:object_id>/preference/", view(self.preference_view), name="surveys_customer_preference"),
            path("<path:object_id>/export/", view(self.export_view), name="surveys_customer_export"),
            *super().get_urls(),
        ]

    # --- Story --------------------------------------------------------------------------------------------------------

    def page_context(self, request: HttpRequest, obj: Customer) -> dict[str, Any]:
        self.complete([obj])
        page = _page_number(request)
        story, has_older = story_of(obj, request.user.has_perm, page)
        return {
            "title": customer_name(obj),
            "row": obj,
            "about": self._about(obj),
            "suppressions": self._suppressions(request, obj),
            "consents": self._consents(obj) if request.user.has_perm(CONSENTS) else None,
            "can_record_consent": request.user.has_perm(RECORDS_CONSENT) and not obj.erased_at,
            "story": story,
            "newer": page - 1,
            "older": page + 1 if has_older else 0,
            "can_prefer": request.user.has_perm(PREFERS) and not obj.erased_at,
            "can_erase": request.user.has_perm(ERASES) and not obj.erased_at,
            "can_export": request.user.has_perm(SEES_ANSWERS) and not obj.erased_at,
            "erased_at": moment(obj.erased_at),
        }

    def _suppressions(self, request: HttpRequest, obj: Customer) -> list[dict[str, Any]]:
        """What stands, each reason and scope once, with the rows that can be lifted."""
        held: list[Suppression] = obj.suppressions  # type: ignore[attr-defined]
        touchpoints = touchpoints_of(held)
        opens = request.user.has_perm("surveys.view_suppression")
        found: dict[tuple[str, str, int], dict[str, Any]] = {}
        names = {customer_hash(obj.external_id): _("person"), address_hash(obj.email): _("email")}
        names |= {address_hash(obj.phone): _("phone")}
        for row in sorted(held, key=lambda row: row.created_at):
            one = found.setdefault(
                (row.reason, row.scope, row.touchpoint_key),
                {
                    "reason": row.get_reason_display(),
                    "scope": scope_said(row, touchpoints),
                    "since": moment(row.created_at),
                    "rows": [],
                },
            )
            name = names.get(row.address_hash, "")
            one["rows"].append(link(row, name) if opens else name)
        return list(found.values())

    def _consents(self, obj: Customer) -> list[dict[str, Any]]:
        """What holds, by purpose and mode."""
        return [
            {
                "what": f"{row.get_purpose_display()} · {mode_word(row.mode)}",
                "state": consent_chip(row.given),
                "told": f"{moment(row.at)} · {consent_source(row)}",
            }
            for row in newest_acts(obj)
        ]

    def _about(self, obj: Customer) -> list[tuple[str, Any]]:
        if obj.erased_at:
            return [(_("First seen"), moment(obj.created_at)), (_("Erased"), moment(obj.erased_at))]
        about = [
            (_("Customer id"), obj.external_id),
            (_("Email"), obj.email or NOTHING),
            (_("Phone"), obj.phone or NOTHING),
            (_("Language"), obj.language or NOTHING),
            (_("Time zone"), obj.time_zone or NOTHING),
            (_("Segment"), obj.segment or NOTHING),
            (_("Prefers"), modes_told(obj.preference) if obj.preference else _segment_prefers(obj) or NOTHING),
        ]
        about += [(str(key), _plain(value)) for key, value in sorted(obj.attributes.items())]
        return [*about, (_("First seen"), moment(obj.created_at)), (_("Profile as of"), moment(obj.profile_at))]

    # --- Consent ------------------------------------------------------------------------------------------------------

    def consent_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What the person has said to a member of staff, with where they said it."""
        row = self.asked_for(request, object_id, RECORDS_CONSENT)
        if row is None:
            return self.missing(request, object_id)
        if row.erased_at:
            return HttpResponseRedirect(page_of(row))
        now = timezone.now()
        form = ConsentForm(request.POST if request.method == "POST" else None, now)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            words = {name: given[name] for name in ("detail", "text_version", "wording")}
            act = Said(given["mode"], given["purpose"], given["given"] == "yes", given["at"], **words)
            with transaction.atomic():
                locked = Customer.objects.select_for_update(no_key=True).get(pk=row.pk)
                if locked.erased_at is None:
                    note_consents([(locked, act)], Consent.Source.STAFF, now, by=request.user.get_username())
            messages.success(request, _("Written down. What was said last holds."))
            return HttpResponseRedirect(page_of(row))
        title = _("What %(name)s has said") % {"name": row}
        return self.page(request, "staff/consent.html", title=title, row=row, form=form)

    # --- Rights over what is held -------------------------------------------------------------------------------------

    def export_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """All that is held, as a JSON file. It holds answers and letters too, so it needs the right to see them."""
        row = self.asked_for(request, object_id, SEES_ANSWERS)
        if row is None:
            return self.missing(request, object_id)
        if request.method != "POST" or row.erased_at:
            return HttpResponseRedirect(page_of(row))
        held = json.dumps(export_customer(row.external_id), cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
        noted(request, row, _("Exported all that is held."))
        response = HttpResponse(held.encode("utf-8", "replace"), content_type="application/json; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="customer-{row.pk}.json"'
        response["Cache-Control"] = "no-store"
        return response

    def preference_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.asked_for(request, object_id, PREFERS)
        if row is None:
            return self.missing(request, object_id)
        if row.erased_at:
            return HttpResponseRedirect(page_of(row))
        form = PreferenceForm(request.POST if request.method == "POST" else None, initial={"modes": row.preference})
        if request.method == "POST" and form.is_valid():
            modes = form.cleaned_data["modes"]
            if modes != row.preference:
                with transaction.atomic():
                    if prefer_modes(row.pk, modes):
                        noted(request, row, _("Prefers: %(modes)s.") % {"modes": modes_told(modes)})
            messages.success(request, _("The next message goes by these means, as far as its rule has them."))
            return HttpResponseRedirect(page_of(row))
        title = _("Preferred means of %(name)s") % {"name": row}
        otherwise = _("Nothing chosen: %(modes)s.") % {"modes": _segment_prefers(row) or _("as each rule has it")}
        return self.page(request, "staff/preference.html", title=title, row=row, form=form, otherwise=otherwise)

    def erase_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks for the customer's id to be typed: there is no way back."""
        row = self.asked_for(request, object_id, ERASES)
        if row is None:
            return self.missing(request, object_id)
        if row.erased_at:
            return HttpResponseRedirect(page_of(row))
        typed = request.POST.get("typed", "").strip()
        if request.method == "POST" and typed == row.external_id.strip():
            try:
                with transaction.atomic():
                    erase_customer(row.external_id, timezone.now())
                    row.refresh_from_db()
                    noted(request, row, _("Erased."))
            except NoSuchCustomer:
                row.refresh_from_db()  # somebody else was faster
            messages.success(request, _("The customer’s personal data is erased. Every metric keeps its counts."))
            return HttpResponseRedirect(page_of(row))
        held = [
            (str(model._meta.verbose_name_plural), model._default_manager.filter(customer=row).count())
            for model in (InteractionEvent, Ticket, Invitation, Response)
        ]
        error = _("This is not the customer’s id.") if request.method == "POST" else ""
        title = _("Erase %(name)s") % {"name": row}
        return self.page(request, "staff/erase.html", title=title, row=row, held=held, error=error, typed=typed)


def modes_told(modes: Iterable[str]) -> str:
    """SMS → Email; a dash for none."""
    return " → ".join(map(mode_word, modes)) or NOTHING


def _segment_prefers(customer: Customer) -> str:
    """What the organisation says of the customer's segment; "" where it says nothing."""
    organisation = Organisation.current()
    segment = segment_of(customer.segment, customer.attributes, organisation)
    modes = organisation.preferences.get(segment)
    return _("%(modes)s (as all of “%(segment)s”)") % {"modes": modes_told(modes), "segment": segment} if modes else ""


def _page_number(request: HttpRequest) -> int:
    given = request.GET.get("page", "")
    return max(1, int(given)) if given.isdecimal() and len(given) < 5 else 1


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def story_of(customer: Customer, may: Callable[[str], bool], page: int = 1) -> tuple[list[Moment], bool]:
    """A page of what happened with a customer, newest first, and whether there is more. `may` answers a permission.

    The newest of each kind are enough for the newest of all: a query for each kind, and two for names, whatever the length of the story.
    """
    enough = page * PER_STORY + 1
    found: list[Moment] = []
    for model, tell in KINDS:
        if may(f"surveys.view_{model._meta.model_name}"):
            found += tell(customer, enough)
    found.sort(key=lambda line: (line.at, line.rank), reverse=True)
    return found[(page - 1) * PER_STORY : page * PER_STORY], len(found) > page * PER_STORY


def _events(customer: Customer, enough: int) -> Iterator[Moment]:
    rows = InteractionEvent.objects.filter(customer=customer).select_related("touchpoint").order_by("-time", "-id")
    for row in rows[:enough]:
        where = row.touchpoint.label if row.touchpoint else ""
        source = _("from %(source)s") % {"source": row.source}
        detail = f"{source} · {row.location}" if row.location else source
        facts = tuple((str(key), _plain(value)) for key, value in row.facts.items())
        yield Moment(row.time, 0, "bolt", link(row, row.type), where, (), detail, "", page_of(row), facts)


def _tickets(customer: Customer, enough: int) -> Iterator[Moment]:
    rows = Ticket.objects.filter(customer=customer).select_related("touchpoint").order_by("-id")
    for row in rows[:enough]:
        at = row.resolved_at or row.opened_at or row.closed_at or row.first_response_at
        if at is not None:
            where = row.touchpoint.label if row.touchpoint else ""
            state, told = ticket_story(row)
            title = link(row, _("Ticket %(reference)s") % {"reference": row.reference})
            yield Moment(at, 1, "confirmation_number", title, where, (state,), told)


def _invitations(customer: Customer, enough: int) -> Iterator[Moment]:
    rows = Invitation.objects.filter(customer=customer).select_related("touchpoint", "rule")
    for row in rows.order_by("-decided_at", "-id")[:enough]:
        title, told = invitation_story(row)
        where = row.touchpoint.label
        yield Moment(row.decided_at, 2, "mail", link(row, title), where, (status_chip(row),), told, why=page_of(row))


def _attempts(customer: Customer, enough: int) -> Iterator[Moment]:
    rows = DeliveryAttempt.objects.filter(invitation__customer=customer).select_related("invitation__touchpoint")
    for row in rows.order_by("-at", "-id")[:enough]:
        title = _("Delivery · %(mode)s") % {"mode": mode_word(row.mode)}
        where = row.invitation.touchpoint.label
        yield Moment(row.at, 3, "outgoing_mail", title, where, (attempt_chip(row),), row.detail)


def _responses(customer: Customer, enough: int) -> Iterator[Moment]:
    rows = Response.objects.filter(customer=customer).select_related("touchpoint", "version__instrument")
    for row in rows.order_by("-responded_at", "-id")[:enough]:
        instrument = row.version.instrument
        chips = [score_chip(instrument.metric, instrument.points, row.score)]
        if row.excluded_at:
            chips.append(chip(_("Excluded"), "middle"))
        told = mode_word(row.mode)
        where = row.touchpoint.label
        yield Moment(row.responded_at, 4, "reviews", link(row, _("Answer")), where, tuple(chips), told, row.comment)


def _acts(customer: Customer, enough: int) -> Iterator[Moment]:
    for row in Consent.objects.filter(customer=customer).order_by("-at", "-id")[:enough]:
        title = _("Consent · %(purpose)s · %(mode)s") % {
            "purpose": row.get_purpose_display(), "mode": mode_word(row.mode)
        }  # fmt: skip
        told = consent_source(row) + (f" · {row.text_version}" if row.text_version else "")
        yield Moment(row.at, 5, "handshake", link(row, title), "", (consent_chip(row.given),), told, row.wording)


def _stops(customer: Customer, enough: int) -> Iterator[Moment]:
    """The same act for several addresses is one line."""
    rows = list(suppressions_of(customer).order_by("-created_at", "-id")[:enough])
    touchpoints = touchpoints_of(rows)
    for row in {(row.created_at, row.reason, row.scope, row.touchpoint_key): row for row in rows}.values():
        said = chip(scope_said(row, touchpoints), "worst")
        yield Moment(row.created_at, 6, "do_not_disturb_on", link(row, row.get_reason_display()), "", (said,))


def _lifts(customer: Customer, enough: int) -> Iterator[Moment]:
    held = SuppressionLift.objects.filter(address_hash__in=hashes_against(customer))
    rows = list(held.order_by("-lifted_at", "-id")[:enough])
    touchpoints = touchpoints_of(rows)
    for row in {(row.lifted_at, row.reason, row.scope, row.touchpoint_key): row for row in rows}.values():
        said = chip(f"{row.get_reason_display()} · {scope_said(row, touchpoints)}")
        yield Moment(row.lifted_at, 7, "undo", link(row, _("Suppression lifted")), "", (said,), lifted_by(row, True))


KINDS: tuple[tuple[Any, Callable[[Customer, int], Iterator[Moment]]], ...] = (
    (InteractionEvent, _events),
    (Ticket, _tickets),
    (Invitation, _invitations),
    (DeliveryAttempt, _attempts),
    (Response, _responses),
    (Consent, _acts),
    (Suppression, _stops),
    (SuppressionLift, _lifts),
)
