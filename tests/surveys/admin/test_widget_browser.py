"""The widget's page in Chromium: each choice takes hold at once, and the page fits in both languages and themes."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from surveys.flow.identify import renew_secret
from surveys.models import Instrument, Invitation, Response, WidgetCount
from tests.factories import make_organisation, make_touchpoint
from tests.staff_browser import complaints_of, sign_in

pytestmark = pytest.mark.django_db(transaction=True)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}


@pytest.fixture
def path(live_server, settings) -> str:
    settings.BASE_URL = live_server.url
    make_organisation()
    renew_secret(timezone.now())
    touchpoint = make_touchpoint(
        "checkout", Instrument.objects.get(slug="nps"), public=True, public_key="KEY",
        name={"en": "A name that is longer than anybody would like it to be", "zh-hans": "一个比谁都希望的还要长得多的名称"},
        allowed_origins=["https://a-rather-long-name-of-a-shop.example.com"],
    )  # fmt: skip
    User.objects.create_superuser("boss", password="a-long-password-1")
    return live_server.url + reverse("admin:surveys_touchpoint_widget", args=[touchpoint.pk])


@pytest.fixture
def complaints(page, live_server, path) -> list[str]:
    """Signs in, and collects errors, failed requests, and requests that leave the host."""
    site = live_server.url
    found = complaints_of(page, site)
    sign_in(page, site)
    return found


def recorded() -> int:
    return Response.objects.count() + Invitation.objects.count() + WidgetCount.objects.count()


def test_each_choice_changes_the_snippet_and_the_fields_without_leaving_the_page(page, path, complaints):
    page.set_viewport_size(DESK)
    page.goto(path)
    snippet = page.locator("#snippet")
    assert 'data-touchpoint="KEY" async' in snippet.text_content()
    page.evaluate("window.stays = true")
    page.select_option("[name=trigger]", "delay")
    page.locator("#row-delay").wait_for()
    page.fill("[name=delay]", "7")
    page.wait_for_function("document.querySelector('#snippet').textContent.includes('delay:7')")
    assert page.evaluate("document.activeElement.name") == "delay"  # whoever types is not disturbed
    page.fill("[name=delay]", "0")
    page.locator("#row-delay .rec-error").wait_for()
    assert page.locator("#snippet").count() == 0
    page.select_option("[name=way]", "tab")
    page.select_option("[name=trigger]", "now")
    page.wait_for_function("document.querySelector('#snippet')?.textContent.includes('data-way=\"tab\"')")
    assert page.locator("#row-label").is_visible()
    assert not page.locator("#row-delay, #row-cap_times, #row-target").locator("visible=true").count()
    assert page.evaluate("window.stays")
    assert "way=tab" in page.url  # a reload keeps the choices
    page.reload()
    assert page.input_value("[name=way]") == "tab"
    assert complaints == []


def test_without_its_script_the_button_makes_the_snippet(page, path, complaints):
    page.route("**/widget.js", lambda route: route.abort())
    page.goto(path)
    page.select_option("[name=way]", "tab")
    page.click("text=Make the snippet")
    page.wait_for_url("**way=tab**")
    assert 'data-way="tab"' in page.locator("#snippet").text_content()


def survey_in(page):
    """The form's own frame, which stands in a closed shadow root of the sample page."""
    for _turn in range(300):
        for frame in page.frames:
            if "/t/KEY/" in frame.url:
                return frame
        page.wait_for_timeout(50)
    raise AssertionError([frame.url for frame in page.frames])


def test_the_preview_shows_the_real_widget_and_records_nothing(page, path, complaints):
    page.set_viewport_size(DESK)
    page.goto(path)
    form = survey_in(page)
    form.locator("label", has_text="9").first.click()
    form.locator(".send").press("Enter")
    form.get_by_text("Thank you").first.wait_for()
    assert form.get_by_text("This is a test. Nothing is recorded.").count() == 1
    for way in ("tab", "inline", "iframe", "code"):
        page.goto(f"{path}?way={way}")
        sample = page.frame_locator(".cx-sample")
        if way == "tab":
            sample.locator("cx-survey").wait_for(state="attached")
            box = page.locator(".cx-sample").bounding_box()
            page.mouse.click(box["x"] + box["width"] - 16, box["y"] + box["height"] / 2)
        if way == "code":
            sample.locator("#give-feedback").click()
        if way == "inline":
            sample.locator("cx-survey").evaluate("host => host.scrollIntoView()")
        if way == "iframe":
            sample.locator("iframe").scroll_into_view_if_needed()
        survey_in(page).locator(".send").wait_for()
    assert recorded() == 0
    assert complaints == []


@pytest.mark.parametrize(("language", "theme"), [("en", "light"), ("zh-hans", "dark")])
@pytest.mark.parametrize(
    "query",
    [
        "",
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("?way=code", "?way=iframe", "?way=popup&trigger=click&selector=")
        ),
    ],
)
def test_it_fits_a_phone_and_a_desk(page, path, complaints, language, theme, query):
    page.context.add_cookies([{"name": "django_language", "value": language, "url": path}])
    page.emulate_media(color_scheme=theme)
    page.goto(path + query)
    page.locator("details.cx-secret summary").click()
    for size in (DESK, PHONE):
        page.set_viewport_size(size)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert complaints == []
