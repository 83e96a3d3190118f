"""Nouns of measuring, a file per group. Import them from here."""

from metrics.models.cells import SCORES, DurationCell, Grain, PackedHistogram, ScoreCell
from metrics.models.decisions import Decision, Expectation

__all__ = [
    "SCORES",
    "Decision",
    "DurationCell",
    "Expectation",
    "Grain",
    "PackedHistogram",
    "ScoreCell",
]
