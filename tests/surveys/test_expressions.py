import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.expressions import MAX_DEPTH, ExpressionError, parse

CONTEXT = {
    "facts": {"wait_seconds": 340, "carrier": "SF", "vip": True, "tags": ["late", "cold"], "odd key": 1, "price": 9.5},
    "customer": {"language": "zh-hans", "segment": "gold", "attributes": {"city": "上海"}},
    "event": {"type": "order.delivered"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("facts.wait_seconds < 341", True),
        ("facts.wait_seconds < 340", False),
        ("facts.wait_seconds <= 340 and facts.price >= 9.5", True),
        ("facts.carrier == 'SF' or facts.nothing", True),
        ("not facts.vip", False),
        ("customer.attributes.city == '上海'", True),
        ("customer.segment in ['gold', \"silver\"]", True),
        ("customer.segment not in ['gold']", False),
        ("'late' in facts.tags", True),
        ("'deliver' in event.type", True),
        ("facts['odd key'] == 1", True),
        ("facts.missing == null", True),
        ("facts.missing.deeper == null", True),
        ("facts.missing < 5", False),
        ("facts.missing > 5", False),
        ("facts.carrier < 5", False),
        ("facts.vip == 1", False),
        ("facts.wait_seconds == 340.0", True),
        ("facts.wait_seconds > -1", True),
        ("(facts.vip or false) and not (facts.price < 9)", True),
        (r"facts.carrier != 'it\'s'", True),
    ],
)
def test_an_expression_says_whether_it_holds(text, expected):
    assert parse(text).evaluate(CONTEXT) is expected


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("facts.wait <", 12, "ends too early"),
        ("facts.wait ! 3", 11, "no meaning"),
        ("fact.wait < 3", 0, "not known"),
        ("facts.a == 'x", 11, "not closed"),
        ("facts.a == 1 2", 13, "not expected"),
        ("(facts.a == 1", 13, "missing"),
        ("facts.", 6, "after the dot"),
        ("facts[1]", 6, "quotes"),
        ("__import__('os')", 0, "not known"),
        ("facts.a()", 7, "not expected"),
        ("and", 0, "not expected"),
    ],
)
def test_a_wrong_expression_is_refused_with_its_position(text, position, words):
    with pytest.raises(ExpressionError) as refused:
        parse(text)
    assert refused.value.position == position
    assert words in str(refused.value)


def test_nesting_and_length_are_bounded():
    parse("(" * (MAX_DEPTH - 1) + "true" + ")" * (MAX_DEPTH - 1))
    with pytest.raises(ExpressionError, match="Nested"):
        parse("(" * MAX_DEPTH + "true" + ")" * MAX_DEPTH)
    with pytest.raises(ExpressionError, match="Nested"):
        parse("not " * 400 + "true")
    with pytest.raises(ExpressionError, match="characters"):
        parse("true or " * 300 + "true")


@given(st.text(max_size=80))
def test_any_text_is_an_expression_or_an_expression_error(text):
    with contextlib.suppress(ExpressionError):
        assert parse(text).evaluate(CONTEXT) in (True, False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(json_values, json_values, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]))
def test_no_facts_break_a_comparison(a, b, sign):
    assert parse(f"facts.a {sign} facts.b").evaluate({"facts": {"a": a, "b": b}}) in (True, False)
