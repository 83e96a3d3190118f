from datetime import timedelta

import pytest

from surveys.flow.invite import invite_customer, invite_pending
from surveys.flow.unsubscribe import unsubscribe
from surveys.models import InteractionEvent, Invitation
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_event, make_invitation, make_rule, make_touchpoint

pytestmark = pytest.mark.django_db


def decisions():
    return list(Invitation.objects.order_by("id").values_list("status", "reason"))


def test_an_event_that_matches_a_rule_schedules_an_invitation():
    rule = make_rule(delay_s=7200)
    event = make_event(time=NOW - timedelta(hours=1), location="sh-014")
    assert invite_pending(NOW) == 1
    invitation = Invitation.objects.get()
    assert (invitation.rule, invitation.event, invitation.status) == (rule, event, "scheduled")
    assert invitation.send_at == NOW + timedelta(hours=1)
    assert (invitation.mode, invitation.location, invitation.language) == ("email", "sh-014", "en")
    assert len(invitation.token) >= 20


def test_an_event_of_another_type_leaves_nothing():
    make_rule(event_type="order.paid")
    make_event()
    assert invite_pending(NOW) == 1
    assert decisions() == []
    assert InteractionEvent.objects.get().decided


def test_an_event_is_decided_on_once():
    make_rule()
    make_event()
    assert [invite_pending(NOW), invite_pending(NOW)] == [1, 0]
    assert len(decisions()) == 1


@pytest.mark.parametrize(
    ("rule", "customer", "event", "reason"),
    [
        ({"when": "facts.wait > 10"}, {}, {"facts": {"wait": 10}}, "ineligible"),
        ({}, {"email": ""}, {}, "no_address"),
        ({"modes": ["sms"]}, {}, {}, "no_address"),
        ({"sample_share": 0.0}, {}, {}, "sampled_out"),
        ({"max_age_s": 60}, {}, {"time": NOW - timedelta(seconds=61)}, "expired"),
    ],
)
def test_a_refusal_is_a_row_with_its_reason(rule, customer, event, reason):
    make_rule(**rule)
    make_event(make_customer(**customer), **event)
    invite_pending(NOW)
    assert decisions() == [("withheld", reason)]
    assert Invitation.objects.get().token is None


def test_someone_who_was_written_to_rests():
    touchpoint, customer = make_touchpoint(), make_customer()
    make_invitation(touchpoint, customer, attempted_at=NOW - timedelta(days=89))
    make_rule(touchpoint)
    make_event(customer)
    invite_pending(NOW)
    assert decisions()[-1] == ("withheld", "resting_same")
    assert Invitation.objects.last().detail == f"until {(NOW + timedelta(days=1)).isoformat()}"


def test_what_was_withheld_does_not_count_for_resting():
    touchpoint, customer = make_touchpoint(), make_customer()
    make_invitation(
        touchpoint, customer, status="withheld", reason="expired", token=None, attempted_at=None, sent_at=None
    )
    make_rule(touchpoint)
    make_event(customer)
    invite_pending(NOW)
    assert decisions()[-1] == ("scheduled", "")


def test_an_address_that_unsubscribed_is_not_written_to_whoever_has_it_now():
    first = make_customer(email="shared@example.com")
    unsubscribe(make_invitation(customer=first), NOW)
    make_rule()
    make_event(make_customer(email="Shared@example.com"))
    invite_pending(NOW)
    assert decisions()[-1] == ("withheld", "unsubscribed")


def test_two_rules_of_one_type_decide_each_for_itself():
    make_rule(slug="a", when="facts.vip")
    make_rule(slug="b")
    make_event()
    invite_pending(NOW)
    assert sorted(decisions()) == [("scheduled", ""), ("withheld", "ineligible")]


def test_inviting_directly_passes_the_same_gates():
    touchpoint, customer = make_touchpoint(), make_customer()
    first = invite_customer(customer, touchpoint, touchpoint.instrument, NOW)
    assert first.status == "scheduled"
    Invitation.objects.filter(pk=first.pk).update(attempted_at=NOW)
    second = invite_customer(customer, touchpoint, touchpoint.instrument, NOW + timedelta(hours=1))
    assert (second.status, second.reason) == ("withheld", "resting_same")


@pytest.mark.django_db(transaction=True)
def test_workers_that_decide_at_once_make_one_row_per_rule_and_event():
    make_rule()
    for _number in range(60):
        make_event()
    claimed = together(8, lambda _index: invite_pending(NOW, limit=10))
    while invite_pending(NOW):
        pass
    assert sum(claimed) <= 60
    assert Invitation.objects.filter(status="scheduled").count() == 60
