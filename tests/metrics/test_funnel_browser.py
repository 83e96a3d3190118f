"""The pages on invitations in Chromium: they fit a phone and a desk, draw what can still rise with dashes, and give their files."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from surveys.models import Segment
from tests.factories import make_organisation, make_rule, make_touchpoint
from tests.metrics.invited import answer, customer_of, refuse, send
from tests.metrics.test_views_browser import DESK, PHONE, TABLET, Watched

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PAGES = ("", "?by=touchpoint", "rates/", "missing/", "load/")


@pytest.fixture
def measured(live_server) -> str:
    make_organisation()
    Segment.objects.create(name="gold")
    names = {"en": "A touchpoint with quite a long name", "zh-hans": "名称相当长的一个触点"}
    now = timezone.now()
    for slug in ("a-rule-with-quite-a-long-name-of-its-own", "b"):
        touchpoint = make_touchpoint(slug, name=names)
        rule = make_rule(touchpoint, slug=slug)
        for number in range(40):
            made = send(
                touchpoint, at=now - timedelta(days=1 + number % 28), rule=rule, mode=["email", "sms"][number % 2],
                report=[None, "delivered"][number % 2], language=["en", "zh-hans"][number % 2],
                customer=customer_of(["gold", ""][number % 2]),
            )  # fmt: skip
            if number % 3 == 0:
                answer(made, complete=number % 2 == 0)
            refuse(touchpoint, "resting_any", rule=rule, at=now - timedelta(days=2))
    User.objects.create_superuser("boss", password="a-long-password-1")
    return live_server.url


@pytest.mark.parametrize(
    ("language", "size", "scheme"),
    [
        ("en", PHONE, "light"),
        ("zh-CN", PHONE, "dark"),
        ("en", TABLET, "light"),
        ("zh-CN", DESK, "light"),
        ("en", DESK, "dark"),
    ],
)
def test_the_pages_fit_their_window_and_complain_of_nothing(browser, measured, language, size, scheme):
    context = browser.new_context(viewport=size, locale=language, color_scheme=scheme)
    watched = Watched(context.new_page(), measured)
    for path in PAGES:
        watched.go(f"/admin/response/{path}")
        assert watched.overflow() <= 0, path
        assert watched.cut() == [], path
    assert watched.complaints == []
    context.close()


def test_a_manager_narrows_the_pages_reads_a_definition_and_takes_a_file_along(browser, measured):
    context = browser.new_context(viewport=DESK, locale="en")
    watched = Watched(context.new_page(), measured)
    page = watched.page
    watched.go("/admin/response/?by=mode")
    page.click(".cx-more summary")
    page.select_option("[name=mode]", "sms")
    page.click("text=Show")
    page.wait_for_load_state("networkidle")
    assert "mode=sms" in page.url
    assert "by=mode" in page.url
    assert "n = 40" in page.inner_text(".cx-answer")
    with page.expect_download() as waited:
        page.click("section:has(#by-mode-title) .cx-file >> nth=0")
    text = waited.value.path().read_text(encoding="utf-8-sig")
    assert text.startswith("By way of sending")
    assert "SMS,80,40,40,40" not in text  # what was refused had its own way
    assert "\nSMS," in text.replace("\r", "")
    page.click(".cx-pages >> text=Response rates")
    page.wait_for_load_state("networkidle")
    assert "mode=sms" in page.url
    dashes = "() => Chart.getChart(document.querySelector('canvas[data-trend]')).data.datasets[0].segment.borderDash"
    assert page.evaluate(f"({dashes})()({{p1DataIndex: 0}})") is None
    last = "Chart.getChart(document.querySelector('canvas[data-trend]')).data.labels.length - 1"
    assert page.evaluate(f"({dashes})()({{p1DataIndex: {last}}})") == [4, 4]
    formula = page.locator(".cx-definition code").first
    assert not formula.is_visible()
    page.click("summary >> text=RR1")
    assert formula.inner_text() == "RR1 = I ÷ ((I + P) + (R + NC + O) + U)"
    assert watched.complaints == []
    context.close()


def test_the_pages_print_without_what_only_a_screen_needs(browser, measured):
    context = browser.new_context(viewport={"width": 794, "height": 1123}, locale="en")  # A4
    watched = Watched(context.new_page(), measured)
    watched.page.emulate_media(media="print")
    for path in PAGES:
        watched.go(f"/admin/response/{path}")
        for hidden in (".cx-file", ".cx-filters form", ".cx-pages"):
            assert not watched.page.locator(hidden).first.is_visible(), (path, hidden)
        assert watched.overflow() <= 0, path
    context.close()
