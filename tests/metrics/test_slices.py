"""A slice is made of days that are each held once, of periods that leave no gap, and of names that exist."""

import itertools
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.grains import DURATION_CUTS, SCORE_CUTS
from metrics.slices import (
    FIRST_DAY,
    INTERVALS,
    LAST_DAY,
    MAX_PERIODS,
    Catalogue,
    Place,
    Slice,
    UnusableSlice,
    check,
    spans,
    start_of,
    starts,
)
from surveys.models import Journey
from surveys.scales import CSAT5, NPS
from tests.factories import make_instrument, make_touchpoint
from tests.metrics.raw import score_question

days = st.dates(date(2000, 1, 1), date(2040, 12, 31))
ends = st.one_of(st.none(), days)
every_interval = pytest.mark.parametrize("interval", INTERVALS)
ONE = timedelta(days=1)


@pytest.mark.parametrize(
    ("interval", "day", "start"),
    [
        ("day", date(2026, 11, 20), date(2026, 11, 20)),
        ("week", date(2026, 11, 15), date(2026, 11, 9)),  # a Sunday belongs to the week of the Monday before
        ("week", date(2026, 11, 16), date(2026, 11, 16)),
        ("week", date(2027, 1, 1), date(2026, 12, 28)),
        ("month", date(2024, 2, 29), date(2024, 2, 1)),
        ("month", date(2026, 12, 31), date(2026, 12, 1)),
        ("quarter", date(2026, 3, 31), date(2026, 1, 1)),
        ("quarter", date(2026, 4, 1), date(2026, 4, 1)),
        ("quarter", date(2026, 12, 31), date(2026, 10, 1)),
    ],
)
def test_a_period_starts_where_the_calendar_says(interval, day, start):
    assert start_of(interval, day) == start


@every_interval
@given(day=days)
def test_every_day_lies_in_the_period_that_starts_for_it(interval, day):
    start = start_of(interval, day)
    assert start <= day
    assert start_of(interval, start) == start
    assert (day - start).days < {"day": 1, "week": 7, "month": 31, "quarter": 92}[interval]


@every_interval
@given(one=days, other=days)
def test_a_series_has_every_period_once_and_in_order(interval, one, other):
    first, last = sorted((one, other))
    last = min(last, first + timedelta(days=3_000))
    found = starts(interval, Slice(day_from=first, day_to=last), [])
    assert found == sorted({start_of(interval, first + timedelta(days=n)) for n in range((last - first).days + 1)})


def test_an_open_end_of_a_series_is_the_last_day_that_holds_anything():
    held = [date(2026, 3, 15), date(2026, 1, 20)]
    assert starts("month", Slice(), held) == [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)]
    assert starts("month", Slice(day_from=date(2025, 12, 31)), held)[0] == date(2025, 12, 1)
    assert starts("month", Slice(day_to=date(2026, 4, 1)), held)[-1] == date(2026, 4, 1)
    assert starts("month", Slice(), []) == []
    assert starts("month", Slice(day_from=date(2026, 4, 1)), []) == [date(2026, 4, 1)]
    assert starts(None, Slice(day_from=date(2026, 4, 1)), held) == []


def test_a_series_has_at_most_so_many_periods():
    first = date(2000, 1, 1)
    assert len(starts("day", Slice(day_from=first, day_to=first + (MAX_PERIODS - 1) * ONE), [])) == MAX_PERIODS
    with pytest.raises(UnusableSlice) as refused:
        starts("day", Slice(day_from=first, day_to=first + MAX_PERIODS * ONE), [])
    assert refused.value.field == "interval"


# --- Spans ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [None, *INTERVALS])
@given(first=ends, last=ends, cut=st.sampled_from([*SCORE_CUTS, *DURATION_CUTS]))
def test_the_spans_of_a_slice_hold_each_of_its_days_once(interval, first, last, cut):
    if first and last and first > last:
        first, last = last, first
    found = spans(Slice(day_from=first, day_to=last), interval, cut)
    pieces = []
    for grain, begin, end in found:
        assert grain in (cut.day, cut.month)
        if grain is cut.month:
            assert begin is None or begin.day == 1  # whole months only: a month cell cannot be cut
            assert end is None or (end + ONE).day == 1
            assert interval in (None, "month", "quarter")
        pieces.append((begin or date.min, end or date.max))
    pieces.sort()
    assert pieces[0][0] == (first or date.min)
    assert pieces[-1][1] == (last or date.max)
    for (_begin, end), (begin, _end) in itertools.pairwise(pieces):
        assert end + ONE == begin


@given(first=days, last=days)
def test_all_whole_months_are_read_from_month_cells(first, last):
    """So that a long range costs what its months cost."""
    first, last = min(first, last), max(first, last)
    from_days = sum(
        (end - begin).days + 1  # type: ignore[operator]
        for grain, begin, end in spans(Slice(day_from=first, day_to=last), None, SCORE_CUTS[0])
        if grain is SCORE_CUTS[0].day
    )
    assert from_days <= 60


# --- What exists ------------------------------------------------------------------------------------------------------

PLACES = {
    1: Place("delivery", "purchase", "home_service"),
    2: Place("checkout", "purchase", "website"),
    3: Place("call", "", "call_center"),
}
CATALOGUE = Catalogue(PLACES, {7: NPS}, frozenset({"purchase", "empty"}))


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({}, None),
        ({"touchpoints": {"delivery"}}, [1]),
        ({"touchpoints": {"delivery", "call"}}, [1, 3]),
        ({"journeys": {"purchase"}}, [1, 2]),
        ({"journeys": {""}}, [3]),
        ({"journeys": {"empty"}}, []),
        ({"channels": {"website", "call_center"}}, [2, 3]),
        ({"journeys": {"purchase"}, "channels": {"website"}}, [2]),
        ({"touchpoints": {"call"}, "journeys": {"purchase"}}, []),
        ({"modes": {"email"}}, None),
    ],
)
def test_values_are_alternatives_and_dimensions_narrow_each_other(fields, ids):
    wanted = Slice(**{name: frozenset(values) for name, values in fields.items()})
    assert CATALOGUE.touchpoint_ids(wanted) == ids


@pytest.mark.parametrize(
    ("metric", "fields", "group_by", "field"),
    [
        ("csi", {}, None, "metric"),
        ("nps", {"touchpoints": frozenset({"nowhere"})}, None, "touchpoint"),
        ("nps", {"journeys": frozenset({"nowhere"})}, None, "journey"),
        ("nps", {"channels": frozenset({"fax"})}, None, "channel"),
        ("nps", {"modes": frozenset({"fax"})}, None, "mode"),
        ("ttr", {"modes": frozenset({"email"})}, None, "mode"),
        ("ttr", {}, "mode", "group_by"),
        ("nps", {"day_from": date(2026, 1, 2), "day_to": date(2026, 1, 1)}, None, "from"),
        ("nps", {"day_from": FIRST_DAY - ONE}, None, "from"),
        ("nps", {"day_to": LAST_DAY + ONE}, None, "to"),
        ("csat", {"scale": 11}, None, "scale"),
        ("nps", {"scale": 5}, None, "scale"),
        ("ttr", {"scale": 5}, None, "scale"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_the_field_to_blame(metric, fields, group_by, field):
    with pytest.raises(UnusableSlice) as refused:
        check(metric, Slice(**fields), group_by, CATALOGUE)
    assert refused.value.field == field
    assert str(refused.value)


@pytest.mark.parametrize(
    ("metric", "fields"),
    [
        ("nps", {}),
        ("nps", {"scale": 11}),
        ("csat", {"scale": 5}),
        ("csat", {"scale": 7}),
        ("ces", {"scale": 7}),
        ("ttr", {"segments": frozenset({"anything", ""}), "locations": frozenset({"anywhere"})}),
        ("nps", {"journeys": frozenset({"", "empty"}), "modes": frozenset({"email", "ivr"})}),
        ("nps", {"day_from": FIRST_DAY, "day_to": LAST_DAY}),
        ("nps", {"day_from": date(2026, 1, 1), "day_to": date(2026, 1, 1)}),
    ],
)
def test_what_can_be_measured_is_not_refused(metric, fields):
    check(metric, Slice(**fields), None, CATALOGUE)


def test_the_catalogue_is_read_in_four_queries(db, django_assert_num_queries):
    journey = Journey.objects.create(slug="purchase", name={"en": "Buying"})
    inside = make_touchpoint("delivery", make_instrument("nps-x"), journey=journey, channel="home_service")
    outside = make_touchpoint("call", make_instrument("csat-x", "csat", 5), channel="call_center")
    with django_assert_num_queries(4):
        found = Catalogue.load()
    assert found.place(inside.pk) == Place("delivery", "purchase", "home_service")
    assert found.place(outside.pk) == Place("call", "", "call_center")
    assert found.place(0) == Place("", "", "")  # a ticket may name none
    assert found.questions[score_question(inside).pk] is NPS
    assert found.questions[score_question(outside).pk] is CSAT5
    assert "purchase" in found.journeys
