"""The Celery app and the beat schedule, which is one table: everything that happens without being asked stands here."""

import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import worker_ready

warnings.simplefilter("ignore", SecurityWarning)  # that we run as root is said once, by the server
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cxsurvey.settings")

app = Celery("cxsurvey")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def every(seconds: float, task: str) -> dict[str, object]:
    """A tick that nobody took before the next ones is worthless: it expires."""
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds * 3, 10)}}


app.conf.beat_schedule = {
    "events that wait for a decision": every(2, "surveys.tasks.invite_pending"),
    "invitations that are due": every(2, "surveys.tasks.deliver_due"),
    "answers that are not in the cells yet": every(2, "metrics.tasks.roll_up"),
    "people who are to hear bad news": every(15, "surveys.tasks.warn_watchers"),
    "links whose time is over": every(600, "surveys.tasks.expire_due"),
    "sign of life of a worker": every(10, "surveys.tasks.heartbeat"),
}


@worker_ready.connect
def beat_at_once(**_: Any) -> None:
    """/readyz need not wait for the first tick."""
    app.tasks["surveys.tasks.heartbeat"]()
