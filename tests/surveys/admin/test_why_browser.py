"""“Why?” in Chromium: it fits, it complains of nothing, and its picture in docs/policy.md is of the page as it is."""

import os
from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from surveys.flow.deliver import drain
from surveys.flow.invite import invite_pending
from surveys.models import DeliveryAttempt, InteractionEvent, Invitation, InvitationRule, Reminder
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.pictures import ROOT, keep, taken
from tests.staff_browser import complaints_of, sign_in
from tests.surveys.admin.people import answer, page_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 1100}
DAY = timedelta(days=1)


@pytest.fixture
def occasions(settings) -> dict[str, InteractionEvent]:
    """One who rests, and one who was reminded and answered, with rules for a text and a letter."""
    make_organisation(quiet_hours={"email": "21:00-08:00"})
    names = {
        "delivery": {"en": "Delivery", "zh-hans": "配送"},
        "hotline": {"en": "Customer service hotline", "zh-hans": "客服热线"},
    }
    delivery, hotline = (make_touchpoint(slug, name=name) for slug, name in names.items())
    make_rule(
        delivery, slug="after-delivery", modes=["sms", "email"], delay_s=7200, sample_share=0.999,
        when='facts.wait_seconds < 3600 and customer.segment != "staff"', reminders_s=[3 * 86_400],
    )  # fmt: skip
    make_rule(hotline, slug="after-delivery-hotline", active=False)
    customer = make_customer("C-1042", name="Li Na", email="li.na@example.com", segment="gold")
    make_event(customer, type="order.paid", time=NOW - 18 * DAY, decided=True, event_id="ord-990-paid")
    make_invitation(
        hotline, customer, attempted_at=NOW - 17 * DAY, decided_at=NOW - 17 * DAY, sent_at=NOW - 17 * DAY, status="opened",
        opened_at=NOW - 16 * DAY,
    )  # fmt: skip
    rests = make_event(
        customer, event_id="ord-1001-delivered", touchpoint=delivery, facts={"wait_seconds": 340, "carrier": "SF"}
    )
    other = make_customer("C-7", name="Omar Haddad", email="omar@example.com")
    answered = make_event(other, event_id="ord-1002-delivered", touchpoint=delivery, facts={"wait_seconds": 900})
    invite_pending(NOW)
    drain(lambda: NOW + timedelta(hours=2))
    row = Invitation.objects.get(event=answered)
    DeliveryAttempt.objects.filter(invitation=row).update(receipt="delivered", receipt_at=NOW + timedelta(hours=3))
    Reminder.objects.update(status="sent", sent_at=NOW + 3 * DAY, attempted_at=NOW + 3 * DAY)
    Invitation.objects.filter(pk=row.pk).update(opened_at=NOW + 4 * DAY, status="opened")
    answer(delivery, 3, "Late", customer=other, invitation=row, now=NOW + 4 * DAY)
    User.objects.create_superuser("boss", password="a-long-password-1")
    return {"rests": rests, "answered": answered}


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone_and_a_desk(page, live_server, occasions, language, theme, request):
    site = live_server.url
    complaints = complaints_of(page, site)
    sign_in(page, site)
    page.context.add_cookies([{"name": "django_language", "value": language, "url": site}])
    page.emulate_media(color_scheme=theme)
    paths = {name: page_url(event) for name, event in occasions.items()}
    paths["search"] = "/admin/why/?q=C-1042"
    for name, path in paths.items():
        page.goto(site + path)
        for label, size in (("desk", DESK), ("phone", PHONE)):
            page.set_viewport_size(size)
            assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
            largest = page.evaluate(
                "() => [...document.querySelectorAll('.rec-page *')].filter(e => e.textContent.trim())"
                ".sort((a, b) => parseFloat(getComputedStyle(b).fontSize) - parseFloat(getComputedStyle(a).fontSize))[0].className"
            )
            assert name == "search" or largest == "why-answer"
            if os.environ.get("CX_KEEP_SHOTS"):
                page.screenshot(
                    path=str(ROOT / f"test-artifacts/why-{name}-{label}-{language}-{theme}.png"), full_page=True
                )
    assert complaints == []


def test_the_picture_of_the_page(browser, live_server, occasions):
    InvitationRule.objects.filter(active=False).delete()
    context = browser.new_context(locale="en", viewport={"width": 1180, "height": 900}, color_scheme="light")
    page = context.new_page()
    sign_in(page, live_server.url)
    page.goto(live_server.url + page_url(occasions["rests"]))
    keep(taken(page.locator(".why")), "policy-why.webp")
    context.close()
