"""Business time: what a clock on the organisation's wall shows between two moments, and nothing else."""

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surveys.worktime import (
    WEEKDAYS,
    WorkCalendar,
    add_business,
    business_seconds,
    calendar_of,
    check_holidays,
    holiday_countries,
    official_days,
    read_spans,
)

HOUR = 3600
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York")


def every(*spans: str, days: tuple[str, ...] = WEEKDAYS) -> dict[str, list[str]]:
    return {day: list(spans) for day in days}


OFFICE = every("09:00-18:00", days=WEEKDAYS[:5])
ALWAYS = every("00:00-24:00")


def calendar(
    zone: str = "Asia/Shanghai", hours: dict[str, list[str]] = OFFICE, **more: str | list[str]
) -> WorkCalendar:
    made = calendar_of(zone, hours, **more)  # type: ignore[arg-type]
    assert made is not None
    return made


def moment(text: str, zone: str = "Asia/Shanghai", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


# --- Known answers ----------------------------------------------------------------------------------------------------


def test_eight_business_hours_from_monday_at_four_are_tuesday_at_three():
    due = add_business(moment("2026-11-16T16:00"), 8 * HOUR, calendar())
    assert due == moment("2026-11-17T15:00")
    assert business_seconds(moment("2026-11-16T16:00"), due, calendar()) == 8 * HOUR


def test_opened_on_sunday_evening_and_resolved_on_monday_at_ten_is_one_hour():
    assert business_seconds(moment("2026-11-15T20:00"), moment("2026-11-16T10:00"), calendar()) == HOUR


@pytest.mark.parametrize(
    ("opened", "resolved", "seconds"),
    [
        ("2026-11-16T09:00", "2026-11-16T18:00", 9 * HOUR),
        ("2026-11-16T08:59:59", "2026-11-16T09:00:00", 0),
        ("2026-11-16T08:59:59", "2026-11-16T09:00:01", 1),
        ("2026-11-16T17:59:59", "2026-11-16T18:00:00", 1),
        ("2026-11-16T18:00:00", "2026-11-17T09:00:00", 0),
        ("2026-11-20T17:00", "2026-11-23T10:00", 2 * HOUR),  # over a weekend
        ("2026-11-16T12:00", "2026-11-16T12:00", 0),
        ("2025-12-31T12:00", "2026-01-01T12:00", 9 * HOUR),  # over the year: six hours and three
    ],
)
def test_only_what_lies_within_working_hours_counts(opened: str, resolved: str, seconds: int):
    assert business_seconds(moment(opened), moment(resolved), calendar()) == seconds


def test_a_lunch_break_does_not_count():
    hours = calendar(hours={"mon": ["09:00-12:00", "13:00-18:00"]})
    assert business_seconds(moment("2026-11-16T11:30"), moment("2026-11-16T13:30"), hours) == HOUR
    assert add_business(moment("2026-11-16T11:30"), HOUR // 2, hours) == moment("2026-11-16T12:00")  # not 13:00
    assert add_business(moment("2026-11-16T11:30"), HOUR // 2 + 1, hours) == moment("2026-11-16T13:00:01")


# --- Holidays and the days worked in return ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        ("2024-02-04", 9),  # a Sunday, worked for the Spring Festival
        ("2024-02-12", 0),  # the Spring Festival
        ("2024-02-16", 0),  # the Friday given for Sunday 18 February
        ("2024-02-18", 9),
        ("2024-10-12", 9),  # a Saturday, worked for the National Day
        ("2024-10-01", 0),
        ("2024-10-07", 0),
        ("2024-10-13", 0),  # an ordinary Sunday
        ("2024-10-14", 9),
        ("2025-10-11", 9),
        ("2026-02-14", 9),
        ("2011-12-31", 9),  # worked for a New Year's day of the next year
    ],
)
def test_china_rests_on_its_holidays_and_works_on_the_weekends_given_in_return(day: str, hours: int):
    china = calendar(country="CN")
    begins = moment(f"{day}T00:00")
    assert business_seconds(begins, begins + timedelta(days=1), china) == hours * HOUR


def test_a_week_that_ends_with_a_worked_sunday_counts_it():
    """Friday 2 February 2024 at 17:00 to Monday at 10:00: an hour, Sunday's nine, an hour."""
    opened, resolved = moment("2024-02-02T17:00"), moment("2024-02-05T10:00")
    assert business_seconds(opened, resolved, calendar(country="CN")) == 11 * HOUR
    assert business_seconds(opened, resolved, calendar()) == 2 * HOUR


def test_regions_have_their_own_holidays():
    corpus_christi = moment("2026-06-04T09:00", "Europe/Berlin")
    for region, hours in (("BY", 0), ("BE", 9)):
        found = calendar("Europe/Berlin", country="DE", subdivision=region)
        assert business_seconds(corpus_christi, corpus_christi + timedelta(hours=9), found) == hours * HOUR


def test_own_days_stand_above_holidays():
    own = calendar(country="CN", opened=["2024-10-01"], closed=["2024-10-12", "2024-10-14"])
    assert own.spans_on(date(2024, 10, 1)) == ((9 * HOUR, 18 * HOUR),)
    assert own.spans_on(date(2024, 10, 12)) == ()
    assert own.spans_on(date(2024, 10, 14)) == ()


def test_an_extra_day_has_the_hours_of_its_weekday_else_of_the_weeks_first_working_day():
    hours = {"tue": ["10:00-12:00"], "sat": ["09:00-10:00"]}
    own = calendar(hours=hours, opened=["2026-11-21", "2026-11-22"])
    assert own.spans_on(date(2026, 11, 21)) == ((9 * HOUR, 10 * HOUR),)  # a Saturday
    assert own.spans_on(date(2026, 11, 22)) == ((10 * HOUR, 12 * HOUR),)  # a Sunday, as Tuesday


def test_places_are_known_or_refused():
    check_holidays("", "")
    check_holidays("CN", "")
    check_holidays("DE", "BY")
    for country, subdivision in (("XX", ""), ("CN", "GD"), ("DE", "XX"), ("", "BY")):
        with pytest.raises(ValueError, match="is not a"):
            check_holidays(country, subdivision)
    assert len(holiday_countries()) > 100
    assert official_days("", "", 2026) == (frozenset(), frozenset())


# --- Days on which clocks change --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2025-10-26", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2025-11-02", 25),
        ("Asia/Shanghai", "2026-03-29", 24),
        ("Asia/Shanghai", "1991-04-14", 23),  # China's last spring forward
        ("America/Havana", "2026-03-08", 23),  # no midnight
        ("America/Havana", "2026-11-01", 25),  # midnight twice
        ("Pacific/Apia", "2011-12-30", 0),  # a day that never was
    ],
)
def test_who_always_works_works_as_many_hours_as_the_day_has(zone: str, day: str, hours: int):
    always = calendar(zone, ALWAYS)
    begins = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    before, after = begins - timedelta(hours=1), begins + timedelta(days=1)
    lasts = business_seconds(before.astimezone(UTC), after.astimezone(UTC), always)
    assert lasts == (after.astimezone(UTC) - before.astimezone(UTC)).total_seconds()
    assert always._year(int(day[:4])).total == 3600 * sum(_hours_of_year(int(day[:4]), zone))
    assert _hours_of_day(date.fromisoformat(day), zone) == hours


def _hours_of_day(day: date, zone: str) -> float:
    """Counted by walking through it."""
    moments = (
        datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=30 * step) for step in range(-60, 100)
    )
    return sum(at.astimezone(ZoneInfo(zone)).date() == day for at in moments) / 2


def _hours_of_year(year: int, zone: str) -> list[int]:
    begins, ends = (datetime(one, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC) for one in (year, year + 1))
    return [1] * int((ends - begins) / timedelta(hours=1))


@pytest.mark.parametrize(
    ("zone", "day", "span", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", "01:00-05:00", 3),
        ("Europe/Berlin", "2026-03-29", "02:30-05:00", 2),  # begins when the clock skips, not half an hour later
        ("Europe/Berlin", "2026-03-29", "01:00-02:30", 1),
        ("Europe/Berlin", "2026-03-29", "02:10-02:50", 0),  # no clock shows it
        ("Europe/Berlin", "2025-10-26", "01:00-05:00", 5),
        ("Europe/Berlin", "2025-10-26", "02:00-03:00", 2),
        ("America/New_York", "2025-11-02", "00:00-09:00", 10),
        ("America/New_York", "2026-03-08", "00:00-09:00", 8),
        ("America/New_York", "2026-03-08", "09:00-18:00", 9),
    ],
)
def test_a_span_lasts_what_passes_between_its_ends_on_the_wall(zone: str, day: str, span: str, hours: int):
    made = calendar(zone, every(span))
    begins = moment(f"{day}T00:00", zone)
    assert business_seconds(begins, begins + timedelta(days=1), made) == hours * HOUR


@pytest.mark.parametrize("zone", ZONES)
def test_neighbouring_spans_are_one_longer_span(zone: str):
    apart = calendar(zone, every("00:00-02:30", "02:30-12:00", "12:00-24:00"))
    for year in range(2024, 2028):
        assert apart._year(year).total == calendar(zone, ALWAYS)._year(year).total


# --- Laws -------------------------------------------------------------------------------------------------------------

HOURS = {
    "mon": ["08:30-12:00", "13:00-17:30"], "tue": ["00:00-24:00"], "wed": ["09:00-18:00"], "fri": ["00:00-06:00", "22:00-24:00"],
    "sat": ["10:00-14:00"],
}  # fmt: skip
CALENDARS = [
    calendar("Asia/Shanghai", HOURS, country="CN"),
    calendar("Europe/Berlin", HOURS, country="DE", subdivision="BY", closed=["2026-12-24"]),
    calendar("America/New_York", HOURS, country="US"),
    calendar("America/Havana", ALWAYS),
]
moments = st.datetimes(datetime(2023, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))
calendars = st.sampled_from(CALENDARS)


@given(calendars, st.lists(moments, min_size=3, max_size=3))
def test_parts_add_up_to_the_whole(made: WorkCalendar, found: list[datetime]):
    a, b, c = sorted(found)
    assert business_seconds(a, b, made) + business_seconds(b, c, made) == business_seconds(a, c, made)
    assert 0 <= business_seconds(a, b, made) <= (b - a).total_seconds() + 1


@given(calendars, moments, st.integers(1, 3_000_000))
def test_what_is_added_has_passed_and_a_second_earlier_has_not(made: WorkCalendar, begins: datetime, seconds: int):
    due = add_business(begins, seconds, made)
    assert due > begins
    assert business_seconds(begins, due, made) == seconds
    assert business_seconds(begins, max(begins, due - timedelta(seconds=1)), made) == seconds - 1


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(CALENDARS[:3]), moments, st.integers(0, 6000))
def test_it_is_what_walking_through_the_minutes_counts(made: WorkCalendar, begins: datetime, minutes: int):
    """Minute by minute, by what the clock shows: nothing of the module's own arithmetic. No span here ends in an hour that comes twice."""
    begins = begins.replace(second=0, microsecond=0)
    worked = 0
    for minute in range(minutes):
        shown = (begins + timedelta(minutes=minute)).astimezone(ZoneInfo(made.zone))
        since = shown.hour * HOUR + shown.minute * 60
        worked += any(start <= since < end for start, end in made.spans_on(shown.date()))
    assert business_seconds(begins, begins + timedelta(minutes=minutes), made) == 60 * worked


def test_nothing_is_negative_naive_or_endless():
    now = moment("2026-11-16T12:00")
    with pytest.raises(ValueError, match="below 0"):
        business_seconds(now, now - timedelta(seconds=1), calendar())
    with pytest.raises(ValueError, match="below 0"):
        add_business(now, -1, calendar())
    with pytest.raises(TypeError):
        business_seconds(datetime(2026, 1, 1), datetime(2026, 1, 2), calendar())
    with pytest.raises(ValueError, match="not so much"):
        add_business(now, 10**12, calendar())
    assert add_business(now, 0, calendar()) is now
    assert business_seconds(datetime(1, 1, 2, tzinfo=UTC), datetime(1969, 6, 1, tzinfo=UTC), calendar()) == 0
    assert business_seconds(datetime(2100, 6, 1, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC), calendar()) == 0


def test_without_hours_there_is_no_calendar():
    assert calendar_of("UTC", {}) is None
    assert calendar_of("UTC", {"mon": []}) is None
    with pytest.raises(ValueError, match="at least one"):
        WorkCalendar("UTC", ((),) * 7)


def test_it_is_fast_enough_for_every_ticket_there_is():
    made = calendar(country="CN", hours=HOURS)
    begins = moment("2024-01-01T00:00")
    pairs = [(begins + timedelta(minutes=7 * n), begins + timedelta(minutes=7 * n + 9000)) for n in range(20_000)]
    business_seconds(begins, pairs[-1][1], made)  # years are made once
    started = time.process_time()
    for opened, resolved in pairs:
        business_seconds(opened, resolved, made)
    assert len(pairs) / (time.process_time() - started) > 30_000  # ten times more on an idle core


@pytest.mark.parametrize(
    "texts",
    [["9:00-18:00"], ["09:00-24:01"], ["18:00-09:00"], ["09:00-09:00"], ["09:00–18:00"], ["09:00-12:00", "11:00-18:00"], [""],
     ["13:00-18:00", "09:00-12:00"], ["25:00-26:00"], ["09:00-10:00\n"], [f"0{hour}:00-0{hour}:30" for hour in range(7)]],
)  # fmt: skip
def test_hours_that_are_none_are_refused(texts: list[str]):
    with pytest.raises(ValueError, match=r"no hours|ends before|begins before|at most"):
        read_spans(texts)
