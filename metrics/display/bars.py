"""How shares of a whole look. In: a Measured, or what a widget counted. Out: Shares and ReachRows that templates only print."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from metrics.display.figures import DASH, Whisker, band_title, is_enough, marked_count, too_few
from metrics.queries import Measured
from metrics.raw.reach import Reach
from surveys.scales import scale_for
from surveys.words import band_tone, rounded


@dataclass(frozen=True)
class Share:
    """One bar: its label, how many, which percent of all, how it is drawn."""

    label: str
    count: int
    percent: float
    percent_text: str
    tone: str


def _share(label: str, count: int, total: int, tone: str) -> Share:
    percent = 100 * count / total if total else 0.0
    return Share(label, count, round(percent, 2), f"{rounded(percent)}%", tone)


def distribution(measured: Measured) -> list[Share]:
    """A bar per score, from the lowest."""
    tones = {score: band_tone(measured.metric, measured.points, score) for score in measured.distribution}
    return [
        _share(str(score), count, measured.n, tones[score]) for score, count in sorted(measured.distribution.items())
    ]


def breakdown(measured: Measured) -> list[Share]:
    """A part per band, best first."""
    scale = scale_for(measured.metric, measured.points)
    tones = {scale.lowest_band: "worst", scale.highest_band: "best"}
    return [
        _share(band_title(band), count, measured.n, tones.get(band, "middle"))
        for band, count in measured.breakdown.items()
    ]


@dataclass(frozen=True)
class ReachRow:
    """One period of the widget: a dash for what was not counted. `state` of the rate: value, few or nothing."""

    label: str
    shown: str
    started: str
    answered: str
    dismissed: str
    rate: str
    state: str
    n_text: str
    whisker: Whisker | None


def reach_row(label: str, reach: Reach) -> ReachRow:
    if reach.views is None:
        return ReachRow(label, DASH, DASH, DASH, DASH, DASH, "nothing", "", None)
    rate = reach.rate
    n_text, whisker = "", None
    if rate.value is None or rate.low is None or rate.high is None:
        state, text = "nothing", DASH
    elif not is_enough(rate.n):
        state, text = "few", too_few(rate.n)
    else:
        state, text, n_text = "value", f"{rounded(rate.value)}%", marked_count(rate.n)
        ends = {"low": f"{rounded(rate.low)}%", "high": f"{rounded(rate.high)}%"}
        said = _("95%% interval: %(low)s to %(high)s") % ends
        whisker = Whisker(round(rate.low, 2), round(rate.high, 2), round(rate.value, 2), None, said)
    shown, started, dismissed = (f"{reach.of(event):,}" for event in ("shown", "started", "dismissed"))
    return ReachRow(label, shown, started, f"{reach.answered:,}", dismissed, text, state, n_text, whisker)
