"""Whether a figure changed: against published intervals, independent computations, and what must hold for any pair."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from metrics.formulas import NOTHING, Estimate, ces_mean, csat_top_box, nps, nps_variance
from metrics.significance import difference, holm, is_significant, nps_z_test, share_z_test
from surveys.scales import CSAT5, NPS


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
