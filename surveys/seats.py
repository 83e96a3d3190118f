"""Whoever sends in bulk leaves one process of its worker free for everything else. In: the size of a pool. Out: a seat, or none.

A carrier that takes a minute for a message would else keep each process of a worker waiting, and scores and decisions with them.
Seats are record locks on a file without a name, opened by the worker and inherited by its pool: a process that dies leaves its seat.
"""

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from typing import IO

_room: IO[bytes] | None = None
_seats = 0


def open_room(pool: int) -> None:
    """In the worker, before it makes its pool of so many processes. Without a room, as in a shell, everybody may sit."""
    global _room, _seats
    _room, _seats = tempfile.TemporaryFile(), max(pool - 1, 1)


@contextlib.contextmanager
def seat() -> Iterator[bool]:
    """Whether this process may wait for a carrier now. Who may not ends at once: what is due stays a row, and is rung for again."""
    if _room is None:
        yield True
        return
    taken = next((number for number in range(_seats) if _is_taken(_room, number)), None)
    try:
        yield taken is not None
    finally:
        if taken is not None:
            fcntl.lockf(_room, fcntl.LOCK_UN, 1, taken)


def _is_taken(room: IO[bytes], number: int) -> bool:
    """By us, now."""
    try:
        fcntl.lockf(room, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except OSError:
        return False
    return True
