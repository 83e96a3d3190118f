"""How often an alert rule would have fired. In: a saved rule of closed days, `now`. Out: a BackTest. Nothing is written, nobody is told.

It looks as the evaluator looks, day after day, at the cells and targets of now: one statement for all days. Each day is judged on its
own, since which other rules there were on it is not known any more. Response rates are not looked at: each day would cost a query of
all invitations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from metrics.alerting.evaluate import Places, find_on_days, watched
from metrics.alerting.rules import Finding, after_look, settle
from metrics.models import AlertRule
from metrics.models.alerts import OF_METRIC, LookState
from metrics.slices import Catalogue
from surveys.models import Organisation

DAYS = 90


@dataclass(frozen=True)
class Firing:
    """One time that it would have fired: on which day's look, what it saw, and the day whose look would have cleared it."""

    day: date
    found: Finding
    cleared: date | None


@dataclass(frozen=True)
class BackTest:
    """The looks at the days from `first` to `last`. `known`: days on which there was enough to say."""

    first: date
    last: date
    known: int
    firings: Sequence[Firing]


def back_test(rule: AlertRule, now: datetime) -> BackTest | None:
    """Of the last DAYS closed days, as if it had stood since the first of them; None for a kind that cannot be looked at so."""
    if rule.kind not in OF_METRIC or rule.pk is None:
        return None
    organisation = Organisation.current()
    last = organisation.day_of(now) - timedelta(days=1)
    days = [last - timedelta(days=ago) for ago in reversed(range(DAYS))]
    plain = watched(rule.pk)
    seen = find_on_days([(plain, day) for day in days], organisation, Places(Catalogue.load()))
    findings = settle(seen, [True] * len(seen))
    known = sum(found.state != LookState.UNKNOWN for found in findings)
    return BackTest(days[0], last, known, _firings(days, findings))


def _firings(days: Sequence[date], findings: Sequence[Finding]) -> list[Firing]:
    """Fired once and cleared with hysteresis, as alerts are."""
    made: list[Firing] = []
    stands: tuple[date, Finding] | None = None
    quiet = unknown = 0
    for day, found in zip(days, findings, strict=True):
        if stands is None:
            if found.state == LookState.HELD:
                stands, quiet, unknown = (day, found), 0, 0
            continue
        quiet, unknown, why = after_look(found.state, quiet, unknown)
        if why is not None:
            made.append(Firing(*stands, day))
            stands = None
    return [*made, Firing(*stands, None)] if stands else made
