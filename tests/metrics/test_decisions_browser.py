"""A decision in Chromium: written down in the admin's form, told on its page, drawn on a trend that a keyboard can follow."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from metrics.models import Decision
from metrics.rollup import roll_up
from surveys.models import Touchpoint
from tests.factories import make_organisation, make_rule
from tests.metrics.invited import send
from tests.metrics.raw import ticket
from tests.metrics.test_decisions import decide, expect, heard, nps
from tests.metrics.test_views_browser import PHONE, Watched

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site(live_server) -> str:
    """Delivery moved on the day of a decision 30 days ago; its page's address is /admin/decisions/{pk}/."""
    day = make_organisation().day_of(timezone.now()) - timedelta(days=30)
    delivery = nps(name={"en": "Delivery of everything that was ordered online", "zh-hans": "配送"})
    expect(decide("Parcels come by noon, and a text message says so an hour ahead", delivery, day=day), "nps", by=40)
    for offset in range(-28, 28, 4):
        heard(delivery, day + timedelta(days=offset), 5 if offset < 0 else 9, 5 if offset < 0 else 2)
    roll_up()
    User.objects.create_superuser("boss", password="a-long-password-1")
    return live_server.url


def test_a_decision_is_written_down_told_and_drawn(browser, site):
    context = browser.new_context(viewport=PHONE, locale="en")
    watched = Watched(context.new_page(), site)
    page = watched.page
    watched.go("/admin/touchpoints/delivery/?period=90d")
    page.get_by_role("link", name="Record a decision").click()
    page.fill("[name=title]", "Couriers ring twice")
    page.fill("[name=expectations-0-by]", "5")
    page.get_by_role("button", name="Save", exact=True).click()
    made = Decision.objects.get(title="Couriers ring twice")
    page.wait_for_url(f"{site}/admin/decisions/{made.pk}/")
    assert page.get_by_text("Too early: 0 of 28 days").first.is_visible()
    assert [(one.metric, one.direction, one.by) for one in made.expectations.all()] == [("nps", "up", 5.0)]
    told = Decision.objects.exclude(pk=made.pk).get()
    for path in (
        "/admin/decisions/?period=90d",
        f"/admin/decisions/{told.pk}/",
        f"/admin/metrics/decision/{told.pk}/change/",
    ):
        watched.go(path)
        assert watched.overflow() <= 0, path
    watched.go(f"/admin/decisions/{told.pk}/")
    drawn = page.evaluate(
        "Chart.getChart(document.querySelector('canvas[data-trend]')).config.plugins.map((one) => one.id)"
    )
    assert drawn == ["marks"]
    link = page.locator(".cx-marks a").first
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site}/admin/decisions/{told.pk}/")
    assert watched.complaints == []
    context.close()


@pytest.mark.slow
def test_trends_of_tickets_rates_and_bands_draw_decisions_and_a_phone_has_room_for_them(browser, site):
    delivery, now = Touchpoint.objects.get(), timezone.now()
    rule = make_rule(delivery)
    for days in range(2, 58, 4):
        for _number in range(6):
            ticket(delivery, now - timedelta(days=days), seconds=3600 * days)
        for _number in range(6):
            send(delivery, at=now - timedelta(days=days), rule=rule)
    roll_up()
    told = Decision.objects.get()
    context = browser.new_context(viewport=PHONE, locale="en")
    watched = Watched(context.new_page(), site)
    page = watched.page
    for path, canvas in (
        ("/admin/ttr/resolved/", "trend"),
        ("/admin/ttr/opened/", "trend"),
        ("/admin/response/rates/", "trend"),
        (f"/admin/touchpoints/{delivery.slug}/", "bands"),
    ):
        watched.go(f"{path}?period=90d")
        drawn = page.evaluate(
            f"Chart.getChart(document.querySelector('canvas[data-{canvas}]')).config.plugins.map((one) => one.id)"
        )
        assert drawn == ["marks"], path
        assert watched.overflow() <= 0, path
        assert page.locator(".cx-marks a").first.get_attribute("href") == f"/admin/decisions/{told.pk}/"
    watched.go("/admin/response/rates/?period=90d")
    note = page.locator(".cx-report .cx-mark-note").first
    assert note.locator(".cx-mark").inner_text() == "1"
    assert note.bounding_box()["height"] < 30  # its sentence stands by the chart, and is read aloud here
    watched.go(f"/admin/channels/?period=90d&channel={delivery.channel}")
    page.get_by_role("link", name=told.title).click()
    page.wait_for_url(f"{site}/admin/decisions/{told.pk}/?**")
    assert watched.complaints == []
    context.close()
