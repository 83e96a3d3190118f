import pytest

from surveys.texts import match_language, normalise_tag, pick


@pytest.mark.parametrize(
    ("tag", "expected"),
    [("zh_CN", "zh-hans"), ("zh-HK", "zh-hant"), ("en_GB", "en-gb"), (" De ", "de"), ("zh-Hans-CN", "zh-hans")],
)
def test_a_tag_is_written_in_one_way(tag, expected):
    assert normalise_tag(tag) == expected


def test_a_regional_tag_is_served_by_its_language():
    assert match_language("en-gb", ["en", "de"]) == "en"


def test_traditional_chinese_is_not_served_by_simplified():
    assert match_language("zh-tw", ["zh-hans"]) is None


def test_the_first_fallback_that_has_a_text_wins():
    assert pick({"de": "", "en": "Delivery", "zh-hans": "配送"}, "de", ["zh-hans", "en"]) == "配送"


def test_nothing_is_an_empty_string():
    assert pick({}, "en") == ""
