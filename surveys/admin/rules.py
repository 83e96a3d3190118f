"""Invitation rules: after which event, whom, by which means, how often. In: what a manager types. Out: rows; a wrong `when` is refused."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from surveys.admin.configuration import link_to, list_url, made
from surveys.admin.dry_run import DryRunPages
from surveys.admin.fields import (
    DaysField,
    ExpressionField,
    HourField,
    ModesField,
    ShareField,
    SpanField,
    SpansField,
    WholeField,
    check_expression,
)
from surveys.admin.letter_texts import LetterField
from surveys.admin.letters import LetterPages
from surveys.admin.samples import told_plan
from surveys.admin.texts import languages_of
from surveys.channels import email, sms
from surveys.expressions import CALENDAR_ROOTS
from surveys.flow.calendar import mixed_with
from surveys.flow.compose import names_of, text_of
from surveys.flow.deliver import score_wordings
from surveys.flow.fixed import keeps_slug
from surveys.flow.programme.spans import span_of
from surveys.flow.programme.values import EXEMPTION, PRIORITY, QUOTA, REMINDERS, reminders_fit
from surveys.flow.sample_plan import plan_sample
from surveys.gsm import cost, measure, price_of
from surveys.models import Calendar, Invitation, InvitationRule, Mode, Organisation
from surveys.models.invitations import make_token

SPAN = gettext_lazy("Such as 30m, 2h or 7d.")
_TIMES = ("delay_s", "at_time", "days", "max_age_s", "sample_share")


SAMPLE_TOKEN = "x" * len(make_token())  # as long as any


def _size(text: str) -> str:
    """How long a text is, how many segments carry it, and what a thousand of it cost."""
    size = measure(text)
    told = ngettext(
        "%(encoding)s, %(places)d characters, %(count)d segment",
        "%(encoding)s, %(places)d characters, %(count)d segments",
        size.segments,
    ) % {"encoding": size.encoding, "places": size.places, "count": size.segments}
    priced = price_of(settings.SMS_PRICE)
    if priced is None:
        return told
    price, unit = priced
    amount = f"{number_format(cost(text, price, 1000), 2)} {unit}".strip()
    return told + " · " + _("%(amount)s per 1,000 messages") % {"amount": amount}


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        touchpoint = cleaned.get("touchpoint")
        if touchpoint is not None and cleaned.get("instrument") is None and touchpoint.instrument_id is None:
            self.add_error("instrument", _("Neither this rule nor its touchpoint names an instrument."))
        reminders, expires_s = cleaned.get("reminders_s"), cleaned.get("expires_s")
        if reminders and len(reminders) > REMINDERS:
            self.add_error("reminders_s", _("Nobody is reminded more than twice."))
        elif reminders and expires_s and not reminders_fit(reminders, expires_s):
            self.add_error("reminders_s", _("A reminder must come before the link expires."))
        if not {"event_type", "calendar"} & self.errors.keys():
            self._check_occasion(cleaned)
        return cleaned

    def _check_occasion(self, cleaned: dict[str, Any]) -> None:
        """An event or a calendar, and what goes with a calendar."""
        event_type, calendar = cleaned.get("event_type", ""), cleaned.get("calendar", "")
        if bool(event_type) == bool(calendar):
            both = _("A rule waits for an event or has a calendar, not both.")
            self.add_error("calendar" if calendar else "event_type", both if calendar else _("This or a calendar."))
            return
        row = self.instance
        if row.pk and bool(calendar) != bool(row.calendar) and keeps_slug(row):
            said = _("This rule has decided on customers, so it stays with events or with a calendar. Make a new one.")
            self.add_error("calendar", said)
        touchpoint = cleaned.get("touchpoint")
        other = mixed_with(touchpoint.pk, calendar, row.pk) if touchpoint is not None else ""
        if other:
            said = _(
                "The rule “%(rule)s” asks there, and it is of the other kind. A rule on a calendar needs a touchpoint of its own, so "
                "that what is asked out of the blue and what is asked after an event stay two figures."
            )
            self.add_error("touchpoint", said % {"rule": other})
        if calendar and cleaned.get("delay_s"):
            self.add_error("delay_s", _("A rule on a calendar has no event after which it could wait."))
        if calendar and cleaned.get("when"):
            try:
                check_expression(cleaned["when"], CALENDAR_ROOTS)
            except ValidationError as error:
                self.add_error("when", error)


def _resting(request: HttpRequest, options: dict[str, Any], column: str) -> forms.Field:
    held = span_of(getattr(Organisation.current(), column))
    said = _("Empty: the organisation’s, now %(span)s.") % {"span": held}
    return SpanField(**{**options, "help_text": said})


def _reason(**options: Any) -> forms.Field:
    return forms.CharField(max_length=EXEMPTION, widget=UnfoldAdminTextInputWidget(), **options)


@admin.register(InvitationRule)
class InvitationRuleAdmin(LetterPages, DryRunPages):
    form = RuleForm
    change_form_outer_after_template = "staff/_dry_run_button.html"
    list_display = ["slug", "occasion", "when_shown", "touchpoint_shown", "modes_shown", "delay", "invited", "active"]
    list_filter = [
        ("touchpoint", RelatedDropdownFilter), "event_type", ("calendar", ChoicesDropdownFilter), "active",
    ]  # fmt: skip
    list_select_related = ("touchpoint",)
    search_fields = ["slug", "event_type", "when"]
    search_help_text = gettext_lazy("Slug, event type or condition")
    empty_text = gettext_lazy("A rule says: after this event, ask this, by these means. Without one nobody is invited.")
    own_fields = {
        "event_type": made(
            forms.CharField, max_length=100, widget=UnfoldAdminTextInputWidget(),
            help_text=gettext_lazy("Such as order.delivered. Empty where the rule has a calendar."),
        ),
        "calendar": made(
            forms.ChoiceField, choices=[("", gettext_lazy("None: it waits for an event")), *Calendar.choices],
            widget=UnfoldAdminSelectWidget(),
            help_text=gettext_lazy(
                "Each customer is asked once in every period, on a day that is drawn evenly, at the rule’s time of day or at 10:00. "
                "Who rests on that day is asked later in the period. It needs a touchpoint of its own."
            ),
        ),
        "when": made(
            ExpressionField, label=gettext_lazy("When"),
            help_text=gettext_lazy(
                "Over facts, customer and event; with ==, <, in, and, or, not. Such as: facts.wait_seconds < 3600 and "
                "customer.segment == “gold”. Empty: always. With a calendar over customer alone."
            ),
        ),
        "delay_s": made(SpanField, label=gettext_lazy("Delay"), required=False, help_text=SPAN),
        "max_age_s": made(
            SpanField, positive=True, label=gettext_lazy("Maximum age of the event"),
            help_text=gettext_lazy("An event that arrives later than this is withheld as expired."),
        ),
        "expires_s": made(SpanField, positive=True, label=gettext_lazy("Link expires after"), help_text=SPAN),
        "reminders_s": made(
            SpansField, label=gettext_lazy("Reminders after"),
            help_text=gettext_lazy(
                "Such as 3d, or 3d, 7d; two at most. Empty: none. Nobody is reminded after an answer, an unsubscription or a "
                "bounce."
            ),
        ),
        "at_time": made(
            HourField, label=gettext_lazy("Time of day"),
            help_text=gettext_lazy(
                "Such as 10:00, by the customer’s clock. Empty: as soon as the delay is over; with a calendar at 10:00."
            ),
        ),
        "days": made(
            DaysField, label=gettext_lazy("Days"),
            help_text=gettext_lazy("By the customer’s calendar. None chosen: every day."),
        ),
        "priority": made(
            WholeField, low=-PRIORITY, high=PRIORITY, required=False, label=gettext_lazy("Priority"),
            help_text=gettext_lazy(
                "Where two rules would ask the same customer at about the same time, the higher one does. Equal ones: whichever "
                "is due first."
            ),
        ),
        "quota": made(
            WholeField, low=0, high=QUOTA, label=gettext_lazy("Messages a day at most"),
            help_text=gettext_lazy("Of the organisation’s day. Empty: no limit."),
        ),
        "exempt_resting": made(
            _reason, label=gettext_lazy("Exempt from resting, because"),
            help_text=gettext_lazy("Empty: not exempt. With a reason, this rule asks however recently somebody was asked."),
        ),
        "exempt_floor": made(
            _reason, label=gettext_lazy("Exempt from the time between two messages, because"),
            help_text=gettext_lazy("Empty: not exempt. Its messages still count for all other rules."),
        ),
        "resting_same_s": lambda request, options: _resting(
            request, {**options, "label": _("Resting, same touchpoint")}, "resting_same_s"
        ),
        "resting_any_s": lambda request, options: _resting(
            request, {**options, "label": _("Resting, any touchpoint")}, "resting_any_s"
        ),
        "modes": made(
            ModesField,
            help_text=gettext_lazy(
                "The first for which the customer has a usable address is taken. What a customer, or else their segment, prefers "
                "comes first among these; a mode that is not here is never used."
            ),
        ),
        "letter": lambda request, options: LetterField(
            Organisation.current(),
            languages_of(request),
            **{
                **options,
                "label": _("What its emails say"),
                "help_text": _(
                    "Empty: your own words, else ours. {organisation}, {touchpoint} and {name} are filled in; where no name is "
                    "known, it is left out with its comma."
                ),
            },
        ),
        "sample_share": made(
            ShareField, label=gettext_lazy("Sample, %"),
            help_text=gettext_lazy("The share of matching events after which somebody is asked."),
        ),
    }  # fmt: skip

    def sections(self, request: HttpRequest, obj: Any = None) -> list[tuple[Any, list[str]]]:
        return [
            (None, ["slug", "active"]),
            (_("When to ask"), ["event_type", "calendar", "when", *_TIMES, *self._plan(obj)]),
            (
                _("What and how"),
                ["touchpoint", "instrument", "modes", "needs_consent", "expires_s", "reminders_s", *self._preview(obj)],
            ),
            (
                _("How often"),
                ["priority", "quota", "resting_same_s", "resting_any_s", "exempt_resting", "exempt_floor"],
            ),
            (_("Letters"), ["letter", *self._letters(obj)]),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: InvitationRule | None = None) -> list[str]:
        fixed = ["slug"] if obj is not None and keeps_slug(obj) else []
        return [*fixed, *self._plan(obj), *self._preview(obj), *self._letters(obj)]

    @staticmethod
    def _plan(obj: InvitationRule | None) -> list[str]:
        return ["sample_plan"] if obj is not None else []

    @admin.display(description=gettext_lazy("What the sample gives"))
    def sample_plan(self, row: InvitationRule) -> SafeString | str:
        """As last saved."""
        return told_plan(plan_sample(row, timezone.now()))

    @staticmethod
    def _letters(obj: InvitationRule | None) -> list[str]:
        return ["letter_preview"] if obj is not None and email.MODE in obj.modes else []

    @admin.display(description=gettext_lazy("As an email"))
    def letter_preview(self, row: InvitationRule) -> SafeString:
        """As last saved; the button that shows it as typed stands below the form, where Enter does not find it before "Save"."""
        url = reverse("admin:surveys_invitationrule_letter", args=[row.pk])
        return format_html('<a class="rec-button" href="{}">{}</a>', url, _("Preview and test"))

    @staticmethod
    def _preview(obj: InvitationRule | None) -> list[str]:
        return ["text_preview"] if obj is not None and sms.MODE in obj.modes else []

    @admin.display(description=gettext_lazy("As a text message"))
    def text_preview(self, row: InvitationRule) -> SafeString | str:
        """As last saved, in each of the organisation's languages, with its size and what it costs."""
        instrument = row.instrument or row.touchpoint.instrument
        wording = score_wordings([instrument.pk]).get(instrument.pk) if instrument else None
        if wording is None:
            return "–"
        organisation, takes_replies = Organisation.current(), sms.provider().takes_replies
        shown = []
        for language in organisation.languages:
            names = names_of(organisation, row.touchpoint, language)
            text = text_of(organisation, wording, names, language, SAMPLE_TOKEN, takes_replies)
            shown.append((language, text, _size(text)))
        return format_html(
            '<div class="sms-previews">{}</div>',
            format_html_join(
                "",
                '<figure><blockquote lang="{0}" dir="auto">{1}</blockquote><figcaption>{0} · {2}</figcaption></figure>',
                shown,
            ),
        )

    def has_history(self, obj: InvitationRule) -> bool:
        return keeps_slug(obj)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        row = super().save_form(request, form, change)
        row.delay_s, row.priority = row.delay_s or 0, row.priority or 0  # empty is none
        return row

    @admin.display(description=gettext_lazy("occasion"), ordering="event_type")
    def occasion(self, row: InvitationRule) -> str:
        return row.event_type or row.get_calendar_display()

    @admin.display(description=gettext_lazy("when"))
    def when_shown(self, row: InvitationRule) -> str:
        return Truncator(row.when).chars(60) or _("always")

    @admin.display(description=gettext_lazy("touchpoint"), ordering="touchpoint__slug")
    def touchpoint_shown(self, row: InvitationRule) -> str:
        return row.touchpoint.label

    @admin.display(description=gettext_lazy("modes"))
    def modes_shown(self, row: InvitationRule) -> str:
        return " → ".join(str(Mode(mode).label) if mode in Mode.values else mode for mode in row.modes)

    @admin.display(description=gettext_lazy("delay"), ordering="delay_s")
    def delay(self, row: InvitationRule) -> str:
        return span_of(row.delay_s) if row.delay_s else _("none")

    @admin.display(description=gettext_lazy("invitations"))
    def invited(self, row: InvitationRule) -> SafeString | str:
        return link_to(list_url(Invitation, f"?rule__id__exact={row.pk}"), _("Decisions"))
