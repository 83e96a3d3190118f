"""What became of messages. In: reports of carriers, in any order, again and again, early or late. Out: delivered, or on to the next mode.

A report may come before the worker that sent the message has written down its reference; so each waits as a row, and is applied as
soon as there is a message for it. The first final word about a message stands.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef

from surveys.channels.sms.shape import Report
from surveys.flow.deliver import give_up_if_lost
from surveys.flow.suppress import suppress_bounced
from surveys.models import DeliveryAttempt, Invitation, Receipt, ReceiptKind, Reminder

BATCH = 500
WAIT = timedelta(days=2)  # how long a message may take to become known; ours to replies never do


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
        for attempt in DeliveryAttempt.objects.filter(reference__in=references).order_by("id"):
            attempts[attempt.reference] = attempt
        links = {attempt.invitation_id for attempt in attempts.values()}
        # Links first, by their id: see flow/locks.py. Rules are read, and not locked.
        locked = Invitation.objects.select_for_update(of=("self",), no_key=True).select_related("rule", "customer")
        invitations = {row.pk: row for row in locked.filter(pk__in=links).order_by("pk")}
        for receipt in receipts:
            attempt = attempts[receipt.reference]
            _apply(receipt, attempt, invitations[attempt.invitation_id], now)
        Receipt.objects.filter(pk__in=[receipt.pk for receipt in receipts]).delete()
    return len(receipts)


def _apply(receipt: Receipt, attempt: DeliveryAttempt, invitation: Invitation, now: datetime) -> None:
    held = DeliveryAttempt.objects.get(pk=attempt.pk)
    if held.receipt:
        return
    is_erased = invitation.customer.erased_at is not None
    DeliveryAttempt.objects.filter(pk=held.pk).update(
        receipt=receipt.kind, receipt_at=receipt.received_at, detail="" if is_erased else receipt.detail
    )
    if receipt.kind == ReceiptKind.DELIVERED:
        Invitation.objects.filter(pk=invitation.pk, status=Invitation.Status.SENT).update(
            status=Invitation.Status.DELIVERED
        )
        return
    bounced = receipt.kind == ReceiptKind.BOUNCED
    detail = "" if is_erased else receipt.detail
    reason = Invitation.Reason.BOUNCED if bounced else Invitation.Reason.UNDELIVERABLE
    if held.reminder:  # it alone has failed; its invitation may have arrived
        reminder = Reminder.objects.filter(invitation=invitation, number=held.reminder, status=Reminder.Status.SENT)
        reminder.update(status=Reminder.Status.FAILED, reason=reason)
    give_up_if_lost(invitation, reason, detail, now)
    if bounced:
        suppress_bounced(held.address_hash, detail, now)
