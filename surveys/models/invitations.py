"""When to ask, and each decision to ask or not to ask."""

import secrets
from datetime import time

from django.contrib.postgres.indexes import BrinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from surveys import letters
from surveys.models.journeys import DAY_S


class Calendar(models.TextChoices):
    """How often a relationship is asked about: each customer once in each period, on a day of it."""

    MONTH = "month", _("Each month")
    QUARTER = "quarter", _("Each quarter")
    HALF_YEAR = "half_year", _("Each half-year")
    YEAR = "year", _("Each year")


CALENDAR_HOUR = time(10)  # nobody wants to be asked at midnight, when a day begins


class InvitationRule(models.Model):
    """One row per "after this event, or once in each period, ask this, by these means"."""

    slug = models.SlugField(_("slug"), max_length=60, unique=True)
    # One of the two.
    event_type = models.CharField(_("event type"), max_length=100, blank=True, default="")
    calendar = models.CharField(
        _("calendar"), max_length=10, choices=Calendar.choices, blank=True, default="", db_default=""
    )
    when = models.CharField(
        _("when"), max_length=2000, blank=True, default="", help_text=_("Such as: facts.wait_seconds < 3600")
    )
    touchpoint = models.ForeignKey(
        "surveys.Touchpoint", on_delete=models.PROTECT, related_name="rules", verbose_name=_("touchpoint")
    )
    instrument = models.ForeignKey(
        "surveys.Instrument", on_delete=models.PROTECT, null=True, blank=True, related_name="rules",
        verbose_name=_("instrument"), help_text=_("Empty: the touchpoint's."),
    )  # fmt: skip
    delay_s = models.PositiveIntegerField(_("delay (s)"), default=0)
    max_age_s = models.PositiveIntegerField(_("maximum age of the event (s)"), default=7 * DAY_S)
    modes = models.JSONField(_("modes"), default=list, help_text=_("In order of preference, such as [“email”]."))
    sample_share = models.FloatField(
        _("sample share"), default=1.0, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)]
    )
    resting_same_s = models.PositiveIntegerField(_("resting, same touchpoint (s)"), null=True, blank=True)
    resting_any_s = models.PositiveIntegerField(_("resting, any touchpoint (s)"), null=True, blank=True)
    # Of two that would disturb each other the higher goes out; of equals, the one that is due first.
    priority = models.SmallIntegerField(
        _("priority"), default=0, validators=[MinValueValidator(-100), MaxValueValidator(100)]
    )
    quota = models.PositiveIntegerField(_("messages per day at most"), null=True, blank=True)
    # The reason is the exemption: there is none without one.
    exempt_resting = models.CharField(_("exempt from resting, because"), max_length=500, blank=True, default="")
    exempt_floor = models.CharField(_("exempt from the floor, because"), max_length=500, blank=True, default="")
    needs_consent = models.BooleanField(
        _("needs consent"), default=False,
        help_text=_("Only by modes for which the customer’s consent to surveys stands."),
    )  # fmt: skip
    at_time = models.TimeField(_("at"), null=True, blank=True)
    days = models.JSONField(_("days of the week"), default=list, blank=True)
    expires_s = models.PositiveIntegerField(_("link expires after (s)"), default=14 * DAY_S)
    reminders_s = models.JSONField(_("reminders after (s)"), default=list, blank=True)
    # {"subject": {"en": "How was your tea, {name}?"}}, by the keys of letters.LETTER_TEXTS: in place of the phrases.
    letter = models.JSONField(_("own texts of its letters"), default=dict, blank=True)
    active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("invitation rule")
        verbose_name_plural = _("invitation rules")
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(sample_share__gte=0, sample_share__lte=1), name="rule_sample_is_share"
            ),
            models.CheckConstraint(
                condition=models.Q(event_type="") ^ models.Q(calendar=""), name="rule_has_event_or_calendar"
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def hour(self) -> time | None:
        """The time of day at which it asks, by the customer's clock."""
        return CALENDAR_HOUR if self.at_time is None and self.calendar else self.at_time


class CalendarPass(models.Model):
    """One row per rule on a calendar: through which day it has gone, and how far it has come since."""

    rule = models.OneToOneField(
        InvitationRule, on_delete=models.CASCADE, related_name="calendar_pass", verbose_name=_("rule")
    )
    # Days of the organisation. All up to `through` are done with; `until` is the last one of the pass under way, if there is one.
    through = models.DateField()
    until = models.DateField(null=True, blank=True)
    cursor = models.BigIntegerField(default=0)  # the id of the customer who was looked at last

    class Meta:
        verbose_name = _("pass of a calendar")
        verbose_name_plural = _("passes of calendars")

    def __str__(self) -> str:
        return f"{self.rule_id} {self.through}"


def make_token() -> str:
    return secrets.token_urlsafe(16)


class Invitation(models.Model):
    """One row per decision about one customer and one occasion: the right to answer once, or why there is none."""

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", _("Scheduled")
        SENT = "sent", _("Sent")
        DELIVERED = "delivered", _("Delivered")
        OPENED = "opened", _("Opened")
        ANSWERED = "answered", _("Answered")
        EXPIRED = "expired", _("Expired")
        CANCELLED = "cancelled", _("Cancelled")
        WITHHELD = "withheld", _("Withheld")
        FAILED = "failed", _("Failed")

    class Reason(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
        BOUNCED = "bounced", _("Address bounced")
        CONSENT_MISSING = "consent_missing", _("No consent")
        NO_ADDRESS = "no_address", _("No address")
        INELIGIBLE = "ineligible", _("The rule's condition was not met")
        RESTING_SAME = "resting_same", _("Asked about this recently")
        RESTING_ANY = "resting_any", _("Asked recently")
        FLOOR = "floor_24h", _("Another message less than a day ago")
        QUOTA_FULL = "quota_full", _("Quota full")
        SAMPLED_OUT = "sampled_out", _("Not in the sample")
        EXPIRED = "expired", _("The interaction is too long ago")
        REOPENED = "reopened", _("The ticket was reopened")
        SUPERSEDED = "superseded", _("Another invitation took its place")
        ERASED = "erased", _("The customer was erased")
        INACTIVE = "inactive", _("The rule or touchpoint is switched off")
        UNDELIVERABLE = "undeliverable", _("Could not be delivered")

    # Each sending and each answer moves the row in every index, so keys whose look-up another index serves, or that are
    # looked up only when somebody deletes an instrument, have none of their own.
    # Not NULL for what may be answered; NULL for what was withheld from the start.
    token = models.CharField(_("token"), max_length=32, null=True, blank=True)  # noqa: DJ001
    rule = models.ForeignKey(
        InvitationRule, on_delete=models.PROTECT, null=True, blank=True, related_name="invitations",
        verbose_name=_("rule"), db_index=False,
    )  # fmt: skip
    event = models.ForeignKey(
        "surveys.InteractionEvent", on_delete=models.PROTECT, null=True, blank=True, related_name="invitations",
        verbose_name=_("event"),
    )  # fmt: skip
    customer = models.ForeignKey(
        "surveys.Customer", on_delete=models.PROTECT, related_name="invitations", verbose_name=_("customer"),
        db_index=False,
    )  # fmt: skip
    touchpoint = models.ForeignKey(
        "surveys.Touchpoint", on_delete=models.PROTECT, related_name="invitations", verbose_name=_("touchpoint"),
        db_index=False,
    )  # fmt: skip
    instrument = models.ForeignKey(
        "surveys.Instrument", on_delete=models.PROTECT, related_name="invitations", verbose_name=_("instrument"),
        db_index=False,
    )  # fmt: skip
    mode = models.CharField(_("mode"), max_length=10, blank=True, default="")
    status = models.CharField(_("status"), max_length=10, choices=Status.choices)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason.choices, blank=True, default="")
    detail = models.CharField(_("detail"), max_length=500, blank=True, default="")
    language = models.CharField(_("language"), max_length=20, blank=True, default="")
    location = models.CharField(_("location"), max_length=100, blank=True, default="")
    decided_at = models.DateTimeField(_("decided"))
    send_at = models.DateTimeField(_("send at"), null=True, blank=True)
    # The first day of the period that a rule on a calendar asks about; NULL where an event was the occasion.
    period = models.DateField(_("period from"), null=True, blank=True)
    # The organisation's day on whose quota this counts; NULL where its rule has none.
    quota_day = models.DateField(null=True, blank=True, editable=False)
    expires_s = models.PositiveIntegerField(default=14 * DAY_S, editable=False)
    # A worker holds it until then; a crash lets it go.
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    # Set before the network is touched: it counts for floor and resting from here.
    attempted_at = models.DateTimeField(_("attempted"), null=True, blank=True)
    # The latest try: what was written to its address after it was somebody else's message.
    tried_at = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    # When the latest reminder was tried: it counts for the floor, and for no resting.
    reminded_at = models.DateTimeField(_("reminded"), null=True, blank=True)
    opened_at = models.DateTimeField(_("opened"), null=True, blank=True)
    answered_at = models.DateTimeField(_("answered"), null=True, blank=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints = [
            # Not unique=True, which would bring a second index, for LIKE.
            models.UniqueConstraint(fields=["token"], name="invitation_token_once"),
            models.UniqueConstraint(fields=["rule", "event"], name="invitation_once_per_rule_and_event"),
            models.UniqueConstraint(
                fields=["rule", "customer", "period"],
                name="invitation_once_per_period",
                condition=models.Q(period__isnull=False),
            ),
            models.CheckConstraint(
                condition=~models.Q(status="scheduled") | models.Q(send_at__isnull=False, token__isnull=False),
                name="invitation_scheduled_has_send_at",
            ),
            models.CheckConstraint(
                condition=~models.Q(status__in=["sent", "delivered", "opened", "answered"])
                | models.Q(token__isnull=False),
                name="invitation_sent_has_token",
            ),
            models.CheckConstraint(
                condition=~models.Q(status__in=["withheld", "cancelled", "failed"]) | ~models.Q(reason=""),
                name="invitation_refused_has_reason",
            ),
        ]
        indexes = [
            # Thousands may be due at the same moment ("at 10:00"): who claims a hundred must not sort them all.
            models.Index(fields=["send_at", "id"], name="invitation_due", condition=models.Q(status="scheduled")),
            models.Index(fields=["customer"], name="invitation_waiting", condition=models.Q(status="scheduled")),
            models.Index(
                fields=["expires_at"],
                name="invitation_expiring",
                condition=models.Q(status__in=["sent", "delivered", "opened"]),
            ),
            models.Index(
                fields=["rule", "quota_day"], name="invitation_of_quota", condition=models.Q(quota_day__isnull=False)
            ),
            models.Index(fields=["customer", "-decided_at"], name="invitation_of_customer"),
            models.Index(fields=["touchpoint", "-decided_at"], name="invitation_of_touchpoint"),
        ]

    def __str__(self) -> str:
        return f"{self.touchpoint_id}/{self.customer_id} {self.status}"


class ReceiptKind(models.TextChoices):
    """What a carrier says of a message after it took it; the words are those of surveys/letters.py."""

    DELIVERED = letters.DELIVERED, _("Delivered")
    FAILED = letters.FAILED, _("Failed")
    REJECTED = letters.REJECTED, _("Rejected by the provider")
    SOFT = letters.SOFT, _("Bounced for now")
    BOUNCED = letters.BOUNCED, _("Bounced")
    DEFERRED = letters.DEFERRED, _("Delayed")
    COMPLAINED = letters.COMPLAINED, _("Complained")
    UNSUBSCRIBED = letters.UNSUBSCRIBED, _("Unsubscribed")


# Who complains of a message, or unsubscribes by it, has got it.
ARRIVED = (ReceiptKind.DELIVERED, ReceiptKind.COMPLAINED, ReceiptKind.UNSUBSCRIBED)


class DeliveryAttempt(models.Model):
    """One row per try to hand one message to a carrier, with what the carrier said."""

    class Result(models.TextChoices):
        SENT = "sent", _("Accepted")
        TEMPORARY = "temporary", _("Temporary failure")
        PERMANENT = "permanent", _("Permanent failure")
        UNKNOWN = "unknown", _("Handed over, no word")

    invitation = models.ForeignKey(Invitation, on_delete=models.CASCADE, related_name="delivery_attempts")
    # Which reminder it was; 0 is the invitation itself.
    reminder = models.PositiveSmallIntegerField(_("reminder"), default=0)
    mode = models.CharField(_("mode"), max_length=10)
    at = models.DateTimeField(_("at"))
    message_id = models.CharField(_("Message-ID"), max_length=200, blank=True, default="")
    result = models.CharField(_("result"), max_length=10, choices=Result.choices)
    detail = models.CharField(_("detail"), max_length=500, blank=True, default="")
    # The carrier's own name for the message, and a keyed hash of where it went: empty where nothing more is said of the message.
    reference = models.CharField(_("carrier’s reference"), max_length=200, blank=True, default="")
    address_hash = models.CharField(max_length=64, blank=True, default="", editable=False)
    receipt = models.CharField(_("receipt"), max_length=12, choices=ReceiptKind.choices, blank=True, default="")
    receipt_at = models.DateTimeField(_("receipt at"), null=True, blank=True)

    class Meta:
        verbose_name = _("delivery attempt")
        verbose_name_plural = _("delivery attempts")
        ordering = ["-at"]
        indexes = [
            BrinIndex(fields=["at"], name="attempt_by_time", autosummarize=True),
            models.Index(fields=["-at"], name="attempt_failed", condition=~models.Q(result="sent")),
            models.Index(fields=["reference"], name="attempt_reference", condition=~models.Q(reference="")),
            models.Index(fields=["address_hash", "-at"], name="attempt_to", condition=~models.Q(address_hash="")),
        ]

    def __str__(self) -> str:
        return f"{self.invitation_id} {self.result}"


class Reminder(models.Model):
    """One row per reminder of one invitation: to be sent, sent, or why not. Made when the invitation was sent."""

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", _("Scheduled")
        SENT = "sent", _("Sent")
        CANCELLED = "cancelled", _("Cancelled")
        FAILED = "failed", _("Failed")

    class Reason(models.TextChoices):
        ANSWERED = "answered", _("Answered")
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
        BOUNCED = "bounced", _("Address bounced")
        CONSENT_MISSING = "consent_missing", _("No consent")
        NO_ADDRESS = "no_address", _("No address")
        REOPENED = "reopened", _("The ticket was reopened")
        EXPIRED = "expired", _("The link has expired")
        ERASED = "erased", _("The customer was erased")
        INACTIVE = "inactive", _("The rule or touchpoint is switched off")
        UNDELIVERABLE = "undeliverable", _("Could not be delivered")

    invitation = models.ForeignKey(Invitation, on_delete=models.CASCADE, related_name="reminders", db_index=False)
    number = models.PositiveSmallIntegerField(_("number"))  # from 1
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.SCHEDULED)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason.choices, blank=True, default="")
    send_at = models.DateTimeField(_("send at"))
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    attempted_at = models.DateTimeField(_("attempted"), null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)

    class Meta:
        verbose_name = _("reminder")
        verbose_name_plural = _("reminders")
        constraints = [
            models.UniqueConstraint(fields=["invitation", "number"], name="reminder_once"),
            models.CheckConstraint(
                condition=~models.Q(status__in=["cancelled", "failed"]) | ~models.Q(reason=""),
                name="reminder_refused_has_reason",
            ),
        ]
        indexes = [models.Index(fields=["send_at", "id"], name="reminder_due", condition=models.Q(status="scheduled"))]

    def __str__(self) -> str:
        return f"{self.invitation_id}#{self.number} {self.status}"


class Receipt(models.Model):
    """One row per thing that a carrier said of a message later on, until it is applied: it may come before we know the message."""

    provider = models.CharField(_("provider"), max_length=20)
    reference = models.CharField(_("carrier’s reference"), max_length=200)
    kind = models.CharField(_("receipt"), max_length=12, choices=ReceiptKind.choices)
    detail = models.CharField(_("detail"), max_length=500, blank=True, default="")
    received_at = models.DateTimeField(_("received"))

    class Meta:
        verbose_name = _("receipt")
        verbose_name_plural = _("receipts")
        constraints = [models.UniqueConstraint(fields=["provider", "reference", "kind"], name="receipt_once")]
        indexes = [models.Index(fields=["received_at"], name="receipt_received")]

    def __str__(self) -> str:
        return f"{self.reference} {self.kind}"
