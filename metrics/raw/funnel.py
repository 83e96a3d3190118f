"""What became of invitations. In: which ones (Asked: days of the decision, and filters). Out: a Passage per group: counts by step.

The one engine behind every table of the staff's pages on invitations and their CSV files. It reads raw rows, bounded in time: an
invitation moves on for weeks after its day, so there is no cell to add it to. One query, however many groups. No rate here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any

from django.db import connection

from metrics.slices import Interval
from surveys.models import Customer, DeliveryAttempt, InboundText, Invitation, ReceiptKind, Reminder, Response
from surveys.models.customers import MAX_SEGMENTS, OTHER_SEGMENT
from surveys.models.invitations import ARRIVED

Dimension = str  # one of DIMENSIONS
Key = tuple[str, ...]  # a value per dimension asked for, "" for none


@dataclass(frozen=True)
class Segments:
    """How customers' profiles name their segment, and which names are known: past MAX_SEGMENTS the others are `other`."""

    attribute: str = ""
    known: Sequence[str] = ()

    @property
    def sql(self) -> str:
        """Of a customer `c` as known now, since an invitation stores none. An object or a list is no name."""
        named = "c.segment"
        if self.attribute:
            value = "c.attributes -> %(attribute)s"
            named = f"""CASE WHEN jsonb_typeof({value}) IN ('object', 'array') THEN ''
                ELSE coalesce(left(c.attributes ->> %(attribute)s, 100), '') END"""
        if len(self.known) < MAX_SEGMENTS:
            return named
        return f"CASE WHEN {named} = '' OR {named} = ANY(%(known)s::text[]) THEN {named} ELSE '{OTHER_SEGMENT}' END"


@dataclass(frozen=True)
class Asked:
    """Which invitations: decided on from `begin` to before `end`, narrowed by what is not None. `now` tells which links have ended.

    `touchpoints` are ids, all of them where none is chosen, since the index begins with them. `rule` 0 is no rule. `slack_days` is how
    much later than its decision anything of an invitation may still be sent.
    """

    begin: datetime
    end: datetime
    now: datetime
    zone: str
    touchpoints: Sequence[int]
    rule: int | None = None
    mode: str | None = None
    language: str | None = None
    segment: str | None = None
    segments: Segments = Segments()
    slack_days: int = 60

    def narrowed(self) -> tuple[str, str]:
        """(joins, conditions) of the invitations `i`, over `values`."""
        conditions = [
            "i.touchpoint_id = ANY(%(touchpoints)s::bigint[])",
            "i.decided_at >= %(begin)s",
            "i.decided_at < %(end)s",
        ]
        if self.rule is not None:
            conditions.append("i.rule_id IS NULL" if self.rule == 0 else "i.rule_id = %(rule)s")
        for name in ("mode", "language"):
            if getattr(self, name) is not None:
                conditions.append(f"i.{name} = %({name})s")
        if self.segment is None:
            return "", " AND ".join(conditions)
        return OF_CUSTOMER, " AND ".join([*conditions, f"{self.segments.sql} = %(segment)s"])

    @property
    def values(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in ("begin", "end", "now", "zone", "rule", "mode", "language", "segment")},
            "touchpoints": list(self.touchpoints),
            "attribute": self.segments.attribute,
            "known": list(self.segments.known),
            "slack": f"{self.slack_days} days",
            "arrived": list(ARRIVED),
            "leaving": [kind for kind in ARRIVED if kind != ReceiptKind.DELIVERED],
        }  # fmt: skip


_invitation, _customer, _response = Invitation._meta.db_table, Customer._meta.db_table, Response._meta.db_table
_attempt, _reminder, _text = DeliveryAttempt._meta.db_table, Reminder._meta.db_table, InboundText._meta.db_table

OF_CUSTOMER = f"JOIN {_customer} c ON c.id = i.customer_id"
_LOCAL = "(i.decided_at AT TIME ZONE %(zone)s)"
DIMENSIONS: Mapping[Dimension, str] = {
    "rule": "coalesce(i.rule_id, 0)::text",
    "touchpoint": "i.touchpoint_id::text",
    "mode": "i.mode",
    "language": "i.language",
    "week": f"date_trunc('week', {_LOCAL})::date::text",
    "month": f"date_trunc('month', {_LOCAL})::date::text",
}
# Some of it went out: a page may be opened, and answered, before the carrier's OK is written down, or where no word of it ever came.
SENT = "(i.sent_at IS NOT NULL OR i.opened_at IS NOT NULL OR i.status IN ('sent', 'delivered', 'opened', 'answered', 'expired'))"
# A response that staff left out, or that looks like a machine's, is no answer.
ANSWERED = "(r.id IS NOT NULL AND r.excluded_at IS NULL)"

# A carrier that gives the message a name may report on it; of one that does not, nobody knows whether it delivers.
_TRACED = f"""LEFT JOIN (
    SELECT a.invitation_id, bool_or(a.receipt = ANY(%(arrived)s)) AS delivered, bool_or(a.receipt = ANY(%(leaving)s)) AS said_no
    FROM {_attempt} a
    WHERE a.reference <> '' AND a.result = 'sent' AND a.at >= %(begin)s AND a.at < %(end)s::timestamptz + %(slack)s::interval
    GROUP BY a.invitation_id
) t ON t.invitation_id = i.id"""
_SAID_NO = f"""LEFT JOIN (
    SELECT invitation_id FROM {_reminder} WHERE reason = 'unsubscribed'
    UNION SELECT invitation_id FROM {_text} WHERE meaning = 'stop' AND invitation_id IS NOT NULL
) no ON no.invitation_id = i.id"""
# One number says it all of an invitation but its status and reason: grouping by one is cheaper than by eight.
_BITS = {
    "sent": SENT,
    "traced": "t.invitation_id IS NOT NULL",
    "delivered": "coalesce(t.delivered, false)",
    "opened": "i.opened_at IS NOT NULL",
    "started": "r.id IS NOT NULL",
    "excluded": "(r.id IS NOT NULL AND r.excluded_at IS NOT NULL)",
    "completed": "r.completed_at IS NOT NULL",
    "ended": "coalesce(i.expires_at <= %(now)s, i.status = 'failed')",
}


@dataclass(slots=True)
class Cases:
    """Invitations whose time is over, by AAPOR's final dispositions; docs/metrics.md says which is which.

    `unknown` came to nothing that anybody saw; `returned` are those that certainly did not arrive.
    """

    complete: int = 0
    partial: int = 0
    refused: int = 0
    silent: int = 0
    other: int = 0
    unknown: int = 0
    returned: int = 0

    @property
    def arrived(self) -> int:
        return self.complete + self.partial + self.refused + self.silent + self.other

    @property
    def in_all(self) -> int:
        return self.arrived + self.unknown + self.returned

    def add(self, other: "Cases") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Passage:
    """Counts of invitations, each step holding those that came so far or farther.

    decided = withheld + scheduled; scheduled = waiting + refused + sent. `refused`: no carrier took it. `traced`: sent, and its
    carrier reports deliveries; `delivered` and `traced_answered` are of these. `started`: something was answered; `answered` are those
    that count, in part or in whole. `open`: sent, and its link still works.
    """

    decided: int = 0
    withheld: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    refused: int = 0
    sent: int = 0
    returned: int = 0  # sent, and reported as failed for good later
    traced: int = 0
    delivered: int = 0
    traced_answered: int = 0
    opened: int = 0
    started: int = 0
    partial: int = 0
    complete: int = 0
    open: int = 0
    cases: Cases = field(default_factory=Cases)

    @property
    def withheld_in_all(self) -> int:
        return sum(self.withheld.values())

    @property
    def scheduled(self) -> int:
        return self.decided - self.withheld_in_all

    @property
    def answered(self) -> int:
        return self.partial + self.complete

    @property
    def is_final(self) -> bool:
        """Nothing of it can be answered any more."""
        return not self.waiting and not self.open

    def add(self, other: "Passage") -> None:
        for reason, count in other.withheld.items():
            self.withheld[reason] = self.withheld.get(reason, 0) + count
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.cases.add(other.cases)


_COUNTS = tuple(one.name for one in fields(Passage) if one.type is int)


def measure_passages(
    asked: Asked, by: Sequence[Dimension] = (), *, with_refusals: bool = False, only_sent: bool = False
) -> dict[Key, Passage]:
    """Passages by the values of the dimensions asked for, those that hold anything; one query.

    `with_refusals` also finds who said no after a message, which only the AAPOR's cases want. Of a mode of which none is reported as
    delivered nobody reports: its webhook is not set, say.
    """
    joins, conditions = asked.narrowed()
    if "segment" in by and not joins:
        joins = OF_CUSTOMER
    keys = [asked.segments.sql if name == "segment" else DIMENSIONS[name] for name in by]
    bits = [
        *_BITS.values(),
        *(["(no.invitation_id IS NOT NULL OR coalesce(t.said_no, false))"] if with_refusals else []),
    ]
    state = " + ".join(f"({bit})::int * {1 << place}" for place, bit in enumerate(bits))
    columns = [*keys, "i.mode", "i.status", "i.reason", state]
    places = ", ".join(str(place) for place in range(1, len(columns) + 1))
    found: dict[Key, Passage] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT {", ".join(columns)}, count(*) FROM {_invitation} i {joins}
            LEFT JOIN {_response} r ON r.invitation_id = i.id AND r.responded_at >= %(begin)s
            {_TRACED} {_SAID_NO if with_refusals else ""}
            WHERE {conditions}{f" AND {SENT}" if only_sent else ""} GROUP BY {places}""",
            asked.values,
        )
        rows = cursor.fetchall()
    traced, delivered = (1 << list(_BITS).index(name) for name in ("traced", "delivered"))
    reported = {mode for *_key, mode, _status, _reason, held, _n in rows if held & traced and held & delivered}
    for *key, mode, status, reason, held, n in rows:
        known = held if mode in reported else held & ~traced
        _count(found.setdefault(tuple(value or "" for value in key), Passage()), status, reason, known, n)
    return found


def _count(passage: Passage, status: str, reason: str, state: int, n: int) -> None:
    """Add `n` invitations of one state. What came farther also came this far: who answered by text opened no page."""
    sent, traced, delivered, opened, started, excluded, completed, ended, said_no = (
        bool(state >> place & 1) for place in range(9)
    )
    passage.decided += n
    if not sent and status == "scheduled":
        passage.waiting += n
        return
    if not sent and status == "failed":
        passage.refused += n
        passage.cases.returned += n
        return
    if not sent:
        passage.withheld[reason] = passage.withheld.get(reason, 0) + n
        return
    opened = opened or started
    arrived = delivered or opened
    counts = started and not excluded
    passage.sent += n
    passage.returned += n * (status == "failed")
    passage.traced += n * traced
    passage.delivered += n * (traced and arrived)
    passage.traced_answered += n * (traced and counts)
    passage.opened += n * opened
    passage.started += n * started
    passage.partial += n * (counts and not completed)
    passage.complete += n * (counts and completed)
    if not ended:
        passage.open += n
        return
    answer = "" if not started else "excluded" if excluded else "complete" if completed else "partial"
    kind = _case(status, answer, arrived, said_no)
    setattr(passage.cases, kind, getattr(passage.cases, kind) + n)


def _case(status: str, answer: str, arrived: bool, said_no: bool) -> str:
    """Which of AAPOR's cases a sent invitation is, once its time is over."""
    if answer in ("complete", "partial"):
        return answer
    if said_no:
        return "refused"
    if answer or (arrived and status == "cancelled"):  # left out by staff; erased, or reopened, after it had arrived
        return "other"
    if arrived:
        return "silent"
    return "returned" if status == "failed" else "unknown"


@dataclass(frozen=True, slots=True)
class Sent:
    """Invitations that went out, how many of them were answered, and how many still can be."""

    sent: int = 0
    answered: int = 0
    open: int = 0


def measure_halves(asked: Asked, middle: datetime) -> dict[int, tuple[Sent, Sent]]:
    """What was sent and answered before and since `middle`, by touchpoint: the counts of `measure_passages`, in one query.

    It leaves out all that a response rate does not need, so that a page may ask it beside other things.
    """
    joins, conditions = asked.narrowed()
    found: dict[int, tuple[Sent, Sent]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT i.touchpoint_id, i.decided_at >= %(middle)s, count(*), count(*) FILTER (WHERE {ANSWERED}),
                count(*) FILTER (WHERE r.id IS NULL AND i.status <> 'failed' AND coalesce(i.expires_at > %(now)s, true))
            FROM {_invitation} i {joins}
            LEFT JOIN {_response} r ON r.invitation_id = i.id AND r.responded_at >= %(begin)s
            WHERE {conditions} AND {SENT} GROUP BY 1, 2""",
            {**asked.values, "middle": middle},
        )
        for touchpoint, is_later, sent, answered, still in cursor.fetchall():
            earlier, later = found.get(touchpoint, (Sent(), Sent()))
            half = Sent(sent, answered, still)
            found[touchpoint] = (earlier, half) if is_later else (half, later)
    return found


def whole(passages: Mapping[Any, Passage]) -> Passage:
    total = Passage()
    for passage in passages.values():
        total.add(passage)
    return total


def marginal(passages: Mapping[Key, Passage], place: int) -> dict[str, Passage]:
    """The passages by the value at `place` of their keys alone."""
    sums: dict[str, Passage] = {}
    for key, passage in passages.items():
        sums.setdefault(key[place], Passage()).add(passage)
    return sums


def passage_interval(days: int) -> Interval:
    """How a trend over so many days is cut: by weeks, a long one by months."""
    return "week" if days <= 100 else "month"


# --- Prompt answers ---------------------------------------------------------------------------------------------------

PROMPT_DAYS = 3  # most who answer do so within them, and a rate of them is final so many days later


@dataclass(frozen=True, slots=True)
class Prompt:
    """How many invitations went out, and how many of them were answered within PROMPT_DAYS."""

    sent: int = 0
    answered: int = 0


def count_prompt_answers(
    windows: Sequence[tuple[datetime, datetime]], touchpoints: Sequence[int], sent_before: datetime, zone: str
) -> dict[tuple[date, date, int, str], Prompt]:
    """By the day of the decision, that of the message, touchpoint and mode, of invitations decided on in `windows`; one query.

    Rates of two windows can only be compared where both had the same time: an answer counts that came within PROMPT_DAYS of the
    message, and a message that went out before `sent_before`, or before an earlier day that the caller compares up to. Answers left
    out by staff, or as a machine's, are none.
    """
    if not windows or not touchpoints:
        return {}
    spans = " OR ".join("(i.decided_at >= %s AND i.decided_at < %s)" for _window in windows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT (i.decided_at AT TIME ZONE %s)::date, (i.sent_at AT TIME ZONE %s)::date, i.touchpoint_id, i.mode, count(*),
                count(r.id)
            FROM {_invitation} i LEFT JOIN {_response} r ON r.invitation_id = i.id AND r.excluded_at IS NULL
                AND r.responded_at < i.sent_at + %s::interval
            WHERE i.touchpoint_id = ANY(%s) AND ({spans}) AND i.sent_at < %s GROUP BY 1, 2, 3, 4""",
            [
                zone, zone, f"{PROMPT_DAYS} days", list(touchpoints), *(moment for window in windows for moment in window), sent_before,
            ],
        )  # fmt: skip
        rows = cursor.fetchall()
    return {tuple(key): Prompt(sent, answered) for *key, sent, answered in rows}
