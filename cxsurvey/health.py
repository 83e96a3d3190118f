"""Liveness, readiness and Prometheus. In: a probe. Out: a word and a status; no data of customers."""

import hmac
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django_prometheus.exports import ExportToDjangoView

from cxsurvey.celery import app

HEARTBEAT_MAX_AGE = timedelta(seconds=60)


def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 where database, broker and a worker answer, else 503; each with its own word."""
    checks = {"database": _database(), "broker": _broker(), "worker": _worker()}
    ready = all(word == "ok" for word in checks.values())
    return JsonResponse({"ready": ready, **checks}, status=200 if ready else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError):
        return "away"
    return "ok"


def _broker() -> str:
    try:
        with app.connection_for_write(transport_options={"socket_timeout": 1}) as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=1)
    except Exception:  # every transport has exceptions of its own
        return "away"
    return "ok"


def _worker() -> str:
    try:
        seen = cache.get("worker-heartbeat")
    except Exception:  # the cache may be the broker that is away
        return "unknown"
    if seen is None or timezone.now() - datetime.fromisoformat(seen) > HEARTBEAT_MAX_AGE:
        return "silent"
    return "ok"


def prometheus(request: HttpRequest) -> HttpResponse:
    """For loopback, or for whoever sends `Authorization: Bearer CX_METRICS_TOKEN`."""
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    token = settings.CX_METRICS_TOKEN
    proxied = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    local = request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1", "") and not proxied
    known = bool(token) and scheme == "Bearer" and hmac.compare_digest(sent.encode(), token.encode())
    if not local and not known:
        return HttpResponse("Not for you.\n", status=403, content_type="text/plain")
    page: HttpResponse = ExportToDjangoView(request)
    return page
