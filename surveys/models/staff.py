"""The groups that are there from the start, and what each was given so far."""

from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _


class StandardGroup(models.Model):
    """One row per group that came with the product: under which key we know it, and which permissions it was ever offered.

    What was offered once is never offered again, so whatever staff take away stays away; a group that they delete stays deleted.
    """

    key = models.CharField(_("key"), max_length=20, primary_key=True)
    group = models.OneToOneField(
        Group, on_delete=models.SET_NULL, null=True, related_name="standard", verbose_name=_("group")
    )
    offered = models.JSONField(_("offered"), default=list)  # "surveys.view_customer", …

    class Meta:
        verbose_name = _("standard group")
        verbose_name_plural = _("standard groups")
        default_permissions = ()

    def __str__(self) -> str:
        return self.key
