"""What a form takes for an answer: what is asked and shown, in the shape of its kind, and nothing else."""

from typing import Any

import pytest
from django.http import QueryDict
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from surveys.flow.respond import Given
from surveys.forms import MAX_TEXT, Checked, check, earlier_values, is_shown, posted_values, questions_in, wordings_of
from surveys.models import InstrumentVersion, Question, Wording
from surveys.scales import CES, CSAT5, CSAT7, NPS, Scale

FRUIT = {"apple": {"en": "Apple", "zh-hans": "苹果"}, "pear": {"en": "Pear"}, "plum": {}}


def wording(key: str, kind: str, *, scale: Scale = NPS, **fields: Any) -> Wording:
    """One question of a version, in memory alone: checking reads no database."""
    measured = {"metric": scale.metric, "points": scale.points} if kind == "scale" else {}
    options = FRUIT if kind in ("choice", "choices") else {}
    defaults = {"text": {"en": f"{key}?", "zh-hans": f"{key}？"}, "options": options}
    return Wording(question=Question(key=key, kind=kind, **measured), **{**defaults, **fields})


SCORE = wording("score", "scale", required=True)


def kept(checked: Checked) -> dict[str, Any]:
    """What was taken, by question key."""
    assert checked.errors == {}
    return {answer.question.key: shown(answer) for answer in checked.answers}


def shown(answer: Given) -> Any:
    return answer.score if answer.score is not None else (list(answer.choices) or answer.text)


# --- Kinds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [NPS, CSAT5, CSAT7, CES], ids=lambda scale: f"{scale.metric}{scale.points}")
def test_a_score_lies_between_both_ends_of_its_scale(scale):
    asked = [wording("score", "scale", scale=scale)]
    for score in (scale.low, scale.high):
        assert kept(check(asked, {"score": score})) == {"score": score}
    for score in (scale.low - 1, scale.high + 1):
        assert list(check(asked, {"score": score}).errors) == ["score"]


@pytest.mark.parametrize("value", [True, False, 9.0, "9", "", " ", [9], [], {}, {"a": 9}, "nine", float("nan"), 10**30])
def test_a_score_is_a_whole_number_and_nothing_else(value):
    assert list(check([SCORE], {"score": value}).errors) == ["score"]


def test_a_score_that_is_wrong_says_what_would_be_right():
    assert check([SCORE], {"score": 11}).errors == {"score": "A score is a whole number from 0 to 10."}
    with translation.override("zh-hans"):
        assert "0" in check([SCORE], {"score": 11}).errors["score"]


def test_choices_are_those_that_are_offered_each_once_in_the_order_given():
    asked = [wording("fruit", "choices")]
    assert kept(check(asked, {"fruit": ["pear", "apple", "pear"]})) == {"fruit": ["pear", "apple"]}
    assert kept(check(asked, {"fruit": "plum"})) == {"fruit": ["plum"]}
    for wrong in (
        ["cherry"],
        ["apple", "cherry"],
        "cherry",
        [1],
        [["apple"]],
        [None],
        {"apple": 1},
        7,
        True,
        ["Apple"],
    ):
        assert list(check(asked, {"fruit": wrong}).errors) == ["fruit"], wrong


def test_one_choice_is_exactly_one():
    asked = [wording("fruit", "choice")]
    assert kept(check(asked, {"fruit": "apple"})) == {"fruit": ["apple"]}
    assert kept(check(asked, {"fruit": ["apple"]})) == {"fruit": ["apple"]}
    for wrong in (["apple", "pear"], "cherry", 7):
        assert list(check(asked, {"fruit": wrong}).errors) == ["fruit"], wrong


def test_a_comment_has_at_most_five_thousand_characters():
    asked = [wording("comment", "verbatim")]
    for text in ("x" * MAX_TEXT, "好" * MAX_TEXT, "😀" * MAX_TEXT, f"  {'x' * MAX_TEXT}\n "):
        assert kept(check(asked, {"comment": text})) == {"comment": text.strip()}
    for text in ("x" * (MAX_TEXT + 1), "😀" * (MAX_TEXT + 1)):
        assert check(asked, {"comment": text}).errors == {"comment": "Please keep it within 5000 characters."}


def test_a_line_end_of_a_browser_counts_as_one_character():
    """A textarea with maxlength counts it so, and posts two."""
    asked = [wording("comment", "verbatim")]
    assert kept(check(asked, {"comment": "a\r\n" * (MAX_TEXT // 2)})) == {"comment": ("a\n" * (MAX_TEXT // 2)).strip()}


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "\udfff"])
def test_what_no_database_can_hold_is_refused_with_words(text):
    assert check([wording("comment", "verbatim")], {"comment": text}).errors == {
        "comment": "This text has characters that cannot be stored."
    }


@pytest.mark.parametrize("value", [7, True, ["a"], {"a": "b"}, 7.5])
def test_a_comment_is_a_text(value):
    assert check([wording("comment", "verbatim")], {"comment": value}).errors == {"comment": "A comment is a text."}


# --- Required and skipped ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, "", []])
def test_only_what_is_required_must_be_answered(nothing):
    asked = [SCORE, wording("fruit", "choices"), wording("comment", "verbatim")]
    assert list(check(asked, {"score": nothing, "comment": "Hello."}).errors) == ["score"]
    assert kept(check(asked, {"score": 0, "fruit": nothing, "comment": nothing})) == {"score": 0}
    required = [SCORE, wording("comment", "verbatim", required=True)]
    assert check(required, {"score": 9, "comment": nothing}).errors == {"comment": "Please write something."}


def test_a_required_comment_of_blanks_is_no_comment():
    asked = [SCORE, wording("comment", "verbatim", required=True)]
    assert list(check(asked, {"score": 9, "comment": " \n\t "}).errors) == ["comment"]


def test_an_optional_comment_of_blanks_is_skipped_and_no_fault():
    asked = [SCORE, wording("comment", "verbatim")]
    assert kept(check(asked, {"score": 9, "comment": " \r\n "})) == {"score": 9}


def test_a_form_with_nothing_in_it_is_no_answer():
    asked = [wording("score", "scale"), wording("comment", "verbatim")]
    assert list(check(asked, {}).errors) == ["score"]
    assert kept(check(asked, {"comment": "Only words."})) == {"comment": "Only words."}


def test_every_fault_is_told_at_once():
    asked = [SCORE, wording("fruit", "choices"), wording("comment", "verbatim")]
    wrong = check(asked, {"score": 11, "fruit": ["cherry"], "comment": "x" * (MAX_TEXT + 1)})
    assert list(wrong.errors) == ["score", "fruit", "comment"]


# --- show_if ----------------------------------------------------------------------------------------------------------

CHAIN = [
    SCORE,
    wording("fruit", "choices", show_if={"score": [0, 1, 2]}, required=True),
    wording("which", "choice", show_if={"fruit": ["apple", "pear"]}),
    wording("why", "verbatim", show_if={"score": [2], "which": ["plum"]}),
]


def test_what_is_not_shown_is_not_recorded_whatever_came_for_it():
    everything = {"score": 9, "fruit": ["apple"], "which": "plum", "why": "!"}
    assert kept(check(CHAIN, everything)) == {"score": 9}


def test_what_is_not_shown_is_not_required():
    assert kept(check(CHAIN, {"score": 3})) == {"score": 3}
    assert list(check(CHAIN, {"score": 2}).errors) == ["fruit"]


def test_a_chain_is_followed_to_its_end():
    values = {"score": 2, "fruit": ["plum", "pear"], "which": "plum", "why": "Sour."}
    assert kept(check(CHAIN, values)) == {
        "score": 2,
        "fruit": ["plum", "pear"],
        "which": ["plum"],
        "why": "Sour.",
    }


@pytest.mark.parametrize(
    ("change", "hidden"),
    [
        ({"score": 1}, {"why"}),  # one of two conditions fails
        ({"which": "apple"}, {"why"}),
        ({"which": None}, {"why"}),
        ({"fruit": ["plum"]}, {"which", "why"}),  # a link is gone: so is all that hangs on it
        ({"score": 3}, {"fruit", "which", "why"}),
    ],
)
def test_a_chain_that_breaks_hides_all_behind_it(change, hidden):
    values = {"score": 2, "fruit": ["pear"], "which": "plum", "why": "Sour."} | change
    found = kept(check(CHAIN, values))
    assert found.keys() == {"score", "fruit", "which", "why"} - hidden - {
        key for key, value in change.items() if value is None
    }


def test_a_wrong_answer_shows_nothing_that_hangs_on_it():
    """A refused answer is none: only its own fault is told."""
    assert list(check(CHAIN, {"score": 12, "fruit": ["cherry"]}).errors) == ["score"]


def test_what_is_wrong_but_hidden_is_no_fault():
    assert kept(check(CHAIN, {"score": 9, "fruit": ["cherry"], "why": 7})) == {"score": 9}


@pytest.mark.parametrize(
    ("condition", "accepted", "is_so"),
    [
        ({}, {}, True),
        ({"score": [1]}, {}, False),
        ({"score": [1]}, {"score": 1}, True),
        ({"score": [0]}, {"score": 0}, True),
        ({"score": [1, 2]}, {"score": 2}, True),
        ({"score": [1]}, {"score": 2}, False),
        ({"score": ["1"]}, {"score": 1}, False),
        ({"fruit": ["apple"]}, {"fruit": ["pear", "apple"]}, True),
        ({"fruit": ["apple"]}, {"fruit": "apple"}, True),
        ({"fruit": ["apple"]}, {"fruit": []}, False),
        ({"score": [1], "fruit": ["apple"]}, {"score": 1}, False),
    ],
)
def test_a_condition_holds_where_each_named_answer_has_one_of_the_values(condition, accepted, is_so):
    assert is_shown(condition, accepted) is is_so


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["apple", "pear", "plum", "9"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["score", "fruit", "which", "why", "other"], anything)))
def test_whatever_comes_is_taken_or_told_and_never_a_crash(values):
    checked = check(CHAIN, values)
    taken = {answer.question.key for answer in checked.answers}
    assert not taken & checked.errors.keys()
    assert taken | checked.errors.keys()
    assert taken | checked.errors.keys() <= {"score", "fruit", "which", "why"}
    for answer in checked.answers:
        assert (answer.score is not None) + bool(answer.choices) + bool(answer.text) == 1


# --- What a browser posts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("posted", "values"),
    [
        ("", {}),
        ("score=9", {"score": 9}),
        ("score=0", {"score": 0}),
        ("score=+9+", {"score": 9}),
        ("score=09", {"score": 9}),
        ("score=-1", {"score": "-1"}),
        ("score=9.0", {"score": "9.0"}),
        ("score=%D9%A9", {"score": "٩"}),  # an Arabic nine is a digit to Python
        ("score=12345", {"score": "12345"}),
        ("score=1&score=2", {"score": 2}),
        ("fruit=apple&fruit=&fruit=pear", {"fruit": ["apple", "pear"]}),
        ("fruit=", {}),
        ("comment=+Hello+%0D%0A", {"comment": "Hello"}),
        ("comment=+", {}),
        ("other=1&version=2", {}),
    ],
)
def test_a_browsers_fields_become_values(posted, values):
    asked = [SCORE, wording("fruit", "choices"), wording("comment", "verbatim")]
    assert posted_values(asked, QueryDict(posted)) == values


def test_what_was_recorded_fills_the_form_again(db):
    from tests.factories import make_invitation, make_touchpoint
    from tests.metrics.raw import answer as record

    touchpoint = make_touchpoint()
    invitation = make_invitation(touchpoint)
    response = record(touchpoint, 7)
    questions = {question.key: question for question in touchpoint.instrument.questions.all()}
    response.answers.create(question=questions["reason"], choices=["price", "speed"])
    response.answers.create(question=questions["comment"], text="Fine.")
    values = earlier_values(list(response.answers.select_related("question")))
    assert values == {"score": 7, "reason": ["price", "speed"], "comment": "Fine."}
    version = invitation.instrument.current_version()
    assert kept(check(wordings_of(version), values)) == values


# --- Wording ----------------------------------------------------------------------------------------------------------


def test_questions_are_shown_in_one_language_and_fall_back_one_by_one():
    asked = [wording("fruit", "choices", low_label={"en": "No"}, high_label={"zh-hans": "是"})]
    [question] = questions_in(asked, "zh-hans", ["en"], {})
    assert question.text == "fruit？"
    assert question.options == [("apple", "苹果"), ("pear", "Pear"), ("plum", "plum")]
    assert (question.low_label, question.high_label) == ("No", "是")


def test_placeholders_are_filled_and_other_braces_stay():
    asked = [wording("comment", "verbatim", text={"en": "How was {touchpoint} at {organisation}? {x} {0} {{}}"})]
    names = {"touchpoint": "{organisation}", "organisation": "Tea & <b>"}
    [question] = questions_in(asked, "en", [], names)
    assert question.text == "How was {organisation} at Tea & <b>? {x} {0} {{}}"


def test_a_condition_is_written_for_the_pages_script():
    shown_for = {row.question.key: questions_in([row], "en", [], {})[0].shown_for for row in CHAIN}
    assert shown_for == {
        "score": "",
        "fruit": "score:0,1,2",
        "which": "fruit:apple,pear",
        "why": "score:2;which:plum",
    }


def test_wordings_of_an_answered_version_are_read_once(db, django_assert_num_queries):
    from tests.factories import make_instrument

    version = make_instrument().versions.get()
    for _time in range(2):
        with django_assert_num_queries(1):
            wordings_of(version)  # may still be edited
    InstrumentVersion.objects.filter(pk=version.pk).update(answered=True)
    version.refresh_from_db()
    wordings_of(version)
    with django_assert_num_queries(0):
        assert [row.question.key for row in wordings_of(version)] == ["score", "reason", "comment"]
