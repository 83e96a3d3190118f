"""Bands and durations in words; the scores of a band are its scale's."""

import pytest
from django.utils import translation

from surveys.scales import CES, CSAT5, CSAT7, NPS, SCALES
from surveys.words import MINUS, band_tone, band_word, duration, working_time


@pytest.mark.parametrize("scale", SCALES.values())
def test_the_scores_of_all_bands_are_the_scale_and_each_lies_in_its_band(scale):
    bands = [key for key, _lowest in scale.bands]
    assert [score for band in bands for score in scale.scores_of(band)] == list(scale.scores)
    assert all(scale.band(score) == band for band in bands for score in scale.scores_of(band))


def test_there_are_no_scores_of_another_scales_band():
    with pytest.raises(ValueError, match="promoters"):
        CES.scores_of("promoters")


@pytest.mark.parametrize(
    ("scale", "score", "word", "tone"),
    [
        (NPS, 6, "Detractor", "worst"),
        (NPS, 7, "Passive", "middle"),
        (NPS, 9, "Promoter", "best"),
        (CSAT5, 2, "Dissatisfied", "worst"),
        (CSAT5, 3, "Neutral", "middle"),
        (CSAT7, 6, "Satisfied", "best"),
        (CES, 3, "Difficult", "worst"),
        (CES, 5, "Easy", "best"),
    ],
)
def test_one_answer_is_named_by_its_own_scale(scale, score, word, tone):
    assert (band_word(scale.metric, scale.points, score), band_tone(scale.metric, scale.points, score)) == (word, tone)


@pytest.mark.parametrize(
    ("metric", "points", "score"), [("nps", 11, None), ("nps", 11, 11), ("csat", 6, 3), ("", 0, 1)]
)
def test_what_is_no_score_has_no_band(metric, points, score):
    assert (band_word(metric, points, score), band_tone(metric, points, score)) == ("", "")


def test_words_follow_the_reader():
    with translation.override("zh-hans"):
        assert (band_word("nps", 11, 10), duration(3 * 3600)) == ("推荐者", "3 小时")


def test_working_time_is_never_told_in_days():
    told = [working_time(seconds) for seconds in (45, 12_000, 84_000, 84_600, 100_800, 3_600_000, -100_800)]
    assert told == ["45 s", "3 h 20 min", "23 h 20 min", "24 h", "28 h", "1,000 h", f"{MINUS}28 h"]
