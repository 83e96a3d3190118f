"""What probes are told: the process lives, each service answers or does not, and figures are for those they are meant for."""

import uuid
from datetime import timedelta

import pytest
from celery import Celery
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from cxsurvey import health
from surveys.tasks import heartbeat
from tests.cxsurvey.away import database_away, redis_away

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_cache(settings) -> None:
    """Tests run side by side on one Redis: nobody else's heartbeat is heard here."""
    settings.CACHES = {"default": settings.CACHES["default"] | {"KEY_PREFIX": f"test-{uuid.uuid4().hex}"}}


def ready() -> tuple[int, dict[str, object]]:
    answer = Client(raise_request_exception=False).get("/readyz")
    return answer.status_code, answer.json()


def test_liveness_asks_nobody(client):
    with database_away():
        answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_it_is_ready_where_database_broker_and_a_worker_answer():
    heartbeat()
    assert ready() == (200, {"ready": True, "database": "ok", "broker": "ok", "worker": "ok"})


@pytest.mark.parametrize(("age", "word", "status"), [(59, "ok", 200), (61, "silent", 503), (None, "silent", 503)])
def test_a_worker_that_has_not_been_heard_of_for_a_minute_is_silent(age, word, status):
    if age is not None:
        cache.set("worker-heartbeat", (timezone.now() - timedelta(seconds=age)).isoformat())
    told = ready()
    assert (told[0], told[1]["worker"], told[1]["database"]) == (status, word, "ok")


def test_a_database_that_is_away_is_told_and_the_rest_too():
    heartbeat()
    with database_away():
        assert ready() == (503, {"ready": False, "database": "away", "broker": "ok", "worker": "ok"})
    assert ready()[0] == 200


def test_a_connection_that_broke_is_a_database_that_is_away_and_never_a_crash():
    connection.ensure_connection()
    connection.connection.close()  # as after a restart of the server
    try:
        assert health._database() == "away"
    finally:
        connection.close()
    assert health._database() == "ok"


def test_a_broker_that_is_away_is_told(monkeypatch):
    heartbeat()
    monkeypatch.setattr(health, "app", Celery("away", broker=redis_away(), set_as_current=False))
    assert ready() == (503, {"ready": False, "database": "ok", "broker": "away", "worker": "ok"})


def test_a_cache_that_is_away_leaves_the_worker_unknown(settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": redis_away(),
            "KEY_PREFIX": "cx",
        }
    }
    told = ready()
    assert (told[0], told[1]["worker"]) == (503, "unknown")


def test_a_probe_sets_no_cookie_and_names_no_secret(client):
    for path in ("/healthz", "/readyz"):
        answer = client.get(path)
        assert answer.cookies == {}
        assert connection.settings_dict["NAME"].encode() not in answer.content


# --- Prometheus -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "sent", "address", "headers", "status"),
    [
        ("", "", "127.0.0.1", {}, 200),
        ("", "", "::1", {}, 200),
        ("", "", "192.0.2.7", {}, 403),
        ("", "", "127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, 403),  # a proxy on this machine asks for somebody else
        ("", "", "127.0.0.1", {"Forwarded": "for=192.0.2.7"}, 403),
        ("", "Bearer ", "192.0.2.7", {}, 403),  # no token is set: an empty one is none
        ("s3cret", "Bearer s3cret", "192.0.2.7", {}, 200),
        ("s3cret", "Bearer s3cret", "127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, 200),
        ("s3cret", "Bearer S3CRET", "192.0.2.7", {}, 403),
        ("s3cret", "s3cret", "192.0.2.7", {}, 403),
        ("s3cret", "", "192.0.2.7", {}, 403),
        ("s3cret", "Bearer \u00e9", "192.0.2.7", {}, 403),
        ("s3cret", "Basic s3cret", "192.0.2.7", {}, 403),
    ],
)
def test_figures_are_for_loopback_or_the_token(settings, token, sent, address, headers, status):
    settings.CX_METRICS_TOKEN = token
    client = Client(raise_request_exception=False, REMOTE_ADDR=address)
    answer = client.get("/metrics", headers={**headers, **({"Authorization": sent} if sent else {})})
    assert answer.status_code == status
    assert (b"django_http_requests" in answer.content) is (status == 200)


def test_figures_name_no_customer(client):
    from tests.factories import make_customer, make_invitation

    invitation = make_invitation(customer=make_customer("C-secret"))
    client.get(f"/s/{invitation.token}/")
    page = client.get("/metrics").content.decode()
    assert invitation.token not in page
    assert "C-secret" not in page
