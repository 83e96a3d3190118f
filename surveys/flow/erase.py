"""A customer's personal data goes, what was counted stays. In: an external id. Out: stripped rows, or everything that is held.

Nothing is deleted that a number rests on: a response keeps its id, scores, day, touchpoint, mode, segment and location, an event
its (source, id), so that a redelivery stays a duplicate. The suppression hash stays too: an address that asked not to be
written to must stay unwritten. Afterwards the external id is unknown; when it comes again it is a new person.
"""

import json
import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from surveys.channels import SENDING
from surveys.flow.addresses import address_hash
from surveys.flow.consent import PURPOSES, newest_acts
from surveys.flow.customers import FIELDS
from surveys.flow.index import index_now
from surveys.flow.locks import lock_people
from surveys.flow.suppress import hashes_against, suppress, suppressions_of
from surveys.models import (
    Answer,
    Consent,
    Customer,
    DeliveryAttempt,
    InboundText,
    InteractionEvent,
    Invitation,
    QuarantinedEvent,
    Reminder,
    Response,
    ResponseChange,
    Scope,
    SentMessage,
    Suppression,
    SuppressionLift,
    Ticket,
    Touchpoint,
)
from surveys.models.customers import SuppressionFacts

ERASED = "erased"  # the words are gone; that there were some is part of the proof


class NoSuchCustomer(LookupError):
    """Nobody is known by this external id (any more)."""


def erase_customer(external_id: str, now: datetime) -> None:
    """Strip everything personal, in one transaction. NoSuchCustomer where there is nobody."""
    with transaction.atomic():
        # Whoever is recording, sending or answering something of this person finishes first, and is seen by what follows.
        customer = next(iter(lock_people(_known(external_id))), None)
        if customer is None:
            raise NoSuchCustomer(external_id)
        addresses = {address for address in (customer.email, customer.phone) if address}
        _erase_invitations(customer, now)
        _erase_answers(customer)
        _erase_mails(customer)
        _texts(customer).update(phone="", text="", reply="", detail="", due_at=None)
        InteractionEvent.objects.filter(customer=customer).update(facts={}, reference="")
        _erase_quarantine({external_id, *addresses}, now)
        # A mail server's words quote the address; that it must not be written to stays known.
        _keep_withdrawals(customer, now)
        # Proof of what was agreed to, and taken back, stays; what somebody noted beside it goes.
        Consent.objects.filter(customer=customer).exclude(detail="").update(detail=ERASED)
        hashes = hashes_against(customer)
        Suppression.objects.filter(address_hash__in=hashes).update(detail="")
        SuppressionLift.objects.filter(address_hash__in=hashes).update(detail="", why="")
        name = f"erased-{customer.pk}-{secrets.token_hex(8)}"  # nobody can send an event for it
        Customer.objects.filter(pk=customer.pk).update(
            external_id=name, attributes={}, erased_at=now, **dict.fromkeys(FIELDS, "")
        )
        # The admin's history quotes the name that a row had.
        entries = LogEntry.objects.filter(
            content_type=ContentType.objects.get_for_model(Customer), object_id=customer.pk
        )
        entries.update(object_repr=name, change_message="")


def _keep_withdrawals(customer: Customer, now: datetime) -> None:
    """Whoever comes back is a new person, of whose withdrawal nobody knows: it stays as what is asked of the address."""
    taken_back = {(row.purpose, row.mode) for row in newest_acts(customer) if not row.given}
    for mode, channel in SENDING.items():
        purposes = {purpose for purpose, its_mode in taken_back if its_mode == mode}
        address = channel.address_of(customer)
        for scope in (Scope.ALL_MESSAGES, Scope.ALL_SURVEYS):
            if address and purposes >= set(PURPOSES[scope]):
                suppress([address_hash(address)], Suppression.Reason.UNSUBSCRIBED, now, scope=scope)
                break


def _known(external_id: str) -> "QuerySet[Customer]":
    known = Customer.objects.filter(erased_at__isnull=True)
    return known.filter(external_id=external_id) if "\x00" not in external_id else known.none()


def _find(external_id: str) -> Customer:
    customer = _known(external_id).first()
    if customer is None:
        raise NoSuchCustomer(external_id)
    return customer


def _erase_invitations(customer: Customer, now: datetime) -> None:
    """What is out can no longer be answered, what waits is not sent. A mail server's words may quote the address."""
    invitations = Invitation.objects.filter(customer=customer)
    open_ones = invitations.filter(status__in=["scheduled", "sent", "delivered", "opened"])
    open_ones.update(status=Invitation.Status.CANCELLED, reason=Invitation.Reason.ERASED, lease_until=None)
    invitations.update(detail="", expires_at=now)
    invitations.exclude(status=Invitation.Status.ANSWERED).update(token=None)
    DeliveryAttempt.objects.filter(invitation__customer=customer).update(detail="", address_hash="")
    Reminder.objects.filter(invitation__customer=customer, status=Reminder.Status.SCHEDULED).update(
        status=Reminder.Status.CANCELLED, reason=Reminder.Reason.ERASED, lease_until=None
    )


def _erase_answers(customer: Customer) -> None:
    Answer.objects.filter(response__customer=customer).exclude(text="").update(text="")
    Response.objects.filter(customer=customer).exclude(comment="").update(comment="")
    Response.objects.filter(customer=customer).update(reference="", facts={})
    # Of what was answered before, the score alone says nothing of anybody.
    ResponseChange.objects.filter(response__customer=customer).update(answers={})
    # After the rows above are locked: a worker that read the words before has written its terms by now.
    index_now(Response.objects.filter(customer=customer).values_list("pk", flat=True))


def _erase_mails(customer: Customer) -> None:
    """Mails to the customer, to former addresses as well, and what staff were told of the answers."""
    written = Q(message_id__in=_attempts(customer).values("message_id"))
    if customer.email:
        written |= Q(to__iexact=customer.email)
    if customer.phone:
        written |= Q(to=customer.phone)
    for response_id in Response.objects.filter(customer=customer).values_list("pk", flat=True):
        written |= Q(text__contains=f"/response/{response_id}/")
    SentMessage.objects.filter(written).delete()


def _texts(customer: Customer) -> "QuerySet[InboundText]":
    """What the customer texted to us, and what we said to it; a number may have changed hands since."""
    own = Q(invitation__customer=customer)
    if customer.phone:
        own |= Q(phone=customer.phone, invitation=None)
    return InboundText.objects.filter(own)


def _erase_quarantine(words: set[str], now: datetime) -> None:
    ids = [row.pk for row in _quarantined(words)]
    rows = QuarantinedEvent.objects.filter(pk__in=ids)
    rows.filter(state=QuarantinedEvent.State.WAITING).update(state=QuarantinedEvent.State.DISCARDED, settled_at=now)
    rows.update(body="{}", errors=[])


def _quarantined(words: Iterable[str]) -> Iterator[QuarantinedEvent]:
    """Quarantined events in which one of `words` stands as a whole value."""
    wanted = {word.casefold() for word in words}
    escaped = [json.dumps(word)[1:-1].lower() for word in words]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT id FROM {QuarantinedEvent._meta.db_table}
                WHERE EXISTS (SELECT FROM unnest(%s::text[]) AS word WHERE strpos(lower(body), word) > 0)""",
            [escaped],
        )
        ids = [row[0] for row in cursor.fetchall()]
    for row in QuarantinedEvent.objects.filter(pk__in=ids).order_by("id"):
        if any(value.casefold() in wanted for value in _values(json.loads(row.body))):
            yield row


def _values(value: Any) -> Iterator[str]:
    """Every string and number of a JSON document, as text."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
        else:
            yield str(found).strip()


def export_customer(external_id: str) -> dict[str, Any]:
    """All that is held of a customer, as JSON values. NoSuchCustomer where there is nobody."""
    customer = _find(external_id)
    addresses = [address for address in (customer.email, customer.phone) if address]
    mails = SentMessage.objects.filter(
        Q(to__iexact=customer.email) & ~Q(to="")
        | Q(to=customer.phone) & ~Q(to="")
        | Q(message_id__in=_attempts(customer).values("message_id"))
    )  # fmt: skip
    return {
        "customer": {
            "external_id": customer.external_id,
            **{name: getattr(customer, name) for name in FIELDS},
            "preferred_modes": customer.preference,
            "attributes": customer.attributes,
            "profile_at": customer.profile_at,
            "created_at": customer.created_at,
        },
        "events": [
            _event(row) for row in _of(InteractionEvent, customer).select_related("touchpoint").order_by("time", "id")
        ],
        "tickets": [_ticket(row) for row in _of(Ticket, customer).select_related("touchpoint").order_by("id")],
        "invitations": [_invitation(row) for row in _invitations(customer)],
        "responses": [_response(row) for row in _responses(customer)],
        "suppressions": [
            {**_stop(row), "detail": row.detail, "created_at": row.created_at} for row in suppressions_of(customer)
        ],
        "lifted_suppressions": [
            {**_stop(row), **{name: getattr(row, name) for name in ("detail", "since", "lifted_at", "source", "why")}}
            for row in SuppressionLift.objects.filter(address_hash__in=hashes_against(customer)).order_by(
                "lifted_at", "id"
            )
        ],
        "consents": list(
            _of(Consent, customer)
            .order_by("at", "id")
            .values("mode", "purpose", "given", "at", "recorded_at", "source", "detail", "text_version", "wording")
        ),
        "messages": list(mails.order_by("at", "id").values("at", "to", "subject", "text", "html")),
        "texts": list(
            _texts(customer).order_by("id").values("received_at", "phone", "text", "meaning", "reply", "replied_at")
        ),
        "quarantine": [
            {"received_at": row.received_at, "state": row.state, "body": json.loads(row.body), "errors": row.errors}
            for row in _quarantined({external_id, *addresses})
        ],
    }


def _stop(row: SuppressionFacts) -> dict[str, Any]:
    """What a suppression, or the record of its lifting, says; its touchpoint where it is about one survey."""
    about = Touchpoint.objects.filter(pk=row.touchpoint_key).values_list("slug", flat=True).first()
    return {
        "of": "person" if row.of_person else "address",
        "reason": row.reason,
        "scope": row.scope,
        "touchpoint": about,
    }


def _of(model: Any, customer: Customer) -> Any:
    return model.objects.filter(customer=customer)


def _attempts(customer: Customer) -> Any:
    return DeliveryAttempt.objects.filter(invitation__customer=customer).exclude(message_id="")


def _invitations(customer: Customer) -> Any:
    rows = _of(Invitation, customer).select_related("touchpoint", "instrument", "rule")
    return rows.prefetch_related("delivery_attempts", "reminders").order_by("id")


def _responses(customer: Customer) -> Any:
    rows = _of(Response, customer).select_related("touchpoint", "version__instrument", "privacy_notice")
    return rows.prefetch_related("answers__question", "changes").order_by("id")


def _slug(row: Any) -> str | None:
    return row.slug if row is not None else None


def _event(row: InteractionEvent) -> dict[str, Any]:
    plain = ("source", "type", "time", "received_at", "reference", "location", "facts")
    return {"id": row.event_id, "touchpoint": _slug(row.touchpoint), **{name: getattr(row, name) for name in plain}}


def _ticket(row: Ticket) -> dict[str, Any]:
    times = ("opened_at", "first_response_at", "resolved_at", "closed_at", "reopened_count")
    plain = ("source", "reference", "segment", "location", *times, "business_s", "first_business_s")
    return {"touchpoint": _slug(row.touchpoint), **{name: getattr(row, name) for name in plain}}


def _invitation(row: Invitation) -> dict[str, Any]:
    """Without its token: that is the right to answer, and belongs to the customer alone."""
    times = ("decided_at", "send_at", "sent_at", "opened_at", "answered_at", "expires_at")
    return {
        "touchpoint": row.touchpoint.slug,
        "instrument": row.instrument.slug,
        "rule": _slug(row.rule),
        "period": row.period,
        **{name: getattr(row, name) for name in ("mode", "status", "reason", "detail", "language", "location", *times)},
        "deliveries": [
            {name: getattr(attempt, name) for name in ("at", "mode", "reminder", "message_id", "result", "detail")}
            for attempt in row.delivery_attempts.all()
        ],
        "reminders": [
            {name: getattr(reminder, name) for name in ("number", "status", "reason", "send_at", "sent_at")}
            for reminder in row.reminders.all()
        ],
    }


def _response(row: Response) -> dict[str, Any]:
    times = ("responded_at", "completed_at", "changed_at", "excluded_at")
    plain = ("mode", "segment", "location", "language", "day", "reference", "facts", *times)
    return {
        "id": row.client_id,
        "touchpoint": row.touchpoint.slug,
        "instrument": row.version.instrument.slug,
        **{name: getattr(row, name) for name in plain},
        "answers": {answer.question.key: answer.value for answer in row.answers.all()},
        "earlier_answers": [
            {"replaced_at": change.replaced_at, "answers": change.answers} for change in row.changes.all()
        ],
        "privacy_notice": row.privacy_notice.texts if row.privacy_notice else None,
    }
