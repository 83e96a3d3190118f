"""How a score's band and a duration are said to people. In: scores, seconds. Out: a word in the reader's language, or a tone.

No threshold of a scale (scales.py has them), no query, no rounding of a metric.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from surveys.scales import SCALES, Scale, scale_for

MINUS = "\u2212"
DAY_S = 86_400

# Of one answer; the groups of many are named where they are counted.
_BANDS: Mapping[str, Any] = {
    "promoters": gettext_lazy("Promoter"),
    "passives": gettext_lazy("Passive"),
    "detractors": gettext_lazy("Detractor"),
    "satisfied": gettext_lazy("Satisfied"),
    "neutral": gettext_lazy("Neutral"),
    "dissatisfied": gettext_lazy("Dissatisfied"),
    "easy": gettext_lazy("Easy"),
    "difficult": gettext_lazy("Difficult"),
}


def band_word(metric: str, points: int, score: int | None) -> str:
    """What one answer makes its customer, such as "Promoter"; "" for none."""
    scale = _scale(metric, points, score)
    return str(_BANDS[scale.band(score)]) if scale and score is not None else ""


def band_name(band: str) -> str:
    """A band by its key, such as "Promoter"; "any" is what no other block is for."""
    return str(_BANDS[band]) if band in _BANDS else _("all others")


def band_tone(metric: str, points: int, score: int | None) -> str:
    """One of "worst", "middle", "best": how the score's band is drawn; "" for none. Its words stand beside it."""
    scale = _scale(metric, points, score)
    if scale is None or score is None:
        return ""
    band = scale.band(score)
    return "worst" if band == scale.lowest_band else "best" if band == scale.highest_band else "middle"


def _scale(metric: str, points: int, score: int | None) -> Scale | None:
    """None where there is no score, or none of this scale."""
    if score is None or (metric, points) not in SCALES:
        return None
    scale = scale_for(metric, points)
    return scale if scale.contains(score) else None


def rounded(value: float, digits: int = 0) -> str:
    """Half away from zero, as people round; without a minus before 0."""
    text = str(Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", MINUS)


def duration(seconds: float) -> str:
    """In the largest sensible unit: 45 s, 12 min, 3 h 20 min, 1.2 d, 2 d. A decimal that is 0 says nothing, and is left out."""
    sign, seconds = (MINUS, -seconds) if seconds < 0 else ("", seconds)
    if seconds < 59.5:
        return sign + _("%(count)s s") % {"count": rounded(seconds)}
    minutes = int(Decimal(repr(seconds / 60)).quantize(Decimal(1), ROUND_HALF_UP))
    if minutes < 60:
        return sign + _("%(count)s min") % {"count": minutes}
    if minutes < 24 * 60:
        hours = _("%(count)s h") % {"count": minutes // 60}
        rest = _("%(count)s min") % {"count": minutes % 60} if minutes % 60 else ""
        return f"{sign}{hours} {rest}".strip()
    days = seconds / DAY_S
    return sign + _("%(count)s d") % {"count": rounded(days, 1 if days < 99.95 else 0).removesuffix(".0")}


def working_time(seconds: float) -> str:
    """Of business time: never in days, since a working day has not 24 hours: 45 s, 12 min, 3 h 20 min, 28 h."""
    if abs(seconds) < 23.5 * 3600:
        return duration(seconds)
    return (MINUS if seconds < 0 else "") + _("%(count)s h") % {"count": f"{round(abs(seconds) / 3600):,}"}
