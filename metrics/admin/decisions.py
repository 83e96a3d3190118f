"""Decisions as managers write them down. In: what they type. Out: rows, each change in the history. Nothing is measured here."""

import re
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from unfold.contrib.filters.admin import RangeDateFilter, RelatedDropdownFilter

from metrics.decision_pages import person
from metrics.display.figures import COLUMNS, column_key
from metrics.frame import SEES_SCORES
from metrics.models import Decision, Expectation
from surveys.admin.configuration import ConfigAdmin, ConfigInline
from surveys.models import Organisation, Touchpoint


class ExpectationRows(BaseInlineFormSet):  # type: ignore[type-arg]
    def clean(self) -> None:
        super().clean()
        kept = [form for form in self.forms if form.cleaned_data.get("metric") and not form.cleaned_data.get("DELETE")]
        if not kept and not any(self.errors):
            raise ValidationError(_("Name at least one metric that is expected to move: else nothing is looked for."))


class ExpectationInline(ConfigInline):
    model = Expectation
    formset = ExpectationRows
    fields = ["metric", "direction", "by"]
    verbose_name_plural = gettext_lazy("What is expected to move")

    def get_extra(self, request: HttpRequest, obj: Decision | None = None, **kwargs: Any) -> int:
        return 0 if obj else 1

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("metrics.view_decision") or self.has_change_permission(request, obj))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("metrics.change_decision") or self.has_add_permission(request, obj))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("metrics.change_decision" if obj else "metrics.add_decision"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request, obj)


class DecisionForm(forms.ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        owner: Any = self.fields.get("owner")
        if owner is not None:
            owner.queryset = owner.queryset.filter(is_staff=True).order_by("username")
            owner.label_from_instance = person
            owner.empty_label = _("(nobody)")


@admin.register(Decision)
class DecisionAdmin(ConfigAdmin):
    form = DecisionForm
    inlines = [ExpectationInline]
    list_display = ["title", "day", "touchpoints_shown", "expected_shown", "owner_shown", "withdrawn"]
    list_filter = [("day", RangeDateFilter), ("touchpoints", RelatedDropdownFilter), "withdrawn"]
    search_fields = ["title", "done"]
    search_help_text = gettext_lazy("Words of a decision")
    ordering = ["-day", "-pk"]
    autocomplete_fields = ["touchpoints"]
    list_select_related = ("owner",)
    empty_text = gettext_lazy("Write down what was changed and what it should do, and its page tells whether it did.")

    def sections(self, request: HttpRequest, obj: Decision | None = None) -> list[tuple[Any, list[str]]]:
        fields = ["title", "day", "touchpoints", "done", "owner", "window_days"]
        return [(None, [*fields, "withdrawn"] if obj else fields)]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Today in the organisation's days and whoever writes it down, unless the address says otherwise."""
        today = Organisation.current().day_of(timezone.now())
        said: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"day": today, "owner": request.user.pk, **said}

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        """A form that is begun for a touchpoint begins with its metric, going the way that is better."""
        options: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        if request.method == "GET" and not obj.pk:
            begun = [int(pk) for pk in request.GET.get("touchpoints", "").split(",") if re.fullmatch("[0-9]{1,18}", pk)]
            asked = Touchpoint.objects.filter(pk__in=begun).values_list("instrument__metric", "instrument__points")
            first = next((column_key(column) for column in COLUMNS if column in set(asked)), "") if begun else ""
            if first:
                options["initial"] = [{"metric": first}]
        return options

    def response_post_save_add(self, request: HttpRequest, obj: Decision) -> HttpResponse:
        return self._to_its_page(request, obj)

    def response_post_save_change(self, request: HttpRequest, obj: Decision) -> HttpResponse:
        return self._to_its_page(request, obj)

    def _to_its_page(self, request: HttpRequest, obj: Decision) -> HttpResponse:
        """Where it is told what became of it; the list, for whoever may not see scores."""
        if request.user.has_perm(SEES_SCORES):
            return HttpResponseRedirect(reverse("decision", args=[obj.pk]))
        answer: HttpResponse = super().response_post_save_change(request, obj)
        return answer

    def save_model(self, request: HttpRequest, obj: Decision, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]
        super().save_model(request, obj, form, change)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        rows: QuerySet[Decision] = super().get_queryset(request)
        return rows.prefetch_related("touchpoints", "expectations")

    @admin.display(description=gettext_lazy("touchpoints"))
    def touchpoints_shown(self, row: Decision) -> str:
        return pgettext("between the items of a list", ", ").join(one.label for one in row.touchpoints.all()) or "–"

    @admin.display(description=gettext_lazy("expected"))
    def expected_shown(self, row: Decision) -> str:
        return pgettext("between the items of a list", ", ").join(map(str, row.expectations.all())) or "–"

    @admin.display(description=gettext_lazy("owner"))
    def owner_shown(self, row: Decision) -> str:
        return person(row.owner) or "–"
