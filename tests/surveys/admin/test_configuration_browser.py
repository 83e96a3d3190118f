"""The configuring pages in Chromium: on a phone and on a desk, in both languages and both themes, and what their script does."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from surveys.flow.instruments import terms_of_version
from surveys.models import ApiKey, Instrument, Journey, Organisation, Response, Stage, StandardGroup, Touchpoint
from tests.factories import make_api_key, make_instrument, make_organisation, make_rule, make_touchpoint
from tests.staff_browser import complaints_of, sign_in

pytestmark = pytest.mark.django_db(transaction=True)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
LONG = {"en": "A name that is longer than anybody would like it to be", "zh-hans": "一个比谁都希望的还要长得多的名称"}


@pytest.fixture
def site(live_server) -> str:
    make_organisation()
    journey = Journey.objects.create(slug="purchase", name=LONG)
    stage = Stage.objects.create(journey=journey, slug="buy", name=LONG)
    touchpoint = make_touchpoint(
        "delivery", make_instrument("delivery"), journey=journey, stage=stage, name=LONG, public=True,
        allowed_origins=["https://a-rather-long-name-of-a-shop.example.com"], targets={"nps": 30},
    )  # fmt: skip
    make_rule(touchpoint, slug="after", when="facts.wait_seconds < 3600 and customer.segment == 'gold'")
    make_api_key("metrics:read", name="A key of a system with quite a long name")
    User.objects.create_superuser("boss", password="a-long-password-1")
    return live_server.url


@pytest.fixture
def complaints(page, site) -> list[str]:
    """Signs in, and collects errors, failed requests, and requests that leave the host."""
    found = complaints_of(page, site)
    sign_in(page, site)
    return found


def paths() -> list[str]:
    touchpoint = Touchpoint.objects.get()
    rows = [Journey.objects.get(), touchpoint, touchpoint.instrument, touchpoint.rules.get(), ApiKey.objects.get()]
    models = ["journey", "touchpoint", "instrument", "invitationrule", "apikey"]
    found = [reverse(f"admin:surveys_{model}_changelist") for model in models]
    found += [reverse(f"admin:surveys_{model}_add") for model in models]
    found += [reverse(f"admin:surveys_{row._meta.model_name}_change", args=[row.pk]) for row in rows]
    found += [
        reverse("admin:surveys_organisation_change", args=[1]),
        *(
            reverse(f"admin:surveys_organisation_{page}")
            for page in ("look", "languages", "phrases", "letters", "notices")
        ),
        reverse("admin:surveys_invitationrule_letter", args=[touchpoint.rules.get().pk]),
        reverse("admin:surveys_instrument_questions", args=[touchpoint.instrument_id]),
        reverse("admin:surveys_instrument_preview", args=[touchpoint.instrument_id]),
        reverse("admin:surveys_apikey_revoke", args=[ApiKey.objects.get().pk]),
        *(reverse(f"admin:auth_{model}_{page}") for model in ("user", "group") for page in ("changelist", "add")),
        reverse("admin:auth_group_change", args=[StandardGroup.objects.get(key="manager").group_id]),
        reverse("admin:password_change"),
    ]
    return found


@pytest.mark.parametrize(
    ("language", "theme", "each"),
    [
        pytest.param("en", "light", 1, marks=pytest.mark.slow),
        pytest.param("zh-hans", "dark", 1, marks=pytest.mark.slow),
        ("zh-hans", "dark", 4),  # one page in four
    ],
)
def test_every_page_fits_a_phone_and_a_desk_and_asks_nobody_else(page, site, complaints, language, theme, each):
    page.context.add_cookies([{"name": "django_language", "value": language, "url": site}])
    page.emulate_media(color_scheme=theme)
    wide: list[str] = []
    for path in paths()[::each]:
        page.set_viewport_size(DESK)
        page.goto(site + path)
        page.wait_for_load_state("networkidle")
        for size in (DESK, PHONE):
            page.set_viewport_size(size)
            over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if over > 0:
                wide.append(f"{path} at {size['width']}: {over} px too wide")
    assert wide == []
    assert complaints == []


def test_the_login_page_speaks_both_languages_before_anybody_is_known(page, site):
    asked: list[str] = []
    page.on("request", lambda request: request.url.startswith((site, "data:")) or asked.append(request.url))
    page.goto(f"{site}/admin/login/?next=/admin/surveys/journey/")
    page.click("text=简体中文")
    assert page.locator("label[for=id_username]").inner_text().startswith("用户名")
    page.fill("[name=username]", "boss")
    page.fill("[name=password]", "a-long-password-1")
    page.press("[name=password]", "Enter")
    page.wait_for_url(f"{site}/admin/surveys/journey/")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert asked == []


def test_a_question_and_an_option_are_added_without_leaving_the_page(page, site, complaints):
    row = Instrument.objects.get(slug="delivery")
    page.goto(site + reverse("admin:surveys_instrument_questions", args=[row.pk]))
    cards = page.locator("[data-question]")
    assert not cards.nth(0).locator("[data-for='choice choices']").is_visible()
    assert cards.nth(1).locator("[data-for='choice choices']").is_visible()
    cards.nth(1).locator("[data-add-option]").click()
    cards.nth(1).locator(".cx-option").last.locator("input[lang=en]").fill("Taste")
    for number in (1, 2):
        page.click("[data-add-question]")
        card = cards.nth(2 + number)
        card.locator("[name$=-key]").fill(f"extra{number}")
        card.locator("[data-kind]").select_option("verbatim")
        assert not card.locator("[data-for=scale]").first.is_visible()
        card.locator("textarea[lang=en]").fill(f"More {number}?")
    page.click("text=Save the questions")
    page.wait_for_url(site + reverse("admin:surveys_instrument_change", args=[row.pk]))
    terms = terms_of_version(row.current_version())
    assert [one.key for one in terms] == ["score", "reason", "comment", "extra1", "extra2"]
    assert terms[1].options["taste"] == {"en": "Taste"}
    assert complaints == []


def test_pressing_send_in_a_preview_sends_nothing(page, site, complaints):
    row = Instrument.objects.get(slug="delivery")
    sent: list[str] = []
    page.on("request", lambda request: request.method != "GET" and sent.append(request.url))
    page.goto(site + reverse("admin:surveys_instrument_change", args=[row.pk]))
    frame = page.frame_locator("iframe.cx-preview")
    frame.locator(".score").nth(9).click()
    frame.locator("textarea").wait_for()  # nothing follows before there is a score
    frame.locator(".send").click()
    frame.locator("textarea").fill("tea")
    page.locator(".cx-previews a[lang=zh-hans]").click()
    frame.locator("html[lang=zh-hans]").wait_for()
    assert sent == []
    assert not Response.objects.exists()
    assert complaints == []


@pytest.mark.slow
def test_even_a_form_forced_in_a_preview_is_stopped_by_its_policy(page, site, complaints):
    row = Instrument.objects.get(slug="delivery")
    sent: list[str] = []
    page.on("request", lambda request: request.method != "GET" and sent.append(request.url))
    page.goto(site + reverse("admin:surveys_instrument_preview", args=[row.pk]))
    page.evaluate(
        "() => { const form = document.querySelector('form'); form.method = 'post'; HTMLFormElement.prototype.submit.call(form); }"
    )
    page.wait_for_load_state("networkidle")
    assert sent == []
    assert any("sandbox" in text or "form-action" in text for text in complaints)


def test_the_previews_and_what_is_said_of_a_colour_follow_before_anything_is_saved(page, site, complaints):
    page.goto(site + reverse("admin:surveys_organisation_look"))
    light = page.frame_locator("figure[data-scheme=light] iframe")
    light.locator(".send").wait_for()
    assert page.locator("figure[data-scheme=dark]").is_visible()
    page.locator("[data-look=accent]").fill("#ffe066")
    page.get_by_text("On a light page #ffe066").wait_for()
    page.locator("[data-look=scheme]").select_option("light")
    page.locator("[data-look=radius]").fill("0")
    light.locator("link[href*='ffe066-0-light']").wait_for(state="attached")
    page.locator("figure[data-scheme=dark]").wait_for(state="hidden")
    assert light.locator(".send").evaluate("one => getComputedStyle(one).borderRadius") == "0px"
    assert page.evaluate("history.length") == 2 or page.url.endswith("/look/")
    row = Organisation.objects.get()
    assert (row.accent, row.radius, row.scheme) == ("#0f766e", 10, "auto")
    page.click("text=Save the look")
    page.get_by_text("Every form that is opened from now on").wait_for()
    row.refresh_from_db()
    assert (row.accent, row.radius, row.scheme) == ("#ffe066", 0, "light")
    assert complaints == []


@pytest.mark.slow
def test_a_logo_is_chosen_saved_and_seen_on_both_grounds(page, site, complaints):
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg' width='80' height='40'><path d='M0 0h80v40z'/></svg>"
    page.goto(site + reverse("admin:surveys_organisation_look"))
    page.locator("input[type=file]").set_input_files(
        {"name": "logo.svg", "mimeType": "image/svg+xml", "buffer": drawing}
    )
    page.click("text=Save the look")
    shown = page.locator(".cx-logo img")
    shown.first.wait_for()
    widths = "[...document.querySelectorAll('.cx-logo img')].map(one => one.complete && one.naturalWidth).join()"
    page.wait_for_function(f"{widths} === '80,80'")
    logo = page.frame_locator("figure[data-scheme=dark] iframe").locator(".logo")
    logo.wait_for()
    assert logo.evaluate("one => one.decode().then(() => one.naturalWidth)") == 80
    assert complaints == []


def test_a_card_shows_only_what_its_kind_and_scale_have_use_for(page, site, complaints):
    row = make_instrument("stars", "csat", 5)
    page.goto(site + reverse("admin:surveys_instrument_questions", args=[row.pk]))
    first = page.locator("[data-question]").first
    assert first.locator("[data-display]").is_visible()
    first.locator("select[name$=display]").select_option("stars")
    page.click("[data-add-question]")
    card = page.locator("[data-question]").nth(3)
    card.locator("[name$=-key]").fill("again")
    card.locator("select[name$=display]").select_option("faces")
    card.locator("[data-points]").select_option("nps:11")
    assert not card.locator("[data-display]").is_visible()  # eleven faces fit on no phone
    card.locator("textarea[lang=en]").first.fill("Again?")
    page.click("[data-add-question]")
    contact = page.locator("[data-question]").nth(4)
    contact.locator("[data-kind]").select_option("contact")
    assert contact.locator("textarea[lang=en]").first.get_attribute("placeholder") == "May we contact you about this?"
    assert contact.locator(".cx-hint").is_visible()
    page.click("text=Save the questions")
    page.wait_for_url(site + reverse("admin:surveys_instrument_change", args=[row.pk]))
    asked = [(one.key, one.kind, one.display) for one in terms_of_version(row.current_version())]
    assert (asked[0], asked[3:]) == (
        ("score", "scale", "stars"),
        [("again", "scale", "numbers"), ("contact", "contact", "numbers")],
    )
    assert complaints == []
