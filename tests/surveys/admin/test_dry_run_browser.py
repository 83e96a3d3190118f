"""“Try it” in Chromium: from the form as typed to the result, with the script and without it; its picture is of the page as it is."""

import os
import random
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from surveys.flow.addresses import address_hash
from surveys.models import InteractionEvent, Invitation, InvitationRule, Suppression
from tests.factories import make_customer, make_event, make_organisation, make_rule, make_touchpoint
from tests.pictures import ROOT, keep, taken
from tests.staff_browser import complaints_of, sign_in
from tests.surveys.admin.people import page_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 1100}


@pytest.fixture
def rule(settings) -> InvitationRule:
    """A rule that is off, and a month of events of its type."""
    make_organisation()
    touchpoint = make_touchpoint("delivery", name={"en": "Delivery", "zh-hans": "配送"})
    rule = make_rule(
        touchpoint,
        slug="after-delivery",
        active=False,
        when="facts.wait_seconds < 3600",
        delay_s=7200,
        sample_share=0.9,
    )
    rng = random.Random(7)
    people = [
        make_customer(f"C-{n}", name=f"Person {n}", email="" if n % 17 == 0 else f"p{n}@example.com")
        for n in range(160)
    ]
    Suppression.objects.create(
        address_hash=address_hash("p5@example.com"), reason="unsubscribed", created_at=timezone.now()
    )
    now = timezone.now().replace(hour=4, minute=0)
    for _number in range(420):
        day = rng.randrange(30)
        if day % 7 in (2, 3) and rng.random() < 0.6:
            continue
        at = now - timedelta(days=day, minutes=rng.randrange(60, 600))
        event = make_event(
            rng.choice(people), time=at, received_at=at, decided=True, facts={"wait_seconds": rng.randrange(4200)}
        )
        if day < 5:
            Invitation.objects.create(
                rule=rule, event=event, customer=event.customer, touchpoint=touchpoint, instrument=touchpoint.instrument,
                status="withheld", reason="resting_any", decided_at=at,
            )  # fmt: skip
    User.objects.create_superuser("boss", password="a-long-password-1")
    return rule


def finished(page):
    page.locator(".dry-result .why-answer").wait_for()
    return page.locator(".why-answer").text_content()


@pytest.mark.parametrize(
    ("language", "theme"), [("en", "light"), ("zh-hans", "dark"), ("en", "dark"), ("zh-hans", "light")]
)
def test_the_form_is_tried_as_typed_and_the_result_fits(page, live_server, rule, language, theme):
    site = live_server.url
    complaints = complaints_of(page, site)
    sign_in(page, site)
    page.context.add_cookies([{"name": "django_language", "value": language, "url": site}])
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size(DESK)
    page.goto(site + page_url(rule))
    page.fill("[name=when]", "facts.wait_seconds < 60")
    if os.environ.get("CX_KEEP_SHOTS"):
        page.screenshot(path=str(ROOT / f"test-artifacts/dry-button-{language}-{theme}.png"), full_page=True)
    with page.context.expect_page() as opened:
        page.click("button[name=_typed]")
    trial = opened.value
    few = finished(trial)
    assert "facts.wait_seconds < 60" in trial.content().replace("&lt;", "<")
    rule.refresh_from_db()
    assert rule.when == "facts.wait_seconds < 3600"
    trial.check("[name=_past][value='7']")
    trial.click(".dry-form .rec-primary")
    differs = "text => ![null, text].includes(document.querySelector('.dry-result .why-answer')?.textContent ?? null)"
    trial.wait_for_function(differs, arg=few)
    trial.close()
    page.goto(site + page_url(rule, "try"))
    page.evaluate("window.stays = true")
    page.click(".dry-form .rec-primary")
    finished(page)
    assert page.evaluate("window.stays")
    page.locator(".dry-asked summary").click()
    for label, size in (("desk", DESK), ("phone", PHONE)):
        page.set_viewport_size(size)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        if os.environ.get("CX_KEEP_SHOTS"):
            page.screenshot(path=str(ROOT / f"test-artifacts/dry-{label}-{language}-{theme}.png"), full_page=True)
    assert complaints == []


def test_without_the_script_the_page_grows_to_the_same_result(page, live_server, rule):
    sign_in(page, live_server.url)
    page.route("**/dry_run.js", lambda route: route.abort())
    page.goto(live_server.url + page_url(rule, "try"))
    page.click(".dry-form .rec-primary")
    assert "would have led to an invitation" in finished(page)
    assert page.locator(".dry-step").count() >= 2
    assert page.locator(".dry-step").locator("visible=true").count() == 0
    assert page.locator(".dry-bars li").count() > 3
    assert InteractionEvent.objects.exists()


def test_the_picture_of_the_page(browser, live_server, rule):
    context = browser.new_context(locale="en", viewport={"width": 1180, "height": 900}, color_scheme="light")
    page = context.new_page()
    sign_in(page, live_server.url)
    page.goto(live_server.url + page_url(rule, "try"))
    page.click(".dry-form .rec-primary")
    finished(page)
    keep(taken(page.locator(".dry-result")), "policy-dry-run.webp")
    context.close()
