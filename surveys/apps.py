from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class SurveysConfig(AppConfig):
    name = "surveys"
    verbose_name = _("Listen")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from surveys import checks  # noqa: F401  (its checks register themselves)

        post_migrate.connect(_seed, sender=self, dispatch_uid="surveys.seed")
        # After each app whose permissions a group may have, and after Django has made them: its receiver was connected first.
        post_migrate.connect(_offer_permissions, dispatch_uid="surveys.offer_permissions")


def _seed(using: str, **kwargs: Any) -> None:
    """Every database has its organisation, and the built-in instruments with the languages of this release."""
    from surveys.flow.builtins import load_builtins
    from surveys.models import Organisation, Wording

    # `migrate surveys zero` also ends here.
    if using == "default" and Wording._meta.db_table in connections[using].introspection.table_names():
        Organisation.current()
        load_builtins()


def _offer_permissions(app_config: AppConfig, using: str, **kwargs: Any) -> None:
    """Every database has the three groups, with whatever permissions are new to them."""
    from surveys.flow.groups import APPS, offer_permissions
    from surveys.models import StandardGroup

    there = connections[using].introspection.table_names
    if app_config.label in APPS and using == "default" and StandardGroup._meta.db_table in there():
        offer_permissions()
