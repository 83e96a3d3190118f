"""The organisation's own phrases, what is missing in which language, and the versions of its privacy notice."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import translation

from surveys.admin.phrases import GROUPS, NOTES, fault_in, ours_in
from surveys.flow.gaps import Gap, find_gaps
from surveys.flow.groups import MANAGER, VIEWER
from surveys.flow.instruments import QuestionTerms, publish_version
from surveys.models import Organisation, PrivacyNotice, Response
from surveys.phrases import LANGUAGES, PHRASES, Phrases, places_of
from tests.concurrency import together
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.surveys.admin.people import answer, sign_in
from tests.surveys.admin.staff import fields_of, send, sign_in_as

pytestmark = pytest.mark.django_db
XSS = '"><script>alert(1)</script>'
PHRASES_PAGE, LANGUAGES_PAGE, NOTICES_PAGE = (
    f"/admin/surveys/organisation/{name}/" for name in ("phrases", "languages", "notices")
)


@pytest.fixture
def manager():
    make_organisation()
    return sign_in_as(MANAGER)


def held() -> dict:
    return Organisation.objects.get().phrases


# --- Own phrases ------------------------------------------------------------------------------------------------------


def test_every_phrase_stands_in_a_group_and_every_note_is_of_a_phrase():
    assert GROUPS.keys() <= PHRASES.keys()
    assert next(iter(GROUPS)) == next(iter(PHRASES))
    assert NOTES.keys() <= PHRASES.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_our_wording_is_shown_with_its_places(language):
    for key in PHRASES:
        shown = ours_in(language, key)
        assert all(f"%({name})" in shown for name in places_of(key) if name != "count"), (key, shown)
        assert "987" not in shown
        assert fault_in(key, shown) == ""  # what is copied from the page can be typed


def test_the_page_shows_a_place_as_our_phrase_writes_it():
    plain = [key for key in PHRASES if "count" not in places_of(key)]
    assert [key for key in plain if ours_in("en", key) != str(PHRASES[key])] == []


def test_a_phrase_of_ones_own_replaces_ours_in_one_language(manager):
    response = send(
        manager, f"{PHRASES_PAGE}?language=fr", **{"p-send": "  Envoyer ma   réponse ", "p-no": "Non merci"}
    )
    assert response.status_code == 302
    assert held() == {"fr": {"send": "Envoyer ma réponse", "no": "Non merci"}}
    with translation.override("fr"):
        assert Phrases(held()["fr"])["send"] == "Envoyer ma réponse"
    shown = manager.get(f"{PHRASES_PAGE}?language=fr").content.decode()
    assert 'value="Envoyer ma réponse"' in shown
    assert "2 own" in shown
    send(manager, f"{PHRASES_PAGE}?language=zh-hans", **{"p-send": "发送"})
    assert held()["zh-hans"] == {"send": "发送"}
    send(manager, f"{PHRASES_PAGE}?language=fr", **{"p-send": "", "p-no": ""})
    assert held() == {"zh-hans": {"send": "发送"}}
    assert LogEntry.objects.count() == 3


def test_what_equals_our_wording_is_not_kept(manager):
    send(manager, f"{PHRASES_PAGE}?language=en", **{"p-send": "Send", "p-yes": "Sure"})
    assert held() == {"en": {"yes": "Sure"}}
    shown = send(manager, f"{PHRASES_PAGE}?language=en")
    assert shown.status_code == 302
    assert LogEntry.objects.count() == 1  # nothing was changed


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("send", "Send %(count)d"),
        ("score_of", "%(score)d of %(most)d"),
        ("hello_name", "Hello %(name),"),
        ("hello_name", "Hello %(name)x,"),
        ("subject", "%(touchpoint)s%(n"),
        ("send", "a\x00b"),
        ("send", "x" * 1001),
    ],
)
def test_a_phrase_with_another_place_than_ours_is_refused_and_stays_typed(manager, key, text):
    response = send(manager, f"{PHRASES_PAGE}?language=en", **{f"p-{key}": text, "p-yes": "Sure"})
    assert response.status_code == 422
    assert f'id="e-{key}"' in response.content.decode()
    assert fields_of(response.content.decode())["p-yes"] == ["Sure"]
    assert held() == {}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("score_of", "%(score)d / %(high)d"),
        ("send", "100% sure"),
        ("hello_name", "Hi %(name)s!"),
        ("stars", "★ %(count)d"),
    ],
)
def test_a_phrase_with_our_places_is_kept_and_can_be_filled(manager, key, text):
    assert send(manager, f"{PHRASES_PAGE}?language=en", **{f"p-{key}": text}).status_code == 302
    say = Phrases(held()["en"])
    filled = say.fill(key, **dict.fromkeys(places_of(key), 3)) if places_of(key) else say[key]
    assert "%(" not in filled


def test_a_place_that_is_left_out_is_pointed_at(manager):
    shown = manager.get(f"{PHRASES_PAGE}?language=en").content.decode()
    data = fields_of(shown) | {"p-hello_name": ["Dear customer,"]}
    data = {name: values for name, values in data.items() if name.startswith("p-") or name == "seen"}
    after = manager.post(f"{PHRASES_PAGE}?language=en", data, follow=True).content.decode()
    assert "leaves out %(name)" in after


def test_a_page_that_was_opened_before_somebody_elses_change_saves_nothing(manager):
    path = f"{PHRASES_PAGE}?language=en"
    seen = fields_of(manager.get(path).content.decode())["seen"]
    send(manager, path, **{"p-yes": "Sure"})
    late = manager.post(path, {"seen": seen, "p-yes": "Yep"})
    assert late.status_code == 422
    assert "Somebody else changed these phrases" in late.content.decode()
    assert 'value="Yep"' in late.content.decode()
    assert held() == {"en": {"yes": "Sure"}}


@pytest.mark.django_db(transaction=True)
def test_languages_written_at_the_same_moment_do_not_overwrite_each_other():
    make_organisation()
    tags = LANGUAGES[:6]
    clients = [sign_in_as(MANAGER) for _tag in tags]
    together(len(tags), lambda n: send(clients[n], f"{PHRASES_PAGE}?language={tags[n]}", **{"p-send": f"Go {n}"}))
    assert held() == {tag: {"send": f"Go {n}"} for n, tag in enumerate(tags)}


def test_phrases_are_never_markup_on_the_page(manager):
    Organisation.objects.update(phrases={"en": {"send": XSS, "offline": XSS * 3}})
    assert XSS not in manager.get(f"{PHRASES_PAGE}?language=en").content.decode()
    assert XSS not in send(manager, f"{PHRASES_PAGE}?language=en", **{"p-no": f"%({XSS}"}).content.decode()


@pytest.mark.parametrize("language", ["", "xx", XSS, "zh", "ar", "PT_BR"])
def test_any_language_of_ours_can_be_chosen_and_no_other(manager, language):
    shown = manager.get(PHRASES_PAGE, {"language": language})
    assert shown.status_code == 200
    wanted = {"zh": "zh-hans", "ar": "ar", "PT_BR": "pt-br"}.get(language, "en")
    assert shown.context["language"] == wanted


def test_the_language_picker_offers_every_language_of_ours_by_its_own_name(manager):
    shown = manager.get(reverse("admin:surveys_organisation_change", args=[1])).content.decode()
    for name in (
        "Français",
        "Deutsch",
        "Português",
        "Türkçe",
        "Русский",
        "العربيّة",
        "עברית",
        "日本語",
        "한국어",
        "繁體中文",
    ):
        assert name in shown
    changes = {"languages_known": list(LANGUAGES)}
    assert send(manager, reverse("admin:surveys_organisation_change", args=[1]), **changes).status_code == 302
    assert set(Organisation.objects.get().languages) == set(LANGUAGES)


@pytest.mark.parametrize("path", [PHRASES_PAGE, LANGUAGES_PAGE, NOTICES_PAGE])
def test_only_whoever_may_see_the_organisation_gets_in(path):
    make_organisation()
    assert sign_in_as(VIEWER).get(path).status_code == 403
    assert sign_in("view_response").get(path).status_code == 403
    assert sign_in("view_organisation").get(path).status_code == 200
    assert sign_in_as(MANAGER).get(path).status_code == 200


def test_only_whoever_may_change_the_organisation_writes_phrases():
    make_organisation(phrases={"en": {"send": "Go"}})
    reader = sign_in("view_organisation")
    assert "Save the phrases" not in reader.get(PHRASES_PAGE).content.decode()
    assert reader.post(PHRASES_PAGE, {"p-send": "x", "seen": ""}).status_code == 403
    assert held() == {"en": {"send": "Go"}}


# --- What is missing --------------------------------------------------------------------------------------------------


def told(language: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(getattr(gap.row, "slug", ""), gap.what) for gap in find_gaps(Organisation.objects.get())[language]]


def test_each_kind_of_text_that_is_missing_is_found():
    make_organisation(languages=["en", "de"], privacy={"en": "We keep it."})
    instrument = make_instrument("asks", "csat", 5)
    both = {"en": "x", "de": "x"}
    publish_version(
        instrument,
        [
            QuestionTerms("score", "scale", {"en": "How?"}, low=both, high={"en": "Good"}),
            QuestionTerms("reason", "choice", both, options={"late": {"en": "Late"}, "cold": both}),
            QuestionTerms("comment", "verbatim", both, by_band={"satisfied": {"en": "Glad"}, "dissatisfied": both}),
            QuestionTerms("contact", "contact", {}),
        ],
    )
    instrument.thanks = {
        "any": {"title": {"en": "Thanks"}, "text": both, "links": [{"label": {"en": "Help"}, "url": "https://a.com"}]}
    }
    instrument.share = {"label": {"en": "Tell"}, "url": "https://a.com"}
    instrument.save()
    make_touchpoint("shop", instrument)
    assert told("de") == [
        ("", ("name",)),
        ("", ("privacy",)),
        ("shop", ("name",)),
        ("asks", ("text", "score")),
        ("asks", ("high", "score")),
        ("asks", ("option", "reason", "late")),
        ("asks", ("by_band", "comment", "satisfied")),
        ("asks", ("thanks_title", "any")),
        ("asks", ("thanks_link", "any", "1")),
        ("asks", ("share",)),
    ]
    assert told("en") == []


def test_what_nobody_is_asked_is_not_missing():
    make_organisation(languages=["en", "zh-hans", "fr"], name={"fr": "x", "en": "x", "zh-hans": "x"})
    make_instrument("unused")
    off = make_instrument("off")
    make_touchpoint("closed", off, active=False)
    assert told("fr") == []
    used = make_instrument("used")
    used.active = False
    used.save()
    make_touchpoint("open", used, name={"fr": "x"})
    assert told("fr") == []


def test_a_language_with_a_region_is_served_by_its_base_and_one_we_do_not_know_lacks_phrases():
    make_organisation(languages=["en", "en-gb", "sw"], name={"en": "x"})
    assert told("en-gb") == []
    assert told("sw") == [("", ("name",)), ("", ("phrases",))]


def test_the_overview_of_languages_leads_to_where_texts_are_written(manager):
    make_organisation(languages=["en", "zh-hans", "de"])
    instrument = make_instrument("asks")
    make_touchpoint("shop", instrument, name={"en": XSS, "zh-hans": "店"})
    shown = manager.get(LANGUAGES_PAGE).content.decode()
    assert "nothing missing" in shown
    assert "option “price” of “reason”" in shown
    assert reverse("admin:surveys_instrument_questions", args=[instrument.pk]) in shown
    assert XSS not in shown
    reader = sign_in("view_organisation").get(LANGUAGES_PAGE).content.decode()
    assert reverse("admin:surveys_instrument_questions", args=[instrument.pk]) not in reader


def test_every_kind_of_gap_is_said_in_words(manager):
    from surveys.admin.languages import WORDS
    from surveys.admin.languages import told as said

    instrument = make_instrument("asks")
    for kind in WORDS:
        text = said(Gap(instrument, (kind, "promoters", "late")))
        assert "%(" not in text


# --- The privacy notice -----------------------------------------------------------------------------------------------


def test_versions_of_the_privacy_notice_stand_with_their_answers(manager):
    organisation = make_organisation(privacy={"en": "First.", "zh-hans": XSS})
    first = organisation.privacy_notice_id
    touchpoint = make_touchpoint()
    for _time in range(2):
        answer(touchpoint, 9, privacy_notice_id=first)
    answer(touchpoint, 9)
    organisation.privacy = {"en": "Second."}
    organisation.save()
    page = manager.get(NOTICES_PAGE)
    shown = [(one.number, one.answers, one.is_current) for one in page.context["versions"]]
    assert shown == [(organisation.privacy_notice_id, 0, True), (first, 2, False)]
    text = page.content.decode()
    assert "2 answers" in text
    assert "1 answer was given without one." in text
    assert XSS not in text
    assert manager.post(NOTICES_PAGE, {"text": "x"}).status_code == 405
    assert PrivacyNotice.objects.count() == 2
    assert Response.objects.count() == 3
