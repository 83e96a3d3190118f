"""One process of a pool is left free of networks: with real processes, since locks are theirs."""

import os
import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from surveys import seats, tasks
from surveys.models import Reminder
from tests.factories import make_invitation


@pytest.fixture
def room(monkeypatch):
    """Opens a room for a pool of so many; it is closed at the end."""
    monkeypatch.setattr(seats, "_room", None)
    monkeypatch.setattr(seats, "_seats", 0)
    return seats.open_room


def in_another_process(work) -> int:
    """What `work` says there, 0 or 1."""
    child = os.fork()
    if child == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finds_a_seat() -> int:
    with seats.seat() as free:
        return int(free)


def test_without_a_pool_everybody_may_sit():
    with seats.seat() as free:
        assert free
        assert in_another_process(finds_a_seat) == 1


@pytest.mark.parametrize(("pool", "second"), [(1, 0), (2, 0), (3, 1)])
def test_of_a_pool_all_but_one_may_sit_and_one_always(room, pool, second):
    room(pool)
    with seats.seat() as free:
        assert free
        assert in_another_process(finds_a_seat) == second
    assert in_another_process(finds_a_seat) == 1


def test_a_process_that_is_killed_leaves_its_seat(room):
    room(2)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with seats.seat():
            os.write(writing, b"!")
            signal.pause()
    assert os.read(reading, 1) == b"!"
    assert finds_a_seat() == 0
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert finds_a_seat() == 1


@pytest.mark.django_db
def test_who_sends_invitations_sends_reminders_too_and_without_a_seat_neither(room, mailoutbox):
    now = timezone.now()
    earlier = {"attempted_at": now - timedelta(days=3), "sent_at": now - timedelta(days=3)}
    link = make_invitation(decided_at=now, expires_at=now + timedelta(days=9), **earlier)
    reminder = Reminder.objects.create(invitation=link, number=1, send_at=now)
    waits = make_invitation(status="scheduled", send_at=now, attempted_at=None, sent_at=None, expires_at=None)
    room(2)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with seats.seat():
            os.write(writing, b"!")
            signal.pause()
    os.read(reading, 1)
    tasks.deliver_due()
    assert mailoutbox == []
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    tasks.deliver_due()
    assert [mail.to for mail in mailoutbox] == [[link.customer.email], [waits.customer.email]]
    reminder.refresh_from_db()
    waits.refresh_from_db()
    assert (reminder.status, waits.status) == ("sent", "sent")
