"""Every scale has its range and its bands, and nothing but a whole number of the range is a score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.scales import CES, CSAT5, CSAT7, NPS, SCALES, Scale, scale_for

ALL = list(SCALES.values())
every_scale = pytest.mark.parametrize("scale", ALL, ids=lambda scale: f"{scale.metric}{scale.points}")


@pytest.mark.parametrize(
    ("scale", "below", "above"),
    [
        (NPS, (6, "detractors"), (7, "passives")),
        (NPS, (8, "passives"), (9, "promoters")),
        (CSAT5, (2, "dissatisfied"), (3, "neutral")),
        (CSAT5, (3, "neutral"), (4, "satisfied")),
        (CSAT7, (3, "dissatisfied"), (4, "neutral")),
        (CSAT7, (5, "neutral"), (6, "satisfied")),
        (CES, (3, "difficult"), (4, "neutral")),
        (CES, (4, "neutral"), (5, "easy")),
    ],
)
def test_each_band_begins_where_its_source_says(scale: Scale, below: tuple[int, str], above: tuple[int, str]) -> None:
    for score, band in (below, above):
        assert scale.band(score) == band


@pytest.mark.parametrize(
    ("scale", "low", "high", "points"), [(NPS, 0, 10, 11), (CSAT5, 1, 5, 5), (CSAT7, 1, 7, 7), (CES, 1, 7, 7)]
)
def test_each_scale_ends_where_its_source_says(scale: Scale, low: int, high: int, points: int) -> None:
    assert list(scale.scores) == list(range(low, high + 1))
    assert scale.points == points == len(scale.scores)
    assert scale.contains(low)
    assert scale.contains(high)
    assert not scale.contains(low - 1)
    assert not scale.contains(high + 1)


@every_scale
@pytest.mark.parametrize("value", [True, False, 3.0, "3", None, "", [3], {"score": 3}, float("nan"), 3 + 0j])
def test_only_a_whole_number_is_a_score(scale: Scale, value: object) -> None:
    assert not scale.contains(value)
    with pytest.raises(ValueError, match="not on the scale"):
        scale.band(value)  # type: ignore[arg-type]


@every_scale
def test_the_worst_band_holds_the_lowest_score_and_the_best_the_highest(scale: Scale) -> None:
    assert scale.band(scale.low) == scale.lowest_band
    assert scale.band(scale.high) == scale.highest_band
    assert len({scale.band(score) for score in scale.scores}) == len(scale.bands)


@every_scale
def test_bands_never_fall_as_scores_rise(scale: Scale) -> None:
    order = [key for key, _lowest in scale.bands]
    ranks = [order.index(scale.band(score)) for score in scale.scores]
    assert ranks == sorted(ranks)


@every_scale
@given(data=st.data())
def test_bands_count_everybody_once(scale: Scale, data: st.DataObject) -> None:
    histogram = data.draw(st.lists(st.integers(0, 10**6), min_size=scale.points, max_size=scale.points))
    counts = scale.band_counts(histogram)
    assert list(counts) == [key for key, _lowest in reversed(scale.bands)]  # best first
    assert sum(counts.values()) == sum(histogram)
    for key, count in counts.items():
        assert count == sum(n for score, n in zip(scale.scores, histogram, strict=True) if scale.band(score) == key)


@every_scale
def test_a_histogram_of_another_shape_is_refused(scale: Scale) -> None:
    for points in (scale.points - 1, scale.points + 1):
        with pytest.raises(ValueError, match="counts, not"):
            scale.band_counts([1] * points)


def test_a_scale_is_found_by_its_metric_and_points_and_by_nothing_else() -> None:
    assert [scale_for(*key) for key in (("nps", 11), ("csat", 5), ("csat", 7), ("ces", 7))] == [NPS, CSAT5, CSAT7, CES]
    for key in (("nps", 5), ("csat", 11), ("ces", 5), ("ttr", 0), ("", 0)):
        with pytest.raises(KeyError):
            scale_for(*key)
