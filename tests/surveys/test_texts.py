import pytest

from surveys.texts import accepted_languages, match_language, normalise_tag, pick


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


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("", []),
        ("de;q=0.5, fr-CH, en;q=x, *;q=0", ["fr-CH", "de"]),
        ("en, zh-CN;q=0.9,zh;q=0.8", ["en", "zh-CN", "zh"]),
        (" ;q=1,, da ; q=0.2 ", ["da"]),
        ("fr" + "," * 600 + "de", ["fr"]),
    ],
)
def test_what_a_browser_accepts_is_read_by_how_much_it_is_wanted(header, tags):
    assert accepted_languages(header) == tags
