"""`GET metrics/…` keeps the contract: shapes, nulls, problems with pointers."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client

from metrics.rollup import roll_up
from surveys.worktime import WEEKDAYS
from tests.factories import make_api_key, make_instrument, make_organisation, make_touchpoint
from tests.metrics.raw import DAY, answer, noon, ticket

pytestmark = pytest.mark.django_db


def get(path: str, scope: str = "metrics:read", status: int = 200) -> Any:
    response = Client().get(f"/api/v1/metrics/{path}", headers={"Authorization": f"Bearer {make_api_key(scope)}"})
    assert response.status_code == status, response.content
    return response.json()


def test_nps_has_every_field_of_the_contract() -> None:
    make_organisation(time_zone="Asia/Shanghai")
    touchpoint = make_touchpoint("delivery")
    for score in (0, 7, 7, 9, 9, 9):
        answer(touchpoint, score)
    roll_up()
    body = get("nps/")
    assert body.keys() == {"metric", "value", "n", "ci", "distribution", "breakdown", "as_of"}
    assert body["metric"] == "nps"
    assert body["n"] == 6
    assert body["value"] == pytest.approx(100 / 3)
    assert body["ci"]["level"] == 0.95
    assert body["ci"]["low"] == pytest.approx(-26.7433, abs=1e-4)
    assert body["ci"]["high"] == pytest.approx(71.1877, abs=1e-4)
    assert body["distribution"] == {
        "0": 1,
        "1": 0,
        "2": 0,
        "3": 0,
        "4": 0,
        "5": 0,
        "6": 0,
        "7": 2,
        "8": 0,
        "9": 3,
        "10": 0,
    }
    assert body["breakdown"] == {"promoters": 3, "passives": 2, "detractors": 1}
    assert body["as_of"].endswith("+08:00")


@pytest.mark.parametrize("metric", ["nps", "csat", "ces", "ttr"])
def test_nobody_is_null_and_not_zero(metric: str) -> None:
    body = get(f"{metric}/")
    assert (body["value"], body["ci"], body["n"]) == (None, None, 0)


def test_csat_has_its_mean_and_the_scale_that_was_measured() -> None:
    touchpoint = make_touchpoint(instrument=make_instrument(metric="csat", points=5))
    for score, count in ((5, 42), (4, 32), (3, 10), (2, 9), (1, 14)):
        for _ in range(count):
            answer(touchpoint, score)
    roll_up()
    body = get("csat/?scale=5")
    assert body["value"] == pytest.approx(69.1589, abs=1e-4)
    assert body["mean"] == pytest.approx(3.7383, abs=1e-4)
    assert (body["ci"]["low"], body["ci"]["high"]) == (
        pytest.approx(59.8715, abs=1e-4),
        pytest.approx(77.1183, abs=1e-4),
    )
    assert body["breakdown"] == {"satisfied": 74, "neutral": 10, "dissatisfied": 23}
    assert list(body["distribution"]) == ["1", "2", "3", "4", "5"]
    assert body["scale"] == 5


def test_csat_scales_are_never_pooled() -> None:
    answer(make_touchpoint("five", instrument=make_instrument(metric="csat", points=5)), 5)
    answer(make_touchpoint("seven", instrument=make_instrument(metric="csat", points=7)), 1)
    roll_up()
    assert get("csat/", status=400)["errors"][0]["pointer"] == "/scale"
    assert get("csat/?scale=5")["value"] == 100
    assert get("csat/?scale=7")["value"] == 0
    assert get("csat/?touchpoint=seven")["scale"] == 7


def test_ces_has_its_easy_share_and_no_interval_for_one_answer() -> None:
    touchpoint = make_touchpoint(instrument=make_instrument(metric="ces", points=7))
    answer(touchpoint, 7)
    roll_up()
    assert get("ces/")["ci"] is None
    for score in (6, 6, 5, 5, 5, 4, 3, 2, 1):
        answer(touchpoint, score)
    roll_up()
    body = get("ces/")
    assert body["value"] == pytest.approx(4.4)
    assert (body["ci"]["low"], body["ci"]["high"]) == (pytest.approx(3.0427, abs=1e-4), pytest.approx(5.7573, abs=1e-4))
    assert body["easy_share"] == pytest.approx(60)


def test_a_series_names_every_period_and_groups_carry_the_metrics_own_fields() -> None:
    delivery, checkout = make_touchpoint("delivery"), make_touchpoint("checkout")
    answer(delivery, 10, day=date(2026, 11, 2))
    answer(checkout, 0, day=date(2026, 11, 17))
    roll_up()
    body = get("nps/?interval=week&group_by=touchpoint&from=2026-11-04&to=2026-11-18")
    assert [(item["start"], item["value"], item["n"]) for item in body["series"]] == [
        ("2026-11-02", None, 0),
        ("2026-11-09", None, 0),
        ("2026-11-16", -100, 1),
    ]
    assert [(item["key"], item["value"]) for item in body["groups"]] == [("checkout", -100)]
    assert body["groups"][0]["breakdown"]["detractors"] == 1
    assert body["groups"][0].keys() == {"key", "value", "n", "ci", "distribution", "breakdown"}


def test_ttr_has_its_quantiles_and_counts_open_tickets_whatever_the_days() -> None:
    touchpoint = make_touchpoint("helpdesk")
    for seconds in (600, 1200, 3000):
        ticket(touchpoint, noon(DAY), seconds=seconds, reopened=seconds == 600)
    ticket(touchpoint, noon(DAY - timedelta(days=3)))
    roll_up()
    body = get(f"ttr/?from={DAY}&to={DAY}&interval=day")
    assert body["value"] == 1600
    assert body["n"] == 3
    assert body["median"] == pytest.approx(1200, rel=0.01)
    assert body["p90"] == pytest.approx(2640, rel=0.01)
    assert body["median_with_open"] == pytest.approx(1200, rel=0.01)
    assert body["reopened_share"] == pytest.approx(1 / 3)
    assert body["open"] == 1
    assert body["series"][0]["start"] == str(DAY)
    assert body["series"][0]["median"] == body["median"]


def test_ttr_is_told_in_business_time_where_the_organisation_has_hours() -> None:
    assert get("ttr/?clock=business", status=400)["errors"][0]["pointer"] == "/clock"
    make_organisation(time_zone="UTC", working_hours={day: ["10:00-14:00"] for day in WEEKDAYS})
    touchpoint = make_touchpoint("helpdesk")
    for days in (1, 1, 2):
        ticket(touchpoint, noon(DAY), seconds=days * 86_400)  # four working hours a day
    ticket(touchpoint, noon(DAY - timedelta(days=3)))
    roll_up()
    body = get("ttr/?clock=business&interval=day&group_by=touchpoint")
    assert (body["value"], body["n"], body["open"], body["clock"]) == (4 * 4 * 3600 / 3, 3, 1, "business")
    assert body["median"] == pytest.approx(4 * 3600, rel=0.01)
    assert [item["n"] for item in body["groups"]] == [3]
    calendar = get("ttr/?clock=calendar")
    assert (calendar["value"], calendar["clock"]) == (4 * 86_400 / 3, "calendar")
    assert {name: value for name, value in get("ttr/").items() if name != "as_of"} == {
        name: value for name, value in calendar.items() if name not in ("as_of", "clock")
    }
    for query in ("ttr/?clock=sundial", "nps/?clock=calendar", "ttr/?clock=business&clock=calendar"):
        assert get(query, status=400)["errors"][0]["pointer"] == "/clock"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("touchpoint=nowhere", "/touchpoint"),
        ("journey=nowhere", "/journey"),
        ("channel=fax", "/channel"),
        ("mode=fax", "/mode"),
        ("from=2026-13-01", "/from"),
        ("from=20261101", "/from"),
        ("to=yesterday", "/to"),
        ("from=2026-11-02&to=2026-11-01", "/from"),
        ("from=2026-11-02&from=2026-11-03", "/from"),
        ("to=9999-12-31", "/to"),
        ("interval=year", "/interval"),
        ("interval=day&from=2001-01-01&to=2026-01-01", "/interval"),
        ("group_by=colour", "/group_by"),
        ("scale=5", "/scale"),
        ("scale=x", "/scale"),
        ("segment=a%00b", "/segment"),
        ("form=2026-11-01", "/form"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_a_pointer(query: str, pointer: str) -> None:
    body = get(f"nps/?{query}", status=400)
    assert [error["pointer"] for error in body["errors"]] == [pointer]


def test_a_ticket_has_no_mode() -> None:
    assert get("ttr/?mode=email", status=400)["errors"][0]["pointer"] == "/mode"
    assert get("ttr/?group_by=mode", status=400)["errors"][0]["pointer"] == "/group_by"


# --- Compared ---------------------------------------------------------------------------------------------------------

NOTHING_COMPARED = {
    "value": None,
    "n": 0,
    "ci": None,
    "difference": None,
    "difference_ci": None,
    "p": None,
    "significant": None,
}


def answers_on_two_days() -> None:
    """ORACLES' pair: 20 promoters and 10 detractors of 30 on DAY, 12 and 18 the day before."""
    touchpoint = make_touchpoint("shop")
    for day, promoters, detractors in ((DAY, 20, 10), (DAY - timedelta(days=1), 12, 18)):
        for score in [10] * promoters + [0] * detractors:
            answer(touchpoint, score, day=day)
    roll_up()


def test_a_comparison_tells_the_difference_its_interval_and_its_p() -> None:
    answers_on_two_days()
    days = f"from={DAY}&to={DAY}"
    body = get(f"nps/?{days}&compare=previous&group_by=touchpoint")
    told = body["comparison"]
    assert told.keys() == {"from", "to", *NOTHING_COMPARED}
    assert (told["from"], told["to"], told["n"]) == (*[str(DAY - timedelta(days=1))] * 2, 30)
    assert (told["value"], body["value"]) == (pytest.approx(-20), pytest.approx(100 / 3))
    assert told["difference"] == pytest.approx(53.3333, abs=5e-5)
    assert told["p"] == pytest.approx(0.037054, abs=5e-7)
    assert told["difference_ci"] == {"level": 0.95, "low": pytest.approx(2.911223), "high": pytest.approx(94.058474)}
    assert told["significant"] is True
    assert told["ci"] == get(f"nps/?from={DAY - timedelta(days=1)}&to={DAY - timedelta(days=1)}")["ci"]
    assert body["groups"][0]["comparison"] == {name: told[name] for name in NOTHING_COMPARED}
    by_days = f"compare_from={DAY - timedelta(days=1)}&compare_to={DAY - timedelta(days=1)}"
    assert get(f"nps/?{days}&{by_days}")["comparison"] == told
    assert get(f"nps/?{days}&compare=year")["comparison"] == {
        "from": "2025-11-18", "to": "2025-11-18", **NOTHING_COMPARED,
    }  # fmt: skip


def test_without_the_parameter_nothing_of_the_contract_changes() -> None:
    answers_on_two_days()
    days = f"from={DAY}&to={DAY}&group_by=touchpoint&interval=day"
    plain, none = get(f"nps/?{days}"), get(f"nps/?{days}&compare=none")
    compared = get(f"nps/?{days}&compare=previous")
    for body in (none, compared):
        body.pop("as_of")
    plain.pop("as_of")
    assert none == plain
    assert compared.pop("comparison")
    assert compared["groups"][0].pop("comparison")
    assert compared == plain


def test_what_is_below_the_organisations_minimum_is_not_tested() -> None:
    make_organisation(min_n=31, low_n=40)
    answers_on_two_days()
    told = get(f"nps/?from={DAY}&to={DAY}&compare=previous")["comparison"]
    assert told["difference"] == pytest.approx(53.3333, abs=5e-5)
    assert (told["difference_ci"], told["p"], told["significant"]) == (None, None, None)


def test_times_to_resolution_are_compared_by_mean_and_by_median() -> None:
    touchpoint = make_touchpoint("helpdesk")
    for day, base in ((DAY, 600), (DAY - timedelta(days=1), 3600)):
        for step in range(12):
            ticket(touchpoint, noon(day), seconds=base + 30 * step)
    roll_up()
    told = get(f"ttr/?from={DAY}&to={DAY}&compare=previous")["comparison"]
    assert (told["difference"], told["significant"], told["n"]) == (-3000, True, 12)
    assert told["median"]["difference"] == pytest.approx(-3000, rel=0.02)
    assert told["median"]["significant"] is True
    assert told["median"].keys() == NOTHING_COMPARED.keys() - {"ci"}


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("from=2026-11-01&compare=last", "/compare"),
        ("compare=previous", "/from"),
        ("compare_from=2026-10-01&compare_to=2026-10-31", "/from"),
        ("from=2026-11-01&compare_from=2026-10-01", "/compare_to"),
        ("from=2026-11-01&compare_from=2026-10-01&compare_to=soon", "/compare_to"),
        ("from=2026-11-01&compare=year&compare_from=2026-10-01&compare_to=2026-10-31", "/compare"),
        ("from=2026-11-01&compare_from=2026-10-31&compare_to=2026-10-01", "/compare_from"),
        ("from=2026-11-01&to=2026-11-30&compare_from=2026-10-01&compare_to=2026-11-01", "/compare_from"),
        ("from=2024-11-01&to=2026-11-01&compare=year", "/compare"),
        ("from=2999-11-01&compare=previous", "/from"),
        ("from=1900-01-01&to=1900-01-31&compare=previous", "/from"),
        ("weights=mode", "/weights"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_pointer(query: str, pointer: str) -> None:
    assert [error["pointer"] for error in get(f"nps/?{query}", status=400)["errors"]] == [pointer]


def test_a_weighted_score_stands_beside_the_pooled_one_with_its_weights() -> None:
    make_organisation(segment_weights={"gold": 3, "": 1})
    shop = make_touchpoint("shop", weight=0.5)
    for segment, scores in (("gold", [10] * 5 + [0] * 5), ("", [10] * 30), ("new", [0] * 5)):
        for score in scores:
            answer(shop, score, segment=segment)
    roll_up()
    body = get("nps/?weights=segment")
    told = body["weighted"]
    assert body["value"] == pytest.approx(100 * 25 / 45)
    assert (told["by"], told["value"], told["n"], told["missing"]) == ("segment", pytest.approx(25), 40, 0)
    assert told["ci"]["low"] < 25 < told["ci"]["high"]
    assert told["strata"] == [
        {"key": "gold", "weight": 3, "share": 0.75, "value": 0, "n": 10, "left_out": ""},
        {"key": "", "weight": 1, "share": 0.25, "value": 100, "n": 30, "left_out": ""},
        {"key": "new", "weight": 0, "share": 0, "value": -100, "n": 5, "left_out": "no_weight"},
    ]
    by_touchpoint = get("nps/?weights=touchpoint")
    assert by_touchpoint["weighted"]["value"] == pytest.approx(by_touchpoint["value"])
    assert by_touchpoint["weighted"]["ci"]["low"] == pytest.approx(by_touchpoint["ci"]["low"])


def test_a_key_needs_the_scope() -> None:
    get("nps/", scope="responses:read", status=403)
    assert Client().get("/api/v1/metrics/nps/").status_code == 401
