"""Every page on scores in Chromium, on the demo: it opens, fits, offends nobody, keeps its filters; and the pictures of docs/.

The demo is loaded once, into the tests' own database, and the pages are served from here: a server with workers of its own takes minutes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from metrics.alerting.evaluate import look_at_counts, look_at_days
from metrics.models import Decision
from metrics.slices import OF_TOUCHPOINTS
from metrics.urls import PAGES as SERVED
from surveys.models import QuarantinedEvent, Touchpoint
from tests.metrics.pages_browser import DESK, EN, PAGES, PHONE, ZH, Reader, reading, session_of
from tests.metrics.test_alerts import watch
from tests.pictures import keep, taken

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.xdist_group("demo in Chromium")]
DAYS = 21
TOUCHPOINT, JOURNEY = "delivery", "buying"


@dataclass(frozen=True)
class Demo:
    url: str
    cookie: str
    decision: int

    def address(self, name: str, query: str = "") -> str:
        path = PAGES[name].format(touchpoint=TOUCHPOINT, journey=JOURNEY, decision=self.decision)
        return f"{path}?{query}" if query else path


@pytest.fixture(scope="module")
def demo(django_db_setup, django_db_blocker) -> Iterator[Demo]:
    with django_db_blocker.unblock():
        # Outside any test's transaction: its rows stay from the first of these tests to the last, and go then.
        server = LiveServer("localhost")
        try:
            server._live_server_modified_settings.enable()
            call_command("load_demo", days=DAYS, verbosity=0)
            QuarantinedEvent.objects.create(body="{}", received_at=timezone.now())
            watch(kind="open_longer", longer_than_s=2 * 86_400)
            for slug in ("delivery", "returns", "hotline", "tea-house"):
                place = Touchpoint.objects.get(slug=slug)
                watch(place, metric=place.instrument.metric, points=place.instrument.points)
            look_at_days(timezone.now())
            look_at_counts(timezone.now())
            boss = User.objects.create_superuser("boss", first_name="Mei")
            yield Demo(server.url, session_of(boss), Decision.objects.get(touchpoints__slug=TOUCHPOINT).pk)
        finally:
            server._live_server_modified_settings.disable()
            server.stop()
            call_command("flush", interactive=False, verbosity=0)


def looks(name: str) -> list[tuple[str, dict[str, int], str]]:
    """Language, size and scheme: all eight of the overview; of the others four, of which each value of each stands in two."""
    every = [
        (language, size, scheme) for language in (EN, ZH) for size in (PHONE, DESK) for scheme in ("light", "dark")
    ]
    if name == "overview":
        return every
    odd = list(PAGES).index(name) % 2
    return [look for number, look in enumerate(every) if (number.bit_count() + odd) % 2]


@pytest.mark.parametrize("name", PAGES)
def test_each_page_opens_fits_and_complains_of_nothing_and_axe_finds_nothing(browser, demo, name):
    looked_at = set()
    for language, size, scheme in looks(name):
        with reading(browser, demo.url, demo.cookie, language, size, scheme) as reader:
            reader.go(demo.address(name))
            reader.check_language(language)
            reader.check_scheme(scheme)
            reader.check_fits()
            if scheme not in looked_at:
                reader.check_accessible()
            looked_at.add(scheme)
            assert reader.complaints == [], (language, size, scheme)
    assert looked_at == {"light", "dark"}


# Together they leave something to see.
CHOSEN = {
    "compare": "year", "journey": JOURNEY, "stage": "buying/receive", "touchpoint": TOUCHPOINT, "channel": "home_service",
    "mode": "email", "segment": "gold", "location": "sh-001",
}  # fmt: skip


def filters_of(name: str) -> set[str]:
    """What a page's bar must offer: everything that its address does not decide and that means something there."""
    if name == "answers":
        return set(CHOSEN) - {"compare"}
    [page] = [one for one in SERVED if one.name == name]
    decided = set(page.fixes.values())
    if "touchpoint" in decided:
        decided |= set(OF_TOUCHPOINTS)
    return set(CHOSEN) - decided - set(page.ignores) - (set() if page.compares else {"compare"})


def check_address(reader: Reader, chosen: dict[str, str]) -> None:
    asked = reader.asked()
    assert {name: asked.get(name) for name in chosen} == chosen, reader.page.url


@pytest.mark.parametrize("name", [name for name in PAGES if name != "decision"])  # its days are its own: it has no bar
def test_what_is_chosen_stands_in_the_address_and_goes_along_to_the_next_page(browser, demo, name):
    with reading(browser, demo.url, demo.cookie) as reader:
        reader.go(demo.address(name))
        reader.page.click(".cx-filters .cx-tabs a >> nth=0")
        reader.page.wait_for_url("**period=7d**")
        offered = reader.offered()
        chosen = {field: value for field, value in CHOSEN.items() if field in offered}
        assert set(chosen) == filters_of(name)
        reader.choose(chosen)
        check_address(reader, {"period": "7d", **chosen})
        assert {field: reader.page.input_value(f".cx-filters [name={field}]") for field in chosen} == chosen
        reader.check_fits()
        onward = "/admin/channels/" if name == "overview" else "/admin/"
        with reader.page.expect_navigation():
            reader.page.click(f"#nav-sidebar a[href^='{onward}?']")
        check_address(reader, {"period": "7d", **chosen})
        for field, value in chosen.items():
            assert reader.page.input_value(f".cx-filters [name={field}]") == value
        assert reader.complaints == []


def test_a_page_without_a_bar_takes_the_filters_along(browser, demo):
    with reading(browser, demo.url, demo.cookie) as reader:
        reader.go(demo.address("decision", "period=7d&segment=gold"))
        with reader.page.expect_navigation():
            reader.page.click("#nav-sidebar a[href^='/admin/channels/?']")
        check_address(reader, {"period": "7d", "segment": "gold"})


@pytest.mark.parametrize("field", ["period", *CHOSEN])
def test_each_filter_alone_changes_what_is_measured(browser, demo, field):
    # Three weeks have nothing to be compared with: it is the sentence on days that says which days were looked at.
    shown = ".cx-filters > .cx-quiet" if field == "compare" else ".cx-card"
    figures = f"() => [...document.querySelectorAll('{shown}')].map((one) => one.innerText).join()"
    with reading(browser, demo.url, demo.cookie, EN, PHONE) as reader:
        reader.go(demo.address("overview"))
        before = reader.page.evaluate(figures)
        assert "n = " in before or field == "compare"
        if field == "period":
            reader.page.click(".cx-filters .cx-tabs a >> nth=0")
            reader.page.wait_for_url("**period=7d**")
        else:
            reader.choose({field: CHOSEN[field]})
            check_address(reader, {field: CHOSEN[field]})
        assert reader.page.evaluate(figures) != before
        assert reader.complaints == []


def test_every_page_that_is_served_is_among_these():
    assert set(PAGES) - {"answers"} == {page.name for page in SERVED}
    assert {len(looks(name)) for name in PAGES} == {4, 8}


def test_a_manager_goes_from_the_line_to_a_touchpoint_and_takes_the_filters_and_a_file_along(browser, demo):
    with reading(browser, demo.url, demo.cookie) as reader:
        page = reader.page
        reader.go(demo.address("overview", "period=90d"))
        page.click("#nav-sidebar >> text=Journey scores")
        page.wait_for_url("**/admin/journeys/?period=90d")
        page.click("h2 >> text=Buying online")
        page.wait_for_url("**/admin/journeys/buying/?period=90d")
        marks = page.locator(".cx-path-mark").all_inner_texts()
        assert sorted(word for mark in marks for word in mark.split(" · ")) == ["End", "Peak", "Valley"]
        reader.choose({"segment": "gold"})
        with page.expect_download() as waited:
            page.click("section:has(#touchpoints-title) .cx-file >> nth=0")
        text = waited.value.path().read_text(encoding="utf-8-sig")
        assert "Segment,gold" in text
        assert "Online shop,Discover," in text
        page.click(".cx-path-name >> text=Checkout")
        page.wait_for_url("**/admin/touchpoints/checkout/?*")
        check_address(reader, {"period": "90d", "segment": "gold", "trend": "ces"})
        page.click("#nav-sidebar >> text=Channels")
        page.wait_for_url("**/admin/channels/?*")
        page.click(".cx-tabs >> text=TTR, median")
        page.wait_for_url("**metric=ttr**")
        check_address(reader, {"segment": "gold"})
        assert "A ticket has no mode" in page.inner_text(".cx")
        assert reader.complaints == []


def test_the_line_is_columns_on_a_desk_and_bars_on_a_phone(browser, demo):
    with reading(browser, demo.url, demo.cookie) as reader:
        reader.go(demo.address("journey"))
        page, plot = reader.page, reader.page.locator(".cx-path-plot").first
        assert plot.bounding_box()["height"] > 200
        assert page.locator(".cx-path-plot line").first.is_visible()
        boxes = [one.bounding_box() for one in page.locator(".cx-path-stop").all()]
        assert [box["x"] for box in boxes] == sorted(box["x"] for box in boxes)
        page.set_viewport_size(PHONE)
        assert plot.bounding_box()["height"] < 20
        assert not page.locator(".cx-path-plot line").first.is_visible()
        boxes = [one.bounding_box() for one in page.locator(".cx-path-stop").all()]
        assert [box["y"] for box in boxes] == sorted(box["y"] for box in boxes)


@pytest.mark.parametrize("width", [390, 1120, 1440, 1920])
def test_the_banner_ends_where_the_page_below_it_ends(browser, demo, width):
    with reading(browser, demo.url, demo.cookie, EN, {"width": width, "height": 900}) as reader:
        reader.go(demo.address("overview"))
        ends = "(name) => { const box = document.querySelector(name).getBoundingClientRect(); return [box.left, box.right]; }"
        assert reader.page.evaluate(ends, ".cx-banner") == pytest.approx(reader.page.evaluate(ends, ".cx"), abs=1)


def test_the_cards_of_the_overview_stand_level_whatever_their_value(browser, demo):
    with reading(browser, demo.url, demo.cookie, EN, DESK) as reader:
        reader.go(demo.address("overview"))
        tops = "[...document.querySelectorAll('.cx-card .cx-whisker')].map((line) => Math.round(line.getBoundingClientRect().top))"
        found = reader.page.evaluate(tops)
        assert len(found) > 3
        assert len(set(found)) == 1


def test_paper_keeps_what_a_touchpoint_compares_and_says_what_a_decision_is(browser, demo):
    with reading(browser, demo.url, demo.cookie, EN, DESK) as reader:
        reader.page.emulate_media(media="print")
        reader.go(demo.address("touchpoint_page"))
        assert reader.page.locator(".cx-compared table").first.is_visible()
        assert not reader.page.locator("p.cx-compared").is_visible()
        reader.go(demo.address("decision"))
        assert reader.page.locator(".cx-print-head h1").is_visible()
        assert not reader.page.locator(".cx-crumbs").is_visible()


# --- The pictures of docs/ ---

PICTURES: dict[
    str, tuple[str, str, str]
] = {  # page, query, and what stands at the top (nothing for the page's own top)
    "overview": ("overview", "", ""),
    "touchpoint": ("touchpoint_page", "", ".cx-figures"),
    "journey": ("journey", "", ".cx-headline"),
    "channels": ("channels", "", ".cx-headline"),
    "ttr": ("ttr", "", "section:has([data-curve])"),
    "funnel": ("response", f"touchpoint={TOUCHPOINT}", ".cx-answer"),
    "decision": ("decision", "", ""),
    "answers": ("answers", "q=tea", ""),
    "quality": ("quality", "", ""),
    "alerts": ("alerts", "", ""),
}


@pytest.mark.parametrize("picture", PICTURES)
def test_the_picture_of(browser, demo, picture):
    name, query, top = PICTURES[picture]
    with reading(browser, demo.url, demo.cookie, EN, {"width": 1120, "height": 800}) as reader:
        reader.go(demo.address(name, query))
        if top:
            reader.page.evaluate("(top) => document.querySelector(top).scrollIntoView()", top)
        keep(taken(reader.page), f"{picture}.webp")
