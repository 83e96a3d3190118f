"""Journeys with their stages, and touchpoints with who is told of bad news.

In: what a manager types. Out: rows, each change in the history. A touchpoint's channel stays once it was answered, its slug once
anything names it. Nothing is measured here.
"""

from typing import Any

import apprise
from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.widgets import UnfoldAdminSelectWidget

from surveys.admin.codes import PrintsCodes
from surveys.admin.configuration import (
    SEES_SCORES,
    ConfigAdmin,
    ConfigInline,
    link_to,
    list_url,
    made,
    scores_url,
)
from surveys.admin.fields import OriginsField, TargetsField
from surveys.admin.records import NOTHING, chip
from surveys.admin.texts import language_name, languages_of
from surveys.admin.widget import WidgetPages
from surveys.flow.fixed import has_answers, keeps_slug
from surveys.flow.links import embed_snippet, public_url, qr_svg
from surveys.models import InvitationRule, Journey, Response, Stage, Touchpoint, Watcher


class StageForm(forms.ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and keeps_slug(self.instance):
            self.fields["slug"].disabled = True  # in a table a read-only column would be one for new rows, too


class StageInline(ConfigInline):
    model = Stage
    form = StageForm
    fields = ["position", "slug", "name"]
    ordering = ["position", "slug"]
    verbose_name_plural = gettext_lazy("Stages, in the order in which customers go through them")


@admin.register(Journey)
class JourneyAdmin(ConfigAdmin):
    list_display = ["named", "slug", "stages_shown", "touchpoints_shown", "active"]
    list_display_links = ["named"]
    list_filter = ["active"]
    search_fields = ["slug", "name"]
    search_help_text = gettext_lazy("Slug or name")
    inlines = [StageInline]
    empty_text = gettext_lazy(
        "A journey is the path a customer takes, such as buying. Its stages order the touchpoints."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Journey]:
        rows: QuerySet[Journey] = super().get_queryset(request)
        return rows.prefetch_related("stages").annotate(touchpoint_count=Count("touchpoints", distinct=True))

    def sections(self, request: HttpRequest, obj: Journey | None = None) -> list[tuple[Any, list[str]]]:
        return [(None, ["name", "slug", "position", "active"])]

    def get_readonly_fields(self, request: HttpRequest, obj: Journey | None = None) -> list[str]:
        return ["slug"] if obj is not None and keeps_slug(obj) else []

    def has_history(self, obj: Journey) -> bool:
        return obj.touchpoints.exists()

    @admin.display(description=gettext_lazy("stages"))
    def stages_shown(self, row: Journey) -> str:
        return " → ".join(stage.label for stage in row.stages.all()) or "–"

    @admin.display(description=gettext_lazy("touchpoints"), ordering="touchpoint_count")
    def touchpoints_shown(self, row: Any) -> SafeString | str:
        return link_to(list_url(Touchpoint, f"?journey__id__exact={row.pk}"), row.touchpoint_count)


class WatcherForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean_address(self) -> str:
        """An email address, or one that Apprise can send to. Apprise itself says nothing when it is handed nonsense."""
        address = str(self.cleaned_data["address"]).strip()
        if "://" not in address:
            validate_email(address)
        elif not apprise.Apprise().add(address):
            raise ValidationError(
                _("Apprise does not know this kind of address. An example is mailto://… or slack://…")
            )
        return address


class WatcherInline(ConfigInline):
    model = Watcher
    form = WatcherForm
    fields = ["address", "language", "active", "last_error"]
    readonly_fields = ["last_error"]
    verbose_name_plural = gettext_lazy("Who is told at once of every answer in the lowest band")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "language":
            choices = [(tag, language_name(tag)) for tag in languages_of(request)]
            kwargs["widget"] = UnfoldAdminSelectWidget(choices=choices)
        return super().formfield_for_dbfield(db_field, request, **kwargs)


class TouchpointForm(forms.ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stage: Any = self.fields.get("stage")
        if stage is not None:
            stage.label_from_instance = lambda row: f"{row.journey.label} → {row.label}"
            stage.queryset = Stage.objects.select_related("journey").order_by("journey__position", "position")

    def clean(self) -> dict[str, Any]:
        """A stage says its journey; another journey beside it is a mistake."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        stage, journey = cleaned.get("stage"), cleaned.get("journey")
        if stage is not None and journey is None and "journey" not in self.errors:
            cleaned["journey"] = stage.journey
        elif stage is not None and journey is not None and stage.journey_id != journey.pk:
            self.add_error("stage", _("This is a stage of another journey."))
        if cleaned.get("public") and cleaned.get("instrument") is None and "instrument" not in self.errors:
            self.add_error("instrument", _("An open form needs an instrument: that is what it asks."))
        return cleaned


@admin.register(Touchpoint)
class TouchpointAdmin(PrintsCodes, WidgetPages):
    form = TouchpointForm
    list_display = [
        "named",
        "journey_shown",
        "stage_shown",
        "channel",
        "instrument_shown",
        "open",
        "active",
        "scores",
    ]
    list_display_links = ["named"]
    list_filter = [
        ("journey", RelatedDropdownFilter),
        "channel",
        ("instrument", RelatedDropdownFilter),
        "public",
        "active",
    ]
    list_select_related = ("journey", "stage", "instrument")
    search_fields = ["slug", "name"]
    search_help_text = gettext_lazy("Slug or name")
    inlines = [WatcherInline]
    change_form_outer_after_template = "staff/touchpoint_ways.html"
    own_fields = {"targets": made(TargetsField, help_text=""), "allowed_origins": made(OriginsField)}
    empty_text = gettext_lazy("A touchpoint is a place where customers meet you, such as a delivery or a call.")

    def sections(self, request: HttpRequest, obj: Touchpoint | None = None) -> list[tuple[Any, list[str]]]:
        asks = ["instrument", "public", "allowed_origins"]
        return [
            (None, ["name", "slug", "channel", "journey", "stage", "position", "active"]),
            (_("What it asks"), [*asks, "public_key"] if obj else asks),
            (_("Targets"), ["targets"]),
            (_("Weight"), ["weight"]),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Touchpoint | None = None) -> list[str]:
        fixed = ["public_key"]
        if obj is not None:
            fixed += ["slug"] if keeps_slug(obj) else []
            fixed += ["channel"] if has_answers(obj) else []
        return fixed

    def has_history(self, obj: Touchpoint) -> bool:
        return keeps_slug(obj)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "weight":
            field.help_text = _("How much it counts where scores are weighted by touchpoint; 0: not at all.")
        if db_field.name == "allowed_origins":
            field.help_text = _("Sites that may show the open form in a frame, one in a line. Empty: none.")
        return field

    def save_model(self, request: HttpRequest, obj: Touchpoint, form: Any, change: bool) -> None:
        if not change and not obj.position:
            obj.position = Touchpoint.objects.count()  # last, as in the programme file
        super().save_model(request, obj, form, change)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        ways = self._ways(request, row) if row is not None else {}
        response: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **ways})
        return response

    def _ways(self, request: HttpRequest, row: Touchpoint) -> dict[str, Any]:
        """How customers get to its form, and what stands in their way."""
        sees_answers = request.user.has_perm("surveys.view_response")
        return {
            "public_url": public_url(row),
            "qr": qr_svg(public_url(row, "qr")),
            "codes_url": reverse("admin:surveys_touchpoint_codes", args=[row.pk]),
            "snippet": embed_snippet(row),
            "widget_url": reverse("admin:surveys_touchpoint_widget", args=[row.pk]),
            "scores_url": scores_url(row.slug) if request.user.has_perm(SEES_SCORES) else "",
            "answers_url": list_url(Response, f"?touchpoint__id__exact={row.pk}") if sees_answers else "",
            "rules": list(row.rules.order_by("slug")) if request.user.has_perm("surveys.view_invitationrule") else [],
            "rules_url": list_url(InvitationRule, f"?touchpoint__id__exact={row.pk}"),
        }

    @admin.display(description=gettext_lazy("journey"), ordering="journey__position")
    def journey_shown(self, row: Touchpoint) -> str:
        return row.journey.label if row.journey else "–"

    @admin.display(description=gettext_lazy("stage"), ordering="stage__position")
    def stage_shown(self, row: Touchpoint) -> str:
        return row.stage.label if row.stage else "–"

    @admin.display(description=gettext_lazy("instrument"), ordering="instrument__slug")
    def instrument_shown(self, row: Touchpoint) -> SafeString | str:
        return row.instrument.label if row.instrument else "–"

    @admin.display(description=gettext_lazy("open form"), ordering="public")
    def open(self, row: Touchpoint) -> SafeString | str:
        return chip(_("open form"), "going") if row.public else NOTHING  # off is no fault: no red cross

    @admin.display(description=gettext_lazy("scores"))
    def scores(self, row: Touchpoint) -> SafeString | str:
        url = scores_url(row.slug)
        icon = '<a class="rec-link" href="{}" title="{}"><span class="material-symbols-outlined">monitoring</span></a>'
        return format_html(icon, url, _("Scores of %(name)s") % {"name": row.label}) if url else "–"
