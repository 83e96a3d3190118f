"""PURE: time as an organisation works it. In: moments, and a WorkCalendar of hours, holidays and own days. Out: seconds, or a moment.

Hours are those of the clock on the organisation's wall, so a working day of 23 or 25 hours counts what it has. Holidays and the
working days that some countries put on a weekend in return for a bridge day come from the `holidays` library; days that the
organisation itself closes or opens stand above them. No Django, no database, no clock.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

import holidays

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_S = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
# Lunar holidays are known up to here; what lies outside has no working time.
FIRST_YEAR, LAST_YEAR = 1970, 2099
SPANS_A_DAY, OWN_DAYS = 6, 1000  # at most; more is a mistake

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24):(00))\Z")

Span = tuple[int, int]  # seconds of the wall clock since midnight: from, to


def read_span(text: str) -> Span:
    """Seconds since midnight of "09:00-18:00"; "24:00" is a day's end. ValueError for anything else, and where it ends first.

    >>> read_span("09:00-18:00"), read_span("22:00-24:00")
    ((32400, 64800), (79200, 86400))
    """
    found = _SPAN.match(text)
    if found is None:
        raise ValueError(f'“{text}” are no hours such as "09:00-18:00".')
    hour, minute, *end = (int(part) for part in found.groups() if part is not None)
    start_s, end_s = 60 * (60 * hour + minute), 60 * (60 * end[0] + end[1])
    if end_s <= start_s:
        raise ValueError(
            f"“{text}” ends before it begins. Hours over midnight are two spans: to 24:00, and from 00:00 on the next day."
        )
    return start_s, end_s


def read_spans(texts: Sequence[str]) -> tuple[Span, ...]:
    """The spans of one day, in order and apart from each other; ValueError otherwise."""
    spans = tuple(read_span(text) for text in texts)
    if len(spans) > SPANS_A_DAY:
        raise ValueError(f"A day has at most {SPANS_A_DAY} spans.")
    for (_start, end), (following, _end), text in zip(spans, spans[1:], texts[1:], strict=False):
        if following < end:
            raise ValueError(f"“{text}” begins before the span before it has ended.")
    return spans


def read_day(text: str) -> str:
    """A day such as "2026-10-01", as it is kept; ValueError for anything else and for days that no calendar here reaches."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if text != day.isoformat() or not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"“{text}” is not a day such as 2026-10-01.")
    return text


def read_place(text: str) -> tuple[str, str]:
    """(country, part of it) of "CN" or "DE-BY", ("", "") of ""; ValueError where no holidays of it are known."""
    country, _dash, subdivision = text.partition("-")
    check_holidays(country, subdivision)
    return country, subdivision


@lru_cache(maxsize=1)
def holiday_countries() -> Mapping[str, tuple[str, ...]]:
    """Every country with known holidays, by its two letters (ISO 3166-1), to its subdivisions, which may be none."""
    found = holidays.list_supported_countries(include_aliases=False)
    return {code: tuple(parts) for code, parts in sorted(found.items()) if len(code) == 2}


def check_holidays(country: str, subdivision: str) -> None:
    """ValueError where the holidays of this place are not known; "" as country is none at all."""
    if not country and not subdivision:
        return
    known = holiday_countries()
    if country not in known:
        raise ValueError(f"“{country}” is not a country such as CN whose holidays are known.")
    if subdivision and subdivision not in known[country]:
        has = f"it has {', '.join(known[country])}" if known[country] else "it has none"
        raise ValueError(f"“{subdivision}” is not a part of {country} with holidays of its own; {has}.")


@lru_cache(maxsize=512)
def official_days(country: str, subdivision: str, year: int) -> tuple[frozenset[date], frozenset[date]]:
    """The public holidays of a year, and the weekend days on which people work in return. Both empty without a country.

    Those of a year to come are known once its government has announced them: China does so each November.
    """
    if not country:
        return frozenset(), frozenset()
    # The next year, too: its holidays may close or open days of this one's December.
    found = holidays.country_holidays(country, subdiv=subdivision or None, years=(year, year + 1), expand=False)
    worked = frozenset(day for day in found.weekend_workdays if day.year == year)
    return frozenset(day for day in found if day.year == year) - worked, worked


@dataclass(frozen=True)
class WorkCalendar:
    """When an organisation works. `hours` are the spans of Monday to Sunday; `closed` and `opened` are its own days.

    A day that is opened, by the organisation or officially, has the hours of its weekday or, where that has none, those of the
    week's first working day. ValueError without any hours.
    """

    zone: str
    hours: tuple[tuple[Span, ...], ...]
    country: str = ""
    subdivision: str = ""
    closed: frozenset[date] = frozenset()
    opened: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if len(self.hours) != len(WEEKDAYS) or not any(self.hours):
            raise ValueError("a calendar has hours on at least one of seven weekdays")

    def spans_on(self, day: date) -> tuple[Span, ...]:
        """The hours worked on a day, by the clock on the wall; none on a day off."""
        usual = self.hours[day.weekday()]
        if day in self.closed:
            return ()
        off, worked = official_days(self.country, self.subdivision, day.year)
        if day in self.opened or day in worked:
            return usual or next(spans for spans in self.hours if spans)
        return () if day in off else usual

    @cached_property
    def _years(self) -> dict[int, "_Year"]:
        return {}

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def _year(self, year: int) -> "_Year":
        found = self._years.get(year)
        if found is None:
            found = self._years[year] = _Year.of(self, year)
        return found

    def _locate(self, moment: datetime) -> tuple[int, int]:
        """(the year of the wall clock, whole seconds since 1970) of a moment."""
        return moment.astimezone(self._zone).year, (moment - EPOCH) // SECOND


@dataclass(frozen=True, slots=True)
class _Year:
    """One year's spans as whole seconds since 1970: where each starts, how long it is, how much lies before it."""

    starts: list[int]
    lengths: list[int]
    before: list[int]
    total: int

    @classmethod
    def of(cls, calendar: WorkCalendar, year: int) -> "_Year":
        starts: list[int] = []
        lengths: list[int] = []
        before: list[int] = []
        total = 0
        if FIRST_YEAR <= year <= LAST_YEAR:
            day, after = date(year, 1, 1), date(year + 1, 1, 1)
            while day < after:
                for start_s, end_s in calendar.spans_on(day):
                    start = _instant(day, start_s, calendar._zone)
                    length = _instant(day, end_s, calendar._zone) - start
                    if length > 0:
                        starts.append(start)
                        lengths.append(length)
                        before.append(total)
                        total += length
                day += DAY
        return cls(starts, lengths, before, total)

    def until(self, second: int) -> int:
        """Working seconds of this year before a moment."""
        at = bisect_right(self.starts, second) - 1
        return 0 if at < 0 else self.before[at] + min(second - self.starts[at], self.lengths[at])

    def moment_of(self, worked: int) -> int:
        """The first moment before which this year has `worked` seconds, 0 < worked <= total."""
        at = bisect_left(self.before, worked) - 1
        return self.starts[at] + worked - self.before[at]


def _instant(day: date, wall_s: int, zone: ZoneInfo) -> int:
    """Seconds since 1970 when the clock shows this time: the first of two in autumn, the moment of the skip in spring."""
    wall = datetime.combine(day, datetime.min.time()) + timedelta(seconds=wall_s)
    shown = wall.replace(tzinfo=zone)
    found = (shown - EPOCH) // SECOND
    if datetime.fromtimestamp(found, zone).replace(tzinfo=None) == wall:
        return found
    # No clock shows it. Before the skip the one offset is right, after it the other: between both lies the skip.
    low, high = (shown.replace(fold=1) - EPOCH) // SECOND, found
    offset = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if datetime.fromtimestamp(middle, zone).utcoffset() == offset else (low, middle)
    return high


def business_seconds(opened: datetime, resolved: datetime, calendar: WorkCalendar) -> int:
    """Working seconds from one moment to another, each counted as the whole second that it lies in; at least 0.

    Additive: from a to b and from b to c is from a to c. What lies before 1970 or after 2099 has no working time.
    ValueError where the second moment lies before the first, TypeError for times without a zone.
    """
    if resolved < opened:
        raise ValueError("a duration is not below 0")
    from_year, start = calendar._locate(opened)
    to_year, end = calendar._locate(resolved)
    worked = calendar._year(to_year).until(end) - calendar._year(from_year).until(start)
    for year in range(max(from_year, FIRST_YEAR), min(to_year, LAST_YEAR + 1)):
        worked += calendar._year(year).total
    return worked


def add_business(moment: datetime, seconds: int, calendar: WorkCalendar) -> datetime:
    """The first moment by which `seconds` of working time have passed since `moment`, such as when something promised is due.

    At the end of a working day it is that end, not the next morning. 0 seconds are `moment` itself. In the zone of `moment`.
    ValueError below 0, and where the calendar has not so much time left before 2100.
    """
    if seconds < 0:
        raise ValueError("a duration is not below 0")
    if seconds == 0:
        return moment
    year, start = calendar._locate(moment)
    year = max(year, FIRST_YEAR)
    wanted = calendar._year(year).until(start) + seconds
    while wanted > calendar._year(year).total:
        wanted -= calendar._year(year).total
        year += 1
        if year > LAST_YEAR:
            raise ValueError("this calendar has not so much working time")
    return (EPOCH + timedelta(seconds=calendar._year(year).moment_of(wanted))).astimezone(moment.tzinfo)


@lru_cache(maxsize=8)
def _made(
    zone: str,
    hours: tuple[tuple[str, ...], ...],
    country: str,
    subdivision: str,
    closed: tuple[str, ...],
    opened: tuple[str, ...],
) -> WorkCalendar:
    return WorkCalendar(
        zone, tuple(read_spans(spans) for spans in hours), country, subdivision, _dates(closed), _dates(opened)
    )


def calendar_of(
    zone: str,
    hours: Mapping[str, Sequence[str]],
    country: str = "",
    subdivision: str = "",
    closed: Collection[str] = (),
    opened: Collection[str] = (),
) -> WorkCalendar | None:
    """The calendar of what is configured ({"mon": ["09:00-18:00"]}, days as texts); None without hours. The same one for the same."""
    spans = tuple(tuple(hours.get(weekday, ())) for weekday in WEEKDAYS)
    return _made(zone, spans, country, subdivision, tuple(closed), tuple(opened)) if any(spans) else None


def _dates(days: Iterable[str]) -> frozenset[date]:
    return frozenset(date.fromisoformat(day) for day in days)
