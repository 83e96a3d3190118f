"""POST /api/v1/events/ as the contract has it."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from surveys.models import Customer, InteractionEvent, QuarantinedEvent
from tests.factories import make_api_key, make_organisation, make_rule, make_touchpoint

pytestmark = pytest.mark.django_db
URL = "/api/v1/events/"


class Sender:
    def __init__(self) -> None:
        self.client = Client(raise_request_exception=False)
        self.key = make_api_key("events:write")

    def post(self, body: Any, content_type: str = "application/json", **headers: str) -> Any:
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        headers = {"Authorization": f"Bearer {self.key}", **headers}
        return self.client.post(URL, data=data, content_type=content_type, headers=headers)


@pytest.fixture
def api() -> Sender:
    make_organisation()
    make_rule(make_touchpoint("delivery"), event_type="order.delivered")
    return Sender()


def event(id: str = "ord-1001-delivered", /, **changes: Any) -> dict[str, Any]:
    data = {
        "touchpoint": "delivery",
        "reference": "ord-1001",
        "location": "sh-014",
        "customer": {
            "external_id": "C-42",
            "email": "li@Example.com",
            "phone": "+86 138 0000 0000",
            "name": "Li Na",
            "language": "zh-hans",
            "time_zone": "Asia/Shanghai",
            "segment": "gold",
            "attributes": {"city": "Shanghai"},
        },
        "facts": {"carrier": "SF", "wait_seconds": 340},
    }
    envelope = {
        "specversion": "1.0",
        "id": id,
        "source": "/shop/orders",
        "type": "order.delivered",
        "time": "2026-11-20T09:30:00+08:00",
        "subject": "C-42",
        "data": data,
    }
    return envelope | changes


def with_data(changed: dict[str, Any], id: str = "e-1", **envelope: Any) -> dict[str, Any]:
    whole = event(id, **envelope)
    return whole | {"data": whole["data"] | changed}


def with_customer(changed: dict[str, Any], id: str = "e-1", **envelope: Any) -> dict[str, Any]:
    whole = event(id, **envelope)
    return whole | {"data": whole["data"] | {"customer": whole["data"]["customer"] | changed}}


def test_an_event_leaves_its_row_and_its_customer(api):
    answer = api.post(event())
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "duplicates": 0, "rejected": []})
    row = InteractionEvent.objects.get()
    assert (row.source, row.event_id, row.type) == ("/shop/orders", "ord-1001-delivered", "order.delivered")
    assert row.time == datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
    assert (row.touchpoint.slug, row.reference, row.location) == ("delivery", "ord-1001", "sh-014")
    assert row.facts == {"carrier": "SF", "wait_seconds": 340}
    assert row.decided is False
    customer = Customer.objects.get()
    assert (customer.external_id, customer.email, customer.phone) == ("C-42", "li@example.com", "+8613800000000")
    assert (customer.name, customer.language, customer.time_zone) == ("Li Na", "zh-hans", "Asia/Shanghai")
    assert (customer.segment, customer.attributes) == ("gold", {"city": "Shanghai"})


def test_the_same_pair_again_is_a_duplicate(api):
    assert api.post(event()).json()["accepted"] == 1
    answer = api.post(event())
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "duplicates": 1, "rejected": []})
    twice = api.post([event("a"), event("a"), event("b")])
    assert twice.json() == {"accepted": 2, "duplicates": 1, "rejected": []}
    assert InteractionEvent.objects.count() == 3


def test_all_four_content_types_are_taken(api):
    assert api.post(event("1"), "application/cloudevents+json").json()["accepted"] == 1
    assert api.post([event("2")], "application/cloudevents-batch+json; charset=UTF-8").json()["accepted"] == 1
    assert api.post(event("3"), "application/json").json()["accepted"] == 1
    assert api.post([event("4")], "application/json").json()["accepted"] == 1
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "5%25-%E6%B8%AF",
        "ce-source": "/shop/orders",
        "ce-type": "order.delivered",
        "ce-time": "2026-11-20T09:30:00+08:00",
        "ce-subject": "C-%22",
        "ce-extension": "x",
    }
    binary = {"touchpoint": "delivery", "facts": {"n": 1}}
    assert api.post(binary, "application/json", **headers).json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    row = InteractionEvent.objects.get(event_id="5%-港")
    assert (row.customer.external_id, row.facts) == ('C-"', {"n": 1})


def test_a_batch_keeps_what_is_valid_and_tells_the_rest(api):
    items = [event("ok"), with_customer({"email": "nobody"}, "bad"), 7, event("ok-2")]
    answer = api.post(items)
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["duplicates"]) == (2, 0)
    assert [(row["index"], row["id"]) for row in body["rejected"]] == [(1, "bad"), (2, None)]
    assert body["rejected"][0]["errors"][0]["pointer"] == "/data/customer/email"
    assert QuarantinedEvent.objects.count() == 2


def test_what_is_too_large_is_refused(api):
    assert api.post([event(str(n)) for n in range(1001)]).status_code == 413
    assert api.post(b" " * (4 * 1024 * 1024 + 1)).status_code == 413
    assert InteractionEvent.objects.count() == QuarantinedEvent.objects.count() == 0


def test_a_chunked_body_is_read_to_its_end(api):
    """As gunicorn hands it on: no length, and a stream that knows its end."""
    chunked = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    for body, status in ((json.dumps(event()).encode(), 202), (b" " * (4 * 1024 * 1024 + 1), 413)):
        environ = {**chunked, "wsgi.input": io.BytesIO(body), "CONTENT_TYPE": "application/json"}
        headers = {"Authorization": f"Bearer {api.key}"}
        assert api.client.generic("POST", URL, headers=headers, **environ).status_code == status


def test_other_content_types_are_refused(api):
    for content_type in ("text/plain", "application/xml", "multipart/form-data", "application/cloudevents+xml"):
        answer = api.post("x", content_type)
        assert (answer.status_code, answer["Content-Type"]) == (415, "application/problem+json")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (with_customer({"email": "nobody"}), "/data/customer/email"),
        (with_customer({"email": 7}), "/data/customer/email"),
        (with_customer({"phone": "12"}), "/data/customer/phone"),
        (with_customer({"time_zone": "Mars/Base"}), "/data/customer/time_zone"),
        (with_customer({"attributes": [1]}), "/data/customer/attributes"),
        (event("e", time="2026-11-20T09:30:00"), "/time"),
        (event("e", time="yesterday"), "/time"),
        (event("e", time=(datetime.now(UTC) + timedelta(hours=48)).isoformat()), "/time"),
        (event("e", specversion="0.3"), "/specversion"),
        (event("e" * 201), "/id"),
        (event(""), "/id"),
        ({key: value for key, value in event("e").items() if key != "source"}, "/source"),
        (event("nul\x00"), "/id"),
        (event("\ud800"), "/id"),
        (with_data({"facts": {"a/b": ["\x00"]}}), "/data/facts/a~1b/0"),
        (with_data({"touchpoint": "nowhere"}), "/data/touchpoint"),
        (with_data({"touchpoint": None}, type="unheard.of"), "/data/touchpoint"),
        (with_data({"facts": {"x": "y" * 20_000}}), "/data/facts"),
        (with_data({"customer": {}}, subject=None), "/data/customer/external_id"),
        (with_data({"reference": None}, type="ticket.opened"), "/data/reference"),
        (3, ""),
        (b'"text"', ""),
    ],
)
def test_an_unusable_event_is_answered_with_its_place(api, body, pointer):
    answer = api.post(body)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json"), answer.content
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert InteractionEvent.objects.count() == 0
