"""Personal data that is older than the organisation keeps it goes. In: the clock. Out: stripped rows; no count ever moves.

Rows are stripped as `erase` strips them, of everybody: texts, facts, addresses, bodies. A customer of whom nothing has been heard for
that long is erased. Ids follow the order of recording, so a mark per kind says how far it has come: each batch is one transaction,
which moves the mark with the rows, and costs the same however many there are. Killed in the middle, it begins where it was. What
came late with an old date is kept from its recording on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q

from surveys.flow.erase import erase_customer
from surveys.flow.index import index_now
from surveys.flow.locks import lock_people
from surveys.models import (
    Answer,
    Consent,
    Customer,
    DeliveryAttempt,
    InboundText,
    InteractionEvent,
    Invitation,
    Organisation,
    QuarantinedEvent,
    Response,
    ResponseChange,
    RetentionMark,
    SentMessage,
    Ticket,
)

BATCH = 1_000
ROUND = timedelta(hours=20)  # customers are gone through once a day


@dataclass(frozen=True)
class Kind:
    """Rows of one kind in the order of their ids, their time, and what stripping some of them means."""

    name: str
    rows: type[models.Model]
    time: str
    strip: Callable[[Sequence[int]], Any]


def _strip_responses(ids: Sequence[int]) -> None:
    Answer.objects.filter(response__in=ids).exclude(text="").update(text="")
    ResponseChange.objects.filter(response__in=ids).update(answers={})
    Response.objects.filter(pk__in=ids).exclude(comment="", reference="", facts={}).update(
        comment="", reference="", facts={}
    )
    index_now(ids)  # what they are found by names the same words


def _strip_events(ids: Sequence[int]) -> None:
    InteractionEvent.objects.filter(pk__in=ids).exclude(reference="", facts={}).update(reference="", facts={})


def _strip_invitations(ids: Sequence[int]) -> None:
    Invitation.objects.filter(pk__in=ids).exclude(detail="").update(detail="")


def _strip_attempts(ids: Sequence[int]) -> None:
    DeliveryAttempt.objects.filter(pk__in=ids).update(detail="", address_hash="")


def _strip_texts(ids: Sequence[int]) -> None:
    InboundText.objects.filter(pk__in=ids).update(phone="", text="", reply="", detail="", due_at=None)


def _strip_quarantine(ids: Sequence[int]) -> None:
    rows = QuarantinedEvent.objects.filter(pk__in=ids)
    rows.filter(state=QuarantinedEvent.State.WAITING).update(state=QuarantinedEvent.State.DISCARDED)
    rows.update(body="{}", errors=[])


def _delete_messages(ids: Sequence[int]) -> None:
    SentMessage.objects.filter(pk__in=ids).delete()


KINDS = (
    Kind("responses", Response, "recorded_at", _strip_responses),
    Kind("events", InteractionEvent, "received_at", _strip_events),
    Kind("invitations", Invitation, "decided_at", _strip_invitations),
    Kind("attempts", DeliveryAttempt, "at", _strip_attempts),
    Kind("texts", InboundText, "received_at", _strip_texts),
    Kind("quarantine", QuarantinedEvent, "received_at", _strip_quarantine),
    Kind("messages", SentMessage, "at", _delete_messages),
)
CUSTOMERS = "customers"


def retain(clock: Callable[[], datetime], *, over: Callable[[], bool] = lambda: False, batch: int = BATCH) -> int:
    """How many rows were looked at, in batches, until there is nothing older or the shift is `over`. 0 where all is kept for ever."""
    kept = timedelta(seconds=Organisation.current().retention_s)
    looked = 0
    if not kept:
        return 0
    for kind in KINDS:
        while not over() and (done := _retain_batch(kind, clock() - kept, batch)):
            looked += done
    while not over() and (done := _forget_batch(clock(), kept, batch)):
        looked += done
    return looked


def _retain_batch(kind: Kind, cutoff: datetime, batch: int) -> int:
    """The next rows of a kind that are older than `cutoff`. 0 where the next one is not, or where somebody else is at it."""
    with transaction.atomic():
        mark = _mark(kind.name)
        if mark is None:
            return 0
        following = kind.rows._default_manager.filter(pk__gt=mark.last_id).order_by("pk")
        ids = []
        for pk, time in following.values_list("pk", kind.time)[:batch]:
            if time >= cutoff:
                break
            ids.append(pk)
        if ids:
            kind.strip(ids)
            mark.last_id = ids[-1]
            mark.save(update_fields=["last_id"])
        return len(ids)


def _forget_batch(now: datetime, kept: timedelta, batch: int) -> int:
    """Erase the next customers of whom nothing was heard since `now` less `kept`; round and round, once a day."""
    with transaction.atomic():
        mark = _mark(CUSTOMERS)
        if mark is None or (mark.rounded_at is not None and mark.rounded_at > now - ROUND):
            return 0
        ids = list(
            Customer.objects.filter(pk__gt=mark.last_id, erased_at__isnull=True)
            .order_by("pk")
            .values_list("pk", flat=True)[:batch]
        )
        silent = list(_silent(now - kept).filter(pk__in=ids).order_by("pk").values_list("pk", flat=True))
        mark.last_id, mark.rounded_at = (ids[-1], None) if ids else (0, now)
        mark.save(update_fields=["last_id", "rounded_at"])
    # Each in its own transaction, since it locks all that is theirs; who is missed here is met again tomorrow.
    for pk in silent:
        _forget(pk, now, kept)
    return len(ids)


def _forget(pk: int, now: datetime, kept: timedelta) -> None:
    with transaction.atomic():
        lock_people(Customer.objects.filter(pk=pk))
        # Whoever came back while we waited is not forgotten.
        person = _silent(now - kept).filter(pk=pk).first()
        if person is not None:
            erase_customer(person.external_id, now)


def _silent(cutoff: datetime) -> "models.QuerySet[Customer]":
    """Those of whom nothing is as young as `cutoff`, and for whom no ticket is open."""

    def own(rows: Any, **since: datetime) -> Exists:
        return Exists(rows.objects.filter(customer=OuterRef("pk"), **since))

    return Customer.objects.filter(
        ~own(InteractionEvent, received_at__gte=cutoff),
        ~own(InteractionEvent, time__gte=cutoff),
        ~own(Invitation, decided_at__gte=cutoff),
        ~own(Invitation, expires_at__gte=cutoff),
        ~own(Response, recorded_at__gte=cutoff),
        ~own(Consent, recorded_at__gte=cutoff),
        ~Exists(Ticket.objects.filter(customer=OuterRef("pk"), resolved_at__isnull=True, in_ttr=True)),
        Q(profile_at__isnull=True) | Q(profile_at__lt=cutoff),
        erased_at__isnull=True,
        created_at__lt=cutoff,
    )


def _mark(kind: str) -> RetentionMark | None:
    """The kind's mark, locked until the end of the transaction; None where another worker has it."""
    RetentionMark.objects.get_or_create(kind=kind)
    return RetentionMark.objects.select_for_update(skip_locked=True).filter(kind=kind).first()
