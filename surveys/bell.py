"""One way to wake a worker. In: a Celery task without arguments. Out: at most one message per task and half second.

The database is the truth and the broker only a bell: everything due is a row that beat finds within seconds, so a
bell may be lost but may never delay or fail the request that rings it.
"""

import logging
import threading
import time
from typing import Any

from celery import Task
from django.db import connection, transaction
from kombu import pools

logger = logging.getLogger(__name__)

THROTTLE_S = 0.5  # a worker drains all that waits, so a second message within this time says nothing new
ANSWER_S = 0.5  # a broker that took the connection and says nothing is given up after this
SILENCE_AFTER_FAILURE_S = 10.0  # a broker that is gone is not asked again at every answer

_lock = threading.Lock()
_last_rung: dict[str, float] = {}
_silent_until = 0.0


def ring(task: "Task[Any, Any]") -> None:
    """Enqueue `task` once the surrounding transaction has committed. Never raises, never waits long."""
    if connection.in_atomic_block:
        transaction.on_commit(lambda: _send(task), robust=True)
    else:
        _send(task)  # what it tells of is committed already


def _send(task: "Task[Any, Any]") -> None:
    global _silent_until
    now = time.monotonic()
    with _lock:
        if now < _silent_until or now - _last_rung.get(task.name, -THROTTLE_S) < THROTTLE_S:
            return
        _last_rung[task.name] = now
    try:
        # Connections of our own: a worker that listens may wait longer than somebody who rings.
        hasty = task.app.connection_for_write(transport_options={"socket_timeout": ANSWER_S})
        with pools.producers[hasty].acquire(block=True, timeout=ANSWER_S) as producer:
            # retry=False: kombu would otherwise sleep and try again inside the request.
            task.apply_async(producer=producer, retry=False, ignore_result=True, expires=60)
    except Exception as error:  # whatever the broker's client raises, the answer is already committed
        with _lock:
            _silent_until = time.monotonic() + SILENCE_AFTER_FAILURE_S
        logger.warning("The broker does not answer (%s); beat will pick the work up.", error)
