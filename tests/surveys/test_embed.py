"""The widget on pages of another origin, in Chromium: the host is a small server on 127.0.0.1, the product answers on localhost."""

import gzip
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from django.utils import timezone
from django.utils.translation import get_language

from surveys import embed
from surveys.flow.identify import renew_secret
from surveys.models import IdentitySecret, Instrument, Invitation, Response, Touchpoint, WidgetCount
from tests.factories import make_customer, make_invitation, make_organisation, make_touchpoint
from tests.stack import ROOT, until

pytestmark = pytest.mark.django_db(transaction=True)

PHONE, DESKTOP = 390, 1440
DAY_MS = 86_400_000
# The stub of docs/widget.md, what the widget tells, and a door into its closed shadow roots; `shift` turns the clock.
BEFORE = """
window.cx = window.cx || function () { (cx.q = cx.q || []).push(arguments); };
window.heard = [];
for (const name of ["ready", "shown", "resized", "started", "answered", "dismissed", "withheld"]) {
  cx("on", name, (news) => heard.push({ name, ...news }));
}
"""
DOOR = """
{ const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (how) { return attach.call(this, { ...how, mode: "open" }); }; }
"""
CLOCK = "if (window === top) { const { now } = Date; Date.now = () => now() + (Number(localStorage.shift) || 0); }"
# Every test page: something to focus, something to scroll, and what the widget must never do to it.
BODY = """<main><h1>The tea shop</h1><p><input id="name" aria-label="name"> <button id="ask">Give feedback</button>
<a href="#top" id="link">A link</a></p><div id="place"></div><p style="height: 3000px">Tea.</p></main>"""


class Host:
    """A web server on an origin of its own: `pages` maps paths to (HTML, headers)."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, dict[str, str]]] = {}
        pages = self.pages

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                html, headers = pages.get(self.path.partition("?")[0], ("", {}))
                self.send_response(200 if html else 204)
                for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(html.encode())

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def host() -> Iterator[Host]:
    running = Host()
    yield running
    running.stop()


@pytest.fixture
def shop(live_server, settings, host) -> Touchpoint:
    """A touchpoint whose form the host may show."""
    assert live_server.url.startswith("http://localhost")
    settings.BASE_URL = live_server.url
    make_organisation(languages=["en", "zh-hans"])
    nps = Instrument.objects.get(slug="nps")
    return make_touchpoint("shop", instrument=nps, public=True, allowed_origins=[host.url])


@pytest.fixture
def visit(browser, host, shop, live_server) -> Iterator[Callable]:
    """Opens a host page with one script tag; whatever its console complains of, and is not `forgiven`, fails the test."""
    contexts, complaints = [], []

    def tag(attributes: str = "") -> str:
        key = "" if "data-touchpoint" in attributes else f'data-touchpoint="{shop.public_key}"'
        return f'<script src="{live_server.url}/embed.js" {key} {attributes} async></script>'

    def opened(
        attributes: str | None = "",
        *,
        path: str = "/",
        body: str = BODY,
        html: str = "",
        headers: dict[str, str] | None = None,
        before: str = "",
        door: bool = True,
        width: int = DESKTOP,
        forgiven: str = "$^",
        **options: Any,
    ) -> Any:
        if not html:
            html = f"{body}{tag(attributes) if attributes is not None else ''}"
        html = (
            f"<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>Shop</title>{html}"
        )
        host.pages["/"] = host.pages[path.partition("?")[0]] = (html, headers or {})
        context = browser.new_context(viewport={"width": width, "height": 800}, **{"locale": "en", **options})
        contexts.append(context)
        context.set_default_timeout(6000)
        page = context.new_page()
        for script in (BEFORE, DOOR if door else "", before):
            page.add_init_script(script)

        def note(text: str) -> None:
            if not re.search(forgiven, text):
                complaints.append(text)

        page.on("pageerror", lambda error: note(str(error.stack)))
        page.on("console", lambda message: message.type == "error" and note(message.text))
        page.asked = []
        page.on("request", lambda request: request.url.startswith(live_server.url) and page.asked.append(request.url))
        page.goto(host.url + path)
        return page

    opened.tag = tag
    yield opened
    found = list(complaints)  # what follows makes some of its own
    for context in contexts:
        context.set_offline(True)  # a page that is closed sends what it holds
        context.close()
    assert found == []


def told(page: Any, name: str, times: int = 1) -> dict[str, Any]:
    """Waits until the widget has told of `name` so often; the newest."""
    count = (
        f"heard.filter((news) => news.name === '{name}').length"  # wait_for_function would need the host's unsafe-eval
    )
    until(lambda: page.evaluate(count) >= times, 10, lambda: f"{name} is not among {page.evaluate('heard')}")
    return page.evaluate(f"heard.filter((news) => news.name === '{name}').at(-1)")


def withheld(page: Any) -> str:
    return told(page, "withheld")["reason"]


def names(page: Any) -> list[str]:
    """What the widget has told so far, sizes apart, once everything that was under way has happened."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    return page.evaluate("heard.map((news) => news.name).filter((name) => name !== 'resized')")


def form(page: Any) -> Any:
    return page.frame_locator("cx-survey iframe")


def card(page: Any) -> Any:
    return page.locator("cx-survey [role=dialog]")


def box(locator: Any) -> dict[str, float]:
    """Where it stands once nothing moves any more."""
    locator.evaluate("(e) => Promise.all(e.getAnimations().map((a) => a.finished))")
    return locator.bounding_box()


def answer(page: Any, score: int = 9) -> None:
    form(page).locator(".score").nth(score).click()
    form(page).locator("button.send").click()
    until(lambda: page.evaluate("heard.some((news) => news.complete)"), 10)


# --- The script itself ------------------------------------------------------------------------------------------------


def test_the_script_is_small_and_served_to_every_site_without_a_query_or_a_cookie(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        served = client.get("/embed.js", headers={"Accept-Encoding": "gzip"})
    assert len(served.content) <= 6 * 1024
    assert served["Content-Type"] == "text/javascript; charset=utf-8"
    assert served["Access-Control-Allow-Origin"] == "*"
    assert served["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "max-age=3600" in served["Cache-Control"]
    assert served["Vary"] == "Accept-Encoding"
    assert not served.cookies
    plain = client.get("/embed.js")
    assert gzip.decompress(served.content) == plain.content
    assert "Content-Encoding" not in plain
    again = client.get("/embed.js", headers={"If-None-Match": plain["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.post("/embed.js").status_code == 405


def test_the_second_script_may_be_kept_for_ever_under_the_address_that_the_first_one_names(client):
    address = re.search(r"embed-card\.js\?v=\w+", client.get("/embed.js").content.decode())[0]
    assert "immutable" in client.get(f"/{address}")["Cache-Control"]
    assert client.get(f"/{address}")["Access-Control-Allow-Origin"] == "*"
    assert client.get("/embed-card.js?v=old")["Cache-Control"] == "no-cache"


def test_only_lines_of_comment_and_indents_are_left_out_of_what_is_served():
    assert embed.stripped("  a();\n\n  // why\n/** What. */\n  b(); // c\n") == "a();\nb(); // c"
    for name in ("embed.js", "embed-card.js"):
        source = (embed.SOURCES / name).read_text()
        kept = embed.stripped(source).splitlines()
        for number, line in enumerate(source.splitlines()):
            if line.strip() and line.strip() not in kept:
                before = "\n".join(source.splitlines()[:number])
                assert before.count("`") % 2 == 0, f"{name}:{number + 1} would be cut out of a text"


def test_the_tab_speaks_every_language_that_is_shipped(monkeypatch):
    class Spoken:
        def __getitem__(self, key: str) -> str:
            return f"<{get_language()}>"

    monkeypatch.setattr(embed, "STANDARD", Spoken())
    found = embed.labels()
    assert found["en"] == "<en>"
    assert found["zh"] == "<zh-hans>"
    assert found["zh-hant"] == "<zh-hant>"
    assert found["pt"] == "<pt-br>"
    assert len(found) == len(embed.LANGUAGES)


# --- Ways -------------------------------------------------------------------------------------------------------------


def test_nothing_else_is_fetched_until_a_survey_is_shown(visit, live_server):
    page = visit("data-trigger=code")
    page.wait_for_function("cx.widget")
    assert names(page) == []
    assert page.asked == [f"{live_server.url}/embed.js"]
    page.evaluate("cx('show')")
    told(page, "shown")
    assert page.asked[1].startswith(f"{live_server.url}/embed-card.js")
    assert "/t/" in page.asked[2]


def test_a_popup_is_a_card_in_the_corner_where_lines_end_and_a_sheet_on_a_phone(visit):
    page = visit()
    told(page, "shown")
    at = box(card(page))
    assert (at["x"] + at["width"], at["y"] + at["height"]) == (DESKTOP - 16, 800 - 16)
    assert at["width"] == 400
    page = visit(html=f"<body dir=rtl>{BODY}{visit.tag()}")
    told(page, "shown")
    assert box(card(page))["x"] == 16
    page = visit(width=PHONE)
    told(page, "shown")
    at = box(card(page))
    assert (at["x"], at["width"], at["y"] + at["height"]) == (0, PHONE, 800)
    assert at["height"] <= 0.85 * 800


def test_a_popup_is_a_labelled_dialog_that_is_not_modal_with_a_close_button_for_a_thumb(visit):
    page = visit("data-lang=zh-hans", width=PHONE)
    told(page, "shown")
    assert card(page).get_attribute("aria-label") == "问卷 – 港湾茶"
    assert card(page).get_attribute("aria-modal") is None
    assert page.locator("cx-survey iframe").get_attribute("title") == "问卷 – 港湾茶"
    close = box(card(page).get_by_role("button", name="关闭"))
    assert min(close["width"], close["height"]) >= 44
    card(page).get_by_role("button").click()
    assert not card(page).is_visible()


def test_the_frame_is_as_high_as_the_form_and_follows_it(visit):
    page = visit("data-way=inline data-target=#place")
    told(page, "shown")
    high = "document.body.getBoundingClientRect().height"

    def fits() -> bool:
        return abs(page.frames[1].evaluate(high) - box(page.locator("cx-survey iframe"))["height"]) < 1

    assert fits()
    before = box(page.locator("cx-survey iframe"))["height"]
    page.frames[1].evaluate("document.querySelector('.page').style.paddingBottom = '400px'")
    told(page, "resized")
    until(fits, 5)
    assert box(page.locator("cx-survey iframe"))["height"] > before + 200
    page.frames[1].evaluate("document.querySelector('.page').style.paddingBottom = ''")
    answer(page)
    until(fits, 5)
    assert Response.objects.get().mode == "web"


def test_inline_stands_in_its_target_or_where_its_script_stands(visit):
    page = visit("data-way=inline data-target=#place")
    told(page, "shown")
    assert page.evaluate("document.querySelector('#place').firstElementChild.localName") == "cx-survey"
    page = visit(body="<p>Before</p>", attributes="data-way=inline")
    told(page, "shown")
    assert (
        page.evaluate("document.querySelector('script').nextElementSibling.firstElementChild.localName") == "cx-survey"
    )
    head = f"<head>{visit.tag('data-way=inline')}</head><body>{BODY}"
    assert withheld(visit(html=head)) == "target"


def test_inline_far_below_is_fetched_when_the_visitor_comes_near_and_counted_when_it_is_seen(visit):
    page = visit("data-way=inline")  # below 3000 px of tea
    page.wait_for_selector("cx-survey", state="attached")
    assert names(page) == []
    assert len(page.asked) == 1
    page.evaluate("scrollTo(0, document.body.scrollHeight - innerHeight - 200)")
    told(page, "ready")
    assert names(page) == ["ready"]
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    told(page, "shown")


def test_a_tab_at_the_edge_opens_the_card_and_gets_the_focus_back(visit):
    page = visit("data-way=tab", width=PHONE)
    tab = page.locator("cx-survey button").first
    at = box(tab)
    assert at["x"] + at["width"] == PHONE
    assert min(at["width"], at["height"]) >= 44
    assert tab.inner_text() == "Feedback"
    assert names(page) == []
    assert len(page.asked) == 1
    tab.focus()
    page.keyboard.press("Enter")
    told(page, "shown")
    assert not tab.is_visible()  # the card stands in its place
    page.frames[1].evaluate("window.typed = 'Half a thou'")
    page.keyboard.press("Escape")
    told(page, "dismissed")
    assert tab.evaluate("(e) => e.getRootNode().activeElement === e")
    page.keyboard.press("Enter")
    assert page.frames[1].evaluate("window.typed") == "Half a thou"
    box(card(page))  # a click into a card that still moves misses its score, and an empty form is sent
    answer(page)
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('cx-survey').nextElementSibling")  # the next one is a new form
    tab.click()
    told(page, "shown", 2)


def test_a_tab_says_what_the_site_wants_in_colours_of_the_site(visit):
    style = "<style>html { --cx-tab: rgb(1, 2, 3); --cx-tab-text: rgb(250, 251, 252); }</style>"
    page = visit("data-way=tab data-label='Ideen?'", body=style + BODY)
    tab = page.locator("cx-survey button")
    assert tab.inner_text() == "Ideen?"
    assert tab.evaluate("(e) => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]") == [
        "rgb(1, 2, 3)",
        "rgb(250, 251, 252)",
    ]


# --- Triggers ---------------------------------------------------------------------------------------------------------


def test_a_delay_passes_first(visit):
    page = visit("data-trigger=code")
    stop_the_clock(page)
    page.evaluate("key => cx('init', { touchpoint: key, trigger: 'delay:5' })", Touchpoint.objects.get().public_key)
    page.clock.run_for(4900)
    assert names_now(page) == []
    page.clock.run_for(200)
    told(page, "shown")


def stop_the_clock(page: Any) -> None:
    page.clock.install(time=0)
    page.reload()
    page.wait_for_function("cx.widget")
    page.clock.pause_at(DAY_MS)


def names_now(page: Any) -> list[str]:
    return page.evaluate("heard.map((news) => news.name)")


def test_a_share_of_the_page_is_scrolled_first_the_whole_page_or_its_large_box(visit):
    share = "(s) => { const box = document.querySelector('#box') || document.scrollingElement;"
    share += "box.scrollTo(0, (box.scrollHeight - box.clientHeight) * s); }"
    boxed = f"<div id=box style='height:600px;overflow:auto'>{BODY}</div>"
    for body in (BODY, boxed):
        page = visit("data-trigger=scroll:50", body=body)
        page.wait_for_function("cx.widget")
        page.evaluate(share, 0.49)
        assert names(page) == []
        page.evaluate(share, 0.5)
        told(page, "shown")


def test_exit_is_a_pointer_that_leaves_at_the_top(visit):
    page = visit("data-trigger=exit")
    page.wait_for_function("cx.widget")
    leave = "(y) => document.documentElement.dispatchEvent(new MouseEvent('mouseleave', { clientY: y, clientX: 9 }))"
    page.evaluate(leave, 300)
    assert names(page) == []
    page.evaluate(leave, -1)
    told(page, "shown")


def test_on_touch_exit_is_a_fast_way_back_up_or_a_tab_that_was_left(visit):
    phone = {"has_touch": True, "is_mobile": True, "width": PHONE}
    page = visit("data-trigger=exit", **phone)
    page.wait_for_function("cx.widget")
    scroll = """(y) => new Promise((done) => {
      addEventListener('scroll', () => requestAnimationFrame(done), { once: true });
      scrollTo(0, y); })"""
    page.evaluate(scroll, 2000)
    page.evaluate(scroll, 1700)
    assert names(page) == []
    page.evaluate(scroll, 1500)
    told(page, "shown")
    page = visit("data-trigger=exit", **phone)
    page.wait_for_function("cx.widget")
    turn = """(state) => { Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
      document.dispatchEvent(new Event('visibilitychange')); }"""
    page.evaluate(turn, "hidden")
    assert names(page) == []  # nobody is there to be asked
    page.evaluate(turn, "visible")
    told(page, "shown")


def test_a_click_on_what_a_selector_names_asks_and_takes_the_focus_there_and_back(visit):
    page = visit("data-trigger='click:#ask'")
    page.wait_for_function("cx.widget")
    page.click("#link")
    assert names(page) == []
    page.focus("#ask")
    page.keyboard.press("Enter")
    told(page, "shown")
    assert card(page).evaluate("(e) => e.getRootNode().activeElement === e")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "ask"


def test_only_addresses_that_match_a_pattern_ask(visit):
    def asked(patterns: str, path: str) -> bool:
        page = visit(f"data-url='{patterns}'", path=path)
        page.wait_for_function("heard.length")
        return names(page)[0] != "withheld"

    assert asked("/shop/*", "/shop/tea/green")
    assert not asked("/shop/*", "/shopping")
    assert asked("/a, /b", "/b?x=1")
    assert not asked("/b?y=*", "/b?x=1")
    assert asked("http://127.0.0.1:*/b*", "/b?x=1")
    assert not asked("/shop/* !/shop/checkout*", "/shop/checkout/2")
    assert asked("!/shop/checkout*", "/shop/tea")
    assert not asked("/s.op", "/shop")


@pytest.mark.parametrize("tells", [True, False], ids=["navigation", "history"])
def test_a_single_page_app_asks_where_its_address_changes_to_and_keeps_its_own_history_functions(visit, tells):
    before = """window.calls = []; { const push = history.pushState;
      history.pushState = function (...all) { calls.push(all[2]); return push.apply(this, all); }; }"""
    if not tells:
        before += "Object.defineProperty(window, 'navigation', { value: undefined });"
    page = visit("data-url='/done*'", before=before)
    assert withheld(page) == "url"
    page.evaluate("history.replaceState(null, '', '/basket')")
    assert "shown" not in names(page)
    page.evaluate("""() => { const ours = history.pushState;
      history.pushState = function (...all) { calls.push('later'); return ours.apply(this, all); }; }""")
    page.evaluate("history.pushState(null, '', '/done/7')")
    told(page, "shown")
    assert page.evaluate("calls") == ["later", "/done/7"]
    assert page.url.endswith("/done/7")


def test_a_single_page_apps_tab_comes_and_goes_with_its_pages_and_its_inline_form_with_its_target(visit):
    page = visit("data-way=tab data-url=/help", before="window.cx('on', 'x', () => 0)")
    assert withheld(page) == "url"
    for _time in range(2):
        page.evaluate("history.pushState(null, '', '/help')")
        page.wait_for_selector("cx-survey button")
        page.evaluate("history.back()")
        page.wait_for_selector("cx-survey", state="detached")
    page = visit("data-way=inline data-target=#late")
    page.wait_for_function("cx.widget")
    add = "document.querySelector('h1').insertAdjacentHTML('afterend', '<div id=late></div>')"
    page.evaluate(add)
    told(page, "shown")
    page.evaluate("document.querySelector('#late').remove()")
    page.evaluate(add)
    page.evaluate("history.pushState(null, '', '/other')")
    told(page, "shown", 2)
    assert page.locator("cx-survey iframe").count() == 1


# --- Who is asked, and how often --------------------------------------------------------------------------------------


def test_a_share_of_visitors_is_asked_and_a_reload_draws_no_new_lot(visit):
    luck = "Math.random = () => Number(sessionStorage.luck || %s);"
    page = visit("data-sample=0.3", before=luck % 0.3)
    assert withheld(page) == "sample"
    page.evaluate("sessionStorage.luck = 0.1")
    page.reload()
    assert withheld(page) == "sample"
    page = visit("data-sample=0.3 data-cap=none", before=luck % 0.2999)
    told(page, "shown")
    page.evaluate("sessionStorage.luck = 0.9")
    page.reload()
    told(page, "shown")


def test_a_visitor_is_asked_as_often_as_the_cap_says_on_all_pages_together(visit, host):
    page = visit("data-cap=2/30d data-rest=none", before=CLOCK)
    told(page, "shown")
    host.pages["/other"] = host.pages["/"]
    page.goto(host.url + "/other")
    told(page, "shown")
    page.reload()
    assert withheld(page) == "cap"
    for shift, name in ((30 * DAY_MS - 60_000, "withheld"), (30 * DAY_MS + 1000, "shown")):
        page.evaluate(f"localStorage.shift = {shift}")
        page.reload()
        told(page, name)
    assert page.context.cookies() == []


def test_a_popup_that_comes_by_itself_comes_once_in_thirty_days_unless_told_otherwise(visit):
    page = visit(before=CLOCK)
    told(page, "shown")
    page.reload()
    assert withheld(page) == "cap"
    # What somebody asks for is no pestering.
    page = visit("data-trigger='click:#ask'")
    page.wait_for_function("cx.widget")
    for times in (1, 2):
        page.click("#ask")
        told(page, "shown", times)
        page.keyboard.press("Escape")
        told(page, "dismissed", times)
        page.wait_for_selector("cx-survey", state="detached")


def test_not_now_rests_for_a_time_of_its_own_and_so_does_an_answer(visit):
    for end in (lambda page: page.keyboard.press("Escape"), answer):
        page = visit("data-cap=none data-rest=7d", before=CLOCK)
        told(page, "shown")
        end(page)
        for shift, name in ((7 * DAY_MS - 60_000, "withheld"), (7 * DAY_MS + 1000, "shown")):
            page.evaluate(f"localStorage.shift = {shift}")
            page.reload()
            told(page, name)


def test_hiding_from_code_is_no_not_now(visit):
    page = visit("data-cap=none")
    told(page, "shown")
    page.evaluate("cx('hide')")
    assert not card(page).is_visible()
    page.reload()
    told(page, "shown")


def test_a_test_is_shown_however_often_and_records_nothing(visit):
    page = visit("data-test data-sample=0")
    told(page, "shown")
    page.reload()
    told(page, "shown")
    assert "test=1" in page.frames[1].url
    assert page.evaluate("Object.keys(localStorage)") == []


def test_a_page_without_storage_asks_all_the_same(visit):
    broken = """for (const name of ['localStorage', 'sessionStorage']) {
      Object.defineProperty(window, name, { get() { throw new Error('no'); } }); }"""
    page = visit("data-sample=0.99", before=broken + "Math.random = () => 0.5;")
    told(page, "shown")
    page.keyboard.press("Escape")
    page.evaluate("cx('show')")
    assert withheld(page) == "rest"


# --- Manners ----------------------------------------------------------------------------------------------------------


def test_a_survey_that_comes_by_itself_leaves_the_focus_where_it_is_and_gives_back_what_it_got(visit):
    page = visit("data-trigger=scroll:5")
    page.wait_for_function("cx.widget")
    page.focus("#name")
    page.mouse.wheel(0, 400)
    told(page, "shown")
    assert page.evaluate("document.activeElement.id") == "name"
    page.keyboard.type("Li")
    assert page.input_value("#name") == "Li"
    card(page).get_by_role("button").click()
    told(page, "dismissed")
    assert page.evaluate("document.activeElement.id") == "name"


def test_escape_closes_from_the_page_and_from_within_the_form_but_not_what_the_page_has_used_itself(visit):
    page = visit("data-cap=none data-rest=none")
    told(page, "shown")
    page.evaluate("document.body.addEventListener('keydown', (e) => e.preventDefault(), { once: true })")
    page.keyboard.press("Escape")
    assert "dismissed" not in names(page)
    page.keyboard.press("Escape")
    told(page, "dismissed")
    page.reload()
    told(page, "shown")
    page.focus("#link")
    form(page).locator(".score input").first.focus()
    page.keyboard.press("Escape")
    told(page, "dismissed")
    assert not card(page).is_visible()
    assert page.evaluate("document.activeElement.id") == "link"


def test_code_that_shows_in_somebodys_click_moves_the_focus_and_a_timer_does_not(visit):
    page = visit("data-trigger=code")
    page.wait_for_function("cx.widget")
    page.evaluate("setTimeout(() => cx('show'))")
    told(page, "shown")
    assert page.evaluate("document.activeElement === document.body")
    page.keyboard.press("Escape")
    page.wait_for_selector("cx-survey", state="detached")
    page.evaluate("() => { document.querySelector('#ask').onclick = () => cx('show'); }")
    page.click("#ask")
    told(page, "shown", 2)
    assert page.evaluate("document.activeElement.localName") == "cx-survey"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "ask"


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_behind_never_shifts(visit, width):
    shifts = """window.shifts = []; new PerformanceObserver((list) => list.getEntries().forEach((one) => shifts.push(one.value)))
      .observe({ type: 'layout-shift', buffered: true });"""
    look = "[document.documentElement, document.body].map((e) => e.style.cssText + e.className + getComputedStyle(e).overflow)"
    page = visit("data-trigger=code", width=width, before=shifts)
    page.wait_for_function("cx.widget")
    page.evaluate("scrollTo(0, 300)")
    before = page.evaluate(look), page.evaluate("[scrollY, document.documentElement.scrollHeight, innerWidth]")
    page.evaluate("cx('show')")
    told(page, "shown")
    box(card(page))
    assert before == (
        page.evaluate(look),
        page.evaluate("[scrollY, document.documentElement.scrollHeight, innerWidth]"),
    )
    answer(page)
    page.keyboard.press("Escape")
    page.wait_for_selector("cx-survey", state="detached")
    assert before == (
        page.evaluate(look),
        page.evaluate("[scrollY, document.documentElement.scrollHeight, innerWidth]"),
    )
    assert page.evaluate("shifts") == []
    # And the observer does see one where there is one.
    page.evaluate("scrollTo(0, 0), document.querySelector('h1').style.marginBottom = '200px'")
    page.wait_for_function("shifts.length")


def test_who_wants_less_motion_and_who_has_a_dark_page_gets_that(visit):
    page = visit(reduced_motion="reduce", color_scheme="dark")
    told(page, "shown")
    assert card(page).evaluate("(e) => getComputedStyle(e).transitionDuration") == "0s"
    ground = card(page).evaluate("(e) => getComputedStyle(e).backgroundColor")
    assert ground == page.frames[1].evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in re.findall(r"\d+", ground)) < 60
    page = visit()
    told(page, "shown")
    assert card(page).evaluate("(e) => getComputedStyle(e).transitionDuration") != "0s"


# --- Several, twice, before ------------------------------------------------------------------------------------------


def test_calls_before_the_script_has_come_are_kept_and_listeners_can_be_taken_off(visit, shop):
    calls = f"""window.mine = []; const add = () => mine.push(1); cx('init', {{ touchpoint: '{shop.public_key}', trigger: 'code' }});
      cx('on', 'shown', add); cx('on', 'ready', add); cx('off', 'ready', add);
      cx('on', 'shown', () => {{ throw new Error('theirs'); }}); cx('show');"""
    html = f"{BODY}<script>{calls}</script>{visit.tag('data-touchpoint=').replace('data-touchpoint= ', '')}"
    page = visit(html=html, forgiven="theirs")
    told(page, "shown")
    assert page.evaluate("mine.length") == 1


def test_two_touchpoints_on_a_page_do_not_disturb_each_other(visit, host, shop):
    other = make_touchpoint(
        "other", instrument=Instrument.objects.get(slug="csat5"), public=True, allowed_origins=[host.url]
    )
    inline = visit.tag(f"data-touchpoint={other.public_key} data-way=inline data-target=#place")
    page = visit(html=BODY + visit.tag() + inline)
    told(page, "shown", 2)
    assert {news["touchpoint"] for news in page.evaluate("heard")} == {shop.public_key, other.public_key}
    page.frame_locator("#place iframe").locator(".score").nth(4).click()
    page.frame_locator("#place iframe").locator("button.send").click()
    assert told(page, "answered")["touchpoint"] == other.public_key
    assert Response.objects.get().touchpoint == other
    assert card(page).is_visible()
    page.evaluate("key => cx('hide', key)", shop.public_key)
    assert not card(page).is_visible()


def test_two_popups_never_stand_on_each_other(visit, host):
    other = make_touchpoint(
        "other", instrument=Instrument.objects.get(slug="csat5"), public=True, allowed_origins=[host.url]
    )
    page = visit(
        html=BODY
        + visit.tag("data-trigger=code")
        + visit.tag(f"data-touchpoint={other.public_key} data-trigger='click:#ask'")
    )
    page.wait_for_function("cx.widget")
    page.click("#ask")
    told(page, "shown")
    page.evaluate("key => cx('show', key)", Touchpoint.objects.get(slug="shop").public_key)
    assert withheld(page) == "another"
    assert card(page).count() == 1


def test_included_twice_it_is_there_once(visit):
    tag = visit.tag("data-cap=none")
    page = visit(html=BODY + tag + tag)
    told(page, "shown")
    page.evaluate("""new Promise((done) => { const one = document.querySelector('script');
      const again = document.createElement('script'); again.dataset.touchpoint = one.dataset.touchpoint;
      again.src = one.src; again.onload = done; document.body.append(again); })""")
    assert names(page).count("shown") == 1
    assert page.locator("cx-survey").count() == 1


def test_a_cx_that_is_somebody_elses_is_left_alone(visit):
    page = visit(before="window.cx = () => 'class names';")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("cx()") == "class names"


# --- Messages --------------------------------------------------------------------------------------------------------


def test_facts_of_the_page_go_into_the_form_and_later_ones_replace_them(visit):
    page = visit('data-reference=o-7 data-facts=\'{"items": [1, 2], "gift": true}\'')
    told(page, "shown")
    field = lambda name: form(page).locator(f"form input[type=hidden][name={name}]").input_value()  # noqa: E731
    assert (field("reference"), json.loads(field("facts"))) == ("o-7", {"items": [1, 2], "gift": True})
    page.evaluate("cx('context', { reference: 'o-8', facts: { items: 3 } })")
    until(lambda: field("reference") == "o-8", 5)
    assert json.loads(field("facts")) == {"items": 3}


def test_messages_that_are_not_of_our_frame_are_not_heard(visit, shop, host):
    page = visit()
    told(page, "shown")
    forged = f"{{ type: 'cx:answered', key: '{shop.public_key}', complete: true }}"
    host.pages["/forger"] = (f"<script>parent.postMessage({forged}, '*')</script>", {})
    page.evaluate(f"postMessage({forged}, '*')")
    page.evaluate("""new Promise((done) => { const frame = document.createElement('iframe'); frame.src = '/forger';
      frame.onload = () => setTimeout(done); document.body.append(frame); })""")
    page.frames[1].evaluate(f"parent.postMessage({{ ...{forged}, key: 'other' }}, '*')")
    assert "answered" not in names(page)
    # And its frame hears nothing but what comes from the page that it was opened for.
    page.evaluate(
        """(key) => { const frame = document.querySelector('cx-survey').shadowRoot.querySelector('iframe');
      const other = document.querySelector('body > iframe').contentWindow;
      const script = other.document.createElement('script');
      script.textContent = `parent.document.querySelector('cx-survey').shadowRoot.querySelector('iframe').contentWindow
        .postMessage({ type: 'cx:context', key: '${key}', reference: 'forged' }, '*')`;
      other.document.body.append(script); }""",
        shop.public_key,
    )
    page.frames[1].evaluate("new Promise((done) => setTimeout(done, 50))")
    assert form(page).locator("input[name=reference]").input_value() == ""


def test_a_form_tells_only_the_page_that_it_may_be_shown_on(visit, shop, live_server, host):
    listens = "addEventListener('message', ({ data }) => (window.got ??= []).push(data.type))"
    src = f"{live_server.url}/t/{shop.public_key}/?via=web&origin="
    page = visit(html=f"<script>{listens}</script><iframe src='{src}{host.url}'></iframe>")
    page.wait_for_function("window.got")
    assert page.evaluate("got[0]") == "cx:ready"
    page = visit(html=f"<script>{listens}</script><iframe src='{src}https://elsewhere.example'></iframe>")
    page.frame_locator("iframe").locator(".score").first.wait_for()
    page.frames[1].evaluate("new Promise((done) => setTimeout(done, 50))")
    assert page.evaluate("window.got") is None


def test_what_happens_in_the_form_is_counted_once_each_and_not_in_a_test(visit, shop):
    page = visit()
    told(page, "shown")
    for _time in range(2):
        page.frames[1].evaluate("document.dispatchEvent(new CustomEvent('cx:started'))")
    told(page, "started", 2)
    page.keyboard.press("Escape")

    def counted() -> dict[str, int]:
        page.wait_for_timeout(10)
        return dict(WidgetCount.objects.filter(touchpoint=shop).values_list("event", "count"))

    until(lambda: len(counted()) == 3, 10, lambda: str(counted()))
    assert counted() == {"shown": 1, "started": 1, "dismissed": 1}
    assert [f"/w/{shop.public_key}/seen/" in url for url in page.asked if "/seen/" in url] == [True] * 3
    page = visit("data-test")
    told(page, "shown")
    page.frames[1].evaluate("document.dispatchEvent(new CustomEvent('cx:started'))")
    told(page, "started")
    assert not any("/seen/" in url for url in page.asked)


def test_a_plain_frame_without_the_script_is_counted_when_it_is_seen(visit, shop, live_server):
    html = f"<p style='height:3000px'></p><iframe src='{live_server.url}/t/{shop.public_key}/?via=web' height=600></iframe>"
    page = visit(html=html)
    page.frame_locator("iframe").locator(".score").first.wait_for()
    assert not any("/seen/" in url for url in page.asked)
    with page.expect_request("**/seen/") as counted:
        page.evaluate("scrollTo(0, 3000)")
    assert counted.value.post_data == "event=shown"
    # The counting address tells who asks: a page's own script, not a form that somebody sent.
    assert counted.value.all_headers()["origin"] == live_server.url


@pytest.mark.parametrize(
    "bridge",
    [
        "window.ReactNativeWebView = app",
        "window.webkit = { messageHandlers: { cxsurvey: app } }",
        "window.cxsurvey = app",
    ],
)
def test_an_apps_web_view_gets_the_same_messages_as_text(page, shop, live_server, bridge):
    page.add_init_script(
        f"window.got = []; const app = {{ postMessage: (text) => got.push(JSON.parse(text)) }}; {bridge};"
    )
    page.goto(f"{live_server.url}/t/{shop.public_key}/?via=web")
    page.wait_for_function("got.length")
    ready = page.evaluate("got[0]")
    assert (ready["type"], ready["key"]) == ("cx:ready", shop.public_key)
    page.keyboard.press("Escape")
    page.wait_for_function("got.some((one) => one.type === 'cx:dismissed')")


# --- Known customers; test_widget_on_a_site.py has what the server makes of them ----------------------------------------


def token_of(external_id: str, secret: str = "", seconds: int = 3600) -> str:
    """What the site's own server signs."""
    secret = secret or IdentitySecret.objects.latest("pk").secret
    return jwt.encode({"sub": external_id, "exp": int(time.time()) + seconds}, secret, algorithm="HS256")


def asks(page: Any) -> int:
    return sum(url.endswith("/ask/") for url in page.asked)


def test_a_known_customer_is_asked_as_themselves_and_is_not_asked_again_when_the_server_says_no(visit):
    renew_secret(timezone.now())
    page = visit(f"data-token={token_of('C-42')} data-location=sh-014 data-cap=none data-rest=none")
    told(page, "shown")
    assert asks(page) == 1
    assert "/s/" in page.frames[1].url
    answer(page)
    response = Response.objects.get()
    assert (response.customer.external_id, response.mode, response.location) == ("C-42", "web", "sh-014")
    page.reload()
    assert withheld(page) == "resting_same"
    assert asks(page) == 2
    page.reload()
    assert withheld(page) == "resting_same"
    assert asks(page) == 2  # remembered until the tab is closed
    page.evaluate("token => { cx('identify', token); cx('show'); }", token_of("C-43"))  # somebody else logs in
    told(page, "shown")
    assert asks(page) == 3
    assert set(Invitation.objects.values_list("customer__external_id", "status")) == {
        ("C-42", "answered"), ("C-42", "withheld"), ("C-43", "opened"),
    }  # fmt: skip


def test_nobody_can_claim_to_be_somebody_and_a_stale_token_is_no_decision(visit):
    renew_secret(timezone.now())
    page = visit(f"data-token={token_of('C-42', 'x' * 43)} data-trigger=code")
    page.wait_for_function("cx.widget")
    for times, (token, reason) in enumerate(
        [(token_of("C-42", "x" * 43), "unknown_token"), (token_of("C-42", seconds=-60), "expired_token")] * 2, 1
    ):
        page.evaluate("token => { cx('identify', token); cx('show'); }", token)
        assert told(page, "withheld", times)["reason"] == reason
        assert asks(page) == times
    assert page.locator("cx-survey").count() == 0
    page.evaluate("cx('identify', null), cx('show')")
    told(page, "shown")
    assert "/t/" in page.frames[1].url


# --- Hosts and networks that are not kind ----------------------------------------------------------------------------


HOSTILE_CSS = """<style>* { all: unset !important; } iframe, div, cx-survey { display: none !important; }
html { font-size: 40px; direction: ltr; }</style>"""
HOSTILE = """
Object.prototype.foo = "bar"; Object.prototype.once = true; Object.prototype.passive = "x"; Object.prototype.sample = 0;
Object.prototype.url = "/nowhere"; Object.prototype.widget = true; Object.prototype.q = [["show"]]; Object.prototype.show = false;
Object.prototype.type = "cx:dismissed"; Object.prototype.headers = 7; Object.prototype.rootMargin = "x"; Object.prototype.signal = 3;
Array.prototype.foo = () => { throw new Error("for-in"); };
for (const name of ["forEach", "map", "filter", "push", "includes", "indexOf", "find", "some", "reduce", "concat"]) {
  Array.prototype[name] = () => { throw new Error(name); };
}
for (const name of ["assign", "keys", "entries", "fromEntries"]) Object[name] = () => { throw new Error(name); };
JSON.stringify = JSON.parse = () => { throw new Error("JSON"); };
String.prototype.trim = String.prototype.includes = () => { throw new Error("text"); };
"""


@pytest.mark.parametrize("way", ["popup", "tab", "inline"])
def test_a_hostile_page_does_not_break_it_or_change_its_look(visit, way):
    attributes = f"data-way={way} data-target=#place"
    kind = visit(attributes)
    signs = "for (const name of ['shown', 'answered']) cx('on', name, () => document.documentElement.setAttribute('data-' + name, ''));"
    style = HOSTILE_CSS + ("<style>#place { display: block !important; }</style>" if way == "inline" else "")
    hostile = visit(
        attributes,
        body=style + BODY,
        before=f"if (window === top) {{ {signs}{HOSTILE} }}",
        door=False,
        forgiven="Error: push",
    )
    if way == "tab":
        kind.locator("cx-survey button").click()
        hostile.wait_for_selector("cx-survey", state="attached")
        at = kind.locator("cx-survey button").first.bounding_box()
        hostile.mouse.click(at["x"] + 10, at["y"] + 10)
    told(kind, "shown")
    hostile.wait_for_selector("html[data-shown]", state="attached")  # its own scripts are past being asked anything
    element = hostile.frames[1].frame_element()
    if way != "inline":
        until(lambda: element.bounding_box() == box(kind.locator("cx-survey iframe")), 10)
    assert element.bounding_box()["height"] > 100
    hostile.frames[1].locator(".score").nth(9).click()
    hostile.frames[1].locator("button.send").click()
    hostile.wait_for_selector("html[data-answered]", state="attached")
    assert Response.objects.get().score == 9
    if way != "inline":
        hostile.keyboard.press("Escape")
        until(lambda: not element.is_visible(), 5)


def test_its_shadow_root_is_closed(visit):
    page = visit(door=False)
    told(page, "shown")
    assert page.evaluate("document.querySelector('cx-survey').shadowRoot") is None


PLAIN = "<h1>The tea shop</h1><div id=place></div>"


def policy(live_server: Any, script: str = "") -> dict[str, str]:
    """What docs/widget.md says, on a page that allows nothing else but its own test script."""
    url = live_server.url
    scripts = script or url
    allowed = f"default-src 'none'; script-src {scripts}; frame-src {url}; connect-src {url}"
    return {"Content-Security-Policy": f"{allowed}; require-trusted-types-for 'script'; trusted-types 'none'"}


@pytest.mark.parametrize("way", ["popup", "tab", "inline"])
def test_a_strict_policy_of_the_host_needs_the_one_line_of_the_docs_and_nothing_for_styles(visit, live_server, way):
    page = visit(f"data-way={way} data-target=#place data-debug", headers=policy(live_server), body=PLAIN)
    if way == "tab":
        page.locator("cx-survey button").click()
    told(page, "shown")
    assert box(page.locator("cx-survey iframe"))["height"] > 100
    line = policy(SimpleNamespace(url="https://survey.example.com"))["Content-Security-Policy"]
    documented = re.search(r"script-src.*connect-src [^;]+", line)[0]
    assert f"    {documented}\n" in (ROOT / "docs/widget.md").read_text()


def test_a_nonce_is_enough_for_scripts_and_serves_old_browsers_styles(visit, live_server):
    nonce = {"script": "'nonce-abc123'"}
    page = visit("nonce=abc123", headers=policy(live_server, **nonce), body=PLAIN)
    told(page, "shown")
    old = "delete CSSStyleSheet.prototype.replaceSync;"
    headers = policy(live_server, **nonce)
    headers["Content-Security-Policy"] += "; style-src 'nonce-abc123'"
    page = visit("nonce=abc123", headers=headers, before=old, body=PLAIN)
    told(page, "shown")
    assert box(card(page))["width"] == 400


def test_a_site_that_is_not_allowed_shows_nothing_and_debugging_says_why(visit, shop):
    shop.allowed_origins = ["https://elsewhere.example"]
    shop.save()
    page = visit("data-debug", before="", forgiven="frame-ancestors|Framing|frame")
    page.wait_for_selector("cx-survey iframe", state="attached")
    assert not card(page).is_visible()


def test_a_form_that_does_not_come_is_taken_away_after_ten_seconds(visit, shop, live_server):
    shop.active = False
    shop.save()
    page = visit("data-debug data-trigger=code", forgiven="Framing|404")
    stop_the_clock(page)
    page.evaluate("cx('show')")
    page.wait_for_selector("cx-survey iframe", state="attached")
    page.clock.run_for(9900)
    assert "withheld" not in names_now(page)
    assert not card(page).is_visible()
    page.clock.run_for(200)
    assert withheld(page) == "failed"
    assert card(page).count() == 0
    assert "allowed origins" in page.locator("cx-survey [role=log]").inner_text()


def test_without_a_network_nothing_is_shown(visit, live_server):
    page = visit("data-trigger=code", forgiven="ERR_")
    page.wait_for_function("cx.widget")
    page.route(f"{live_server.url}/**", lambda route: route.abort())
    page.evaluate("cx('show')")
    assert withheld(page) == "failed"
    assert page.locator("cx-survey").count() == 0


def test_debugging_tells_on_the_page_why_it_is_or_is_not_shown(visit, shop):
    def log(attributes: str) -> str:
        page = visit("data-debug " + attributes)
        page.wait_for_function("heard.length")
        panel = page.locator("cx-survey [role=log]")
        last = names(page)[-1]
        panel.get_by_text("not shown" if last == "withheld" else "loading").wait_for()
        return panel.inner_text()

    assert "not shown: url, http://127.0.0.1" in log("data-url=/none")
    assert "not shown: sample, drew" in log("data-sample=0")
    assert f"{shop.public_key} popup: waiting for now" in log("")
    quiet = visit("data-url=/none")
    assert withheld(quiet) == "url"
    assert quiet.locator("cx-survey").count() == 0


# --- The form's own pages --------------------------------------------------------------------------------------------


def test_an_invitation_by_the_widget_may_be_framed_by_the_touchpoints_sites_and_no_other(client, shop, host):
    def policy_of(**fields: Any) -> Any:
        return client.get(f"/s/{make_invitation(shop, make_customer(), expires_at=None, **fields).token}/")

    framed = policy_of(mode="web")
    assert f"frame-ancestors {host.url}" in framed["Content-Security-Policy"]
    assert "X-Frame-Options" not in framed
    letter = policy_of(mode="email")
    assert "frame-ancestors 'none'" in letter["Content-Security-Policy"]
    assert letter["X-Frame-Options"] == "DENY"


def test_a_page_loads_the_frames_script_only_where_somebody_frames_it(client, shop):
    address = f"/t/{shop.public_key}/"
    assert b"frame.js" not in client.get(address).content
    assert b"frame.js" not in client.get(f"{address}?via=qr").content
    assert b"frame.js" in client.get(f"{address}?via=web").content
    sent = client.post(f"{address}?via=web&origin=https://shop.example.com", {"score": "9"})
    assert "origin=https%3A%2F%2Fshop.example.com" in sent["Location"]
    thanks = client.get(sent["Location"]).content
    assert b"frame.js" in thanks
    assert b"origin=https%3A%2F%2Fshop.example.com" in thanks
