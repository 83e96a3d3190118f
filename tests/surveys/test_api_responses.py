"""POST and GET /api/v1/responses/ as the contract has them."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from metrics.rollup import roll_up
from surveys.flow.instruments import QuestionTerms, publish_version, terms_of_version
from surveys.flow.respond import exclude_response
from surveys.models import Answer, Customer, Instrument, Response, ScoreLedger, Touchpoint
from tests.factories import make_api_key, make_customer, make_instrument, make_organisation, make_touchpoint
from tests.rest import Api

pytestmark = pytest.mark.django_db
URL = "responses/"


@pytest.fixture
def api() -> Api:
    make_organisation()
    make_touchpoint("checkout", make_instrument("nps-x"))
    return Api("responses:write", "responses:read", "metrics:read")


def body(**changes: Any) -> dict[str, Any]:
    whole = {
        "id": str(uuid.uuid4()),
        "touchpoint": "checkout",
        "mode": "app",
        "language": "zh-Hans",
        "location": "sh-014",
        "customer": {"external_id": "C-42", "email": "li@Example.com", "segment": "gold"},
        "answers": {"score": 9, "reason": ["price"], "comment": "很好"},
        "responded_at": "2026-11-20T23:30:00+08:00",
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


# --- Recording --------------------------------------------------------------------------------------------------------


def test_an_answer_is_recorded_shown_and_counted(api):
    sent = body()
    recorded = api.post(URL, sent)
    assert recorded == api.get(f"responses/{sent['id']}/") == api.get(URL)["results"][0]
    assert datetime.fromisoformat(recorded.pop("responded_at")) == datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
    assert recorded.pop("completed_at") == recorded["recorded_at"]
    assert datetime.fromisoformat(recorded.pop("recorded_at")) <= timezone.now()
    assert recorded == {
        "id": sent["id"],
        "touchpoint": "checkout",
        "instrument": "nps-x",
        "version": 1,
        "metric": "nps",
        "channel": "website",
        "mode": "app",
        "segment": "gold",
        "location": "sh-014",
        "language": "zh-hans",
        "customer": "C-42",
        "day": "2026-11-20",
        "changed_at": None,
        "suspected": False,
        "excluded": False,
        "reference": "",
        "facts": {},
        "answers": {"score": 9, "reason": ["price"], "comment": "很好"},
    }
    roll_up()
    found = api.get("metrics/nps/", segment="gold", location="sh-014", mode="app", touchpoint="checkout")
    assert (found["value"], found["n"]) == (100.0, 1)


def test_an_app_says_what_the_answer_is_about(api):
    facts = {"basket": 42.5, "plan": "pro", "beta": False, "coupon": None}
    recorded = api.post(URL, body(reference="ord-1001", facts=facts))
    assert (recorded["reference"], recorded["facts"]) == ("ord-1001", facts)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"reference": "x" * 201}, "/reference"),
        ({"reference": 7}, "/reference"),
        ({"facts": ["a"]}, "/facts"),
        ({"facts": {"a/b": {}}}, "/facts/a~1b"),
        ({"facts": {"a": "x" * 501}}, "/facts/a"),
        ({"facts": {f"f{number}": 1 for number in range(51)}}, "/facts"),
    ],
)
def test_what_is_no_plain_fact_is_pointed_at(api, changes, pointer):
    assert api.pointers(URL, body(**changes)) == [pointer]


@pytest.mark.parametrize("given", [True, "yes"])
def test_yes_and_no_may_be_flags(api, given):
    score = QuestionTerms(key="score", kind="scale", text={"en": "?"})
    contact = QuestionTerms(key="contact", kind="contact", text={})
    publish_version(Instrument.objects.get(slug="nps-x"), [score, contact])
    assert api.post(URL, body(answers={"score": 9, "contact": given}))["answers"] == {"score": 9, "contact": "yes"}
    assert api.pointers(URL, body(answers={"score": 9, "contact": 1})) == ["/answers/contact"]


def test_the_same_body_again_changes_and_counts_nothing(api):
    sent = body()
    first = api.post(URL, sent, expect=201)
    assert api.post(URL, sent, expect=200) == first
    reordered = dict(reversed(sent.items()))
    assert api.post(URL, json.dumps(reordered, indent=2), expect=200) == first  # the same JSON, written otherwise
    assert (Response.objects.count(), Answer.objects.count(), ScoreLedger.objects.count()) == (1, 3, 1)


def test_the_same_body_again_is_the_same_though_the_instrument_asks_otherwise_by_now(api):
    """A client that lost our answer repeats itself, hours later if need be."""
    sent = body()
    first = api.post(URL, sent)
    instrument = Instrument.objects.get(slug="nps-x")
    publish_version(instrument, terms_of_version(instrument.current_version())[:1])
    assert api.pointers(URL, body()) == ["/answers/reason", "/answers/comment"]
    Touchpoint.objects.update(active=False)
    assert api.post(URL, sent, expect=200) == first


@pytest.mark.parametrize(
    "change",
    [
        {"answers": {"score": 3}},
        {"location": "sh-015"},
        {"customer": ...},
        {"customer": {"external_id": "C-42", "email": "other@example.com", "segment": "silver"}},
        {"responded_at": "2026-11-20T23:30:01+08:00"},
    ],
)
def test_another_body_under_the_same_id_is_a_conflict_and_leaves_no_trace(api, change):
    sent = body()
    first = api.post(URL, sent)
    problem = api.post(URL, body(id=sent["id"], **change), expect=409)
    assert [error["pointer"] for error in problem["errors"]] == ["/id"]
    assert api.get(f"responses/{sent['id']}/") == first
    assert ScoreLedger.objects.count() == 1
    customer = Customer.objects.get()
    assert (customer.email, customer.segment) == ("li@example.com", "gold")


def test_only_id_touchpoint_and_answers_are_needed(api):
    recorded = api.post(URL, {"id": str(uuid.uuid4()), "touchpoint": "checkout", "answers": {"score": 0}})
    assert (recorded["mode"], recorded["customer"], recorded["segment"], recorded["location"]) == ("app", None, "", "")
    assert recorded["answers"] == {"score": 0}
    assert abs(datetime.fromisoformat(recorded["responded_at"]) - timezone.now()) < timedelta(minutes=1)
    assert not Customer.objects.exists()
    assert api.post(URL, body(customer=None))["customer"] is None


@pytest.mark.parametrize("score", ["true", "false", "9.0", "9e0", '"9"', "11", "-1", "[9]", '{"a": 9}', "1e400", "9.5"])
def test_a_score_is_an_integer_of_its_scale_and_nothing_else(api, score):
    sent = json.dumps(body(answers={"score": "SCORE"})).replace('"SCORE"', score)
    assert api.pointers(URL, sent) == ["/answers/score"]
    assert not Response.objects.exists()


@pytest.mark.parametrize(("score", "points"), [(0, 11), (10, 11), (1, 5), (5, 5), (1, 7), (7, 7)])
def test_both_ends_of_a_scale_are_scores(api, score, points):
    metric = "nps" if points == 11 else "csat"
    make_instrument("other", metric, points)
    assert api.post(URL, body(instrument="other", answers={"score": score}))["answers"]["score"] == score


@pytest.mark.parametrize(("score", "points"), [(0, 5), (6, 5), (0, 7), (8, 7), (9, 7)])
def test_what_lies_beyond_an_end_is_none(api, score, points):
    make_instrument("other", "csat", points)
    assert api.pointers(URL, body(instrument="other", answers={"score": score})) == ["/answers/score"]


def test_any_instrument_may_be_answered_at_a_touchpoint(api):
    make_instrument("effort", "ces", 7)
    recorded = api.post(URL, body(instrument="effort", answers={"score": 7}))
    assert (recorded["instrument"], recorded["metric"], recorded["touchpoint"]) == ("effort", "ces", "checkout")
    roll_up()
    assert api.get("metrics/ces/")["n"] == 1
    assert api.get("metrics/nps/")["n"] == 0


def test_a_touchpoint_without_an_instrument_needs_one_named(api):
    touchpoint = make_touchpoint("bare")
    touchpoint.instrument = None
    touchpoint.save()
    assert api.pointers(URL, body(touchpoint="bare")) == ["/instrument"]
    assert api.post(URL, body(touchpoint="bare", instrument="nps-x"))["instrument"] == "nps-x"


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"id": "7"}, ["/id"]),
        ({"id": 7}, ["/id"]),
        ({"id": ...}, ["/id"]),
        ({"touchpoint": "nowhere"}, ["/touchpoint"]),
        ({"touchpoint": None}, ["/touchpoint"]),
        ({"touchpoint": ...}, ["/touchpoint"]),
        ({"instrument": "nothing"}, ["/instrument"]),
        ({"mode": "fax"}, ["/mode"]),
        ({"mode": None}, ["/mode"]),
        ({"language": "x" * 21}, ["/language"]),
        ({"location": "x" * 101}, ["/location"]),
        ({"answers": ...}, ["/answers"]),
        ({"answers": []}, ["/answers"]),
        ({"answers": {}}, ["/answers/score"]),
        ({"answers": {"score": None}}, ["/answers/score"]),
        ({"answers": {"score": 9, "mood": "good"}}, ["/answers/mood"]),
        ({"answers": {"score": 9, "a/b~c": 1}}, ["/answers/a~1b~0c"]),
        ({"answers": {"score": 9, "reason": ["colour"]}}, ["/answers/reason"]),
        ({"answers": {"score": 9, "reason": [["price"]]}}, ["/answers/reason"]),
        ({"answers": {"score": 9, "comment": 7}}, ["/answers/comment"]),
        ({"answers": {"score": 9, "comment": "x" * 5001}}, ["/answers/comment"]),
        ({"answers": {"score": 9, "comment": "a\x00b"}}, ["/answers/comment"]),
        ({"answers": {"score": 9, "comment": "a\ud800b"}}, ["/answers/comment"]),
        ({"answers": {"score": 99, "reason": ["colour"]}}, ["/answers/score", "/answers/reason"]),
        ({"responded_at": "2026-11-20T23:30:00"}, ["/responded_at"]),
        ({"responded_at": "2026-11-20"}, ["/responded_at"]),
        ({"responded_at": 1}, ["/responded_at"]),
        ({"customer": {}}, ["/customer/external_id"]),
        ({"customer": {"external_id": None}}, ["/customer/external_id"]),
        ({"customer": {"external_id": ""}}, ["/customer/external_id"]),
        ({"customer": {"external_id": "C-1", "email": "li"}}, ["/customer/email"]),
        ({"customer": {"external_id": "C-1", "phone": "138"}}, ["/customer/phone"]),
        ({"customer": {"external_id": "C-1", "time_zone": "Mars"}}, ["/customer/time_zone"]),
        ({"customer": "C-1"}, ["/customer"]),
        ({"colour": "red"}, [""]),
    ],
)
def test_what_is_wrong_is_told_at_its_place_and_nothing_is_kept(api, change, pointers):
    assert api.pointers(URL, body(**change)) == pointers
    assert not Response.objects.exists()
    assert not Customer.objects.exists()


def test_a_time_more_than_a_day_ahead_is_refused(api):
    soon, late = (timezone.now() + timedelta(hours=hours) for hours in (23, 25))
    assert api.pointers(URL, body(responded_at=late.isoformat())) == ["/responded_at"]
    api.post(URL, body(responded_at=soon.isoformat()))


@pytest.mark.parametrize("sent", [" ", "{", "[]", "null", '"a"', "7", "NaN", '{"id": NaN}', b"\xff", "[" * 50_000])
def test_what_is_no_json_object_is_a_clear_error(api, sent):
    api.post(URL, sent, expect=400)
    assert not Response.objects.exists()


def test_what_is_nested_very_deep_is_a_clear_error(api):
    for depth in (900, 5_000):
        deep = json.dumps(body(answers={"score": 9, "reason": "DEEP"})).replace('"DEEP"', "[" * depth + "]" * depth)
        api.post(URL, deep, expect=400)


def test_another_content_type_is_refused(api):
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        api.post(URL, body(), expect=415, content_type=content_type)
    api.post(URL, body(), content_type="application/json; charset=utf-8")


def test_too_large_a_body_is_refused(api):
    api.post(URL, json.dumps(body(location="x" * (4 * 1024 * 1024))), expect=413)


def test_what_a_question_hides_is_not_recorded(api):
    instrument = make_instrument("follow-up")
    instrument.versions.get().wordings.filter(question__key="reason").update(show_if={"score": [0, 1, 2, 3]})
    answers = {"score": 9, "reason": ["price"], "comment": "!"}
    assert api.post(URL, body(instrument="follow-up", answers=answers))["answers"] == {"score": 9, "comment": "!"}
    answers["score"] = 3
    assert api.post(URL, body(instrument="follow-up", answers=answers))["answers"] == answers


# --- Customers --------------------------------------------------------------------------------------------------------


def test_a_customer_is_learned_from_an_answer(api):
    api.post(URL, body())
    customer = Customer.objects.get()
    assert (customer.external_id, customer.email, customer.segment) == ("C-42", "li@example.com", "gold")
    assert Response.objects.get().customer == customer


def test_an_older_answer_only_fills_what_is_empty(api):
    make_customer("C-42", email="new@example.com", segment="", profile_at=datetime(2026, 11, 21, tzinfo=UTC))
    api.post(URL, body())
    customer = Customer.objects.get()
    assert (customer.email, customer.segment) == ("new@example.com", "gold")


def test_a_later_change_of_the_customer_moves_no_answer(api):
    sent = body()
    api.post(URL, sent)
    api.post(URL, body(customer={"external_id": "C-42", "segment": "silver"}, responded_at="2026-11-21T00:00:00+08:00"))
    assert api.get(f"responses/{sent['id']}/")["segment"] == "gold"
    assert [row["segment"] for row in api.get(URL)["results"]] == ["silver", "gold"]


def test_the_organisations_attribute_is_the_segment_where_it_names_one(api):
    make_organisation(segment_attribute="tier")
    customer = {"external_id": "C-1", "segment": "gold", "attributes": {"tier": "platinum"}}
    assert api.post(URL, body(customer=customer))["segment"] == "platinum"


# --- Listing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(api: Api) -> Api:
    """Five answers, newest last by number: what differs is what the filters ask for."""
    make_touchpoint("call", make_instrument("csat-x", "csat", 5), channel="call_center")
    rows: list[dict[str, Any]] = [
        {"answers": {"score": 2, "comment": "Too slow, 太慢了"}, "location": "a", "mode": "app"},
        {"answers": {"score": 7}, "location": "b", "mode": "ivr", "customer": None},
        {"answers": {"score": 10, "comment": "100% good"}, "location": "a", "mode": "import"},
        {"answers": {"score": 5}, "touchpoint": "call", "location": "c"},
        {"answers": {"score": 1, "comment": "_"}, "touchpoint": "call", "location": "", "customer": None},
    ]
    for day, row in enumerate(rows, start=10):
        api.post(URL, body(id=str(uuid.UUID(int=day)), responded_at=f"2026-11-{day}T12:00:00Z", **row))
    return api


def days(listing: dict[str, Any]) -> list[int]:
    return sorted(int(row["day"][-2:]) for row in listing["results"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [10, 11, 12, 13, 14]),
        ({"touchpoint": "call"}, [13, 14]),
        ({"touchpoint": ["call", "checkout"]}, [10, 11, 12, 13, 14]),
        ({"touchpoint": "nowhere"}, []),
        ({"metric": "csat"}, [13, 14]),
        ({"channel": "website"}, [10, 11, 12]),
        ({"mode": ["ivr", "import"]}, [11, 12]),
        ({"segment": "gold"}, [10, 12, 13]),
        ({"segment": ""}, [11, 14]),
        ({"location": "a"}, [10, 12]),
        ({"location": ""}, [14]),
        ({"score_min": "7"}, [11, 12]),
        ({"score_max": "2"}, [10, 14]),
        ({"score_min": "2", "score_max": "5"}, [10, 13]),
        ({"from": "2026-11-12"}, [12, 13, 14]),
        ({"to": "2026-11-12"}, [10, 11, 12]),
        ({"from": "2026-11-11", "to": "2026-11-11"}, [11]),
        ({"from": "2026-11-12", "to": "2026-11-11"}, []),
        ({"has_comment": "true"}, [10, 12, 14]),
        ({"has_comment": "false"}, [11, 13]),
        ({"q": "SLOW"}, [10]),
        ({"q": "太慢"}, [10]),
        ({"q": "100%"}, [12]),
        ({"q": "Goo"}, [12]),
        ({"q": "慢"}, [10]),
        ({"q": "%"}, []),
        ({"q": "_"}, []),
        ({"q": "'; DROP TABLE"}, []),
        ({"q": "slow & !(fast | :*"}, []),
        ({"location": "a", "has_comment": "true", "score_max": "6"}, [10]),
    ],
)
def test_filters_narrow_the_list(listed, query, found):
    assert days(listed.get(URL, **query)) == found


@pytest.mark.parametrize(
    "query",
    [
        {"colour": "red"},
        {"metric": "ttr"},
        {"channel": "fax"},
        {"mode": "fax"},
        {"score_min": "x"},
        {"score_min": "-1"},
        {"score_max": "9.0"},
        {"score_max": "99999"},
        {"from": "2026-13-01"},
        {"from": "20261101"},
        {"to": "yesterday"},
        {"has_comment": "maybe"},
        {"q": "a\x00b"},
        {"q": "a" * 201},
        {"touchpoint": "a\x00b"},
        {"segment": "a\x00b"},
    ],
)
def test_a_filter_that_says_nothing_is_refused_at_its_place(listed, query):
    problem = listed.get(URL, expect=400, **query)
    assert [error["pointer"] for error in problem["errors"]] == [f"/{name}" for name in query]


def test_pages_lead_to_every_answer_once_and_back(listed):
    """Two of the same moment too: their order is fixed."""
    for number in (20, 21):
        listed.post(URL, body(id=str(uuid.UUID(int=number)), responded_at="2026-11-14T12:00:00Z"))
    page = listed.get(URL, page_size=2)
    seen, previous = [row["id"] for row in page["results"]], None
    assert page["previous"] is None
    while page["next"]:
        previous, page = page, listed.get(page["next"])
        seen += [row["id"] for row in page["results"]]
    assert len(seen) == len(set(seen)) == 7
    assert [row["id"] for row in listed.get(URL)["results"]] == seen
    assert listed.get(page["previous"])["results"] == previous["results"]
    moments = [row["responded_at"] for row in listed.get(URL)["results"]]
    assert moments == sorted(moments, reverse=True)


def test_a_page_stays_where_it_is_while_answers_arrive(listed):
    first = listed.get(URL, page_size=2)
    listed.post(URL, body(responded_at="2026-11-15T12:00:00Z"))
    assert days(listed.get(first["next"])) == [11, 12]


def test_a_page_keeps_its_filters(listed):
    first = listed.get(URL, page_size=1, touchpoint="checkout")
    assert days(first) + days(listed.get(first["next"])) == [12, 11]


def test_a_wrong_cursor_is_not_found(listed):
    listed.get(URL, expect=404, cursor="rubbish!")


def test_an_excluded_answer_is_listed_as_such(listed, admin_user):
    exclude_response(Response.objects.get(score=2).pk, "a test", admin_user, timezone.now())
    assert [row["excluded"] for row in listed.get(URL, score_max=2, touchpoint="checkout")["results"]] == [True]


def test_an_unknown_id_is_not_found(api):
    api.get(f"responses/{uuid.uuid4()}/", expect=404)
    api.get("responses/7/", expect=404)


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_reading_and_writing_need_their_own_scopes(api):
    sent = body()
    api.post(URL, sent)
    reader, writer = Api("responses:read"), Api("responses:write")
    reader.get(URL)
    reader.get(f"responses/{sent['id']}/")
    reader.post(URL, body(), expect=403)
    writer.post(URL, body())
    writer.get(URL, expect=403)
    writer.get(f"responses/{sent['id']}/", expect=403)
    nobody = Api("metrics:read", "events:write", "customers:read", "customers:write")
    nobody.get(URL, expect=403)
    nobody.post(URL, body(), expect=403)


@pytest.mark.parametrize("key", ["", "wrong", "wrong.key", "a" * 5000, "x.y.z", "ключ".encode().decode("latin-1")])
def test_a_wrong_key_is_none(db, key):
    for answer in (
        Api(key=key).client.get("/api/v1/responses/", headers=Api(key=key)._headers()),
        Api(key=key).client.post("/api/v1/responses/", headers=Api(key=key)._headers()),
    ):
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Bearer")
        assert answer["Content-Type"] == "application/problem+json"


def test_a_revoked_and_an_expired_key_are_none(db):
    from surveys.models import ApiKey

    for change in ({"revoked": True}, {"expiry_date": timezone.now() - timedelta(seconds=1)}):
        key = make_api_key("responses:read")
        Api(key=key).get(URL)
        ApiKey.objects.filter(prefix=key.split(".")[0]).update(**change)
        Api(key=key).get(URL, expect=401)


def test_another_scheme_is_no_key(api):
    answer = api.client.get("/api/v1/responses/", headers={"Authorization": f"Basic {api.key}"})
    assert answer.status_code == 401


def test_another_method_is_not_allowed(api):
    for method in ("put", "patch", "delete"):
        answer = getattr(api.client, method)("/api/v1/responses/", headers=api._headers())
        assert (answer.status_code, answer["Content-Type"]) == (405, "application/problem+json")
