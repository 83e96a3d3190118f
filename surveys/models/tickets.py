"""Issues in the client's helpdesk, whose times give TTR."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Ticket(models.Model):
    """One row per (source, reference). Its state is a function of its events, whatever order they came in."""

    source = models.CharField(_("source"), max_length=200)
    reference = models.CharField(_("reference"), max_length=200)
    customer = models.ForeignKey(
        "surveys.Customer", on_delete=models.PROTECT, related_name="tickets", verbose_name=_("customer")
    )
    touchpoint = models.ForeignKey(
        "surveys.Touchpoint", on_delete=models.PROTECT, null=True, blank=True, related_name="tickets",
        verbose_name=_("touchpoint"),
    )  # fmt: skip
    segment = models.CharField(_("segment"), max_length=100, blank=True, default="")
    location = models.CharField(_("location"), max_length=100, blank=True, default="")
    opened_at = models.DateTimeField(_("opened"), null=True, blank=True)
    first_response_at = models.DateTimeField(_("first response"), null=True, blank=True)
    # The last resolution, or the closing of a ticket never resolved; null while it is open (again).
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    reopened_count = models.PositiveIntegerField(_("reopened"), default=0)
    # In TTR: an opening is known and no resolution precedes it. Kept so that the partial index can ask for it.
    in_ttr = models.BooleanField(_("in TTR"), default=False)
    # Stored at first recording and never changed: cells must be able to subtract what they added.
    day_opened = models.DateField(_("day opened"), null=True, blank=True)
    day_resolved = models.DateField(_("day resolved"), null=True, blank=True)
    # Business seconds from the opening to the resolution and to the first response, stored as days are: by the working hours that
    # held when they were written. Null where there are no such moments, or no hours; only a rebuild brings them up to changed hours.
    business_s = models.BigIntegerField(_("business time (s)"), null=True, blank=True, editable=False)
    first_business_s = models.BigIntegerField(
        _("business time to the first response (s)"), null=True, blank=True, editable=False
    )

    class Meta:
        verbose_name = _("ticket")
        verbose_name_plural = _("tickets")
        constraints = [
            models.UniqueConstraint(fields=["source", "reference"], name="ticket_once_per_source"),
            models.CheckConstraint(
                condition=models.Q(in_ttr=False)
                | (
                    models.Q(opened_at__isnull=False, day_opened__isnull=False)
                    & (
                        models.Q(resolved_at__isnull=True, day_resolved__isnull=True)
                        | models.Q(resolved_at__gte=models.F("opened_at"), day_resolved__isnull=False)
                    )
                ),
                name="ticket_in_ttr_has_times",
            ),
        ]
        indexes = [
            models.Index(
                fields=["touchpoint", "segment", "location", "day_opened"],
                include=["opened_at"],
                name="ticket_open_now",
                condition=models.Q(in_ttr=True, resolved_at__isnull=True),
            ),
            # What only raw rows can say of the tickets resolved within some days, such as by a fact of their opening.
            models.Index(
                fields=["day_resolved"],
                name="ticket_resolved_on",
                condition=models.Q(in_ttr=True, resolved_at__isnull=False),
            ),
            # Few, and counted by data quality.
            models.Index(fields=["touchpoint"], name="ticket_without_time", condition=models.Q(in_ttr=False)),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.reference}"
