"""One page in Chromium for all of them in the quick slice, with a few rows of its own; test_demo_browser.py opens every page."""

import pytest
from django.contrib.auth.models import User

from metrics.rollup import roll_up
from surveys.models import Segment
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.pages_browser import PHONE, ZH, reading, session_of
from tests.metrics.raw import count

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_page_on_a_phone_in_chinese_and_in_the_dark_fits_offends_nobody_and_keeps_its_filters(browser, live_server):
    make_organisation()
    Segment.objects.create(name="gold")
    touchpoint = make_touchpoint(
        "delivery", name={"en": "Delivery of large parcels", "zh-hans": "大件包裹送货上门"}, targets={"nps": 40}
    )
    count(touchpoint, {9: 20, 7: 10, 2: 10})
    count(touchpoint, {2: 10}, segment="gold")
    roll_up()
    cookie = session_of(User.objects.create_superuser("boss"))
    with reading(browser, live_server.url, cookie, ZH, PHONE, "dark") as reader:
        reader.go("/admin/")
        reader.check_language(ZH)
        reader.check_scheme("dark")
        reader.check_fits()
        reader.check_accessible()
        reader.choose({"segment": "gold", "mode": "email"})
        assert reader.asked() | {"segment": "gold", "mode": "email"} == reader.asked()
        assert "n = 10" in reader.page.inner_text(".cx-card")
        assert reader.complaints == []
