"""Alert rules and teams. In: what a manager types. Out: rows of the configuration, each change in the history. Nothing is measured here."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.widgets import UnfoldAdminSelectWidget

from metrics.alerting.backtests import BackTest, Firing, back_test
from metrics.alerting.notices import try_anew
from metrics.display import alert_pages
from metrics.frame import SEES_SCORES
from metrics.models import AlertRule, Team, TeamAddress
from metrics.models.alerts import AlertKind
from surveys.admin.configuration import ConfigAdmin, ConfigInline, link_to, list_url, made
from surveys.admin.fields import SpanField
from surveys.admin.records import NOTHING, chip
from surveys.admin.texts import TextsField, language_name, languages_of
from surveys.flow.programme.values import NAME
from surveys.flow.tell import is_address, without_secrets
from surveys.models import Stage
from surveys.words import duration

HEARS_ANEW = {"active", "longer_than_s", "touchpoint", "journey", "stage", "channel", "mode", "segment", "location"}


class TeamAddressForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean_address(self) -> str:
        """An email address, one that Apprise can send to, or the name of an environment variable that holds one."""
        address = str(self.cleaned_data["address"]).strip()
        if is_address(address):
            return address
        if "://" in address or address.startswith("env:"):
            raise ValidationError(_("Neither an Apprise address, such as slack://…, nor env:NAME."))
        validate_email(address)
        return address


class TeamAddressInline(ConfigInline):
    model = TeamAddress
    form = TeamAddressForm
    fields = ["address", "active", "last_error"]
    readonly_fields = ["last_error"]
    verbose_name_plural = gettext_lazy("Where it is told: email, any Apprise address, or env:NAME")

    def read_instead(self, names: Any) -> list[str]:
        """Whoever may not change an address does not see its token either."""
        return ["address_shown" if name == "address" else name for name in super().read_instead(names)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if self.has_change_permission(request, obj) else [*fixed, "address_shown"]

    @admin.display(description=gettext_lazy("address"))
    def address_shown(self, row: TeamAddress) -> str:
        return without_secrets(row)


@admin.register(Team)
class TeamAdmin(ConfigAdmin):
    list_display = ["named", "slug", "language_shown", "addresses_shown", "rules_shown", "active"]
    list_display_links = ["named"]
    list_filter = ["active"]
    search_fields = ["slug", "name"]
    search_help_text = gettext_lazy("Slug or name")
    inlines = [TeamAddressInline]
    empty_text = gettext_lazy("A team is told of alerts in its language, at each of its addresses.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        rows: QuerySet[Team] = super().get_queryset(request)
        return rows.annotate(
            address_count=Count("addresses", distinct=True),
            failing=Count("addresses", filter=~Q(addresses__last_error=""), distinct=True),
            rule_count=Count("alert_rules", distinct=True),
        )

    def sections(self, request: HttpRequest, obj: Team | None = None) -> list[tuple[Any, list[str]]]:
        return [(None, ["name", "slug", "language", "active"])]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "language":
            choices = [(tag, language_name(tag)) for tag in languages_of(request)]
            kwargs["widget"] = UnfoldAdminSelectWidget(choices=choices)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        mended = [row.pk for row, names in formset.changed_objects if "address" in names]
        if mended:
            # With the rows of the addresses locked it could wait for a worker that waits for them.
            transaction.on_commit(lambda: try_anew(mended))

    @admin.display(description=gettext_lazy("language"), ordering="language")
    def language_shown(self, row: Team) -> str:
        return language_name(row.language)

    @admin.display(description=gettext_lazy("addresses"))
    def addresses_shown(self, row: Any) -> SafeString | str:
        if row.failing:
            return chip(
                _("%(failing)d of %(count)d fail") % {"failing": row.failing, "count": row.address_count}, "worst"
            )
        return str(row.address_count)

    @admin.display(description=gettext_lazy("alert rules"))
    def rules_shown(self, row: Any) -> SafeString | str:
        return link_to(list_url(AlertRule, f"?teams__id__exact={row.pk}"), row.rule_count)


class AlertRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stage: Any = self.fields.get("stage")
        if stage is not None:
            stage.label_from_instance = lambda row: f"{row.journey.label} → {row.label}"
            stage.queryset = Stage.objects.select_related("journey").order_by("journey__position", "position")


def _points(_request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    said = _("CSAT alone: 5 and 7 points are never pooled.")
    choices = [(0, "–"), (5, "5"), (7, "7")]
    return forms.TypedChoiceField(
        **{
            **options,
            "choices": choices,
            "coerce": int,
            "empty_value": 0,
            "help_text": said,
            "widget": UnfoldAdminSelectWidget(),
        }
    )


def _name(request: HttpRequest, options: dict[str, Any]) -> forms.Field:
    said = _("Empty: what it watches is its name.")
    options = {**options, "required": False, "help_text": said}
    return TextsField(languages=languages_of(request), longest=NAME, lines=1, **options)


SHOWN = 30  # firings of a back-test, the newest


def told_back_test(rule: AlertRule, found: BackTest | None) -> dict[str, Any]:
    """A back-test in words: how often it would have fired, each time with its day and its numbers, and what that rests on."""
    if found is None:
        return {"said": _("There is more to look at than can be looked at while a page is made.")}
    lines = [_told_firing(rule, firing) for firing in found.firings[-SHOWN:]]
    if len(found.firings) > SHOWN:
        lines.insert(0, _("… and %(count)d before.") % {"count": len(found.firings) - SHOWN})
    return {"said": _told_count(rule, found), "firings": lines, "promises": _told_promises(rule, found)}


def _told_count(rule: AlertRule, found: BackTest) -> str:
    count = len(found.firings)
    told = {
        "count": count, "first": date_format(found.first, "DATE_FORMAT"), "last": date_format(found.last, "DATE_FORMAT"),
        "known": found.known, "tickets": found.tickets, "span": duration(rule.longer_than_s or 0),
    }  # fmt: skip
    if rule.kind == AlertKind.NO_ANSWERS:
        said = ngettext(
            "It would have fired at least %(count)d time from %(first)s to %(last)s.",
            "It would have fired at least %(count)d times from %(first)s to %(last)s.",
            count,
        )
    elif rule.kind == AlertKind.OPEN_LONGER:
        said = ngettext(
            "It would have fired %(count)d time from %(first)s to %(last)s. Tickets that were open for more than %(span)s: %(tickets)d.",
            "It would have fired %(count)d times from %(first)s to %(last)s. Tickets that were open for more than %(span)s: %(tickets)d.",
            count,
        )
    elif rule.kind == AlertKind.RESPONSE_DROP:
        said = ngettext(
            "It would have fired %(count)d time from %(first)s to %(last)s. Days with enough invitations to say: %(known)d.",
            "It would have fired %(count)d times from %(first)s to %(last)s. Days with enough invitations to say: %(known)d.",
            count,
        )
    else:
        said = ngettext(
            "It would have fired %(count)d time from %(first)s to %(last)s. Days with enough answers to say: %(known)d.",
            "It would have fired %(count)d times from %(first)s to %(last)s. Days with enough answers to say: %(known)d.",
            count,
        )
    return said % told


def _told_firing(rule: AlertRule, firing: Firing) -> str:
    day = date_format(firing.day, "DATE_FORMAT")
    cleared = date_format(firing.cleared, "DATE_FORMAT") if firing.cleared else ""
    over = _("cleared %(day)s") % {"day": cleared} if cleared else _("still standing")
    numbers = alert_pages.numbers_text(rule, firing.numbers)
    return _("%(day)s: %(said)s") % {"day": day, "said": f"{numbers} · {over}" if numbers else over}


def _told_promises(rule: AlertRule, found: BackTest) -> list[str]:
    """What the past is known by, and where it is not known exactly."""
    if rule.kind == AlertKind.NO_ANSWERS:
        silent = ngettext(
            "Judged by whole days: it fires when %(days)d day has passed without any answer with a score. "
            "Shorter silences may have fired, too.",
            "Judged by whole days: it fires when %(days)d days in a row have passed without any answer with a score. "
            "Shorter silences may have fired, too.",
            found.whole_days,
        )
        return [
            silent % {"days": found.whole_days},
            _("As it is saved; touchpoints that are switched off now are left out. Nobody was told."),
        ]
    if rule.kind == AlertKind.OPEN_LONGER:
        reopened = ngettext(
            "%(count)d of these tickets was reopened: only its last resolution is stored, so it counts as open until then.",
            "%(count)d of these tickets were reopened: only their last resolutions are stored, so they count as open until then.",
            found.reopened,
        )
        return [
            *([reopened % {"count": found.reopened}] if found.reopened else []),
            _("As it is saved, by the times of tickets that are stored now. Nobody was told."),
        ]
    if rule.kind == AlertKind.RESPONSE_DROP:
        said = _(
            "As it is saved, with the invitations and answers that are stored now, each day judged on its own: "
            "beside other rules a drop must be clearer. Nobody was told."
        )
    else:
        said = _(
            "As it is saved, with the answers and targets of now, each day judged on its own: "
            "beside other rules a drop must be clearer. Nobody was told."
        )
    return [said]


HELP = {
    "window_days": gettext_lazy("Closed days, the last of them yesterday. Looked at once a day, after it has ended."),
    "target": gettext_lazy("TTR in hours. Empty: the touchpoint’s own target, or the channel’s."),
    "baseline_days": gettext_lazy("Empty: as many as are looked at."),
    "at_least": gettext_lazy("Answers, invitations or tickets. Empty: 30 answers or invitations, one ticket."),
    "alone": gettext_lazy(
        "A drop is else judged together with those of all other rules of the day (Holm), so that many rules do not cry wolf."
    ),
    "teams": gettext_lazy(
        "They hear when it fires and when it is over. None: it stands on the page of alerts, and nobody is told."
    ),
}


@admin.register(AlertRule)
class AlertRuleAdmin(ConfigAdmin):
    form = AlertRuleForm
    change_form_outer_after_template = "staff/_back_test.html"
    list_display = ["named", "kind", "where_shown", "stands", "teams_shown", "active"]
    list_display_links = ["named"]
    list_filter = [
        ("kind", ChoicesDropdownFilter),
        ("touchpoint", RelatedDropdownFilter),
        ("teams", RelatedDropdownFilter),
        "active",
    ]
    list_select_related = ("touchpoint", "journey", "stage__journey")
    search_fields = ["slug", "name"]
    search_help_text = gettext_lazy("Slug or name")
    own_fields = {
        "name": _name,
        "points": _points,
        "longer_than_s": made(
            SpanField, positive=True, label=gettext_lazy("Longer than"),
            help_text=gettext_lazy("Of tickets that are open, and of silence: such as 48h or 3d."),
        ),
    }  # fmt: skip
    empty_text = gettext_lazy("An alert rule watches a number, and tells a team when it turns for the worse.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        rows: QuerySet[AlertRule] = super().get_queryset(request)
        standing = Count("alerts", filter=Q(alerts__cleared_at__isnull=True), distinct=True)
        return rows.prefetch_related("teams").annotate(standing=standing)

    def sections(self, request: HttpRequest, obj: AlertRule | None = None) -> list[tuple[Any, list[str]]]:
        where = ["touchpoint", "journey", "stage", "channel", "mode", "segment", "location"]
        return [
            (None, ["name", "slug", "kind", "active"]),
            (_("What is watched"), ["metric", "points", *where]),
            (_("Of closed days"), ["window_days", "target", "baseline", "baseline_days", "alone"]),
            (_("Of tickets and silence"), ["longer_than_s"]),
            (_("How many"), ["at_least"]),
            (_("Who is told"), ["teams"]),
        ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name in HELP and field is not None:
            field.help_text = HELP[db_field.name]
        return field

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        if obj is not None and request.user.has_perm(SEES_SCORES):
            context |= {"back_test": told_back_test(obj, back_test(obj, timezone.now()))}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def save_model(self, request: HttpRequest, obj: AlertRule, form: Any, change: bool) -> None:
        if HEARS_ANEW & set(form.changed_data):
            obj.since = timezone.now()
        super().save_model(request, obj, form, change)

    @admin.display(description=gettext_lazy("name"))
    def named(self, row: AlertRule) -> str:
        return alert_pages.name_of(row)

    @admin.display(description=gettext_lazy("watches"))
    def where_shown(self, row: AlertRule) -> str:
        return alert_pages.where(row)

    @admin.display(description=gettext_lazy("alert"))
    def stands(self, row: Any) -> SafeString | str:
        return chip(_("stands"), "worst") if row.standing else NOTHING

    @admin.display(description=gettext_lazy("teams"))
    def teams_shown(self, row: AlertRule) -> SafeString | str:
        return ", ".join(team.label for team in row.teams.all()) or NOTHING
