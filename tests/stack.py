"""The whole product as processes of its own: `script/server`'s Python part on a fresh data directory."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg2
import requests

from cxsurvey.embedded import ROOT_HOME

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


class Stack:
    """A running server with its own PostgreSQL, Redis, web, worker and beat."""

    def __init__(self, data_dir: Path, email_url: str = "", demo: bool = False, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.demo = demo
        dropped = ("DATABASE_URL", "REDIS_URL", "BASE_URL", "CX_TEST_DATA_DIR", "CX_DATA_DIR")
        self.environment = {name: value for name, value in os.environ.items() if name not in dropped}
        self.environment |= {"CX_DATA_DIR": str(data_dir), "BASE_URL": self.url, "PYTHONUNBUFFERED": "1", **environment}
        if email_url:
            self.environment["EMAIL_URL"] = email_url
        self.process: subprocess.Popen[str] | None = None
        self.log = data_dir.with_suffix(".log")

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_error: object) -> None:
        """However it ended, nothing of it is left behind."""
        self.stop()
        self.remove()

    def start(self, timeout: float = 120) -> None:
        """Returns when /readyz says so: database, broker and a worker answer."""
        command = [sys.executable, "-m", "cxsurvey.server", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        command.append("--demo" if self.demo else "--no-demo")
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT, text=True
            )
        until(self.is_ready, timeout, lambda: f"not ready:\n{self.output()}")

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.output()
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def manage(self, *arguments: str, check: bool = True) -> str:
        """Output of `manage.py …` on this server's services."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def shell(self, code: str) -> str:
        """What a piece of Python prints inside Django."""
        return self.manage("shell", "-v", "0", "-c", code).strip()

    @contextlib.contextmanager
    def database(self) -> "Iterator[Any]":
        """A cursor on its PostgreSQL, outside Django; what it locked is free again at the end."""
        address = json.loads((self.data_dir / "services.json").read_text())["database_url"]
        connection = psycopg2.connect(address)
        try:
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        finally:
            connection.close()

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a statement, which is committed; [] where it gives none."""
        with self.database() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []

    def api_key(self, *scopes: str) -> str:
        named = [part for scope in scopes for part in ("--scope", scope)]
        return self.manage("create_api_key", "test", *named).strip().splitlines()[-1]

    def children(self, word: str) -> list[psutil.Process]:
        """Processes below the server whose command line has `word`, such as "worker" or "gunicorn"."""
        assert self.process is not None
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in found if word in " ".join(_command_line(child))]

    def password(self) -> str:
        return (self.data_dir / "admin-password").read_text().strip()

    def stop(self) -> float:
        """SIGTERM; returns the seconds that it took. Kills what is left after 20 s."""
        if self.process is None or self.process.poll() is not None:
            return 0.0
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - started

    def kill(self) -> None:
        """`kill -9` of everything of ours, its PostgreSQL and Redis included."""
        assert self.process is not None
        victims = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
        victims += self.services()
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        psutil.wait_procs(victims, timeout=10)

    def remove(self) -> None:
        """Take the stopped server's data away, root's cluster included; pytest keeps the rest of its directory."""
        cluster_id = self.data_dir / "cluster-id"
        if cluster_id.exists():
            shutil.rmtree(ROOT_HOME / cluster_id.read_text().strip(), ignore_errors=True)
        if (self.data_dir / "socket-id").exists():
            for directory in Path(tempfile.gettempdir()).glob(
                f"cxsurvey-*-{(self.data_dir / 'socket-id').read_text()}"
            ):
                shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def services(self) -> list[psutil.Process]:
        """Its PostgreSQL and Redis, which are nobody's children, with the processes below them."""
        marks = self.service_marks()
        found: dict[psutil.Process, None] = {}
        for process in psutil.process_iter(["name", "cmdline"]):
            named = process.info["name"] in ("postgres", "redis-server")
            if named and any(mark in " ".join(process.info["cmdline"] or []) for mark in marks):
                with contextlib.suppress(psutil.Error):
                    found |= dict.fromkeys([process, *process.children(recursive=True)])
        return list(found)

    def service_marks(self) -> list[str]:
        """What the command lines of this server's PostgreSQL and Redis contain."""
        ids = [self.data_dir / name for name in ("cluster-id", "socket-id")]
        return [str(self.data_dir)] + [path.read_text().strip() for path in ids if path.exists()]


def names_of(processes: list[psutil.Process]) -> set[str]:
    """Of those that still run: PostgreSQL ends some of its own at any time."""
    found = set()
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(one.name())
    return found


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def until(ask: Callable[[], T], timeout: float, why: Callable[[], str] = lambda: "") -> T:
    """What `ask` returns as soon as it is true; AssertionError after `timeout` seconds. Asks, never sleeps long."""
    deadline = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, why() or f"nothing after {timeout} s"
        time.sleep(0.1)
