"""What every REST view shares: keys and scopes, RFC 9457 problems, cursor pages, strict JSON.

In: a request with `Authorization: Bearer KEY`. Out: JSON, or `application/problem+json`. No business rule may be here.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, NoReturn, cast

from django.db import InterfaceError, OperationalError
from django.http import Http404
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from surveys.models import ApiKey

JSON = "application/json"
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_ITEMS = 1000
RETRY_AFTER_S = 5  # told to clients while the database is away

TITLES = {
    400: "Bad input",
    401: "No valid API key",
    403: "The key lacks a scope",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported content type",
    429: "Too many requests",
    500: "Internal error",
    503: "Temporarily unavailable",
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong at one place of the input; `pointer` is a JSON Pointer (RFC 6901), "" for the whole."""

    pointer: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        return {"pointer": self.pointer, "detail": self.detail}


class Problem(exceptions.APIException):
    """An RFC 9457 answer: raise it anywhere in a view."""

    def __init__(self, status_code: int, detail: str, errors: Iterable[FieldError] = ()) -> None:
        super().__init__(detail)
        self.status_code = status_code
        self.errors = tuple(errors)


class BearerKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`. `request.auth` becomes the ApiKey."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return None
        try:
            api_key = cast(ApiKey, ApiKey.objects.get_from_key(key.strip()))
        except ApiKey.DoesNotExist:
            raise exceptions.AuthenticationFailed("This API key is unknown or revoked.") from None
        if api_key.has_expired:
            raise exceptions.AuthenticationFailed("This API key has expired.")
        return None, api_key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class BearerKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document describes keys; found by drf-spectacular through its base class."""

    target_class = BearerKeyAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key with the scope that the call needs."}


class HasScope(BasePermission):
    """The view's `scopes` name, per method, the scope that a key must have."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.auth is None:
            raise exceptions.NotAuthenticated("Send an API key: Authorization: Bearer KEY.")
        method = "GET" if request.method in ("HEAD", "OPTIONS") else str(request.method)
        scope = getattr(view, "scopes", {}).get(method)
        key = cast(ApiKey, request.auth)
        if scope is not None and scope not in key.scopes:
            raise exceptions.PermissionDenied(f"This needs a key with the scope {scope}.")
        return True


class ProblemRenderer(JSONRenderer):
    media_type = "application/problem+json"
    format = "problem"


class CxView(APIView):
    """Base of every REST view of ours. Set `scopes = {"GET": "metrics:read"}`."""

    authentication_classes = [BearerKeyAuthentication]
    permission_classes = [HasScope]
    renderer_classes = [JSONRenderer]
    scopes: dict[str, str] = {}


class CursorPages(CursorPagination):
    """`{"next": URL|null, "previous": URL|null, "results": […]}`. Set `ordering` in a subclass."""

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000


def page_size(request: Request) -> int:
    """How many rows a page is to have, as CursorPages reads it."""
    size = CursorPages().get_page_size(request)
    return int(size or CursorPages.page_size)


class UnknownPathView(CxView):
    """Whatever no other route of /api/v1/ takes: a problem, not a page."""

    permission_classes = []
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise Problem(404, "There is no such resource; /api/v1/docs/ lists what there is.")


def problem(status_code: int, detail: str, errors: Iterable[FieldError] = ()) -> Response:
    """The RFC 9457 body; rendered as application/problem+json."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status_code, "Error"),
        "status": status_code,
        "detail": detail,
    }
    pointers = [error.as_dict() for error in errors]
    if pointers:
        body["errors"] = pointers
    return Response(body, status=status_code, content_type="application/problem+json")


def problem_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER: every error as a problem; a database that is away as 503 with Retry-After."""
    if isinstance(error, OperationalError | InterfaceError):
        response = problem(503, "The database does not answer at the moment. Nothing was recorded; send it again.")
        response["Retry-After"] = str(RETRY_AFTER_S)
        return response
    if isinstance(error, Http404):
        return problem(404, str(error) or "There is nothing here.")
    if isinstance(error, Problem):
        return problem(error.status_code, str(error.detail), error.errors)
    if not isinstance(error, exceptions.APIException):
        return None
    errors = tuple(_flatten(error.detail)) if isinstance(error, exceptions.ValidationError) else ()
    detail = "The input is not valid." if errors else str(error.detail)
    response = problem(error.status_code, detail, errors)
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        response.status_code = status.HTTP_401_UNAUTHORIZED
        response["WWW-Authenticate"] = 'Bearer realm="api"'
    wait = getattr(error, "wait", None)
    if wait is not None:
        response["Retry-After"] = str(max(1, int(wait)))
    return response


def _flatten(detail: Any, pointer: str = "") -> Iterable[FieldError]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from _flatten(
                value, pointer if key == "non_field_errors" else f"{pointer}/{escape_pointer(str(key))}"
            )
    elif isinstance(detail, list):
        for index, value in enumerate(detail):
            yield from _flatten(value, pointer if not isinstance(value, dict) else f"{pointer}/{index}")
    else:
        yield FieldError(pointer, str(detail))


def escape_pointer(token: str) -> str:
    """One reference token of a JSON Pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


def read_body(request: Request) -> bytes:
    """The raw body, at most MAX_BODY_BYTES; 413 above. Reads no more than it must of a longer one."""
    declared = request.META.get("CONTENT_LENGTH") or "0"
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise Problem(413, f"A body may have at most {MAX_BODY_BYTES} bytes.")
    # Without a Content-Length Django reads nothing at all; a server that knows where a chunked body ends says so.
    chunked = not request.META.get("CONTENT_LENGTH") and request.META.get("wsgi.input_terminated")
    stream = request.META["wsgi.input"] if chunked else request._request
    body: bytes = stream.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise Problem(413, f"A body may have at most {MAX_BODY_BYTES} bytes.")
    return body


def refuse_encoded(request: Request) -> None:
    """415 for what is compressed, or says that it is in another charset: JSON is UTF-8."""
    raw = request._request
    if (raw.content_params or {}).get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, "JSON is UTF-8; send it without another charset.")
    if raw.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "Send the body without a content encoding.")


def read_json(request: Request) -> Any:
    """The decoded body of a request that says application/json. Problem 400, 413 or 415."""
    refuse_encoded(request)
    if (request._request.content_type or "").lower() != JSON:
        raise Problem(415, f"Send {JSON}.")
    return parse_json(read_body(request))


def filter_faults(query: Any, known: Iterable[str]) -> list[FieldError]:
    """What no filter can be: another name, or a value that the database cannot hold."""
    faults = [FieldError(f"/{escape_pointer(name)}", "is not a filter.") for name in query if name not in known]
    return faults + [
        FieldError(f"/{name}", "contains a NUL character.")
        for name in query
        if name in known and any("\x00" in value for value in query.getlist(name))
    ]


def read_day(text: str) -> date | None:
    """A day such as 2026-11-20; None for anything else, other spellings of ISO 8601 too."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_json(body: bytes) -> Any:
    """Strict JSON (no NaN, UTF-8 only); 400 with the position of the fault."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Problem(400, f"The body is not UTF-8 (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        detail = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise Problem(400, detail) from None
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"The body is not usable JSON: {error}.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
