"""The pictures of docs/widget.md: the widget in each of its ways, on a page of another origin, on a desk and on a phone."""

import re

import pytest

from surveys.models import Instrument
from tests.factories import make_organisation, make_touchpoint
from tests.pictures import MOST, ROOT, beside, keep, taken
from tests.surveys.test_embed import DOOR, host  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = ROOT / "docs/widget.md"
STYLE = """<style>
body { margin: 0; font: 16px/1.6 Georgia, serif; color: #2b2b2b; background: #fdfbf5; }
header { padding: 14px 24px; background: #3f5b45; color: #fff; font-size: 20px; }
main { max-width: 680px; padding: 8px 24px; }
h1 { font-weight: 400; }
</style>"""
TEXT = """<header>Harbour Tea</header><main><h1>Your order is on its way</h1>
<p>Thank you for your order of 200 g Spring Oolong. It left our store at nine o'clock and arrives tomorrow before noon.</p>%s
<p>Keep the tin closed and away from light. The first infusion takes forty seconds at ninety degrees, each further one ten seconds
longer.</p></main>"""
WAYS = {
    "popup": ('data-way="popup"', ""),
    "tab": ('data-way="tab"', ""),
    "inline": ('data-way="inline" data-target="#here"', '<div id="here"></div>'),
    "frame": (None, '<iframe src="%s" title="Survey" width="100%%" height="420" style="border:0"></iframe>'),
}


@pytest.fixture
def site(live_server, settings, host):  # noqa: F811
    """Host pages by way."""
    settings.BASE_URL = live_server.url
    make_organisation(name={"en": "Harbour Tea"}, languages=["en"])
    nps = Instrument.objects.get(slug="nps")
    shop = make_touchpoint("delivery", instrument=nps, public=True, name={"en": "Delivery"}, allowed_origins=[host.url])
    for way, (attributes, frame) in WAYS.items():
        inside = frame % f"{live_server.url}/t/{shop.public_key}/?via=web" if way == "frame" else frame
        script = (
            f'<script src="{live_server.url}/embed.js" data-touchpoint="{shop.public_key}" {attributes} async></script>'
        )
        head = (
            "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>Harbour Tea</title>"
        )
        host.pages[f"/{way}"] = (f"{head}{STYLE}{TEXT % inside}{script if attributes else ''}", {})
    return host.url


def _shown(browser, address: str, way: str, **options):
    context = browser.new_context(locale="en", color_scheme="light", reduced_motion="reduce", **options)
    page = context.new_page()
    page.add_init_script(DOOR)
    page.goto(address)
    if way == "tab":
        page.locator("cx-survey").get_by_role("button", name="Feedback").wait_for()
    else:
        frame = page.frame_locator("iframe" if way == "frame" else "cx-survey iframe")
        frame.locator(".question .scale").first.wait_for()
        if way == "inline":  # sized once the form has told its height
            page.wait_for_function("() => document.querySelector('#here').getBoundingClientRect().height > 150")
    shot = taken(page)
    context.close()
    return shot


@pytest.mark.slow
@pytest.mark.parametrize(("size", "width", "height"), [("phone", 390, 760), ("desktop", 900, 640)])
def test_the_pictures_of_the_widget(browser, site, size, width, height):
    shots = {way: _shown(browser, f"{site}/{way}", way, viewport={"width": width, "height": height}) for way in WAYS}
    if size == "phone":
        keep(beside(list(shots.values())), "widget-phone.webp")
    else:
        for way, shot in shots.items():
            keep(shot, f"widget-desktop-{way}.webp")


def test_every_picture_of_the_page_is_there_and_small_and_every_picture_taken_is_shown():
    named = re.findall(r"!\[[^\]]+\]\(images/([^)]+)\)", PAGE.read_text())
    assert sorted(named) == sorted(path.name for path in (ROOT / "docs/images").glob("widget-*.webp"))
    assert len(named) == 1 + len(WAYS)
    for name in named:
        assert (ROOT / "docs/images" / name).stat().st_size <= MOST
