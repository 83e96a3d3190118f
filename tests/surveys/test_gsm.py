"""Known answers: the limits are those of 3GPP TS 23.040 (160/153 septets, 70/67 units of 16 bits)."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.gsm import BASIC, EXTENSION, Size, cost, measure, price_of, thrifty


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("GSM-7", 0, 1, 160)),
        ("a" * 160, ("GSM-7", 160, 1, 0)),
        ("a" * 161, ("GSM-7", 161, 2, 145)),
        ("a" * 306, ("GSM-7", 306, 2, 0)),
        ("a" * 307, ("GSM-7", 307, 3, 152)),
        ("€" * 80, ("GSM-7", 160, 1, 0)),
        ("€" * 80 + "a", ("GSM-7", 161, 2, 144)),  # 76 of them in the first segment, since half of one is none
        ("a" * 152 + "€" + "a" * 7, ("GSM-7", 161, 2, 144)),
        ("à la carte @ £5, Ω!", ("GSM-7", 19, 1, 141)),
        ("ê", ("UCS-2", 1, 1, 69)),  # not in the table, while é and è are
        ("’" + "a" * 69, ("UCS-2", 70, 1, 0)),
        ("港" * 70, ("UCS-2", 70, 1, 0)),
        ("港" * 71, ("UCS-2", 71, 2, 63)),
        ("港" * 134, ("UCS-2", 134, 2, 0)),
        ("港" * 135, ("UCS-2", 135, 3, 66)),
        ("😀" * 35, ("UCS-2", 70, 1, 0)),
        ("😀" * 36, ("UCS-2", 72, 2, 61)),  # 33 of them fit into 67 units
    ],
)
def test_a_text_takes_as_many_segments_as_the_standard_says(text, expected):
    assert measure(text) == Size(*expected)


def test_the_alphabet_is_whole():
    assert (len(BASIC), len(EXTENSION)) == (127, 10)  # 128 codes, of which one is the escape; €, brackets and the like


def test_cost_is_by_segment_and_person():
    assert cost("a" * 161, Decimal("0.0079"), 1000) == Decimal("15.8000")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("0.0079 USD", (Decimal("0.0079"), "USD")), ("0.05", (Decimal("0.05"), "")), ("0 元", (Decimal(0), "元")),
        ("", None), ("free", None), ("-1 USD", None), ("NaN", None),
    ],
)  # fmt: skip
def test_a_price_is_a_number_and_its_unit(told, expected):
    assert price_of(told) == expected


def test_marks_of_good_print_give_way_where_that_saves_a_segment():
    assert thrifty("Com’è – “così”…") == 'Com\'è - "così"...'
    assert thrifty("Dobře – “tak”") == "Dobře – “tak”"  # its letters need UCS-2 anyway


@given(st.text(max_size=600))
def test_what_is_longer_never_takes_less(text):
    assert measure(text).segments <= measure(text + "a").segments


@given(st.text(max_size=600))
def test_segments_hold_what_they_are_to_hold(text):
    size = measure(text)
    room = {"GSM-7": (160, 153), "UCS-2": (70, 67)}[size.encoding]
    assert 0 <= size.left <= room[size.segments > 1]
    if size.segments > 1:
        assert room[1] * (size.segments - 1) - (size.segments - 1) < size.places <= room[1] * size.segments
