"""The pace at which messages leave, over all workers; and who does not wait for whom."""

import os
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from surveys.channels import SENDING
from surveys.demo.mail import DemoMailbox, channels
from surveys.flow.deliver import drain
from surveys.flow.hand_over import HORIZON_S, hand_over, rates_of, shares_of, take_place
from surveys.letters import Letter
from surveys.models import Invitation, SendingPace
from surveys.shift import Shift
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_invitation, make_organisation

pytestmark = pytest.mark.django_db


def take(mode="email"):
    return take_place(mode, rates_of(SENDING)[mode])


def wait_s(mode="email"):
    place = take(mode)
    return None if place is None else place - time.monotonic()


ADDRESSES = {"email": "li@example.com", "sms": "+8613800000000"}


def ready(**counts):
    """Letters to real servers: see the fixture `sms`."""
    return [
        (
            mode,
            f"{mode}{n}",
            Letter(ADDRESSES[mode], "How was it?", "How was it?", "<p>How was it?</p>", f"<{mode}{n}@cx>"),
        )
        for mode, count in counts.items()
        for n in range(count)
    ]


def test_without_a_rate_nothing_is_asked_and_nothing_waits(settings, django_assert_num_queries):
    settings.EMAIL_RATE = 0
    with django_assert_num_queries(0):
        [(share, most)] = shares_of(50, SENDING)
        assert list(hand_over([], SENDING, lambda: False, lambda _: None)) == []
    assert (bool(share), most) == (False, 50)
    assert SendingPace.objects.count() == 0


def test_places_are_one_after_the_other_and_none_is_given_too_far_ahead(settings):
    settings.EMAIL_RATE, settings.SMS_RATE = 0.5, 1000
    waits = [wait_s(), wait_s(), wait_s()]
    assert waits == pytest.approx([0, 2, 4], abs=0.2)
    assert wait_s() is None  # 6 s
    assert wait_s("sms") == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(seconds=30)])
def test_a_clock_that_was_set_back_or_a_rate_that_was_raised_holds_nothing_up(settings, ahead):
    settings.EMAIL_RATE = 10
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO surveys_sendingpace VALUES ('email', clock_timestamp() + %s)", [ahead])
    assert dict(map(reversed, shares_of(50, SENDING)[1:])).keys() == {50}
    assert [wait_s(), wait_s()] == pytest.approx([0, 0.1], abs=0.05)


def test_nobody_claims_more_than_can_leave(settings):
    settings.EMAIL_RATE = 2
    assert [most for _share, most in shares_of(50, SENDING)] == [50, int(HORIZON_S * 2) + 1]
    for _number in range(6):
        take()
    assert [most for _share, most in shares_of(50, SENDING)] == [50, int((HORIZON_S - 3) * 2) + 1]
    while take() is not None:
        pass
    assert [most for _share, most in shares_of(50, SENDING)] == [50]


def test_what_stays_here_keeps_no_rate(settings, django_assert_num_queries):
    """Such as the demo, which sends a year's letters within half a minute, in one transaction."""
    settings.EMAIL_RATE = 1
    way_out = channels(DemoMailbox(lambda: NOW, lambda *_: None))
    with django_assert_num_queries(0):
        assert rates_of(way_out) == {}
        assert len(shares_of(50, way_out)) == 1
    assert rates_of(SENDING) == {"email": 1}


def test_a_mode_without_a_rate_does_not_wait_for_one_that_has(settings, sms, smtp_sink):
    settings.EMAIL_RATE = 10
    started = time.monotonic()
    handed = hand_over(ready(email=3, sms=5), SENDING, lambda: False, lambda _: None)
    order = [whose for whose, _letter, _outcome in handed]
    assert order.index("sms4") < order.index("email1")
    assert len(smtp_sink.times) == 3
    assert smtp_sink.times[-1] - started >= 2 / 10  # the third place is two steps behind the first
    assert (len(sms.texts), smtp_sink.connections) == (5, 1)


def test_a_carrier_that_is_away_is_asked_once_and_the_others_go_on(sms, smtp_sink):
    smtp_sink.stop()
    away, begun = set(), []
    handed = list(hand_over(ready(email=3, sms=2), SENDING, lambda: False, begun.append, away))
    assert [outcome.result for _whose, _letter, outcome in handed] == ["temporary"] * 3 + ["sent"] * 2
    assert (away, len(begun), len(sms.texts)) == ({"email"}, 5, 2)
    smtp_sink.start()


def test_when_it_is_over_the_rest_is_not_touched_and_nobody_waits_for_his_place(settings, sms, smtp_sink):
    settings.EMAIL_RATE = 1
    begun = []
    started = time.monotonic()
    assert len(list(hand_over(ready(email=3), SENDING, lambda: len(begun) == 1, begun.append))) == 1
    assert (begun, len(smtp_sink.messages)) == (["email0"], 1)
    assert time.monotonic() - started < 0.9


def make_due(count):
    make_organisation()
    for _number in range(count):
        make_invitation(None, make_customer(), status="scheduled", attempted_at=None, sent_at=None, expires_at=None)


def windows(times):
    """The most that arrived within any one second."""
    return max(sum(start <= other < start + 1 for other in times) for start in times)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_workers_together_keep_the_rate(settings, smtp_sink):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    settings.EMAIL_RATE = 10
    make_due(30)

    def work(_index):
        while Invitation.objects.filter(status="scheduled").exists():
            drain(lambda: NOW, over=Shift(1).is_over)

    together(2, work)
    assert len(smtp_sink.times) == len(smtp_sink.messages) == 30
    assert windows(smtp_sink.times) <= 11  # ten, and the one at the edge of a window
    assert smtp_sink.times[-1] - smtp_sink.times[0] < 30 / 10 * 1.5
    assert not Invitation.objects.exclude(lease_until=None).exists()
    assert set(Invitation.objects.values_list("attempts", flat=True)) == {1}


WORKER = """
import django; django.setup()
from django.utils import timezone
from surveys.channels import SENDING
from surveys.demo.mail import DemoMailbox, channels
from surveys.flow.deliver import drain
from surveys.models import Invitation
from surveys.shift import Shift
while Invitation.objects.filter(status="scheduled").exists():
    drain(timezone.now, over=Shift(1).is_over)
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_processes_together_keep_the_rate_and_one_that_is_killed_costs_a_place(smtp_sink):
    make_due(30)
    database = connection.settings_dict
    url = f"postgres://{database['USER']}:{database['PASSWORD']}@{database['HOST'].replace('/', '%2F')}:{database['PORT']}/"
    environment = os.environ | {
        "DATABASE_URL": url + database["NAME"], "EMAIL_URL": smtp_sink.url, "EMAIL_RATE": "8",
        "DJANGO_SETTINGS_MODULE": "cxsurvey.settings",
    }  # fmt: skip
    root = Path(__file__).resolve().parents[2]
    started = []

    def start():
        started.append(subprocess.Popen([sys.executable, "-c", WORKER], env=environment, cwd=root))
        return started[-1]

    try:
        killed = start()
        smtp_sink.wait_for(6, timeout=60)
        killed.kill()
        killed.wait()
        Invitation.objects.filter(status="scheduled").update(lease_until=None)  # as when its lease is over
        for process in [start(), start()]:
            assert process.wait(60) == 0
    finally:
        for process in started:
            process.kill()
            process.wait()
    found = Counter(to for to, _message in smtp_sink.messages)
    assert len(found) == 30
    assert sum(found.values()) <= 31  # the one that was in flight
    assert windows(smtp_sink.times) <= 9  # eight, and the one at the edge of a window
