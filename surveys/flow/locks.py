"""The one order in which rows are locked. In: people. Out: the same people, locked after all that waits for them.

    events that wait, passes of calendars -> links (invitations), and their reminders
        -> people -> addresses -> tickets -> responses -> suppressions -> quotas

Whoever needs rows of two kinds in one transaction takes them in this order, and rows of one kind by their id. Two that go opposite
ways wait for each other until PostgreSQL ends one of them. Whoever holds a later kind already and wants an earlier one does not
wait for it: SKIP LOCKED, or not at all. An INSERT counts too: it holds what its foreign keys point to against erasing.
The reasons stand in docs/decisions/0012. Here may never be a decision about what happens to the rows.
"""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from surveys.models import Customer, InteractionEvent, Invitation, Reminder


def lock_people(people: "QuerySet[Customer]") -> list[Customer]:
    """These people, for a change of all that is theirs: nobody records, invites, sends or answers for them until the end.

    Must run inside a transaction. What came in while we waited for a person could not be locked before them: then everything is
    let go (that is what the savepoint is for) and locked anew.
    """
    while True:
        with transaction.atomic():
            before = [_lock(rows) for rows in _theirs(people)]
            locked = list(people.select_for_update(of=("self",)).order_by("pk"))
            after = [set(rows.values_list("pk", flat=True)) for rows in _theirs(locked)]
            if all(now <= then for now, then in zip(after, before, strict=True)):
                return locked
            transaction.set_rollback(True)


def lock_scheduled_links(customer_id: int | None, also: int | None = None) -> tuple[list[int], list[int]]:
    """The ids of a customer's invitations that wait to be sent, and of those that have a reminder that does; all locked.

    One that is scheduled later is judged when it is due. `also`: a link that the caller needs besides, which is not among them.
    """
    reminding = Reminder.objects.filter(status=Reminder.Status.SCHEDULED, invitation__customer=customer_id)
    theirs = Q(status=Invitation.Status.SCHEDULED) | Q(pk__in=reminding.values("invitation"))
    wanted = Invitation.objects.filter(Q(pk=also) | (Q(customer=customer_id) & theirs))
    locked = wanted.select_for_update(no_key=True).order_by("pk").values_list("pk", "customer_id", "status")
    rows = [(pk, status) for pk, owner, status in locked if owner == customer_id]
    scheduled = [pk for pk, status in rows if status == Invitation.Status.SCHEDULED]
    return scheduled, [pk for pk, status in rows if status != Invitation.Status.SCHEDULED]


def _theirs(people: "QuerySet[Customer] | Iterable[Customer]") -> "tuple[QuerySet[Any], QuerySet[Any]]":
    """What others hold while they want the person: events that are being decided on, links that are being sent or answered."""
    waiting = InteractionEvent.objects.filter(customer__in=people, decided=False)
    return waiting, Invitation.objects.filter(customer__in=people)


def _lock(rows: "QuerySet[Any]") -> set[int]:
    return set(rows.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))
