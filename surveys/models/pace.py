"""How fast messages leave, where a rate is set."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class SendingPace(models.Model):
    """One row per mode that has a rate: the moment from which its next message may leave, whichever worker sends it."""

    mode = models.CharField(_("mode"), max_length=10, primary_key=True)
    free_at = models.DateTimeField(_("free from"))

    class Meta:
        verbose_name = _("sending pace")
        verbose_name_plural = _("sending paces")

    def __str__(self) -> str:
        return self.mode
