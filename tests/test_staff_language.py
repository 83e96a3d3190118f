"""Staff pages come in the reader's language: her choice first, then her browser's; dates and numbers are written as she writes them."""

import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.formats import date_format
from django.utils.translation import override

from tests.factories import make_customer, make_event, make_organisation

pytestmark = pytest.mark.django_db

LISTS = ("interactionevent", "customer", "response", "touchpoint", "invitationrule", "apikey")


@pytest.fixture
def staff() -> Client:
    make_organisation()
    client = Client()
    user = User.objects.create_superuser("boss", password="a-long-password-1")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def content(client: Client, path: str, language: str = "") -> str:
    page = client.get(path, headers={"Accept-Language": language} if language else {})
    assert page.status_code == 200
    return page.content.decode()


@pytest.mark.parametrize("name", LISTS)
def test_a_list_comes_in_the_browsers_language(staff, name):
    path = "/admin/responses/" if name == "response" else f"/admin/surveys/{name}/"
    chinese, english = content(staff, path, "zh-CN,zh;q=0.9"), content(staff, path, "en")
    assert '<html lang="zh-hans"' in chinese
    assert '<html lang="en"' in english
    assert "总览" in chinese
    assert "Overview" in english
    # The theme's own: its search, its account menu.
    for word, wort in (("Log out", "注销"), ("Change password", "修改密码")):
        assert (word in english, wort in english) == (True, False)
        assert (word in chinese, wort in chinese) == (False, True)


def test_a_chosen_language_stays_whatever_the_browser_says(staff):
    assert "简体中文" in content(staff, "/admin/surveys/customer/", "en")  # the switch is offered
    chosen = staff.post("/i18n/setlang/", {"language": "zh-hans", "next": "/admin/surveys/customer/"})
    assert chosen.status_code == 302
    assert '<html lang="zh-hans"' in content(staff, "/admin/surveys/customer/", "en")
    assert '<html lang="zh-hans"' in content(staff, "/admin/", "en")


def test_dates_and_times_are_written_as_the_reader_writes_them(staff):
    make_event(make_customer())  # 10:00 in Shanghai
    path = "/admin/surveys/interactionevent/"
    assert "2026年11月20日 10:00" in content(staff, path, "zh-CN")
    english = content(staff, path, "en")
    assert re.search(r"Nov\.? 20, 2026|20 Nov 2026", english), re.findall(r".{20}2026.{20}", english)


def test_the_login_page_comes_in_the_browsers_language(client):
    assert "登录" in content(client, "/admin/login/", "zh-CN")
    assert "Log in" in content(client, "/admin/login/", "en")


@pytest.mark.parametrize("path", ["/admin/", "/admin/surveys/customer/"])
def test_every_page_bears_the_products_name(staff, path):
    assert re.search(r'<a href="/admin/"[^>]*>.*?cxsurvey', content(staff, path), re.DOTALL)


def test_days_and_times_are_written_alike_everywhere():
    at = datetime(2026, 11, 6, 17, 31, tzinfo=UTC)
    written = {}
    for language in ("en", "zh-hans"):
        with override(language):
            written[language] = [date_format(at, name) for name in ("DATE_FORMAT", "DATETIME_FORMAT", "TIME_FORMAT")]
    assert written == {
        "en": ["6 Nov 2026", "6 Nov 2026, 17:31", "17:31"],
        "zh-hans": ["2026年11月6日", "2026年11月6日 17:31", "17:31"],
    }
