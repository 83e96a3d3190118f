"""Both pages in Chromium: what a reader's browser does with them, on a phone and on a desk, in the dark too."""

from datetime import UTC, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from metrics.rollup import roll_up
from surveys.models import Instrument, Journey, QuarantinedEvent, Response, Touchpoint
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.raw import answer, ticket

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = (
    "/admin/",
    "/admin/?period=90d&weights=touchpoint",
    "/admin/touchpoints/delivery/?by=language",
    "/admin/touchpoints/delivery/?trend=ttr&interval=day",
    "/admin/touchpoints/quiet/",
)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
TABLET = {"width": 820, "height": 1100}


@pytest.fixture
def measured(live_server) -> str:
    """A programme with all five columns, long names and a comment that would like to run; its address."""
    organisation = make_organisation()
    journey = Journey.objects.create(
        slug="buying", name={"en": "Buying and unpacking at home", "zh-hans": "购买与开箱"}
    )
    now = timezone.now()
    for slug, instrument in (("delivery", "nps"), ("a", "csat5"), ("b", "csat7"), ("c", "ces")):
        touchpoint = make_touchpoint(
            slug, instrument=Instrument.objects.get(slug=instrument), journey=journey if slug < "c" else None,
            name={"en": f"A touchpoint with quite a long name: {slug}", "zh-hans": f"名称相当长的一个触点：{slug}"},
            targets={"nps": 30, "csat": 85, "ces": 5.5, "ttr_hours": 24}, public=True,
        )  # fmt: skip
        for number in range(30):
            at = now - timedelta(days=number)
            made = answer(
                touchpoint, 4 + number % 2, day=organisation.day_of(at), segment=["gold", ""][number % 2],
                location=["sh-014", "hz-001"][number % 2], mode=["email", "qr"][number % 2],
            )  # fmt: skip
            Response.objects.filter(pk=made.pk).update(
                responded_at=at, comment="<script>document.title = 'owned'</script> " + "unbreakable" * 20
            )
    for number in range(12):
        opened = now.astimezone(UTC) - timedelta(days=number + 5)
        ticket(Touchpoint.objects.get(slug="delivery"), opened, 12 * 3600 + 47 * 60 + number)
    make_touchpoint("quiet")
    QuarantinedEvent.objects.create(body="{}", received_at=now)
    roll_up()
    User.objects.create_superuser("boss", password="a-long-password-1")
    return live_server.url


class Watched:
    """A logged-in page that remembers every complaint and every request that leaves the host."""

    def __init__(self, page, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        page.on(
            "console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text)
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "request", lambda request: request.url.startswith((url, "data:")) or self.complaints.append(request.url)
        )
        page.on(
            "response", lambda answer: answer.status < 400 or self.complaints.append(f"{answer.status} {answer.url}")
        )
        page.goto(f"{url}/admin/login/")
        page.fill("[name=username]", "boss")
        page.fill("[name=password]", "a-long-password-1")
        page.click("[type=submit]")

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)
        self.page.wait_for_load_state("networkidle")

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    def cut(self) -> list[str]:
        """What sticks out of the page's own column, to the right."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll('.cx *')]
                .filter((one) => !one.closest('.cx-visually-hidden, .cx-scroll, thead, svg'))
                .filter((one) => one.getBoundingClientRect().right > document.querySelector('.cx').getBoundingClientRect().right + 1)
                .map((one) => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 40)}`)"""
        )


@pytest.mark.parametrize(
    ("language", "size"),
    [
        pytest.param("zh-CN", PHONE, id="zh-CN-phone"),
        pytest.param("en", DESK, id="en-desk", marks=pytest.mark.slow),
        pytest.param("en", PHONE, id="en-phone", marks=pytest.mark.slow),
        pytest.param("zh-CN", DESK, id="zh-CN-desk", marks=pytest.mark.slow),
        pytest.param("en", TABLET, id="en-tablet", marks=pytest.mark.slow),
        pytest.param("zh-CN", TABLET, id="zh-CN-tablet", marks=pytest.mark.slow),
    ],
)
def test_pages_fit_their_window_and_ask_nobody_else(browser, measured, size, language):
    context = browser.new_context(viewport=size, locale=language)
    watched = Watched(context.new_page(), measured)
    for path in PAGES:
        watched.go(path)
        assert watched.page.title() != "owned"
        assert watched.overflow() <= 0, path
        assert watched.cut() == [], path
    assert watched.complaints == []
    context.close()


def test_the_trend_is_drawn_and_drawn_again_in_the_dark(browser, measured):
    context = browser.new_context(viewport=DESK, locale="en", color_scheme="light")
    watched = Watched(context.new_page(), measured)
    watched.go("/admin/touchpoints/delivery/")
    line = "() => Chart.getChart(document.querySelector('canvas[data-trend]')).data.datasets[0].borderColor"
    shown = (
        "() => Chart.getChart(document.querySelector('canvas[data-trend]')).data.datasets.map((set) => set.data.length)"
    )
    light = watched.page.evaluate(line)
    points = watched.page.evaluate(shown)
    assert len(points) == 4  # value, both ends of its interval, its target
    assert min(points) == max(points) > 1
    for _press in range(2):  # Unfold's own switch: from the system's choice to light, from light to dark
        watched.page.keyboard.press("Control+e")
    watched.page.wait_for_function("document.documentElement.classList.contains('dark')")
    watched.page.wait_for_function(f"({line})() !== '{light}'")
    assert watched.complaints == []
    context.close()


def test_a_chart_has_its_table_and_a_filter_its_address(browser, measured):
    context = browser.new_context(viewport=PHONE, locale="en")
    watched = Watched(context.new_page(), measured)
    watched.go("/admin/touchpoints/delivery/")
    for canvas in ("data-trend", "data-bands"):
        panel = watched.page.locator(f"section:has(canvas[{canvas}])")
        rows = panel.locator(".cx-details tbody tr")
        assert not rows.first.is_visible()
        panel.get_by_text("The same as a table").click()
        assert rows.first.is_visible()
    watched.page.click(".cx-more summary")
    watched.page.select_option("[name=mode]", "qr")
    watched.page.click("text=Show")
    watched.page.wait_for_load_state("networkidle")
    assert "mode=qr" in watched.page.url
    assert watched.page.input_value("[name=mode]") == "qr"
    assert "n = 15" in watched.page.inner_text(".cx-figures")
    context.close()


@pytest.mark.slow
def test_the_matrix_keeps_its_head_in_view(browser, measured):
    context = browser.new_context(viewport={"width": 1440, "height": 400}, locale="en")
    watched = Watched(context.new_page(), measured)
    watched.go("/admin/")
    last = watched.page.locator(".cx-matrix tbody tr").last
    last.evaluate("(row) => row.scrollIntoView({block: 'center'})")
    assert abs(watched.page.locator(".cx-matrix thead th").first.bounding_box()["y"]) < 1
    context.close()


@pytest.mark.slow
def test_groups_fill_their_panel(browser, measured):
    """Other staff pages' styles stand in the same file: a class of the same name once made this table half as wide."""
    context = browser.new_context(viewport=DESK, locale="en")
    watched = Watched(context.new_page(), measured)
    watched.go("/admin/touchpoints/delivery/")
    panel = watched.page.locator("section:has(> #parts-title)")
    tables = panel.locator("table")
    assert tables.count() == 3  # segment, way of collecting, location
    for place in range(3):
        assert tables.nth(place).bounding_box()["width"] > panel.bounding_box()["width"] - 50
    assert watched.page.locator(".cx-bar").count() == 11
    assert watched.page.locator(".cx-bar i").count() == 2  # no bar where nobody answered
    context.close()


def test_the_overview_draws_a_line_for_each_metric_and_says_what_to_do_first(browser, measured):
    context = browser.new_context(viewport=DESK, locale="en")
    watched = Watched(context.new_page(), measured)
    watched.go("/admin/?compare=year")
    cards = watched.page.locator(".cx-card")
    assert cards.count() == 5
    for place in range(5):
        card = cards.nth(place)
        sizes = card.evaluate(
            """(card) => [...card.querySelectorAll('h3, p, span')].map(
                (one) => [one.matches('.cx-value'), parseFloat(getComputedStyle(one).fontSize)])"""
        )
        [value] = [size for is_value, size in sizes if is_value]
        assert value > 1.5 * max(size for is_value, size in sizes if not is_value)  # the number is the largest thing
        assert card.locator(".cx-spark").bounding_box()["width"] > 100
        assert card.locator(".cx-spark polyline").count() >= 1
    first = watched.page.locator(".cx-item a").first
    assert first.inner_text().startswith("A touchpoint with quite a long name")
    first.click()
    watched.page.wait_for_url("**/admin/touchpoints/**")
    assert "compare=year" in watched.page.url
    assert watched.complaints == []
    context.close()
