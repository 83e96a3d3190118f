"""Invitations in every state, as `surveys.flow` leaves them, for tests of what is counted of them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from metrics.raw.funnel import Asked, Segments
from surveys.models import DeliveryAttempt, InstrumentVersion, Invitation, Reminder, Response, Touchpoint
from surveys.models.invitations import make_token
from tests.factories import make_customer, make_invitation

DAY = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)  # noon in Shanghai
NOW = DAY + timedelta(days=5)
LONG_AGO = timedelta(days=40)


def refuse(
    touchpoint: Touchpoint, reason: str, at: datetime = DAY, status: str = "withheld", **fields: Any
) -> Invitation:
    """Never sent. `cancelled` is what was scheduled first."""
    nothing = dict.fromkeys(("token", "send_at", "attempted_at", "sent_at", "expires_at"))
    return make_invitation(touchpoint, **{**nothing, "status": status, "reason": reason, "decided_at": at, **fields})


def wait(touchpoint: Touchpoint, at: datetime = DAY, **fields: Any) -> Invitation:
    unsent = dict.fromkeys(("attempted_at", "sent_at", "expires_at"))
    return make_invitation(touchpoint, **{**unsent, "status": "scheduled", "decided_at": at, "send_at": at, **fields})


def send(touchpoint: Touchpoint, at: datetime = DAY, *, report: str | None = None, **fields: Any) -> Invitation:
    """Sent two hours after the decision; its link works for 14 days. `report`: "" where the carrier will report and has not."""
    sent_at = fields.pop("sent_at", at + timedelta(hours=2))
    made = make_invitation(
        touchpoint,
        **{
            "decided_at": at, "send_at": sent_at, "attempted_at": sent_at, "sent_at": sent_at,
            "expires_at": sent_at + timedelta(days=14), **fields,
        },
    )  # fmt: skip
    DeliveryAttempt.objects.create(
        invitation=made, mode=made.mode, at=sent_at, result="sent", message_id=f"<{made.token or make_token()}@test>",
        reference="" if report is None else f"r-{made.pk}", receipt=report or "",
    )  # fmt: skip
    return made


def answer(invitation: Invitation, *, complete: bool = True, excluded: bool = False) -> Response:
    """Opened and answered three hours after it was sent."""
    assert invitation.sent_at is not None
    at = invitation.sent_at + timedelta(hours=3)
    Invitation.objects.filter(pk=invitation.pk).update(status="answered", opened_at=at, answered_at=at)
    return Response.objects.create(
        client_id=uuid.uuid4(), invitation=invitation, customer=invitation.customer, touchpoint=invitation.touchpoint,
        version=InstrumentVersion.objects.get(instrument=invitation.instrument), mode=invitation.mode or "link", day=at.date(),
        responded_at=at, recorded_at=at, score=9, completed_at=at if complete else None,
        excluded_at=at if excluded else None, excluded_reason="test" if excluded else "",
    )  # fmt: skip


def remind(invitation: Invitation, status: str = "sent", reason: str = "", days: int = 3) -> Reminder:
    assert invitation.sent_at is not None
    at = invitation.sent_at + timedelta(days=days)
    if status == "sent":
        Invitation.objects.filter(pk=invitation.pk).update(reminded_at=at)
    number = invitation.reminders.count() + 1
    sent_at = at if status == "sent" else None
    return Reminder.objects.create(
        invitation=invitation, number=number, status=status, reason=reason, send_at=at, sent_at=sent_at
    )


def customer_of(segment: str = "", **attributes: Any) -> Any:
    return make_customer(segment=segment, attributes=attributes)


def asked(*touchpoints: Touchpoint, days: int = 30, now: datetime = NOW, **fields: Any) -> Asked:
    """The `days` days that end with the day after DAY, in Shanghai."""
    end = datetime(2026, 11, 19, 16, 0, tzinfo=UTC)
    values = {
        "begin": end - timedelta(days=days),
        "end": end,
        "now": now,
        "zone": "Asia/Shanghai",
        "segments": Segments(),
        **fields,
    }
    return Asked(touchpoints=[one.pk for one in touchpoints], **values)
