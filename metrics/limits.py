"""PURE: how few answers are too few to be shown, and how few are told as few. In: what the organisation says. Out: Limits.

They hold for whatever is made inside `limited_by`, as a language does inside `translation.override`, so that no page and no table
has to hand them on; outside, the standard ones hold. Who tests significance in a task gives `compare` its minimum itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from metrics.significance import LOW_N, MINIMUM_N


@dataclass(frozen=True, slots=True)
class Limits:
    """Below `minimum_n` no value is shown and nothing is tested; below `low_n` a value is marked as one of few answers."""

    minimum_n: int = MINIMUM_N
    low_n: int = LOW_N


STANDARD = Limits()
_held: ContextVar[Limits] = ContextVar("limits", default=STANDARD)


def limits() -> Limits:
    """Those that hold here."""
    return _held.get()


@contextmanager
def limited_by(minimum_n: int, low_n: int) -> Iterator[None]:
    """The organisation's own, for what is made inside."""
    token = _held.set(Limits(minimum_n, low_n))
    try:
        yield
    finally:
        _held.reset(token)
