import re
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from surveys.models import Invitation, Response, ScoreLedger, Suppression
from tests.factories import make_customer, make_invitation, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db


@pytest.fixture
def invitation():
    make_organisation()
    return make_invitation(
        make_touchpoint("delivery", public=True), make_customer(), expires_at=timezone.now() + timedelta(days=1)
    )


def test_looking_records_nothing_but_the_first_time(client, invitation):
    path = f"/s/{invitation.token}/?score=9"
    client.head(path)
    invitation.refresh_from_db()
    assert invitation.opened_at is None
    page = client.get(path)
    assert page.status_code == 200
    invitation.refresh_from_db()
    first = invitation.opened_at
    client.get(path)
    invitation.refresh_from_db()
    assert (invitation.status, invitation.opened_at) == ("opened", first)
    assert re.search(r'value="9" checked', page.content.decode())
    assert Response.objects.count() == ScoreLedger.objects.count() == 0


def test_the_page_sets_no_cookie_and_asks_nobody_else(client, invitation):
    page = client.get(f"/s/{invitation.token}/")
    assert page.cookies == {}
    assert page["Referrer-Policy"] == "no-referrer"
    assert page["Cache-Control"] == "no-store"
    assert page["X-Robots-Tag"] == "noindex"
    policy = page["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page.content.decode())


def test_sending_the_form_is_an_answer(client, invitation):
    path = f"/s/{invitation.token}/"
    answered = client.post(path, {"version": "1", "score": "10", "reason": ["price", "speed"], "comment": " Kind. "})
    assert answered.status_code == 303
    assert "Thank you" in client.get(answered["Location"]).content.decode()
    response = Response.objects.get()
    assert (response.score, response.comment, response.mode) == (10, "Kind.", "email")
    assert response.answers.get(question__key="reason").choices == ["price", "speed"]
    again = client.get(path).content.decode()
    assert re.search(r'value="10" checked', again)
    assert "Kind." in again


@pytest.mark.parametrize(
    "fields",
    [{}, {"score": "11"}, {"score": "x"}, {"score": "9", "reason": "weather"}, {"score": "9", "comment": "x" * 5001}],
)
def test_a_wrong_answer_is_shown_again_with_what_was_typed(client, invitation, fields):
    page = client.post(f"/s/{invitation.token}/", {"version": "1", "comment": "Typed.", **fields})
    assert page.status_code == 422
    html = page.content.decode()
    assert 'role="alert"' in html
    if "comment" not in fields:
        assert "Typed." in html
    assert Response.objects.count() == 0


@pytest.mark.parametrize("path", ["/s/unknown/", "/t/unknown/", "/u/unknown/"])
@pytest.mark.parametrize(("language", "words"), [("en", "We cannot find this survey"), ("zh-CN", "")])
def test_an_unknown_link_is_a_polite_page_in_the_readers_language(client, path, language, words):
    make_organisation()
    page = client.get(path, headers={"Accept-Language": language})
    assert page.status_code == 404
    assert words in page.content.decode()
    assert f'lang="{"en" if language == "en" else "zh-hans"}"' in page.content.decode()


def test_an_expired_link_is_gone(client, invitation):
    Invitation.objects.update(expires_at=timezone.now())
    for answer in (client.get(f"/s/{invitation.token}/"), client.post(f"/s/{invitation.token}/", {"score": "9"})):
        assert answer.status_code == 410
    assert Response.objects.count() == 0


@pytest.mark.parametrize(
    ("via", "mode"), [("", "link"), ("qr", "qr"), ("kiosk", "kiosk"), ("web", "web"), ("fax", "link")]
)
def test_an_open_form_tells_how_it_was_reached(client, invitation, via, mode):
    path = f"/t/{invitation.touchpoint.public_key}/?via={via}&loc=till-3"
    form = re.search(r'name="form" value="([^"]+)"', client.get(path).content.decode()).group(1)
    for score in ("9", "8"):
        assert client.post(path, {"version": "1", "form": form, "score": score}).status_code == 303
    response = Response.objects.get()
    assert (response.mode, response.location, response.score) == (mode, "till-3", 8)
    assert response.client_id == uuid.UUID(form)


@pytest.mark.parametrize("fields", [{"public": False}, {"active": False}])
def test_an_open_form_that_is_closed_is_not_found(client, invitation, fields):
    type(invitation.touchpoint).objects.update(**fields)
    assert client.get(f"/t/{invitation.touchpoint.public_key}/").status_code == 404


def test_only_allowed_origins_may_frame_an_open_form(client, invitation):
    type(invitation.touchpoint).objects.update(allowed_origins=["https://shop.example.com"])
    page = client.get(f"/t/{invitation.touchpoint.public_key}/?via=web")
    assert "frame-ancestors https://shop.example.com" in page["Content-Security-Policy"]
    assert "X-Frame-Options" not in page


def test_the_readers_own_choice_of_language_wins(client, invitation):
    path = f"/s/{invitation.token}/"
    assert "score?" in client.get(path, headers={"Accept-Language": "zh"}).content.decode()
    assert "score？" in client.get(path + "?lang=zh-hans").content.decode()


def test_an_answer_is_held_against_the_version_that_was_shown(client, invitation):
    instrument = invitation.instrument
    old = instrument.current_version()
    new = instrument.versions.create(number=2)
    for wording in old.wordings.all():
        wording.pk, wording.version = None, new
        wording.options = {} if wording.question.key != "reason" else {"late": {"en": "Late"}}
        wording.save()
    client.post(f"/s/{invitation.token}/", {"version": old.pk, "score": "9", "reason": "price"})
    assert Response.objects.get().version == old


def test_unsubscribing_takes_a_press_and_twice_is_once(client, invitation):
    path = f"/u/{invitation.token}/"
    page = client.get(path)
    assert page.status_code == 200
    assert Suppression.objects.count() == 0
    for _twice in range(2):
        answer = client.post(path, {"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert answer.cookies == {}
    assert Suppression.objects.get().reason == "unsubscribed"


def test_one_click_needs_no_csrf_token_and_takes_multipart_and_form_encoding(invitation):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    path = f"/u/{invitation.token}/"
    assert strict.post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200
    encoded = "application/x-www-form-urlencoded"
    assert strict.post(path, "List-Unsubscribe=One-Click", content_type=encoded).status_code == 200


def test_a_picked_key_that_is_a_part_of_another_marks_only_itself(client, invitation):
    version = invitation.instrument.versions.get()
    wording = version.wordings.get(question__key="reason")
    wording.question.kind = "choice"
    wording.question.save()
    wording.options = {"late": {"en": "Late"}, "late_box": {"en": "Late and damaged"}}
    wording.save()
    page = client.post(f"/s/{invitation.token}/", {"version": str(version.pk), "reason": "late_box"}).content.decode()
    assert re.findall(r'value="(\w+)" checked', page) == ["late_box"]
