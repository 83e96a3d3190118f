"""How long one task goes on. In: the clock, and a worker that is to stop. Out: whether to come to an end; the rest is a row and waits.

A drain that went on for as long as something arrives would keep its worker from everything else, and would at last be
cut off in the middle of a message.
"""

import threading
import time

SHIFT_S = 5.0

_worker_stops = threading.Event()


def end_all() -> None:
    """The worker is to stop: every shift of this process is over."""
    _worker_stops.set()


class Shift:
    """Begins when it is made."""

    def __init__(self, seconds: float = SHIFT_S) -> None:
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        return _worker_stops.is_set() or time.monotonic() >= self._end
