"""What a rule would have done: over the events that came in lately, who would have been asked and who not, and why.

In: a rule, saved or not, and a span of time. Out: Progress from time to time, then one Result. Nothing is written: all runs in one
transaction that PostgreSQL holds to reading. The gates are the pipeline's own: `invite.ask` when an event comes, and
`deliver.decide_again` when its message is due. What differs is what they see: of history what had happened by then, nothing later.

Memory: rows of one chunk; one number for each customer who would have been asked; some hundred bytes for each message that waits.
"""

import copy
import heapq
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count, islice
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from surveys.flow.addresses import address_hash
from surveys.flow.deliver import decide_again
from surveys.flow.eligibility import Promise, RuleTerms, until_of
from surveys.flow.invite import Decided, Histories, ask, hashes_of, take_over, terms_of
from surveys.flow.quota import Places
from surveys.flow.tickets import reopened_at
from surveys.models import (
    Customer,
    DeliveryAttempt,
    InteractionEvent,
    Invitation,
    InvitationRule,
    Organisation,
    Response,
    Touchpoint,
)

CHUNK = 4_000
STEP = 400  # events between two signs of life, at which a run can be ended
SAMPLES = 20
ASKED, WAITS = "asked", "waits"  # outcomes beside the reasons why not: sent, or still to be sent at the end
ABSENT = "absent"  # really, the rule left no decision: it was off, or not there
INVITATIONS = Invitation._meta.db_table
UNSAVED = -1  # the id of a rule that has none yet
LOCK, AT_ONCE = 0x63786472, 2  # "cxdr": so many runs at a time, all over
LONGEST_STATEMENT = "120s"


# What others sent and was answered, without what came of the rule's own real invitations. Arrays: `IN` with thousands of values costs
# more time to write than to read.
_SENT = f"""
SELECT customer_id, touchpoint_id, attempted_at FROM {INVITATIONS}
WHERE customer_id = ANY(%s) AND attempted_at <= %s AND rule_id IS DISTINCT FROM %s
"""
_TRIES = f"""
SELECT i.customer_id, a.at FROM {INVITATIONS} i JOIN {DeliveryAttempt._meta.db_table} a ON a.invitation_id = i.id
WHERE i.customer_id = ANY(%s) AND a.at <= %s AND i.rule_id IS DISTINCT FROM %s
"""
_ANSWERS = f"""
SELECT r.customer_id, r.touchpoint_id, r.responded_at FROM {Response._meta.db_table} r
LEFT JOIN {INVITATIONS} i ON i.id = r.invitation_id
WHERE r.customer_id = ANY(%s) AND r.responded_at <= %s AND i.rule_id IS DISTINCT FROM %s
"""


class Busy(Exception):
    """As many dry runs as may run at once are running."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: events so far, and the share of the span that is over, 0…1."""

    events: int
    share: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One event of an outcome; `until`: when its customer might have been asked again."""

    event: int
    at: datetime
    until: datetime | None = None


@dataclass(slots=True)
class Result:
    """What would have happened. Outcomes are ASKED, WAITS or a reason; `days` holds (events, asked) by the day on which they came."""

    start: datetime
    end: datetime
    events: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    days: dict[date, list[int]] = field(default_factory=dict)
    samples: dict[str, deque[Sample]] = field(default_factory=dict)
    # (would have, really): only of a rule that is saved.
    really: Counter[tuple[str, str]] = field(default_factory=Counter)


def dry_run(rule: InvitationRule, start: datetime, now: datetime, chunk: int = CHUNK) -> Iterator[Progress | Result]:
    """Try a rule on the events that came in from `start` until `now`, in that order. Closing the iterator ends it.

    Busy, before anything else, where too many run already.
    """
    with _reading_only():
        run = _Run(rule, Organisation.current(), start, now)
        for ids in _in_chunks(_events_for(rule, start, now), chunk):
            for _step in run.take(ids):
                yield Progress(run.result.events, run.share)
        for _step in run.finish(chunk):
            yield Progress(run.result.events, 1.0)
        yield run.result


@contextmanager
def _reading_only() -> Iterator[None]:
    """One snapshot, in which PostgreSQL refuses to write. Inside somebody else's transaction, theirs."""
    is_own = not connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET TRANSACTION {'ISOLATION LEVEL REPEATABLE READ, ' if is_own else ''}READ ONLY")
        cursor.execute(f"SET LOCAL statement_timeout = '{LONGEST_STATEMENT}'")
        for place in range(AT_ONCE):
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [LOCK, place])
            if cursor.fetchone() == (True,):
                break
        else:
            raise Busy
        yield


def _events_for(rule: InvitationRule, start: datetime, now: datetime) -> Iterator[int]:
    """Ids alone, so that sorting them stays small; a server-side cursor, so that they are never here all at once."""
    of_type = Q(type=rule.event_type) | Q(ticket_event=rule.event_type)
    rows = InteractionEvent.objects.filter(of_type, received_at__gte=start, received_at__lt=now)
    return rows.order_by("received_at", "pk").values_list("pk", flat=True).iterator(chunk_size=10 * CHUNK)


def _in_chunks(ids: Iterator[int], size: int) -> Iterator[list[int]]:
    while chunk := list(islice(ids, size)):
        yield chunk


@dataclass(slots=True)
class _Waiting:
    """A message of this run that is to be sent. It stands for its invitation wherever gates compare those that wait."""

    pk: int
    rule: InvitationRule
    event: int
    customer: int
    occasion: tuple[datetime, int]
    received_at: datetime
    send_at: datetime
    mode: str
    quota_day: date | None
    really: str
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class _Rival:
    pk: int
    rule: InvitationRule | None


@dataclass(slots=True)
class _Past:
    """What others sent to one customer and what was answered, as rising times, and what of higher priority waited from when until when."""

    same: list[datetime] = field(default_factory=list)
    any: list[datetime] = field(default_factory=list)
    messages: list[datetime] = field(default_factory=list)
    rivals: list[tuple[datetime, datetime, Promise]] = field(default_factory=list)

    def sort(self) -> None:
        for times in (self.same, self.any, self.messages):
            times.sort()


NO_PAST = _Past()


def _latest(times: Sequence[datetime], at: datetime, own: datetime | None) -> datetime | None:
    """The latest of `times` up to `at`, or `own` where that is later."""
    place = bisect_right(times, at)
    if not place:
        return own
    found = times[place - 1]
    return found if own is None or found > own else own


class _Run:
    """One run. `near` holds what is due before the chunk's last event, `far` what is due later."""

    def __init__(self, rule: InvitationRule, organisation: Organisation, start: datetime, now: datetime) -> None:
        self.saved = rule.pk
        self.rule = _switched_on(rule)
        self.organisation = organisation
        self.terms = terms_of(self.rule, organisation)
        self.start, self.now = start, now
        self.result = Result(start, now)
        self.share = 0.0
        self.touchpoints = {row.pk: row for row in Touchpoint.objects.all()}
        others = InvitationRule.objects.exclude(pk=rule.pk or 0)
        self.higher = {row.pk: row for row in others if row.priority > self.rule.priority}
        self.terms_of_higher = {pk: terms_of(row, organisation) for pk, row in self.higher.items()}
        self.places = Places(Counter())
        self.numbers = count(1)
        self.asked: dict[int, float] = {}
        self.written: dict[str, float] = {}
        self.written_lately: deque[tuple[float, str]] = deque()
        self.near: list[tuple[datetime, int, _Waiting]] = []
        self.far: list[tuple[datetime, int, _Waiting]] = []
        self.waiting: dict[int, list[_Waiting]] = {}
        self.until = start
        self.events: dict[int, InteractionEvent] = {}

    # --- A chunk ------------------------------------------------------------------------------------------------------

    def take(self, ids: Sequence[int]) -> Iterator[None]:
        """Decide on these events, and on all messages that are due before the last of them came; STEP by STEP."""
        rows = self._rows(ids)
        ordered = [rows[pk] for pk in ids]
        self.until = ordered[-1].received_at
        self._prepare(rows, self._due())
        for number, event in enumerate(ordered, start=1):
            self._send_until(event.received_at)
            self._arrive(event)
            if number % STEP == 0 or number == len(ordered):
                self.share = (event.received_at - self.start) / (self.now - self.start)
                yield

    def finish(self, size: int) -> Iterator[None]:
        """Send what is due by now, chunk by chunk; what is left waits."""
        self.until = self.now
        while due := self._due(size):
            self.until = due[-1].send_at + timedelta(microseconds=1)
            self._prepare({}, due)
            self._send_until(self.until)
            self.until = self.now
            yield
        for _at, _number, waiting in self.far:
            if not waiting.is_gone:
                self._note(WAITS, waiting.event, waiting.received_at, None, waiting.really)

    def _rows(self, ids: Iterable[int]) -> dict[int, InteractionEvent]:
        rows = InteractionEvent.objects.filter(pk__in=list(ids)).select_related("customer")
        found = {}
        for event in rows:
            event.touchpoint = self.touchpoints.get(event.touchpoint_id) if event.touchpoint_id else None
            found[event.pk] = event
        return found

    def _due(self, most: int = 10**9) -> list[_Waiting]:
        """Moves what is due before `until` to what is near; in the order in which it is due."""
        found: list[_Waiting] = []
        while self.far and self.far[0][0] < self.until and len(found) < most:
            entry = heapq.heappop(self.far)
            if not entry[2].is_gone:
                found.append(entry[2])
                heapq.heappush(self.near, entry)
        return found

    def _prepare(self, rows: dict[int, InteractionEvent], due: Sequence[_Waiting]) -> None:
        """All that the gates will ask about the people of a chunk, by a fixed number of queries."""
        missing = [waiting.event for waiting in due if waiting.event not in rows]
        self.events = rows | (self._rows(missing) if missing else {})
        people = {event.customer_id: event.customer for event in self.events.values()}
        # Addresses, suppressions and consents are those of now: nobody knows what they were.
        self.histories = Histories.load(people.values(), self.organisation)
        for held in (self.histories.last_same, self.histories.last_any, self.histories.last_message):
            held.clear()
        for other in (self.histories.written, self.histories.waiting):
            other.clear()
        self.past = self._load_past(list(people))
        self.reopened = reopened_at(self.events.values())
        self.really = self._load_really(rows) if self.saved is not None else {}

    def _load_past(self, ids: Sequence[int]) -> dict[int, _Past]:
        """What others sent, and what was answered, without what came of this rule's own real invitations."""
        past: dict[int, _Past] = defaultdict(_Past)
        place = self.rule.touchpoint_id
        given: list[Any] = [list(ids), self.until, self.rule.pk]
        with connection.cursor() as cursor:
            cursor.execute(_SENT, given)
            for customer, touchpoint, at in cursor.fetchall():
                held = past[customer]
                held.any.append(at)
                held.messages.append(at)
                if touchpoint == place:
                    held.same.append(at)
            cursor.execute(_TRIES, given)
            for customer, at in cursor.fetchall():
                past[customer].messages.append(at)
            cursor.execute(_ANSWERS, given)
            for customer, touchpoint, at in cursor.fetchall():
                held = past[customer]
                held.any.append(at)
                if touchpoint == place:
                    held.same.append(at)
        rows = Invitation.objects.filter(customer_id__in=ids, decided_at__lte=self.until)
        if self.higher or self.rule.priority < 0:
            self._load_rivals(rows.exclude(send_at__isnull=True), past)
        for held in past.values():
            held.sort()
        return past

    def _load_rivals(self, rows: QuerySet[Invitation], past: dict[int, _Past]) -> None:
        """What of higher priority waited: from its decision until somebody tried to send it, or until it was due and was refused."""
        higher = Q(rule__in=list(self.higher))
        if self.rule.priority < 0:
            higher |= Q(rule__isnull=True)
        columns = ("pk", "customer_id", "rule_id", "touchpoint_id", "decided_at", "attempted_at", "send_at")
        for pk, customer, rule, touchpoint, decided, tried, due in rows.filter(higher).values_list(*columns):
            terms = self.terms_of_higher[rule] if rule is not None else terms_of(None, self.organisation)
            promise = Promise(_Rival(pk, self.higher.get(rule)), rule, touchpoint, due, (decided, pk), terms)
            past[customer].rivals.append((decided, tried or due, promise))

    def _load_really(self, rows: Iterable[int]) -> dict[int, str]:
        """What this rule really decided about these events."""
        decided = Invitation.objects.filter(rule=self.saved, event__in=list(rows))
        found = {}
        for event, status, reason, tried in decided.values_list("event_id", "status", "reason", "attempted_at"):
            found[event] = ASKED if tried is not None else WAITS if status == "scheduled" else reason
        return {key: value for key, value in found.items() if key is not None}

    # --- One event, one message ---------------------------------------------------------------------------------------

    def _arrive(self, event: InteractionEvent) -> None:
        at = event.received_at
        self.result.events += 1
        self.result.days.setdefault(self.organisation.day_of(at), [0, 0])[0] += 1
        customer = event.customer
        self._look_back(customer, at)
        row, _decision = ask(
            self.rule, event, self.organisation, self.histories, self.places, self._is_reopened(event, at), at
        )
        really = self.really.get(event.pk, ABSENT)
        if row.status != Invitation.Status.SCHEDULED:
            self._note(row.reason, event.pk, at, until_of(row.detail), really)
            return
        assert row.send_at is not None
        row.pk = -next(self.numbers)
        decided = Decided()
        take_over(row, self.organisation, self.histories, self.places, decided)
        for pk in decided.superseded:
            self._withdraw(pk, customer)
        waiting = _Waiting(
            row.pk,
            self.rule,
            event.pk,
            customer.pk,
            (event.time, event.pk),
            at,
            row.send_at,
            row.mode,
            row.quota_day,
            really,
        )
        self.waiting.setdefault(customer.pk, []).append(waiting)
        self._queue(waiting)

    def _withdraw(self, pk: int, customer: Customer) -> None:
        """A message of ours that has to give way; what others had waiting is no concern of this run."""
        for waiting in [one for one in self.waiting.get(customer.pk, ()) if one.pk == pk]:
            self.places.give_back(self.rule.pk, waiting.quota_day)
            self._leave(waiting)
            self._note(Invitation.Reason.SUPERSEDED, waiting.event, waiting.received_at, None, waiting.really)

    def _send_until(self, at: datetime) -> None:
        """What was due before `at`. What is due in that very moment comes after the events of that moment, as it does in a batch."""
        while self.near and self.near[0][0] < at:
            _due, _number, waiting = heapq.heappop(self.near)
            if not waiting.is_gone:
                self._send(waiting)

    def _send(self, waiting: _Waiting) -> None:
        event, at = self.events[waiting.event], waiting.send_at
        customer = event.customer
        self._look_back(customer, at)
        row = Invitation(
            pk=waiting.pk,
            rule=self.rule,
            event=event,
            customer=customer,
            touchpoint=self.rule.touchpoint,
            mode=waiting.mode,
            status=Invitation.Status.SCHEDULED,
            decided_at=waiting.received_at,
            send_at=at,
            quota_day=waiting.quota_day,
        )
        is_reopened = self._is_reopened(event, at)
        address = decide_again(row, self.organisation, self.histories, self.places, is_reopened, (), at)
        if not address and row.status == Invitation.Status.SCHEDULED:
            assert row.send_at is not None
            if row.quota_day is None:
                self.places.give_back(self.rule.pk, waiting.quota_day)
            waiting.send_at, waiting.quota_day = row.send_at, row.quota_day
            self._queue(waiting)
            return
        self._leave(waiting)
        if not address:
            self.places.give_back(self.rule.pk, row.quota_day)
            self._note(row.reason, event.pk, waiting.received_at, until_of(row.detail), waiting.really)
            return
        self._remember(customer, address, at)
        self.result.days[self.organisation.day_of(waiting.received_at)][1] += 1
        self._note(ASKED, event.pk, waiting.received_at, None, waiting.really)

    def _queue(self, waiting: _Waiting) -> None:
        entry = (waiting.send_at, -waiting.pk, waiting)
        heapq.heappush(self.near if waiting.send_at < self.until else self.far, entry)

    def _leave(self, waiting: _Waiting) -> None:
        waiting.is_gone = True
        left = [one for one in self.waiting[waiting.customer] if one is not waiting]
        if left:
            self.waiting[waiting.customer] = left
        else:
            del self.waiting[waiting.customer]

    # --- What was known when --------------------------------------------------------------------------------------------

    def _look_back(self, customer: Customer, at: datetime) -> None:
        """Let the gates see this customer as of `at`."""
        pk, histories = customer.pk, self.histories
        past = self.past.get(pk, NO_PAST)
        own = _moment(self.asked.get(pk))
        _put(histories.last_same, (pk, self.rule.touchpoint_id), _latest(past.same, at, own))
        _put(histories.last_any, pk, _latest(past.any, at, own))
        _put(histories.last_message, pk, _latest(past.messages, at, own))
        for hashed in hashes_of(customer):
            _put(histories.written, hashed, _moment(self.written.get(hashed)))
        promises = [promise for since, until, promise in past.rivals if since <= at < until]
        promises += [self._promise(waiting) for waiting in self.waiting.get(pk, ())]
        _put(histories.waiting, pk, promises or None)

    def _promise(self, waiting: _Waiting) -> Promise:
        terms: RuleTerms = self.terms
        return Promise(waiting, self.rule.pk, self.rule.touchpoint_id, waiting.send_at, waiting.occasion, terms)

    def _is_reopened(self, event: InteractionEvent, at: datetime) -> bool:
        known = self.reopened.get(event.pk)
        return known is not None and known <= at

    def _remember(self, customer: Customer, address: str, at: datetime) -> None:
        """A message of this run. That an address was written to is forgotten when the floor is over."""
        stamp = at.timestamp()
        hashed = address_hash(address)
        self.asked[customer.pk] = stamp
        self.written[hashed] = stamp
        self.written_lately.append((stamp, hashed))
        while self.written_lately and self.written_lately[0][0] < stamp - self.terms.floor_s:
            before, old = self.written_lately.popleft()
            if self.written.get(old) == before:
                del self.written[old]

    def _note(self, outcome: str, event: int, at: datetime, until: datetime | None, really: str) -> None:
        self.result.outcomes[outcome] += 1
        self.result.samples.setdefault(outcome, deque(maxlen=SAMPLES)).append(Sample(event, at, until))
        if self.saved is not None:
            self.result.really[outcome, really] += 1


def _put(held: dict[Any, Any], key: Any, value: Any) -> None:
    if value is None:
        held.pop(key, None)
    else:
        held[key] = value


def _moment(stamp: float | None) -> datetime | None:
    return None if stamp is None else datetime.fromtimestamp(stamp, UTC)


def _switched_on(rule: InvitationRule) -> InvitationRule:
    """The rule as it would be while it runs; the caller's own is left alone."""
    found = copy.copy(rule)
    touchpoint = copy.copy(rule.touchpoint)
    found.pk = UNSAVED if rule.pk is None else rule.pk
    found.active = touchpoint.active = True
    found.touchpoint = touchpoint
    return found
