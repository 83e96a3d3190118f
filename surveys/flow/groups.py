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

# What a page of ours asks for, in the order of the pages; any other permission of Django's opens nothing.
ASKED: Mapping[str, Sequence[str]] = {
    "metrics.scorecell": ("view",),
    "metrics.decision": ("view", "add", "change", "delete"),
    "metrics.alert": ("view", "change"),  # change: acknowledge
    "metrics.alertrule": ("view", "add", "change", "delete"),
    "metrics.team": ("view", "add", "change", "delete"),
    "metrics.teamaddress": ("view", "add", "change", "delete"),
    "surveys.response": ("view", "change"),  # change: exclude with a reason, and take back
    "surveys.ticket": ("view",),
    "surveys.journey": ("view", "add", "change", "delete"),
    "surveys.stage": ("view", "add", "change", "delete"),
    "surveys.touchpoint": ("view", "add", "change", "delete"),
    "surveys.watcher": ("view", "add", "change", "delete"),
    "surveys.instrument": ("view", "add", "change"),
    "surveys.invitationrule": ("view", "add", "change", "delete"),
    "surveys.invitation": ("view",),
    "surveys.customer": ("view", "change", "delete"),  # change: by which means they are asked; delete: erase
    "surveys.interactionevent": ("view",),
    "surveys.suppression": ("view", "delete"),  # delete: lift
    "surveys.suppressionlift": ("view",),
    "surveys.consent": ("view", "add"),  # add: write down what somebody said
    "surveys.quarantinedevent": ("view", "change"),  # change: correct, retry, discard
    "surveys.deliveryattempt": ("view",),
    "surveys.watchernotice": ("view",),
    "surveys.sentmessage": ("view",),
    "surveys.inboundtext": ("view",),
    "surveys.organisation": ("view", "change"),
    "surveys.identitysecret": ("view", "change"),  # change: renew and drop
    "surveys.apikey": ("view", "add", "change", "delete"),
    "auth.user": ("view", "add", "change", "delete"),
    "auth.group": ("view", "add", "change", "delete"),
}
ADMINISTRATORS_ALONE = ("surveys.apikey", "auth.user", "auth.group")


def labels(*models: str) -> list[str]:
    """The permissions of these models that a page asks for, as "app.verb_model"."""
    return [
        f"{app}.{verb}_{name}"
        for app, name in (model.split(".") for model in models)
        for verb in ASKED[f"{app}.{name}"]
    ]


WANTED: Mapping[str, frozenset[str]] = {
    ADMINISTRATOR: frozenset(labels(*ASKED)),
    MANAGER: frozenset(labels(*(model for model in ASKED if model not in ADMINISTRATORS_ALONE))),
    VIEWER: frozenset(labels("metrics.scorecell")),
}


def offer_permissions() -> None:
    """Make the standard groups, and give each what it was never offered before. Safe to repeat, and in two places at once."""
    with transaction.atomic():
        rows = Permission.objects.filter(content_type__app_label__in=APPS).select_related("content_type")
        by_label = {f"{row.content_type.app_label}.{row.codename}": row for row in rows}
        for key, name in NAMES.items():
            standard, created = StandardGroup.objects.select_for_update().get_or_create(key=key)
            if created:
                standard.group = Group.objects.get_or_create(name=name)[0]
            fresh = sorted((WANTED[key] & by_label.keys()) - set(standard.offered))
            if standard.group is not None and fresh:
                standard.group.permissions.add(*(by_label[label] for label in fresh))
            if created or fresh:
                standard.offered = sorted({*standard.offered, *fresh})
                standard.save()
