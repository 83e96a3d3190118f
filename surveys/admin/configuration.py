"""What the configuring pages share: fields that suit managers, slugs that stay once others use them, and no deleting of what has history.

In: a model of the configuration. Out: its admin. No model is registered here, and nothing about people.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline
from unfold.views import ChangeList

from surveys.admin.base import StaffAdmin
from surveys.admin.texts import TextsField, languages_of
from surveys.flow.programme.spans import span_of
from surveys.flow.programme.values import NAME
from surveys.models.journeys import validate_texts

SEES_SCORES = "metrics.view_scorecell"

MakeField = Callable[[HttpRequest, dict[str, Any]], forms.Field]


class OwnFields:
    """Mixin of an admin or an inline. `own_fields` makes the form field of a column, given its usual options."""

    own_fields: Mapping[str, MakeField] = {}
    longest_texts: Mapping[str, tuple[int, int]] = {}  # characters and lines, where they are not a name's

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        options = {
            "label": capfirst(db_field.verbose_name),
            "required": not db_field.blank,
            "help_text": db_field.help_text,
        }
        if db_field.has_default():
            options["initial"] = db_field.get_default  # what stands in a new row's form
        if db_field.name in self.own_fields:
            return self.own_fields[db_field.name](request, options)
        if validate_texts in db_field.validators:
            longest, lines = self.longest_texts.get(db_field.name, (NAME, 1))
            options["help_text"] = ""
            return TextsField(languages=languages_of(request), longest=longest, lines=lines, **options)
        return super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]


def told(value: Any, name: str = "") -> str:
    """A value of the configuration as a line to read: spans of time in their units, maps and lists without brackets."""
    if value is None or value in ("", [], {}):
        return "–"
    if name.endswith("_s"):
        return ", ".join(span_of(span) for span in (value if isinstance(value, list) else [value]))
    if isinstance(value, Mapping):
        return " · ".join(f"{key}: {told(held)}" for key, held in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _teller(field: Any) -> Callable[[Any], str]:
    def tell(row: Any) -> str:
        return told(getattr(row, field.name), field.name)

    tell.short_description = field.verbose_name  # type: ignore[attr-defined]
    return tell


class Told:
    """Mixin of an admin or an inline: whoever may only look at a row reads its maps and spans as text, not as JSON and seconds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.raw_fields = set()
        for field in self.model._meta.fields:  # type: ignore[attr-defined]
            if isinstance(field, models.JSONField) or field.name.endswith("_s"):
                self.raw_fields.add(field.name)
                setattr(self, f"told_{field.name}", _teller(field))

    def read_instead(self, names: Sequence[str]) -> list[str]:
        """`names` of columns, with others in the place of those that are not for reading."""
        return [f"told_{name}" if name in self.raw_fields else name for name in names]


def made(field: Callable[..., forms.Field], **fixed: Any) -> MakeField:
    """An entry of `own_fields`: this field, with these options before the usual ones."""
    return lambda _request, options: field(**{**options, **fixed})


class ConfigList(ChangeList):  # type: ignore[misc]
    """A list under its own name."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.title = capfirst(self.opts.verbose_name_plural)


class ConfigAdmin(OwnFields, Told, StaffAdmin):
    """A row of the configuration. Several are never deleted at once, and one with history is switched off instead."""

    list_filter_submit = True
    empty_text: Any = ""

    def sections(self, request: HttpRequest, obj: Any = None) -> list[tuple[Any, list[str]]]:
        """Its page: headings, and the fields below each."""
        raise NotImplementedError

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[tuple[Any, dict[str, Any]]]:
        only_read = obj is not None and not self.has_change_permission(request, obj)
        return [
            (title, {"fields": self.read_instead(fields) if only_read else fields})
            for title, fields in self.sections(request, obj)
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConfigList]:
        return ConfigList

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def has_history(self, obj: Any) -> bool:
        """Whether answers, tickets or invitations hang on it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may = super().has_delete_permission(request, obj)
        return bool(may and (obj is None or not self.has_history(obj)))

    def page(self, request: HttpRequest, template: str, *, status: int = 200, **context: Any) -> TemplateResponse:
        """One of our own pages in the admin's frame. `title` is its heading."""
        request.current_app = self.admin_site.name
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "subtitle": None}
        return TemplateResponse(request, template, frame | context, status=status)

    def missing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the first page, with a message that there is no such object."""
        response: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return response

    @admin.display(description=gettext_lazy("name"))
    def named(self, row: Any) -> str:
        return str(row.label) or row.slug


class ConfigInline(OwnFields, Told, TabularInline):  # type: ignore[misc]
    extra = 0

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fields = list(super().get_fields(request, obj))
        return fields if self.has_change_permission(request, obj) else self.read_instead(fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fixed = list(super().get_readonly_fields(request, obj))
        return (
            fixed if self.has_change_permission(request, obj) else [*fixed, *self.read_instead(sorted(self.raw_fields))]
        )


def scores_url(slug: str) -> str:
    """The touchpoint's page of scores; "" where no app has one."""
    try:
        return reverse("touchpoint_page", args=[slug])
    except NoReverseMatch:
        return ""


def link_to(url: str, text: Any) -> SafeString | str:
    return format_html('<a class="rec-link" href="{}">{}</a>', url, text) if url else str(text)


def list_url(model: type[models.Model], query: str = "") -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") + query
