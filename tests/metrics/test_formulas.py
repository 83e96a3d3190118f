"""Formulas against published and independently computed answers, and against what must hold for any input.

"published" = printed by the source named. The others come from scipy, statsmodels, lifelines or pandas, asked in the test
itself, or from the recipe beside them. Triples are detractors/passives/promoters.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence

import lifelines
import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from metrics.formulas import (
    GROWTH,
    LEVEL,
    LONGEST_S,
    NOTHING,
    Estimate,
    adjusted_wald_nps,
    bucket_of,
    bucket_value,
    ces_easy_share,
    ces_mean,
    count_within,
    csat_top_box,
    curve_median,
    eligible_share,
    kaplan_meier,
    kaplan_meier_median,
    merge,
    nps,
    nps_variance,
    per_thousand,
    response_rate,
    response_rates,
    score_mean,
    share_of,
    t_distribution,
    t_quantile,
    ttr_mean,
    ttr_median,
    ttr_quantile,
    wilson,
    within_share,
)
from surveys.planning import nps_sample_size
from surveys.scales import CES, CSAT5, CSAT7, NPS, Scale


def histogram_of(scale: Scale, scores: Sequence[object]) -> list[int]:
    """Counts of what are scores; all else skipped the question."""
    counts = Counter(score for score in scores if scale.contains(score))
    return [counts[score] for score in scale.scores]


def of_bands(detractors: int, passives: int, promoters: int) -> list[int]:
    return histogram_of(NPS, [3] * detractors + [8] * passives + [10] * promoters)


# --- NPS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bands", "value"),
    [
        ((1, 2, 3), 100 / 3),  # published: tests of the R package NPS (Rocks), as the next six
        ((1, 0, 0), -100.0),
        ((0, 1, 0), 0.0),
        ((0, 0, 1), 100.0),
        ((1, 0, 1), 0.0),
        ((0, 1, 1), 50.0),
        ((1, 1, 1), 0.0),
        ((6, 13, 32), 50.98039215686274),  # published: Delighted, metrics API (shown as 51)
        ((2, 0, 9), 700 / 11),
        ((0, 0, 10), 100.0),
    ],
)
def test_nps_is_percent_promoters_less_percent_detractors(bands: tuple[int, int, int], value: float) -> None:
    found = nps(of_bands(*bands))
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.n == sum(bands)


@pytest.mark.parametrize(
    ("scores", "value", "n"),
    [
        ([0, 7, 7, 9, 9, 9], 100 / 3, 6),  # published: R package NPS
        ([10, 7, 3, 9], 25.0, 4),  # published: Formbricks tests
        ([5, "a text", None], -100.0, 1),  # published: Formbricks tests
        ([10, None, None], 100.0, 1),  # by definition: who skipped is in no denominator (a peer says 33.33)
        ([6], -100.0, 1),
        ([7], 0.0, 1),
        ([8], 0.0, 1),
        ([9], 100.0, 1),
    ],
)
def test_nps_counts_valid_scores_alone(scores: list[object], value: float, n: int) -> None:
    found = nps(histogram_of(NPS, scores))
    assert (found.value, found.n) == (pytest.approx(value), n)


@pytest.mark.parametrize(
    ("bands", "variance", "error"),
    [
        # published: tests of the R package NPS; errors printed to three places
        ((1, 2, 3), 5 / 9, 0.304),
        ((1, 0, 0), 0.0, 0.0),
        ((0, 1, 0), 0.0, 0.0),
        ((0, 0, 1), 0.0, 0.0),
        ((1, 0, 1), 1.0, 0.707),
        ((0, 1, 1), 0.25, 0.354),
        ((1, 1, 1), 2 / 3, 0.471),
    ],
)
def test_the_variance_of_nps_is_that_of_the_r_package(
    bands: tuple[int, int, int], variance: float, error: float
) -> None:
    assert nps_variance(*bands) == pytest.approx(variance, abs=1e-12)
    assert math.sqrt(nps_variance(*bands) / sum(bands)) == pytest.approx(error, abs=5e-4)
    values = np.repeat([-1, 0, 1], bands)
    assert nps_variance(*bands) == pytest.approx(np.var(values), abs=1e-12)  # numpy: of −1, 0, 1 themselves


def test_there_is_no_variance_of_nobody() -> None:
    with pytest.raises(ValueError, match="nobody"):
        nps_variance(0, 0, 0)


@pytest.mark.parametrize(
    ("bands", "low", "high"),
    [
        # Recipe, in Python: n=D+P0+P+3; p=(P+.75)/n; d=(D+.75)/n; c=p-d; h=1.959963985*sqrt((p+d-c*c)/n); 100*(c-h), 100*(c+h)
        ((6, 13, 32), 29.2949, 67.0014),
        ((1, 2, 3), -26.7433, 71.1877),
        ((2, 0, 9), 8.0008, 91.9992),
        ((0, 0, 10), 47.5036, 100.0),  # 106.3426, clamped
        ((10, 0, 0), -100.0, -47.5036),
    ],
)
def test_the_interval_of_nps_is_rocks_adjusted_wald(bands: tuple[int, int, int], low: float, high: float) -> None:
    assert adjusted_wald_nps(*bands) == pytest.approx((low, high), abs=5e-5)
    found = nps(of_bands(*bands))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_is_centred_on_the_adjusted_value_and_not_on_the_value() -> None:
    low, high = adjusted_wald_nps(6, 13, 32)
    assert (low + high) / 2 == pytest.approx(48.1481, abs=5e-5)
    assert nps(of_bands(6, 13, 32)).value == pytest.approx(50.9804, abs=5e-5)


def test_ten_promoters_are_not_certain() -> None:
    """A plain Wald interval would have no width here."""
    found = nps(of_bands(0, 0, 10))
    assert found.low is not None
    assert found.low < 50


def test_the_interval_of_nps_covers_as_often_as_it_says() -> None:
    """20,000 samples of 40 from known shares: 95 % hold the truth, give or take half a point of a percent and chance."""
    shares, n = np.array([0.2, 0.3, 0.5]), 40
    samples = np.random.default_rng(20).multinomial(n, shares, 20_000)
    held = [low <= 30.0 <= high for low, high in (adjusted_wald_nps(*map(int, sample)) for sample in samples)]
    assert np.mean(held) == pytest.approx(LEVEL, abs=0.01)


@pytest.mark.parametrize(
    ("half_width", "variance", "n"), [(10, 1.0, 382), (10, 0.67, 255), (5, 1.0, 1534), (5, 0.67, 1027)]
)  # n = z²·V/d² − 3, rounded up
def test_how_many_answers_a_half_width_wants(half_width: float, variance: float, n: int) -> None:
    assert nps_sample_size(half_width, variance) == n


def test_as_many_answers_as_said_give_the_half_width_and_one_fewer_does_not() -> None:
    for half_width in (5.0, 10.0, 20.0):
        n = nps_sample_size(half_width)

        def width(answers: int) -> float:
            # The worst case, half detractors and half promoters, with the prior's passives among the three.
            return 100 * 1.959963985 * math.sqrt(1 / (answers + 3))

        assert width(n) <= half_width < width(n - 1)


@pytest.mark.parametrize(("half_width", "variance"), [(0, 1), (-1, 1), (100.1, 1), (10, -0.1), (10, 1.1)])
def test_a_sample_size_is_only_asked_for_what_can_be(half_width: float, variance: float) -> None:
    with pytest.raises(ValueError, match="nps_sample_size"):
        nps_sample_size(half_width, variance)


def test_a_sample_has_at_least_one_answer() -> None:
    assert nps_sample_size(100, 0) == 1


# --- CSAT, CES and shares ---------------------------------------------------------------------------------------------


def test_csat_of_five_points_as_delighted_publishes_it() -> None:
    histogram = [14, 9, 10, 32, 42]
    found = csat_top_box(histogram, CSAT5)
    assert found.value == pytest.approx(69.1589, abs=5e-5)
    assert (found.low, found.high) == pytest.approx((59.8715, 77.1183), abs=5e-5)  # statsmodels, as below
    assert found.n == 107
    assert score_mean(histogram, CSAT5) == pytest.approx(3.7383, abs=5e-5)


@pytest.mark.parametrize(
    ("scores", "value", "n"),
    [
        ([5] * 15 + [4] * 12 + [3] * 27, 50.0, 54),  # published: Chatwoot tests (12 fours and 15 fives of 54)
        ([5, 4, 2, 1], 50.0, 4),  # published: Formbricks tests
        ([4], 100.0, 1),
        ([3], 0.0, 1),
        ([5, True, 5.0, "5", None], 100.0, 1),
    ],
)
def test_csat_is_the_share_of_the_top_two(scores: list[object], value: float, n: int) -> None:
    found = csat_top_box(histogram_of(CSAT5, scores), CSAT5)
    assert (found.value, found.n) == (value, n)


def test_the_top_two_of_seven_are_six_and_seven() -> None:
    assert csat_top_box(histogram_of(CSAT7, [5, 6, 7, 7]), CSAT7).value == 75.0


def test_means_as_published() -> None:
    assert score_mean(histogram_of(CSAT5, [5, 4, 2, 1]), CSAT5) == 3.0  # Formbricks tests
    assert ces_mean(histogram_of(CES, [7, 6, 1])).value == pytest.approx(14 / 3)  # Formbricks tests


def test_ces_has_a_t_interval_and_the_share_that_found_it_easy() -> None:
    histogram = histogram_of(CES, [7, 6, 6, 5, 5, 5, 4, 3, 2, 1])
    found = ces_mean(histogram)
    # scipy: t.interval(.95, 9, 4.4, sem([7,6,6,5,5,5,4,3,2,1])) = 3.0427 … 5.7573
    assert (found.value, found.low, found.high) == pytest.approx((4.4, 3.0427, 5.7573), abs=5e-5)
    assert ces_easy_share(histogram).value == pytest.approx(60)
    assert ces_easy_share(histogram_of(CES, [7, 6, 1])).value == pytest.approx(66.6667, abs=5e-5)


def test_easy_begins_at_five() -> None:
    assert ces_easy_share(histogram_of(CES, [4])).value == 0.0
    assert ces_easy_share(histogram_of(CES, [5])).value == 100.0


def test_one_answer_has_a_mean_and_no_interval() -> None:
    assert ces_mean(histogram_of(CES, [6])) == Estimate(6.0, None, None, 1)
    assert ces_mean(histogram_of(CES, [6, 6])) == Estimate(6.0, 6.0, 6.0, 2)


def test_the_interval_of_a_mean_stays_on_the_scale() -> None:
    assert ces_mean(histogram_of(CES, [7, 6])).high == 7.0
    assert ces_mean(histogram_of(CES, [1, 2])).low == 1.0


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 5, 0.0, 0.434482), (5, 5, 0.565518, 1.0), (12, 100, 0.069994, 0.198121), (74, 107, 0.598715, 0.771183)],
)
def test_wilson_as_statsmodels_computes_it(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-7)
    assert wilson(successes, n) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-9)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5), (1, -1)])
def test_what_is_no_share_has_no_interval(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        wilson(successes, n)


@given(st.integers(1, 10**7), st.data())
def test_wilson_agrees_with_statsmodels_anywhere(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    low, high = wilson(successes, n)
    assert (low, high) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-9)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(st.lists(st.integers(0, 500), min_size=7, max_size=7))
def test_the_t_interval_agrees_with_statsmodels(histogram: list[int]) -> None:
    assume(sum(histogram) > 1)
    found = ces_mean(histogram)
    weighted = DescrStatsW(np.arange(1, 8), weights=histogram)
    low, high = weighted.tconfint_mean(0.05)
    assert found.value == pytest.approx(weighted.mean)
    assert (found.low, found.high) == pytest.approx((max(1, low), min(7, high)), abs=1e-6)


@pytest.mark.parametrize("freedom", [1, 2, 3, 9, 30, 100, 999, 1999, 2000, 2001, 50_000, 10**9])
@pytest.mark.parametrize("probability", [0.5, 0.6, 0.9, 0.975, 0.995, 0.9999])
def test_students_t_agrees_with_scipy(probability: float, freedom: int) -> None:
    wanted = scipy.stats.t.ppf(probability, freedom)
    assert t_quantile(probability, freedom) == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    if freedom <= 2000:  # beyond, only the expansion is asked
        assert t_distribution(wanted, freedom) == pytest.approx(probability, abs=1e-10)


@pytest.mark.parametrize(("probability", "freedom"), [(0.49, 5), (0.99991, 5), (0.975, 0)])
def test_students_t_is_only_asked_what_it_knows(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="t_quantile"):
        t_quantile(probability, freedom)


# --- Response rates ---------------------------------------------------------------------------------------------------

INVITED = {"complete": 120, "partial": 15, "refused": 10, "silent": 300, "other": 5, "unknown": 50}


def test_response_rates_as_aapor_defines_them() -> None:
    # Known 450, unknown 50, e = 0.8: RR1 = 120/500, RR3 = 120/490, RR5 = 120/450; the even ones 135 over the same.
    rates = response_rates(**INVITED, eligible_share=0.8)
    shown = {name: round(rate, 2) for name, rate in rates.items() if rate is not None}
    assert shown == {"RR1": 24.0, "RR2": 27.0, "RR3": 24.49, "RR4": 27.55, "RR5": 26.67, "RR6": 30.0}


def test_nobody_invited_is_no_rate() -> None:
    assert set(response_rates(complete=0).values()) == {None}
    rates = response_rates(complete=0, unknown=5, eligible_share=0.0)
    assert (rates["RR1"], rates["RR3"], rates["RR5"]) == (0.0, None, None)


@pytest.mark.parametrize("wrong", [{"complete": -1}, {"complete": 1, "silent": -1}, {"complete": 1, "unknown": -1}])
def test_a_rate_of_counts_below_nothing_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="below 0"):
        response_rates(**wrong)


@pytest.mark.parametrize("share", [-0.01, 1.01])
def test_the_eligible_are_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="eligible_share"):
        response_rates(complete=1, eligible_share=share)


def test_the_eligible_share_is_that_of_those_whose_fate_is_known() -> None:
    assert eligible_share(90, 10) == 0.9
    assert eligible_share(0, 4) == 0
    assert eligible_share(0, 0) is None
    with pytest.raises(ValueError, match="below 0"):
        eligible_share(-1, 2)


def test_a_response_rate_is_a_share_with_wilsons_interval() -> None:
    found = response_rate(30, 120)
    assert (found.value, found.n) == (25, 120)
    assert (found.low / 100, found.high / 100) == pytest.approx(wilson(30, 120))  # type: ignore[operator]
    assert response_rate(0, 0).value is None
    for wrong in ((121, 120), (-1, 5)):
        with pytest.raises(ValueError, match="not a share"):
            response_rate(*wrong)


def test_objections_are_told_per_thousand_messages() -> None:
    found = per_thousand(3, 2000)
    assert (found.value, found.n) == (1.5, 2000)
    assert (found.low / 1000, found.high / 1000) == pytest.approx(wilson(3, 2000))  # type: ignore[operator]
    assert per_thousand(0, 0).value is None
    assert (per_thousand(3, 2).value, per_thousand(3, 2).n) == (None, 2)
    with pytest.raises(ValueError, match="below 0"):
        per_thousand(-1, 2)


@given(st.fixed_dictionaries(dict.fromkeys(INVITED, st.integers(0, 10**6))), st.floats(0, 1))
def test_response_rates_lie_in_their_range_and_order(counts: dict[str, int], share: float) -> None:
    rates = response_rates(**counts, eligible_share=share)
    assert list(rates) == ["RR1", "RR2", "RR3", "RR4", "RR5", "RR6"]
    found = [rate for rate in rates.values() if rate is not None]
    assert all(0 <= rate <= 100 + 1e-9 for rate in found)
    if rates["RR5"] is not None:
        for narrow, middle, wide in (("RR1", "RR3", "RR5"), ("RR2", "RR4", "RR6")):
            assert rates[narrow] <= rates[middle] + 1e-9
            assert rates[middle] <= rates[wide] + 1e-9


# --- Any histogram ----------------------------------------------------------------------------------------------------

QUANTITIES: dict[str, tuple[Scale, Callable[[Sequence[int]], Estimate], float, float]] = {
    "nps": (NPS, nps, -100, 100),
    "csat of 5": (CSAT5, lambda histogram: csat_top_box(histogram, CSAT5), 0, 100),
    "csat of 7": (CSAT7, lambda histogram: csat_top_box(histogram, CSAT7), 0, 100),
    "ces mean": (CES, ces_mean, 1, 7),
    "ces easy share": (CES, ces_easy_share, 0, 100),
}
every_quantity = pytest.mark.parametrize("name", QUANTITIES)


def histograms(scale: Scale) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 10**5), min_size=scale.points, max_size=scale.points)


@every_quantity
def test_nobody_has_no_value_and_no_interval(name: str) -> None:
    scale, quantity, _low, _high = QUANTITIES[name]
    assert quantity([0] * scale.points) == NOTHING == Estimate(None, None, None, 0)
    assert score_mean([0] * scale.points, scale) is None


@every_quantity
@given(data=st.data())
def test_value_and_interval_stay_in_range(name: str, data: st.DataObject) -> None:
    scale, quantity, least, most = QUANTITIES[name]
    histogram = data.draw(histograms(scale))
    found = quantity(histogram)
    assert found.n == sum(histogram)
    if found.n == 0:
        assert found == NOTHING
        return
    assert found.value is not None
    assert least <= found.value <= most
    if found.low is None or found.high is None:
        assert found.n == 1
        return
    assert least <= found.low <= found.high <= most
    if name != "nps":  # whose interval is about the adjusted value
        assert found.low - 1e-9 <= found.value <= found.high + 1e-9


@given(histograms(NPS))
def test_the_interval_of_nps_holds_its_value_as_soon_as_there_are_a_few(histogram: list[int]) -> None:
    found = nps(histogram)
    assume(found.n >= 20)
    assert found.low <= found.value <= found.high  # type: ignore[operator]


@every_quantity
@given(data=st.data())
def test_a_part_more_is_a_value_between(name: str, data: st.DataObject) -> None:
    """Merged histograms are weighed means of their parts: what makes any slice a sum."""
    scale, quantity, _low, _high = QUANTITIES[name]
    parts = data.draw(st.lists(histograms(scale), min_size=1, max_size=5))
    whole = quantity(merge(parts))
    found = [quantity(part) for part in parts]
    assert whole.n == sum(part.n for part in found)
    if whole.value is None:
        return
    weighed = sum(part.value * part.n for part in found if part.value is not None) / whole.n
    assert whole.value == pytest.approx(weighed, abs=1e-9)


@every_quantity
@given(data=st.data())
def test_the_order_of_answers_and_of_parts_does_not_matter(name: str, data: st.DataObject) -> None:
    scale, quantity, _low, _high = QUANTITIES[name]
    scores = data.draw(st.lists(st.sampled_from(scale.scores), min_size=1, max_size=60))
    shuffled = data.draw(st.permutations(scores))
    assert quantity(histogram_of(scale, scores)) == quantity(histogram_of(scale, shuffled))
    one, two = histogram_of(scale, scores[:7]), histogram_of(scale, scores[7:])
    assert merge([one, two]) == merge([two, one]) == histogram_of(scale, scores)


@every_quantity
@given(data=st.data())
def test_more_of_the_same_narrows_the_interval(name: str, data: st.DataObject) -> None:
    scale, quantity, _low, _high = QUANTITIES[name]
    histogram = data.draw(histograms(scale))
    assume(sum(histogram) > 1)
    few, many = quantity(histogram), quantity([100 * count for count in histogram])
    assert many.value == pytest.approx(few.value)
    assert None not in (few.low, few.high, many.low, many.high)
    clamped = few.low == QUANTITIES[name][2] or few.high == QUANTITIES[name][3]
    if not clamped:
        assert many.high - many.low <= few.high - few.low + 1e-9  # type: ignore[operator]


@every_quantity
@given(data=st.data())
def test_a_better_answer_never_lowers_a_value(name: str, data: st.DataObject) -> None:
    scale, quantity, _low, _high = QUANTITIES[name]
    scores = data.draw(st.lists(st.sampled_from(scale.scores), min_size=1, max_size=40))
    better = [*scores[:-1], min(scale.high, scores[-1] + data.draw(st.integers(0, scale.points)))]
    before, after = quantity(histogram_of(scale, scores)), quantity(histogram_of(scale, better))
    assert after.value >= before.value - 1e-9  # type: ignore[operator]


@every_quantity
def test_a_histogram_of_another_shape_or_below_nothing_is_refused(name: str) -> None:
    scale, quantity, _low, _high = QUANTITIES[name]
    for points in (scale.points - 1, scale.points + 1, 0):
        with pytest.raises(ValueError, match="counts, not"):
            quantity([1] * points)
    with pytest.raises(ValueError, match="below 0"):
        quantity([-1] + [1] * (scale.points - 1))


def test_only_a_scale_of_satisfaction_has_top_boxes() -> None:
    with pytest.raises(ValueError, match="satisfaction"):
        csat_top_box([1] * 7, CES)


def test_scales_are_not_pooled() -> None:
    with pytest.raises(ValueError, match="zip"):
        merge([[1] * 5, [1] * 7])
    assert merge([]) == []
    assert merge([[1, 2], [3, 4], [5, 6]]) == [9, 12]


# --- Durations --------------------------------------------------------------------------------------------------------

# Freireich et al. 1963, 6-MP arm, as printed in textbooks. S published: .857 .807 .753 .690 .627 .538 .448
REMISSIONS = Counter([6, 6, 6, 7, 10, 13, 16, 22, 23])
CENSORED = Counter([6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35])


def test_kaplan_meier_as_published_of_freireichs_trial() -> None:
    curve = kaplan_meier(REMISSIONS, CENSORED)
    assert [duration for duration, _share in curve] == [6, 7, 10, 13, 16, 22, 23]
    assert [round(share, 3) for _duration, share in curve] == [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert curve_median(curve) == 23


def test_counting_the_resolved_alone_flatters() -> None:
    assert np.median(list(REMISSIONS.elements())) == 10
    assert curve_median(kaplan_meier(REMISSIONS, CENSORED)) == 23


def test_a_median_that_is_not_reached_is_none() -> None:
    assert curve_median(kaplan_meier({10: 1}, {20: 2})) is None
    assert curve_median(kaplan_meier({10: 1}, {20: 1})) == 10  # exactly half are
    assert kaplan_meier({}, {20: 5}) == []
    assert kaplan_meier_median({}, {20: 5}) is None
    assert kaplan_meier_median({}, {}) is None


def test_who_waits_as_long_as_another_was_resolved_counts_as_at_risk() -> None:
    assert kaplan_meier({10: 1}, {10: 1}) == [(10, 0.5)]
    assert kaplan_meier({10: 1}, {9: 1}) == [(10, 0.0)]


def test_nobody_waiting_makes_kaplan_meier_the_plain_share() -> None:
    durations = [1, 2, 2, 5, 9, 9, 9, 30]
    curve = dict(kaplan_meier(Counter(durations), {}))
    for duration in durations:
        assert curve[duration] == pytest.approx(sum(other > duration for other in durations) / len(durations))


samples = st.lists(st.tuples(st.integers(1, 400), st.booleans()), min_size=1, max_size=80)


@given(samples)
def test_kaplan_meier_agrees_with_lifelines(observed: list[tuple[int, bool]]) -> None:
    resolved = Counter(duration for duration, done in observed if done)
    waiting = Counter(duration for duration, done in observed if not done)
    curve = kaplan_meier(resolved, waiting)
    fitted = lifelines.KaplanMeierFitter().fit(
        [duration for duration, _done in observed], [done for _, done in observed]
    )
    for duration, share in curve:
        assert share == pytest.approx(float(fitted.predict(duration)), abs=1e-9)
    shares = [share for _duration, share in curve]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share < 1 for share in shares)
    if not any(abs(share - 0.5) < 1e-9 for share in shares):  # at an exact half lifelines compares rounded products
        expected = float(fitted.median_survival_time_)
        assert curve_median(curve) == (None if math.isinf(expected) else expected)


@given(samples)
def test_the_median_of_buckets_is_within_one_percent_of_the_exact_one(observed: list[tuple[int, bool]]) -> None:
    """Times of minutes, more than 1 % apart or equal, so that no two share a bucket's edge with another order."""
    seconds = [(round(60 * 1.03**step), done) for step, done in observed]
    exact = curve_median(
        kaplan_meier(Counter(s for s, done in seconds if done), Counter(s for s, done in seconds if not done))
    )
    bucketed = kaplan_meier_median(
        Counter(bucket_of(s) for s, done in seconds if done), Counter(bucket_of(s) for s, done in seconds if not done)
    )
    assert (bucketed is None) == (exact is None)
    if exact is not None:
        assert bucketed == pytest.approx(exact, rel=0.01)


def buckets_of(durations: Sequence[float]) -> Counter[int]:
    return Counter(bucket_of(duration) for duration in durations)


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, 0), (0.001, 1), (0.999, 1), (1, 1), (1.00999, 1), (1.01, 2), (1.0201, 3)]
)
def test_the_first_buckets_have_their_edges_where_the_docstring_says(seconds: float, bucket: int) -> None:
    assert bucket_of(seconds) == bucket


@given(st.floats(1, LONGEST_S))
def test_no_duration_is_told_more_than_half_a_percent_off(seconds: float) -> None:
    assert bucket_value(bucket_of(seconds)) == pytest.approx(seconds, rel=math.sqrt(GROWTH) - 1 + 1e-9)


@given(st.floats(0, 2.0 * LONGEST_S), st.floats(0, 2.0 * LONGEST_S))
def test_buckets_keep_the_order_of_durations(one: float, other: float) -> None:
    if one <= other:
        assert bucket_of(one) <= bucket_of(other)


def test_exact_multiples_fall_into_the_bucket_that_begins_there() -> None:
    edge, at = 1.0, 1
    while edge * GROWTH < LONGEST_S:
        assert bucket_of(edge) == at
        assert bucket_of(math.nextafter(edge, 0)) == max(1, at - 1)
        edge, at = edge * GROWTH, at + 1


def test_what_takes_longer_than_a_century_is_in_the_last_bucket() -> None:
    assert bucket_of(LONGEST_S) == bucket_of(10 * LONGEST_S) == bucket_of(math.inf)
    assert bucket_of(LONGEST_S) < 2_300


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, -math.inf])
def test_a_duration_is_not_below_nothing(seconds: float) -> None:
    with pytest.raises(ValueError, match="duration"):
        bucket_of(seconds)


def test_there_is_no_bucket_below_nothing() -> None:
    assert bucket_value(0) == 0.0
    with pytest.raises(ValueError, match="bucket"):
        bucket_value(-1)


durations_s = st.lists(st.integers(0, 4 * 10**7), min_size=1, max_size=200)


@given(durations_s, st.floats(0, 1))
def test_quantiles_of_buckets_are_within_one_percent_of_the_exact_ones(
    durations: list[int], probability: float
) -> None:
    exact = np.quantile(durations, probability)  # numpy's default is Hyndman and Fan's definition 7
    assert ttr_quantile(buckets_of(durations), probability) == pytest.approx(exact, rel=0.01, abs=1e-6)


@given(durations_s)
def test_the_mean_is_exact_and_its_interval_that_of_a_t_interval(durations: list[int]) -> None:
    found = ttr_mean(buckets_of(durations), sum(durations))
    assert found.value == pytest.approx(np.mean(durations))
    assert found.n == len(durations)
    if found.n == 1:
        assert (found.low, found.high) == (None, None)
        return
    assert 0 <= found.low <= found.value <= found.high  # type: ignore[operator]
    if len(set(durations)) > 1:
        t = scipy.stats.t.ppf(0.975, found.n - 1)
        # Each duration is told half a percent off at most; what that does to a root of a sum of squares (Minkowski).
        off = t * 0.005 * math.sqrt(sum(s * s for s in durations) / (found.n - 1) / found.n)
        half = t * scipy.stats.sem(durations)
        assert found.high - found.value == pytest.approx(half, abs=1e-6 + 1.001 * off)  # type: ignore[operator]


def test_the_interval_of_a_mean_of_many_is_that_of_scipy() -> None:
    durations = np.random.default_rng(7).lognormal(10, 1.5, 2_000).astype(int)
    found = ttr_mean(buckets_of([int(s) for s in durations]), float(durations.sum()))
    low, high = scipy.stats.t.interval(0.95, 1_999, durations.mean(), scipy.stats.sem(durations))
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.005)


def test_no_ticket_has_no_mean_no_median_and_no_quantile() -> None:
    assert ttr_mean({}, 0) == NOTHING
    assert ttr_mean({5: 0}, 0) == NOTHING
    assert ttr_median({}) == NOTHING
    assert ttr_quantile({}, 0.9) is None
    assert ttr_quantile({5: 0}, 0.9) is None


@pytest.mark.parametrize("probability", [-0.01, 1.01])
def test_a_probability_lies_between_nothing_and_all(probability: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        ttr_quantile({1: 1}, probability)


def test_the_median_of_an_even_count_lies_between_the_middle_two() -> None:
    assert ttr_quantile(buckets_of([100, 300]), 0.5) == pytest.approx(200, rel=0.01)
    assert ttr_quantile(buckets_of([0, 0, 0, 50]), 0.5) == 0.0


def test_a_median_has_an_interval_from_six_tickets_on() -> None:
    five, six = ttr_median(buckets_of([10, 20, 30, 40, 50])), ttr_median(buckets_of([10, 20, 30, 40, 50, 60]))
    assert (five.low, five.high) == (None, None)
    # Campbell and Gardner: ranks n/2 − 1.96 √n/2 and 1 + n/2 + 1.96 √n/2, which are 0.6 and 6.4 of six: the first and the last.
    assert (six.low, six.high) == pytest.approx((10, 60), rel=0.01)


def test_the_interval_of_a_median_covers_as_often_as_it_says() -> None:
    chance = np.random.default_rng(3)
    truth = math.exp(10)
    held = 0
    for _sample in range(600):
        found = ttr_median(buckets_of([int(s) for s in chance.lognormal(10, 1.5, 61)]))
        held += found.low <= truth <= found.high  # type: ignore[operator]
    assert held / 600 == pytest.approx(LEVEL, abs=0.03)


@given(durations_s, durations_s)
def test_quantiles_of_parts_enclose_that_of_the_whole(one: list[int], two: list[int]) -> None:
    parts = [ttr_quantile(buckets_of(part), 0.5) for part in (one, two)]
    whole = ttr_quantile(buckets_of(one) + buckets_of(two), 0.5)
    middle = sorted([*one, *two])
    assert whole == pytest.approx(np.median(middle), rel=0.01, abs=1e-6)
    assert None not in parts


@given(durations_s, st.randoms(use_true_random=False))
def test_the_order_of_tickets_does_not_matter(durations: list[int], chance: random.Random) -> None:
    shuffled = list(durations)
    chance.shuffle(shuffled)
    one, other = buckets_of(durations), buckets_of(shuffled)
    for quantity in (ttr_median, lambda buckets: ttr_mean(buckets, sum(durations))):
        before, after = quantity(one), quantity(other)
        assert after.n == before.n
        for name in ("value", "low", "high"):
            assert getattr(after, name) == pytest.approx(getattr(before, name))
    assert kaplan_meier(one, {3: 2}) == kaplan_meier(other, {3: 2})


@given(durations_s)
def test_quantiles_rise_with_their_probability(durations: list[int]) -> None:
    buckets = buckets_of(durations)
    found = [ttr_quantile(buckets, probability) for probability in (0, 0.1, 0.5, 0.9, 1)]
    assert found == sorted(found)  # type: ignore[type-var]


def test_a_share_within_a_time_counts_what_took_no_longer() -> None:
    buckets = {bucket_of(seconds): 1 for seconds in (0, 60, 3600, 7200, 90_000)}
    assert count_within(buckets, 3600) == 3
    assert count_within(buckets, 3500) == 2
    within = within_share(buckets, 7200)
    assert (within.value, within.n) == (80, 5)
    assert (within.low, within.high) == tuple(100 * end for end in wilson(4, 5))
    assert within_share({}, 60).value is None
    assert share_of(4, 5) == within
