"""Bad news travels at once. In: WatcherNotices that wait. Out: one message per watcher, however many answers it tells of.

How a message is sent, tried again and kept from being sent twice stands in `tell`.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from surveys.flow.tell import ANY, Post, tell_all
from surveys.models import Organisation, Watcher, WatcherNotice
from surveys.texts import pick

TOLD_AT_ONCE = 20  # more answers than that are counted, not quoted


def warn_watchers(now: datetime, mail: Any = None, among: Q = ANY, *, over: Callable[[], bool] = lambda: False) -> int:
    """Tell one watcher after another of all that waits for him, until it is `over`; how many messages went out."""
    return tell_all(OF_ANSWERS, now, mail, among, over=over)


def _compose(watcher: Watcher, notices: list[WatcherNotice]) -> tuple[str, str]:
    count = len(notices)
    touchpoint = watcher.touchpoint.label
    organisation = pick(Organisation.current().name, get_language() or "en")
    subject = ngettext(
        "%(count)d unhappy answer: %(touchpoint)s – %(organisation)s",
        "%(count)d unhappy answers: %(touchpoint)s – %(organisation)s",
        count,
    ) % {"count": count, "touchpoint": touchpoint, "organisation": organisation}
    lines = []
    for notice in notices[:TOLD_AT_ONCE]:
        response = notice.response
        said = response.comment or _("(no comment)")
        link = settings.BASE_URL + reverse("admin:surveys_response_change", args=[response.pk])
        lines.append(f"{_('Score')} {response.score}: {said}\n{link}\n")
    if count > TOLD_AT_ONCE:
        lines.append(_("… and %(count)d more.") % {"count": count - TOLD_AT_ONCE})
    return subject, "\n".join(lines)


OF_ANSWERS = Post(
    WatcherNotice,
    recipient="watcher",
    waiting=Q(watcher__active=True, response__excluded_at__isnull=True),
    related=("watcher__touchpoint", "response"),
    compose=_compose,
)
