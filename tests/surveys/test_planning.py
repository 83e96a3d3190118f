"""How many answers an interval needs: held against the intervals themselves, one answer more and one fewer."""

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from surveys.planning import (
    mean_half_width,
    mean_sample_size,
    nps_half_width,
    nps_sample_size,
    share_half_width,
    share_sample_size,
    t_expansion,
)


@pytest.mark.parametrize(
    ("half_width", "variance", "n"), [(10, 1, 382), (10, 0.67, 255), (5, 1, 1534), (5, 0.67, 1027)]
)
def test_a_planned_net_promoter_score_is_the_published_one(half_width: float, variance: float, n: int) -> None:
    """ORACLES: n = z²·V/d² − 3."""
    assert nps_sample_size(half_width, variance) == n
    assert nps_half_width(n, variance) <= half_width < nps_half_width(n - 1, variance)


@pytest.mark.parametrize(("half_width", "share", "n"), [(10, 0.5, 93), (5, 0.5, 381), (5, 0.8, 245), (5, 0.99, 43)])
def test_a_planned_share_has_wilsons_interval(half_width: float, share: float, n: int) -> None:
    """The recipe: the least n with proportion_confint(n·share, n, method="wilson") at most 2 · half_width long (statsmodels)."""
    lengths = [proportion_confint(k * share, k, method="wilson") for k in (n - 1, n)]
    assert lengths[1][1] - lengths[1][0] <= half_width / 50 < lengths[0][1] - lengths[0][0]
    assert share_sample_size(half_width, share) == n


@pytest.mark.parametrize(
    ("half_width", "deviation", "n"), [(0.5, 1.5, 38), (0.25, 1.5, 141), (0.25, 2.0, 249), (1, 1, 7)]
)
def test_a_planned_mean_has_students_interval(half_width: float, deviation: float, n: int) -> None:
    """The recipe: the least n with scipy.stats.t.ppf(0.975, n - 1) · deviation / √n at most half_width."""

    def exact(k: int) -> float:
        return float(scipy.stats.t.ppf(0.975, k - 1)) * deviation / math.sqrt(k)

    assert exact(n) <= half_width < exact(n - 1)
    assert mean_sample_size(half_width, deviation) == n


@given(st.floats(0.5, 40), st.floats(0, 1), st.floats(0.05, 3))
def test_what_is_planned_is_enough_and_one_fewer_is_not(half_width: float, part: float, deviation: float) -> None:
    n = share_sample_size(half_width, part)
    assert share_half_width(n, part) <= half_width * (1 + 1e-9)
    assert n == 1 or share_half_width(n - 1, part) > half_width * (1 - 1e-9)
    n = nps_sample_size(half_width, part)
    assert nps_half_width(n, part) <= half_width * (1 + 1e-9)
    n = mean_sample_size(half_width / 10, deviation)
    assert mean_half_width(n, deviation) <= half_width / 10
    assert n == 2 or mean_half_width(n - 1, deviation) > half_width / 10


@pytest.mark.parametrize("freedom", [5, 10, 40, 1000])
def test_the_expansion_is_students_quantile_from_five_degrees_on(freedom: int) -> None:
    assert t_expansion(scipy.stats.norm.ppf(0.975), freedom) == pytest.approx(
        scipy.stats.t.ppf(0.975, freedom), rel=2e-3 if freedom < 10 else 1e-4
    )


def test_what_cannot_be_planned_is_refused() -> None:
    for planned in (
        lambda: share_sample_size(0), lambda: share_sample_size(51), lambda: share_sample_size(5, 1.1),
        lambda: mean_sample_size(0, 1), lambda: mean_sample_size(1, 0), lambda: mean_half_width(5, -1),
        lambda: nps_half_width(-1), lambda: share_half_width(5, 2),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            planned()
    assert mean_half_width(1, 1) == math.inf
