"""Whether a figure changed: against published intervals, independent computations, and what must hold for any pair."""

import math
from collections import Counter
from collections.abc import Callable, Mapping

import lifelines
import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lifelines.statistics import logrank_test
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from metrics.formulas import (
    NOTHING,
    Estimate,
    bucket_of,
    bucket_value,
    ces_mean,
    csat_top_box,
    kaplan_meier_median_estimate,
    kaplan_meier_steps,
    nps,
    nps_variance,
    ttr_median,
)
from metrics.significance import (
    Comparison,
    Counts,
    Statistic,
    compare,
    compare_curves,
    compare_nps,
    compare_shares,
    difference,
    holm,
    is_significant,
    nps_z_test,
    share_z_test,
)
from surveys.scales import CSAT5, NPS, SCALES


def share(successes: int, n: int) -> Estimate:
    """A CSAT of `successes` fives among ones: a share with Wilson's interval, in percent."""
    return csat_top_box([n - successes, 0, 0, 0, successes], CSAT5)


def of_bands(detractors: int, passives: int, promoters: int) -> Estimate:
    histogram = [0] * NPS.points
    histogram[3], histogram[8], histogram[10] = detractors, passives, promoters
    return nps(histogram)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        # published: Newcombe 1998 (Part II), table II, method 10, contrasts (a) to (h)
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_a_difference_of_shares_is_newcombes_tenth_method(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    found = difference(share(*one), share(*other))
    assert found is not None
    assert found.value == pytest.approx(100 * (one[0] / one[1] - other[0] / other[1]))
    assert (found.low, found.high) == pytest.approx((100 * low, 100 * high), abs=0.0051)
    assert found.n == one[1] + other[1]


counts = st.tuples(st.integers(0, 400), st.integers(0, 400)).filter(any)


@given(counts, counts)
def test_a_difference_of_shares_agrees_with_statsmodels(one: tuple[int, int], other: tuple[int, int]) -> None:
    pairs = [(good, good + bad) for good, bad in (one, other)]
    found = difference(share(*pairs[0]), share(*pairs[1]))
    low, high = confint_proportions_2indep(*pairs[0], *pairs[1], method="newcomb")
    assert found is not None
    assert (found.low, found.high) == pytest.approx((100 * low, 100 * high), abs=1e-6)


@pytest.mark.parametrize(
    ("adjusted", "change", "error", "z", "p"),
    [
        # 20 promoters and 10 detractors of 30 against 12 and 18 of 30. Recipe: V = p+d-(p-d)²; SE = 100·√(V₁/30 + V₂/30);
        # p = 2·scipy.stats.norm.sf(|z|). Adjusted: ¾, 1½ and ¾ more on both sides, so 33 for 30.
        (False, 53.3333, 24.8253, 2.1483, 0.031686),
        (True, 48.4848, None, None, 0.037054),
    ],
)
def test_two_net_promoter_scores_by_their_z(
    adjusted: bool, change: float, error: float | None, z: float | None, p: float
) -> None:
    found = nps_z_test((10, 0, 20), (18, 0, 12), adjusted=adjusted)
    assert found is not None
    assert found.difference == pytest.approx(change, abs=5e-5)
    assert found.p == pytest.approx(p, abs=5e-7)
    if error is not None:
        assert (found.standard_error, found.z) == pytest.approx((error, z), abs=5e-5)


def test_nothing_to_compare_is_no_difference() -> None:
    assert nps_z_test((0, 0, 0), (1, 1, 1)) is None
    assert nps_z_test((1, 1, 1), (0, 0, 0)) is None
    assert nps_z_test((0, 0, 5), (0, 0, 9), adjusted=False) is None  # neither side varies: no error to measure by
    assert nps_z_test((0, 0, 5), (0, 0, 9)) is not None


bands = st.tuples(*[st.integers(0, 300)] * 3).filter(any)


@given(bands, bands)
def test_the_z_test_agrees_with_the_variances_of_the_answers(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    found = nps_z_test(one, other, adjusted=False)
    values = [np.repeat([-100, 0, 100], side) for side in (one, other)]
    error = math.sqrt(sum(side.var() / len(side) for side in values))
    if error == 0:
        assert found is None
        return
    assert found is not None
    assert found.difference == pytest.approx(values[0].mean() - values[1].mean(), abs=1e-9)
    assert found.standard_error == pytest.approx(error)
    assert found.p == pytest.approx(2 * scipy.stats.norm.sf(abs(found.z)), abs=1e-12)
    assert 0 <= found.p <= 1


@given(bands, bands)
def test_the_z_test_has_no_side(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    here, there = nps_z_test(one, other), nps_z_test(other, one)
    assert here is not None
    assert there is not None
    assert here.difference == -there.difference
    assert here.p == pytest.approx(there.p)


@given(bands, bands)
def test_the_interval_of_a_difference_and_the_z_test_agree_where_it_is_clear(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    """Two methods that share no line: they may disagree about a p near 0.05, never about a clear one."""
    assume(min(sum(one), sum(other)) >= 50)
    change, test = difference(of_bands(*one), of_bands(*other)), nps_z_test(one, other)
    assert change is not None
    assert test is not None
    if test.p < 0.01:
        assert is_significant(change)
    if test.p > 0.2:
        assert not is_significant(change)


estimates = st.one_of(
    bands.map(lambda triple: of_bands(*triple)),
    counts.map(lambda pair: share(pair[0], sum(pair))),
    st.lists(st.integers(0, 60), min_size=7, max_size=7).filter(lambda counts: sum(counts) > 1).map(ces_mean),
)


@given(estimates, estimates)
def test_a_difference_has_its_value_inside_and_its_mirror_the_other_way(now: Estimate, before: Estimate) -> None:
    forth, back = difference(now, before), difference(before, now)
    assert forth is not None
    assert back is not None
    assert forth.low <= forth.value <= forth.high  # type: ignore[operator]
    assert (back.value, back.low, back.high) == pytest.approx((-forth.value, -forth.high, -forth.low))  # type: ignore[operator]
    assert is_significant(forth) == is_significant(back)
    assert forth.n == now.n + before.n


@given(estimates)
def test_nothing_differs_from_itself(estimate: Estimate) -> None:
    change = difference(estimate, estimate)
    assert change is not None
    assert change.value == 0
    assert not is_significant(change)


@pytest.mark.parametrize("lacking", [NOTHING, Estimate(6.0, None, None, 1)])
def test_without_a_value_or_an_interval_there_is_no_difference(lacking: Estimate) -> None:
    known = of_bands(1, 2, 3)
    assert difference(lacking, known) is None
    assert difference(known, lacking) is None
    assert difference(lacking, lacking) is None


@pytest.mark.parametrize(
    ("low", "high", "significant"),
    [(0.1, 2.0, True), (0.0, 2.0, False), (-0.1, 2.0, False), (-2.0, -0.1, True), (-2.0, 0.0, False)],
)
def test_a_difference_counts_only_where_its_interval_leaves_nothing_out(
    low: float, high: float, significant: bool
) -> None:
    assert is_significant(Estimate((low + high) / 2, low, high, 10)) is significant


def test_a_difference_without_an_interval_is_never_significant() -> None:
    assert not is_significant(Estimate(50.0, None, None, 2))


def test_no_change_is_called_one_as_seldom_as_it_should() -> None:
    """10,000 pairs from the same shares: about 5 % look changed. Adjusted intervals err on the careful side."""
    chance = np.random.default_rng(11)
    pairs = zip(
        chance.multinomial(80, [0.2, 0.3, 0.5], 10_000), chance.multinomial(60, [0.2, 0.3, 0.5], 10_000), strict=True
    )
    called = [
        is_significant(change)
        for one, other in pairs
        if (change := difference(of_bands(*map(int, one)), of_bands(*map(int, other)))) is not None
    ]
    assert 0.03 <= np.mean(called) <= 0.06


def test_a_variance_is_the_one_that_the_interval_uses() -> None:
    """So that a sample size planned with it is the one that is needed."""
    found = of_bands(40, 40, 120)
    half = 100 * 1.959963985 * math.sqrt(nps_variance(40.75, 41.5, 120.75) / 203)
    assert (found.high - found.low) / 2 == pytest.approx(half)  # type: ignore[operator]


# --- Two shares -------------------------------------------------------------------------------------------------------

# Golden numbers: scipy's `chi2_contingency([[a, n - a], [b, m - b]], correction=False)`; z is the root, with its sign.


@pytest.mark.parametrize(
    ("counts", "difference_", "z", "p"),
    [
        ((60, 300, 140, 450), -11.11111111, -3.3709993123, 7.489604476e-4),
        ((31, 200, 29, 210), 1.6904761905, 0.4840787121, 0.6283300085),
        ((5, 10, 5, 10), 0.0, 0.0, 1.0),
    ],
)
def test_two_shares_are_told_apart_as_pearson_does(counts, difference_: float, z: float, p: float) -> None:
    found = share_z_test(*counts)
    assert found is not None
    assert (found.difference, found.z, found.p) == pytest.approx((difference_, z, p), rel=1e-5, abs=1e-9)


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_a_share_test_is_the_chi_square_of_its_table(a: int, b: int, c: int, d: int) -> None:
    """Also of the table turned: whether a group's part differs among those who answered and those who did not."""
    found = share_z_test(a, a + b, c, c + d)
    table = np.array([[a, b], [c, d]], dtype=float)
    n = table.sum()
    expected = table.sum(1, keepdims=True) @ table.sum(0, keepdims=True) / n if n else table
    if n == 0 or expected.min() < 5 - 1e-9:
        assert found is None or expected.min() == pytest.approx(5)
        return
    assert found is not None
    assert found.z**2 == pytest.approx(((table - expected) ** 2 / expected).sum(), abs=1e-9)
    turned = share_z_test(a, a + c, b, b + d)
    assert turned is not None
    assert turned.p == pytest.approx(found.p, abs=1e-9)


def test_no_shares_are_tested_of_nobody_or_of_too_few() -> None:
    assert share_z_test(0, 0, 5, 10) is None
    assert share_z_test(0, 100, 0, 100) is None
    assert share_z_test(100, 100, 100, 100) is None
    assert share_z_test(5, 10, 5, 10) is not None  # five expected in each cell
    assert share_z_test(4, 9, 5, 10) is None
    with pytest.raises(ValueError, match="not a share"):
        share_z_test(11, 10, 1, 10)


def test_holm_adjusts_for_all_that_are_looked_at() -> None:
    # The recipe: statsmodels `multipletests(ps, method="holm")[1]`.
    ps = [0.01, 0.04, 0.03, 0.005, 0.9]
    assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1])
    assert holm(ps) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9])
    assert holm([]) == []
    assert holm([0.5, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_makes_a_p_smaller(ps: list[float]) -> None:
    found = holm(ps)
    assert all(one >= p and one <= 1 for one, p in zip(found, ps, strict=True))


# --- compare: golden numbers ------------------------------------------------------------------------------------------
#
# Computed with scipy 1.17.1, statsmodels 0.15.0 and lifelines 0.30.3, as each recipe says; Z = scipy.stats.norm.


@pytest.mark.parametrize(
    ("now", "before", "low", "high", "p"),
    [
        # a, b = (np.add(x, (.75, 1.5, .75)) for x in (now, before)); s = (x[2] - x[0]) / x.sum();
        # v = ((x[2] + x[0]) / x.sum() - s**2) / x.sum(); d, se = 100 * (s_a - s_b), 100 * sqrt(v_a + v_b);
        # Z.interval(0.95, d, se); 2 * Z.sf(abs(d / se)). The first row's p is ORACLES' as well.
        ((10, 0, 20), (18, 0, 12), 2.911222744, 94.05847423, 0.03705427095),
        ((30, 50, 120), (55, 60, 85), 14.33157648, 44.78172402, 0.0001418582239),
        ((6, 13, 32), (8, 12, 30), -21.1235696, 34.40099797, 0.639298036),
        ((0, 0, 5), (5, 0, 0), 61.34830246, 188.6516975, 0.0001186001387),
        ((2000, 3000, 5000), (2100, 3050, 4850), 0.3264401542, 4.672060296, 0.02416935476),
    ],
)
def test_two_net_promoter_scores_are_compared_on_adjusted_counts(
    now: tuple[int, int, int], before: tuple[int, int, int], low: float, high: float, p: float
) -> None:
    found = compare("nps", 11, Counts(of_thirds(now)), Counts(of_thirds(before)))
    assert (found.low, found.high, found.p) == pytest.approx((low, high, p), rel=1e-8)
    assert found.difference == pytest.approx(
        100 * ((now[2] - now[0]) / sum(now) - (before[2] - before[0]) / sum(before))
    )
    assert (found.n_now, found.n_before) == (sum(now), sum(before))
    assert found == compare_nps(now, before)
    test = nps_z_test(now, before)
    assert test is not None
    assert found.p == test.p


@pytest.mark.parametrize(
    ("one", "other", "low", "high", "p"),
    [
        # confint_proportions_2indep(a, n, b, m, method="newcomb"); p: the alpha at which its nearer end is 0, by
        # scipy.optimize.brentq over ln(alpha). The first row is Newcombe 1998, table II, (a).
        ((56, 70), (48, 80), 5.24314724, 33.3872654, 0.008133140359),
        ((74, 107), (60, 107), 0.1297058439, 25.4411319, 0.04773345098),
        ((5, 5), (1, 5), 19.25908605, 96.37758914, 0.006734644026),
        ((300, 1000), (340, 1000), -8.070318348, 0.08874214637, 0.05518613405),
        ((9, 10), (3, 10), 17.05227239, 80.90179735, 0.004963401418),
        ((90_000, 100_000), (89_000, 100_000), 0.7313407372, 1.268695178, 3.042535223e-13),
    ],
)
def test_two_shares_have_newcombes_interval_and_the_p_at_which_it_touches_nothing(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float, p: float
) -> None:
    found = compare_shares(*one, *other)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-8)
    assert found.p == pytest.approx(p, rel=1e-6)
    sides = [Counts({1: n - good, 5: good}) for good, n in (one, other)]
    assert compare("csat", 5, *sides) == found
    same = difference(share(*one), share(*other))  # one interval, whichever way it is asked for
    assert same is not None
    assert (found.difference, found.low, found.high) == pytest.approx((same.value, same.low, same.high))
    assert (
        compare("ces", 7, *(Counts({1: n - good, 6: good}) for good, n in (one, other)), statistic="easy_share")
        == found
    )


@pytest.mark.parametrize(
    ("now", "before", "low", "high", "p"),
    [
        # r = scipy.stats.ttest_ind(np.repeat(list(now), list(now.values())), …, equal_var=False);
        # r.confidence_interval(), r.pvalue. The first row's first side is ORACLES' CES.
        (
            {1: 1, 2: 1, 3: 1, 4: 1, 5: 3, 6: 2, 7: 1}, {1: 3, 2: 3, 3: 2, 4: 1, 5: 1},
            0.440963438378, 3.55903656162, 0.015104891427,
        ),
        ({7: 30, 6: 12, 1: 3}, {7: 20, 6: 18, 4: 9, 1: 8}, 0.314540505141, 1.73394434334, 0.00512300362015),
        ({7: 5}, {6: 3, 5: 2}, 0.719912619342, 2.08008738066, 0.0046358394179),  # no spread on one side
        (
            {5: 4000, 6: 9000, 7: 7000}, {5: 4100, 6: 9000, 7: 6900},
            -0.0042553997959, 0.0242553997959, 0.169159628438,
        ),
    ],
)  # fmt: skip
def test_two_means_are_compared_as_welch_does(
    now: dict[int, int], before: dict[int, int], low: float, high: float, p: float
) -> None:
    found = compare("ces", 7, Counts(now), Counts(before))
    assert (found.low, found.high, found.p) == pytest.approx((low, high, p), rel=1e-9)
    as_csat = compare("csat", 7, Counts(now), Counts(before), statistic="mean")
    assert (as_csat.low, as_csat.high, as_csat.p) == (found.low, found.high, found.p)


# Freireich 1963: weeks of remission under 6-MP (resolved, still in remission) and under placebo.
SIX_MP = (
    {6: 3, 7: 1, 10: 1, 13: 1, 16: 1, 22: 1, 23: 1},
    {6: 1, 9: 1, 10: 1, 11: 1, 17: 1, 19: 1, 20: 1, 25: 1, 32: 2, 34: 1, 35: 1},
)
PLACEBO = (Counter([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]), {})  # fmt: skip


def in_weeks(weeks: Mapping[int, int]) -> dict[int, int]:
    return {bucket_of(week * 7 * 86_400): count for week, count in weeks.items()}


def test_two_curves_are_told_apart_by_the_log_rank_test() -> None:
    # logrank_test(weeks, placebo, event_observed_A=…, event_observed_B=…): published as 16.79.
    found = compare_curves(SIX_MP, PLACEBO)
    assert found is not None
    assert (found.chi_square, found.p) == pytest.approx((16.792940989216547, 4.168809109334511e-05))
    assert (found.resolved, found.faster) == (9, False)
    assert found.expected == pytest.approx(19.2505, abs=5e-5)  # published: R's survdiff
    again = compare_curves(PLACEBO, SIX_MP)
    assert again is not None
    assert (again.p, again.faster) == (pytest.approx(found.p), True)


def test_each_point_of_a_curve_has_greenwoods_interval() -> None:
    # KaplanMeierFitter().fit(weeks, observed).confidence_interval_
    shown = [(step.duration, step.share, *(step.interval() or ())) for step in kaplan_meier_steps(*SIX_MP)]
    assert np.array(shown) == pytest.approx(
        np.array([
            (6, 0.857143, 0.619718, 0.951552), (7, 0.806723, 0.563147, 0.922809), (10, 0.752941, 0.503200, 0.889362),
            (13, 0.690196, 0.431610, 0.849066), (16, 0.627451, 0.367511, 0.804912), (22, 0.537815, 0.267779, 0.746791),
            (23, 0.448179, 0.188052, 0.680143),
        ]), abs=5e-7,
    )  # fmt: skip
    assert kaplan_meier_steps(*PLACEBO)[-1].interval() is None  # nobody is left, and Greenwood knows no error of that


def test_a_median_with_open_tickets_has_brookmeyer_and_crowleys_interval() -> None:
    # median_survival_times(fitter.confidence_interval_): 13 to infinity, and 4 to 11. R's survfit says the same.
    week = 7 * 86_400
    six = kaplan_meier_median_estimate(*map(in_weeks, SIX_MP))
    assert (six.value, six.low) == pytest.approx((23 * week, 13 * week), rel=0.01)
    assert (six.high, six.n) == (None, 21)
    placebo = kaplan_meier_median_estimate(*map(in_weeks, PLACEBO))
    assert (placebo.value, placebo.low, placebo.high) == pytest.approx((8 * week, 4 * week, 11 * week), rel=0.01)


def test_a_median_whose_end_is_not_reached_is_not_tested() -> None:
    sides = [Counts(*map(in_weeks, side)) for side in (SIX_MP, PLACEBO)]
    found = compare("ttr", 0, *sides, statistic="median_with_open")
    assert found.difference == pytest.approx(15 * 7 * 86_400, rel=0.02)
    assert (found.low, found.high, found.p, found.significant, found.verdict) == (None, None, None, None, "untestable")


ages = st.lists(st.integers(1, 120), min_size=12, max_size=60)


@settings(max_examples=25)  # lifelines takes its time
@given(ages, ages, ages, st.sampled_from([0.5, 0.1, 0.01]))
def test_medians_agree_with_lifelines_at_every_level(
    done: list[int], other: list[int], open_: list[int], alpha: float
) -> None:
    """The interval of the difference is made of lifelines' ends; and where it holds 0 at a level, p is above that level."""
    sides = [(Counter(done), Counter(open_)), (Counter(other), Counter())]
    # Buckets far enough apart that each holds one age.
    buckets = [Counts({120 + 5 * k: n for k, n in a.items()}, {120 + 5 * k: n for k, n in b.items()}) for a, b in sides]
    found = compare("ttr", 0, *buckets, statistic="median_with_open")
    ends = []
    for resolved, waiting in sides:
        times = [*resolved.elements(), *waiting.elements()]
        fitter = lifelines.KaplanMeierFitter().fit(times, [1] * resolved.total() + [0] * waiting.total(), alpha=alpha)
        curves = fitter.survival_function_.join(fitter.confidence_interval_)
        crossed = [curves.index[curves[name] <= 0.5 + 1e-9] for name in curves]
        ends.append([bucket_value(120 + 5 * int(one[0])) if len(one) else math.inf for one in crossed])
    (median, low, high), (other_median, other_low, other_high) = ends
    if found.p is None:
        return
    change = median - other_median
    down, up = math.hypot(median - low, other_high - other_median), math.hypot(high - median, other_median - other_low)
    assert found.difference == pytest.approx(change)
    excludes = abs(change) > (down if change > 0 else up) * (1 + 1e-9)
    touches = abs(change) == pytest.approx(down if change > 0 else up, rel=1e-6)
    assert touches or excludes == (found.p < alpha) or found.p == pytest.approx(alpha, rel=1e-6)


def test_the_median_of_the_resolved_is_compared_by_its_own_ends() -> None:
    chance = np.random.default_rng(5)
    sides = [Counter(map(bucket_of, chance.lognormal(math.log(mid), 0.9, n))) for mid, n in ((7200, 300), (9000, 250))]
    now, before = map(ttr_median, sides)
    found = compare("ttr", 0, *map(Counts, sides), statistic="median")
    same = difference(now, before)
    assert same is not None
    assert (found.difference, found.low, found.high) == pytest.approx((same.value, same.low, same.high))
    assert found.significant is is_significant(same)


def test_the_mean_of_tickets_is_welchs_of_their_buckets() -> None:
    chance = np.random.default_rng(6)
    raw = [chance.lognormal(math.log(mid), 0.5, n).round() for mid, n in ((7200, 40), (9000, 55))]
    sides = [Counts(Counter(map(bucket_of, side)), sum_s=float(side.sum())) for side in raw]
    found = compare("ttr", 0, *sides)
    wanted = scipy.stats.ttest_ind(*raw, equal_var=False)
    assert found.difference == pytest.approx(raw[0].mean() - raw[1].mean(), rel=1e-12)
    assert found.p == pytest.approx(wanted.pvalue, rel=0.03)
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval()), rel=0.02)


# --- compare: what holds for any pair ---------------------------------------------------------------------------------


def of_thirds(bands: tuple[int, int, int]) -> dict[int, int]:
    return dict(zip((3, 8, 10), bands, strict=True))


ASKED: list[tuple[str, int, Statistic]] = [
    ("nps", 11, "value"), ("csat", 5, "value"), ("csat", 5, "mean"), ("csat", 7, "value"), ("ces", 7, "value"),
    ("ces", 7, "easy_share"), ("ttr", 0, "value"), ("ttr", 0, "median"), ("ttr", 0, "median_with_open"),
]  # fmt: skip


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, int, Statistic, Counts, Counts]:
    metric, points, statistic = draw(st.sampled_from(ASKED))
    places = SCALES[metric, points].scores if points else range(300, 1200, 60)

    def side() -> Counts:
        counted = st.dictionaries(st.sampled_from(places), st.integers(0, 120), max_size=len(places))
        return Counts(draw(counted), draw(counted) if statistic == "median_with_open" else {})

    return metric, points, statistic, side(), side()


@given(pairs())
def test_p_and_interval_tell_one_story(pair: tuple[str, int, Statistic, Counts, Counts]) -> None:
    metric, points, statistic, now, before = pair
    found = compare(metric, points, now, before, statistic=statistic)
    if min(found.n_now, found.n_before) < 5 or found.difference is None:
        assert found.verdict == "too_few"
    if found.p is None:
        assert found.verdict in ("too_few", "untestable")
        assert (found.low, found.high, found.significant) == (None, None, None)
        return
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.high
    assert 0 <= found.p <= 1
    excludes = found.low > 0 or found.high < 0
    assert found.significant is excludes
    assert excludes == (found.p < 0.05) or found.p == pytest.approx(0.05, rel=1e-6)
    assert found.verdict == ("higher" if found.low > 0 else "lower" if found.high < 0 else "not_significant")
    if metric != "nps":  # whose interval is centred on the adjusted scores
        assert found.low - 1e-9 <= found.difference <= found.high + 1e-9  # type: ignore[operator]


@given(pairs())
def test_a_comparison_has_no_side(pair: tuple[str, int, Statistic, Counts, Counts]) -> None:
    metric, points, statistic, now, before = pair
    forth = compare(metric, points, now, before, statistic=statistic)
    back = compare(metric, points, before, now, statistic=statistic)
    if forth.difference is None:
        assert back.difference is None
        return
    assert back.difference == pytest.approx(-forth.difference, abs=1e-9)
    assert {forth.verdict, back.verdict} in (
        {"higher", "lower"}, {"not_significant"}, {"too_few"}, {"untestable"},
    )  # fmt: skip
    if forth.p is not None:
        assert (back.low, back.high, back.p) == pytest.approx((-forth.high, -forth.low, forth.p), abs=1e-7)  # type: ignore[operator]


@given(pairs())
def test_nothing_is_ever_significantly_different_from_itself(pair: tuple[str, int, Statistic, Counts, Counts]) -> None:
    metric, points, statistic, now, _before = pair
    found = compare(metric, points, now, now, statistic=statistic)
    assert not found.significant
    assert found.p in (None, 1.0)


@given(st.integers(0, 40), st.integers(5, 200), st.integers(0, 1000), st.integers(5, 200))
def test_one_more_success_never_makes_a_rise_less_sure(good: int, n: int, other: int, other_n: int) -> None:
    good, other = good % n, other % (other_n + 1)
    found, more = compare_shares(good, n, other, other_n), compare_shares(good + 1, n, other, other_n)
    assert found.p is not None
    assert more.p is not None
    if found.difference is not None and found.difference >= 0:
        assert more.p <= found.p + 1e-9


@given(bands, bands, st.integers(2, 6))
def test_the_same_of_more_answers_is_surer(now: tuple[int, int, int], before: tuple[int, int, int], times: int) -> None:
    assume(min(sum(now), sum(before)) >= 30)
    found = compare_nps(now, before)
    more = compare_nps(tuple(times * n for n in now), tuple(times * n for n in before))  # type: ignore[arg-type]
    assert found.high - found.low > more.high - more.low  # type: ignore[operator]


def test_four_answers_are_not_compared_and_five_are() -> None:
    enough = Counts({5: 5})
    for few, many in ((Counts({1: 4}), enough), (enough, Counts({1: 4})), (Counts({}), enough)):
        found = compare("csat", 5, few, many)
        assert (found.low, found.high, found.p, found.significant, found.verdict) == (None, None, None, None, "too_few")
    assert compare("csat", 5, Counts({1: 5}), enough).significant
    assert compare("csat", 5, Counts({1: 9}), Counts({5: 9}), minimum=10).verdict == "too_few"
    assert compare("csat", 5, Counts({1: 10}), Counts({5: 10}), minimum=10).verdict == "lower"
    # Even where the organisation wants none: of nobody there is no difference.
    assert compare("csat", 5, Counts({}), enough, minimum=0).verdict == "too_few"


def test_where_nobody_differs_on_either_side_no_mean_is_tested() -> None:
    found = compare("ces", 7, Counts({7: 30}), Counts({6: 30}))
    assert (found.difference, found.p, found.verdict) == (1.0, None, "untestable")


@pytest.mark.parametrize(
    ("metric", "points", "statistic"),
    [("nps", 11, "mean"), ("nps", 10, "value"), ("ttr", 0, "easy_share"), ("ttr", 7, "value"), ("csat", 5, "median")],
)
def test_only_what_a_metric_has_is_compared(metric: str, points: int, statistic: Statistic) -> None:
    with pytest.raises(ValueError, match=metric):
        compare(metric, points, Counts({}), Counts({}), statistic=statistic)


def test_curves_of_too_few_tickets_are_not_told_apart() -> None:
    four, five = ({10: 4}, {}), ({12: 2, 13: 1}, {9: 2})
    assert compare_curves(four, five) is None
    assert compare_curves(five, five) is not None
    assert compare_curves(five, ({}, {700: 5})) is not None
    assert compare_curves(({}, {700: 5}), ({}, {700: 5})) is None  # nothing was resolved


tickets = st.tuples(
    st.dictionaries(st.integers(0, 30), st.integers(0, 5), min_size=3),
    st.dictionaries(st.integers(0, 30), st.integers(0, 5)),
)


@settings(max_examples=25)  # lifelines takes its time
@given(tickets, tickets)
def test_the_log_rank_test_agrees_with_lifelines(
    now: tuple[dict[int, int], dict[int, int]], before: tuple[dict[int, int], dict[int, int]]
) -> None:
    found = compare_curves(now, before)
    if found is None:
        return
    raw = [(list(Counter(side[0]).elements()), list(Counter(side[1]).elements())) for side in (now, before)]
    wanted = logrank_test(
        raw[0][0] + raw[0][1], raw[1][0] + raw[1][1],
        [1] * len(raw[0][0]) + [0] * len(raw[0][1]), [1] * len(raw[1][0]) + [0] * len(raw[1][1]),
    )  # fmt: skip
    assert found.chi_square == pytest.approx(wanted.test_statistic, abs=1e-9)
    assert found.p == pytest.approx(wanted.p_value, abs=1e-9)


def rejections(make: Callable[[np.random.Generator], Comparison], times: int) -> float:
    """How often 95 % is wrong where nothing differs."""
    chance = np.random.default_rng(3)
    found = [make(chance) for _ in range(times)]
    return float(np.mean([bool(one.significant) for one in found if one.p is not None]))


def scores(chance: np.random.Generator, n: int, shares: list[float], first: int) -> Counts:
    return Counts({first + at: int(k) for at, k in enumerate(chance.multinomial(n, shares))})


def waits(chance: np.random.Generator, n: int, still_open: float) -> Counts:
    """Skewed waits, some cut off where the observer went home."""
    times, seen = chance.lognormal(9, 1.3, n), chance.exponential(np.exp(9) / max(still_open, 1e-9), n)
    done = times <= seen
    return Counts(Counter(map(bucket_of, times[done])), Counter(map(bucket_of, seen[~done])))


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [
        (lambda c: compare("nps", 11, *(scores(c, n, [0.2] + [0] * 6 + [0.3, 0, 0, 0.5], 0) for n in (80, 60))), 0.03, 0.06),
        (lambda c: compare("csat", 5, *(scores(c, n, [0.1, 0.1, 0.1, 0.3, 0.4], 1) for n in (80, 60))), 0.03, 0.06),
        (lambda c: compare("ces", 7, *(scores(c, n, [0.1, 0, 0.1, 0.1, 0.2, 0.2, 0.3], 1) for n in (80, 30))), 0.03, 0.065),
        (lambda c: compare("ttr", 0, *(Counts(waits(c, n, 0).distribution) for n in (80, 120)), statistic="median"), 0.02, 0.06),
        (lambda c: compare("ttr", 0, *(waits(c, n, 0.3) for n in (80, 120)), statistic="median_with_open"), 0.02, 0.065),
    ],
    ids=["nps", "csat", "ces", "median of the resolved", "median with open tickets"],
)  # fmt: skip
@pytest.mark.slow
def test_no_method_cries_wolf_more_often_than_it_says(make, low: float, high: float) -> None:
    rate = rejections(make, 3000)
    assert low <= rate <= high
