"""What providers of texts and of email post to us. In: their signed requests. Out: rows, and the word that they wait for.

    POST /sms/inbound/{provider}/    a customer's text
    POST /sms/status/{provider}/     what became of a text
    POST /email/status/{provider}/   what became of a letter
    POST /email/inbound/{provider}/  a mail to the address for unsubscribing

The provider's signature or secret is the only authority: no session, no CSRF token. The same request again changes nothing.
"""

import logging
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from django.views.generic import View

from surveys.bell import ring
from surveys.channels import sms
from surveys.channels.email import inbound as inbound_mail
from surveys.channels.email import tracking
from surveys.channels.sms.shape import Provider, Webhook
from surveys.flow.converse import take_text
from surveys.flow.receipts import note_receipts
from surveys.flow.take_mail import take_mail
from surveys.letters import Forged, Unreadable
from surveys.tasks import answer_texts, settle_receipts

logger = logging.getLogger(__name__)


@csrf_exempt
@never_cache
@require_POST
def inbound(request: HttpRequest, provider: str) -> HttpResponse:
    """/sms/inbound/{provider}/: texts of customers, each taken once."""

    def take(found: Provider, webhook: Webhook) -> None:
        texts = found.read_texts(webhook)
        now = timezone.now()
        taken = [take_text(text, found.name, now) for text in texts]
        if any(row is not None and row.reply for row in taken):
            ring(answer_texts)

    return _heard(request, provider, take)


@csrf_exempt
@never_cache
@require_POST
def status(request: HttpRequest, provider: str) -> HttpResponse:
    """/sms/status/{provider}/: receipts."""

    def take(found: Provider, webhook: Webhook) -> None:
        if note_receipts(found.read_reports(webhook), found.name, timezone.now()):
            ring(settle_receipts)

    return _heard(request, provider, take)


@csrf_exempt
@never_cache
def email_status(request: HttpRequest, provider: str) -> HttpResponseBase:
    """/email/status/{provider}/: receipts, through anymail's own view of the provider that EMAIL_URL names. Nobody else is heard."""

    def take(kind: type[View]) -> None:
        if note_receipts(tracking.read_reports(kind, request), provider, timezone.now()):
            ring(settle_receipts)

    return _heard_of_mail(request, provider, tracking.view, take)


@csrf_exempt
@never_cache
def email_inbound(request: HttpRequest, provider: str) -> HttpResponseBase:
    """/email/inbound/{provider}/: mails to UNSUBSCRIBE_MAILTO, where the provider receives them. Others change nothing."""

    def take(kind: type[View]) -> None:
        for message, recipient in inbound_mail.read_mails(kind, request):
            take_mail(message, timezone.now(), recipient)

    return _heard_of_mail(request, provider, inbound_mail.view, take)


def _heard_of_mail(
    request: HttpRequest, provider: str, view: Callable[[], type[View] | None], take: Callable[[type[View]], None]
) -> HttpResponseBase:
    """What anymail's view of the provider that EMAIL_URL names can prove is taken."""
    try:
        kind = view()
    except (ImproperlyConfigured, ImportError):  # as a system check has said
        kind = None
    if kind is None or provider != settings.CX_EMAIL_PROVIDER:
        return _plain(404, "no such provider")
    if request.method != "POST":
        return kind.as_view()(request)  # some ask whether anybody is there
    try:
        take(kind)
    except (Forged, Unreadable) as error:
        return _refused(request, error)
    return HttpResponse()


def _heard(request: HttpRequest, provider: str, take: Callable[[Provider, Webhook], None]) -> HttpResponse:
    """What its provider vouches for is taken, and thanked for as the provider expects."""
    found = _provider(provider)
    if found is None:
        return _plain(404, "no such provider")
    webhook = _webhook(request)
    try:
        found.verify(webhook)
        take(found, webhook)
    except (Forged, Unreadable) as error:
        return _refused(request, error)
    return HttpResponse(found.thanks.body, content_type=found.thanks.content_type)


def _provider(name: str) -> Provider | None:
    """The one that SMS_URL names, where it is the one that is spoken for."""
    found = sms.provider()
    return found if found.name == name else None


def _webhook(request: HttpRequest) -> Webhook:
    """The request with its public address: behind a proxy our own is another one than the provider signed."""
    body = request.body
    return Webhook(
        url=settings.BASE_URL + request.get_full_path(),
        body=body,
        headers={name.lower(): value for name, value in request.headers.items()},
        form=request.POST.dict(),
        query=request.GET.dict(),
    )


def _refused(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.warning("Refused what was posted to %s: %s", request.path, error)
    return _plain(403 if isinstance(error, Forged) else 400, str(error))


def _plain(code: int, text: str) -> HttpResponse:
    return HttpResponse(text, status=code, content_type="text/plain; charset=utf-8")
