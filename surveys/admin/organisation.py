"""The organisation: its name, clock, languages and policy, in one row. In: what a manager types. Out: that row."""

from email.utils import parseaddr
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget

from surveys.admin.configuration import ConfigAdmin, made
from surveys.admin.fields import (
    ChannelTargetsField,
    LanguagesField,
    OwnDaysField,
    PreferencesField,
    QuietHoursField,
    SpanField,
    TicketEventsField,
    WeightsField,
    WholeField,
    WorkingHoursField,
)
from surveys.admin.languages import languages_page
from surveys.admin.letters import letters_page
from surveys.admin.look import look_page
from surveys.admin.notices import notices_page
from surveys.admin.phrases import phrases_page
from surveys.admin.texts import TextsField, languages_of
from surveys.flow.programme.values import NOTICE, SENDER_NAME
from surveys.models import Organisation, Response, Ticket
from surveys.models.journeys import LOW_N_AT_MOST, MIN_N_AT_LEAST, MIN_N_AT_MOST, time_zone_names
from surveys.worktime import holiday_countries

SPAN = gettext_lazy("Such as 24h or 90d; 0s: none.")
WORK = ("working_hours", "holiday_country", "holiday_subdivision", "closed_days", "open_days")


def _languages(request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    said = _("The default one is asked in where nothing better is known of a customer.")
    return LanguagesField(languages_of(request), **{**options, "required": True, "help_text": said})


def _zones(_request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    said = _("Days are this zone’s. After a change, stored days follow once `rebuild_rollups` has run.")
    held = Organisation.current().time_zone
    places = {name for name in time_zone_names() if "/" in name and not name.startswith("Etc/")}
    choices = [(name, name.replace("_", " ")) for name in sorted(places | {"UTC", held})]
    return forms.ChoiceField(**{**options, "choices": choices, "help_text": said, "widget": UnfoldAdminSelectWidget()})


def _countries(_request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    said = _(
        "No business time passes on them. Where a country works on weekends in return, as China does, these days count. Days of a year to "
        "come are known once its government has announced them and this server has been updated."
    )
    named = sorted((country_name(code), code) for code in holiday_countries())
    choices = [("", _("None")), *((code, f"{name} · {code}") for name, code in named)]
    options = {**options, "label": _("Public holidays"), "help_text": said, "required": False}
    return forms.ChoiceField(**{**options, "choices": choices, "widget": UnfoldAdminSelectWidget()})


def country_name(code: str) -> str:
    """In the reader's language where it is known, else the code."""
    from phonenumbers.geodata.locale import LOCALE_DATA  # a large table that nothing else reads

    names = LOCALE_DATA.get(code, {})
    name = str(names.get((get_language() or "en").partition("-")[0]) or names.get("en", code))
    return str(names.get(name[1:], code)) if name.startswith("*") else name  # "*aa": as in that language


def _sender_name(request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    said = _("What a list of mails shows. Empty: the name in DEFAULT_FROM_EMAIL, now %(address)s.")
    said %= {"address": settings.DEFAULT_FROM_EMAIL}
    options = {**options, "label": _("Sender’s name"), "help_text": said, "required": False}
    return TextsField(languages=languages_of(request), longest=SENDER_NAME, **options)


def _sender_address(_request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    default = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
    said = _("Your mail server must be allowed to send for it (SPF, DKIM). Empty: %(address)s.") % {"address": default}
    return _address({**options, "label": _("Sender’s address")}, said)


def _reply_to(_request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    said = _("People who answer a letter write here. Nothing reads it but you. Empty: the sender’s address.")
    return _address({**options, "label": _("Address for replies")}, said)


def _address(options: dict[str, Any], said: str) -> forms.Field:
    return forms.EmailField(
        **{**options, "max_length": 254, "help_text": said, "widget": UnfoldAdminEmailInputWidget()}
    )


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
        "channel_targets": made(
            ChannelTargetsField, label=gettext_lazy("Targets by channel"), required=False,
            help_text=gettext_lazy(
                "What all touchpoints of a channel together are held against. A touchpoint has targets of its own, on its page."
            ),
        ),
        "sender_name": _sender_name,
        "sender_address": _sender_address,
        "reply_to": _reply_to,
        "floor_s": made(
            SpanField, label=gettext_lazy("Between two messages"),
            help_text=gettext_lazy("No customer gets two within this time, whatever the rules say. Such as 24h."),
        ),
        "resting_same_s": made(SpanField, label=gettext_lazy("Resting, same touchpoint"), help_text=SPAN),
        "resting_any_s": made(SpanField, label=gettext_lazy("Resting, any touchpoint"), help_text=SPAN),
        "retention_s": made(
            SpanField, label=gettext_lazy("Personal data is kept for"),
            help_text=gettext_lazy(
                "Such as 730d; 0s: until it is erased by hand. Then comments, facts, addresses and messages go, and customers of "
                "whom nothing was heard for that long are erased. Scores stay."
            ),
        ),
        "quiet_hours": made(
            QuietHoursField, label=gettext_lazy("Quiet hours"),
            help_text=gettext_lazy("No messages in these hours, by the customer’s clock. Empty: at any hour."),
        ),
        "working_hours": made(
            WorkingHoursField, label=gettext_lazy("Working hours"), required=False,
            help_text=gettext_lazy(
                "By the clock of the organisation’s time zone; a day without hours is a day off. With hours, business time is told beside "
                "calendar time; without any, it is not."
            ),
        ),
        "holiday_country": _countries,
        "closed_days": made(
            OwnDaysField, label=gettext_lazy("Closed days"), required=False,
            help_text=gettext_lazy("Further days on which nobody works, such as a works outing. They stand above everything else."),
        ),
        "open_days": made(
            OwnDaysField, label=gettext_lazy("Extra open days"), required=False,
            help_text=gettext_lazy(
                "Days that are worked although it is a holiday or a day off: with the hours of that weekday or, where it has none, those "
                "of the week’s first working day."
            ),
        ),
        "preferences": made(
            PreferencesField, label=gettext_lazy("Preferred means, by segment"), required=False,
            help_text=gettext_lazy(
                "Which of a rule’s modes come first for a segment; a customer’s own wish goes before it. A mode that the rule "
                "does not list is never used. Where an address is missing or must not be written to, the next one is taken."
            ),
        ),
        "min_n": made(
            WholeField, low=MIN_N_AT_LEAST, high=MIN_N_AT_MOST, label=gettext_lazy("Fewest answers of a score"),
            help_text=gettext_lazy("With fewer, pages show no score, and nothing is tested for significance."),
        ),
        "low_n": made(
            WholeField, low=MIN_N_AT_LEAST, high=LOW_N_AT_MOST, label=gettext_lazy("“Low n” below"),
            help_text=gettext_lazy("A score of fewer answers is marked “low n”: its interval is wide."),
        ),
        "segment_weights": made(
            WeightsField, label=gettext_lazy("Weights of segments"), required=False,
            help_text=gettext_lazy(
                "How much each segment counts where scores are weighted by segment, such as its part of all customers. "
                "Segments that are not listed are left out, and named. Answers themselves are never changed."
            ),
        ),
    }  # fmt: skip

    def sections(self, request: HttpRequest, obj: Any = None) -> list[tuple[Any, list[str]]]:
        return [
            (None, ["name", "languages", "time_zone", "privacy"]),
            (_("How often customers are asked"), ["floor_s", "resting_same_s", "resting_any_s", "quiet_hours"]),
            (_("By which means"), ["preferences"]),
            (_("Targets"), ["channel_targets"]),
            (_("Sender of letters"), ["sender_name", "sender_address", "reply_to"]),
            (_("What your systems send"), ["segment_attribute", "ticket_events"]),
            (_("Working time"), list(WORK)),
            (_("How scores are told"), ["min_n", "low_n", "segment_weights"]),
            (_("How long data is kept"), ["retention_s"]),
        ]

    def get_urls(self) -> list[URLPattern]:
        """Pages beside the settings, one for each matter; see their modules."""
        pages = {"look": look_page, "languages": languages_page, "phrases": phrases_page, "notices": notices_page}
        pages |= {"letters": letters_page}
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
        if set(WORK) & set(form.changed_data) and Ticket.objects.exists():
            messages.warning(
                request,
                _(
                    "Working time changed. Business times of earlier tickets are still the former ones: run `manage.py rebuild_rollups`."
                ),
            )
        if obj.sender_address and "sender_address" in form.changed_data:
            ours = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2].lower()
            theirs = obj.sender_address.rpartition("@")[2].lower()
            if ours != theirs:
                messages.warning(
                    request,
                    _(
                        "Letters now come from another domain than the deployment’s: %(theirs)s, not %(ours)s. Send yourself a test."
                    )
                    % {"theirs": theirs, "ours": ours},
                )
