"""Services and web processes of a benchmark's own: thrown away at its end, and never one of the user's."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType

import environ
import psutil
import psycopg2
import redis

from cxsurvey.embedded import Services

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "migrated"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stage:
    """A migrated, empty database; `serve()` starts gunicorn as script/server does, and `peak_mb` is its largest size.

    `clear()` makes it as it was, for the next benchmark: what one leaves behind does not colour another.
    """

    def __init__(self) -> None:
        self.data_dir = Path(tempfile.mkdtemp(prefix="cx-bench-"))
        self.static, self.collected = self.data_dir / "static", self.data_dir / "collected"
        self.services = Services(self.data_dir)
        self.web: list[subprocess.Popen[bytes]] = []
        self.peak_mb = 0.0

    def __enter__(self) -> "Stage":
        for name in ("DATABASE_URL", "REDIS_URL", "EMAIL_URL", "BASE_URL"):
            os.environ.pop(name, None)
        os.environ["CX_DATA_DIR"] = str(self.data_dir)
        self.static.mkdir()  # without one, web servers warn; most benchmarks need no file in it
        os.environ["DJANGO_SETTINGS_MODULE"] = "cxsurvey.settings"
        os.environ["SECRET_KEY"] = "benchmarks-only-0123456789-abcdefghijklmnopqrstuvwxyz"
        self.info = self.services.start()
        self._connect(self.info["database_url"])
        self._recreate(TEMPLATE, "cxsurvey")
        return self

    def clear(self) -> None:
        self.end_web()
        self.peak_mb = 0.0
        self._recreate("cxsurvey", TEMPLATE)
        if "redis_url" in self.info:
            redis.Redis.from_url(self.info["redis_url"]).flushall()
        if any(self.static.iterdir()):
            self.static.rename(self.collected)
            self.static.mkdir()

    def put_aside(self, name: str) -> None:
        """What is in the database stands under another name from now on, for `serve()`; the stage's own is empty again."""
        self._recreate(name, "cxsurvey")
        self._recreate("cxsurvey", TEMPLATE)

    def _recreate(self, name: str, like: str) -> None:
        """A database like another; nobody may be connected to either."""
        from django.db import connections

        connections.close_all()
        place = environ.Env.db_url_config(self.info["database_url"])
        server = psycopg2.connect(
            host=str(self.services.run_dir), user=place["USER"], password=place["PASSWORD"], dbname="postgres"
        )
        server.autocommit = True
        with server.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
            cursor.execute("CHECKPOINT")
        server.close()

    def _connect(self, url: str) -> None:
        """The first stage sets Django up; later ones point its connection to their own database."""
        import django
        from django.core.management import call_command
        from django.db import connections

        django.setup()
        place = environ.Env.db_url_config(url)
        settings = connections["default"].settings_dict
        connections.close_all()
        settings.update(HOST=str(self.services.run_dir), PASSWORD=place["PASSWORD"])
        call_command("migrate", verbosity=0, interactive=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from django.db import connections

        self.end_web()
        connections.close_all()
        home = self.services.home
        self.services.stop()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def end_web(self) -> None:
        """End what `serve` started, and whatever else stands in `web`."""
        for process in self.web:
            process.terminate()
        for process in self.web:
            process.wait(20)
        self.web.clear()

    def serve(self, urls: str = "cxsurvey.urls", database: str = "cxsurvey") -> int:
        """Start gunicorn on a free port, with the worker counts of script/server; returns the port."""
        from cxsurvey.server import WEB_THREADS, WEB_WORKERS

        port = free_port()
        command = [sys.executable, "-m", "gunicorn", "benchmarks.wsgi", "--bind", f"127.0.0.1:{port}"]
        command += ["--workers", str(WEB_WORKERS), "--threads", str(WEB_THREADS), "--worker-class", "gthread"]
        command += ["--log-level", "warning", "--no-control-socket"]
        own = {"CX_BENCH_URLS": urls, "DATABASE_URL": f"{self.info['database_url'].rpartition('/')[0]}/{database}"}
        self.web.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | own))
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2)
                return port
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def collect_static(self) -> None:
        """What pages link to, under names that hold their digests: templates ask for these. Before `serve()`."""
        if self.collected.exists():  # from an earlier benchmark
            self.static.rmdir()
            self.collected.rename(self.static)
            return
        command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, check=True)

    def note_memory(self) -> None:
        """Remember the largest resident size of any web process so far."""
        for process in self.web:
            parent = psutil.Process(process.pid)
            for one in [parent, *parent.children(recursive=True)]:
                self.peak_mb = max(self.peak_mb, one.memory_info().rss / 2**20)
