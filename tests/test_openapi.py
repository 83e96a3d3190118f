"""The OpenAPI document: it is valid, it names all that there is and nothing else, and real answers are what it says they are."""

import json
import uuid
from datetime import UTC, date, datetime
from typing import Any

import jsonschema
import pytest
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone
from drf_spectacular.validation import validate_schema

from metrics.models import Alert, AlertRule, Decision, Expectation
from metrics.rollup import roll_up
from surveys.flow.builtins import load_builtins
from surveys.models.keys import SCOPES
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.raw import noon, ticket
from tests.rest import Api

pytestmark = pytest.mark.django_db

# What API.md promises, with the statuses that each may answer with beside 401, 403 and 503.
PROMISED = {
    ("post", "/api/v1/events/"): {202, 400, 413, 415},
    ("get", "/api/v1/metrics/nps/"): {200, 400},
    ("get", "/api/v1/metrics/csat/"): {200, 400},
    ("get", "/api/v1/metrics/ces/"): {200, 400},
    ("get", "/api/v1/metrics/ttr/"): {200, 400},
    ("get", "/api/v1/alerts/"): {200, 400, 404},
    ("get", "/api/v1/decisions/"): {200, 400, 404},
    ("post", "/api/v1/responses/"): {200, 201, 400, 409, 413, 415},
    ("get", "/api/v1/responses/"): {200, 400, 404},
    ("get", "/api/v1/responses/{client_id}/"): {200, 404},
    ("get", "/api/v1/instruments/{slug}/"): {200, 400, 404},
    ("post", "/api/v1/invitations/"): {201, 400, 413, 415},
    ("get", "/api/v1/invitations/"): {200, 400, 404},
    ("delete", "/api/v1/customers/{external_id}/"): {204, 404},
    ("get", "/api/v1/customers/{external_id}/export/"): {200, 404},
}


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    answer = client.get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.status_code == 200
    found: dict[str, Any] = json.loads(answer.content)
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method, path): told for path, methods in document["paths"].items() for method, told in methods.items()}


def test_the_document_is_valid_openapi(document):
    assert document["openapi"].startswith("3.1")
    validate_schema(document)
    broken = json.loads(json.dumps(document))
    broken["paths"]["/api/v1/events/"]["post"]["responses"] = []
    with pytest.raises(jsonschema.ValidationError):
        validate_schema(broken)


def test_every_schema_in_it_is_a_valid_schema(document):
    """OpenAPI's own schema does not look inside those of bodies."""
    seen = 0
    for told in operations(document).values():
        bodies = [*told["responses"].values(), told.get("requestBody", {})]
        for body in bodies:
            for media in body.get("content", {}).values():
                jsonschema.Draft202012Validator.check_schema(media["schema"])
                for example in [media["schema"]["example"]] if "example" in media["schema"] else []:
                    jsonschema.validate(example, media["schema"])
                seen += 1
    assert seen > len(PROMISED)


def test_it_names_what_is_promised_and_nothing_else(document):
    told = operations(document)
    assert told.keys() == PROMISED.keys()
    for key, statuses in PROMISED.items():
        assert {int(status) for status in told[key]["responses"]} == statuses | {401, 403, 503}, key
        assert told[key]["summary" if "metrics" not in key[1] else "operationId"]
        assert told[key]["security"] == [{"bearer": []}]


def test_every_address_of_the_api_stands_in_it(document):
    """A view without documentation is one that nobody knows of."""
    parameters = {"int:": "", "uuid:": "", "slug:": "", "path:": "", "str:": ""}

    def addresses(patterns: Any, prefix: str) -> list[str]:
        found = []
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            for name in parameters:
                path = path.replace(f"<{name}", "{").replace(">", "}")
            found += addresses(pattern.url_patterns, path) if hasattr(pattern, "url_patterns") else [path]
        return found

    exempt = {"/api/v1/schema/", "/api/v1/docs/", "/api/v1/", "/api/v1/{unknown}"}
    served = {path for path in addresses(get_resolver().url_patterns, "/") if path.startswith("/api/")}
    assert served - exempt == set(document["paths"])


def test_every_operation_has_an_id_of_its_own(document):
    ids = [told["operationId"] for told in operations(document).values()]
    assert len(ids) == len(set(ids))


def test_bodies_are_json_and_errors_are_problems(document):
    for (method, path), told in operations(document).items():
        taken = set(told.get("requestBody", {}).get("content", {}))
        assert all("json" in media for media in taken), (method, path)
        for status, answer in told["responses"].items():
            kinds = set(answer.get("content", {}))
            wanted = {"application/problem+json"} if int(status) >= 400 else {"application/json"}
            assert kinds == (set() if status == "204" else wanted), (method, path, status)


def test_the_document_and_its_page_need_no_key(client):
    assert client.get("/api/v1/schema/").status_code == 200
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200
    assert b"//cdn" not in page.content  # nothing is asked of a third party


# --- Real answers are what the document says --------------------------------------------------------------------------


class Held:
    """The API, each answer held against the document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.told = operations(document)
        self.components = document["components"]
        self.api = Api(*SCOPES)
        self.checked: set[tuple[str, str, int]] = set()

    def call(self, method: str, path: str, expect: int, body: Any = None, fill: str = "", **query: Any) -> Any:
        address = path.replace(path[path.find("{") : path.find("}") + 1], fill) if fill else path
        if method == "get":
            answer = self.api.get(address, expect=expect, **query)
        elif method == "post":
            answer = self.api.post(address, body, expect=expect)
        else:
            answer = self.api.delete(address, expect=expect)
        told = self.told[method, path]
        assert str(expect) in told["responses"], f"{method} {path} may not answer with {expect}"
        known = {parameter["name"] for parameter in told.get("parameters", []) if parameter["in"] == "query"}
        if expect < 400:
            assert query.keys() <= known
        for media in told["responses"][str(expect)].get("content", {}).values():
            schema = media["schema"] | {"components": self.components}
            jsonschema.validate(answer, schema, format_checker=jsonschema.FormatChecker())
        if method == "post" and expect < 400:
            schema = told["requestBody"]["content"]["application/json"]["schema"]
            jsonschema.validate(body, schema | {"components": self.components})
        self.checked.add((method, path, expect))
        return answer


def test_what_is_answered_is_what_the_document_says(document):
    make_organisation()
    load_builtins()
    touchpoint = make_touchpoint("delivery")
    ticket(touchpoint, noon(datetime(2026, 11, 1, tzinfo=UTC).date()), 3600)
    held = Held(document)
    sent = {
        "id": str(uuid.uuid4()),
        "touchpoint": "delivery",
        "answers": {"score": 9, "reason": ["price"], "comment": "!"},
    }
    sent |= {"customer": {"external_id": "C-1", "email": "li@example.com"}, "mode": "app"}
    responses, invitations, events = "/api/v1/responses/", "/api/v1/invitations/", "/api/v1/events/"
    held.call("post", responses, 201, sent)
    held.call("post", responses, 200, sent)
    held.call("post", responses, 409, sent | {"answers": {"score": 1}})
    held.call("post", responses, 400, sent | {"answers": {"score": 11}})
    for slug in ("csat5", "csat7", "ces"):
        held.call("post", responses, 201, sent | {"id": str(uuid.uuid4()), "instrument": slug, "answers": {"score": 5}})
    held.call("get", responses, 200, page_size=1, has_comment="true", q="!", touchpoint=["delivery"])
    held.call("get", responses, 400, score_min="x")
    held.call("get", responses, 404, cursor="rubbish!")
    held.call("get", "/api/v1/responses/{client_id}/", 200, fill=sent["id"])
    held.call("get", "/api/v1/responses/{client_id}/", 404, fill=str(uuid.uuid4()))
    for slug in ("nps", "csat5", "csat7", "ces"):
        held.call("get", "/api/v1/instruments/{slug}/", 200, fill=slug, language="zh-hans", touchpoint="delivery")
    held.call("get", "/api/v1/instruments/{slug}/", 404, fill="nothing")
    event = {"specversion": "1.0", "id": "e-1", "source": "/s", "type": "order.delivered", "subject": "C-2"}
    event["data"] = {"touchpoint": "delivery"}
    held.call("post", events, 202, event)
    held.call("post", events, 202, [event, event | {"id": "e-2"}])
    held.call("post", events, 400, {"id": "e-3"})
    invited = {"touchpoint": "delivery", "customer": {"external_id": "C-3", "email": "wang@example.com"}}
    held.call("post", invitations, 201, invited)
    held.call("post", invitations, 201, {"touchpoint": "delivery", "customer": {"external_id": "C-4"}})
    held.call("post", invitations, 400, {"touchpoint": "nowhere", "customer": {"external_id": "C-4"}})
    assert len(held.call("get", invitations, 200, touchpoint="delivery")["results"]) == 2
    held.call("get", invitations, 400, status="lost")
    roll_up()
    for metric in ("nps", "csat", "ces", "ttr"):
        path = f"/api/v1/metrics/{metric}/"
        scale = {"scale": 5} if metric == "csat" else {}
        found = held.call("get", path, 200, interval="month", group_by="touchpoint", **scale)
        assert (found["n"], len(found["groups"]), len(found["series"])) == (1, 1, 1)
        held.call("get", path, 200, **{"from": "2000-01-01", "to": "2000-01-31"}, interval="day", **scale)
        held.call("get", path, 400, interval="year")
        days = {"from": "2020-01-01", "to": "2020-01-31"}
        found = held.call("get", path, 200, **days, compare="year", group_by="touchpoint", weights="segment", **scale)
        assert (found["comparison"]["from"], found["weighted"]["value"]) == ("2019-01-01", None)
    rule = AlertRule.objects.create(slug="slow", kind="open_longer", longer_than_s=60, touchpoint=touchpoint)
    Alert.objects.create(rule=rule, fired_at=timezone.now(), fired={"count": 1}, latest={"count": 2, "oldest_at": None})
    decision = Decision.objects.create(day=date(2026, 11, 1), title="Parcels in the evening")
    decision.touchpoints.set([touchpoint])
    Expectation.objects.create(decision=decision, metric="csat5", by=10)
    assert len(held.call("get", "/api/v1/alerts/", 200, state="standing", touchpoint="delivery")["results"]) == 1
    held.call("get", "/api/v1/alerts/", 400, kind="loud")
    held.call("get", "/api/v1/alerts/", 404, cursor="rubbish!")
    assert len(held.call("get", "/api/v1/decisions/", 200, touchpoint="delivery", page_size=1)["results"]) == 1
    held.call("get", "/api/v1/decisions/", 400, withdrawn="perhaps")
    held.call("get", "/api/v1/decisions/", 404, cursor="rubbish!")
    held.call("get", "/api/v1/customers/{external_id}/export/", 200, fill="C-1")
    held.call("delete", "/api/v1/customers/{external_id}/", 204, fill="C-1")
    held.call("delete", "/api/v1/customers/{external_id}/", 404, fill="C-1")
    held.call("get", "/api/v1/customers/{external_id}/export/", 404, fill="C-1")
    succeeded = {(method, path) for method, path, status in held.checked if status < 400}
    assert succeeded == PROMISED.keys()


@pytest.mark.parametrize(("method", "path"), PROMISED)
def test_every_operation_wants_a_key_and_the_right_one(method, path):
    """One scope opens it, all others together do not; without a key or with a wrong one it is 401."""
    address = (
        path.replace("{client_id}", str(uuid.uuid4())).replace("{slug}", "nothing").replace("{external_id}", "C-0")
    )

    def status(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        client = Client(raise_request_exception=False)
        answer = client.generic(method.upper(), address, "{}", "application/json", headers=headers)
        if answer.status_code >= 400:
            assert answer["Content-Type"] == "application/problem+json"
        return int(answer.status_code)

    assert status("") == 401
    assert status("wrong.key") == 401
    opening = [scope for scope in SCOPES if status(Api(scope).key) != 403]
    assert len(opening) == 1
    assert status(Api(*(scope for scope in SCOPES if scope not in opening)).key) == 403


@pytest.mark.parametrize("path", ["nowhere/", "responses", "metrics/csi/", "events/7/", ""])
def test_an_unknown_address_is_a_problem_and_not_a_page(path):
    Api(*SCOPES).get(path, expect=404)
