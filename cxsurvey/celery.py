"""The Celery app and the beat schedule, which is one table: everything that happens without being asked stands here."""

import os
import signal
import warnings
from typing import Any

import psutil
from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import worker_process_init, worker_ready, worker_shutting_down

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


@worker_process_init.connect
def end_shifts_on_sigterm(**_: Any) -> None:
    """A pool process that SIGTERM kills in the middle of a message has it sent once more: it brings its task to an end instead.

    SIGTERM reaches it from us, from whoever ends a whole process group, and from systemd. It exits when the worker tells it to.
    """
    from surveys import shift

    signal.signal(signal.SIGTERM, lambda *_: shift.end_all())


@worker_shutting_down.connect
def tell_pool_processes(sig: str = "", **_: Any) -> None:
    """Where only the worker itself was told to stop."""
    if sig == "SIGTERM":
        for child in psutil.Process().children():
            child.send_signal(signal.SIGTERM)
