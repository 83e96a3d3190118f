"""Rows for tests, as plain functions: each makes the least that is valid, and takes what the test is about."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from surveys.models import (
    ApiKey,
    Customer,
    Instrument,
    InstrumentVersion,
    InteractionEvent,
    Invitation,
    InvitationRule,
    Organisation,
    Question,
    Touchpoint,
    Wording,
)
from surveys.models.invitations import make_token

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)  # 10:00 in Shanghai
_numbers = itertools.count(1)


def make_organisation(**fields: Any) -> Organisation:
    organisation = Organisation.current()
    defaults = {"name": {"en": "Harbour Tea", "zh-hans": "港湾茶"}, "time_zone": "Asia/Shanghai"}
    for name, value in {**defaults, "languages": ["en", "zh-hans"], **fields}.items():
        setattr(organisation, name, value)
    organisation.full_clean()
    organisation.save()
    return organisation


def make_instrument(slug: str = "", metric: str = "nps", points: int = 11) -> Instrument:
    """One scale question `score`, choices `reason`, open text `comment`; version 1."""
    slug = slug or f"instrument-{next(_numbers)}"
    instrument = Instrument.objects.create(slug=slug, metric=metric, points=points, name={"en": slug})
    version = InstrumentVersion.objects.create(instrument=instrument, number=1)
    questions = (
        Question(instrument=instrument, key="score", kind="scale", metric=metric, points=points),
        Question(instrument=instrument, key="reason", kind="choices"),
        Question(instrument=instrument, key="comment", kind="verbatim"),
    )
    for position, question in enumerate(questions):
        question.save()
        Wording.objects.create(
            version=version,
            question=question,
            position=position,
            text={"en": f"{question.key}?", "zh-hans": f"{question.key}？"},
            required=question.key == "score",
            options={"price": {"en": "Price", "zh-hans": "价格"}, "speed": {"en": "Speed", "zh-hans": "速度"}}
            if question.kind == "choices"
            else {},
        )
    return instrument


def make_touchpoint(slug: str = "", instrument: Instrument | None = None, **fields: Any) -> Touchpoint:
    slug = slug or f"touchpoint-{next(_numbers)}"
    defaults = {"channel": "website", "name": {"en": slug.title()}, "instrument": instrument or make_instrument()}
    return Touchpoint.objects.create(slug=slug, **{**defaults, **fields})


def make_customer(external_id: str = "", **fields: Any) -> Customer:
    external_id = external_id or f"C-{next(_numbers)}"
    defaults = {"email": f"{external_id.lower()}@example.com", "language": "en", "profile_at": NOW}
    return Customer.objects.create(external_id=external_id, **{**defaults, **fields})


def make_rule(touchpoint: Touchpoint | None = None, **fields: Any) -> InvitationRule:
    defaults: dict[str, Any] = {"slug": f"rule-{next(_numbers)}", "event_type": "order.delivered", "modes": ["email"]}
    return InvitationRule.objects.create(touchpoint=touchpoint or make_touchpoint(), **{**defaults, **fields})


def make_event(customer: Customer | None = None, **fields: Any) -> InteractionEvent:
    defaults: dict[str, Any] = {
        "source": "/test",
        "event_id": f"e-{next(_numbers)}",
        "type": "order.delivered",
        "time": NOW,
    }
    return InteractionEvent.objects.create(customer=customer or make_customer(), **{**defaults, **fields})


def make_invitation(
    touchpoint: Touchpoint | None = None, customer: Customer | None = None, **fields: Any
) -> Invitation:
    """A sent email invitation that may be answered for 14 days."""
    touchpoint = touchpoint or make_touchpoint()
    defaults: dict[str, Any] = {
        "instrument": touchpoint.instrument,
        "mode": "email",
        "status": "sent",
        "token": make_token(),
        "language": "en",
        "decided_at": NOW,
        "send_at": NOW,
        "attempted_at": NOW,
        "sent_at": NOW,
        "expires_at": NOW + timedelta(days=14),
    }
    customer = customer or make_customer()
    return Invitation.objects.create(touchpoint=touchpoint, customer=customer, **{**defaults, **fields})


def make_api_key(*scopes: str, name: str = "test") -> str:
    """The key itself, to be sent as `Authorization: Bearer KEY`."""
    _row, key = ApiKey.objects.create_key(name=name, scopes=list(scopes))
    return str(key)
