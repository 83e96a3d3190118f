"""The widget's two questions to the server: may this customer be asked, and one more view. In: small POST bodies. Out: JSON, or 204.

A page of another site asks the first, so its Origin must be one of the touchpoint's; our own frame tells the second, so its Origin
must be ours. No cookie is set or read, nothing is kept in a cache, and no answer to a survey ever comes here.
"""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from msgspec import Meta, Struct

from surveys.flow.ask import ask_customer
from surveys.flow.count import count_view
from surveys.flow.identify import BadToken, read_token
from surveys.flow.pace import Pace
from surveys.forms import storable
from surveys.models import Invitation, Organisation, Touchpoint, WidgetCount
from surveys.visitor import address_of

BODY_MAX = 8 * 1024
RETRY_AFTER_S = 60
INACTIVE = "inactive"

# A minute's most. Of one customer, whose token was believed: any page view may ask. Of one address, whose views are counted: a
# whole company may be behind it.
asks = Pace(30)
views = Pace(600)

View = Callable[..., HttpResponse]


class AskIn(Struct):
    """The body of ask/. What the page says of itself comes again with the answer; here it is only held to its shape."""

    token: Annotated[str, Meta(min_length=1)]
    location: Annotated[str, Meta(max_length=100)] | None = None
    lang: Annotated[str, Meta(max_length=100)] | None = None  # the page's own
    reference: Any = None
    facts: Any = None


def endpoint(view: View) -> View:
    """POST without cookie and CSRF token, never cached; the touchpoint of the key in the address, or 404."""

    @csrf_exempt
    @require_POST
    @wraps(view)
    def wrapped(request: HttpRequest, public_key: str) -> HttpResponse:
        touchpoint = Touchpoint.objects.select_related("instrument").filter(public_key=storable(public_key)).first()
        response = view(request, touchpoint) if touchpoint is not None else HttpResponse(status=404)
        response["Cache-Control"] = "no-store"
        response["X-Robots-Tag"] = "noindex"
        return response

    return wrapped


@endpoint
def ask(request: HttpRequest, touchpoint: Touchpoint) -> HttpResponse:
    """/w/{public_key}/ask/: whether the customer whom the token names is to be asked, and where the form is.

    200 with {"show": true, "url": …} or {"show": false, "reason": …}; 403 from a page that may not ask, without a word of CORS, so that
    its browser reads nothing; 400, 413 and 429 for what no page of good will sends.
    """
    origin = request.headers.get("Origin", "")
    if origin not in touchpoint.allowed_origins:
        response: HttpResponse = JsonResponse({"show": False, "reason": "origin"}, status=403)
    else:
        response = _ask(request, touchpoint)
        response["Access-Control-Allow-Origin"] = origin
    response["Vary"] = "Origin"
    return response


def _ask(request: HttpRequest, touchpoint: Touchpoint) -> HttpResponse:
    now = timezone.now()
    body = _body(request)
    if body is None:
        return _no("too_large", status=413)
    try:
        given = msgspec.json.decode(body, type=AskIn)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _no("malformed", status=400, detail="The body is JSON: an object with “token”, a text.")
    if not (touchpoint.public and touchpoint.active) or touchpoint.instrument is None:
        return _no(INACTIVE)
    try:
        external_id = read_token(given.token, touchpoint.public_key, now)
    except BadToken as error:
        return _no(error.reason, detail=error.detail)
    if not asks.allows((touchpoint.pk, external_id), now):
        response = _no("too_often", status=429)
        response["Retry-After"] = str(RETRY_AFTER_S)
        return response
    row = ask_customer(
        external_id,
        touchpoint,
        touchpoint.instrument,
        now,
        location=storable(given.location or ""),
        language=given.lang or "",
    )
    if row.status == Invitation.Status.WITHHELD:
        return _no(row.reason)
    return JsonResponse({"show": True, "url": settings.BASE_URL + reverse("invited", args=[row.token])})


def _no(reason: str, *, status: int = 200, detail: str = "") -> HttpResponse:
    said = {"show": False, "reason": reason}
    return JsonResponse(said | {"detail": detail} if detail else said, status=status)


def _body(request: HttpRequest) -> bytes | None:
    """The body; None where it is too large, and then it is not read to its end."""
    if _is_too_large(request):
        return None
    body = request.read(BODY_MAX + 1)
    return body if len(body) <= BODY_MAX else None


def _is_too_large(request: HttpRequest) -> bool:
    said = request.headers.get("Content-Length") or "0"
    return not (said.isascii() and said.isdigit() and int(said) <= BODY_MAX)


@endpoint
def seen(request: HttpRequest, touchpoint: Touchpoint) -> HttpResponse:
    """/w/{public_key}/seen/: one more shown, started or dismissed. 204; 403 from elsewhere than our own frame."""
    if request.headers.get("Origin", "") not in (settings.BASE_URL, f"{request.scheme}://{request.get_host()}"):
        return HttpResponse(status=403)
    if _is_too_large(request):
        return HttpResponse(status=413)
    event = request.POST.get("event", "")
    if event not in WidgetCount.Event.values:
        return HttpResponse(status=400)
    now = timezone.now()
    if not views.allows((touchpoint.pk, address_of(request)), now):
        return HttpResponse(status=429, headers={"Retry-After": str(RETRY_AFTER_S)})
    if touchpoint.public and touchpoint.active:
        count_view(touchpoint.pk, Organisation.current().day_of(now), event)
    return HttpResponse(status=204)
