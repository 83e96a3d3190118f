"""Nouns of measuring, a file per group. Import them from here."""

from metrics.models.alerts import Alert, AlertLook, AlertNotice, AlertRule, Team, TeamAddress
from metrics.models.cells import SCORES, DurationCell, Grain, PackedHistogram, ScoreCell

__all__ = [
    "SCORES",
    "Alert",
    "AlertLook",
    "AlertNotice",
    "AlertRule",
    "DurationCell",
    "Grain",
    "PackedHistogram",
    "ScoreCell",
    "Team",
    "TeamAddress",
]
