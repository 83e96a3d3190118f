"""What texts are found by: nothing that stands in them is missed, nothing that is typed is an error."""

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from surveys.terms import MAX_WORD, read_query, terms_in, vector

CHINESE = "配送速度很快，但是包装有点破损，客服态度好"


def finds(typed: str, text: str) -> bool:
    return read_query(typed).is_in([text])


@pytest.mark.parametrize(
    ("typed", "text", "found"),
    [
        ("slow", "Too SLOW!", True),
        ("slo", "slow", True),  # the beginning of a word is enough
        ("low", "slow", False),  # its end is none
        ('"slo"', "slow", False),  # as it is
        ("late slow", "slow, and late", True),
        ("late slow", "slow", False),
        ('"very slow"', "very, very slow", True),
        ('"very slow"', "slow very", False),
        ("“very slow”", "a very slow one", True),
        ('"very slow', "slow, very", True),  # a quotation that nobody ends is none
        ("cafe", "Café", True),
        ("CAFÉ", "cafe", True),
        ("strasse", "Straße", True),
        ("istanbul", "İstanbul", True),
        ("don't", "I don’t know", True),
        ("ABC", "ＡＢＣ", True),
        ("太慢", "送货太慢了", True),
        ("慢", "太慢", True),
        ("慢", "慢慢来", True),
        ("货太", "送货太慢了", True),  # whatever a dictionary makes of it
        ("慢太", "送货太慢了", False),
        ("送货了", "送货太慢了", False),
        ("送货 慢", "送货太慢了", True),
        ("好评", "好。评", False),
        ("iPhone手机", "我的IPHONE手机", True),
        ("手机iphone", "手机 iPhone 12", True),
        ("はや", "とてもはやい", True),
        ("がき", "かき", False),
        ("배송", "빠른배송이", True),
        ("ช้า", "ส่งช้ามาก", True),
        ("हिन्दी", "यह हिन्दी है", True),
        ("المدرسة", "الْمَدْرَسَةُ", True),
        ("👍", "great 👍👍", True),
        ("!?", "what!?", False),
        ("", "anything", False),
    ],
)
def test_a_query_finds_what_a_reader_expects(typed, text, found):
    assert finds(typed, text) == found


def test_every_pair_of_a_chinese_text_is_found_wherever_it_stands():
    runs = [run for run in CHINESE.split("，") if len(run) > 1]
    for run in runs:
        for start in range(len(run)):
            for end in range(start + 1, len(run) + 1):
                assert finds(run[start:end], CHINESE), run[start:end]
    assert not finds("快但", CHINESE)


def test_hits_are_marked_in_the_text_as_it_was_written():
    assert read_query("cafe 太慢").pieces("Le CAFÉ: 真的太慢了。") == [
        ("Le ", False),
        ("CAFÉ", True),
        (": 真的", False),
        ("太慢", True),
        ("了。", False),
    ]
    assert read_query("慢").pieces("太慢慢来") == [("太", False), ("慢慢", True), ("来", False)]
    assert read_query("ss").pieces("Straße") == [("Straße", False)]
    assert read_query("x").pieces("") == []


def test_what_is_typed_is_never_an_error(db):
    with connection.cursor() as cursor:
        for typed in ("'", "\\", "a & !b | (c", ":*", "<->", "''''", "a\\'b", '""', "a" * 500, "太'慢\\", "%_"):
            cursor.execute("SELECT %s::tsquery", [read_query(typed).tsquery])


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="ab Ée配送太慢了،.'\\\"🙂कि", max_size=30), st.text(alphabet="abÉ 配送太慢了\"'\\🙂कि", max_size=6)
)
def test_the_database_finds_what_we_find(django_db_blocker, django_db_setup, text, typed):
    query = read_query(typed)
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("SELECT %s::tsvector @@ %s::tsquery", [vector([text, text[::-1]], ["/a'b"]), query.tsquery])
        assert cursor.fetchone()[0] == query.is_in([text, text[::-1]])
    assert "".join(piece for piece, _hit in query.pieces(text)) == text
    assert any(hit for _piece, hit in query.pieces(text)) or not query.is_in([text])


def test_long_words_are_cut_alike_on_both_sides_and_long_texts_fit(db):
    long = "x" * (MAX_WORD + 9)
    assert finds(long, long)
    assert len(next(terms_in(long)).text) == MAX_WORD
    with connection.cursor() as cursor:
        cursor.execute("SELECT length(%s::tsvector)", [vector(["太慢了。" * 6000, "word " * 9000], [])])
        assert cursor.fetchone()[0] == 4
