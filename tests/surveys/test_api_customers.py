"""DELETE customers/{external_id}/ and GET …/export/: a person's rights, as another system asks for them.

What erasing strips row by row stands in test_erase; here it is what the API says before and after.
"""

import json
import uuid
from typing import Any

import pytest
from django.test import Client

from metrics.rollup import roll_up
from surveys.models import Customer, Invitation
from surveys.models.keys import SCOPES
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.rest import Api

pytestmark = pytest.mark.django_db
PERSONAL = ("li@example.com", "+8613800000000", "Li Na", "very late", "gate code 7", "Shanghai")


@pytest.fixture
def api() -> Api:
    make_organisation()
    make_touchpoint("delivery", make_instrument("nps-x"))
    return Api(*SCOPES)


def known(api: Api, external_id: str = "C-42") -> str:
    """A customer with an event, a ticket, an invitation and an answer, all through the API; the answer's id."""
    customer = {
        "external_id": external_id,
        "email": "li@example.com",
        "phone": "+8613800000000",
        "name": "Li Na",
        "attributes": {"city": "Shanghai"},
    }
    event = {"specversion": "1.0", "source": "/s", "id": f"{external_id}-1", "type": "order.delivered"}
    event["data"] = {"touchpoint": "delivery", "customer": customer, "facts": {"note": "gate code 7"}}  # type: ignore[assignment]
    ticket = event | {"id": f"{external_id}-2", "type": "ticket.opened"}
    ticket["data"] = {"reference": "T-1", "customer": {"external_id": external_id}}
    api.post("events/", [event, ticket], expect=202)
    api.post("invitations/", {"touchpoint": "delivery", "customer": customer})
    sent = {"id": str(uuid.uuid4()), "touchpoint": "delivery", "customer": customer}
    sent["answers"] = {"score": 3, "comment": "very late"}
    api.post("responses/", sent)
    return str(sent["id"])


def test_an_export_holds_all_that_is_known_of_one_person_and_nothing_of_another(api):
    known(api)
    known(api, "C-7")
    held = api.get("customers/C-42/export/")
    text = json.dumps(held, ensure_ascii=False)
    assert all(word in text for word in PERSONAL)
    assert "C-7" not in text
    assert {name: len(rows) for name, rows in held.items() if name != "customer"} == {
        "events": 2,
        "tickets": 1,
        "invitations": 1,
        "responses": 1,
        "suppressions": 0,
        "lifted_suppressions": 0,
        "consents": 0,
        "messages": 0,
        "texts": 0,
        "quarantine": 0,
    }


def test_erasing_strips_the_person_and_moves_no_number(api):
    answer = known(api)
    roll_up()
    before = api.get("metrics/nps/", touchpoint="delivery")
    assert api.delete("customers/C-42/") is None
    after = api.get("metrics/nps/", touchpoint="delivery")
    assert {**after, "as_of": ""} == {**before, "as_of": ""}
    assert before["n"] == 1
    shown = api.get(f"responses/{answer}/")
    assert (shown["customer"], shown["answers"]) == (None, {"score": 3, "comment": ""})
    listings = [api.get(path) for path in ("responses/", "invitations/")]
    assert not any(word in json.dumps(listings, ensure_ascii=False) for word in (*PERSONAL, "C-42"))
    assert api.get("responses/", q="late")["results"] == []


def test_erasing_twice_is_not_found_and_neither_is_an_export_after_it(api):
    known(api)
    api.delete("customers/C-42/")
    api.delete("customers/C-42/", expect=404)
    api.get("customers/C-42/export/", expect=404)
    api.get("customers/nobody/export/", expect=404)
    assert api.get("invitations/", customer="C-42")["results"] == []


def test_a_link_that_is_out_no_longer_leads_anywhere(api, client):
    known(api)
    token = Invitation.objects.get().token
    assert client.get(f"/s/{token}/").status_code == 200
    api.delete("customers/C-42/")
    assert client.get(f"/s/{token}/").status_code == 404
    assert client.post(f"/s/{token}/", {"score": "9"}).status_code == 404
    assert client.post(f"/u/{token}/").status_code in (
        200,
        404,
    )  # whoever wants no letters is not sent away with a fault


def test_the_same_answer_again_after_erasing_is_still_the_same(api):
    """A client that repeats itself gets no conflict, and brings nobody back."""
    sent: dict[str, Any] = {"id": str(uuid.uuid4()), "touchpoint": "delivery", "answers": {"score": 9}}
    sent["customer"] = {"external_id": "C-1", "email": "li@example.com"}
    api.post("responses/", sent)
    api.delete("customers/C-1/")
    assert api.post("responses/", sent, expect=200)["customer"] is None
    assert not Customer.objects.filter(external_id="C-1").exists()
    assert not Customer.objects.exclude(email="").exists()


def test_the_same_id_later_is_a_new_person(api):
    first = known(api)
    api.delete("customers/C-42/")
    sent = {
        "id": str(uuid.uuid4()),
        "touchpoint": "delivery",
        "answers": {"score": 9},
        "customer": {"external_id": "C-42"},
    }
    api.post("responses/", sent)
    assert [row["id"] for row in api.get("customers/C-42/export/")["responses"]] == [sent["id"]]
    assert api.get(f"responses/{first}/")["customer"] is None


@pytest.mark.parametrize("external_id", ["C 港/1", "a?b=c&d", "%2e%2e", "..", "ü" * 200, "a+b", "100%"])
def test_any_id_that_was_taken_can_be_asked_for_and_erased(api, external_id):
    from urllib.parse import quote

    sent = {"id": str(uuid.uuid4()), "touchpoint": "delivery", "answers": {"score": 9}}
    api.post("responses/", sent | {"customer": {"external_id": external_id}})
    path = f"customers/{quote(external_id, safe='')}/"
    assert api.get(path + "export/")["customer"]["external_id"] == external_id
    api.delete(path)
    api.delete(path, expect=404)


def test_reading_and_erasing_need_their_own_scopes(api):
    known(api)
    others = [scope for scope in SCOPES if not scope.startswith("customers:")]
    Api(*others, "customers:read").delete("customers/C-42/", expect=403)
    Api(*others, "customers:write").get("customers/C-42/export/", expect=403)
    Api(key="").delete("customers/C-42/", expect=401)
    assert Customer.objects.filter(external_id="C-42").exists()


def test_getting_and_posting_a_customer_are_not_offered(api):
    for method in ("get", "post", "put"):
        answer = getattr(Client(), method)("/api/v1/customers/C-42/", headers={"Authorization": f"Bearer {api.key}"})
        assert (answer.status_code, answer["Content-Type"]) == (405, "application/problem+json")
