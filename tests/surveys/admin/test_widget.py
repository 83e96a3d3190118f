"""The widget's page: the snippet says what was chosen and nothing else, the secret is for those who may see it."""

import html
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from surveys.flow.groups import ADMINISTRATOR, MANAGER, VIEWER
from surveys.models import IdentitySecret, Response, Touchpoint, WidgetCount
from tests.factories import make_organisation, make_touchpoint
from tests.surveys.admin.staff import sign_in_as

pytestmark = pytest.mark.django_db
BASE = "http://127.0.0.1:8000"


@pytest.fixture
def shop() -> Touchpoint:
    make_organisation()
    return make_touchpoint("checkout", public=True, public_key="KEY", allowed_origins=["https://shop.example.com"])


@pytest.fixture
def manager():
    return sign_in_as(MANAGER)


def path_of(touchpoint: Touchpoint, page: str = "") -> str:
    return reverse(f"admin:surveys_touchpoint_widget{page}", args=[touchpoint.pk])


def page_of(client: Any, touchpoint: Touchpoint, **choices: Any) -> str:
    response = client.get(path_of(touchpoint), choices)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    return response.content.decode()


def snippet(client: Any, touchpoint: Touchpoint, **choices: Any) -> str:
    """What somebody would copy."""
    found = re.search(
        r'<pre class="rec-text" id="snippet"[^>]*>(.*?)</pre>', page_of(client, touchpoint, **choices), re.DOTALL
    )
    return html.unescape(found[1]) if found else ""


def script(attributes: str = "") -> str:
    return f'<script src="{BASE}/embed.js" data-touchpoint="KEY"{attributes} async></script>'


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, ""),
        ({"way": "popup"}, ""),
        ({"way": "popup", "trigger": "delay", "delay": "5"}, ' data-trigger="delay:5"'),
        ({"way": "popup", "trigger": "scroll", "scroll": "75"}, ' data-trigger="scroll:75"'),
        ({"way": "popup", "trigger": "exit"}, ' data-trigger="exit"'),
        ({"way": "popup", "trigger": "click", "selector": "#ask"}, ' data-trigger="click:#ask"'),
        ({"way": "tab"}, ' data-way="tab"'),
        ({"way": "tab", "label": "Meinung"}, ' data-way="tab" data-label="Meinung"'),
        ({"way": "inline"}, ' data-way="inline"'),
        ({"way": "inline", "target": "#survey"}, ' data-way="inline" data-target="#survey"'),
        ({"way": "popup", "url": "/cart* !/cart/pay"}, ' data-url="/cart* !/cart/pay"'),
        ({"way": "popup", "sample": "25"}, ' data-sample="0.25"'),
        ({"way": "popup", "cap_times": "2", "cap_days": "7"}, ' data-cap="2/7d"'),
        ({"way": "popup", "cap_times": ""}, ' data-cap=""'),
        ({"way": "popup", "rest_days": "90"}, ' data-rest="90d"'),
        ({"way": "popup", "rest_days": ""}, ' data-rest=""'),
        ({"way": "popup", "lang": "zh-hans"}, ' data-lang="zh-hans"'),
        ({"way": "popup", "debug": "on"}, ' data-debug=""'),
        # What does not belong to the way is left out, even where it is wrong.
        ({"way": "tab", "cap_times": "2", "rest_days": "9", "target": "#x"}, ' data-way="tab"'),
        ({"way": "popup", "trigger": "click", "selector": "#a", "cap_times": "9"}, ' data-trigger="click:#a"'),
        ({"way": "inline", "trigger": "exit", "delay": "x", "selector": ""}, ' data-way="inline"'),
        ({"way": "popup", "trigger": "now", "delay": "-1", "scroll": "900"}, ""),
    ],
)
def test_a_snippet_says_what_was_chosen_and_no_more(manager, shop, choices, expected):
    assert snippet(manager, shop, **choices) == script(expected)


def test_a_frame_and_a_call_from_code_have_snippets_of_their_own(manager, shop):
    assert snippet(manager, shop, way="iframe", lang="zh-hans") == (
        f'<iframe src="{BASE}/t/KEY/?via=web&amp;lang=zh-hans" title="Checkout" width="100%" height="640" '
        'style="border:0" loading="lazy"></iframe>'
    )
    code = snippet(manager, shop, way="code", sample="50")
    assert code.startswith(script(' data-trigger="code" data-sample="0.5"'))
    assert 'cx("show");' in code


@pytest.mark.parametrize(
    "choices",
    [
        {"way": "banner"},
        {"trigger": "now", "way": "popup", "sample": "0"},
        {"way": "popup", "trigger": "delay", "delay": "0"},
        {"way": "popup", "trigger": "delay", "delay": "soon"},
        {"way": "popup", "trigger": "scroll", "scroll": "101"},
        {"way": "popup", "trigger": "click", "selector": " "},
        {"way": "popup", "cap_times": "0"},
        {"way": "popup", "cap_days": ""},
        {"way": "popup", "lang": "xx"},
        {"way": "popup", "url": "x" * 301},
    ],
)
def test_a_wrong_choice_is_told_and_makes_no_snippet(manager, shop, choices):
    page = page_of(manager, shop, **choices)
    assert 'class="rec-error"' in page
    assert 'id="snippet"' not in page
    assert manager.get(path_of(shop, "_sample"), choices).status_code == 200


def test_names_and_choices_cannot_break_out(manager, shop):
    evil = '"><script>alert(1)</script>'
    Touchpoint.objects.update(name={"en": evil}, allowed_origins=["https://shop.example.com"])
    shop.refresh_from_db()
    choices = {"way": "popup", "trigger": "click", "selector": evil, "url": evil, "label": evil, "target": evil}
    for way in ("popup", "tab", "inline", "iframe", "code"):
        for page in (
            page_of(manager, shop, **{**choices, "way": way}),
            manager.get(path_of(shop, "_sample"), {**choices, "way": way}).content.decode(),
        ):
            assert "<script>alert" not in page
    copied = snippet(manager, shop, **choices)
    assert "<script>alert" not in copied
    assert html.unescape(copied).count(evil) == 2
    assert "<script>alert" not in snippet(manager, shop, way="iframe")


def test_the_sample_page_is_a_test_in_a_frame_of_ours(manager, shop):
    response = manager.get(
        path_of(shop, "_sample"), {"way": "popup", "trigger": "click", "selector": "#x", "url": "/a", "sample": "1"}
    )
    page = response.content.decode()
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert (
        '<script src="/embed.js" data-touchpoint="KEY" data-trigger="click:#give-feedback" data-test="" async>' in page
    )
    assert 'id="give-feedback"' in page
    framed = manager.get(path_of(shop, "_sample"), {"way": "iframe"}).content.decode()
    assert "embed.js" not in framed
    assert "/t/KEY/?via=web&amp;test=1" in framed
    assert not Response.objects.exists()
    assert not WidgetCount.objects.exists()


def test_a_page_of_ours_may_frame_the_form_in_a_test_and_only_then(client, shop):
    for query, ours in (("?via=web&test=1", True), ("?via=web", False), ("?via=web&test=0", False)):
        page = client.get(f"/t/KEY/{query}")
        policy = page["Content-Security-Policy"]
        assert "https://shop.example.com" in policy
        assert ("frame-ancestors https://shop.example.com http://testserver" in policy) == ours
        assert ("http://testserver" in re.search(r'data-origins="([^"]*)"', page.content.decode())[1]) == ours


def test_what_stands_in_the_way_is_said(manager, shop):
    assert "No site may show it yet" not in page_of(manager, shop)
    assert "https://shop.example.com" in page_of(manager, shop)
    for fields, said in (
        ({"allowed_origins": []}, "No site may show it yet"),
        ({"public": False}, "Its open form is off"),
        ({"active": False}, "is switched off"),
        ({"active": True, "instrument": None}, "It has no instrument"),
    ):
        Touchpoint.objects.update(**fields)
        page = page_of(manager, shop)
        assert said in page
        # What cannot be shown has no preview and no test.
        assert ("Show it again" in page) == ("test=1" in page) == ("allowed_origins" in fields)


# --- Who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["", "_sample", "_secret"])
def test_strangers_and_viewers_stay_outside(client, shop, page):
    assert client.get(path_of(shop, page)).status_code == 302
    assert sign_in_as(VIEWER).get(path_of(shop, page)).status_code == 403
    assert sign_in_as(VIEWER).post(path_of(shop, "_secret"), {"do": "renew"}).status_code == 403
    assert not IdentitySecret.objects.exists()


def test_an_unknown_touchpoint_leads_back_to_the_first_page(manager, shop):
    for page in ("", "_sample"):
        path = reverse(f"admin:surveys_touchpoint_widget{page}", args=[shop.pk + 1])
        assert manager.get(path).status_code == 302


def test_whoever_may_see_touchpoints_alone_sees_no_secret_and_cannot_make_one(manager, shop):
    manager.post(path_of(shop, "_secret"), {"do": "renew"})
    secret = IdentitySecret.objects.get().secret
    other = sign_in_as()
    other.user.user_permissions.add(Permission.objects.get(codename="view_touchpoint"))
    page = page_of(other, shop)
    assert script() in html.unescape(page)
    assert secret not in page
    assert "Your account may not see the secret" in page
    assert "Somebody who may change this touchpoint" in page
    assert other.post(path_of(shop, "_secret"), {"do": "renew"}).status_code == 403
    other.user.user_permissions.add(Permission.objects.get(codename="view_identitysecret"))
    page = page_of(other, shop)
    assert secret in page
    assert 'name="do"' not in page
    assert other.post(path_of(shop, "_secret"), {"do": "drop"}).status_code == 403


@pytest.mark.parametrize("group", [MANAGER, ADMINISTRATOR])
def test_a_secret_is_made_renewed_and_dropped_and_the_history_knows_who(shop, group):
    staff = sign_in_as(group)
    assert "There is no secret yet" in page_of(staff, shop)
    first = staff.post(path_of(shop, "_secret"), {"do": "renew"})
    assert first["Location"] == f"{path_of(shop)}#identity"
    old = IdentitySecret.objects.get().secret
    page = page_of(staff, shop)
    assert old in page
    assert "Renew the secret" in page
    staff.post(path_of(shop, "_secret"), {"do": "renew"})
    new = IdentitySecret.objects.first().secret
    page = page_of(staff, shop)
    assert new in page
    assert old not in page  # nobody is to take the former one for the one to use
    assert "The former secret is still valid" in page
    refused = staff.post(path_of(shop, "_secret"), {"do": "renew"}, follow=True)
    assert "Drop the former secret first" in refused.content.decode()
    staff.post(path_of(shop, "_secret"), {"do": "drop"})
    staff.post(path_of(shop, "_secret"), {"do": "drop"})
    staff.post(path_of(shop, "_secret"), {"do": "nonsense"})
    assert IdentitySecret.objects.get().secret == new
    entries = LogEntry.objects.filter(content_type__model="organisation").order_by("pk")
    assert [entry.change_message for entry in entries] == [
        "Identity secret made.", "Identity secret made.", "Former identity secret dropped."
    ]  # fmt: skip
    assert {entry.user for entry in entries} == {staff.user}
    for entry in LogEntry.objects.all():
        assert new not in f"{entry.object_repr}{entry.change_message}"


def test_looking_makes_and_drops_nothing(manager, shop):
    assert manager.get(path_of(shop, "_secret"), {"do": "renew"}).status_code == 405
    assert not IdentitySecret.objects.exists()


def test_the_touchpoints_page_leads_here(manager, shop):
    page = manager.get(reverse("admin:surveys_touchpoint_change", args=[shop.pk])).content.decode()
    assert path_of(shop) in page
    assert path_of(shop) in manager.get("/admin/touchpoints/checkout/").content.decode()
