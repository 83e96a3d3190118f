"""How an alert reads, on pages and in messages. In: an Alert with its rule, and a language. Out: sentences, numbers, the view's address.

Here its numbers are rounded, for the first and only time. No query (rules come with their touchpoint, journey and stage), no formula.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from metrics.display import figures
from metrics.display.figures import Column
from metrics.models import Alert, AlertRule
from metrics.models.alerts import AGAINST_BASELINE, OF_METRIC, TTR, AlertKind, Baseline
from surveys.models import Channel, Mode
from surveys.words import duration, rounded

OF_RULE = ("rule__touchpoint", "rule__journey", "rule__stage__journey")  # what is fetched with an alert


def column_of(rule: AlertRule) -> Column:
    """The metric and scale that a rule watches, as pages name them."""
    return next(
        (column for column in figures.COLUMNS if column[0] == rule.metric and rule.points in (0, column[1])),
        figures.COLUMNS[0],
    )


def where(rule: AlertRule) -> str:
    """What a rule watches, such as "Delivery · SMS · gold"."""
    parts = [
        rule.journey.label if rule.journey else "",
        rule.stage.label if rule.stage else "",
        rule.touchpoint.label if rule.touchpoint else "",
        str(Channel(rule.channel).label) if rule.channel else "",
        str(Mode(rule.mode).label) if rule.mode else "",
        rule.segment,
        rule.location,
    ]
    return " · ".join(part for part in parts if part) or _("all touchpoints")


def name_of(rule: AlertRule) -> str:
    """Its own name, else what it does."""
    return rule.label if rule.name else _("%(what)s: %(where)s") % {"what": what(rule), "where": where(rule)}


def what(rule: AlertRule) -> str:
    """What a rule looks for, in a few words."""
    told = {"metric": figures.title(column_of(rule)) if rule.metric else "", "span": duration(rule.longer_than_s or 0)}
    if rule.kind == AlertKind.BELOW_TARGET:
        return (_("%(metric)s above its target") if rule.metric == TTR else _("%(metric)s below its target")) % told
    if rule.kind == AlertKind.DROP:
        return _("%(metric)s worse than before") % told
    if rule.kind == AlertKind.RESPONSE_DROP:
        return _("Response rate lower than before")
    if rule.kind == AlertKind.OPEN_LONGER:
        return _("Tickets open for more than %(span)s") % told
    return _("No answers for %(span)s") % told


def headline(alert: Alert, numbers: Mapping[str, Any] | None = None) -> str:
    """What happened and where, in one line; by its first `numbers`, or by others of it."""
    rule, numbers = alert.rule, alert.fired if numbers is None else numbers
    told = {"where": where(rule), "what": what(rule), "span": duration(rule.longer_than_s or 0)}
    if rule.kind == AlertKind.OPEN_LONGER:
        count = int(numbers.get("count") or 0)
        said = ngettext(
            "%(count)d ticket open for more than %(span)s: %(where)s",
            "%(count)d tickets open for more than %(span)s: %(where)s",
            count,
        )
        return said % {**told, "count": count}
    return _("%(what)s: %(where)s") % told


def value_text(rule: AlertRule, value: float | None) -> str:
    if rule.kind == AlertKind.RESPONSE_DROP:
        return figures.DASH if value is None else f"{rounded(value, 1)}%"
    return figures.value_text(rule.metric, value)


def numbers_text(rule: AlertRule, numbers: Mapping[str, Any]) -> str:
    """The numbers of an alert with all that must stand beside them; "" where there are none."""
    if rule.kind == AlertKind.OPEN_LONGER:
        return _tickets_text(numbers)
    if rule.kind == AlertKind.NO_ANSWERS and numbers.get("newest_at"):
        came = timezone.localtime(datetime.fromisoformat(numbers["newest_at"]))
        return _("newest answer %(at)s") % {"at": date_format(came, "DATETIME_FORMAT")}
    if rule.kind == AlertKind.NO_ANSWERS or "n" not in numbers:
        return ""
    if numbers.get("value") is None:
        return figures.too_few(numbers["n"])
    parts = [value_text(rule, numbers["value"]), figures.count_text(numbers["n"])]
    parts += _interval(rule, numbers, "")
    if numbers.get("target") is not None:
        parts.append(_("target %(target)s") % {"target": value_text(rule, numbers["target"])})
    if numbers.get("before") is not None:
        before = pgettext("between facts", ", ").join(
            [value_text(rule, numbers["before"]), figures.count_text(numbers["before_n"])]
        )
        parts.append(_("before: %(numbers)s") % {"numbers": before})
    return pgettext("between facts", "; ").join(parts)


def _interval(rule: AlertRule, numbers: Mapping[str, Any], side: str) -> list[str]:
    low, high = numbers.get(f"{side}low"), numbers.get(f"{side}high")
    if low is None or high is None:
        return []
    return [_("95%% interval: %(low)s to %(high)s") % {"low": value_text(rule, low), "high": value_text(rule, high)}]


def _tickets_text(numbers: Mapping[str, Any]) -> str:
    oldest = numbers.get("oldest_at")
    count = int(numbers.get("count") or 0)
    said = ngettext("%(count)d ticket", "%(count)d tickets", count) % {"count": count}
    if not oldest or not count:  # the oldest is of those, too, that are nearly as old
        return said
    since = date_format(timezone.localtime(datetime.fromisoformat(oldest)), "DATE_FORMAT")
    return _("%(tickets)s, the oldest opened on %(day)s") % {"tickets": said, "day": since}


def end_text(alert: Alert) -> str:
    """When an alert fired, when it was over, and why. The caller tells the organisation's time."""
    moments = [
        date_format(timezone.localtime(moment), "DATETIME_FORMAT")
        for moment in (alert.fired_at, alert.cleared_at)
        if moment
    ]
    told = {"fired": moments[0], "over": moments[-1], "why": alert.get_cleared_why_display()}
    return _("Fired %(fired)s; over %(over)s: %(why)s") % told


def latest_text(alert: Alert) -> str:
    """The numbers of an alert that is over, as of the look that cleared it, else of the last one before; "" where there are none."""
    if alert.cleared:
        numbers, said = numbers_text(alert.rule, alert.cleared), _("Now: %(numbers)s")
    else:
        numbers, said = numbers_text(alert.rule, alert.latest), _("When last looked at: %(numbers)s")
    return said % {"numbers": numbers} if numbers else ""


def days_text(numbers: Mapping[str, Any]) -> str:
    """The days looked at, and those compared with; "" for what counts."""
    if not numbers.get("first"):
        return ""
    said = _span(numbers["first"], numbers["last"])
    if not numbers.get("before_first"):
        return said
    told = {"days": said, "before": _span(numbers["before_first"], numbers["before_last"])}
    return _("%(days)s, compared with %(before)s") % told


def _span(first: str, last: str) -> str:
    ends = [date_format(date.fromisoformat(day), "DATE_FORMAT") for day in (first, last)]
    return ends[0] if first == last else _("%(first)s to %(last)s") % {"first": ends[0], "last": ends[1]}


def view_path(alert: Alert, numbers: Mapping[str, Any] | None = None) -> str:
    """The page that shows exactly what the rule saw: its days, its filters, its metric; when it fired, or with other `numbers` of it."""
    rule, numbers = alert.rule, alert.fired if numbers is None else numbers
    narrowed = {
        "journey": rule.journey.slug if rule.journey else "",
        "stage": rule.stage.key if rule.stage else "",
        "touchpoint": rule.touchpoint.slug if rule.touchpoint else "",
        "channel": rule.channel,
        "mode": rule.mode,
        "segment": rule.segment,
        "location": rule.location,
    }
    if rule.kind == AlertKind.OPEN_LONGER:
        return _tickets_path(rule)
    if rule.kind == AlertKind.NO_ANSWERS:
        newest = numbers.get("newest_at")
        # The caller tells the organisation's time.
        last = timezone.localtime(datetime.fromisoformat(newest) if newest else alert.fired_at)
        first = timezone.localtime(alert.fired_at - timedelta(seconds=rule.longer_than_s or 0))
        query = {"period": "custom", "from": first.date().isoformat(), "to": last.date().isoformat()}
    else:
        query = {"period": "custom", "from": numbers.get("first", ""), "to": numbers.get("last", "")}
    if rule.kind in AGAINST_BASELINE:
        query["compare"] = "year" if rule.baseline == Baseline.YEAR else "previous"
    if rule.kind in OF_METRIC:
        query["trend"] = figures.column_key(column_of(rule))
    if rule.kind == AlertKind.RESPONSE_DROP:
        path = reverse("response_rates")
    elif rule.touchpoint:
        path = reverse("touchpoint_page", args=[rule.touchpoint.slug])
        narrowed |= {"journey": "", "stage": "", "touchpoint": "", "channel": ""}  # its address says them
    else:
        path = reverse("admin:index")
    return f"{path}?{urlencode({name: value for name, value in (query | narrowed).items() if value})}"


def _tickets_path(rule: AlertRule) -> str:
    query = {"state": "open", "o": "5"}  # the oldest first
    if rule.touchpoint_id:
        query["touchpoint__id__exact"] = str(rule.touchpoint_id)
    if rule.channel:
        query["touchpoint__channel__exact"] = rule.channel
    if rule.segment:
        query["segment"] = rule.segment
    return f"{reverse('admin:surveys_ticket_changelist')}?{urlencode(query)}"
