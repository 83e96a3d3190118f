"""The page of answers in Chromium: found, chosen, taken out, on a phone and on a desk, and nothing runs that somebody wrote."""

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from surveys.models import Response
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.staff_browser import NAME, PASSWORD, complaints_of, sign_in
from tests.surveys.admin.people import answer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
WICKED = "<script>document.title = 'owned'</script> slow 太慢了 " + "unbreakable" * 30


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_answers_are_found_chosen_and_taken_out(live_server, browser, width, scheme):
    make_organisation()
    shop = make_touchpoint(
        "shop", make_instrument("nps-x"), name={"en": "A shop with quite a long name", "zh-hans": "店"}
    )
    now = timezone.now()
    rows = [answer(shop, score, WICKED if score < 3 else "quick", now=now) for score in range(5)]
    User.objects.create_superuser(NAME, password=PASSWORD)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page = context.new_page()
        sign_in(page, live_server.url)
        complaints = complaints_of(page, live_server.url)
        page.goto(f"{live_server.url}/admin/responses/")
        page.fill("[name=q]", "太慢 slo")
        page.click(".cx-search button")
        page.wait_for_url("**q=*")
        assert page.locator(".cx-found > li").count() == 3
        assert page.locator(".cx-found mark").all_inner_texts()[:2] == ["slow", "太慢"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.check("[data-choose-all]")
        assert page.locator("[name=id]:checked").count() == 3
        page.uncheck("[name=id] >> nth=0")
        assert page.evaluate("document.querySelector('[data-choose-all]').indeterminate")
        page.click("button[value=exclude]")
        page.fill("[name=reason]", "answered by staff")
        page.click(".rec-submit button")
        page.wait_for_url("**/admin/responses/?*")
        assert "q=" in page.url
        assert page.locator(".cx-note", has_text="answered by staff").count() == 2
        assert (
            Response.objects.filter(excluded_reason="answered by staff", pk__in=[row.pk for row in rows[:3]]).count()
            == 2
        )
        assert page.title().startswith("Answers")
        assert complaints == []
    finally:
        context.close()
