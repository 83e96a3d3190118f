"""Slices of cells, measured. In: a metric and a Slice. Out: a Measurement (value, interval, n, histogram, own fields).

Only cells are read, and of raw rows the tickets that are open now (through their partial index): what a question costs
follows the number of cells and periods, never the number of answers. Which formula is right is not decided here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from django.db import connection

from metrics import formulas
from metrics.formulas import Estimate
from metrics.models import SCORES, DurationCell, Grain, ScoreCell
from metrics.rollup import bucket_sql
from surveys.models import Channel, Journey, Mode, Question, Ticket, Touchpoint
from surveys.scales import SCALES, Scale

METRICS = ("nps", "csat", "ces", "ttr")
Interval = Literal["day", "week", "month", "quarter"]
INTERVALS: tuple[Interval, ...] = ("day", "week", "month", "quarter")
# Dimensions that cells hold themselves, and those that a touchpoint stands for.
OF_CELLS = ("mode", "segment", "location")
OF_TOUCHPOINTS = ("touchpoint", "journey", "channel")
MAX_PERIODS = 4_000  # eleven years of days: more is a mistyped year
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2999, 12, 31)

_score_cell, _duration_cell, _ticket = ScoreCell._meta.db_table, DurationCell._meta.db_table, Ticket._meta.db_table


class UnusableSlice(ValueError):
    """The slice cannot be measured. `field` is the parameter to blame, "" where it is the slice as a whole."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


@dataclass(frozen=True)
class Slice:
    """What is measured. Values of one dimension are alternatives, dimensions narrow each other; empty does not narrow.

    Touchpoints and journeys are slugs; `day_from` and `day_to` are inclusive; `scale` is the number of points.
    """

    touchpoints: frozenset[str] = frozenset()
    journeys: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    modes: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    locations: frozenset[str] = frozenset()
    day_from: date | None = None
    day_to: date | None = None
    scale: int | None = None

    def values_of(self, dimension: str) -> frozenset[str]:
        values: frozenset[str] = getattr(self, f"{dimension}s")
        return values


@dataclass(frozen=True)
class Measured:
    """One metric of one histogram. `extra` holds the metric's own fields under the names that the API gives them.

    nps in points −100…100; csat in percent, extra `mean`; ces on 1…7, extra `easy_share` in percent; ttr in seconds,
    extra `median`, `p90`, `median_with_open` (seconds), `reopened_share` (0…1), `open` (tickets).
    """

    metric: str
    points: int  # of the scale; 0 for ttr
    value: float | None
    n: int
    low: float | None
    high: float | None
    distribution: Mapping[int, int] = field(default_factory=dict)
    breakdown: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, float | int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """The slice as a whole; by period, every one from first to last; by group, those that hold anything."""

    total: Measured
    series: Sequence[tuple[date, Measured]] = ()
    groups: Sequence[tuple[str, Measured]] = ()


@dataclass(frozen=True)
class Place:
    """What a touchpoint id stands for in a slice; "" for none."""

    touchpoint: str
    journey: str
    channel: str


@dataclass(frozen=True)
class Catalogue:
    """What ids mean: read once per page or request, in three queries."""

    places: Mapping[int, Place]
    questions: Mapping[int, Scale]
    journeys: frozenset[str]

    @classmethod
    def load(cls) -> "Catalogue":
        journeys = dict(Journey.objects.order_by().values_list("pk", "slug"))
        touchpoints = Touchpoint.objects.order_by().values_list("pk", "slug", "journey_id", "channel")
        places = {pk: Place(slug, journeys.get(journey, ""), channel) for pk, slug, journey, channel in touchpoints}
        questions = Question.objects.filter(kind="scale").order_by().values_list("pk", "metric", "points")
        return cls(places, {pk: SCALES[metric, points] for pk, metric, points in questions}, frozenset(journeys.values()))

    def place(self, touchpoint_id: int) -> Place:
        """Tickets may name no touchpoint (0)."""
        return self.places.get(touchpoint_id, Place("", "", ""))


def measure(
    metric: str,
    slice_: Slice,
    *,
    now: datetime,
    interval: Interval | None = None,
    group_by: str | None = None,
    catalogue: Catalogue | None = None,
) -> Measurement:
    """`metric` of the slice, with a series where an `interval` and with groups where a dimension to `group_by` is given.

    `now` is the moment to which open tickets count. UnusableSlice where a filter names nothing that exists, where CSAT
    scales would be pooled, or where the series would have more than MAX_PERIODS periods.
    """
    catalogue = catalogue or Catalogue.load()
    _check(metric, slice_, group_by, catalogue)
    if metric == "ttr":
        return _measure_durations(slice_, now, interval, group_by, catalogue)
    return _measure_scores(metric, slice_, interval, group_by, catalogue)


@dataclass(frozen=True)
class MatrixRow:
    """One touchpoint × metric (CSAT per scale): now, and over the days to compare with."""

    touchpoint: str
    metric: str
    points: int
    now: Measured
    before: Measured | None


def measure_matrix(
    slice_: Slice, compare: tuple[date, date] | None, *, now: datetime, catalogue: Catalogue | None = None
) -> list[MatrixRow]:
    """Every touchpoint × metric that holds anything in the slice or in the days of `compare`, in three queries.

    TTR by the day resolved; `median_with_open` is left out here (null). CSAT scales stay apart whatever `slice_.scale`.
    """
    catalogue = catalogue or Catalogue.load()
    _check("nps", replace(slice_, scale=None), None, catalogue)
    windows = [slice_] if compare is None else [slice_, replace(slice_, day_from=compare[0], day_to=compare[1])]
    scores = _score_rows(catalogue.questions, windows, None, "touchpoint", catalogue)
    rows = []
    for scale in SCALES.values():
        counts: dict[tuple[str, int], list[int]] = {}
        for row in scores:
            if catalogue.questions[row.question] is scale:
                _add(counts.setdefault((row.group, row.window), [0] * scale.points), row.histogram(scale))
        for touchpoint in sorted({key for (key, _window), histogram in counts.items() if any(histogram)}):
            pair = [_measured_scores(scale, counts.get((touchpoint, at), [0] * scale.points)) for at in range(len(windows))]
            rows.append(MatrixRow(touchpoint, scale.metric, scale.points, pair[0], pair[1] if compare else None))
    return rows + _ttr_matrix(windows, now, catalogue)


def _ttr_matrix(windows: Sequence[Slice], now: datetime, catalogue: Catalogue) -> list[MatrixRow]:
    if windows[0].modes:
        return []  # a ticket has no mode
    resolved: dict[tuple[str, int], _Durations] = {}
    for row in _duration_rows("resolved", windows, None, "touchpoint", catalogue):
        resolved.setdefault((row.group, row.window), _Durations()).add(row)
    waiting: dict[str, int] = {}
    for group, _period, _inside, _bucket, count in _open_rows(windows[0], now, None, "touchpoint", catalogue):
        waiting[group] = waiting.get(group, 0) + count
    rows = []
    for touchpoint in sorted({key for (key, _window), durations in resolved.items() if durations.n} | set(waiting)):
        pair = [resolved.get((touchpoint, at), _Durations()).measured(waiting.get(touchpoint, 0)) for at in range(len(windows))]
        rows.append(MatrixRow(touchpoint, "ttr", 0, pair[0], pair[1] if len(windows) > 1 else None))
    return rows


# --- What may be asked ------------------------------------------------------------------------------------------------


def _check(metric: str, slice_: Slice, group_by: str | None, catalogue: Catalogue) -> None:
    if metric not in METRICS:
        raise UnusableSlice("metric", f"The metrics are {', '.join(METRICS)}.")
    if metric == "ttr" and (slice_.modes or group_by == "mode"):
        raise UnusableSlice("mode" if slice_.modes else "group_by", "A ticket has no mode.")
    known = {
        "touchpoint": {place.touchpoint for place in catalogue.places.values()},
        "journey": catalogue.journeys | {""},
        "channel": set(Channel.values),
        "mode": set(Mode.values),
    }
    for dimension, values in known.items():
        for unknown in sorted(slice_.values_of(dimension) - values):
            raise UnusableSlice(dimension, f"There is no {dimension} “{unknown}”.")
    for name, day in (("from", slice_.day_from), ("to", slice_.day_to)):
        if day and not FIRST_DAY <= day <= LAST_DAY:
            raise UnusableSlice(name, f"A day lies between {FIRST_DAY} and {LAST_DAY}.")
    if slice_.day_from and slice_.day_to and slice_.day_from > slice_.day_to:
        raise UnusableSlice("from", "from is after to.")
    scales = [scale.points for scale in SCALES.values() if scale.metric == metric]
    if slice_.scale is not None and slice_.scale not in scales:
        raise UnusableSlice("scale", f"{metric} has the scales {scales}." if scales else f"{metric} has no scale.")


# --- Scores -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ScoreRow:
    window: int
    question: int
    period: date | None
    group: str
    counts: Sequence[int]  # s0…s10

    def histogram(self, scale: Scale) -> Sequence[int]:
        return self.counts[scale.low : scale.high + 1]


def _measure_scores(
    metric: str, slice_: Slice, interval: Interval | None, group_by: str | None, catalogue: Catalogue
) -> Measurement:
    wanted = {
        pk: scale
        for pk, scale in catalogue.questions.items()
        if scale.metric == metric and slice_.scale in (None, scale.points)
    }
    rows = _score_rows(wanted, [slice_], interval, None, catalogue)
    scale = _only_scale(metric, slice_, rows, catalogue)
    nothing = [0] * scale.points
    total, periods = list(nothing), {}
    for row in rows:
        if wanted[row.question] is scale:
            _add(total, row.histogram(scale))
            if row.period:
                _add(periods.setdefault(row.period, list(nothing)), row.histogram(scale))
    series = [
        (start, _measured_scores(scale, periods.get(start, nothing)))
        for start in _starts(interval, slice_, (start for start, histogram in periods.items() if any(histogram)))
    ]
    groups: dict[str, list[int]] = {}
    for row in _score_rows(wanted, [slice_], None, group_by, catalogue) if group_by else ():
        if wanted[row.question] is scale:
            _add(groups.setdefault(row.group, list(nothing)), row.histogram(scale))
    keys = _group_keys(slice_, group_by, (key for key, histogram in groups.items() if any(histogram)))
    return Measurement(
        _measured_scores(scale, total), series, [(key, _measured_scores(scale, groups.get(key, nothing))) for key in keys]
    )


def _only_scale(metric: str, slice_: Slice, rows: Iterable[_ScoreRow], catalogue: Catalogue) -> Scale:
    """The one scale of which the slice holds answers; where it holds none, the one asked for or the metric's first."""
    held = {catalogue.questions[row.question].points for row in rows if any(row.counts)}
    if len(held) > 1:
        raise UnusableSlice("scale", "This slice holds answers on 5 and on 7 points, which are never pooled: add scale=5|7.")
    points = held.pop() if held else slice_.scale
    return next(scale for scale in SCALES.values() if scale.metric == metric and points in (None, scale.points))


def _measured_scores(scale: Scale, histogram: Sequence[int]) -> Measured:
    extra: dict[str, float | int | None] = {}
    if scale.metric == "nps":
        estimate = formulas.nps(histogram)
    elif scale.metric == "csat":
        estimate = formulas.csat_top_box(histogram, scale)
        extra["mean"] = formulas.score_mean(histogram, scale)
    else:
        estimate = formulas.ces_mean(histogram)
        extra["easy_share"] = formulas.ces_easy_share(histogram).value
    return Measured(
        scale.metric, scale.points, estimate.value, estimate.n, estimate.low, estimate.high,
        dict(zip(scale.scores, histogram, strict=True)), scale.band_counts(list(histogram)), extra,
    )  # fmt: skip


def _score_rows(
    questions: Mapping[int, Scale],
    windows: Sequence[Slice],
    interval: Interval | None,
    group_by: str | None,
    catalogue: Catalogue,
) -> list[_ScoreRow]:
    """One query: histograms of the questions by window, period and group."""
    if not questions:
        return []
    sums = ", ".join(f"sum(s{score})::bigint" for score in SCORES)
    where = _Where(catalogue).among("question_id", sorted(questions))
    rows = _cell_rows(_score_cell, ("question_id",), sums, where, windows, interval, group_by, catalogue, OF_CELLS)
    return [_ScoreRow(window, head[0], period, group, counts) for window, period, group, head, counts in rows]


# --- Durations --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _DurationRow:
    window: int
    bucket: int
    period: date | None
    group: str
    n: int
    sum_s: int
    reopened: int


@dataclass
class _Durations:
    """Sums of resolved tickets' cells, by the day resolved."""

    buckets: dict[int, int] = field(default_factory=dict)
    n: int = 0
    sum_s: int = 0
    reopened: int = 0

    def add(self, row: _DurationRow) -> None:
        self.buckets[row.bucket] = self.buckets.get(row.bucket, 0) + row.n
        self.n += row.n
        self.sum_s += row.sum_s
        self.reopened += row.reopened

    def measured(self, waiting: int, opened: "_Opened | None" = None) -> Measured:
        estimate: Estimate = formulas.ttr_mean(self.buckets, self.sum_s)
        extra: dict[str, float | int | None] = {
            "median": formulas.ttr_quantile(self.buckets, 0.5),
            "p90": formulas.ttr_quantile(self.buckets, 0.9),
            "reopened_share": self.reopened / self.n if self.n else None,
            "median_with_open": opened.median() if opened else None,
            "open": waiting,
        }
        return Measured("ttr", 0, estimate.value, estimate.n, estimate.low, estimate.high, extra=extra)


@dataclass
class _Opened:
    """Tickets opened in the period, by bucket of their duration or, while open, of their age."""

    resolved: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)

    def median(self) -> float | None:
        return formulas.kaplan_meier_median(self.resolved, self.waiting)

    def any(self) -> bool:
        return any(self.resolved.values()) or any(self.waiting.values())


def _measure_durations(
    slice_: Slice, now: datetime, interval: Interval | None, group_by: str | None, catalogue: Catalogue
) -> Measurement:
    total, periods = _sum_durations(slice_, now, interval, None, catalogue)
    everything = total.get("", _Tickets())
    starts = _starts(interval, slice_, (start for start, tickets in periods.items() if tickets.any()))
    # `open` is a count of now, whatever the days asked for: it is the slice's in every period.
    series = [(start, periods.get(start, _Tickets()).measured(everything.open)) for start in starts]
    groups, _periods = _sum_durations(slice_, now, None, group_by, catalogue) if group_by else ({}, {})
    keys = _group_keys(slice_, group_by, (key for key, tickets in groups.items() if tickets.any()))
    return Measurement(everything.measured(), series, [(key, groups.get(key, _Tickets()).measured()) for key in keys])


@dataclass
class _Tickets:
    """All that TTR needs of one period or group."""

    resolved: _Durations = field(default_factory=_Durations)
    opened: _Opened = field(default_factory=_Opened)
    open: int = 0

    def any(self) -> bool:
        return bool(self.resolved.n or self.open or self.opened.any())

    def measured(self, waiting: int | None = None) -> Measured:
        return self.resolved.measured(self.open if waiting is None else waiting, self.opened)


def _sum_durations(
    slice_: Slice, now: datetime, interval: Interval | None, group_by: str | None, catalogue: Catalogue
) -> tuple[dict[str, _Tickets], dict[date, _Tickets]]:
    """Three queries: tickets by group ("" where there is no grouping) and by the start of the period."""
    groups: dict[str, _Tickets] = {}
    periods: dict[date, _Tickets] = {}

    def sums(group: str, period: date | None) -> list[_Tickets]:
        both = [groups.setdefault(group, _Tickets())]
        return [*both, periods.setdefault(period, _Tickets())] if period else both

    for row in _duration_rows("resolved", [slice_], interval, group_by, catalogue):
        for tickets in sums(row.group, row.period):
            tickets.resolved.add(row)
    for row in _duration_rows("opened", [slice_], interval, group_by, catalogue):
        for tickets in sums(row.group, row.period):
            tickets.opened.resolved[row.bucket] = tickets.opened.resolved.get(row.bucket, 0) + row.n
    for group, period, inside, bucket, count in _open_rows(slice_, now, interval, group_by, catalogue):
        for tickets in sums(group, period if inside else None):
            if inside:
                tickets.opened.waiting[bucket] = tickets.opened.waiting.get(bucket, 0) + count
        groups[group].open += count
    return groups, periods


def _duration_rows(
    basis: str, windows: Sequence[Slice], interval: Interval | None, group_by: str | None, catalogue: Catalogue
) -> list[_DurationRow]:
    """One query: resolved tickets by window, period, group and bucket."""
    sums = "sum(n)::bigint, sum(sum_s)::bigint, sum(reopened)::bigint"
    where = _Where(catalogue).equal("basis", basis)
    rows = _cell_rows(_duration_cell, ("bucket",), sums, where, windows, interval, group_by, catalogue, OF_CELLS[1:])
    return [_DurationRow(window, head[0], period, group, *counts) for window, period, group, head, counts in rows]


def _open_rows(
    slice_: Slice, now: datetime, interval: Interval | None, group_by: str | None, catalogue: Catalogue
) -> list[tuple[str, date | None, bool, int, int]]:
    """One query: tickets open now as (group, period opened, opened in the days asked for, bucket of age, count)."""
    where = _Where(catalogue).dimensions(slice_, OF_CELLS[1:])
    inside = _Where(catalogue).days("day_opened", slice_.day_from, slice_.day_to)
    period = f"date_trunc('{interval}', day_opened::timestamp)::date" if interval else "NULL::date"
    group = _group_column(group_by, "coalesce(touchpoint_id, 0)")
    # A clock that runs ahead opens tickets in the future: they are 0 s old.
    age = bucket_sql("greatest(floor(extract(epoch FROM %s - opened_at)), 0)::bigint")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {group}, {period}, {inside.sql}, {age}, count(*) FROM {_ticket} "
            f"WHERE in_ttr AND resolved_at IS NULL AND {where.sql} GROUP BY 1, 2, 3, 4",
            [*inside.params, now, *where.params],
        )
        rows = cursor.fetchall()
    return [(_group_key(key, group_by, catalogue), start, held, bucket, count) for key, start, held, bucket, count in rows]


# --- Cells ------------------------------------------------------------------------------------------------------------


class _Where:
    """Conditions joined by AND, with their parameters. Starts as TRUE."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.conditions: list[str] = []
        self.params: list[Any] = []

    @property
    def sql(self) -> str:
        return f"({' AND '.join(self.conditions)})" if self.conditions else "TRUE"

    def add(self, condition: str, *params: Any) -> "_Where":
        self.conditions.append(condition)
        self.params += params
        return self

    def equal(self, column: str, value: Any) -> "_Where":
        return self.add(f"{column} = %s", value)

    def among(self, column: str, values: Sequence[Any]) -> "_Where":
        return self.add(f"{column} = ANY(%s)", list(values))

    def days(self, column: str, first: date | None, last: date | None) -> "_Where":
        if first:
            self.add(f"{column} >= %s", first)
        if last:
            self.add(f"{column} <= %s", last)
        return self

    def dimensions(self, slice_: Slice, of_cells: Sequence[str]) -> "_Where":
        if any(slice_.values_of(dimension) for dimension in OF_TOUCHPOINTS):
            self.among("touchpoint_id", [
                pk for pk, place in self.catalogue.places.items()
                if all(
                    getattr(place, dimension) in values
                    for dimension in OF_TOUCHPOINTS if (values := slice_.values_of(dimension))
                )
            ])  # fmt: skip
        for dimension in of_cells:
            if values := slice_.values_of(dimension):
                self.among(dimension, sorted(values))
        return self


def _cell_rows(
    table: str,
    head: Sequence[str],
    sums: str,
    common: _Where,
    windows: Sequence[Slice],
    interval: Interval | None,
    group_by: str | None,
    catalogue: Catalogue,
    of_cells: Sequence[str],
) -> list[tuple[int, date | None, str, Sequence[int], Sequence[int]]]:
    """Sums of cells as (window, period, group, head columns, sums), each window read at the coarsest grain that serves."""
    period = f"date_trunc('{interval}', day::timestamp)::date" if interval else "NULL::date"
    columns = f"{period}, {_group_column(group_by, 'touchpoint_id')}, {', '.join(head)}"
    places = ", ".join(str(place) for place in range(1, 4 + len(head)))
    selects, params = [], []
    for number, window in enumerate(windows):
        where = _Where(catalogue).dimensions(window, of_cells)
        full = group_by in of_cells or any(window.values_of(dimension) for dimension in of_cells)
        for grain, first, last in _spans(window, interval, full):
            span = _Where(catalogue).equal("grain", grain.value).days("day", first, last)
            selects.append(
                f"SELECT {number}, {columns}, {sums} FROM {table} "
                f"WHERE {span.sql} AND {common.sql} AND {where.sql} GROUP BY {places}"
            )
            params += [*span.params, *common.params, *where.params]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), params)
        rows = cursor.fetchall()
    cut = 3 + len(head)
    return [(row[0], row[1], _group_key(row[2], group_by, catalogue), row[3:cut], row[cut:]) for row in rows]


def _spans(slice_: Slice, interval: Interval | None, full: bool) -> list[tuple[Grain, date | None, date | None]]:
    """(grain, first day, last day) that together hold each day of the slice once: whole months from month cells."""
    daily = Grain.DAY_FULL if full else Grain.DAY_TOTAL
    monthly = Grain.MONTH_FULL if full else Grain.MONTH_TOTAL
    first, last = slice_.day_from, slice_.day_to
    if interval in ("day", "week"):
        return [(daily, first, last)]
    one = timedelta(days=1)
    begin = first if first is None or first.day == 1 else _next_month(first)  # first whole month's first day
    end = None if last is None else (last + one).replace(day=1)  # day after the last whole month
    if begin and end and begin >= end:
        return [(daily, first, last)]
    spans: list[tuple[Grain, date | None, date | None]] = [(monthly, begin, end and end - one)]
    if first and begin and first < begin:
        spans.append((daily, first, begin - one))
    if last and end and end <= last:
        spans.append((daily, end, last))
    return spans


def _next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def _group_column(group_by: str | None, touchpoint: str) -> str:
    if group_by is None:
        return "NULL::text"
    return touchpoint if group_by in OF_TOUCHPOINTS else group_by


def _group_key(value: Any, group_by: str | None, catalogue: Catalogue) -> str:
    if group_by in OF_TOUCHPOINTS:
        return str(getattr(catalogue.place(value), group_by))
    return value or ""


def _group_keys(slice_: Slice, group_by: str | None, held: Iterable[str]) -> list[str]:
    """Groups that hold anything, and those that the slice names whether they do or not."""
    return sorted({*held, *slice_.values_of(group_by)}) if group_by else []


def _starts(interval: Interval | None, slice_: Slice, held: Iterable[date]) -> list[date]:
    """Every period's first day, from the first to the last asked for; an end left open is the last period that holds any."""
    if interval is None:
        return []
    held = sorted(held)
    first = slice_.day_from or (held[0] if held else slice_.day_to)
    last = slice_.day_to or (held[-1] if held else slice_.day_from)
    starts: list[date] = []
    start = first and _start_of(interval, first)
    while start and last and start <= last:
        if len(starts) == MAX_PERIODS:
            raise UnusableSlice("interval", f"A series has at most {MAX_PERIODS} periods: ask for fewer days or a longer interval.")
        starts.append(start)
        start = _start_of(interval, start + {"day": timedelta(1), "week": timedelta(7), "month": timedelta(31), "quarter": timedelta(92)}[interval])
    return starts


def _start_of(interval: Interval, day: date) -> date:
    """The calendar start of the period that `day` lies in; weeks from Monday (ISO 8601)."""
    if interval == "week":
        return day - timedelta(days=day.weekday())
    if interval == "month":
        return day.replace(day=1)
    if interval == "quarter":
        return day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)
    return day


def _add(total: list[int], counts: Sequence[int]) -> None:
    for place, count in enumerate(counts):
        total[place] += count
