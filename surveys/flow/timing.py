"""PURE: when may a message go out? In: a moment, the customer's time zone, what a rule and the organisation say. Out: a moment.

Hours and days are those of the customer's own clock, also where it is put forward or back. Here may never be a reason to refuse:
what may not go out now is postponed, and meets every gate again when its moment has come.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from surveys.worktime import WEEKDAYS

DAY = timedelta(days=1)
MIDNIGHT = time(0)
LONGEST = 15  # days to look through: every weekday comes twice


@dataclass(frozen=True, slots=True)
class Quiet:
    """No messages from `start` (included) to `end` (not included) by the clock on the wall; over midnight where it ends earlier."""

    start: time
    end: time

    def holds(self, wall: time) -> bool:
        if self.start < self.end:
            return self.start <= wall < self.end
        return wall >= self.start or wall < self.end


@lru_cache(maxsize=256)
def quiet_of(span: str) -> Quiet | None:
    """Of "20:00-09:00"; None of "".

    >>> quiet_of("20:00-09:00").holds(time(8, 59)), quiet_of("20:00-09:00").holds(time(9))
    (True, False)
    """
    if not span:
        return None
    start, _dash, end = span.partition("-")
    return Quiet(time.fromisoformat(start), time.fromisoformat(end))


def zone_of(name: str, otherwise: ZoneInfo) -> ZoneInfo:
    """The customer's time zone, else the organisation's."""
    if not name:
        return otherwise
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return otherwise


def next_time(
    earliest: datetime,
    zone: ZoneInfo,
    at: time | None = None,
    days: Collection[str] = (),
    quiet: Quiet | None = None,
) -> datetime:
    """The first moment from `earliest` on that is `at` on one of `days` and not in `quiet`, by the clocks of `zone`; in UTC.

    `earliest` itself where it fits. No `at`: at any hour; no `days`: on every day. Quiet hours are stronger than `at`: what would be
    sent within them is sent when they end, on that day or the next, if `days` has it. Where they can never meet, `at` gives way.
    A wall time that a clock skips (spring) is the moment of the skip; one that comes twice (autumn) is its first, unless that is past.
    """
    earliest = earliest.astimezone(UTC)
    if at is None and not days and quiet is None:
        return earliest
    first = earliest.astimezone(zone).date()
    for day in (first + number * DAY for number in range(LONGEST)):
        if days and not _is_one_of(day, days):
            continue
        found = _from(_moments(day, at or MIDNIGHT, zone), earliest)
        if at is None and (found is None or day == first):
            found = earliest  # midnight is past
        if found is None or _day(found, zone) != day:
            continue  # past, or a day that the calendar skipped
        free = _after(quiet, found, zone)
        landed = _day(free, zone)
        if landed == day or (at is not None and (not days or _is_one_of(landed, days))):
            return free
    return next_time(earliest, zone, None, days, quiet) if at is not None else earliest


def is_time(moment: datetime, zone: ZoneInfo, days: Collection[str] = (), quiet: Quiet | None = None) -> bool:
    """Whether a message may go out at `moment`. One that was planned `at` an hour and is late may still, that day."""
    local = moment.astimezone(zone)
    return (not days or _is_one_of(local.date(), days)) and not (quiet is not None and quiet.holds(local.time()))


def plan(
    earliest: datetime,
    zone: ZoneInfo,
    mode: str,
    quiet_hours: Mapping[str, str],
    at: time | None,
    days: Collection[str],
) -> datetime:
    """`next_time` by the quiet hours that the organisation has for a mode."""
    return next_time(earliest, zone, at, days, quiet_of(quiet_hours.get(mode, "")))


def _is_one_of(day: date, days: Collection[str]) -> bool:
    return WEEKDAYS[day.weekday()] in days


def _day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def _after(quiet: Quiet | None, moment: datetime, zone: ZoneInfo) -> datetime:
    """`moment`, or the end of the quiet hours in which it lies. A clock that is put back may lead into them again."""
    local = moment.astimezone(zone)
    if quiet is None or not quiet.holds(local.time()):
        return moment
    for day in (local.date(), local.date() + DAY, local.date() + 2 * DAY):
        for end in _moments(day, quiet.end, zone):
            if end > moment and not quiet.holds(end.astimezone(zone).time()):
                return end
    raise AssertionError("quiet hours end every day")


def _from(moments: Collection[datetime], earliest: datetime) -> datetime | None:
    return next((moment for moment in moments if moment >= earliest), None)


def _moments(day: date, wall: time, zone: ZoneInfo) -> list[datetime]:
    """When the clocks of `zone` show `wall` on `day`: once, twice, or, where they skip it, the moment of the skip. In UTC."""
    naive = datetime.combine(day, wall)
    early, late = (naive.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early <= late:
        return sorted({early, late})
    # Skipped: the two readings stand on both sides of the skip, the later one before it.
    low, high = late, early
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return [high]
