"""What a worker does for `metrics`. Rung by a commit, and by beat every few seconds."""

import time

from celery import shared_task

from metrics import rollup

ENOUGH_S = 20.0  # then the next bell goes on: one task must not hold a worker for ever


@shared_task(ignore_result=True)
def roll_up() -> None:
    """Drain the ledger into the cells. Safe to repeat and to run twice at once: the second finds the lock taken."""
    deadline = time.monotonic() + ENOUGH_S
    while rollup.roll_up() and time.monotonic() < deadline:
        pass
