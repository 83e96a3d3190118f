"""Where a touchpoint can be answered: its address, the same as a QR code that a scanner reads, and a snippet for a page."""

import html
import io
import re
import uuid
from datetime import timedelta

import pytest
import segno
import zxingcpp
from django.conf import settings as django_settings
from PIL import Image

from surveys.flow.links import (
    PNG_SIDE,
    embed_snippet,
    known_locations,
    public_url,
    qr_code,
    qr_png_file,
    qr_svg,
    qr_svg_file,
    typed_url,
)
from surveys.models import Response
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_invitation,
    make_organisation,
    make_touchpoint,
)


@pytest.fixture
def touchpoint(db):
    make_organisation()
    return make_touchpoint("delivery", public=True, name={"en": 'Delivery "now" <b>'})


@pytest.mark.parametrize(("via", "mode"), [("", "link"), ("qr", "qr"), ("kiosk", "kiosk"), ("web", "web")])
def test_an_address_leads_to_the_form_and_says_how_one_came(client, touchpoint, via, mode):
    address = public_url(touchpoint, via)
    assert address.startswith(f"{django_settings.BASE_URL}/t/{touchpoint.public_key}/")
    path = address.removeprefix(django_settings.BASE_URL)
    assert client.get(path).status_code == 200
    assert client.post(path, {"score": "9", "version": "1"}).status_code == 303
    assert Response.objects.get().mode == mode


def test_what_was_printed_years_ago_still_counts_where_it_hangs(client, touchpoint):
    """Spelt out on purpose: this address hangs on walls. Whoever must change this test breaks every code that was ever printed."""
    touchpoint.public_key = "Zq3-x_9fTe0kLm2a"
    touchpoint.save()
    printed = "/t/Zq3-x_9fTe0kLm2a/?via=qr&loc=%E4%B8%8A%E6%B5%B7+3%E5%8F%B7%E6%A1%8C+%26+bar"
    assert public_url(touchpoint, "qr", "上海 3号桌 & bar") == django_settings.BASE_URL + printed
    assert client.get(printed).status_code == 200
    assert client.post(printed, {"score": "9", "version": "1"}).status_code == 303
    assert Response.objects.values_list("mode", "location").get() == ("qr", "上海 3号桌 & bar")


def test_the_address_to_type_is_short_and_leads_there(client, touchpoint, settings):
    settings.BASE_URL = "https://cx.example.org"
    typed = typed_url(touchpoint)
    assert typed == f"cx.example.org/t/{touchpoint.public_key}"
    answer = client.get(typed.removeprefix("cx.example.org"), follow=True)
    assert answer.status_code == 200
    assert "form" in answer.content.decode()


def test_places_are_known_from_answers_events_and_invitations_the_newest_first(touchpoint):
    other = make_touchpoint("other", public=True)
    customer = make_customer()

    def answered(place: str, days_ago: int, **fields) -> None:
        Response.objects.create(
            client_id=uuid.uuid4(), touchpoint=fields.pop("touchpoint", touchpoint), mode="qr", location=place,
            version=touchpoint.instrument.current_version(), day=NOW.date(), recorded_at=NOW,
            responded_at=NOW - timedelta(days=days_ago), score=9, **fields,
        )  # fmt: skip

    answered("till 1", 9)
    answered("till 1", 5)
    answered("till 1", 5, excluded_at=NOW, excluded_reason="a test")
    answered("", 0)
    answered("elsewhere", 0, touchpoint=other)
    make_event(customer, touchpoint=touchpoint, location="till 2", time=NOW - timedelta(days=1))
    make_event(customer, touchpoint=touchpoint, location="till 1", time=NOW - timedelta(days=2))
    make_invitation(touchpoint, customer, location="till 3", decided_at=NOW - timedelta(days=30))
    found = [(place.name, (NOW - place.latest_at).days, place.answers) for place in known_locations(touchpoint)]
    assert found == [("till 2", 1, 0), ("till 1", 2, 2), ("till 3", 30, 0)]


def test_a_file_holds_the_code_at_the_highest_error_correction_and_sharp(touchpoint):
    address = public_url(touchpoint, "qr", "上海南京路店 3号桌")
    assert qr_code(address).error == "H"
    assert qr_svg_file(address).startswith(b"<?xml")
    picture = Image.open(io.BytesIO(qr_png_file(address)))
    assert picture.width == picture.height >= PNG_SIDE
    assert [code.text for code in zxingcpp.read_barcodes(picture.convert("RGB"))] == [address]


def test_a_public_key_is_long_enough_not_to_be_guessed(touchpoint):
    keys = {touchpoint.public_key, *(make_touchpoint().public_key for _number in range(20))}
    assert len(keys) == 21
    assert all(len(key) >= 16 and re.fullmatch(r"[\w-]+", key) for key in keys)


def test_a_snippet_is_safe_in_any_page(touchpoint):
    snippet = embed_snippet(touchpoint)
    title = re.search(r'title="([^"]*)"', snippet)
    address = re.search(r'src="([^"]*)"', snippet)
    assert html.unescape(title.group(1)) == 'Delivery "now" <b>'
    assert html.unescape(address.group(1)) == public_url(touchpoint, "web")
    assert snippet.count("<") == 2  # the frame alone


def test_a_qr_code_is_one_svg_without_anything_from_elsewhere(touchpoint):
    picture = qr_svg(public_url(touchpoint, "qr"))
    assert picture.startswith("<svg")
    assert picture.rstrip().endswith("</svg>")
    assert not re.search(r"script|href|url\(|<!|width=|height=", picture)
    assert "#000" in picture


@pytest.mark.usefixtures("browser")
def test_a_camera_reads_the_address_out_of_the_qr_code(page):
    """Drawn by a real browser, sampled module by module, it is the matrix that the encoder makes of the address."""
    address = "https://cx.example.org/t/QmFzZTY0LXVybC1rZXk/?via=qr"
    wanted = [[bool(module) for module in row] for row in segno.make(address, error="h").matrix]
    page.set_content(f'<div id="q" style="width:{10 * (len(wanted) + 8)}px">{qr_svg(address)}</div>')
    drawn = page.evaluate(
        """async (count) => {
            const svg = document.querySelector('#q svg');
            svg.setAttribute('width', 10 * (count + 8)); svg.setAttribute('height', 10 * (count + 8));
            const image = new Image();
            const text = new XMLSerializer().serializeToString(svg);
            image.src = 'data:image/svg+xml;base64,' + btoa(text);
            await image.decode();
            const canvas = document.createElement('canvas');
            canvas.width = canvas.height = 10 * (count + 8);
            const pen = canvas.getContext('2d'); pen.drawImage(image, 0, 0, canvas.width, canvas.height);
            const rows = [];
            for (let y = 0; y < count; y++) {
                const row = [];
                for (let x = 0; x < count; x++)
                    row.push(pen.getImageData(10 * (x + 4) + 5, 10 * (y + 4) + 5, 1, 1).data[0] < 128);
                rows.push(row);
            }
            return rows;
        }""",
        len(wanted),
    )
    assert drawn == wanted
