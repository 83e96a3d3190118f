"""The organisation: its name, clock, languages and policy, in one row. In: what a manager types. Out: that row."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from surveys.admin.configuration import ConfigAdmin, made
from surveys.admin.fields import LanguagesField, PreferencesField, QuietHoursField, SpanField, TicketEventsField
from surveys.admin.languages import languages_page
from surveys.admin.look import look_page
from surveys.admin.notices import notices_page
from surveys.admin.phrases import phrases_page
from surveys.admin.texts import languages_of
from surveys.flow.programme.values import NOTICE
from surveys.models import Organisation, Response, Ticket
from surveys.models.journeys import time_zone_names

SPAN = gettext_lazy("Such as 24h or 90d; 0s: none.")


def _languages(request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    said = _("The default one is asked in where nothing better is known of a customer.")
    return LanguagesField(languages_of(request), **{**options, "required": True, "help_text": said})


def _zones(_request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    said = _("Days are this zone’s. After a change, stored days follow once `rebuild_rollups` has run.")
    held = Organisation.current().time_zone
    places = {name for name in time_zone_names() if "/" in name and not name.startswith("Etc/")}
    choices = [(name, name.replace("_", " ")) for name in sorted(places | {"UTC", held})]
    return forms.ChoiceField(**{**options, "choices": choices, "help_text": said, "widget": UnfoldAdminSelectWidget()})


@admin.register(Organisation)
class OrganisationAdmin(ConfigAdmin):
    change_form_outer_before_template = "staff/_organisation.html"
    longest_texts = {"privacy": (NOTICE, 3)}
    own_fields = {
        "time_zone": _zones,
        "languages": _languages,
        "ticket_events": made(
            TicketEventsField, label=gettext_lazy("Ticket events"),
            help_text=gettext_lazy(
                "Event types of your helpdesk that mean one of ours. A type that has our name already needs no line."
            ),
        ),
        "floor_s": made(
            SpanField, label=gettext_lazy("Between two messages"),
            help_text=gettext_lazy("No customer gets two within this time, whatever the rules say. Such as 24h."),
        ),
        "resting_same_s": made(SpanField, label=gettext_lazy("Resting, same touchpoint"), help_text=SPAN),
        "resting_any_s": made(SpanField, label=gettext_lazy("Resting, any touchpoint"), help_text=SPAN),
        "quiet_hours": made(
            QuietHoursField, label=gettext_lazy("Quiet hours"),
            help_text=gettext_lazy("No messages in these hours, by the customer’s clock. Empty: at any hour."),
        ),
        "preferences": made(
            PreferencesField, label=gettext_lazy("Preferred means, by segment"), required=False,
            help_text=gettext_lazy(
                "Which of a rule’s modes come first for a segment; a customer’s own wish goes before it. A mode that the rule "
                "does not list is never used. Where an address is missing or must not be written to, the next one is taken."
            ),
        ),
    }  # fmt: skip

    def sections(self, request: HttpRequest, obj: Any = None) -> list[tuple[Any, list[str]]]:
        return [
            (None, ["name", "languages", "time_zone", "privacy"]),
            (_("How often customers are asked"), ["floor_s", "resting_same_s", "resting_any_s", "quiet_hours"]),
            (_("By which means"), ["preferences"]),
            (_("What your systems send"), ["segment_attribute", "ticket_events"]),
        ]

    def get_urls(self) -> list[URLPattern]:
        """Pages beside the settings, one for each matter; see their modules."""
        pages = {"look": look_page, "languages": languages_page, "phrases": phrases_page, "notices": notices_page}
        own = [
            path(f"{name}/", self.admin_site.admin_view(partial(page, self)), name=f"surveys_organisation_{name}")
            for name, page in pages.items()
        ]
        return [*own, *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one, so there is no list."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:surveys_organisation_change", args=[Organisation.current().pk]))

    def response_change(self, request: HttpRequest, obj: Organisation) -> HttpResponse:
        """Back to the same page: the list is this page."""
        response: HttpResponse = super().response_change(request, obj)
        if isinstance(response, HttpResponseRedirect) and "_continue" not in request.POST:
            return HttpResponseRedirect(request.path)
        return response

    def save_model(self, request: HttpRequest, obj: Organisation, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "time_zone" in form.changed_data and (Response.objects.exists() or Ticket.objects.exists()):
            messages.warning(
                request,
                _("The time zone changed. Stored days are still the old zone’s: run `manage.py rebuild_rollups`."),
            )
