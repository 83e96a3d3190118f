"""`script/server` as real processes: how it ends, how it comes back, and what it says."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.client import Client, answer_form, link_in
from tests.smtp_sink import SmtpSink
from tests.stack import ROOT, Stack, free_port, names_of, until

pytestmark = pytest.mark.xdist_group("server")  # one stack for most, hence one worker
END_S = 10  # what the contract promises, services included


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One server for the tests that leave it as they found it."""
    with Stack(tmp_path_factory.mktemp("server") / "data") as stack:
        stack.start()
        yield stack


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Stacks that a test starts and ends by itself."""
    made: list[Stack] = []

    def make(**options: object) -> Stack:
        made.append(Stack(tmp_path / f"data{len(made)}", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()
        one.remove()


def everything_of(stack: Stack) -> list[psutil.Process]:
    """All of a server's processes: its own, and the services, which are nobody's children."""
    assert stack.process is not None
    found = [psutil.Process(stack.process.pid), *psutil.Process(stack.process.pid).children(recursive=True)]
    services = stack.services()
    return [*found, *services]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def ended(stack: Stack, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What a server says that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "cxsurvey.server", *arguments],
        cwd=ROOT,
        env=stack.environment | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_tests_that_share_a_server_run_in_one_worker(request: pytest.FixtureRequest) -> None:
    """Else each worker starts a server of its own, and nobody is told: pytest 9.2 with pytest-xdist 3.8 did so."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@server")


# --- What it says ------------------------------------------------------------------------------------------------------


def test_it_prints_the_addresses_and_an_administrator_who_can_log_in(running: Stack) -> None:
    printed = running.output()
    assert f"on {running.url}/" in printed
    assert f"{running.url}/admin/" in printed
    found = re.search(r"Administrator (\S+)   Password (\S+)", printed)
    assert found is not None
    assert found.group(2) == running.password()
    assert log_in(running, found.group(1), found.group(2))
    assert not log_in(running, found.group(1), "another")


def log_in(stack: Stack, name: str, password: str) -> bool:
    visitor = requests.Session()
    address = f"{stack.url}/admin/login/"
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', visitor.get(address).text)
    assert token is not None
    form = {"username": name, "password": password, "csrfmiddlewaretoken": token.group(1), "next": "/admin/"}
    answer = visitor.post(address, data=form, headers={"Referer": address}, allow_redirects=False)
    return answer.status_code == 302


def test_a_second_server_on_the_same_data_stops_and_says_why(running: Stack) -> None:
    second = ended(running, "--port", str(free_port()), "--data-dir", str(running.data_dir), "--no-demo")
    assert second.returncode == 1
    assert second.stderr == (
        f"Another cxsurvey server is running on {running.data_dir}. Stop it, or choose another --data-dir.\n"
    )
    assert running.is_ready()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "{taken}"], "Port {taken} of 127.0.0.1 is taken. Choose another --port."),
        (["--host", "no-such-host.invalid"], "no-such-host.invalid"),
        (["--port", "70000"], "70000"),
        (["--port", "0"], "--port"),
        (["--port", "http"], "--port"),
    ],
)
def test_an_address_that_cannot_be_used_is_named(
    running: Stack, tmp_path: Path, arguments: list[str], said: str
) -> None:
    filled = [argument.format(taken=running.port) for argument in arguments]
    refused = ended(running, "--data-dir", str(tmp_path / "other"), "--no-demo", *filled)
    assert refused.returncode in (1, 2)
    assert said.format(taken=running.port) in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "other" / "postgres-password").exists()


def test_help_names_every_option(running: Stack) -> None:
    shown = subprocess.run(["script/server", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    for option in ("--host", "--port", "--data-dir", "--demo", "--no-demo"):
        assert option in shown.stdout


def test_a_command_of_manage_py_works_beside_it(running: Stack) -> None:
    assert running.manage("verify_rollups").strip().endswith("0 differences")
    assert running.is_ready()


# --- What dies comes back -----------------------------------------------------------------------------------------------


KILLED = [
    "--app cxsurvey worker",
    *(pytest.param(word, marks=pytest.mark.slow) for word in ("gunicorn", "cxsurvey beat")),
]


@pytest.mark.parametrize("word", KILLED)
def test_a_process_that_is_killed_comes_back(running: Stack, word: str) -> None:
    first = min(running.children(word), key=lambda process: process.create_time())
    shell = running.shell
    shell("from django.core.cache import cache; cache.delete('worker-heartbeat')")
    first.kill()
    until(lambda: [p for p in running.children(word) if p.create_time() > first.create_time() and p != first], 20)
    # A new heartbeat needs all three: beat to ring, a worker to hear, the web to tell.
    shell("from django.core.cache import cache; cache.delete('worker-heartbeat')")
    until(running.is_ready, 40, running.output)


@pytest.mark.slow
def test_a_worker_process_that_is_killed_in_the_pool_is_replaced(running: Stack) -> None:
    workers = running.children("--app cxsurvey worker")
    pool = [process for process in workers if process.ppid() in {parent.pid for parent in workers}]
    for process in pool:
        process.kill()
    running.shell("from django.core.cache import cache; cache.delete('worker-heartbeat')")
    until(running.is_ready, 40, running.output)


# --- How it ends, and comes back ----------------------------------------------------------------------------------------


OTHERS = [pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGINT, signal.SIGHUP)]


@pytest.mark.parametrize("number", [signal.SIGTERM, *OTHERS])
def test_a_signal_ends_all_within_ten_seconds_and_the_data_stays(
    stacks: Callable[..., Stack], number: signal.Signals, record_property: Callable[[str, object], None]
) -> None:
    stack = stacks(CX_ADMIN_USERNAME="chief", CX_ADMIN_PASSWORD="of-their-own-choice")
    stack.start()
    assert "Administrator chief   Password of-their-own-choice" in stack.output()
    assert log_in(stack, "chief", "of-their-own-choice")
    processes = everything_of(stack)
    assert {"postgres", "redis-server"} <= names_of(processes)
    assert stack.process is not None
    started = time.monotonic()
    stack.process.send_signal(number)
    stack.process.wait(20)
    took = time.monotonic() - started
    record_property("stop_s", took)
    assert took < END_S
    assert alive(processes) == []
    assert stack.output().endswith("Stopped.\n")
    assert "Traceback" not in stack.output()
    if number is not signal.SIGTERM:
        return
    secrets = {name: (stack.data_dir / name).read_text() for name in ("secret-key", "postgres-password")}
    started = time.monotonic()
    stack.start()
    record_property("second_start_s", time.monotonic() - started)
    assert {name: (stack.data_dir / name).read_text() for name in secrets} == secrets
    assert log_in(stack, "chief", "of-their-own-choice")


@pytest.mark.slow
def test_after_a_kill_of_everything_the_next_start_recovers(stacks: Callable[..., Stack]) -> None:
    stack = stacks()
    stack.start()
    stack.shell("from tests.factories import make_customer; make_customer('C-kept')")
    processes = everything_of(stack)
    stack.kill()
    assert alive(processes) == []
    stack.start()
    assert stack.shell("from surveys.models import Customer; print(Customer.objects.get().external_id)") == "C-kept"


@pytest.mark.slow
def test_a_server_that_is_killed_takes_its_processes_along_and_the_next_one_takes_over(
    stacks: Callable[..., Stack],
) -> None:
    """Only the server itself: its web, worker and beat must not live on, nor be started again by what kept them."""
    stack = stacks()
    stack.start()
    assert stack.process is not None
    children = psutil.Process(stack.process.pid).children(recursive=True)
    stack.process.kill()
    stack.process.wait(10)
    until(lambda: alive(children) == [], 20, lambda: str(alive(children)))
    assert marked(stack) == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", stack.port))
    services = masters(stack)
    assert len(services) == 2
    stack.start()
    assert masters(stack) == services
    stack.stop()
    assert masters(stack) == set()


def masters(stack: Stack) -> set[int]:
    """PostgreSQL's postmaster and Redis, without what comes and goes below the first."""
    services = stack.services()
    return {process.pid for process in services if process.parent() not in services}


@pytest.mark.slow
def test_a_server_that_is_started_right_after_a_kill_ends_what_was_left(stacks: Callable[..., Stack]) -> None:
    stack = stacks()
    stack.start()
    assert stack.process is not None
    children = psutil.Process(stack.process.pid).children(recursive=True)
    stack.process.kill()
    stack.process.wait(10)
    stack.start()
    until(lambda: alive(children) == [], 10, lambda: str(alive(children)))
    own = {process.pid for process in psutil.Process(stack.process.pid).children(recursive=True)}
    until(lambda: {process.pid for process in marked(stack)} <= own, 15)


def marked(stack: Stack) -> list[psutil.Process]:
    """Processes that some server of this data directory started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CX_SERVER_OF") == str(stack.data_dir):
                found.append(process)
        except psutil.Error:
            continue
    return alive(found)


@pytest.mark.slow
def test_a_signal_during_the_start_stops_what_was_started(stacks: Callable[..., Stack]) -> None:
    stack = stacks()
    command = [sys.executable, "-m", "cxsurvey.server", "--port", str(stack.port), "--data-dir", str(stack.data_dir)]
    with open(stack.log, "w") as log:
        stack.process = subprocess.Popen(
            [*command, "--no-demo"], cwd=ROOT, env=stack.environment, stdout=log, stderr=subprocess.STDOUT, text=True
        )
    until(lambda: "Bringing the database" in stack.output(), 60)
    services = [psutil.Process(pid) for pid in masters(stack)]
    assert services
    stack.process.terminate()
    assert stack.process.wait(END_S) == 143
    assert alive(services) == []
    assert "Traceback" not in stack.output()
    stack.start()


@pytest.mark.slow
def test_a_process_that_keeps_dying_ends_the_server_with_its_own_status(stacks: Callable[..., Stack]) -> None:
    stack = stacks()
    stack.start()
    services = stack.services()
    assert stack.process is not None
    while stack.process.poll() is None:
        for process in stack.children("--app cxsurvey beat"):
            try:
                process.kill()
            except psutil.Error:
                continue
        try:
            stack.process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    assert stack.process.returncode not in (0, None)
    assert alive(services) == []


# --- Without Redis -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_redis_the_whole_path_works_over_files(stacks: Callable[..., Stack], smtp_sink: SmtpSink) -> None:
    stack = stacks(email_url=smtp_sink.url, CX_REDIS_SERVER="none")
    stack.start()
    assert "No Redis here: tasks travel through files in the data directory, the cache lives in the database." in (
        stack.output()
    )
    assert names_of(stack.services()) == {"postgres"}
    ready = requests.get(f"{stack.url}/readyz")
    assert (ready.status_code, ready.json()["broker"]) == (200, "ok")
    client = Client(stack)
    client.post_events(["C-1"])
    assert answer_form(link_in(smtp_sink.wait_for(1)[0][1]), 9).status_code == 303
    until(lambda: client.metric("nps")["n"] == 1, 20, stack.output)
    assert stack.manage("verify_rollups").strip().endswith("0 differences")
    assert stack.stop() < END_S


# --- A worker that is run by hand ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_another_worker_can_be_added_and_ends_when_it_is_told(running: Stack, number: signal.Signals) -> None:
    """Only the worker itself is told, not its pool."""
    worker_of = ["-m", "celery", "--app", "cxsurvey", "worker", "--concurrency", "2", "--loglevel", "INFO"]
    command = [sys.executable, *worker_of, "--hostname", "more@%h"]
    with subprocess.Popen(
        command, cwd=ROOT, env=running.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as worker:
        assert worker.stdout is not None
        while "more@" not in (line := worker.stdout.readline()) or "ready" not in line:
            assert worker.poll() is None
        children = psutil.Process(worker.pid).children()
        assert len(children) == 2
        worker.send_signal(number)
        worker.communicate(timeout=15)
    assert alive(children) == []
