"""What became of messages. In: reports of carriers, in any order, again and again, early or late. Out: delivered, sent again, on to the
next mode, or never again.

A report may come before the worker that sent the message has written down its reference; so each waits as a row, and is applied as
soon as there is a message for it. The first final word about a message stands; what it says of the address counts all the same.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from surveys.flow.deliver import PATIENCE, give_up_if_lost, pause_after
from surveys.flow.floor import lock_addresses
from surveys.flow.soft import bounced_too_often
from surveys.flow.suppress import address_hashes, suppress_bounced
from surveys.flow.unsubscribe import complain, unsubscribe
from surveys.letters import Report
from surveys.models import Customer, DeliveryAttempt, Invitation, Receipt, ReceiptKind, Reminder

BATCH = 500
WAIT = timedelta(days=2)  # how long a message may take to become known; ours to replies never do
LEAVING = (ReceiptKind.COMPLAINED, ReceiptKind.UNSUBSCRIBED)  # the person's own word, the stronger one first


def note_receipts(reports: Iterable[Report], provider: str, now: datetime) -> int:
    """Write down what a carrier said; how much there was to write down."""
    rows = [
        Receipt(
            provider=provider,
            reference=report.reference[:200],
            kind=report.kind,
            detail=report.detail[:500],
            received_at=now,
        )
        for report in reports
    ]
    Receipt.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def settle_receipts(now: datetime, limit: int = BATCH) -> int:
    """Apply at most `limit` receipts whose message is known, and drop what has waited in vain; how many were applied."""
    Receipt.objects.filter(received_at__lt=now - WAIT).delete()
    ours = DeliveryAttempt.objects.filter(reference=OuterRef("reference"))
    with transaction.atomic():
        receipts = list(
            Receipt.objects.filter(Exists(ours))
            .select_for_update(skip_locked=True)
            .order_by("received_at", "id")[:limit]
        )
        if not receipts:
            return 0
        attempts: dict[str, DeliveryAttempt] = {}
        references = [receipt.reference for receipt in receipts]
        for attempt in (
            DeliveryAttempt.objects.filter(reference__in=references).select_related("invitation").order_by("id")
        ):
            attempts[attempt.reference] = attempt
        leaving = {attempts[row.reference].invitation.customer_id for row in receipts if row.kind in LEAVING}
        invitations = _lock(attempts.values(), leaving)
        for receipt in receipts:
            attempt = attempts[receipt.reference]
            _apply(receipt, attempt, invitations[attempt.invitation_id], now)
        Receipt.objects.filter(pk__in=[receipt.pk for receipt in receipts]).delete()
    return len(receipts)


def apply_report(attempt: DeliveryAttempt, report: Report, now: datetime) -> None:
    """Apply what is said of a message that is known already, and whose carrier gives it no name."""
    receipt = Receipt(reference=report.reference, kind=report.kind, detail=report.detail[:500], received_at=now)
    leaving = {attempt.invitation.customer_id} if report.kind in LEAVING else set()
    with transaction.atomic():
        invitations = _lock([attempt], leaving)
        _apply(receipt, attempt, invitations[attempt.invitation_id], now)


def _lock(attempts: Iterable[DeliveryAttempt], leaving: set[int]) -> dict[int, Invitation]:
    """The links of these messages, and all that will be wanted of those who are leaving; in one order: see flow/locks.py."""
    links = {attempt.invitation_id for attempt in attempts}
    reminding = Reminder.objects.filter(status=Reminder.Status.SCHEDULED, invitation__customer__in=leaving)
    waiting = Q(status=Invitation.Status.SCHEDULED) | Q(pk__in=reminding.values("invitation"))
    # Rules are read, and not locked.
    locked = Invitation.objects.select_for_update(of=("self",), no_key=True).select_related("rule", "customer")
    found = locked.filter(Q(pk__in=links) | Q(customer__in=leaving) & waiting)
    invitations = {row.pk: row for row in found.order_by("pk")}
    if leaving:
        people = list(Customer.objects.select_for_update(no_key=True).filter(pk__in=leaving).order_by("pk"))
        theirs = {hashed for row in people for hashed in address_hashes(row)}
        lock_addresses(theirs | {attempt.address_hash for attempt in attempts if attempt.address_hash})
    return invitations


def _apply(receipt: Receipt, attempt: DeliveryAttempt, invitation: Invitation, now: datetime) -> None:
    held = DeliveryAttempt.objects.get(pk=attempt.pk)
    is_erased = invitation.customer.erased_at is not None
    detail = "" if is_erased else receipt.detail
    kind = ReceiptKind(receipt.kind)
    is_settled = held.receipt not in ("", ReceiptKind.DEFERRED)
    # The person's own word stands above a carrier's, the stronger above the weaker; else the first final one stands.
    if kind in LEAVING:
        stands = held.receipt in LEAVING and LEAVING.index(ReceiptKind(held.receipt)) <= LEAVING.index(kind)
    else:
        stands = is_settled or (kind == ReceiptKind.DEFERRED and bool(held.receipt))
    if not stands:
        DeliveryAttempt.objects.filter(pk=held.pk).update(receipt=kind, receipt_at=receipt.received_at, detail=detail)
    if kind in LEAVING:
        _mark_delivered(invitation)
        if kind == ReceiptKind.COMPLAINED:
            complain(invitation, now, hashed=held.address_hash, detail=detail)
        else:
            unsubscribe(invitation, now)
        return
    if kind == ReceiptKind.BOUNCED:
        if not is_settled:
            _note_lost(held, invitation, Invitation.Reason.BOUNCED, detail, now)
        suppress_bounced(held.address_hash, detail, now)  # the link before its address: see flow/locks.py
        return
    if stands:
        return
    if kind == ReceiptKind.DELIVERED:
        _mark_delivered(invitation)
    elif kind in (ReceiptKind.SOFT, ReceiptKind.DEFERRED):
        _apply_soft(kind, held, invitation, detail, now)
    else:
        _note_lost(held, invitation, Invitation.Reason.UNDELIVERABLE, detail, now)


def _mark_delivered(invitation: Invitation) -> None:
    row = Invitation.objects.filter(pk=invitation.pk, status=Invitation.Status.SENT)
    row.update(status=Invitation.Status.DELIVERED)


def _note_lost(held: DeliveryAttempt, invitation: Invitation, reason: str, detail: str, now: datetime) -> None:
    """This message will not arrive: on to the next mode, where nothing else of the invitation may have arrived."""
    if held.reminder:  # it alone has failed; its invitation may have arrived
        reminder = Reminder.objects.filter(invitation=invitation, number=held.reminder, status=Reminder.Status.SENT)
        reminder.update(status=Reminder.Status.FAILED, reason=reason)
    give_up_if_lost(invitation, reason, detail, now)


def _apply_soft(kind: str, held: DeliveryAttempt, invitation: Invitation, detail: str, now: datetime) -> None:
    """Sent again, as after a temporary failure; while the carrier itself goes on trying, by it alone. Too often is for good."""
    if bounced_too_often(held.address_hash, now):
        if kind == ReceiptKind.SOFT:
            _note_lost(held, invitation, Invitation.Reason.BOUNCED, detail, now)
        suppress_bounced(held.address_hash, detail, now)
    elif kind == ReceiptKind.SOFT:
        newer = DeliveryAttempt.objects.filter(invitation=invitation, reminder=held.reminder, pk__gt=held.pk)
        if not newer.exists() and not _send_again(held, invitation, detail, now):
            _note_lost(held, invitation, Invitation.Reason.UNDELIVERABLE, detail, now)


def _send_again(held: DeliveryAttempt, invitation: Invitation, detail: str, now: datetime) -> bool:
    """False where it has been tried for too long, or nobody waits for it any more."""
    if held.reminder:
        reminder = Reminder.objects.filter(invitation=invitation, number=held.reminder).first()
        first_at, attempts = (reminder.attempted_at, reminder.attempts) if reminder else (None, 1)
    else:
        first_at, attempts = invitation.attempted_at, invitation.attempts
    send_at = now + pause_after(attempts)
    if first_at is not None and now - first_at > PATIENCE:
        return False
    if held.reminder:
        if invitation.expires_at is not None and send_at >= invitation.expires_at:
            return False
        sent = Reminder.objects.filter(invitation=invitation, number=held.reminder, status=Reminder.Status.SENT)
        sent.update(status=Reminder.Status.SCHEDULED, send_at=send_at, sent_at=None, lease_until=None)
        return True
    reminders = Reminder.objects.filter(invitation=invitation)
    if reminders.filter(Q(status=Reminder.Status.SENT) | Q(lease_until__isnull=False)).exists():
        return True  # which has been the next try
    row = Invitation.objects.filter(pk=invitation.pk, status=Invitation.Status.SENT)
    if row.update(
        status=Invitation.Status.SCHEDULED,
        send_at=send_at,
        sent_at=None,
        expires_at=None,
        detail=detail,
        lease_until=None,
    ):
        reminders.filter(status=Reminder.Status.SCHEDULED).delete()  # planned anew when it is sent
    return True
