"""A letter: whose words it says in which language, whom it is from, and HTML that mail programs leave alone."""

import re
from html.parser import HTMLParser

import pytest

from surveys import colours
from surveys.flow.compose import compose
from surveys.flow.deliver import deliver_due
from surveys.flow.invite import invite_pending
from surveys.flow.programme import import_programme
from surveys.letters import LETTER_TEXTS, Letter, address_by_name, longest_of, strange_letter_places
from surveys.models import Instrument, InvitationRule, Organisation, Wording
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.printed import blocks

pytestmark = pytest.mark.django_db
CLIPPED_AT = 102 * 1024  # bytes of HTML: Gmail hides what comes after them, the unsubscribe link first


@pytest.fixture(autouse=True)
def organisation(settings) -> Organisation:
    settings.BASE_URL = "https://cx.example.org"
    return make_organisation(languages=["en", "zh-hans", "de", "ar"])


@pytest.fixture
def rule() -> InvitationRule:
    names = {"en": "Delivery", "zh-hans": "配送", "de": "Lieferung"}
    return make_rule(make_touchpoint("delivery", Instrument.objects.get(slug="nps"), name=names))


def letter_of(rule: InvitationRule, language: str = "en", reminder: int = 0, name: str = "Li Na") -> Letter:
    invitation = make_invitation(rule.touchpoint, make_customer(name=name), rule=rule, language=language)
    version = rule.touchpoint.instrument.current_version()
    wording = Wording.objects.get(version=version, question__key="score")
    return compose(invitation, Organisation.current(), wording, "li@example.com", reminder)


# --- Whose words ---


def test_a_rules_own_text_goes_before_the_organisations_and_that_before_ours(rule, organisation):
    rule.letter = {"subject": {"en": "How was your tea?"}, "opening": {"zh-hans": "{organisation}谢谢您。"}}
    organisation.phrases = {"en": {"opening": "Well met."}, "de": {"subject": "%(touchpoint)s: wie war sie?"}}
    organisation.save()
    english, chinese, german, arabic = (letter_of(rule, tag) for tag in ("en", "zh-hans", "de", "ar"))
    assert english.subject == "How was your tea?"
    assert "Well met." in english.text
    assert "Well met." in english.html
    assert chinese.subject == "配送体验如何？——港湾茶"
    assert "港湾茶谢谢您。" in chinese.text
    assert german.subject == "Lieferung: wie war sie?"
    assert "Wir möchten gern wissen, wie es für Sie war." in german.html
    assert arabic.subject == "كيف كانت تجربتك؟ Delivery – Harbour Tea"  # not the rule's English one


def test_a_language_that_we_have_no_phrases_in_is_served_by_the_rules_own_texts_else_in_english(rule):
    rule.letter = {"subject": {"sw": "Chai ilikuwaje?", "en": "How was your tea?"}, "opening": {"en": "Hot?"}}
    assert letter_of(rule, "sw").subject == "Chai ilikuwaje?"
    assert "Hot?" in letter_of(rule, "sw").text
    assert letter_of(rule, "sw-ke").subject == "Chai ilikuwaje?"
    assert letter_of(rule, "mt").subject == "How was your tea?"
    assert letter_of(rule, "zh-hant").subject != "How was your tea?"


def test_a_reminder_says_that_it_is_one_and_names_the_letter_that_it_reminds_of(rule):
    rule.letter = {"subject": {"en": "How was your tea?"}, "opening": {"en": "Hot?"}, "closing": {"en": "Yours"}}
    first, reminder = letter_of(rule), letter_of(rule, reminder=1)
    assert (first.subject, reminder.subject) == ("How was your tea?", "Reminder: How was your tea?")
    assert "Hot?" in first.text
    assert "Hot?" not in reminder.text
    assert "We have not had your answer yet." in reminder.text
    assert "Yours" in reminder.text
    rule.letter |= {
        "reminder_subject": {"en": "Still there, {name}?"},
        "reminder_opening": {"en": "Cold by now."},
        "reminder_closing": {"en": "For the last time"},
    }
    reminder = letter_of(rule, reminder=2)
    assert reminder.subject == "Still there, Li Na?"
    assert "Cold by now." in reminder.html
    assert "For the last time" in reminder.html
    assert "Yours" not in reminder.html


@pytest.mark.parametrize(
    ("text", "named", "nameless"),
    [
        ("{name}, how was it?", "Li Na, how was it?", "How was it?"),
        ("Hi {name}, how was it?", "Hi Li Na, how was it?", "Hi, how was it?"),
        ("How was it, {name}?", "How was it, Li Na?", "How was it?"),
        ("{name}，体验如何？", "Li Na，体验如何？", "体验如何？"),
        ("Hello {name}", "Hello Li Na", "Hello"),
        ("No name at all", "No name at all", "No name at all"),
    ],
)
def test_nobody_is_addressed_by_no_name(text, named, nameless):
    assert (address_by_name(text, "Li Na"), address_by_name(text, "")) == (named, nameless)


def test_a_name_is_filled_in_as_it_is_and_never_read_as_html_or_as_a_header(rule):
    rule.letter = {"subject": {"en": "{name}: {touchpoint}"}, "opening": {"en": "Dear {name},\nhow was it?"}}
    letter = letter_of(rule, name="<b>{touchpoint}</b>\r\nBcc: all@example.com")
    assert letter.subject == "<b>{touchpoint}</b> Bcc: all@example.com: Delivery"
    assert "<b>" not in letter.html
    assert "&lt;b&gt;{touchpoint}&lt;/b&gt;" in letter.html
    assert "how was it?" in letter.html.split("<br>", 1)[1]


def test_what_stands_in_braces_and_is_filled_with_nothing_is_found():
    assert strange_letter_places("{organisation}, {touchpoint} and {name}") == []
    assert strange_letter_places("{customer_name} {} {Name}") == ["customer_name", "", "Name"]


# --- Whom it is from ---


def test_letters_are_from_the_deployments_address_until_the_organisation_names_its_own(rule, settings):
    settings.DEFAULT_FROM_EMAIL = "survey@cx.example.org"
    assert letter_of(rule).sender == "survey@cx.example.org"
    make_organisation(sender_name={"en": "Harbour Tea, Ltd", "zh-hans": "港湾茶"})
    assert letter_of(rule).sender == '"Harbour Tea, Ltd" <survey@cx.example.org>'
    assert letter_of(rule, "zh-hans").sender == "港湾茶 <survey@cx.example.org>"
    make_organisation(sender_name={}, sender_address="hello@tea.example.com")
    assert letter_of(rule).sender == "hello@tea.example.com"
    settings.DEFAULT_FROM_EMAIL = "Tea <survey@cx.example.org>"
    assert letter_of(rule).sender == "Tea <hello@tea.example.com>"


def test_sender_and_address_for_replies_arrive_at_the_mail_server(rule, settings, smtp_sink):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    settings.UNSUBSCRIBE_MAILTO = "unsubscribe@cx.example.org"
    make_organisation(
        sender_name={"en": "Harbour Tea, “Ltd”\nBcc: all@example.com"}, sender_address="hello@tea.example.com",
        reply_to="care@tea.example.com",
    )  # fmt: skip
    make_event()
    invite_pending(NOW)
    assert deliver_due(NOW) == (1, 1)
    _recipient, parsed = smtp_sink.messages[0]
    assert parsed["From"].addresses[0].addr_spec == "hello@tea.example.com"
    assert parsed["From"].addresses[0].display_name == "Harbour Tea, “Ltd” Bcc: all@example.com"
    assert parsed["Reply-To"].addresses[0].addr_spec == "care@tea.example.com"
    assert parsed["Bcc"] is None
    token = str(parsed["Message-ID"]).lstrip("<").partition("@")[0]
    assert str(parsed["List-Unsubscribe"]).split(", ") == [
        f"<https://cx.example.org/u/{token}/>",
        f"<mailto:unsubscribe@cx.example.org?subject=unsubscribe-{token}>",
    ]
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_no_mailto_is_named_where_nobody_reads_it(rule, settings):
    assert settings.UNSUBSCRIBE_MAILTO == ""
    assert re.fullmatch(r"<https://cx\.example\.org/u/[\w-]+/>", letter_of(rule).headers["List-Unsubscribe"])


# --- HTML that survives ---


class _Read(HTMLParser):
    """The elements of a letter, each with its attributes and the text that stands in it itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, dict[str, str], str]] = []  # the text, its inline styles, and whose they are
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            style = dict(part.split(":", 1) for part in (dict(attrs).get("style") or "").split(";") if part)
            self._open.append((tag, style))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        if data.strip() and self._open[-1][0] not in ("style", "title"):
            self.texts.append((data.strip(), self._open[-1][1], self._open[-1][0]))


@pytest.fixture(params=["en", "zh-hans", "ar", "de"])
def written(request, rule) -> Letter:
    rule.letter = {"closing": {"en": "Harbour Tea & Sons\n1 Quay"}}
    return letter_of(rule, request.param)


def test_every_text_brings_its_own_colour_and_font_and_can_be_read_on_white_and_on_black(written):
    assert _Read(written.html).texts
    for text, style, tag in _Read(written.html).texts:
        if style.get("display") == "none":
            continue  # the line for the list of mails
        assert colours.contrast(style["color"], "#ffffff") >= 4.5, text
        assert "font-family" in style or tag == "a", text
    dark = written.html.split("prefers-color-scheme: dark")[1].split("@media")[0]
    inks = re.findall(r"(?<!-)color: (#[0-9a-f]{6})", dark)
    grounds = re.findall(r"background: (#[0-9a-f]{6})", dark)
    assert len(inks) >= 3
    assert len(grounds) == 1
    assert min(colours.contrast(ink, grounds[0]) for ink in inks if ink != "#343b43") >= 4.5


def test_nothing_is_fetched_and_no_program_is_asked_for_what_it_cannot_do(written):
    read = _Read(written.html)
    tags = {tag for tag, _attributes in read.elements}
    assert tags <= {"html", "head", "meta", "title", "style", "body", "div", "table", "tr", "td", "h1", "a", "br"}
    assert not re.search(r"url\(|@import|@font-face|float|flex|position:|<!--\[if !mso", written.html)
    assert all(a["href"].startswith("https://cx.example.org/") for tag, a in read.elements if tag == "a")
    assert {a["role"] for tag, a in read.elements if tag == "table"} == {"presentation"}
    # What Outlook does with a width that is only a maximum: it forgets it.
    assert written.html.count("<!--[if mso]>") == written.html.count("<![endif]-->") == 3
    assert 'width="560"' in written.html


def test_a_letter_says_its_language_and_direction_even_where_html_and_body_are_thrown_away(written):
    read = _Read(written.html)
    html, outer = (next(a for tag, a in read.elements if tag == wanted) for wanted in ("html", "table"))
    assert html["lang"] == outer["lang"]
    assert html["dir"] == outer["dir"] == ("rtl" if html["lang"] == "ar" else "ltr")
    scale = next(a for tag, a in read.elements if a.get("class") == "points-11")
    assert scale["dir"] == "ltr"


def test_dark_mode_is_offered_in_each_way_that_programs_know(written):
    metas = {a["name"]: a.get("content") for tag, a in _Read(written.html).elements if tag == "meta" and "name" in a}
    assert metas["color-scheme"] == metas["supported-color-schemes"] == "light dark"
    standard, outlook = re.findall(r"<style>\n(.*?)</style>", written.html, re.DOTALL)
    assert "prefers-color-scheme" in standard
    assert "[data-ogsc]" in outlook  # by itself: a program that cannot read it drops the whole block
    assert "[data-ogsc]" not in standard


def test_each_score_is_a_large_cell_and_a_link_of_its_own(written):
    read = _Read(written.html)
    scores = [a for tag, a in read.elements if tag == "a" and a.get("class") == "score"]
    assert [a["href"].rpartition("=")[2] for a in scores] == [str(score) for score in range(11)]
    cells = [a for tag, a in read.elements if a.get("class") == "cell"]
    assert {int(a["height"]) >= 44 for a in cells} == {True}
    assert len(cells) == 11


def test_a_list_of_mails_shows_the_question_and_nothing_of_what_follows(written):
    first, style, _tag = next(text for text in _Read(written.html).texts if text[1].get("display") == "none")
    assert style["mso-hide"] == "all"
    question = first.split("\u200c")[0].strip()
    assert question in written.text
    assert first.count("\u200c") >= 50


def test_the_text_part_has_both_links_and_no_html(written):
    assert len(re.findall(r"^https://cx\.example\.org/s/[\w-]{22}/$", written.text, re.MULTILINE)) == 1
    assert len(re.findall(r"^https://cx\.example\.org/u/[\w-]{22}/$", written.text, re.MULTILINE)) == 1
    assert "<" not in written.text
    assert "&amp;" not in written.text


def test_the_longest_letter_is_not_clipped(rule, organisation):
    long = {key: {"en": "&" * longest_of(key)} for key in LETTER_TEXTS}  # each five bytes in HTML
    rule.letter = long
    organisation.name = {"en": "&" * 200}
    organisation.save()
    for reminder in (0, 1):
        assert 20_000 < len(letter_of(rule, reminder=reminder).html.encode()) < CLIPPED_AT
    assert len(letter_of(rule, "zh-hans").html.encode()) < 16 * 1024


# --- What the document says ---


def test_the_documents_programme_is_read_as_it_stands_there(rule, organisation):
    rule.slug = "after-delivery"
    rule.save()
    (text,) = blocks("docs/email.md", "yaml")
    assert import_programme(text).changed
    rule.refresh_from_db()
    assert set(rule.letter) == set(LETTER_TEXTS)
    assert letter_of(rule, "zh-hans").subject == "Li Na，这次的茶怎么样？"
    assert letter_of(rule).sender == "Harbour Tea <hello@tea.example.com>"
