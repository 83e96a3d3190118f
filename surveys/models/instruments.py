"""What is asked: instruments, their versions, questions (fixed) and wordings (versioned)."""

import json
from typing import TYPE_CHECKING, Any

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from surveys.models.journeys import Named, validate_texts
from surveys.scales import Scale, scale_for

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

KEY = RegexValidator(
    r"^[a-z][a-z0-9_]{0,39}\Z", _("A key has lower-case letters, digits and _, and starts with a letter.")
)


class Metric(models.TextChoices):
    """What a scale question measures."""

    NPS = "nps", _("NPS")
    CSAT = "csat", _("CSAT")
    CES = "ces", _("CES")


class Instrument(Named):
    """One row per set of questions with one metric and scale. Its wording lives in versions."""

    slug = models.SlugField(_("slug"), max_length=60, unique=True)
    metric = models.CharField(_("metric"), max_length=4, choices=Metric.choices)
    points = models.PositiveSmallIntegerField(_("points of the scale"), help_text=_("NPS 11, CSAT 5 or 7, CES 7."))
    builtin = models.BooleanField(_("built-in"), default=False, editable=False)
    # The form asks no more than so many questions of one person, whatever `show_if` would reveal.
    max_questions = models.PositiveSmallIntegerField(
        _("questions at most"), default=0, help_text=_("Asked of one person; 0 for all that apply.")
    )
    # {"detractors": {"title": {…}, "text": {…}, "links": [{"label": {…}, "url": "https://…"}]}}, and "any" for the others.
    thanks = models.JSONField(_("thank-you page"), default=dict, blank=True)
    # {"label": {…}, "url": "https://…"}: shown to everyone alike, whatever they answered.
    share = models.JSONField(_("share link"), default=dict, blank=True)
    active = models.BooleanField(_("active"), default=True)

    versions: "RelatedManager[InstrumentVersion]"
    questions: "RelatedManager[Question]"

    class Meta:
        verbose_name = _("instrument")
        verbose_name_plural = _("instruments")
        ordering = ["-builtin", "slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(metric="nps", points=11)
                | models.Q(metric="csat", points__in=[5, 7])
                | models.Q(metric="ces", points=7),
                name="instrument_scale_fits_metric",
            )
        ]

    @property
    def scale(self) -> Scale:
        return scale_for(self.metric, self.points)

    def current_version(self) -> "InstrumentVersion | None":
        return self.versions.order_by("-number").first()


class InstrumentVersion(models.Model):
    """One row per wording of an instrument. Once answered it never changes: an edit makes the next version."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("version"))
    created_at = models.DateTimeField(auto_now_add=True)
    answered = models.BooleanField(_("answered"), default=False, help_text=_("Set by the first answer; frozen since."))

    wordings: "RelatedManager[Wording]"

    class Meta:
        verbose_name = _("version")
        verbose_name_plural = _("versions")
        ordering = ["instrument", "-number"]
        constraints = [models.UniqueConstraint(fields=["instrument", "number"], name="version_number_once")]

    def __str__(self) -> str:
        return f"{self.instrument} v{self.number}"


class Kind(models.TextChoices):
    """How a question is answered."""

    SCALE = "scale", _("Scale")
    CHOICE = "choice", _("One choice")
    CHOICES = "choices", _("Several choices")
    VERBATIM = "verbatim", _("Open text")
    YES_NO = "yes_no", _("Yes or no")
    CONTACT = "contact", _("Contact permission")


YES, NO = "yes", "no"  # the two answers of YES_NO and CONTACT


class Display(models.TextChoices):
    """How a scale is drawn."""

    NUMBERS = "numbers", _("Numbers")
    STARS = "stars", _("Stars")
    FACES = "faces", _("Faces")


class Question(models.Model):
    """One row per (instrument, key), across versions: what histograms are kept for. Key, kind, metric, points are fixed."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="questions")
    key = models.CharField(_("key"), max_length=40, validators=[KEY])
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    metric = models.CharField(_("metric"), max_length=4, choices=Metric.choices, blank=True, default="")
    points = models.PositiveSmallIntegerField(_("points of the scale"), default=0)

    class Meta:
        verbose_name = _("question")
        verbose_name_plural = _("questions")
        constraints = [
            models.UniqueConstraint(fields=["instrument", "key"], name="question_key_once_per_instrument"),
            models.CheckConstraint(condition=models.Q(kind__in=Kind.values), name="question_kind_is_known"),
            models.CheckConstraint(
                condition=models.Q(kind="scale", metric="nps", points=11)
                | models.Q(kind="scale", metric="csat", points__in=[5, 7])
                | models.Q(kind="scale", metric="ces", points=7)
                | (~models.Q(kind="scale") & models.Q(metric="", points=0)),
                name="question_scale_fits_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instrument.slug}.{self.key}"

    @property
    def scale(self) -> Scale:
        """Only where `kind` is scale; KeyError otherwise."""
        return scale_for(self.metric, self.points)


class OrderedJSONField(models.JSONField):
    """JSON that comes back as it was written: PostgreSQL's `json`, since `jsonb` sorts the keys of an object.

    Without it the options of a question would be shown by the length of their keys. It cannot be compared in SQL.
    """

    def db_type(self, connection: Any) -> str:
        return "json"

    def get_internal_type(self) -> str:
        return "OrderedJSONField"  # as a JSONField, rows inserted in bulk would pass through an array of jsonb

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if value is None or hasattr(value, "as_sql"):
            return value
        return json.dumps(value, ensure_ascii=False)  # JSONField's own wrapper casts to jsonb

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        # psycopg2 decodes `json` itself, and only `jsonb` is left to Django.
        return super().from_db_value(value, expression, connection) if isinstance(value, str) else value


class Wording(models.Model):
    """One row per question of a version: its texts, its place, when it is shown."""

    version = models.ForeignKey(InstrumentVersion, on_delete=models.CASCADE, related_name="wordings")
    question = models.ForeignKey(Question, on_delete=models.PROTECT, related_name="wordings")
    position = models.PositiveSmallIntegerField(_("position"))
    text = models.JSONField(_("text"), default=dict, validators=[validate_texts])
    # {"detractors": {"en": "What went wrong?"}}: in place of `text` once the instrument's score lies in that band.
    by_band = models.JSONField(_("text by band"), default=dict, blank=True)
    display = models.CharField(_("drawn as"), max_length=8, choices=Display.choices, default=Display.NUMBERS)
    low_label = models.JSONField(_("label at the low end"), default=dict, blank=True, validators=[validate_texts])
    high_label = models.JSONField(_("label at the high end"), default=dict, blank=True, validators=[validate_texts])
    required = models.BooleanField(_("required"), default=False)
    # {"score": [1, 2, 3]}: shown when every named earlier question has one of the listed values.
    show_if = models.JSONField(_("shown if"), default=dict, blank=True)
    # {"late": {"en": "Late"}}: option key to text map, in order.
    options = OrderedJSONField(_("options"), default=dict, blank=True)

    class Meta:
        verbose_name = _("wording")
        verbose_name_plural = _("wordings")
        ordering = ["version", "position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "question"], name="wording_once_per_version"),
            models.UniqueConstraint(
                fields=["version", "position"], name="wording_position_once", deferrable=models.Deferrable.DEFERRED
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.question.key}"
