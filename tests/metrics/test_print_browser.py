"""Pages on paper in Chromium: what an executive needs is on it, what only a screen needs is not, from a dark screen too."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from metrics.rollup import roll_up
from surveys.models import Instrument, Journey, Segment, Stage
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.raw import count
from tests.metrics.test_views_browser import DESK, PHONE, Watched

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = (
    "/admin/?period=90d&segment=gold",
    "/admin/touchpoints/t0/?period=90d",
    "/admin/journeys/?period=90d",
    "/admin/journeys/buying/?period=90d",
    "/admin/channels/?period=90d",
    "/admin/response/?period=90d",
    "/admin/response/rates/?period=90d",
    "/admin/quality/",
)
PAPER = {"width": 688, "height": 1000}  # what A4 leaves between the margins
GONE = ("#nav-sidebar", "#header-inner", ".cx-filters form", ".cx-filters nav", ".cx-files", ".cx-pages", "button")


@pytest.fixture
def measured(live_server) -> str:
    """Forty touchpoints on one journey, enough for pages; its address."""
    make_organisation(name={"en": "Harbour Tea & Sons", "zh-hans": "港湾茶"})
    journey = Journey.objects.create(slug="buying", name={"en": "Buying online", "zh-hans": "在线购买"})
    Segment.objects.create(name="gold")
    stages = [
        Stage.objects.create(journey=journey, slug=f"s{number}", position=number, name={"en": f"Stage {number}"})
        for number in range(4)
    ]
    for number in range(40):
        slug = ("nps", "csat5", "csat7", "ces")[number % 4]
        touchpoint = make_touchpoint(
            f"t{number}", instrument=Instrument.objects.get(slug=slug), journey=journey, stage=stages[number // 10],
            position=number, channel=("website", "app", "on_site")[number % 3], targets={"nps": 30, "csat": 85},
            name={"en": f"A touchpoint with a long name: {number}", "zh-hans": f"名称相当长的一个触点：{number}"},
        )  # fmt: skip
        for ago in (2, 9, 16, 100):
            count(touchpoint, {5: 4, 4: 2, 2: 1}, days_ago=ago, segment="gold", mode=("email", "qr")[number % 2])
    roll_up()
    User.objects.create_superuser("boss", password="a-long-password-1")
    return live_server.url


def on_paper(browser, address: str, path: str, language: str = "en", size=DESK) -> tuple[Watched, object]:
    """The page as it is printed from a dark screen."""
    context = browser.new_context(viewport=size, locale=language, color_scheme="dark")
    watched = Watched(context.new_page(), address)
    watched.go(path)
    watched.page.emulate_media(media="print", color_scheme="dark")
    return watched, context


def luminance(page, selector: str, what: str = "color") -> float:
    """0 is black, 1 is white."""
    script = """([selector, what]) => {
        const brush = document.createElement('canvas').getContext('2d');
        brush.fillStyle = getComputedStyle(document.querySelector(selector))[what];
        brush.fillRect(0, 0, 1, 1);
        return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3).reduce((sum, part) => sum + part / 765, 0);
    }"""
    return page.evaluate(script, [selector, what])


def check_paper(watched: Watched, path: str) -> str:
    """What is visible of it, after what must not be was looked for."""
    page = watched.page
    for hidden in GONE:
        assert not any(one.is_visible() for one in page.locator(hidden).all()), (path, hidden)
    assert luminance(page, "#main", "backgroundColor") == pytest.approx(1), path
    assert luminance(page, ".cx-print-head h1") < 0.3, path
    assert page.evaluate("getComputedStyle(document.querySelector('.cx a')).textDecorationLine") == "none", path
    return page.inner_text("body")


def test_a_journey_on_paper_holds_title_period_and_numbers_and_nothing_of_the_screen(browser, measured):
    path = "/admin/journeys/buying/?period=90d&segment=gold"
    watched, context = on_paper(browser, measured, path, size=PAPER)
    shown = check_paper(watched, path)
    today = make_organisation().day_of(timezone.now())
    for there in ("Harbour Tea & Sons", "Buying online", "As of ", f"{today.year}, compared with ", "Peak–end value"):
        assert there in shown
    assert shown.index("Harbour Tea") < shown.index("Buying online") < shown.index("Peak–end value")
    assert "n = 21" in shown
    assert watched.overflow() <= 0
    assert watched.complaints == []
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("path", PAGES)
def test_every_page_prints_clean(browser, measured, path, language):
    watched, context = on_paper(browser, measured, path, language, PAPER)
    shown = check_paper(watched, path)
    assert {"en": "Harbour Tea & Sons", "zh-CN": "港湾茶"}[language] in shown
    assert {"en": "As of ", "zh-CN": "数据截至"}[language] in shown
    assert watched.overflow() <= 0, path
    cut = watched.page.evaluate(
        """() => [...document.querySelectorAll('.cx *')].filter((one) => one.checkVisibility() && one.children.length === 0
            && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== 'visible'
            && !one.closest('.cx-visually-hidden')).map((one) => one.outerHTML.slice(0, 120))"""
    )
    assert cut == [], path
    if "segment=gold" in path:
        assert {"en": "Segment: gold", "zh-CN": "客户分群：gold"}[language] in shown
    assert watched.complaints == []
    context.close()


@pytest.mark.slow
def test_charts_are_drawn_for_paper_and_again_for_the_screen(browser, measured):
    context = browser.new_context(viewport=PHONE, locale="en", color_scheme="dark")
    watched = Watched(context.new_page(), measured)
    watched.go("/admin/touchpoints/t0/?period=90d")
    page = watched.page
    drawn = "() => { const chart = Chart.getChart(document.querySelector('canvas[data-trend]'));"
    drawn += " return [chart.width, chart.options.scales.x.ticks.color, chart.currentDevicePixelRatio]; }"
    before = page.evaluate(drawn)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    paper = page.evaluate(drawn)
    assert paper[0] > before[0]
    assert paper[1] != before[1]
    assert paper[2] == 3
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(drawn) == before
    assert watched.complaints == []
    context.close()


@pytest.mark.slow
def test_a_long_table_repeats_its_head_and_breaks_between_rows(browser, measured, tmp_path: Path):
    context = browser.new_context(viewport=DESK, locale="en", color_scheme="dark")
    watched = Watched(context.new_page(), measured)
    watched.go("/admin/journeys/buying/?period=90d")
    page = watched.page
    written = page.pdf(prefer_css_page_size=True, path=str(tmp_path / "journey.pdf"))
    pages = len(re.findall(rb"/Type /Page\b", written))
    boxes = {tuple(round(float(end)) for end in box.split()) for box in re.findall(rb"/MediaBox \[([^]]+)\]", written)}
    assert boxes == {(0, 0, 595, 842)}  # A4
    assert 3 <= pages <= 8
    page.emulate_media(media="print")
    style = "(selector, name) => getComputedStyle(document.querySelector(selector))[name]"
    assert page.evaluate(f"({style})('.cx-report thead', 'display')") == "table-header-group"
    assert page.evaluate(f"({style})('.cx-report tbody tr', 'breakInside')") == "avoid"
    context.close()
