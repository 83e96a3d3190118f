"""What pages share: a polite 503 while the database is away, content policies, and what is done for staff alone."""

from collections.abc import Callable
from typing import Any

from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import timezone, translation

from surveys.models import Organisation
from surveys.phrases import LANGUAGES, STANDARD
from surveys.texts import accepted_languages, match_language

RETRY_AFTER_S = 5
STAFF_PATHS = ("/admin/", "/api/v1/docs/", "/i18n/")


def is_for_staff(request: HttpRequest) -> bool:
    return request.path_info.startswith(STAFF_PATHS)


PAGE = """<!doctype html><html lang="{lang}"{rtl}><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
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
        lang = translation.get_language_from_request(request) if is_for_staff(request) else _readers_language(request)
        with translation.override(lang):
            page = PAGE.format(
                lang=lang,
                rtl=' dir="rtl"' if translation.get_language_bidi() else "",
                title=STANDARD["away"],
                text=STANDARD["away_text"],
            )
        response = HttpResponse(page, status=503)
    response["Retry-After"] = str(RETRY_AFTER_S)
    response["Cache-Control"] = "no-store"
    return response


def _readers_language(request: HttpRequest) -> str:
    """The form's, the page's own switch's, the browser's: what the organisation speaks is in the records that are away."""
    accepted = accepted_languages(request.headers.get("Accept-Language", ""))
    wanted = (request.POST.get("language", ""), request.GET.get("lang", ""), *accepted)
    return next(filter(None, (match_language(tag, LANGUAGES) for tag in wanted if tag.strip())), LANGUAGES[0])


class PolicyMiddleware(CSPMiddleware):
    """Strict for respondents and embeds, the looser CX_STAFF_CSP for staff; nothing for what shows nothing."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts: PolicyParts = super().get_policy_parts(request, response, report_only)
        if is_for_staff(request) and not report_only:
            parts.replace = settings.CX_STAFF_CSP | (parts.replace or {})  # a page may be stricter
        return parts

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        return response if 300 <= response.status_code < 400 else super().process_response(request, response)


class StaffOnly:
    """Mixin of a middleware that customers and machines have no use for: they have no session, no login and no messages.

    So their pages cannot set a cookie, and say themselves which language they are in.
    """

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if is_for_staff(request):
            return super().__call__(request)  # type: ignore[misc]
        return self.get_response(request)


class StaffSessionMiddleware(StaffOnly, SessionMiddleware):
    pass


class StaffLocaleMiddleware(StaffOnly, LocaleMiddleware):
    """Django's own leaves its language to the thread, which may serve a machine next."""

    def __call__(self, request: HttpRequest) -> Any:
        try:
            return super().__call__(request)
        finally:
            if is_for_staff(request):
                translation.deactivate()


class StaffAuthenticationMiddleware(StaffOnly, AuthenticationMiddleware):
    pass


class StaffMessageMiddleware(StaffOnly, MessageMiddleware):
    pass


class StaffClockMiddleware:
    """Staff read and choose times on the organisation's clock, wherever they and the server are.

    A view that `tells_own_time` has read the organisation anyway.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self.get_response(request)
        finally:
            if is_for_staff(request):
                timezone.deactivate()

    def process_view(self, request: HttpRequest, view: Any, *_: Any) -> HttpResponse | None:
        if is_for_staff(request) and not getattr(view, "tells_own_time", False):
            try:
                timezone.activate(Organisation.current().zone)
            except (OperationalError, InterfaceError):
                return away(request)
        return None
