from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MetricsConfig(AppConfig):
    name = "metrics"
    verbose_name = _("Measure")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from metrics import bells, programme, sessions

        bells.connect()
        programme.connect()
        sessions.connect()
