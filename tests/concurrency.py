"""Threads with a database connection of their own, started at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

T = TypeVar("T")


def together(count: int, work: Callable[[int], T]) -> list[T]:
    """What `work(index)` returned in each of `count` threads that started together; the first exception is raised."""
    gate = threading.Barrier(count)

    def run(index: int) -> T:
        try:
            gate.wait(10)
            return work(index)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
