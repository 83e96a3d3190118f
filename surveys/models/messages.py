"""The local mailbox: what would have been sent, while no mail server is named. And what customers text to us."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class SentMessage(models.Model):
    """One row per message that the local mailbox took instead of a mail server."""

    at = models.DateTimeField(_("sent"))
    mode = models.CharField(_("mode"), max_length=10, default="email")
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


class InboundText(models.Model):
    """One row per text message that somebody sent to us, with what we made of it and the one reply that it gets."""

    class Meaning(models.TextChoices):
        SCORE = "score", _("Score")
        COMMENT = "comment", _("Comment")
        UNCLEAR = "unclear", _("Not understood")
        STOP = "stop", _("Stop")
        START = "start", _("Start again")
        HELP = "help", _("Help")
        CLOSED = "closed", _("Too late")
        STRANGER = "stranger", _("Nobody was asked")

    provider = models.CharField(_("provider"), max_length=20)
    # The provider's own: the same again is the same text.
    message_id = models.CharField(_("Message-ID"), max_length=200)
    phone = models.CharField(_("phone"), max_length=40, blank=True, default="")
    text = models.TextField(_("text"), blank=True, default="")
    received_at = models.DateTimeField(_("received"))
    invitation = models.ForeignKey(
        "surveys.Invitation", on_delete=models.PROTECT, null=True, blank=True, related_name="texts",
        verbose_name=_("invitation"),
    )  # fmt: skip
    meaning = models.CharField(_("understood as"), max_length=10, choices=Meaning.choices)
    language = models.CharField(_("language"), max_length=20, blank=True, default="")
    reply = models.TextField(_("our reply"), blank=True, default="")
    # When the reply is to be sent (again): a worker that holds it has moved this ahead. Null: nothing waits.
    due_at = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    replied_at = models.DateTimeField(_("replied"), null=True, blank=True)
    detail = models.CharField(_("detail"), max_length=500, blank=True, default="")

    class Meta:
        verbose_name = _("text received")
        verbose_name_plural = _("texts received")
        ordering = ["-received_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["provider", "message_id"], name="inbound_text_once")]
        indexes = [
            models.Index(fields=["-received_at"], name="inbound_text_newest"),
            models.Index(fields=["phone", "-received_at"], name="inbound_text_of_phone", condition=~models.Q(phone="")),
            models.Index(fields=["due_at"], name="inbound_text_due", condition=models.Q(due_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"
