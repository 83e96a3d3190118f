"""What the log says while the database or the broker is away. In: log records. Out: one line now and then, not a traceback per tick.

Beat rings every two seconds and every ring fails in the same way; sixty lines each would bury what else goes wrong.
"""

import logging
import threading
import time
from collections.abc import Iterator

import django.db
import kombu.exceptions
import redis.exceptions

AWAY = (
    django.db.OperationalError,
    django.db.InterfaceError,
    kombu.exceptions.OperationalError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
)
EVERY_S = 10.0


class QuietOutages(logging.Filter):
    """Shortens a record whose exception says that a service is away; one per kind and `EVERY_S` passes."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._said: dict[type, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        cause = next((one for one in _chain(error) if isinstance(one, AWAY)), None)
        if cause is None:
            return True
        record.exc_info = record.exc_text = None
        record.msg, record.args = "%s: %s", (type(cause).__name__, " ".join(str(cause).split()))
        with self._lock:
            now = time.monotonic()
            if now - self._said.get(type(cause), -EVERY_S) < EVERY_S:
                return False
            self._said[type(cause)] = now
        return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
