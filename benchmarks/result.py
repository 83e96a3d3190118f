"""One row of the table. In: what was measured in each round. Out: what `script/bench` prints, and writes with --json."""

from collections.abc import Sequence
from statistics import median
from typing import Any


class Skipped(Exception):
    """A benchmark that does not run; the message says why."""


def measured(
    name: str,
    figures: Sequence[float],
    limits: Sequence[float],
    bar: float,
    unit: str,
    *,
    better: str = "higher",
    **more: Any,
) -> dict[str, Any]:
    """The medians of a figure and of its limit, which were taken in turn, and their ratio. `more` stands beside them."""
    figure, limit = median(figures), median(limits)
    return {
        "name": name,
        "figure": figure,
        "limit": limit,
        "ratio": figure / limit,
        "bar": bar,
        "better": better,
        "unit": unit,
        "runs": len(figures),
        **more,
    }
