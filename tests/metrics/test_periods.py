"""The days of a page are whole calendar days, both ends included, whatever the URL says."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.periods import ANSWERS_PER_POINT, DAYS, Period, read_period
from metrics.slices import FIRST_DAY, LAST_DAY

TODAY = date(2026, 11, 20)
days = st.dates(date(1950, 1, 1), date(2100, 1, 1))


@pytest.mark.parametrize(
    ("query", "key", "first", "last"),
    [
        ({}, "30d", date(2026, 10, 22), TODAY),
        ({"period": ""}, "30d", date(2026, 10, 22), TODAY),
        ({"period": "7d"}, "7d", date(2026, 11, 14), TODAY),
        ({"period": "90d"}, "90d", date(2026, 8, 23), TODAY),
        ({"period": "month"}, "month", date(2026, 11, 1), TODAY),
        ({"period": "quarter"}, "quarter", date(2026, 10, 1), TODAY),
        ({"from": "2026-01-02"}, "custom", date(2026, 1, 2), TODAY),
        ({"from": "2026-01-02", "to": "2026-01-02"}, "custom", date(2026, 1, 2), date(2026, 1, 2)),
        ({"period": "custom", "from": "2026-01-02", "to": "2027-01-01"}, "custom", date(2026, 1, 2), date(2027, 1, 1)),
        ({"period": "7d", "from": "2026-01-02"}, "7d", date(2026, 11, 14), TODAY),  # what is named wins
    ],
)
def test_a_url_names_its_days(query, key, first, last):
    assert read_period(query, TODAY) == Period(key, first, last)


@pytest.mark.parametrize(
    ("today", "month", "quarter"),
    [
        (date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 1)),
        (date(2026, 3, 31), date(2026, 3, 1), date(2026, 1, 1)),
        (date(2026, 4, 1), date(2026, 4, 1), date(2026, 4, 1)),
        (date(2024, 2, 29), date(2024, 2, 1), date(2024, 1, 1)),
        (date(2026, 12, 31), date(2026, 12, 1), date(2026, 10, 1)),
    ],
)
def test_a_month_and_a_quarter_begin_where_the_calendars_do(today, month, quarter):
    assert read_period({"period": "month"}, today) == Period("month", month, today)
    assert read_period({"period": "quarter"}, today) == Period("quarter", quarter, today)


@pytest.mark.parametrize(
    "query",
    [
        {"period": "year"},
        {"period": "custom"},
        {"period": "custom", "to": "2026-01-01"},
        {"from": "yesterday"},
        {"from": "2026-02-30"},
        {"from": "2026-11-21"},  # after today, which is its end
        {"from": "2026-01-02", "to": "2026-01-01"},
        {"from": "1899-12-31"},
        {"from": "2026-01-01", "to": "3000-01-01"},
        {"from": "2026-01-01\x00"},
    ],
)
def test_what_names_no_days_is_the_default_and_says_so(query):
    found = read_period(query, TODAY)
    assert found.wrong
    assert (found.first, found.last) == (date(2026, 10, 22), TODAY)


@given(st.dictionaries(st.sampled_from(["period", "from", "to"]), st.text(max_size=12)), days)
def test_whatever_the_url_says_there_are_days(query, today):
    found = read_period(query, today)
    assert FIRST_DAY <= found.first <= found.last <= LAST_DAY
    assert found.days >= 1


@given(days, st.integers(1, 4_000))
def test_the_days_before_are_as_many_and_touch(first, count):
    period = Period("custom", first, first + timedelta(days=count - 1))
    before = period.before
    assert period.days == count
    assert (before[1] - before[0]).days + 1 == count
    assert before[1] + timedelta(days=1) == period.first


@pytest.mark.parametrize("key", DAYS)
def test_so_many_days_end_today(key):
    period = read_period({"period": key}, TODAY)
    assert (period.days, period.last) == (DAYS[key], TODAY)


@given(days, st.integers(1, 40_000), st.integers(0, 10**7))
def test_a_trend_has_few_points_and_more_answers_never_make_it_coarser(first, count, n):
    period = Period("custom", first, first + timedelta(days=count - 1))
    order = ["day", "week", "month", "quarter"]
    cut = period.interval(n)
    assert order.index(period.interval(10 * n + 1)) <= order.index(cut)
    if cut != "quarter":
        assert count / {"day": 1, "week": 7, "month": 30}[cut] < 101


def test_enough_answers_at_each_point_are_shown_by_day():
    month = Period("custom", date(2026, 11, 1), date(2026, 11, 30))
    assert month.interval(30 * ANSWERS_PER_POINT) == "day"
    assert month.interval(30 * ANSWERS_PER_POINT - 1) == "week"
