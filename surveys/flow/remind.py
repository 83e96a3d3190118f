"""From sent invitations to reminders. In: Reminders that are due. Out: DeliveryAttempts, and reminders sent, postponed or dropped.

A reminder is no new invitation: same token, same link, same end. It counts for the floor and for no resting. As with invitations two
transactions stand around each message and none while the network is waited for (see deliver). Whoever touches a reminder holds its
link: then no order of locks among reminders is needed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from surveys.channels import SENDING
from surveys.flow.addresses import address_hash
from surveys.flow.compose import Drafts, compose
from surveys.flow.deliver import (
    BATCH,
    forget_if_erased,
    give_up_if_lost,
    is_dead,
    is_in_doubt_again,
    lease_after,
    may_go_out,
    note_attempt,
    noted_tries,
    pause_after,
    score_wordings,
    void_reason,
)
from surveys.flow.expire import OPEN
from surveys.flow.floor import lock_addresses, note_written
from surveys.flow.hand_over import hand_over, shares_of
from surveys.flow.invite import Histories, hashes_of, needs_consent, planned, terms_of
from surveys.flow.suppress import suppress_bounced
from surveys.flow.tickets import reopened_since
from surveys.letters import Letter, Outcome
from surveys.models import Customer, Invitation, Organisation, Reminder

Reason, Status = Reminder.Reason, Reminder.Status


def drain(
    clock: Callable[[], datetime],
    limit: int = BATCH,
    channels: Mapping[str, Any] = SENDING,
    *,
    over: Callable[[], bool] = lambda: False,
) -> int:
    """Send all reminders that are due, batch by batch, until it is `over`; how many went out."""
    total = 0
    while True:
        looked_at, tried, sent = _remind_batch(clock(), limit, channels, over)
        total += sent
        if looked_at < limit or (tried and not sent) or over():  # as with invitations
            return total


def remind_due(
    now: datetime,
    limit: int = BATCH,
    channels: Mapping[str, Any] = SENDING,
    *,
    over: Callable[[], bool] = lambda: False,
) -> tuple[int, int]:
    """Claim at most `limit` reminders that are due and send them until it is `over`. Returns (looked at, sent)."""
    looked_at, _tried, sent = _remind_batch(now, limit, channels, over)
    return looked_at, sent


def _remind_batch(
    now: datetime, limit: int, channels: Mapping[str, Any], over: Callable[[], bool]
) -> tuple[int, int, int]:
    """(looked at, to be sent, sent)."""
    claimed = _claim(now, limit, channels)
    ready = [(one.reminder.invitation.mode, one, one.letter) for one in claimed.ready]
    untouched = {one.reminder.pk for one in claimed.ready}
    sent = 0
    try:
        begun = lambda one: untouched.discard(one.reminder.pk)  # noqa: E731
        for one, _letter, outcome in hand_over(ready, channels, over, begun):
            sent += outcome.result == "sent"
            _settle(one, outcome, now)
    finally:
        _give_back([one for one in claimed.ready if one.reminder.pk in untouched])
    return claimed.looked_at, len(claimed.ready), sent


@dataclass(frozen=True, slots=True)
class _Claimed:
    reminder: Reminder
    letter: Letter


@dataclass(frozen=True, slots=True)
class _Claim:
    looked_at: int
    ready: Sequence[_Claimed] = ()


def _claim(now: datetime, limit: int, channels: Mapping[str, Any]) -> _Claim:
    """First transaction: who is to be reminded after all, with a lease on each."""
    due = Reminder.objects.filter(status=Status.SCHEDULED, send_at__lte=now)
    due = due.filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now))
    # One after the other: the second waits while the first is tried again.
    earlier = Reminder.objects.filter(
        invitation=OuterRef("invitation"), status=Status.SCHEDULED, number__lt=OuterRef("number")
    )
    due = due.exclude(Exists(earlier))
    with transaction.atomic():
        first = due.order_by("send_at", "id").values_list("invitation_id", flat=True)
        shares = shares_of(limit, channels, "invitation__mode")
        ids = [pk for share, most in shares for pk in first.filter(share)[:most]]
        if not ids:
            return _Claim(0)
        links = {
            row.pk: row
            for row in Invitation.objects.filter(pk__in=ids)
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("event")
            .prefetch_related("touchpoint", "instrument", "rule")
            .order_by("pk")
        }
        # Links before people, people by their id, then addresses: see flow/locks.py.
        people = Customer.objects.filter(pk__in={row.customer_id for row in links.values()})
        customers = {row.pk: row for row in people.select_for_update(no_key=True).order_by("pk")}
        lock_addresses(hashed for customer in customers.values() for hashed in hashes_of(customer))
        organisation = Organisation.current()
        histories = Histories.load(customers.values(), organisation)
        wordings = score_wordings({row.instrument_id for row in links.values()})
        reopened = reopened_since(row.event for row in links.values())
        ready = []
        drafts: Drafts = {}
        reminders = list(due.filter(invitation__in=links).order_by("send_at", "id"))
        noted = noted_tries(reminder.invitation_id for reminder in reminders if reminder.attempts)
        for reminder in reminders:
            invitation = links[reminder.invitation_id]
            reminder.invitation, invitation.customer = invitation, customers[invitation.customer_id]
            address = _decide(reminder, organisation, histories, invitation.event_id in reopened, now)
            if address:
                histories.last_message[invitation.customer_id] = histories.written[address_hash(address)] = now
                invitation.reminded_at = now
                reminder.attempted_at = reminder.attempted_at or now
                lost = reminder.attempts - noted[reminder.invitation_id, reminder.number]
                reminder.lease_until = now + lease_after(lost)
                reminder.attempts += 1
                wording = wordings[invitation.instrument_id]
                letter = compose(invitation, organisation, wording, address, reminder.number, drafts)
                ready.append(_Claimed(reminder, letter))
        Reminder.objects.bulk_update(
            reminders, ["status", "reason", "send_at", "lease_until", "attempted_at", "attempts"], batch_size=500
        )
        Invitation.objects.filter(pk__in=[one.reminder.invitation_id for one in ready]).update(reminded_at=now)
        note_written((address_hash(one.letter.to) for one in ready), now)
        return _Claim(len(reminders), ready)  # those that somebody else holds are left for the next time


def _decide(reminder: Reminder, organisation: Organisation, histories: Histories, reopened: bool, now: datetime) -> str:
    """The address to write to; "" where it was dropped or postponed, which is then written on it."""
    invitation = reminder.invitation
    customer = invitation.customer
    way = histories.way_to(customer, [invitation.mode], invitation.touchpoint_id, needs_consent(invitation.rule))
    mode = way.mode
    expires_at = invitation.expires_at or now
    reason = _reason_against(invitation, histories, reopened)
    if not reason and not mode:
        reason = way.suppressed or (Reason.NO_ADDRESS if way.has_consent else Reason.CONSENT_MISSING)
    if not reason and expires_at <= now:
        reason = Reason.EXPIRED
    if reason:
        return _drop(reminder, reason)
    earliest = now
    last = histories.last_message_to(customer, mode)
    own = invitation.reminded_at if reminder.attempted_at is not None else None  # the latest message may be itself
    if last is not None and (own is None or last > own):
        earliest = max(now, last + timedelta(seconds=terms_of(invitation.rule, organisation).floor_s))
    if earliest > now or not may_go_out(mode, customer, invitation, organisation, now):
        reminder.send_at = planned(earliest, now, customer, mode, invitation.rule, organisation)
        return _drop(reminder, Reason.EXPIRED) if reminder.send_at >= expires_at else ""
    address: str = SENDING[mode].address_of(customer)
    return address


def _reason_against(invitation: Invitation, histories: Histories, reopened: bool) -> str:
    """Why nobody is reminded of this any more; "" where it is still open and unanswered."""
    gone = void_reason(invitation, reopened)
    if gone:
        return gone
    answered_at = histories.last_answer.get(invitation.customer_id)
    since = invitation.attempted_at
    if invitation.status == Invitation.Status.ANSWERED or (answered_at and since and answered_at >= since):
        return Reason.ANSWERED  # to whatever we asked meanwhile: who has just answered is not urged
    if invitation.status == Invitation.Status.EXPIRED:
        return Reason.EXPIRED
    return "" if invitation.status in OPEN else Reason.INACTIVE


def _drop(reminder: Reminder, reason: str) -> str:
    reminder.status, reminder.reason, reminder.lease_until = Status.CANCELLED, reason, None
    return ""


def _give_back(untouched: Sequence[_Claimed]) -> None:
    """What was claimed and not tried is free for the next worker at once. That it was about to leave still counts for the floor."""
    for one in untouched:
        with transaction.atomic():
            _hold(one.reminder)
            row = Reminder.objects.filter(pk=one.reminder.pk, status=Status.SCHEDULED)
            row.update(lease_until=None, attempts=F("attempts") - 1)


def _hold(reminder: Reminder) -> Invitation:
    return Invitation.objects.select_for_update(no_key=True, of=("self",)).get(pk=reminder.invitation_id)


def _settle(one: _Claimed, outcome: Outcome, now: datetime) -> None:
    """Second transaction: what the carrier said."""
    reminder, letter = one.reminder, one.letter
    with transaction.atomic():
        invitation = _hold(reminder)
        mode = reminder.invitation.mode  # as it was when the letter was written
        note_attempt(invitation, mode, letter, outcome, now, reminder.number)
        row = Reminder.objects.filter(pk=reminder.pk)
        waiting = row.filter(status=Status.SCHEDULED)
        if outcome.result == "sent":
            row.update(status=Status.SENT, reason="", sent_at=now, lease_until=None)
        elif is_dead(letter, outcome, now):
            waiting.update(status=Status.FAILED, reason=Reason.BOUNCED, lease_until=None)
            give_up_if_lost(
                invitation, Reason.BOUNCED, outcome.detail, now
            )  # the link before its address: see flow/locks.py
            suppress_bounced(address_hash(letter.to), outcome.detail, now)
        else:
            send_at = now + pause_after(reminder.attempts, outcome)
            is_late = invitation.expires_at is not None and send_at >= invitation.expires_at
            if is_late or is_in_doubt_again(invitation, outcome, reminder.number):
                waiting.update(status=Status.FAILED, reason=Reason.UNDELIVERABLE, lease_until=None)
            else:
                waiting.update(send_at=send_at, lease_until=None)
            give_up_if_lost(invitation, Reason.UNDELIVERABLE, outcome.detail, now)
        forget_if_erased(invitation, letter)
