"""From scheduled invitations to messages. In: invitations that are due. Out: DeliveryAttempts, and invitations sent or refused.

Two transactions around each message, none while the network is waited for: (1) lock the customer, decide again, write lease and
`attempted_at`; then send; (2) write the result. A crash before the server's OK loses nothing, since the lease runs out; one after
it may send the message once more, with the same Message-ID.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from surveys.channels import SENDING
from surveys.flow.addresses import address_hash
from surveys.flow.compose import compose
from surveys.flow.eligibility import Decision, History, decide
from surveys.flow.invite import Histories, terms_of
from surveys.flow.tickets import reopened_since
from surveys.letters import Letter, Outcome
from surveys.models import Customer, DeliveryAttempt, Invitation, Organisation, SentMessage, Suppression, Wording

BATCH = 50
ANY = Q()
LEASE = timedelta(minutes=5)  # longer than a shift and the slowest message after it (EMAIL_TIMEOUT at every step)
BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 480, 1440))
PATIENCE = timedelta(days=4)  # how long a temporary failure is believed to be one


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
    while True:
        claimed, sent = deliver_due(clock(), limit, channels, among, over=over)
        total += sent
        if claimed < limit or sent == 0 or over():  # a carrier that is away is not asked again at once
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
    claimed = _claim(now, limit, among)
    by_mode: dict[str, list[tuple[Invitation, Letter]]] = defaultdict(list)
    for invitation, letter in claimed.letters:
        by_mode[invitation.mode].append((invitation, letter))
    untouched = {invitation.pk for invitation, _letter in claimed.letters}
    sent = 0
    try:
        for mode, letters in by_mode.items():
            with channels[mode].connect() as carrier:
                away: Outcome | None = None
                for invitation, letter in letters:
                    if over() and away is None:
                        break
                    untouched.discard(invitation.pk)  # from here on it may have gone out
                    # One unanswered call speaks for the rest of the batch.
                    outcome = away or carrier.send(letter)
                    away = outcome if outcome.carrier_away else away
                    sent += outcome.result == "sent"
                    _settle(invitation, letter, outcome, now)
    finally:
        _give_back(untouched, claimed.first_time)
    return claimed.looked_at, sent


@dataclass(frozen=True, slots=True)
class _Claim:
    looked_at: int
    letters: Sequence[tuple[Invitation, Letter]]
    first_time: frozenset[int] = frozenset()  # the invitations among them that nobody had tried to send before


def _claim(now: datetime, limit: int, among: Q) -> _Claim:
    """First transaction: who may still be written to, with a lease on each."""
    with transaction.atomic():
        due = list(
            Invitation.objects.filter(among, status=Invitation.Status.SCHEDULED, send_at__lte=now)
            .filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now))
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("touchpoint", "instrument", "rule", "event")
            .order_by("send_at", "id")[:limit]
        )
        if not due:
            return _Claim(0, [])
        # Links before people, people by their id: see flow/locks.py. Whoever else wants one of these customers waits here, and
        # then sees our attempted_at.
        ids = sorted({invitation.customer_id for invitation in due})
        customers = {c.pk: c for c in Customer.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")}
        first_time = frozenset(invitation.pk for invitation in due if invitation.attempted_at is None)
        organisation = Organisation.current()
        histories = Histories.load(customers.values(), but_not=[invitation.pk for invitation in due])
        wordings = score_wordings({invitation.instrument_id for invitation in due})
        reopened = reopened_since(invitation.event for invitation in due)
        given_up = _given_up(due)
        letters = []
        for invitation in due:
            invitation.customer = customers[invitation.customer_id]
            address = _decide_again(
                invitation, organisation, histories, invitation.event_id in reopened, given_up[invitation.pk], now
            )
            if address:
                histories.last_same[invitation.customer_id, invitation.touchpoint_id] = now
                histories.last_any[invitation.customer_id] = histories.last_message[invitation.customer_id] = now
                invitation.attempted_at = invitation.attempted_at or now
                invitation.lease_until = now + LEASE
                invitation.attempts += 1
                letters.append(
                    (invitation, compose(invitation, organisation, wordings[invitation.instrument_id], address))
                )
        _store(due)
        return _Claim(len(due), letters, first_time)


def _give_back(untouched: Iterable[int], first_time: frozenset[int]) -> None:
    """What was claimed and not tried is free for the next worker at once, as if it had never been claimed."""
    ids = set(untouched)
    if not ids:
        return
    rows = Invitation.objects.filter(status=Invitation.Status.SCHEDULED)
    with transaction.atomic():
        list(rows.filter(pk__in=ids).select_for_update(no_key=True).order_by("pk"))  # in one order: see flow/locks.py
        rows.filter(pk__in=ids & first_time).update(attempted_at=None)  # it counts for no floor and no resting
        rows.filter(pk__in=ids).update(lease_until=None, attempts=F("attempts") - 1)


_STORED = {
    "id": "bigint",
    "status": "text",
    "reason": "text",
    "detail": "text",
    "mode": "text",
    "attempted_at": "timestamptz",
    "lease_until": "timestamptz",
    "attempts": "smallint",
    "send_at": "timestamptz",
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
        failed = Q(result="permanent") | Q(receipt__in=["failed", "bounced"])
        for pk, mode in DeliveryAttempt.objects.filter(failed, invitation__in=tried).values_list("invitation", "mode"):
            modes[pk].add(mode)
    return modes


def _decide_again(
    invitation: Invitation,
    organisation: Organisation,
    histories: Histories,
    reopened: bool,
    given_up: Collection[str],
    now: datetime,
) -> str:
    """The address to write to; "" where the invitation was refused, postponed or cancelled, which is then written on it."""
    if not invitation.touchpoint.active or (invitation.rule is not None and not invitation.rule.active):
        invitation.status, invitation.reason = Invitation.Status.CANCELLED, Invitation.Reason.INACTIVE
        return ""
    customer = invitation.customer
    if customer.erased_at is not None:
        invitation.status, invitation.reason = Invitation.Status.CANCELLED, Invitation.Reason.ERASED
        return ""
    if reopened:
        invitation.status, invitation.reason = Invitation.Status.CANCELLED, Invitation.Reason.REOPENED
        return ""
    modes = invitation.rule.modes if invitation.rule else [invitation.mode]
    mode, suppressed = histories.way_to(customer, [mode for mode in modes if mode not in given_up])
    decision = Decision(True)
    if invitation.attempted_at is None or suppressed or not mode:
        history = History(
            event_at=now,  # its age was judged when it arrived; a planned delay does not make it older
            suppressed=suppressed,
            has_address=bool(mode) or bool(suppressed),
            draw=-1.0,  # drawn when it arrived
            last_same_at=histories.last_same.get((customer.pk, invitation.touchpoint_id)),
            last_any_at=histories.last_any.get(customer.pk),
            last_message_at=histories.last_message.get(customer.pk),
        )
        decision = decide(terms_of(invitation.rule, organisation), history, now)
    if not decision.ok:
        invitation.status, invitation.reason = Invitation.Status.WITHHELD, decision.reason
        invitation.detail = f"until {decision.until.isoformat(timespec='seconds')}" if decision.until else ""
        return ""
    invitation.mode = mode
    address: str = SENDING[mode].address_of(customer)
    return address


def _settle(invitation: Invitation, letter: Letter, outcome: Outcome, now: datetime) -> None:
    """Second transaction: what the carrier said."""
    row = Invitation.objects.filter(pk=invitation.pk)
    with transaction.atomic():
        DeliveryAttempt.objects.create(
            invitation=invitation,
            mode=invitation.mode,
            at=now,
            message_id=letter.message_id,
            result=outcome.result,
            detail=outcome.detail,
            reference=outcome.reference,
            address_hash=address_hash(letter.to) if outcome.reference else "",
        )
        if outcome.result == "sent":
            expires_at = now + timedelta(seconds=invitation.expires_s)
            row.update(sent_at=now, expires_at=expires_at, lease_until=None)
            # An answer may have come in before we heard the server's OK.
            row.filter(status=Invitation.Status.SCHEDULED).update(status=Invitation.Status.SENT)
        elif outcome.result == "permanent":
            give_up_mode(invitation, [Invitation.Status.SCHEDULED], Invitation.Reason.BOUNCED, outcome.detail, now)
            # The link before its address: see flow/locks.py.
            suppress_bounced(address_hash(letter.to), outcome.detail, now)
        elif invitation.attempted_at is not None and now - invitation.attempted_at > PATIENCE:
            reason = Invitation.Reason.UNDELIVERABLE
            row.filter(status=Invitation.Status.SCHEDULED).update(
                status=Invitation.Status.FAILED, reason=reason, detail=outcome.detail, lease_until=None
            )
        else:
            pause = BACK_OFF[min(invitation.attempts, len(BACK_OFF)) - 1]
            pause = max(pause, timedelta(seconds=outcome.retry_after_s))
            row.update(send_at=now + pause, detail=outcome.detail, lease_until=None)
        if Customer.objects.filter(pk=invitation.customer_id, erased_at__isnull=False).exists():
            _forget(invitation, letter)


def _forget(invitation: Invitation, letter: Letter) -> None:
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
    """
    row = Invitation.objects.filter(pk=invitation.pk, status__in=statuses)
    modes = invitation.rule.modes if invitation.rule else [invitation.mode]
    given_up = _given_up([invitation])[invitation.pk] | {invitation.mode}
    customer = Customer.objects.get(pk=invitation.customer_id)
    mode, _suppressed = Histories.load([customer]).way_to(customer, [mode for mode in modes if mode not in given_up])
    if mode and customer.erased_at is None:
        row.update(status=Invitation.Status.SCHEDULED, send_at=now, sent_at=None, detail=detail, lease_until=None)
    else:
        row.update(status=Invitation.Status.FAILED, reason=reason, detail=detail, lease_until=None)


def suppress_bounced(hashed: str, detail: str, now: datetime) -> None:
    if hashed:
        Suppression.objects.get_or_create(
            address_hash=hashed,
            defaults={"reason": Suppression.Reason.BOUNCED, "detail": detail, "created_at": now},
        )
