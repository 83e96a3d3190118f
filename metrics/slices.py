"""What may be asked of the cells: a Slice, what its names mean, and which days and periods it is made of.

In: slugs, days, an interval. Out: touchpoint ids, spans of days per grain, starts of periods; UnusableSlice for what
cannot be measured. No cell is read here, and nothing is computed of an answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from metrics.grains import Cut
from metrics.models import Grain
from surveys.models import Channel, Journey, Mode, Question, Stage, Touchpoint
from surveys.scales import SCALES, Scale

METRICS = ("nps", "csat", "ces", "ttr")
Interval = Literal["day", "week", "month", "quarter"]
INTERVALS: tuple[Interval, ...] = ("day", "week", "month", "quarter")
# Dimensions that cells hold themselves, and those that a touchpoint stands for.
OF_CELLS = ("mode", "segment", "location")
OF_TOUCHPOINTS = ("touchpoint", "journey", "stage", "channel")
MAX_PERIODS = 4_000  # eleven years of days: more is a mistyped year
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2999, 12, 31)


class UnusableSlice(ValueError):
    """The slice cannot be measured. `field` is the parameter to blame, "" where it is the slice as a whole."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


@dataclass(frozen=True)
class Slice:
    """What is measured. Values of one dimension are alternatives, dimensions narrow each other; empty does not narrow.

    Touchpoints and journeys are slugs, a stage is "journey/stage"; `day_from` and `day_to` are inclusive; `scale` is the number of points.
    """

    touchpoints: frozenset[str] = frozenset()
    journeys: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
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

    def needs(self, group_by: str | None) -> set[str]:
        """The dimensions of cells that matter when it is measured in these groups."""
        asked = {dimension for dimension in (*OF_TOUCHPOINTS, *OF_CELLS) if self.values_of(dimension)}
        asked |= {group_by} if group_by else set()
        return {"touchpoint" if dimension in OF_TOUCHPOINTS else dimension for dimension in asked}


@dataclass(frozen=True)
class Place:
    """What a touchpoint id stands for in a slice; "" for none."""

    touchpoint: str
    journey: str
    channel: str
    stage: str = ""


@dataclass(frozen=True)
class Catalogue:
    """What ids mean: read once per page or request, in four queries."""

    places: Mapping[int, Place]
    questions: Mapping[int, Scale]
    journeys: frozenset[str]
    stages: frozenset[str] = frozenset()

    @classmethod
    def load(cls) -> "Catalogue":
        journeys = dict(Journey.objects.order_by().values_list("pk", "slug"))
        stages = {
            pk: f"{journeys[journey]}/{slug}"
            for pk, journey, slug in Stage.objects.order_by().values_list("pk", "journey_id", "slug")
        }
        touchpoints = Touchpoint.objects.order_by().values_list("pk", "slug", "journey_id", "channel", "stage_id")
        places = {
            pk: Place(slug, journeys.get(journey, ""), channel, stages.get(stage, ""))
            for pk, slug, journey, channel, stage in touchpoints
        }
        questions = Question.objects.filter(kind="scale").order_by().values_list("pk", "metric", "points")
        return cls(
            places,
            {pk: SCALES[metric, points] for pk, metric, points in questions},
            frozenset(journeys.values()),
            frozenset(stages.values()),
        )

    def place(self, touchpoint_id: int) -> Place:
        """Tickets may name no touchpoint (0)."""
        return self.places.get(touchpoint_id, Place("", "", ""))

    def touchpoint_ids(self, slice_: Slice) -> list[int] | None:
        """The touchpoints that the slice's touchpoints, journeys, stages and channels leave; None where it names none of them."""
        named = {dimension: values for dimension in OF_TOUCHPOINTS if (values := slice_.values_of(dimension))}
        if not named:
            return None
        return sorted(
            pk
            for pk, place in self.places.items()
            if all(getattr(place, dimension) in values for dimension, values in named.items())
        )


def check(metric: str, slice_: Slice, group_by: str | None, catalogue: Catalogue) -> None:
    if metric not in METRICS:
        raise UnusableSlice("metric", f"The metrics are {', '.join(METRICS)}.")
    if metric == "ttr" and (slice_.modes or group_by == "mode"):
        raise UnusableSlice("mode" if slice_.modes else "group_by", "A ticket has no mode.")
    known = {
        "touchpoint": {place.touchpoint for place in catalogue.places.values()},
        "journey": catalogue.journeys | {""},
        "stage": catalogue.stages | {""},
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


def spans(slice_: Slice, interval: Interval | None, cut: Cut) -> list[tuple[Grain, date | None, date | None]]:
    """(grain of the cut, first day, last day) that together hold each day of the slice once: whole months from month cells."""
    daily, monthly = cut.day, cut.month
    first, last = slice_.day_from, slice_.day_to
    if interval in ("day", "week"):
        return [(daily, first, last)]
    one = timedelta(days=1)
    begin = first if first is None or first.day == 1 else period_after("month", start_of("month", first))
    end = last and start_of("month", last + one)  # the day after the last whole month
    if begin and end and begin >= end:
        return [(daily, first, last)]
    held: list[tuple[Grain, date | None, date | None]] = [(monthly, begin, end and end - one)]
    if first and begin and first < begin:
        held.append((daily, first, begin - one))
    if last and end and end <= last:
        held.append((daily, end, last))
    return held


def starts(interval: Interval | None, slice_: Slice, held: Iterable[date]) -> list[date]:
    """Every period's first day, from the first to the last asked for; an end left open is the last period that `held` any."""
    if interval is None:
        return []
    known = sorted(held)
    first = slice_.day_from or (known[0] if known else slice_.day_to)
    last = slice_.day_to or (known[-1] if known else slice_.day_from)
    found: list[date] = []
    start = first and start_of(interval, first)
    while start and last and start <= last:
        if len(found) == MAX_PERIODS:
            raise UnusableSlice(
                "interval", f"A series has at most {MAX_PERIODS} periods: ask for fewer days or longer ones."
            )
        found.append(start)
        start = period_after(interval, start)
    return found


def period_after(interval: Interval, start: date) -> date:
    """The start of the period after the one that begins at `start`."""
    return start_of(interval, start + timedelta(days={"day": 1, "week": 7, "month": 31, "quarter": 92}[interval]))


def start_of(interval: Interval, day: date) -> date:
    """The calendar start of the period that `day` lies in; weeks from Monday (ISO 8601)."""
    if interval == "week":
        return day - timedelta(days=day.weekday())
    if interval == "month":
        return day.replace(day=1)
    if interval == "quarter":
        return day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)
    return day
