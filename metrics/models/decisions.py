"""Changes that were decided, and what they are expected to do. Data, not configuration: no programme file holds them."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

WINDOW_DAYS = 28  # four of each weekday before, and four after
SHORTEST, LONGEST = 7, 366


class Decision(models.Model):
    """One row per change that was decided, whose effect is looked for: since which day it holds, and at which touchpoints.

    Days are compared: so many before `day`, and as many from `day` on. A withdrawn one was never made, or was taken back.
    """

    day = models.DateField(_("took effect"), help_text=_("The first day on which customers met the change."))
    title = models.CharField(
        pgettext_lazy("a change that was decided", "decision"),
        max_length=200,
        help_text=_("Such as: parcels are announced by text message."),
    )
    done = models.TextField(
        _("what was done"), max_length=4000, blank=True, default="",
        help_text=_("What changed for customers, why, and what else happened at the time."),
    )  # fmt: skip
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="owned_decisions",
        verbose_name=_("owner"), help_text=_("Who answers for it."),
    )  # fmt: skip
    touchpoints = models.ManyToManyField(
        "surveys.Touchpoint", related_name="decisions", verbose_name=_("touchpoints"),
        help_text=_("Where customers met the change. Their answers are pooled."),
    )  # fmt: skip
    window_days = models.PositiveSmallIntegerField(
        _("days before and after"), default=WINDOW_DAYS,
        validators=[MinValueValidator(SHORTEST), MaxValueValidator(LONGEST)],
        help_text=_("So many days before are held against as many after. In whole weeks each weekday counts equally."),
    )  # fmt: skip
    withdrawn = models.BooleanField(
        _("withdrawn"), default=False, help_text=_("It was never made, or was taken back: no trend shows it any more.")
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False, related_name="+",
        verbose_name=_("recorded by"),
    )  # fmt: skip
    created_at = models.DateTimeField(_("recorded"), auto_now_add=True)

    class Meta:
        verbose_name = pgettext_lazy("a change that was decided", "decision")
        verbose_name_plural = _("decisions")
        indexes = [models.Index(fields=["day"], name="decision_by_day")]

    def __str__(self) -> str:
        return self.title


class Metric(models.TextChoices):
    """What can be expected to move: a metric on one scale, under the name that pages and addresses use."""

    NPS = "nps", _("NPS")
    CSAT5 = "csat5", _("CSAT, 5 points")
    CSAT7 = "csat7", _("CSAT, 7 points")
    CES = "ces", _("CES")
    TTR = "ttr", _("TTR, median")


class Direction(models.TextChoices):
    UP = "up", _("rises")
    DOWN = "down", _("falls")


# The greatest amounts that make sense, in the units in which people say them: points, on the scale, hours.
MOST = {Metric.NPS: 200, Metric.CSAT5: 100, Metric.CSAT7: 100, Metric.CES: 6, Metric.TTR: 10_000}
HOUR_S = 3600


class Expectation(models.Model):
    """One row per metric that a decision is expected to move: which way, and by how much where anybody said so.

    It is written down before anything is looked at: what is looked for afterwards will be found.
    """

    decision = models.ForeignKey(Decision, on_delete=models.CASCADE, related_name="expectations")
    metric = models.CharField(_("metric"), max_length=5, choices=Metric.choices)
    direction = models.CharField(_("direction"), max_length=4, choices=Direction.choices, default=Direction.UP)
    by = models.FloatField(
        _("by how much"), null=True, blank=True,
        help_text=_("NPS and CSAT in points, CES on its scale, TTR in hours. May stay empty."),
    )  # fmt: skip

    class Meta:
        verbose_name = _("expected change")
        verbose_name_plural = _("expected changes")
        default_permissions = ()  # whoever may change a decision changes these with it
        constraints = [
            models.UniqueConstraint(
                fields=["decision", "metric"], name="one_expectation_a_metric",
                violation_error_message=_("Each metric is expected to move one way: name it once."),
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        told = {"metric": self.get_metric_display(), "direction": self.get_direction_display()}
        return gettext("%(metric)s %(direction)s") % told

    def clean(self) -> None:
        if self.by is None or self.metric not in MOST:
            return
        most = MOST[Metric(self.metric)]
        if not 0 < self.by <= most:
            said = gettext("Above 0 and at most %(most)d; the direction says which way.") % {"most": most}
            raise ValidationError({"by": said})

    @property
    def is_rise(self) -> bool:
        return self.direction == Direction.UP

    @property
    def change(self) -> float | None:
        """The expected change in the metric's own unit, signed; TTR in seconds. None where no amount was said."""
        if self.by is None:
            return None
        amount = self.by * HOUR_S if self.metric == Metric.TTR else self.by
        return amount if self.is_rise else -amount
