"""Who is told of bad news at once, and what they are still to be told."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Recipient(models.Model):
    """An address that is told of something, and what went wrong when it was last written to; it has a `language`."""

    address = models.CharField(
        _("address"),
        max_length=500,
        help_text=_("An email address, or an Apprise address such as wecombot://… or slack://…"),
    )
    active = models.BooleanField(_("active"), default=True)
    last_error = models.CharField(_("last error"), max_length=500, blank=True, default="")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        """Without what may be a token or a password: this stands in headings and in the history."""
        scheme, mark, _rest = self.address.partition("://")
        return f"{scheme}://…" if mark else self.address


class Notice(models.Model):
    """Something that a recipient is to be told: it waits until it was sent (flow/tell.py)."""

    created_at = models.DateTimeField(_("since"))
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)

    class Meta:
        abstract = True


class Watcher(Recipient):
    """One row per address told of each answer in the lowest band at a touchpoint."""

    touchpoint = models.ForeignKey("surveys.Touchpoint", on_delete=models.CASCADE, related_name="watchers")
    language = models.CharField(_("language"), max_length=20, default="en")

    class Meta:
        verbose_name = _("bad-news recipient")
        verbose_name_plural = _("bad-news recipients")
        constraints = [models.UniqueConstraint(fields=["touchpoint", "address"], name="watcher_once_per_touchpoint")]


class WatcherNotice(Notice):
    """One row per bad answer that a watcher is to be told of; sent in batches."""

    watcher = models.ForeignKey(Watcher, on_delete=models.CASCADE, related_name="notices", db_index=False)
    response = models.ForeignKey("surveys.Response", on_delete=models.CASCADE, related_name="notices")

    class Meta:
        verbose_name = _("bad-news notice")
        verbose_name_plural = _("bad-news notices")
        constraints = [models.UniqueConstraint(fields=["watcher", "response"], name="notice_once_per_watcher")]
        indexes = [models.Index(fields=["created_at"], name="notice_waiting", condition=models.Q(sent_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.watcher_id} {self.response_id}"
