import threading

import pytest

from surveys import shift
from surveys.flow import invite
from surveys.models import InteractionEvent
from surveys.shift import Shift
from tests.factories import NOW, make_event


def test_a_shift_is_over_when_its_time_is_up():
    assert not Shift(60).is_over()
    assert Shift(0).is_over()


def test_every_shift_is_over_when_the_worker_is_to_stop(monkeypatch):
    monkeypatch.setattr(shift, "_worker_stops", threading.Event())
    running = Shift(60)
    shift.end_all()
    assert running.is_over()
    assert Shift(60).is_over()


@pytest.mark.django_db
def test_a_drain_of_events_ends_with_its_shift_however_many_wait():
    for _number in range(5):
        make_event()
    assert invite.drain(lambda: NOW, limit=2, over=lambda: True) == 2
    assert InteractionEvent.objects.filter(decided=False).count() == 3
    assert invite.drain(lambda: NOW, limit=2) == 3
