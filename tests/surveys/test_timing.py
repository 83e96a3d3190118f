"""When a message may go out, by the customer's clock: against a search through every minute, and where clocks are put on and back."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.flow.timing import Quiet, is_time, next_time, quiet_of, zone_of
from surveys.worktime import WEEKDAYS

SHANGHAI, NEW_YORK, LORD_HOWE = map(ZoneInfo, ("Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"))
BEIRUT, APIA = map(ZoneInfo, ("Asia/Beirut", "Pacific/Apia"))
MINUTE = timedelta(minutes=1)
NIGHT = quiet_of("20:00-09:00")


def local(zone, text):
    """`text` on the clocks of `zone`; with * behind it, the second time that they show it."""
    return datetime.fromisoformat(text.rstrip("*")).replace(tzinfo=zone, fold=text.endswith("*")).astimezone(UTC)


@pytest.mark.parametrize(
    ("zone", "earliest", "terms", "expected"),
    [
        # Nothing is asked for, nothing is moved.
        (SHANGHAI, "2026-11-20T10:00", {}, "2026-11-20T10:00"),
        # Quiet hours, at their boundaries in pairs.
        (SHANGHAI, "2026-11-20T19:59", {"quiet": NIGHT}, "2026-11-20T19:59"),
        (SHANGHAI, "2026-11-20T20:00", {"quiet": NIGHT}, "2026-11-21T09:00"),
        (SHANGHAI, "2026-11-21T08:59", {"quiet": NIGHT}, "2026-11-21T09:00"),
        (SHANGHAI, "2026-11-21T09:00", {"quiet": NIGHT}, "2026-11-21T09:00"),
        (SHANGHAI, "2026-11-20T13:30", {"quiet": quiet_of("12:00-14:00")}, "2026-11-20T14:00"),
        # At an hour.
        (SHANGHAI, "2026-11-20T10:00", {"at": time(10)}, "2026-11-20T10:00"),
        (SHANGHAI, "2026-11-20T10:01", {"at": time(10)}, "2026-11-21T10:00"),
        # Days of the week: 20 November 2026 is a Friday.
        (SHANGHAI, "2026-11-20T23:59", {"days": ["fri"]}, "2026-11-20T23:59"),
        (SHANGHAI, "2026-11-21T00:00", {"days": ["fri", "mon"]}, "2026-11-23T00:00"),
        (SHANGHAI, "2026-11-20T21:00", {"days": ["fri"], "quiet": NIGHT}, "2026-11-27T09:00"),
        (SHANGHAI, "2026-11-20T10:01", {"at": time(10), "days": ["fri"]}, "2026-11-27T10:00"),
        # Quiet hours are stronger than the hour asked for.
        (SHANGHAI, "2026-11-20T07:00", {"at": time(8), "quiet": NIGHT}, "2026-11-20T09:00"),
        (SHANGHAI, "2026-11-20T07:00", {"at": time(22), "quiet": NIGHT}, "2026-11-21T09:00"),
        (SHANGHAI, "2026-11-20T07:00", {"at": time(22), "days": ["fri"], "quiet": NIGHT}, "2026-11-20T09:00"),
        # New York skips 02:00 to 03:00 on 8 March and shows 01:00 to 02:00 twice on 1 November 2026.
        (NEW_YORK, "2026-03-08T00:00", {"at": time(2, 30)}, "2026-03-08T03:00"),
        (NEW_YORK, "2026-03-08T01:59", {"quiet": quiet_of("22:00-02:30")}, "2026-03-08T03:00"),
        (NEW_YORK, "2026-11-01T00:00", {"at": time(1, 30)}, "2026-11-01T01:30"),
        (NEW_YORK, "2026-11-01T01:31", {"at": time(1, 30)}, "2026-11-01T01:30*"),
        (NEW_YORK, "2026-11-01T01:31*", {"at": time(1, 30)}, "2026-11-02T01:30"),
        (NEW_YORK, "2026-11-01T01:30", {"quiet": quiet_of("22:00-01:30")}, "2026-11-01T01:30"),
        (NEW_YORK, "2026-11-01T01:10*", {"quiet": quiet_of("22:00-01:30")}, "2026-11-01T01:30*"),
        # Half an hour, midnight itself, and a whole day (30 December 2011 in Samoa) that clocks skipped.
        (LORD_HOWE, "2026-10-04T01:00", {"at": time(2, 10)}, "2026-10-04T02:30"),
        (BEIRUT, "2026-03-28T12:00", {"days": ["sun"]}, "2026-03-29T01:00"),
        (APIA, "2011-12-29T11:00", {"at": time(10)}, "2011-12-31T10:00"),
    ],
)
def test_the_next_time(zone, earliest, terms, expected):
    assert next_time(local(zone, earliest), zone, **terms) == local(zone, expected)


def test_a_customer_without_a_time_zone_that_is_known_lives_by_the_organisations():
    assert zone_of("America/New_York", SHANGHAI) == NEW_YORK
    assert zone_of("", SHANGHAI) == zone_of("Mars/Olympus", SHANGHAI) == zone_of("../etc", SHANGHAI) == SHANGHAI


zones = st.sampled_from([SHANGHAI, NEW_YORK, LORD_HOWE, BEIRUT, ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")])
# Around the days on which these zones change their clocks, and any other.
moments = st.sampled_from(
    [datetime(2026, 3, 8), datetime(2026, 3, 29), datetime(2026, 10, 4), datetime(2026, 11, 1), datetime(2026, 4, 5)]
).flatmap(lambda day: st.integers(-2000, 2000).map(lambda minutes: day.replace(tzinfo=UTC) + minutes * MINUTE))
walls = st.integers(0, 1439).map(lambda minutes: time(minutes // 60, minutes % 60))
quiets = st.none() | st.tuples(walls, walls).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: Quiet(*pair))
weekdays = st.sets(st.sampled_from(WEEKDAYS))


@given(moments, zones, weekdays, quiets)
def test_it_is_the_first_minute_that_is_allowed(earliest, zone, days, quiet):
    found = next_time(earliest, zone, None, days, quiet)
    assert is_time(found, zone, days, quiet)
    assert next_time(found, zone, None, days, quiet) == found
    # Clocks change on whole minutes, so looking at each of them misses nothing; two days are enough to look through.
    minute = max(earliest, found - timedelta(days=2))
    while minute < found:
        assert not is_time(minute, zone, days, quiet)
        minute += MINUTE


@given(moments, zones, walls, weekdays, quiets)
def test_whatever_is_asked_for_no_message_goes_out_in_quiet_hours_or_on_another_day(earliest, zone, at, days, quiet):
    found = next_time(earliest, zone, at, days, quiet)
    assert found >= earliest
    assert is_time(found, zone, days, quiet)
    if quiet is None:
        wall = found.astimezone(zone).time()
        assert wall == at or zone.utcoffset((found - MINUTE).astimezone(zone)) != zone.utcoffset(found.astimezone(zone))


@given(moments, st.integers(0, 3000), zones, weekdays, quiets)
def test_who_may_be_written_to_later_is_not_written_to_earlier(earliest, minutes, zone, days, quiet):
    later = next_time(earliest + minutes * MINUTE, zone, None, days, quiet)
    assert next_time(earliest, zone, None, days, quiet) <= later


# --- Every zone at its changes ------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)
SAMPLE = (
    "Africa/Cairo", "Africa/Casablanca", "America/Havana", "America/New_York", "America/Santiago", "America/St_Johns",
    "Antarctica/Troll", "Asia/Beirut", "Australia/Lord_Howe", "Europe/Dublin", "Europe/Berlin", "Pacific/Chatham",
)  # fmt: skip


def changes(zone, first, last):
    """The moments at which clocks are put on or back, to the minute."""
    found, day = [], datetime(first, 1, 1, tzinfo=UTC)
    while day.year <= last:
        if (day + 24 * HOUR).astimezone(zone).utcoffset() != day.astimezone(zone).utcoffset():
            low, high = day, day + 24 * HOUR
            while high - low > MINUTE:
                middle = low + ((high - low) // (2 * MINUTE)) * MINUTE
                if middle.astimezone(zone).utcoffset() == day.astimezone(zone).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(high)
        day += 24 * HOUR
    return found


def check_changes(zone, first, last):
    """How many changes there were; around each, whatever hour is asked for, what is planned is right by the clock on the wall."""
    moments = changes(zone, first, last)
    for change in moments:
        shift = change.astimezone(zone).utcoffset() - (change - MINUTE).astimezone(zone).utcoffset()
        for minutes in (-1500, -180, -61, -60, -1, 0, 1, 30, 59, 60, 180):
            earliest = change + minutes * MINUTE
            for at in (None, time(0), time(0, 30), time(1, 30), time(2), time(2, 30), time(3)):
                for quiet in (None, NIGHT, quiet_of("01:00-02:00"), quiet_of("02:15-02:45"), quiet_of("23:30-00:30")):
                    check_planned(next_time(earliest, zone, at, (), quiet), earliest, zone, at, quiet, change, shift)
    return len(moments)


def check_planned(found, earliest, zone, at, quiet, change, shift):
    told = f"{zone} {earliest} at {at} quiet {quiet}: {found}"
    assert found >= earliest, told
    assert is_time(found, zone, (), quiet), told
    wall = found.astimezone(zone).time()
    ends_quiet = quiet is not None and (wall == quiet.end or found == change)
    assert at is None or wall == at or ends_quiet or (found == change and shift > timedelta()), told
    if at is None:
        assert quiet is not None or found == earliest, told
        assert found == earliest or not is_time(found - MINUTE, zone, (), quiet), told
    # On this day or the next, but where a night lies before the hour, or the calendar skipped a day.
    assert found - earliest <= timedelta(days=2) + abs(shift), told


@pytest.mark.parametrize("name", SAMPLE)
def test_what_is_planned_around_a_change_of_clocks_is_right_on_the_wall(name):
    assert check_changes(ZoneInfo(name), 2026, 2026) >= 1


@pytest.mark.slow
def test_what_is_planned_around_every_change_of_every_zone_is_right_on_the_wall():
    """Whole days that were skipped, changes at midnight, halves of an hour."""
    checked = {name: check_changes(ZoneInfo(name), 2019, 2027) for name in sorted(available_timezones())}
    assert sum(checked.values()) > 1000
