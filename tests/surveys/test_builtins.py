import pytest

from surveys.flow import builtins
from surveys.flow.builtins import SCALE_OF, load_builtins, standard_terms, wordings
from surveys.flow.instruments import publish_version, terms_of_version
from surveys.models import Instrument, InstrumentVersion, Wording

pytestmark = pytest.mark.django_db


def keys(tree):
    """Every path of a nested map."""
    if not isinstance(tree, dict):
        return {()}
    return {(key, *rest) for key, inner in tree.items() for rest in keys(inner)}


def test_four_instruments_are_there_after_migrating():
    found = {row.slug: (row.metric, row.points, row.builtin) for row in Instrument.objects.all()}
    assert found == {
        "nps": ("nps", 11, True),
        "csat5": ("csat", 5, True),
        "csat7": ("csat", 7, True),
        "ces": ("ces", 7, True),
    }


@pytest.mark.parametrize("slug", SCALE_OF)
def test_each_asks_score_reason_and_comment_and_requires_none_of_them(slug):
    version = Instrument.objects.get(slug=slug).current_version()
    asked = [(row.question.key, row.question.kind, row.required) for row in version.wordings.order_by("position")]
    assert asked == [("score", "scale", False), ("reason", "choices", False), ("comment", "verbatim", False)]


@pytest.mark.parametrize("language", [code for code in wordings() if code != "en"])
def test_a_language_file_says_all_that_english_says(language):
    assert keys(wordings()[language]) == keys(wordings()["en"])


@pytest.mark.parametrize("language", wordings())
def test_no_text_is_left_empty_and_placeholders_are_known(language):
    def texts(tree):
        return [t for inner in tree.values() for t in texts(inner)] if isinstance(tree, dict) else [tree]

    for text in texts(wordings()[language]):
        assert isinstance(text, str)
        assert text.strip()
        assert "{" not in text.replace("{organisation}", "").replace("{touchpoint}", "")
    assert "{organisation}" in wordings()[language]["nps"]["score"]["text"]


def test_options_keep_the_order_in_which_they_were_written():
    row = Wording.objects.get(version__instrument__slug="nps", question__key="reason")
    assert list(row.options) == list(wordings()["en"]["nps"]["reason"]["options"])


def test_loading_again_changes_nothing(django_assert_max_num_queries):
    before = list(InstrumentVersion.objects.values_list("id", "number")), list(Wording.objects.values_list("id"))
    assert load_builtins() == 0
    assert (
        list(InstrumentVersion.objects.values_list("id", "number")),
        list(Wording.objects.values_list("id")),
    ) == before


def test_a_managers_own_wording_survives():
    instrument = Instrument.objects.get(slug="nps")
    own = standard_terms("nps")[:1]
    own[0].text["en"] = "Would you send a friend to us?"
    publish_version(instrument, own)
    load_builtins()
    (terms,) = terms_of_version(instrument.current_version())
    assert terms.text["en"] == "Would you send a friend to us?"


def test_a_new_language_is_added_beside_the_standard_texts_only(monkeypatch):
    instrument = Instrument.objects.get(slug="ces")
    own = standard_terms("ces")
    own[2].text["en"] = "Anything else?"
    version = publish_version(instrument, own)
    InstrumentVersion.objects.filter(pk=version.pk).update(answered=True)
    welsh = {
        slug: {"score": {"text": "?", "low": "isel", "high": "uchel"}, "comment": {"text": "!"}} for slug in SCALE_OF
    }
    shipped = {**wordings(), "cy": welsh}
    monkeypatch.setattr(builtins, "wordings", lambda: shipped)
    assert load_builtins() == 4
    added = instrument.current_version()
    assert added.number == version.number + 1  # an answered version is frozen
    score, _reason, comment = terms_of_version(added)
    assert (score.text["cy"], score.low["cy"], score.high["cy"]) == ("?", "isel", "uchel")
    assert comment.text == own[2].text  # the manager's English has no Welsh beside it
    assert comment.text["en"] == "Anything else?"
    assert load_builtins() == 0


def test_an_instrument_of_the_same_name_that_is_the_organisations_own_is_left_alone():
    Instrument.objects.filter(slug="csat7").update(builtin=False, name={"en": "Ours"})
    load_builtins()
    assert Instrument.objects.get(slug="csat7").name == {"en": "Ours"}
