"""Journeys and channels of the demo in Chromium: each page with each filter, as a reader has it; and the picture of docs/measuring.md."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.metrics.test_views_browser import DESK, PHONE, TABLET
from tests.pictures import keep, taken
from tests.stack import Stack
from tests.staff_browser import complaints_of

pytestmark = pytest.mark.slow  # the demo takes half a minute to load

PAGES = ("/admin/journeys/", "/admin/journeys/buying/", "/admin/journeys/help/", "/admin/channels/")
FILTERS = (
    "period=90d", "period=7d", "period=quarter", "period=custom&from=2026-01-01&to=2026-01-31", "compare=year", "compare=none",
    "journey=buying", "stage=buying/order", "touchpoint=delivery", "channel=app", "mode=email", "segment=gold",
    "location=nowhere", "metric=csat5", "metric=csat7", "metric=nps", "metric=ces", "metric=ttr", "metric=nonsense", "segment=nobody",
)  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("demo") / "data", demo=True)
    try:
        running.start(timeout=600)
        yield running
    finally:
        running.stop()
        running.remove()


def opened(browser, demo: Stack, language: str, size: dict[str, int], scheme: str) -> tuple[Any, list[str]]:
    context = browser.new_context(viewport=size, locale=language, color_scheme=scheme)
    page = context.new_page()
    complaints = complaints_of(page, demo.url)
    page.goto(f"{demo.url}/admin/login/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", demo.password())
    page.press("[name=password]", "Enter")
    page.wait_for_url(f"{demo.url}/admin/")
    return page, complaints


STICKING_OUT = """() => [...document.querySelectorAll('.cx *')]
    .filter((one) => !one.closest('.cx-visually-hidden, .cx-scroll, thead, svg'))
    .filter((one) => one.getBoundingClientRect().right > document.querySelector('.cx').getBoundingClientRect().right + 1)
    .map((one) => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 40)}`)"""


def check_fits(page, path: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, path
    assert page.evaluate(STICKING_OUT) == [], path


@pytest.mark.parametrize(
    ("language", "size", "scheme"),
    [
        ("en", PHONE, "light"),
        ("zh-CN", PHONE, "dark"),
        ("en", TABLET, "dark"),
        ("zh-CN", DESK, "light"),
        ("en", DESK, "dark"),
    ],
)
def test_pages_fit_their_window_and_complain_of_nothing(browser, demo, language, size, scheme):
    page, complaints = opened(browser, demo, language, size, scheme)
    for path in PAGES:
        for query in ("period=90d", "period=30d&metric=csat5"):
            page.goto(f"{demo.url}{path}?{query}", wait_until="networkidle")
            check_fits(page, path)
    assert complaints == []
    page.context.close()


@pytest.mark.parametrize("path", PAGES)
def test_every_filter_gives_a_page_that_says_what_it_shows(browser, demo, path):
    page, complaints = opened(browser, demo, "en", PHONE, "light")
    for query in FILTERS:
        page.goto(f"{demo.url}{path}?{query}", wait_until="networkidle")
        assert page.locator(".cx-panel").count() > 0, query
        check_fits(page, f"{path}?{query}")
    assert complaints == []
    page.context.close()


def test_a_manager_goes_from_the_line_to_a_touchpoint_and_takes_the_filters_and_a_file_along(browser, demo):
    page, complaints = opened(browser, demo, "en", DESK, "light")
    page.goto(f"{demo.url}/admin/?period=90d", wait_until="networkidle")
    page.click("#nav-sidebar >> text=Journey scores")
    page.wait_for_url("**/admin/journeys/?period=90d")
    page.click("h2 >> text=Buying online")
    page.wait_for_url("**/admin/journeys/buying/?period=90d")
    marks = page.locator(".cx-path-mark").all_inner_texts()
    assert sorted(word for mark in marks for word in mark.split(" · ")) == ["End", "Peak", "Valley"]
    page.select_option("[name=segment]", "gold")
    page.click("text=Show")
    page.wait_for_load_state("networkidle")
    with page.expect_download() as waited:
        page.click("section:has(#touchpoints-title) .cx-file >> nth=0")
    text = waited.value.path().read_text(encoding="utf-8-sig")
    assert "Segment,gold" in text
    assert "Online shop,Discover," in text
    page.click(".cx-path-name >> text=Checkout")
    page.wait_for_load_state("networkidle")
    assert page.url.startswith(f"{demo.url}/admin/touchpoints/checkout/?")
    for kept in ("period=90d", "segment=gold", "trend=ces"):
        assert kept in page.url
    page.click("#nav-sidebar >> text=Channels")
    page.wait_for_load_state("networkidle")
    page.click(".cx-tabs >> text=TTR, median")
    page.wait_for_load_state("networkidle")
    assert "segment=gold" in page.url
    assert "A ticket has no mode" in page.inner_text(".cx")
    assert complaints == []
    page.context.close()


def test_the_line_is_columns_on_a_desk_and_bars_on_a_phone(browser, demo):
    page, _complaints = opened(browser, demo, "en", DESK, "light")
    page.goto(f"{demo.url}/admin/journeys/buying/?period=90d", wait_until="networkidle")
    plot = page.locator(".cx-path-plot").first
    assert plot.bounding_box()["height"] > 200
    assert page.locator(".cx-path-plot line").first.is_visible()
    boxes = [one.bounding_box() for one in page.locator(".cx-path-stop").all()]
    assert [box["x"] for box in boxes] == sorted(box["x"] for box in boxes)
    page.set_viewport_size(PHONE)
    assert plot.bounding_box()["height"] < 20
    assert not page.locator(".cx-path-plot line").first.is_visible()
    boxes = [one.bounding_box() for one in page.locator(".cx-path-stop").all()]
    assert [box["y"] for box in boxes] == sorted(box["y"] for box in boxes)
    page.context.close()


def test_the_picture_of_a_journey(browser, demo):
    page, _complaints = opened(browser, demo, "en", {"width": 1120, "height": 840}, "light")
    page.goto(f"{demo.url}/admin/journeys/buying/?period=90d", wait_until="networkidle")
    page.evaluate("document.querySelector('.cx-headline').scrollIntoView()")
    page.wait_for_function("window.scrollY > 0")
    keep(taken(page), "journey.webp")
    page.context.close()
