"""The Celery app and the beat schedule, which is one table: everything that happens without being asked stands here."""

import os
import signal
import warnings
from typing import Any

import psutil
from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import worker_init, worker_process_init, worker_ready, worker_shutting_down

from surveys import seats, shift

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
    "customers whose day has come": every(60, "surveys.tasks.ask_by_calendar"),
    "invitations that are due": every(2, "surveys.tasks.deliver_due"),
    "reminders that are due": every(10, "surveys.tasks.remind_due"),
    "answers that are not in the cells yet": every(2, "metrics.tasks.roll_up"),
    "answers that cannot be searched yet": every(2, "surveys.tasks.index_responses"),
    "closed days that nobody looked at": every(60, "metrics.tasks.look_at_days"),
    "looks of long ago": every(3600, "metrics.tasks.forget_looks"),
    "old tickets, and silence": every(30, "metrics.tasks.look_at_counts"),
    "teams that are to hear of an alert": every(15, "metrics.tasks.tell_teams"),
    "people who are to hear bad news": every(15, "surveys.tasks.warn_watchers"),
    "replies to customers who texted back": every(5, "surveys.tasks.answer_texts"),
    "what became of messages": every(5, "surveys.tasks.settle_receipts"),
    "links whose time is over": every(600, "surveys.tasks.expire_due"),
    "personal data whose time is over": every(900, "surveys.tasks.forget_old_data"),
    "sign of life of a worker": every(10, "surveys.tasks.heartbeat"),
}


@worker_init.connect
def keep_one_process_free(sender: Any = None, **_: Any) -> None:
    seats.open_room(sender.concurrency)


@worker_ready.connect
def beat_at_once(**_: Any) -> None:
    """/readyz need not wait for the first tick."""
    app.tasks["surveys.tasks.heartbeat"]()


@worker_process_init.connect
def end_shifts_when_told(**_: Any) -> None:
    """A pool process that SIGTERM ends in the middle of a message has it sent once more.

    SIGTERM reaches it from whoever ends a whole process group, as our server and systemd do. The worker itself is told as
    well, and tells its pool: then a task comes to its end, and gives back what it had claimed.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, lambda *_: shift.end_all())


@worker_shutting_down.connect
def tell_pool_processes(how: str = "", **_: Any) -> None:
    children = psutil.Process().children()
    for child in children:
        child.send_signal(signal.SIGUSR2 if how == "Warm" else signal.SIGKILL)
