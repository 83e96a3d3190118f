"""What the form does in Chromium: what follows a score, what is recorded and when, and what becomes of it without a network."""

import gzip
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urljoin

import pytest
import requests
from django.utils import timezone

from metrics.rollup import roll_up
from metrics.verify import verify
from surveys import views
from surveys.flow.instruments import QuestionTerms, publish_version
from surveys.flow.respond import record_response
from surveys.models import Instrument, Invitation, Response, ResponseChange, ScoreLedger, Suppression, Touchpoint
from tests.factories import make_customer, make_invitation, make_organisation, make_touchpoint
from tests.stack import until

pytestmark = pytest.mark.django_db(transaction=True)

STATIC = Path(__file__).resolve().parents[2] / "static"
YES_NO = {"en": "Would you come again?", "zh-hans": "您会再来吗？"}
QUESTIONS = [
    QuestionTerms("score", "scale", {"en": "How likely?", "zh-hans": "可能性有多大？"}, required=True),
    QuestionTerms(
        "reason",
        "choices",
        {"en": "Which of these?", "zh-hans": "哪些原因？"},
        show_if={"score": [0, 1, 2, 3, 4, 5, 6]},
        options={"late": {"en": "Late", "zh-hans": "太晚"}, "price": {"en": "Price", "zh-hans": "价格"}},
    ),
    QuestionTerms("hours", "verbatim", {"en": "How late?", "zh-hans": "晚了多久？"}, show_if={"reason": ["late"]}),
    QuestionTerms("again", "yes_no", YES_NO),
    QuestionTerms("why", "verbatim", {"en": "Why not?", "zh-hans": "为什么？"}, show_if={"again": ["no"]}),
    QuestionTerms(
        "comment",
        "verbatim",
        {"en": "Anything else?", "zh-hans": "还有吗？"},
        by_band={
            "detractors": {"en": "What went wrong?", "zh-hans": "哪里不好？"},
            "promoters": {"en": "What was best?", "zh-hans": "哪里最好？"},
        },
    ),
    QuestionTerms("contact", "contact", {}),
]
SHOWN = "() => [...document.querySelectorAll('.question')].filter((e) => e.checkVisibility()).map((e) => e.dataset.key)"
NEWS = "() => document.querySelector('.visually-hidden[role=status]').textContent"
# Nothing that its clock holds still: the page has done what it had begun.
A_TURN = """() => new Promise((done) => {
  const channel = new MessageChannel();
  channel.port1.onmessage = done;
  channel.port2.postMessage(0);
})"""
OFFLINE = "There is no connection."


@pytest.fixture
def site(live_server, settings) -> str:
    settings.BASE_URL = live_server.url
    make_organisation(privacy={"en": "Your answer stays with us.", "zh-hans": "您的回答仅供我们使用。"})
    instrument = Instrument.objects.create(slug="tea", metric="nps", points=11, name={"en": "Tea"})
    publish_version(instrument, QUESTIONS)
    make_touchpoint("house", instrument=instrument, name={"en": "Tea house", "zh-hans": "茶馆"}, public=True)
    return str(live_server.url)


@pytest.fixture
def open_page(browser) -> Iterator:
    """A page in a context of its own; `page.posted` has the fields of all that it has posted. No complaint is forgiven."""
    contexts, complaints = [], []

    def opened(address: str, **options):
        context = browser.new_context(**{"viewport": {"width": 390, "height": 800}, "locale": "en", **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.posted = []
        page.on("request", lambda request: request.method == "POST" and page.posted.append(fields_of(request)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.set_offline(True)  # a page that is closed sends what it holds
        context.close()
    assert [text for text in complaints if "Failed to load resource" not in text] == []


def fields_of(request) -> dict[str, list[str]]:
    return parse_qs(request.post_data or "")


def house() -> Touchpoint:
    return Touchpoint.objects.get(slug="house")


def open_form(site: str, query: str = "") -> str:
    return f"{site}/t/{house().public_key}/{query}"


def invite(**fields) -> Invitation:
    fields = {"expires_at": timezone.now() + timedelta(days=14), **fields}
    return make_invitation(house(), make_customer(), **fields)


def link(site: str, query: str = "", **fields) -> str:
    return f"{site}/s/{invite(**fields).token}/{query}"


def tap(page, score: int) -> None:
    page.locator("[data-key=score] .score").nth(score).click()


def choose(page, key: str, text: str) -> None:
    page.locator(f"[data-key={key}] .choice", has_text=text).click()


def send(page) -> None:
    page.click(".send")


def thanked(page) -> None:
    page.wait_for_url("**done=1**")
    page.get_by_role("heading", name="Thank you").wait_for()


def the_response(**filters) -> Response:
    found: Response = until(lambda: Response.objects.filter(**filters).first(), 10)
    assert Response.objects.count() == 1
    return found


def counted_once(score: int) -> None:
    """One response, and every way of counting says so."""
    response = Response.objects.get()
    assert (response.score, response.suspected_at, response.excluded_at) == (score, None, None)
    assert verify() == []
    roll_up()
    assert verify() == []
    assert ScoreLedger.objects.count() == 0


def said(page, text: str) -> None:
    page.locator(".status", has_text=text).wait_for()


def settle(page) -> None:
    """Let a minute of the page's own time go by: whatever it would do by itself, it has done or begun."""
    for _second in range(12):
        page.clock.run_for(5_000)


# --- What follows a score ---------------------------------------------------------------------------------------------


def test_first_there_are_the_score_and_send_and_a_tap_brings_what_follows_in_place(site, open_page):
    page = open_page(open_form(site))
    assert page.evaluate(SHOWN) == ["score"]
    assert page.locator(".send").is_visible()
    assert page.evaluate(NEWS) == ""
    before = page.locator("[data-key=score]").bounding_box()
    tap(page, 3)
    assert page.evaluate(SHOWN) == ["score", "reason", "again", "comment", "contact"]
    assert page.evaluate(NEWS) == "4 more questions below"
    assert page.locator("[data-key=score]").bounding_box() == before
    assert page.evaluate("scrollY") == 0
    assert page.url == open_form(site)
    tap(page, 8)
    assert page.evaluate(SHOWN) == ["score", "again", "comment", "contact"]
    assert page.evaluate(NEWS) == ""
    tap(page, 4)
    assert page.evaluate(NEWS) == "1 more question below"


@pytest.mark.parametrize(
    ("score", "text"), [(0, "What went wrong?"), (6, "What went wrong?"), (7, "Anything else?"), (9, "What was best?")]
)
def test_a_follow_up_is_worded_for_the_band_of_the_score(site, open_page, score, text):
    page = open_page(open_form(site))
    for first in (10 - score, score):
        tap(page, first)
    assert page.locator("[data-key=comment] .legend").inner_text().startswith(text)
    assert page.get_by_label(text).count() == 1
    preset = open_page(open_form(site, f"?score={score}"))
    assert preset.get_by_label(text).is_visible()
    tap(preset, 8)
    assert preset.get_by_label("Anything else?").is_visible()


def test_any_earlier_answer_can_bring_a_question_and_what_hangs_on_it_goes_with_it(site, open_page):
    page = open_page(open_form(site))
    tap(page, 2)
    assert "hours" not in page.evaluate(SHOWN)
    choose(page, "reason", "Price")
    assert "hours" not in page.evaluate(SHOWN)
    choose(page, "reason", "Late")
    page.get_by_label("How late?").fill("Two hours")
    choose(page, "again", "No")
    assert page.evaluate(SHOWN) == [question.key for question in QUESTIONS]
    choose(page, "again", "Yes")
    assert "why" not in page.evaluate(SHOWN)
    tap(page, 9)
    assert page.evaluate(SHOWN) == ["score", "again", "comment", "contact"]
    send(page)
    thanked(page)
    answers = Response.objects.get().answers.order_by("question__key").values_list("question__key", "choices")
    assert list(answers) == [("again", ["yes"]), ("score", [])]
    assert "hours" not in page.posted[-1]


def test_nobody_is_asked_more_than_the_manager_set(site, open_page):
    Instrument.objects.filter(slug="tea").update(max_questions=3)
    page = open_page(open_form(site))
    tap(page, 9)
    assert page.evaluate(SHOWN) == ["score", "again", "comment"]
    page.get_by_label("What was best?").fill("The tea")
    choose(page, "again", "No")
    assert page.evaluate(SHOWN) == ["score", "again", "why"]
    choose(page, "again", "Yes")
    assert page.get_by_label("What was best?").input_value() == "The tea"
    plain = open_page(open_form(site), java_script_enabled=False)
    assert "contact" not in plain.content()


def test_without_javascript_it_is_one_page_with_one_button(site, open_page):
    page = open_page(link(site), java_script_enabled=False)
    assert page.locator(".question").count() == page.locator(".question:visible").count() == len(QUESTIONS)
    assert page.locator("button:visible").count() == 1
    tap(page, 2)
    choose(page, "reason", "Late")
    page.get_by_label("How late?").fill("Two hours")
    choose(page, "contact", "Yes")
    send(page)
    thanked(page)
    response = Response.objects.get()
    assert {answer.question.key: answer.value for answer in response.answers.select_related("question")} == {
        "score": 2,
        "reason": ["late"],
        "hours": "Two hours",
        "contact": "yes",
    }
    assert response.completed_at is not None


def test_send_stays_in_reach(site, open_page):
    page = open_page(open_form(site))
    box = page.locator(".send").bounding_box()
    assert box["y"] + box["height"] <= 800
    assert box["height"] >= 44


def test_the_first_view_is_light(site):
    page = requests.get(open_form(site), timeout=10).text
    own = re.findall(r'(?:href|src)="(/[^"]+\.(?:css|js))"', page)
    assert "/static/form.js" in own
    sizes = {path: len(gzip.compress(requests.get(site + path, timeout=10).content)) for path in own}
    sizes["page"] = len(gzip.compress(page.encode()))
    assert sum(sizes.values()) <= 20_480, sizes
    assert sizes["/static/form.js"] <= 5_120


# --- Recorded at a touch ----------------------------------------------------------------------------------------------

UNTRUSTED = """() => {
  for (const type of ['pointerdown', 'pointerup', 'click', 'keydown', 'keyup', 'touchend', 'mouseup', 'focus'])
    for (const target of [window, document, document.body, ...document.querySelectorAll('main *')])
      target.dispatchEvent(new (type.startsWith('key') ? KeyboardEvent : type === 'pointerup' ? PointerEvent : MouseEvent)(
        type, { bubbles: true, cancelable: true, key: 'Enter' }));
  for (const element of document.querySelectorAll('main label, main input, main button')) { element.focus(); element.click(); }
  scrollTo(0, 9999);
}"""


@pytest.mark.parametrize(
    "touch",
    [
        lambda page: page.mouse.click(5, 5),
        lambda page: page.keyboard.press("Shift"),
        lambda page: page.mouse.click(195, 790),
    ],
)
def test_a_preselected_score_is_recorded_at_the_first_touch_and_never_before(site, open_page, touch):
    page = open_page(link(site, "?score=9"))
    page.clock.install()
    assert page.locator("input:checked").get_attribute("value") == "9"
    page.mouse.move(200, 300)
    page.mouse.wheel(0, 400)
    page.evaluate("dispatchEvent(new KeyboardEvent('keydown')), dispatchEvent(new PointerEvent('pointerup'))")
    settle(page)
    page.reload()
    settle(page)
    assert page.posted == []
    touch(page)
    page.clock.run_for(1_000)
    said(page, "Your choice is saved.")
    response = the_response()
    assert (response.score, response.completed_at, response.mode) == (9, None, "email")
    assert page.posted[0]["partial"] == ["1"]
    counted_once(9)


def test_looking_at_an_earlier_answer_and_touching_the_page_records_nothing_new(site, open_page):
    address = link(site)
    page = open_page(address)
    tap(page, 9)
    send(page)
    thanked(page)
    page.posted.clear()
    page.get_by_role("link", name="Change my answer").click()
    page.clock.install()
    page.mouse.click(5, 5)
    settle(page)
    assert page.posted == []


def test_a_tap_on_a_score_is_recorded_by_itself_and_send_adds_the_rest(site, open_page):
    page = open_page(open_form(site))
    tap(page, 4)
    said(page, "Your choice is saved.")
    assert (the_response().score, the_response().completed_at) == (4, None)
    page.get_by_label("What went wrong?").fill("It was cold")
    send(page)
    thanked(page)
    response = the_response()
    assert (response.comment, response.completed_at is None) == ("It was cold", False)
    assert [("partial" in fields) for fields in page.posted] == [True, False]
    assert int(page.posted[0]["edit"][0]) < int(page.posted[1]["edit"][0])
    counted_once(4)


def test_a_quick_correction_is_one_recording_and_a_later_one_is_never_suspicious(site, open_page):
    page = open_page(link(site))
    tap(page, 9)
    tap(page, 8)
    said(page, "Your choice is saved.")
    assert [fields["score"] for fields in page.posted] == [["8"]]
    first = the_response().recorded_at
    tap(page, 3)
    changed = until(lambda: Response.objects.filter(score=3).first(), 10)
    assert changed.changed_at - first >= timedelta(seconds=2)
    assert changed.suspected_at is None
    assert list(ResponseChange.objects.values_list("score", flat=True)) == [8]
    counted_once(3)


def test_whoever_leaves_at_once_has_answered_all_the_same(site, open_page):
    page = open_page(link(site))
    tap(page, 7)
    page.get_by_label("Anything else?").fill("Fine")
    page.goto("about:blank")
    assert (the_response().score, the_response().comment, the_response().completed_at) == (7, "Fine", None)


def test_whoever_leaves_without_a_score_or_without_a_touch_has_not(site, open_page):
    page = open_page(link(site))
    page.mouse.click(5, 5)
    page.goto(link(site, "?score=9"))
    page.evaluate(UNTRUSTED)
    page.goto("about:blank")
    assert page.posted == []
    assert not Response.objects.exists()


def test_pages_around_the_form_hear_what_happens(site, open_page):
    page = open_page(open_form(site))
    page.evaluate("""() => { window.heard = []; for (const name of ['started', 'answered', 'swapped'])
      document.addEventListener(`cx:${name}`, (event) => heard.push([name, event.detail])); }""")
    tap(page, 9)
    said(page, "Your choice is saved.")
    page.keyboard.press("Tab")
    send(page)
    thanked(page)
    until(lambda: page.evaluate("heard.length") == 4, 5)
    heard = page.evaluate("heard")
    assert heard[:2] == [["started", None], ["answered", {"complete": False}]]
    assert sorted(heard[2:]) == [["answered", {"complete": True}], ["swapped", None]]


# --- Send -------------------------------------------------------------------------------------------------------------


def test_send_stays_on_the_page_and_focus_goes_to_what_is_new(site, open_page):
    page = open_page(link(site))
    page.evaluate("window.same = true")
    tap(page, 9)
    send(page)
    thanked(page)
    assert page.evaluate("same")
    assert page.evaluate("document.activeElement.textContent") == page.title() == "Thank you"
    assert page.evaluate("history.length") == open_page(link(site)).evaluate("history.length")
    page.reload()
    assert page.locator("h1").inner_text() == "Thank you"
    page.get_by_role("link", name="Change my answer").click()
    assert page.locator("input:checked").get_attribute("value") == "9"
    counted_once(9)


def test_errors_come_in_place_are_led_to_and_everything_typed_stays(site, open_page):
    page = open_page(open_form(site))
    page.evaluate("window.same = true")
    send(page)
    page.wait_for_selector("#summary")
    assert page.evaluate("[same, document.activeElement.id]") == [True, "summary"]
    assert page.title().startswith("Something is missing")
    assert page.get_by_role("alert").inner_text().startswith("Something is missing")
    page.get_by_label("Anything else?").fill("Only this")
    send(page)
    page.locator("#summary").wait_for()
    until(lambda: len(page.posted) == 2, 5)
    assert page.get_by_label("Anything else?").input_value() == "Only this"
    tap(page, 8)
    send(page)
    thanked(page)
    assert (the_response().comment, the_response().client_id.hex) == (
        "Only this",
        page.posted[0]["form"][0].replace("-", ""),
    )


def test_a_link_that_expires_meanwhile_says_so(site, open_page):
    page = open_page(link(site))
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    tap(page, 9)
    send(page)
    page.get_by_role("heading", name="This link has expired").wait_for()
    assert page.evaluate("Object.keys(localStorage)") == []
    assert not Response.objects.exists()


def test_what_is_on_its_way_when_send_is_pressed_and_comes_late_changes_nothing(site, open_page, monkeypatch):
    sent, arrived = threading.Event(), []

    def record_slowly(submission, now):
        if not submission.complete:
            arrived.append("touch")
            sent.wait(20)
        recorded = record_response(submission, now)
        arrived.append("recorded")
        return recorded

    monkeypatch.setattr(views, "record_response", record_slowly)
    page = open_page(link(site))
    tap(page, 9)
    until(lambda: page.evaluate("1") and arrived, 5)
    tap(page, 3)
    send(page)
    thanked(page)
    sent.set()
    until(lambda: arrived == ["touch", "recorded", "recorded"], 10)
    assert not ResponseChange.objects.exists()
    counted_once(3)


def test_a_test_records_nothing_and_says_so(site, open_page):
    Instrument.objects.update(thanks={"promoters": {"title": {"en": "Hooray"}}})
    page = open_page(open_form(site, "?test=1"))
    assert page.get_by_text("This is a test. Nothing is recorded.").is_visible()
    tap(page, 9)
    said(page, "Your choice is saved.")
    send(page)
    page.get_by_role("heading", name="Hooray").wait_for()
    assert page.get_by_text("This is a test. Nothing is recorded.").is_visible()
    assert not Response.objects.exists()


# --- Without a network ------------------------------------------------------------------------------------------------


def test_without_a_network_it_is_kept_told_and_sent_when_there_is_one(site, open_page):
    page = open_page(link(site))
    tap(page, 2)
    said(page, "Your choice is saved.")
    page.get_by_label("What went wrong?").fill("It was cold")
    page.context.set_offline(True)
    send(page)
    said(page, OFFLINE)
    assert page.get_by_role("button", name="Try again now").is_visible()
    assert page.get_by_label("What went wrong?").input_value() == "It was cold"
    assert the_response().comment == ""
    page.context.set_offline(False)  # and nothing is pressed
    thanked(page)
    assert (the_response().comment, the_response().completed_at is None) == ("It was cold", False)
    assert page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]") == []
    counted_once(2)


def test_what_was_recorded_while_the_answer_got_lost_is_counted_once(site, open_page):
    page = open_page(open_form(site))
    lost = []

    def record_and_drop(route) -> None:
        if route.request.method != "POST" or len(lost) > 1:
            route.continue_()
            return
        lost.append(route.fetch(max_redirects=0).status)
        route.abort()

    page.route("**/t/**", record_and_drop)
    tap(page, 9)
    said(page, OFFLINE)
    assert the_response().score == 9
    send(page)
    until(lambda: page.evaluate("1") and len(lost) > 1, 5)
    send_until_thanked(page)
    assert lost[0] == 204
    assert len({fields["form"][0] for fields in page.posted}) == 1
    assert not ResponseChange.objects.exists()
    counted_once(9)


def test_it_is_tried_again_with_growing_pauses_under_the_same_id(site, open_page):
    page = open_page(open_form(site))
    page.clock.install()
    answers = iter([503, 429, 500, 502])
    page.route("**/t/**", lambda route: fulfil(route, answers))
    tap(page, 9)
    send(page)
    pauses = []
    for tried in range(1, 5):
        until(lambda tried=tried: page.evaluate("1") and len(page.posted) == tried, 5)
        said(page, OFFLINE)
        # While an answer is on its way the clock stands: whoever moved it then would cut the answer off before it is out.
        until(lambda: page.get_attribute(".send", "aria-disabled") == "false", 5)
        pause = 0
        while page.get_attribute(".send", "aria-disabled") == "false" and len(page.posted) == tried:
            page.clock.run_for(1_000)
            page.evaluate(A_TURN)
            pause += 1
            assert pause < 70
        pauses.append(pause)
    thanked(page)
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * pauses[0]
    assert len({(fields["form"][0], fields["edit"][0]) for fields in page.posted}) == 1
    counted_once(9)


def fulfil(route, answers) -> None:
    status = next(answers, None) if route.request.method == "POST" else None
    if status:
        route.fulfill(status=status, body="<main>Busy</main>", content_type="text/html")
    else:
        route.continue_()


def test_a_portal_that_answers_in_our_place_is_no_answer(site, open_page):
    page = open_page(link(site))
    answers = iter([200, 200])
    page.route("**/s/**", lambda route: fulfil(route, answers))
    tap(page, 9)
    send(page)
    said(page, OFFLINE)
    assert not Response.objects.exists()
    send_until_thanked(page)
    counted_once(9)


def send_until_thanked(page) -> None:
    until(lambda: "done=1" in page.url or page.evaluate("document.querySelector('.retry')?.click()"), 10)
    thanked(page)


def test_a_reload_restores_what_was_typed_and_the_forms_own_id(site, open_page):
    page = open_page(open_form(site))
    tap(page, 2)
    choose(page, "reason", "Late")
    page.get_by_label("How late?").fill("Two hours")
    choose(page, "again", "No")
    said(page, "Your choice is saved.")
    form = page.locator("[name=form]").input_value()
    page.reload()
    said(page, "What you had typed is still here.")
    assert page.locator("[name=form]").input_value() == form
    assert page.get_by_label("How late?").input_value() == "Two hours"
    assert sorted(page.locator("input:checked").evaluate_all("all => all.map((e) => e.value)")) == ["2", "late", "no"]
    send(page)
    thanked(page)
    assert str(the_response().client_id) == form
    page.goto(open_form(site))
    assert page.locator("input:checked").count() == 0
    assert page.locator("[name=form]").input_value() != form
    counted_once(2)


@pytest.mark.parametrize("address", [link, open_form])
def test_a_reload_goes_on_sending(site, open_page, address):
    page = open_page(address(site))
    page.route("**/*", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    tap(page, 2)
    page.get_by_label("What went wrong?").fill("It was cold")
    send(page)
    said(page, OFFLINE)
    assert not Response.objects.exists()
    page.unroute("**/*")
    page.reload()
    thanked(page)
    assert (the_response().score, the_response().comment) == (2, "It was cold")
    assert len({fields.get("form", [""])[0] for fields in page.posted}) == 1
    assert page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]") == []
    counted_once(2)


def test_a_later_visit_sends_what_was_kept_and_the_form_is_free_for_another_answer(site, open_page):
    page = open_page(open_form(site))
    page.route("**/*", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    tap(page, 2)
    send(page)
    said(page, OFFLINE)
    later = page.context.new_page()
    later.goto(open_form(site))
    assert (the_response().score, the_response().completed_at is None) == (2, False)
    assert later.locator("input:checked").count() == 0
    until(lambda: later.evaluate("Object.keys(localStorage)") == [], 5)
    page.unroute("**/*")
    page.get_by_role("button", name="Try again now").click()
    thanked(page)
    counted_once(2)


def test_what_was_kept_for_a_week_is_let_go(site, open_page):
    page = open_page(open_form(site))
    page.evaluate("""(at) => { const path = location.pathname; const body = 'version=1&score=3&form=5f0c3f0e-0000-4000-8000-00000000000';
      localStorage[`cx:${path}:old`] = JSON.stringify({ url: path, body: body + 1, complete: true, at });
      localStorage[`cx:${path}:new`] = JSON.stringify({ url: path, body: body + 2, complete: true, at: at + 60000 }); }""",
        (timezone.now() - timedelta(days=7)).timestamp() * 1000 - 1_000,
    )  # fmt: skip
    page.reload()
    assert str(the_response().client_id).endswith("2")
    until(lambda: page.evaluate("Object.keys(localStorage)") == [], 5)


def test_where_nothing_may_be_kept_the_page_keeps_it_while_it_is_open(site, open_page, browser):
    context = browser.new_context(viewport={"width": 390, "height": 800}, locale="en")
    context.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage'])"
        " Object.defineProperty(window, name, { get() { throw new DOMException('denied', 'SecurityError'); } });"
    )
    page = context.new_page()
    page.goto(link(site))
    tap(page, 9)
    context.set_offline(True)
    send(page)
    said(page, OFFLINE)
    context.set_offline(False)
    thanked(page)
    counted_once(9)
    context.close()


def test_a_newer_score_out_of_the_letter_is_not_undone_by_what_was_typed_before(site, open_page):
    address = link(site)
    page = open_page(f"{address}?score=9")
    page.get_by_label("What was best?").fill("The tea")
    page.goto(f"{address}?score=2")
    assert page.locator("input:checked").get_attribute("value") == "2"
    assert page.get_by_label("What went wrong?").input_value() == "The tea"


# --- Languages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_error", [False, True])
def test_switching_the_language_keeps_what_was_typed(site, open_page, after_error):
    page = open_page(open_form(site, "?via=qr"))
    form = page.locator("[name=form]").input_value()
    if after_error:
        send(page)
        page.wait_for_selector("#summary")
        page.get_by_label("Anything else?").fill("The tea")
        page.get_by_role("button", name="简体中文").click()
    else:
        tap(page, 9)
        page.get_by_label("What was best?").fill("The tea")
        page.get_by_role("link", name="简体中文").click()
    page.wait_for_selector("html[lang=zh-hans]")
    tap(page, 9)
    assert page.get_by_label("哪里最好？").input_value() == "The tea"
    assert page.locator("[name=form]").input_value() == form
    send(page)
    page.wait_for_url("**done=1**")
    response = the_response(completed_at__isnull=False)
    assert (response.language, response.mode, response.comment) == ("zh-hans", "qr", "The tea")


def test_without_javascript_it_is_posted_along(site, open_page):
    page = open_page(link(site), java_script_enabled=False)
    page.get_by_label("Anything else?").fill("The tea")
    send(page)
    page.get_by_role("button", name="简体中文").click()
    page.wait_for_selector("html[lang=zh-hans]")
    assert page.get_by_label("还有吗？").input_value() == "The tea"
    assert page.locator("#summary").count() == 0
    tap(page, 8)
    send(page)
    page.wait_for_url("**done=1**")
    assert (the_response().language, the_response().comment) == ("zh-hans", "The tea")


# --- Machines ---------------------------------------------------------------------------------------------------------

# All that a scanner's scripts may try on a page, from its first moment.
SCANNING = """() => {
  const form = document.querySelector('main form');
  if (form) {
    for (const attempt of [() => form.requestSubmit(), () => form.requestSubmit(form.querySelector('.send')), () => form.submit(),
      () => form.dispatchEvent(new SubmitEvent('submit', { bubbles: true, cancelable: true })),
      () => document.querySelector('.send').dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }))]) attempt();
  }
}"""


def test_a_scanner_that_follows_every_link_and_runs_every_script_answers_and_unsubscribes_nothing(site, open_page):
    invitation = invite()
    letter = [f"{site}/s/{invitation.token}/?score={score}" for score in range(11)]
    letter += [f"{site}/s/{invitation.token}/", f"{site}/u/{invitation.token}/", open_form(site)]
    seen, waiting = set(), list(letter)
    while waiting:
        address = waiting.pop()
        if address in seen or len(seen) > 60:
            continue
        seen.add(address)
        requests.head(address, timeout=10)
        found = re.findall(r'href="([^"#]+)"', requests.get(address, timeout=10).text)
        waiting += [urljoin(address, href.replace("&amp;", "&")) for href in found if "/static/" not in href]
    page = open_page(letter[9])
    page.clock.install()
    for address in sorted(address for address in seen if "/accent/" not in address)[:24]:
        page.goto(address)
        page.evaluate(UNTRUSTED)
        page.evaluate(SCANNING)
        for _second in range(10):
            page.evaluate("scrollTo(0, scrollY + 200)")
            page.clock.run_for(1_000)
    page.goto("about:blank")
    assert page.posted == []
    assert not Response.objects.exists()
    assert not Suppression.objects.exists()
    # And on the same pages a person's press is an answer.
    page.goto(letter[9])
    page.evaluate(UNTRUSTED)
    page.evaluate(SCANNING)
    tap(page, 9)
    send(page)
    thanked(page)
    counted_once(9)
    page.goto(f"{site}/u/{invitation.token}/")
    page.evaluate(SCANNING)
    page.get_by_role("button", name="Unsubscribe").click()
    page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert Suppression.objects.filter(of_person=False).count() == 1


def test_enter_on_the_button_is_a_press_too(site, open_page):
    page = open_page(link(site))
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.locator(".send").focus()
    page.keyboard.press("Enter")
    thanked(page)
    counted_once(0)


def test_a_machine_with_a_mouse_that_tries_all_scores_is_left_out_and_a_press_of_send_is_not(site, open_page):
    address = link(site)
    for score in (9, 3):
        page = open_page(f"{address}?score={score}")
        page.mouse.click(5, 5)
        page.goto("about:blank")
        until(lambda score=score: Response.objects.filter(score=score).exists(), 5)
    response = the_response()
    assert (response.score, response.excluded_reason) == (3, "suspected_bot")
    assert verify() == []
    page = open_page(address)
    tap(page, 8)
    send(page)
    thanked(page)
    response.refresh_from_db()
    assert (response.score, response.excluded_at, response.suspected_at is None) == (8, None, False)
    assert verify() == []


def test_whoever_presses_send_and_leaves_at_once_has_sent(site, open_page, monkeypatch):
    sent, arrived = threading.Event(), []

    def record_slowly(submission, now):
        arrived.append(submission.complete)
        sent.wait(20)
        return record_response(submission, now)

    monkeypatch.setattr(views, "record_response", record_slowly)
    page = open_page(link(site))
    tap(page, 9)
    send(page)
    page.goto("about:blank")
    sent.set()
    assert the_response(completed_at__isnull=False).score == 9
    until(lambda: len(arrived) == 2, 10)
    until(lambda: Response.objects.get().edit, 5)
    assert not ResponseChange.objects.exists()
    counted_once(9)
