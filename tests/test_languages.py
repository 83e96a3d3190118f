"""A respondent's side says everything in every shipped language: each phrase, and the wording of the four standard instruments.

What a native reader would notice at once is held as well: letters of another script or of a neighbour's language, forms of the
plural that are never chosen, marks set as in English, ends of a scale that are too long for a phone.
"""

import html
import re
import unicodedata
from collections import Counter
from functools import cache
from gettext import c2py  # what Django itself reads Plural-Forms with
from pathlib import Path

import polib
import pytest
from django.utils import translation
from django.utils.translation import ngettext, to_locale

from surveys.flow.builtins import wordings
from surveys.flow.compose import compose
from surveys.models import Instrument, Wording
from surveys.phrases import LANGUAGES, PHRASES
from surveys.texts import fill
from tests.factories import make_customer, make_invitation, make_organisation, make_touchpoint
from tests.messages import Message, python_messages

ROOT = Path(__file__).resolve().parent.parent
TAGS = [tag for tag in LANGUAGES if tag != "en"]
STAFF_TOO = {"zh-hans"}  # its catalogue holds the texts of staff as well; tests/test_translations.py reads it whole

PLACE = re.compile(r"%\(\w+\)[sd]|\{\w*\}")
COUNT = "%(count)d"
COUNTS = (0, 1, 2, 3, 5, 11, 21)
ACRONYM = re.compile(r"\b[A-Z]{2,4}\b")  # NPS, CSAT, CES, QR: the same everywhere

# Written as in English, deliberately. Texts without a letter need no entry.
SAME = {
    "es": {"No"},
    "it": {"No"},
    "de": {"optional", "Feedback"},
    "nl": {"Feedback"},
    "da": {"Send", "Feedback"},
}

# Which form serves each of COUNTS, from the plural rules of Unicode's CLDR.
ONE_OR_MORE, TO_ONE_OR_MORE, NO_PLURAL = (1, 0, 1, 1, 1, 1, 1), (0, 0, 1, 1, 1, 1, 1), (0, 0, 0, 0, 0, 0, 0)
FORMS = {
    **dict.fromkeys(("de", "it", "nl", "sv", "da", "fi", "hi"), ONE_OR_MORE),
    **dict.fromkeys(("fr", "pt-br", "tr", "fa"), TO_ONE_OR_MORE),
    **dict.fromkeys(("zh-hans", "zh-hant", "id", "vi", "th", "ja", "ko"), NO_PLURAL),
    "es": (2, 0, 2, 2, 2, 2, 2),
    "pl": (2, 0, 1, 1, 2, 2, 2),
    "cs": (3, 0, 1, 1, 3, 3, 3),
    "ru": (2, 0, 1, 1, 2, 2, 0),
    "uk": (2, 0, 1, 1, 2, 2, 0),
    "ar": (0, 1, 2, 3, 3, 4, 4),
    "he": (3, 0, 1, 3, 3, 3, 3),
}

# First word of the Unicode name of its letters; LATIN where none is named.
SCRIPTS = {
    **dict.fromkeys(("zh-hans", "zh-hant"), ("CJK",)),
    "ja": ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "CJK"),
    "ko": ("HANGUL",),
    **dict.fromkeys(("ru", "uk"), ("CYRILLIC",)),
    **dict.fromkeys(("ar", "fa"), ("ARABIC",)),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "th": ("THAI",),
}

# Letters that so many sentences cannot do without, and letters that only a neighbour's language has.
LETTERS = {
    "zh-hans": ("这们请", "這們請為個會學說讓從開關對問體無資過還應進訊點選擇傳"),
    "zh-hant": ("這們請", "这们请为个会学说让从开关对问体无资过还应进讯点选择传"),
    "es": ("ñáéíóú¿", "ãõçàèß"),
    "fr": ("éèêàç’", "ñãõßäö"),
    "de": ("äöüß", "åøæñçéè"),
    "pt-br": ("ãõçáéêó", "ñßèäöü"),
    "it": ("èàù’", "ñãõçßäöü"),
    "nl": ("éê", "åøæñãõçß"),
    "pl": ("ąćęłńóśźż", "ěřůůčšžýñ"),
    "cs": ("áčěíéřšýžů", "ąęłńśźżñ"),
    "sv": ("åäö", "øæßñ"),
    "da": ("æøå", "äößñ"),
    "fi": ("äö", "åøæßñ"),
    "tr": ("çğışöüİ", "âñßäåêé"),
    "vi": ("đơưạả", "ñßäåø"),
    "ru": ("ыэй", "іїєґ"),
    "uk": ("іїє", "ыэёъ"),
    "ar": ("ةيك", "پچژگکی"),
    "fa": ("پگکی", "ةيك"),
    "he": ("םןץ", ""),
    "hi": ("हैक", ""),
    "th": ("ไาั", ""),
    "ja": ("のをはい", "这们请您為個說讓"),
    "ko": ("요니다", ""),
    "id": ("", "ñßäöüéèçğışđ"),
}


@cache
def phrases() -> tuple[Message, ...]:
    return tuple(python_messages((ROOT / "surveys/phrases.py").read_text(), "surveys/phrases.py"))


@cache
def catalogue(tag: str) -> polib.POFile:
    return polib.pofile(str(ROOT / "locale" / to_locale(tag) / "LC_MESSAGES/django.po"))


@cache
def entries(tag: str) -> dict[tuple[str, str], polib.POEntry]:
    """The respondent's part of a catalogue."""
    wanted = {message.key for message in phrases()}
    found = {(entry.msgctxt or "", entry.msgid): entry for entry in catalogue(tag) if not entry.obsolete}
    return {key: entry for key, entry in found.items() if key in wanted or tag not in STAFF_TOO}


def forms(entry: polib.POEntry) -> list[str]:
    return [entry.msgstr_plural[form] for form in sorted(entry.msgstr_plural)] if entry.msgid_plural else [entry.msgstr]


def leaves(tree: object, *path: str) -> dict[tuple[str, ...], str]:
    """(path to a text) to text, of one language's instruments."""
    if isinstance(tree, dict):
        return {at: text for key, inner in tree.items() for at, text in leaves(inner, *path, key).items()}
    return {path: str(tree)}


@cache
def instruments(tag: str) -> dict[tuple[str, ...], str]:
    return leaves(wordings().get(tag, {}))


def texts(tag: str) -> list[str]:
    """Everything that a respondent can read in one language, with a number at its places."""
    said = [text for entry in entries(tag).values() for text in forms(entry)]
    return [PLACE.sub("0", text) for text in (*said, *instruments(tag).values())]


def plural_rule(tag: str) -> tuple[int, str]:
    found = re.fullmatch(r"nplurals=(\d);\s*plural=(.+);", catalogue(tag).metadata["Plural-Forms"])
    assert found
    return int(found[1]), found[2]


def has_letters(text: str) -> bool:
    return any(character.isalpha() for character in PLACE.sub("", text))


def test_twenty_six_languages_are_shipped_once_each():
    assert len(set(LANGUAGES)) == len(LANGUAGES) == 26
    assert set(FORMS) == set(LETTERS) == set(TAGS)
    assert len(phrases()) == len(PHRASES)


@pytest.mark.parametrize("tag", TAGS)
def test_a_catalogue_holds_each_phrase_once_and_nothing_else(tag):
    assert entries(tag).keys() == {message.key for message in phrases()}
    assert catalogue(tag).metadata["Language"].replace("_", "-").lower() == tag
    held = Counter((entry.msgctxt or "", entry.msgid) for entry in catalogue(tag))
    assert [key for key, times in held.items() if times > 1] == []
    assert [entry.msgid for entry in catalogue(tag) if entry.obsolete] == []


@pytest.mark.parametrize("tag", TAGS)
def test_no_phrase_is_empty_or_unsure(tag):
    count, _rule = plural_rule(tag)
    plural = {message.key: message.plural for message in phrases()}
    wrong = []
    for key, entry in entries(tag).items():
        written = forms(entry)
        if "fuzzy" in entry.flags or not all(text.strip() for text in written):
            wrong.append(key)
        if entry.msgid_plural != plural[key] or len(written) != (count if plural[key] else 1):
            wrong.append(key)
        if any(text != text.strip() for text in written) and entry.msgid != ", ":
            wrong.append(key)
    assert wrong == []


@pytest.mark.parametrize("tag", TAGS)
def test_a_phrase_keeps_its_places(tag):
    """A form for one single number may say it in a word, as the Arabic dual does."""
    _count, rule = plural_rule(tag)
    served = Counter(c2py(rule)(number) for number in range(1000))
    wrong = []
    for entry in entries(tag).values():
        expected = Counter(PLACE.findall(entry.msgid))
        for form, text in enumerate(forms(entry)):
            found = Counter(PLACE.findall(text))
            in_words = entry.msgid_plural and served[form] == 1 and found == expected - Counter([COUNT])
            if (found != expected and not in_words) or text.count("%") != sum(found.values()):
                wrong.append(text)
    assert wrong == []


@pytest.mark.parametrize("tag", TAGS)
def test_what_is_said_as_in_english_is_meant_to_be(tag):
    same = {entry.msgid for entry in entries(tag).values() if entry.msgid in forms(entry) and has_letters(entry.msgid)}
    english = instruments("en")
    same |= {text for path, text in instruments(tag).items() if english.get(path) == text}
    assert same == SAME.get(tag, set())


@pytest.mark.parametrize("tag", TAGS)
def test_each_number_finds_its_form(tag):
    with translation.override(tag):
        for entry in entries(tag).values():
            if entry.msgid_plural:
                shown = [ngettext(entry.msgid, entry.msgid_plural, n) % {"count": n} for n in COUNTS]
                expected = [
                    entry.msgstr_plural[form] % {"count": n} for n, form in zip(COUNTS, FORMS[tag], strict=True)
                ]
                assert shown == expected


@pytest.mark.parametrize("tag", TAGS)
def test_a_page_shows_what_the_catalogue_says(tag):
    """Django and the libraries bring texts of the same name, such as "Yes": ours come first."""
    values = {"score": 3, "low": 1, "high": 5, "number": 1, "total": 2, "count": 2, "name": "N", "touchpoint": "T"}
    values["organisation"] = "O"
    with translation.override(tag):
        for (key, phrase), message in zip(PHRASES.items(), phrases(), strict=True):
            written = forms(entries(tag)[message.key])
            assert str(phrase % values if message.plural else phrase) in [
                text % values if message.plural else text for text in written
            ], key


@pytest.mark.parametrize("tag", TAGS)
def test_the_instruments_say_all_that_english_says_with_the_same_names_filled_in(tag):
    def places(language: str) -> dict[tuple[str, ...], Counter[str]]:
        return {path: Counter(PLACE.findall(text)) for path, text in instruments(language).items()}

    assert places(tag) == places("en")
    assert all(text.strip() == text != "" for text in instruments(tag).values())


@pytest.mark.parametrize("tag", TAGS)
def test_every_letter_is_of_the_languages_script(tag):
    scripts = SCRIPTS.get(tag, ("LATIN",))
    wrong = []
    for text in texts(tag):
        letters = [letter for letter in ACRONYM.sub("", text) if letter.isalpha()]
        if any(unicodedata.name(letter).split()[0] not in scripts for letter in letters):
            wrong.append(text)
    assert wrong == []


@pytest.mark.parametrize("tag", TAGS)
def test_a_language_is_not_its_neighbour(tag):
    own, foreign = LETTERS[tag]
    said = unicodedata.normalize("NFC", " ".join(texts(tag)))
    assert [letter for letter in own if letter not in said] == []
    assert [text for text in texts(tag) if any(letter in foreign for letter in text)] == []


@pytest.mark.parametrize("tag", TAGS)
def test_marks_are_those_of_the_language(tag):
    wrong = [text for text in texts(tag) if '"' in text or "..." in text or "  " in text]
    wrong += [text for text in texts(tag) if not unicodedata.is_normalized("NFC", text)]
    if tag in ("es", "fr", "de", "pt-br", "it", "nl", "pl", "cs", "sv", "da", "fi"):
        wrong += [text for text in texts(tag) if "'" in text]
    if tag == "fr":
        wrong += [text for text in texts(tag) if re.search("[^\u202f][:;?!»]|«[^\u202f]", text)]
    if tag == "es":
        wrong += [
            text for text in texts(tag) if text.count("?") != text.count("¿") or text.count("!") != text.count("¡")
        ]
    if tag in ("de", "cs"):
        wrong += [text for text in texts(tag) if "”" in text or text.count("„") != text.count("“")]
    if tag == "pl":
        wrong += [text for text in texts(tag) if "“" in text or text.count("„") != text.count("”")]
    if tag in ("zh-hans", "zh-hant", "ja"):
        wrong += [text for text in texts(tag) if re.search(r"[㐀-鿿぀-ヿ][,;:!?()]|[,;:!?()][㐀-鿿぀-ヿ]", text)]
    assert wrong == []


@pytest.mark.parametrize("tag", TAGS)
def test_the_ends_of_a_scale_fit_side_by_side_on_a_small_phone(tag):
    """288 px at 14 px a line, 24 px between: two words that cannot be broken have room for some 36 Latin letters together."""
    wrong = []
    for slug in wordings()["en"]:
        ends = [instruments(tag)[slug, "score", end] for end in ("low", "high")]
        words = [max(end.split(), key=len) for end in ends]
        wide = tag in ("zh-hans", "zh-hant", "ja", "ko")
        if max(map(len, ends)) > (14 if wide else 30) or (not wide and sum(map(len, words)) > 36):
            wrong.append(ends)
    assert wrong == []


@pytest.mark.django_db
@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("slug", ["nps", "csat5", "ces"])
def test_a_form_and_a_letter_are_wholly_in_the_language_asked_for(client, tag, slug):
    organisation = make_organisation(languages=list(LANGUAGES), name={"en": "Harbour Tea"})
    instrument = Instrument.objects.get(slug=slug)
    touchpoint = make_touchpoint("delivery", instrument=instrument)
    invitation = make_invitation(touchpoint, make_customer(name="Li"), language=tag)

    def named(text: str) -> str:
        return fill(text, organisation="Harbour Tea", touchpoint="Delivery")

    wording = wordings()[tag][slug]
    asked = [named(wording["score"]["text"]), wording["score"]["low"], wording["score"]["high"]]
    english = [text for path, text in instruments("en").items() if path[0] == slug and "{" not in text]

    page = html.unescape(client.get(f"/s/{invitation.token}/").content.decode())
    assert f'<html lang="{tag}"' in page
    assert ('dir="rtl"' in page.split(">")[1]) == (tag in ("ar", "he", "fa"))
    expected = [*asked, wording["reason"]["text"], *wording["reason"]["options"].values(), wording["comment"]["text"]]
    assert [text for text in expected if f">{text}" not in page] == []
    with translation.override(tag):
        assert f">{PHRASES['send']}</button>" in page
    assert tag == "en" or [text for text in english if f">{text}<" in page] == []

    scale = Wording.objects.get(version=instrument.current_version(), question__key="score")
    letter = compose(invitation, organisation, scale, "li@example.com")
    with translation.override(tag):
        said = [str(PHRASES["hello_name"]) % {"name": "Li"}, str(PHRASES["answer_here"]), str(PHRASES["no_more"])]
        subject = str(PHRASES["subject"]) % {"touchpoint": "Delivery", "organisation": "Harbour Tea"}
    assert letter.subject == " ".join(subject.split())
    assert [text for text in (*asked, *said) if text not in letter.text] == []
    assert [text for text in asked if f">{text}" not in html.unescape(letter.html)] == []
