"""Fixtures for the embedded services: a place of their own, and an owner, root or an ordinary user."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from cxsurvey.embedded import ROOT_HOME

ROOT = Path(__file__).resolve().parent.parent.parent

# What Services imports late is imported here first: an ordinary user may not be able to read root's Python.
AS_OWNER = """
import importlib.util, os, sys
sys.path.insert(0, {root!r})
import psycopg2, redis, redis.backoff, redis.retry
redis.Redis(unix_socket_path="/nowhere", retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))
from pathlib import Path
from cxsurvey.embedded import Services, ServicesError
if {uid}:
    os.setgroups([])
    os.setgid({gid})
    os.setuid({uid})
services = Services(Path({data_dir!r}))
"""


def modes_of(paths: Iterable[Path]) -> dict[str, tuple[int, int, int]]:
    """Mode, user and group of each."""
    return {str(path): ((found := path.stat()).st_mode, found.st_uid, found.st_gid) for path in paths}


class Home:
    """A data directory below directories of several modes, and whoever starts services on it."""

    modes_before: dict[str, tuple[int, int, int]]  # of what lies above it, before the first start

    def __init__(self, owner: pwd.struct_passwd | None, name: str = "data") -> None:
        self.owner = owner
        # Not below pytest's own directory, which is root's alone.
        self.base = Path(tempfile.mkdtemp(prefix="cx-embedded-"))
        modes = {"closed": 0o700, "shared": 0o711, "group": 0o2750}
        parent = self.base
        for part, mode in modes.items():
            parent = parent / part
            parent.mkdir()
            parent.chmod(mode)
        self.data_dir = parent / name
        if owner is not None:
            for path in (self.base, *self.base.rglob("*")):
                os.chown(path, owner.pw_uid, owner.pw_gid)
            parent.chmod(modes["group"])  # giving it away took the set-group-id bit

    def run(self, code: str, check: bool = True, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run code that has `services`, as the owner, in a process that ends before the services do."""
        uid, gid = (self.owner.pw_uid, self.owner.pw_gid) if self.owner else (0, 0)
        preamble = AS_OWNER.format(root=str(ROOT), uid=uid, gid=gid, data_dir=str(self.data_dir))
        dropped = ("DATABASE_URL", "REDIS_URL", "CX_DATA_DIR", "CX_TEST_DATA_DIR")
        inherited = {key: value for key, value in os.environ.items() if key not in dropped}
        done = subprocess.run(
            [sys.executable, "-c", preamble + code],
            env=inherited | environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, **environment: str) -> str:
        return self.run("services.start()", **environment).stdout

    def sql(self, statement: str) -> str:
        """The first column of the first row, as text; libpq reads the address that `start` left."""
        code = f"""
import json
address = json.loads(services.info_path.read_text())["database_url"]
with psycopg2.connect(address) as connection, connection.cursor() as cursor:
    cursor.execute({statement!r})
    print(cursor.fetchone()[0] if cursor.description else "")
"""
        return self.run(code).stdout.strip()

    def cluster_home(self) -> Path:
        return Path(self.run("print(services.home)").stdout.strip())

    def processes(self) -> list[psutil.Process]:
        """Every PostgreSQL and Redis process of this data directory."""
        marks = [str(self.base)]
        if (self.data_dir / "cluster-id").exists():
            marks.append((self.data_dir / "cluster-id").read_text().strip())
        if (self.data_dir / "socket-id").exists():
            marks.append((self.data_dir / "socket-id").read_text().strip())
        found = []
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if process.pid != os.getpid() and any(mark in line for mark in marks):
                found += [process, *process.children(recursive=True)]
        return list(dict.fromkeys(found))

    def kill(self) -> None:
        """`kill -9` of both services and all their children."""
        victims = self.processes()
        for victim in victims:
            try:
                victim.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(victims, timeout=10)

    def remove(self) -> None:
        self.kill()
        if (self.data_dir / "cluster-id").exists():
            shutil.rmtree(ROOT_HOME / (self.data_dir / "cluster-id").read_text().strip(), ignore_errors=True)
        if (self.data_dir / "socket-id").exists():
            socket_id = (self.data_dir / "socket-id").read_text().strip()
            for directory in Path(tempfile.gettempdir()).glob(f"cxsurvey-*-{socket_id}"):
                shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(self.base, ignore_errors=True)


def owner_called(who: str) -> pwd.struct_passwd | None:
    """The account for "myself" or "nobody"; skips where there is no other user to be."""
    if who == "myself":
        return None
    if os.geteuid() != 0:
        pytest.skip("only root can start services as another user")
    return pwd.getpwnam("nobody")


@pytest.fixture(scope="module", params=["myself", "nobody"])
def home(request: pytest.FixtureRequest) -> Iterator[Home]:
    """A fresh place for whoever runs the tests, and, where that is root, for an ordinary user."""
    made = Home(owner_called(request.param))
    made.modes_before = modes_of(made.data_dir.parents)
    made.start()
    made.sql("CREATE TABLE kept (n int)")
    yield made
    made.remove()


@pytest.fixture
def homes() -> Iterator[list[Home]]:
    """Append what is made; it is taken away."""
    made: list[Home] = []
    yield made
    for one in made:
        one.remove()
