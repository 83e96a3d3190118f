"""API keys: made, shown once, narrowed, revoked.

In: a name and scopes. Out: the key on one page that no cache keeps; only its hash stays."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework_api_key.models import APIKey

from surveys.admin.configuration import ConfigAdmin, made
from surveys.admin.fields import ScopesField
from surveys.admin.records import chip, moment, noted
from surveys.models import ApiKey

if admin.site.is_registered(APIKey):
    admin.site.unregister(APIKey)  # the library's own table stays empty; a second list of keys would only mislead


@admin.register(ApiKey)
class ApiKeyAdmin(ConfigAdmin):
    list_display = ["name", "prefix", "scopes_shown", "state", "created_shown", "expires_shown"]
    list_filter = ["revoked"]
    search_fields = ["name", "prefix"]
    search_help_text = gettext_lazy("Name or beginning of the key")
    ordering = ["revoked", "-created"]
    own_fields = {"scopes": made(ScopesField, label=gettext_lazy("What it may do"), help_text="")}
    empty_text = gettext_lazy("Another system needs a key to post events or read scores. Each has its own.")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "name":
            field.label, field.help_text = _("Name"), _("Whose key it is, such as “Shop, production”.")
        if db_field.name == "expiry_date":
            field.label, field.help_text = _("Expires"), _("Empty: when it is revoked.")
        return field

    def sections(self, request: HttpRequest, obj: ApiKey | None = None) -> list[tuple[Any, list[str]]]:
        if obj is None:
            return [(None, ["name", "scopes", "expiry_date"])]
        scopes = "scopes_shown" if obj.revoked else "scopes"
        return [(None, ["name", scopes, "expiry_date", "prefix", "state", "created_shown"])]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        if obj is not None and obj.revoked:
            return ["name", "scopes_shown", "expiry_date", "prefix", "state", "created_shown"]
        return ["prefix", "state", "created_shown"]

    def has_history(self, obj: ApiKey) -> bool:
        return not obj.revoked  # revoke first: a key that vanishes leaves nobody to ask whose it was

    # --- Shown once ---------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if not change:
            obj.shown_once = ApiKey.objects.assign_key(obj)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The key itself in the answer to the form: a message would travel through a cookie."""
        key = obj.shown_once  # type: ignore[attr-defined]
        response = self.page(request, "staff/key.html", title=_("The new key"), row=obj, key=key)
        response["Cache-Control"] = "no-store"
        return response

    # --- Revoking -----------------------------------------------------------------------------------------------------

    change_form_outer_after_template = "staff/revoke_below.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.revoke_view)
        return [path("<path:object_id>/revoke/", view, name="surveys_apikey_revoke"), *super().get_urls()]

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks once: there is no way back, and whatever uses the key stops at once."""
        row = self.get_object(request, object_id)
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        if row is None:
            return self.missing(request, object_id)
        if request.method == "POST" and not row.revoked:
            row.revoked = True
            row.save(update_fields=["revoked"])
            noted(request, row, _("Revoked."))
            messages.success(request, _("“%(name)s” is revoked: its next request is refused.") % {"name": row.name})
        if request.method == "POST" or row.revoked:
            return HttpResponseRedirect(reverse("admin:surveys_apikey_changelist"))
        title = _("Revoke “%(name)s”?") % {"name": row.name}
        return self.page(request, "staff/revoke.html", title=title, row=row, original=row)

    # --- Columns ------------------------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("what it may do"))
    def scopes_shown(self, row: ApiKey) -> str:
        return ", ".join(row.scopes)

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: ApiKey) -> SafeString:
        if row.revoked:
            return chip(_("Revoked"), "quiet")
        if row.expiry_date is not None and row.expiry_date <= timezone.now():
            return chip(_("Expired"), "quiet")
        return chip(_("In use"), "going")

    @admin.display(description=gettext_lazy("made"), ordering="created")
    def created_shown(self, row: ApiKey) -> str:
        return moment(row.created)

    @admin.display(description=gettext_lazy("expires"), ordering="expiry_date")
    def expires_shown(self, row: ApiKey) -> str:
        return moment(row.expiry_date)
