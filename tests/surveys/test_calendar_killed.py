"""A worker that is killed in the middle of a calendar's pass leaves nobody out and asks nobody twice."""

from collections.abc import Callable
from datetime import date

import pytest

from tests.stack import Stack, until

PEOPLE = 8_000  # a dozen batches: long enough to be struck in the middle

# A rule whose whole period is due, so that everybody's turn has come; then SIGKILL as soon as the worker is at it.
FILL_AND_STRIKE = """
import os, signal, sys
sys.path.insert(0, ".")
from datetime import timedelta
from django.db import transaction
from django.utils import timezone
from surveys.flow.periods import period_of
from surveys.models import CalendarPass, Customer, Invitation, Organisation
from tests.factories import make_rule, make_touchpoint
today = Organisation.current().day_of(timezone.now())
Customer.objects.bulk_create(
    [Customer(external_id=f"K-{number}", email=f"k{number}@example.com", profile_at=timezone.now()) for number in range(PEOPLE)],
    batch_size=5000)
with transaction.atomic():
    rule = make_rule(make_touchpoint("struck"), slug="struck", event_type="", calendar="year")
    CalendarPass.objects.create(rule=rule, through=period_of("year", today).first - timedelta(days=1))
from surveys.tasks import ask_by_calendar
ask_by_calendar.delay()
found = 0
while not found:
    found = Invitation.objects.count()
for pid in PIDS:
    os.kill(pid, signal.SIGKILL)
print(Invitation.objects.count())
"""
DONE = """
from surveys.models import CalendarPass
print(CalendarPass.objects.get().until is None and CalendarPass.objects.get().cursor == 0)
"""
ASKED = """
from django.conf import settings
from django.utils import timezone
from surveys.flow.periods import period_of, seed_of, turn_of
from surveys.models import CalendarPass, Invitation
through = CalendarPass.objects.get().through
period = period_of("year", through)
seed = seed_of(settings.SECRET_KEY, "struck", period)
due = sum(turn_of(seed, f"K-{number}", period) <= through for number in range(PEOPLE))
rows = list(Invitation.objects.values_list("customer_id", flat=True))
print(due, len(rows), len(set(rows)))
"""


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_pass_leaves_nobody_out_and_asks_nobody_twice(
    stack: Callable[..., Stack],
) -> None:
    if date.today().timetuple().tm_yday < 15:
        pytest.skip("hardly anybody's turn has come so early in the year")
    running = stack(demo=False)
    workers = running.children("--app cxsurvey worker")
    pool = [process.pid for process in workers if process.ppid() in {parent.pid for parent in workers}]
    assert pool
    script = FILL_AND_STRIKE.replace("PEOPLE", str(PEOPLE)).replace("PIDS", str(pool))
    struck = int(running.shell(script))
    until(lambda: running.shell(DONE).strip() == "True", 150, running.output)
    due, rows, people = map(int, running.shell(ASKED.replace("PEOPLE", str(PEOPLE))).split())
    assert struck < due, "the pass was over before it was struck"
    assert due == rows == people
