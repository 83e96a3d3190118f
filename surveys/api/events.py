"""POST /api/v1/events/: interaction events as CloudEvents 1.0, in four content types."""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from surveys.api.base import JSON, MAX_ITEMS, CxView, FieldError, Problem, parse_json, read_body, refuse_encoded
from surveys.api.documents import CUSTOMER, ERRORS, problems
from surveys.bell import ring
from surveys.flow.incoming import Catalogue, Incoming, InputError, read_event
from surveys.flow.quarantine import Unusable, quarantine
from surveys.flow.record import record_events
from surveys.tasks import invite_pending

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PLAIN = JSON

EVENT_SCHEMA = {
    "type": "object",
    "description": "A CloudEvents 1.0 event; extension attributes are allowed.",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 200},
        "source": {"type": "string", "minLength": 1, "maxLength": 200},
        "type": {"type": "string", "minLength": 1, "maxLength": 100},
        "time": {"type": "string", "format": "date-time", "description": "At most 24 h ahead; default: the arrival."},
        "subject": {"type": "string", "description": "The customer's external id, where data names none."},
        "data": {
            "type": "object",
            "properties": {
                "touchpoint": {"type": "string", "description": "A slug; optional where the type belongs to one."},
                "reference": {"type": "string", "maxLength": 200, "description": "Such as a ticket's id."},
                "location": {"type": "string", "maxLength": 100},
                "customer": CUSTOMER,
                "facts": {"type": "object", "additionalProperties": True},
            },
        },
    },
    "additionalProperties": True,
    "example": {
        "specversion": "1.0",
        "id": "ord-1001-delivered",
        "source": "/shop/orders",
        "type": "order.delivered",
        "time": "2026-11-20T09:30:00+08:00",
        "subject": "C-42",
        "data": {"touchpoint": "delivery", "customer": {"email": "li@example.com"}, "facts": {"wait_seconds": 340}},
    },
}
BATCH_SCHEMA = {"type": "array", "maxItems": MAX_ITEMS, "items": EVENT_SCHEMA}
RESULT_SCHEMA = {
    "type": "object",
    "required": ["accepted", "duplicates", "rejected"],
    "properties": {
        "accepted": {"type": "integer"},
        "duplicates": {"type": "integer"},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"index": {"type": "integer"}, "id": {"type": ["string", "null"]}, "errors": ERRORS},
            },
        },
    },
}


class EventsView(CxView):
    scopes = {"POST": "events:write"}

    @extend_schema(
        operation_id="events_create",
        summary="Record interaction events",
        description="CloudEvents 1.0: one event, a batch of at most 1,000, or the HTTP binary mode. A repeated pair of "
        "source and id is a duplicate. What is well-formed JSON but unusable is answered with JSON Pointers, and kept.",
        request={ONE: EVENT_SCHEMA, BATCH: BATCH_SCHEMA, PLAIN: {"oneOf": [EVENT_SCHEMA, BATCH_SCHEMA]}},
        responses={
            202: OpenApiResponse(RESULT_SCHEMA, "What was recorded, what was there before, what is unusable."),
            **problems(400, 413, 415),
        },
    )
    def post(self, request: Request) -> Response:
        now = timezone.now()
        document = _document(request)
        batch = isinstance(document, list)
        items: list[Any] = document if batch else [document]
        if len(items) > MAX_ITEMS:
            raise Problem(413, f"A batch may have at most {MAX_ITEMS} events; this one has {len(items)}.")
        catalogue = Catalogue.load()
        usable: list[Incoming] = []
        unusable: list[tuple[int, Unusable]] = []
        try:
            for index, item in enumerate(items):
                try:
                    usable.append(read_event(item, catalogue, now))
                except InputError as error:
                    unusable.append((index, Unusable.of(item, error)))
        except RecursionError:
            raise Problem(400, "The body is nested too deep.") from None
        result = record_events(usable, catalogue, now)
        if result.undecided:
            ring(invite_pending)
        # After the events: when the database goes away in between, the whole is sent again and nothing is kept twice.
        quarantine([kept for _index, kept in unusable], str(getattr(request.auth, "name", "")), now)
        if unusable and not usable:
            raise Problem(400, "No event could be used; what came is kept in quarantine.", _pointers(unusable, batch))
        rejected = [{"index": index, "id": kept.id, "errors": list(kept.errors)} for index, kept in unusable]
        body = {"accepted": result.accepted, "duplicates": result.duplicates, "rejected": rejected}
        return Response(body, status=202)


def _pointers(unusable: list[tuple[int, Unusable]], batch: bool) -> list[FieldError]:
    """Faults of a whole document: in a batch, each pointer starts with its item's place."""
    return [
        FieldError(f"/{index}{error['pointer']}" if batch else error["pointer"], error["detail"])
        for index, kept in unusable
        for error in kept.errors
    ]


def _document(request: Request) -> Any:
    """The decoded event or list of events, whichever way it came. Problem 400, 413 or 415."""
    raw = request._request
    content_type = (raw.content_type or "").lower()
    refuse_encoded(request)
    structured = content_type in (ONE, BATCH)
    attributes = {} if structured else _attributes(raw)
    data = content_type == PLAIN or (bool(attributes) and (content_type.endswith("+json") or not content_type))
    if not structured and not data:
        raise Problem(415, f"Send {ONE}, {BATCH}, {PLAIN}, or {PLAIN} with ce-* headers.")
    body = read_body(request)
    if attributes:
        return attributes | ({"data": _decode(body)} if body.strip() else {})
    document = _decode(body)
    if content_type == BATCH and not isinstance(document, list):
        raise Problem(400, "A batch is an array of events.", [FieldError("", "is not an array.")])
    if content_type == ONE and isinstance(document, list):
        raise Problem(400, f"An array of events is {BATCH}.", [FieldError("", "is an array.")])
    return document


def _attributes(raw: HttpRequest) -> dict[str, Any]:
    """The ce-* headers of CloudEvents' HTTP binary mode, by attribute; their values are percent-encoded UTF-8."""
    found = {}
    for name, value in raw.headers.items():
        if name.lower().startswith("ce-"):
            text = value.strip()
            if len(text) > 1 and text[0] == text[-1] == '"':
                text = re.sub(r"\\(.)", r"\1", text[1:-1])
            # What is no UTF-8 becomes lone surrogates, which are refused with their place like any others.
            octets = unquote_to_bytes(text.encode("latin-1", "replace"))
            found[name.lower().removeprefix("ce-")] = octets.decode("utf-8", "surrogateescape")
    return found


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return parse_json(body)  # slower; says where the fault is, and lets lone surrogates through to be kept
