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
        post_migrate.connect(_seed, sender=self, dispatch_uid="surveys.seed")


def _seed(using: str, **kwargs: Any) -> None:
    """Every database has its organisation, and the built-in instruments with the languages of this release."""
    from surveys.flow.builtins import load_builtins
    from surveys.models import Organisation, Wording

    # `migrate surveys zero` also ends here.
    if using == "default" and Wording._meta.db_table in connections[using].introspection.table_names():
        Organisation.current()
        load_builtins()
