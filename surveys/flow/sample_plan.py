"""How many answers a rule's sample gives, and how sure a score they make. In: a rule, now. Out: a SamplePlan.

Of what became of the last 30 days' occasions, decisions are never made here, and nothing is written. It foretells that people go on as
they did: all of its numbers are "about".
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q

from surveys import planning
from surveys.models import Invitation, InvitationRule, Response
from surveys.scales import Scale

PAST = timedelta(days=30)
ENOUGH_ASKED = 20  # of fewer no rate is told
ENOUGH_ANSWERS = 30  # of fewer the spread is taken for the widest there can be
# Half of an interval that is worth having: points of NPS and of a share, steps of a mean.
WANTED: Mapping[str, tuple[float, float]] = {"nps": (5, 10), "csat": (5, 10), "ces": (0.25, 0.5)}
_Status = Invitation.Status


@dataclass(frozen=True)
class Spread:
    """How far apart answers lie on one scale: what the width of an interval follows from.

    `of_bands` is the variance of −1, 0 and 1 for the lowest, middle and highest band; `highest` the share of the highest band;
    `deviation` that of the scores. `answers` is how many it was seen in; 0: the widest there can be.
    """

    scale: Scale
    of_bands: float
    highest: float
    deviation: float
    answers: int

    @classmethod
    def widest(cls, scale: Scale) -> "Spread":
        return cls(scale, 1.0, 0.5, (scale.high - scale.low) / 2, 0)

    @classmethod
    def seen(cls, scale: Scale, histogram: Mapping[int, int]) -> "Spread":
        """Of counts per score; of too few answers, or where all agree, the widest."""
        n = sum(histogram.values())
        bands = scale.band_counts([histogram.get(score, 0) for score in scale.scores])
        highest, lowest = bands[scale.highest_band] / max(1, n), bands[scale.lowest_band] / max(1, n)
        mean = sum(score * count for score, count in histogram.items()) / max(1, n)
        squares = sum(count * (score - mean) ** 2 for score, count in histogram.items())
        if n < ENOUGH_ANSWERS or squares == 0:
            return cls.widest(scale)
        return cls(scale, highest + lowest - (highest - lowest) ** 2, highest, math.sqrt(squares / (n - 1)), n)

    def half_width(self, answers: float) -> float:
        """Of the score's 95 % interval; infinite where so few have none."""
        if self.scale.metric == "nps":
            return planning.nps_half_width(answers, self.of_bands)
        if self.scale.metric == "csat":
            return planning.share_half_width(answers, self.highest)
        return planning.mean_half_width(answers, self.deviation)

    def answers_for(self, half_width: float) -> int:
        if self.scale.metric == "nps":
            return planning.nps_sample_size(half_width, self.of_bands)
        if self.scale.metric == "csat":
            return planning.share_sample_size(half_width, self.highest)
        return planning.mean_sample_size(half_width, self.deviation)


@dataclass(frozen=True)
class SamplePlan:
    """The last 30 days of a rule: occasions on which it could have asked, those on which it did, answers; and what follows.

    `could` are those that it asked or only left out of the sample; whom another reason held back a larger sample does not reach
    either. `asked` and `answered` leave out what still waits to be sent.
    """

    could: int
    asked: int
    answered: int
    share: float
    spread: Spread

    @property
    def is_known(self) -> bool:
        return self.asked >= ENOUGH_ASKED and self.answered > 0

    @property
    def rate(self) -> float:
        """Answers per invitation. A floor: the youngest invitations can still be answered."""
        return self.answered / self.asked if self.asked else 0.0

    def answers_at(self, share: float) -> float:
        """Answers in 30 days with this share of all occasions, 0…1."""
        return self.could * share * self.rate

    def share_for(self, half_width: float) -> float | None:
        """The sample that gives an interval of ± this in 30 days; None where even everybody is too few."""
        share = self.spread.answers_for(half_width) / max(self.answers_at(1), 1e-9)
        return share if share <= 1 else None


def plan_sample(rule: InvitationRule, now: datetime) -> SamplePlan | None:
    """None for a rule that asks no score: without an instrument. Two queries, bounded by 30 days of one touchpoint."""
    instrument = rule.instrument or rule.touchpoint.instrument
    if instrument is None:
        return None
    since = now - PAST
    done = ~Q(status__in=[_Status.WITHHELD, _Status.CANCELLED, _Status.SCHEDULED])
    counts = Invitation.objects.filter(touchpoint=rule.touchpoint_id, rule=rule.pk, decided_at__gte=since).aggregate(
        sampled_out=Count("pk", filter=Q(status=_Status.WITHHELD, reason=Invitation.Reason.SAMPLED_OUT)),
        waiting=Count("pk", filter=Q(status=_Status.SCHEDULED)),
        asked=Count("pk", filter=done),
        answered=Count("pk", filter=done & Q(answered_at__isnull=False)),
    )
    rows = Response.objects.filter(
        touchpoint=rule.touchpoint_id, responded_at__gte=since, version__instrument=instrument, score__isnull=False,
        excluded_at__isnull=True,
    )  # fmt: skip
    histogram = dict(rows.order_by().values_list("score").annotate(count=Count("pk")))
    could = counts["sampled_out"] + counts["waiting"] + counts["asked"]
    spread = Spread.seen(instrument.scale, histogram)
    return SamplePlan(could, counts["asked"], counts["answered"], rule.sample_share, spread)
