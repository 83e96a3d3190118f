"""Our replies to texts. In: InboundTexts whose reply is due. Out: one message each, through the same carrier as invitations.

A reply is no invitation: no resting time, no floor, no quiet hours, since somebody waits for it. As with invitations a crash after
the carrier's OK may send one twice; one that nobody can send within a day is given up, since nobody waits for it any more.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from surveys.channels import sms
from surveys.flow.compose import domain
from surveys.flow.hand_over import hand_over
from surveys.gsm import thrifty
from surveys.letters import Letter, Outcome
from surveys.models import InboundText, SentMessage

BATCH = 50
LEASE = timedelta(minutes=5)
BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))
PATIENCE = timedelta(days=1)
DOUBTS = 2  # whoever may have got a reply twice does not get it again


def send_replies(now: datetime, limit: int = BATCH, *, over: Callable[[], bool] = lambda: False) -> int:
    """Send at most `limit` replies that are due, until it is `over`; how many went out."""
    rows = _claim(now, limit)
    untouched = {row.pk for row in rows}
    sent = 0
    if not rows:
        return 0
    try:
        ready = [(sms.MODE, row, _letter(row)) for row in rows]
        for row, _sent, outcome in hand_over(ready, {sms.MODE: sms}, over, lambda row: untouched.discard(row.pk)):
            sent += outcome.result == "sent"
            _settle(row, outcome, now)
    finally:
        InboundText.objects.filter(pk__in=untouched, due_at__isnull=False).update(due_at=now)
    return sent


def _claim(now: datetime, limit: int) -> list[InboundText]:
    with transaction.atomic():
        due = InboundText.objects.filter(due_at__lte=now).exclude(phone="")
        rows = list(due.select_for_update(skip_locked=True).order_by("due_at", "id")[:limit])
        for row in rows:
            row.due_at, row.attempts = now + LEASE, row.attempts + 1
        InboundText.objects.bulk_update(rows, ["due_at", "attempts"])
    return rows


def _letter(row: InboundText) -> Letter:
    names = {"kind": "reply", "language": row.language}
    return Letter(row.phone, "", thrifty(row.reply), "", f"<reply-{row.pk}@{domain()}>", names=names)


def _settle(row: InboundText, outcome: Outcome, now: datetime) -> None:
    held = InboundText.objects.filter(pk=row.pk)
    if outcome.result == "sent":
        held.update(replied_at=now, due_at=None, detail="")
    elif (
        outcome.result == "permanent"
        or now - row.received_at > PATIENCE
        or (outcome.in_doubt and row.attempts >= DOUBTS)  # nobody is told the same a third time
    ):
        held.update(due_at=None, detail=outcome.detail)
    else:
        pause = max(BACK_OFF[min(row.attempts, len(BACK_OFF)) - 1], timedelta(seconds=outcome.retry_after_s))
        held.exclude(due_at=None).update(due_at=now + pause, detail=outcome.detail)
    if held.filter(phone="").exists():  # erased while the reply was on its way
        held.update(detail="")
        SentMessage.objects.filter(message_id=f"<reply-{row.pk}@{domain()}>").delete()
