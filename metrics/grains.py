"""At which grains cells are kept, and which of them serves a question most cheaply.

In: the dimensions that a question narrows or groups by. Out: a Cut, what cells of two grains (days and months) keep of
their key. No query and no formula. How many grains there are, and why: docs/decisions/0017.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from metrics.models import Grain

# Dimension to the column of a cell that holds it, and what the column holds where a cut does not keep it.
COLUMNS: Mapping[str, str] = {
    "touchpoint": "touchpoint_id",
    "mode": "mode",
    "segment": "segment",
    "location": "location",
    "bucket": "bucket",
}
NOT_KEPT: Mapping[str, int | str] = {"touchpoint_id": 0, "mode": "", "segment": "", "location": "", "bucket": -1}


@dataclass(frozen=True)
class Cut:
    """Cells that keep some dimensions and sum over the others, by day and by month.

    One with `finer_days` has cells by month alone: its days are those of the full key.
    """

    day: Grain
    month: Grain
    keeps: frozenset[str]
    finer_days: bool = False

    def dropped(self, dimensions: Collection[str]) -> dict[str, int | str]:
        """Of these dimensions those that its own cells sum over, as column to what that column holds."""
        gone = (COLUMNS[dimension] for dimension in COLUMNS if dimension in dimensions and dimension not in self.keeps)
        return {column: NOT_KEPT[column] for column in gone}

    def sums_over(self, grain: Grain, dimensions: Collection[str]) -> dict[str, int | str]:
        """The same of one of its two grains."""
        return {} if self.finer_days and grain is self.day else self.dropped(dimensions)


def _cut(day: Grain, month: Grain, *keeps: str, finer_days: bool = False) -> Cut:
    return Cut(day, month, frozenset(keeps), finer_days)


# Each from the fewest cells to the most: the first that keeps what is needed is the cheapest.
SCORE_CUTS: Sequence[Cut] = (
    _cut(Grain.DAY_TOTAL, Grain.MONTH_TOTAL, "touchpoint"),
    _cut(Grain.DAY_MODE, Grain.MONTH_MODE, "touchpoint", "mode"),
    _cut(Grain.DAY_SEGMENT, Grain.MONTH_SEGMENT, "touchpoint", "segment"),
    _cut(Grain.DAY_LOCATION, Grain.MONTH_LOCATION, "touchpoint", "location"),
    # Modes beside each other, of one segment or location. A day's answers at a touchpoint are hardly more than its pairs.
    _cut(Grain.DAY_FULL, Grain.MONTH_MODE_SEGMENT, "touchpoint", "mode", "segment", finer_days=True),
    _cut(Grain.DAY_FULL, Grain.MONTH_MODE_LOCATION, "touchpoint", "mode", "location", finer_days=True),
    _cut(Grain.DAY_FULL, Grain.MONTH_FULL, "touchpoint", "mode", "segment", "location"),
)
# One row per bucket is small where a cell holds a ticket or two. Elsewhere all of a cell's buckets are in its `histogram`, which
# costs more to add than counters do: hence cells of all touchpoints together.
DURATION_CUTS: Sequence[Cut] = (
    _cut(Grain.DAY_ALL, Grain.MONTH_ALL),
    _cut(Grain.DAY_ALL_SEGMENT, Grain.MONTH_ALL_SEGMENT, "segment"),
    _cut(Grain.DAY_ALL_PART, Grain.MONTH_ALL_PART, "segment", "location"),
    _cut(Grain.DAY_TOTAL, Grain.MONTH_TOTAL, "touchpoint"),
    _cut(Grain.DAY_SEGMENT, Grain.MONTH_SEGMENT, "touchpoint", "segment"),
    _cut(Grain.DAY_LOCATION, Grain.MONTH_LOCATION, "touchpoint", "location"),
    _cut(Grain.DAY_FULL, Grain.MONTH_FULL, "touchpoint", "segment", "location", "bucket"),
)


def cheapest(cuts: Sequence[Cut], needed: Collection[str]) -> Cut:
    """The first of `cuts` that keeps every dimension of `needed`."""
    return next(cut for cut in cuts if cut.keeps.issuperset(needed))
