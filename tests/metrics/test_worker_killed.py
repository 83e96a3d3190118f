"""A worker that is killed while it rolls up loses nothing and counts nothing twice."""

from collections.abc import Callable

import pytest

from tests.stack import Stack, until

ROWS = 600_000  # a second or so of rolling up: long enough to be struck in the middle

# Raw answers and their ledger rows, by SQL; then SIGKILL for the worker as soon as a roll-up is at work.
FILL_AND_STRIKE = """
import os, signal, sys
sys.path.insert(0, ".")
from django.db import connection, transaction
from tests.factories import make_touchpoint
from surveys.models import ScoreLedger
from tests.metrics.raw import score_question
touchpoint = make_touchpoint("struck")
question = score_question(touchpoint)
version = question.instrument.versions.get()
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute(
        "INSERT INTO surveys_response (client_id, touchpoint_id, version_id, mode, segment, location, language, day, "
        "responded_at, recorded_at, completed_at, score, comment, body_hash, excluded_reason, edit, reference, facts) "
        "SELECT gen_random_uuid(), %s, %s, 'email', 's' || i %% 50, 'l' || i %% 40, '', DATE '2026-01-01' + i %% 300, "
        "now(), now(), now(), i %% 11, '', '', '', 0, '', '{}' FROM generate_series(1, ROWS) AS i", [touchpoint.pk, version.pk])
    cursor.execute(
        "INSERT INTO surveys_answer (response_id, question_id, score, choices, text) "
        "SELECT id, %s, score, '[]', '' FROM surveys_response", [question.pk])
    cursor.execute(
        "INSERT INTO surveys_scoreledger (day, touchpoint_id, question_id, mode, segment, location, score, delta) "
        "SELECT day, touchpoint_id, %s, mode, segment, location, score, 1 FROM surveys_response", [question.pk])
with connection.cursor() as cursor:
    found = 0
    while not found:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'WITH fine%'")
        found = cursor.fetchone()[0]
for pid in PIDS:
    os.kill(pid, signal.SIGKILL)
print(ScoreLedger.objects.count())
"""
WAITING = "from surveys.models import ScoreLedger; print(ScoreLedger.objects.count())"
COUNTED = """
from django.db.models import Sum
from metrics.models import ScoreCell
print(ScoreCell.objects.filter(grain=3).aggregate(n=Sum("s3"))["n"])
"""


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_roll_up_leaves_no_difference(stack: Callable[..., Stack]) -> None:
    running = stack(demo=False)
    workers = running.children("--app cxsurvey worker")
    pool = [process.pid for process in workers if process.ppid() in {parent.pid for parent in workers}]
    assert pool
    left = running.shell(FILL_AND_STRIKE.replace("ROWS", str(ROWS)).replace("PIDS", str(pool)))
    assert int(left) == ROWS, "the roll-up was over before it was struck"
    assert running.manage("verify_rollups").endswith("0 differences\n")
    until(lambda: running.shell(WAITING) == "0", 60, running.output)
    assert running.manage("verify_rollups").endswith("0 differences\n")
    assert int(running.shell(COUNTED)) == sum(number % 11 == 3 for number in range(1, ROWS + 1))
