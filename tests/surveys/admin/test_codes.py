"""Codes to print: who may, what may be chosen, and the files."""

import io
import re
import zipfile
from typing import Any
from urllib.parse import quote

import pytest
import zxingcpp
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from PIL import Image

from surveys.colours import contrast
from surveys.flow.links import public_url
from surveys.models import Logo, Touchpoint
from tests.factories import make_event, make_organisation, make_touchpoint
from tests.surveys.admin.staff import sign_in_as

pytestmark = pytest.mark.django_db


@pytest.fixture
def touchpoint() -> Touchpoint:
    make_organisation(languages=["en", "zh-hans", "ar", "de"])
    return make_touchpoint("delivery", public=True, name={"en": "Delivery", "zh-hans": "配送"})


@pytest.fixture
def staff() -> Client:
    return sign_in_as("manager")


def page_of(touchpoint: Touchpoint) -> str:
    return reverse("admin:surveys_touchpoint_codes", args=[touchpoint.pk])


def choose(staff: Client, touchpoint: Touchpoint, do: str = "preview", **chosen: Any) -> Any:
    return staff.post(page_of(touchpoint), {"languages": ["en"], "size": "card", "do": do, **chosen})


def sees_touchpoints() -> Client:
    """Somebody who may look at touchpoints, and do nothing else."""
    client = sign_in_as()
    client.user.user_permissions.add(Permission.objects.get(codename="view_touchpoint"))  # type: ignore[attr-defined]
    return client


def test_whoever_may_see_the_touchpoint_may_print_and_nobody_else(touchpoint, client):
    pages = [page_of(touchpoint), reverse("admin:surveys_touchpoint_code", args=[touchpoint.pk, "svg"])]
    for path in pages:
        assert sees_touchpoints().get(path).status_code == 200
        assert sign_in_as("viewer").get(path).status_code == 403
        assert client.get(path).status_code == 302  # to the login
    for do in ("preview", "print", "svg"):
        assert choose(sees_touchpoints(), touchpoint, do, whole="on").status_code == 200
        assert choose(sign_in_as("viewer"), touchpoint, do, whole="on").status_code == 403
    assert sees_touchpoints().get(pages[1].replace("svg", "gif")).status_code == 404


def test_the_touchpoint_leads_to_its_codes(touchpoint, staff):
    shown = staff.get(reverse("admin:surveys_touchpoint_change", args=[touchpoint.pk])).content.decode()
    assert f'href="{page_of(touchpoint)}"' in shown
    assert page_of(touchpoint) in staff.get(reverse("touchpoint_page", args=["delivery"])).content.decode()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"public": False}, "the open form is switched off"),
        ({"active": False}, "the touchpoint is switched off"),
        ({"instrument": None}, "the touchpoint has no instrument"),
    ],
)
def test_codes_that_lead_nowhere_say_so_before_they_are_printed(touchpoint, staff, client, state, words):
    assert "lead nowhere" not in staff.get(page_of(touchpoint)).content.decode()
    Touchpoint.objects.update(**state)
    shown = staff.get(page_of(touchpoint)).content.decode()
    assert "These codes lead nowhere yet" in shown
    assert words in shown
    assert "These codes lead nowhere yet" in choose(staff, touchpoint, whole="on").content.decode()
    assert client.get(f"/t/{touchpoint.public_key}/?via=qr").status_code == 404  # as the page says


@pytest.mark.parametrize(
    ("address", "warns"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("http://localhost:8000", True),
        ("http://192.168.1.20:8000", False),
        ("https://survey.example.com", False),
        ("https://localhost.example.com", False),
    ],
)
def test_an_address_that_no_phone_reaches_is_told_before_printing(touchpoint, staff, settings, address, warns):
    settings.BASE_URL = address
    assert ("no phone gets there" in staff.get(page_of(touchpoint)).content.decode()) == warns


def test_known_places_are_offered_with_counts_to_those_who_may_read_answers(touchpoint):
    make_event(touchpoint=touchpoint, location="till <1>")
    assert "till &lt;1&gt; (no answers yet)" in sign_in_as("manager").get(page_of(touchpoint)).content.decode()
    shown = sees_touchpoints().get(page_of(touchpoint)).content.decode()
    assert "till &lt;1&gt;" in shown
    assert "answers yet" not in shown


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({}, "Choose a place"),
        ({"whole": "on", "languages": []}, "required"),
        ({"whole": "on", "languages": ["fr"]}, "fr"),
        ({"whole": "on", "languages": ["en", "zh-hans", "ar", "de"]}, "at most three"),
        ({"whole": "on", "size": "stamp"}, "stamp"),
        ({"known": ["nobody knows it"]}, "nobody knows it"),
        ({"more": "ok\n" + "x" * 101}, "101 characters; at most 100 fit"),
        ({"more": "a\x00b"}, "ull characters"),
        ({"more": "a\ud800b".encode("utf-8", "surrogatepass")}, ""),
        (
            {"more": "😀" * 100, "base": "https://survey.of-a-rather-long-name.customers.example.com"},
            "too long for a code",
        ),
        ({"more": "\n".join(f"till {number}" for number in range(201))}, "201 codes"),
    ],
)
def test_a_choice_that_cannot_be_printed_says_why_and_makes_nothing(touchpoint, staff, settings, chosen, says):
    settings.BASE_URL = chosen.pop("base", settings.BASE_URL)
    if "languages" not in chosen or chosen["languages"]:
        chosen = {"languages": ["en"], **chosen}
    for do, status in (("preview", 200), ("print", 422), ("svg", 422)):
        answer = choose(staff, touchpoint, do, **chosen)
        if not says:  # what a browser cannot send is replaced on its way in, and is then a name like any other
            assert answer.status_code == 200
            continue
        assert answer.status_code == status
        assert says in answer.content.decode()
        assert "<article" not in answer.content.decode()


def test_a_hundred_characters_fit_and_each_place_is_one_code(touchpoint, staff):
    make_event(touchpoint=touchpoint, location="till 1")
    chosen = {"whole": "on", "known": ["till 1"], "more": "  till 1  \r\n\r\n" + "店" * 100 + "\r\ntill 2"}
    shown = choose(staff, touchpoint, "print", **chosen).content.decode()
    assert shown.count("<article") == 4
    assert f"loc={quote('店' * 100)}" in shown


def test_a_sheet_speaks_the_chosen_languages_whatever_the_reader_speaks(touchpoint, staff):
    staff.cookies["django_language"] = "zh-hans"
    shown = choose(staff, touchpoint, languages=["en", "ar"], whole="on").content.decode()
    assert 'lang="zh-hans"' in shown.split("<head>")[0].lower()
    article = shown.split("<article")[1]
    assert "Tell us how it was" in article
    assert '<p lang="ar" dir="auto">' in article
    assert "说说您的体验" not in article


def test_a_sheet_has_the_organisations_logo_colour_and_own_words(touchpoint, staff):
    logo = Logo.objects.create(digest="d" * 64, content_type="image/png", data=b"PNG", width=10, height=10)
    phrases = {"en": {"scan": "Was the tea hot?"}, "zh-hans": {"scan": "茶还热吗？"}}
    make_organisation(accent="#fff200", logo=logo, phrases=phrases)
    shown = choose(staff, touchpoint, languages=["zh-hans", "en"], whole="on").content.decode()
    assert 'src="data:image/png;base64,UE5H"' in shown
    for words in ("Was the tea hot?", "茶还热吗？", "Scan the code", "用手机扫描二维码"):
        assert words in shown
    accent = re.search(r"--accent: (#[0-9a-f]{6})", shown)
    assert contrast(accent[1], "#ffffff") >= 4.5  # a yellow that nobody could read on paper is darkened
    assert "Harbour Tea" in shown


def test_each_code_is_a_file_and_all_are_an_archive_that_streams(touchpoint, staff):
    places = ["上海 3号桌", "a/b", "a:b", "Till", "till"]
    wanted = [public_url(touchpoint, "qr", place) for place in places]
    answer = choose(staff, touchpoint, "png", more="\n".join(places))
    assert answer.streaming
    assert answer["Content-Disposition"] == 'attachment; filename="delivery-codes-png.zip"'
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert archive.testzip() is None
    names = archive.namelist()
    assert names == [
        "delivery-上海 3号桌.png",
        "delivery-a_b.png",
        "delivery-a_b-3.png",
        "delivery-Till.png",
        "delivery-till-5.png",
    ]
    pictures = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names]
    assert [zxingcpp.read_barcodes(picture)[0].text for picture in pictures] == wanted
    one = staff.get(reverse("admin:surveys_touchpoint_code", args=[touchpoint.pk, "svg"]), {"loc": places[0]})
    assert (one["Content-Type"], one.content[:5]) == ("image/svg+xml", b"<?xml")
    assert quote("delivery-上海 3号桌.svg") in one["Content-Disposition"]
    too_long = staff.get(reverse("admin:surveys_touchpoint_code", args=[touchpoint.pk, "png"]), {"loc": "x" * 101})
    assert too_long.status_code == 400
