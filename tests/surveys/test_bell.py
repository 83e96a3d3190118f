"""The bell is heard at most twice a second, keeps silent after a failure, and never harms what rings it.

A Celery app of the test's own rings at the real broker, into a queue that nobody empties; a broker that is away is a real
port at which nobody listens, or somebody who never answers.
"""

import contextlib
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, Task
from django.conf import settings
from django.db import transaction

from surveys import bell
from surveys.bell import SILENCE_AFTER_FAILURE_S, THROTTLE_S, ring
from tests.concurrency import together
from tests.factories import make_customer
from tests.stack import free_port

pytestmark = pytest.mark.django_db(transaction=True)


def do_nothing() -> None:
    """What a bell calls for does not matter to it."""


class Belfry:
    """An app with two tasks and a queue; `heard` counts the messages that reached the broker."""

    def __init__(self, broker: str) -> None:
        self.app = Celery(f"test-{uuid.uuid4().hex}", broker=broker, set_as_current=False)
        self.app.conf.update(
            broker_transport_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS,
            task_publish_retry=False,
            task_default_queue=f"test-{uuid.uuid4().hex}",
        )
        self.task: Task[Any, Any] = self.app.task(name="one")(do_nothing)
        self.other: Task[Any, Any] = self.app.task(name="other")(do_nothing)

    def heard(self) -> int:
        with self.app.connection_for_read() as connection:
            declared = connection.default_channel.queue_declare(self.app.conf.task_default_queue, passive=False)
            return int(declared.message_count)

    def clear(self) -> None:
        with contextlib.suppress(Exception), self.app.connection_for_read() as connection:
            connection.default_channel.queue_delete(self.app.conf.task_default_queue)
        self.app.close()


@pytest.fixture
def belfry() -> Iterator[Belfry]:
    made = Belfry(settings.CELERY_BROKER_URL)
    yield made
    made.clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The bell's own clock, told by hand: `clock[0] += 0.5`."""
    told = [1_000.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return told[0]

    monkeypatch.setattr(bell, "time", Clock)
    return told


def test_it_rings_once_the_transaction_has_committed(belfry):
    with transaction.atomic():
        ring(belfry.task)
        assert belfry.heard() == 0
    assert belfry.heard() == 1


def test_what_was_taken_back_is_not_told(belfry):
    with contextlib.suppress(RuntimeError), transaction.atomic():
        ring(belfry.task)
        raise RuntimeError
    assert belfry.heard() == 0


def test_it_is_heard_once_in_half_a_second_however_often_it_is_rung(belfry, clock):
    for _answer in range(100):
        ring(belfry.task)
    assert belfry.heard() == 1
    clock[0] += THROTTLE_S - 0.001
    ring(belfry.task)
    assert belfry.heard() == 1
    clock[0] += 0.001
    ring(belfry.task)
    assert belfry.heard() == 2


def test_each_task_has_a_bell_of_its_own(belfry, clock):
    ring(belfry.task)
    ring(belfry.other)
    assert belfry.heard() == 2


def test_many_threads_at_once_are_one_message(belfry, clock):
    together(8, lambda _index: ring(belfry.task))
    assert belfry.heard() == 1


def test_a_broker_that_is_away_harms_nothing_and_costs_a_moment(caplog):
    away = Belfry(f"redis://127.0.0.1:{free_port()}/0")
    started = time.monotonic()
    with transaction.atomic():
        customer = make_customer()
        ring(away.task)
    took = time.monotonic() - started
    assert customer.__class__.objects.filter(pk=customer.pk).exists()
    assert took < 1.0
    assert "beat will pick the work up" in caplog.text
    away.clear()


def test_a_broker_that_never_answers_is_waited_for_once(clock):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(16)
        silent = Belfry(f"redis://127.0.0.1:{mute.getsockname()[1]}/0")
        silent.app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS | {"socket_timeout": 0.3}
        started = time.monotonic()
        for _answer in range(20):
            ring(silent.task)
            ring(silent.other)
        assert time.monotonic() - started < 3.0
        silent.clear()


def test_after_a_failure_nobody_is_asked_for_ten_seconds(belfry, clock):
    away = Belfry(f"redis://127.0.0.1:{free_port()}/0")
    ring(away.task)
    clock[0] += SILENCE_AFTER_FAILURE_S - 0.001
    ring(belfry.task)
    ring(belfry.other)
    assert belfry.heard() == 0
    clock[0] += 0.001
    ring(belfry.task)
    assert belfry.heard() == 1
    away.clear()


def test_a_ringer_that_fails_in_any_way_is_no_fault_of_the_one_who_rings():
    class Broken:
        name = "broken"

        def apply_async(self, **_options: Any) -> None:
            raise MemoryError("anything at all")

    ring(Broken())  # type: ignore[arg-type]
