"""WCAG 2.2 AA on every respondent's page: axe finds nothing, a keyboard is enough, and a screen reader is told what is to be seen.

Each variant is looked at once in the slice; with `script/test --all` every kind of question is looked at in every variant.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone

from surveys.models import Organisation, Response, Touchpoint
from tests.factories import make_customer, make_invitation, make_organisation
from tests.kinds import KINDS, make_form
from tests.surveys.test_look import make_logo

pytestmark = pytest.mark.django_db(transaction=True)

# Everything that axe knows, its best practices and what it leaves out unless asked too.
AXE = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
EVERY = tuple(KINDS)
WITHOUT_SCRIPTS: set = set()  # contexts


@dataclass(frozen=True)
class Variant:
    """How somebody looks at a page: the browser's side, and what of it is the page's."""

    width: int = 390
    height: int = 844
    lang: str = "en"
    context: dict = field(default_factory=dict)
    touch: Callable | None = None  # what is done to the page before it is looked at


def _wrong(page) -> None:
    page.click("button.send")
    page.wait_for_selector("#summary")


VARIANTS = {
    "desktop": Variant(1440, 900),
    "phone": Variant(),
    "zoomed to 400 %": Variant(320, 256),  # 1280 by 1024
    "dark": Variant(context={"color_scheme": "dark"}),
    "forced colours": Variant(context={"forced_colors": "active"}),
    "forced colours, dark": Variant(context={"forced_colors": "active", "color_scheme": "dark"}),
    "reduced motion": Variant(context={"reduced_motion": "reduce"}),
    "right to left": Variant(lang="ar"),
    "right to left, desktop, dark": Variant(1440, 900, "he", {"color_scheme": "dark"}),
    "Chinese": Variant(lang="zh-hans"),
    "error": Variant(touch=_wrong),
    "error, dark, right to left": Variant(lang="ar", context={"color_scheme": "dark"}, touch=_wrong),
    "no JavaScript": Variant(context={"java_script_enabled": False}),
    "no JavaScript, error": Variant(context={"java_script_enabled": False}, touch=_wrong),
}


@pytest.fixture
def site(live_server, settings) -> str:
    settings.BASE_URL = live_server.url
    languages = ["en", "zh-hans", "ar", "he", "fa"]
    make_organisation(privacy={"en": "Your answer stays with us."}, languages=languages, logo=make_logo())
    return str(live_server.url)


@pytest.fixture
def open_page(browser, site) -> Iterator[Callable]:
    """Opens one of our addresses as a variant has it."""
    contexts = []

    def opened(path: str, variant: Variant = Variant(), **options):
        size = {"width": variant.width, "height": variant.height}
        settings = {**variant.context, **options}
        contexts.append(browser.new_context(viewport=size, locale="en", **settings))
        if not settings.get("java_script_enabled", True):
            WITHOUT_SCRIPTS.add(contexts[-1])
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.goto(site + path)
        if variant.touch is not None:
            variant.touch(page)
        return page

    yield opened
    for context in contexts:
        context.set_offline(True)  # a page that is closed sends what it holds
        context.close()
    WITHOUT_SCRIPTS.clear()


def address(touchpoint: Touchpoint, variant: Variant = Variant(), query: str = "") -> str:
    return f"/t/{touchpoint.public_key}/?lang={variant.lang}{query}"


def found_by_axe(page) -> list[str]:
    """What axe has to say, with the elements it says it of. It works beside the page's policy, which stays as it is.

    Where a page may run no script, what a test evaluates still runs, and timers never end: axe gets its turns without one.
    """
    if page.context in WITHOUT_SCRIPTS:
        page.evaluate("window.setTimeout = (turn) => (Promise.resolve().then(turn), 0)")
    found = Axe().run(page, options=AXE).response["violations"]
    return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]


def show_all(page) -> None:
    """Whatever waits for the first score is there after it; without scripts it is there from the start."""
    page.locator(".score").first.click()
    page.locator(".question").last.wait_for()


def assert_fits(page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


# --- axe ---


def test_axe_sees_what_is_wrong(open_page):
    """A tool that finds nothing anywhere would prove nothing: with and without the page's scripts."""
    for enabled in (True, False):
        page = open_page(address(make_form(f"broken-{enabled}", *EVERY), query="&score=9"), java_script_enabled=enabled)
        assert found_by_axe(page) == []
        show_all(page)
        page.evaluate("document.querySelector('textarea').id = 'nobody'")
        page.evaluate("document.querySelector('.send').style.background = '#bbbbbb'")
        assert {line.split(":")[0] for line in found_by_axe(page)} >= {"label", "color-contrast"}


# The rest goes through them with --all.
FEW = ("phone", "right to left, desktop, dark")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FEW else pytest.mark.slow) for name in VARIANTS]
)
def test_axe_finds_nothing_in_any_variant_with_every_kind_of_question(open_page, name):
    variant = VARIANTS[name]
    page = open_page(address(make_form("every", *EVERY, required=True), variant), variant)
    assert found_by_axe(page) == []
    assert_fits(page)
    show_all(page)
    for chosen in page.locator(".question:not([hidden]) fieldset").all():
        chosen.locator("label").last.click()
    assert found_by_axe(page) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), itertools.product(VARIANTS, KINDS))
def test_axe_finds_nothing_in_any_kind_of_question_in_any_variant(open_page, name, kind):
    variant = VARIANTS[name]
    for required in (False, True):
        touchpoint = make_form(f"{kind}-{required}".replace("_", "-"), kind, required=required)
        page = open_page(address(touchpoint, variant), variant)
        assert found_by_axe(page) == []
        assert_fits(page)
        show_all(page)
        page.locator("label.score, label.choice").last.click()
        assert found_by_axe(page) == []
        assert_fits(page)


def _other_pages() -> dict[str, str]:
    """Every page that is no form, by name."""
    touchpoint = make_form("delivery", "stars5")
    answered = make_invitation(touchpoint, make_customer(), expires_at=timezone.now() + timedelta(days=1))
    expired = make_invitation(touchpoint, make_customer(), expires_at=timezone.now() - timedelta(days=1))
    return {
        "form": f"/s/{answered.token}/",
        "unknown": "/s/unknown/",
        "expired": f"/s/{expired.token}/",
        "unsubscribe": f"/u/{answered.token}/",
    }


THEMES = {("#ffd400", "light")}
QUICK = {"right to left", "no JavaScript"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name, variant in VARIANTS.items()
        if variant.touch is None
    ],
)
def test_axe_finds_nothing_in_any_page_that_is_no_form(open_page, site, name):
    variant, pages = VARIANTS[name], _other_pages()
    page = open_page(f"{pages['form']}?lang={variant.lang}", variant)
    page.locator(".score").last.click()
    page.click("button.send")
    page.wait_for_url("**done=1**")
    page.wait_for_selector("h1")
    assert found_by_axe(page) == []
    for other in ("unknown", "expired", "unsubscribe"):
        page.goto(f"{site}{pages[other]}?lang={variant.lang}")
        assert found_by_axe(page) == []
        assert_fits(page)
    page.locator(".choice").first.click()
    page.click("button.send")
    page.wait_for_selector("[role=status]")
    assert found_by_axe(page) == []
    assert_fits(page)


@pytest.mark.parametrize(
    ("accent", "scheme"),
    [
        pytest.param(accent, scheme, marks=[] if (accent, scheme) in THEMES else pytest.mark.slow)
        for accent in ("#ffd400", "#000000", "#ffffff", "#777777")
        for scheme in ("light", "dark")
    ],
)
def test_axe_finds_nothing_whatever_the_theme(open_page, accent, scheme):
    Organisation.objects.update(accent=accent, radius=24, scheme=scheme)
    page = open_page(address(make_form("every", *EVERY)), color_scheme="light" if scheme == "dark" else "dark")
    assert found_by_axe(page) == []
    show_all(page)
    page.locator(".score").last.click()
    assert found_by_axe(page) == []


# --- What eyes, fingers and their settings need ---

TARGETS = """() => [...document.querySelectorAll('a, button, label.score, label.choice, textarea')]
  .filter((e) => e.checkVisibility()).map((e) => {
    const box = e.getBoundingClientRect();
    return [e.textContent.trim() || e.name || e.className, box.width, box.height];
  })"""
# Texts that reach out of what is drawn around them, or into a neighbour's place; nothing on these pages hides what does not fit.
CUT = """() => [...document.querySelectorAll('h1, p, a, .legend, .step, .ends span, .score > span, .choice > span, .send, nav > *')]
  .filter((e) => e.checkVisibility() && !e.closest('.visually-hidden') && e.textContent.trim()).filter((e) => {
    const text = document.createRange(), box = e.getBoundingClientRect();
    text.selectNodeContents(e);
    const { left, right, top, bottom } = text.getBoundingClientRect();
    return left < box.left - 3 || right > box.right + 3 || top < box.top - 8 || bottom > box.bottom + 8;
  }).map((e) => e.outerHTML.slice(0, 160))"""
SPACED = """* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important; }
p { margin-bottom: 2em !important; }"""


@pytest.mark.parametrize("lang", ["en", "zh-hans", "ar"])
def test_everything_that_can_be_pressed_is_large_enough(open_page, lang):
    page = open_page(address(make_form("every", *EVERY), Variant(lang=lang)))
    show_all(page)
    for width in (320, 360, 390, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert_fits(page)
        assert [found for found in page.evaluate(TARGETS) if found[1] < 28 or found[2] < 44] == []


@pytest.mark.parametrize("lang", ["en", "zh-hans", "ar"])
def test_no_text_is_cut_off_by_wider_spacing_or_at_twice_its_size(open_page, lang):
    page = open_page(address(make_form("every", *EVERY), Variant(lang=lang)))
    show_all(page)
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        for style in ("", SPACED, "html { font-size: 200%; }", f"html {{ font-size: 200%; }} {SPACED}"):
            # A sheet made by a script is no inline style to the page's policy.
            page.evaluate(
                "(text) => { const s = new CSSStyleSheet(); s.replaceSync(text); document.adoptedStyleSheets = [s]; }",
                style,
            )
            assert page.evaluate(CUT) == [], (width, style)
            assert_fits(page)


def test_send_stays_in_reach_of_the_thumb_and_never_over_what_has_the_focus(open_page):
    page = open_page(address(make_form("every", *EVERY)))
    show_all(page)
    page.evaluate("scrollTo(0, 0)")
    where = """() => {
      const bar = document.querySelector('.send').getBoundingClientRect();
      const at = document.activeElement.getBoundingClientRect();
      return [bar.bottom, bar.width, bar.top - at.bottom, at.top, document.activeElement.className];
    }"""
    bottom, width, *_rest = page.evaluate(where)
    assert 780 < bottom <= 844
    assert width == 358  # all of it but the margins
    seen = []
    for key in [*["Tab"] * 13, *["Shift+Tab"] * 13]:
        page.keyboard.press(key)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        bottom, _width, gap, top, name = page.evaluate(where)
        assert bottom <= 844
        if name != "send" and page.evaluate("!!document.activeElement.closest('.question')"):
            seen.append(name)
            assert gap >= 0, "Send covers what has the focus"
            assert top >= 0
    assert len(seen) > 12
    page.set_viewport_size({"width": 320, "height": 256})  # where there is no room for it, it waits at the end
    page.evaluate("scrollTo(0, 0)")
    assert page.evaluate(where)[0] > 256


def test_what_is_chosen_can_be_told_without_seeing_a_colour(open_page):
    """In forced colours, and by more than the colour of a border: the ground behind it, or the fill of a picture."""
    page = open_page(address(make_form("every", *EVERY)), forced_colors="active")
    shade = """(selector) => [...document.querySelectorAll(selector)].map((e) => {
      const style = getComputedStyle(e);
      return e.matches('span') ? style.backgroundColor : style.fill;
    })"""
    for name, part in (
        ("score", "span"),
        ("score4", "path"),
        ("score6", "circle"),
        ("choice", "span"),
        ("choices", "span"),
    ):
        shades = f"[data-key={name}] label {part}"
        assert len(set(page.evaluate(shade, shades))) == 1, "nothing is preset"
        page.locator(f"[data-key={name}] label").nth(1).click()
        found = page.evaluate(shade, shades)
        assert found[1] != found[-1]
        if name == "score4":
            assert found[0] == found[1] != found[2], "stars are filled up to the chosen one"
        else:
            assert found[0] == found[-1]


@pytest.mark.parametrize("lang", ["ar", "he", "fa"])
def test_from_right_to_left_the_scale_still_rises_to_the_right_over_its_labels(open_page, lang):
    page = open_page(address(make_form("every", *EVERY), Variant(lang=lang)))
    show_all(page)
    assert page.evaluate("getComputedStyle(document.body).direction") == "rtl"
    left = "(e) => e.getBoundingClientRect().left"
    for question in page.locator(".question:not([hidden]):has(.scale)").all():
        scores = [score.evaluate(left) for score in question.locator(".score").all()]
        assert scores == sorted(scores)
        low, high = (label.evaluate(left) for label in question.locator(".ends span").all())
        assert low < high
    legend = page.locator(".legend").last.bounding_box()
    assert page.evaluate("getComputedStyle(document.querySelector('.legend')).textAlign") == "start"
    assert legend["x"] >= 16


def test_a_device_that_wants_dark_or_light_is_overruled_by_the_organisation_only(open_page):
    touchpoint = make_form("delivery", "stars5")
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(255, 255, 255)", "rgb(20, 23, 26)"
    for scheme, device, wanted in (
        *(("auto", "light", light), ("auto", "dark", dark), ("light", "dark", light), ("dark", "light", dark)),
    ):
        Organisation.objects.update(scheme=scheme)
        page = open_page(address(touchpoint), color_scheme=device)
        assert page.evaluate(ground) == wanted
        on_paper = page.evaluate("getComputedStyle(document.querySelector('.logo')).backgroundColor")
        assert on_paper == (light if wanted == dark else "rgba(0, 0, 0, 0)")


# --- A keyboard alone ---


def test_a_keyboard_alone_answers_every_kind_of_question(open_page):
    page = open_page(address(make_form("every", *EVERY)))
    at = """() => {
      const e = document.activeElement, shown = e.matches('.score input, .choice input') ? e.nextElementSibling : e;
      const style = getComputedStyle(shown);
      return [e.name || e.className, e.value, style.outlineStyle, parseFloat(style.outlineWidth)];
    }"""

    def press(*keys: str) -> tuple[str, str]:
        for key in keys:
            page.keyboard.press(key)
        name, value, style, width = page.evaluate(at)
        assert (style, width) == ("solid", 3), f"no one sees that {name} has the focus"
        return name, value

    # One stop for each group of radio buttons, with arrows inside; one for each box of several.
    assert press("Tab", "Space") == ("score", "0")
    assert press("ArrowRight", "ArrowRight", "ArrowLeft") == ("score", "1")
    for number in range(2, 8):
        assert press("Tab", "Space")[0] == f"score{number}"
        assert press("ArrowDown")[0] == f"score{number}"
    assert press("Tab", "Space") == ("choice", "late")
    assert press("Tab", "Space") == ("choices", "late")
    assert press("Tab") == ("choices", "damaged")
    assert press("Tab", "Space") == ("choices", "other")
    assert press("Tab")[0] == "comment"
    page.keyboard.type("Kind\npeople")
    assert press("Tab", "Space") == ("yes_no", "yes")
    assert press("Tab") == ("contact", "yes")
    assert page.locator("[name=contact]:checked").count() == 0, "a permission is never preset"
    assert press("ArrowDown") == ("contact", "no")
    assert press("Tab")[0] == "send"
    assert press("Shift+Tab") == ("contact", "no")  # no trap
    press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**done=1**")
    recorded = {
        answer.question.key: answer.value for answer in Response.objects.get().answers.select_related("question")
    }
    assert recorded["score"] == 1
    assert [recorded[f"score{number}"] for number in range(2, 8)] == [2] * 6
    assert recorded["choices"] == ["late", "other"]
    assert (recorded["choice"], recorded["yes_no"], recorded["contact"]) == (["late"], "yes", "no")
    assert recorded["comment"] == "Kind\npeople"


# --- A screen reader's tree ---


def tree(page) -> list[dict]:
    """What Chromium tells a screen reader: role, name and the rest of each node that is not left out, in order."""
    found = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    nodes = []
    for node in found:
        if node.get("ignored"):
            continue
        kept = {name: node.get(name, {}).get("value", "") for name in ("role", "name", "description", "value")}
        properties = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
        nodes.append({**properties, **kept})
    return nodes


def named(nodes: list[dict], role: str) -> list[str]:
    return [node["name"] for node in nodes if node["role"] == role]


def test_a_screen_reader_is_told_what_every_question_is_and_how_it_is_answered(open_page):
    page = open_page(address(make_form("every", *EVERY)))
    show_all(page)
    nodes = tree(page)
    assert {"banner", "main", "contentinfo", "navigation"} <= {node["role"] for node in nodes}
    assert named(nodes, "heading") == ["How likely are you to recommend us?"]
    assert named(nodes, "image") == ["Harbour Tea"]  # the logo; stars and faces are told by their names
    groups = [node for node in nodes if node["role"] == "radiogroup"]
    assert groups[0]["name"] == "How likely are you to recommend us?"
    assert groups[0]["description"] == "0: Very dissatisfied. 10: Very satisfied."
    assert [group["name"] for group in groups[-3:]] == [
        "What went wrong?",
        "Was it on time?",
        "May we contact you about this?",
    ]
    assert "What influenced your score most?" in named(nodes, "group")
    scores = named(nodes, "radio")
    assert scores[:11] == [
        "0 of 10, Very dissatisfied",
        *(f"{n} of 10" for n in range(1, 10)),
        "10 of 10, Very satisfied",
    ]
    assert [name for name in scores if "star" in name][:5] == [
        *("1 star, Very dissatisfied", "2 stars", "3 stars", "4 stars", "5 stars, Very satisfied"),
    ]
    assert scores[-4:] == ["Yes", "No", "Yes", "No"]
    assert named(nodes, "checkbox") == ["It came late", "It was damaged, or a part of it was missing", "Something else"]
    assert named(nodes, "textbox") == ["What should we do better?"]
    assert "Send" in named(nodes, "button")
    assert named(nodes, "navigation") == ["Language"]
    chosen = [node["name"] for node in nodes if node["role"] in ("radio", "checkbox") and node["checked"] == "true"]
    assert chosen == scores[:1]


def test_a_screen_reader_hears_how_many_questions_have_come_and_that_the_choice_is_saved(open_page):
    page = open_page(address(make_form("every", "stars5", "choices", "verbatim")))
    assert [name for name in named(tree(page), "radiogroup") if name] == ["How satisfied were you with the delivery?"]
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.locator("[role=status]", has_text="2 more questions below").wait_for(state="attached")
    page.locator("[role=status]", has_text="Your choice is saved").wait_for()
    spoken = [node for node in tree(page) if node["role"] == "status"]
    assert {node["live"] for node in spoken} == {"polite"}
    assert page.evaluate("document.activeElement.name") == "score", "what comes takes nobody's place"


def test_a_screen_reader_is_told_what_is_missing_and_led_there(open_page):
    page = open_page(address(make_form("every", "stars5", "choices", "verbatim", required=True)), VARIANTS["error"])
    nodes = tree(page)
    assert page.evaluate("document.activeElement.id") == "summary"
    assert [node for node in nodes if node["role"] == "alert"]
    assert named(nodes, "heading") == ["Something is missing"]
    links = [name for name in named(nodes, "link") if name.endswith("?")]
    assert links == [
        "How satisfied were you with the delivery?",
        "What influenced your score most?",
        "What should we do better?",
    ]
    group = next(node for node in nodes if node["role"] == "radiogroup")
    assert (group["invalid"], group["required"]) == ("true", True)
    assert group["description"].startswith("Please choose an answer.")
    field = next(node for node in nodes if node["role"] == "textbox")
    assert (field["invalid"], field["required"], field["description"]) == ("true", True, "Please write something.")
    for link, name in zip(page.locator("#summary a").all(), ("score", "choices", "comment"), strict=True):
        link.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.name") == name
