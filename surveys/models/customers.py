"""Who may be asked, and who may not."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

MAX_SEGMENTS = 200
OTHER_SEGMENT = "other"


class Customer(models.Model):
    """One row per person who may be asked. Erased: only `external_id`'s hash and the row's id remain."""

    external_id = models.CharField(_("customer id"), max_length=200)
    email = models.CharField(_("email"), max_length=254, blank=True, default="")
    phone = models.CharField(
        _("phone"), max_length=20, blank=True, default="", help_text=_("E.164, such as +8613800000000.")
    )
    name = models.CharField(_("name"), max_length=200, blank=True, default="")
    language = models.CharField(_("language"), max_length=20, blank=True, default="")
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, default="")
    segment = models.CharField(_("segment"), max_length=100, blank=True, default="")
    # "sms,email": a text, so that it is learned and cleared like all else that systems say of somebody.
    preferred_modes = models.CharField(_("prefers"), max_length=60, blank=True, default="", db_default="")
    attributes = models.JSONField(_("attributes"), default=dict, blank=True)
    # The time of the newest event that wrote this profile: an older one only fills what is empty.
    profile_at = models.DateTimeField(_("profile as of"))
    created_at = models.DateTimeField(_("first seen"), auto_now_add=True)
    erased_at = models.DateTimeField(_("erased"), null=True, blank=True)

    class Meta:
        verbose_name = _("customer")
        verbose_name_plural = _("customers")
        # Not unique=True, which would bring a second index, for LIKE.
        constraints = [models.UniqueConstraint(fields=["external_id"], name="customer_once")]
        indexes = [
            models.Index(fields=["email"], name="customer_email", condition=~models.Q(email="")),
            models.Index(fields=["phone"], name="customer_phone", condition=~models.Q(phone="")),
            models.Index(fields=["name"], name="customer_name", condition=~models.Q(name="")),
        ]

    def __str__(self) -> str:
        return self.name or self.external_id

    @property
    def preference(self) -> list[str]:
        """The modes in which this person would rather be asked, the dearest first."""
        return self.preferred_modes.split(",") if self.preferred_modes else []


class Segment(models.Model):
    """One row per distinct segment that aggregates keep apart; past MAX_SEGMENTS the rest count as `other`."""

    name = models.CharField(_("segment"), max_length=100, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("segment")
        verbose_name_plural = _("segments")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Scope(models.TextChoices):
    """How much somebody wants to hear no more of, from the narrowest to the widest."""

    THIS_SURVEY = "this_survey", _("This survey")
    ALL_SURVEYS = "all_surveys", _("All surveys")
    ALL_MESSAGES = "all_messages", _("All messages")


class SuppressionFacts(models.Model):
    """What a suppression says, and keeps saying in the record of its lifting."""

    class Reason(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
        BOUNCED = "bounced", _("Bounced")
        COMPLAINED = "complained", _("Complained")

    address_hash = models.CharField(_("address hash"), max_length=64)
    # The hash is of a customer id: then it holds for whatever addresses become known of that customer.
    of_person = models.BooleanField(_("of a person"), default=False)
    reason = models.CharField(_("reason"), max_length=12, choices=Reason.choices)
    scope = models.CharField(_("scope"), max_length=12, choices=Scope.choices, default=Scope.ALL_MESSAGES)
    # The touchpoint's id for THIS_SURVEY, 0 for every other scope. No foreign key, which would have to be NULL, in the key.
    touchpoint_key = models.PositiveBigIntegerField(default=0, editable=False)
    detail = models.CharField(_("detail"), max_length=500, blank=True, default="")

    class Meta:
        abstract = True


class Suppression(SuppressionFacts):
    """One row per address (or person), reason and scope of what must not be sent. Keyed by a keyed hash, so it survives erasure.

    A bounce beside an unsubscription is a row of its own: each is lifted by somebody else.
    """

    created_at = models.DateTimeField(_("since"))
    # Of the number from which somebody wrote STOP for all addresses of theirs: START from there lifts what it set, and no other.
    origin_hash = models.CharField(max_length=64, blank=True, default="", editable=False)

    class Meta:
        verbose_name = _("suppression")
        verbose_name_plural = _("suppressions")
        constraints = [
            models.UniqueConstraint(
                fields=["address_hash", "scope", "touchpoint_key", "reason"], name="suppression_once"
            ),
            models.CheckConstraint(
                condition=models.Q(reason__in=["unsubscribed", "bounced", "complained"]),
                name="suppression_reason_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(scope="this_survey", touchpoint_key__gt=0)
                | models.Q(scope__in=["all_surveys", "all_messages"], touchpoint_key=0),
                name="suppression_scope_has_its_key",
            ),
        ]
        indexes = [models.Index(fields=["origin_hash"], name="suppression_origin", condition=~models.Q(origin_hash=""))]

    def __str__(self) -> str:
        return f"{self.reason} {self.address_hash[:8]}"


class SuppressionLift(SuppressionFacts):
    """One row per suppression that was lifted: what stood there, who lifted it, when and why. Outlives the suppression."""

    class Source(models.TextChoices):
        PAGE = "page", _("The person, on the page")
        TEXT = "text", _("The person, by text")
        STAFF = "staff", _("Staff")

    since = models.DateTimeField(_("had stood since"))
    lifted_at = models.DateTimeField(_("lifted"))
    source = models.CharField(_("lifted by"), max_length=5, choices=Source.choices)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+",
        verbose_name=_("member of staff"),
    )  # fmt: skip
    # As it was then, also when the account is gone.
    lifted_by_name = models.CharField(max_length=150, blank=True, default="", editable=False)
    why = models.CharField(_("why"), max_length=500, blank=True, default="")

    class Meta:
        verbose_name = _("lifted suppression")
        verbose_name_plural = _("lifted suppressions")
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(source="staff") | ~models.Q(lifted_by_name=""),
                name="suppression_lift_has_its_author",
            )
        ]
        indexes = [models.Index(fields=["address_hash"], name="suppression_lift_of_address")]

    def __str__(self) -> str:
        return f"{self.reason} {self.address_hash[:8]}"


class WrittenAddress(models.Model):
    """One row per address that was written to lately, as a keyed hash: whoever has it, the floor holds for it."""

    address_hash = models.CharField(_("address hash"), max_length=64, primary_key=True)
    last_message_at = models.DateTimeField(_("last message"))

    class Meta:
        verbose_name = _("written address")
        verbose_name_plural = _("written addresses")

    def __str__(self) -> str:
        return self.address_hash[:8]
