"""The look of respondents' pages as managers set it: logo, colour, corners, light or dark; tried before it is saved."""

import io
from hashlib import sha256

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from PIL import Image

from surveys import colours
from surveys.flow.groups import MANAGER, VIEWER
from surveys.models import Logo, Organisation
from tests.factories import make_organisation, make_touchpoint
from tests.surveys.admin.people import sign_in
from tests.surveys.admin.staff import sign_in_as

pytestmark = pytest.mark.django_db
LOOK = "/admin/surveys/organisation/look/"
FAINT = "#ffe066"  # on white


@pytest.fixture
def manager():
    make_organisation()
    return sign_in_as(MANAGER)


def png(colour: str = "#0f766e", size: tuple[int, int] = (220, 40)) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", size, colour).save(held, "PNG")
    return held.getvalue()


def save(client, logo: bytes | None = None, name: str = "logo.png", **changes):
    data = {"accent": "#0f766e", "radius": "10", "scheme": "auto", **changes}
    if logo is not None:
        data["logo"] = SimpleUploadedFile(name, logo, "application/octet-stream")
    return client.post(LOOK, data)


def held() -> Organisation:
    return Organisation.objects.select_related("logo").get()


def test_colour_corners_and_scheme_are_kept_and_noted(manager):
    assert save(manager, accent="#1D4ED8", radius="4", scheme="dark").status_code == 302
    row = held()
    assert (row.accent, row.radius, row.scheme) == ("#1d4ed8", 4, "dark")
    assert "accent colour, corner radius, light or dark" in LogEntry.objects.get().change_message
    assert save(manager, accent="#1d4ed8", radius="4", scheme="dark").status_code == 302
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        *({"accent": text} for text in ("", "red", "#12345", "#1234567", "#0f766e;}", "url(x)")),
        *({"radius": text} for text in ("", "-1", "25", "x", "1e3")),
        *({"scheme": text} for text in ("", "sepia")),
    ],
)
def test_what_is_no_look_is_refused(manager, changes):
    assert save(manager, **changes).status_code == 422
    row = held()
    assert (row.accent, row.radius, row.scheme) == ("#0f766e", 10, "auto")


def test_a_logo_is_kept_by_what_is_in_it_and_shown_to_respondents(manager):
    data = png()
    assert save(manager, data, name="../../etc/passwd.svg").status_code == 302
    row = held()
    assert row.logo.digest == sha256(data).hexdigest()
    assert (row.logo.content_type, row.logo.width, row.logo.height) == ("image/png", 220, 40)
    touchpoint = make_touchpoint(public=True)
    address = reverse("logo", args=[row.logo.digest])
    assert address in manager.get(f"/t/{touchpoint.public_key}/").content.decode()
    assert manager.get(address).content == data
    other = png("#b42318")
    save(manager, other)
    save(manager, data)  # going back to the former one
    assert held().logo.digest == sha256(data).hexdigest()
    assert Logo.objects.count() == 2


def test_a_logo_is_taken_away_again(manager):
    assert "no_logo" not in manager.get(LOOK).content.decode()
    save(manager, png())
    assert "no_logo" in manager.get(LOOK).content.decode()
    save(manager)  # nothing chosen: it stays
    assert held().logo_id
    save(manager, no_logo="on")
    assert held().logo_id is None


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><script>alert(1)</script></svg>",
        b"<html><script>alert(1)</script></html>",
        b"GIF89a" + b"\0" * 99,
        b"",
        b"x" * (100 * 1024 + 1),
        png()[:-4],
    ],
)
def test_what_may_be_no_logo_is_refused_and_nothing_is_saved(manager, data):
    response = save(manager, data, accent="#1d4ed8")
    if data:  # a browser sends an empty file as none at all
        assert response.status_code == 422
        assert "rec-error" in response.content.decode()
        assert held().accent == "#0f766e"
    assert not Logo.objects.exists()


def test_a_colour_that_is_too_faint_is_told_with_what_is_shown_instead(manager):
    save(manager, accent=FAINT)
    (fault,) = colours.corrections(FAINT)
    page = manager.get(LOOK).content.decode()
    assert f"On a light page {FAINT} has a contrast of" in page
    assert f"Customers see {fault.shown} there." in page
    assert "On a dark page" not in page


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        (FAINT, "On a light page"),
        ("#000080", "On a dark page"),
        ("#0f766e", ""),
        ("nonsense", "can be read on light and on dark"),
        ("<script", "can be read on light and on dark"),
    ],
)
def test_what_is_said_of_a_colour_is_said_before_it_is_saved(manager, tried, said):
    shown = manager.get(LOOK, {"told": tried}).content.decode()
    assert said in shown
    assert "<script" not in shown
    assert held().accent == "#0f766e"


def test_the_preview_wears_what_is_tried_and_passes_over_what_makes_no_sense(manager):
    touchpoint = make_touchpoint()
    path = reverse("admin:surveys_instrument_preview", args=[touchpoint.instrument_id])
    shown = manager.get(path, {"accent": "#1d4ed8", "radius": "0", "scheme": "dark"}).content.decode()
    assert colours.stylesheet_name("#1d4ed8", 0, "dark") in shown
    assert 'data-scheme="dark"' in shown
    for wrong in ({"accent": '"><script>'}, {"radius": "99"}, {"radius": "-1"}, {"scheme": "sepia"}):
        plain = manager.get(path, wrong).content.decode()
        assert "<script>" not in plain
        assert "/theme/" not in plain
    assert held().accent == "#0f766e"


def test_only_whoever_may_change_the_organisation_changes_its_look():
    make_organisation()
    for client in (sign_in_as(VIEWER), sign_in("view_response")):
        assert client.get(LOOK).status_code == 403
        assert client.get(LOOK, {"told": FAINT}).status_code == 403
    reader = sign_in("view_organisation")
    page = reader.get(LOOK)
    assert page.status_code == 200
    assert "Save the look" not in page.content.decode()
    assert save(reader, png(), accent="#1d4ed8").status_code == 403
    assert held().accent == "#0f766e"
    assert not Logo.objects.exists()
