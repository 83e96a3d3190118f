"""The organisation and what it measures: journeys, their stages, and touchpoints."""

import secrets
import zoneinfo
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from surveys.texts import pick
from surveys.worktime import WEEKDAYS, WorkCalendar, calendar_of, holiday_countries, read_day, read_spans

DAY_S = 86_400
MIN_N_AT_LEAST, MIN_N_AT_MOST, LOW_N_AT_MOST = 2, 100, 1000  # one answer is a person, not a score
WEIGHT_AT_MOST = 1_000_000
DEFAULT_NAME = {"en": "My organisation", "zh-hans": "我的组织"}


@lru_cache(maxsize=1)
def time_zone_names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def validate_time_zone(name: str) -> None:
    if name not in time_zone_names():
        raise ValidationError(_("“%(name)s” is not a time zone such as Asia/Shanghai."), params={"name": name})


def validate_texts(texts: Any) -> None:
    """A map of language to text, as the programme file has it."""
    if not isinstance(texts, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in texts.items()):
        raise ValidationError(_("Texts are a map of language to text, such as {“en”: “Delivery”}."))


def validate_working_hours(hours: Any) -> None:
    """Weekday to its spans, as surveys/worktime.py reads them."""
    try:
        if not set(hours) <= set(WEEKDAYS):
            raise ValueError
        for spans in hours.values():
            read_spans(spans)
    except (TypeError, AttributeError, ValueError):
        raise ValidationError(_("Working hours are spans by weekday, such as {“mon”: [“09:00-18:00”]}.")) from None


def validate_days(days: Any) -> None:
    try:
        for day in days:
            read_day(day)
    except (TypeError, ValueError):
        raise ValidationError(_("Days are a list such as [“2026-10-01”].")) from None


RETENTION_DAYS = 30  # less, and people would be forgotten while their links still work


def validate_retention(seconds: int) -> None:
    if 0 < seconds < RETENTION_DAYS * DAY_S:
        raise ValidationError(
            _("Personal data is kept for at least %(days)d days, or for ever: 0s."), params={"days": RETENTION_DAYS}
        )


class Channel(models.TextChoices):
    """Where an interaction happened."""

    WEBSITE = "website", _("Website")
    APP = "app", _("App")
    CALL_CENTER = "call_center", _("Call centre")
    ON_SITE = "on_site", _("On-site")
    HOME_SERVICE = "home_service", _("Home service")


class Named(models.Model):
    """What has a name in several languages."""

    name = models.JSONField(_("name"), default=dict, validators=[validate_texts], help_text=_("Language to text."))

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.label

    def name_in(self, language: str) -> str:
        return pick(self.name, language) or getattr(self, "slug", "")

    @property
    def label(self) -> str:
        return self.name_in(translation.get_language() or "en")


class Scheme(models.TextChoices):
    """Whether respondents' pages are light or dark."""

    AUTO = "auto", _("As the device has it")
    LIGHT = "light", _("Light")
    DARK = "dark", _("Dark")


class PrivacyNotice(models.Model):
    """One row per wording of the privacy notice; never changed, since answers were given under it. Its id is its version."""

    texts = models.JSONField(_("text"), validators=[validate_texts])
    created_at = models.DateTimeField(_("since"), auto_now_add=True)

    class Meta:
        verbose_name = _("privacy notice")
        verbose_name_plural = _("privacy notices")

    def __str__(self) -> str:
        return f"#{self.pk}"

    @classmethod
    def of(cls, texts: dict[str, str]) -> "PrivacyNotice":
        """The row of these texts; going back to a former wording goes back to its version."""
        return cls.objects.filter(texts=texts).first() or cls.objects.create(texts=texts)


class Logo(models.Model):
    """One row per picture that was ever the organisation's logo, named by what is in it, so that its address never changes."""

    digest = models.CharField(max_length=64, primary_key=True)
    content_type = models.CharField(max_length=40)
    data = models.BinaryField()
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()

    class Meta:
        verbose_name = _("logo")
        verbose_name_plural = _("logos")

    def __str__(self) -> str:
        return self.digest[:12]


class Organisation(Named):
    """One row per installation: whose programme this is, its clock, its languages and its policy."""

    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[validate_time_zone])
    languages = models.JSONField(_("languages"), default=list, help_text=_("BCP 47 tags; the first is the default."))
    segment_attribute = models.CharField(_("segment attribute"), max_length=100, blank=True, default="")
    ticket_events = models.JSONField(
        _("ticket events"), default=dict, blank=True, help_text=_("Your event type to ours, such as ticket.resolved.")
    )
    privacy = models.JSONField(_("privacy notice"), default=dict, blank=True, validators=[validate_texts])
    # The notice as it stands now, kept for good since answers were given under it.
    privacy_notice = models.ForeignKey(
        "surveys.PrivacyNotice", on_delete=models.PROTECT, null=True, blank=True, related_name="+", editable=False
    )
    accent = models.CharField(_("accent colour"), max_length=7, default="#0f766e")
    radius = models.PositiveSmallIntegerField(
        _("corner radius"), default=10, validators=[MaxValueValidator(24)], help_text=_("In pixels, 0 to 24.")
    )
    scheme = models.CharField(_("light or dark"), max_length=5, choices=Scheme.choices, default=Scheme.AUTO)
    logo = models.ForeignKey(
        "surveys.Logo", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )
    # {"fr": {"send": "Envoyer ma réponse"}}: in place of surveys/phrases.py's own.
    phrases = models.JSONField(_("own phrases"), default=dict, blank=True)
    # Whom letters are from; where nothing is said, DEFAULT_FROM_EMAIL.
    sender_name = models.JSONField(_("sender’s name"), default=dict, blank=True, validators=[validate_texts])
    sender_address = models.EmailField(_("sender’s address"), blank=True, default="")
    reply_to = models.EmailField(_("address for replies"), blank=True, default="")
    floor_s = models.PositiveIntegerField(_("floor between two messages (s)"), default=DAY_S)
    resting_same_s = models.PositiveIntegerField(_("resting, same touchpoint (s)"), default=90 * DAY_S)
    resting_any_s = models.PositiveIntegerField(_("resting, any touchpoint (s)"), default=30 * DAY_S)
    quiet_hours = models.JSONField(
        _("quiet hours"), default=dict, blank=True, help_text=_("Mode to span, such as {“email”: “20:00-09:00”}.")
    )
    # {"mon": ["09:00-12:00", "13:00-18:00"]}: when the organisation works, by the clock of its zone; empty: business time is not told.
    working_hours = models.JSONField(_("working hours"), default=dict, blank=True, validators=[validate_working_hours])
    holiday_country = models.CharField(_("public holidays"), max_length=2, blank=True, default="")
    holiday_subdivision = models.CharField(
        _("region"), max_length=40, blank=True, default="",
        help_text=_("Where a country’s regions have holidays of their own, such as BY for Bavaria. Empty: those of all."),
    )  # fmt: skip
    # Days such as "2026-10-01" that stand above hours and holidays.
    closed_days = models.JSONField(_("closed days"), default=list, blank=True, validators=[validate_days])
    open_days = models.JSONField(_("extra open days"), default=list, blank=True, validators=[validate_days])
    # {"website": {"nps": 40}}: what all touchpoints of a channel together are held against, in the units of Touchpoint.targets.
    channel_targets = models.JSONField(_("targets by channel"), default=dict, blank=True)
    # {"gold": ["sms", "email"]}: by which means a segment is asked first, among those that the rule has.
    preferences = models.JSONField(_("preferred means"), default=dict, blank=True)
    # Below the first a score is not shown and nothing is tested; below the second it is told as one of few answers.
    min_n = models.PositiveSmallIntegerField(
        _("fewest answers of a score"),
        default=5, db_default=5, validators=[MinValueValidator(MIN_N_AT_LEAST), MaxValueValidator(MIN_N_AT_MOST)],
    )  # fmt: skip
    low_n = models.PositiveSmallIntegerField(
        _("few answers below"),
        default=30, db_default=30, validators=[MinValueValidator(MIN_N_AT_LEAST), MaxValueValidator(LOW_N_AT_MOST)],
    )  # fmt: skip
    # {"gold": 2.5}: how much each segment counts where scores are weighted by segment.
    segment_weights = models.JSONField(
        _("weights of segments"), default=dict, db_default=models.Value({}, models.JSONField()), blank=True
    )
    # How long personal data is kept; 0 until it is erased by hand.
    retention_s = models.PositiveIntegerField(
        _("personal data is kept for (s)"), default=0, db_default=0, validators=[validate_retention]
    )
    is_demo = models.BooleanField(default=False, editable=False)

    class Meta:
        verbose_name = _("organisation")
        verbose_name_plural = _("organisation")
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="organisation_is_one")]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Another privacy notice is a new version of it, kept beside the former ones."""
        held = self.privacy_notice.texts if self.privacy_notice else {}
        if self.privacy != held:
            self.privacy_notice = PrivacyNotice.of(self.privacy) if self.privacy else None
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "privacy_notice"}
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """What no single field can say: the region belongs to the country, and no day is both closed and open."""
        if self.holiday_subdivision and not self.holiday_country:
            raise ValidationError({"holiday_subdivision": _("Choose the country, too.")})
        regions = holiday_countries().get(self.holiday_country, ()) if self.holiday_country else ()
        if self.holiday_subdivision and self.holiday_subdivision not in regions:
            said = _("This is no region of the country with holidays of its own; there are: %(regions)s.")
            raise ValidationError({"holiday_subdivision": said % {"regions": ", ".join(regions) or "–"}})
        for day in sorted(set(self.closed_days) & set(self.open_days)):
            raise ValidationError({"open_days": _("%(day)s is a closed day and an open one.") % {"day": day}})
        if self.low_n is not None and self.min_n is not None and self.low_n < self.min_n:
            raise ValidationError({"low_n": _("Not below the fewest answers that a score is shown of.")})

    @classmethod
    def current(cls) -> "Organisation":
        """The one organisation; created with defaults where there is none yet."""
        found = cls.objects.filter(pk=1).first()
        if found is None:
            found, _created = cls.objects.get_or_create(
                pk=1,
                defaults={
                    "name": DEFAULT_NAME,
                    "languages": ["en", "zh-hans"],
                    "time_zone": settings.CX_TIME_ZONE,
                },
            )
        return found

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)

    @property
    def default_language(self) -> str:
        return str(self.languages[0]) if self.languages else "en"

    @property
    def work_calendar(self) -> WorkCalendar | None:
        """When the organisation works; None where nobody has said so."""
        return calendar_of(
            self.time_zone, self.working_hours, self.holiday_country, self.holiday_subdivision, self.closed_days,
            self.open_days,
        )  # fmt: skip

    def day_of(self, moment: datetime) -> date:
        """The calendar day of an aware moment in the organisation's time zone."""
        return moment.astimezone(self.zone).date()

    def moments(self, first: date | None, last: date | None) -> tuple[datetime | None, datetime | None]:
        """Its days from `first` to `last`, both included: from the first moment to before the second; None where there is no end."""
        begin = datetime.combine(first, time.min, self.zone) if first else None
        after = last + timedelta(days=1) if last and last < date.max else None
        return begin, datetime.combine(after, time.min, self.zone) if after else None


class Journey(Named):
    """One row per path that a customer takes, such as buying."""

    slug = models.SlugField(_("slug"), max_length=60, unique=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("journey")
        verbose_name_plural = _("journeys")
        ordering = ["position", "slug"]


class Stage(Named):
    """One row per part of a journey, in order."""

    journey = models.ForeignKey(Journey, on_delete=models.CASCADE, related_name="stages", verbose_name=_("journey"))
    slug = models.SlugField(_("slug"), max_length=60)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("stage")
        verbose_name_plural = _("stages")
        ordering = ["journey", "position"]
        constraints = [
            models.UniqueConstraint(fields=["journey", "slug"], name="stage_slug_once_per_journey"),
        ]

    @property
    def key(self) -> str:
        """As addresses and slices name it: a stage's slug is its journey's own."""
        return f"{self.journey.slug}/{self.slug}"


def make_public_key() -> str:
    return secrets.token_urlsafe(12)


class Touchpoint(Named):
    """One row per place that is measured."""

    slug = models.SlugField(_("slug"), max_length=60, unique=True)
    journey = models.ForeignKey(
        Journey, on_delete=models.PROTECT, null=True, blank=True, related_name="touchpoints", verbose_name=_("journey")
    )
    stage = models.ForeignKey(
        Stage, on_delete=models.PROTECT, null=True, blank=True, related_name="touchpoints", verbose_name=_("stage")
    )
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    channel = models.CharField(_("channel"), max_length=20, choices=Channel.choices)
    instrument = models.ForeignKey(
        "surveys.Instrument",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="touchpoints",
        verbose_name=_("instrument"),
    )
    public = models.BooleanField(_("open form"), default=False, help_text=_("Anyone with the address may answer."))
    public_key = models.CharField(_("public key"), max_length=32, unique=True, default=make_public_key)
    allowed_origins = models.JSONField(_("allowed origins"), default=list, blank=True)
    targets = models.JSONField(
        _("targets"), default=dict, blank=True, help_text=_("nps, csat, ces and ttr_hours, such as {“csat”: 85}.")
    )
    weight = models.FloatField(
        _("weight"), default=1, db_default=1, validators=[MinValueValidator(0), MaxValueValidator(WEIGHT_AT_MOST)]
    )  # how much it counts where scores are weighted by touchpoint; 0: not at all
    active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("touchpoint")
        verbose_name_plural = _("touchpoints")
        ordering = ["journey__position", "stage__position", "position", "slug"]
        constraints = [
            models.CheckConstraint(condition=models.Q(channel__in=Channel.values), name="touchpoint_channel_is_known"),
            models.CheckConstraint(
                condition=models.Q(stage__isnull=True) | models.Q(journey__isnull=False),
                name="touchpoint_stage_needs_journey",
            ),
        ]
