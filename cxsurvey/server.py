"""`script/server`: services, migrations, the first administrator, the demo; then web, worker and beat until Ctrl-C or SIGTERM."""

import argparse
import errno
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from cxsurvey.embedded import Services, ServicesError
from cxsurvey.processes import end_leftovers, keep_running

ROOT = Path(__file__).resolve().parent.parent
WEB_WORKERS, WEB_THREADS = 2, 4


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/server", description="Run cxsurvey: web, worker and beat.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=port_number, default=8000)
    parser.add_argument("--data-dir", type=Path, default=None, help="default: CX_DATA_DIR or var/")
    parser.add_argument(
        "--demo", action=argparse.BooleanOptionalAction, help="default: on the embedded database only, once"
    )
    return parser.parse_args(arguments)


def say(line: str) -> None:
    print(line, flush=True)


def set_environment(options: argparse.Namespace) -> Path:
    """What the command line says, for the settings of every process. Returns the data directory."""
    data_dir = Path(options.data_dir or os.environ.get("CX_DATA_DIR") or ROOT / "var").resolve()
    shown_host = "127.0.0.1" if options.host in ("0.0.0.0", "::", "") else options.host
    os.environ["CX_DATA_DIR"] = str(data_dir)
    os.environ.setdefault("BASE_URL", f"http://{shown_host}:{options.port}")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cxsurvey.settings")
    if "ALLOWED_HOSTS" not in os.environ and options.host not in ("127.0.0.1", "localhost"):
        names = ["localhost", "127.0.0.1", "[::1]", options.host]
        os.environ["ALLOWED_HOSTS"] = "*" if options.host in ("0.0.0.0", "::") else ",".join(names)
    return data_dir


def prepare_database(data_dir: Path, *, with_demo: bool) -> tuple[str, str]:
    """Migrations, static files, the first administrator, the demo once. Returns the administrator's name and password."""
    import django
    from django.core.management import call_command

    django.setup()
    refuse_carriers()
    from django.conf import settings
    from django.contrib.auth import get_user_model

    from cxsurvey.translations import compile_stale

    compile_stale(ROOT / "locale")
    say("Bringing the database up to date …")
    call_command("migrate", verbosity=0, interactive=False)
    if not settings.REDIS_URL:
        call_command("createcachetable", verbosity=0)
        say("No Redis here: tasks travel through files in the data directory, the cache lives in the database.")
    call_command("collectstatic", verbosity=0, interactive=False)

    users = get_user_model().objects
    name = os.environ.get("CX_ADMIN_USERNAME", "admin")
    note = data_dir / "admin-password"
    password = os.environ.get("CX_ADMIN_PASSWORD", "")
    known = users.filter(is_superuser=True, username=name).first() or users.filter(is_superuser=True).first()
    if known is None:
        password = password or secrets.token_urlsafe(12)
        users.create_superuser(username=name, email="", password=password)
        with open(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(password)
    else:
        name = known.get_username()
        written = note.read_text().strip() if note.exists() else password
        password = written if known.check_password(written) else ""  # changed since: then it is nobody's but theirs
    if with_demo:
        load_demo_once(data_dir / "demo-loaded")
    return name, password or "(as set before)"


def refuse_carriers() -> None:
    """ServicesError where EMAIL_URL, SMS_URL or a rate cannot be used; what is only worth knowing is said."""
    from django.core.checks import run_checks

    found = run_checks(tags=["carriers"])
    for message in found:
        if not message.is_serious():
            say(f"{message.msg} {message.hint or ''}".strip())
    if wrong := [message.msg for message in found if message.is_serious()]:
        raise ServicesError("\n".join(wrong))


def load_demo_once(note: Path) -> None:
    """The demo, where it has not been loaded before: whoever took it away does not get it back. A database in use is left alone."""
    from django.core.management import CommandError, call_command

    if note.exists():
        return
    say("Loading the demo organisation, which takes about half a minute, once (--no-demo leaves it out) …")
    try:
        call_command("load_demo")
    except CommandError as refused:
        say(f"No demo was loaded. {refused}")
    else:
        note.touch()


def commands(host: str, port: int, data_dir: Path) -> dict[str, str]:
    """Web, worker and beat as shell commands."""
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    python = shlex.quote(sys.executable)
    celery = f"{python} -m celery --quiet --app cxsurvey"
    schedule = shlex.quote(str(data_dir / "beat-schedule"))
    counted = data_dir / "prometheus"  # where web processes add up what they count; it begins anew with each start
    shutil.rmtree(counted, ignore_errors=True)
    counted.mkdir()
    return {
        "web": f"env PROMETHEUS_MULTIPROC_DIR={shlex.quote(str(counted))} {python} -m gunicorn cxsurvey.wsgi"
        f" --bind {shlex.quote(bind)} --workers {WEB_WORKERS} --threads {WEB_THREADS} --worker-class gthread"
        " --graceful-timeout 4 --log-level warning --no-control-socket",
        "worker": f"{celery} worker --concurrency 2 --loglevel WARNING"
        f" --without-gossip --without-mingle --hostname cx{port}@%h",
        # No pid file: the server's lock already says that no other beat of ours runs here, and two do no harm.
        "beat": f"{celery} beat --loglevel WARNING --schedule {schedule} --pidfile=",
    }


def port_number(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is no port; they go from 1 to 65535")


def refuse_address(host: str, port: int) -> None:
    """ServicesError where nobody could listen there."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ServicesError(f"Port {port} of {host} is taken. Choose another --port.") from None
            raise ServicesError(f"Nobody can listen on port {port} of {host}: {error.strerror or error}.") from None


def main(arguments: list[str]) -> int:
    options = parse_arguments(arguments)
    data_dir = set_environment(options)
    services = Services(data_dir)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # until the runner takes over, stop by unwinding
    started = time.monotonic()
    try:
        services.lock_server()
        left = end_leftovers(data_dir)
        if left:
            say(f"Ended {left} processes of a server that was killed.")
        refuse_address(options.host, options.port)
    except ServicesError as error:
        print(error, file=sys.stderr)
        return 1
    embedded = not os.environ.get("DATABASE_URL")
    with_demo = embedded if options.demo is None else options.demo
    try:
        say("Starting PostgreSQL and Redis …" if embedded else "Starting …")
        services.start(base_url=os.environ["BASE_URL"])
        name, password = prepare_database(data_dir, with_demo=with_demo)
        url = os.environ["BASE_URL"]
        say(f"\ncxsurvey is starting ({time.monotonic() - started:.0f} s) on {url}/")
        say(f"  Staff pages   {url}/admin/")
        say(f"  API           {url}/api/v1/docs/")
        say(f"  Administrator {name}   Password {password}\n")
        if os.geteuid() == 0:
            say("Running as root, as in a container; elsewhere an ordinary user will do.\n")
        return keep_running(commands(options.host, options.port, data_dir), data_dir, ROOT)
    except ServicesError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.TimeoutExpired as error:
        print(f"A service did not answer in time: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        services.stop()
        say("Stopped.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
