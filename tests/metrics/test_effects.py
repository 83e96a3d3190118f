"""What became of a change: windows of days, verdicts at their boundaries, and many looks at once."""

import doctest
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import effects
from metrics.effects import adjust, closed_days, difference_of_changes, disturbs, judge, quarter_of, windows
from metrics.significance import SURE, Comparison, Counts, compare, holm

DAY = date(2026, 11, 18)


def seen(low: float, high: float, difference: float | None = None, p: float = 0.01) -> Comparison:
    """A comparison of two sides of a hundred answers whose difference has these ends."""
    verdict = "higher" if low > 0 else "lower" if high < 0 else "not_significant"
    middle = (low + high) / 2 if difference is None else difference
    return Comparison(50 + middle, 50, middle, low, high, p, 100, 100, verdict)


def test_the_examples_hold():
    assert doctest.testmod(effects).failed == 0


# --- Days -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "day", [date(2024, 3, 1), date(2026, 3, 1), date(2026, 1, 31), date(2026, 3, 29), date(2026, 10, 25)]
)
@pytest.mark.parametrize("length", [7, 28, 30, 366])
def test_windows_touch_at_the_day_and_are_equally_long_across_months_leap_days_and_clock_changes(day, length):
    (first, last), (begin, end) = windows(day, length)
    assert (last + timedelta(days=1), begin) == (day, day)
    assert (last - first).days == (end - begin).days == length - 1


@pytest.mark.parametrize(("days", "done"), [(-5, 0), (0, 0), (1, 1), (27, 27), (28, 28), (29, 28), (400, 28)])
def test_a_day_counts_once_it_is_over(days, done):
    assert closed_days(DAY, 28, DAY + timedelta(days=days)) == done


@pytest.mark.parametrize(("days", "does"), [(-28, False), (-27, True), (0, True), (27, True), (28, False)])
def test_another_change_disturbs_where_it_divides_the_days_compared(days, does):
    """On the first day before it holds on both sides, on the day after the last one on neither."""
    assert disturbs(DAY + timedelta(days=days), DAY, 28) is does


@pytest.mark.parametrize(
    ("day", "quarter"), [(date(2026, 3, 31), (2026, 1)), (date(2026, 4, 1), (2026, 2)), (date(2026, 12, 31), (2026, 4))]
)
def test_a_family_is_a_calendar_quarter(day, quarter):
    assert quarter_of(day) == quarter


# --- Verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "rises", "expected", "verdict"),
    [
        (2, 10, True, None, "as_expected"),
        (2, 10, True, 10, "as_expected"),
        (2, 10, True, 10.001, "less"),
        (2, 10, True, 2, "as_expected"),
        (2, 10, True, 1.999, "more"),
        (2, 10, False, None, "against"),
        (2, 10, False, -5, "against"),
        (-10, -2, False, None, "as_expected"),
        (-10, -2, False, -10, "as_expected"),
        (-10, -2, False, -10.001, "less"),
        (-10, -2, False, -1.999, "more"),
        (-10, -2, True, 5, "against"),
        (-0.001, 10, True, 5, "no_change"),
        (0, 10, True, 5, "no_change"),
        (-10, 0, False, None, "no_change"),
    ],
)
def test_a_verdict_goes_by_the_interval_and_the_expected_difference(low, high, rises, expected, verdict):
    assert judge(seen(low, high), 0.01, rises=rises, expected=expected).verdict == verdict


@pytest.mark.parametrize(("p", "verdict"), [(SURE - 1e-9, "as_expected"), (SURE, "no_change")])
def test_what_is_more_than_chance_by_itself_must_be_so_among_all(p, verdict):
    assert judge(seen(2, 10), p, rises=True, expected=None).verdict == verdict


def test_nothing_is_told_too_early_of_too_few_or_without_an_interval():
    assert judge(None, None, rises=True, expected=5).verdict == "too_early"
    few = compare("nps", 11, Counts({10: 4}), Counts({0: 900}))
    assert judge(few, None, rises=True, expected=5).verdict == "too_few"
    enough = compare("nps", 11, Counts({10: 5}), Counts({0: 900}))
    assert judge(enough, enough.p, rises=True, expected=None).verdict == "as_expected"
    alike = compare("ces", 7, Counts({7: 50}), Counts({7: 50}))
    assert judge(alike, alike.p, rises=True, expected=None).verdict == "untestable"


@pytest.mark.parametrize(("expected", "allows"), [(5, True), (-3, True), (-3.1, False), (11, False), (None, None)])
def test_an_effect_without_a_difference_may_still_rule_the_expected_one_out(expected, allows):
    assert judge(seen(-3, 10, p=0.4), 0.4, rises=True, expected=expected).allows_expected is allows


# --- Several at once --------------------------------------------------------------------------------------------------


def test_what_is_not_tested_counts_in_the_family_and_gets_no_p():
    assert adjust([0.02, None, 0.01]) == [0.04, None, 0.03]
    assert adjust([0.02, None, 0.01]) != [*holm([0.02, 0.01])]
    assert adjust([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.data())
def test_no_verdict_is_taken_back_when_another_decision_can_be_told(ps, data):
    """One p in the place of “not tested yet” raises nobody else's."""
    place = data.draw(st.integers(0, len(ps) - 1))
    early = adjust([None if at == place else p for at, p in enumerate(ps)])
    later = adjust(list(ps))
    for at, p in enumerate(early):
        if at != place:
            assert later[at] <= p + 1e-12


# --- Against touchpoints without the decision -------------------------------------------------------------------------


def test_the_difference_of_changes_takes_out_what_moved_both():
    """60 → 75 % here, 60 → 70 % elsewhere: 5 points more, of which 400 answers a side are not sure."""
    here = compare("csat", 5, Counts({5: 300, 1: 100}), Counts({5: 240, 1: 160}))
    there = compare("csat", 5, Counts({5: 280, 1: 120}), Counts({5: 240, 1: 160}))
    more = difference_of_changes(here, there)
    assert more.value == pytest.approx(5)
    assert more.low == pytest.approx(
        more.value - ((here.difference - here.low) ** 2 + (there.high - there.difference) ** 2) ** 0.5
    )
    assert more.low < 0 < more.high
    assert more.n == 1600


def test_there_is_no_difference_of_changes_without_both_intervals():
    here = compare("csat", 5, Counts({5: 300, 1: 100}), Counts({5: 240, 1: 160}))
    assert difference_of_changes(here, compare("csat", 5, Counts({5: 3}), Counts({5: 240}))) is None
