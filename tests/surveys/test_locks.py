"""Everybody locks in one order (surveys/flow/locks.py): whoever meets over real connections waits, and nobody for ever.

Each test builds the meeting itself: a third connection holds what both want, they come one after the other, and it lets go.
Where one of them locked the other way round, PostgreSQL would end one with a deadlock, and `result()` would raise it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection, connections, transaction

from surveys.channels.sms.shape import IncomingText
from surveys.flow.addresses import address_hash
from surveys.flow.calendar import ask_page
from surveys.flow.converse import take_text
from surveys.flow.deliver import deliver_due
from surveys.flow.erase import erase_customer
from surveys.flow.expire import expire_due
from surveys.flow.incoming import Catalogue, read_event
from surveys.flow.invite import invite_pending
from surveys.flow.quota import Places
from surveys.flow.record import record_events
from surveys.flow.remind import remind_due
from surveys.flow.unsubscribe import unsubscribe
from surveys.models import CalendarPass, Customer, DeliveryAttempt, InteractionEvent, Invitation, Reminder, Suppression
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.stack import until

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = 20  # seconds; a deadlock is found after one


class Meeting:
    """Work in threads with connections of their own; `begin` returns when it is done or waits for a lock."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._begun: list[Future[Any]] = []

    def begin(self, work: Callable[[], Any]) -> Future[Any]:
        def run() -> Any:
            try:
                return work()
            finally:
                connections.close_all()

        begun = self._pool.submit(run)
        self._begun.append(begun)
        until(lambda: begun.done() or _waiting() == len(self.unfinished()), PATIENCE)
        return begun

    def unfinished(self) -> list[Future[Any]]:
        return [begun for begun in self._begun if not begun.done()]


def _waiting() -> int:
    """How many connections to this database wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else the first look of a transaction is repeated
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


@contextmanager
def holding(*rows: Any) -> Iterator[Meeting]:
    """A meeting while this connection holds `rows`; at the end it lets go, and everybody must come to an end."""
    with ThreadPoolExecutor(4) as pool:
        meeting = Meeting(pool)
        with transaction.atomic():
            for row in rows:
                type(row).objects.select_for_update(no_key=True, of=("self",)).get(pk=row.pk)
            yield meeting
        for begun in meeting._begun:
            begun.result(PATIENCE)


@pytest.fixture
def customer() -> Customer:
    make_organisation()
    return make_customer("C-1", email="li@example.com")


def make_due(customer: Customer, **fields: Any) -> Invitation:
    waits = {"status": "scheduled", "attempted_at": None, "sent_at": None, "expires_at": None, "send_at": NOW}
    return make_invitation(make_touchpoint(), customer, **{**waits, **fields})


@pytest.mark.parametrize("first", ["unsubscribe", "deliver"])
def test_unsubscribing_and_sending_meet_at_a_customer(customer, first, mailoutbox):
    link, other = make_due(customer), make_due(customer)
    works = {"unsubscribe": lambda: unsubscribe(link, NOW), "deliver": lambda: deliver_due(NOW)}
    with holding(customer) as meeting:
        meeting.begin(works.pop(first))
        meeting.begin(works.popitem()[1])
    assert set(Suppression.objects.values_list("reason", flat=True)) == {"unsubscribed"}
    deliver_due(NOW + timedelta(days=1))
    # Whichever was first: one letter at the most was on its way already, and none went out after.
    assert len(mailoutbox) == (first == "deliver")
    other.refresh_from_db()
    assert (other.status, other.reason) in (("withheld", "unsubscribed"), ("withheld", "resting_any"))


def test_whoever_pressed_before_the_claim_gets_nothing_at_their_address_whoever_else_has_it(customer, mailoutbox):
    """The press waits for its own last lock; the claim, which locks another customer with the same address, waits for the press."""
    pressed = make_invitation(make_touchpoint(), customer)
    make_due(make_customer("C-2", email="li@example.com"))
    # Held by us and then gone: the press waits for it with all its other locks, and writes it anew.
    held = Suppression.objects.create(
        address_hash=address_hash("li@example.com"), reason="unsubscribed", created_at=NOW, origin_hash="n" * 64
    )
    with holding(held) as meeting:
        meeting.begin(lambda: unsubscribe(pressed, NOW, "all_messages"))
        assert len(meeting.unfinished()) == 1
        held.delete()
        meeting.begin(lambda: deliver_due(NOW))
        assert len(meeting.unfinished()) == 2
    assert Suppression.objects.filter(of_person=False, scope="all_messages").exists()
    assert mailoutbox == []


def test_unsubscribing_and_a_bounce_meet_at_an_address(customer, smtp_sink, settings):
    """The mail server refuses the address for good while its owner unsubscribes by an earlier letter."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    smtp_sink.refuse["li@example.com"] = "550 5.1.1 no such user"
    link = make_due(customer)
    hashed = address_hash("li@example.com")
    with ThreadPoolExecutor(4) as pool:
        meeting = Meeting(pool)
        with transaction.atomic():
            # Never committed: whoever writes the same hash waits for us.
            Suppression.objects.create(address_hash=hashed, reason="bounced", created_at=NOW)
            meeting.begin(lambda: deliver_due(NOW))
            meeting.begin(lambda: unsubscribe(link, NOW))
            assert len(meeting.unfinished()) == 2
            transaction.set_rollback(True)
        for begun in meeting._begun:
            begun.result(PATIENCE)
    assert set(Suppression.objects.filter(address_hash=hashed).values_list("reason", flat=True)) == {
        "bounced", "unsubscribed"
    }  # fmt: skip


@pytest.mark.parametrize("first", ["erase", "deliver"])
def test_erasing_and_sending_meet_at_a_customer(customer, first):
    make_due(customer)
    works = {"erase": lambda: erase_customer("C-1", NOW), "deliver": lambda: deliver_due(NOW)}
    with holding(customer) as meeting:
        meeting.begin(works.pop(first))
        meeting.begin(works.popitem()[1])
    assert Customer.objects.get().email == ""
    assert Invitation.objects.get().token is None


def test_a_link_that_came_while_erasing_waited_is_locked_before_the_person_too(customer):
    with holding(customer) as meeting:
        meeting.begin(lambda: erase_customer("C-1", NOW))
        meeting.begin(lambda: make_due(Customer.objects.get(pk=customer.pk)))
        meeting.begin(lambda: deliver_due(NOW))
        assert len(meeting.unfinished()) == 2
    assert Customer.objects.get().email == ""
    assert Invitation.objects.get().token is None


@pytest.mark.parametrize("first", ["erase", "invite"])
def test_erasing_and_deciding_on_an_event_meet_at_a_customer(customer, first):
    rule = make_rule()
    make_event(customer, facts={"note": "Li Na was out"})
    works = {"erase": lambda: erase_customer("C-1", NOW), "invite": lambda: invite_pending(NOW)}
    with ThreadPoolExecutor(4) as pool:
        meeting = Meeting(pool)
        with transaction.atomic():
            # What both want next: FOR UPDATE, since a new invitation only shares its customer.
            Customer.objects.select_for_update().get(pk=customer.pk)
            meeting.begin(works.pop(first))
            meeting.begin(works.popitem()[1])
        for begun in meeting._begun:
            begun.result(PATIENCE)
    assert InteractionEvent.objects.get().facts == {}
    invite_pending(NOW)
    assert not Invitation.objects.filter(rule=rule, status="scheduled").exists() or deliver_due(NOW)[1] == 0


def test_a_reopened_ticket_and_sending_meet_at_a_customer(customer):
    make_rule(event_type="ticket.resolved")
    touchpoint = make_touchpoint("help")

    def tell(kind: str, hours: int) -> None:
        catalogue = Catalogue.load()
        item = {"specversion": "1.0", "id": kind, "source": "/s", "type": f"ticket.{kind}", "subject": "C-1"}
        at = (NOW - timedelta(hours=hours)).isoformat()
        data = {"touchpoint": touchpoint.slug, "reference": "T-1"}
        record_events([read_event(item | {"time": at, "data": data}, catalogue, NOW)], catalogue, NOW)

    tell("opened", 3)
    tell("resolved", 2)
    invite_pending(NOW)
    link = Invitation.objects.get()
    with holding(customer) as meeting:
        meeting.begin(lambda: tell("reopened", 1))
        meeting.begin(lambda: deliver_due(NOW))
    link.refresh_from_db()
    # The sending held it, so it was left to the sending, which asks again whether the ticket was reopened.
    assert (link.status, link.reason) == ("cancelled", "reopened")


@pytest.mark.parametrize("first", ["stop", "remind"])
def test_a_stop_and_reminding_meet_at_a_customer(customer, first):
    phone = "+8613800000000"
    Customer.objects.filter(pk=customer.pk).update(phone=phone)
    link = make_invitation(None, customer, attempted_at=NOW - timedelta(days=3), expires_at=NOW + timedelta(days=3))
    # By whom the number was asked is another's link now: it is held as well, and in the same order.
    DeliveryAttempt.objects.create(
        invitation=make_invitation(), mode="sms", at=NOW, result="sent", address_hash=address_hash(phone)
    )
    reminder = Reminder.objects.create(invitation=link, number=1, send_at=NOW)
    works = {
        "stop": lambda: take_text(IncomingText("IN1", phone, "STOP"), "twilio", NOW),
        "remind": lambda: remind_due(NOW),
    }
    with holding(customer) as meeting:
        meeting.begin(works.pop(first))
        meeting.begin(works.popitem()[1])
    remind_due(NOW)
    reminder.refresh_from_db()
    assert Suppression.objects.filter(address_hash=address_hash(phone)).exists()
    assert (reminder.status == "sent") == (len(mail.outbox) == 1)
    assert reminder.status in ("sent", "cancelled")


def test_expiring_waits_for_nobody(customer):
    free = make_invitation(make_touchpoint(), customer, expires_at=NOW)
    held = make_invitation(make_touchpoint(), customer, expires_at=NOW)
    with holding(held) as meeting:
        assert meeting.begin(lambda: expire_due(NOW)).result(PATIENCE) == 1
    assert list(Invitation.objects.filter(status="expired")) == [free]
    assert expire_due(NOW) == 1


@pytest.mark.parametrize("first", ["page", "erase"])
def test_a_calendars_page_and_an_erasure_meet_at_a_customer(customer, first):
    """The page holds the customer while it waits for its rule's quota; the erasure sees what it decided."""
    rule = make_rule(make_touchpoint(), event_type="", calendar="year", quota=5)
    CalendarPass.objects.create(rule=rule, through=NOW.date().replace(month=1, day=1) - timedelta(days=1))
    end = NOW.replace(month=12, day=31)
    works = {"page": lambda: ask_page(end), "erase": lambda: erase_customer("C-1", end)}
    with holding(customer) as meeting:
        Places.claim([rule], NOW.date())
        meeting.begin(works.pop(first))
        meeting.begin(works.popitem()[1])
    assert set(Invitation.objects.values_list("status", "reason", "token")) == {("cancelled", "erased", None)}
