"""Bad news travels at once. In: WatcherNotices that wait. Out: one message per watcher, however many answers it tells of.

A watcher's address is an email address or an Apprise one (WeCom, DingTalk, Feishu, Slack, Teams, a webhook …).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import apprise
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from surveys.models import Organisation, Watcher, WatcherNotice
from surveys.texts import match_language, pick

LEASE = timedelta(minutes=5)
BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 480))
TOLD_AT_ONCE = 20  # more answers than that are counted, not quoted
BATCH = 500
ANY = Q()


def warn_watchers(now: datetime, mail: Any = None, among: Q = ANY, *, over: Callable[[], bool] = lambda: False) -> int:
    """Tell one watcher after another of all that waits for him, until it is `over`; how many messages went out.

    `mail`: an email backend, else Django's own. `among`: which notices, where not all.
    """
    sent = 0
    # One watcher's at a time: no lease has to outlast more than one message.
    while not over() and (notices := _claim(now, among)):
        watcher = notices[0].watcher
        error = _tell(watcher, notices, mail)
        with transaction.atomic():
            waiting = WatcherNotice.objects.filter(pk__in=[notice.pk for notice in notices])
            if error:
                pause = BACK_OFF[min(notices[0].attempts, len(BACK_OFF)) - 1]
                waiting.update(lease_until=now + pause)
            else:
                waiting.update(sent_at=now, lease_until=None)
                sent += 1
            Watcher.objects.filter(pk=watcher.pk).update(last_error=error)
    return sent


def _claim(now: datetime, among: Q) -> list[WatcherNotice]:
    """What waits longest, and all else that waits for the same watcher; leased."""
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    waiting = WatcherNotice.objects.filter(free, among, sent_at__isnull=True)
    waiting = waiting.filter(watcher__active=True, response__excluded_at__isnull=True)
    with transaction.atomic():
        locked = waiting.select_for_update(skip_locked=True, of=("self",)).order_by("created_at", "id")
        oldest = locked.first()
        if oldest is None:
            return []
        notices = list(
            locked.filter(watcher=oldest.watcher_id).select_related("watcher__touchpoint", "response")[:BATCH]
        )
        for notice in notices:
            notice.lease_until = now + LEASE
            notice.attempts += 1
        WatcherNotice.objects.bulk_update(notices, ["lease_until", "attempts"], batch_size=500)
    return notices


def _tell(watcher: Watcher, notices: list[WatcherNotice], mail: Any) -> str:
    """Send one message; "" or what went wrong."""
    organisation = Organisation.current()
    shown = match_language(watcher.language, [code for code, _name in settings.LANGUAGES]) or "en"
    with translation.override(shown):
        subject, body = _compose(watcher, notices, pick(organisation.name, shown))
    try:
        if "://" not in watcher.address:
            EmailMessage(subject, body, to=[watcher.address], connection=mail).send()
            return ""
        carrier = apprise.Apprise()
        if not carrier.add(watcher.address):
            return "Apprise does not know this kind of address."
        return "" if carrier.notify(title=subject, body=body) else "The address did not take the message."
    except Exception as error:  # any transport's own; the notice stays and is tried again
        return f"{type(error).__name__}: {error}"[:500]


def _compose(watcher: Watcher, notices: list[WatcherNotice], organisation: str) -> tuple[str, str]:
    count = len(notices)
    touchpoint = watcher.touchpoint.label
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
