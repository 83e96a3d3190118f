"""Staff and their groups. In: what an administrator types. Out: users who can log in, and groups with their rights.

Nobody gives away more than they have: who is not a superuser neither makes one nor touches one. Names of the standard groups stand
in English in the database and in the reader's language on the page.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db.models import Case, Count, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from surveys.admin.base import StaffAdmin
from surveys.admin.configuration import ConfigList, link_to, list_url
from surveys.flow.groups import ASKED, NAMES, labels
from surveys.models import StandardGroup

admin.site.unregister(User)
admin.site.unregister(Group)


def group_label(group: Group) -> str:
    """The reader's word for the name of a standard group; any other name as it is."""
    return _(group.name) if group.name in NAMES.values() else group.name


# Headings, breadcrumbs and deletion pages of Django's and Unfold's say `str(group)`.
Group.__str__ = group_label  # type: ignore[method-assign,assignment]


class _GroupChoices(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    widget = UnfoldAdminCheckboxSelectMultipleWidget

    def label_from_instance(self, obj: Any) -> str:
        return group_label(obj)


VERBS = {
    "view": gettext_lazy("see"),
    "add": gettext_lazy("add"),
    "change": gettext_lazy("change"),
    "delete": gettext_lazy("delete"),
}
# Where a verb of Django's means something else on our pages.
OWN_VERBS = {
    "surveys.change_response": gettext_lazy("exclude"),
    "surveys.delete_customer": gettext_lazy("erase"),
    "surveys.delete_suppression": gettext_lazy("lift"),
    "surveys.change_quarantinedevent": gettext_lazy("settle"),
}


def verb_of(permission: Permission) -> str:
    label = f"{permission.content_type.app_label}.{permission.codename}"
    return str(OWN_VERBS.get(label) or VERBS[permission.codename.split("_")[0]])


def noun_of(permission: Permission) -> str:
    """What a permission is about, as the pages call it."""
    if permission.content_type.app_label == "metrics":
        return _("Scores")
    model = permission.content_type.model_class()
    return capfirst(str(model._meta.verbose_name_plural)) if model else permission.content_type.model


class _PermissionTable(UnfoldAdminCheckboxSelectMultipleWidget):  # type: ignore[misc]
    """A line for each kind of row, with a box for each verb."""

    template_name = "staff/widgets/permissions.html"

    def optgroups(self, name: str, value: list[str], attrs: dict[str, Any] | None = None) -> list[Any]:
        lines: dict[str, list[Any]] = {}
        for index, permission in enumerate(self.choices.queryset):
            option = self.create_option(
                name, permission.pk, verb_of(permission), str(permission.pk) in value, index, attrs=attrs
            )
            lines.setdefault(noun_of(permission), []).append(option)
        return list(lines.items())


class _PermissionChoices(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Those that a page asks for, in the order of the pages."""

    widget = _PermissionTable

    def __init__(self, **options: Any) -> None:
        asked = [label.split(".") for label in labels(*ASKED)]
        place = Case(
            *(
                When(content_type__app_label=app, codename=codename, then=Value(index))
                for index, (app, codename) in enumerate(asked)
            )
        )
        rows = Permission.objects.annotate(place=place).filter(place__isnull=False)
        super().__init__(rows.select_related("content_type").order_by("place"), **options)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, StaffAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    add_form_template = None  # all can be said at once
    list_display = ["username", "full_name", "email", "groups_shown", "is_active", "last_login"]
    list_filter = ["is_active", "groups"]
    search_fields = ["username", "first_name", "last_name", "email"]
    search_help_text = gettext_lazy("Name or address")
    ordering = ["username"]
    filter_horizontal = ()
    readonly_fields = ["last_login", "date_joined"]
    list_filter_submit = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConfigList]:
        return ConfigList

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.prefetch_related("groups")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        who = (_("Who"), {"fields": ["username", "first_name", "last_name", "email"]})
        if obj is None:
            secret = (_("Password"), {"fields": ["password1", "password2"]})
            return [who, secret, (_("What they may do"), {"fields": ["groups"]})]
        may = ["is_active", "groups", *(["is_superuser"] if request.user.is_superuser else [])]
        return [
            who,
            (_("What they may do"), {"fields": may}),
            (_("Login"), {"fields": ["password", "last_login", "date_joined"]}),
        ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **{**kwargs, "change": change})
        asker = request.user

        class Checked(form):  # type: ignore[misc,valid-type]
            def clean(self) -> Any:
                cleaned = super().clean()
                _check_self(asker, self.instance, self.cleaned_data)
                return cleaned

        return Checked

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            return _GroupChoices(
                Group.objects.order_by("name"),
                label=_("Groups"),
                required=False,
                help_text=_("A viewer sees scores only; a CX manager sees people and answers too, and configures."),
            )
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "groups" and field is not None:
            field.widget.can_add_related = False  # a group is made with thought, on its own page
        return field

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes themselves. Django deletes a user's lines of the history with the user, so who has any is switched off."""
        may = super().has_delete_permission(request, obj) and _may_touch(request, obj)
        return may and (obj is None or (obj != request.user and not LogEntry.objects.filter(user=obj).exists()))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        obj.is_staff = True  # a user is somebody who works here; customers have no accounts
        super().save_model(request, obj, form, change)

    @admin.display(description=gettext_lazy("name"), ordering="first_name")
    def full_name(self, row: User) -> str:
        return row.get_full_name() or "–"

    @admin.display(description=gettext_lazy("groups"))
    def groups_shown(self, row: User) -> str:
        names = [group_label(group) for group in row.groups.all()]
        return ", ".join([*([_("Superuser")] if row.is_superuser else []), *names]) or "–"


def _may_touch(request: HttpRequest, row: Any) -> bool:
    return row is None or request.user.is_superuser or not row.is_superuser


def _check_self(asker: Any, row: User, cleaned: dict[str, Any]) -> None:
    """Nobody locks themselves out by mistake."""
    if row.pk == asker.pk and (
        cleaned.get("is_active") is False or (asker.is_superuser and cleaned.get("is_superuser") is False)
    ):
        raise ValidationError(_("You cannot take your own access away. Ask another administrator."))


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, StaffAdmin):
    list_display = ["named", "users_shown"]
    list_display_links = ["named"]
    search_fields = ["name"]
    filter_horizontal = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConfigList]:
        return ConfigList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        rows: QuerySet[Group] = super().get_queryset(request)
        return rows.annotate(user_count=Count("user", distinct=True))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Code knows a standard group by its key, people by its name: that stays."""
        is_standard = obj is not None and StandardGroup.objects.filter(group=obj).exists()
        return ["named" if is_standard else "name", "permissions"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [(None, {"fields": self.get_fields(request, obj)})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["named"]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any) -> Any:
        if db_field.name != "permissions":
            return super().formfield_for_manytomany(db_field, request, **kwargs)
        return _PermissionChoices(
            label=_("Permissions"),
            required=False,
            help_text=_("What you take away here stays away: no later release gives it back."),
        )

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def named(self, row: Group) -> str:
        return group_label(row)

    @admin.display(description=gettext_lazy("users"), ordering="user_count")
    def users_shown(self, row: Any) -> SafeString | str:
        return link_to(list_url(User, f"?groups__id__exact={row.pk}"), row.user_count)
