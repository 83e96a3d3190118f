"""What other systems and customers do to a running stack, over HTTP."""

import re
import tempfile
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import requests

from tests.stack import Stack

PROGRAMME = """
organisation: {name: {en: Harbour Tea}, time_zone: Asia/Shanghai, languages: [en]}
journeys:
  - {slug: purchase, name: {en: Buying}, stages: [buy]}
touchpoints:
  - {slug: delivery, name: {en: Delivery}, journey: purchase, stage: buy, channel: home_service, instrument: nps, public: true}
rules:
  - {slug: after-delivery, event_type: order.delivered, touchpoint: delivery, modes: [email]}
"""
PUBLIC_KEY = "from surveys.models import Touchpoint; print(Touchpoint.objects.get(slug='delivery').public_key)"


class Client:
    """One touchpoint `delivery` with an NPS question, a rule that invites after `order.delivered`, and a key to the API."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as programme:
            Path(programme.name).write_text(PROGRAMME)
            stack.manage("import_programme", programme.name)
        self.key = stack.api_key("events:write", "responses:write", "responses:read", "metrics:read")
        self.open_form = f"{stack.url}/t/{stack.shell(PUBLIC_KEY)}/"
        self.api = self.session()

    def session(self) -> requests.Session:
        """For a thread of its own: sessions are not for sharing."""
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.key}"
        return session

    def events(self, customers: Iterable[str]) -> list[dict[str, Any]]:
        """One delivery for each customer, identified by them."""
        return [
            {
                "specversion": "1.0",
                "id": f"delivered-{customer}",
                "source": "/shop",
                "type": "order.delivered",
                "time": datetime.now(UTC).isoformat(),
                "subject": customer,
                "data": {"customer": {"email": f"{customer.lower()}@example.com", "language": "en"}},
            }
            for customer in customers
        ]

    def post_events(self, customers: Sequence[str], session: requests.Session | None = None) -> requests.Response:
        return (session or self.api).post(f"{self.stack.url}/api/v1/events/", json=self.events(customers), timeout=30)

    def post_answer(self, score: int, session: requests.Session | None = None) -> requests.Response:
        """An answer that an app collected."""
        body = {"id": str(uuid.uuid4()), "touchpoint": "delivery", "mode": "app", "answers": {"score": score}}
        return (session or self.api).post(f"{self.stack.url}/api/v1/responses/", json=body, timeout=30)

    def metric(self, name: str, **query: str) -> dict[str, Any]:
        answer = self.api.get(f"{self.stack.url}/api/v1/metrics/{name}/", params=query, timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def invitations(self, **query: str) -> list[dict[str, Any]]:
        answer = self.api.get(
            f"{self.stack.url}/api/v1/invitations/", params={"page_size": "1000", **query}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["results"]
        return found


def link_in(message: EmailMessage) -> str:
    """The address of the form, without a preselected score."""
    body = message.get_body(("plain",))
    assert body is not None
    found = re.search(r"https?://\S+/s/[\w-]+/", body.get_content())
    assert found is not None
    return found.group()


def answer_form(address: str, score: int, session: requests.Session | None = None, **query: str) -> requests.Response:
    """Send a form as a browser without JavaScript would."""
    return (session or requests).post(
        address, data={"score": str(score)}, params=query, allow_redirects=False, timeout=30
    )
