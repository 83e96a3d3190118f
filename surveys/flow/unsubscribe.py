"""Never again: in comes an invitation's token's owner, or a number that wrote STOP; out go suppressions and what waited. And back."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import Q

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
        _withdraw(waiting, reminding)


def complain(invitation: Invitation, now: datetime, *, hashed: str = "", detail: str = "") -> None:
    """Somebody called a message spam: nothing goes to them any more, by any address. `hashed`: of the one that it went to."""
    with transaction.atomic():
        waiting, reminding = lock_scheduled_links(invitation.customer_id)
        customer = Customer.objects.select_for_update(no_key=True).get(pk=invitation.customer_id)
        own = {address_hash(address) for address in (customer.email, customer.phone) if address}
        for key in sorted(own | ({hashed} if hashed else set())):
            facts = {"reason": Suppression.Reason.COMPLAINED, "detail": detail, "created_at": now}
            row, created = Suppression.objects.get_or_create(address_hash=key, defaults=facts)
            if not created and row.reason != Suppression.Reason.COMPLAINED:
                Suppression.objects.filter(pk=row.pk).update(**facts)
        _withdraw(waiting, reminding)


def stop_number(phone: str, customer_id: int | None, now: datetime, link_id: int | None = None) -> bool:
    """Suppress a number and, where it is one person's, all addresses of theirs, and withdraw what waits. False where it was stopped.

    `customer_id`: whom we asked at this number, if anybody. `link_id`: a link that the caller will point to; it is held to the end.
    """
    stopped = address_hash(phone)
    with transaction.atomic():
        people = list(Customer.objects.filter(phone=phone).order_by("pk").values_list("pk", flat=True)[:2])
        people = people or ([customer_id] if customer_id else [])
        person = people[0] if len(people) == 1 else None  # what several share says nothing of their other addresses
        waiting, reminding = lock_scheduled_links(person, link_id)  # links before the person: see flow/locks.py
        addresses = []
        if person:
            customer = Customer.objects.select_for_update(no_key=True).get(pk=person)
            addresses = [address for address in (customer.email, customer.phone) if address]
        was_stopped = Suppression.objects.filter(address_hash=stopped, reason=Suppression.Reason.UNSUBSCRIBED).exists()
        for hashed in sorted({stopped, *map(address_hash, addresses)}):
            row, created = Suppression.objects.get_or_create(
                address_hash=hashed,
                defaults={"reason": Suppression.Reason.UNSUBSCRIBED, "created_at": now, "origin_hash": stopped},
            )
            if not created and row.reason == Suppression.Reason.BOUNCED and hashed == stopped:
                Suppression.objects.filter(pk=row.pk).update(
                    reason=Suppression.Reason.UNSUBSCRIBED, created_at=now, origin_hash=stopped
                )
        _withdraw(waiting, reminding)
    return not was_stopped


def _withdraw(waiting: Iterable[int], reminding: Iterable[int]) -> None:
    """Invitations that wait, and the reminders of those that are out; all of them locked."""
    Invitation.objects.filter(pk__in=waiting).update(
        status=Invitation.Status.WITHHELD, reason=Invitation.Reason.UNSUBSCRIBED, lease_until=None
    )
    # Also where the address is another by the time that the reminder is due.
    Reminder.objects.filter(invitation__in=reminding, status=Reminder.Status.SCHEDULED).update(
        status=Reminder.Status.CANCELLED, reason=Reminder.Reason.UNSUBSCRIBED, lease_until=None
    )


def rejoin_number(phone: str) -> bool:
    """START: what the person at this number has stopped may be written to again. Bounces and complaints stay; so does what an
    email's link has stopped. False where there was nothing to lift."""
    hashed = address_hash(phone)
    own = Q(address_hash=hashed) | Q(origin_hash=hashed)
    deleted, _by_model = Suppression.objects.filter(own, reason=Suppression.Reason.UNSUBSCRIBED).delete()
    return deleted > 0


def lift_suppression(suppression_id: int) -> bool:
    """Let an address be written to again; False where it was not suppressed. What was withheld meanwhile stays withheld."""
    deleted, _by_model = Suppression.objects.filter(pk=suppression_id).delete()
    return deleted > 0
