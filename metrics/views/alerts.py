"""Alerts: what stands now, longest first, what each rule has found, and what stood before; addresses that fail.

In: a URL with the filters of every page; the period is that of the history. Out: the page. An alert is acknowledged by POST.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, OuterRef, Q, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from metrics.display import alert_pages
from metrics.display.tables import Cell, Column, Row, Table
from metrics.frame import list_url, may_view, row_url
from metrics.models import Alert, AlertLook, AlertRule, Team, TeamAddress
from metrics.models.alerts import DAILY, LookState
from metrics.reports import Page, Report, Request
from surveys.flow.tell import without_secrets

ACKNOWLEDGES = "metrics.change_alert"
HISTORY = 200  # newest first; who wants more chooses other days


@dataclass(frozen=True)
class Standing:
    """One alert that stands, in words."""

    pk: int
    headline: str
    name: str
    since: datetime
    numbers: str
    at_first: str
    days: str
    times: int
    view: str
    rule_url: str
    seen_at: datetime | None
    seen_by: str


@dataclass(frozen=True)
class Failing:
    """An address that could not be told."""

    team: str
    address: str
    error: str
    url: str


def make(request: Request) -> Report:
    """/admin/alerts/."""
    with timezone.override(request.frame.organisation.zone):
        return _make(request)


def _make(request: Request) -> Report:
    http = request.http
    begin, end = request.filters.moments(request.frame)
    rules = _rules(request)
    of_period = Q(alerts__fired_at__gte=begin, alerts__fired_at__lt=end)
    times = dict(
        AlertRule.objects.filter(pk__in=rules)
        .annotate(count=Count("alerts", filter=of_period))
        .values_list("pk", "count")
    )
    related = (*alert_pages.OF_RULE, "acknowledged_by")
    alerts = Alert.objects.filter(rule__in=rules).select_related(*related)
    # Those that nobody has seen yet, then those that stand for longest.
    standing = alerts.filter(cleared_at__isnull=True).order_by(
        F("acknowledged_at").asc(nulls_first=True), "fired_at", "id"
    )
    past = alerts.filter(of_past(begin, end)).order_by("-fired_at", "-id")[: HISTORY + 1]
    may_change = may_view(http, AlertRule)
    context = {
        "standing": [_standing(alert, times.get(alert.rule_id, 0), may_change) for alert in standing],
        "failing": _failing(http),
        "may_acknowledge": http.user.has_perm(ACKNOWLEDGES),
        "rules_url": list_url(AlertRule) if may_change else "",
        "teams_url": list_url(Team) if may_view(http, Team) else "",
        "add_url": reverse("admin:metrics_alertrule_add") if http.user.has_perm("metrics.add_alertrule") else "",
        "rule_count": len(rules),
    }
    tables = [_rules_table(rules.values(), times, list(standing)), _history_table(list(past))] if rules else []
    return Report(_("Alerts"), tables, context, is_empty=not rules)


def of_past(begin: datetime, end: datetime) -> Q:
    """What fired or cleared within these moments, and is over."""
    return Q(cleared_at__isnull=False) & (
        Q(fired_at__gte=begin, fired_at__lt=end) | Q(cleared_at__gte=begin, cleared_at__lt=end)
    )


def _rules(request: Request) -> dict[int, AlertRule]:
    """The rules that the filters leave: a rule of everything is left by none of them."""
    rows = AlertRule.objects.select_related("touchpoint", "journey", "stage__journey")
    chosen = request.filters.narrowing
    for name, column in (("journey", "journey__slug"), ("touchpoint", "touchpoint__slug"), ("channel", "channel")):
        if name in chosen:
            found = Q(**{column: chosen[name]})
            if name != "touchpoint":
                found |= Q(**{f"touchpoint__{'journey__slug' if name == 'journey' else 'channel'}": chosen[name]})
            rows = rows.filter(found)
    if "stage" in chosen:
        journey, _slash, stage = chosen["stage"].partition("/")
        own = Q(stage__slug=stage, stage__journey__slug=journey)
        rows = rows.filter(own | Q(touchpoint__stage__slug=stage, touchpoint__stage__journey__slug=journey))
    for name in ("mode", "segment", "location"):
        if name in chosen:
            rows = rows.filter(**{name: chosen[name]})
    looks = AlertLook.objects.filter(rule=OuterRef("pk")).order_by("-day")
    rows = rows.annotate(looked=Subquery(looks.values("day")[:1]), found=Subquery(looks.values("state")[:1]))
    return {rule.pk: rule for rule in rows.order_by("slug")}


def _standing(alert: Alert, times: int, may_change: bool) -> Standing:
    rule = alert.rule
    latest, first = (alert_pages.numbers_text(rule, numbers) for numbers in (alert.latest, alert.fired))
    return Standing(
        alert.pk,
        alert_pages.headline(alert),
        rule.label if rule.name else "",
        alert.fired_at,
        latest,
        first if first != latest else "",
        alert_pages.days_text(alert.latest),
        times,
        alert_pages.view_path(alert),
        row_url(AlertRule, rule.pk) if may_change else "",
        alert.acknowledged_at,
        alert.acknowledged_by.get_username() if alert.acknowledged_by else "",
    )


def _failing(http: HttpRequest) -> list[Failing]:
    """Addresses are named in full only to whoever may change them."""
    rows = TeamAddress.objects.filter(active=True, team__active=True).exclude(last_error="").select_related("team")
    may_change, may_open = http.user.has_perm("metrics.change_teamaddress"), may_view(http, Team)
    return [
        Failing(
            row.team.label,
            row.address if may_change else without_secrets(row) if may_open else "",
            row.last_error if may_open else "",
            row_url(Team, row.team_id) if may_open else "",
        )
        for row in rows
    ]


def _moment(moment: datetime | None) -> str:
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT") if moment else "–"


def _day(day: date | None) -> str:
    return date_format(day, "DATE_FORMAT") if day else "–"


def _told(when: str, numbers: str) -> str:
    return f"{when} · {numbers}" if numbers else when


def _rules_table(rules: Any, times: Mapping[int, int], standing: Sequence[Alert]) -> Table:
    stand = {alert.rule_id: alert for alert in standing}
    rows = []
    for rule in rules:
        alert = stand.get(rule.pk)
        state = _("stands since %(day)s") % {"day": _moment(alert.fired_at)} if alert else _("quiet")
        looked = _("not yet")
        if rule.looked:
            looked = _("%(day)s: %(said)s") % {"day": _day(rule.looked), "said": LookState(rule.found).label}
        rows.append(
            Row([
                Cell(alert_pages.name_of(rule)),
                Cell(state if rule.active else _("switched off"), tone="bad" if alert else ""),
                Cell(looked if rule.kind in DAILY else _("all the time")),
                Cell(f"{times.get(rule.pk, 0):,}", times.get(rule.pk, 0)),
            ])
        )  # fmt: skip
    columns = [
        Column(_("Rule"), "text"),
        Column(_("State"), "text"),
        Column(_("Last looked at"), "text"),
        Column(_("Fired in the period")),
    ]
    about = _(
        "A rule on closed days is checked once a day, after the day has ended. One that fires again and again within "
        "a short time is set too close to where its number usually is."
    )
    return Table("rules", _("Rules"), columns, rows, about, cards=True)


def _history_table(alerts: Sequence[Alert]) -> Table:
    rows = [
        Row([
            Cell(alert_pages.headline(alert), note=alert_pages.days_text(alert.fired)),
            Cell(_told(_moment(alert.fired_at), alert_pages.numbers_text(alert.rule, alert.fired))),
            Cell(_told(
                f"{_moment(alert.cleared_at)}, {alert.get_cleared_why_display()}",
                alert_pages.numbers_text(alert.rule, alert.cleared),
            )),
            Cell(_("yes") if alert.told else _("no")),
        ])
        for alert in alerts[:HISTORY]
    ]  # fmt: skip
    titles = (_("Alert"), _("Fired"), _("Cleared"), _("Told"))
    notes = [_("Only the newest %(count)d are shown.") % {"count": HISTORY}] if len(alerts) > HISTORY else []
    columns = [Column(title, "text") for title in titles]
    return Table("history", _("What is over"), columns, rows, notes=notes)


def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Somebody has seen it, and says so; the first one stays."""
    if not request.user.has_perm(ACKNOWLEDGES):
        raise PermissionDenied
    seen = Alert.objects.filter(pk=pk, acknowledged_at__isnull=True)
    seen.update(acknowledged_at=timezone.now(), acknowledged_by=request.user)
    return HttpResponseRedirect(reverse("alerts"))


PAGE = Page("alerts", "alerts/", "staff/alerts.html", make, compares=False)
urls: list[URLPattern] = [
    path("alerts/<int:pk>/seen/", admin.site.admin_view(require_POST(acknowledge)), name="alert_seen"),
]
