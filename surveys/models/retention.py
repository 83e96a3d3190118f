"""How far the forgetting of old personal data has come."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class RetentionMark(models.Model):
    """One row per kind of rows: those up to this id have been looked at, and stripped where their time was over."""

    kind = models.CharField(_("kind"), max_length=20, primary_key=True)
    last_id = models.BigIntegerField(_("up to"), default=0)
    # Of kinds that are gone through again and again: when the last round ended.
    rounded_at = models.DateTimeField(_("last round"), null=True, blank=True)

    class Meta:
        verbose_name = _("retention mark")
        verbose_name_plural = _("retention marks")

    def __str__(self) -> str:
        return self.kind
