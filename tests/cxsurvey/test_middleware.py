"""While the database is away everybody is told so, in their own way, and nothing is claimed to be recorded."""

import uuid

import pytest
from django.test import Client
from django.utils import translation
from django.utils.translation import gettext

from surveys.models import Response
from tests.cxsurvey.away import database_away
from tests.factories import make_api_key, make_invitation, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def invitation():
    make_organisation()
    return make_invitation(make_touchpoint("delivery", public=True), expires_at=None)


@pytest.mark.parametrize(("accepted", "language"), [("en", "en"), ("zh-CN,zh;q=0.9", "zh-hans"), ("", "en")])
def test_a_customer_gets_a_page_in_his_language_that_says_to_come_again(client, invitation, accepted, language):
    with translation.override(language):
        words = gettext("One moment, please")
    assert (words == "One moment, please") is (language == "en")
    for path in (f"/s/{invitation.token}/", f"/t/{invitation.touchpoint.public_key}/", f"/u/{invitation.token}/"):
        for method in (client.get, client.post):
            with database_away():
                answer = method(path, {"score": "9", "version": "1"}, headers={"Accept-Language": accepted})
            assert answer.status_code == 503, path
            assert int(answer["Retry-After"]) > 0
            assert answer["Cache-Control"] == "no-store"
            assert words in answer.content.decode()
            assert f'<html lang="{language}">' in answer.content.decode()
            assert "Traceback" not in answer.content.decode()
            assert "default-src 'none'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("query", "language", "rtl"),
    [("", "fr", False), ("?lang=ar", "ar", True), ("?lang=zh-TW", "zh-hant", False), ("?lang=xx", "fr", False)],
)
def test_what_the_page_was_in_comes_before_what_the_browser_asks_for(client, invitation, query, language, rtl):
    with database_away():
        answer = client.get(f"/s/{invitation.token}/{query}", headers={"Accept-Language": "en;q=0.4, fr-CA"})
    page = answer.content.decode()
    assert f'<html lang="{language}"' in page
    assert ('dir="rtl"' in page) is rtl
    with database_away():
        answer = client.post(f"/s/{invitation.token}/?lang=en", {"language": "ko"})
    assert '<html lang="ko">' in answer.content.decode()


def test_the_next_request_after_its_return_works(client, invitation):
    path = f"/s/{invitation.token}/"
    with database_away():
        assert client.post(path, {"score": "9", "version": "1"}).status_code == 503
    assert not Response.objects.exists()
    assert client.post(path, {"score": "9", "version": "1"}).status_code == 303
    assert Response.objects.count() == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/api/v1/events/"),
        ("get", "/api/v1/responses/"),
        ("post", "/api/v1/responses/"),
        ("get", "/api/v1/invitations/"),
        ("get", "/api/v1/metrics/nps/"),
        ("delete", "/api/v1/customers/C-1/"),
        ("get", "/api/v1/instruments/nps/"),
    ],
)
def test_a_program_gets_a_problem_that_says_when_to_try_again(client, method, path):
    headers = {"Authorization": f"Bearer {make_api_key('events:write')}"}
    with database_away():
        answer = client.generic(method.upper(), path, b"{}", "application/json", headers=headers)
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
    assert int(answer["Retry-After"]) > 0
    assert answer.json()["status"] == 503


def test_a_staff_page_is_told_too(client, admin_user):
    client.force_login(admin_user)
    with database_away():
        answer = client.get("/admin/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_an_answer_sent_again_after_the_fault_is_one_answer(client):
    """What a client does that heeds Retry-After: the id makes it safe."""
    make_organisation()
    touchpoint = make_touchpoint("checkout")
    headers = {"Authorization": f"Bearer {make_api_key('responses:write')}"}
    body = {"id": str(uuid.uuid4()), "touchpoint": touchpoint.slug, "answers": {"score": 9}}
    statuses = []
    for away in (True, False, False):
        if away:
            with database_away():
                statuses.append(
                    client.post("/api/v1/responses/", body, "application/json", headers=headers).status_code
                )
        else:
            statuses.append(client.post("/api/v1/responses/", body, "application/json", headers=headers).status_code)
    assert statuses == [503, 201, 200]
    assert Response.objects.count() == 1


def test_what_redirects_carries_no_policy_and_what_shows_does(client, invitation):
    path = f"/s/{invitation.token}/"
    shown, sent = client.get(path), client.post(path, {"score": "9", "version": "1"})
    assert "Content-Security-Policy" in shown
    assert (sent.status_code, "Content-Security-Policy" in sent) == (303, False)


def test_a_fault_of_ours_is_no_503(client, invitation, monkeypatch):
    """Only a database that is away is promised to come back."""
    from surveys import views

    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(views, "follow_token", broken)
    assert client.get(f"/s/{invitation.token}/").status_code == 500
