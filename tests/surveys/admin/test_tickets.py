"""Tickets in words: how long each took, and why one is not in TTR."""

from datetime import timedelta

import pytest

from surveys.admin.tickets import span, ticket_story
from surveys.models import Ticket
from tests.factories import NOW, make_customer, make_organisation, make_touchpoint
from tests.surveys.admin.people import READS, list_url, page_url, sign_in

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def tickets(db):
    make_organisation()
    touchpoint, customer = make_touchpoint("hotline", channel="call_center"), make_customer(name="Amina")
    rows = {
        "open": {"opened_at": NOW - 3 * HOUR, "in_ttr": True},
        "resolved": {"opened_at": NOW - 3 * HOUR, "resolved_at": NOW - HOUR, "first_response_at": NOW - 2 * HOUR,
                     "in_ttr": True, "reopened_count": 2},
        "no_opening": {"resolved_at": NOW},
        "reversed": {"opened_at": NOW, "resolved_at": NOW - HOUR},
    }  # fmt: skip
    made = {}
    for reference, fields in rows.items():
        if fields.get("in_ttr"):
            fields["day_opened"] = NOW.date()
            fields["day_resolved"] = NOW.date() if "resolved_at" in fields else None
        made[reference] = Ticket.objects.create(
            source="/desk", reference=reference, customer=customer, touchpoint=touchpoint, **fields
        )
    return made


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?state=open", {"open"}),
        ("?state=resolved", {"resolved"}),
        ("?state=uncounted", {"no_opening", "reversed"}),
        ("?state=no_opening", {"no_opening"}),
        ("?state=reversed", {"reversed"}),
        ("?reopened=yes", {"resolved"}),
        ("?touchpoint__channel__exact=app", set()),
        ("?day_resolved_from=2026-11-20", {"resolved"}),
        ("?q=amina", {"open", "resolved", "no_opening", "reversed"}),
        ("?q=rever", {"reversed"}),
    ],
)
def test_tickets_are_found_by_state_and_by_why_they_do_not_count(tickets, query, found):
    rows = sign_in(*READS).get(list_url(Ticket, query)).context["cl"].result_list
    assert {row.reference for row in rows} == found


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("open", ["Open", "open for "]),
        ("resolved", ["Resolved", "resolved after 2 h", "reopened 2 times", "1 h"]),
        ("no_opening", ["Not in TTR", "no opening known"]),
        ("reversed", ["Not in TTR", "resolved before it was opened"]),
    ],
)
def test_the_page_says_how_long_it_took_or_why_it_does_not_count(tickets, reference, words):
    shown = sign_in(*READS).get(page_url(tickets[reference])).content.decode()
    for word in words:
        assert word in shown, word


def test_the_page_tells_business_time_where_there_is_any(tickets):
    client = sign_in(*READS)
    made = tickets["resolved"]
    assert "In business time" not in client.get(page_url(made)).content.decode()
    type(made).objects.filter(pk=made.pk).update(business_s=30 * 3600, first_business_s=600)
    shown = client.get(page_url(made)).content.decode()
    assert "In business time" in shown
    assert "30 h" in shown  # not 1.3 d: a working day has not 24 hours
    assert "10 min" in shown


def test_a_span_that_is_not_known_is_a_dash():
    assert (span(None, NOW), span(NOW, None), span(NOW, NOW - HOUR), span(NOW, NOW)) == ("–", "–", "–", "0 s")


def test_a_ticket_reopened_once_says_once(tickets):
    tickets["resolved"].reopened_count = 1
    assert ticket_story(tickets["resolved"])[1] == "resolved after 2 h · reopened once"
