"""Codes to print in Chromium: what is on the paper is read back out of the picture, as a camera would."""

import io
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pypdfium2
import pytest
import zxingcpp
from django.contrib.auth.models import User
from django.urls import reverse
from PIL import Image, ImageDraw

from surveys.flow.links import public_url
from surveys.models import Response
from tests.factories import NOW, make_organisation, make_touchpoint
from tests.staff_browser import sign_in

pytestmark = pytest.mark.django_db(transaction=True)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
PLACES = ["sh-014", "上海南京路店 3号桌", "Bar & Grill = 100 % + fun?", "☕ 2F #7"]
DPI = 150  # less than any printer: what is read here is read from paper


@pytest.fixture
def touchpoint(live_server, settings):
    settings.BASE_URL = live_server.url
    make_organisation(accent="#0b62a8")
    row = make_touchpoint("delivery", public=True, name={"en": "Delivery", "zh-hans": "配送"})
    for place in ("sh-014", "上海南京路店 3号桌"):
        Response.objects.create(
            client_id=uuid.uuid4(), touchpoint=row, version=row.instrument.current_version(), mode="qr", location=place,
            day=NOW.date(), responded_at=NOW, recorded_at=NOW, score=9,
        )  # fmt: skip
    return row


@pytest.fixture
def complaints(page, touchpoint, live_server) -> list[str]:
    """Signs in, and collects errors, failed requests, and requests that leave the host."""
    found: list[str] = []
    site = live_server.url
    User.objects.create_superuser("boss", password="a-long-password-1")
    page.context.on("console", lambda message: message.type in ("error", "warning") and found.append(message.text))
    page.context.on("weberror", lambda fault: found.append(str(fault.error)))
    page.context.on("request", lambda request: request.url.startswith((site, "data:")) or found.append(request.url))
    page.context.on("response", lambda answer: answer.status < 400 or found.append(f"{answer.status} {answer.url}"))
    # The printer's dialogue is the browser's own; that it was asked for is enough, and no PDF can be had while it is open.
    page.context.add_init_script("window.print = () => { document.documentElement.dataset.asked = 'to print'; }")
    sign_in(page, site)
    return found


def codes_page(live_server, touchpoint) -> str:
    return live_server.url + reverse("admin:surveys_touchpoint_codes", args=[touchpoint.pk])


def choose(page, size: str, places: list[str], *languages: str) -> Any:
    """The sheets, in a tab of their own, as somebody gets to them who ticks what is known and types the rest."""
    page.check(f"[name=size][value={size}]")
    for tag in ("en", "zh-hans"):
        page.set_checked(f"[name=languages][value={tag}]", tag in (languages or ("en",)))
    page.uncheck("[name=whole]")
    known = [box.get_attribute("value") for box in page.locator("[name=known]").all()]
    for place in known:
        if place in places:
            page.locator("[name=known]").nth(known.index(place)).check()
    page.fill("[name=more]", "\n".join(["", *(place for place in places if place not in known), "  "]))
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Print").click()
    sheet = opened.value
    sheet.locator("html[data-asked='to print']").wait_for()
    return sheet


def printed(sheet) -> list[Image.Image]:
    """Its pages, as they come out of a printer."""
    document = pypdfium2.PdfDocument(sheet.pdf(prefer_css_page_size=True, print_background=False))
    return [document[number].render(scale=DPI / 72).to_pil().convert("RGB") for number in range(len(document))]


def read(picture: Image.Image) -> list[str]:
    return sorted(code.text for code in zxingcpp.read_barcodes(picture, zxingcpp.BarcodeFormat.QRCode))


def in_mm(pixels: float) -> float:
    return pixels / DPI * 25.4


@pytest.mark.parametrize(
    ("size", "pages", "each"),
    [
        ("poster", 4, 1),
        pytest.param("card", 1, 4, marks=pytest.mark.slow),
        pytest.param("tent", 4, 2, marks=pytest.mark.slow),
    ],
)
def test_every_code_is_read_from_paper_and_from_the_screen(
    page, touchpoint, complaints, live_server, size, pages, each
):
    page.set_viewport_size(DESK)
    page.goto(codes_page(live_server, touchpoint))
    sheet = choose(page, size, PLACES, "zh-hans", "en")
    wanted = [public_url(touchpoint, "qr", place) for place in PLACES]
    assert {parse_qs(urlsplit(address).query)["loc"][0] for address in wanted} == set(PLACES)
    papers = printed(sheet)
    assert len(papers) == pages  # no empty one between or after them
    for paper in papers:
        assert (round(in_mm(paper.width)), round(in_mm(paper.height))) == (210, 297)
    assert sorted(text for paper in papers for text in read(paper)) == sorted(wanted * (2 if size == "tent" else 1))
    assert {len(read(paper)) for paper in papers} == {each}
    sheet.set_viewport_size({"width": 1000, "height": 1300})
    screen = Image.open(io.BytesIO(sheet.screenshot(full_page=True)))
    assert sorted(set(read(screen))) == sorted(wanted)
    assert complaints == []


def stain(picture: Image.Image, code: Any, share: float) -> Image.Image:
    """The picture with a white strip over so much of the code, at the side where it has only one of its corner marks."""
    corners = [(point.x, point.y) for point in (code.position.top_left, code.position.bottom_right)]
    (left, top), (right, bottom) = corners
    below_mark = top + (bottom - top) * 9 / 41  # the top right mark stays, as on a code with a torn edge
    width = share * (right - left) * (bottom - top) / (bottom - below_mark)
    stained = picture.copy()
    ImageDraw.Draw(stained).rectangle((right - width, below_mark, right, bottom), fill="white")
    return stained


@pytest.mark.slow
def test_a_quarter_of_a_printed_code_may_be_covered(page, touchpoint, complaints, live_server):
    page.goto(codes_page(live_server, touchpoint))
    paper = printed(choose(page, "poster", ["sh-014"]))[0]
    (code,) = zxingcpp.read_barcodes(paper)
    assert code.ec_level == "H"
    assert read(stain(paper, code, 0.25)) == [public_url(touchpoint, "qr", "sh-014")]
    assert read(stain(paper, code, 0.5)) == []  # the stain is where the code is


@pytest.mark.slow
def test_codes_are_large_enough_for_a_hand_held_camera(page, touchpoint, complaints, live_server):
    """A camera needs about a tenth of the distance: 60 mm on a table, 120 mm on a wall."""
    page.goto(codes_page(live_server, touchpoint))
    for size, at_least in (("card", 55), ("poster", 110), ("tent", 85)):
        paper = printed(choose(page, size, ["sh-014"]))[0]
        code = zxingcpp.read_barcodes(paper)[0]
        side = abs(code.position.top_right.x - code.position.top_left.x)
        assert in_mm(side) > at_least * 0.85, size  # without its white border


def dark_share(picture: Image.Image) -> float:
    grey = picture.convert("L").resize((100, 100))
    return sum(value < 128 for value in grey.getdata()) / 10_000


@pytest.mark.slow
def test_a_reader_of_dark_pages_prints_light_ones_without_the_admin(page, touchpoint, complaints, live_server):
    page.emulate_media(color_scheme="dark")
    page.goto(codes_page(live_server, touchpoint))
    sheet = choose(page, "card", PLACES[:3], "en", "zh-hans")
    sheet.emulate_media(color_scheme="dark")
    (paper,) = printed(sheet)
    assert dark_share(paper) < 0.25
    sheet.emulate_media(media="print", color_scheme="dark")
    shown = sheet.evaluate("document.body.innerText")
    assert "Harbour Tea" in shown
    assert "Tell us how it was" in shown
    assert "说说您的体验" in shown
    assert f"/t/{touchpoint.public_key}" in shown
    assert "via=" not in shown
    for word in ("Print", "SVG", "Log out", "Touchpoints"):
        assert word not in shown
    assert complaints == []


def test_a_scan_leads_to_the_form_and_its_answer_is_stored_with_the_place(page, touchpoint, complaints, live_server):
    """From the paper to the row: read the picture, open what it says, press a score and Send."""
    page.goto(codes_page(live_server, touchpoint))
    place = "Bar & Grill = 100 % + fun?"
    addresses = read(printed(choose(page, "card", [place]))[0])
    assert len(addresses) == 4  # the only one fills its sheet
    (address,) = set(addresses)
    before = set(Response.objects.values_list("pk", flat=True))
    phone = page.context.browser.new_context(viewport=PHONE, locale="zh-CN")
    form = phone.new_page()
    try:
        form.goto(address)
        form.locator(".score", has_text="9").first.click()
        form.locator("button[type=submit]").click()
        form.wait_for_url("**done=1**")
    finally:
        phone.close()
    (response,) = Response.objects.exclude(pk__in=before)
    assert (response.mode, response.location, response.score, response.touchpoint) == ("qr", place, 9, touchpoint)
    assert response.language == "zh-hans"


@pytest.mark.parametrize(
    ("language", "theme"), [pytest.param("en", "light", marks=pytest.mark.slow), ("zh-hans", "dark")]
)
def test_the_page_fits_a_phone_and_a_desk_and_its_preview_follows_the_choice(
    page, touchpoint, complaints, live_server, language, theme
):
    page.context.add_cookies([{"name": "django_language", "value": language, "url": live_server.url}])
    page.emulate_media(color_scheme=theme)
    for viewport in (PHONE, DESK):
        page.set_viewport_size(viewport)
        page.goto(codes_page(live_server, touchpoint))
        sheets = page.frame_locator("iframe[name=cx-sheets]")
        sheets.locator(".paper").first.wait_for()
        assert sheets.locator(".qr").count() == 1
        page.locator("[name=known]").first.check()
        sheets.locator(".qr").nth(1).wait_for()
        page.fill("[name=more]", "x" * 101)
        sheets.locator(".faults").wait_for()
        assert "101" in sheets.locator(".faults").inner_text()
        for frame in page.frames:
            assert frame.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, frame.url
    assert complaints == []
