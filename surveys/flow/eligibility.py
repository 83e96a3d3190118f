"""May this customer be asked about this? PURE in spirit: in come a rule's terms, a history and `now`; out comes a Decision.

Nothing here reads the database or the clock. The same function decides when the event arrives and again at the moment of sending.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

# From the most lasting reason to the least: where several apply, the first is told.
REASONS = (
    "unsubscribed",
    "bounced",
    "consent_missing",
    "no_address",
    "ineligible",
    "reopened",
    "resting_same",
    "resting_any",
    "floor_24h",
    "quota_full",
    "sampled_out",
    "expired",
)


@dataclass(frozen=True, slots=True)
class RuleTerms:
    """What a rule demands; spans in seconds, `sample_share` 0…1."""

    resting_same_s: int
    resting_any_s: int
    floor_s: int
    max_age_s: int
    sample_share: float = 1.0


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a customer and an occasion. Times are those of messages attempted and answers given, the latest of each."""

    event_at: datetime
    suppressed: str = ""  # "unsubscribed" or "bounced" where every usable address is on the suppression list
    has_address: bool = True
    condition_met: bool = True
    reopened: bool = False  # the ticket that the occasion closed is open again
    draw: float = 0.0  # 0 <= draw < 1, fixed for (rule, event)
    last_same_at: datetime | None = None
    last_any_at: datetime | None = None
    last_message_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`ok`, or the most lasting `reason` why not and, for resting and the floor, `until` when."""

    ok: bool
    reason: str = ""
    until: datetime | None = None


YES = Decision(True)


def decide(rule: RuleTerms, history: History, now: datetime) -> Decision:
    """Whether the customer may be asked at `now`. A span that ends exactly now has ended."""
    refusals: dict[str, datetime | None] = {}
    if history.suppressed:
        refusals[history.suppressed] = None
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
    if history.draw >= rule.sample_share:
        refusals["sampled_out"] = None
    if now - history.event_at > timedelta(seconds=rule.max_age_s):
        refusals["expired"] = None
    for reason in REASONS:
        if reason in refusals:
            return Decision(False, reason, refusals[reason])
    return YES


def draw(key: str, rule: str, source: str, event_id: str) -> float:
    """A number 0 <= x < 1, even over all events, and the same each time for (rule, event): a keyed hash, not chance."""
    text = "\x1f".join((rule, source, event_id)).encode()
    digest = hmac.new(key.encode(), text, hashlib.sha256).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
