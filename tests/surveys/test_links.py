"""Where a touchpoint can be answered: its address, the same as a QR code that a scanner reads, and a snippet for a page."""

import html
import re

import pytest
import segno
from django.conf import settings as django_settings

from surveys.flow.links import embed_snippet, public_url, qr_svg
from surveys.models import Response
from tests.factories import make_organisation, make_touchpoint


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
    wanted = [[bool(module) for module in row] for row in segno.make(address, error="m").matrix]
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
