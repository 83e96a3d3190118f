"""Rules that watch a number, what they found, and the teams that are told. No number is computed here."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from surveys.models.instruments import Metric
from surveys.models.journeys import Channel, Named
from surveys.models.responses import Mode
from surveys.models.watchers import Notice, Recipient
from surveys.scales import SCALES

TTR = "ttr"


class Team(Named):
    """One row per group of people who are told together, in one language."""

    slug = models.SlugField(_("slug"), max_length=60, unique=True)
    language = models.CharField(_("language"), max_length=20, default="en")
    active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("team")
        verbose_name_plural = _("teams")
        ordering = ["slug"]


class TeamAddress(Recipient):
    """One row per address of a team; each is told on its own, so that one that fails keeps nobody else waiting."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="addresses", verbose_name=_("team"))

    class Meta:
        verbose_name = _("address of a team")
        verbose_name_plural = _("addresses of a team")
        ordering = ["team", "address"]
        constraints = [models.UniqueConstraint(fields=["team", "address"], name="address_once_per_team")]

    @property
    def language(self) -> str:
        return self.team.language


class AlertKind(models.TextChoices):
    """What a rule watches. The first three test a metric of closed days; the others count, as things are now."""

    BELOW_TARGET = "below_target", _("Target missed with certainty")
    DROP = "drop", _("Significantly worse than before")
    RESPONSE_DROP = "response_drop", _("Response rate significantly lower than before")
    OPEN_LONGER = "open_longer", _("Tickets open for too long")
    NO_ANSWERS = "no_answers", _("No answers for too long")


DAILY = (AlertKind.BELOW_TARGET, AlertKind.DROP, AlertKind.RESPONSE_DROP)
OF_METRIC = (AlertKind.BELOW_TARGET, AlertKind.DROP)
AGAINST_BASELINE = (AlertKind.DROP, AlertKind.RESPONSE_DROP)
COUNTING = (AlertKind.OPEN_LONGER, AlertKind.NO_ANSWERS)
METRICS = (*Metric.choices, (TTR, "TTR"))


class Baseline(models.TextChoices):
    BEFORE = "before", _("The days directly before")
    YEAR = "year", _("The same days a year ago")


class AlertRule(Named):
    """One row per thing that is watched: a kind, a slice, and whom to tell."""

    slug = models.SlugField(_("slug"), max_length=60, unique=True)
    kind = models.CharField(pgettext_lazy("of an alert rule", "kind"), max_length=20, choices=AlertKind.choices)
    metric = models.CharField(_("metric"), max_length=10, choices=METRICS, blank=True, default="")
    points = models.PositiveSmallIntegerField(
        _("points of the scale"), default=0, blank=True
    )  # 0: the metric's only one
    touchpoint = models.ForeignKey(
        "surveys.Touchpoint", on_delete=models.CASCADE, null=True, blank=True, related_name="alert_rules",
        verbose_name=_("touchpoint"),
    )  # fmt: skip
    journey = models.ForeignKey(
        "surveys.Journey", on_delete=models.CASCADE, null=True, blank=True, related_name="alert_rules",
        verbose_name=_("journey"),
    )  # fmt: skip
    stage = models.ForeignKey(
        "surveys.Stage",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="alert_rules",
        verbose_name=_("stage"),
    )
    channel = models.CharField(_("channel"), max_length=20, choices=Channel.choices, blank=True, default="")
    mode = models.CharField(_("mode"), max_length=10, choices=Mode.choices, blank=True, default="")
    segment = models.CharField(_("segment"), max_length=100, blank=True, default="")
    location = models.CharField(_("location"), max_length=100, blank=True, default="")
    window_days = models.PositiveSmallIntegerField(
        _("days looked at"), default=7, validators=[MinValueValidator(1), MaxValueValidator(366)]
    )
    # In the units of Touchpoint.targets; null: the touchpoint's own, or the channel's.
    target = models.FloatField(_("target"), null=True, blank=True)
    baseline = models.CharField(_("compared with"), max_length=10, choices=Baseline.choices, default=Baseline.BEFORE)
    baseline_days = models.PositiveSmallIntegerField(
        _("days compared with"), null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(366)]
    )
    longer_than_s = models.PositiveIntegerField(_("longer than (s)"), null=True, blank=True)
    # Answers, invitations or tickets; null: DEFAULT_AT_LEAST of the kind.
    at_least = models.PositiveIntegerField(
        _("at least so many"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    alone = models.BooleanField(_("judged on its own"), default=False)
    teams = models.ManyToManyField(Team, blank=True, related_name="alert_rules", verbose_name=_("teams"))
    active = models.BooleanField(_("active"), default=True)
    # A silence is counted from here at the earliest: a rule that is new, or was switched off, has heard nothing yet.
    since = models.DateTimeField(_("since"), auto_now_add=True)

    class Meta:
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=AlertKind.values), name="alert_rule_kind_is_known"),
            models.CheckConstraint(
                condition=~models.Q(kind__in=COUNTING) | models.Q(longer_than_s__gt=0),
                name="alert_rule_counts_from_a_span",
            ),
            models.CheckConstraint(
                condition=~models.Q(kind__in=OF_METRIC) | ~models.Q(metric=""), name="alert_rule_has_its_metric"
            ),
        ]

    def clean(self) -> None:
        """ValidationError, by field, for what cannot be watched."""
        faults = rule_faults(self)
        if faults:
            raise ValidationError(faults)


DEFAULT_AT_LEAST = {
    AlertKind.BELOW_TARGET: 30,  # below it a page calls n low: nobody is woken for that
    AlertKind.DROP: 30,
    AlertKind.RESPONSE_DROP: 30,
    AlertKind.OPEN_LONGER: 1,
    AlertKind.NO_ANSWERS: 1,
}
TARGET_LIMITS = {"nps": (-100, 100), "csat": (0, 100), "ces": (1, 7), TTR: (0, 100_000)}


def rule_faults(rule: AlertRule) -> dict[str, Any]:
    """What is wrong with a rule, by field; {} for one that can be looked at."""
    faults: dict[str, Any] = {}
    kind = rule.kind
    if kind in OF_METRIC and not rule.metric:
        faults["metric"] = _("This kind of rule watches a metric: choose one.")
    if kind in OF_METRIC and rule.metric == "csat" and ("csat", rule.points) not in SCALES:
        faults["points"] = _("CSAT on 5 and on 7 points are never pooled: choose one.")
    if kind in COUNTING and not rule.longer_than_s:
        faults["longer_than_s"] = _("This kind of rule needs a span of time, such as 48h.")
    if kind == AlertKind.BELOW_TARGET and rule.metric and "metric" not in faults:
        if rule.target is not None:
            low, high = TARGET_LIMITS[rule.metric]
            if not low <= rule.target <= high:
                faults["target"] = _("A number from %(low)s to %(high)s is wanted here.") % {
                    "low": low,
                    "high": f"{high:,}",
                }
        elif not rule.touchpoint_id and not rule.channel:
            faults["target"] = _(
                "Name the target: a touchpoint and a channel have targets of their own, this rule watches neither."
            )
    of_tickets = kind == AlertKind.OPEN_LONGER or (kind in OF_METRIC and rule.metric == TTR)
    if rule.mode and of_tickets:
        faults["mode"] = _("A ticket has no mode.")
    if kind == AlertKind.RESPONSE_DROP:
        for name in ("segment", "location"):
            if getattr(rule, name):
                faults[name] = _("An invitation stores neither a segment nor a location.")
    return faults


class LookState(models.TextChoices):
    """What a look at a closed day found."""

    HELD = "held", _("Condition held")
    NOT = "not", _("Condition did not hold")
    BACK = "back", _("On the right side again")
    UNKNOWN = "unknown", _("Too few to say")


class AlertLook(models.Model):
    """One row per rule and closed day: it was looked at, once, whatever restarts. What was seen stands beside it."""

    pk = models.CompositePrimaryKey("rule_id", "day")
    # The database does not check it: that would lock a thousand rules for a thousand looks. Those of rules that are no more are swept.
    rule = models.ForeignKey(
        AlertRule, on_delete=models.CASCADE, related_name="looks", db_index=False, db_constraint=False
    )
    day = models.DateField(_("day"))
    at = models.DateTimeField(_("looked at"))
    state = models.CharField(_("found"), max_length=8, choices=LookState.choices)
    value = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    n = models.IntegerField(default=0)
    mark = models.FloatField(null=True)  # the target, or the baseline's value

    class Meta:
        verbose_name = _("look of an alert rule")
        verbose_name_plural = _("looks of alert rules")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.rule_id} {self.day}"


class Cleared(models.TextChoices):
    """Why an alert no longer stands."""

    BACK = "back", _("on the right side again")
    QUIET = "quiet", _("no longer so, twice in a row")
    UNKNOWN = "unknown", _("too few to say, for two weeks")
    OFF = "off", _("its rule, or all that it watches, was switched off")


class Alert(models.Model):
    """One row per time that a rule fired, with the numbers that made it fire and those that cleared it.

    `fired` and `cleared` hold value, low, high, n, target or the baseline's (`before_…`), first and last day; what counts holds
    `count` and `oldest_at`. `latest` is as of the newest look. `severity` grows as it gets worse, within one rule. `told`: addresses
    are told; of one that is over: some heard, or may have heard, that it fired.
    """

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="alerts", verbose_name=_("alert rule"))
    fired_at = models.DateTimeField(_("since"))
    day = models.DateField(_("day"), null=True, blank=True)  # of the look; null for what counts
    fired = models.JSONField(_("when it fired"), default=dict)
    latest = models.JSONField(_("as of now"), default=dict)
    severity = models.FloatField(default=0)
    told = models.BooleanField(_("told"), default=False)
    quiet_looks = models.PositiveSmallIntegerField(default=0)
    unknown_looks = models.PositiveSmallIntegerField(default=0)
    cleared_at = models.DateTimeField(_("cleared"), null=True, blank=True)
    cleared = models.JSONField(_("when it cleared"), default=dict, blank=True)
    cleared_why = models.CharField(_("why it cleared"), max_length=10, choices=Cleared.choices, blank=True, default="")
    acknowledged_at = models.DateTimeField(_("acknowledged"), null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_index=False,
        verbose_name=_("acknowledged by"),
    )  # fmt: skip

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["-fired_at", "-id"]
        constraints = [
            # Two evaluators at once cannot fire twice, whatever else fails.
            models.UniqueConstraint(
                fields=["rule"], condition=models.Q(cleared_at__isnull=True), name="alert_stands_once"
            ),
        ]
        indexes = [
            models.Index(fields=["-fired_at", "-id"], name="alert_newest"),
            models.Index(fields=["rule", "-fired_at"], name="alert_told", condition=models.Q(told=True)),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class Tells(models.TextChoices):
    """What a notice tells of an alert."""

    FIRED = "fired", _("that it fired")
    OVER = "over", _("that it is over")


class AlertNotice(Notice):
    """One row per alert and address that is to hear that it fired; one more for those who heard so, when it is over."""

    tells = models.CharField(
        _("tells"), max_length=5, choices=Tells.choices, default=Tells.FIRED, db_default=Tells.FIRED
    )
    address = models.ForeignKey(TeamAddress, on_delete=models.CASCADE, related_name="notices", db_index=False)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="notices")

    class Meta:
        verbose_name = _("alert notice")
        verbose_name_plural = _("alert notices")
        constraints = [
            models.UniqueConstraint(fields=["address", "alert", "tells"], name="alert_notice_once_per_address")
        ]
        indexes = [
            models.Index(fields=["created_at"], name="alert_notice_waiting", condition=models.Q(sent_at__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.address_id} {self.alert_id} {self.tells}"
