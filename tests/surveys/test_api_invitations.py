"""POST and GET /api/v1/invitations/: the same gates as events, and every decision with its reason."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

from surveys.flow.addresses import address_hash
from surveys.flow.deliver import drain
from surveys.models import Customer, Instrument, Invitation, Suppression, Touchpoint
from tests.factories import (
    make_customer,
    make_event,
    make_instrument,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.rest import Api

pytestmark = pytest.mark.django_db
URL = "invitations/"


@pytest.fixture
def api() -> Api:
    make_organisation()
    make_touchpoint("delivery", make_instrument("nps-x"))
    return Api("events:write", "responses:read")


def body(**changes: Any) -> dict[str, Any]:
    customer = {"external_id": "C-42", "email": "li@Example.com", "language": "zh-hans"}
    return {"touchpoint": "delivery", "customer": customer, "location": "sh-014", **changes}


# --- Inviting ---------------------------------------------------------------------------------------------------------


def test_one_customer_is_invited_by_mail(api, mailoutbox):
    made = api.post(URL, body())
    assert (made["status"], made["reason"], made["customer"], made["touchpoint"], made["instrument"], made["mode"]) == (
        "scheduled", "", "C-42", "delivery", "nps-x", "email",
    )  # fmt: skip
    assert (made["rule"], made["event"], made["sent_at"]) == (None, None, None)
    assert "token" not in made  # the right to answer is the customer's alone
    row = Invitation.objects.get(pk=made["id"])
    assert (row.location, row.language) == ("sh-014", "zh-hans")
    drain(timezone.now)
    assert [mail.to for mail in mailoutbox] == [["li@example.com"]]
    assert api.get(URL)["results"][0]["status"] == "sent"


def test_the_instrument_may_be_another(api):
    make_instrument("csat-x", "csat", 5)
    assert api.post(URL, body(instrument="csat-x"))["instrument"] == "csat-x"


def test_a_second_time_is_too_soon(api, mailoutbox):
    api.post(URL, body())
    drain(timezone.now)
    again = api.post(URL, body())
    assert (again["status"], again["reason"]) == ("withheld", "resting_same")
    assert again["detail"].startswith("until 20")
    assert again["send_at"] is None
    drain(timezone.now)
    assert len(mailoutbox) == 1


def test_two_at_once_are_decided_on_again_when_the_first_has_gone(api, mailoutbox):
    for _attempt in range(2):
        assert api.post(URL, body())["status"] == "scheduled"
    drain(timezone.now)
    assert len(mailoutbox) == 1
    assert sorted(row["status"] for row in api.get(URL)["results"]) == ["sent", "withheld"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"customer": {"external_id": "C-1"}}, "no_address"),
        ({"customer": {"external_id": "C-1", "phone": "+8613800000000"}}, "no_address"),
        ({"customer": {"external_id": "C-1", "email": "Gone@example.com"}}, "unsubscribed"),
        ({"customer": {"external_id": "C-1", "email": "bounced@example.com"}}, "bounced"),
        ({"customer": {"external_id": "rested", "email": "rested@example.com"}}, "resting_same"),
        ({"customer": {"external_id": "busy", "email": "busy@example.com"}}, "resting_any"),
        ({"customer": {"external_id": "gone-and-rested", "email": "gone@example.com"}}, "unsubscribed"),
    ],
)
def test_whoever_must_not_be_asked_is_withheld_with_the_most_lasting_reason(api, given, reason):
    now = timezone.now()
    for address, why in (("gone@example.com", "unsubscribed"), ("bounced@example.com", "bounced")):
        Suppression.objects.create(address_hash=address_hash(address), reason=why, created_at=now)
    recently = {"attempted_at": now - timedelta(days=2), "status": "sent"}
    here, elsewhere = Touchpoint.objects.get(slug="delivery"), make_touchpoint()
    make_invitation(here, make_customer("rested"), **recently)
    make_invitation(here, make_customer("gone-and-rested"), **recently)
    make_invitation(elsewhere, make_customer("busy"), **recently)
    made = api.post(URL, body(**given))
    assert (made["status"], made["reason"]) == ("withheld", reason)


def test_the_floor_holds_where_resting_is_short(api):
    organisation = make_organisation()
    organisation.resting_any_s = organisation.resting_same_s = 0
    organisation.save()
    make_invitation(make_touchpoint(), make_customer("C-42"), attempted_at=timezone.now() - timedelta(hours=23))
    assert api.post(URL, body())["reason"] == "floor_24h"
    Invitation.objects.update(attempted_at=timezone.now() - timedelta(hours=25))
    assert api.post(URL, body())["status"] == "scheduled"


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        ({"touchpoint": "nowhere"}, ["/touchpoint"]),
        ({"touchpoint": 7}, ["/touchpoint"]),
        ({"instrument": "nothing"}, ["/instrument"]),
        ({"instrument": "empty"}, ["/instrument"]),
        ({"mode": "pigeon"}, ["/mode"]),
        ({"location": "x" * 101}, ["/location"]),
        ({"customer": {}}, ["/customer/external_id"]),
        ({"customer": {"external_id": "C-1", "email": "li"}}, ["/customer/email"]),
        ({"customer": {"email": "li"}}, ["/customer/external_id", "/customer/email"]),
        ({"customer": None}, ["/customer"]),
        ({"colour": "red"}, [""]),
        ({"location": "a\x00b"}, ["/location"]),
    ],
)
def test_what_is_wrong_is_told_at_its_place_and_nothing_is_kept(api, given, pointers):
    Instrument.objects.create(slug="empty", metric="nps", points=11, name={"en": "Nothing to ask"})
    assert api.pointers(URL, body(**given)) == pointers
    assert not Customer.objects.exists()
    assert not Invitation.objects.exists()


def test_what_is_no_json_object_is_a_clear_error(api):
    for sent in ("{", "[]", "null", "7"):
        api.post(URL, sent, expect=400)
    api.post(URL, body(), expect=415, content_type="text/plain")


def test_a_switched_off_touchpoint_asks_nobody(api):
    touchpoint = make_touchpoint("closed", active=False)
    made = api.post(URL, body(touchpoint=touchpoint.slug))
    assert (made["status"], made["reason"]) == ("withheld", "inactive")


# --- Listing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(api: Api) -> Api:
    """Four decisions about two customers: ids by their `detail`."""
    here, there = make_touchpoint("here"), make_touchpoint("there")
    li, wang = make_customer("C-1"), make_customer("C-2")
    event = make_event(li, source="/shop", event_id="o-1")
    rule = make_rule(here, slug="after-delivery")
    now = timezone.now()
    rows: list[dict[str, Any]] = [
        {"touchpoint": here, "customer": li, "status": "sent", "event": event, "rule": rule},
        {"touchpoint": there, "customer": li, "status": "withheld", "reason": "resting_any", "token": None, "event": event},
        {"touchpoint": here, "customer": wang, "status": "withheld", "reason": "no_address", "token": None},
        {"touchpoint": here, "customer": wang, "status": "answered", "event": make_event(wang, source="/shop/2", event_id="o-1")},
    ]  # fmt: skip
    for number, row in enumerate(rows):
        make_invitation(decided_at=now + timedelta(seconds=number), detail=str(number), **row)
    return api


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "3210"),
        ({"customer": "C-1"}, "10"),
        ({"customer": ["C-1", "C-2"]}, "3210"),
        ({"customer": "nobody"}, ""),
        ({"touchpoint": "here"}, "320"),
        ({"status": "withheld"}, "21"),
        ({"status": ["sent", "answered"]}, "30"),
        ({"status": "failed"}, ""),
        ({"reason": "resting_any"}, "1"),
        ({"reason": ["resting_any", "no_address"]}, "21"),
        ({"event_source": "/shop", "event_id": "o-1"}, "10"),
        ({"event_source": "/shop/2", "event_id": "o-1"}, "3"),
        ({"event_id": "o-1"}, "310"),
        ({"event_source": "/shop", "event_id": "o-2"}, ""),
        ({"customer": "C-2", "status": "withheld", "reason": "no_address"}, "2"),
    ],
)
def test_filters_narrow_the_list_newest_first(listed, query, found):
    assert "".join(row["detail"] for row in listed.get(URL, **query)["results"]) == found


def test_a_decision_names_its_rule_and_event(listed):
    row = listed.get(URL, status="sent")["results"][0]
    assert (row["rule"], row["event"]) == ("after-delivery", {"source": "/shop", "id": "o-1"})
    assert row["period"] is None


def test_a_decision_of_a_calendar_names_its_period_and_no_event(listed):
    rule = make_rule(make_touchpoint("relationship"), slug="loyalty", event_type="", calendar="quarter")
    make_invitation(rule.touchpoint, rule=rule, event=None, period=date(2026, 10, 1))
    row = listed.get(URL, touchpoint="relationship")["results"][0]
    assert (row["rule"], row["event"], row["period"]) == ("loyalty", None, "2026-10-01")


@pytest.mark.parametrize(
    "query", [{"colour": "red"}, {"status": "lost"}, {"customer": "a\x00b"}, {"event_id": "a\x00"}]
)
def test_a_filter_that_says_nothing_is_refused_at_its_place(listed, query):
    problem = listed.get(URL, expect=400, **query)
    assert [error["pointer"] for error in problem["errors"]] == [f"/{name}" for name in query]


def test_pages_lead_to_every_decision_once(listed):
    page = listed.get(URL, page_size=3)
    rest = listed.get(page["next"])
    assert "".join(row["detail"] for row in page["results"] + rest["results"]) == "3210"
    assert rest["next"] is None
    assert listed.get(rest["previous"])["results"] == page["results"]


def test_inviting_and_listing_need_their_own_scopes(api):
    Api("responses:read").post(URL, body(), expect=403)
    Api("events:write").get(URL, expect=403)
    Api("responses:write", "metrics:read", "customers:read", "customers:write").post(URL, body(), expect=403)
    Api(key="wrong.key").get(URL, expect=401)
    Api(key="").post(URL, body(), expect=401)
    assert not Invitation.objects.exists()
