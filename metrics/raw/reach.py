"""How many of those who saw the widget answered. In: a touchpoint and days. Out: counts of views and answers, by week or month.

Views are counters (surveys.WidgetCount); answers are the web's own responses, counted raw and bounded in time. A period without a
single counted view is unknown, not 0: the widget may not have been there yet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, Exists, Value

from metrics import formulas
from metrics.formulas import Estimate
from metrics.slices import Interval
from surveys.models import Mode, Response, WidgetCount

ANSWERED = "answered"  # beside the events that views are counted by
WEEKS_UP_TO = 100  # days; a longer table is read by months


@dataclass(frozen=True, slots=True)
class Reach:
    """The views and answers of one period. `views` is None where nothing was counted."""

    views: Mapping[str, int] | None
    answered: int

    @property
    def shown(self) -> int:
        return self.of("shown")

    def of(self, event: str) -> int:
        return (self.views or {}).get(event, 0)

    @property
    def rate(self) -> Estimate:
        """Percent of the views that were answered; nothing where more answers came than views were counted."""
        return formulas.web_response_rate(self.answered, self.shown)


def reach_interval(first: date, last: date) -> Interval:
    return "week" if (last - first).days < WEEKS_UP_TO else "month"


def measure_reach(
    touchpoint_id: int, first: date, last: date, begin: datetime, end: datetime
) -> tuple[Reach, list[tuple[date, Reach]]]:
    """The whole, and each period from the first to the last, newest first; one query. `begin` and `end` are the moments of these days."""
    interval = reach_interval(first, last)
    views: dict[date, dict[str, int]] = {}
    answered: dict[date, int] = {}
    counted = WidgetCount.objects.filter(touchpoint_id=touchpoint_id, day__gte=first, day__lte=last)
    # Answers are counted only where anything was seen: the second half of the query begins with that question.
    came = Response.objects.filter(
        Exists(counted), touchpoint_id=touchpoint_id, mode=Mode.WEB, excluded_at__isnull=True, responded_at__gte=begin,
        responded_at__lt=end,
    ).order_by().values_list("day", Value(ANSWERED)).annotate(count=Count("pk"))  # fmt: skip
    for day, event, count in counted.order_by().values_list("day", "event", "count").union(came, all=True):
        start = _start(day, interval)
        if event == ANSWERED:
            answered[start] = answered.get(start, 0) + count
        else:
            held = views.setdefault(start, {})
            held[event] = held.get(event, 0) + count
    periods = [(start, Reach(views.get(start), answered.get(start, 0))) for start in _starts(first, last, interval)]
    return _sum(reach for _start, reach in periods), periods[::-1]


def _sum(parts: Iterable[Reach]) -> Reach:
    """Of the periods in which views were counted: an answer before that has no view to be divided by."""
    counted = [part for part in parts if part.views is not None]
    events = {event for part in counted for event in part.views or {}}
    views = {event: sum(part.of(event) for part in counted) for event in events}
    return Reach(views or None, sum(part.answered for part in counted))


def _start(day: date, interval: Interval) -> date:
    return day - timedelta(days=day.weekday()) if interval == "week" else day.replace(day=1)


def _starts(first: date, last: date, interval: Interval) -> list[date]:
    """The first day of every period that has a day between `first` and `last`."""
    found = [_start(first, interval)]
    while True:
        following = _start(found[-1] + timedelta(days=7 if interval == "week" else 31), interval)
        if following > last:
            return found
        found.append(following)
