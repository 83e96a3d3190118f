"""What a worker does for `metrics`. Rung by a commit, and by beat every few seconds."""

from celery import shared_task
from django.utils import timezone

from metrics import rollup
from metrics.alerting import evaluate, notices
from surveys.bell import ring
from surveys.shift import Shift
from surveys.tasks import SENDING_LIMIT_S


@shared_task(ignore_result=True)
def roll_up() -> None:
    """Drain the ledger into the cells. Safe to repeat and to run twice at once: the second finds the lock taken."""
    shift = Shift()
    while rollup.roll_up():
        ring(look_at_counts)
        if shift.is_over():
            ring(roll_up)
            return


@shared_task(ignore_result=True)
def look_at_days() -> None:
    """Hold closed days against alert rules. Safe to repeat and to run twice at once: a rule has one look per day."""
    if evaluate.look_at_days(timezone.now()):
        ring(tell_teams)


@shared_task(ignore_result=True)
def look_at_counts() -> None:
    """Look for old tickets and for silence. Safe to repeat and to run twice at once: a rule has one alert that stands."""
    if evaluate.look_at_counts(timezone.now()):
        ring(tell_teams)


@shared_task(ignore_result=True, soft_time_limit=SENDING_LIMIT_S)
def tell_teams() -> None:
    """Tell teams of alerts. Safe to repeat: notices are leased before they are sent."""
    notices.tell_teams(timezone.now(), over=Shift().is_over)


@shared_task(ignore_result=True)
def forget_looks() -> None:
    """Delete what alert rules saw long ago. Safe to repeat."""
    evaluate.forget_looks(timezone.now())
