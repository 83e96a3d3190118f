"""From events to invitations. In: events that wait. Out: one Invitation per (rule, event): scheduled, or withheld with its reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q

from surveys.channels import SENDING
from surveys.expressions import Expression, parse
from surveys.flow.addresses import address_hash
from surveys.flow.eligibility import Decision, History, RuleTerms, decide, draw
from surveys.flow.tickets import reopened_since
from surveys.models import (
    Customer,
    Instrument,
    InteractionEvent,
    Invitation,
    InvitationRule,
    Organisation,
    Response,
    Suppression,
    Touchpoint,
)
from surveys.models.invitations import make_token

BATCH = 500
ANY = Q()
compiled: Callable[[str], Expression] = lru_cache(maxsize=512)(parse)


def drain(
    clock: Callable[[], datetime],
    limit: int = BATCH,
    among: Q = ANY,
    by: Q = ANY,
    *,
    over: Callable[[], bool] = lambda: False,
) -> int:
    """Decide on all events that wait, in batches, until it is `over`; how many were decided on.

    `among`: which events, where not all. `by`: which rules are asked, where not all.
    """
    total = 0
    while True:
        done = invite_pending(clock(), limit, among, by)
        total += done
        if done < limit or over():
            return total


def invite_pending(now: datetime, limit: int = BATCH, among: Q = ANY, by: Q = ANY) -> int:
    """Claim at most `limit` undecided events and ask every active rule of their type. Returns how many were claimed."""
    with transaction.atomic():
        events = list(
            InteractionEvent.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(among, decided=False)
            .select_related("customer", "touchpoint")
            .order_by("id")[:limit]
        )
        if events:
            rows = _decide_on(events, _rules_by_type(events, by), now)
            Invitation.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
            InteractionEvent.objects.filter(id__in=[event.id for event in events]).update(decided=True)
    return len(events)


def _decide_on(
    events: Sequence[InteractionEvent], rules: Mapping[str, list[InvitationRule]], now: datetime
) -> list[Invitation]:
    organisation = Organisation.current()
    histories = Histories.load({event.customer for event in events})
    reopened = reopened_since(events)
    rows: list[Invitation] = []
    for event in events:
        matching = rules.get(event.type, []) + (
            rules.get(event.ticket_event, []) if event.ticket_event and event.ticket_event != event.type else []
        )
        for rule in matching:
            decision, mode = _ask(rule, event, organisation, histories, event.pk in reopened, now)
            rows.append(_row(rule, event, decision, mode, organisation, now))
    return rows


def _rules_by_type(events: Iterable[InteractionEvent], by: Q) -> dict[str, list[InvitationRule]]:
    """The active rules that wait for the types of these events."""
    types = {event.type for event in events} | {event.ticket_event for event in events}
    active = InvitationRule.objects.filter(by, event_type__in=types, active=True, touchpoint__active=True)
    rules: dict[str, list[InvitationRule]] = {}
    for rule in active.select_related("touchpoint__instrument", "instrument").order_by("slug"):
        rules.setdefault(rule.event_type, []).append(rule)
    return rules


def _ask(
    rule: InvitationRule,
    event: InteractionEvent,
    organisation: Organisation,
    histories: "Histories",
    reopened: bool,
    now: datetime,
) -> tuple[Decision, str]:
    customer = event.customer
    mode, suppressed = histories.way_to(customer, rule.modes)
    history = History(
        event_at=event.time,
        suppressed=suppressed,
        has_address=bool(mode) or bool(suppressed),
        condition_met=compiled(rule.when).evaluate(context_of(event)),
        reopened=reopened,
        draw=draw(settings.SECRET_KEY, rule.slug, event.source, event.event_id),
        last_same_at=histories.last_same.get((customer.pk, rule.touchpoint_id)),
        last_any_at=histories.last_any.get(customer.pk),
        last_message_at=histories.last_message.get(customer.pk),
    )
    return decide(terms_of(rule, organisation), history, now), mode


def context_of(event: InteractionEvent) -> dict[str, object]:
    """What a rule's condition may look at."""
    customer = event.customer
    return {
        "facts": event.facts,
        "customer": {
            "external_id": customer.external_id,
            "language": customer.language,
            "segment": customer.segment,
            "time_zone": customer.time_zone,
            "attributes": customer.attributes,
        },
        "event": {
            "type": event.type,
            "source": event.source,
            "time": event.time.isoformat(),
            "reference": event.reference,
            "location": event.location,
            "touchpoint": event.touchpoint.slug if event.touchpoint else None,
        },
    }


def terms_of(rule: InvitationRule | None, organisation: Organisation) -> RuleTerms:
    """A rule's terms, the organisation's policy where it has none; without a rule, the policy alone."""
    if rule is None:
        return RuleTerms(organisation.resting_same_s, organisation.resting_any_s, organisation.floor_s, 7 * 86_400)
    same = organisation.resting_same_s if rule.resting_same_s is None else rule.resting_same_s
    any_ = organisation.resting_any_s if rule.resting_any_s is None else rule.resting_any_s
    return RuleTerms(same, any_, organisation.floor_s, rule.max_age_s, rule.sample_share)


def _row(
    rule: InvitationRule,
    event: InteractionEvent,
    decision: Decision,
    mode: str,
    organisation: Organisation,
    now: datetime,
) -> Invitation:
    send_at = max(event.time + timedelta(seconds=rule.delay_s), now) if decision.ok else None
    instrument = rule.instrument or rule.touchpoint.instrument
    if instrument is None:
        decision, send_at = Decision(False, "inactive"), None
    return Invitation(
        rule=rule,
        event=event,
        customer=event.customer,
        touchpoint=rule.touchpoint,
        instrument=instrument or Instrument.objects.order_by("id").first(),
        mode=mode,
        location=event.location,
        language=event.customer.language or organisation.default_language,
        expires_s=rule.expires_s,
        decided_at=now,
        **_verdict(decision, send_at),
    )


def _verdict(decision: Decision, send_at: datetime | None) -> dict[str, object]:
    if decision.ok:
        return {"status": Invitation.Status.SCHEDULED, "token": make_token(), "send_at": send_at}
    detail = f"until {decision.until.isoformat(timespec='seconds')}" if decision.until else ""
    return {"status": Invitation.Status.WITHHELD, "reason": decision.reason, "detail": detail}


def invite_customer(
    customer: Customer,
    touchpoint: Touchpoint,
    instrument: Instrument,
    now: datetime,
    *,
    modes: Sequence[str] = ("email",),
    location: str = "",
) -> Invitation:
    """Invite one customer without an event, through the same gates (POST invitations/)."""
    organisation = Organisation.current()
    with transaction.atomic():
        Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        histories = Histories.load([customer])
        mode, suppressed = histories.way_to(customer, modes)
        history = History(
            event_at=now,
            suppressed=suppressed,
            has_address=bool(mode) or bool(suppressed),
            last_same_at=histories.last_same.get((customer.pk, touchpoint.pk)),
            last_any_at=histories.last_any.get(customer.pk),
            last_message_at=histories.last_message.get(customer.pk),
        )
        decision = (
            decide(terms_of(None, organisation), history, now) if touchpoint.active else Decision(False, "inactive")
        )
        return Invitation.objects.create(
            customer=customer,
            touchpoint=touchpoint,
            instrument=instrument,
            mode=mode,
            location=location,
            language=customer.language or organisation.default_language,
            decided_at=now,
            **_verdict(decision, now if decision.ok else None),
        )


@dataclass(frozen=True, slots=True)
class Histories:
    """When customers were last written to and last answered, and which of their addresses must not be used."""

    last_same: dict[tuple[int, int], datetime]
    last_any: dict[int, datetime]
    last_message: dict[int, datetime]
    suppressed: dict[str, str]  # address hash -> reason

    @classmethod
    def load(cls, customers: Iterable[Customer], *, but_not: Iterable[int] = ()) -> "Histories":
        """Three queries for any number of customers. `but_not`: invitations that are being decided on."""
        people = list(customers)
        ids = [customer.pk for customer in people]
        last_same: dict[tuple[int, int], datetime] = {}
        last_message: dict[int, datetime] = {}
        sent = Invitation.objects.filter(customer_id__in=ids, attempted_at__isnull=False).exclude(id__in=list(but_not))
        for pk, touchpoint_id, at in _latest(sent, "attempted_at"):
            last_same[pk, touchpoint_id] = at
            last_message[pk] = max(at, last_message.get(pk, at))
        last_any = dict(last_message)
        answered = Response.objects.filter(customer_id__in=ids)
        for pk, touchpoint_id, at in _latest(answered, "responded_at"):
            last_same[pk, touchpoint_id] = max(at, last_same.get((pk, touchpoint_id), at))
            last_any[pk] = max(at, last_any.get(pk, at))
        hashes = {
            address_hash(address)
            for customer in people
            for channel in SENDING.values()
            if (address := channel.address_of(customer))
        }
        suppressed = dict(Suppression.objects.filter(address_hash__in=hashes).values_list("address_hash", "reason"))
        return cls(last_same, last_any, last_message, suppressed)

    def way_to(self, customer: Customer, modes: Sequence[str]) -> tuple[str, str]:
        """(mode, "") for the first of `modes` with a usable address; ("", reason) where all there are are suppressed."""
        reasons: list[str] = []
        for mode in modes:
            address = SENDING[mode].address_of(customer) if mode in SENDING else ""
            if not address:
                continue
            reason = self.suppressed.get(address_hash(address))
            if reason is None:
                return mode, ""
            reasons.append("bounced" if reason == Suppression.Reason.BOUNCED else "unsubscribed")
        return "", min(reasons, key=("unsubscribed", "bounced").index, default="")


def _latest(rows, moment: str):  # type: ignore[no-untyped-def]
    return (
        rows.values("customer_id", "touchpoint_id")
        .annotate(at=Max(moment))
        .values_list("customer_id", "touchpoint_id", "at")
    )
