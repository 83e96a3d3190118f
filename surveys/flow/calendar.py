"""From the calendar to invitations. In: rules on a calendar, and the day. Out: one Invitation per (rule, customer, period).

A rule goes once through all customers on each day of the organisation, a page at a time, and asks those whose turn it is
(periods.turn_of). How far it has come is a row, CalendarPass, which moves in the transaction that writes a page's decisions: so a
killed worker loses nothing and repeats nothing, and two of them never work at the same rule. Days on which nobody was at work are gone
through together with the next one; days on which the rule was switched off are not. That each customer is asked once in a period
is a unique constraint, whatever else fails.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, Value
from django.db.models.functions import Greatest

from surveys.flow.eligibility import Decision
from surveys.flow.invite import Decided, Histories, ask, keep, take_over
from surveys.flow.periods import BITS, Period, period_of, seed_of
from surveys.flow.quota import Places
from surveys.models import CalendarPass, Customer, InteractionEvent, Invitation, InvitationRule, Organisation

PAGE = 20_000  # customers looked at in one transaction
BATCH = 500  # of whom at most so many are decided on in it
PUT_OFF = 5  # how often somebody's turn is moved on in a period: by resting, the floor, another message that waits
DAY = timedelta(days=1)
ON = Q(rule__active=True, rule__touchpoint__active=True) & ~Q(rule__calendar="")

_PAGE = f"""
SELECT max(id), count(*) FROM (SELECT id FROM {Customer._meta.db_table} WHERE id > %s ORDER BY id LIMIT %s) AS page
"""
# FOR KEY SHARE: an erasure waits for this page, or is seen by it. Nobody who only records something about them has to wait.
_DUE = f"""
SELECT c.id FROM {Customer._meta.db_table} c
WHERE c.id > %(after)s AND c.id <= %(upto)s AND c.erased_at IS NULL
AND ('x' || encode(substr(sha256(%(seed)s || convert_to(c.external_id, 'UTF8')), 1, {BITS // 8}), 'hex'))::bit({BITS})::bigint
    * %(days)s >> {BITS} = ANY(%(turns)s)
AND NOT EXISTS (SELECT FROM {Invitation._meta.db_table} i WHERE i.rule_id = %(rule)s AND i.period = %(period)s
    AND i.customer_id = c.id AND i.customer_id > %(after)s AND i.customer_id <= %(upto)s)
ORDER BY c.id FOR KEY SHARE OF c
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one transaction did: how many customers it looked at, on how many of them it decided."""

    looked_at: int
    decided: int


def drain(clock: Callable[[], datetime], *, over: Callable[[], bool] = lambda: False) -> int:
    """Go on with every pass that is due until none is left, or it is `over`; on how many customers was decided."""
    total = 0
    begin_passes(clock())
    while True:
        asked = ask_page(clock())
        if asked is None:
            return total
        total += asked.decided
        if over():
            return total


def begin_passes(now: datetime) -> None:
    """Each rule on a calendar has its row. While it is switched off, its row follows the days: they are not made up for."""
    yesterday = Organisation.current().day_of(now) - DAY
    new = InvitationRule.objects.filter(calendar_pass__isnull=True).exclude(calendar="")
    CalendarPass.objects.bulk_create(
        [CalendarPass(rule=rule, through=yesterday) for rule in new.order_by("pk")], ignore_conflicts=True
    )
    off = CalendarPass.objects.exclude(ON).filter(Q(through__lt=yesterday) | Q(until__isnull=False))
    if off.exists():
        with transaction.atomic():
            # One that a worker is at is left to it.
            free = off.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)
            rows = CalendarPass.objects.filter(pk__in=list(free))
            rows.update(through=Greatest("through", Value(yesterday)), until=None, cursor=0)


def ask_page(now: datetime, page: int = PAGE, limit: int = BATCH) -> Asked | None:
    """Claim one pass that is due and go on with it by a page; None where there is none, or others are at work on all there are."""
    organisation = Organisation.current()
    today = organisation.day_of(now)
    with transaction.atomic():
        due = CalendarPass.objects.filter(ON, Q(through__lt=today))
        claimed = (
            due.select_for_update(skip_locked=True, of=("self",))
            .select_related("rule__touchpoint__instrument", "rule__instrument")
            .order_by("-rule__priority", "rule__slug")
            .first()
        )
        if claimed is None:
            return None
        return _go_on(claimed, organisation, today, now, page, limit)


def _go_on(
    claimed: CalendarPass, organisation: Organisation, today: date, now: datetime, page: int, limit: int
) -> Asked:
    until = claimed.until or today
    period = period_of(claimed.rule.calendar, until)
    with connection.cursor() as cursor:
        cursor.execute(_PAGE, [claimed.cursor, page])
        upto, looked_at = cursor.fetchone()
    due = _due(claimed, period, until, upto) if looked_at else []
    if len(due) > limit:
        due, looked_at = due[:limit], page
        upto = due[-1]
    if due:
        _decide_on(claimed.rule, due, period, organisation, now)
    if looked_at < page:
        claimed.through, claimed.until, claimed.cursor = until, None, 0
    else:
        claimed.until, claimed.cursor = until, upto
    claimed.save(update_fields=["through", "until", "cursor"])
    return Asked(looked_at, len(due))


def _due(claimed: CalendarPass, period: Period, until: date, upto: int) -> list[int]:
    """Whose turn it is on the days of this pass, of the customers up to `upto`; locked against erasure."""
    low = max(claimed.through + DAY, period.first)
    values: dict[str, Any] = {
        "after": claimed.cursor,
        "upto": upto,
        "seed": seed_of(settings.SECRET_KEY, claimed.rule.slug, period),
        "days": period.days,
        "turns": list(range((low - period.first).days, (until - period.first).days + 1)),
        "rule": claimed.rule.pk,
        "period": period.first,
    }
    with connection.cursor() as cursor:
        cursor.execute(_DUE, values)
        return [id for (id,) in cursor.fetchall()]


def _decide_on(
    rule: InvitationRule, ids: Sequence[int], period: Period, organisation: Organisation, now: datetime
) -> None:
    customers = list(Customer.objects.filter(pk__in=ids).order_by("pk"))
    histories = Histories.load(customers, organisation)
    places = Places.claim([rule], organisation.day_of(now))
    decided = Decided()
    for customer in customers:
        row = _ask_in_period(rule, customer, period, organisation, histories, places, now)
        if row.status == Invitation.Status.SCHEDULED:
            take_over(row, organisation, histories, places, decided)
        decided.rows.append(row)
    keep(decided)


def _ask_in_period(
    rule: InvitationRule,
    customer: Customer,
    period: Period,
    organisation: Organisation,
    histories: Histories,
    places: Places,
    now: datetime,
) -> Invitation:
    """The decision on a customer's day. Who rests on that day has a later turn, if the rest ends in the period.

    Else whoever buys often would never be asked. What is not scheduled then has the reason of the day itself.
    """
    at = now
    first: Invitation | None = None
    for _time in range(PUT_OFF):
        row, decision = _ask_at(rule, customer, period, organisation, histories, places, at)
        row.decided_at = now
        if decision.ok and (first is None or _is_in(period, row, organisation)):
            return row
        if decision.ok:  # the rule's next hour or day is in another period
            places.give_back(rule.pk, row.quota_day)
        first = first or row
        if decision.until is None or organisation.day_of(decision.until) > period.last:
            break
        at = decision.until
    assert first is not None
    return first


def _ask_at(
    rule: InvitationRule,
    customer: Customer,
    period: Period,
    organisation: Organisation,
    histories: Histories,
    places: Places,
    at: datetime,
) -> tuple[Invitation, Decision]:
    # The day stands in the place of an event. It is never written: it has a time, and a name for the draw of the sample.
    name = f"{period.first.isoformat()}/{customer.external_id}"
    day = InteractionEvent(pk=0, customer=customer, source="calendar", event_id=name, time=at)
    row, decision = ask(rule, day, organisation, histories, places, False, at)
    row.event, row.period = None, period.first
    return row, decision


def _is_in(period: Period, row: Invitation, organisation: Organisation) -> bool:
    assert row.send_at is not None
    return organisation.day_of(row.send_at) <= period.last


def may_wait(invitation: Invitation, until: datetime, organisation: Organisation) -> bool:
    """Whether an invitation of a calendar that may not go out now may do so at `until`, which is in its period."""
    rule = invitation.rule
    if invitation.period is None or rule is None or not rule.calendar:
        return False
    return organisation.day_of(until) <= period_of(rule.calendar, invitation.period).last


def mixed_with(touchpoint_id: int, calendar: str, but_not: int | None = None) -> str:
    """The slug of a rule of the other kind at this touchpoint; "" where there is none.

    What is asked out of the blue and what is asked after an event are two figures, and a touchpoint has one.
    """
    others = InvitationRule.objects.filter(touchpoint=touchpoint_id).exclude(pk=but_not or 0)
    others = others.filter(calendar="") if calendar else others.exclude(calendar="")
    return others.order_by("slug").values_list("slug", flat=True).first() or ""
