"""Nouns of measuring, a file per group. Import them from here."""

from metrics.models.alerts import Alert, AlertLook, AlertNotice, AlertRule, Team, TeamAddress
from metrics.models.cells import SCORES, DurationCell, Grain, PackedHistogram, ScoreCell
from metrics.models.decisions import Decision, Expectation

__all__ = [
    "SCORES",
    "Alert",
    "AlertLook",
    "AlertNotice",
    "AlertRule",
    "Decision",
    "DurationCell",
    "Expectation",
    "Grain",
    "PackedHistogram",
    "ScoreCell",
    "Team",
    "TeamAddress",
]
