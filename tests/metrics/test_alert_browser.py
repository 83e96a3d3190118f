"""The pages of alerts in Chromium: nothing complains, and nothing is wider than the screen."""

import os
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from metrics.alerting.evaluate import look_at_counts, look_at_days
from metrics.models import Alert, AlertRule, Team, TeamAddress
from metrics.rollup import roll_up
from surveys.models import Organisation
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.metrics.raw import ticket
from tests.metrics.test_alerts import spoil, team, watch
from tests.staff_browser import NAME, PASSWORD, complaints_of, sign_in

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PICTURES = os.environ.get("CX_PICTURES", "")


@pytest.fixture
def site(live_server: Any) -> str:
    """Alerts that stand, seen and not; one that is over; an address that fails; long names."""
    organisation = make_organisation(channel_targets={"website": {"nps": 30}})
    now = timezone.now()
    user = User.objects.create_superuser(NAME, password=PASSWORD)
    name = {"en": "Delivery of quite large parcels to the door", "zh-hans": "大件包裹送货上门"}
    touchpoint = make_touchpoint("delivery", make_instrument("nps-x"), name=name, targets={"nps": 40})
    spoil(touchpoint, organisation.day_of(now) - timedelta(days=1))
    care = team("care", "care@example.com", "json://user:secret@hooks.example.com/a/rather/long/path/of/a/hook")
    for rule in (
        watch(touchpoint, mode="email"),
        watch(touchpoint, slug="named", name={"en": "The parcels’ promise", "zh-hans": "包裹承诺"}),
        watch(None, slug="channel", channel="website"),
        watch(touchpoint, "open_longer", slug="old", longer_than_s=172_800),
        watch(touchpoint, "drop", slug="drop"),
        watch(touchpoint, "no_answers", slug="silent", longer_than_s=86_400),
        watch(None, "response_drop", slug="rates"),
    ):
        rule.teams.set([care])
    for days in (3, 5):
        ticket(touchpoint, now - timedelta(days=days))
    for days in range(10, 80, 2):
        ticket(touchpoint, now - timedelta(days=days), 3 * 86_400, reopened=days % 3)
    while roll_up():  # a day is looked at when the ledger holds nothing of it
        pass
    look_at_days(now), look_at_counts(now)
    TeamAddress.objects.filter(address__startswith="json").update(last_error="The address did not take the message.")
    Alert.objects.filter(rule__slug="named").update(acknowledged_at=now, acknowledged_by=user)
    numbers = {"count": 2, "oldest_at": (now - timedelta(days=9)).isoformat()}
    Alert.objects.create(
        rule=AlertRule.objects.get(slug="old"), fired_at=now - timedelta(days=4), fired=numbers, told=True,
        cleared_at=now - timedelta(days=3), cleared={"count": 0, "oldest_at": None}, cleared_why="back",
    )  # fmt: skip
    return str(live_server.url)


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("zh-hans", "dark")])
def test_the_pages_of_alerts_fit_and_complain_of_nothing(
    site: str, page: Any, width: int, language: str, scheme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    sign_in(page, site)
    page.context.add_cookies([{"name": "django_language", "value": language, "url": site}])
    found = complaints_of(page, site)
    rule, care = AlertRule.objects.get(slug="named"), Team.objects.get()
    paths = {
        "overview": "/admin/", "alerts": "/admin/alerts/", "rules": "/admin/metrics/alertrule/", "teams": "/admin/metrics/team/",
        "rule": f"/admin/metrics/alertrule/{rule.pk}/change/", "team": f"/admin/metrics/team/{care.pk}/change/",
        "tickets": f"/admin/metrics/alertrule/{AlertRule.objects.get(slug='old').pk}/change/",
        "silence": f"/admin/metrics/alertrule/{AlertRule.objects.get(slug='silent').pk}/change/",
        "rates": f"/admin/metrics/alertrule/{AlertRule.objects.get(slug='rates').pk}/change/",
        "targets": f"/admin/surveys/organisation/{Organisation.current().pk}/change/",
    }  # fmt: skip
    for name, path in paths.items():
        page.goto(f"{site}{path}")
        page.wait_for_load_state("networkidle")
        if PICTURES:
            page.screenshot(path=f"{PICTURES}/{name}-{width}-{language}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
    assert not found


def test_an_alert_is_marked_as_seen_by_a_press(site: str, page: Any) -> None:
    sign_in(page, site)
    page.goto(f"{site}/admin/alerts/")
    buttons = page.locator("text=I have seen it")
    before = buttons.count()
    with page.expect_navigation():  # to the same address: waiting for that alone would wait for nothing
        buttons.first.click()
    assert buttons.count() == before - 1
    assert Alert.objects.filter(acknowledged_by__username=NAME).count() == 2
