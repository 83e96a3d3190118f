"""The pages on scores as a reader's browser has them: where each is, how it is opened, and what must be true of any of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client

from tests.staff_browser import complaints_of

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
EN, ZH = "en", "zh-CN"
# By the name of its route. What stands in braces is filled by whoever knows the rows.
PAGES = {
    "overview": "/admin/",
    "touchpoint_page": "/admin/touchpoints/{touchpoint}/",
    "journeys": "/admin/journeys/",
    "journey": "/admin/journeys/{journey}/",
    "channels": "/admin/channels/",
    "ttr": "/admin/ttr/",
    "ttr_workload": "/admin/ttr/resolved/",
    "ttr_cohorts": "/admin/ttr/opened/",
    "ttr_experience": "/admin/ttr/experience/",
    "decisions": "/admin/decisions/",
    "decision": "/admin/decisions/{decision}/",
    "answers": "/admin/responses/",
    "response": "/admin/response/",
    "response_funnel": "/admin/response/funnel/",
    "response_rates": "/admin/response/rates/",
    "response_missing": "/admin/response/missing/",
    "response_load": "/admin/response/load/",
    "quality": "/admin/quality/",
    "alerts": "/admin/alerts/",
}
AXE = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
STICKING_OUT = """() => [...document.querySelectorAll('.cx *')]
    .filter((one) => !one.closest('.cx-visually-hidden, .cx-scroll, thead, svg'))
    .filter((one) => one.getBoundingClientRect().right > document.querySelector('.cx').getBoundingClientRect().right + 1)
    .map((one) => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 40)}`)"""


class Reader:
    """A page of somebody who is signed in; `complaints` are errors, failed requests and requests that leave the host."""

    def __init__(self, page: Any, site: str) -> None:
        self.page, self.site = page, site
        self.complaints = complaints_of(page, site)

    def go(self, address: str) -> None:
        answer = self.page.goto(self.site + address)
        assert answer.status == 200, address
        self.page.wait_for_load_state("networkidle")

    def check_fits(self) -> None:
        address = self.page.url
        assert self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, address
        assert self.page.evaluate(STICKING_OUT) == [], address

    def check_language(self, language: str) -> None:
        assert self.page.get_attribute("html", "lang").lower()[:2] == language[:2].lower(), self.page.url

    def check_scheme(self, scheme: str) -> None:
        """Dark text on a light page, or the other way round."""
        seen = "getComputedStyle(document.querySelector('.cx .cx-panel, .cx h2, .cx p')).color"
        lightness = """() => { const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
            canvas.fillStyle = COLOUR; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data[1]; }"""
        assert (self.page.evaluate(lightness.replace("COLOUR", seen)) > 128) == (scheme == "dark"), self.page.url

    def check_accessible(self) -> None:
        """axe finds nothing, its best practices included."""
        found = Axe().run(self.page, options=AXE).response["violations"]
        told = [
            f"{one['id']}: {node['html'][:300]} {node['failureSummary'][:300]}"
            for one in found
            for node in one["nodes"]
        ]
        assert not told, "\n".join([self.page.url, *told])

    def asked(self) -> dict[str, str]:
        """What the address asks for."""
        return dict(parse_qsl(urlsplit(self.page.url).query))

    def offered(self) -> dict[str, list[str]]:
        """The names of the filter bar's fields and what they may be, whether folded away or not; [] is any text."""
        return self.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll('.cx-filters .cx-form select, .cx-filters .cx-form input')]
                .filter((one) => one.type !== 'hidden' && one.name)
                .map((one) => [one.name, [...(one.options || [])].map((option) => option.value).filter(Boolean)]))"""
        )

    def choose(self, chosen: dict[str, str]) -> None:
        """As a reader does: unfold, choose, press."""
        offered = self.offered()
        folded = self.page.locator(".cx-filters details.cx-more:not([open]) > summary")
        if folded.count():
            folded.first.click()
        for name, value in chosen.items():
            field = self.page.locator(f".cx-filters [name={name}]")
            if offered[name]:
                field.select_option(value)
            else:
                field.fill(value)
        with self.page.expect_navigation():
            self.page.click(".cx-filters .cx-form > button[type=submit]")
        self.page.wait_for_load_state("networkidle")


def session_of(user: Any) -> str:
    """The cookie of a signed-in user: the form of signing in has tests of its own, and takes its time."""
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


@contextmanager
def reading(
    browser: Any, site: str, cookie: str, language: str = EN, size: dict[str, int] = DESK, scheme: str = "light"
) -> Iterator[Reader]:
    context = browser.new_context(viewport=size, locale=language, color_scheme=scheme)
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": site}])
    try:
        yield Reader(context.new_page(), site)
    finally:
        context.set_offline(True)
        context.close()
