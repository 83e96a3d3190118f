"""What a first look at the form costs a customer's phone, and whom it asks: nobody but us, and little."""

import gzip
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from surveys.flow.instruments import publish_version, terms_of_version
from surveys.models import Instrument, Organisation
from surveys.phrases import LANGUAGES
from tests.factories import make_organisation, make_touchpoint
from tests.kinds import KINDS, make_form
from tests.surveys.test_look import make_logo

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 20_000  # bytes, gzipped, of all that a first view takes but the organisation's own logo


def looked_at(browser, address: str):
    """Every answer that a first view takes, as (path, type, bytes gzipped, headers), and the cookies that it leaves."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page, answers = context.new_page(), []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 (a bound method it cannot take)
    page.goto(address)
    page.wait_for_load_state("networkidle")
    found = [(one.url, one.request.resource_type, len(gzip.compress(one.body(), 6)), one.headers) for one in answers]
    cookies = context.cookies()
    context.close()
    return found, cookies


def assert_light(found, cookies, site: str) -> int:
    """Weighs it, and returns its weight."""
    assert {urlsplit(url).netloc for url, *_rest in found} == {urlsplit(site).netloc}
    assert cookies == []
    assert [url for url, _kind, _size, headers in found if "set-cookie" in headers] == []
    weight = sum(size for url, _kind, size, _headers in found if "/logo/" not in url)
    assert weight <= MOST, sorted((size, url) for url, _kind, size, _headers in found)
    return weight


@pytest.fixture
def site(live_server, settings) -> str:
    settings.BASE_URL = live_server.url
    make_organisation(
        privacy={"en": "Your answer stays with us. It is kept for two years and shown to nobody else."},
        languages=list(LANGUAGES), accent="#7c3aed", radius=16, logo=make_logo(),
    )  # fmt: skip
    return str(live_server.url)


@pytest.mark.parametrize(
    "lang", ["en", "zh-hans", *(pytest.param(one, marks=pytest.mark.slow) for one in ("ar", "hi", "th"))]
)
def test_a_first_view_in_any_script_and_of_every_kind_of_question_weighs_little(browser, site, lang):
    standard = make_touchpoint("shop", instrument=Instrument.objects.get(slug="nps"), public=True)
    for touchpoint in (standard, make_form("every", *KINDS)):
        found, cookies = looked_at(browser, f"{site}/t/{touchpoint.public_key}/?lang={lang}")
        assert {kind for _url, kind, *_rest in found} == {"document", "stylesheet", "script", "image"}
        assert len([url for url, *_rest in found if "/theme/" in url]) == 1
        assert assert_light(found, cookies, site) > 3_000  # else it was not the form


def test_the_form_asks_its_own_host_only_and_tells_nobody_where_it_was(browser, site):
    touchpoint = make_form("stars", "stars5")
    found, _cookies = looked_at(browser, f"{site}/t/{touchpoint.public_key}/")
    headers = next(headers for _url, kind, _size, headers in found if kind == "document")
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";") if part.strip())
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src", "form-action")} == {"'self'"}
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


def test_weighing_sees_what_is_too_heavy(browser, site):
    """A long question in 26 languages costs nothing where it is not shown, and one too long is found out."""
    instrument = Instrument.objects.get(slug="csat5")
    touchpoint = make_touchpoint("shop", instrument=instrument, public=True)
    first, *others = terms_of_version(instrument.current_version())
    words = " ".join(str(number * 7919 % 10007) for number in range(9000))  # does not compress well
    publish_version(instrument, [replace(first, text={"en": "How was it?", "fr": words}), *others])
    Organisation.objects.update(logo=None)
    for lang, fits in (("en", True), ("fr", False)):
        found, cookies = looked_at(browser, f"{site}/t/{touchpoint.public_key}/?lang={lang}")
        if fits:
            assert_light(found, cookies, site)
        else:
            with pytest.raises(AssertionError):
                assert_light(found, cookies, site)
