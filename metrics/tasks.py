"""What a worker does for `metrics`. Rung by a commit, and by beat every few seconds."""

from celery import shared_task

from metrics import rollup
from surveys.bell import ring
from surveys.shift import Shift


@shared_task(ignore_result=True)
def roll_up() -> None:
    """Drain the ledger into the cells. Safe to repeat and to run twice at once: the second finds the lock taken."""
    shift = Shift()
    while rollup.roll_up():
        if shift.is_over():
            ring(roll_up)
            return
