"""What happened to customers, as other systems told it; and what could not be used."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class InteractionEvent(models.Model):
    """One row per (source, id) of something that happened to a customer."""

    source = models.CharField(_("source"), max_length=200)
    event_id = models.CharField(_("event id"), max_length=200)
    type = models.CharField(_("type"), max_length=100)
    time = models.DateTimeField(_("time"))
    received_at = models.DateTimeField(_("received"), db_default=Now())
    customer = models.ForeignKey(
        "surveys.Customer", on_delete=models.PROTECT, related_name="events", verbose_name=_("customer"),
        db_index=False,  # event_of_customer serves
    )  # fmt: skip
    touchpoint = models.ForeignKey(
        "surveys.Touchpoint", on_delete=models.PROTECT, null=True, blank=True, related_name="events",
        verbose_name=_("touchpoint"),
    )  # fmt: skip
    ticket = models.ForeignKey(
        "surveys.Ticket", on_delete=models.PROTECT, null=True, blank=True, related_name="events",
        verbose_name=_("ticket"),
    )  # fmt: skip
    # For ticket events, the type it was mapped to (`ticket.opened`, …); "" for all others.
    ticket_event = models.CharField(_("ticket event"), max_length=24, blank=True, default="")
    reference = models.CharField(_("reference"), max_length=200, blank=True, default="")
    location = models.CharField(_("location"), max_length=100, blank=True, default="")
    facts = models.JSONField(_("facts"), default=dict, blank=True)
    # False until the rules have been asked about it: the row is what waits, the bell only hurries.
    decided = models.BooleanField(_("decided"), default=False)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [models.UniqueConstraint(fields=["source", "event_id"], name="event_once_per_source")]
        indexes = [
            models.Index(fields=["id"], name="event_undecided", condition=models.Q(decided=False)),
            models.Index(fields=["customer", "time"], name="event_of_customer"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.source} {self.event_id}"


class QuarantinedEvent(models.Model):
    """One row per well-formed JSON item that could not be used, with why; a manager corrects and retries it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RETRIED = "retried", _("Retried")
        DISCARDED = "discarded", _("Discarded")

    # Text and not jsonb: what is wrong may be what jsonb refuses (NUL, lone surrogates); ASCII-escaped JSON.
    body = models.TextField(_("body"))
    errors = models.JSONField(_("errors"), default=list)
    received_at = models.DateTimeField(_("received"))
    api_key_name = models.CharField(_("sent with key"), max_length=100, blank=True, default="")
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)

    class Meta:
        verbose_name = _("quarantined event")
        verbose_name_plural = _("quarantined events")
        ordering = ["-received_at"]
        indexes = [
            models.Index(fields=["-received_at"], name="quarantine_waiting", condition=models.Q(state="waiting"))
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"
