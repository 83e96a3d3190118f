"""POST /api/v1/events/: interaction events as CloudEvents 1.0, in four content types."""

from typing import Any
from urllib.parse import unquote

import msgspec
from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from surveys.api.base import MAX_ITEMS, CxView, FieldError, Problem, parse_json, read_body
from surveys.bell import ring
from surveys.flow.incoming import Catalogue, Incoming, InputError, read_event
from surveys.flow.quarantine import quarantine
from surveys.flow.record import record_events
from surveys.tasks import invite_pending

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PLAIN = "application/json"


class EventsView(CxView):
    scopes = {"POST": "events:write"}

    @extend_schema(
        summary="Record interaction events",
        description="CloudEvents 1.0: one event, a batch of at most 1,000, or the HTTP binary mode.",
        request={ONE: OpenApiTypes.OBJECT, BATCH: OpenApiTypes.OBJECT, PLAIN: OpenApiTypes.OBJECT},
        responses={202: OpenApiTypes.OBJECT, 400: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request) -> Response:
        now = timezone.now()
        document = _document(request._request, request)
        batch = isinstance(document, list)
        items: list[Any] = document if isinstance(document, list) else [document]
        if len(items) > MAX_ITEMS:
            raise Problem(413, f"A batch may have at most {MAX_ITEMS} events; this one has {len(items)}.")
        if not items:
            raise Problem(400, "The batch is empty.", [FieldError("", "has no event.")])
        catalogue = Catalogue.load()
        usable: list[Incoming] = []
        unusable: list[tuple[int, InputError]] = []
        for index, item in enumerate(items):
            try:
                usable.append(read_event(item, catalogue, now))
            except InputError as error:
                unusable.append((index, error))
        if unusable:
            key_name = str(getattr(request.auth, "name", ""))
            quarantine(((items[index], error) for index, error in unusable), key_name, now)
        if unusable and not usable:
            raise Problem(400, "No event could be used; what came is kept in quarantine.", _pointers(unusable, batch))
        result = record_events(usable, catalogue, now)
        if result.undecided:
            ring(invite_pending)
        rejected = [
            {
                "index": index,
                "id": _id_of(items[index]),
                "errors": [FieldError(pointer, _text(detail)).as_dict() for pointer, detail in error.errors],
            }
            for index, error in unusable
        ]
        body = {"accepted": result.accepted, "duplicates": result.duplicates, "rejected": rejected}
        return Response(body, status=202)


def _pointers(unusable: list[tuple[int, InputError]], batch: bool) -> list[FieldError]:
    return [
        FieldError(f"/{index}{pointer}" if batch else pointer, _text(detail))
        for index, error in unusable
        for pointer, detail in error.errors
    ]


def _text(detail: str) -> str:
    return detail.encode("utf-8", "replace").decode()


def _id_of(item: Any) -> str | None:
    found = item.get("id") if isinstance(item, dict) else None
    return _text(found)[:200] if isinstance(found, str) else None


def _document(raw: HttpRequest, request: Request) -> Any:
    """The decoded event or list of events, whichever way it came. Problem 400, 413 or 415."""
    content_type = (raw.content_type or "").lower()
    if raw.content_params and raw.content_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, "JSON is UTF-8; send it without another charset.")
    binary = any(name.lower() == "ce-specversion" for name in raw.headers)
    if content_type not in (ONE, BATCH, PLAIN):
        raise Problem(415, f"Send {ONE}, {BATCH}, {PLAIN}, or {PLAIN} with ce-* headers.")
    body = read_body(request)
    if binary and content_type == PLAIN:
        return _binary_event(raw, _decode(body) if body.strip() else {})
    document = _decode(body)
    if content_type == BATCH and not isinstance(document, list):
        raise Problem(400, "A batch is an array of events.", [FieldError("", "is not an array.")])
    if content_type == ONE and isinstance(document, list):
        raise Problem(400, f"An array of events is {BATCH}.", [FieldError("", "is an array.")])
    return document


def _binary_event(raw: HttpRequest, data: Any) -> dict[str, Any]:
    """CloudEvents' HTTP binary mode: attributes in percent-encoded ce-* headers, the data as the body."""
    event: dict[str, Any] = {"data": data}
    for name, value in raw.headers.items():
        if name.lower().startswith("ce-"):
            event[name.lower().removeprefix("ce-")] = unquote(value.strip().strip('"'), errors="replace")
    return event


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return parse_json(body)  # slower; says where the fault is, and lets lone surrogates through to be kept
