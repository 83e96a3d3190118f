"""What breaks while invitations are sent, on a whole stack: mail server, provider, workers, broker, database, clocks.

After each, `assert_sums`: what was due is sent or refused, adds up, and reached everybody once; twice only where nobody could know,
and then as the same message. The quick representatives stand in test_faults.py.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest

from cxsurvey.embedded import Services
from tests.client import Client, answer_form
from tests.sms_server import SmsServer
from tests.smtp_sink import SmtpSink
from tests.stack import ROOT, Stack, until
from tests.sums import assert_sums, await_nothing_waits, hasten, letters, like, texts

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults-sending")]  # one stack for all, hence one worker

CALLS = """
touchpoints:
  - {slug: hotline, name: {en: Hotline}, journey: purchase, stage: buy, channel: call_center, instrument: nps}
rules:
  - {slug: after-call, event_type: call.ended, touchpoint: hotline, modes: [sms]}
  - {slug: after-visit, event_type: visit.paid, touchpoint: delivery, modes: [email], reminders: [1d]}
"""
BUSY = 429, {"code": 20429, "message": "Too Many Requests"}, {"Retry-After": "3"}


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def provider() -> Iterator[SmsServer]:
    server = SmsServer()
    server.as_twilio()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(sink: SmtpSink, provider: SmsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    where = tmp_path_factory.mktemp("faults")
    sms_url = f"twilio://AC1:tok@+15551234567?api={provider.url}"
    with Stack(where / "data", email_url=sink.url, SMS_URL=sms_url) as stack:
        stack.start()
        client = Client(stack)  # which brings the programme that these calls belong to
        (where / "calls.yaml").write_text(CALLS)
        stack.manage("import_programme", str(where / "calls.yaml"))
        yield client


@pytest.fixture(autouse=True)
def _healthy(client: Client, sink: SmtpSink, provider: SmsServer) -> Iterator[None]:
    """After each test all is as it was, and nothing is on its way."""
    yield
    sink.be_kind()
    provider.pause_s = 0.0
    provider.as_twilio()
    provider.requests.clear()
    client.stack.query(
        "UPDATE surveys_invitation SET status = 'cancelled', reason = 'inactive' WHERE status = 'scheduled'"
    )
    until(client.stack.is_ready, 60, client.stack.output)


def post(client: Client, prefix: str, count: int, kind: str = "order.delivered") -> None:
    """One event for each of so many customers; each has an email address and a number of their own."""
    now = datetime.now(UTC).isoformat()
    events = [
        {
            "specversion": "1.0",
            "id": f"{kind}-{prefix}-{number}",
            "source": "/shop",
            "type": kind,
            "time": now,
            "subject": f"{prefix}-{number}",
            "data": {
                "customer": {
                    "email": f"{prefix}-{number}@example.com",
                    "phone": f"+86139{sum(map(ord, prefix)) % 9000:04d}{number:04d}",
                    "language": "en",
                }
            },
        }
        for number in range(count)
    ]
    for at in range(0, count, 1000):
        answer = client.api.post(f"{client.stack.url}/api/v1/events/", json=events[at : at + 1000], timeout=60)
        assert (answer.status_code, answer.json()["rejected"]) == (202, []), answer.text


def count_of(stack: Stack, prefix: str, condition: str) -> int:
    """How many of the prefix's invitations meet a condition on `i`."""
    sql = "SELECT count(*) FROM surveys_invitation i JOIN surveys_customer c ON c.id = i.customer_id WHERE c.external_id LIKE %s"
    found: int = stack.query(f"{sql} AND {condition}", like(prefix))[0][0]
    return found


def await_tried(stack: Stack, prefix: str, count: int, timeout: float = 60) -> None:
    """Until so many have failed for the time being, and wait without a lease."""
    tried = "i.status = 'scheduled' AND i.attempts > 0 AND i.lease_until IS NULL AND i.send_at > now()"
    left = lambda: count_of(stack, prefix, tried)  # noqa: E731
    until(lambda: left() == count, timeout, lambda: f"{left()} of {count}\n{stack.output()}")


@contextlib.contextmanager
def another(stack: Stack, kind: str, *options: str, clock_s: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A second worker or beat, as on another machine; its clock is so many seconds ahead."""
    if kind == "beat":
        options += ("--schedule", str(stack.data_dir / "another-schedule"))
    shifted = "from datetime import timedelta; from django.utils import timezone; real = timezone.now; "
    shifted += f"timezone.now = lambda: real() + timedelta(seconds={clock_s}); "
    code = f"import sys; {shifted if clock_s else ''}from celery.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "--quiet", "--app", "cxsurvey", kind, "--loglevel", "WARNING", *options]
    if kind == "worker":
        command += ["--without-gossip", "--without-mingle", "--hostname", f"another{os.getpid()}@%h"]
    with open(stack.log, "a") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=stack.environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


@contextlib.contextmanager
def suspended(stack: Stack) -> Iterator[None]:
    """The stack's own worker stands still."""
    frozen = stack.children("--app cxsurvey worker")
    for process in frozen:
        process.suspend()
    try:
        yield
    finally:
        for process in frozen:
            with contextlib.suppress(psutil.Error):
                process.resume()


@contextlib.contextmanager
def victim(stack: Stack) -> Iterator[Callable[[], None]]:
    """A worker with a pool of two that works alone until it is struck: the answer kills it, at once and without a word.

    Not the stack's own, since a server ends whose worker dies five times in a minute.
    """
    with suspended(stack), another(stack, "worker", "--concurrency", "2") as process:
        yield lambda: kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    assert len(family) == 3
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.kill()
    psutil.wait_procs(family, timeout=10)


# --- The mail server ----------------------------------------------------------------------------------------------------


def test_a_mail_server_that_is_down_costs_nobody_their_invitation(client: Client, sink: SmtpSink) -> None:
    sink.stop()
    try:
        post(client, "down", 60)
        await_tried(client.stack, "down", 60)
    finally:
        sink.start()
    hasten(client.stack, "down")
    await_nothing_waits(client.stack, "down")
    assert_sums(client.stack, "down", {"sent": 60}, letters(sink))


def test_a_mail_server_that_takes_ten_seconds_for_each_command_sends_each_once(client: Client, sink: SmtpSink) -> None:
    before = client.metric("nps")["n"]
    sink.slow_s = 10.0
    post(client, "slow", 2)
    until(lambda: sink.held or sink.connections, 60)
    for answered in range(1, 4):  # and nothing else waits for it
        assert answer_form(client.open_form, 9).status_code == 303
        until(lambda answered=answered: client.metric("nps")["n"] == before + answered, 15, client.stack.output)
    assert count_of(client.stack, "slow", "i.status = 'scheduled'") == 2
    await_nothing_waits(client.stack, "slow", 200)
    assert_sums(client.stack, "slow", {"sent": 2}, letters(sink))


def test_who_is_refused_for_now_is_asked_later_and_the_others_at_once(client: Client, sink: SmtpSink) -> None:
    for number in range(10):
        sink.refuse[f"grey-{number}@example.com"] = "451 4.7.1 greylisted"
    post(client, "grey", 30)
    await_tried(client.stack, "grey", 10)
    until(lambda: count_of(client.stack, "grey", "i.status = 'sent'") == 20, 20)
    sink.refuse.clear()
    hasten(client.stack, "grey")
    await_nothing_waits(client.stack, "grey")
    assert_sums(client.stack, "grey", {"sent": 30}, letters(sink))


def test_who_is_refused_for_good_is_not_asked_again_and_the_others_are(client: Client, sink: SmtpSink) -> None:
    for number in range(10):
        sink.refuse[f"gone-{number}@example.com"] = "550 5.1.1 no such user"
    post(client, "gone", 30)
    await_nothing_waits(client.stack, "gone")
    assert_sums(client.stack, "gone", {"sent": 20, "failed": 10}, letters(sink))


def test_a_server_that_refuses_everybody_for_now_loses_nobody(client: Client, sink: SmtpSink) -> None:
    sink.refuse_all = "452 4.2.2 too busy"
    post(client, "busy", 60)
    await_tried(client.stack, "busy", 60)
    sink.refuse_all = ""
    hasten(client.stack, "busy")
    await_nothing_waits(client.stack, "busy")
    assert_sums(client.stack, "busy", {"sent": 60}, letters(sink))


def test_a_connection_that_is_lost_after_the_message_brings_it_twice_at_most(client: Client, sink: SmtpSink) -> None:
    sink.drops = True
    post(client, "dropped", 20)
    await_tried(client.stack, "dropped", 20)
    sink.drops = False
    hasten(client.stack, "dropped")
    await_nothing_waits(client.stack, "dropped")
    # One unanswered message speaks for its batch: of the others nothing had been said.
    assert_sums(client.stack, "dropped", {"sent": 20}, letters(sink), twice=1)


def test_a_server_that_never_answers_a_message_gets_each_twice_and_not_for_four_days(
    client: Client, sink: SmtpSink
) -> None:
    sink.drops = True
    post(client, "mute", 4)
    until(lambda: count_of(client.stack, "mute", "true") == 4, 30)

    def goes_on() -> bool:
        """Time passes while nobody sends; of a batch one is in doubt each time."""
        if not count_of(client.stack, "mute", "i.lease_until IS NOT NULL"):
            hasten(client.stack, "mute")
        return count_of(client.stack, "mute", "i.status = 'scheduled'") == 0

    until(goes_on, 90, client.stack.output)
    await_nothing_waits(client.stack, "mute")
    assert_sums(client.stack, "mute", {"failed": 4}, letters(sink), twice=4, unsaid=["failed"])
    assert len(sink.messages) == 8


# --- The provider of texts ----------------------------------------------------------------------------------------------


def test_a_provider_that_is_busy_is_asked_again_when_it_says(client: Client, provider: SmsServer) -> None:
    provider.answer = BUSY
    post(client, "wait", 20, "call.ended")
    await_tried(client.stack, "wait", 20)
    assert len(provider.requests) == 1, "once per batch"
    provider.requests.clear()
    provider.as_twilio()
    hasten(client.stack, "wait")
    await_nothing_waits(client.stack, "wait")
    assert_sums(client.stack, "wait", {"sent": 20}, texts(provider))


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("error", (500, "<h1>Server error</h1>", {})),
        ("page", (200, "<html>Maintenance</html>", {"Content-Type": "text/html"})),
        ("empty", (201, {}, {})),
        ("list", (200, [1, 2], {})),
    ],
)
def test_a_provider_that_answers_wrongly_costs_nobody_their_invitation(
    client: Client, provider: SmsServer, name: str, answer: Any
) -> None:
    provider.answer = answer
    post(client, name, 20, "call.ended")
    await_tried(client.stack, name, 20)
    taken = len(provider.requests)
    assert taken == 1, "once per batch"
    provider.as_twilio()
    hasten(client.stack, name)
    await_nothing_waits(client.stack, name)
    # Whoever was answered so may have got the text: nobody can know.
    assert_sums(client.stack, name, {"sent": 20}, texts(provider), twice=taken)


def test_a_provider_that_does_not_answer_in_time_gets_a_text_twice_at_most(client: Client, provider: SmsServer) -> None:
    provider.pause_s = 12.0
    post(client, "late", 10, "call.ended")
    await_tried(client.stack, "late", 10)
    provider.pause_s = 0.0
    hasten(client.stack, "late")
    await_nothing_waits(client.stack, "late")
    assert_sums(client.stack, "late", {"sent": 10}, texts(provider), twice=1)


# --- A worker that is killed at each step -------------------------------------------------------------------------------


@contextlib.contextmanager
def table_held(stack: Stack, table: str) -> Iterator[Callable[[], bool]]:
    """Nobody writes to this table; the answer says whether somebody waits to."""
    waits = (
        "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname = %s AND NOT l.granted"
    )
    with stack.database() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
        yield lambda: bool(stack.query(waits, table)[0][0])


@contextlib.contextmanager
def command_held(sink: SmtpSink, command: str) -> Iterator[Callable[[], bool]]:
    sink.hold = command
    try:
        yield lambda: sink.held > 0
    finally:
        sink.hold = ""


IN_DATABASE = {
    "deciding": "surveys_invitation",  # in the transaction that makes invitations of events
    "claiming": "surveys_writtenaddress",  # all is written, with the lease; nothing is committed
    "settling": "surveys_deliveryattempt",  # the server has said OK; the result is not written
}
IN_MAIL = {
    "greeting": "EHLO",  # claimed and committed; not a word about anybody was said
    "sender": "MAIL",
    "recipient": "RCPT",
    "taken": "DATA",  # the server has the message; its OK is not heard
    "parting": "QUIT",  # the results are written
}


@pytest.mark.parametrize(
    ("step", "twice"),
    [
        ("deciding", 0),
        ("claiming", 0),
        ("greeting", 0),
        ("sender", 0),
        ("recipient", 0),
        ("taken", 1),
        ("settling", 1),
        ("parting", 0),
    ],
)
def test_a_worker_that_is_killed_at_any_step_loses_nobody(
    client: Client, sink: SmtpSink, step: str, twice: int
) -> None:
    """One message twice where nobody could know, since one process of the pool sends; and none elsewhere."""
    stack = client.stack
    held = table_held(stack, IN_DATABASE[step]) if step in IN_DATABASE else command_held(sink, IN_MAIL[step])
    with victim(stack) as strike, held as somebody_waits:
        post(client, step, 12)
        until(somebody_waits, 30, stack.output)
        strike()
    before = len(sink.messages)
    assert (before > 0) is (step in ("taken", "settling", "parting"))
    hasten(stack, step, leases=True)
    await_nothing_waits(stack, step)
    again = assert_sums(stack, step, {"sent": 12}, letters(sink), twice=twice)
    assert again == (before if twice else 0), "whoever had it and was not written down gets it again, and nobody else"


def test_a_worker_that_is_killed_between_two_messages_has_written_the_first(client: Client, sink: SmtpSink) -> None:
    """After the result: what was sent and written is not sent again, whatever became of the rest of the batch."""
    stack = client.stack
    sink.pause_s = 0.3
    with victim(stack) as strike:
        post(client, "between", 12)
        until(lambda: count_of(stack, "between", "i.status = 'sent'") >= 2, 30)
        with command_held(sink, "MAIL") as somebody_waits:
            until(somebody_waits, 30)
            strike()
    sink.pause_s = 0.0
    sent = count_of(stack, "between", "i.status = 'sent'")
    assert 2 <= sent < 12
    hasten(stack, "between", leases=True)
    await_nothing_waits(stack, "between")
    assert_sums(stack, "between", {"sent": 12}, letters(sink))


def test_a_worker_that_is_killed_while_it_texts_loses_nobody(client: Client, provider: SmsServer) -> None:
    stack = client.stack
    provider.pause_s = 8.0  # it has the text, and takes its time to say so
    with victim(stack) as strike:
        post(client, "texting", 8, "call.ended")
        until(lambda: provider.requests, 30)
        strike()
    provider.pause_s = 0.0
    hasten(stack, "texting", leases=True)
    await_nothing_waits(stack, "texting")
    assert_sums(stack, "texting", {"sent": 8}, texts(provider), twice=1)


# What two days would do: the floor is past, and reminders are due.
TWO_DAYS = """
WITH theirs AS (SELECT i.id FROM surveys_invitation i JOIN surveys_customer c ON c.id = i.customer_id WHERE c.external_id LIKE %s),
sent AS (
    UPDATE surveys_invitation i SET attempted_at = attempted_at - interval '2 days', tried_at = tried_at - interval '2 days',
        sent_at = sent_at - interval '2 days', reminded_at = reminded_at - interval '2 days'
    FROM theirs WHERE i.id = theirs.id RETURNING i.id
),
written AS (UPDATE surveys_writtenaddress SET last_message_at = last_message_at - interval '2 days' RETURNING address_hash)
UPDATE surveys_reminder r SET send_at = now(), lease_until = NULL FROM theirs
WHERE r.invitation_id = theirs.id AND r.status = 'scheduled'
"""


@pytest.mark.parametrize(
    ("step", "twice"), [("claiming", 0), ("recipient", 0), ("taken", 1), ("settling", 1), ("parting", 0)]
)
def test_a_worker_that_is_killed_while_it_reminds_loses_no_reminder(
    client: Client, sink: SmtpSink, step: str, twice: int
) -> None:
    stack, prefix, count = client.stack, f"remind-{step}", 6
    post(client, prefix, count, "visit.paid")
    await_nothing_waits(stack, prefix)
    first = {to: ids[0] for to, ids in letters(sink).items()}
    sink.messages.clear()
    held = table_held(stack, IN_DATABASE[step]) if step in IN_DATABASE else command_held(sink, IN_MAIL[step])
    with victim(stack) as strike, held as somebody_waits:
        if step != "claiming":
            stack.query(TWO_DAYS, like(prefix))
        else:  # the table is ours: only the reminders become due, and the floor is past without it
            stack.query("UPDATE surveys_organisation SET floor_s = 0")
            stack.query(
                "UPDATE surveys_reminder r SET send_at = now() FROM surveys_invitation i JOIN surveys_customer c "
                "ON c.id = i.customer_id WHERE r.invitation_id = i.id AND c.external_id LIKE %s",
                like(prefix),
            )
        until(somebody_waits, 30, stack.output)
        strike()
    stack.query("UPDATE surveys_organisation SET floor_s = 86400")
    before = len(sink.messages)
    assert (before > 0) is (step in ("taken", "settling", "parting"))
    stack.query(TWO_DAYS, like(prefix))
    sent = "(SELECT r.status FROM surveys_reminder r WHERE r.invitation_id = i.id) = 'sent'"
    until(lambda: count_of(stack, prefix, sent) == count, 60, stack.output)
    came = letters(sink)
    assert {to: set(ids) for to, ids in came.items()} == {to: {id.replace("@", ".1@")} for to, id in first.items()}
    assert sum(len(ids) == 2 for ids in came.values()) == (before if twice else 0)
    assert max(len(ids) for ids in came.values()) <= 1 + twice


# --- Broker, database, beats, clocks ------------------------------------------------------------------------------------


def test_a_minute_without_redis_delays_messages_and_nothing_else(client: Client, sink: SmtpSink) -> None:
    stack = client.stack
    before = client.metric("nps")["n"]
    services = Services(stack.data_dir)
    services.stop_redis()
    answered = posted = 0
    try:
        ends = time.monotonic() + 60
        while time.monotonic() < ends:  # people do not wait for a broker
            posted += 1
            post(client, f"minute-{posted}", 1)
            assert answer_form(client.open_form, 9).status_code == 303
            answered += 1
    finally:
        services.start_redis()
    await_nothing_waits(stack, "minute", 120)
    until(lambda: client.metric("nps")["n"] == before + answered, 60)
    assert posted > 60
    assert_sums(stack, "minute", {"sent": posted}, letters(sink))


def test_a_database_that_is_restarted_under_sending_loses_nobody(client: Client, sink: SmtpSink) -> None:
    stack = client.stack
    services = Services(stack.data_dir)
    sink.pause_s = 0.1
    post(client, "restarted", 150)
    until(lambda: len(sink.messages) >= 20, 60)
    services.stop_postgres()
    back = datetime.now(UTC)
    services.start_postgres()
    assert len(sink.messages) < 150, "it was over before it was struck"
    sink.pause_s = 0.0
    until(stack.is_ready, 60, stack.output)
    # What was in the middle keeps its lease of five minutes; everything else goes on by itself.
    going_on = f"i.status = 'scheduled' AND (i.lease_until IS NULL OR i.tried_at >= '{back.isoformat()}')"
    until(lambda: count_of(stack, "restarted", going_on) == 0, 60)
    assert count_of(stack, "restarted", "i.status = 'sent'") > 20
    hasten(stack, "restarted", leases=True)
    await_nothing_waits(stack, "restarted")
    assert_sums(stack, "restarted", {"sent": 150}, letters(sink), twice=1)


def test_two_beats_and_two_workers_send_each_once(client: Client, sink: SmtpSink) -> None:
    with another(client.stack, "worker", "--concurrency", "2"), another(client.stack, "beat", "--pidfile="):
        for number in range(10):
            post(client, f"beats-{number}", 12)
        await_nothing_waits(client.stack, "beats", 90)
    assert_sums(client.stack, "beats", {"sent": 120}, letters(sink))


def test_a_clock_that_is_put_back_an_hour_delays_messages_and_sends_none_again(client: Client, sink: SmtpSink) -> None:
    """Not the machine's clock, which is not ours to set, but that of the one process that works: what it takes for now."""
    stack = client.stack
    post(client, "clock", 20)
    await_nothing_waits(stack, "clock")
    with suspended(stack), another(stack, "worker", "--concurrency", "2", clock_s=-3600) as behind:
        post(client, "clock-later", 20)
        # By its clock these are in the future. It decides on them, and waits.
        until(lambda: count_of(stack, "clock-later", "i.status = 'scheduled'") == 20, 60)
        again = client.events([f"clock-{number}" for number in range(20)])
        for event in again:
            event["id"] += "-again"
        client.api.post(f"{stack.url}/api/v1/events/", json=again, timeout=30)
        until(lambda: count_of(stack, "clock", "i.status = 'withheld'") == 20, 60)
        assert behind.poll() is None
        assert len(sink.messages) == 20
    await_nothing_waits(stack, "clock-later")
    assert_sums(stack, "clock-later", {"sent": 20}, letters(sink))
    refused = stack.query(
        "SELECT DISTINCT reason FROM surveys_invitation i JOIN surveys_customer c ON c.id = i.customer_id "
        "WHERE i.status = 'withheld' AND c.external_id LIKE %s",
        like("clock"),
    )
    assert refused == [("resting_same",)]
    assert {len(ids) for ids in letters(sink).values()} == {1}


# --- Two thousand at once -----------------------------------------------------------------------------------------------


def test_two_thousand_due_at_once_with_two_workers_in_flat_memory_while_the_web_answers(
    client: Client, sink: SmtpSink
) -> None:
    stack = client.stack
    with another(stack, "worker", "--concurrency", "2") as second:
        until(lambda: len(psutil.Process(second.pid).children()) == 2, 30)
        workers = [*stack.children("--app cxsurvey worker"), *psutil.Process(second.pid).children()]
        pool = [process for process in workers if not process.children()]
        post(client, "many", 2000)
        until(lambda: len(sink.messages) >= 200, 120)
        early = sum(process.memory_info().rss for process in pool)
        took = []
        while len(sink.messages) < 2000:
            started = time.monotonic()
            assert answer_form(client.open_form, 9).status_code == 303
            took.append(time.monotonic() - started)
            assert time.monotonic() - started < 5
        late = sum(process.memory_info().rss for process in pool)
        await_nothing_waits(stack, "many", 60)
    print(f"RSS {early / 2**20:.1f} -> {late / 2**20:.1f} MiB, form {statistics.median(took) * 1000:.0f} ms")  # noqa: T201
    assert statistics.median(took) < 0.5
    assert late - early < 12 * 2**20 * len(pool)
    assert_sums(stack, "many", {"sent": 2000}, letters(sink))
