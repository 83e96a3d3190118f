"""One piece of data, room by room: an event becomes a mail, an answer, a cell and a metric. Read this test first.

Everything is real: HTTP, PostgreSQL, Redis, a Celery worker and beat, an SMTP server, Chromium.
"""

import re
import uuid
from datetime import UTC, datetime

import pytest
import requests

from tests.stack import until

PROGRAMME = """
organisation: {name: {en: Harbour Tea, zh-hans: 港湾茶}, time_zone: Asia/Shanghai, languages: [en, zh-hans]}
journeys:
  - {slug: purchase, name: {en: Buying}, stages: [buy, use]}
touchpoints:
  - {slug: delivery, name: {en: Delivery, zh-hans: 配送}, journey: purchase, stage: buy, channel: home_service, instrument: nps}
rules:
  - {slug: after-delivery, event_type: order.delivered, when: "facts.wait_seconds < 3600", touchpoint: delivery, modes: [email]}
"""


@pytest.mark.usefixtures("browser")
def test_an_interaction_becomes_an_invitation_an_answer_and_a_score(stack, smtp_sink, page, tmp_path):
    running = stack()
    programme = tmp_path / "programme.yaml"
    programme.write_text(PROGRAMME)
    running.manage("import_programme", str(programme))
    key = running.api_key("events:write", "responses:read", "metrics:read")
    api = requests.Session()
    api.headers["Authorization"] = f"Bearer {key}"

    # Event arrives.
    event = {
        "specversion": "1.0",
        "id": "ord-1001-delivered",
        "source": "/shop/orders",
        "type": "order.delivered",
        "time": datetime.now(UTC).isoformat(),
        "subject": "C-42",
        "data": {
            "customer": {"email": "li@example.com", "name": "Li Na", "language": "en", "segment": "gold"},
            "facts": {"wait_seconds": 340},
            "location": "sh-014",
        },
    }
    for duplicates in (0, 1):
        accepted = api.post(f"{running.url}/api/v1/events/", json=event)
        assert (accepted.status_code, accepted.json()) == (
            202,
            {"accepted": 1 - duplicates, "duplicates": duplicates, "rejected": []},
        )

    # Eligibility, invitation, delivery: one mail.
    recipient, mail = smtp_sink.wait_for(1)[0]
    assert recipient == "li@example.com"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    html = mail.get_body(("html",)).get_content()
    link = re.search(rf"{re.escape(running.url)}/s/[\w-]+/\?score=9", html).group()

    # Form: the score of the link is preselected, and looking records nothing.
    page.goto(link)
    assert page.locator("input[name=score]:checked").get_attribute("value") == "9"
    assert metric(api, running, "nps")["n"] == 0

    # Response.
    page.locator("label", has_text=re.compile(r"^\s*10\s*$")).click()
    page.locator("textarea[name=comment]").fill("The courier was kind.")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name=re.compile("Thank you")).wait_for()

    # Cell and metric, within seconds.
    until(lambda: metric(api, running, "nps")["n"] == 1, timeout=10)
    nps = metric(api, running, "nps", touchpoint="delivery", segment="gold", location="sh-014", mode="email")
    assert (nps["value"], nps["n"], nps["breakdown"]) == (100.0, 1, {"promoters": 1, "passives": 0, "detractors": 0})

    # A changed answer is the same answer: the aggregates follow.
    page.goto(link.split("?")[0])
    page.locator("label", has_text=re.compile(r"^\s*3\s*$")).click()
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name=re.compile("Thank you")).wait_for()
    until(lambda: metric(api, running, "nps")["value"] == -100.0, timeout=10)
    assert metric(api, running, "nps")["n"] == 1

    # What every step left behind.
    invitation = api.get(f"{running.url}/api/v1/invitations/", params={"customer": "C-42"}).json()["results"]
    assert [(row["status"], row["reason"]) for row in invitation] == [("answered", "")]
    response = api.get(f"{running.url}/api/v1/responses/").json()["results"]
    assert [row["answers"]["score"] for row in response] == [3]

    # A second interaction the same day is refused, with its reason on record.
    again = event | {"id": "ord-1002-delivered"}
    assert api.post(f"{running.url}/api/v1/events/", json=again).json()["accepted"] == 1
    withheld = until(
        lambda: api.get(f"{running.url}/api/v1/invitations/", params={"status": "withheld"}).json()["results"], 10
    )
    assert [row["reason"] for row in withheld] == ["resting_same"]
    assert len(smtp_sink.messages) == 1
    assert running.manage("verify_rollups").strip().endswith("0 differences")


def metric(api: requests.Session, running, name: str, **query: str) -> dict:
    answer = api.get(f"{running.url}/api/v1/metrics/{name}/", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_tickets_events_become_its_time_to_resolution(stack):
    running = stack()
    key = running.api_key("events:write", "metrics:read")
    api = requests.Session()
    api.headers["Authorization"] = f"Bearer {key}"
    opened, resolved = "2026-11-02T09:00:00+08:00", "2026-11-02T11:30:00+08:00"
    events = [
        {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": "/helpdesk",
            "type": kind,
            "time": time,
            "subject": "C-7",
            "data": {"reference": "T-1"},
        }
        for kind, time in (("ticket.resolved", resolved), ("ticket.opened", opened))
    ]
    answer = api.post(f"{running.url}/api/v1/events/", json=events)
    assert answer.json() == {"accepted": 2, "duplicates": 0, "rejected": []}
    until(lambda: metric(api, running, "ttr")["n"] == 1, timeout=10)
    ttr = metric(api, running, "ttr")
    assert ttr["value"] == 9000
    assert ttr["median"] == pytest.approx(9000, rel=0.01)
    assert ttr["open"] == 0
    assert running.manage("verify_rollups").strip().endswith("0 differences")
