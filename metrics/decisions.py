"""Decisions: as trends show them, and what became of them. In: touchpoints, days, now. Out: markers; decisions that are judged.

How a verdict comes about stands in `metrics.effects`, how it looks in `metrics.decision_pages`. Decisions are as many as people wrote
down, so all of them are read; their windows are measured together, in as many queries as one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Q, QuerySet
from django.urls import reverse

from metrics import effects
from metrics.display.figures import COLUMNS, Column, column_key
from metrics.display.trends import Marker
from metrics.effects import Days, Effect
from metrics.frame import Decided, Frame
from metrics.models import Decision, Expectation
from metrics.queries import Window, measure_windows
from metrics.significance import Comparison, Counts, Statistic, compare
from metrics.slices import Slice

NO_COUNTS = Counts({})


def _with_places(rows: QuerySet[Decision]) -> QuerySet[Decision]:
    """With `places`, the ids of each one's touchpoints, oldest first."""
    touchpoints = ArrayAgg("touchpoints", filter=Q(touchpoints__isnull=False), default=[])
    return rows.annotate(places=touchpoints).order_by("day", "pk")


# --- As trends show them ----------------------------------------------------------------------------------------------


def markers(frame: Frame, slice_: Slice) -> list[Marker]:
    """The decisions that hold at the slice's touchpoints and took effect in its days, oldest first; no query, the frame has them.

    Withdrawn ones are not among them. What else narrows the slice, such as a segment, does not: the change was made all the same.
    """
    return [marker_of(row, frame) for row in _held_in(frame, slice_)]


def _held_in(frame: Frame, slice_: Slice) -> list[Decided]:
    ids = frame.catalogue.touchpoint_ids(slice_)
    return [
        row
        for row in frame.decisions
        if (slice_.day_from is None or row.day >= slice_.day_from)
        and (slice_.day_to is None or row.day <= slice_.day_to)
        and (ids is None or row.places.intersection(ids))
    ]


When = Literal["shown", "between", "before"]  # in the days shown, after those compared with, among those


def decided_near(frame: Frame, slice_: Slice, before: Days | None) -> list[tuple[Decided, When]]:
    """What a change from `before` to the slice's days may come from, newest first: decisions of both, and of the days between.

    As `markers`, at no query. The slice has its days; None for `before` leaves those of the slice alone.
    """
    assert slice_.day_from is not None
    first = slice_.day_from if before is None else min(before[0], slice_.day_from)
    near: list[tuple[Decided, When]] = []
    for row in reversed(_held_in(frame, replace(slice_, day_from=first))):
        if row.day >= slice_.day_from:
            near.append((row, "shown"))
        else:
            near.append((row, "before" if before is not None and row.day <= before[1] else "between"))
    return near


def marker_of(row: Any, frame: Frame) -> Marker:
    """`row`: a decision with its `places`."""
    names = [touchpoint.label for touchpoint in frame.touchpoints.values() if touchpoint.pk in row.places]
    return Marker(row.day, row.title, names, reverse("decision", args=[row.pk]))


# --- What became of them ----------------------------------------------------------------------------------------------


def column_of(expectation: Expectation) -> Column:
    return next(column for column in COLUMNS if column_key(column) == expectation.metric)


def statistic_of(column: Column) -> Statistic:
    """What is compared: of TTR the median of the tickets opened, those still open counted."""
    return "median_with_open" if column == ("ttr", 0) else "value"


@dataclass(frozen=True)
class Finding:
    """One expected change: the counts on both sides, and what became of it."""

    expectation: Expectation
    column: Column
    before: Counts
    after: Counts
    effect: Effect


@dataclass(frozen=True)
class Judged:
    """A decision with what became of it. `done`: days after it that are over. `family`: comparisons that were corrected for together.

    `rivals` divide the same days at one of its touchpoints: what any of them did cannot be told apart.
    """

    decision: Decision
    places: frozenset[int]
    before: Days
    after: Days
    done: int
    findings: Sequence[Finding]
    family: int
    rivals: Sequence[Decision]

    @property
    def is_over(self) -> bool:
        return self.done == self.decision.window_days


@dataclass(frozen=True)
class Decisions:
    """All that were ever written down, in two queries, and how they are judged as of `now`."""

    rows: Sequence[Any]  # Decision with `places`
    frame: Frame
    now: datetime

    @property
    def today(self) -> date:
        return self.frame.organisation.day_of(self.now)

    @property
    def minimum(self) -> int:
        return self.frame.organisation.min_n

    @classmethod
    def load(cls, frame: Frame, now: datetime) -> "Decisions":
        rows = _with_places(Decision.objects.select_related("owner").prefetch_related("expectations"))
        return cls(list(rows), frame, now)

    def find(self, pk: int) -> Any | None:
        return next((row for row in self.rows if row.pk == pk), None)

    def family_of(self, row: Any) -> list[Any]:
        """Those that are judged together: of one quarter. Withdrawn ones too: to have looked at one cannot be taken back."""
        quarter = effects.quarter_of(row.day)
        return [other for other in self.rows if effects.quarter_of(other.day) == quarter]

    def rivals_of(self, row: Any) -> list[Any]:
        places = frozenset(row.places)
        return [
            other
            for other in self.rows
            if other.pk != row.pk
            and not other.withdrawn
            and places.intersection(other.places)
            and effects.disturbs(other.day, row.day, row.window_days)
        ]

    def judge(
        self, wanted: Sequence[Any], beside: Sequence[Window] = ()
    ) -> tuple[list[Judged], list[Mapping[Column, Counts]]]:
        """`wanted` with what became of each, and the counts of further windows, in three queries.

        The families of all of them are measured as well, since a p is worth what it is among the others of its quarter.
        """
        needed = {row.pk: row for one in wanted for row in self.family_of(one)}
        cut = [window for row in needed.values() for window in self._sides(row)]
        measured = measure_windows([*cut, *beside], now=self.now, catalogue=self.frame.catalogue)
        sides = {pk: (measured[2 * at], measured[2 * at + 1]) for at, pk in enumerate(needed)}
        compared = {pk: self._compare(row, *sides[pk]) for pk, row in needed.items()}
        adjusted: dict[int, list[float | None]] = {}
        sizes: dict[tuple[int, int], int] = {}
        for family in _families(needed.values()):
            ps = [(row.pk, None if found is None else found.p) for row in family for found in compared[row.pk]]
            for (pk, _p), p in zip(ps, effects.adjust([p for _pk, p in ps]), strict=True):
                adjusted.setdefault(pk, []).append(p)
            sizes[effects.quarter_of(family[0].day)] = len(ps)
        judged = [
            Judged(
                row,
                frozenset(row.places),
                *effects.windows(row.day, row.window_days),
                effects.closed_days(row.day, row.window_days, self.today),
                [
                    _finding(expectation, sides[row.pk], found, p)
                    for expectation, found, p in zip(
                        expectations_of(row), compared[row.pk], adjusted.get(row.pk, []), strict=True
                    )
                ],
                sizes[effects.quarter_of(row.day)],
                self.rivals_of(row),
            )
            for row in wanted
        ]
        return judged, list(measured[len(cut) :])

    def _sides(self, row: Any) -> tuple[Window, Window]:
        before, after = effects.windows(row.day, row.window_days)
        return Window(row.places, *before), Window(row.places, *after)

    def _compare(
        self, row: Any, before: Mapping[Column, Counts], after: Mapping[Column, Counts]
    ) -> list[Comparison | None]:
        """Of each expected change, in their order; None where it is too early, or was withdrawn: nothing is tested then."""
        early = effects.closed_days(row.day, row.window_days, self.today) < row.window_days
        return [
            None if early or row.withdrawn else self.compare(column_of(expectation), before, after)
            for expectation in expectations_of(row)
        ]

    def compare(self, column: Column, before: Mapping[Column, Counts], after: Mapping[Column, Counts]) -> Comparison:
        """After against before, of one metric."""
        sides = after.get(column, NO_COUNTS), before.get(column, NO_COUNTS)
        return compare(*column, *sides, statistic=statistic_of(column), minimum=self.minimum)


def expectations_of(row: Decision) -> list[Expectation]:
    """In the order of the metrics on every page."""
    keys = [column_key(column) for column in COLUMNS]
    return sorted(row.expectations.all(), key=lambda one: keys.index(one.metric))


def _families(rows: Iterable[Any]) -> list[list[Any]]:
    found: dict[tuple[int, int], list[Any]] = {}
    for row in rows:
        found.setdefault(effects.quarter_of(row.day), []).append(row)
    return list(found.values())


def _finding(
    expectation: Expectation,
    sides: tuple[Mapping[Column, Counts], Mapping[Column, Counts]],
    found: Comparison | None,
    p: float | None,
) -> Finding:
    column = column_of(expectation)
    before, after = (side.get(column, NO_COUNTS) for side in sides)
    effect = effects.judge(found, p, rises=expectation.is_rise, expected=expectation.change)
    return Finding(expectation, column, before, after, effect)


# --- What stands beside one -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beside:
    """Other days and other touchpoints to hold a decision's effect against, as windows of one call of `judge`.

    The year before; touchpoints of the same channels, and of the same journeys, that no decision touched in these days.
    """

    groups: Sequence[tuple[str, Sequence[int]]]
    windows: Sequence[Window]

    @classmethod
    def of(cls, row: Any, decisions: Decisions) -> "Beside":
        before, after = effects.windows(row.day, row.window_days)
        earlier = [Window(row.places, first - effects.YEAR, last - effects.YEAR) for first, last in (before, after)]
        groups = [(name, ids) for name, ids in _untouched(row, decisions) if ids]
        return cls(groups, [*earlier, *(Window(ids, *days) for _name, ids in groups for days in (before, after))])


def _untouched(row: Any, decisions: Decisions) -> list[tuple[str, list[int]]]:
    touched = {
        place
        for other in decisions.rows
        if not other.withdrawn and (other.pk == row.pk or effects.disturbs(other.day, row.day, row.window_days))
        for place in other.places
    }
    known = decisions.frame.catalogue.places
    own = [known[pk] for pk in row.places if pk in known]
    channels = {place.channel for place in own}
    journeys = {place.journey for place in own} - {""}
    return [
        ("channel", [pk for pk, place in known.items() if pk not in touched and place.channel in channels]),
        ("journey", [pk for pk, place in known.items() if pk not in touched and place.journey in journeys]),
    ]
