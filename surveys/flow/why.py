"""PURE in spirit: why somebody was asked about an occasion, or not. In: the rows of one occasion and one rule. Out: its chain of gates.

The gates stand in the order of docs/decisions/0013. A row keeps one reason, the most lasting one: so what stands before it was passed,
and what stands behind it was not reached. Where a gate looked at what may have changed since, it tells what is known now. No words
for people are here: `said` names a sentence of surveys/admin/why.py, `named` what stands in it. No query, no clock.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from surveys.expressions import parse
from surveys.flow.eligibility import RuleTerms, until_of
from surveys.models import ARRIVED, DeliveryAttempt, InteractionEvent, Invitation, InvitationRule, Reminder, Response


class State(StrEnum):
    PASSED = "passed"
    STOPPED = "stopped"  # here it ended
    WAITS = "waits"  # still to come
    NOT_REACHED = "not_reached"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate of the chain; `at`: when it was passed or stopped at, None where nobody knows."""

    name: str
    state: State
    at: datetime | None = None
    said: str = ""
    named: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contact:
    """An earlier message or answer of the customer; `row` is its Invitation or Response, None where it was to somebody else."""

    at: datetime
    touchpoint: int | None
    row: Invitation | Response | None
    is_answer: bool = False
    is_planned: bool = False  # another invitation that was to be sent then


@dataclass(frozen=True, slots=True)
class Way:
    """A mode of a rule, in its order, and what speaks against it now: "", "no_address", "consent_missing", or the suppression's
    reason with its time."""

    mode: str
    against: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One occasion and one rule. Without `invitation`: the rule left no row, for the reason in `absent`.

    `absent`: "off", "touchpoint_off", "undecided" or "later" (the rule was made, switched on or changed after the event).
    `contacts`: what else was sent to the customer and answered, in any order. `values`: what the condition looked at, None where erased.
    """

    now: datetime
    rule: InvitationRule | None = None
    event: InteractionEvent | None = None
    invitation: Invitation | None = None
    absent: str = ""
    terms: RuleTerms | None = None
    ways: Sequence[Way] = ()
    order_of: str = "rule"  # whose wish the order of the ways is: the customer's, the segment's or the rule's own
    quiet_hours: str = ""
    values: Sequence[tuple[str, Any]] | None = ()
    holds_now: bool = True
    contacts: Sequence[Contact] = ()
    attempts: Sequence[DeliveryAttempt] = ()
    reminders: Sequence[Reminder] = ()
    response: Response | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The one sentence that a page says first, and what it names."""

    said: str
    named: Mapping[str, Any] = field(default_factory=dict)


# From a reason to the gate that it closes; those of decision 0013 that come first on the page come first here.
GATE_OF = {
    "unsubscribed": "suppressed",
    "bounced": "suppressed",
    "consent_missing": "consent",
    "no_address": "address",
    "ineligible": "condition",
    "reopened": "ticket",
    "superseded": "turn",
    "resting_same": "rested",
    "resting_any": "rested",
    "floor_24h": "floor",
    "quota_full": "quota",
    "sampled_out": "sample",
    "expired": "age",
    "inactive": "rule",
}
ARRIVAL = ("rule", *dict.fromkeys(gate for gate in GATE_OF.values() if gate != "rule"))
AFTER = ("time", "again", "sent", "delivered", "reminded", "opened", "answered")


def gates_of(case: Case) -> list[Gate]:
    """The whole chain, from the rule to the answer."""
    row = case.invitation
    if row is None:
        return [_absent(case), *(Gate(name, State.NOT_REACHED) for name in _names(case))]
    stopped_at = GATE_OF.get(row.reason, "") if was_refused_on_arrival(row) else ""
    gates: list[Gate] = []
    for name in _names(case, with_rule=True):
        if name in AFTER:
            break
        if (gates and gates[-1].name == stopped_at) or (gates and gates[-1].state is State.NOT_REACHED):
            gates.append(Gate(name, State.NOT_REACHED))
        else:
            gates.append(_ARRIVAL[name](case, row, name == stopped_at))
    if stopped_at:
        return [*gates, *(Gate(name, State.NOT_REACHED) for name in AFTER if name != "reminded")]
    return [*gates, *_after(case, row)]


def answer_of(case: Case) -> Answer:
    """Was the customer asked, and if not, why? What the page says largest."""
    row = case.invitation
    if row is None:
        return Answer(f"absent_{case.absent}", {"rule": case.rule, "event": case.event})
    named: dict[str, Any] = {"invitation": row, "rule": row.rule, "mode": row.mode, "until": until_of(row.detail)}
    if row.status in ("withheld", "cancelled"):
        culprit = _culprit(case, row) if row.reason in ("resting_same", "resting_any", "floor_24h") else None
        named |= {"last": culprit.at if culprit else None, "because": culprit}
        return Answer(_refusal(row.reason, named), named)
    if row.status == "failed":
        return Answer("failed_bounced" if row.reason == "bounced" else "failed", named)
    if row.status == "scheduled":
        return Answer("retried" if row.attempts else "scheduled", named | {"at": row.send_at})
    if row.status == "answered" or case.response is not None:
        excluded = case.response is not None and case.response.excluded_at is not None
        at = case.response.responded_at if case.response is not None else row.answered_at
        return Answer("answered_excluded" if excluded else "answered", named | {"asked": asked_at(row), "at": at})
    if row.status == "expired" or (row.expires_at is not None and row.expires_at <= case.now):
        return Answer("unanswered", named | {"asked": asked_at(row), "at": row.expires_at})
    said = "opened" if row.opened_at else "delivered" if row.status == "delivered" else "sent"
    return Answer(said, named | {"asked": asked_at(row), "at": row.expires_at})


def asked_at(row: Invitation) -> datetime | None:
    return row.sent_at or row.attempted_at


def was_refused_on_arrival(row: Invitation) -> bool:
    """Not one that was scheduled first and refused when it was due."""
    return row.status == "withheld" and row.send_at is None


def _refusal(reason: str, named: Mapping[str, Any]) -> str:
    """Sentences with the time of the last message, the end of the rest, both or neither."""
    if reason not in ("resting_same", "resting_any", "floor_24h"):
        return f"not_{reason}"
    because: Contact | None = named["because"]
    kind = ""
    if because is not None:
        kind = "planned" if because.is_planned else "answer" if because.is_answer else "message"
    return "_".join(filter(None, ("not", reason, kind, "until" if named["until"] is not None else "")))


def _names(case: Case, *, with_rule: bool = False) -> list[str]:
    """Which gates there are: none of a ticket without one, none of a condition or a draw without a rule."""
    left_out: set[str] = set() if with_rule else {"rule"}
    is_reopened = case.invitation is not None and case.invitation.reason == "reopened"
    if (case.event is None or case.event.ticket_id is None) and not is_reopened:
        left_out.add("ticket")
    if case.rule is None:
        left_out |= {"condition", "quota", "sample"}
    if case.event is None and not (case.invitation is not None and case.invitation.reason == "expired"):
        left_out.add("age")
    if not case.reminders:
        left_out.add("reminded")
    return [name for name in (*ARRIVAL, *AFTER) if name not in left_out]


# --- On arrival -------------------------------------------------------------------------------------------------------


def _absent(case: Case) -> Gate:
    state = State.WAITS if case.absent == "undecided" else State.STOPPED
    at = case.event.received_at if case.event is not None else None
    return Gate("rule", state, at, case.absent, {"rule": case.rule, "event": case.event})


def _state(stopped: bool) -> State:
    return State.STOPPED if stopped else State.PASSED


def _rule(case: Case, row: Invitation, stopped: bool) -> Gate:
    said = "direct" if row.rule is None else "calendar" if row.event is None else "matched"
    if stopped:
        said = "inactive"
    return Gate(
        "rule", _state(stopped), row.decided_at, said, {"rule": row.rule, "event": row.event, "period": row.period}
    )


def _suppressed(case: Case, row: Invitation, stopped: bool) -> Gate:
    found = [way for way in case.ways if way.since is not None]
    if stopped:
        return Gate("suppressed", State.STOPPED, row.decided_at, row.reason, {"ways": found})
    # A suppression that came after the decision did not count for it, and is worth telling.
    later = [way for way in found if way.since is not None and way.since > row.decided_at]
    return Gate("suppressed", State.PASSED, row.decided_at, "later" if later else "none", {"ways": later})


def _consent(case: Case, row: Invitation, stopped: bool) -> Gate:
    return Gate("consent", _state(stopped), row.decided_at, "missing" if stopped else "fine")


def _address(case: Case, row: Invitation, stopped: bool) -> Gate:
    named = {"mode": row.mode, "ways": case.ways, "order_of": case.order_of}
    return Gate("address", _state(stopped), row.decided_at, "none" if stopped else "found", named)


def _condition(case: Case, row: Invitation, stopped: bool) -> Gate:
    rule = case.rule
    if rule is None or (not rule.when.strip() and not stopped):
        return Gate("condition", State.PASSED, row.decided_at, "always")
    said = "unmet" if stopped else "met"
    named = {"when": rule.when, "values": case.values, "changed": case.values is not None and case.holds_now is stopped}
    return Gate("condition", _state(stopped), row.decided_at, said, named)


def _ticket(case: Case, row: Invitation, stopped: bool) -> Gate:
    return Gate("ticket", _state(stopped), row.decided_at, "reopened" if stopped else "fine")


def _turn(case: Case, row: Invitation, stopped: bool) -> Gate:
    return Gate("turn", _state(stopped), row.decided_at, "superseded" if stopped else "fine", {"by": taker_of(row)})


def taker_of(row: Invitation) -> str:
    """The slug of the rule whose invitation took the place of this one; "" where it is not known."""
    return row.detail.removeprefix("by ") if row.reason == "superseded" and row.detail.startswith("by ") else ""


def _rested(case: Case, row: Invitation, stopped: bool) -> Gate:
    if stopped:
        named = {"until": until_of(row.detail), "because": _culprit(case, row)}
        return Gate("rested", State.STOPPED, row.decided_at, row.reason, named)
    exempt = case.rule.exempt_resting if case.rule is not None else ""
    last = _latest(case.contacts, row.decided_at)
    if exempt and last is not None:
        return Gate("rested", State.PASSED, row.decided_at, "exempt", {"reason": exempt, "because": last})
    return Gate("rested", State.PASSED, row.decided_at, "long_ago" if last else "never", {"because": last})


def _floor(case: Case, row: Invitation, stopped: bool) -> Gate:
    if stopped:
        named = {"until": until_of(row.detail), "because": _culprit(case, row)}
        return Gate("floor", State.STOPPED, row.decided_at, "too_soon", named)
    exempt = case.rule.exempt_floor if case.rule is not None else ""
    return Gate("floor", State.PASSED, row.decided_at, "exempt" if exempt else "fine", {"reason": exempt})


def _quota(case: Case, row: Invitation, stopped: bool) -> Gate:
    quota = case.rule.quota if case.rule is not None else None
    said = "full" if stopped else "none" if quota is None else "left"
    return Gate("quota", _state(stopped), row.decided_at, said, {"quota": quota})


def _sample(case: Case, row: Invitation, stopped: bool) -> Gate:
    share = case.rule.sample_share if case.rule is not None else 1.0
    said = "out" if stopped else "drawn" if share < 1 else "all"
    return Gate("sample", _state(stopped), row.decided_at, said, {"share": share})


def _age(case: Case, row: Invitation, stopped: bool) -> Gate:
    happened = case.event.time if case.event is not None else row.decided_at
    named = {
        "age_s": max(0.0, (row.decided_at - happened).total_seconds()),
        "most_s": case.rule.max_age_s if case.rule else 0,
    }
    return Gate("age", _state(stopped), row.decided_at, "old" if stopped else "fresh", named)


_ARRIVAL = {
    "rule": _rule,
    "suppressed": _suppressed,
    "consent": _consent,
    "address": _address,
    "condition": _condition,
    "ticket": _ticket,
    "turn": _turn,
    "rested": _rested,
    "floor": _floor,
    "quota": _quota,
    "sample": _sample,
    "age": _age,
}


def _latest(contacts: Collection[Contact], before: datetime) -> Contact | None:
    return max(
        (one for one in contacts if one.at <= before and not one.is_planned), key=lambda one: one.at, default=None
    )


def _culprit(case: Case, row: Invitation) -> Contact | None:
    """The message or answer because of which somebody rested: the one whose time and the rule's span give the end that was written.

    Where the terms have changed since, the latest one before the decision that can have counted.
    """
    decided = row.decided_at if was_refused_on_arrival(row) else row.send_at or row.decided_at
    possible = [one for one in case.contacts if one.row != row]
    if row.reason == "resting_same":
        possible = [one for one in possible if one.touchpoint == row.touchpoint_id]
    if row.reason == "floor_24h":
        possible = [one for one in possible if not one.is_answer]
    until = until_of(row.detail)
    if until is not None and case.terms is not None:
        span = {
            "resting_same": case.terms.resting_same_s,
            "resting_any": case.terms.resting_any_s,
            "floor_24h": case.terms.floor_s,
        }[row.reason]
        began = until - timedelta(seconds=span)
        # The end is written to the second.
        exact = [one for one in possible if abs(one.at - began) < timedelta(seconds=1)]
        if exact:
            return exact[0]
    return _latest(possible, decided)


# --- When it was due, and afterwards ----------------------------------------------------------------------------------


def _after(case: Case, row: Invitation) -> list[Gate]:
    due = Gate("time", State.PASSED, row.decided_at, "planned", _timing(case, row))
    if row.status in ("withheld", "cancelled"):
        again = _refused_later(case, row)
        told = _sent(case, row) if case.attempts else Gate("sent", State.NOT_REACHED)
        rest = ("delivered", *(["reminded"] if case.reminders else []), "opened", "answered")
        if row.sent_at is None:
            return [due, again, told, *(Gate(name, State.NOT_REACHED) for name in rest)]
        # Withdrawn after it had gone out, such as by an erasure.
        withdrawn = Gate("withdrawn", State.STOPPED, None, again.said, again.named)
        return [due, Gate("again", State.PASSED, row.attempted_at, "fine"), told, *_fate(case, row), withdrawn]
    if row.attempted_at is None:
        rest = ("sent", "delivered", "opened", "answered")
        return [
            due,
            Gate("again", State.WAITS, row.send_at, "waits"),
            *(Gate(name, State.NOT_REACHED) for name in rest),
        ]
    return [due, Gate("again", State.PASSED, row.attempted_at, "fine"), _sent(case, row), *_fate(case, row)]


def _timing(case: Case, row: Invitation) -> dict[str, Any]:
    rule = case.rule
    return {
        "at": row.send_at,
        "delay_s": rule.delay_s if rule is not None else 0,
        "at_time": rule.hour if rule is not None else None,
        "days": rule.days if rule is not None else [],
        "quiet": case.quiet_hours,
    }


def _refused_later(case: Case, row: Invitation) -> Gate:
    named: dict[str, Any] = {"reason": row.reason, "until": until_of(row.detail), "by": taker_of(row)}
    if row.reason in ("resting_same", "resting_any", "floor_24h"):
        named["because"] = _culprit(case, row)
    # When an invitation was withdrawn is not kept; what was refused when it was due, was so then.
    at = row.send_at if row.status == "withheld" else None
    return Gate("again", State.STOPPED, at, row.status, named)


def _sent(case: Case, row: Invitation) -> Gate:
    tries = [one for one in case.attempts if not one.reminder]
    named = {"tries": tries, "reason": row.reason, "next": row.send_at if row.status == "scheduled" else None}
    if row.status == "failed" and row.sent_at is None:
        return Gate("sent", State.STOPPED, tries[-1].at if tries else None, "failed", named)
    if row.sent_at is not None:
        return Gate("sent", State.PASSED, row.sent_at, "sent", named)
    if row.status == "scheduled":
        return Gate("sent", State.WAITS, row.send_at, "retried" if tries else "leaving", named)
    return Gate("sent", State.UNKNOWN, row.attempted_at, "unknown", named)


def _fate(case: Case, row: Invitation) -> list[Gate]:
    gates = [_delivered(case, row)]
    if case.reminders:
        gates.append(_reminded(case))
    return [*gates, _opened(case, row), _answered(case, row)]


def _delivered(case: Case, row: Invitation) -> Gate:
    if row.sent_at is None:
        return Gate("delivered", State.NOT_REACHED)
    receipts = [one for one in case.attempts if one.receipt]
    arrived = next((one for one in receipts if one.receipt in ARRIVED), None)
    if arrived is not None:
        return Gate("delivered", State.PASSED, arrived.receipt_at, "receipt", {"mode": arrived.mode})
    if row.status == "failed":
        return Gate(
            "delivered", State.STOPPED, receipts[-1].receipt_at if receipts else None, "lost", {"mode": row.mode}
        )
    if row.opened_at is not None or case.response is not None:
        return Gate("delivered", State.PASSED, None, "must_have")
    if receipts:
        return Gate("delivered", State.UNKNOWN, receipts[-1].receipt_at, "so_far")
    return Gate("delivered", State.UNKNOWN, None, "no_receipt")


def _reminded(case: Case) -> Gate:
    sent = [one for one in case.reminders if one.status == Reminder.Status.SENT]
    waits = [one for one in case.reminders if one.status == Reminder.Status.SCHEDULED]
    named = {"reminders": case.reminders}
    if sent:
        return Gate("reminded", State.PASSED, sent[-1].sent_at, "listed", named)
    if waits:
        return Gate("reminded", State.WAITS, waits[0].send_at, "listed", named)
    return Gate("reminded", State.NOT_REACHED, None, "listed", named)


def _opened(case: Case, row: Invitation) -> Gate:
    if row.opened_at is not None:
        return Gate("opened", State.PASSED, row.opened_at, "opened")
    if row.sent_at is None:
        return Gate("opened", State.NOT_REACHED)
    if case.response is not None:
        return Gate("opened", State.UNKNOWN, None, "elsewhere")  # such as a number that was texted back
    return Gate("opened", State.NOT_REACHED, None, "not_yet" if _is_open(case, row) else "never")


def _answered(case: Case, row: Invitation) -> Gate:
    response = case.response
    if response is not None:
        said = "excluded" if response.excluded_at is not None else "answered"
        return Gate("answered", State.PASSED, response.responded_at, said, {"response": response})
    if row.answered_at is not None:
        return Gate("answered", State.PASSED, row.answered_at, "answered", {"response": None})
    if row.sent_at is None:
        return Gate("answered", State.NOT_REACHED)
    if _is_open(case, row):
        return Gate("answered", State.WAITS, None, "open", {"until": row.expires_at})
    return Gate("answered", State.STOPPED, row.expires_at, "expired", {})


def _is_open(case: Case, row: Invitation) -> bool:
    is_out = row.status in ("sent", "delivered", "opened")
    return is_out and (row.expires_at is None or row.expires_at > case.now)


def names_in(when: str) -> Sequence[str]:
    """The names that a condition looks at, such as facts.wait_seconds; none where it cannot be read."""
    try:
        return parse(when).names
    except ValueError:
        return ()
