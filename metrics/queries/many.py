"""Thousands of slices at once, by one statement: what alert rules look at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

from django.db import connection

from metrics import formulas
from metrics.buckets import unpack
from metrics.formulas import Estimate
from metrics.grains import DURATION_CUTS, SCORE_CUTS, cheapest
from metrics.models import SCORES, Grain
from metrics.queries.asked import DURATION_CELL, SCORE_CELL
from metrics.queries.durations import DurationSums
from metrics.queries.measured import Measured, measured_scores
from metrics.significance import Counts
from metrics.slices import (
    OF_CELLS,
    Catalogue,
    Slice,
    spans,
)
from surveys.scales import SCALES


class Ask(NamedTuple):
    """One metric on one scale over closed days of one slice, by ids: what `count_many` is asked, thousands at a time.

    `touchpoints` None is everything; `mode`, `segment` and `location` "" do not narrow. `points` is 0 for ttr.
    """

    metric: str
    points: int
    touchpoints: tuple[int, ...] | None
    mode: str
    segment: str
    location: str
    first: date
    last: date


@dataclass
class Found:
    """What the cells of an Ask hold: counts per score from the scale's lowest, or per bucket of resolved tickets."""

    ask: Ask
    histogram: Sequence[int] = ()
    durations: DurationSums = field(default_factory=DurationSums)

    @cached_property
    def estimate(self) -> Estimate:
        """The metric, for ttr the median of what was resolved."""
        if self.ask.metric == "ttr":
            return formulas.ttr_median(self.durations.buckets)
        if self.ask.metric == "nps":
            return formulas.nps(self.histogram)
        if self.ask.metric == "ces":
            return formulas.ces_mean(self.histogram)
        return formulas.csat_top_box(self.histogram, SCALES[self.ask.metric, self.ask.points])

    @property
    def side(self) -> Counts:
        """For `significance.compare`."""
        if self.ask.metric == "ttr":
            return Counts(self.durations.buckets, sum_s=self.durations.sum_s)
        return Counts(dict(zip(SCALES[self.ask.metric, self.ask.points].scores, self.histogram, strict=True)))

    @property
    def measured(self) -> Measured:
        """As `measure` gives the slice's total, for ttr without what is open."""
        if self.ask.metric == "ttr":
            return self.durations.measured(0)
        return measured_scores(SCALES[self.ask.metric, self.ask.points], self.histogram)


def count_many(asks: Sequence[Ask], catalogue: Catalogue) -> list[Found]:
    """What each Ask holds, in their order, by one statement however many there are."""
    found = [Found(ask, [0] * ask.points) for ask in asks]
    if not asks:
        return found
    statement, params = many_statement(asks, catalogue)
    if not statement:  # of no touchpoint at all
        return found
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        rows = cursor.fetchall()
    for number, counts, histogram, sum_s, reopened in rows:
        held = found[number]
        if counts is not None:
            scale = SCALES[held.ask.metric, held.ask.points]
            held.histogram = counts[scale.low : scale.high + 1]
        else:
            buckets, of_bucket = unpack(histogram)
            held.durations = DurationSums(dict(zip(buckets, of_bucket, strict=True)), sum(of_bucket), sum_s, reopened)
    return found


def many_statement(asks: Sequence[Ask], catalogue: Catalogue) -> tuple[str, list[Any]]:
    """The statement of `count_many`: a row per Ask that holds anything, (its number, counts, packed histogram, seconds, reopened).

    Of scores there are the eleven counters alone, of durations all but these. An Ask of certain touchpoints finds its cells by the
    index that begins with them; one of everything by the days.
    """
    scales = list(SCALES)
    cut_of: dict[tuple[Any, ...], list[tuple[Grain, date | None, date | None]]] = {}
    pieces: dict[tuple[bool, bool], list[tuple[Any, ...]]] = {}
    places: dict[tuple[int, ...], int] = {}
    for number, ask in enumerate(asks):
        is_ttr = ask.metric == "ttr"
        narrowed = (ask.mode or None, ask.segment or None, ask.location or None)
        key = (is_ttr, *(value is not None for value in narrowed), ask.first, ask.last)
        if key not in cut_of:
            needed = {
                "touchpoint",
                *(name for name, value in zip(OF_CELLS, narrowed, strict=True) if value is not None),
            }
            cut = cheapest(DURATION_CUTS if is_ttr else SCORE_CUTS, needed)
            cut_of[key] = spans(Slice(day_from=ask.first, day_to=ask.last), None, cut)
        scale = -1 if is_ttr else scales.index((ask.metric, ask.points))
        place = -1 if ask.touchpoints is None else places.setdefault(ask.touchpoints, len(places))
        rows = pieces.setdefault((is_ttr, ask.touchpoints is None), [])
        for grain, first, last in cut_of[key]:
            rows.append((number, grain.value, first, last, scale, place, *narrowed))
    questions = [(scales.index((one.metric, one.points)), pk) for pk, one in catalogue.questions.items()]
    touchpoints = [(place, pk) for pks, place in places.items() for pk in pks]
    selects, params = [], []
    for (is_ttr, everywhere), rows in pieces.items():
        selects.append(_many_durations(everywhere) if is_ttr else _many_scores(everywhere))
        params += [list(column) for column in zip(*rows, strict=True)]
        for pairs in ([] if is_ttr else [questions]) + ([] if everywhere else [touchpoints]):
            params += [[left for left, _right in pairs], [right for _left, right in pairs]]
    return " UNION ALL ".join(selects), params


_ASKED = """unnest(%s::int[], %s::smallint[], %s::date[], %s::date[], %s::int[], %s::int[], %s::text[], %s::text[], %s::text[])
    AS a (number, grain, first, last, scale, place, mode, segment, location)"""
_QUESTIONS = "JOIN unnest(%s::int[], %s::bigint[]) AS q (scale, question) ON q.scale = a.scale"
_TOUCHPOINTS = "JOIN unnest(%s::int[], %s::bigint[]) AS t (place, touchpoint) ON t.place = a.place"
_NARROWED = """c.grain = a.grain AND c.day BETWEEN a.first AND a.last
    AND (a.segment IS NULL OR c.segment = a.segment) AND (a.location IS NULL OR c.location = a.location)"""


def _many_scores(everywhere: bool) -> str:
    sums = ", ".join(f"sum(c.s{score})::bigint" for score in SCORES)
    touchpoints, where = ("", "TRUE") if everywhere else (_TOUCHPOINTS, "c.touchpoint_id = t.touchpoint")
    return (
        f"SELECT a.number, ARRAY[{sums}], NULL::text, 0::bigint, 0::bigint FROM {_ASKED} {_QUESTIONS} {touchpoints} "
        f"JOIN {SCORE_CELL} c ON c.question_id = q.question AND {where} AND {_NARROWED} "
        "AND (a.mode IS NULL OR c.mode = a.mode) GROUP BY 1"
    )


def _many_durations(everywhere: bool) -> str:
    touchpoints, where = ("", "TRUE") if everywhere else (_TOUCHPOINTS, "c.touchpoint_id = t.touchpoint")
    return (
        "SELECT a.number, NULL::bigint[], sum(c.histogram)::text, sum(c.sum_s)::bigint, sum(c.reopened)::bigint "
        f"FROM {_ASKED} {touchpoints} "
        f"JOIN {DURATION_CELL} c ON c.basis = 'resolved' AND {where} AND {_NARROWED} GROUP BY 1"
    )
