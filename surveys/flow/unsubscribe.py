"""Never again: in comes an invitation's token's owner, or a number that wrote STOP; out go suppressions and what waited. And back."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from surveys.channels import SENDING
from surveys.flow.addresses import address_hash
from surveys.flow.consent import newest_acts, restore_consents, withdraw_consents
from surveys.flow.floor import lock_addresses
from surveys.flow.locks import lock_scheduled_links
from surveys.flow.suppress import address_hashes, hashes_against, lift, person_hash, suppress
from surveys.models import Consent, Customer, Invitation, Purpose, Reminder, Scope, Suppression, SuppressionLift

Reason, Source = Suppression.Reason, SuppressionLift.Source


def unsubscribe(invitation: Invitation, now: datetime, scope: str = Scope.ALL_SURVEYS, *, wording: str = "") -> None:
    """The owner of an invitation wants no more of `scope`. Twice is the same as once, and whatever became of the invitation.

    All of their addresses are suppressed, and the person, so that addresses that become known later are meant too. What waited for
    them is withdrawn, and so is what they had consented to. THIS_SURVEY is the invitation's touchpoint. `wording`: what they read.
    """
    touchpoint_id = invitation.touchpoint_id if scope == Scope.THIS_SURVEY else 0
    with transaction.atomic():
        customer = _stop_person(invitation, Reason.UNSUBSCRIBED, now, scope, touchpoint_id)
        if customer.erased_at is None:
            withdraw_consents(customer, scope, Consent.Source.PAGE, now, wording)


def complain(invitation: Invitation, now: datetime, *, hashed: str = "", detail: str = "") -> None:
    """Somebody called a message spam: nothing goes to them any more, by any address. `hashed`: of the one that it went to."""
    with transaction.atomic():
        _stop_person(invitation, Reason.COMPLAINED, now, Scope.ALL_MESSAGES, 0, hashed, detail)


def _stop_person(
    invitation: Invitation,
    reason: str,
    now: datetime,
    scope: str,
    touchpoint_id: int,
    hashed: str = "",
    detail: str = "",
) -> Customer:
    """Inside the caller's transaction. The customer, locked."""
    waiting, reminding = lock_scheduled_links(invitation.customer_id)  # links before the person: see flow/locks.py
    customer = Customer.objects.select_for_update(no_key=True).get(pk=invitation.customer_id)
    hashes = [*address_hashes(customer), hashed] if hashed else address_hashes(customer)
    # Somebody else may have the same address, and be written to just now: whoever comes after us sees it.
    lock_addresses(hashes)
    suppress(
        hashes,
        reason,
        now,
        scope=scope,
        touchpoint_id=touchpoint_id,
        person=person_hash(customer),
        detail="" if customer.erased_at else detail,
    )
    _withdraw(waiting, reminding, touchpoint_id)
    return customer


def resubscribe(invitation: Invitation, now: datetime, *, wording: str = "") -> bool:
    """The owner of an invitation takes back what they asked for, in every scope, and consents again to what they had withdrawn by a
    page; False where nothing of the kind stood.

    Bounces and complaints stay. So does the STOP of a number: whoever has the link need not have the phone.
    """
    with transaction.atomic():
        customer = Customer.objects.select_for_update(no_key=True).get(pk=invitation.customer_id)
        own = Suppression.objects.filter(address_hash__in=hashes_against(customer), reason=Reason.UNSUBSCRIBED)
        lifted = lift(own.exclude(origin_hash=F("address_hash")), now, Source.PAGE)
        restored = customer.erased_at is None and restore_consents(customer, Consent.Source.PAGE, now, wording)
    return lifted > 0 or restored


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody has asked for: the widest scope, "" for nothing; whether they can take it back by a page, and by a text."""

    scope: str = ""
    by_page: bool = False
    by_text: bool = False


def standing_of(invitation: Invitation) -> Standing:
    """What stands against asking the owner of an invitation by the way that it went; by any, where it went to no address."""
    customer = Customer.objects.get(pk=invitation.customer_id)
    channel = SENDING.get(invitation.mode)
    address = channel.address_of(customer) if channel else ""
    hashes = [person_hash(customer), *([address_hash(address)] if address else address_hashes(customer))]
    rows = Suppression.objects.filter(address_hash__in=hashes, touchpoint_key__in=(0, invitation.touchpoint_id))
    held = list(rows.exclude(reason=Reason.BOUNCED))
    if not held:  # staff may have lifted it, and what was withdrawn is withdrawn
        taken_back = any(
            not act.given and act.source == Consent.Source.PAGE and act.purpose == Purpose.SURVEYS
            for act in newest_acts(customer)
        )
        return Standing(Scope.ALL_SURVEYS, by_page=True) if taken_back else Standing()
    scope = max((row.scope for row in held), key=list(Scope.values).index)
    own = [row for row in held if row.reason == Reason.UNSUBSCRIBED]
    stopped = [row for row in own if row.origin_hash == row.address_hash]
    return Standing(scope, by_page=len(own) > len(stopped), by_text=bool(stopped) and len(own) == len(held))


def stop_number(phone: str, customer_id: int | None, now: datetime, link_id: int | None = None) -> bool:
    """STOP: no messages to a number and, where it is one person's, to any address of theirs; what waits is withdrawn. False where
    it was stopped.

    `customer_id`: whom we asked at this number, if anybody. `link_id`: a link that the caller will point to; it is held to the end.
    """
    stopped = address_hash(phone)
    with transaction.atomic():
        people = list(Customer.objects.filter(phone=phone).order_by("pk").values_list("pk", flat=True)[:2])
        people = people or ([customer_id] if customer_id else [])
        person = people[0] if len(people) == 1 else None  # what several share says nothing of their other addresses
        waiting, reminding = lock_scheduled_links(person, link_id)  # links before the person: see flow/locks.py
        hashes, person_key = [stopped], ""
        if person:
            customer = Customer.objects.select_for_update(no_key=True).get(pk=person)
            hashes, person_key = [*{stopped, *address_hashes(customer)}], person_hash(customer)
            withdraw_consents(customer, Scope.ALL_MESSAGES, Consent.Source.TEXT, now)
        lock_addresses(hashes)
        own = Suppression.objects.filter(address_hash=stopped, reason=Reason.UNSUBSCRIBED, scope=Scope.ALL_MESSAGES)
        was_stopped = own.exists()
        suppress(hashes, Reason.UNSUBSCRIBED, now, person=person_key, origin=stopped)
        _withdraw(waiting, reminding)
    return not was_stopped


def _withdraw(waiting: Iterable[int], reminding: Iterable[int], touchpoint_id: int = 0) -> None:
    """Invitations that wait, and the reminders of those that are out; all of them locked. `touchpoint_id`: those about it alone."""
    invitations = Invitation.objects.filter(pk__in=waiting)
    reminders = Reminder.objects.filter(invitation__in=reminding, status=Reminder.Status.SCHEDULED)
    if touchpoint_id:
        invitations = invitations.filter(touchpoint=touchpoint_id)
        reminders = reminders.filter(invitation__touchpoint=touchpoint_id)
    invitations.update(status=Invitation.Status.WITHHELD, reason=Invitation.Reason.UNSUBSCRIBED, lease_until=None)
    # Also where the address is another by the time that the reminder is due.
    reminders.update(status=Reminder.Status.CANCELLED, reason=Reminder.Reason.UNSUBSCRIBED, lease_until=None)


def rejoin_number(phone: str, now: datetime) -> bool:
    """START: what the person at this number has stopped may be written to again. Bounces and complaints stay; so does what an
    email's link has stopped. False where there was nothing to lift."""
    hashed = address_hash(phone)
    with transaction.atomic():
        people = list(Customer.objects.select_for_update(no_key=True).filter(phone=phone).order_by("pk"))
        own = Q(address_hash__in=[hashed, *map(person_hash, people)]) | Q(origin_hash=hashed)
        lifted = lift(Suppression.objects.filter(own, reason=Reason.UNSUBSCRIBED), now, Source.TEXT)
        restored = [restore_consents(customer, Consent.Source.TEXT, now) for customer in people]
    return lifted > 0 or any(restored)


def lift_suppression(suppression_id: int, now: datetime, by: Any, why: str) -> bool:
    """A member of staff lets an address be written to again, for a reason; False where it was not suppressed."""
    return lift(Suppression.objects.filter(pk=suppression_id), now, Source.STAFF, by=by, why=why) > 0
