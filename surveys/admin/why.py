"""“Why?”: the chain of gates in words, and the search by what a support agent has. In: cases of flow/occasions.py. Out: pages to read.

What stands in a sentence depends on who reads it: facts, addresses and carriers' words are told to whoever may view customers, scores
and links to answers to whoever may view those.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from surveys.admin.records import (
    NOTHING,
    SEES_ANSWERS,
    SEES_PEOPLE,
    chip,
    customer_link,
    link,
    mode_word,
    moment,
    page_of,
    score_chip,
)
from surveys.flow.occasions import Occasion, customers_by, events_by, occasions_of
from surveys.flow.preference import CUSTOMER, SEGMENT
from surveys.flow.soft import SOFT
from surveys.flow.why import AFTER, Answer, Case, Contact, Gate, State, Way, answer_of, gates_of
from surveys.models import ARRIVED, Invitation, InvitationRule, QuarantinedEvent, Reminder, Response
from surveys.words import duration
from surveys.worktime import WEEKDAYS

SEES_DECISIONS = ("surveys.view_interactionevent", "surveys.view_invitation")
SEES_RULES = "surveys.view_invitationrule"
SEES_QUARANTINE = "surveys.view_quarantinedevent"
PER_PAGE = 30
REMEMBERED = timedelta(days=90)  # how far back a reference that is no ticket's is looked for

# --- Words ------------------------------------------------------------------------------------------------------------

NAMES: Mapping[str, Any] = {
    "rule": gettext_lazy("A rule for it"),
    "suppressed": gettext_lazy("May be written to"),
    "consent": gettext_lazy("Consent"),
    "address": gettext_lazy("Reachable"),
    "condition": gettext_lazy("The rule’s condition"),
    "ticket": gettext_lazy("The ticket stays solved"),
    "turn": gettext_lazy("First in turn"),
    "rested": gettext_lazy("Rested"),
    "floor": gettext_lazy("Time since the last message"),
    "quota": gettext_lazy("The day’s quota"),
    "sample": gettext_lazy("In the sample"),
    "age": gettext_lazy("Recent enough"),
    "time": gettext_lazy("Planned"),
    "again": gettext_lazy("Decided again when due"),
    "sent": gettext_lazy("Sent"),
    "delivered": gettext_lazy("Delivered"),
    "reminded": gettext_lazy("Reminded"),
    "opened": gettext_lazy("Opened"),
    "answered": gettext_lazy("Answered"),
    "withdrawn": gettext_lazy("Withdrawn"),
}
STATES: Mapping[State, Any] = {
    State.PASSED: gettext_lazy("passed"),
    State.STOPPED: gettext_lazy("stopped here"),
    State.WAITS: gettext_lazy("still to come"),
    State.NOT_REACHED: gettext_lazy("not reached"),
    State.UNKNOWN: gettext_lazy("not known"),
}
MARKS = {
    State.PASSED: "check",
    State.STOPPED: "block",
    State.WAITS: "schedule",
    State.NOT_REACHED: "remove",
    State.UNKNOWN: "question_mark",
}

# The one sentence of an occasion. Each stands alone, so that it reads well in both languages.
ANSWERS: Mapping[str, Any] = {
    "absent_none": gettext_lazy("Not asked: no rule waits for events of the type “%(type)s”."),
    "absent_off": gettext_lazy("Not asked: the rule “%(rule)s” waits for such events, and is switched off."),
    "absent_touchpoint_off": gettext_lazy("Not asked: the touchpoint of the rule “%(rule)s” is switched off."),
    "absent_later": gettext_lazy(
        "Not asked: when this event came, the rule “%(rule)s” was not there, was switched off or waited for something else."
    ),
    "absent_undecided": gettext_lazy("Not decided yet: the rules will be asked in a moment."),
    "not_unsubscribed": gettext_lazy("Not asked: this customer has unsubscribed."),
    "not_bounced": gettext_lazy("Not asked: messages to this customer’s address came back for good."),
    "not_consent_missing": gettext_lazy("Not asked: consent was missing, or had been withdrawn."),
    "not_no_address": gettext_lazy("Not asked: there is no address at which this customer could be reached."),
    "not_ineligible": gettext_lazy("Not asked: the rule’s condition was not met."),
    "not_reopened": gettext_lazy("Not asked: the ticket was reopened."),
    "not_superseded": gettext_lazy("Not asked about this: another invitation took its place."),
    "not_resting_same": gettext_lazy("Not asked: asked about this recently."),
    "not_resting_same_until": gettext_lazy("Not asked: asked about this recently; may be asked again on %(until)s."),
    "not_resting_same_message": gettext_lazy("Not asked: asked about this on %(last)s."),
    "not_resting_same_message_until": gettext_lazy(
        "Not asked: asked about this on %(last)s; may be asked again on %(until)s."
    ),
    "not_resting_same_answer": gettext_lazy("Not asked: gave an answer about this on %(last)s."),
    "not_resting_same_answer_until": gettext_lazy(
        "Not asked: gave an answer about this on %(last)s; may be asked again on %(until)s."
    ),
    "not_resting_same_planned_until": gettext_lazy(
        "Not asked: another invitation goes first, on %(last)s; may be asked again on %(until)s."
    ),
    "not_resting_any_planned_until": gettext_lazy(
        "Not asked: another invitation goes first, on %(last)s; may be asked again on %(until)s."
    ),
    "not_floor_24h_planned_until": gettext_lazy(
        "Not asked: another invitation goes first, on %(last)s; may be asked again on %(until)s."
    ),
    "not_resting_any": gettext_lazy("Not asked: asked about something else recently."),
    "not_resting_any_until": gettext_lazy(
        "Not asked: asked about something else recently; may be asked again on %(until)s."
    ),
    "not_resting_any_message": gettext_lazy("Not asked: asked about something else on %(last)s."),
    "not_resting_any_message_until": gettext_lazy(
        "Not asked: asked about something else on %(last)s; may be asked again on %(until)s."
    ),
    "not_resting_any_answer": gettext_lazy("Not asked: gave another answer on %(last)s."),
    "not_resting_any_answer_until": gettext_lazy(
        "Not asked: gave another answer on %(last)s; may be asked again on %(until)s."
    ),
    "not_floor_24h": gettext_lazy("Not asked: another message had gone out shortly before."),
    "not_floor_24h_until": gettext_lazy(
        "Not asked: another message had gone out shortly before; the next may go out from %(until)s."
    ),
    "not_floor_24h_message": gettext_lazy("Not asked: another message had gone out on %(last)s."),
    "not_floor_24h_message_until": gettext_lazy(
        "Not asked: another message had gone out on %(last)s; the next may go out from %(until)s."
    ),
    "not_quota_full": gettext_lazy("Not asked: the rule’s messages for that day were used up."),
    "not_sampled_out": gettext_lazy("Not asked: this event was not drawn into the sample."),
    "not_expired": gettext_lazy("Not asked: the event came too long after it had happened."),
    "not_erased": gettext_lazy("Not asked any more: the customer’s data was erased."),
    "not_inactive": gettext_lazy("Not asked: the rule or its touchpoint was switched off before the message was due."),
    "failed": gettext_lazy("Not reached: the message could not be delivered."),
    "failed_bounced": gettext_lazy("Not reached: the address does not exist, or refuses messages for good."),
    "scheduled": gettext_lazy("Will be asked by %(mode)s on %(at)s."),
    "retried": gettext_lazy("Not reached yet: the carrier did not take the message; it is tried again on %(at)s."),
    "sent": gettext_lazy("Asked by %(mode)s on %(asked)s; has not answered yet."),
    "delivered": gettext_lazy("Asked by %(mode)s on %(asked)s; the message arrived, and is not answered yet."),
    "opened": gettext_lazy("Asked by %(mode)s on %(asked)s; the form was opened, and is not answered yet."),
    "unanswered": gettext_lazy("Asked by %(mode)s on %(asked)s, and never answered."),
    "answered": gettext_lazy("Asked by %(mode)s on %(asked)s, and answered on %(at)s."),
    "answered_excluded": gettext_lazy(
        "Asked by %(mode)s on %(asked)s, and answered on %(at)s; the answer is left out of the figures."
    ),
}
TONES = {"answered": "best", "scheduled": "going", "sent": "going", "delivered": "going", "opened": "going"}

SAID: Mapping[tuple[str, str], Any] = {
    ("rule", "direct"): gettext_lazy("Another system asked for this invitation; no rule was needed."),
    ("rule", "calendar"): gettext_lazy(
        "The rule “%(rule)s” asks each customer once in a period, here from %(period)s."
    ),
    ("rule", "matched"): gettext_lazy("The rule “%(rule)s” waits for events of the type “%(type)s”."),
    ("rule", "inactive"): gettext_lazy("The touchpoint was switched off, or had nothing to ask."),
    ("rule", "none"): gettext_lazy(
        "No rule waits for events of this type. Such events can still count in tickets, or serve as facts later."
    ),
    ("rule", "off"): gettext_lazy("The rule “%(rule)s” waits for events of this type. It is switched off now."),
    ("rule", "touchpoint_off"): gettext_lazy(
        "The rule “%(rule)s” waits for events of this type. Its touchpoint is switched off now."
    ),
    ("rule", "later"): gettext_lazy(
        "The rule “%(rule)s” left no decision, so it was made, switched on or changed after this event had come. A rule never looks "
        "back."
    ),
    ("rule", "undecided"): gettext_lazy("The event is recorded. A worker asks the rules within seconds."),
    ("suppressed", "none"): gettext_lazy("Nobody had unsubscribed, complained or bounced here."),
    ("suppressed", "later"): gettext_lazy("Nothing stood against it then; it does now."),
    ("suppressed", "unsubscribed"): gettext_lazy(
        "Every address of this customer is on the list of those not written to."
    ),
    ("suppressed", "bounced"): gettext_lazy("Messages to every address of this customer had come back for good."),
    ("consent", "fine"): gettext_lazy("The rule needs none, or it was there; and none had been withdrawn."),
    ("consent", "missing"): gettext_lazy("The consent that the rule needs was missing, or it had been withdrawn."),
    ("address", "found"): gettext_lazy("By %(mode)s."),
    ("address", "none"): gettext_lazy("None of the rule’s means leads to this customer."),
    ("condition", "always"): gettext_lazy("The rule asks after every such event."),
    ("condition", "met"): gettext_lazy("Met:"),
    ("condition", "unmet"): gettext_lazy("Not met:"),
    ("ticket", "fine"): gettext_lazy("It had not been reopened."),
    ("ticket", "reopened"): gettext_lazy("It was reopened: nobody is asked how it was solved."),
    ("turn", "fine"): gettext_lazy("No newer event and no rule of higher priority stood in the way."),
    ("turn", "superseded"): gettext_lazy("A newer event of the rule, or a rule of higher priority, goes first."),
    ("rested", "never"): gettext_lazy("Nothing was asked or answered before."),
    ("rested", "long_ago"): gettext_lazy("Long enough since the last message or answer:"),
    ("rested", "exempt"): gettext_lazy("The rule need not wait, because: %(reason)s."),
    ("rested", "resting_same"): gettext_lazy("Asked about the same touchpoint too recently:"),
    ("rested", "resting_any"): gettext_lazy("Asked about another touchpoint too recently:"),
    ("floor", "fine"): gettext_lazy("No other message shortly before."),
    ("floor", "exempt"): gettext_lazy("The rule need not wait, because: %(reason)s."),
    ("floor", "too_soon"): gettext_lazy("Another message to this customer, or to this address, was too recent:"),
    ("quota", "none"): gettext_lazy("The rule has no limit for a day."),
    ("quota", "left"): gettext_lazy("Fewer than %(quota)s on the day of sending."),
    ("quota", "full"): gettext_lazy("The limit of %(quota)s messages for the day of sending was reached."),
    ("sample", "all"): gettext_lazy("The rule asks after all of them."),
    ("sample", "drawn"): gettext_lazy("Drawn: the rule asks after %(share)s of its events."),
    ("sample", "out"): gettext_lazy(
        "Not drawn: the rule asks after %(share)s of its events. The same event always gets the same draw."
    ),
    ("age", "fresh"): gettext_lazy("Decided %(age)s after it happened; the rule allows %(most)s."),
    ("age", "old"): gettext_lazy("Came %(age)s after it happened; the rule allows %(most)s."),
    ("time", "planned"): gettext_lazy("To be sent on %(at)s."),
    ("again", "fine"): gettext_lazy("Every gate was passed once more, with what had happened meanwhile."),
    ("again", "waits"): gettext_lazy("On %(at)s every gate is asked once more."),
    ("again", "withheld"): gettext_lazy("Meanwhile something spoke against it: %(reason)s."),
    ("again", "cancelled"): gettext_lazy("Withdrawn before it was sent: %(reason)s."),
    ("withdrawn", "cancelled"): gettext_lazy("The link no longer works: %(reason)s."),
    ("withdrawn", "withheld"): gettext_lazy("The link no longer works: %(reason)s."),
    ("sent", "sent"): gettext_lazy("A carrier took the message."),
    ("sent", "failed"): gettext_lazy("No carrier took the message."),
    ("sent", "retried"): gettext_lazy("Not taken yet; the next try is on %(at)s."),
    ("sent", "leaving"): gettext_lazy("It is being sent."),
    ("sent", "unknown"): gettext_lazy("It was being sent when it was withdrawn."),
    ("delivered", "receipt"): gettext_lazy("The carrier says that it arrived."),
    ("delivered", "lost"): gettext_lazy("The carrier took it, and says that it did not arrive."),
    ("delivered", "must_have"): gettext_lazy("It must have arrived, since it was opened or answered."),
    ("delivered", "no_receipt"): gettext_lazy("The carrier took it and said nothing more. Most mail servers never do."),
    ("delivered", "so_far"): gettext_lazy("The carrier’s last word is not its final one:"),
    ("reminded", "listed"): "",
    ("opened", "opened"): gettext_lazy("The form was fetched, by a person or by a mail scanner."),
    ("opened", "elsewhere"): gettext_lazy("Answered without the form, or the form was not seen to be opened."),
    ("opened", "not_yet"): gettext_lazy("Not so far."),
    ("opened", "never"): gettext_lazy("Never, as far as is known."),
    ("answered", "answered"): "",
    ("answered", "excluded"): gettext_lazy("Answered, and left out of the figures:"),
    ("answered", "open"): gettext_lazy("The link works until %(until)s."),
    ("answered", "expired"): gettext_lazy("The link ended without an answer."),
}
AGAINST: Mapping[str, Any] = {
    "": gettext_lazy("can be used now"),
    "no_address": gettext_lazy("no address"),
    "unsubscribed": gettext_lazy("unsubscribed"),
    "bounced": gettext_lazy("messages came back"),
    "consent_missing": gettext_lazy("no consent"),
    "unusable": gettext_lazy("cannot be used"),
}
ORDERS: Mapping[str, Any] = {
    CUSTOMER: gettext_lazy("In the order that the customer prefers"),
    SEGMENT: gettext_lazy("In the order that the customer’s segment prefers"),
}
DAYS: Mapping[str, Any] = dict(
    zip(
        WEEKDAYS,
        (
            *(gettext_lazy("Monday"), gettext_lazy("Tuesday"), gettext_lazy("Wednesday"), gettext_lazy("Thursday")),
            *(gettext_lazy("Friday"), gettext_lazy("Saturday"), gettext_lazy("Sunday")),
        ),
        strict=True,
    )
)


def day(at: datetime | None) -> str:
    """As it stands in a sentence, on the organisation’s calendar."""
    if at is None:
        return NOTHING
    return date_format(timezone.localtime(at), pgettext("date format of a day in a sentence", "j F Y"))


def _in_sentence(mode: str) -> str:
    """“by email”, “by SMS”: a mode within a sentence."""
    words = {"email": pgettext("by which means", "email"), "sms": pgettext("by which means", "SMS")}
    return words.get(mode) or mode_word(mode)


# --- A chain ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """One gate as it is drawn. `lines`: what else there is to read below its sentence."""

    name: str
    state: str
    mark: str
    label: str
    word: str
    at: str
    text: str
    lines: Sequence[Any] = ()


@dataclass(frozen=True)
class Chain:
    """One rule's chain: its sentence, what was decided on arrival, what became of it."""

    title: Any
    answer: str
    url: str  # of the invitation
    arrival: Sequence[Shown]
    after: Sequence[Shown]


def sentence(case: Case, may: Callable[[str], bool]) -> tuple[str, str]:
    """The case's one sentence and its tone. Without the right to see customers' data it is the same: it says nothing of them."""
    answer = answer_of(case)
    return _sentence(answer, case), TONES.get(answer.said, "quiet" if answer.said.startswith("absent") else "middle")


def _sentence(answer: Answer, case: Case) -> str:
    named = answer.named
    event_type = case.event.type if case.event is not None else ""
    rule = named.get("rule")
    values = {
        "type": event_type,
        "rule": rule.slug if isinstance(rule, InvitationRule) else "",
        "mode": _in_sentence(named.get("mode", "")),
        "at": moment(named.get("at")),
        "asked": day(named.get("asked")),
        "last": day(named.get("last")),
        "until": moment(named["until"]) if "floor" in answer.said and named.get("until") else day(named.get("until")),
    }
    if answer.said in ("answered", "answered_excluded"):
        values["at"] = day(named.get("at"))
    return str(ANSWERS[answer.said]) % values


def chain_of(case: Case, may: Callable[[str], bool]) -> Chain:
    """A case in words, for whoever `may` answers a permission for."""
    gates = gates_of(case)
    told, _tone = sentence(case, may)
    later = (*AFTER, "withdrawn")
    arrival = _drawn([_shown(gate, case, may) for gate in gates if gate.name not in later])
    after = _drawn([_shown(gate, case, may) for gate in gates if gate.name in later])
    url = page_of(case.invitation) if case.invitation is not None else ""
    return Chain(_title(case, may), told, url, arrival, after)


def _drawn(gates: Iterable[Shown]) -> list[Shown]:
    """Those that were not reached and have nothing to say stand together, so that the eye finds what there is to read."""
    drawn: list[Shown] = []
    for gate in gates:
        silent = gate.state == State.NOT_REACHED and not gate.text and not gate.lines
        if silent and drawn and drawn[-1].state == State.NOT_REACHED and not drawn[-1].text and not drawn[-1].lines:
            label = pgettext("between the items of a list", ", ").join((drawn[-1].label, gate.label))
            drawn[-1] = replace(drawn[-1], label=label)
        else:
            drawn.append(gate)
    return drawn


def _title(case: Case, may: Callable[[str], bool]) -> Any:
    rule = case.rule
    if rule is None:
        return _("Without a rule") if case.invitation is not None else ""
    return link(rule, rule.slug) if may(SEES_RULES) else rule.slug


def _shown(gate: Gate, case: Case, may: Callable[[str], bool]) -> Shown:
    template = str(SAID.get((gate.name, gate.said), "")) if gate.said else ""
    text = template % _values(gate, case) if template else ""
    lines = [line for line in _LINES.get(gate.name, _no_lines)(gate, case, may) if line]
    at = moment(gate.at) if gate.at is not None else ""
    return Shown(
        gate.name, gate.state, MARKS[gate.state], str(NAMES[gate.name]), str(STATES[gate.state]), at, text, lines
    )


def _values(gate: Gate, case: Case) -> dict[str, Any]:
    named = gate.named
    rule, event = named.get("rule"), named.get("event")
    reason = named.get("reason", "")
    return {
        "rule": rule.slug if rule is not None else "",
        "type": event.type if event is not None else "",
        "period": date_format(named["period"], pgettext("date format of a day in a sentence", "j F Y"))
        if named.get("period")
        else "",
        "mode": _in_sentence(named.get("mode", "")),
        "quota": named.get("quota"),
        "share": f"{100 * named.get('share', 1.0):.4g} %",
        "age": duration(named.get("age_s", 0)),
        "most": duration(named.get("most_s", 0)),
        "at": moment(gate.at if gate.name in ("again", "sent") else named.get("at")),
        "until": moment(named.get("until")),
        "reason": str(dict(Invitation.Reason.choices).get(reason, reason)).rstrip(".。"),
    }


def _no_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    return ()


def _suppression_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    ways: Sequence[Way] = gate.named.get("ways", ())
    for way in ways:
        yield _("%(mode)s: %(what)s, since %(at)s") % {
            "mode": mode_word(way.mode),
            "what": AGAINST[way.against],
            "at": moment(way.since),
        }
    if gate.state is State.STOPPED and not ways:
        yield _("It has been lifted since.")


def _address_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    """In the rule's order. What is known of addresses is known as of now."""
    ways: Sequence[Way] = gate.named.get("ways", ())
    if gate.state is State.NOT_REACHED or (len(ways) < 2 and gate.state is State.PASSED):
        return
    if gate.named["order_of"] in ORDERS:
        yield str(ORDERS[gate.named["order_of"]])
    for number, way in enumerate(ways, start=1):
        yield _("%(number)d. %(mode)s: %(what)s") % {
            "number": number,
            "mode": mode_word(way.mode),
            "what": AGAINST[way.against],
        }


def _condition_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    if "when" not in gate.named:
        return
    if may(SEES_RULES):
        yield format_html("<code>{}</code>", gate.named["when"])
    values = gate.named["values"]
    if values is None:
        yield _("What it looked at is erased.")
    elif may(SEES_PEOPLE):
        for name, value in values:
            yield format_html("<code>{}</code> = <b>{}</b>", name, _plain(value))
    if gate.named["changed"] and may(SEES_PEOPLE):
        yield _("Today it would come out otherwise: the rule or the customer has changed since.")


def _plain(value: Any) -> str:
    if value is None:
        return _("unknown")
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return Truncator(text).chars(200)


def _turn_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    if gate.named.get("by"):
        yield _taken_by(gate.named["by"], case, may)


def _taken_by(slug: str, case: Case, may: Callable[[str], bool]) -> Any:
    """With a link to the invitation that went first, where the customer has one of that rule from about then."""
    others = [
        one.row
        for one in case.contacts
        if isinstance(one.row, Invitation) and one.row.rule is not None and one.row.rule.slug == slug
    ]
    row = next((one for one in others if one != case.invitation), None)
    told = _("By the rule “%(rule)s”") % {"rule": slug}
    return link(row, told) if row is not None else told


def _rest_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    because: Contact | None = gate.named.get("because")
    if because is not None:
        yield _contact(because, may)
    elif gate.state is State.STOPPED:
        yield _("a message to somebody else at this address, or one that is not kept")
    if gate.named.get("until") is not None:
        yield _("Until %(at)s") % {"at": moment(gate.named["until"])}


def _contact(one: Contact, may: Callable[[str], bool]) -> Any:
    """A message or answer, linked, with its touchpoint and time."""
    row = one.row
    where = row.touchpoint.label if row is not None else NOTHING
    if isinstance(row, Response):
        told = _("Answer about %(touchpoint)s, %(at)s") % {"touchpoint": where, "at": moment(one.at)}
        return link(row, told) if may(SEES_ANSWERS) else told
    if one.is_planned:
        told = _("Invitation to %(touchpoint)s, to be sent %(at)s") % {"touchpoint": where, "at": moment(one.at)}
    else:
        told = _("Message about %(touchpoint)s, %(at)s") % {"touchpoint": where, "at": moment(one.at)}
    return link(row, told) if row is not None else told


def _time_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    named = gate.named
    if not named:
        return
    if named["delay_s"]:
        yield _("%(span)s after the event, as the rule says") % {"span": duration(named["delay_s"])}
    if named["at_time"] is not None:
        yield _("at %(time)s by the customer’s clock") % {"time": f"{named['at_time']:%H:%M}"}
    if named["days"]:
        listed = pgettext("between the items of a list", ", ").join(str(DAYS[name]) for name in named["days"])
        yield _("only on %(days)s") % {"days": listed}
    if named["quiet"]:
        yield _("outside quiet hours, %(span)s") % {"span": named["quiet"].replace("-", "–")}
    if case.rule is not None and not (named["delay_s"] or named["at_time"] or named["days"] or named["quiet"]):
        yield _("at once")


def _again_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    if gate.state is not State.STOPPED:
        return
    if "because" in gate.named:
        yield from _rest_lines(gate, case, may)
    if gate.named.get("by"):
        yield _taken_by(gate.named["by"], case, may)


def _sent_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    for attempt in gate.named.get("tries", ()):
        said = attempt.detail if may(SEES_PEOPLE) else ""
        tone = {"sent": "best", "permanent": "worst"}.get(attempt.result, "middle")
        told = chip(attempt.get_result_display(), tone)
        yield format_html("{} · {} {} {}", moment(attempt.at), mode_word(attempt.mode), told, said)


def _delivered_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    for attempt in case.attempts:
        if attempt.receipt and not attempt.reminder:
            tone = "best" if attempt.receipt in ARRIVED else "middle" if attempt.receipt in SOFT else "worst"
            told = chip(attempt.get_receipt_display(), tone)
            yield format_html("{} · {} {}", moment(attempt.receipt_at), mode_word(attempt.mode), told)


def _reminder_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    for reminder in gate.named.get("reminders", ()):
        title = _("Reminder %(number)d") % {"number": reminder.number}
        if reminder.status == Reminder.Status.SENT:
            told = _("sent %(at)s") % {"at": moment(reminder.sent_at)}
        elif reminder.status == Reminder.Status.SCHEDULED:
            told = _("to be sent %(at)s") % {"at": moment(reminder.send_at)}
        else:
            told = _("not sent: %(reason)s") % {"reason": reminder.get_reason_display()}
        yield _("%(title)s: %(told)s") % {"title": title, "told": told}


def _answered_lines(gate: Gate, case: Case, may: Callable[[str], bool]) -> Iterable[Any]:
    response: Response | None = gate.named.get("response")
    if response is None:
        return
    if not may(SEES_ANSWERS):
        yield _("Answer")
        return
    instrument = response.version.instrument
    told = link(response, _("Answer"))
    yield format_html("{} {}", told, score_chip(instrument.metric, instrument.points, response.score))
    if response.excluded_at is not None:
        yield response.excluded_reason


_LINES: Mapping[str, Callable[[Gate, Case, Callable[[str], bool]], Iterable[Any]]] = {
    "suppressed": _suppression_lines,
    "address": _address_lines,
    "condition": _condition_lines,
    "turn": _turn_lines,
    "rested": _rest_lines,
    "floor": _rest_lines,
    "time": _time_lines,
    "again": _again_lines,
    "withdrawn": _again_lines,
    "sent": _sent_lines,
    "delivered": _delivered_lines,
    "reminded": _reminder_lines,
    "answered": _answered_lines,
}

# Which of several cases of one event speaks for it: the one that came furthest.
_RANK = ("answered", "answered_excluded", "opened", "delivered", "sent", "unanswered", "retried", "scheduled", "failed")


def foremost(cases: Sequence[Case]) -> Case:
    def rank(case: Case) -> int:
        said = answer_of(case).said
        return _RANK.index(said) if said in _RANK else len(_RANK) + said.startswith("absent")

    return min(cases, key=rank)


def why_context(cases: Sequence[Case], may: Callable[[str], bool]) -> dict[str, Any]:
    """What staff/_why.html shows: the answer at the top, and a chain for each rule."""
    first = foremost(cases)
    told, _tone = sentence(first, may)
    ordered = [first, *(case for case in cases if case is not first)]
    return {"answer": told, "chains": [chain_of(case, may) for case in ordered]}


# --- The search -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One occasion in the list."""

    at: str
    url: str
    title: str
    where: str
    customer: SafeString | str
    answers: Sequence[tuple[str, str, str]]  # (rule, sentence, tone)


def search_view(request: HttpRequest) -> HttpResponse:
    """By customer id, email, phone, event id or reference: what happened, and why somebody was asked or not, newest first."""
    if not request.user.has_perms(SEES_DECISIONS):
        raise PermissionDenied
    may = request.user.has_perm
    term = request.GET.get("q", "").strip()[:300]
    given = request.GET.get("page", "")
    page = max(1, int(given)) if given.isdecimal() and len(given) < 4 else 1
    now = timezone.now()
    people = customers_by(term) if may(SEES_PEOPLE) else []
    events = events_by(term, now - REMEMBERED) if term else []
    found, has_more = occasions_of(people, events, now, (page - 1) * PER_PAGE, PER_PAGE)
    context = {
        "title": _("Why was this customer asked, or not?"),
        "term": term,
        "sees_people": may(SEES_PEOPLE),
        "people": [(customer_link(person), person.external_id) for person in people],
        "lines": [_line(one, may) for one in found],
        "unusable": _unusable(term) if term and may(SEES_PEOPLE) and may(SEES_QUARANTINE) else [],
        "newer": page - 1,
        "older": page + 1 if has_more else 0,
    }
    request.current_app = admin.site.name
    response = TemplateResponse(
        request, "staff/why.html", {**admin.site.each_context(request), "subtitle": None, **context}
    )
    response["Cache-Control"] = "no-store"
    return response


def _line(one: Occasion, may: Callable[[str], bool]) -> Line:
    row = one.event or one.cases[0].invitation
    assert row is not None
    place = row.touchpoint
    answers = [(case.rule.slug if case.rule else "", *sentence(case, may)) for case in one.cases]
    return Line(
        at=moment(one.at),
        url=page_of(row),
        title=one.event.type if one.event is not None else _("Invitation without an event"),
        where=place.label if place is not None else "",
        customer=customer_link(one.customer) if may(SEES_PEOPLE) else "",
        answers=answers,
    )


def _unusable(term: str) -> list[tuple[str, str, str]]:
    """Quarantined events that name it, newest first: nobody was asked because of them."""
    escaped = json.dumps(term)[1:-1]
    rows = QuarantinedEvent.objects.filter(body__contains=f'"{escaped}"').exclude(state=QuarantinedEvent.State.RETRIED)
    return [
        (moment(row.received_at), page_of(row), row.errors[0].get("detail", "") if row.errors else "")
        for row in rows.order_by("-received_at")[:10]
    ]
