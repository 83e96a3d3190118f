"""The days that a page shows. In: what the URL says and today. Out: a Period, and the days to compare it with.

No database and no clock: today is an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from metrics.slices import FIRST_DAY, LAST_DAY, Interval

DEFAULT = "30d"
DAYS = {"7d": 7, "30d": 30, "90d": 90, "365d": 365}
KEYS = ("7d", "30d", "90d", "month", "quarter", "365d", "custom")
COMPARISONS = ("previous", "year", "none")  # the days directly before, the same days a year before, nothing
ANSWERS_PER_POINT = 20  # fewer, and a trend is mostly chance
POINTS_AT_LEAST, POINTS_AT_MOST = 3, 100


@dataclass(frozen=True)
class Period:
    """Days, both ends included. `key` is what the URL names; `wrong` says that it named no days and these are the default's."""

    key: str
    first: date
    last: date
    wrong: bool = False

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def before(self) -> tuple[date, date]:
        """As many days, directly before."""
        return self.first - timedelta(days=self.days), self.first - timedelta(days=1)

    @property
    def year_before(self) -> tuple[date, date]:
        """The same days of the year before; 29 February becomes the 28th."""
        return _year_before(self.first), _year_before(self.last)

    def against(self, comparison: str) -> tuple[date, date] | None:
        """The days that a `comparison` names, one of COMPARISONS; None for "none"."""
        return {"previous": self.before, "year": self.year_before}.get(comparison)

    @property
    def finest(self) -> Interval:
        """What `interval` may be made of: days, as long as it may come to weeks."""
        return "day" if self.days // 7 <= POINTS_AT_MOST else "month"

    def interval(self, n: int) -> Interval:
        """How to cut a trend of `n` answers: as finely as leaves enough of them at each point and more than a few points."""
        fine: tuple[tuple[Interval, int], ...] = (("day", 1), ("week", 7), ("month", 30))
        for interval, length in fine:
            points = max(1, self.days // length)
            next_points = -(-self.days // {1: 7, 7: 30, 30: 91}[length])
            if points <= POINTS_AT_MOST and (n >= ANSWERS_PER_POINT * points or next_points < POINTS_AT_LEAST):
                return interval
        return "quarter"


def read_period(query: Mapping[str, str], today: date) -> Period:
    """The period that `period`, `from` and `to` name; without them the last 30 days, today included."""
    key = query.get("period") or ("custom" if query.get("from") or query.get("to") else DEFAULT)
    if key in DAYS:
        return Period(key, today - timedelta(days=DAYS[key] - 1), today)
    if key == "month":
        return Period(key, today.replace(day=1), today)
    if key == "quarter":
        return Period(key, today.replace(month=3 * ((today.month - 1) // 3) + 1, day=1), today)
    first, last = _day(query.get("from", "")), _day(query.get("to", "")) or today
    if key == "custom" and first is not None and FIRST_DAY <= first <= last <= LAST_DAY:
        return Period(key, first, last)
    return Period(
        "custom" if key == "custom" else DEFAULT, today - timedelta(days=DAYS[DEFAULT] - 1), today, wrong=True
    )


def read_comparison(key: str) -> str:
    return key if key in COMPARISONS else COMPARISONS[0]


def _year_before(day: date) -> date:
    return day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
