"""The local mailbox: what would have been sent, while no mail server is named."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class SentMessage(models.Model):
    """One row per message that the local mailbox took instead of a mail server."""

    at = models.DateTimeField(_("sent"))
    to = models.CharField(_("to"), max_length=254)
    subject = models.CharField(_("subject"), max_length=500)
    message_id = models.CharField(_("Message-ID"), max_length=200, blank=True, default="")
    headers = models.JSONField(_("headers"), default=list)
    text = models.TextField(_("text part"), blank=True, default="")
    html = models.TextField(_("HTML part"), blank=True, default="")

    class Meta:
        verbose_name = _("sent message")
        verbose_name_plural = _("sent messages")
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["-at"], name="message_newest"), models.Index(fields=["to"], name="message_to")]

    def __str__(self) -> str:
        return self.subject
