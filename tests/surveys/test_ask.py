"""Whether a customer who is on a site may be asked there, beside all that is written to them."""

from datetime import timedelta

import pytest

from surveys.flow.ask import ask_customer
from surveys.flow.deliver import deliver_due
from surveys.models import Invitation
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_invitation, make_organisation, make_rule, make_touchpoint

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def widget():
    make_organisation()
    return make_touchpoint("checkout")


def ask(touchpoint, customer, now=NOW):
    row = ask_customer(customer.external_id, touchpoint, touchpoint.instrument, now)
    return row.status, row.reason, row.detail


def make_waiting(customer, priority, **fields):
    rule = make_rule(priority=priority)
    waits = {"status": "scheduled", "attempted_at": None, "sent_at": None, "expires_at": None}
    return make_invitation(rule.touchpoint, customer, **{**waits, "rule": rule, "send_at": NOW + DAY, **fields})


def test_whom_a_rule_of_a_higher_priority_is_about_to_ask_is_left_to_it(widget):
    customer = make_customer()
    make_waiting(customer, 1)
    until = (NOW + 31 * DAY).isoformat(timespec="seconds")
    assert ask(widget, customer) == ("withheld", "resting_any", f"until {until}")


@pytest.mark.parametrize("priority", [0, -1])
def test_a_rule_of_the_same_or_a_lower_priority_keeps_nobody_from_being_asked_here(widget, priority, mailoutbox):
    customer = make_customer()
    waits = make_waiting(customer, priority)
    assert ask(widget, customer)[:2] == ("sent", "")
    assert deliver_due(NOW + DAY) == (1, 0)
    waits.refresh_from_db()
    assert (waits.status, waits.reason) == ("withheld", "resting_any")


def test_a_rule_whose_message_would_not_be_disturbed_keeps_nobody_either(widget):
    customer = make_customer()
    make_waiting(customer, 1, send_at=NOW + 30 * DAY)
    assert ask(widget, customer)[:2] == ("sent", "")


@pytest.mark.parametrize(("hours", "expected"), [(23, ("withheld", "floor_24h")), (24, ("sent", ""))])
@pytest.mark.parametrize("shared", ["email", "phone"])
def test_the_floor_of_an_address_holds_for_whoever_has_it(widget, mailoutbox, settings, shared, hours, expected):
    settings.SMS_URL = ""
    same = {"email": "home@example.com"} if shared == "email" else {"email": "", "phone": "+8613800000000"}
    one, other = make_customer(**same), make_customer(**{"email": "own@example.com", **same})
    mode = "email" if shared == "email" else "sms"
    make_invitation(None, one, status="scheduled", attempted_at=None, sent_at=None, expires_at=None, mode=mode)
    assert deliver_due(NOW) == (1, 1)
    assert ask(widget, other, NOW + hours * HOUR)[:2] == expected


@pytest.mark.django_db(transaction=True)
def test_a_letter_and_a_page_at_the_same_moment_do_not_hinder_each_other(widget, mailoutbox):
    for number in range(8):
        one, other = (make_customer(email=f"home-{number}@example.com") for _person in range(2))
        make_invitation(None, one, status="scheduled", attempted_at=None, sent_at=None, expires_at=None)
        asked = together(2, lambda index, who=other: deliver_due(NOW) if index else ask(widget, who))
        assert asked[0][:2] in {("withheld", "floor_24h"), ("sent", "")}
        # A page is no message to an address: the letter goes out whoever came first.
        assert Invitation.objects.filter(customer=one, status="sent").count() == 1
