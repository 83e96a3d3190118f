"""What must not be sent and to whom, what of that was lifted, and who consented to what.

In: what people, carriers and other systems said. Out: pages that only read; lifting with a written reason, and writing down a consent
that somebody gave by word of mouth. Both are kept, with the name of the member of staff. Words of mail servers and of staff may name
people, so they are told only to whoever may view customers.
"""

import contextlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import DELETION
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from surveys.admin.filters import MomentRangeFilter, YesNoFilter
from surveys.admin.records import (
    NOTHING,
    SEES_PEOPLE,
    PeopleAdmin,
    chip,
    customer_link,
    list_of,
    mode_word,
    moment,
    noted,
)
from surveys.admin.responses import ReasonForm
from surveys.flow.addresses import address_hash, customer_hash, normalise_phone
from surveys.flow.unsubscribe import lift_suppression
from surveys.models import Consent, Mode, Purpose, Scope, Suppression, SuppressionLift, Touchpoint
from surveys.models.customers import SuppressionFacts
from surveys.models.responses import SENT_MODES

LIFTS = "surveys.delete_suppression"
CONSENTS = "surveys.view_consent"
RECORDS_CONSENT = "surveys.add_consent"


def touchpoints_of(rows: Iterable[SuppressionFacts]) -> dict[int, str]:
    """The names of the touchpoints that these are about, by one query, or by none."""
    keys = {row.touchpoint_key for row in rows} - {0}
    return {row.pk: row.label for row in Touchpoint.objects.filter(pk__in=keys)} if keys else {}


def scope_said(row: SuppressionFacts, touchpoints: Mapping[int, str]) -> str:
    """“All surveys”, or “This survey: Delivery”."""
    said = str(Scope(row.scope).label)
    if row.scope != Scope.THIS_SURVEY:
        return said
    return _("%(scope)s: %(touchpoint)s") % {"scope": said, "touchpoint": touchpoints.get(row.touchpoint_key, NOTHING)}


def whose(row: SuppressionFacts) -> str:
    return _("the person, by any address") if row.of_person else _("this address, whoever has it")


def consent_chip(given: bool) -> SafeString:
    return chip(_("Given"), "best") if given else chip(_("Withdrawn"), "worst")


def consent_source(row: Consent) -> str:
    """Who told it, and where it was said."""
    who = _("Staff: %(name)s") % {"name": row.recorded_by_name} if row.recorded_by_name else row.get_source_display()
    return f"{who} · {row.detail}" if row.detail else who


class AboutAddresses(PeopleAdmin):
    """Addresses are kept as keyed hashes; an address, or a customer id, that is typed in whole is found."""

    personal_search = ("address_hash",)
    search_help_text = gettext_lazy("A whole email address, phone number or customer id")

    @admin.display(description=gettext_lazy("reason"), ordering="reason")
    def reason_shown(self, row: SuppressionFacts) -> SafeString:
        return chip(row.get_reason_display(), "worst")

    @admin.display(description=gettext_lazy("scope"), ordering="scope")
    def scope_shown(self, row: SuppressionFacts) -> str:
        return str(getattr(row, "said", "")) or scope_said(row, touchpoints_of([row]))

    @admin.display(description=gettext_lazy("holds for"))
    def whose_shown(self, row: SuppressionFacts) -> str:
        return whose(row)

    @admin.display(description=gettext_lazy("address hash"))
    def hash_shown(self, row: SuppressionFacts) -> SafeString:
        return format_html("<code>{}…</code>", row.address_hash[:16])

    def complete(self, rows: list[Any]) -> None:
        touchpoints = touchpoints_of(rows)
        for row in rows:
            row.said = scope_said(row, touchpoints)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term or not request.user.has_perm(SEES_PEOPLE):
            return queryset, False
        hashes = [address_hash(term), customer_hash(term)]
        with contextlib.suppress(ValueError):  # not a phone number
            hashes.append(address_hash(normalise_phone(term)))
        return queryset.filter(Q(address_hash__in=hashes) | Q(address_hash__startswith=term.rstrip("…"))), False


@admin.register(Suppression)
class SuppressionAdmin(AboutAddresses):
    list_display = ["since", "reason_shown", "scope_shown", "whose_shown", "hash_shown", "detail_shown"]
    list_filter = [
        ("reason", ChoicesDropdownFilter),
        ("scope", ChoicesDropdownFilter),
        ("created_at", MomentRangeFilter),
    ]
    personal_columns = ("detail_shown",)
    page_template = "staff/suppression.html"
    empty_text = gettext_lazy("Whoever unsubscribes, complains or bounces stands here, and is not written to.")

    @admin.display(description=gettext_lazy("since"), ordering="created_at")
    def since(self, row: Suppression) -> str:
        return moment(row.created_at)

    @admin.display(description=gettext_lazy("detail"))
    def detail_shown(self, row: Suppression) -> str:
        return row.detail or NOTHING

    def page_context(self, request: HttpRequest, obj: Suppression) -> dict[str, Any]:
        about = [
            (_("Since"), moment(obj.created_at)),
            (_("Scope"), self.scope_shown(obj)),
            (_("Holds for"), whose(obj)),
            (_("Hash"), format_html("<code>{}</code>", obj.address_hash)),
        ]
        if request.user.has_perm(SEES_PEOPLE):
            about.append((_("Detail"), obj.detail or NOTHING))
        return {
            "title": _("A person who is not written to") if obj.of_person else _("An address that is not written to"),
            "row": obj,
            "state": self.reason_shown(obj),
            "about": about,
            "can_lift": request.user.has_perm(LIFTS),
            "lifts": self._lifts(request, obj),
        }

    @staticmethod
    def _lifts(request: HttpRequest, obj: Suppression) -> list[tuple[str, str, str]]:
        """What was lifted before at the same address: (when, what, by whom and why)."""
        if not request.user.has_perm("surveys.view_suppressionlift"):
            return []
        rows = list(SuppressionLift.objects.filter(address_hash=obj.address_hash).order_by("-lifted_at", "-id")[:20])
        touchpoints, sees_people = touchpoints_of(rows), request.user.has_perm(SEES_PEOPLE)
        return [
            (
                moment(row.lifted_at),
                f"{row.get_reason_display()} · {scope_said(row, touchpoints)}",
                lifted_by(row, sees_people),
            )
            for row in rows
        ]

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
                noted(
                    request, row, _("Suppression lifted"), DELETION
                )  # why stands in the record of it, which erasing reaches
                lift_suppression(row.pk, timezone.now(), request.user, form.cleaned_data["reason"])
            messages.success(request, _("Lifted. Whatever else stands against this address or person still does."))
            return HttpResponseRedirect(list_of(Suppression))
        return self.page(
            request,
            "staff/lift.html",
            title=_("Write to this person again") if row.of_person else _("Write to this address again"),
            row=row,
            form=form,
            about=[
                (_("Reason"), self.reason_shown(row)),
                (_("Scope"), self.scope_shown(row)),
                (_("Holds for"), whose(row)),
                (_("Since"), moment(row.created_at)),
            ],
        )


def lifted_by(row: SuppressionLift, sees_people: bool) -> str:
    """“Staff: wang · asked us by phone”."""
    if row.source != SuppressionLift.Source.STAFF:
        return row.get_source_display()
    name = _("Staff: %(name)s") % {"name": row.lifted_by_name}
    return f"{name} · {row.why}" if row.why and sees_people else name


@admin.register(SuppressionLift)
class SuppressionLiftAdmin(AboutAddresses):
    list_display = ["lifted", "lifter", "why_shown", "reason_shown", "scope_shown", "since_shown", "hash_shown"]
    list_filter = [
        ("source", ChoicesDropdownFilter),
        ("reason", ChoicesDropdownFilter),
        ("scope", ChoicesDropdownFilter),
        ("lifted_at", MomentRangeFilter),
    ]
    personal_columns = ("why_shown",)
    page_template = "staff/act.html"
    empty_text = gettext_lazy("What was lifted stands here for good: what it was, who lifted it, when and why.")

    @admin.display(description=gettext_lazy("lifted"), ordering="lifted_at")
    def lifted(self, row: SuppressionLift) -> str:
        return moment(row.lifted_at)

    @admin.display(description=gettext_lazy("lifted by"), ordering="lifted_by_name")
    def lifter(self, row: SuppressionLift) -> str:
        return lifted_by(row, sees_people=False)

    @admin.display(description=gettext_lazy("why"))
    def why_shown(self, row: SuppressionLift) -> str:
        return row.why or NOTHING

    @admin.display(description=gettext_lazy("had stood since"), ordering="since")
    def since_shown(self, row: SuppressionLift) -> str:
        return moment(row.since)

    def page_context(self, request: HttpRequest, obj: SuppressionLift) -> dict[str, Any]:
        about = [
            (_("Lifted"), moment(obj.lifted_at)),
            (_("Lifted by"), lifted_by(obj, sees_people=False)),
            (_("Had stood since"), moment(obj.since)),
            (_("Scope"), self.scope_shown(obj)),
            (_("Holds for"), whose(obj)),
            (_("Hash"), format_html("<code>{}</code>", obj.address_hash)),
        ]
        if request.user.has_perm(SEES_PEOPLE):
            about[2:2] = [(_("Reason for lifting"), obj.why or NOTHING)]
            about.append((_("Detail"), obj.detail or NOTHING))
        return {"title": _("A suppression that was lifted"), "state": self.reason_shown(obj), "about": about}


# --- Consent ----------------------------------------------------------------------------------------------------------


class GivenFilter(YesNoFilter):
    title = gettext_lazy("act")
    parameter_name = "given"
    words = (gettext_lazy("Given"), gettext_lazy("Withdrawn"))
    yes = Q(given=True)


class ConsentForm(forms.Form):
    """What a member of staff was told, by whom they were told, and when."""

    mode = forms.ChoiceField(
        label=gettext_lazy("Messages by"), choices=[(mode, Mode(mode).label) for mode in SENT_MODES]
    )
    purpose = forms.ChoiceField(label=gettext_lazy("Purpose"), choices=Purpose.choices)
    given = forms.ChoiceField(
        label=gettext_lazy("What was said"),
        choices=[("yes", gettext_lazy("Consent given")), ("no", gettext_lazy("Consent withdrawn"))],
    )
    detail = forms.CharField(
        label=gettext_lazy("Source"), max_length=200,
        help_text=gettext_lazy("Where it was said, such as: call 4711, or the signed form of 3 May."),
    )  # fmt: skip
    at = forms.DateTimeField(
        label=gettext_lazy("When it was said"), required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=gettext_lazy("Empty: now. What was said last holds."),
    )  # fmt: skip
    text_version = forms.CharField(
        label=gettext_lazy("Version of the text"), max_length=100, required=False,
        help_text=gettext_lazy("By which it can be found what they agreed to."),
    )  # fmt: skip
    wording = forms.CharField(
        label=gettext_lazy("Text"), max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("What they read or heard, in the words that were used."),
    )  # fmt: skip

    def __init__(self, data: Any, now: datetime) -> None:
        super().__init__(data)
        self.now = now
        for field in self.fields.values():
            field.widget.attrs["class"] = "rec-input"

    def clean_at(self) -> datetime:
        at: datetime = self.cleaned_data["at"] or self.now
        if at > self.now:
            raise forms.ValidationError(_("This is still to come."))
        return at


@admin.register(Consent)
class ConsentAdmin(PeopleAdmin):
    needs = (SEES_PEOPLE,)
    list_display = [
        "at_shown",
        "given_shown",
        "customer_shown",
        "mode_shown",
        "purpose",
        "source_shown",
        "text_version",
    ]
    list_filter = [
        GivenFilter,
        ("purpose", ChoicesDropdownFilter),
        ("source", ChoicesDropdownFilter),
        ("at", MomentRangeFilter),
    ]
    list_select_related = ("customer",)
    linked_by = ("customer__id__exact",)
    personal_search = ("customer__external_id", "customer__name", "customer__email")
    search_help_text = gettext_lazy("Customer")
    page_template = "staff/act.html"
    empty_text = gettext_lazy(
        "Other systems tell consents with their events; staff write them down on a customer’s page. Rules may need one."
    )

    @admin.display(description=gettext_lazy("at"), ordering="at")
    def at_shown(self, row: Consent) -> str:
        return moment(row.at)

    @admin.display(description=gettext_lazy("act"), ordering="given")
    def given_shown(self, row: Consent) -> SafeString:
        return consent_chip(row.given)

    @admin.display(description=gettext_lazy("customer"))
    def customer_shown(self, row: Consent) -> SafeString | str:
        return customer_link(row.customer)

    @admin.display(description=gettext_lazy("mode"), ordering="mode")
    def mode_shown(self, row: Consent) -> str:
        return mode_word(row.mode)

    @admin.display(description=gettext_lazy("source"))
    def source_shown(self, row: Consent) -> str:
        return consent_source(row)

    def page_context(self, request: HttpRequest, obj: Consent) -> dict[str, Any]:
        return {
            "title": f"{obj.get_purpose_display()} · {mode_word(obj.mode)}",
            "state": consent_chip(obj.given),
            "about": [
                (_("Customer"), customer_link(obj.customer)),
                (_("At"), moment(obj.at)),
                (_("Recorded"), moment(obj.recorded_at)),
                (_("Source"), consent_source(obj)),
                (_("Version of the text"), obj.text_version or NOTHING),
                (_("Text"), obj.wording or NOTHING),
            ],
        }
