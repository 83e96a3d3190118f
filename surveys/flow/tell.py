"""Telling staff. In: notices that wait, of one kind (Post). Out: one message per recipient, however many notices it tells of.

A recipient's address is an email address, an Apprise one (WeCom, DingTalk, Feishu, Slack, Teams, a webhook …), or env:NAME: then it
stands in that environment variable of the workers, and nowhere else. What is told is the caller's; here are claim, lease, sending and
trying again. A worker that is killed after the carrier took a message and before that was written sends it once more, a letter of the
same notices with the same Message-ID.
"""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import apprise
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q
from django.utils import translation

from surveys.flow.compose import domain
from surveys.models.watchers import Notice, Recipient
from surveys.texts import match_language

LEASE = timedelta(minutes=5)
BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 480))
BATCH = 500
ANY = Q()
FROM_ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]{0,99})\Z")


@dataclass(frozen=True)
class Post:
    """One kind of notice. `recipient` names its foreign key; `waiting` are the notices still worth sending.

    `compose(recipient, notices)` gives subject and body in the language that is active then.
    """

    notices: type[Notice]
    recipient: str
    waiting: Q
    related: Sequence[str]
    compose: Callable[[Any, list[Any]], tuple[str, str]]


def tell_all(
    post: Post, now: datetime, mail: Any = None, among: Q = ANY, *, over: Callable[[], bool] = lambda: False
) -> int:
    """Tell one recipient after another of all that waits for him, until it is `over`; how many messages went out.

    `mail`: an email backend, else Django's own. `among`: which notices, where not all.
    """
    sent = 0
    # One recipient's at a time: no lease has to outlast more than one message.
    while not over() and (notices := claim(post, now, among)):
        recipient = getattr(notices[0], post.recipient)
        error = _tell(post, recipient, notices, mail)
        with transaction.atomic():
            rows: Any = post.notices._default_manager
            waiting = rows.filter(pk__in=[notice.pk for notice in notices])
            if error:
                pause = BACK_OFF[min(notices[0].attempts, len(BACK_OFF)) - 1]
                waiting.update(lease_until=now + pause)
            else:
                waiting.update(sent_at=now, lease_until=None)
                sent += 1
            type(recipient)._default_manager.filter(pk=recipient.pk).update(last_error=error)
    return sent


def claim(post: Post, now: datetime, among: Q = ANY) -> list[Any]:
    """What waits longest, and all else that waits for the same recipient; leased."""
    rows: Any = post.notices._default_manager
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    waiting = rows.filter(free, post.waiting, among, sent_at__isnull=True)
    with transaction.atomic():
        locked = waiting.select_for_update(skip_locked=True, of=("self",)).order_by("created_at", "id")
        oldest = locked.first()
        if oldest is None:
            return []
        same = {post.recipient: getattr(oldest, f"{post.recipient}_id")}
        notices = list(locked.filter(**same).select_related(*post.related)[:BATCH])
        for notice in notices:
            notice.lease_until = now + LEASE
            notice.attempts += 1
        rows.bulk_update(notices, ["lease_until", "attempts"], batch_size=500)
    return notices


def _tell(post: Post, recipient: Any, notices: list[Any], mail: Any) -> str:
    """Send one message; "" or what went wrong."""
    shown = match_language(recipient.language, [code for code, _name in settings.LANGUAGES]) or "en"
    with translation.override(shown):
        subject, body = post.compose(recipient, notices)
    return send_to(recipient.address, " ".join(subject.split()), body, mail, message_id=_message_id(notices))


def _message_id(notices: Sequence[Notice]) -> str:
    """The same for the same notices, from whichever machine: what goes out twice is shown once, and what tells more is another letter."""
    named = [settings.BASE_URL, notices[0]._meta.label, *sorted(str(notice.pk) for notice in notices)]
    return f"<notices-{hashlib.sha256(' '.join(named).encode()).hexdigest()[:32]}@{domain()}>"


def send_to(address: str, subject: str, body: str, mail: Any = None, *, message_id: str) -> str:
    """One message to one address; "" or what went wrong, in words that hold no secret of the address."""
    try:
        held = FROM_ENVIRONMENT.match(address)
        if held:
            address = os.environ.get(held[1], "")
            if not address:
                return f"The environment of the workers has no {held[1]}."
        if "://" not in address:
            letter = EmailMessage(subject, body, to=[address], connection=mail, headers={"Message-ID": message_id})
            letter.send()
            return ""
        carrier = apprise.Apprise()
        if not carrier.add(address):
            return "Apprise does not know this kind of address."
        return "" if carrier.notify(title=subject, body=body) else "The address did not take the message."
    except Exception as error:  # any transport's own; the notice stays and is tried again
        return f"{type(error).__name__}: {error}"[:500]


def is_address(text: str) -> bool:
    """Whether it is of a kind that can be sent to: an Apprise address, or env:NAME. (What an email address is, Django says.)"""
    return bool(FROM_ENVIRONMENT.match(text)) or ("://" in text and bool(apprise.Apprise().add(text)))


def without_secrets(recipient: Recipient) -> str:
    """Its address as those may read it who may not change it: tokens and passwords of an Apprise address are left out."""
    address = recipient.address
    if "://" not in address:
        return address
    held: Any = apprise.Apprise.instantiate(address, suppress_exceptions=True)
    scheme = address.partition("://")[0]
    return str(held.url(privacy=True)).partition("?")[0] if held else f"{scheme}://…"
