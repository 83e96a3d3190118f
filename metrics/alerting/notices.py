"""Teams are told of alerts. In: AlertNotices that wait. Out: one message per address, however many alerts it tells of.

How a message is sent, tried again and kept from being sent twice stands in surveys/flow/tell.py; what it says, in alert_pages.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from metrics.display import alert_pages
from metrics.models import AlertNotice, TeamAddress
from surveys.flow.tell import ANY, Post, tell_all
from surveys.models import Organisation
from surveys.texts import pick

TOLD_AT_ONCE = 20  # more alerts than that are counted


def tell_teams(now: datetime, mail: Any = None, among: Q = ANY, *, over: Callable[[], bool] = lambda: False) -> int:
    """Tell one address after another of all that waits for it, until it is `over`; how many messages went out."""
    return tell_all(OF_ALERTS, now, mail, among, over=over)


def _compose(address: TeamAddress, notices: list[AlertNotice]) -> tuple[str, str]:
    organisation = Organisation.current()
    name = pick(organisation.name, get_language() or "en")
    with timezone.override(organisation.zone):
        alerts = [notice.alert for notice in notices]
        lines = []
        for alert in alerts[:TOLD_AT_ONCE]:
            rule = alert.rule
            said = [alert_pages.headline(alert)]
            if rule.name:
                said.insert(0, rule.label)
            said += [alert_pages.numbers_text(rule, alert.fired), alert_pages.days_text(alert.fired)]
            lines.append(
                "\n".join([*(line for line in said if line), settings.BASE_URL + alert_pages.view_path(alert), ""])
            )
        if len(alerts) > TOLD_AT_ONCE:
            lines.append(_("… and %(count)d more.") % {"count": len(alerts) - TOLD_AT_ONCE})
        if len(alerts) == 1:
            return f"{alert_pages.headline(alerts[0])} – {name}", "\n".join(lines)
    told = {"count": len(alerts), "organisation": name}
    subject = ngettext("%(count)d alert – %(organisation)s", "%(count)d alerts – %(organisation)s", len(alerts)) % told
    return subject, "\n".join(lines)


OF_ALERTS = Post(
    AlertNotice,
    recipient="address",
    # What is over by now alarms nobody; it stands in the history.
    waiting=Q(address__active=True, address__team__active=True, alert__cleared_at__isnull=True),
    related=("address__team", *(f"alert__{one}" for one in alert_pages.OF_RULE)),
    compose=_compose,
)
