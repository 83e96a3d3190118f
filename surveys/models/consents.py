"""Who agreed to be written to, by what, about what, and who took it back."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Purpose(models.TextChoices):
    """What messages are for. A kind of message that is no survey has a purpose of its own."""

    SURVEYS = "surveys", _("Surveys")
    FOLLOW_UP = "follow_up", _("Replies to what somebody told us")


class Consent(models.Model):
    """One row per act: a customer agreed to messages of one mode for one purpose, or took it back. Never changed, never deleted.

    What holds is the newest act by its own time, for each mode and purpose; see flow/consent.py.
    """

    class Source(models.TextChoices):
        API = "api", _("Another system")
        STAFF = "staff", _("Staff")
        PAGE = "page", _("The person, by link or mail")
        TEXT = "text", _("The person, by text")

    customer = models.ForeignKey(
        "surveys.Customer", on_delete=models.PROTECT, related_name="consents", verbose_name=_("customer"),
        db_index=False,
    )  # fmt: skip
    mode = models.CharField(_("mode"), max_length=10)
    purpose = models.CharField(_("purpose"), max_length=10, choices=Purpose.choices)
    given = models.BooleanField(_("given"))
    at = models.DateTimeField(_("at"))
    recorded_at = models.DateTimeField(_("recorded"))
    source = models.CharField(_("source"), max_length=5, choices=Source.choices)
    # Where it was said, such as “checkout form” or “call 4711”, as told by whoever sent or typed it.
    detail = models.CharField(_("where"), max_length=200, blank=True, default="")
    recorded_by_name = models.CharField(_("recorded by"), max_length=150, blank=True, default="")
    # What was agreed to: the text that the person had before them, or the name of its version.
    text_version = models.CharField(_("version of the text"), max_length=100, blank=True, default="")
    wording = models.TextField(_("wording"), max_length=4000, blank=True, default="")
    # Of the address that was known then: whoever has the address can find the proof, also after an erasure.
    address_hash = models.CharField(max_length=64, blank=True, default="", editable=False)

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        constraints = [
            # The same act told twice is one. Of two at the same moment the withdrawal holds.
            models.UniqueConstraint(fields=["customer", "purpose", "mode", "at", "given"], name="consent_act_once"),
            models.CheckConstraint(
                condition=~models.Q(source="staff") | (~models.Q(recorded_by_name="") & ~models.Q(detail="")),
                name="consent_by_staff_has_its_source",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.mode} {self.purpose} {'+' if self.given else '-'}"
