"""Workers' entrances: a few lines each, no payload. What is due is a row; a task claims rows and is safe to repeat."""

from celery import shared_task
from django.core.cache import cache
from django.utils import timezone

from surveys.bell import ring
from surveys.flow import calendar, deliver, expire, floor, index, invite, receipts, remind, reply, retain, warn
from surveys.seats import seat
from surveys.shift import Shift

# A message takes thirteen steps of EMAIL_TIMEOUT at most, and begins within the shift. Cut off in the middle it would be sent once more,
# so this is longer; and shorter than the lease (flow/deliver.py), which another worker takes for the end of this one.
SENDING_LIMIT_S = 240


@shared_task(ignore_result=True)
def invite_pending() -> None:
    """Ask the rules about events that wait. Safe to repeat: it claims them, and a rule has one row per event."""
    shift = Shift()
    if invite.drain(timezone.now, over=shift.is_over):
        ring(deliver_due)
    if shift.is_over():
        ring(invite_pending)


@shared_task(ignore_result=True)
def ask_by_calendar() -> None:
    """Ask whose turn it is today. Safe to repeat: a rule's pass is a row, and each customer has one row in a period."""
    shift = Shift()
    calendar.drain(timezone.now, over=shift.is_over)
    if shift.is_over():
        ring(ask_by_calendar)


@shared_task(ignore_result=True, soft_time_limit=SENDING_LIMIT_S)
def deliver_due() -> None:
    """Send invitations that are due. Safe to repeat: each is leased before it is sent."""
    shift = Shift()
    with seat() as free:
        if free:
            # A batch of reminders first: while much is due, who sends reminders alone finds no seat.
            remind.remind_due(timezone.now(), over=shift.is_over)
            deliver.drain(timezone.now, over=shift.is_over)
    if shift.is_over():
        ring(deliver_due)


@shared_task(ignore_result=True, soft_time_limit=SENDING_LIMIT_S)
def remind_due() -> None:
    """Send reminders that are due. Safe to repeat: each is leased before it is sent."""
    shift = Shift()
    with seat() as free:
        if free:
            remind.drain(timezone.now, over=shift.is_over)
    if shift.is_over():
        ring(remind_due)


@shared_task(ignore_result=True)
def expire_due() -> None:
    """Mark links whose time is over, and forget addresses that no floor asks for. Safe to repeat."""
    expire.expire_due(timezone.now())
    floor.forget_addresses(timezone.now())


@shared_task(ignore_result=True)
def warn_watchers() -> None:
    """Tell people of bad answers. Safe to repeat: notices are leased before they are sent."""
    warn.warn_watchers(timezone.now(), over=Shift().is_over)


@shared_task(ignore_result=True)
def answer_texts() -> None:
    """Reply to customers who texted back. Safe to repeat: each reply is leased before it is sent."""
    reply.send_replies(timezone.now(), over=Shift().is_over)


@shared_task(ignore_result=True)
def settle_receipts() -> None:
    """Apply what carriers said of messages. Safe to repeat: a receipt goes in the transaction that applies it."""
    shift = Shift()
    while receipts.settle_receipts(timezone.now()) and not shift.is_over():
        continue
    if shift.is_over():
        ring(settle_receipts)


@shared_task(ignore_result=True)
def index_responses() -> None:
    """Make what answers are found by. Safe to repeat: it claims what waits, and the same terms again change nothing."""
    shift = Shift()
    while index.index_waiting() and not shift.is_over():
        continue
    if shift.is_over():
        ring(index_responses)


@shared_task(ignore_result=True)
def forget_old_data() -> None:
    """Strip personal data whose time is over. Safe to repeat: a mark moves in the transaction that strips."""
    shift = Shift()
    retain.retain(timezone.now, over=shift.is_over)
    if shift.is_over():
        ring(forget_old_data)


@shared_task(ignore_result=True)
def heartbeat() -> None:
    """A worker lives: /readyz looks at this. Safe to repeat."""
    cache.set("worker-heartbeat", timezone.now().isoformat(), 300)
