"""The page of alerts: what stands, for whom, what failed; acknowledging; and the admin of rules and teams."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from metrics.alerting.evaluate import look_at_counts, look_at_days
from metrics.alerting.standing import MOST
from metrics.models import Alert, AlertRule, Team, TeamAddress
from surveys.flow.groups import ADMINISTRATOR, MANAGER, VIEWER
from surveys.models import Journey, Stage, Touchpoint
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.metrics.raw import ticket
from tests.metrics.test_alerts import spoil, team, watch
from tests.surveys.admin.staff import errors_in, send, sign_in_as

pytestmark = pytest.mark.django_db
SECRET = "json://user:pass-word@hooks.example.com/hook"


@pytest.fixture
def touchpoint() -> Touchpoint:
    make_organisation()
    return make_touchpoint(
        "delivery", make_instrument("nps-x"), name={"en": "Delivery", "zh-hans": "配送"}, targets={"nps": 40}
    )


@pytest.fixture
def alert(touchpoint: Touchpoint) -> Alert:
    """Fired today, as of yesterday."""
    now = timezone.now()
    spoil(touchpoint, make_organisation().day_of(now) - timedelta(days=1))
    rule = watch(touchpoint)
    rule.teams.set([team("care", "care@example.com", SECRET)])
    look_at_days(now)
    return Alert.objects.get()


def text_of(page: Any) -> str:
    assert page.status_code == 200, page.content[:500]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.content.decode())))


def test_it_shows_what_stands_with_numbers_and_a_link_to_the_view(alert: Alert) -> None:
    page = sign_in_as(VIEWER).get("/admin/alerts/")
    text = text_of(page)
    for said in (
        "1 alert stands",
        "NPS below its target: Delivery",
        "−100; n = 100; 95% interval: −100 to −93; target +40",
    ):
        assert said in text
    link = re.search(r'href="(/admin/touchpoints/delivery/\?period=custom[^"]+)"', page.content.decode())
    assert link
    assert "n = 100" in text_of(sign_in_as(VIEWER).get(html.unescape(link[1])))


def test_it_is_told_in_chinese(alert: Alert) -> None:
    client = sign_in_as(MANAGER)
    client.cookies["django_language"] = "zh-hans"
    text = text_of(client.get("/admin/alerts/", HTTP_ACCEPT_LANGUAGE="zh-hans"))
    assert "配送：NPS 低于目标值" in text
    assert "告警尚未解除" in text


def test_what_is_over_stands_in_the_history_with_both_numbers_and_as_a_file(touchpoint: Touchpoint) -> None:
    now = timezone.now()
    rule = watch(touchpoint, "open_longer", longer_than_s=3600)
    made = ticket(touchpoint, now - timedelta(hours=2))
    look_at_counts(now)
    type(made).objects.update(in_ttr=False)
    look_at_counts(now)
    client = sign_in_as(VIEWER)
    text = text_of(client.get("/admin/alerts/"))
    assert "No alert stands" in text
    assert "1 ticket open for more than 1 h: Delivery" in text
    assert "on the right side again" in text
    file = b"".join(client.get("/admin/alerts/history.csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert "1 ticket open for more than 1 h: Delivery" in file
    assert rule.slug not in file


def test_filters_leave_the_rules_that_watch_it(alert: Alert) -> None:
    make_touchpoint("other", channel="app")
    client = sign_in_as(VIEWER)
    assert "1 alert stands" in text_of(client.get("/admin/alerts/", {"touchpoint": "delivery"}))
    assert "1 alert stands" in text_of(client.get("/admin/alerts/", {"channel": "website"}))
    for query in ({"touchpoint": "other"}, {"channel": "app"}, {"mode": "sms"}):
        assert "No rule watches this." in text_of(client.get("/admin/alerts/", query))


def test_whoever_has_seen_it_says_so_and_the_first_one_stays(alert: Alert) -> None:
    viewer, manager = sign_in_as(VIEWER), sign_in_as(MANAGER)
    assert "I have seen it" not in text_of(viewer.get("/admin/alerts/"))
    assert viewer.post(f"/admin/alerts/{alert.pk}/seen/").status_code == 403
    assert manager.get(f"/admin/alerts/{alert.pk}/seen/").status_code == 405
    assert manager.post(f"/admin/alerts/{alert.pk}/seen/").status_code == 302
    alert.refresh_from_db()
    first = alert.acknowledged_by
    assert isinstance(first, User)
    sign_in_as(ADMINISTRATOR).post(f"/admin/alerts/{alert.pk}/seen/")
    alert.refresh_from_db()
    assert alert.acknowledged_by == first
    assert f"seen by {first.get_username()}" in text_of(viewer.get("/admin/alerts/"))


def test_a_failing_address_is_shown_without_its_secret_to_whoever_may_not_change_it(alert: Alert) -> None:
    TeamAddress.objects.filter(address=SECRET).update(last_error="The address did not take the message.")
    viewer = text_of(sign_in_as(VIEWER).get("/admin/alerts/"))
    assert "Addresses that could not be told" in viewer
    assert "hooks.example.com" not in viewer
    manager = text_of(sign_in_as(MANAGER).get("/admin/alerts/"))
    assert SECRET in manager
    assert "The address did not take the message." in manager


def test_a_viewer_of_teams_reads_addresses_without_secrets(alert: Alert, client: Client) -> None:
    from django.contrib.auth.models import Permission

    user = User.objects.create_user("reader", is_staff=True)
    named = ("view_team", "view_teamaddress", "view_scorecell")
    user.user_permissions.set(Permission.objects.filter(codename__in=named, content_type__app_label="metrics"))
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(f"/admin/metrics/team/{Team.objects.get().pk}/change/").content.decode()
    assert "hooks.example.com" in page
    assert "pass-word" not in page
    TeamAddress.objects.filter(address=SECRET).update(last_error="No.")
    assert "pass-word" not in client.get("/admin/alerts/").content.decode()


def test_it_costs_few_queries_however_many_rules_there_are(alert: Alert, touchpoint: Touchpoint) -> None:
    client = sign_in_as(MANAGER)
    client.get("/admin/alerts/")
    with CaptureQueriesContext(connection) as few:
        client.get("/admin/alerts/")
    for number in range(20):
        Alert.objects.create(
            rule=watch(touchpoint, slug=f"more-{number}"),
            fired_at=timezone.now(),
            fired=alert.fired,
            latest=alert.fired,
        )
    with CaptureQueriesContext(connection) as many:
        client.get("/admin/alerts/")
    assert len(many) == len(few) <= 15


# --- Rules and teams --------------------------------------------------------------------------------------------------


def test_a_rule_is_made_on_its_page_and_one_that_cannot_be_is_told_why(touchpoint: Touchpoint) -> None:
    client, add = sign_in_as(MANAGER), "/admin/metrics/alertrule/add/"
    care = team("care", "care@example.com")
    fields = {
        "slug": "old-tickets",
        "kind": "open_longer",
        "longer_than_s": "48h",
        "touchpoint": touchpoint.pk,
        "teams": [care.pk],
    }
    assert "needs a span of time" in errors_in(send(client, add, **{**fields, "longer_than_s": ""}))
    assert send(client, add, **fields).status_code == 302
    rule = AlertRule.objects.get()
    assert (rule.longer_than_s, rule.touchpoint, list(rule.teams.all()), rule.name) == (172_800, touchpoint, [care], {})
    text = text_of(client.get("/admin/metrics/alertrule/"))
    assert "Tickets open for more than 2 d: Delivery" in text
    assert send(client, f"/admin/metrics/alertrule/{rule.pk}/change/").status_code == 302


@pytest.mark.parametrize(
    ("address", "said"),
    [("care@example.com", ""), ("slack://TokenAAAA1/TokenBBBB2/TokenCCCCCCCCCCCCCCCCCCCCC3/", ""), ("env:CX_HOOK", ""),
     ("nonsense://x", "Neither an Apprise address"), ("env:9 x", "Neither an Apprise address"), ("care", "valid email")],
)  # fmt: skip
def test_an_address_is_checked_where_it_is_typed(address: str, said: str) -> None:
    make_organisation()
    made = team("care")
    rows = {
        "addresses-TOTAL_FORMS": "1",
        "addresses-0-address": address,
        "addresses-0-active": "on",
        "addresses-0-team": made.pk,
    }
    response = send(sign_in_as(MANAGER), f"/admin/metrics/team/{made.pk}/change/", **rows)
    if said:
        assert said in errors_in(response)
    else:
        assert response.status_code == 302
        assert made.addresses.get().address == address


# --- On the overview --------------------------------------------------------------------------------------------------


def test_alerts_that_stand_come_first_on_the_overview_and_lead_to_their_numbers(alert: Alert) -> None:
    client = sign_in_as(VIEWER)
    page = client.get("/admin/")
    first = re.findall(r'<li class="cx-item[^>]*>.*?</li>', page.content.decode(), re.DOTALL)[0]
    told = html.unescape(re.sub(r"<[^>]+>", " ", first))
    assert "Alert" in told
    assert "NPS below its target: Delivery (−100; n = 100; 95% interval: −100 to −93; target +40; " in told
    assert "Stands since " in told
    assert "Somebody has seen it" not in told
    link = re.search(r'href="([^"]+)"', first)
    assert link
    assert "n = 100" in text_of(client.get(html.unescape(link[1])))
    Alert.objects.update(acknowledged_at=timezone.now())
    assert "Somebody has seen it." in text_of(client.get("/admin/"))
    Alert.objects.update(cleared_at=timezone.now())
    assert "cx-item-alert" not in client.get("/admin/").content.decode()


def test_the_overview_lists_the_alerts_that_its_filters_leave(alert: Alert) -> None:
    journey = Journey.objects.create(slug="buying", name={"en": "Buying"})
    stage = Stage.objects.create(journey=journey, slug="pay", name={"en": "Paying"})
    make_touchpoint("other", channel="app", journey=journey, stage=stage)
    rules = {
        "Delivery": alert.rule,
        "Buying": watch(None, "open_longer", slug="journey", longer_than_s=60, journey=journey),
        "Paying": watch(None, "open_longer", slug="stage", longer_than_s=60, stage=stage),
        "segment": watch(None, slug="segment", target=30, segment="gold"),
    }
    for rule in list(rules.values())[1:]:
        Alert.objects.create(rule=rule, fired_at=timezone.now(), latest={"count": 3})
    client = sign_in_as(VIEWER)

    def listed(**query: str) -> set[str]:
        items = re.findall(
            r'<li class="cx-item cx-item-alert.*?</li>', client.get("/admin/", query).content.decode(), re.DOTALL
        )
        return {name for name, sign in (("Delivery", "target: Delivery"), ("Buying", ": Buying"), ("Paying", ": Paying"),
                                        ("segment", ": gold")) if any(sign in item for item in items)}  # fmt: skip

    assert listed() == set(rules)
    assert listed(touchpoint="delivery") == listed(channel="website") == {"Delivery"}
    assert listed(journey="buying") == {"Buying"}
    assert listed(stage="buying/pay") == {"Paying"}
    assert listed(channel="app") == set()


def test_alerts_cost_the_overview_no_query(alert: Alert, touchpoint: Touchpoint) -> None:
    client = sign_in_as(VIEWER)

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get("/admin/")
        return len(queries)

    Alert.objects.update(cleared_at=timezone.now())
    client.get("/admin/")
    before = count()
    rules = [watch(touchpoint, "no_answers", longer_than_s=60, slug=f"silent-{number}") for number in range(MOST + 1)]
    Alert.objects.bulk_create(Alert(rule=rule, fired_at=timezone.now()) for rule in rules)
    assert count() == before <= 15
    assert "More alerts stand than are listed here" in text_of(client.get("/admin/"))
