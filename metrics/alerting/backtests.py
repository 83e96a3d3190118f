"""How often an alert rule would have fired. In: a saved rule, `now`. Out: a BackTest. Nothing is written, nobody is told.

What is looked at is what is stored now, as if the rule had stood since the first of the days: with the targets of now, with answers
that were excluded since left out. Erasing and retention take nothing of it away. Rules of closed days are looked at day after day, as
the evaluator looks; each day is judged on its own, since which other rules there were on it is not known any more. Tickets are
followed by their times, silence by whole days. The number of statements is fixed, and none takes longer than LONGEST.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import ceil
from typing import Any

from django.db import OperationalError, connection, transaction
from psycopg2.errors import QueryCanceled

from metrics.alerting.evaluate import Places, Watched, find_on_days, watched
from metrics.alerting.rules import CLEAR_SHARE, Finding, after_look, settle
from metrics.models import AlertRule
from metrics.models.alerts import AlertKind, LookState
from metrics.queries import answered_days
from metrics.slices import Catalogue
from surveys.models import Organisation, Ticket, Touchpoint

DAYS = 90
LONGEST = timedelta(seconds=3)  # somebody waits for the page
ONE_DAY = timedelta(days=1)
_ticket = Ticket._meta.db_table


@dataclass(frozen=True)
class Firing:
    """One time that it would have fired: on which day, what it saw (as an alert keeps it), and the day on which it would have cleared.

    Of closed days these are the days looked at; of tickets those on which it happened; of silence the day whose end made it long
    enough, and that of the next answer.
    """

    day: date
    numbers: Mapping[str, Any]
    cleared: date | None


@dataclass(frozen=True)
class BackTest:
    """The days from `first` to `last`. `known`: days on which there was enough to say, of closed days.

    Of tickets, how many came to be open for too long, and how many of these were reopened: of them only the last resolution is stored.
    Of silence, how many `whole_days` without an answer count as one.
    """

    first: date
    last: date
    firings: Sequence[Firing]
    known: int = 0
    tickets: int = 0
    reopened: int = 0
    whole_days: int = 0


def back_test(rule: AlertRule, now: datetime) -> BackTest | None:
    """Of the last DAYS closed days; None where there is too much to be looked at in time."""
    organisation = Organisation.current()
    last = organisation.day_of(now) - ONE_DAY
    days = [last - timedelta(days=ago) for ago in reversed(range(DAYS))]
    look = {AlertKind.OPEN_LONGER: _follow_tickets, AlertKind.NO_ANSWERS: _count_silent_days}
    try:
        with _in_time():
            plain, places = watched(rule.pk), Places(Catalogue.load())
            return look.get(AlertKind(plain.kind), _look_at_days)(plain, days, organisation, places)
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            return None
        raise


@contextmanager
def _in_time() -> Iterator[None]:
    """No statement takes longer than LONGEST; one that does is an OperationalError, and the transaction goes on as it was."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        before = cursor.fetchone()[0]
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, true)", [f"{round(LONGEST.total_seconds() * 1000)}ms"]
        )
        yield
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])


# --- Closed days ------------------------------------------------------------------------------------------------------


def _look_at_days(rule: Watched, days: Sequence[date], organisation: Organisation, places: Places) -> BackTest:
    """Fired once and cleared with hysteresis, as alerts are."""
    seen = find_on_days([(rule, day) for day in days], organisation, places)
    findings = settle(seen, [True] * len(seen))
    made: list[Firing] = []
    stands: tuple[date, Finding] | None = None
    quiet = unknown = 0
    for day, found in zip(days, findings, strict=True):
        if stands is None:
            if found.state == LookState.HELD:
                stands, quiet, unknown = (day, found), 0, 0
            continue
        quiet, unknown, why = after_look(found.state, quiet, unknown)
        if why is not None:
            made.append(Firing(stands[0], stands[1].numbers(), day))
            stands = None
    if stands is not None:
        made.append(Firing(stands[0], stands[1].numbers(), None))
    known = sum(found.state != LookState.UNKNOWN for found in findings)
    return BackTest(days[0], days[-1], made, known=known)


# --- Silence ----------------------------------------------------------------------------------------------------------


def _count_silent_days(rule: Watched, days: Sequence[date], organisation: Organisation, places: Places) -> BackTest:
    """So many whole days in a row without an answer are certainly a silence of that length; a shorter row may have been one.

    By the cells, which hold answers with a score; where a touchpoint is switched off now, nobody is waited for.
    """
    enough = ceil(timedelta(seconds=rule.longer_than_s or 0) / ONE_DAY)
    going = set(Touchpoint.objects.filter(active=True).order_by().values_list("pk", flat=True))
    touchpoints = tuple(pk for pk in places.every(rule) if pk in going)
    if not touchpoints:
        return BackTest(days[0], days[-1], [], whole_days=enough)
    answered = answered_days(
        touchpoints, rule.mode, rule.segment, rule.location, days[0], days[-1], places.catalogue
    )  # fmt: skip
    made: list[Firing] = []
    fired: date | None = None
    silent = 0
    for day in days:
        silent = 0 if day in answered else silent + 1
        if silent == enough:
            fired = day
        elif fired is not None and not silent:
            made.append(Firing(fired, {}, day))
            fired = None
    return BackTest(days[0], days[-1], [*made, Firing(fired, {}, None)] if fired else made, whole_days=enough)


# --- Tickets ----------------------------------------------------------------------------------------------------------

# Tickets that a rule watches and that were open for longer than a span at some moment of the days; in two statements.
_OLD = f"""FROM {_ticket} t
    WHERE t.in_ttr AND t.opened_at + {{span}} < %(end)s
        AND (t.resolved_at IS NULL OR t.day_resolved >= %(day)s AND t.resolved_at > %(begin)s AND t.resolved_at > t.opened_at + {{span}})
        AND (%(touchpoints)s::bigint[] IS NULL OR t.touchpoint_id = ANY(%(touchpoints)s::bigint[]))
        AND (%(segment)s = '' OR t.segment = %(segment)s) AND (%(location)s = '' OR t.location = %(location)s)"""
# Each ticket counts towards firing from `fire` on, and against clearing from `clear` on, until it is resolved. After each moment at
# which that changes: how many do; left are the moments at which either comes to be enough, or no longer is.
_OVER_TIME = f"""
WITH old AS (
    SELECT t.opened_at, t.resolved_at {_OLD.format(span="%(clear)s")}
), steps AS (
    SELECT greatest(opened_at + %(clear)s, %(begin)s) AS at, 0 AS fire, 1 AS clear FROM old
    UNION ALL SELECT resolved_at, 0, -1 FROM old WHERE resolved_at < %(end)s
    UNION ALL SELECT greatest(opened_at + %(fire)s, %(begin)s), 1, 0 FROM old
        WHERE opened_at + %(fire)s < %(end)s AND (resolved_at IS NULL OR resolved_at > opened_at + %(fire)s)
    UNION ALL SELECT resolved_at, -1, 0 FROM old WHERE resolved_at < %(end)s AND resolved_at > opened_at + %(fire)s
), sums AS (
    SELECT at, sum(sum(fire)) OVER (ORDER BY at) AS fire, sum(sum(clear)) OVER (ORDER BY at) AS clear FROM steps GROUP BY at
), compared AS (
    SELECT at, fire, clear, lag(fire, 1, 0) OVER (ORDER BY at) AS fire_before, lag(clear, 1, 0) OVER (ORDER BY at) AS clear_before
    FROM sums
)
SELECT at, fire::int, clear::int FROM compared
WHERE (fire >= %(enough)s) <> (fire_before >= %(enough)s) OR (clear >= %(enough)s) <> (clear_before >= %(enough)s) ORDER BY at
"""
_CAME_TO_BE = f"SELECT count(*), count(*) FILTER (WHERE t.reopened_count > 0) {_OLD.format(span='%(fire)s')}"


def _follow_tickets(rule: Watched, days: Sequence[date], organisation: Organisation, places: Places) -> BackTest:
    """By the times of each ticket, as if somebody looked at every moment."""
    begin, end = (datetime.combine(day, time.min, organisation.zone) for day in (days[0], days[-1] + ONE_DAY))
    span, named = timedelta(seconds=rule.longer_than_s or 0), places.of(rule)
    asked: dict[str, Any] = {
        "begin": begin, "end": end, "day": days[0] - ONE_DAY, "fire": span, "clear": CLEAR_SHARE * span, "enough": rule.at_least,
        "touchpoints": None if named is None else list(named), "segment": rule.segment, "location": rule.location,
    }  # fmt: skip
    made: list[Firing] = []
    stands: Firing | None = None
    with connection.cursor() as cursor:
        cursor.execute(_OVER_TIME, asked)
        for at, fire, clear in cursor.fetchall():
            day = organisation.day_of(at)
            if stands is None and fire >= rule.at_least:
                stands = Firing(day, {"count": fire}, None)
            elif stands is not None and clear < rule.at_least:
                made.append(Firing(stands.day, stands.numbers, day))
                stands = None
        cursor.execute(_CAME_TO_BE, asked)
        tickets, reopened = cursor.fetchone()
    return BackTest(days[0], days[-1], [*made, stands] if stands else made, tickets=tickets, reopened=reopened)
