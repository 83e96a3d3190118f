"""What every list and form of the staff's side shares. No query of its own, and no model."""

from typing import Any

from django.http import HttpRequest
from unfold.admin import ModelAdmin


class StaffAdmin(ModelAdmin):  # type: ignore[misc]
    """Unfold's admin with our defaults."""

    compressed_fields = True
    list_fullwidth = True
    warn_unsaved_form = True


class RecordAdmin(StaffAdmin):
    """For rows that the flow writes and staff only read; whoever may view them sees them, nobody adds, changes or deletes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
