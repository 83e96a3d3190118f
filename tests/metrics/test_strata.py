"""Weighted scores: against the textbook's formula computed apart, and what must hold for any strata and weights."""

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from metrics import formulas
from metrics.formulas import bucket_of, bucket_value
from metrics.significance import Counts, Statistic, compare
from metrics.strata import Weighted, compare_weighted, weigh
from surveys.scales import SCALES, scale_for

ASKED: list[tuple[str, int, Statistic]] = [
    ("nps", 11, "value"), ("csat", 5, "value"), ("csat", 7, "value"), ("ces", 7, "value"), ("ttr", 0, "value"),
    ("ttr", 0, "median"),
]  # fmt: skip


def of(**distributions: Mapping[int, int]) -> dict[str, Counts]:
    return {key: Counts(distribution) for key, distribution in distributions.items()}


SHOP, CALL, APP = {0: 5, 8: 10, 10: 15}, {0: 30, 8: 20, 9: 50}, {3: 40, 7: 60, 10: 100}  # NPS 33.3, 20, 30
NPS_PARTS = of(shop=SHOP, call=CALL, app=APP)


def test_a_weighted_nps_is_the_stratified_estimator() -> None:
    # The recipe, in numpy: a = counts + (.75, 1.5, .75); s = (a2 - a0)/n; v = ((a2 + a0)/n - s²)/n; centre = Σ w·s;
    # 100·(centre ± 1.959964·√Σ w²·v).
    weights = {"shop": 3, "call": 1, "app": 1}
    found = weigh("nps", 11, NPS_PARTS, weights)
    bands = np.array([(5, 10, 15), (30, 20, 50), (40, 60, 100)])
    w = np.array([0.6, 0.2, 0.2])
    raw = 100 * (bands[:, 2] - bands[:, 0]) / bands.sum(1)
    a = bands + np.array([0.75, 1.5, 0.75])
    n = a.sum(1)
    s = (a[:, 2] - a[:, 0]) / n
    v = ((a[:, 2] + a[:, 0]) / n - s**2) / n
    half = scipy.stats.norm.ppf(0.975) * 100 * math.sqrt((w**2 * v).sum())
    assert found.value == pytest.approx((w * raw).sum())
    assert found.value == pytest.approx(30)
    assert (found.low, found.high) == pytest.approx((100 * (w * s).sum() - half, 100 * (w * s).sum() + half))
    assert (found.n, found.missing) == (330, 0)
    assert [(one.key, one.weight, one.share, one.n, one.left_out) for one in found.strata] == [
        ("shop", 3, pytest.approx(0.6), 30, ""), ("app", 1, pytest.approx(0.2), 200, ""), ("call", 1, pytest.approx(0.2), 100, ""),
    ]  # fmt: skip
    assert [one.value for one in found.strata] == pytest.approx([100 / 3, 30, 20])


def test_a_weighted_mean_has_satterthwaites_degrees_of_freedom() -> None:
    parts = of(shop={7: 20, 4: 10}, call={1: 5, 5: 15, 6: 20})
    found = weigh("ces", 7, parts, {"shop": 1, "call": 3})
    raw = [np.repeat(list(c.distribution), list(c.distribution.values())) for c in parts.values()]
    w = [0.25, 0.75]
    v = [share**2 * side.var(ddof=1) / len(side) for share, side in zip(w, raw, strict=True)]
    freedom = sum(v) ** 2 / sum(one**2 / (len(side) - 1) for one, side in zip(v, raw, strict=True))
    centre = sum(share * side.mean() for share, side in zip(w, raw, strict=True))
    low, high = scipy.stats.t.interval(0.95, freedom, centre, math.sqrt(sum(v)))
    assert (found.value, found.low, found.high) == pytest.approx((centre, low, high))


def test_a_weighted_share_adds_the_squares_of_wilsons_distances() -> None:
    found = weigh("csat", 5, of(shop={5: 42, 4: 32, 3: 10, 2: 9, 1: 14}, call={5: 5}), {"shop": 0.5, "call": 0.5})
    first, second = (69.158879, 59.871536, 77.118294), (100, 56.551752, 100)  # ORACLES: 74 of 107, 5 of 5
    assert found.value == pytest.approx((first[0] + 100) / 2, abs=1e-4)
    assert found.low == pytest.approx(
        found.value - math.hypot(first[0] - first[1], second[0] - second[1]) / 2, abs=1e-5
    )
    assert found.high == pytest.approx(found.value + (first[2] - first[0]) / 2, abs=1e-4)


def test_a_weighted_median_is_that_of_the_weighted_tickets() -> None:
    chance = np.random.default_rng(4)
    raw = [chance.lognormal(math.log(mid), 1.0, n) for mid, n in ((3600, 400), (90_000, 80))]
    parts = {key: Counts(Counter(map(bucket_of, side))) for key, side in zip(("fast", "slow"), raw, strict=True)}
    found = weigh("ttr", 0, parts, {"fast": 1, "slow": 1}, statistic="median")
    ordered = np.argsort(values := np.concatenate(raw))
    reached = np.cumsum(np.concatenate([np.full(len(side), 0.5 / len(side)) for side in raw])[ordered])
    assert found.value == pytest.approx(values[ordered][np.searchsorted(reached, 0.5 - 1e-12)], rel=0.006)
    assert found.low < found.value < found.high  # type: ignore[operator]
    pooled = formulas.ttr_median(Counter(map(bucket_of, np.concatenate(raw))))
    assert pooled.value < 0.6 * found.value  # type: ignore[operator]


@st.composite
def strata(draw: st.DrawFn) -> tuple[str, int, Statistic, dict[str, Counts]]:
    metric, points, statistic = draw(st.sampled_from(ASKED))
    places = SCALES[metric, points].scores if points else range(300, 1200, 60)
    side = st.dictionaries(st.sampled_from(places), st.integers(0, 60), min_size=1, max_size=len(places))
    return metric, points, statistic, {key: Counts(draw(side)) for key in "abc"}


@given(strata())
def test_one_stratum_has_the_interval_that_it_has_without_weights(
    drawn: tuple[str, int, Statistic, dict[str, Counts]],
) -> None:
    metric, points, statistic, parts = drawn
    found = weigh(metric, points, {"a": parts["a"]}, {"a": 7.5}, statistic=statistic)
    distribution = parts["a"].distribution
    if parts["a"].n < 5:
        assert (found.value, found.low, found.missing) == (None, None, 1)
        return
    if metric == "ttr" and statistic == "value":
        sum_s = sum(bucket_value(bucket) * count for bucket, count in distribution.items())
        plain = formulas.ttr_mean(distribution, sum_s)
    elif metric == "ttr":
        value = formulas.ttr_quantile(distribution, 0.5)
        assert found.value is not None
        assert found.value <= value * 1.000001  # type: ignore[operator]  # no interpolation between two neighbours
        return
    else:
        scale = scale_for(metric, points)
        histogram = [distribution.get(score, 0) for score in scale.scores]
        if metric == "csat":
            plain = formulas.csat_top_box(histogram, scale)
        else:
            plain = formulas.nps(histogram) if metric == "nps" else formulas.ces_mean(histogram)
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-6)


@given(strata(), st.lists(st.integers(0, 100), min_size=3, max_size=3))
def test_a_weighted_score_lies_between_its_strata_and_shares_add_up(
    drawn: tuple[str, int, Statistic, dict[str, Counts]], given_weights: list[int]
) -> None:
    metric, points, statistic, parts = drawn
    weights = dict(zip("abc", given_weights, strict=True))
    found = weigh(metric, points, parts, weights, statistic=statistic)
    assert 0 <= found.missing <= 1
    if found.value is None:
        assert (found.low, found.high) == (None, None)
        return
    assert sum(one.share for one in found.strata) == pytest.approx(1)
    values = [one.value for one in found.strata if one.share > 0 and one.value is not None]
    slack = 1e-9 * max(map(abs, values)) + 1e-9
    assert min(values) - slack <= found.value <= max(values) + slack
    if found.low is not None and metric != "nps":
        assert found.low <= found.value + 1e-9 <= found.high + 2e-9  # type: ignore[operator]
    for one in found.strata:
        assert (one.share == 0) == (one.left_out != "" or one.weight == 0)


@given(strata())
def test_weights_in_proportion_to_answers_give_the_pooled_score(
    drawn: tuple[str, int, Statistic, dict[str, Counts]],
) -> None:
    metric, points, statistic, parts = drawn
    if statistic == "median" or min(part.n for part in parts.values()) < 5:
        return
    found = weigh(metric, points, parts, {key: part.n for key, part in parts.items()}, statistic=statistic)
    pooled: Counter[int] = Counter()
    for part in parts.values():
        pooled.update(part.distribution)
    both = compare(metric, points, Counts(pooled), Counts(pooled), statistic=statistic)
    assert found.value == pytest.approx(both.now)


def test_a_stratum_of_too_few_is_named_and_its_weight_spread() -> None:
    parts = {**NPS_PARTS, "tiny": Counts({10: 4})}
    found = weigh("nps", 11, parts, {"shop": 50, "call": 33, "tiny": 17})
    assert found.missing == pytest.approx(0.17)
    assert {one.key: (one.share, one.left_out) for one in found.strata} == {
        "shop": (pytest.approx(50 / 83), ""), "call": (pytest.approx(33 / 83), ""), "tiny": (0, "too_few"), "app": (0, "no_weight"),
    }  # fmt: skip
    assert found.n == 130
    assert weigh("nps", 11, {**parts, "tiny": Counts({10: 5})}, {"shop": 50, "tiny": 17}).missing == 0


def test_a_fifth_may_be_left_out_and_no_more() -> None:
    parts = {"shop": Counts({10: 40}), "tiny": Counts({10: 4})}
    assert weigh("nps", 11, parts, {"shop": 4, "tiny": 1}).value == 100
    withheld = weigh("nps", 11, parts, {"shop": 3.9, "tiny": 1.1})
    assert (withheld.value, withheld.low, withheld.high) == (None, None, None)
    assert withheld.missing == pytest.approx(0.22)
    assert [one.key for one in withheld.strata] == ["shop", "tiny"]
    # A stratum that should count and has nobody at all is missing, too.
    assert weigh("nps", 11, {"shop": parts["shop"]}, {"shop": 1, "nobody": 1}).missing == pytest.approx(0.5)


def test_without_weights_there_is_no_weighted_score() -> None:
    for weights in ({}, {"shop": 0}, {"elsewhere": 0}):
        found = weigh("nps", 11, NPS_PARTS, weights)
        assert (found.value, found.n, found.missing) == (None, 0, 0)
    on_purpose = weigh("nps", 11, NPS_PARTS, {"shop": 1, "call": 0})
    assert {one.key: one.left_out for one in on_purpose.strata} == {"shop": "", "call": "", "app": "no_weight"}
    with pytest.raises(ValueError, match="weight"):
        weigh("nps", 11, NPS_PARTS, {"shop": -1})
    with pytest.raises(ValueError, match="median"):
        weigh("nps", 11, NPS_PARTS, {"shop": 1}, statistic="median")


@given(strata(), strata(), st.lists(st.integers(0, 9), min_size=3, max_size=3))
def test_a_change_of_one_stratum_is_the_change_itself_and_has_no_side(
    drawn: tuple[str, int, Statistic, dict[str, Counts]], other: tuple[str, int, Statistic, dict[str, Counts]],
    given_weights: list[int],
) -> None:  # fmt: skip
    metric, points, statistic, now = drawn
    before = other[3] if other[:3] == drawn[:3] else {key: now[turn] for key, turn in zip("abc", "bca", strict=True)}
    if statistic != "median":
        one = compare_weighted(metric, points, {"a": now["a"]}, {"a": before["a"]}, {"a": 3}, statistic=statistic)
        plain = compare(metric, points, now["a"], before["a"], statistic=statistic)
        assert one.verdict == plain.verdict
        if plain.p is not None:
            assert (one.difference, one.low, one.high, one.p) == pytest.approx(
                (plain.difference, plain.low, plain.high, plain.p), rel=1e-6, abs=1e-6
            )
    weights = dict(zip("abc", given_weights, strict=True))
    forth = compare_weighted(metric, points, now, before, weights, statistic=statistic)
    back = compare_weighted(metric, points, before, now, weights, statistic=statistic)
    assert {forth.verdict, back.verdict} in ({"higher", "lower"}, {"not_significant"}, {"too_few"}, {"untestable"})
    if forth.p is not None:
        assert forth.p == pytest.approx(back.p, abs=1e-7)
        assert forth.significant == (forth.low > 0 or forth.high < 0)  # type: ignore[operator]


def test_a_change_is_judged_in_the_strata_that_both_sides_have() -> None:
    """Else a touchpoint that is new would be a change of the others."""
    now = of(shop={10: 40, 0: 10}, call={10: 20, 0: 20}, new={0: 90})
    before = of(shop={10: 40, 0: 10}, call={10: 20, 0: 20}, new={0: 2})
    found = compare_weighted("nps", 11, now, before, {"shop": 2, "call": 2, "new": 1})
    assert (found.difference, found.p, found.n_now, found.n_before) == (0, 1, 90, 90)
    assert compare_weighted("nps", 11, now, before, {"shop": 1, "new": 1}).verdict == "too_few"


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "points", "statistic"), ASKED[:2] + ASKED[3:4] + ASKED[5:])
def test_the_interval_holds_the_truth_as_often_as_it_says(metric: str, points: int, statistic: Statistic) -> None:
    chance = np.random.default_rng(8)
    sizes, weights = (60, 150, 400), {"a": 5, "b": 3, "c": 2}
    shares = [chance.dirichlet(np.full(points, 0.8)) if points else None for _ in sizes]

    def draw(stratum: int, n: int) -> Counts:
        if points:
            return Counts(
                dict(
                    zip(scale_for(metric, points).scores, map(int, chance.multinomial(n, shares[stratum])), strict=True)
                )
            )
        return Counts(Counter(map(bucket_of, chance.lognormal(8.0 + stratum, 1.2, n))))

    def asked(ns: tuple[int, ...]) -> Weighted:
        return weigh(
            metric, points, {key: draw(at, n) for at, (key, n) in enumerate(zip("abc", ns, strict=True))}, weights,
            statistic=statistic,
        )  # fmt: skip

    truth = asked((200_000,) * 3).value
    found = [asked(sizes) for _ in range(1500)]
    held = sum(one.low <= truth <= one.high for one in found)  # type: ignore[operator]
    assert 0.93 <= held / 1500 <= 0.98
