"""May this customer be asked about this? PURE in spirit: in come a rule's terms, a history and `now`; out comes a Decision.

Nothing here reads the database or the clock. The same function decides when the event arrives and again at the moment of sending.
At what hour a message may go out is no reason to refuse it: see timing. The order of the gates stands in docs/decisions/0013.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

# From the most lasting reason to the least: where several apply, the first is told.
REASONS = (
    "unsubscribed",
    "bounced",
    "consent_missing",
    "no_address",
    "ineligible",
    "reopened",
    "superseded",
    "resting_same",
    "resting_any",
    "floor_24h",
    "quota_full",
    "sampled_out",
    "expired",
)

UNTIL = "until "


@dataclass(frozen=True, slots=True)
class RuleTerms:
    """What a rule demands; spans in seconds, `sample_share` 0…1. A rule that is exempt from a span has 0 there."""

    resting_same_s: int
    resting_any_s: int
    floor_s: int
    max_age_s: int
    sample_share: float = 1.0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Promise:
    """An invitation that nobody has tried to send yet. `key` is the caller's own name for it, `occasion` orders a rule's events."""

    key: Any
    rule: int | None
    touchpoint: int
    at: datetime
    occasion: tuple[datetime, int]
    terms: RuleTerms


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a customer and an occasion. Times are the latest of each kind.

    Resting has one clock for messages attempted and one for answers given; `last_same_at` and `last_any_at` are the later of the
    two, which is the one that matters. `last_message_at` is the latest message to the customer or to the address, reminders too.
    """

    event_at: datetime
    suppressed: str = ""  # "unsubscribed" or "bounced" where every usable address is on the suppression list
    has_consent: bool = True  # where the rule needs it, and nobody took it back, by some mode that could be used
    has_address: bool = True
    condition_met: bool = True
    reopened: bool = False  # the ticket that the occasion closed is open again
    draw: float = 0.0  # 0 <= draw < 1, fixed for (rule, event)
    last_same_at: datetime | None = None
    last_any_at: datetime | None = None
    last_message_at: datetime | None = None
    quota_left: bool = True  # of the day on which it would be sent
    promise: Promise | None = None  # this invitation, and what else waits for the customer
    rivals: tuple[Promise, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """`ok`, or the most lasting `reason` why not and, for resting and the floor, `until` when."""

    ok: bool
    reason: str = ""
    until: datetime | None = None

    @property
    def detail(self) -> str:
        """`until` as an invitation keeps it, to the second: "until 2026-11-21T02:00:00+00:00"."""
        return f"{UNTIL}{self.until.isoformat(timespec='seconds')}" if self.until else ""


def until_of(detail: str) -> datetime | None:
    """The `until` of a decision, out of its detail."""
    try:
        return datetime.fromisoformat(detail.removeprefix(UNTIL)) if detail.startswith(UNTIL) else None
    except ValueError:
        return None


YES = Decision(True)


def decide(rule: RuleTerms, history: History, now: datetime) -> Decision:
    """Whether the customer may be asked at `now`. A span that ends exactly now has ended."""
    refusals: dict[str, datetime | None] = {}
    if history.suppressed:
        refusals[history.suppressed] = None
    if not history.has_consent:
        refusals["consent_missing"] = None
    if not history.has_address:
        refusals["no_address"] = None
    if not history.condition_met:
        refusals["ineligible"] = None
    if history.reopened:
        refusals["reopened"] = None
    for reason, last, span in (
        ("resting_same", history.last_same_at, rule.resting_same_s),
        ("resting_any", history.last_any_at, rule.resting_any_s),
        ("floor_24h", history.last_message_at, rule.floor_s),
    ):
        if last is not None and now < last + timedelta(seconds=span):
            refusals[reason] = last + timedelta(seconds=span)
    if history.promise is not None:
        for rival in history.rivals:
            if better_of(history.promise, rival) is rival:
                reason, until = _lost_to(rival, history.promise)
                held = refusals.get(reason)
                refusals[reason] = max(held, until) if held is not None and until is not None else until
    if not history.quota_left:
        refusals["quota_full"] = None
    if history.draw >= rule.sample_share:
        refusals["sampled_out"] = None
    if now - history.event_at > timedelta(seconds=rule.max_age_s):
        refusals["expired"] = None
    if not refusals:
        return YES
    reason = next(reason for reason in REASONS if reason in refusals)
    return Decision(False, reason, refusals[reason])


def better_of(one: Promise, other: Promise) -> Promise | None:
    """Which of two that wait for one customer goes out; None where each may still, and what is sent first decides.

    Of one rule it is that of the newer event. Of two rules it is the higher priority, if the second message of the two would be
    refused because of the first. Two of the same priority are equals: only a message that was sent or an answer counts between them.
    """
    if one.rule is not None and one.rule == other.rule:
        return one if one.occasion > other.occasion else other
    if one.terms.priority == other.terms.priority or _span(one, other)[1] <= abs(one.at - other.at):
        return None
    return one if one.terms.priority > other.terms.priority else other


def _span(one: Promise, other: Promise) -> tuple[str, timedelta]:
    """Why the later of the two could not go out, and for how long after the earlier one."""
    terms = max(one, other, key=lambda promise: (promise.at, -promise.terms.priority)).terms
    same = one.touchpoint == other.touchpoint
    spans = (
        ("resting_same", terms.resting_same_s if same else 0),
        ("resting_any", terms.resting_any_s),
        ("floor_24h", terms.floor_s),
    )
    reason, seconds = max(spans, key=lambda span: span[1])
    return reason, timedelta(seconds=seconds)


def _lost_to(winner: Promise, loser: Promise) -> tuple[str, datetime | None]:
    if winner.rule is not None and winner.rule == loser.rule:
        return "superseded", None
    reason, span = _span(winner, loser)
    return reason, winner.at + span


def draw(key: str, rule: str, source: str, event_id: str) -> float:
    """A number 0 <= x < 1, even over all events, and the same each time for (rule, event): a keyed hash, not chance."""
    text = "\x1f".join((rule, source, event_id)).encode()
    digest = hmac.digest(key.encode(), text, "sha256")
    return int.from_bytes(digest[:6], "big") / 2**48
