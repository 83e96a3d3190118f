"""The rows that why.py reads: of an event, an invitation, a customer's occasions. In: rows, `now`. Out: Cases. Nothing is written."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Q

from surveys.channels import SENDING
from surveys.flow.addresses import address_hash, normalise_email, normalise_phone
from surveys.flow.invite import Histories, compiled, context_of, needs_consent, terms_of
from surveys.flow.preference import Order, order_of_modes
from surveys.flow.suppress import person_hash, suppressions_of
from surveys.flow.why import Case, Contact, Way, names_in
from surveys.models import (
    Customer,
    DeliveryAttempt,
    InteractionEvent,
    Invitation,
    InvitationRule,
    Organisation,
    Reminder,
    Response,
    Ticket,
)

MOST_CONTACTS = 500
MOST_PEOPLE = 20  # who share an address or a reference
EVENTS = InteractionEvent._meta.db_table
# Each source once, by steps through the unique index on (source, event_id): then the id is looked for in each, and no table is read.
_BY_ID = f"""
WITH RECURSIVE sources AS (
    (SELECT source FROM {EVENTS} ORDER BY source LIMIT 1)
    UNION ALL
    SELECT (SELECT e.source FROM {EVENTS} e WHERE e.source > s.source ORDER BY e.source LIMIT 1)
    FROM sources s WHERE s.source IS NOT NULL
)
SELECT e.id FROM sources s JOIN {EVENTS} e ON e.source = s.source AND e.event_id = %s WHERE s.source IS NOT NULL
"""


def cases_of_event(event: InteractionEvent, now: datetime) -> list[Case]:
    """One case for each rule that waits for events of this type, and for each that left a row; never none."""
    rows = list(
        event.invitations.select_related("rule__touchpoint", "touchpoint", "event", "customer", "instrument").order_by(
            "id"
        )
    )
    return cases_of_rows(rows, event, now)


def case_of_invitation(row: Invitation, now: datetime) -> Case:
    """The case of one decision, with an event or without."""
    return cases_of_rows([row], row.event, now, only_these=True)[0]


def cases_of_rows(
    rows: Sequence[Invitation], event: InteractionEvent | None, now: datetime, *, only_these: bool = False
) -> list[Case]:
    organisation = Organisation.current()
    absent = [] if only_these or event is None else _absent(event, rows, _rules_for([event]), now)
    if not rows:
        return absent or [Case(now, event=event, absent="none")]
    customer = rows[0].customer
    histories = Histories.load([customer], organisation)
    contacts = _contacts(customer)
    attempts: dict[int, list[DeliveryAttempt]] = {}
    for attempt in DeliveryAttempt.objects.filter(invitation__in=rows).order_by("at", "id"):
        attempts.setdefault(attempt.invitation_id, []).append(attempt)
    reminders: dict[int, list[Reminder]] = {}
    for reminder in Reminder.objects.filter(invitation__in=rows).order_by("number"):
        reminders.setdefault(reminder.invitation_id, []).append(reminder)
    answers = Response.objects.filter(invitation__in=rows).select_related("version__instrument")
    responses = {response.invitation_id: response for response in answers}
    found = []
    for row in rows:
        rule = row.rule
        order = order_of_modes(customer, rule.modes if rule is not None else [row.mode], organisation)
        # Of a rule on a calendar the day stands in the place of an event.
        occasion = event or InteractionEvent(customer=customer, source="calendar", time=row.decided_at)
        found.append(
            Case(
                now,
                rule=rule,
                event=event,
                invitation=row,
                terms=terms_of(rule, organisation),
                ways=_ways(customer, order, row, histories),
                order_of=order.of,
                quiet_hours=organisation.quiet_hours.get(row.mode, ""),
                values=_values(rule, occasion) if rule is not None else (),
                holds_now=rule is None or compiled(rule.when).evaluate(context_of(occasion)),
                contacts=contacts,
                attempts=attempts.get(row.pk, ()),
                reminders=reminders.get(row.pk, ()),
                response=responses.get(row.pk),
            )
        )
    return [*found, *absent]


def _absent(
    event: InteractionEvent, rows: Iterable[Invitation], rules: Mapping[int, Sequence[InvitationRule]], now: datetime
) -> list[Case]:
    """Of the rules that are for this event's type (`rules`, by event) those that left no row, and why."""
    asked = {row.rule_id for row in rows}
    return [Case(now, rule, event, absent=why_absent(rule, event)) for rule in rules[event.pk] if rule.pk not in asked]


def _rules_for(events: Sequence[InteractionEvent]) -> dict[int, list[InvitationRule]]:
    """The rules that name each event's type, active or not."""
    types = {name for event in events for name in (event.type, event.ticket_event) if name}
    rules = list(InvitationRule.objects.filter(event_type__in=types).select_related("touchpoint").order_by("slug"))
    return {
        event.pk: [rule for rule in rules if rule.event_type in (event.type, event.ticket_event)] for event in events
    }


def why_absent(rule: InvitationRule, event: InteractionEvent) -> str:
    """Why a rule that is for this type left no row: each one that is asked leaves one."""
    if not rule.active:
        return "off"
    if not rule.touchpoint.active:
        return "touchpoint_off"
    return "later" if event.decided else "undecided"


def _values(rule: InvitationRule, event: InteractionEvent) -> list[tuple[str, object]] | None:
    """What the condition looked at, as it is held now; None where it was erased."""
    if event.customer.erased_at is not None:
        return None
    context = context_of(event)
    found: list[tuple[str, object]] = []
    for name in names_in(rule.when):
        value: object = context
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        found.append((name, value))
    return found


def _ways(customer: Customer, order: Order, row: Invitation, histories: Histories) -> list[Way]:
    """Each mode in the order in which it is tried, with what speaks against it now."""
    held = list(suppressions_of(customer))
    ways = []
    for mode in filter(None, order.modes):
        address = SENDING[mode].address_of(customer) if mode in SENDING else ""
        way = histories.way_to(customer, [mode], row.touchpoint_id, needs_consent(row.rule))
        against = "" if way.mode else way.suppressed or ("unusable" if address else "no_address")
        if not way.suppressed and not way.has_consent:
            against = "consent_missing"
        since = None
        if way.suppressed:
            hashes = {person_hash(customer), address_hash(address) if address else ""}
            since = min((row.created_at for row in held if row.address_hash in hashes), default=None)
        ways.append(Way(mode, against, since))
    return ways


def _contacts(customer: Customer) -> list[Contact]:
    """What was sent to a customer, what is to be sent, and what was answered; the newest MOST_CONTACTS of each."""
    rows = Invitation.objects.filter(customer=customer).filter(Q(attempted_at__isnull=False) | Q(send_at__isnull=False))
    found: list[Contact] = []
    for row in rows.select_related("touchpoint", "rule").order_by("-decided_at")[:MOST_CONTACTS]:
        at = row.attempted_at or row.send_at
        if at is not None:
            found.append(Contact(at, row.touchpoint_id, row, is_planned=row.attempted_at is None))
        if row.reminded_at is not None:
            found.append(Contact(row.reminded_at, None, row))
    answers = Response.objects.filter(customer=customer).select_related("touchpoint", "version__instrument")
    for response in answers.order_by("-responded_at")[:MOST_CONTACTS]:
        found.append(Contact(response.responded_at, response.touchpoint_id, response, is_answer=True))
    return found


# --- Finding them -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Occasion:
    """One line of a customer's list: something that happened, or an invitation without it, and what came of it."""

    at: datetime
    customer: Customer
    event: InteractionEvent | None
    cases: Sequence[Case]


def customers_by(term: str) -> list[Customer]:
    """Those with this id, email address or phone number, each whole; at most MOST_PEOPLE."""
    text = term.strip()
    if not text or "\x00" in text:
        return []
    wanted = Q(external_id=text)
    with contextlib.suppress(ValueError):  # not an address
        wanted |= Q(email__in={text, normalise_email(text), normalise_email(text).lower()})
    digits = "".join(text.translate(str.maketrans("", "", " -()./")))
    for number in {digits, "+" + digits.removeprefix("00")}:
        with contextlib.suppress(ValueError):
            wanted |= Q(phone=normalise_phone(number))
    known = Customer.objects.filter(erased_at__isnull=True)
    found = list(known.filter(wanted).order_by("pk")[:MOST_PEOPLE])
    if not found and "@" in text:  # case differs: no index knows it
        found = list(known.filter(email__iexact=text).order_by("pk")[:MOST_PEOPLE])
    return found


def events_by(term: str, since: datetime) -> list[int]:
    """The events with this id, or of the ticket with this reference, or that name it and came `since`."""
    text = term.strip()
    if not text or "\x00" in text:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_BY_ID, [text])
        found = {pk for (pk,) in cursor.fetchall()}
    tickets = Ticket.objects.filter(reference=text).values_list("pk", flat=True)[:MOST_PEOPLE]
    found |= set(InteractionEvent.objects.filter(ticket__in=list(tickets)).values_list("pk", flat=True)[:500])
    named = InteractionEvent.objects.filter(reference=text, received_at__gte=since)
    return sorted(found | set(named.values_list("pk", flat=True)[:500]))


def occasions_of(
    customers: Sequence[Customer], event_ids: Sequence[int], now: datetime, start: int, count: int
) -> tuple[list[Occasion], bool]:
    """A page of what happened to them, newest first, and whether there is more. Without customers: these events alone.

    The newest of each kind are enough for the newest of all; a few queries for the whole page.
    """
    if not customers and not event_ids:
        return [], False
    enough = start + count + 1
    asked = Q(pk__in=event_ids) if event_ids else Q()
    events = InteractionEvent.objects.filter(asked | Q(customer__in=customers) if customers else asked)
    listed = list(events.select_related("customer", "touchpoint").order_by("-time", "-id")[:enough])
    direct: list[Invitation] = []
    if customers:
        others = Invitation.objects.filter(customer__in=customers, event__isnull=True)
        direct = list(others.select_related("customer", "rule", "touchpoint").order_by("-decided_at", "-id")[:enough])
    lines = [(event.time, 0, event.pk, event) for event in listed]
    lines += [(row.decided_at, 1, row.pk, row) for row in direct]  # type: ignore[misc]
    lines.sort(key=lambda line: line[:3], reverse=True)
    page = [row for _at, _kind, _pk, row in lines[start : start + count]]
    return _with_cases(page, now), len(lines) > start + count


def _with_cases(page: Sequence[InteractionEvent | Invitation], now: datetime) -> list[Occasion]:
    """Cases without what only a whole page tells: what else was sent, and what carriers said."""
    events = [row for row in page if isinstance(row, InteractionEvent)]
    rules = _rules_for(events)
    rows: dict[int, list[Invitation]] = {}
    decisions = Invitation.objects.filter(event__in=events).select_related("rule", "touchpoint").order_by("id")
    for row in decisions:
        rows.setdefault(row.event_id or 0, []).append(row)
    decided = [row for listed in rows.values() for row in listed] + [row for row in page if isinstance(row, Invitation)]
    answers = {one.invitation_id: one for one in Response.objects.filter(invitation__in=decided)}
    found = []
    for line in page:
        if isinstance(line, Invitation):
            case = Case(now, line.rule, None, line, response=answers.get(line.pk))
            found.append(Occasion(line.decided_at, line.customer, None, [case]))
            continue
        own = rows.get(line.pk, [])
        cases = [Case(now, row.rule, line, row, response=answers.get(row.pk)) for row in own]
        cases += _absent(line, own, rules, now)
        found.append(Occasion(line.time, line.customer, line, cases or [Case(now, event=line, absent="none")]))
    return found
