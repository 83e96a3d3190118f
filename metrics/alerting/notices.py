"""Teams are told of alerts, when they fire and when they are over. In: AlertNotices that wait. Out: one message per address, however
many alerts it tells of.

How a message is sent, tried again and kept from being sent twice stands in surveys/flow/tell.py; what it says, in alert_pages.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from metrics.display import alert_pages
from metrics.models import Alert, AlertNotice, TeamAddress
from metrics.models.alerts import Tells
from surveys.flow.tell import ANY, Post, tell_all
from surveys.models import Organisation
from surveys.texts import pick

TOLD_AT_ONCE = 20  # more alerts than that are counted


def tell_teams(now: datetime, mail: Any = None, among: Q = ANY, *, over: Callable[[], bool] = lambda: False) -> int:
    """Tell one address after another of all that waits for it, until it is `over`; how many messages went out."""
    return tell_all(OF_ALERTS, now, mail, among, over=over)


def try_anew(addresses: Collection[int]) -> None:
    """Somebody has mended these addresses: what failed by the old ones is no longer true, and what waited for its next try is due."""
    TeamAddress.objects.filter(pk__in=addresses).update(last_error="")
    begun = Q(attempts__gt=0) | Q(tells=Tells.OVER)  # and not what waits for the end of a day
    rows = AlertNotice.objects.filter(begun, address__in=addresses, sent_at__isnull=True)
    with transaction.atomic():
        free = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))
        AlertNotice.objects.filter(pk__in=free).update(lease_until=None)


def _compose(address: TeamAddress, notices: list[AlertNotice]) -> tuple[str, str]:
    organisation = Organisation.current()
    name = pick(organisation.name, get_language() or "en")
    with timezone.override(organisation.zone):
        fired = [notice.alert for notice in notices if notice.tells == Tells.FIRED]
        over = [notice.alert for notice in notices if notice.tells == Tells.OVER]
        told = [*(_of_firing(alert) for alert in fired), *(_of_end(alert) for alert in over)]
        lines = ["\n".join([*(line for line in said if line), ""]) for said in told[:TOLD_AT_ONCE]]
        if len(told) > TOLD_AT_ONCE:
            lines.append(_("… and %(count)d more.") % {"count": len(told) - TOLD_AT_ONCE})
        return _subject(fired, over, name), "\n".join(lines)


def _of_firing(alert: Alert) -> list[str]:
    rule = alert.rule
    return [
        rule.label if rule.name else "",
        alert_pages.headline(alert),
        alert_pages.numbers_text(rule, alert.fired),
        alert_pages.days_text(alert.fired),
        settings.BASE_URL + alert_pages.view_path(alert),
    ]


def _of_end(alert: Alert) -> list[str]:
    """It says when it fired, too: to an address that failed meanwhile it is all that it hears."""
    rule, numbers = alert.rule, alert.cleared or alert.latest
    return [
        rule.label if rule.name else "",
        _over(alert),
        alert_pages.end_text(alert),
        alert_pages.latest_text(alert),
        alert_pages.days_text(numbers),
        settings.BASE_URL + alert_pages.view_path(alert, numbers),
    ]


def _over(alert: Alert) -> str:
    return _("Over: %(headline)s") % {"headline": alert_pages.headline(alert)}


def _subject(fired: Sequence[Alert], over: Sequence[Alert], name: str) -> str:
    told = {"organisation": name, "over": len(over)}
    if len(fired) + len(over) == 1:
        return f"{alert_pages.headline(fired[0]) if fired else _over(over[0])} – {name}"
    if not over:
        return ngettext(
            "%(count)d alert – %(organisation)s", "%(count)d alerts – %(organisation)s", len(fired)
        ) % {**told, "count": len(fired)}  # fmt: skip
    if not fired:
        return ngettext(
            "%(over)d alert is over – %(organisation)s", "%(over)d alerts are over – %(organisation)s", len(over)
        ) % told  # fmt: skip
    return ngettext(
        "%(count)d alert, and %(over)d over – %(organisation)s",
        "%(count)d alerts, and %(over)d over – %(organisation)s",
        len(fired),
    ) % {**told, "count": len(fired)}


OF_ALERTS = Post(
    AlertNotice,
    recipient="address",
    # What is over by now alarms nobody: whoever had not heard of it finds it in the history.
    waiting=Q(address__active=True, address__team__active=True)
    & (Q(tells=Tells.OVER) | Q(alert__cleared_at__isnull=True)),
    related=("address__team", *(f"alert__{one}" for one in alert_pages.OF_RULE)),
    compose=_compose,
)
