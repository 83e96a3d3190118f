"""The chain of gates of one occasion: what the real pipeline left, told back as gates and as one sentence."""

from datetime import date, time, timedelta

import pytest

from surveys.flow.addresses import address_hash
from surveys.flow.deliver import deliver_due, drain
from surveys.flow.eligibility import REASONS
from surveys.flow.invite import invite_customer, invite_pending
from surveys.flow.occasions import case_of_invitation, cases_of_event
from surveys.flow.why import AFTER, ARRIVAL, GATE_OF, Case, State, answer_of, gates_of
from surveys.models import DeliveryAttempt, Invitation, Reminder, Suppression
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.surveys.admin.people import answer, tell

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def organisation():
    return make_organisation()


def only(event, now=NOW) -> Case:
    (case,) = cases_of_event(event, now)
    return case


def states(case) -> dict[str, str]:
    return {gate.name: str(gate.state) for gate in gates_of(case)}


def gate(case, name):
    return next(one for one in gates_of(case) if one.name == name)


def decided(customer=None, now=NOW, **event):
    made = make_event(customer, **{"time": now, **event})
    invite_pending(now)
    return only(made, now)


@pytest.mark.parametrize("reason", REASONS)
def test_what_stands_before_the_reason_was_passed_and_what_stands_behind_it_was_not_reached(reason):
    rule = make_rule(when="facts.vip")
    event = make_event()
    make_invitation(
        rule.touchpoint, event.customer, rule=rule, event=event, status="withheld", reason=reason, token=None,
        send_at=None, attempted_at=None, sent_at=None,
    )  # fmt: skip
    gates = gates_of(only(event))
    at = next(number for number, one in enumerate(gates) if one.state == State.STOPPED)
    assert gates[at].name == GATE_OF[reason]
    assert {one.state for one in gates[:at]} <= {State.PASSED}
    assert {one.state for one in gates[at + 1 :]} == {State.NOT_REACHED}


def test_gates_stand_in_the_order_in_which_reasons_outweigh_each_other():
    order = list(dict.fromkeys(GATE_OF[reason] for reason in REASONS))
    assert [name for name in ARRIVAL if name != "rule"] == order


def test_one_that_rests_is_told_because_of_which_message_and_until_when():
    rule = make_rule()
    customer = make_customer()
    earlier = make_invitation(rule.touchpoint, customer, attempted_at=NOW - 17 * DAY, sent_at=NOW - 17 * DAY)
    make_invitation(None, customer, attempted_at=NOW - 5 * DAY)  # elsewhere, later, and not the reason
    case = decided(customer)
    told = gate(case, "rested")
    assert (told.state, told.said) == (State.STOPPED, "resting_same")
    assert (told.named["because"].row, told.named["until"]) == (earlier, NOW + 73 * DAY)
    said = answer_of(case)
    assert said.said == "not_resting_same_message_until"
    assert said.named["last"] == NOW - 17 * DAY


def test_an_answer_is_told_as_the_reason_where_it_is_the_later_one():
    rule = make_rule()
    customer = make_customer()
    make_invitation(rule.touchpoint, customer, attempted_at=NOW - 17 * DAY)
    given = answer(rule.touchpoint, 9, customer=customer, now=NOW - 10 * DAY)
    case = decided(customer)
    assert gate(case, "rested").named["because"].row == given
    assert answer_of(case).said == "not_resting_same_answer_until"


def test_where_the_terms_have_changed_since_the_latest_message_before_is_told():
    rule = make_rule()
    customer = make_customer()
    earlier = make_invitation(rule.touchpoint, customer, attempted_at=NOW - 17 * DAY)
    event = make_event(customer)
    invite_pending(NOW)
    rule.resting_same_s = 86_400
    rule.save()
    assert gate(only(event), "rested").named["because"].row == earlier


def test_resting_because_of_one_of_higher_priority_that_waits_names_it():
    customer = make_customer()
    make_rule(slug="high", priority=5, delay_s=3600, event_type="order.placed")
    make_rule(slug="low")
    make_event(customer, type="order.placed")
    invite_pending(NOW)
    case = decided(customer)
    because = gate(case, "rested").named["because"]
    assert (because.row.rule.slug, because.is_planned) == ("high", True)


def test_the_condition_tells_the_values_that_it_looked_at():
    make_rule(when='facts.wait_seconds < 3600 and customer.segment == "gold"')
    case = decided(make_customer(segment="gold"), facts={"wait_seconds": 9000, "carrier": "SF"})
    told = gate(case, "condition")
    assert (told.state, told.said) == (State.STOPPED, "unmet")
    assert told.named["values"] == [("facts.wait_seconds", 9000), ("customer.segment", "gold")]
    assert told.named["changed"] is False


def test_a_condition_that_would_come_out_otherwise_today_says_so():
    make_rule(when='customer.segment == "gold"')
    customer = make_customer(segment="silver")
    case = decided(customer)
    customer.segment = "gold"
    customer.save()
    told = gate(only(case.event), "condition")
    assert (told.state, told.named["changed"]) == (State.STOPPED, True)


def test_means_stand_in_the_order_of_the_rule_with_what_speaks_against_each():
    make_rule(modes=["sms", "email"])
    customer = make_customer(phone="+8613800000000", email="li@example.com")
    Suppression.objects.create(address_hash=address_hash("+8613800000000"), reason="unsubscribed", created_at=NOW - DAY)
    told = gate(decided(customer), "address")
    assert (told.state, told.named["mode"]) == (State.PASSED, "email")
    assert [(way.mode, way.against) for way in told.named["ways"]] == [("sms", "unsubscribed"), ("email", "")]


def test_one_who_cannot_be_reached_is_told_what_is_missing():
    make_rule(modes=["email", "sms"])
    told = gate(decided(make_customer(email="")), "address")
    assert told.state == State.STOPPED
    assert [(way.mode, way.against) for way in told.named["ways"]] == [("email", "no_address"), ("sms", "no_address")]


def test_one_on_the_suppression_list_is_told_since_when():
    make_rule()
    customer = make_customer(email="li@example.com")
    Suppression.objects.create(address_hash=address_hash("li@example.com"), reason="bounced", created_at=NOW - DAY)
    told = gate(decided(customer), "suppressed")
    assert (told.state, told.said, told.named["ways"][0].since) == (State.STOPPED, "bounced", NOW - DAY)


def test_a_planned_one_tells_why_then_and_waits_to_be_decided_again():
    make_rule(delay_s=7200, at_time=time(10), days=["mon"])
    case = decided()
    told = states(case)
    assert told["time"] == "passed"
    assert (told["again"], told["sent"], told["answered"]) == ("waits", "not_reached", "not_reached")
    named = gate(case, "time").named
    assert (named["delay_s"], named["at_time"], named["days"]) == (7200, time(10), ["mon"])
    assert answer_of(case).said == "scheduled"


def test_one_that_was_refused_when_it_was_due_passed_every_gate_on_arrival(mailoutbox):
    rule = make_rule(delay_s=3600)
    customer = make_customer()
    case = decided(customer)
    other = make_invitation(rule.touchpoint, customer, attempted_at=NOW + HOUR / 2)
    deliver_due(NOW + HOUR)
    case = only(case.event, NOW + HOUR)
    told = states(case)
    assert {told[name] for name in ARRIVAL if name in told} == {"passed"}
    assert (told["again"], told["sent"]) == ("stopped", "not_reached")
    assert gate(case, "again").named["because"].row == other
    assert answer_of(case).said == "not_resting_same_message_until"


def test_a_superseded_one_names_who_took_its_place():
    make_rule(slug="after", delay_s=3600)
    customer = make_customer()
    first = make_event(customer)
    invite_pending(NOW)
    make_event(customer, time=NOW + HOUR / 2)
    invite_pending(NOW + HOUR / 2)
    told = gate(only(first), "again")
    assert (told.state, told.named["by"]) == (State.STOPPED, "after")
    assert answer_of(only(first)).said == "not_superseded"


def test_from_the_sending_to_the_answer(mailoutbox):
    make_rule(reminders_s=[3 * 86_400])
    case = decided()
    drain(lambda: NOW)
    sent = only(case.event, NOW + HOUR)
    assert states(sent) == {
        **{name: "passed" for name in (*ARRIVAL, "time", "again", "sent") if name != "ticket"},
        "delivered": "unknown", "reminded": "waits", "opened": "not_reached", "answered": "waits",
    }  # fmt: skip
    assert answer_of(sent).said == "sent"
    row = sent.invitation
    DeliveryAttempt.objects.update(receipt="delivered", receipt_at=NOW + HOUR)
    Invitation.objects.update(opened_at=NOW + HOUR, status="opened")
    Reminder.objects.update(status="cancelled", reason="answered")
    given = answer(row.touchpoint, 9, customer=row.customer, invitation=row, now=NOW + 2 * HOUR)
    done = only(case.event, NOW + DAY)
    assert {states(done)[name] for name in AFTER if name != "reminded"} == {"passed"}
    assert (gate(done, "delivered").said, gate(done, "delivered").at) == ("receipt", NOW + HOUR)
    assert gate(done, "answered").named["response"] == given
    assert states(done)["reminded"] == "not_reached"
    assert answer_of(done).said == "answered"
    given.excluded_at, given.excluded_reason = NOW + DAY, "a test"
    given.save()
    assert answer_of(only(case.event, NOW + DAY)).said == "answered_excluded"


def test_without_an_answer_it_ends_when_the_link_does(mailoutbox):
    make_rule()
    case = decided()
    drain(lambda: NOW)
    late = only(case.event, NOW + 15 * DAY)
    assert answer_of(late).said == "unanswered"
    assert (gate(late, "answered").state, gate(late, "opened").said) == (State.STOPPED, "never")


def test_what_no_carrier_took_stops_there_and_what_was_lost_later_stops_there():
    rule = make_rule()
    customer = make_customer()
    event = make_event(customer)
    row = make_invitation(
        rule.touchpoint, customer, rule=rule, event=event, status="failed", reason="bounced", sent_at=None
    )
    DeliveryAttempt.objects.create(invitation=row, mode="email", at=NOW, result="permanent", detail="550 no such user")
    told = states(only(event))
    assert (told["sent"], told["delivered"], told["answered"]) == ("stopped", "not_reached", "not_reached")
    assert answer_of(only(event)).said == "failed_bounced"
    Invitation.objects.update(sent_at=NOW, mode="sms")
    DeliveryAttempt.objects.update(result="sent", receipt="failed", receipt_at=NOW + HOUR)
    told = states(only(event))
    assert (told["sent"], told["delivered"]) == ("passed", "stopped")


def test_a_type_for_which_there_is_no_rule():
    event = make_event(type="order.paid", decided=True)
    case = only(event)
    assert (gate(case, "rule").said, answer_of(case).said) == ("none", "absent_none")
    assert set(list(states(case).values())[1:]) == {"not_reached"}


def test_rules_that_wait_for_the_type_and_left_no_row_are_told_with_their_reason():
    make_rule(slug="a-off", active=False)
    make_rule(make_touchpoint(active=False), slug="b-closed")
    event = make_event(decided=True)
    make_rule(slug="c-later")
    make_rule(slug="d-other", event_type="order.placed")
    told = [(case.rule.slug, case.absent) for case in cases_of_event(event, NOW)]
    assert told == [("a-off", "off"), ("b-closed", "touchpoint_off"), ("c-later", "later")]
    event.decided = False
    assert cases_of_event(event, NOW)[-1].absent == "undecided"


def test_of_several_rules_each_has_its_chain():
    make_rule(slug="high", priority=1)
    make_rule(slug="low")
    event = make_event()
    invite_pending(NOW)
    cases = cases_of_event(event, NOW)
    assert [(case.rule.slug, answer_of(case).said.partition("_until")[0]) for case in cases] == [
        ("high", "scheduled"),
        ("low", "not_resting_any_planned"),
    ]


def test_a_ticket_event_is_told_by_the_rules_of_the_type_that_it_was_mapped_to():
    make_touchpoint("help")
    make_customer("C-LI")
    rule = make_rule(event_type="ticket.resolved", delay_s=86_400)
    tell("t-1", "ticket.opened", -120, touchpoint="help", reference="T-1")
    tell("t-2", "ticket.resolved", -60, reference="T-1")
    invite_pending(NOW)
    event = Invitation.objects.get(rule=rule).event
    assert states(only(event))["ticket"] == "passed"
    tell("t-3", "ticket.reopened", 5, reference="T-1")
    case = only(event)
    assert (gate(case, "again").named["reason"], answer_of(case).said) == ("reopened", "not_reopened")


def test_an_invitation_that_another_system_asked_for_has_no_rule_no_condition_and_no_draw():
    touchpoint = make_touchpoint()
    row = invite_customer(make_customer(), touchpoint, touchpoint.instrument, NOW)
    case = case_of_invitation(row, NOW)
    assert gate(case, "rule").said == "direct"
    assert not {"condition", "quota", "sample", "age"} & states(case).keys()
    assert answer_of(case).said == "scheduled"


def test_an_erased_customer_leaves_a_chain_without_what_was_looked_at(mailoutbox):
    from surveys.flow.erase import erase_customer

    make_rule(when="facts.vip")
    customer = make_customer("C-9")
    case = decided(customer, facts={"vip": True})
    drain(lambda: NOW)
    erase_customer("C-9", NOW + HOUR)
    case = only(type(case.event).objects.get(), NOW + DAY)
    assert gate(case, "condition").named["values"] is None
    assert [(one.name, one.state) for one in gates_of(case)][-1] == ("withdrawn", State.STOPPED)
    assert answer_of(case).said == "not_erased"


def test_of_a_rule_on_a_calendar_the_period_stands_in_the_place_of_an_event():
    rule = make_rule(event_type="", calendar="quarter", when='customer.segment == "gold"')
    row = make_invitation(
        rule.touchpoint, make_customer(segment="silver"), rule=rule, period=date(2026, 10, 1), status="withheld",
        reason="ineligible", send_at=None, attempted_at=None, sent_at=None, token=None,
    )  # fmt: skip
    case = case_of_invitation(row, NOW)
    assert (gate(case, "rule").said, gate(case, "rule").named["period"]) == ("calendar", date(2026, 10, 1))
    assert gate(case, "condition").named["values"] == [("customer.segment", "silver")]
    assert gate(case, "condition").state == State.STOPPED
    assert "age" not in states(case)


def test_means_stand_in_the_order_that_the_customer_prefers():
    make_rule(modes=["email", "sms"])
    customer = make_customer(phone="+8613800000000", preferred_modes="sms,email")
    told = gate(decided(customer), "address")
    assert [way.mode for way in told.named["ways"]] == ["sms", "email"]
    assert (told.named["mode"], told.named["order_of"]) == ("sms", "customer")


@pytest.mark.parametrize(
    ("receipt", "state", "said"),
    [("complained", "passed", "receipt"), ("soft", "unknown", "so_far"), ("deferred", "unknown", "so_far")],
)
def test_who_complains_has_got_the_message_and_a_delay_is_no_last_word(receipt, state, said):
    rule = make_rule()
    event = make_event()
    row = make_invitation(rule.touchpoint, event.customer, rule=rule, event=event)
    DeliveryAttempt.objects.create(
        invitation=row, mode="email", at=NOW, result="sent", receipt=receipt, receipt_at=NOW + HOUR
    )
    told = gate(only(event), "delivered")
    assert (told.state, told.said, told.at) == (state, said, NOW + HOUR)
