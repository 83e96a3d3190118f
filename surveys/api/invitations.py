"""GET and POST /api/v1/invitations/: every decision with its reason, and inviting one customer through the same gates."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from msgspec import Meta, Struct
from rest_framework.request import Request
from rest_framework.response import Response as Answered

from surveys.api.base import JSON, CursorPages, CxView, FieldError, Problem, filter_faults, read_json
from surveys.api.documents import (
    CUSTOMER,
    MOMENT,
    MOMENT_OR_NULL,
    NAME,
    TEXT,
    TEXT_OR_NULL,
    page_of,
    problems,
)
from surveys.bell import ring
from surveys.flow.customers import upsert_customer
from surveys.flow.incoming import InputError, pointed, read_profile, refuse_unstorable, shaped_customer
from surveys.flow.invite import invite_customer
from surveys.models import Instrument, Invitation, Touchpoint
from surveys.tasks import deliver_due

FILTERS = {
    "customer": "customer__external_id",
    "touchpoint": "touchpoint__slug",
    "status": "status",
    "reason": "reason",
    "event_source": "event__source",
    "event_id": "event__event_id",
}


INVITATION_IN_SCHEMA = {
    "type": "object",
    "required": ["touchpoint", "customer"],
    "additionalProperties": False,
    "properties": {
        "touchpoint": {"type": "string", "description": "A slug."},
        "customer": {**CUSTOMER, "required": ["external_id"]},
        "instrument": {"type": ["string", "null"], "description": "A slug; the touchpoint's where it is left out."},
        "mode": {"type": "string", "enum": ["email"], "default": "email"},
        "location": NAME,
    },
    "example": {"touchpoint": "delivery", "customer": {"external_id": "C-42", "email": "li@example.com"}},
}
_INVITATION = {
    "id": {"type": "integer"},
    "status": {"type": "string", "enum": list(Invitation.Status.values)},
    "reason": {"type": "string", "description": "Why it was not sent: the most lasting reason; empty where it was."},
    "detail": TEXT,
    "customer": TEXT,
    "touchpoint": TEXT,
    "instrument": TEXT,
    "rule": TEXT_OR_NULL,
    "event": {"type": ["object", "null"], "required": ["source", "id"], "properties": {"source": TEXT, "id": TEXT}},
    "period": {
        "type": ["string", "null"],
        "format": "date",
        "description": "The first day of the period, where a calendar was the occasion and no event.",
    },
    "mode": TEXT_OR_NULL,
    "decided_at": MOMENT,
    **dict.fromkeys(("send_at", "sent_at", "opened_at", "answered_at", "expires_at"), MOMENT_OR_NULL),
}
INVITATION_SCHEMA = {
    "type": "object",
    "required": list(_INVITATION),
    "additionalProperties": False,
    "properties": _INVITATION,
}


class InvitationIn(Struct, forbid_unknown_fields=True):
    """The body of POST invitations/."""

    touchpoint: str
    customer: dict[str, Any]
    instrument: str | None = None
    mode: str = "email"
    location: Annotated[str, Meta(max_length=100)] = ""


class InvitationPages(CursorPages):
    ordering = ("-decided_at", "-id")


class InvitationsView(CxView):
    scopes = {"GET": "responses:read", "POST": "events:write"}

    @extend_schema(
        operation_id="invitations_list",
        summary="List every decision to ask or not to ask, newest first",
        parameters=[
            *(
                OpenApiParameter(
                    name,
                    str,
                    many=True,
                    description="May repeat.",
                    enum=Invitation.Status.values if name == "status" else None,
                )
                for name in FILTERS
            ),
            OpenApiParameter("cursor", str),
            OpenApiParameter("page_size", int, description="At most 1,000; 100 where it is left out."),
        ],
        responses={200: page_of(INVITATION_SCHEMA), **problems(400, 404)},
    )
    def get(self, request: Request) -> Answered:
        query = request.query_params
        wrong = filter_faults(query, (*FILTERS, "cursor", "page_size"))
        if any(status not in Invitation.Status.values for status in query.getlist("status")):
            wrong.append(FieldError("/status", f"is one of {', '.join(Invitation.Status.values)}."))
        if wrong:
            raise Problem(400, "The query is not valid.", wrong)
        rows = Invitation.objects.select_related("customer", "touchpoint", "instrument", "rule", "event")
        for name, column in FILTERS.items():
            if query.getlist(name):
                rows = rows.filter(**{f"{column}__in": query.getlist(name)})
        pages = InvitationPages()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response([shown(row) for row in page or []])

    @extend_schema(
        summary="Invite one customer, through the same eligibility rules",
        operation_id="invitations_create",
        request={JSON: INVITATION_IN_SCHEMA},
        responses={
            201: OpenApiResponse(INVITATION_SCHEMA, "The decision: `scheduled`, or `withheld` with its reason."),
            **problems(400, 413, 415),
        },
    )
    def post(self, request: Request) -> Answered:
        now = timezone.now()
        body = read_json(request)
        try:
            refuse_unstorable(body)
            given, touchpoint, instrument, profile = _read(body, now)
        except InputError as error:
            raise Problem(400, "The invitation is not valid.", [FieldError(*found) for found in error.errors]) from None
        customer = upsert_customer(profile, now, now)
        row = invite_customer(customer, touchpoint, instrument, now, modes=[given.mode], location=given.location)
        if row.status == Invitation.Status.SCHEDULED:
            ring(deliver_due)
        return Answered(shown(row), status=201)


def _read(body: Any, now: datetime) -> tuple[InvitationIn, Touchpoint, Instrument, Any]:
    try:
        given = msgspec.convert(body, InvitationIn, strict=True)
    except msgspec.ValidationError as error:
        raise InputError([pointed(str(error))]) from None
    errors: list[tuple[str, str]] = []
    touchpoint = Touchpoint.objects.select_related("instrument").filter(slug=given.touchpoint).first()
    if touchpoint is None:
        errors.append(("/touchpoint", f"“{given.touchpoint}” is not a touchpoint."))
    instrument = touchpoint.instrument if touchpoint else None
    if given.instrument is not None:
        instrument = Instrument.objects.filter(slug=given.instrument).first()
    if touchpoint is not None and (instrument is None or instrument.current_version() is None):
        errors.append(("/instrument", "is not known, or missing where the touchpoint has none."))
    if given.mode != "email":
        errors.append(("/mode", f"“{given.mode}” cannot be sent here; “email” can."))
    customer = shaped_customer(given.customer, "/customer")
    external_id = customer.external_id if isinstance(customer.external_id, str) else ""
    if not external_id:
        errors.append(("/customer/external_id", "is missing."))
    profile = read_profile(customer, external_id, "/customer", errors, now)
    if errors or touchpoint is None or instrument is None:
        raise InputError(errors)
    return given, touchpoint, instrument, profile


def shown(row: Invitation) -> dict[str, Any]:
    """An invitation as the API shows it. The token is not shown: it is the right to answer."""
    return {
        "id": row.pk,
        "status": row.status,
        "reason": row.reason,
        "detail": row.detail,
        "customer": row.customer.external_id,
        "touchpoint": row.touchpoint.slug,
        "instrument": row.instrument.slug,
        "rule": row.rule.slug if row.rule else None,
        "event": {"source": row.event.source, "id": row.event.event_id} if row.event else None,
        "period": row.period.isoformat() if row.period else None,
        "mode": row.mode or None,
        **{
            name: moment.isoformat() if (moment := getattr(row, name)) else None
            for name in ("decided_at", "send_at", "sent_at", "opened_at", "answered_at", "expires_at")
        },
    }
