"""Decisions with their reasons in words, and what carriers said."""

import pytest

from surveys.admin.invitations import why
from surveys.models import DeliveryAttempt, Invitation
from tests.factories import make_customer, make_invitation, make_organisation, make_touchpoint
from tests.surveys.admin.people import READS, hold_everything, list_url, page_url, sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def held(db):
    make_organisation()
    return hold_everything()


@pytest.fixture
def manager(db):
    return sign_in(*READS)


def found(client, model, query):
    return {row.pk for row in client.get(list_url(model, query)).context["cl"].result_list}


def test_decisions_are_found_by_what_the_overview_links_to(manager, held):
    other = make_touchpoint("hotline")
    failed = make_invitation(other, make_customer(), status="failed", reason="bounced", mode="sms").pk
    planned = make_invitation(other, make_customer(), status="scheduled", sent_at=None).pk
    asked, withheld = held.asked.pk, held.withheld.pk
    for query, wanted in (
        *(("?status__exact=failed", {failed}), ("?status__exact=scheduled", {planned}), ("?mode=sms", {failed})),
        *(("?reason__exact=resting_same", {withheld}), (f"?rule__id__exact={held.asked.rule_id}", {asked, withheld})),
        *((f"?touchpoint__id__exact={other.pk}", {failed, planned}), ("?q=Li+Na", {asked, withheld})),
        *(
            (f"?event__id__exact={held.event.pk}", {asked}),
            (f"?customer__id__exact={held.customer.pk}", {asked, withheld}),
        ),
        *(("?decided_at_from=2026-11-20&decided_at_to=2026-11-20", {asked, withheld, failed, planned}),),
    ):
        assert found(manager, Invitation, query) == wanted, query


@pytest.mark.parametrize("reason", Invitation.Reason.values)
def test_every_reason_is_told_in_words(reason):
    told = why(Invitation(status="withheld", reason=reason, detail="until 2026-11-21T02:00:00+00:00"))
    assert told
    assert "_" not in told
    assert "(until 21 Nov 2026" in told
    assert "until" not in why(Invitation(status="failed", reason=reason, detail="until the mailbox is there"))


def test_the_chain_goes_from_the_event_to_the_answer(manager, held):
    shown = manager.get(page_url(held.asked)).content.decode()
    places = [
        shown.index(words)
        for words in ("When the event came", "order.delivered", "451 li@example.com is busy", "Detractor")
    ]
    assert places == sorted(places)
    assert held.asked.token not in shown


def test_a_planned_one_says_when_and_a_failed_one_why(manager, held):
    planned = make_invitation(held.touchpoint, make_customer(), status="scheduled", sent_at=None)
    failed = make_invitation(held.touchpoint, make_customer(), status="failed", reason="bounced", sent_at=None)
    assert "to be sent 20 Nov 2026, 10:00" in manager.get(page_url(planned)).content.decode()
    assert "Address bounced" in manager.get(page_url(failed)).content.decode()


def test_deliveries_that_failed_are_found(manager, held):
    DeliveryAttempt.objects.create(invitation=held.asked, mode="email", at=held.attempt.at, result="sent")
    assert found(manager, DeliveryAttempt, "?result__exact=temporary") == {held.attempt.pk}
    assert found(manager, DeliveryAttempt, "?result__in=temporary,permanent") == {held.attempt.pk}
    assert "451" in manager.get(page_url(held.attempt)).content.decode()
