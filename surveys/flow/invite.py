"""From events to invitations. In: events that wait. Out: one Invitation per (rule, event): scheduled, or withheld with its reason."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, Q
from django.db.models.base import ModelState
from django.db.models.functions import Greatest

from surveys.channels import SENDING
from surveys.expressions import Expression, parse
from surveys.flow.addresses import address_hash
from surveys.flow.consent import Consents
from surveys.flow.eligibility import Decision, History, Promise, RuleTerms, better_of, decide, draw
from surveys.flow.preference import order_of_modes
from surveys.flow.quota import Places
from surveys.flow.suppress import Stops, person_hash
from surveys.flow.tickets import reopened_since
from surveys.flow.timing import plan, zone_of
from surveys.models import (
    Customer,
    Instrument,
    InteractionEvent,
    Invitation,
    InvitationRule,
    Organisation,
    Response,
    Touchpoint,
    WrittenAddress,
)
from surveys.models.invitations import make_token

BATCH = 500
ANY = Q()
compiled: Callable[[str], Expression] = lru_cache(maxsize=512)(parse)
_terms: Callable[..., RuleTerms] = lru_cache(maxsize=512)(RuleTerms)


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
            decided = _decide_on(events, _rules_by_type(events, by), now)
            keep(decided)
            InteractionEvent.objects.filter(id__in=[event.id for event in events]).update(decided=True)
    return len(events)


@dataclass(slots=True)
class Decided:
    """The rows of a batch, and the invitations of earlier ones (by id) whose place somebody took, with whose rule did."""

    rows: list[Invitation] = field(default_factory=list)
    superseded: dict[int, str] = field(default_factory=dict)


def _decide_on(events: Sequence[InteractionEvent], rules: Mapping[str, list[InvitationRule]], now: datetime) -> Decided:
    organisation = Organisation.current()
    histories = Histories.load({event.customer for event in events}, organisation)
    reopened = reopened_since(events)
    places = Places.claim((rule for listed in rules.values() for rule in listed), organisation.day_of(now))
    blanks = {rule.pk: _blank(rule, now) for listed in rules.values() for rule in listed}
    times = Counter(event.customer_id for event in events)
    decided = Decided()
    for event in events:
        matching = rules.get(event.type, []) + (
            rules.get(event.ticket_event, []) if event.ticket_event and event.ticket_event != event.type else []
        )
        if len(matching) > 1:  # whoever comes later sees what the higher one was promised
            matching = sorted(matching, key=lambda rule: (-rule.priority, rule.slug))
        for rule in matching:
            blank = blanks[rule.pk]
            row, _decision = ask(rule, event, organisation, histories, places, event.pk in reopened, now, blank)
            # Who is asked once in this batch, and waits for nothing, has nobody to give way.
            is_alone = (
                len(matching) == 1 and times[event.customer_id] == 1 and not histories.waiting.get(event.customer_id)
            )
            if row.status == Invitation.Status.SCHEDULED and not is_alone:
                take_over(row, organisation, histories, places, decided)
            decided.rows.append(row)
    return decided


def keep(decided: Decided) -> None:
    """Write a batch; what was decided on before stays as it was."""
    _insert(decided.rows)
    _withdraw(decided.superseded)


@cache
def _columns() -> Mapping[str, tuple[str, str]]:
    """The columns of an invitation but its id, by attribute, each with the type of its values."""
    fields = [field for field in Invitation._meta.concrete_fields if not field.primary_key]
    # Text has no length here: a cast would cut what the column is to refuse.
    kinds = [re.sub(r"^varchar\(\d+\)$", "text", str(field.db_type(connection))) for field in fields]
    return {field.attname: (str(field.column), kind) for field, kind in zip(fields, kinds, strict=True)}


def _insert(rows: Sequence[Invitation]) -> None:
    """One statement for any number: bulk_create would ask each field of each row how to write its value."""
    if not rows:
        return
    same: list[tuple[str, str, Any]] = []  # in all rows, which most columns are
    each: list[tuple[str, str, Any]] = []
    for name, (column, kind) in _columns().items():
        values = [getattr(row, name) for row in rows]
        first = values[0]
        if name != "customer_id" and all(value is first or value == first for value in values):
            same.append((column, f"%s::{kind}", first))
        else:
            each.append((column, f"%s::{kind}[]", values))
    into = ", ".join(column for column, _place, _value in (*same, *each))
    arrays = ", ".join(place for _column, place, _values in each)
    picked = ", ".join([place for _column, place, _value in same] + [f"given.{column}" for column, _p, _v in each])
    sql = f"""INSERT INTO {Invitation._meta.db_table} ({into})
SELECT {picked} FROM unnest({arrays}) AS given ({", ".join(column for column, _p, _v in each)}) ON CONFLICT DO NOTHING"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for _column, _place, value in (*same, *each)])


def take_over(
    row: Invitation, organisation: Organisation, histories: "Histories", places: Places, decided: Decided
) -> None:
    """A row that is to be scheduled joins those that wait for its customer; whoever has to give way to it leaves them."""
    promise = promise_of(row, organisation)
    waiting = histories.waiting.setdefault(row.customer_id, [])
    for rival in [rival for rival in waiting if better_of(promise, rival) is promise]:
        waiting.remove(rival)
        loser = rival.key
        if loser.pk is None:  # of the same batch
            loser.status, loser.reason = Invitation.Status.CANCELLED, Invitation.Reason.SUPERSEDED
            loser.detail = taken_by(row.rule)
            places.give_back(loser.rule_id, loser.quota_day)
        else:
            decided.superseded[loser.pk] = taken_by(row.rule)
    waiting.append(promise)


def taken_by(rule: InvitationRule | None) -> str:
    """Whose invitation took the place of another."""
    return f"by {rule.slug}" if rule is not None else ""


_WITHDRAW = f"""
WITH given AS (SELECT * FROM unnest(%s::bigint[], %s::text[]) AS given (id, detail)),
held AS MATERIALIZED (
    SELECT i.id FROM {Invitation._meta.db_table} i JOIN given USING (id)
    WHERE i.status = 'scheduled' AND i.attempted_at IS NULL ORDER BY i.id FOR NO KEY UPDATE OF i SKIP LOCKED
)
UPDATE {Invitation._meta.db_table} i SET status = 'cancelled', reason = 'superseded', detail = given.detail
FROM given JOIN held USING (id) WHERE i.id = given.id
"""


def _withdraw(superseded: Mapping[int, str]) -> None:
    """Cancel what has to give way, unless somebody is sending it just now: then the newcomer is refused when it is due."""
    if not superseded:
        return
    with connection.cursor() as cursor:
        cursor.execute(_WITHDRAW, [list(superseded), list(superseded.values())])


def _rules_by_type(events: Iterable[InteractionEvent], by: Q) -> dict[str, list[InvitationRule]]:
    """The active rules that wait for the types of these events."""
    types = {event.type for event in events} | {event.ticket_event for event in events if event.ticket_event}
    active = InvitationRule.objects.filter(by, event_type__in=types, active=True, touchpoint__active=True)
    rules: dict[str, list[InvitationRule]] = {}
    for rule in active.select_related("touchpoint__instrument", "instrument").order_by("slug"):
        rules.setdefault(rule.event_type, []).append(rule)
    return rules


def _blank(rule: InvitationRule, now: datetime) -> Invitation:
    """What all invitations of a rule have in common."""
    return Invitation(
        rule=rule,
        touchpoint=rule.touchpoint,
        instrument=rule.instrument or rule.touchpoint.instrument or Instrument.objects.order_by("id").first(),
        expires_s=rule.expires_s,
        decided_at=now,
    )


def _filled_in(blank: Invitation, event: InteractionEvent) -> Invitation:
    """A copy of a blank about an event: what copy() and setting `event` and `customer` come to, in a quarter of the time."""
    row = Invitation.__new__(Invitation)
    row.__dict__.update(blank.__dict__)
    row.event_id, row.customer_id = event.pk, event.customer_id
    row._state = ModelState()
    row._state.fields_cache = {**blank._state.fields_cache, "event": event, "customer": event.customer}
    return row


def ask(
    rule: InvitationRule,
    event: InteractionEvent,
    organisation: Organisation,
    histories: "Histories",
    places: Places,
    reopened: bool,
    now: datetime,
    blank: Invitation | None = None,
) -> tuple[Invitation, Decision]:
    """The decision about one event by one rule, as a row that is not written yet. `blank`: the rule's, where many are asked."""
    customer = event.customer
    way = histories.way_to(customer, rule.modes, rule.touchpoint_id, rule.needs_consent)
    mode = way.mode
    terms = terms_of(rule, organisation)
    send_at = planned(event.time + timedelta(seconds=rule.delay_s), now, customer, mode, rule, organisation)
    row = _filled_in(_blank(rule, now) if blank is None else blank, event)
    row.mode, row.location, row.send_at = mode, event.location, send_at
    row.language = customer.language or organisation.default_language
    rivals = histories.waiting.get(customer.pk)
    day = organisation.day_of(send_at) if rule.quota is not None else None
    decision = decide(
        terms,
        History(
            event_at=event.time,
            suppressed=way.suppressed,
            has_consent=way.has_consent,
            has_address=way.has_address,
            condition_met=compiled(rule.when).evaluate(context_of(event)),
            reopened=reopened,
            draw=draw(settings.SECRET_KEY, rule.slug, event.source, event.event_id),
            last_same_at=histories.last_same.get((customer.pk, rule.touchpoint_id)),
            last_any_at=histories.last_any.get(customer.pk),
            last_message_at=histories.last_message_to(customer, mode),
            quota_left=day is None or places.are_left(rule, day),
            promise=promise_of(row, organisation) if rivals else None,
            rivals=tuple(rivals) if rivals else (),
        ),
        now,
    )
    if rule.instrument is None and rule.touchpoint.instrument is None:
        decision = Decision(False, "inactive")
    if decision.ok and day is not None:
        row.quota_day = places.take(rule, day)
    return _with_verdict(row, decision), decision


def planned(
    earliest: datetime,
    now: datetime,
    customer: Customer,
    mode: str,
    rule: InvitationRule | None,
    organisation: Organisation,
) -> datetime:
    """When a message may go out: not before `earliest` and `now`, at the rule's hour and days, outside quiet hours."""
    at, days = (rule.hour, rule.days) if rule is not None else (None, ())
    earliest = max(earliest, now)
    if at is None and not days and not organisation.quiet_hours.get(mode):
        return earliest
    return plan(earliest, zone_of(customer.time_zone, organisation.zone), mode, organisation.quiet_hours, at, days)


def promise_of(row: Invitation, organisation: Organisation) -> Promise:
    """An invitation that waits, as what it is to others that wait for the same customer."""
    assert row.send_at is not None
    occasion = (row.event.time, row.event.pk) if row.event is not None else (row.decided_at, row.pk or 0)
    return Promise(row, row.rule_id, row.touchpoint_id, row.send_at, occasion, terms_of(row.rule, organisation))


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


def needs_consent(rule: InvitationRule | None) -> bool:
    """Whether consent must stand for the mode by which somebody is asked; without a rule, only that none was withdrawn."""
    return rule is not None and rule.needs_consent


def terms_of(rule: InvitationRule | None, organisation: Organisation) -> RuleTerms:
    """A rule's terms, the organisation's policy where it has none; without a rule, the policy alone."""
    if rule is None:
        return _terms(organisation.resting_same_s, organisation.resting_any_s, organisation.floor_s, 7 * 86_400)
    same = organisation.resting_same_s if rule.resting_same_s is None else rule.resting_same_s
    any_ = organisation.resting_any_s if rule.resting_any_s is None else rule.resting_any_s
    if rule.exempt_resting:
        same = any_ = 0
    floor_s = 0 if rule.exempt_floor else organisation.floor_s
    return _terms(same, any_, floor_s, rule.max_age_s, rule.sample_share, rule.priority)


def _with_verdict(row: Invitation, decision: Decision) -> Invitation:
    if decision.ok:
        row.status, row.token = Invitation.Status.SCHEDULED, make_token()
    else:
        row.status, row.reason, row.send_at = Invitation.Status.WITHHELD, decision.reason, None
        row.detail = decision.detail
    return row


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
        histories = Histories.load([customer], organisation)
        way = histories.way_to(customer, modes, touchpoint.pk)
        mode = way.mode
        row = Invitation(
            customer=customer,
            touchpoint=touchpoint,
            instrument=instrument,
            mode=mode,
            location=location,
            language=customer.language or organisation.default_language,
            send_at=planned(now, now, customer, mode, None, organisation),
            decided_at=now,
        )
        history = History(
            event_at=now,
            suppressed=way.suppressed,
            has_consent=way.has_consent,
            has_address=way.has_address,
            last_same_at=histories.last_same.get((customer.pk, touchpoint.pk)),
            last_any_at=histories.last_any.get(customer.pk),
            last_message_at=histories.last_message_to(customer, mode),
            promise=promise_of(row, organisation),
            rivals=tuple(histories.waiting.get(customer.pk, ())),
        )
        decision = (
            decide(terms_of(None, organisation), history, now) if touchpoint.active else Decision(False, "inactive")
        )
        row = _with_verdict(row, decision)
        row.save()
        return row


@dataclass(frozen=True, slots=True)
class Way:
    """By which mode a customer can be written to about something: `mode`, "" for none, and what speaks against the others."""

    mode: str
    suppressed: str = ""  # "unsubscribed" or "bounced" where all addresses there are are suppressed
    has_consent: bool = True  # nowhere is consent missing, or withdrawn
    has_address: bool = True


@dataclass(frozen=True, slots=True)
class Histories:
    """When customers were last written to and last answered, what waits for them, and which of their addresses must not be used."""

    last_same: dict[tuple[int, int], datetime]
    last_any: dict[int, datetime]
    last_message: dict[int, datetime]  # reminders too, which count for no resting
    stops: Stops
    written: dict[str, datetime]  # address hash -> when somebody was last written to there
    waiting: dict[int, list[Promise]]  # invitations that nobody has tried to send, by customer
    last_answer: dict[int, datetime]
    organisation: Organisation  # whose segments prefer some means to others
    consents: Consents

    @classmethod
    def load(
        cls, customers: Iterable[Customer], organisation: Organisation, *, but_not: Iterable[int] = ()
    ) -> "Histories":
        """Six queries for any number of customers. `but_not`: invitations that are being sent anew, and no history to themselves."""
        people = list(customers)
        ids = [customer.pk for customer in people]
        last_same: dict[tuple[int, int], datetime] = {}
        last_any: dict[int, datetime] = {}
        last_message: dict[int, datetime] = {}
        sent = Invitation.objects.filter(customer_id__in=ids, attempted_at__isnull=False).exclude(id__in=list(but_not))
        rows = sent.values("customer_id", "touchpoint_id").annotate(
            # Resting counts from the first try of an invitation, the floor from the latest, which may have been in another mode.
            at=Max("attempted_at"),
            message_at=Greatest(Max("attempted_at"), Max("tried_at"), Max("reminded_at")),
        )
        for pk, touchpoint_id, at, message_at in rows.values_list("customer_id", "touchpoint_id", "at", "message_at"):
            last_same[pk, touchpoint_id] = at
            last_any[pk] = max(at, last_any.get(pk, at))
            last_message[pk] = max(message_at, last_message.get(pk, message_at))
        answered = Response.objects.filter(customer_id__in=ids)
        last_answer: dict[int, datetime] = {}
        answers = answered.values("customer_id", "touchpoint_id").annotate(at=Max("responded_at"))
        for pk, touchpoint_id, at in answers.values_list("customer_id", "touchpoint_id", "at"):
            last_same[pk, touchpoint_id] = max(at, last_same.get((pk, touchpoint_id), at))
            last_any[pk] = max(at, last_any.get(pk, at))
            last_answer[pk] = max(at, last_answer.get(pk, at))
        hashes = [hashed for customer in people for hashed in hashes_of(customer)]
        stops = Stops.load([*hashes, *(person_hash(customer) for customer in people)])
        written = dict(
            WrittenAddress.objects.filter(address_hash__in=hashes).values_list("address_hash", "last_message_at")
        )
        waiting, consents = _waiting(ids, organisation), Consents.load(ids)
        return cls(last_same, last_any, last_message, stops, written, waiting, last_answer, organisation, consents)

    def note_message(self, customer_id: int, touchpoint_id: int, hashed: str, at: datetime, tried_at: datetime) -> None:
        """An invitation of `at`, last tried `tried_at` to an address of this hash ("" for none), is history to all others of the batch."""
        key = customer_id, touchpoint_id
        self.last_same[key] = max(at, self.last_same.get(key, at))
        self.last_any[customer_id] = max(at, self.last_any.get(customer_id, at))
        self.last_message[customer_id] = max(tried_at, self.last_message.get(customer_id, tried_at))
        if hashed:
            self.written[hashed] = max(at, self.written.get(hashed, at))

    def last_message_to(self, customer: Customer, mode: str) -> datetime | None:
        """The latest message to the customer, or to whoever else has the address that `mode` would use."""
        last = self.last_message.get(customer.pk)
        address = SENDING[mode].address_of(customer) if mode else ""
        there = self.written.get(address_hash(address)) if address else None
        return there if last is None or (there is not None and there > last) else last

    def way_to(self, customer: Customer, modes: Sequence[str], touchpoint_id: int, needs_consent: bool = False) -> Way:
        """The first with an address at which the customer may be asked about this touchpoint, and wants to be.

        `modes` are those of the rule that have not failed for good. The customer's preference among them comes first, else
        that of the segment, else their own order.
        """
        reasons = [self.stops.against(customer, "", touchpoint_id)]  # of the person, whatever the address
        has_consent, has_address = True, False
        for mode in order_of_modes(customer, modes, self.organisation).modes:
            if mode not in SENDING:
                continue
            address = SENDING[mode].address_of(customer)
            reason = self.stops.against(customer, address, touchpoint_id) if address else ""
            is_allowed = self.consents.allow(customer.pk, mode, needs_consent)
            if address and not reason and is_allowed:
                return Way(mode)
            reasons.append(reason)
            has_consent, has_address = has_consent and is_allowed, has_address or bool(address)
        suppressed = min(filter(None, reasons), key=("unsubscribed", "bounced").index, default="")
        return Way("", suppressed, has_consent, has_address)


def hashes_of(customer: Customer) -> list[str]:
    """The hash of each address at which a customer can be written to."""
    return [address_hash(found) for channel in SENDING.values() if (found := channel.address_of(customer))]


def _waiting(customer_ids: Sequence[int], organisation: Organisation) -> dict[int, list[Promise]]:
    found: dict[int, list[Promise]] = {}
    rows = Invitation.objects.filter(
        customer_id__in=customer_ids, status=Invitation.Status.SCHEDULED, attempted_at__isnull=True
    )
    for row in rows.select_related("event").defer("event__facts").prefetch_related("rule").order_by("id"):
        found.setdefault(row.customer_id, []).append(promise_of(row, organisation))
    return found
