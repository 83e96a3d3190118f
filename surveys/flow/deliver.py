"""From scheduled invitations to messages. In: invitations that are due. Out: DeliveryAttempts, and invitations sent or refused.

Two transactions around each message, none while the network is waited for: (1) lock the customer, decide again, write lease and
`attempted_at`; then send; (2) write the result. A crash before the server's OK loses nothing, since the lease runs out; one after
it may send the message once more, with the same Message-ID.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, F, Q

from surveys.channels import SENDING
from surveys.flow.addresses import address_hash
from surveys.flow.calendar import may_wait
from surveys.flow.compose import Drafts, compose
from surveys.flow.eligibility import Decision, History, better_of, decide
from surveys.flow.floor import lock_addresses, note_written, unnote_written
from surveys.flow.hand_over import hand_over, shares_of
from surveys.flow.invite import Histories, hashes_of, needs_consent, planned, promise_of, taken_by, terms_of
from surveys.flow.prepared import Prepared
from surveys.flow.programme.values import REMINDERS
from surveys.flow.quota import Places
from surveys.flow.soft import bounced_too_often
from surveys.flow.suppress import suppress_bounced
from surveys.flow.tickets import reopened_since
from surveys.flow.timing import is_time, quiet_of, zone_of
from surveys.letters import Letter, Outcome
from surveys.models import (
    Customer,
    DeliveryAttempt,
    Invitation,
    Organisation,
    ReceiptKind,
    Reminder,
    SentMessage,
    Suppression,
    Wording,
)

BATCH = 100
ANY = Q()
LEASE = timedelta(minutes=5)  # longer than a shift and the slowest message after it (EMAIL_TIMEOUT at every step)
BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 480, 1440))
PATIENCE = timedelta(days=4)  # how long a temporary failure is believed to be one
DOUBT = timedelta(minutes=30)  # who may have got a message does not get it again at once
DOUBTS = 2  # who may have got it twice does not get it again
LOST_TRIES = 3  # fewer may be a worker's bad luck
TRY = ("invitation", "reminder")
NO_WORD = Outcome("temporary")  # and nothing besides
LOST = (ReceiptKind.FAILED, ReceiptKind.REJECTED, ReceiptKind.BOUNCED)  # what a carrier took, and will not bring


def drain(
    clock: Callable[[], datetime],
    limit: int = BATCH,
    channels: Mapping[str, Any] = SENDING,
    among: Q = ANY,
    *,
    over: Callable[[], bool] = lambda: False,
) -> int:
    """Send all that is due, batch by batch, until it is `over`; how many messages went out.

    `channels`: the ways out, by mode. `among`: which invitations, where not all.
    """
    total = 0
    away: set[str] = set()
    while True:
        known = set(away)
        claimed, tried, sent = _deliver_batch(clock(), limit, channels, among & ~Q(mode__in=known), over, away)
        total += sent
        # A carrier that is away is not asked again at once, and keeps nobody waiting whom another one serves; nor does who was
        # refused or postponed.
        if claimed < limit or (tried and not sent and away == known) or over():
            return total


def deliver_due(
    now: datetime,
    limit: int = BATCH,
    channels: Mapping[str, Any] = SENDING,
    among: Q = ANY,
    *,
    over: Callable[[], bool] = lambda: False,
) -> tuple[int, int]:
    """Claim at most `limit` due invitations and send them until it is `over`. Returns (claimed, sent)."""
    claimed, _tried, sent = _deliver_batch(now, limit, channels, among, over, set())
    return claimed, sent


def _deliver_batch(
    now: datetime, limit: int, channels: Mapping[str, Any], among: Q, over: Callable[[], bool], away: set[str]
) -> tuple[int, int, int]:
    """(claimed, to be sent, sent). `away` comes to hold the modes whose carrier is."""
    claimed = _claim(now, limit, among, channels)
    if claimed is None:
        return 0, 0, 0
    ready = [(invitation.mode, invitation, letter) for invitation, letter in claimed.letters]
    untouched = {invitation.pk for invitation, _letter in claimed.letters}
    sent = 0
    try:
        begun = lambda row: untouched.discard(row.pk)  # noqa: E731
        for invitation, letter, outcome in hand_over(ready, channels, over, begun, away):
            sent += outcome.result == "sent"
            _settle(invitation, letter, outcome, claimed.organisation, now)
    finally:
        _give_back(untouched, claimed, now)
    return claimed.looked_at, len(claimed.letters), sent


@dataclass(frozen=True, slots=True)
class _Claim:
    looked_at: int
    letters: Sequence[tuple[Invitation, Letter]]
    organisation: Organisation
    first_time: frozenset[int]  # the invitations among them that nobody had tried to send before
    written: Mapping[str, datetime | None]  # the hashes of their addresses, and when before


def _claim(now: datetime, limit: int, among: Q, channels: Mapping[str, Any]) -> _Claim | None:
    """First transaction: who may still be written to, with a lease on each; None where nothing is due."""
    with transaction.atomic():
        free = (
            Invitation.objects.filter(among, status=Invitation.Status.SCHEDULED, send_at__lte=now)
            .filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now))
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("event")
            .defer("event__facts")
            .prefetch_related("touchpoint", "instrument", "rule")  # a few, which most rows share
            .order_by("send_at", "id")
        )
        due = [row for share, most in shares_of(limit, channels) for row in free.filter(share)[:most]]
        if not due:
            return None
        # Links before people, people by their id: see flow/locks.py. Whoever else wants one of these customers waits here, and
        # then sees our attempted_at.
        ids = sorted({invitation.customer_id for invitation in due})
        customers = {c.pk: c for c in Customer.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")}
        first_time = frozenset(invitation.pk for invitation in due if invitation.attempted_at is None)
        organisation = Organisation.current()
        lock_addresses(hashed for customer in customers.values() for hashed in hashes_of(customer))
        histories = Histories.load(customers.values(), organisation, but_not=[invitation.pk for invitation in due])
        places = Places.claim((row.rule for row in due if row.rule is not None), organisation.day_of(now))
        wordings = score_wordings({invitation.instrument_id for invitation in due})
        reopened = reopened_since(invitation.event for invitation in due)
        given_up = _given_up(due)
        noted = noted_tries(invitation.pk for invitation in due if invitation.attempts)
        letters: list[tuple[Invitation, Letter]] = []
        drafts: Drafts = {}
        written: dict[str, datetime | None] = {}
        # What was tried before keeps its turn. Of two others for one customer the higher goes first, and keeps the other from going.
        for invitation in sorted(
            due, key=lambda row: (row.attempted_at is None, -row.rule.priority if row.rule else 0)
        ):
            invitation.customer = customers[invitation.customer_id]
            if _is_lost(invitation, noted[invitation.pk, 0], now):
                _refuse(invitation, histories, Invitation.Status.FAILED, Invitation.Reason.UNDELIVERABLE)
                invitation.lease_until = None
                continue
            address = decide_again(
                invitation,
                organisation,
                histories,
                places,
                invitation.event_id in reopened,
                given_up[invitation.pk],
                now,
            )
            hashed = address_hash(address) if address else ""
            if address:
                written.setdefault(hashed, histories.written.get(hashed))
                invitation.attempted_at = invitation.attempted_at or now
                invitation.tried_at = now
                lost = invitation.attempts - noted[invitation.pk, 0]
                invitation.lease_until = now + lease_after(lost)
                invitation.attempts += 1
                letters.append(
                    (
                        invitation,
                        compose(invitation, organisation, wordings[invitation.instrument_id], address, drafts=drafts),
                    )
                )
            if invitation.attempted_at is not None:
                at = now if address else invitation.attempted_at
                tried_at = now if address else invitation.tried_at or at
                histories.note_message(invitation.customer_id, invitation.touchpoint_id, hashed, at, tried_at)
            if address:
                _leave_queue(invitation, histories)
        _store(due)
        note_written(written, now)
        place = {invitation.pk: number for number, invitation in enumerate(due)}
        letters.sort(key=lambda pair: place[pair[0].pk])  # sent in the order in which they were due
        return _Claim(len(due), letters, organisation, first_time, written)


def _give_back(untouched: Iterable[int], claimed: _Claim, now: datetime) -> None:
    """What was claimed and not tried is free for the next worker at once, as if it had never been claimed."""
    ids = set(untouched)
    if not ids:
        return
    rows = Invitation.objects.filter(status=Invitation.Status.SCHEDULED)
    with transaction.atomic():
        list(rows.filter(pk__in=ids).select_for_update(no_key=True).order_by("pk"))  # in one order: see flow/locks.py
        rows.filter(pk__in=ids & claimed.first_time).update(
            attempted_at=None, tried_at=None
        )  # it counts for no floor and no resting
        rows.filter(pk__in=ids).update(lease_until=None, attempts=F("attempts") - 1)
        tried = {address_hash(letter.to) for row, letter in claimed.letters if row.pk not in ids}
        unnote_written({hashed: was for hashed, was in claimed.written.items() if hashed not in tried}, now)


_STORED = {
    "id": "bigint",
    "status": "text",
    "reason": "text",
    "detail": "text",
    "mode": "text",
    "attempted_at": "timestamptz",
    "tried_at": "timestamptz",
    "lease_until": "timestamptz",
    "attempts": "smallint",
    "send_at": "timestamptz",
    "quota_day": "date",
}
_STORE = f"""
UPDATE {Invitation._meta.db_table} i SET {", ".join(f"{name} = given.{name}" for name in _STORED if name != "id")}
FROM unnest({", ".join(f"%s::{kind}[]" for kind in _STORED.values())}) AS given ({", ".join(_STORED)}) WHERE i.id = given.id
"""


def _store(invitations: Sequence[Invitation]) -> None:
    """Write what was decided on, in one statement: bulk_update would build a CASE per row and column."""
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [[getattr(row, name) for row in invitations] for name in _STORED])


def score_wordings(instrument_ids: Iterable[int]) -> dict[int, Wording]:
    """The wording of each instrument's own scale question, in its current version."""
    rows = Wording.objects.filter(version__instrument_id__in=instrument_ids, question__kind="scale")
    found: dict[int, Wording] = {}
    for row in rows.select_related("question", "version").order_by("-version__number", "position"):
        found.setdefault(row.version.instrument_id, row)
    return found


def _given_up(invitations: Iterable[Invitation]) -> dict[int, set[str]]:
    """The modes in which an invitation has failed for good: it goes on by the next one of its rule."""
    modes: dict[int, set[str]] = defaultdict(set)
    tried = [invitation.pk for invitation in invitations if invitation.attempts]
    if tried:
        failed = Q(result=DeliveryAttempt.Result.PERMANENT) | Q(receipt__in=LOST)
        for pk, mode in DeliveryAttempt.objects.filter(failed, invitation__in=tried).values_list("invitation", "mode"):
            modes[pk].add(mode)
    return modes


def noted_tries(invitation_ids: Iterable[int]) -> "Counter[tuple[int, int]]":
    """How many tries there is a result of, by (invitation, reminder). Of any other its worker died, or was cut off."""
    rows = DeliveryAttempt.objects.filter(invitation__in=list(invitation_ids)).values("invitation", "reminder")
    return Counter({(pk, number): n for pk, number, n in rows.annotate(n=Count("id")).values_list(*TRY, "n")})


def lease_after(lost: int) -> timedelta:
    """Each try that was lost doubles the next lease: a message that ends whoever sends it may go out each time."""
    return LEASE * 2 ** min(max(lost, 0), 8)


def _is_lost(invitation: Invitation, noted: int, now: datetime) -> bool:
    """Tried for as long as a failure is believed to be temporary, and several times by somebody who could not tell what became of it."""
    at = invitation.attempted_at
    return at is not None and invitation.attempts - noted >= LOST_TRIES and now - at > PATIENCE


def decide_again(
    invitation: Invitation,
    organisation: Organisation,
    histories: Histories,
    places: Places,
    reopened: bool,
    given_up: Collection[str],
    now: datetime,
) -> str:
    """The address to write to; "" where the invitation was cancelled, postponed or refused, which is then written on it."""
    customer = invitation.customer
    gone = void_reason(invitation, reopened)
    if gone:
        return _refuse(invitation, histories, Invitation.Status.CANCELLED, gone)
    rival = _better(invitation, organisation, histories)
    if rival is not None:
        return _refuse(
            invitation, histories, Invitation.Status.CANCELLED, Invitation.Reason.SUPERSEDED, taken_by(rival.rule)
        )
    modes = invitation.rule.modes if invitation.rule else [invitation.mode]
    way = histories.way_to(
        customer,
        [mode for mode in modes if mode not in given_up],
        invitation.touchpoint_id,
        needs_consent(invitation.rule),
    )
    mode = way.mode
    if mode and not may_go_out(mode, customer, invitation, organisation, now):
        return _postpone(invitation, mode, organisation, now, now)
    if mode and invitation.attempted_at is not None:
        floor_ends = _floor_of_others(invitation, mode, organisation, histories)
        if floor_ends is not None and floor_ends > now:
            return _postpone(invitation, mode, organisation, floor_ends, now)
    decision = Decision(True)
    today = organisation.day_of(now)
    if invitation.attempted_at is None or not mode:
        rule = invitation.rule
        has_place = invitation.quota_day == today or rule is None or places.are_left(rule, today)
        history = History(
            event_at=now,  # its age was judged when it arrived; a planned delay does not make it older
            suppressed=way.suppressed,
            has_consent=way.has_consent,
            has_address=way.has_address,
            draw=-1.0,  # drawn when it arrived
            last_same_at=histories.last_same.get((customer.pk, invitation.touchpoint_id)),
            last_any_at=histories.last_any.get(customer.pk),
            last_message_at=histories.last_message_to(customer, mode),
            quota_left=has_place,
        )
        decision = decide(terms_of(rule, organisation), history, now)
        if decision.ok and rule is not None and invitation.quota_day != today:
            places.give_back(rule.pk, invitation.quota_day)
            invitation.quota_day = places.take(rule, today)
    if decision.until is not None and may_wait(invitation, decision.until, organisation):
        return _postpone(invitation, mode, organisation, decision.until, now)
    if not decision.ok:
        return _refuse(invitation, histories, Invitation.Status.WITHHELD, decision.reason, decision.detail)
    invitation.mode = mode
    address: str = SENDING[mode].address_of(customer)
    return address


def void_reason(invitation: Invitation, reopened: bool) -> str:
    """Why nothing may be sent about this occasion any more, whatever else speaks for it; "" where it may."""
    if not invitation.touchpoint.active or (invitation.rule is not None and not invitation.rule.active):
        return Invitation.Reason.INACTIVE
    if invitation.customer.erased_at is not None:
        return Invitation.Reason.ERASED
    return Invitation.Reason.REOPENED if reopened else ""


def may_go_out(
    mode: str, customer: Customer, invitation: Invitation, organisation: Organisation, now: datetime
) -> bool:
    """Whether this is a day of the rule and outside quiet hours, where the customer is."""
    days = invitation.rule.days if invitation.rule is not None else ()
    quiet = quiet_of(organisation.quiet_hours.get(mode, ""))
    if not days and quiet is None:
        return True
    return is_time(now, zone_of(customer.time_zone, organisation.zone), days, quiet)


def _better(invitation: Invitation, organisation: Organisation, histories: Histories) -> Invitation | None:
    """Another invitation that waits for the customer, and that this one has to give way to.

    Each was asked when it was made; but of two that were decided on at the same moment neither saw the other.
    """
    if invitation.attempted_at is not None:
        return None  # it may have gone out
    own = promise_of(invitation, organisation)
    for rival in histories.waiting.get(invitation.customer_id, ()):
        if rival.key.pk != invitation.pk and better_of(own, rival) is rival:
            found: Invitation = rival.key
            return found
    return None


def _floor_of_others(
    invitation: Invitation, mode: str, organisation: Organisation, histories: Histories
) -> datetime | None:
    """When an invitation that was tried before may be tried again, because of other messages to the customer or the address.

    It has been granted its turn and keeps it: it is postponed, not refused.
    """
    customer = invitation.customer
    theirs = histories.last_message.get(customer.pk)
    there = histories.written.get(address_hash(SENDING[mode].address_of(customer)))
    # Our own try is the latest thing we know of an address; of that of another mode we wrote nothing.
    is_another_mode = invitation.mode != mode
    if there is not None and (is_another_mode or (invitation.tried_at is not None and there > invitation.tried_at)):
        theirs = there if theirs is None else max(theirs, there)
    return None if theirs is None else theirs + timedelta(seconds=terms_of(invitation.rule, organisation).floor_s)


def _refuse(invitation: Invitation, histories: Histories, status: str, reason: str, detail: str | None = None) -> str:
    invitation.status, invitation.reason = status, reason
    invitation.detail = invitation.detail if detail is None else detail
    _leave_queue(invitation, histories)
    return ""


def _leave_queue(invitation: Invitation, histories: Histories) -> None:
    """It waits no more, and nobody has to give way to it."""
    waiting = histories.waiting.get(invitation.customer_id, [])
    waiting[:] = [promise for promise in waiting if promise.key.pk != invitation.pk]


def _postpone(invitation: Invitation, mode: str, organisation: Organisation, earliest: datetime, now: datetime) -> str:
    """Not now. Nothing else is decided: it meets every gate when its moment has come."""
    invitation.send_at = planned(earliest, now, invitation.customer, mode, invitation.rule, organisation)
    invitation.lease_until = None
    if invitation.attempted_at is None and organisation.day_of(invitation.send_at) != invitation.quota_day:
        invitation.quota_day = None  # the place is another's, who can use it
    return ""


def note_attempt(
    invitation: Invitation, mode: str, letter: Letter, outcome: Outcome, now: datetime, reminder: int = 0
) -> None:
    """The row of one try. An address is kept, as a hash, only where a report on the message may follow, or is given at once."""
    DeliveryAttempt.objects.create(
        invitation=invitation,
        reminder=reminder,
        mode=mode,
        at=now,
        message_id=letter.message_id,
        result=DeliveryAttempt.Result.UNKNOWN if outcome.in_doubt else outcome.result,
        detail=outcome.detail,
        reference=outcome.reference,
        address_hash=address_hash(letter.to) if outcome.reference or outcome.soft else "",
        receipt=ReceiptKind.SOFT if outcome.soft else "",
        receipt_at=now if outcome.soft else None,
    )


def is_in_doubt_again(invitation: Invitation, outcome: Outcome, reminder: int = 0) -> bool:
    """Handed over as often as may be, and never a word: it may have arrived each time. The tries are noted."""
    if not outcome.in_doubt:
        return False
    tries = DeliveryAttempt.objects.filter(
        invitation=invitation, reminder=reminder, result=DeliveryAttempt.Result.UNKNOWN
    )
    return tries.count() >= DOUBTS


_INVITATIONS, _ATTEMPTS, _REMINDERS = (model._meta.db_table for model in (Invitation, DeliveryAttempt, Reminder))
# That one message went out: its attempt, its invitation and the reminders, in one statement, which is the transaction. An answer may
# have come in before we heard the server's OK: then it is not "sent" any more, and nobody is reminded.
_SENT = Prepared(
    "settle_sent",
    f"""
WITH changed AS (
    UPDATE {_INVITATIONS} SET sent_at = %(at)s, expires_at = %(expires_at)s, lease_until = NULL,
        status = CASE status WHEN 'scheduled' THEN 'sent' ELSE status END
    WHERE id = %(id)s RETURNING id, status
),
attempt AS (
    INSERT INTO {_ATTEMPTS} (invitation_id, reminder, mode, at, message_id, result, detail, reference, address_hash, receipt)
    SELECT id, 0, %(mode)s, %(at)s, %(message_id)s, 'sent', %(detail)s, %(reference)s, %(address_hash)s, '' FROM changed
),
reminding AS (
    INSERT INTO {_REMINDERS} (invitation_id, number, status, reason, send_at, attempts)
    SELECT id, planned.number, 'scheduled', '', planned.send_at, 0
    FROM changed, unnest(%(numbers)s, %(reminders)s) AS planned (number, send_at) WHERE status = 'sent'
    ON CONFLICT DO NOTHING
)
SELECT status FROM changed
""",
    {
        "id": "bigint",
        "mode": "text",
        "at": "timestamptz",
        "message_id": "text",
        "detail": "text",
        "reference": "text",
        "address_hash": "text",
        "expires_at": "timestamptz",
        "numbers": "smallint[]",
        "reminders": "timestamptz[]",
    },
)


def _settle_sent(
    invitation: Invitation, letter: Letter, outcome: Outcome, organisation: Organisation, now: datetime
) -> None:
    """The carrier took it."""
    expires_at = now + timedelta(seconds=invitation.expires_s)
    reminders = _planned_reminders(invitation, organisation, expires_at, now)
    with connection.cursor() as cursor:
        _SENT.execute(
            cursor,
            {
                "id": invitation.pk,
                "mode": invitation.mode,
                "at": now,
                "message_id": letter.message_id,
                "detail": outcome.detail,
                "reference": outcome.reference,
                "address_hash": address_hash(letter.to) if outcome.reference else "",
                "expires_at": expires_at,
                "numbers": list(reminders),
                "reminders": list(reminders.values()),
            },
        )
        found = cursor.fetchone()
    if found != (Invitation.Status.SENT,):  # which it would not be if its customer had been erased: that cancels it
        with transaction.atomic():
            forget_if_erased(invitation, letter)


def _settle(
    invitation: Invitation, letter: Letter, outcome: Outcome, organisation: Organisation, now: datetime
) -> None:
    """Second transaction: what the carrier said."""
    if outcome.result == "sent":
        _settle_sent(invitation, letter, outcome, organisation, now)
        return
    row = Invitation.objects.filter(pk=invitation.pk)
    with transaction.atomic():
        note_attempt(invitation, invitation.mode, letter, outcome, now)
        if is_dead(letter, outcome, now):
            give_up_mode(invitation, [Invitation.Status.SCHEDULED], Invitation.Reason.BOUNCED, outcome.detail, now)
            # The link before its address: see flow/locks.py.
            suppress_bounced(address_hash(letter.to), outcome.detail, now)
        elif is_in_doubt_again(invitation, outcome) or (
            invitation.attempted_at is not None and now - invitation.attempted_at > PATIENCE
        ):
            reason = Invitation.Reason.UNDELIVERABLE
            row.filter(status=Invitation.Status.SCHEDULED).update(
                status=Invitation.Status.FAILED, reason=reason, detail=outcome.detail, lease_until=None
            )
        else:
            pause = pause_after(invitation.attempts, outcome)
            row.update(send_at=now + pause, detail=outcome.detail, lease_until=None)
        forget_if_erased(invitation, letter)


def pause_after(attempts: int, outcome: Outcome = NO_WORD) -> timedelta:
    """How long a message waits that was tried so often, and came to nothing for now."""
    pause = BACK_OFF[min(max(attempts, 1), len(BACK_OFF)) - 1]
    return max(pause, timedelta(seconds=outcome.retry_after_s), DOUBT if outcome.in_doubt else pause)


def is_dead(letter: Letter, outcome: Outcome, now: datetime) -> bool:
    """Whether the address is not to be written to again: it never worked, or was too often out of order."""
    return outcome.result == "permanent" or (outcome.soft and bounced_too_often(address_hash(letter.to), now))


def _planned_reminders(
    invitation: Invitation, organisation: Organisation, expires_at: datetime, now: datetime
) -> dict[int, datetime]:
    """By number, when the rule wants people to be reminded, for as long as the link works."""
    rule = invitation.rule
    if rule is None or not rule.reminders_s:
        return {}
    spans = enumerate(rule.reminders_s[:REMINDERS], start=1)
    times = {
        number: planned(now + timedelta(seconds=span), now, invitation.customer, invitation.mode, rule, organisation)
        for number, span in spans
    }
    return {number: send_at for number, send_at in times.items() if send_at < expires_at}


def forget_if_erased(invitation: Invitation, letter: Letter) -> None:
    if Customer.objects.filter(pk=invitation.customer_id, erased_at__isnull=False).exists():
        forget(invitation, letter)


def forget(invitation: Invitation, letter: Letter) -> None:
    """The customer was erased while the letter was on its way: what came of it goes too, but that it went out.

    An erasure that is under way has the link, so we waited for it and see it; one that comes later waits for us and sees this.
    """
    SentMessage.objects.filter(message_id=letter.message_id).delete()
    DeliveryAttempt.objects.filter(invitation=invitation).update(detail="", address_hash="")
    Invitation.objects.filter(pk=invitation.pk).update(detail="")
    Suppression.objects.filter(address_hash=address_hash(letter.to)).update(detail="")


def give_up_mode(invitation: Invitation, statuses: Collection[str], reason: str, detail: str, now: datetime) -> None:
    """This mode has failed for good: on to the next one of the rule by which the customer can be reached, else the end.

    `statuses`: only while the invitation is in one of them, so that what was answered, opened or erased meanwhile stays so.
    When it goes out in another mode, what meets it there is that mode's quiet hours and the floor of others, never its own.
    Reminders that wait are of a message that nobody got: they are planned anew when the next one is sent.
    """
    row = Invitation.objects.filter(pk=invitation.pk, status__in=statuses)
    modes = invitation.rule.modes if invitation.rule else [invitation.mode]
    given_up = _given_up([invitation])[invitation.pk] | {invitation.mode}
    customer = Customer.objects.get(pk=invitation.customer_id)
    histories = Histories.load([customer], Organisation.current())
    left = [mode for mode in modes if mode not in given_up]
    mode = histories.way_to(customer, left, invitation.touchpoint_id, needs_consent(invitation.rule)).mode
    reminders = Reminder.objects.filter(invitation=invitation.pk, status=Reminder.Status.SCHEDULED)
    if mode and customer.erased_at is None:
        if row.update(status=Invitation.Status.SCHEDULED, send_at=now, sent_at=None, detail=detail, lease_until=None):
            reminders.delete()
    elif row.update(status=Invitation.Status.FAILED, reason=reason, detail=detail, lease_until=None):
        reminders.update(status=Reminder.Status.CANCELLED, reason=reason, lease_until=None)


def give_up_if_lost(invitation: Invitation, reason: str, detail: str, now: datetime) -> None:
    """Give up the mode of an invitation that is out, unless one of its messages, a reminder too, has arrived or still may.

    The caller holds the link. A reminder that is on its way asks again when it knows.
    """
    if Reminder.objects.filter(invitation=invitation.pk, lease_until__isnull=False).exists():
        return
    taken = DeliveryAttempt.objects.filter(invitation=invitation.pk, result=DeliveryAttempt.Result.SENT)
    became = set(taken.values_list("receipt", flat=True))
    if became and became <= {*LOST, ReceiptKind.SOFT}:
        give_up_mode(invitation, [Invitation.Status.SENT, Invitation.Status.DELIVERED], reason, detail, now)
