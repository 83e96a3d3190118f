"""Questions as managers edit them, versions, and a preview from which nothing can be sent."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from surveys.admin.questions import read_values, write_values
from surveys.flow.groups import MANAGER, VIEWER
from surveys.flow.instruments import terms_of_version
from surveys.models import Instrument, Response
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.surveys.admin.people import answer
from tests.surveys.admin.staff import errors_in, fields_of, send, sign_in_as

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager():
    make_organisation()
    return sign_in_as(MANAGER)


def page(row, action: str = "questions") -> str:
    return reverse(f"admin:surveys_instrument_{action}", args=[row.pk])


def asked(row) -> list:
    return terms_of_version(row.current_version())


# --- Making one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "high"), [("nps:11", 10), ("csat:5", 5), ("csat:7", 7), ("ces:7", 7)])
def test_a_new_instrument_starts_with_the_standard_questions_of_its_scale(manager, scale, high):
    path = reverse("admin:surveys_instrument_add")
    response = send(manager, path, slug="mine", name__en="Mine", scale=scale)
    row = Instrument.objects.get(slug="mine")
    assert response.url == page(row)
    assert (f"{row.metric}:{row.points}", row.scale.high) == (scale, high)
    assert [terms.key for terms in asked(row)] == ["score", "reason", "comment"]


def test_a_scale_that_does_not_exist_is_refused(manager):
    path = reverse("admin:surveys_instrument_add")
    assert errors_in(send(manager, path, slug="mine", name__en="Mine", scale="csat:6"))
    assert errors_in(send(manager, path, slug="mine", name__en="Mine", scale=""))


def test_another_scale_is_possible_until_the_first_answer(manager):
    row = make_instrument(metric="csat", points=5)
    response = send(manager, page(row, "change"), scale="csat:7")
    assert response.status_code == 302, errors_in(response)
    row.refresh_from_db()
    assert (row.points, asked(row)[0].points) == (7, 7)
    answer(make_touchpoint(instrument=row), 7)
    assert not {"scale", "slug"} & fields_of(manager.get(page(row, "change")).content.decode()).keys()
    send(manager, page(row, "change"), scale="nps:11", slug="other")
    row.refresh_from_db()
    assert (row.metric, row.points) == ("csat", 7)


def test_built_in_instruments_keep_slug_and_scale_and_nobody_deletes_one(manager):
    row = Instrument.objects.get(slug="nps")
    assert not {"scale", "slug"} & fields_of(manager.get(page(row, "change")).content.decode()).keys()
    assert manager.post(page(row, "delete"), {"post": "yes"}).status_code == 403


# --- Questions --------------------------------------------------------------------------------------------------------


def test_saving_unchanged_questions_changes_nothing(manager):
    for slug in ("nps", "csat5", "ces"):
        row = Instrument.objects.get(slug=slug)
        before, version = asked(row), row.current_version()
        assert send(manager, page(row)).status_code == 302
        assert (asked(row), row.current_version()) == (before, version)
    assert not LogEntry.objects.exists()


def test_another_wording_replaces_a_version_that_nobody_answered(manager):
    row = make_instrument()
    response = send(manager, page(row), **{"q-0-text__en": "How likely?"})
    assert response.status_code == 302, errors_in(response)
    assert row.versions.count() == 1
    assert asked(row)[0].text == {"en": "How likely?", "zh-hans": "score？"}
    assert LogEntry.objects.get().object_id == str(row.pk)


def test_another_wording_of_an_answered_version_makes_the_next_one(manager):
    row = make_instrument()
    given = answer(make_touchpoint(instrument=row), 9)
    assert send(manager, page(row), **{"q-0-text__en": "How likely?"}).status_code == 302
    assert [version.number for version in row.versions.all()] == [2, 1]
    assert asked(row)[0].text["en"] == "How likely?"
    given.refresh_from_db()
    assert terms_of_version(given.version)[0].text["en"] == "score?"


def test_a_question_is_added_with_options_in_order_and_shown_by_score(manager):
    row = make_instrument(metric="csat", points=5)
    response = send(
        manager,
        page(row),
        **{
            "q-3-key": "when", "q-3-kind": "choice", "q-3-place": "2", "q-3-text__en": "When was it?",
            "q-3-options__0__text__en": "In the evening", "q-3-options__0__place": "2",
            "q-3-options__1__key": "early", "q-3-options__1__text__zh-hans": "早上", "q-3-options__1__place": "1",
            "q-3-show_if__key": ["score"], "q-3-show_if__values": ["1–2、3"],
            "q-1-place": "3", "q-2-place": "4",
        },
    )  # fmt: skip
    assert response.status_code == 302, errors_in(response)
    terms = asked(row)
    assert [one.key for one in terms] == ["score", "when", "reason", "comment"]
    assert terms[1].show_if == {"score": [1, 2, 3]}
    assert list(terms[1].options.items()) == [
        ("early", {"zh-hans": "早上"}),
        ("in_the_evening", {"en": "In the evening"}),
    ]


def test_questions_go_and_options_go(manager):
    row = make_instrument()
    changes = {"q-2-DELETE": "on", "q-1-options__0__text__en": "", "q-1-options__0__text__zh-hans": ""}
    assert send(manager, page(row), **changes).status_code == 302
    terms = asked(row)
    assert [one.key for one in terms] == ["score", "reason"]
    assert list(terms[1].options) == ["speed"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"q-0-text__en": "", "q-0-text__zh-hans": ""}, "needs a text"),
        ({"q-3-key": "Score 2", "q-3-text__en": "x"}, "is not a key"),
        ({"q-3-key": "reason", "q-3-text__en": "x"}, "stands twice"),
        ({"q-3-text__en": "x"}, "required"),
        ({"q-3-key": "pick", "q-3-kind": "choice", "q-3-text__en": "x"}, "needs options"),
        ({"q-1-show_if__key": ["score", ""], "q-1-show_if__values": ["11", ""]}, "11 is not on the scale 0–10"),
        ({"q-1-show_if__key": ["nobody", ""], "q-1-show_if__values": ["1", ""]}, "is not an earlier question"),
        ({"q-0-show_if__key": ["reason"], "q-0-show_if__values": ["price"]}, "is not an earlier question"),
        ({"q-1-show_if__key": ["", ""], "q-1-show_if__values": ["3", ""]}, "Name the earlier question"),
        ({"q-1-show_if__key": ["score", ""], "q-1-show_if__values": ["", ""]}, "would never be shown"),
        ({"q-1-options__1__text__en": "x" * 201}, "at most 200 fit"),
        ({"q-1-options__2__key": "price", "q-1-options__2__text__en": "x"}, "stands twice"),
        ({"q-1-options__2__key": "Not a key", "q-1-options__2__text__en": "x"}, "is not a key of an option"),
        ({"q-0-DELETE": "on"}, "One question must be the scale"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused_where_they_stand(manager, changes, said):
    row = make_instrument()
    before = asked(row)
    response = send(manager, page(row), **changes)
    assert said in errors_in(response)
    assert asked(row) == before
    typed = fields_of(response.content.decode())
    for name in [name for name in changes if "text" in name and name in typed]:
        assert typed[name] == [changes[name]]  # what was typed is not lost


def test_the_kind_of_an_answered_question_is_fixed(manager):
    row = make_instrument()
    answer(make_touchpoint(instrument=row), 3, "cold")
    send(manager, page(row), **{"q-2-kind": "scale", "q-2-text__en": "Anything?"})
    assert asked(row)[2].kind == "verbatim"
    assert asked(row)[2].text["en"] == "Anything?"


def test_an_edit_that_somebody_else_overtook_is_not_saved(manager):
    row = make_instrument()
    stale = fields_of(manager.get(page(row)).content.decode())
    assert send(manager, page(row), **{"q-0-text__en": "Mine"}).status_code == 302
    response = manager.post(page(row), {**stale, "q-0-text__en": "Theirs"})
    assert "Somebody else changed" in errors_in(response)
    assert asked(row)[0].text["en"] == "Mine"


def test_values_of_conditions_are_written_and_read():
    for values, text in (([0, 1, 2, 9], "0–2, 9"), ([1, 2], "1, 2"), (["late", "wet"], "late, wet"), ([], "")):
        assert write_values(values) == text
        assert read_values(text) == values
    assert read_values("0 - 3，late；9") == [0, 1, 2, 3, "late", 9]


def test_whoever_may_only_look_does_not_edit_questions(manager):
    row = make_instrument()
    client = sign_in_as(VIEWER)
    assert client.get(page(row)).status_code == 403
    assert client.get(page(row, "preview")).status_code == 403
    assert manager.get(page(Instrument(pk=0))).status_code == 302  # to the first page, with a message


# --- Preview ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "text"), [("en", "How likely"), ("zh-hans", "推荐")])
def test_the_preview_shows_the_form_in_each_language(manager, language, text):
    row = Instrument.objects.get(slug="nps")
    shown = manager.get(f"{page(row, 'preview')}?language={language}").content.decode()
    assert text in shown
    assert f'<html lang="{language}"' in shown


def test_a_preview_can_neither_be_sent_nor_record(manager):
    row = Instrument.objects.get(slug="nps")
    response = manager.get(page(row, "preview"))
    policy = response["Content-Security-Policy"]
    assert "form-action 'none'" in policy
    assert re.search(r"sandbox allow-scripts(;|$)", policy)
    assert "unsafe" not in policy
    shown = response.content.decode()
    assert "method=" not in shown
    assert 'type="submit"' not in shown
    assert manager.post(page(row, "preview"), {"score": "9", "version": "1"}).status_code == 405
    assert not Response.objects.exists()


def test_a_preview_may_be_framed_by_our_own_pages_alone(manager):
    response = manager.get(page(Instrument.objects.get(slug="nps"), "preview"))
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert "frame-ancestors 'self'" in response["Content-Security-Policy"]


def test_an_older_version_can_be_seen_and_an_unknown_one_is_not_there(manager):
    row = make_instrument()
    answer(make_touchpoint(instrument=row), 9)
    send(manager, page(row), **{"q-0-text__en": "How likely?"})
    assert "score?" in manager.get(f"{page(row, 'preview')}?version=1").content.decode()
    assert "How likely?" in manager.get(f"{page(row, 'preview')}?version=2").content.decode()
    assert manager.get(f"{page(row, 'preview')}?version=3").status_code == 404


def test_a_language_that_lacks_texts_is_told(manager):
    row = make_instrument()
    send(manager, page(row), **{"q-0-text__zh-hans": ""})
    assert "Some texts are missing in: 简体中文" in manager.get(page(row, "change")).content.decode()
