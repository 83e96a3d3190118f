"""The story of a customer, all that is held as a file, and erasing behind a typed confirmation."""

import json
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry

from surveys.admin.customers import PER_STORY, story_of
from surveys.flow.erase import erase_customer
from surveys.models import Customer, Suppression
from tests.factories import NOW, make_customer, make_event, make_organisation
from tests.surveys.admin.people import ADDRESS, COMMENT, NAME, READS, hold_everything, list_url, page_url, sign_in
from tests.surveys.admin.staff import send

pytestmark = pytest.mark.django_db


@pytest.fixture
def held(db):
    make_organisation()
    return hold_everything()


def test_the_story_is_one_time_line_newest_first(held):
    story, has_older = story_of(held.customer, lambda permission: True)
    told = [
        (line.icon, str(line.title).split(">")[-2].split("<")[0] if "<a" in line.title else line.title)
        for line in story
    ]
    assert told == [
        ("mail", "Not asked"),
        ("do_not_disturb_on", "Bounced"),
        ("reviews", "Answer"),
        ("bolt", "order.delivered"),
        ("outgoing_mail", "Delivery · Email"),
        ("mail", "Invited · Email"),
        ("confirmation_number", "Ticket T-1"),
        ("bolt", "ticket.resolved"),
        ("bolt", "ticket.opened"),
        ("bolt", "order.delivered"),
    ]
    assert [line.at for line in story] == sorted((line.at for line in story), reverse=True)
    assert not has_older


def test_the_page_tells_reasons_bands_comments_and_suppression_in_words(held):
    shown = sign_in(*READS).get(page_url(held.customer)).content.decode()
    for words in (
        *(NAME, ADDRESS, "Bounced", "Asked about this recently (until 18 Feb 2027, 10:00)", "Detractor", COMMENT),
        *("Temporary failure", f"451 {ADDRESS} is busy", "resolved after 1 h", "carrier", "Shanghai"),
    ):
        assert words in shown, words


def test_the_page_takes_few_queries_however_long_the_story_is(held, django_assert_max_num_queries):
    for number in range(2 * PER_STORY):
        make_event(held.customer, touchpoint=held.touchpoint, time=NOW - timedelta(days=number))
    client = sign_in(*READS)
    with django_assert_max_num_queries(18):
        first = client.get(page_url(held.customer)).content.decode()
    assert "?page=2" in first
    with django_assert_max_num_queries(18):
        last = client.get(page_url(held.customer) + "?page=3").content.decode()
    assert ("?page=2" in last, "?page=4" in last) == (True, False)
    assert client.get(page_url(held.customer) + "?page=junk").status_code == 200


@pytest.mark.parametrize(
    ("hidden", "icon"),
    [
        *(("view_interactionevent", "bolt"), ("view_ticket", "confirmation_number"), ("view_invitation", "mail")),
        *(("view_deliveryattempt", "outgoing_mail"), ("view_response", "reviews")),
    ],
)
def test_a_kind_of_row_stands_in_the_story_only_for_whoever_may_view_it(held, hidden, icon):
    client = sign_in(*(name for name in READS if name != hidden))
    shown = client.get(page_url(held.customer)).content.decode()
    assert f">{icon}<" not in shown
    assert f">{icon}<" in sign_in(*READS).get(page_url(held.customer)).content.decode()


def test_the_list_says_who_may_not_be_asked(held):
    make_customer("C-quiet", email="")
    shown = sign_in(*READS).get(list_url(Customer)).content.decode()
    assert "Bounced" in shown
    assert "No address" in shown
    Suppression.objects.all().delete()
    assert "Bounced" not in sign_in(*READS).get(list_url(Customer)).content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        *(("?q=na", {"C-LI"}), ("?q=li%40example", {"C-LI"}), ("?q=13800", {"C-LI"}), ("?reach=none", {"C-0"})),
        *(("?reach=phone", {"C-LI"}), ("?erased=yes", set()), ("?erased=no", {"C-LI", "C-0"}), ("?q=nobody", set())),
        *(("?created_at_from=2000-01-01&created_at_to=2000-01-02", set()), ("?segment=", {"C-LI", "C-0"})),
    ],
)
def test_customers_are_found(held, query, found):
    make_customer("C-0", email="")
    response = sign_in(*READS).get(list_url(Customer, query))
    assert {row.external_id for row in response.context["cl"].result_list} == found


def test_erasing_asks_for_the_id_and_leaves_nothing_personal(held):
    client = sign_in(*READS, "delete_customer")
    url = page_url(held.customer, "erase")
    assert "This cannot be undone." in client.get(url).content.decode()
    refused = client.post(url, {"typed": "C-OTHER"})
    assert "This is not the customer’s id." in refused.content.decode()
    held.customer.refresh_from_db()
    assert held.customer.erased_at is None
    after = client.post(url, {"typed": " C-LI "}, follow=True)
    held.customer.refresh_from_db()
    assert held.customer.erased_at is not None
    shown = after.content.decode()
    assert "Erased customer" in shown
    assert "What was counted stays" in shown
    for word in (NAME, ADDRESS, COMMENT, "C-LI", "Shanghai"):
        assert word not in shown, word
    entry = LogEntry.objects.get()
    assert (entry.change_message, entry.object_repr.startswith("erased-")) == ("Erased.", True)
    assert client.post(url, {"typed": held.customer.external_id}).status_code == 302  # once is enough
    assert LogEntry.objects.count() == 1


def test_an_export_is_all_that_is_held_and_is_noted(held):
    client = sign_in(*READS)
    url = page_url(held.customer, "export")
    assert client.get(url).status_code == 302  # only a press of the button
    assert not LogEntry.objects.exists()
    response = client.post(url)
    assert response["Content-Disposition"].startswith("attachment")
    assert "no-store" in response["Cache-Control"]
    data = json.loads(response.content)
    assert (data["customer"]["name"], len(data["responses"]), len(data["messages"])) == (NAME, 1, 1)
    assert LogEntry.objects.get().change_message == "Exported all that is held."


@pytest.mark.parametrize(
    ("action", "needed"),
    [("erase", ("view_customer", "delete_customer")), ("export", ("view_customer", "view_response"))],
)
def test_each_right_over_what_is_held_needs_its_permissions(held, action, needed):
    for missing in needed:
        client = sign_in(*(name for name in needed if name != missing))
        assert client.post(page_url(held.customer, action), {"typed": "C-LI"}).status_code == 403
    held.customer.refresh_from_db()
    assert held.customer.erased_at is None
    offered = sign_in("view_customer").get(page_url(held.customer)).content.decode()
    assert page_url(held.customer, "erase") not in offered
    assert page_url(held.customer, "export") not in offered


# --- Preferred means ---


def test_what_somebody_prefers_is_shown_and_set_by_whoever_may(held):
    client = sign_in("view_customer", "change_customer")
    page = page_url(held.customer, "preference")
    assert "SMS → Email" not in client.get(page_url(held.customer)).content.decode()
    assert send(client, page, modes_0="sms", modes_1="email").url == page_url(held.customer)
    held.customer.refresh_from_db()
    assert held.customer.preference == ["sms", "email"]
    assert "SMS → Email" in client.get(page_url(held.customer)).content.decode()
    assert LogEntry.objects.get().change_message == "Prefers: SMS → Email."
    assert "A mode stands twice" in send(client, page, modes_1="sms").content.decode()
    send(client, page)
    assert LogEntry.objects.count() == 1, "nothing changed"
    send(client, page, modes_0="", modes_1="")
    held.customer.refresh_from_db()
    assert held.customer.preferred_modes == ""


def test_without_a_wish_of_their_own_the_segments_is_shown(held):
    make_organisation(preferences={"gold": ["sms"]})
    client = sign_in("view_customer", "change_customer")
    for path in (page_url(held.customer), page_url(held.customer, "preference")):
        assert "SMS (as all of “gold”)" in client.get(path).content.decode()


def test_nobody_else_sets_what_somebody_prefers_and_nothing_is_set_for_the_erased(held):
    assert sign_in(*READS).get(page_url(held.customer, "preference")).status_code == 403
    assert "Preferred means …" not in sign_in(*READS).get(page_url(held.customer)).content.decode()
    erase_customer("C-LI", NOW)
    client = sign_in("view_customer", "change_customer")
    assert client.post(page_url(held.customer, "preference"), {"modes_0": "sms"}).status_code == 302
    held.customer.refresh_from_db()
    assert held.customer.preferred_modes == ""
