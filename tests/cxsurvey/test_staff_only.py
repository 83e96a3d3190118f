"""What is done for staff alone does not reach customers and machines."""

import pytest
from django.utils import translation

from tests.factories import make_api_key, make_invitation, make_organisation


@pytest.fixture(autouse=True)
def _organisation(db):
    make_organisation()


def test_a_form_says_nothing_of_the_browsers_language_where_it_is_in_another(client):
    invitation = make_invitation(language="zh-hans")
    page = client.get(f"/s/{invitation.token}/", headers={"accept-language": "fr"})
    assert '<html lang="zh-hans"' in page.content.decode()
    assert "Content-Language" not in page
    assert not page.cookies


def test_a_staff_members_language_is_not_left_to_whoever_comes_next(client):
    client.get("/admin/login/", headers={"accept-language": "zh-hans"})
    assert translation.get_language() == "en"
    answer = client.get("/api/v1/metrics/nps/", headers={"authorization": f"Bearer {make_api_key('events:write')}"})
    assert answer.status_code == 403
    assert answer.json()["detail"] == "This needs a key with the scope metrics:read."


def test_staff_pages_speak_the_browsers_language(client):
    page = client.get("/admin/login/", headers={"accept-language": "zh-hans"})
    assert page["Content-Language"] == "zh-hans"


def test_each_side_has_its_own_policy(client):
    form = client.get(f"/s/{make_invitation().token}/")["Content-Security-Policy"]
    assert "default-src 'none'" in form
    assert "unsafe" not in form
    staff = client.get("/admin/login/")["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in staff
    assert "default-src 'self'" in staff
