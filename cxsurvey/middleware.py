"""What every page shares: a polite 503 while the database is away, and the staff's own content policy."""

from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from surveys.models import Organisation

RETRY_AFTER_S = 5
STAFF_PATHS = ("/admin/", "/api/v1/docs/", "/i18n/")

PAGE = """<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>"""


class DatabaseAwayMiddleware:
    """A database that is away is a 503 with Retry-After, never a 500; the next request after its return works."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        return away(request)


def away(request: HttpRequest) -> HttpResponse:
    """The 503 itself: a problem document for programs, a page for people."""
    response: HttpResponse
    if request.path.startswith("/api/"):
        body = {"type": "about:blank", "title": "Temporarily unavailable", "status": 503}
        body["detail"] = "The database does not answer at the moment. Nothing was recorded; send it again."
        response = JsonResponse(body, status=503, content_type="application/problem+json")
    else:
        title = _("One moment, please")
        text = _("We cannot reach our records just now. Please try again in a few seconds; nothing is lost.")
        lang = getattr(request, "LANGUAGE_CODE", "en")
        response = HttpResponse(PAGE.format(lang=lang, title=title, text=text), status=503)
    response["Retry-After"] = str(RETRY_AFTER_S)
    response["Cache-Control"] = "no-store"
    return response


class StaffPolicyMiddleware:
    """Gives staff pages the looser policy of CX_STAFF_CSP; everything else keeps the strict one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith(STAFF_PATHS):
            response._csp_replace = settings.CX_STAFF_CSP  # type: ignore[attr-defined]
        return response


class StaffClockMiddleware:
    """Staff read and choose times on the organisation's clock, wherever they and the server are."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/admin/"):
            return self.get_response(request)
        try:
            zone = Organisation.current().zone
        except (OperationalError, InterfaceError):
            return away(request)
        with timezone.override(zone):
            return self.get_response(request)
