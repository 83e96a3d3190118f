"""What the widget on other sites needs to know and leaves behind: the secret that names customers, and counts of views."""

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _


def make_secret() -> str:
    return secrets.token_urlsafe(32)  # 256 bits, as long as the hash that it keys


class IdentitySecret(models.Model):
    """One row per secret with which the organisation's own sites sign who is looking.

    The newest is to sign with; a former one is believed until it is dropped. Kept as it is, since a signature cannot be checked
    with less. It stands in no export and in no history.
    """

    secret = models.CharField(_("secret"), max_length=64, default=make_secret, editable=False)
    created_at = models.DateTimeField(_("made"))
    # To the hour: whoever drops a former secret wants to know whether any site still signs with it.
    used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    class Meta:
        verbose_name = _("identity secret")
        verbose_name_plural = _("identity secrets")
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"#{self.pk}"


class WidgetCount(models.Model):
    """One row per day, touchpoint and event of the widget, with how often it happened. Whose view it was is not kept."""

    class Event(models.TextChoices):
        SHOWN = "shown", _("Shown")
        STARTED = "started", _("Started")
        DISMISSED = "dismissed", _("Dismissed")

    touchpoint = models.ForeignKey(
        "surveys.Touchpoint", on_delete=models.CASCADE, related_name="widget_counts", verbose_name=_("touchpoint"),
        db_index=False,
    )  # fmt: skip
    day = models.DateField(_("day"))
    event = models.CharField(_("event"), max_length=10, choices=Event.choices)
    count = models.PositiveBigIntegerField(_("count"), default=0)

    class Meta:
        verbose_name = _("widget count")
        verbose_name_plural = _("widget counts")
        constraints = [
            models.UniqueConstraint(fields=["touchpoint", "day", "event"], name="widget_count_once"),
            models.CheckConstraint(
                condition=models.Q(event__in=["shown", "started", "dismissed"]), name="widget_event_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.touchpoint_id} {self.day} {self.event} {self.count}"
