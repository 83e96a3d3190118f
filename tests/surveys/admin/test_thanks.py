"""The page after an answer, the share link, and the newer kinds of questions, as managers write them."""

import pytest
from django.urls import reverse

from surveys.flow.groups import MANAGER, VIEWER
from surveys.flow.instruments import QuestionTerms, publish_version, terms_of_version
from surveys.flow.programme.values import is_link
from surveys.flow.thanks import bands_of, link_faults
from surveys.models import Instrument, Organisation
from surveys.scales import SCALES
from tests.factories import make_instrument, make_organisation
from tests.surveys.admin.staff import errors_in, fields_of, send, sign_in_as

pytestmark = pytest.mark.django_db
XSS = '"><script>alert(1)</script>'


@pytest.fixture
def manager():
    make_organisation()
    return sign_in_as(MANAGER)


def page(row, action: str = "change") -> str:
    return reverse(f"admin:surveys_instrument_{action}", args=[row.pk])


def asked(row) -> list:
    return terms_of_version(row.current_version())


# --- What may be a link -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("https://example.com", "http://example.com:8080/a?b=c#d", "https://例子.测试/路径", "https://[::1]/"),
        *("mailto:help@example.com", "mailto:help@example.com?subject=Tea", "tel:+86-10-12345678", "tel:95555"),
    ],
)
def test_web_addresses_letters_and_calls_are_links(text):
    assert is_link(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "example.com",
            "/help",
            "//example.com",
            "https://",
            "https:///a",
            "javascript:alert(1)",
            "data:text/html,x",
        ),
        *("JaVaScRiPt:alert(1)", " https://example.com", "https://a b.com", "https://a.com/\n", "https://a.com/\\b"),
        *("vbscript:x", "file:///etc/passwd", "mailto:nobody", "mailto:", "tel:", "tel:abc", "tel:+1;ext=<b>"),
        *('https://a.com/"onclick=x', "https://a.com:99999/", "https://[::1"),
    ],
)
def test_nothing_else_is_a_link(text):
    assert not is_link(text)


def test_a_link_needs_both_an_address_and_a_label():
    assert link_faults({"url": "", "label": {}}) == []
    assert link_faults({"url": "https://a.com", "label": {"en": "Help"}}) == []
    assert link_faults({"url": "", "label": {"en": "Help"}})
    assert link_faults({"url": "https://a.com", "label": {"en": ""}})


def test_the_blocks_of_a_thank_you_page_are_the_bands_of_its_scale_and_one_more():
    for (metric, points), scale in SCALES.items():
        assert bands_of(metric, points) == [*(band for band, _lowest in scale.bands), "any"]


# --- Typing it --------------------------------------------------------------------------------------------------------


def test_a_block_for_each_band_is_kept_in_every_language(manager):
    row = make_instrument()
    response = send(
        manager, page(row),
        thanks__detractors__title__en="We are sorry", thanks__detractors__text__en="We will look into it.",
        **{
            "thanks__detractors__title__zh-hans": "很抱歉",
            "thanks__detractors__link0__url": "tel:+861012345678",
            "thanks__detractors__link0__label__en": "Call us",
            "thanks__any__link1__url": "https://example.com/a?b=c",  # the first is left empty
            "thanks__any__link1__label__zh-hans": "看看",
            "share__url": "https://reviews.example.com/shop",
            "share__label__en": "Tell others",
            "max_questions": "3",
        },
    )  # fmt: skip
    assert response.status_code == 302, errors_in(response)
    row.refresh_from_db()
    assert row.thanks == {
        "detractors": {
            "title": {"en": "We are sorry", "zh-hans": "很抱歉"},
            "text": {"en": "We will look into it."},
            "links": [{"label": {"en": "Call us"}, "url": "tel:+861012345678"}],
        },
        "any": {"title": {}, "text": {}, "links": [{"label": {"zh-hans": "看看"}, "url": "https://example.com/a?b=c"}]},
    }
    assert row.share == {"label": {"en": "Tell others"}, "url": "https://reviews.example.com/shop"}
    assert row.max_questions == 3
    before = (row.thanks, row.share)
    assert send(manager, page(row)).status_code == 302  # unchanged
    row.refresh_from_db()
    assert (row.thanks, row.share) == before
    emptied = {name: "" for name in fields_of(manager.get(page(row)).content.decode()) if name.startswith("thanks__")}
    send(manager, page(row), **emptied, share__url="", share__label__en="")
    row.refresh_from_db()
    assert (row.thanks, row.share) == ({}, {})


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            {"thanks__promoters__link0__url": "javascript:alert(1)", "thanks__promoters__link0__label__en": "x"},
            "Promoter",
        ),
        ({"thanks__promoters__link0__url": "https://a.com"}, "needs a label"),
        ({"thanks__any__link2__label__en": "Help"}, "needs an address"),
        ({"share__url": "data:text/html,x", "share__label__en": "x"}, "is no address for a link"),
        ({"share__url": "https://a.com"}, "needs a label"),
        ({"thanks__any__title__en": "x" * 201}, "at most 200 fit"),
        ({"share__url": "https://a.com/" + "x" * 500, "share__label__en": "x"}, "is no address for a link"),
        ({"max_questions": "51"}, "50"),
        ({"max_questions": "-1"}, "0"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_stays_typed(manager, typed, said):
    row = make_instrument()
    response = send(manager, page(row), **typed)
    assert said in errors_in(response)
    held = fields_of(response.content.decode())
    assert {name: held[name][0] for name in typed} == typed
    row.refresh_from_db()
    assert (row.thanks, row.share, row.max_questions) == ({}, {}, 0)


def test_texts_of_a_thank_you_page_are_never_markup_on_a_page_of_staff(manager):
    row = make_instrument()
    row.thanks = {
        "any": {"title": {"en": XSS}, "text": {"en": XSS}, "links": [{"label": {"en": XSS}, "url": "tel:123"}]}
    }
    row.share = {"label": {"en": XSS}, "url": "https://a.com"}
    row.save()
    assert XSS not in manager.get(page(row)).content.decode()


def test_another_scale_takes_its_bands_along(manager):
    row = make_instrument(metric="csat", points=5)
    row.thanks = {"satisfied": {"title": {"en": "Glad"}}, "any": {"title": {"en": "Thanks"}}}
    row.save()
    response = send(manager, page(row), scale="nps:11")
    assert response.status_code == 302, errors_in(response)
    row.refresh_from_db()
    assert row.metric == "nps"
    assert row.thanks == {"any": {"title": {"en": "Thanks"}, "text": {}, "links": []}}


def test_the_page_after_an_answer_is_previewed_for_each_band_and_leads_nowhere(manager):
    row = make_instrument()
    call = [{"label": {"en": "Call us"}, "url": "tel:+8610123456"}]
    sorry = {"title": {"en": "We are sorry", "zh-hans": "很抱歉"}, "links": call}
    row.thanks = {"detractors": sorry, "any": {"text": {"en": XSS}}}
    row.share = {"label": {"en": "Tell others"}, "url": "https://reviews.example.com/"}
    row.save()
    shown = {band: manager.get(page(row, "preview"), {"thanks": band}) for band in ("detractors", "any", "junk", "")}
    assert 'href="tel:+8610123456"' in shown["detractors"].content.decode()
    for band, response in shown.items():
        text = response.content.decode()
        assert ("We are sorry" in text) is (band == "detractors")
        assert "Tell others" in text  # to everyone alike
        assert XSS not in text
        policy = response["Content-Security-Policy"]
        assert "sandbox allow-scripts;" in policy + ";"
        assert "form-action 'none'" in policy
    chinese = manager.get(page(row, "preview"), {"thanks": "detractors", "language": "zh-hans"}).content.decode()
    assert "很抱歉" in chinese
    assert f"{page(row, 'preview')}?thanks=detractors" in manager.get(page(row)).content.decode()
    assert sign_in_as(VIEWER).get(page(row, "preview"), {"thanks": "any"}).status_code == 403
    assert manager.post(page(row, "preview") + "?thanks=any").status_code == 405


def test_why_a_share_link_is_for_everyone_is_said(manager):
    assert "review gating" in manager.get(page(make_instrument())).content.decode()


def test_languages_that_the_organisation_does_not_use_are_carried_along(manager):
    row = make_instrument()
    row.thanks = {"any": {"title": {"fr": "Merci"}, "links": [{"label": {"fr": "Aide"}, "url": "https://a.com"}]}}
    row.save()
    send(manager, page(row), thanks__any__title__en="Thanks")
    row.refresh_from_db()
    assert row.thanks["any"] == {
        "title": {"fr": "Merci", "en": "Thanks"},
        "text": {},
        "links": [{"label": {"fr": "Aide"}, "url": "https://a.com"}],
    }


# --- Questions --------------------------------------------------------------------------------------------------------


def test_a_contact_permission_is_added_by_its_kind_alone(manager):
    row = make_instrument()
    response = send(manager, page(row, "questions"), **{"q-3-kind": "contact"})
    assert response.status_code == 302, errors_in(response)
    assert [(one.key, one.kind, one.text) for one in asked(row)][-1] == ("contact", "contact", {})
    shown = manager.get(page(row, "questions")).content.decode()
    assert 'placeholder="May we contact you about this?"' in shown
    assert 'placeholder="我们可以就此事联系您吗？"' in shown
    assert "May we contact you about this?" in manager.get(page(row)).content.decode()
    assert "May we contact you about this?" in manager.get(page(row, "preview")).content.decode()


def test_an_organisations_own_words_stand_for_a_contact_permission(manager):
    Organisation.objects.update(phrases={"en": {"contact": "Shall we call?"}})
    row = make_instrument()
    send(manager, page(row, "questions"), **{"q-3-kind": "contact"})
    assert 'placeholder="Shall we call?"' in manager.get(page(row, "questions")).content.decode()


def test_a_yes_no_question_can_be_what_another_one_depends_on(manager):
    row = make_instrument()
    response = send(
        manager, page(row, "questions"),
        **{"q-3-key": "solved", "q-3-kind": "yes_no", "q-3-text__en": "Solved?", "q-3-place": "2",
           "q-2-show_if__key": ["solved"], "q-2-show_if__values": ["no"], "q-1-place": "3", "q-2-place": "4"},
    )  # fmt: skip
    assert response.status_code == 302, errors_in(response)
    assert [one.key for one in asked(row)] == ["score", "solved", "reason", "comment"]
    assert asked(row)[3].show_if == {"solved": ["no"]}
    wrong = send(manager, page(row, "questions"), **{"q-3-show_if__values": ["perhaps"]})
    assert "is not “yes” or “no”" in errors_in(wrong)
    shown = manager.get(page(row, "preview")).content.decode()
    assert 'value="yes"' in shown


def test_a_short_scale_is_drawn_as_stars_and_a_long_one_is_not(manager):
    row = make_instrument(metric="csat", points=5)
    assert send(manager, page(row, "questions"), **{"q-0-display": "stars"}).status_code == 302
    assert asked(row)[0].display == "stars"
    assert "Stars" in manager.get(page(row)).content.decode()
    nps = make_instrument()
    assert "q-0-display" not in fields_of(manager.get(page(nps, "questions")).content.decode())
    more = {"q-3-key": "again", "q-3-kind": "scale", "q-3-text__en": "Again?", "q-3-display": "faces"}
    assert "drawn as numbers" in errors_in(send(manager, page(nps, "questions"), **more))
    assert send(manager, page(nps, "questions"), **more, **{"q-3-scale": "csat:5"}).status_code == 302
    assert asked(nps)[-1].display == "faces"


def test_words_by_band_are_kept_for_follow_ups_only(manager):
    row = make_instrument()
    names = fields_of(manager.get(page(row, "questions")).content.decode())
    assert "q-0-by_band__detractors__en" not in names
    response = send(
        manager,
        page(row, "questions"),
        **{"q-2-by_band__detractors__en": "What went wrong?", "q-2-by_band__passives__en": " "},
    )
    assert response.status_code == 302, errors_in(response)
    assert asked(row)[2].by_band == {"detractors": {"en": "What went wrong?"}}
    shown = manager.get(page(row)).content.decode()
    assert "Detractor (0–6):" in shown
    assert "What went wrong?" in shown
    version = row.current_version()
    assert send(manager, page(row, "questions")).status_code == 302
    assert row.current_version() == version


@pytest.mark.slow
def test_built_in_instruments_lose_nothing_when_their_questions_are_saved(manager):
    for slug in ("nps", "csat5", "csat7", "ces"):
        row = Instrument.objects.get(slug=slug)
        before = asked(row)
        assert any(one.by_band for one in before)
        assert send(manager, page(row, "questions")).status_code == 302
        assert asked(row) == before


def test_a_question_in_twenty_six_languages_is_saved_whole(manager):
    from surveys.phrases import LANGUAGES

    make_organisation(languages=list(LANGUAGES))
    row = make_instrument(metric="csat", points=5)
    texts = {language: f"How was it? {language}" for language in LANGUAGES}
    options = {key: {language: f"{key} {language}" for language in LANGUAGES} for key in ("a", "b", "c", "d", "e")}
    publish_version(
        row,
        [
            QuestionTerms("score", "scale", texts, low=texts, high=texts),
            QuestionTerms("reason", "choices", texts, options=options),
            QuestionTerms("comment", "verbatim", texts, by_band={"satisfied": texts, "dissatisfied": texts}),
            *(QuestionTerms(f"more{number}", "choices", texts, options=options) for number in range(9)),
        ],
    )
    response = send(manager, page(row, "questions"), **{"q-1-text__ko": "왜요?"})
    assert response.status_code == 302, errors_in(response)
    assert asked(row)[1].text == {**texts, "ko": "왜요?"}
    assert asked(row)[1].options == options
    shown = manager.get(page(row, "questions")).content.decode()
    assert "22 more languages" in shown
