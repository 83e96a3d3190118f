"""Who may do what from the start. In: the permissions that exist. Out: three groups that have theirs, made or brought up to date.

A group is given each permission once. Staff may take it away again, or delete the group: the next migration leaves it at that.
Permissions that a later release brings are new to every group and are given then. Names stand in the database in English; pages
translate them, so nothing may depend on a name: `StandardGroup.key` is what code goes by.
"""

from collections.abc import Mapping, Sequence

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.utils.translation import gettext_noop

from surveys.models import StandardGroup

ADMINISTRATOR, MANAGER, VIEWER = "administrator", "manager", "viewer"
NAMES: Mapping[str, str] = {
    ADMINISTRATOR: gettext_noop("Administrator"),
    MANAGER: gettext_noop("CX manager"),
    VIEWER: gettext_noop("Viewer"),
}
APPS = ("surveys", "metrics", "auth")

SCORES = ("metrics.view_scorecell", "metrics.view_durationcell")
CONFIGURED = ("journey", "stage", "touchpoint", "watcher", "instrument", "invitationrule")
# People, what they did and said, and what was sent to them.
RECORDED = (
    *("customer", "suppression", "interactionevent", "quarantinedevent", "ticket", "invitation", "deliveryattempt"),
    *("response", "sentmessage", "watchernotice"),
)


def _manager() -> set[str]:
    may = {f"surveys.{verb}_{name}" for name in CONFIGURED for verb in ("view", "add", "change", "delete")}
    may |= {f"surveys.view_{name}" for name in RECORDED}
    may |= {"surveys.view_organisation", "surveys.change_organisation"}
    # Excluding an answer with a reason, settling a quarantined event, lifting a suppression, erasing a customer.
    may |= {"surveys.change_response", "surveys.change_quarantinedevent"}
    may |= {"surveys.delete_suppression", "surveys.delete_customer"}
    return may | set(SCORES)


def wanted(key: str, existing: Sequence[str]) -> set[str]:
    """Which of the existing permissions, as "app.codename", a standard group is to be offered."""
    if key == ADMINISTRATOR:
        return set(existing)
    return (_manager() if key == MANAGER else set(SCORES)) & set(existing)


def offer_permissions() -> None:
    """Make the standard groups, and give each what it was never offered before. Safe to repeat, and in two places at once."""
    with transaction.atomic():
        rows = Permission.objects.filter(content_type__app_label__in=APPS).select_related("content_type")
        by_label = {f"{row.content_type.app_label}.{row.codename}": row for row in rows}
        for key, name in NAMES.items():
            standard, created = StandardGroup.objects.select_for_update().get_or_create(key=key)
            if created:
                standard.group = Group.objects.get_or_create(name=name)[0]
            fresh = sorted(wanted(key, list(by_label)) - set(standard.offered))
            if standard.group is not None and fresh:
                standard.group.permissions.add(*(by_label[label] for label in fresh))
            if created or fresh:
                standard.offered = sorted({*standard.offered, *fresh})
                standard.save()
