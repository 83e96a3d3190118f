"""GET /api/v1/instruments/{slug}/: all that an app needs to draw the form itself, in the reader's language."""

import uuid

import pytest

from surveys.flow.builtins import load_builtins
from surveys.flow.instruments import QuestionTerms, publish_version, terms_of_version
from surveys.models import Instrument, Organisation
from surveys.scales import SCALES
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.rest import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    make_organisation()
    load_builtins()
    return Api("responses:write")


def test_a_question_has_all_that_is_needed_to_draw_it(api):
    make_instrument("nps-x")
    found = api.get("instruments/nps-x/", language="zh-hans")
    questions = found.pop("questions")
    assert found == {
        "slug": "nps-x",
        "metric": "nps",
        "scale": {"low": 0, "high": 10},
        "version": 1,
        "language": "zh-hans",
        "direction": "ltr",
        "max_questions": 0,
        "share": None,
        "thanks": [
            {
                "low": low,
                "high": high,
                "title": "谢谢您",
                "text": "我们已收到您的回答，它会帮助我们做得更好。",
                "links": [],
            }
            for low, high in ((0, 6), (7, 8), (9, 10))
        ],
    }
    assert [(question["key"], question["kind"], question["required"]) for question in questions] == [
        ("score", "scale", True),
        ("reason", "choices", False),
        ("comment", "verbatim", False),
    ]
    assert questions[0]["scores"] == list(range(11))
    assert questions[0]["text"] == "score？"
    assert questions[1]["options"] == [{"key": "price", "text": "价格"}, {"key": "speed", "text": "速度"}]


def test_it_says_how_questions_are_worded_and_drawn_and_what_follows_them(api):
    instrument = make_instrument("visit", metric="csat", points=5)
    instrument.max_questions = 2
    instrument.share = {"label": {"en": "Tell others"}, "url": "https://reviews.example.com/"}
    link = {"label": {"en": "Help"}, "url": "https://shop.example.com/help"}
    instrument.thanks = {
        "dissatisfied": {"title": {"en": "Sorry"}, "text": {}, "links": [link]},
        "any": {"title": {}, "text": {"en": "{organisation} has heard you."}, "links": []},
    }
    instrument.save()
    score = QuestionTerms(key="score", kind="scale", text={"en": "How was it?"}, display="stars")
    contact = QuestionTerms(key="contact", kind="contact", text={})
    comment = QuestionTerms("comment", "verbatim", {"en": "Why?"}, by_band={"satisfied": {"en": "What was good?"}})
    publish_version(instrument, [score, contact, comment])
    found = api.get("instruments/visit/", language="ar")
    assert (found["direction"], found["max_questions"]) == ("rtl", 2)
    assert found["share"] == {"label": "Tell others", "url": "https://reviews.example.com/"}
    assert found["thanks"][0]["title"] == "Sorry"
    # As on the page: what a band leaves out is said as to any.
    assert [one["text"] for one in found["thanks"]] == [f"{Organisation.current().name_in('en')} has heard you."] * 3
    assert found["thanks"][0]["links"] == [{"label": "Help", "url": "https://shop.example.com/help"}]
    assert found["thanks"][1]["title"] not in ("", "Sorry")
    first, second, third = found["questions"]
    assert (first["display"], second["display"]) == ("stars", "numbers")
    assert second["text"]  # nobody wrote one
    assert [option["key"] for option in second["options"]] == ["yes", "no"]
    assert third["text_by_score"] == [{"low": 4, "high": 5, "text": "What was good?"}]


def test_texts_by_score_run_from_low_to_high_and_what_is_beyond_the_most_need_not_be_answered(api):
    instrument = make_instrument("nps-y")
    instrument.max_questions = 1
    instrument.save()
    by_band = {"promoters": {"en": "What went well?"}, "detractors": {"en": "What went wrong?"}}
    score = QuestionTerms("score", "scale", {"en": "How was it?"})
    publish_version(
        instrument, [score, QuestionTerms("comment", "verbatim", {"en": "Why?"}, required=True, by_band=by_band)]
    )
    spans = api.get("instruments/nps-y/")["questions"][1]["text_by_score"]
    assert [(span["low"], span["high"]) for span in spans] == [(0, 6), (9, 10)]
    make_touchpoint("checkout", instrument)
    sent = {"id": str(uuid.uuid4()), "touchpoint": "checkout", "answers": {"score": 9}}
    assert api.post("responses/", sent)["answers"] == {"score": 9}
    instrument.max_questions = 2
    instrument.save()
    assert api.pointers("responses/", sent | {"id": str(uuid.uuid4())}) == ["/answers/comment"]


@pytest.mark.parametrize("slug", ["nps", "csat5", "csat7", "ces"])
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_every_built_in_instrument_is_there_in_every_shipped_language(api, slug, language):
    make_touchpoint("delivery", name={"en": "Delivery", "zh-hans": "配送"})
    found = api.get(f"instruments/{slug}/", language=language, touchpoint="delivery")
    assert found["language"] == language
    score = found["questions"][0]
    scale = SCALES[found["metric"], len(score["scores"])]
    assert score["scores"] == list(scale.scores)
    assert found["scale"] == {"low": scale.low, "high": scale.high}
    texts = [question["text"] for question in found["questions"]] + [score["low_label"], score["high_label"]]
    assert all(texts)
    assert not any("{" in text for text in texts)
    is_chinese = [any("\u4e00" <= character <= "\u9fff" for character in text) for text in texts]
    assert all(is_chinese) if language == "zh-hans" else not any(is_chinese)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("zh-hans", "zh-hans"),
        ("zh_CN", "zh-hans"),
        ("zh", "zh-hans"),
        ("ZH-Hans-CN", "zh-hans"),
        ("en-GB", "en"),
        ("zh-TW", "zh-hant"),
        ("de-AT", "de"),
        ("cy", "en"),
        ("", "en"),
        ("not a language", "en"),
    ],
)
def test_a_language_falls_back_and_says_which_it_is(api, asked, told):
    found = api.get("instruments/nps/", language=asked)
    assert found["language"] == told
    assert found["questions"][0]["text"] == api.get("instruments/nps/", language=told)["questions"][0]["text"]


def test_without_a_language_it_is_the_organisations(api):
    make_organisation(languages=["zh-hans", "en"])
    assert api.get("instruments/nps/")["language"] == "zh-hans"
    assert api.get("instruments/nps/", language="cy")["language"] == "zh-hans"


def test_an_organisation_is_named_in_the_readers_language(api):
    assert "Harbour Tea" in api.get("instruments/nps/", language="en")["questions"][0]["text"]
    assert "港湾茶" in api.get("instruments/nps/", language="zh-hans")["questions"][0]["text"]


def test_a_touchpoint_is_named_where_it_is_asked_for_and_left_to_the_app_otherwise(api):
    make_touchpoint("delivery", name={"en": "Delivery", "zh-hans": "配送"})
    assert "(Delivery)" in api.get("instruments/csat5/", touchpoint="delivery")["questions"][0]["text"]
    assert "（配送）" in api.get("instruments/csat5/", touchpoint="delivery", language="zh")["questions"][0]["text"]
    assert "({touchpoint})" in api.get("instruments/csat5/")["questions"][0]["text"]
    for touchpoint in ("nowhere", "a\x00b", ""):
        problem = api.get("instruments/csat5/", touchpoint=touchpoint, expect=400)
        assert [error["pointer"] for error in problem["errors"]] == ["/touchpoint"]


def test_follow_up_questions_say_when_they_are_shown(api):
    instrument = make_instrument("follow-up")
    instrument.versions.get().wordings.filter(question__key="reason").update(show_if={"score": [0, 1]})
    assert [question["show_if"] for question in api.get("instruments/follow-up/")["questions"]] == [
        {},
        {"score": [0, 1]},
        {},
    ]


def test_a_new_version_is_told_and_answered(api):
    """What an app sends is held against the newest version."""
    instrument = make_instrument("nps-x")
    make_touchpoint("checkout", instrument)
    sent = {"id": str(uuid.uuid4()), "touchpoint": "checkout", "answers": {"score": 9}}
    assert api.post("responses/", sent)["version"] == 1
    terms = terms_of_version(Instrument.objects.get(slug="nps-x").current_version())
    publish_version(instrument, terms[:2])
    assert api.get("instruments/nps-x/")["version"] == 2
    assert len(api.get("instruments/nps-x/")["questions"]) == 2
    assert api.pointers("responses/", sent | {"id": str(uuid.uuid4()), "answers": {"score": 9, "comment": "!"}}) == [
        "/answers/comment"
    ]


def test_what_is_drawn_from_it_is_taken(api):
    """An app that answers with the first option of everything is understood, whatever the instrument."""
    make_touchpoint("checkout")
    for slug in ("nps", "csat5", "csat7", "ces"):
        answers = {}
        for question in api.get(f"instruments/{slug}/")["questions"]:
            answers[question["key"]] = {
                "scale": lambda asked: asked["scores"][-1],
                "choices": lambda asked: [option["key"] for option in asked["options"]],
                "choice": lambda asked: asked["options"][0]["key"],
                "verbatim": lambda asked: "fine",
            }[question["kind"]](question)
        sent = {"id": str(uuid.uuid4()), "touchpoint": "checkout", "instrument": slug, "answers": answers}
        assert api.post("responses/", sent)["answers"] == answers


def test_an_unknown_instrument_and_one_that_asks_nothing_are_not_found(api):
    Instrument.objects.create(slug="empty", metric="nps", points=11, name={"en": "Empty"})
    api.get("instruments/nothing/", expect=404)
    api.get("instruments/empty/", expect=404)


def test_it_needs_the_scope_that_answers(api):
    Api("responses:read", "metrics:read").get("instruments/nps/", expect=403)
    Api(key="wrong.key").get("instruments/nps/", expect=401)
