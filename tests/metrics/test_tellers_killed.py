"""A worker that is killed while it tells teams of an alert: nobody is left untold, and the message under way is told twice at most.

Real Celery workers, a real mail server and a real webhook, each of which holds the connection while the worker is struck.
"""

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.smtp_sink import SmtpSink
from tests.stack import Stack, until
from tests.test_faults_sending import command_held, table_held, victim

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tellers-killed")]  # one stack for all, hence one worker

NAMES = "abcd"
FIRE = """
from datetime import timedelta
from django.utils import timezone
from tests.factories import make_customer, make_touchpoint
from surveys.models import Ticket, Touchpoint
from metrics.models import AlertRule, Team, TeamAddress
from metrics.tasks import look_at_counts
now = timezone.now()
touchpoint = Touchpoint.objects.filter(slug="desk").first() or make_touchpoint("desk")
team = Team.objects.create(slug="STEP", name={"en": "STEP"})
for address in ADDRESSES:
    TeamAddress.objects.create(team=team, address=address)
rule = AlertRule.objects.create(slug="STEP", kind="open_longer", touchpoint=touchpoint, longer_than_s=60, segment="STEP")
rule.teams.set([team])
opened = now - timedelta(hours=2)
Ticket.objects.create(source="/desk", reference="STEP", customer=make_customer("STEP"), touchpoint=touchpoint, segment="STEP",
    opened_at=opened, day_opened=opened.date(), in_ttr=True)
look_at_counts()
"""
END = """
from django.utils import timezone
from surveys.models import Ticket
from metrics.tasks import look_at_counts
Ticket.objects.filter(reference="STEP").update(in_ttr=False)
look_at_counts()
"""
WAITING = """
SELECT count(*) FROM metrics_alertnotice n JOIN metrics_alert a ON a.id = n.alert_id JOIN metrics_alertrule r ON r.id = a.rule_id
WHERE r.slug = %s AND n.tells = %s AND n.sent_at IS NULL
"""
UNSENT = """
SELECT d.address FROM metrics_alertnotice n JOIN metrics_teamaddress d ON d.id = n.address_id
JOIN metrics_alert a ON a.id = n.alert_id JOIN metrics_alertrule r ON r.id = a.rule_id
WHERE r.slug = %s AND n.tells = 'fired' AND n.sent_at IS NULL
"""
ALERTS = "SELECT count(*) FROM metrics_alert a JOIN metrics_alertrule r ON r.id = a.rule_id WHERE r.slug = %s"
LEASES_RUN_OUT = "UPDATE metrics_alertnotice SET lease_until = now() WHERE sent_at IS NULL"


class Hook:
    """A real HTTP server on a free port. `hold` keeps an answer back: "called" before a word is read, "taken" after all of it is."""

    def __init__(self) -> None:
        self.heard: list[str] = []  # titles
        self.hold = ""
        self.held = 0
        self.changed = threading.Condition()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if hook.holds("called"):
                    return
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.heard.append(json.loads(body)["title"])
                if hook.holds("taken"):
                    return
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Not on the console."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"json://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def holds(self, step: str) -> bool:
        """Whether it held at this step; the caller is gone when it no longer does."""
        with self.changed:
            if self.hold != step:
                return False
            self.held += 1
            self.changed.wait_for(lambda: self.hold != step)
            self.held -= 1
            return True

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def hook_held(hook: Hook, step: str) -> Iterator[Any]:
    hook.hold = step
    try:
        yield lambda: hook.held > 0
    finally:
        with hook.changed:
            hook.hold = ""
            hook.changed.notify_all()


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def running(sink: SmtpSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("tellers") / "data", email_url=sink.url) as stack:
        stack.start()
        yield stack


def told(hook: Hook, sink: SmtpSink, step: str, over: bool = False) -> Counter[str]:
    """How often each address heard that it fired, or that it is over."""
    found: Counter[str] = Counter()
    for recipient, message in list(sink.messages):
        if recipient.endswith(f"@{step}.example.com") and message["Subject"].strip().startswith("Over: ") == over:
            found[recipient[0]] += 1
    found["hook"] = sum(step in title and title.startswith("Over: ") == over for title in list(hook.heard))
    return found


@pytest.mark.parametrize(
    ("step", "twice"),
    [
        ("called", 0),  # claimed and committed; the webhook has read nothing
        ("taken", 1),  # the webhook has all of it; its 200 is not heard
        ("sender", 0),  # the mail server knows nothing yet
        ("accepted", 1),  # the mail server has the letter; its OK is not heard
        ("settling", 1),  # somebody has taken it and said so; the result is not written
    ],
)
def test_a_worker_killed_while_it_tells_leaves_nobody_untold(
    running: Stack, hook: Hook, sink: SmtpSink, step: str, twice: int
) -> None:
    mails = [f"{name}@{step}.example.com" for name in NAMES]
    addresses = [hook.address, *mails] if step in ("called", "taken") else [*mails, hook.address]
    everybody = {*NAMES, "hook"}

    def fill(code: str) -> str:
        return code.replace("STEP", step).replace("ADDRESSES", str(addresses))

    if step in ("called", "taken"):
        held = hook_held(hook, step)
    elif step == "settling":
        held = table_held(running, "metrics_teamaddress")
    else:
        held = command_held(sink, {"sender": "MAIL", "accepted": "DATA"}[step])
    with victim(running) as strike, contextlib.ExitStack() as later:
        if step != "settling":
            somebody_waits = later.enter_context(held)
            running.shell(fill(FIRE))
        else:
            running.shell(fill(FIRE).replace("look_at_counts()\n", ""))
            somebody_waits = later.enter_context(held)
            running.shell("from metrics.tasks import look_at_counts; look_at_counts()")
        until(somebody_waits, 40, running.output)
        strike()
    before = told(hook, sink, step)
    unsent = {"hook" if address == hook.address else address[0] for (address,) in running.query(UNSENT, step)}
    assert unsent, "it was over before it was struck"
    assert everybody - unsent <= set(+before), "nobody is marked as told who was not"
    running.query(LEASES_RUN_OUT)
    until(lambda: running.query(WAITING, step, "fired")[0][0] == 0, 60, running.output)
    heard = told(hook, sink, step)
    assert set(+heard) == everybody
    under_way = unsent & set(+before)  # somebody has it, and nobody had written so down
    assert heard == Counter(everybody) + Counter(under_way)
    # Of each process that was struck one message at most; beat may have woken the second one of the pool.
    assert twice <= len(under_way) <= 2 * twice
    assert running.query(ALERTS, step)[0][0] == 1

    running.shell(fill(END))
    until(lambda: told(hook, sink, step, over=True) == Counter(everybody), 60, running.output)
    assert running.query(WAITING, step, "over")[0][0] == 0
    assert running.query(ALERTS, step)[0][0] == 1
