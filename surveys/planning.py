"""PURE: how many answers a wanted interval needs, and how wide an interval so many answers give. In: counts, points. Out: the same.

Here and not beside the other formulas, since a manager wants it where the sample is set. All of 95 % intervals, all of answers:
divide by the response rate for invitations. No Django, no database, no rounding of an interval.
"""

import math
from collections.abc import Callable
from statistics import NormalDist

LEVEL = 0.95
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)  # 1.959964
NPS_PRIOR = (
    0.75,
    1.5,
    0.75,
)  # Rocks' three answers, (detractors, passives, promoters): see `formulas.adjusted_wald_nps`
LARGEST = 10**12  # answers; more than there are people, so no interval so narrow can be had
FEWEST = 2  # answers of which a mean has an interval


def nps_sample_size(half_width: float, variance: float = 1.0) -> int:
    """How many answers give an interval of at most ±`half_width` points: (100 z / half_width)² V − 3, rounded up, at least 1.

    `variance` is `formulas.nps_variance` of what is expected; 1, the greatest, serves where nothing is known. The 3 are the answers
    that the adjusted interval brings itself. ValueError for a half-width outside 0…100 (0 excluded) or a variance outside 0…1.
    Source: Rocks, "Interval Estimation for the 'Net Promoter Score'", The American Statistician 70(4), 2016, solved for n.
    """
    if not 0 < half_width <= 100 or not 0 <= variance <= 1:
        raise ValueError("nps_sample_size wants 0 < half_width <= 100 and 0 <= variance <= 1")
    return max(1, math.ceil((100 * Z / half_width) ** 2 * variance - sum(NPS_PRIOR)))


def nps_half_width(n: float, variance: float = 1.0) -> float:
    """Half of the interval of n answers, in points, before it is clamped: 100 z √(V / (n + 3)). ValueError as `nps_sample_size`."""
    if n < 0 or not 0 <= variance <= 1:
        raise ValueError("nps_half_width wants n >= 0 and 0 <= variance <= 1")
    return 100 * Z * math.sqrt(variance / (n + sum(NPS_PRIOR)))


def share_sample_size(half_width: float, share: float = 0.5) -> int:
    """How many answers give a Wilson interval of at most 2 · `half_width` percentage points; at least 1.

    `share` (0…1) is what is expected; one half, which wants most, serves where nothing is known. ValueError for a half-width outside
    0…50 (0 excluded) or a share outside 0…1.
    Source: Piegorsch, "Sample Sizes for Improved Binomial Confidence Intervals", Computational Statistics & Data Analysis 46, 2004.
    """
    if not 0 < half_width <= 50 or not 0 <= share <= 1:
        raise ValueError("share_sample_size wants 0 < half_width <= 50 and 0 <= share <= 1")
    square, spread = (half_width / 100) ** 2, share * (1 - share)
    excess = spread - 2 * square
    n = Z**2 * (excess + math.sqrt(excess**2 - square * (4 * square - 1))) / (2 * square)
    return max(1, math.ceil(n - 1e-9))


def share_half_width(n: float, share: float = 0.5) -> float:
    """Half of the length of Wilson's interval of n answers, in percentage points. ValueError below 0 or for a share outside 0…1."""
    if n < 0 or not 0 <= share <= 1:
        raise ValueError("share_half_width wants n >= 0 and 0 <= share <= 1")
    return 100 * Z * math.sqrt(n * share * (1 - share) + Z**2 / 4) / (n + Z**2)


def mean_sample_size(half_width: float, deviation: float) -> int:
    """How many answers give a t interval of at most ±`half_width`, where scores deviate by `deviation` (of the sample); at least 2.

    Both on the scale's own steps. ValueError where either is not above 0 (a deviation of 0 knows nothing: no number follows from it).
    Source: Student, "The Probable Error of a Mean", Biometrika 6, 1908, solved for n.
    """
    if not half_width > 0 or not deviation > 0:
        raise ValueError("mean_sample_size wants half_width > 0 and deviation > 0")
    return _least(lambda n: mean_half_width(n, deviation) <= half_width)


def mean_half_width(n: float, deviation: float) -> float:
    """Half of the t interval of n answers' mean; infinite below 2 answers. ValueError for a deviation below 0."""
    if deviation < 0:
        raise ValueError("a deviation is not below 0")
    return math.inf if n < FEWEST else t_expansion(Z, n - 1) * deviation / math.sqrt(n)


def _least(serves: Callable[[int], bool]) -> int:
    """The least n that serves, from 2 on; what serves once serves for all that are more."""
    high = FEWEST
    while high < LARGEST and not serves(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if serves(middle) else (middle, high)
    return high


def t_expansion(z: float, freedom: float) -> float:
    """Student's quantile about the normal quantile z, to order freedom⁻⁴: 0.2 % off with five degrees of freedom, 0.01 % with ten.

    Source: Fisher and Cornish, "The Percentile Points of Distributions Having Known Cumulants", Technometrics 2, 1960.
    """
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
