"""Never again: in comes an invitation's token's owner, out go a suppression and the invitations that waited."""

from datetime import datetime

from django.db import transaction

from surveys.flow.addresses import address_hash
from surveys.flow.locks import lock_scheduled_links
from surveys.models import Customer, Invitation, Reminder, Suppression


def unsubscribe(invitation: Invitation, now: datetime) -> None:
    """Suppress the customer's addresses and withdraw what was scheduled. Twice is the same as once."""
    with transaction.atomic():
        waiting, reminding = lock_scheduled_links(invitation.customer_id)  # links before the person: see flow/locks.py
        customer = Customer.objects.select_for_update(no_key=True).get(pk=invitation.customer_id)
        for address in filter(None, (customer.email, customer.phone)):
            row, created = Suppression.objects.get_or_create(
                address_hash=address_hash(address),
                defaults={"reason": Suppression.Reason.UNSUBSCRIBED, "created_at": now},
            )
            if not created and row.reason == Suppression.Reason.BOUNCED:
                Suppression.objects.filter(pk=row.pk).update(reason=Suppression.Reason.UNSUBSCRIBED, created_at=now)
        Invitation.objects.filter(pk__in=waiting).update(
            status=Invitation.Status.WITHHELD, reason=Invitation.Reason.UNSUBSCRIBED, lease_until=None
        )
        # Also where the address is another by the time that the reminder is due.
        Reminder.objects.filter(invitation__in=reminding, status=Reminder.Status.SCHEDULED).update(
            status=Reminder.Status.CANCELLED, reason=Reminder.Reason.UNSUBSCRIBED, lease_until=None
        )


def lift_suppression(suppression_id: int) -> bool:
    """Let an address be written to again; False where it was not suppressed. What was withheld meanwhile stays withheld."""
    deleted, _by_model = Suppression.objects.filter(pk=suppression_id).delete()
    return deleted > 0
