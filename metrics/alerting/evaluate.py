"""Rules held against what is in the database. In: active AlertRules and `now`. Out: looks, alerts that fire or clear, notices that wait.

One evaluator at a time (an advisory lock), one transaction: one that is killed has done nothing, and the next one finds the same
work. Cells of all rules come by one statement. Nothing is sent here, and no number is computed that a page would compute otherwise.
"""

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from metrics import formulas
from metrics.alerting.rules import (
    CLEAR_SHARE,
    Finding,
    after_look,
    days_before,
    hold_against_baseline,
    hold_against_target,
    settle,
    severity_of,
    window_of,
)
from metrics.models import Alert, AlertLook, AlertNotice, AlertRule, TeamAddress
from metrics.models.alerts import (
    AGAINST_BASELINE,
    COUNTING,
    DAILY,
    DEFAULT_AT_LEAST,
    TTR,
    AlertKind,
    Baseline,
    Cleared,
    LookState,
    Tells,
)
from metrics.queries import Ask, Catalogue, Found, count_many
from metrics.raw.funnel import PROMPT_DAYS, Prompt, count_prompt_answers
from metrics.significance import Comparison, Statistic, compare, compare_shares
from surveys.models import DurationLedger, Organisation, Response, ScoreLedger, Ticket, Touchpoint
from surveys.scales import SCALES

EVALUATOR_LOCK = 0x6378_616C_7274  # any number that nothing else in this database locks
CATCH_UP = 7  # closed days that are looked at afterwards where nobody was there to look
COOL_DOWN = timedelta(days=1)  # a rule tells that it fired once a day, unless it is worse than what was told
OFF_FOR = timedelta(minutes=10)
KEEP = timedelta(days=400)  # a year of looks, and the one of the year before that a rule compares with
ONE_DAY = timedelta(days=1)
HOUR_S = 3600

_look, _response, _ticket = AlertLook._meta.db_table, Response._meta.db_table, Ticket._meta.db_table
_FIELDS = (
    *(
        "pk",
        "kind",
        "metric",
        "points",
        "touchpoint_id",
        "journey__slug",
        "stage__journey__slug",
        "stage__slug",
        "channel",
    ),
    *("mode", "segment", "location", "window_days", "target", "baseline", "baseline_days", "longer_than_s", "at_least"),
    *("alone", "since"),
)


@dataclass(slots=True)
class Watched:
    """A rule as it is evaluated: plain values, since a thousand of them are read at once. Fields as in _FIELDS."""

    pk: int
    kind: str
    metric: str
    points: int
    touchpoint: int | None
    journey: str | None
    stage_of: str | None
    stage: str | None
    channel: str
    mode: str
    segment: str
    location: str
    window_days: int
    own_target: float | None
    baseline: str
    baseline_days: int | None
    longer_than_s: int | None
    own_at_least: int | None
    alone: bool
    since: datetime
    looked: date | None = None

    @property
    def at_least(self) -> int:
        return self.own_at_least or DEFAULT_AT_LEAST[AlertKind(self.kind)]

    @property
    def lower_is_better(self) -> bool:
        return self.metric == TTR

    @property
    def scale_points(self) -> int:
        """Of a metric that has one scale alone, that one's."""
        if self.metric == TTR:
            return 0
        return self.points or next(scale.points for scale in SCALES.values() if scale.metric == self.metric)

    def target(self, targets: "Targets") -> float | None:
        """In the metric's own unit: the rule's, else the touchpoint's, else the channel's."""
        found = self.own_target
        if found is None:
            held = (
                targets.of_touchpoints.get(self.touchpoint)
                if self.touchpoint
                else targets.of_channels.get(self.channel)
            )
            found = (held or {}).get("ttr_hours" if self.metric == TTR else self.metric)
        return found * HOUR_S if found is not None and self.metric == TTR else found


@dataclass(frozen=True)
class Targets:
    """Those that touchpoints and channels have, in the units of Touchpoint.targets."""

    of_touchpoints: Mapping[int, Mapping[str, float]]
    of_channels: Mapping[str, Mapping[str, float]]

    @classmethod
    def load(cls, organisation: Organisation) -> "Targets":
        rows = Touchpoint.objects.exclude(targets={}).order_by().values_list("pk", "targets")
        return cls(dict(rows), organisation.channel_targets)


@dataclass
class Places:
    """Which touchpoints a rule watches, each answer found once."""

    catalogue: Catalogue
    _found: dict[tuple[int | None, str, str, str], tuple[int, ...] | None] = field(default_factory=dict)

    def of(self, rule: Watched) -> tuple[int, ...] | None:
        """None for everything, tickets without a touchpoint too."""
        key = (rule.touchpoint, rule.journey or "", f"{rule.stage_of}/{rule.stage}" if rule.stage else "", rule.channel)
        if key not in self._found:
            self._found[key] = self._look_up(*key)
        return self._found[key]

    def every(self, rule: Watched) -> tuple[int, ...]:
        found = self.of(rule)
        return tuple(self.catalogue.places) if found is None else found

    def _look_up(self, touchpoint: int | None, journey: str, stage: str, channel: str) -> tuple[int, ...] | None:
        if touchpoint is None and not (journey or stage or channel):
            return None
        return tuple(
            pk
            for pk, place in self.catalogue.places.items()
            if touchpoint in (None, pk)
            and journey in ("", place.journey)
            and stage in ("", place.stage)
            and channel in ("", place.channel)
        )


# --- Closed days ------------------------------------------------------------------------------------------------------


def look_at_days(now: datetime) -> int:
    """Look at the closed days that rules were not looked at for, each once; how many looks that were.

    A day is closed when it has ended in the organisation's time zone, and is looked at when the ledger holds nothing of it, nor of
    any day before. 0 where there is nothing to do, where the ledger is not drained, and where another evaluator is at it.
    """
    with transaction.atomic():
        if not _alone():
            return 0
        organisation = Organisation.current()
        closed = organisation.day_of(now) - ONE_DAY
        rules = due_rules(closed)
        # Asked before any cell is read: what has left the ledger by now is in the cells that are read later.
        if not rules or _is_undrained(closed):
            return 0
        catalogue = Catalogue.load()
        days = {rule.pk: _days_of(rule, closed) for rule in rules}
        looks = [(rule, day) for rule in rules for day in days[rule.pk]]
        findings = find_on_days(looks, organisation, Places(catalogue))
        by_day: dict[date, list[int]] = {}
        for at, (_rule, day) in enumerate(looks):
            by_day.setdefault(day, []).append(at)
        for places in by_day.values():
            settled = settle([findings[at] for at in places], [looks[at][0].alone for at in places])
            for at, found in zip(places, settled, strict=True):
                findings[at] = found
        _write_looks(looks, findings, now)
        board = _Board(now, {rule.pk for rule in rules})
        for at in sorted(range(len(looks)), key=lambda at: looks[at][1]):
            rule, day = looks[at]
            board.see_day(rule, day, findings[at])
        board.write()
    return len(looks)


def _alone() -> bool:
    """Whether this evaluator is the only one until its transaction ends.

    Compiling a plan would cost more than running it. And what a crash of the database takes back is looked at again: no commit
    need wait for the disk.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s), set_config('jit', 'off', true), set_config('synchronous_commit', 'off', true)",
            [EVALUATOR_LOCK],
        )
        return bool(cursor.fetchone()[0])


def due_rules(closed: date) -> list[Watched]:
    """Active rules that no look at `closed`, or at a later day, stands for."""
    looks = (
        AlertLook.objects.filter(rule=OuterRef("pk")).order_by().values("rule").annotate(last=Max("day")).values("last")
    )
    rows = AlertRule.objects.filter(active=True, kind__in=DAILY).annotate(looked=Subquery(looks)).order_by("pk")
    rows = rows.filter(Q(looked__isnull=True) | Q(looked__lt=closed))
    return [Watched(*row) for row in rows.values_list(*_FIELDS, "looked")]


def watched(pk: int) -> Watched:
    """One saved rule as it is evaluated, switched on or not."""
    return Watched(*AlertRule.objects.values_list(*_FIELDS).get(pk=pk))


def _days_of(rule: Watched, closed: date) -> list[date]:
    if rule.looked is None:
        return [closed]
    missed = min(CATCH_UP, (closed - rule.looked).days)
    return [closed - timedelta(days=ago) for ago in reversed(range(missed))]


def _is_undrained(day: date) -> bool:
    return any(ledger.objects.filter(day__lte=day).exists() for ledger in (ScoreLedger, DurationLedger))


def find_on_days(looks: Sequence[tuple[Watched, date]], organisation: Organisation, places: Places) -> list[Finding]:
    """What each rule sees on each day, before chance is judged (`settle`); one statement for all cells, one for all invitations."""
    asks: dict[Ask, int] = {}
    spans: dict[tuple[Any, ...], list[tuple[date, date]]] = {}
    wanted: dict[int, tuple[int, int | None]] = {}
    invited: list[int] = []
    for at, (rule, day) in enumerate(looks):
        if rule.kind == AlertKind.RESPONSE_DROP:
            invited.append(at)
            continue
        cut = (day, rule.kind, rule.window_days, rule.baseline, rule.baseline_days)
        windows = spans.get(cut) or spans.setdefault(cut, windows_of(rule, day))
        numbers = [asks.setdefault(ask, len(asks)) for ask in asks_of(rule, windows, places)]
        wanted[at] = numbers[0], numbers[1] if len(numbers) > 1 else None
    counted = count_many(list(asks), places.catalogue)
    targets = Targets.load(organisation)
    found: dict[int, Finding] = {}
    for at, (first, second) in wanted.items():
        rule = looks[at][0]
        now_is, fewer, at_least = counted[first], rule.lower_is_better, max(rule.at_least, organisation.min_n)
        if second is None:
            target = rule.target(targets)
            found[at] = hold_against_target(now_is.estimate, target, lower_is_better=fewer, at_least=at_least)
        else:
            found[at] = _hold(rule, now_is, counted[second], at_least)
    if invited:
        found |= dict(zip(invited, _rates_of([looks[at] for at in invited], organisation, places), strict=True))
    return [found[at] for at in range(len(looks))]


def _hold(rule: Watched, now: Found, before: Found, at_least: int) -> Finding:
    def compared() -> Comparison:
        statistic: Statistic = "median" if rule.metric == TTR else "value"
        return compare(rule.metric, rule.scale_points, now.side, before.side, statistic=statistic, minimum=at_least)

    return hold_against_baseline(
        now.estimate, before.estimate, compared, lower_is_better=rule.lower_is_better, at_least=at_least,
        quick=rule.metric in (TTR, "csat"),
    )  # fmt: skip


def windows_of(rule: Watched, day: date) -> list[tuple[date, date]]:
    """The days looked at, and those they are compared with where they are."""
    window = window_of(day, rule.window_days)
    return [window, _baseline(rule, day)] if rule.kind == AlertKind.DROP else [window]


def asks_of(rule: Watched, windows: Sequence[tuple[date, date]], places: Places) -> list[Ask]:
    where, points, mode = places.of(rule), rule.scale_points, "" if rule.metric == TTR else rule.mode
    return [Ask(rule.metric, points, where, mode, rule.segment, rule.location, *days) for days in windows]


def _baseline(rule: Watched, day: date) -> tuple[date, date]:
    year = rule.baseline == Baseline.YEAR
    return days_before(day, rule.window_days, year=year, baseline_days=rule.baseline_days)


def _rates_of(looks: Sequence[tuple[Watched, date]], organisation: Organisation, places: Places) -> list[Finding]:
    """Response rates of windows that end PROMPT_DAYS earlier, when all of them had the same time to answer; one query."""
    finals = [day - timedelta(days=PROMPT_DAYS) for _rule, day in looks]
    windows = [
        (window_of(final, rule.window_days), _baseline(rule, final))
        for (rule, _day), final in zip(looks, finals, strict=True)
    ]
    touchpoints = sorted({pk for rule, _day in looks for pk in places.every(rule)})

    def begin(of: date) -> datetime:
        return datetime.combine(of, time.min, organisation.zone)

    spans = [
        (begin(first), begin(last + ONE_DAY)) for first, last in _joined(days for pair in windows for days in pair)
    ]
    parts = count_prompt_answers(spans, touchpoints, begin(max(finals) + ONE_DAY), organisation.time_zone)
    seen: dict[int, list[tuple[date, date, Prompt]]] = {}
    for rule, _day in looks:
        if rule.pk not in seen:
            among = set(places.every(rule))
            seen[rule.pk] = [
                (decided, sent, part)
                for (decided, sent, touchpoint, mode), part in parts.items()
                if touchpoint in among and rule.mode in ("", mode)
            ]

    def count(rule: Watched, days: tuple[date, date], final: date) -> Prompt:
        """Of what had gone out by the end of the final day: the day looked at knew of no other."""
        held = [part for decided, sent, part in seen[rule.pk] if days[0] <= decided <= days[1] and sent <= final]
        return Prompt(sum(part.sent for part in held), sum(part.answered for part in held))

    return [
        _hold_rates(rule, count(rule, now, final), count(rule, before, final), max(rule.at_least, organisation.min_n))
        for (rule, _day), final, (now, before) in zip(looks, finals, windows, strict=True)
    ]


def _joined(spans: Iterable[tuple[date, date]]) -> list[tuple[date, date]]:
    """The same days by as few spans as there can be."""
    made: list[tuple[date, date]] = []
    for first, last in sorted(spans):
        if made and first <= made[-1][1] + ONE_DAY:
            made[-1] = made[-1][0], max(made[-1][1], last)
        else:
            made.append((first, last))
    return made


def _hold_rates(rule: Watched, now: Prompt, before: Prompt, at_least: int) -> Finding:
    def compared() -> Comparison:
        return compare_shares(now.answered, now.sent, before.answered, before.sent, minimum=at_least)

    rate_now, rate_before = (formulas.response_rate(side.answered, side.sent) for side in (now, before))
    return hold_against_baseline(rate_now, rate_before, compared, lower_is_better=False, at_least=at_least, quick=True)


def _write_looks(looks: Sequence[tuple[Watched, date]], findings: Sequence[Finding], now: datetime) -> None:
    """By COPY, the quickest way in. The key refuses a second look at the same day, and with it all that would follow."""
    moment = now.isoformat()
    lines = io.StringIO()
    for (rule, day), found in zip(looks, findings, strict=True):
        seen = found.now
        values = (rule.pk, day, moment, found.state.value, seen.value, seen.low, seen.high, seen.n, found.mark)
        lines.write("\t".join(["\\N" if value is None else str(value) for value in values]) + "\n")
    lines.seek(0)
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {_look} (rule_id, day, at, state, value, low, high, n, mark) FROM STDIN", lines)


def forget_looks(now: datetime) -> int:
    """Looks that are older than KEEP, and those of rules that are no more; how many. And notices that nobody will send any more.

    Such is one of an alert that fired and was over before its address took it: that address hears of both by the notice of its end.
    """
    day = Organisation.current().day_of(now) - KEEP
    late = AlertNotice.objects.filter(tells=Tells.FIRED, sent_at__isnull=True, alert__cleared_at__isnull=False)
    late.filter(Q(lease_until__isnull=True) | Q(lease_until__lt=now)).delete()
    old = AlertLook.objects.filter(Q(day__lt=day) | ~Exists(AlertRule.objects.filter(pk=OuterRef("rule_id"))))
    return int(old.delete()[0])


# --- What counts, as things are now -----------------------------------------------------------------------------------


def look_at_counts(now: datetime) -> int:
    """Look at what counts: tickets open for too long, touchpoints without an answer. How many alerts fired or cleared.

    Safe to run as often as one likes: an alert that stands does not fire again, and clears by another threshold than it fires by.
    """
    with transaction.atomic():
        if not _alone():
            return 0
        AlertRule.objects.filter(active=False, since__lt=now - OFF_FOR).update(since=now)
        rows = AlertRule.objects.filter(active=True, kind__in=COUNTING).order_by("pk").values_list(*_FIELDS)
        rules = [Watched(*row) for row in rows]
        board = _Board(now, {rule.pk for rule in rules}, and_off=True)
        if rules:
            places = Places(Catalogue.load())
            slow = [rule for rule in rules if rule.kind == AlertKind.OPEN_LONGER]
            silent = [rule for rule in rules if rule.kind == AlertKind.NO_ANSWERS]
            for rule, numbers in _old_tickets(slow, places, now):
                board.see_tickets(rule, numbers)
            for rule, newest in _newest_answers(silent, places, now):
                board.see_silence(rule, newest)
        return board.write()


@dataclass(frozen=True, slots=True)
class OldTickets:
    """How many tickets of a slice are open for longer than a rule allows, how many nearly so, and since when the oldest is."""

    count: int = 0
    nearly: int = 0
    oldest_at: datetime | None = None


def _old_tickets(rules: Sequence[Watched], places: Places, now: datetime) -> list[tuple[Watched, OldTickets]]:
    """One query for all rules: only tickets that are open, through their partial index."""
    if not rules:
        return []
    rows = []
    for rule in rules:
        span = timedelta(seconds=rule.longer_than_s or 0)
        named = places.of(rule)
        for touchpoint in (None,) if named is None else named:
            rows.append(
                (rule.pk, touchpoint, rule.segment or None, rule.location or None, now - span, now - CLEAR_SHARE * span)
            )
    if not rows:
        return [(rule, OldTickets()) for rule in rules]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT a.rule, count(*) FILTER (WHERE t.opened_at <= a.fire), count(*), min(t.opened_at)
            FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
                AS a (rule, touchpoint, segment, location, fire, clear)
            JOIN {_ticket} t ON t.in_ttr AND t.resolved_at IS NULL AND t.opened_at <= a.clear
                AND (a.touchpoint IS NULL OR t.touchpoint_id = a.touchpoint)
                AND (a.segment IS NULL OR t.segment = a.segment) AND (a.location IS NULL OR t.location = a.location)
            GROUP BY 1""",
            [list(column) for column in zip(*rows, strict=True)],
        )
        found = {pk: OldTickets(*numbers) for pk, *numbers in cursor.fetchall()}
    return [(rule, found.get(rule.pk, OldTickets())) for rule in rules]


def _newest_answers(
    rules: Sequence[Watched], places: Places, now: datetime
) -> list[tuple[Watched, datetime | Cleared | None]]:
    """One query for all rules, by the index of each touchpoint's newest; nothing older than a rule's span is read.

    Cleared.OFF where all that a rule watches is switched off: nobody is asked there any more.
    """
    if not rules:
        return []
    going = set(Touchpoint.objects.filter(active=True).order_by().values_list("pk", flat=True))
    rows, off = [], set()
    for rule in rules:
        touchpoints = [pk for pk in places.every(rule) if pk in going]
        since = now - timedelta(seconds=rule.longer_than_s or 0)
        rows += [
            (rule.pk, pk, rule.mode or None, rule.segment or None, rule.location or None, since) for pk in touchpoints
        ]
        if not touchpoints:
            off.add(rule.pk)
    found: dict[int, datetime] = {}
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(
                f"""SELECT a.rule, max(newest.responded_at)
                FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
                    AS a (rule, touchpoint, mode, segment, location, since)
                CROSS JOIN LATERAL (
                    SELECT r.responded_at FROM {_response} r
                    WHERE r.touchpoint_id = a.touchpoint AND r.responded_at > a.since AND r.excluded_at IS NULL
                        AND (a.mode IS NULL OR r.mode = a.mode) AND (a.segment IS NULL OR r.segment = a.segment)
                        AND (a.location IS NULL OR r.location = a.location)
                    ORDER BY r.responded_at DESC LIMIT 1
                ) AS newest GROUP BY 1""",
                [list(column) for column in zip(*rows, strict=True)],
            )
            found = dict(cursor.fetchall())
    return [(rule, Cleared.OFF if rule.pk in off else found.get(rule.pk)) for rule in rules]


# --- Firing and clearing ----------------------------------------------------------------------------------------------


class _Board:
    """The alerts that stand, and what one evaluation makes of them; written at its end."""

    def __init__(self, now: datetime, rules: Collection[int], *, and_off: bool = False) -> None:
        self.now = now
        standing = {alert.rule_id: alert for alert in Alert.objects.filter(cleared_at__isnull=True)}
        off = set(AlertRule.objects.filter(active=False).values_list("pk", flat=True)) if and_off else set()
        self.standing = {rule: alert for rule, alert in standing.items() if rule in off or rule in rules}
        self.fresh: list[Alert] = []
        self.touched: dict[int, Alert] = {}
        self.changed = 0
        for alert in [alert for alert in self.standing.values() if alert.rule_id in off]:
            self._clear(alert, Cleared.OFF, {})

    def see_day(self, rule: Watched, day: date, found: Finding) -> None:
        alert = self.standing.get(rule.pk)
        if alert is None:
            if found.state == LookState.HELD:
                severity = severity_of(found, lower_is_better=rule.lower_is_better)
                self._fire(rule, _numbers(rule, day, found), severity, day)
            return
        numbers = _numbers(rule, day, found)
        alert.quiet_looks, alert.unknown_looks, why = after_look(found.state, alert.quiet_looks, alert.unknown_looks)
        self._update(alert, numbers, severity_of(found, lower_is_better=rule.lower_is_better))
        if why is not None:
            self._clear(alert, why, numbers)

    def see_tickets(self, rule: Watched, found: OldTickets) -> None:
        oldest = found.oldest_at.isoformat() if found.oldest_at else None
        numbers = {"count": found.count, "longer_than_s": rule.longer_than_s, "oldest_at": oldest}
        alert = self.standing.get(rule.pk)
        if alert is None:
            if found.count >= rule.at_least:
                self._fire(rule, numbers, float(found.count))
        elif found.nearly < rule.at_least:
            self._clear(alert, Cleared.BACK, numbers)
        elif (alert.latest.get("count"), alert.latest.get("oldest_at")) != (found.count, oldest):
            self._update(alert, numbers, float(found.count))

    def see_silence(self, rule: Watched, newest: datetime | Cleared | None) -> None:
        alert = self.standing.get(rule.pk)
        span = timedelta(seconds=rule.longer_than_s or 0)
        numbers = {"longer_than_s": rule.longer_than_s, "count": 0}
        if alert is None:
            if newest is None and rule.since <= self.now - span:
                self._fire(rule, numbers, 0.0)
        elif isinstance(newest, Cleared):
            self._clear(alert, newest, {})
        elif newest is not None:
            self._clear(alert, Cleared.BACK, {**numbers, "newest_at": newest.isoformat()})

    def _fire(self, rule: Watched, numbers: dict[str, Any], severity: float, day: date | None = None) -> None:
        alert = Alert(rule_id=rule.pk, fired_at=self.now, day=day, fired=numbers, latest=numbers, severity=severity)
        self.standing[rule.pk] = alert
        self.fresh.append(alert)
        self.changed += 1

    def _update(self, alert: Alert, numbers: dict[str, Any], severity: float) -> None:
        alert.latest, alert.severity = numbers, max(alert.severity, severity)
        if alert.pk:
            self.touched[alert.pk] = alert

    def _clear(self, alert: Alert, why: Cleared, numbers: dict[str, Any]) -> None:
        alert.cleared_at, alert.cleared_why, alert.cleared = self.now, why.value, numbers
        del self.standing[alert.rule_id]
        self.changed += 1
        if alert.pk:
            self.touched[alert.pk] = alert

    def write(self) -> int:
        """How many alerts fired or cleared."""
        if self.touched:
            self._write_ends()
            columns = [
                "latest", "severity", "quiet_looks", "unknown_looks", "cleared_at", "cleared_why", "cleared", "told",
            ]  # fmt: skip
            Alert.objects.bulk_update(self.touched.values(), columns, batch_size=500)
        if self.fresh:
            self._write_fresh()
        return self.changed

    def _write_ends(self) -> None:
        """Whoever heard that an alert fired hears that it is over; so does whoever may have: a carrier took it, and never said so.

        Of one that was over before anybody was written to, nobody hears. Its notices are locked, so that none is claimed meanwhile.
        """
        over = {pk: alert for pk, alert in self.touched.items() if alert.told and alert.cleared_at is not None}
        if not over:
            return
        rows = AlertNotice.objects.filter(alert__in=over, tells=Tells.FIRED).select_related("address__team")
        notices = list(rows.select_for_update(of=("self",)).order_by("pk"))
        begun = [notice for notice in notices if notice.attempts or notice.sent_at]
        AlertNotice.objects.filter(pk__in={notice.pk for notice in notices} - {notice.pk for notice in begun}).delete()
        heard = {notice.alert_id for notice in begun}
        for pk, alert in over.items():
            alert.told = pk in heard
        AlertNotice.objects.bulk_create(
            AlertNotice(
                tells=Tells.OVER, address_id=notice.address_id, alert_id=notice.alert_id, created_at=self.now,
                # Not before what is on its way has arrived, nor before an address that fails is tried again.
                lease_until=None if notice.sent_at else notice.lease_until,
            )
            for notice in begun
            if notice.address.active and notice.address.team.active
        )  # fmt: skip

    def _write_fresh(self) -> None:
        """New alerts, and a notice for each address of their rules' teams.

        What fires again within COOL_DOWN waits for its end, and is told if it still stands then: it may have been told as over.
        """
        news = [alert for alert in self.fresh if alert.cleared_at is None]
        addresses = _addresses_of([alert.rule_id for alert in news])
        told = _told(alert.rule_id for alert in news)
        waits: dict[int, datetime] = {}
        for alert in news:
            alert.told = bool(addresses.get(alert.rule_id))
            last = told.get(alert.rule_id)
            if last is not None and last.told_at > self.now - COOL_DOWN and alert.severity <= last.severity:
                waits[alert.rule_id] = last.told_at + COOL_DOWN
        Alert.objects.bulk_create(self.fresh)
        AlertNotice.objects.bulk_create(
            AlertNotice(
                address_id=address,
                alert=alert,
                created_at=waits.get(alert.rule_id, self.now),
                lease_until=waits.get(alert.rule_id),
            )
            for alert in news
            for address in addresses.get(alert.rule_id, ())
        )


def _numbers(rule: Watched, day: date, found: Finding) -> dict[str, Any]:
    """What one look saw, with its days, as an alert keeps it."""
    last = day - timedelta(days=PROMPT_DAYS) if rule.kind == AlertKind.RESPONSE_DROP else day
    numbers = found.numbers() | _told_days("", window_of(last, rule.window_days))
    if rule.kind in AGAINST_BASELINE:
        numbers |= _told_days("before_", _baseline(rule, last))
    return numbers


def _told_days(what: str, days: tuple[date, date]) -> dict[str, str]:
    return {f"{what}first": days[0].isoformat(), f"{what}last": days[1].isoformat()}


def _told(rules: Iterable[int]) -> dict[int, Any]:
    """The newest alert of each rule that was told, with the moment from which on it was: `told_at`."""
    notices = AlertNotice.objects.filter(alert=OuterRef("pk"), tells=Tells.FIRED).order_by("-created_at")
    rows = Alert.objects.filter(rule__in=list(rules), told=True).order_by("rule_id", "-fired_at").distinct("rule_id")
    told_at = Coalesce(Subquery(notices.values("created_at")[:1]), F("fired_at"))
    return {alert.rule_id: alert for alert in rows.annotate(told_at=told_at)}


def _addresses_of(rules: Sequence[int]) -> dict[int, list[int]]:
    """Whom each rule tells: every address once, also where it stands in two of its teams."""
    rows = TeamAddress.objects.filter(active=True, team__active=True, team__alert_rules__in=rules).order_by("pk")
    found: dict[int, dict[str, int]] = {}
    for rule, pk, address in rows.values_list("team__alert_rules", "pk", "address"):
        found.setdefault(rule, {}).setdefault(address, pk)
    return {rule: list(addresses.values()) for rule, addresses in found.items()}
