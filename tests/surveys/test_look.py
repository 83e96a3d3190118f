"""What pages show of their organisation: its logo, its colour and corners, light or dark; and how a scale is drawn."""

import re
from hashlib import sha256

import pytest
from django.utils import translation

from surveys import look
from surveys.flow.instruments import QuestionTerms, publish_version
from surveys.forms import draw, questions_in, wordings_of
from surveys.models import Instrument, Logo, Organisation
from surveys.pictures import FACES, pictures
from tests.factories import make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="300" height="60"><rect width="300" height="60" fill="#123"/></svg>'
)


def make_logo(data: bytes = SVG, content_type: str = "image/svg+xml", width: int = 300, height: int = 60) -> Logo:
    digest = sha256(data).hexdigest()
    return Logo.objects.create(digest=digest, content_type=content_type, data=data, width=width, height=height)


@pytest.fixture
def form(client):
    """The page of an open form."""
    make_organisation()
    path = f"/t/{make_touchpoint('delivery', public=True).public_key}/"

    def read() -> str:
        return client.get(path).content.decode()

    return read


def test_the_standard_look_is_the_models_own_and_needs_no_file_of_its_own(form):
    fields = [Organisation._meta.get_field(name) for name in ("accent", "radius", "scheme")]
    assert tuple(field.default for field in fields) == look.STANDARD
    assert "/theme/" not in form()
    assert "data-scheme" not in form()


def test_an_own_look_is_one_stylesheet_whose_address_tells_all_of_it(form, client):
    Organisation.objects.update(accent="#7C3AED", radius=0, scheme="dark")
    page = form()
    address = re.search(r'href="(/theme/7c3aed-0-dark-\w+\.css)"', page)[1]
    assert "immutable" in client.get(address)["Cache-Control"]
    assert 'data-scheme="dark"' in page
    assert '<meta name="color-scheme" content="dark">' in page
    Organisation.objects.update(radius=24)
    assert address not in form()


def test_a_logo_stands_for_the_name_at_the_size_it_is_shown_in(form, client):
    Organisation.objects.update(logo=make_logo())
    image = re.search(r"<img[^>]+>", form())[0]
    assert 'alt="Harbour Tea"' in image
    assert 'width="200" height="40"' in image
    address = re.search(r'src="([^"]+)"', image)[1]
    answer = client.get(address)
    assert answer.content == SVG
    assert answer["Content-Type"] == "image/svg+xml"
    assert "immutable" in answer["Cache-Control"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert answer.cookies == {}
    assert client.get(f"/logo/{'0' * 64}").status_code == 404


@pytest.mark.parametrize(
    ("own", "shown"), [((20, 20), (40, 40)), ((2000, 100), (220, 11)), ((0, 0), (40, 40)), ((9000, 1), (220, 40))]
)
def test_a_logo_of_any_size_fits_the_head_of_the_page(own, shown):
    made = make_logo(b"%d by %d" % own, "image/png", *own)
    found = look.look_of(Organisation(logo_id=made.digest))["logo"]
    assert (found["width"], found["height"]) == shown


def test_no_two_faces_of_a_scale_are_alike():
    for points in (5, 7):
        paths = pictures("faces", range(1, points + 1))
        assert len(set(paths)) == points
        assert (paths[0], paths[-1]) == (FACES[0], FACES[-1])


@pytest.mark.parametrize(
    ("display", "names"),
    [
        ("numbers", ["1 of 5, Bad", "2 of 5", "3 of 5", "4 of 5", "5 of 5, Good"]),
        ("stars", ["1 star, Bad", "2 stars", "3 stars", "4 stars", "5 stars, Good"]),
        ("faces", ["1 of 5, Bad", "2 of 5", "3 of 5", "4 of 5", "5 of 5, Good"]),
    ],
)
def test_each_score_has_a_name_and_the_ends_say_what_they_mean(display, names):
    instrument = Instrument.objects.create(slug="one", metric="csat", points=5, name={"en": "one"})
    terms = QuestionTerms("score", "scale", {"en": "How?"}, {"en": "Bad"}, {"en": "Good"}, display=display)
    version = publish_version(instrument, [terms])
    with translation.override("en"):
        questions = questions_in(wordings_of(version), "en", ["en"], {})
        draw(questions)
    assert [point.name for point in questions[0].points] == names
    assert questions[0].step == ""  # one question is no progress
