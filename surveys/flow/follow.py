"""Where an invited customer's link leads. In: a token. Out: all that the form needs to know, read by one statement.

Answering is what this system does most, and five lookups through the ORM cost four times the answer itself.
"""

import itertools
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from surveys.flow.prepared import Prepared
from surveys.flow.segments import SEGMENT_SQL, segment_of
from surveys.models import Customer, Instrument, InstrumentVersion, Invitation, Organisation, Response, Touchpoint
from surveys.models.customers import OTHER_SEGMENT

CLOSED = frozenset({Invitation.Status.EXPIRED, Invitation.Status.CANCELLED, Invitation.Status.WITHHELD})


@dataclass(frozen=True, slots=True)
class Link:
    """An invitation with its customer and touchpoint, the version to ask with, and whether it is answered.

    The rows hold the columns of `_READ` and load any other when asked. `segment` is None where it is not known yet how
    the customer's answers count. Two links with the same `asks` are asked the same questions in the same words.
    """

    organisation: Organisation
    invitation: Invitation
    version: InstrumentVersion
    response: Response | None
    segment: str | None
    asks: tuple[Any, ...]

    def is_closed(self, now: datetime) -> bool:
        """Expired, cancelled, or never to be answered."""
        expires_at = self.invitation.expires_at
        return self.invitation.status in CLOSED or (expires_at is not None and expires_at <= now)


def follow_token(token: str, version_id: int = 0) -> Link | None:
    """The link of a token; None for an unknown one, or a customer who was erased.

    The version is the one with `version_id`, so that an answer is held against what was shown; else the instrument's newest.
    """
    with connection.cursor() as cursor:
        _LINK.execute(cursor, {"token": token, "version": version_id})
        row = cursor.fetchone()
    if row is None:
        return None
    values = iter(row)
    organisation, invitation, customer, touchpoint, version, instrument, response = (
        _made(model, names, [next(values) for _name in names]) for model, _alias, names in _READ
    )
    known_segment = next(values)
    invitation.customer, invitation.touchpoint = customer, touchpoint
    version.instrument = instrument
    segment = segment_of(customer.segment, customer.attributes, organisation)
    is_known = segment in ("", OTHER_SEGMENT, known_segment)
    asks = tuple(itertools.compress(row, _ASKS))
    return Link(
        organisation, invitation, version, response if response.pk else None, segment if is_known else None, asks
    )


_OPEN = Prepared(
    "cx_open",
    f"""
UPDATE {Invitation._meta.db_table} SET opened_at = %(now)s,
status = CASE WHEN status IN ('sent', 'delivered') THEN 'opened' ELSE status END WHERE id = %(id)s AND opened_at IS NULL
""",
    {"now": "timestamptz", "id": "bigint"},
)


def note_opened(invitation: Invitation, now: datetime) -> None:
    """The first GET's time; it may have been a scanner's."""
    if invitation.opened_at is not None:
        return
    with connection.cursor() as cursor:
        _OPEN.execute(cursor, {"now": now, "id": invitation.pk})


def _columns(model: Any, *names: str) -> tuple[str, ...]:
    """The named columns in the model's own order, in which `from_db` wants them."""
    return tuple(field.attname for field in model._meta.concrete_fields if field.attname in names)


_OF_PAGES = ("privacy", "privacy_notice_id", "accent", "radius", "scheme", "logo_id", "phrases")
_OF_INVITATION = ("id", "customer_id", "touchpoint_id", "instrument_id", "mode", "status", "language", "location")
_READ: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (
        Organisation,
        "o",
        _columns(Organisation, "id", "name", "languages", "time_zone", "segment_attribute", *_OF_PAGES),
    ),
    (Invitation, "i", _columns(Invitation, *_OF_INVITATION, "expires_at", "opened_at")),
    (Customer, "c", _columns(Customer, "id", "segment", "attributes")),
    (Touchpoint, "t", _columns(Touchpoint, "id", "slug", "name", "public_key", "allowed_origins")),
    (InstrumentVersion, "v", _columns(InstrumentVersion, "id", "number", "answered", "instrument_id")),
    (Instrument, "n", _columns(Instrument, "id", "metric", "points", "max_questions")),
    (Response, "r", _columns(Response, "id", "invitation_id", "client_id")),
)
# Which of the columns make the questions and their wording what they are. All can be hashed: JSON comes as text here.
_ASKS = [
    model in (Organisation, Touchpoint, InstrumentVersion, Instrument) for model, _alias, names in _READ for _ in names
]
_JSON = frozenset({"name", "languages", "privacy", "attributes", "phrases", "allowed_origins"})
_LINK = Prepared(
    "cx_link",
    f"""
SELECT {", ".join(f"{alias}.{name}" for _model, alias, names in _READ for name in names)}, s.name
FROM surveys_invitation i
JOIN surveys_organisation o ON o.id = 1
JOIN surveys_customer c ON c.id = i.customer_id AND c.erased_at IS NULL
JOIN surveys_touchpoint t ON t.id = i.touchpoint_id
JOIN surveys_instrument n ON n.id = i.instrument_id
CROSS JOIN LATERAL (
    SELECT * FROM surveys_instrumentversion WHERE instrument_id = i.instrument_id
    ORDER BY id = %(version)s DESC, number DESC LIMIT 1
) v
LEFT JOIN surveys_response r ON r.invitation_id = i.id
LEFT JOIN surveys_segment s ON s.name = {SEGMENT_SQL}
WHERE i.token = %(token)s
""",
    {"token": "text", "version": "bigint"},
)


def _made(model: Any, names: tuple[str, ...], values: list[Any]) -> Any:
    """A row of some columns; psycopg2 hands JSON over as text here."""
    return model.from_db(
        "default",
        names,
        [
            json.loads(value) if name in _JSON and isinstance(value, str) else value
            for name, value in zip(names, values, strict=True)
        ],
    )
