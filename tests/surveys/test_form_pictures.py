"""The pictures of docs/form.md, taken of the form as it is: in three languages, light and dark, on a phone and on a desk.

With CX_UPDATE_IMAGES=1 they go to docs/images/, else to test-artifacts/.
"""

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from surveys.flow.instruments import publish_version, terms_of_version
from surveys.models import Instrument
from tests.factories import make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/form.md"
MOST = 25_000  # bytes of a picture
COLOURS = 24  # enough for a page of one accent, and small
GAP = 24
NAMES = {
    "nps": {"en": "Delivery", "zh-hans": "配送", "ar": "التوصيل"},
    "csat5": {"en": "Our shop", "zh-hans": "门店", "ar": "متجرنا"},
    "ces": {"en": "Returns", "zh-hans": "退货", "ar": "الإرجاع"},
}
PICTURES = [
    pytest.param(lang, scheme, marks=[] if (lang, scheme) == ("en", "light") else pytest.mark.slow)
    for lang in ("en", "zh-hans", "ar")
    for scheme in ("light", "dark")
]


@pytest.fixture
def forms(live_server, settings) -> dict[str, str]:
    """Addresses by instrument: recommendation in numbers, satisfaction in stars, effort in numbers."""
    settings.BASE_URL = live_server.url
    make_organisation(
        name={"en": "Harbour Tea", "zh-hans": "港湾茶", "ar": "شاي الميناء"},
        languages=["en", "zh-hans", "ar"],
        privacy={
            "en": "Your answer stays with us and helps us to do better.",
            "zh-hans": "您的回答仅供我们改进服务使用。",
            "ar": "إجابتك تبقى لدينا وتساعدنا على التحسّن.",
        },
    )
    csat = Instrument.objects.get(slug="csat5")
    first, *others = terms_of_version(csat.current_version())
    publish_version(csat, [replace(first, display="stars"), *others])
    addresses = {}
    for slug, name in NAMES.items():
        touchpoint = make_touchpoint(slug, instrument=Instrument.objects.get(slug=slug), public=True, name=name)
        addresses[slug] = f"{live_server.url}/t/{touchpoint.public_key}/"
    return addresses


def _taken(browser, address: str, score: int | None, **options) -> Image.Image:
    context = browser.new_context(locale="en", reduced_motion="reduce", **options)
    page = context.new_page()
    page.goto(address)
    page.locator(".question").first.wait_for()
    if score is not None:
        page.locator(f".score input[value='{score}']").check(force=True)
        page.locator("textarea").wait_for()
        page.locator("[role=status]:not(.visually-hidden)").filter(has_text=re.compile(".")).wait_for()
        page.mouse.move(0, 0)
    taken = Image.open(io.BytesIO(page.screenshot()))
    context.close()
    return taken.convert("RGB")


def _keep(picture: Image.Image, name: str) -> None:
    """Small, since whoever fetches the source fetches it."""
    folder = ROOT / ("docs/images" if os.environ.get("CX_UPDATE_IMAGES") else "test-artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    flat = picture.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB")
    flat.save(path, lossless=True, quality=100, method=6)
    assert 2_000 < path.stat().st_size <= MOST, f"{name}: {path.stat().st_size} bytes"


@pytest.mark.parametrize(("lang", "scheme"), PICTURES)
def test_the_pictures_of_the_form(browser, forms, lang, scheme):
    phone = {"viewport": {"width": 390, "height": 760}, "color_scheme": scheme}
    shots = [
        _taken(browser, f"{forms['nps']}?lang={lang}", None, **phone),
        _taken(browser, f"{forms['csat5']}?lang={lang}", 4, **phone),
        _taken(browser, f"{forms['ces']}?lang={lang}", 2, **phone),
    ]
    sheet = Image.new("RGB", (sum(one.width for one in shots) + GAP * (len(shots) - 1), shots[0].height), "#8a929c")
    for number, one in enumerate(shots):
        sheet.paste(one, (number * (one.width + GAP), 0))
    _keep(sheet, f"form-phone-{lang}-{scheme}.webp")
    desk = {"viewport": {"width": 1440, "height": 900}, "color_scheme": scheme}
    _keep(_taken(browser, f"{forms['nps']}?lang={lang}", 9, **desk), f"form-desktop-{lang}-{scheme}.webp")


def test_every_picture_of_the_page_is_there_and_small_and_every_picture_taken_is_shown():
    named = re.findall(r"!\[[^\]]+\]\(images/([^)]+)\)", PAGE.read_text())
    assert sorted(named) == sorted(path.name for path in (ROOT / "docs/images").glob("form-*.webp"))
    assert len(named) == 2 * len(PICTURES)
    for name in named:
        assert (ROOT / "docs/images" / name).stat().st_size <= MOST
