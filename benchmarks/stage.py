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

import psutil

from cxsurvey.embedded import Services

ROOT = Path(__file__).resolve().parent.parent


class Stage:
    """A migrated, empty database; `serve()` starts gunicorn as script/server does, and `peak_mb` is its largest size."""

    def __init__(self) -> None:
        self.data_dir = Path(tempfile.mkdtemp(prefix="cx-bench-"))
        self.services = Services(self.data_dir)
        self.web: list[subprocess.Popen[bytes]] = []
        self.peak_mb = 0.0

    def __enter__(self) -> "Stage":
        for name in ("DATABASE_URL", "REDIS_URL", "EMAIL_URL", "BASE_URL"):
            os.environ.pop(name, None)
        os.environ["CX_DATA_DIR"] = str(self.data_dir)
        os.environ["DJANGO_SETTINGS_MODULE"] = "cxsurvey.settings"
        os.environ["SECRET_KEY"] = "benchmarks-only-0123456789-abcdefghijklmnopqrstuvwxyz"
        info = self.services.start()
        self._connect(info["database_url"])
        return self

    def _connect(self, url: str) -> None:
        """The first stage sets Django up; later ones point its connection to their own database."""
        import django
        import environ
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

        for process in self.web:
            process.terminate()
        for process in self.web:
            process.wait(20)
        connections.close_all()
        home = self.services.home
        self.services.stop()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def serve(self, urls: str = "cxsurvey.urls") -> int:
        """Start gunicorn on a free port, with the worker counts of script/server; returns the port."""
        from cxsurvey.server import WEB_THREADS, WEB_WORKERS

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "benchmarks.wsgi", "--bind", f"127.0.0.1:{port}"]
        command += ["--workers", str(WEB_WORKERS), "--threads", str(WEB_THREADS), "--worker-class", "gthread"]
        command += ["--log-level", "warning", "--no-control-socket"]
        self.web.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | {"CX_BENCH_URLS": urls}))
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
        command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, check=True)

    def note_memory(self) -> None:
        """Remember the largest resident size of any web process so far."""
        for process in self.web:
            parent = psutil.Process(process.pid)
            for one in [parent, *parent.children(recursive=True)]:
                self.peak_mb = max(self.peak_mb, one.memory_info().rss / 2**20)
