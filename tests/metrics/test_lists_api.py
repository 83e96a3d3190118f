"""`GET alerts/` and `GET decisions/`: what stands in them, filters, pages, problems with pointers."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from metrics.alerting.evaluate import look_at_days
from metrics.models import Alert, Decision, Expectation
from metrics.rollup import roll_up
from surveys.models import Instrument, Touchpoint
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.raw import answer
from tests.metrics.test_alerts import spoil, watch
from tests.rest import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def delivery() -> Touchpoint:
    make_organisation()
    return make_touchpoint("delivery", instrument=Instrument.objects.get(slug="nps"), targets={"nps": 40})


@pytest.fixture
def api() -> Api:
    return Api("metrics:read")


def pointers(api: Api, path: str, **query: Any) -> list[str]:
    return [error["pointer"] for error in api.get(path, expect=400, **query)["errors"]]


# --- Alerts -----------------------------------------------------------------------------------------------------------


def test_an_alert_has_its_rule_its_numbers_and_the_address_of_their_page(delivery: Touchpoint, api: Api) -> None:
    now = timezone.now()
    day = make_organisation().day_of(now) - timedelta(days=1)
    spoil(delivery, day)
    rule = watch(delivery, mode="email", slug="watched", points=11)
    look_at_days(now)
    seen_by = User.objects.create_user("li-na")
    Alert.objects.update(acknowledged_at=now, acknowledged_by=seen_by)
    [told] = api.get("alerts/")["results"]
    first = (day - timedelta(days=rule.window_days - 1)).isoformat()
    assert (told["rule"], told["kind"], told["metric"], told["scale"]) == ("watched", "below_target", "nps", 11)
    assert (told["touchpoint"], told["mode"], told["channel"], told["stage"]) == ("delivery", "email", None, None)
    measured = api.get(
        "metrics/nps/", **{"touchpoint": "delivery", "mode": "email", "from": first, "to": day.isoformat()}
    )
    assert told["fired"] == told["latest"] == {
        "value": measured["value"], "low": measured["ci"]["low"], "high": measured["ci"]["high"], "n": 100, "target": 40,
        "first": first, "last": day.isoformat(),
    }  # fmt: skip
    assert f"/admin/touchpoints/delivery/?period=custom&from={first}" in told["url"]
    assert told["acknowledged_at"]
    assert (told["cleared_at"], told["cleared_why"], told["cleared"]) == (None, None, {})
    assert "li-na" not in str(told)


def test_alerts_are_filtered_by_state_and_by_their_rule(delivery: Touchpoint, api: Api) -> None:
    now = timezone.now()
    silent = watch(delivery, "no_answers", slug="silent", longer_than_s=60)
    slow = watch(make_touchpoint("shop"), "open_longer", slug="slow", longer_than_s=60)
    low = watch(None, slug="low", target=20)
    for rule in (silent, slow, low):
        Alert.objects.create(rule=rule, fired_at=now)
    Alert.objects.filter(rule=low).update(cleared_at=now, cleared_why="back")

    def rules(**query: Any) -> list[str]:
        return [told["rule"] for told in api.get("alerts/", **query)["results"]]

    assert rules() == ["low", "slow", "silent"]  # newest first
    assert rules(state="standing") == ["slow", "silent"]
    assert rules(state="cleared") == rules(metric="nps") == ["low"]
    assert rules(kind=["open_longer", "no_answers"], touchpoint="shop") == ["slow"]
    assert rules(rule=["silent", "low"]) == ["low", "silent"]
    assert pointers(api, "alerts/", state="loud", kind="x", journey="y") == ["/journey", "/state", "/kind"]


def test_pages_of_alerts_that_fired_together_are_whole_and_cost_the_same(delivery: Touchpoint, api: Api) -> None:
    now = timezone.now()
    rules = [watch(delivery, "no_answers", longer_than_s=60) for _ in range(7)]
    Alert.objects.bulk_create(Alert(rule=rule, fired_at=now) for rule in rules)
    found, address, costs = [], "/api/v1/alerts/?page_size=3", []
    while address:
        with CaptureQueriesContext(connection) as queries:
            page = api.get(address)
        costs.append(len(queries))
        found += [told["rule"] for told in page["results"]]
        address = page["next"]
    assert found == [rule.slug for rule in reversed(rules)]
    assert len(set(costs)) == 1


# --- Decisions --------------------------------------------------------------------------------------------------------


def decide(delivery: Touchpoint, day: date, title: str = "Evenings", **fields: Any) -> Decision:
    made = Decision.objects.create(day=day, title=title, window_days=7, **fields)
    made.touchpoints.set([delivery])
    return made


def test_a_decision_has_both_sides_as_the_metrics_api_compares_them(delivery: Touchpoint, api: Api) -> None:
    day = make_organisation().day_of(timezone.now()) - timedelta(days=20)
    for offset, scores in ((-1, [9] * 10 + [3] * 20), (0, [9] * 28 + [3] * 2)):
        for score in scores:
            answer(delivery, score, day=day + timedelta(days=offset))
    roll_up()
    owner = User.objects.create_user("li-na", first_name="Li", last_name="Na")
    made = decide(delivery, day, owner=owner, created_by=owner, done="Couriers come at six.")
    Expectation.objects.create(decision=made, metric="nps", by=30)
    Expectation.objects.create(decision=made, metric="ttr", direction="down", by=2)
    [told] = api.get("decisions/")["results"]
    before = [(day - timedelta(days=ago)).isoformat() for ago in (7, 1)]
    after = [(day + timedelta(days=ahead)).isoformat() for ahead in (0, 6)]
    assert (told["before"], told["after"]) == tuple({"from": first, "to": last} for first, last in (before, after))
    assert (told["touchpoints"], told["days_over"], told["done"]) == (["delivery"], 7, "Couriers come at six.")
    nps, ttr = told["expected"]
    held = api.get("metrics/nps/", **{
        "touchpoint": "delivery", "from": after[0], "to": after[1], "compare_from": before[0], "compare_to": before[1],
    })  # fmt: skip
    comparison = held["comparison"]
    assert nps["after"] == {"value": held["value"], "n": 30, "ci": held["ci"]}
    assert nps["before"] == {"value": comparison["value"], "n": 30, "ci": comparison["ci"]}
    assert (nps["difference"], nps["difference_ci"], nps["p"]) == (
        comparison["difference"], comparison["difference_ci"], comparison["p"],
    )  # fmt: skip
    assert nps["p_holm"] == pytest.approx(2 * nps["p"])  # beside TTR, which cannot be tested and counts
    assert (nps["scale"], nps["direction"], nps["change"], nps["verdict"]) == (11, "up", 30, "more")
    assert (ttr["scale"], ttr["change"], ttr["verdict"], ttr["p_holm"]) == (None, -7200, "too_few", None)
    assert "Na" not in str(told)
    assert "li-na" not in str(told)


def test_decisions_are_filtered_paged_and_too_early_says_so(delivery: Touchpoint, api: Api) -> None:
    today = make_organisation().day_of(timezone.now())
    decide(delivery, today - timedelta(days=9), "old")
    young = decide(delivery, today - timedelta(days=2), "young")
    Expectation.objects.create(decision=young, metric="nps")
    decide(make_touchpoint("shop"), today - timedelta(days=2), "gone", withdrawn=True)

    def titles(**query: Any) -> list[str]:
        return [told["title"] for told in api.get("decisions/", **query)["results"]]

    assert titles() == ["gone", "young", "old"]
    assert titles(touchpoint=["shop", "delivery"], withdrawn="false") == ["young", "old"]
    assert titles(touchpoint="shop") == titles(withdrawn="true") == ["gone"]
    assert titles(touchpoint="nowhere") == []
    edge = (today - timedelta(days=9)).isoformat()
    assert titles(to=edge) == ["old"]
    assert titles(**{"from": (today - timedelta(days=8)).isoformat()}) == ["gone", "young"]
    page = api.get("decisions/", page_size=2)
    assert [told["title"] for told in api.get(page["next"])["results"]] == ["old"]
    [expected] = page["results"][1]["expected"]
    assert (expected["verdict"], expected["change"], expected["difference"], expected["before"]["n"]) == (
        "too_early", None, None, 0,
    )  # fmt: skip
    assert page["results"][1]["days_over"] == 2
    assert pointers(api, "decisions/", **{"from": "20261101", "withdrawn": "no", "q": "x"}) == [
        "/q",
        "/from",
        "/withdrawn",
    ]
