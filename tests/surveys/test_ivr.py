"""Answers by keypad, as docs/integrating.md prints them: its program runs as it stands there, against a real server."""

import json
import os
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest

from metrics.rollup import roll_up
from surveys.flow.invite import invite_pending
from surveys.models import Invitation, Response
from tests.factories import (
    make_api_key,
    make_customer,
    make_event,
    make_instrument,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.printed import blocks
from tests.rest import Api
from tests.stack import free_port

PAGE = "docs/integrating.md"


@pytest.fixture
def hotline():
    make_organisation()
    return make_touchpoint("hotline", make_instrument("tea-service-csat", "csat", 5), channel="call_center")


def call(number: int = 42, **changes: Any) -> dict[str, Any]:
    whole = {
        "id": f"20261120-{number:04d}",
        "pressed": {"score": 4},
        "hung_up": False,
        "customer": "C-42",
        "language": "zh-hans",
        "queue": "orders",
        "pressed_at": "2026-11-20T23:30:00+08:00",
    }
    return whole | changes


def run(url: str, key: str, *calls: dict[str, Any]) -> list[str]:
    """What the printed program says of these calls."""
    environment = {"PATH": os.environ["PATH"], "CX_URL": url, "CX_KEY": key, "NO_PROXY": "*"}
    (program,) = blocks(PAGE, "python")
    lines = "\n".join(json.dumps(one) for one in calls)
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], input=lines, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.django_db(transaction=True)
def test_the_printed_program_posts_calls_once_however_often_it_runs(hotline, live_server):
    key = make_api_key("responses:write")
    calls = [
        call(1),
        call(2, pressed={"score": 1}, hung_up=True, customer=""),
        call(3, pressed={}, hung_up=True),
        call(4, pressed={"score": 9}),
    ]
    said = ["20261120-0001 201", "20261120-0002 201", "20261120-0003 nothing pressed", "20261120-0004 400"]
    assert run(live_server.url, key, *calls) == said
    assert run(live_server.url, key, *calls) == [
        line.replace("201", "200") if " 201" in line else line for line in said
    ]
    nobody = f"http://127.0.0.1:{free_port()}"
    assert run(nobody, key, call(5)) == ["20261120-0005 503, keep it for later"]
    assert run(live_server.url, key, call(5), call(1, pressed={"score": 2})) == [
        "20261120-0005 201",
        "20261120-0001 409",
    ]
    rows = Response.objects.order_by("id").values_list("reference", "score", "mode", "location", "day")
    day = datetime(2026, 11, 20).date()
    assert list(rows) == [
        ("20261120-0001", 4, "ivr", "orders", day),
        ("20261120-0002", 1, "ivr", "orders", day),
        ("20261120-0005", 4, "ivr", "orders", day),
    ]
    first, broken_off, _late = Response.objects.order_by("id")
    assert (first.completed_at is None, broken_off.completed_at is None) == (False, True)
    assert (first.customer.external_id, broken_off.customer) == ("C-42", None)


@pytest.mark.django_db
def test_a_caller_who_hangs_up_after_the_score_counts_and_is_told_apart(hotline):
    api = Api("responses:write", "responses:read", "metrics:read")
    sent = {
        "id": "5f7f4d4e-7a52-4b0e-9d0e-2b8f6a3c1d10",
        "touchpoint": "hotline",
        "mode": "ivr",
        "answers": {"score": 2},
        "complete": False,
    }
    assert api.post("responses/", sent)["completed_at"] is None
    roll_up()
    assert api.get("metrics/csat/?scale=5&mode=ivr")["n"] == 1
    assert [row["mode"] for row in api.get("responses/?mode=ivr")["results"]] == ["ivr"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answers", "pointers"),
    [
        ({}, ["/answers/score"]),
        ({"score": 6}, ["/answers/score"]),
        ({"score": 2, "reason": ["nonsense"]}, ["/answers/reason"]),
        ({"score": None, "comment": ""}, ["/answers/score"]),
    ],
)
def test_what_is_broken_off_is_no_excuse_for_what_is_wrong(hotline, answers, pointers):
    api = Api("responses:write")
    sent = {"id": "5f7f4d4e-7a52-4b0e-9d0e-2b8f6a3c1d10", "touchpoint": "hotline", "mode": "ivr", "complete": False}
    assert api.pointers("responses/", {**sent, "answers": answers}) == pointers


@pytest.mark.django_db
def test_who_answered_on_the_phone_rests_from_letters(hotline):
    Api("responses:write").post(
        "responses/",
        {
            "id": "5f7f4d4e-7a52-4b0e-9d0e-2b8f6a3c1d10",
            "touchpoint": "hotline",
            "mode": "ivr",
            "customer": {"external_id": "C-42", "email": "li@example.com"},
            "answers": {"score": 5},
        },
    )
    answered_at = Response.objects.get().responded_at
    customer = Response.objects.get().customer
    make_rule(hotline, event_type="call.ended")
    make_event(customer, type="call.ended", time=answered_at)
    make_event(make_customer(), type="call.ended", time=answered_at)
    invite_pending(answered_at)
    rows = Invitation.objects.order_by("id").values_list("status", "reason")
    assert list(rows) == [("withheld", "resting_same"), ("scheduled", "")]
