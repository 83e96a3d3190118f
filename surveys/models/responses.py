"""What customers answered."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from surveys.models.instruments import Kind

# Looks like a machine's, and waits for the decision of staff: left out, but by nobody.
SUSPECT = models.Q(suspected_at__isnull=False, excluded_by__isnull=True, excluded_at__isnull=False)


class Mode(models.TextChoices):
    """How an answer was collected."""

    EMAIL = "email", _("Email")
    SMS = "sms", _("SMS")
    WEB = "web", _("Web widget")
    LINK = "link", _("Link")
    QR = "qr", _("QR code")
    KIOSK = "kiosk", _("Kiosk")
    APP = "app", _("App")
    IVR = "ivr", _("Phone (IVR)")
    IMPORT = "import", _("Import")


SENT_MODES = ("email", "sms", "ivr")  # modes that begin with a message to a customer


class Response(models.Model):
    """One row per submission. Day, touchpoint, mode, segment, location are stored at first recording and never change."""

    # The form's or the app's own id: the same id again is the same response.
    client_id = models.UUIDField(_("response id"), unique=True)
    invitation = models.OneToOneField(
        "surveys.Invitation", on_delete=models.PROTECT, null=True, blank=True, related_name="response",
        verbose_name=_("invitation"),
    )  # fmt: skip
    customer = models.ForeignKey(
        "surveys.Customer", on_delete=models.PROTECT, null=True, blank=True, related_name="responses",
        verbose_name=_("customer"), db_index=False,
    )  # fmt: skip
    touchpoint = models.ForeignKey(
        "surveys.Touchpoint", on_delete=models.PROTECT, related_name="responses", verbose_name=_("touchpoint"),
        db_index=False,
    )  # fmt: skip
    version = models.ForeignKey(
        "surveys.InstrumentVersion", on_delete=models.PROTECT, related_name="responses", verbose_name=_("version")
    )
    mode = models.CharField(_("mode"), max_length=10, choices=Mode.choices)
    segment = models.CharField(_("segment"), max_length=100, blank=True, default="")
    location = models.CharField(_("location"), max_length=100, blank=True, default="")
    language = models.CharField(_("language"), max_length=20, blank=True, default="")
    day = models.DateField(_("day"))
    responded_at = models.DateTimeField(_("answered"))
    recorded_at = models.DateTimeField(_("recorded"))
    changed_at = models.DateTimeField(_("last changed"), null=True, blank=True)
    # The instrument's own score, beside its Answer, so that lists need no join; null where it was skipped.
    score = models.PositiveSmallIntegerField(_("score"), null=True, blank=True)
    comment = models.TextField(_("comment"), blank=True, default="")
    # SHA-256 of the canonical body of POST responses/: the same id with another body is a conflict.
    body_hash = models.CharField(max_length=64, blank=True, default="", editable=False)
    # When "Send" was pressed; null while only single touches were recorded, which is a partial response.
    completed_at = models.DateTimeField(_("completed"), null=True, blank=True)
    # The page's own clock (ms) at its last recording, so that an older one that comes late changes nothing.
    edit = models.BigIntegerField(default=0, editable=False)
    privacy_notice = models.ForeignKey(
        "surveys.PrivacyNotice", on_delete=models.PROTECT, null=True, blank=True, related_name="+",
        verbose_name=_("privacy notice"), db_index=False,
    )  # fmt: skip
    # What the page that embeds the form said of itself.
    reference = models.CharField(_("reference"), max_length=200, blank=True, default="")
    facts = models.JSONField(_("facts"), default=dict, blank=True)
    # Looked like a machine's: left out until staff decide, or "Send" is pressed.
    suspected_at = models.DateTimeField(_("suspected"), null=True, blank=True)
    excluded_at = models.DateTimeField(_("excluded"), null=True, blank=True)
    excluded_reason = models.CharField(_("why excluded"), max_length=300, blank=True, default="")
    excluded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+",
        verbose_name=_("excluded by"), db_index=False,
    )  # fmt: skip

    class Meta:
        verbose_name = _("response")
        verbose_name_plural = _("responses")
        constraints = [
            models.CheckConstraint(condition=models.Q(mode__in=Mode.values), name="response_mode_is_known"),
            models.CheckConstraint(
                condition=models.Q(excluded_at__isnull=True) | ~models.Q(excluded_reason=""),
                name="response_excluded_has_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["-responded_at", "-id"], name="response_newest"),
            models.Index(fields=["touchpoint", "-responded_at"], name="response_of_touchpoint"),
            models.Index(fields=["customer", "-responded_at"], name="response_of_customer"),
            models.Index(fields=["day"], name="response_day"),
            models.Index(
                fields=["-suspected_at"],
                name="response_suspected",
                condition=SUSPECT,
            ),
            models.Index(
                fields=["excluded_by"], name="response_excluded", condition=models.Q(excluded_by__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def is_suspect(self) -> bool:
        """As SUSPECT has it."""
        return self.suspected_at is not None and self.excluded_at is not None and self.excluded_by_id is None


class Answer(models.Model):
    """One row per answered question of a response; a skipped question has none."""

    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="answers", db_index=False)
    question = models.ForeignKey("surveys.Question", on_delete=models.PROTECT, related_name="answers")
    score = models.PositiveSmallIntegerField(_("score"), null=True, blank=True)
    choices = models.JSONField(_("choices"), default=list, blank=True)
    text = models.TextField(_("text"), blank=True, default="")

    class Meta:
        verbose_name = _("answer")
        verbose_name_plural = _("answers")
        constraints = [models.UniqueConstraint(fields=["response", "question"], name="answer_once_per_question")]

    def __str__(self) -> str:
        return f"{self.response_id} {self.question_id}"

    @property
    def value(self) -> Any:
        """As the form and the API have it: a score, a list of option keys, "yes" or "no", or a text."""
        if self.score is not None:
            return self.score
        if self.choices and self.question.kind in (Kind.YES_NO, Kind.CONTACT):
            return self.choices[0]
        return self.choices or self.text


class ResponseChange(models.Model):
    """One row per state that a response had before it was changed. The response itself says what counts."""

    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="changes")
    replaced_at = models.DateTimeField(_("replaced"))
    score = models.PositiveSmallIntegerField(_("score"), null=True, blank=True)
    answers = models.JSONField(_("answers"), default=dict)  # {"score": 9, "reason": ["price"], "comment": "…"}

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("changes")
        ordering = ["response", "replaced_at", "id"]

    def __str__(self) -> str:
        return f"{self.response_id} {self.replaced_at:%Y-%m-%d %H:%M}"
