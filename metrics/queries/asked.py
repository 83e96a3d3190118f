"""What is asked of the cells, as SQL. In: slices, a grouping, an interval. Out: rows of the cheapest grain that serves.

Which formula is right is not decided here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from django.db import connection

from metrics.grains import Cut, cheapest
from metrics.models import DurationCell, ScoreCell
from metrics.slices import (
    OF_CELLS,
    OF_TOUCHPOINTS,
    Catalogue,
    Interval,
    Slice,
    spans,
)
from surveys.models import Mode, Ticket
from surveys.scales import Scale
from surveys.worktime import WorkCalendar

_MODES = tuple(Mode.values)
SCORE_CELL, DURATION_CELL, TICKET = ScoreCell._meta.db_table, DurationCell._meta.db_table, Ticket._meta.db_table


@dataclass(frozen=True)
class Asked:
    """What one query sums up: windows (of days) of one slice, cut by period and by group."""

    windows: Sequence[Slice]
    catalogue: Catalogue
    interval: Interval | None = None
    group_by: str | None = None
    hours: WorkCalendar | None = None  # durations in business time by these; else in calendar time
    by_mode: bool = False  # each touchpoint is cut by mode, too: its key then ends in a space and the mode

    @property
    def slice(self) -> Slice:
        return self.windows[0]

    def grouped(self) -> "Asked":
        return replace(self, interval=None)

    def first(self) -> "Asked":
        """What has the whole in it: its periods, else its groups. Both at once are asked for one after the other."""
        return replace(self, group_by=None) if self.interval else self

    def questions_of(self, metric: str) -> dict[int, Scale]:
        """Those of the metric, on the scale asked for where one is."""
        return {
            pk: scale
            for pk, scale in self.catalogue.questions.items()
            if scale.metric == metric and self.slice.scale in (None, scale.points)
        }

    def key(self, value: Any) -> str:
        """The group's key of what `group_column` selected."""
        if self.by_mode:
            pk, mode = divmod(int(value), len(_MODES))
            return f"{self.catalogue.place(pk).touchpoint} {_MODES[mode]}"
        if self.group_by in OF_TOUCHPOINTS:
            return str(getattr(self.catalogue.place(int(value)), self.group_by))
        return value or ""


class Where:
    """Conditions joined by AND, with their parameters. Starts as TRUE."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.params: list[Any] = []

    @property
    def sql(self) -> str:
        return f"({' AND '.join(self.conditions)})" if self.conditions else "TRUE"

    def add(self, condition: str, value: Any) -> "Where":
        self.conditions.append(condition)
        self.params.append(value)
        return self

    def equal(self, column: str, value: Any) -> "Where":
        return self.add(f"{column} = %s", value)

    def among(self, column: str, values: Sequence[Any]) -> "Where":
        return self.add(f"{column} = ANY(%s)", list(values))

    def days(self, column: str, first: date | None, last: date | None) -> "Where":
        if first:
            self.add(f"{column} >= %s", first)
        if last:
            self.add(f"{column} <= %s", last)
        return self

    def dimensions(self, slice_: Slice, catalogue: Catalogue) -> "Where":
        touchpoints = catalogue.touchpoint_ids(slice_)
        if touchpoints is not None:
            self.among("touchpoint_id", touchpoints)
        for dimension in OF_CELLS:
            if values := slice_.values_of(dimension):
                self.among(dimension, sorted(values))
        return self


def _select_cells(
    table: str, cuts: Sequence[Cut], head: str, sums: str, common: Where, asked: Asked
) -> tuple[str, list[Any]]:
    """SQL and parameters of sums of cells by (window, period, key of the group, `head` column).

    Each window is read at the cheapest grains that serve it; one key may come more than once, from days and from months.
    """
    columns = f"{period_column(asked, 'day')}, {group_column(asked, 'touchpoint_id')}, {head}"
    selects, params = [], []
    for number, window in enumerate(asked.windows):
        cut = cheapest(cuts, window.needs(asked.group_by) | ({"mode"} if asked.by_mode else set()))
        where = Where().dimensions(window, asked.catalogue)
        is_narrowed = any(window.values_of(dimension) for dimension in cut.keeps.intersection(OF_CELLS))
        for grain, first, last in spans(window, asked.interval, cut):
            span = Where().equal("grain", grain.value).days("day", first, last)
            if is_narrowed:
                # True of every cell of the grain; with it a prefix of the index on parts is all of them and no others.
                for column, value in cut.sums_over(grain, cuts[-1].keeps.intersection(OF_CELLS)).items():
                    span.equal(column, value)
            conditions = f"{span.sql} AND {common.sql} AND {where.sql}"
            selects.append(f"SELECT {number}, {columns}, {sums} FROM {table} WHERE {conditions} GROUP BY 2, 3, 4")
            params += [*span.params, *common.params, *where.params]
    return " UNION ALL ".join(selects), params


def select_parts(
    table: str, cuts: Sequence[Cut], head: str, sums: str, names: Sequence[str], parts: Sequence[tuple[Where, Asked]]
) -> tuple[str, list[Any]]:
    """`_select_cells` of several questions at once, each row led by the number of its question: part, at, period, key, head, `names`.

    A key is a touchpoint's number in one and a segment's name in the next, so here all are text.
    """
    columns = ", ".join(names)
    selects, params = [], []
    for number, (common, asked) in enumerate(parts):
        cells, own = _select_cells(table, cuts, head, sums, common, asked)
        selects.append(
            f"SELECT {number} AS part, at, period, key::text AS key, head, {columns} "
            f"FROM ({cells}) AS cells (at, period, key, head, {columns})"
        )
        params += own
    return " UNION ALL ".join(selects), params


def fetch(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def period_column(asked: Asked, day: str) -> str:
    return f"date_trunc('{asked.interval}', {day}::timestamp)::date" if asked.interval else "NULL::date"


def group_column(asked: Asked, touchpoint: str) -> str:
    if asked.group_by is None:
        return "NULL::text"
    if asked.by_mode:  # in one number: a hundred thousand cells are grouped by numbers in half the time that texts take
        return f"{touchpoint} * {len(_MODES)} + array_position('{{{','.join(_MODES)}}}'::text[], mode::text) - 1"
    return touchpoint if asked.group_by in OF_TOUCHPOINTS else asked.group_by


def group_keys(asked: Asked, held: Iterable[str]) -> list[str]:
    """Groups that hold anything, and those that the slice names whether they do or not."""
    return sorted({*held, *asked.slice.values_of(asked.group_by)}) if asked.group_by else []
