"""A provider of email, from EMAIL_URL to what it reports, on a whole stack."""

import hmac
from pathlib import Path

import pytest
import requests

from tests.client import Client
from tests.mail_api import fields_of, mailgun_event
from tests.sms_server import SmsServer
from tests.stack import Stack, until

pytestmark = pytest.mark.slow


def test_letters_leave_through_a_provider_at_its_rate_and_its_events_come_back(tmp_path: Path):
    api = SmsServer()
    api.answer = lambda request: (200, {"id": fields_of(request)["h:Message-Id"], "message": "Queued."}, {})
    url = f"mailgun://key-1@/?sender_domain=mg.example.com&api_url={api.url}/v3"
    # A way for texts that nobody understands would not let it start: one that is not there does, and holds nothing up.
    stack = Stack(
        tmp_path / "data", email_url=url, EMAIL_RATE="4", SMS_URL="twilio://AC1:t@+15551234567?api=http://127.0.0.1:9"
    )
    stack.start()
    try:
        client = Client(stack)
        names = [f"C-{number}" for number in range(8)]
        assert client.post_events(names).status_code == 202
        until(lambda: len(api.requests) == 8, 60)
        until(lambda: len(client.invitations(status="sent")) == 8, 20)
        by_address = {fields_of(request)["to"]: fields_of(request)["h:Message-Id"] for request in api.requests}
        told = {"c-0": ("delivered", {}), "c-1": ("failed", {"severity": "permanent"}), "c-2": ("complained", {})}
        for number, (name, (event, fields)) in enumerate(told.items()):
            body = mailgun_event(event, by_address[f"{name}@example.com"], token=f"t{number}", **fields)
            forged = {
                **body,
                "signature": {**body["signature"], "signature": hmac.new(b"x", b"y", "sha256").hexdigest()},
            }
            address = f"{stack.url}/email/status/mailgun/"
            assert requests.post(address, json=forged, timeout=10).status_code == 403
            assert requests.post(address, json=body, timeout=10).status_code == 200
        assert requests.post(f"{stack.url}/email/status/postmark/", json={}, timeout=10).status_code == 404
        until(lambda: len(client.invitations(status="delivered")) == 2, 20)
        assert [row["reason"] for row in client.invitations(status="failed")] == ["bounced"]
        reasons = "from surveys.models import Suppression as S; print(*sorted(set(S.objects.values_list('reason', flat=True))))"
        assert stack.shell(reasons) == "bounced complained"
    finally:
        stack.stop()
        stack.remove()
        api.stop()
