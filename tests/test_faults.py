"""What breaks, and what then must still be true: nothing accepted is lost, nothing is counted twice, nobody is asked twice.

On whole stacks. Each test brings its own customers, so that most can share one. test_faults_sending.py has what breaks while
messages leave; its representatives stand here.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import requests

from cxsurvey.embedded import Services
from tests.client import Client, answer_form, link_in
from tests.smtp_sink import SmtpSink
from tests.stack import ROOT, Stack, until
from tests.sums import assert_sums, await_nothing_waits, hasten, letters

REBUILD_AND_VERIFY = """
from metrics.rollup import rebuild
from metrics.verify import verify
print(*(rebuild() or len(verify()) for _round in range(5)))
"""
RECORDED = "from surveys.models import InteractionEvent; print(InteractionEvent.objects.filter("
RECORDED += "event_id__startswith='delivered-{}').count())"


pytestmark = pytest.mark.xdist_group("faults")  # one stack for all, hence one worker


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def client(sink: SmtpSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Stack(tmp_path_factory.mktemp("faults") / "data", email_url=sink.url) as stack:
        stack.start()
        yield Client(stack)


@pytest.fixture(autouse=True)
def _healthy(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test all is as it was: the next may rely on it."""
    yield
    if "client" not in request.fixturenames:
        return
    client, sink = request.getfixturevalue("client"), request.getfixturevalue("sink")
    sink.be_kind()
    until(client.stack.is_ready, 60, client.stack.output)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def mails_to(sink: SmtpSink, customers: list[str]) -> Counter[str]:
    wanted = {f"{customer.lower()}@example.com" for customer in customers}
    return Counter(recipient for recipient, _message in list(sink.messages) if recipient in wanted)


def wait_for_mails(sink: SmtpSink, customers: list[str], timeout: float = 40) -> Counter[str]:
    """Once every one of them has a mail."""
    until(lambda: len(mails_to(sink, customers)) == len(customers), timeout, lambda: str(mails_to(sink, customers)))
    return mails_to(sink, customers)


def nothing_differs(client: Client) -> bool:
    return client.stack.manage("verify_rollups").strip().endswith("0 differences")


# --- Redis -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def redis_gone(stack: Stack) -> Iterator[None]:
    services = Services(stack.data_dir)
    services.stop_redis()
    try:
        yield
    finally:
        services.start_redis()


@contextlib.contextmanager
def redis_silent(stack: Stack) -> Iterator[None]:
    """It takes connections and answers nothing: the worse fault, since nothing is refused."""
    process = psutil.Process(Services(stack.data_dir).redis_pid())
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def timed(requests_made: list[Callable[[], requests.Response]], status: int) -> list[float]:
    took = []
    for make in requests_made:
        started = time.monotonic()
        answer = make()
        took.append(time.monotonic() - started)
        assert answer.status_code == status, answer.text
    return took


@pytest.mark.parametrize("fault", [redis_gone, pytest.param(redis_silent, marks=pytest.mark.slow)])
def test_without_redis_all_is_accepted_at_the_usual_speed_and_caught_up_later(
    client: Client, sink: SmtpSink, fault: Callable[..., contextlib.AbstractContextManager[None]]
) -> None:
    count = 25
    before = client.metric("nps")["n"]

    def events(label: str) -> list[Callable[[], requests.Response]]:
        return [lambda name=name: client.post_events([name]) for name in names(f"{fault.__name__}-{label}", count)]

    answers: list[Callable[[], requests.Response]] = [lambda: answer_form(client.open_form, 9)] * count
    usual = timed(events("up"), 202), timed(answers, 303)
    with fault(client.stack):
        during = timed(events("down"), 202), timed(answers, 303)
        ready = requests.get(f"{client.stack.url}/readyz", timeout=10)
        assert (ready.status_code, ready.json()["database"], ready.json()["broker"]) == (503, "ok", "away")
    for as_usual, now in zip(usual, during, strict=True):
        # Each of the two web processes finds out once in ten seconds; all the others must not notice.
        assert statistics.median(now) < 3 * statistics.median(as_usual) + 0.02
        assert sorted(now)[-3] < max(3 * max(as_usual), 0.5)
    customers = names(f"{fault.__name__}-up", count) + names(f"{fault.__name__}-down", count)
    assert set(wait_for_mails(sink, customers, 60).values()) == {1}
    until(lambda: client.metric("nps")["n"] == before + 2 * count, 30, client.stack.output)
    assert nothing_differs(client)


# --- PostgreSQL --------------------------------------------------------------------------------------------------------


def test_while_the_database_is_away_everyone_is_told_and_afterwards_all_goes_on(client: Client, sink: SmtpSink) -> None:
    stack = client.stack
    services = Services(stack.data_dir)
    before = client.metric("nps")["n"]
    ours = {process.pid for process in psutil.Process(stack.process.pid).children(recursive=True)}  # type: ignore[union-attr]
    client.post_events(["before-the-fault"])
    link = link_in(next(m for to, m in _arrived(sink, ["before-the-fault"]) if to.startswith("before")))
    warm = [client.session() for _number in range(6)]  # connections of many threads that will find theirs broken
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(client.post_answer, [9] * 6, warm))
    until(lambda: client.metric("nps")["n"] == before + 6, 20)
    services.stop_postgres()
    try:
        for answer in (
            client.post_events(["during-the-fault"]),
            client.post_answer(3),
            client.api.get(f"{stack.url}/api/v1/metrics/nps/"),
        ):
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert answer.json()["status"] == 503
        for answer, language, word in (
            (requests.get(link, headers={"Accept-Language": "zh-CN"}), "zh-hans", "稍"),
            (answer_form(link, 9), "en", "moment"),
            (requests.get(client.open_form), "en", "moment"),
            (requests.get(f"{stack.url}/admin/login/", cookies={f"cx_session_{stack.port}": "x" * 32}), "en", "moment"),
        ):
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "5"), answer.url
            assert answer.headers["Content-Type"].startswith("text/html")
            assert f'lang="{language}"' in answer.text
            assert word in answer.text
        ready = requests.get(f"{stack.url}/readyz", timeout=10)
        assert (ready.status_code, ready.json()["database"]) == (503, "away")
        assert requests.get(f"{stack.url}/healthz").status_code == 200
    finally:
        services.start_postgres()
    # The first request of every thread, each with a connection that the restart has broken.
    with ThreadPoolExecutor(6) as pool:
        assert [a.status_code for a in pool.map(client.post_answer, [9] * 6, warm)] == [201] * 6
    assert answer_form(link, 10).status_code == 303
    client.post_events(["after-the-fault"])
    assert set(wait_for_mails(sink, ["after-the-fault"]).values()) == {1}
    until(lambda: client.metric("nps")["n"] == before + 13, 20, stack.output)
    assert {process.pid for process in psutil.Process(stack.process.pid).children(recursive=True)} == ours  # type: ignore[union-attr]
    assert client.invitations(customer="during-the-fault") == []
    assert nothing_differs(client)
    assert "Traceback" not in stack.output(), "an outage is a line, not a page"


def _arrived(sink: SmtpSink, customers: list[str]) -> list:
    wait_for_mails(sink, customers)
    return list(sink.messages)


@pytest.mark.slow
def test_a_database_that_is_restarted_under_writers_loses_nothing_it_accepted(client: Client) -> None:
    services = Services(client.stack.data_dir)
    accepted: list[str] = []
    answered: list[int] = []
    statuses: Counter[int] = Counter()
    over = threading.Event()
    before = client.metric("nps")["n"]

    def write(writer: int) -> None:
        session, number = client.session(), 0
        while not over.is_set():
            number += 1
            batch = [f"restart-{writer}-{number}-{item}" for item in range(3)]
            event, answer = client.post_events(batch, session), client.post_answer(number % 11, session)
            statuses.update([event.status_code, answer.status_code])
            if event.status_code == 202:
                accepted.extend(batch)
            if answer.status_code == 201:
                answered.append(number)

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _restart in range(2):
            reached = len(accepted) + 15
            until(lambda reached=reached: len(accepted) > reached, 30)
            services.stop_postgres()
            services.start_postgres()
        reached = len(accepted) + 15
        until(lambda: len(accepted) > reached, 30)
    finally:
        over.set()
        for writer in writers:
            writer.join(30)
    assert set(statuses) <= {202, 201, 503}, statuses
    assert statuses[503], "nobody noticed the restart"
    # One that was told 503 may have been committed all the same; one that was accepted is there.
    assert int(client.stack.shell(RECORDED.format("restart"))) >= len(accepted)
    until(lambda: client.metric("nps")["n"] >= before + len(answered), 30)
    again = client.post_events(accepted[:900])
    assert again.json() == {"accepted": 0, "duplicates": len(accepted[:900]), "rejected": []}
    assert nothing_differs(client)


# --- Workers and mail --------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_while_sending_loses_nobody_and_writes_at_most_one_mail_again(
    client: Client, sink: SmtpSink
) -> None:
    customers = names("killed", 12)
    sink.silent = True  # it takes the message and keeps its OK back: the worst moment
    client.post_events(customers)
    until(lambda: mails_to(sink, customers), 30)
    for process in client.stack.children("--app cxsurvey worker"):
        with contextlib.suppress(psutil.Error):
            process.kill()
    sink.silent = False
    until(client.stack.is_ready, 60)
    assert len(mails_to(sink, customers)) < len(customers), "it was over before it was struck"
    hasten(client.stack, "killed", leases=True)
    await_nothing_waits(client.stack, "killed")
    assert assert_sums(client.stack, "killed", {"sent": 12}, letters(sink), twice=1) == 1


@pytest.mark.slow
def test_a_server_that_is_stopped_while_sending_sends_the_rest_at_its_next_start_and_nothing_twice(
    client: Client, sink: SmtpSink
) -> None:
    customers = names("stopped", 30)
    sink.pause_s = 0.4
    client.post_events(customers)
    until(lambda: len(mails_to(sink, customers)) >= 3, 30)
    assert client.stack.stop() < 10
    assert 3 <= len(mails_to(sink, customers)) < 30
    sink.pause_s = 0.0
    client.stack.start()
    # No lease has to run out first: what had been claimed was given back.
    assert set(wait_for_mails(sink, customers, 30).values()) == {1}


@pytest.mark.slow
def test_a_mail_server_that_stalls_does_not_keep_answers_from_being_counted(client: Client, sink: SmtpSink) -> None:
    before = client.metric("nps")["n"]
    sink.silent = True
    client.post_events(names("stalled", 120))
    until(lambda: mails_to(sink, names("stalled", 120)), 30)
    started = time.monotonic()
    for count in range(1, 4):
        client.post_answer(9)
        until(lambda count=count: client.metric("nps")["n"] == before + count, 30, client.stack.output)
    assert time.monotonic() - started < 15, "the score waits for the mail server"
    sink.silent = False
    hasten(client.stack, "stalled")
    wait_for_mails(sink, names("stalled", 120), 60)


def test_what_the_mail_server_says_decides_what_becomes_of_an_invitation(client: Client, sink: SmtpSink) -> None:
    kind, later, never = "smtp-kind", "smtp-later", "smtp-never"
    sink.refuse["smtp-later@example.com"] = "451 4.7.1 greylisted"
    sink.refuse["smtp-never@example.com"] = "550 5.1.1 no such user"
    client.post_events([kind, later, never])

    def states() -> list[tuple[str, str]]:
        found = [client.invitations(customer=name) for name in (kind, later, never)]
        return [(one[0]["status"], one[0]["reason"]) for one in found if one]

    until(lambda: states() == [("sent", ""), ("scheduled", ""), ("failed", "bounced")], 20, lambda: str(states()))
    sink.refuse.clear()
    hasten(client.stack, "smtp")
    assert wait_for_mails(sink, [later]) == {"smtp-later@example.com": 1}
    again = client.events([never])
    again[0]["id"] = "second"
    client.api.post(f"{client.stack.url}/api/v1/events/", json=again)
    until(lambda: "withheld" in [one["status"] for one in client.invitations(customer=never)], 20)
    assert {one["reason"] for one in client.invitations(customer=never)} == {"bounced"}
    assert_sums(client.stack, "smtp", {"sent": 2, "failed": 1, "withheld": 1}, letters(sink))


@pytest.mark.slow
def test_invitations_wait_for_a_mail_server_that_is_away(client: Client, sink: SmtpSink) -> None:
    customers = names("away", 5)
    sink.stop()
    try:
        client.post_events(customers)
        until(
            lambda: (
                [one["status"] for name in customers for one in client.invitations(customer=name)] == ["scheduled"] * 5
            ),
            20,
        )
        attempted = "from surveys.models import DeliveryAttempt; print(DeliveryAttempt.objects.filter("
        attempted += "invitation__customer__external_id__startswith='away', result='temporary').count())"
        until(lambda: int(client.stack.shell(attempted)) >= 5, 30)
    finally:
        sink.start()
    hasten(client.stack, "away")
    assert set(wait_for_mails(sink, customers).values()) == {1}


# --- Many at once ------------------------------------------------------------------------------------------------------


def test_sixteen_systems_that_post_the_same_events_are_accepted_once_in_all(client: Client, sink: SmtpSink) -> None:
    customers = names("same", 200)
    gate = threading.Barrier(16)

    def post(number: int) -> dict[str, int]:
        session = client.session()
        shifted = customers[number * 12 :] + customers[: number * 12]  # each in another order
        gate.wait(20)
        answers = [client.post_events(shifted[at : at + 50], session) for at in range(0, 200, 50)]
        assert {answer.status_code for answer in answers} == {202}
        return {key: sum(answer.json()[key] for answer in answers) for key in ("accepted", "duplicates")}

    with ThreadPoolExecutor(16) as pool:
        totals = list(pool.map(post, range(16)))
    assert sum(total["accepted"] for total in totals) == 200
    assert sum(total["duplicates"] for total in totals) == 15 * 200
    assert set(wait_for_mails(sink, customers, 60).values()) == {1}


def test_rebuilding_and_verifying_beside_three_writers_finds_no_difference(client: Client) -> None:
    over = threading.Event()
    written: Counter[int] = Counter()
    before = client.metric("nps")["n"]

    def write(writer: int) -> None:
        session = client.session()
        while not over.is_set():
            assert client.post_answer(written[writer] % 11, session).status_code == 201
            written[writer] += 1

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, writer) for writer in range(3)]
        try:
            assert client.stack.shell(REBUILD_AND_VERIFY) == "0 0 0 0 0"
            client.stack.manage("rebuild_rollups")
            assert nothing_differs(client)
        finally:
            over.set()
        for writer in writers:
            writer.result(30)
    assert min(written[writer] for writer in range(3)) > 0
    until(lambda: client.metric("nps")["n"] == before + written.total(), 20)
    assert nothing_differs(client)


@pytest.mark.parametrize("schedule", ["beat-schedule", pytest.param("another-schedule", marks=pytest.mark.slow)])
def test_two_beats_at_once_do_no_harm(client: Client, sink: SmtpSink, schedule: str) -> None:
    command = ["-m", "celery", "--quiet", "--app", "cxsurvey", "beat", "--pidfile=", "--loglevel", "WARNING"]
    second = subprocess.Popen(
        [sys.executable, *command, "--schedule", str(client.stack.data_dir / schedule)],
        cwd=ROOT,
        env=client.stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    first = {process.pid for process in client.stack.children("--app cxsurvey beat")}
    before = client.metric("nps")["n"]
    customers = names(schedule, 30)
    try:
        for name in customers:
            client.post_events([name])
            client.post_answer(10)
        assert set(wait_for_mails(sink, customers).values()) == {1}
        until(lambda: client.metric("nps")["n"] == before + 30, 20)
        assert second.poll() is None
        assert {process.pid for process in client.stack.children("--app cxsurvey beat")} == first
    finally:
        second.send_signal(signal.SIGTERM)
        out, _none = second.communicate(timeout=20)
    assert "Traceback" not in out
    assert_sums(client.stack, schedule, {"sent": 30}, letters(sink))


@pytest.mark.slow
def test_a_schedule_file_that_is_broken_is_made_anew(client: Client) -> None:
    stack = client.stack
    stack.stop()
    for path in stack.data_dir.glob("beat-schedule*"):
        path.write_bytes(os.urandom(4096))
    stack.start()
    client.post_answer(10)
    stack.shell("from django.core.cache import cache; cache.delete('worker-heartbeat')")
    until(stack.is_ready, 40, stack.output)
