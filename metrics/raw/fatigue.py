"""How much customers are written to. In: which customers and days (Asked). Out: counts of messages, people and objections.

A message is an invitation or a reminder that a carrier took. Messages are a customer's, whatever touchpoint they were about, so of
the filters only the segment narrows them. Raw rows, bounded in time. No rate here, and nobody's name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.db import connection

from metrics.raw.funnel import ANSWERED, OF_CUSTOMER, SENT, Asked
from metrics.slices import Interval
from surveys.models import Invitation, Reminder, Response, Suppression, SuppressionLift

WINDOWS = (30, 90)  # days
WEARING_DAYS = 92  # of the period, its last ones: each customer's messages have to be put in order
MOST = 4  # "4 or more"
RESTS = ("resting_same", "resting_any", "floor_24h", "superseded")

_invitation, _reminder, _response = Invitation._meta.db_table, Reminder._meta.db_table, Response._meta.db_table


def _since(days_before: int) -> str:
    return f"(%(begin)s::timestamptz - interval '{days_before} days')"


def _written(asked: Asked, days_before: int) -> str:
    """The query `written`: invitations of which anything was sent from `days_before` days before the period to its end.

    Bounded by the day of the decision as well, which an index knows. It is kept (MATERIALIZED): left to choose, the planner looks
    invitation by invitation, or customer by customer, which is slower by far.
    """
    joins, narrowed = (
        (OF_CUSTOMER, f"AND {asked.segments.sql} = %(segment)s") if asked.segment is not None else ("", "")
    )
    return f"""written AS MATERIALIZED (
        SELECT i.id, i.customer_id, i.sent_at, i.reminded_at FROM {_invitation} i {joins}
        WHERE i.touchpoint_id = ANY(%(touchpoints)s::bigint[]) AND i.decided_at >= {_since(days_before)} - %(slack)s::interval
            AND i.decided_at < %(end)s AND greatest(i.sent_at, i.reminded_at) >= {_since(days_before)} AND i.sent_at < %(end)s {narrowed}
    )"""


def _messages(days_before: int, source: str = "written") -> str:
    """(customer_id, at, id) of each message of `source` in that time; `id` of an invitation, NULL of a reminder."""
    since = _since(days_before)
    return f"""SELECT customer_id, sent_at AS at, id FROM {source} WHERE sent_at >= {since}
        UNION ALL SELECT w.customer_id, m.sent_at, NULL FROM {source} w JOIN {_reminder} m ON m.invitation_id = w.id
        WHERE w.reminded_at >= {since} AND m.sent_at >= {since} AND m.sent_at < %(end)s"""


@dataclass(frozen=True)
class Load:
    """How many customers got 1, 2, 3, … messages (MOST: or more) in the last `days` days of the period, and messages in all."""

    days: int
    customers: Mapping[int, int]
    messages: int

    @property
    def written_to(self) -> int:
        return sum(self.customers.values())


def measure_load(asked: Asked) -> list[Load]:
    """One Load per window, each ending with the period; one query. `asked.begin` plays no part."""
    longest = max(WINDOWS)
    counted = ", ".join(
        f"count(*) FILTER (WHERE at >= %(end)s::timestamptz - interval '{days} days') AS n{days}" for days in WINDOWS
    )
    windows = " UNION ALL ".join(
        f"SELECT {days}, least(n{days}, {MOST}), count(*), sum(n{days})::bigint FROM people WHERE n{days} > 0 GROUP BY 2"
        for days in WINDOWS
    )
    values = {**asked.values, "begin": asked.end}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH {_written(asked, longest)}, people AS (
                SELECT customer_id, {counted} FROM ({_messages(longest)}) messages GROUP BY customer_id
            ) {windows}""",
            values,
        )
        rows = cursor.fetchall()
    return [
        Load(
            days,
            {many: count for window, many, count, _sum in rows if window == days},
            sum(messages for window, _many, _count, messages in rows if window == days),
        )
        for days in WINDOWS
    ]


@dataclass(frozen=True)
class Wearing:
    """Invitations sent in the period to customers who had got so many messages in the 90 days before, and how many were answered."""

    sent: int
    answered: int
    open: int


def measure_wearing(asked: Asked) -> dict[int, Wearing]:
    """By messages in the 90 days before, 0 … MOST (or more); one query. The period's own invitations by the day of the decision."""
    joins, conditions = asked.narrowed()
    before = max(WINDOWS)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH asked AS MATERIALIZED (
                SELECT i.id, i.customer_id, coalesce(i.expires_at > %(now)s, true) AS open FROM {_invitation} i {joins}
                WHERE {conditions} AND {SENT}
            ), {_written(asked, before)}, theirs AS MATERIALIZED (
                SELECT * FROM written WHERE customer_id IN (SELECT customer_id FROM asked)
            ), before AS (
                SELECT id, count(*) OVER (
                    PARTITION BY customer_id ORDER BY at RANGE BETWEEN interval '{before} days' PRECEDING AND CURRENT ROW
                ) - 1 AS n FROM ({_messages(before, "theirs")}) messages
            )
            SELECT least(before.n, {MOST}), count(*), count(*) FILTER (WHERE {ANSWERED}), count(*) FILTER (WHERE asked.open)
            FROM before JOIN asked ON asked.id = before.id
            LEFT JOIN {_response} r ON r.invitation_id = asked.id AND r.responded_at >= %(begin)s GROUP BY 1""",
            asked.values,
        )
        return {n: Wearing(sent, answered, waiting) for n, sent, answered, waiting in cursor.fetchall()}


@dataclass(frozen=True)
class Spared:
    """Invitations that were not sent because others had been, and how many customers that was. `decided` are all of the period."""

    decided: int
    reasons: Mapping[str, tuple[int, int]]  # reason -> (invitations, customers)
    in_all: tuple[int, int]


def measure_spared(asked: Asked) -> Spared:
    """What resting, the floor and other invitations held back, by the day of the decision; one query."""
    joins, conditions = asked.narrowed()
    spared = f"NOT {SENT} AND i.status IN ('withheld', 'cancelled') AND i.reason = ANY(%(rests)s)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH asked AS MATERIALIZED (
                SELECT i.customer_id, CASE WHEN {spared} THEN i.reason END AS reason FROM {_invitation} i {joins} WHERE {conditions}
            )
            SELECT reason, count(*), count(DISTINCT customer_id), NULL::bigint FROM asked WHERE reason IS NOT NULL GROUP BY reason
            UNION ALL SELECT '', count(*) FILTER (WHERE reason IS NOT NULL),
                count(DISTINCT customer_id) FILTER (WHERE reason IS NOT NULL), count(*) FROM asked""",
            {**asked.values, "rests": list(RESTS)},
        )
        rows = {reason: (many, people, decided) for reason, many, people, decided in cursor.fetchall()}
    many, people, decided = rows.pop("")
    return Spared(decided or 0, {reason: row[:2] for reason, row in rows.items()}, (many, people))


OBJECTIONS = (Suppression.Reason.UNSUBSCRIBED, Suppression.Reason.COMPLAINED)


@dataclass(frozen=True, slots=True)
class Objections:
    """Messages sent in a period of a trend, and how many people then said that they want no more, or complained."""

    messages: int
    unsubscribed: int
    complained: int


def measure_objections(asked: Asked, interval: Interval, starts: Sequence[date]) -> dict[date, Objections]:
    """By the day of the message and that of the objection, every one of `starts`; one query.

    One act suppresses a person and all their addresses at one moment: persons are counted, and where only an address is known, the
    moment. What was lifted since was said all the same. Hashes know no customer, so no filter narrows this.
    """
    everybody = Asked(asked.begin, asked.end, asked.now, asked.zone, asked.touchpoints, slack_days=asked.slack_days)
    start = f"date_trunc('{interval}', at AT TIME ZONE %(zone)s)::date"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH {_written(everybody, 0)}
            SELECT {start}, 'sent', count(*) FROM ({_messages(0)}) messages GROUP BY 1
            UNION ALL SELECT {start}, reason, sum(people) FROM (
                SELECT at, reason, greatest(1, count(DISTINCT address_hash) FILTER (WHERE of_person)) AS people FROM (
                    SELECT created_at AS at, reason, address_hash, of_person FROM {Suppression._meta.db_table}
                    UNION ALL SELECT since, reason, address_hash, of_person FROM {SuppressionLift._meta.db_table}
                ) said WHERE reason = ANY(%(objections)s) AND at >= %(begin)s AND at < %(end)s GROUP BY at, reason
            ) acts GROUP BY 1, 2""",
            {**everybody.values, "objections": list(OBJECTIONS)},
        )
        counts = {(start, what): int(count) for start, what, count in cursor.fetchall()}
    return {day: Objections(*(counts.get((day, what), 0) for what in ("sent", *OBJECTIONS))) for day in starts}
