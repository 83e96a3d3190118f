"""Respondents' pages and the invitation in Chromium: what a customer's phone, keyboard and eyes make of them."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from surveys.colours import contrast
from surveys.flow.compose import compose
from surveys.flow.instruments import publish_version, terms_of_version
from surveys.models import Instrument, InstrumentVersion, Invitation, Organisation, Response, Touchpoint
from tests.factories import make_customer, make_invitation, make_organisation, make_touchpoint
from tests.stack import until

pytestmark = pytest.mark.django_db(transaction=True)

LANGUAGES = ("en", "zh-hans")

# For each element that shows text of its own: colour, ground behind it, size, and the text. Colours as "#rrggbb".
TEXTS = """() => {
  const hex = (text) => '#' + text.match(/[\\d.]+/g).slice(0, 3).map((n) => (+n).toString(16).padStart(2, '0')).join('');
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/^rgba\\(.*, 0\\)$|transparent/.test(colour)) return hex(colour);
    }
    return matchMedia('(prefers-color-scheme: dark)').matches ? '#121212' : '#ffffff';
  };
  return [...document.querySelectorAll('body *')]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && e.checkVisibility())
    .filter((e) => !e.closest('.visually-hidden'))
    .map((e) => [hex(getComputedStyle(e).color), ground(e), e.textContent.trim()]);
}"""
# Border against the ground of what can be pressed.
EDGES = """() => [...document.querySelectorAll('.score span, .choice span, textarea, a.score')].map((e) => {
  const hex = (text) => '#' + text.match(/\\d+/g).slice(0, 3).map((n) => (+n).toString(16).padStart(2, '0')).join('');
  return [hex(getComputedStyle(e).borderTopColor), hex(getComputedStyle(document.body).backgroundColor)];
})"""
TARGETS = """() => [...document.querySelectorAll('a, button, label.score, label.choice, textarea')].map((e) => {
  if (!e.checkVisibility()) return ['', 99, 99];
  const box = e.getBoundingClientRect();
  return [e.textContent.trim() || e.name, box.width, box.height];
})"""
TOO_WIDE = "() => document.documentElement.scrollWidth - innerWidth"
ROWS = """() => {
  const tops = {};
  document.querySelectorAll('.score').forEach((e) => (tops[Math.round(e.getBoundingClientRect().top)] ??= [])
    .push(e.textContent.trim()));
  return Object.values(tops);
}"""


@pytest.fixture
def site(live_server, settings) -> str:
    settings.BASE_URL = live_server.url
    make_organisation(privacy={"en": "Your answer stays with us.", "zh-hans": "您的回答仅供我们使用。"})
    for slug in ("nps", "csat5", "csat7", "ces"):
        names = {"en": f"Tea house, {slug}", "zh-hans": f"茶馆（{slug}）"}
        make_touchpoint(slug, instrument=Instrument.objects.get(slug=slug), name=names, public=True)
    return str(live_server.url)


@pytest.fixture
def open_page(browser) -> Iterator:
    """Opens a page of its own width, scheme and language; no console complaint and no other host is forgiven."""
    contexts, complaints = [], []

    def opened(address: str = "", html: str = "", *, width: int = 390, scheme: str = "light", **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.set_content(html) if html else page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.set_offline(True)  # a page that is closed sends what it holds
        context.close()
    # A page that answers 404, 410 or 422 is an "error" to the console and none to us.
    assert [text for text in complaints if "Failed to load resource" not in text] == []


def form(slug: str = "nps") -> str:
    return f"/t/{Touchpoint.objects.get(slug=slug).public_key}/"


def invite(language: str = "en", slug: str = "nps", **fields) -> Invitation:
    touchpoint = Touchpoint.objects.get(slug=slug)
    fields = {"expires_at": timezone.now() + timedelta(days=14), **fields}
    return make_invitation(touchpoint, make_customer(name="Li Na"), language=language, **fields)


def letter(invitation: Invitation):
    version = InstrumentVersion.objects.filter(instrument=invitation.instrument).latest("number")
    wording = version.wordings.select_related("question").get(question__key="score")
    return compose(invitation, Organisation.current(), wording, "li@example.com")


def assert_readable(page) -> None:
    texts = page.evaluate(TEXTS)
    assert texts
    pale = [(text, colour, ground) for colour, ground, text in texts if contrast(colour, ground) < 4.5]
    assert pale == []
    assert [edge for edge in page.evaluate(EDGES) if contrast(*edge) < 3] == []


def assert_fits(page) -> None:
    assert page.evaluate(TOO_WIDE) <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_and_letter_can_be_read_in_light_and_dark_and_fits(site, open_page, scheme):
    page = open_page(site + form(), scheme=scheme)

    def look(path: str) -> None:
        page.goto(site + path)
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            assert_readable(page)
            assert_fits(page)

    for language in LANGUAGES:
        waiting, expired = invite(language), invite(language, expires_at=timezone.now() - timedelta(days=1))
        look(f"/s/{expired.token}/")
        look(f"/u/{waiting.token}/")
        look(f"/s/unknown/?lang={language}")
        look(f"{form('ces')}?lang={language}&score=2")
        page.goto(f"{site}{form('csat5')}?lang={language}")
        page.click("button.send")
        page.wait_for_selector("#summary")
        assert_readable(page)
        page.locator(".score").last.click()
        page.click("button.send")
        page.wait_for_url("**done=1**")
        assert_readable(page)
    for slug in ("nps", "csat7"):
        page = open_page(html=letter(invite(slug=slug)).html, scheme=scheme)  # not under the pages' own policy
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            assert_readable(page)
            assert_fits(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_organisations_colour_is_the_accent_and_can_be_read_whatever_it_is(site, open_page, scheme):
    for accent in ("#7c3aed", "#ffd400"):
        organisation = Organisation.current()
        organisation.accent = accent
        organisation.save()
        page = open_page(f"{site}{form()}?score=2", scheme=scheme)
        assert_readable(page)
        shown = page.evaluate("getComputedStyle(document.querySelector('.send')).backgroundColor")
        if (scheme, accent) == ("light", "#7c3aed"):
            assert shown == "rgb(124, 58, 237)"
        assert shown == page.evaluate(
            "getComputedStyle(document.querySelector('input:checked + span')).backgroundColor"
        )
        assert_readable(open_page(html=letter(invite()).html, scheme=scheme))


@pytest.mark.parametrize("slug", ["nps", "csat5", "csat7", "ces"])
def test_everything_that_can_be_pressed_is_large_enough(site, open_page, slug):
    page = open_page(site + form(slug))
    for width in (320, 360, 390, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert_fits(page)
        assert [found for found in page.evaluate(TARGETS) if found[1] < 28 or found[2] < 44] == []
    page.goto(f"{site}/u/{invite().token}/")
    assert [found for found in page.evaluate(TARGETS) if found[1] < 44 or found[2] < 44] == []


def test_eleven_scores_stand_in_one_row_down_to_360_pixels_and_then_in_two(site, open_page):
    page = open_page(site + form())

    def rows(width: int) -> list[list[str]]:
        page.set_viewport_size({"width": width, "height": 800})
        return page.evaluate(ROWS)

    one, two = [[str(n) for n in range(11)]], [[str(n) for n in range(6)], [str(n) for n in range(6, 11)]]
    assert [rows(width) for width in (1440, 390, 360, 359, 320)] == [one, one, one, two, two]
    page = open_page(html=letter(invite()).html)
    assert [rows(width) for width in (1440, 390, 320, 360)] == [one, one, two, one]
    widths = [width for text, width, _height in page.evaluate(TARGETS) if text.isdigit()]
    assert min(widths) >= 28
    assert max(widths) - min(widths) < 1


def test_nothing_is_preset_or_coloured_until_it_is_chosen(site, open_page):
    page = open_page(site + form())
    grounds = "() => [...document.querySelectorAll('.score span')].map((e) => getComputedStyle(e).backgroundColor)"
    assert page.locator("input:checked").count() == 0
    assert len(set(page.evaluate(grounds))) == 1
    page.locator(".score").nth(9).click()
    assert len(set(page.evaluate(grounds))) == 2


def test_the_whole_form_is_answered_by_keyboard_and_focus_is_always_seen(site, open_page):
    page = open_page(site + form())
    ring = """() => {
      const at = document.activeElement, shown = at.matches('.score input, .choice input') ? at.nextElementSibling : at;
      const style = getComputedStyle(shown);
      return [at.name || at.className || at.tagName, style.outlineStyle, parseFloat(style.outlineWidth)];
    }"""
    seen = []
    for key in ("Tab", "Space", "ArrowRight", "ArrowRight", *["Tab"] * 2, "Space", *["Tab"] * 7):
        page.keyboard.press(key)
        seen.append(page.evaluate(ring))
    assert {(style, width) for _name, style, width in seen} == {("solid", 3)}
    assert [name for name, *_ in seen][-2:] == ["comment", "send"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("Quick and kind")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**done=1**")
    recorded = Response.objects.get()
    assert (recorded.score, recorded.comment) == (2, "Quick and kind")
    assert recorded.answers.get(question__key="reason").choices == ["price"]


def test_an_empty_form_says_what_is_missing_and_leads_there(site, open_page):
    page = open_page(f"{site}{form()}?lang=zh-hans")
    page.click("button.send")
    summary = page.wait_for_selector("#summary")
    assert page.evaluate("document.activeElement.id") == "summary"
    assert "还有未填写的内容" in summary.inner_text()
    assert page.title().startswith("还有未填写的内容")
    page.click("#summary a")
    assert page.evaluate("document.activeElement.name") == "score"
    assert page.locator("fieldset[aria-invalid=true] .error").inner_text() == "请选择一个答案。"


def _with_follow_up() -> None:
    instrument = Instrument.objects.get(slug="csat5")
    terms = terms_of_version(InstrumentVersion.objects.filter(instrument=instrument).latest("number"))
    reason = next(term for term in terms if term.key == "reason")
    reason.show_if.update({"score": [1, 2, 3]})
    publish_version(instrument, terms)


def test_a_follow_up_appears_for_its_scores_only_and_is_there_without_javascript(site, open_page):
    _with_follow_up()
    page = open_page(site + form("csat5"))
    reason = page.locator("[data-key=reason]")
    assert not reason.is_visible()
    page.locator(".score").nth(1).click()
    assert reason.is_visible()
    page.locator(".score").nth(4).click()
    assert not reason.is_visible()
    plain = open_page(site + form("csat5"), java_script_enabled=False)
    assert plain.locator("[data-key=reason]").is_visible()
    plain.locator(".score").nth(4).click()
    plain.locator("[data-key=reason] .choice").first.click()
    plain.click("button.send")
    plain.wait_for_url("**done=1**")
    sent = Response.objects.get(completed_at__isnull=False)  # the other page has recorded its first score
    assert not sent.answers.filter(question__key="reason").exists()


def test_answered_without_javascript_and_changed_afterwards(site, open_page):
    invitation = invite()
    page = open_page(f"{site}/s/{invitation.token}/?score=9", java_script_enabled=False)
    assert page.locator("input:checked").get_attribute("value") == "9"
    assert not Response.objects.exists()
    page.click("button.send")
    page.wait_for_url("**done=1**")
    assert Response.objects.get().score == 9
    page.get_by_role("link", name="Change my answer").click()
    page.locator(".score").nth(3).click()
    page.click("button.send")
    until(lambda: Response.objects.get().score == 3, 10)
    assert page.context.cookies() == []


def test_send_is_pressed_once_however_often(site, open_page):
    page = open_page(site + form())
    page.locator(".score").nth(7).click()
    page.dblclick("button.send", no_wait_after=True)
    page.wait_for_url("**done=1**")
    assert Response.objects.count() == 1


def test_notices_come_in_the_language_of_the_reader(site, open_page):
    expired = invite("zh-hans", expires_at=timezone.now() - timedelta(days=1))
    assert open_page(f"{site}/s/{expired.token}/", locale="en").locator("h1").inner_text() == "链接已过期"
    unknown = open_page(f"{site}/s/unknown/", locale="zh-CN")
    assert unknown.locator("h1").inner_text() == "找不到这份问卷"
    assert unknown.evaluate("document.documentElement.lang") == "zh-hans"
    unknown.get_by_role("link", name="English").click()
    assert unknown.locator("h1").inner_text() == "We cannot find this survey"
    page = open_page(f"{site}/u/{invite('zh-hans').token}/")
    page.get_by_role("button", name="退订").click()
    page.wait_for_selector("text=退订成功")
    assert page.locator("nav").count() == 0  # its links would ask the question again


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_of_the_other_language_is_left_on_a_page(site, open_page, language):
    waiting = invite(language)
    pages = [open_page(f"{site}/s/{waiting.token}/"), open_page(f"{site}/u/{waiting.token}/")]
    pages.append(open_page(html=letter(waiting).html))
    for page in pages:
        text = page.evaluate(
            "[...document.querySelectorAll('nav')].forEach((e) => e.remove()), document.body.innerText"
        )
        text = text.replace("Li Na", "").replace("nps", "")
        other = r"[A-Za-z]{2,}" if language == "zh-hans" else r"[一-鿿]"
        assert re.findall(other, text) == []


# Where words and scores stand: the page's direction, the scores from left to right, and the ends' left and right edges.
PLACES = """() => {
  const edges = (element) => {
    const text = document.createRange();
    text.selectNodeContents(element);
    const { left, right } = text.getBoundingClientRect();
    return { left, right };
  };
  const scores = [...document.querySelectorAll('.score')].sort(
    (a, b) => a.getBoundingClientRect().left - b.getBoundingClientRect().left);
  const row = scores[0].closest('.scale, table').getBoundingClientRect();
  const first = document.querySelector('h1');
  return {
    direction: getComputedStyle(first).direction, scores: scores.map((e) => +e.textContent),
    row: [row.left, row.right], ends: [...document.querySelectorAll('.ends span, td.end')].map(edges),
  };
}"""


@pytest.mark.parametrize("language", ["ar", "he", "fa"])
def test_a_page_and_a_letter_run_from_right_to_left_and_their_scale_from_left_to_right(site, open_page, language):
    make_organisation(languages=["en", language])
    waiting = invite(language)
    for page in (open_page(f"{site}/s/{waiting.token}/"), open_page(html=letter(waiting).html)):
        places = page.evaluate(PLACES)
        assert places["direction"] == "rtl"
        assert places["scores"] == list(range(11))
        low, high = places["ends"]
        left, right = places["row"]
        assert low["right"] < high["left"]
        assert low["left"] - left <= 3  # under the first score
        assert right - high["right"] <= 3
        assert_fits(page)


@pytest.mark.parametrize(
    ("language", "font", "breaks"),
    [
        ("zh-hans", "PingFang SC", "normal"),
        ("zh-hant", "PingFang TC", "normal"),
        ("ja", "Hiragino Sans", "auto-phrase"),
        ("ko", "Apple SD Gothic Neo", "keep-all"),
    ],
)
def test_each_east_asian_language_has_its_own_font_and_breaks_its_lines_where_readers_expect(
    site, open_page, language, font, breaks
):
    """In a Chinese font Japanese looks foreign; lines that end in the middle of a word read badly in both."""
    make_organisation(languages=["en", language])
    page = open_page(f"{site}{form()}?lang={language}")
    family, word_break = page.evaluate(
        "() => (({ fontFamily, wordBreak }) => [fontFamily, wordBreak])(getComputedStyle(document.body))"
    )
    assert (font in family, word_break) == (True, breaks)
