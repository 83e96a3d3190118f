"""How much customers are written to, by hand-made rows."""

from datetime import date, timedelta

import pytest

from metrics.display import funnel_pages
from metrics.raw.fatigue import (
    Load,
    Objections,
    Wearing,
    measure_load,
    measure_objections,
    measure_spared,
    measure_wearing,
)
from surveys.models import Suppression, SuppressionLift
from tests.factories import make_customer, make_touchpoint
from tests.metrics.invited import DAY, answer, asked, customer_of, refuse, remind, send, wait


@pytest.fixture
def touchpoint(db):
    return make_touchpoint("delivery")


def test_messages_are_counted_per_customer_reminders_too(touchpoint):
    other = make_touchpoint("call")
    one, often, silent = make_customer(), make_customer(), make_customer()
    send(touchpoint, customer=one)
    for days in (0, 10, 40):
        send([touchpoint, other][days % 20 > 0], customer=often, at=DAY - timedelta(days=days))
    remind(send(other, customer=often, at=DAY - timedelta(days=60)))
    send(touchpoint, customer=silent, at=DAY - timedelta(days=100))
    wait(touchpoint, customer=silent)
    refuse(touchpoint, "resting_any", customer=silent)
    month, quarter = measure_load(asked(touchpoint, other))
    assert (month.days, month.customers, month.messages, month.written_to) == (30, {1: 1, 2: 1}, 3, 2)
    assert (quarter.days, quarter.customers, quarter.messages) == (90, {1: 1, 4: 1}, 6)


def test_the_load_is_that_of_a_segment(touchpoint):
    send(touchpoint, customer=customer_of("gold"))
    send(touchpoint, customer=customer_of("silver"))
    assert measure_load(asked(touchpoint, segment="gold"))[0].messages == 1


def test_answers_are_told_by_how_much_had_been_sent_before(touchpoint):
    customer = make_customer()
    for days in (120, 80, 40, 0):  # before the last one two messages in 90 days, and a reminder
        made = send(touchpoint, customer=customer, at=DAY - timedelta(days=days))
    remind(customer.invitations.order_by("decided_at")[2])
    answer(made)
    send(touchpoint)
    found = measure_wearing(asked(touchpoint))
    assert found == {0: Wearing(1, 0, 1), 3: Wearing(1, 1, 1)}


def test_an_answer_that_was_left_out_is_none(touchpoint):
    answer(send(touchpoint), excluded=True)
    assert measure_wearing(asked(touchpoint)) == {0: Wearing(1, 0, 1)}


def test_what_resting_and_the_floor_spared(touchpoint):
    customer = make_customer()
    refuse(touchpoint, "resting_any", customer=customer)
    refuse(touchpoint, "resting_any", customer=customer, at=DAY - timedelta(days=1))
    refuse(touchpoint, "floor_24h", customer=customer)
    refuse(touchpoint, "superseded", status="cancelled")
    refuse(touchpoint, "sampled_out")
    send(touchpoint)
    found = measure_spared(asked(touchpoint))
    assert found.reasons == {"resting_any": (2, 1), "floor_24h": (1, 1), "superseded": (1, 1)}
    assert (found.decided, found.in_all) == (6, (4, 2))
    assert (
        measure_spared(asked(touchpoint, begin=DAY - timedelta(days=900), end=DAY - timedelta(days=800))).decided == 0
    )


def test_objections_are_acts_and_not_addresses(touchpoint):
    send(touchpoint)
    remind(send(touchpoint, at=DAY - timedelta(days=9)))
    for number, (reason, at) in enumerate([
        ("unsubscribed", DAY), ("unsubscribed", DAY), ("unsubscribed", DAY - timedelta(days=7)), ("complained", DAY), ("bounced", DAY),
    ]):  # fmt: skip
        Suppression.objects.create(address_hash=str(number), reason=reason, created_at=at)
    # Two people by name at one moment, of a batch of reports, each with two addresses; one took it back.
    for number, of_person in enumerate((True, True, False, False)):
        Suppression.objects.create(
            address_hash=f"p{number}", of_person=of_person, reason="complained", created_at=DAY - timedelta(days=14)
        )
    SuppressionLift.objects.create(
        address_hash="p9",
        of_person=True,
        reason="unsubscribed",
        since=DAY - timedelta(days=14),
        lifted_at=DAY,
        source="page",
    )
    monday = date(2026, 11, 16)
    starts = [monday - timedelta(days=14), monday - timedelta(days=7), monday]
    found = measure_objections(asked(touchpoint), "week", starts)
    assert list(found.values()) == [Objections(0, 1, 2), Objections(2, 1, 0), Objections(1, 1, 1)]


# --- How it looks -----------------------------------------------------------------------------------------------------


def test_the_load_is_a_distribution():
    loads = [Load(30, {1: 8, 2: 2}, 12), Load(90, {1: 5, 3: 3, 4: 2}, 24)]
    table = funnel_pages.load_table(loads)
    assert [row.cells[0].text for row in table.rows] == ["1", "2", "3", "4 or more", "Customers written to"]
    assert [row.cells[1].value for row in table.rows] == [8, 2, 0, 0, 10]
    assert [row.cells[4].text for row in table.rows] == ["50.0%", "0.0%", "30.0%", "20.0%", "100.0%"]
    assert (
        funnel_pages.load_sentences(loads)[1]
        == "In 90 days 10 customers got 2.40 messages each; 50.0% got three or more."
    )
    assert funnel_pages.load_sentences([Load(30, {}, 0)]) == []


def test_more_objections_than_messages_are_no_rate():
    table = funnel_pages.objections_table({date(2026, 11, 16): Objections(5, 9, 1)}, "week")
    assert [cell.text for cell in table.rows[0].cells[1:]] == ["5", "9", "1", "–", "200.0"]


def test_every_number_of_messages_has_its_row():
    table = funnel_pages.wearing_table({0: Wearing(60, 12, 0), 4: Wearing(3, 1, 0)})
    assert [row.cells[0].text for row in table.rows] == ["0", "1", "2", "3", "4 or more"]
    assert [row.cells[3].text for row in table.rows] == ["20.0%", "–", "–", "–", "n = 3, too few"]
