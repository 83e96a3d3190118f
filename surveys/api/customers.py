"""DELETE customers/{external_id}/ and GET customers/{external_id}/export/: a person's rights over what is held."""

from typing import NoReturn

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from surveys.api.base import CxView, Problem
from surveys.api.documents import problems
from surveys.flow.erase import NoSuchCustomer, erase_customer, export_customer

_LIST = {"type": "array", "items": {"type": "object"}}
EXPORT_SCHEMA = {
    "type": "object",
    "properties": {
        "customer": {"type": "object"},
        **dict.fromkeys(
            (
                *("events", "tickets", "invitations", "responses", "suppressions", "lifted_suppressions", "consents"),
                *("messages", "texts", "quarantine"),
            ),
            _LIST,
        ),
    },
}


class CustomerView(CxView):
    scopes = {"DELETE": "customers:write"}

    @extend_schema(
        operation_id="customers_erase",
        summary="Erase a customer's personal data",
        description="Aggregates keep their counts. When the same external id comes again, it is a new person.",
        request=None,
        responses={204: OpenApiResponse(description="Erased."), **problems(404)},
    )
    def delete(self, request: Request, external_id: str) -> Response:
        try:
            erase_customer(external_id, timezone.now())
        except NoSuchCustomer:
            _unknown()
        return Response(status=204)


class CustomerExportView(CxView):
    scopes = {"GET": "customers:read"}

    @extend_schema(
        operation_id="customers_export",
        summary="All that is held of a customer",
        responses={200: EXPORT_SCHEMA, **problems(404)},
    )
    def get(self, request: Request, external_id: str) -> Response:
        try:
            return Response(export_customer(external_id))
        except NoSuchCustomer:
            _unknown()


def _unknown() -> NoReturn:
    raise Problem(404, "Nobody is known by this external id.")
