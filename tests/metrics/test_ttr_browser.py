"""The pages on tickets in Chromium: they fit a phone and a desk, draw the curve in steps with its median, and change the clock."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from metrics.rollup import roll_up
from surveys.models import Segment, Ticket
from surveys.worktime import WEEKDAYS
from tests.factories import (
    make_customer,
    make_event,
    make_instrument,
    make_invitation,
    make_organisation,
    make_touchpoint,
)
from tests.metrics.raw import answer, ticket
from tests.metrics.test_print_browser import PAPER, check_paper, on_paper
from tests.metrics.test_views_browser import DESK, PHONE, TABLET, Watched

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PAGES = ("", "resolved/", "opened/", "experience/")
HOUR = timedelta(hours=1)


@pytest.fixture
def tickets(live_server) -> str:
    """Forty resolved tickets, eight open ones, each answered, at two touchpoints with long names."""
    make_organisation(working_hours={day: ["09:00-12:00", "13:00-18:00"] for day in WEEKDAYS})
    Segment.objects.create(name="gold")
    names = {"en": "A touchpoint with quite a long name", "zh-hans": "名称相当长的一个触点"}
    now = timezone.now()
    for slug in ("desk", "shop"):
        touchpoint = make_touchpoint(
            slug, make_instrument(f"ces-{slug}", "ces", 7), name=names, targets={"ttr_hours": 24}
        )
        for number in range(20):
            made = ticket(
                touchpoint, now - 20 * 24 * HOUR + number * 11 * HOUR, seconds=1800 * (number + 1) ** 2,
                segment=("gold", "")[number % 2], reopened=number % 7 == 0,
            )  # fmt: skip
            customer = make_customer()
            facts = {"wait_seconds": 10 * number, "priority": "high" if number % 3 else "low"}
            make_event(customer, ticket=made, ticket_event="ticket.opened", facts=facts)
            event = make_event(customer, ticket=made, ticket_event="ticket.resolved", facts=facts)
            given = answer(touchpoint, 7 - number % 5, day=now.date())
            invitation = make_invitation(customer=customer, event=event, touchpoint=touchpoint, status="answered")
            type(given).objects.filter(pk=given.pk).update(invitation=invitation, customer=customer, responded_at=now)
        for hours in (1, 30, 100, 200):
            waiting = ticket(touchpoint, now - hours * HOUR)
            Ticket.objects.filter(pk=waiting.pk).update(first_response_at=now - hours * HOUR + HOUR / 2)
    roll_up()
    User.objects.create_superuser("boss", password="a-long-password-1")
    return live_server.url


@pytest.mark.parametrize(
    ("language", "size", "scheme"),
    [("en", PHONE, "light"), ("zh-CN", PHONE, "dark"), ("en", TABLET, "dark"), ("zh-CN", DESK, "light")],
)
def test_the_pages_fit_their_window_and_complain_of_nothing(browser, tickets, language, size, scheme):
    context = browser.new_context(viewport=size, locale=language, color_scheme=scheme)
    watched = Watched(context.new_page(), tickets)
    for path in PAGES:
        for query in ("", "?clock=business"):
            watched.go(f"/admin/ttr/{path}{query}")
            assert watched.overflow() <= 0, path
            assert watched.cut() == [], path
    assert watched.complaints == []
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_print_clean(browser, tickets, path):
    watched, context = on_paper(browser, tickets, f"/admin/ttr/{path}?clock=business", size=PAPER)
    shown = check_paper(watched, path)
    assert "Time to resolution" in shown
    assert "business time" in shown  # whatever clock it was: on paper nobody can look it up
    assert watched.overflow() <= 0
    assert watched.cut() == []
    assert watched.complaints == []
    context.close()


def test_the_curve_falls_in_steps_and_crosses_half_at_its_median(browser, tickets):
    context = browser.new_context(viewport=DESK, locale="en")
    watched = Watched(context.new_page(), tickets)
    page = watched.page
    watched.go("/admin/ttr/")
    found = page.evaluate("""() => {
        const chart = Chart.getChart(document.querySelector("canvas[data-curve]"));
        const [value, high, low, median] = chart.data.datasets;
        const { max } = chart.scales.x;
        return { stepped: value.stepped, shares: value.data, highs: high.data, lows: low.data, median: median.data, max };
    }""")
    shares = [point["y"] for point in found["shares"]]
    assert found["stepped"] == "before"
    assert shares[0] == 100
    assert shares == sorted(shares, reverse=True)
    assert all(low["y"] <= at <= high["y"] for at, low, high in zip(shares, found["lows"], found["highs"], strict=True))
    middle = found["median"][1]["x"]
    after = next(point for point in found["shares"] if point["x"] >= middle)
    assert after["y"] <= 50 < shares[found["shares"].index(after) - 1]
    assert found["max"] == found["shares"][-1]["x"]
    page.click("text=Business time")
    page.wait_for_load_state("networkidle")
    assert "clock=business" in page.url
    assert "(business time)" in page.inner_text("#cohort-title")
    with page.expect_download() as waited:
        page.click("section:has(#curve-title) .cx-file >> nth=0")
    text = waited.value.path().read_text(encoding="utf-8-sig")
    assert text.startswith("How long tickets stay open")
    assert '"seconds, business time"' in text
    page.click(".cx-pages >> text=By day opened")
    page.wait_for_load_state("networkidle")
    assert "clock=business" in page.url
    assert watched.complaints == []
    context.close()
