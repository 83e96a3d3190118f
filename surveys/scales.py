"""PURE: scales and their bands. The only place where a 6, a 9 or a "top two" is written.

In: a metric and a number of points. Out: a Scale. No Django, no database, no text for people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of one scale question, both ends included, and its bands from the worst to the best.

    `bands` holds (key, lowest score of the band), lowest band first; the first one starts at `low`.
    """

    metric: str
    low: int
    high: int
    bands: tuple[tuple[str, int], ...]

    @property
    def points(self) -> int:
        return self.high - self.low + 1

    @property
    def scores(self) -> range:
        return range(self.low, self.high + 1)

    def contains(self, value: object) -> bool:
        """True for an int of the range. A bool is not a score, and neither is 9.0 or "9"."""
        return type(value) is int and self.low <= value <= self.high

    def band(self, score: int) -> str:
        """The key of the band that `score` lies in. ValueError outside the range."""
        if not self.contains(score):
            raise ValueError(f"{score!r} is not on the scale {self.low}…{self.high}")
        return next(key for key, lowest in reversed(self.bands) if score >= lowest)

    def scores_of(self, band: str) -> range:
        """The scores that lie in a band. ValueError for a band of another scale."""
        keys = [key for key, _lowest in self.bands]
        place = keys.index(band)
        end = self.bands[place + 1][1] if place + 1 < len(keys) else self.high + 1
        return range(self.bands[place][1], end)

    @property
    def lowest_band(self) -> str:
        """The band that is bad news."""
        return self.bands[0][0]

    @property
    def highest_band(self) -> str:
        """The band that counts as success: promoters, satisfied, easy."""
        return self.bands[-1][0]

    def band_counts(self, histogram: Sequence[int]) -> dict[str, int]:
        """Counts per band of a histogram of shape (points,), from `low` upward; best band first. ValueError on another shape."""
        if len(histogram) != self.points:
            raise ValueError(f"a histogram of {self.metric} has {self.points} counts, not {len(histogram)}")
        ends = [lowest - self.low for _key, lowest in self.bands] + [self.points]
        places = reversed(range(len(self.bands)))
        return {self.bands[at][0]: sum(histogram[ends[at] : ends[at + 1]]) for at in places}


# NPS: Reichheld, "The One Number You Need to Grow", Harvard Business Review, December 2003.
NPS = Scale("nps", 0, 10, (("detractors", 0), ("passives", 7), ("promoters", 9)))
# CSAT: satisfied are the top two boxes. Below the middle of the scale is dissatisfied: whoever marks a 3 of 7 says so. What
# lies between is neutral. (Others count only the bottom two of seven as dissatisfied and 3–5 as neutral. CSAT itself is the
# same either way; who is warned of bad news is not, and there the wider net is the right one.)
CSAT5 = Scale("csat", 1, 5, (("dissatisfied", 1), ("neutral", 3), ("satisfied", 4)))
CSAT7 = Scale("csat", 1, 7, (("dissatisfied", 1), ("neutral", 4), ("satisfied", 6)))
# CES 2.0, seven points of agreement: Dixon, Toman, DeLisi, "The Effortless Experience", 2013.
CES = Scale("ces", 1, 7, (("difficult", 1), ("neutral", 4), ("easy", 5)))

SCALES: Mapping[tuple[str, int], Scale] = {
    (scale.metric, scale.points): scale for scale in (NPS, CSAT5, CSAT7, CES)
}  # fmt: skip


def scale_for(metric: str, points: int) -> Scale:
    """The scale of a metric with so many points. KeyError for a pair that is not measured here."""
    return SCALES[(metric, points)]
