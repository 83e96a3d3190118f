"""The index, and what a journey's line says: golden numbers with their recipe, and the cases where nothing may be said."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import formulas
from metrics.formulas import NOTHING, Estimate
from metrics.journey import Gap, Shape, Stop, gaps, index_of, mean_of, p_of, shape
from metrics.significance import difference, is_significant
from surveys.scales import CSAT5

MINIMUM = 5


def stop(key: str, value: float | None, n: int = 100, half: float = 2.0) -> Stop:
    return Stop(key, NOTHING if value is None else Estimate(value, value - half, value + half, n))


# --- The index --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "value", "index"),
    [
        ("nps", -100, 0), ("nps", 0, 50), ("nps", 41.2, 70.6), ("nps", 100, 100),
        ("csat", 0, 0), ("csat", 69.1589, 69.1589), ("csat", 100, 100),
        ("ces", 1, 0), ("ces", 4, 50), ("ces", 5.5, 75), ("ces", 7, 100),
    ],
)  # fmt: skip
def test_an_index_runs_from_the_worst_that_can_be_answered_to_the_best(metric, value, index):
    assert index_of(metric, Estimate(value, None, None, 9)).value == pytest.approx(index)


def test_the_interval_of_an_index_is_the_interval_mapped():
    """Rocks' interval of 6/13/32 is 29.2949 … 67.0014 (ORACLES): halved, and moved by 50."""
    found = index_of("nps", formulas.nps([6, 0, 0, 0, 0, 0, 0, 13, 0, 32, 0]))
    assert (found.value, found.low, found.high, found.n) == pytest.approx((75.4902, 64.64745, 83.5007, 51), abs=1e-4)


def test_nobody_has_no_index_and_a_duration_has_none():
    assert index_of("ces", NOTHING) == NOTHING
    assert index_of("ces", formulas.ces_mean([0, 0, 0, 0, 1, 0, 0])) == Estimate(pytest.approx(66.6667), None, None, 1)
    with pytest.raises(KeyError):
        index_of("ttr", Estimate(3600.0, 3000.0, 4000.0, 9))


# --- The plain mean ---------------------------------------------------------------------------------------------------


def test_each_touchpoint_counts_as_one_in_the_mean_however_many_answered():
    """By hand: (60 + 90) / 2; the ends are √(10² + 4²) / 2 below and √(6² + 3²) / 2 above."""
    found = mean_of([Estimate(60, 50, 66, 10), Estimate(90, 86, 93, 990)])
    assert found == Estimate(75, 75 - math.sqrt(116) / 2, 75 + math.sqrt(45) / 2, 1000)


def test_a_mean_of_none_or_with_nobody_in_it_is_none():
    assert mean_of([]) is None
    assert mean_of([Estimate(60, 50, 66, 10), NOTHING]) is None
    assert mean_of([Estimate(60, 50, 66, 10), Estimate(70, None, None, 1)]) == Estimate(65, None, None, 11)


@given(st.lists(st.lists(st.integers(0, 40), min_size=5, max_size=5).filter(any), min_size=1, max_size=6))
def test_the_interval_of_a_mean_stays_on_the_index_and_holds_the_mean(histograms):
    found = mean_of([index_of("csat", formulas.csat_top_box(histogram, CSAT5)) for histogram in histograms])
    assert -1e-9 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 100 + 1e-9


# --- Differences ------------------------------------------------------------------------------------------------------


def test_p_is_read_from_the_interval():
    """4.0 with 1.9 to 6.1: 2 · scipy.stats.norm.cdf(−1.959964 · 4 / 2.1)."""
    assert p_of(Estimate(4.0, 1.9, 6.1, 200)) == pytest.approx(0.000189, abs=2e-6)
    assert p_of(Estimate(0.0, -2.0, 2.0, 200)) == 1
    assert p_of(Estimate(3.0, None, None, 200)) is None
    assert p_of(Estimate(3.0, 3.0, 3.0, 200)) is None  # no spread was seen: nothing is known of the error


@given(
    st.tuples(st.floats(1, 99), st.floats(0.1, 30), st.floats(0.1, 30)),
    st.tuples(st.floats(1, 99), st.floats(0.1, 30), st.floats(0.1, 30)),
)
def test_p_is_below_five_percent_exactly_where_the_interval_leaves_zero_out(one, other):
    sides = [Estimate(value, value - down, value + up, 50) for value, down, up in (one, other)]
    change = difference(sides[0], sides[1])
    p = p_of(change)
    if p is not None and abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == is_significant(change)


def test_pairs_are_corrected_for_all_that_were_looked_at():
    """Three stops, three pairs. Differences 20, 12, 8 with half-widths √8·1 = 2.828…: by hand, Holm is 3p, 2p, p."""
    found = gaps([stop("a", 60), stop("b", 80), stop("c", 72)])
    assert [(gap.one, gap.other, gap.change.value) for gap in found] == [("b", "a", 20), ("c", "a", 12), ("b", "c", 8)]
    assert [gap.p_all / gap.p for gap in found] == pytest.approx([3, 2, 1])
    assert found[2].p == pytest.approx(math.erfc(1.959964 * 8 / math.sqrt(8) / math.sqrt(2)), rel=1e-4)


def test_a_pair_that_cannot_be_tested_is_corrected_for_nowhere():
    flat = Stop("flat", Estimate(50, 50, 50, 9))
    other = Stop("too", Estimate(70, 70, 70, 9))
    found = gaps([flat, other, stop("b", 80), Stop("one", Estimate(10, None, None, 1))])
    assert ("too", "flat", None, None) in [(gap.one, gap.other, gap.p, gap.p_all) for gap in found]
    assert not any("one" in (gap.one, gap.other) for gap in found)
    assert len([gap for gap in found if gap.p is not None]) == 2


# --- The shape --------------------------------------------------------------------------------------------------------


def test_valley_peak_and_end_are_the_lowest_the_highest_and_the_last_measured():
    found = shape([stop("a", 60), stop("b", 40), stop("c", 90), stop("d", 70)], MINIMUM)
    assert (found.valley, found.peak, found.end, found.end_is_last) == (["b"], ["c"], "d", True)
    assert found.mean.value == 65
    assert found.peak_end.value == 80  # (90 + 70) / 2
    assert found.peak_end.n == 200
    assert found.valley_end.value == 55  # (40 + 70) / 2
    assert not found.valley_is_extreme  # 90 is 40 from the middle, 40 is 10
    assert (found.gap.one, found.gap.other, found.gap.change.value, found.pairs) == ("c", "b", 50, 6)


@pytest.mark.parametrize(("n", "measured"), [(4, ["a", "b"]), (5, ["a", "b", "c"])])
def test_a_stop_with_too_few_answers_is_neither_valley_nor_end(n, measured):
    found = shape([stop("a", 60), stop("b", 70), stop("c", 10, n=n), stop("d", None)], MINIMUM)
    assert list(found.measured) == measured
    assert (found.end, found.end_is_last) == (measured[-1], False)
    assert found.valley == ["c" if n == 5 else "a"]


def test_the_end_may_be_the_peak_and_then_counts_once():
    found = shape([stop("a", 60), stop("b", 90, n=70)], MINIMUM)
    assert found.peak_end == Estimate(90, 88, 92, 70)
    assert found.valley_end.value == 75


def test_ties_are_all_named_and_an_end_among_them_counts_once():
    third = stop("c", 80)
    found = shape([stop("a", 80), stop("b", 40), third, stop("x", 40, n=2)], MINIMUM)
    assert (found.peak, found.valley, found.end) == (["a", "c"], ["b"], "c")
    assert found.peak_end == third.index


def test_values_that_differ_by_an_ulp_tie():
    found = shape([stop("a", 0.1 + 0.2), stop("b", 0.3), stop("c", 9)], MINIMUM)
    assert found.valley == ["a", "b"]


def test_nothing_is_said_of_too_little():
    assert shape([], MINIMUM) == Shape()
    assert shape([stop("a", 60, n=4), stop("b", None)], MINIMUM) == Shape()
    one = shape([stop("a", 60), stop("b", None)], MINIMUM)
    assert (one.measured, one.end, one.mean.value) == (["a"], "a", 60)
    assert (one.peak, one.valley, one.peak_end, one.gap) == ((), (), None, None)


def test_a_flat_journey_has_no_peak():
    found = shape([stop("a", 60), stop("b", 60)], MINIMUM)
    assert (found.is_flat, found.peak, found.valley, found.peak_end, found.mean.value) == (True, (), (), None, 60)


def test_the_valley_is_the_extreme_moment_where_it_lies_farther_from_the_middle():
    assert shape([stop("a", 20), stop("b", 79), stop("c", 60)], MINIMUM).valley_is_extreme
    assert not shape([stop("a", 20), stop("b", 80), stop("c", 60)], MINIMUM).valley_is_extreme  # a tie is the peak's


def test_peak_and_valley_of_few_answers_do_not_differ_beyond_noise():
    wide = shape([stop("a", 60, half=20), stop("b", 80, half=20), stop("c", 70, half=20)], MINIMUM)
    assert isinstance(wide.gap, Gap)
    assert wide.gap.p_all > wide.gap.p > 0.05


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 20)), max_size=8))
def test_what_is_marked_is_measured_and_bounds_the_rest(pairs):
    stops = [stop(str(place), value, n=n) for place, (value, n) in enumerate(pairs)]
    found = shape(stops, MINIMUM)
    values = {one.key: one.index.value for one in stops}
    inside = [values[key] for key in found.measured]
    assert {*found.peak, *found.valley} <= set(found.measured)
    for key in found.peak:
        assert values[key] == max(inside)
    for key in found.valley:
        assert values[key] == min(inside)
    if found.peak_end:
        assert min(inside) <= found.peak_end.value <= max(inside)
