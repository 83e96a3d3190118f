"""PostgreSQL and Redis out of wheels: as root and as an ordinary user, on any path, after any end."""

import os
import stat
import subprocess
import sys

import psutil
import pytest

from tests.cxsurvey.conftest import ROOT, Home, modes_of, owner_called
from tests.stack import names_of, until

pytestmark = pytest.mark.xdist_group("embedded")
ORDINARY = "nobody" if os.geteuid() == 0 else "myself"  # root's clusters live elsewhere than in the data directory


# --- One place, started once -------------------------------------------------------------------------------------------


def test_the_mode_of_no_directory_above_changes(home: Home) -> None:
    assert modes_of(home.data_dir.parents) == home.modes_before
    assert len(home.modes_before) >= 5
    assert stat.S_IMODE(home.data_dir.stat().st_mode) == 0o700


def test_the_cluster_and_every_file_are_their_owners_alone(home: Home) -> None:
    cluster = home.cluster_home() / "data"
    assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
    assert cluster.stat().st_uid == (home.owner.pw_uid if home.owner else cluster.stat().st_uid)
    assert cluster.stat().st_uid != 0
    files = [path for path in home.data_dir.iterdir() if path.is_file()]
    assert {"services.json", "postgres-password"} <= {path.name for path in files}
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in files if path.stat().st_mode & 0o177} == {}


def test_the_services_listen_on_no_network(home: Home) -> None:
    processes = home.processes()
    assert names_of(processes) >= {"postgres", "redis-server"}
    listening = [c for process in processes for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening == []


def test_the_password_is_asked_for(home: Home) -> None:
    refused = home.run(
        "psycopg2.connect(host=str(services.run_dir), user='cxsurvey', password='wrong', dbname='cxsurvey')",
        check=False,
    )
    assert "password authentication failed" in refused.stderr


def test_a_start_on_running_services_changes_nothing(home: Home) -> None:
    before = {process.pid for process in home.processes()}
    info = (home.data_dir / "services.json").read_text()
    home.start()
    assert (home.data_dir / "services.json").read_text() == info
    assert {process.pid for process in home.processes() if process.name() == "redis-server"} <= before
    assert home.sql("SELECT 1") == "1"


def test_secrets_and_data_outlive_a_stop(home: Home) -> None:
    home.sql("INSERT INTO kept VALUES (42)")
    password = (home.data_dir / "postgres-password").read_text()
    home.run("services.stop(); services.stop()")
    assert home.processes() == []
    assert not (home.data_dir / "services.json").exists()
    home.start()
    assert (home.data_dir / "postgres-password").read_text() == password
    assert home.sql("SELECT count(*) FROM kept WHERE n = 42") == "1"


def test_a_start_recovers_from_a_kill_of_both(home: Home) -> None:
    home.sql("INSERT INTO kept VALUES (1)")
    home.kill()
    assert home.processes() == []
    home.start()
    assert home.sql("SELECT count(*) FROM kept WHERE n = 1") == "1"


@pytest.mark.slow
def test_a_redis_that_does_not_answer_is_stopped_all_the_same(home: Home) -> None:
    redis = next(process for process in home.processes() if process.name() == "redis-server")
    redis.suspend()
    home.run("services.stop()")
    assert home.processes() == []
    home.start()
    assert home.run("print(services.redis_pid() > 0)").stdout == "True\n"


def test_a_pid_file_that_names_another_program_does_not_hinder_a_start(home: Home) -> None:
    home.kill()
    pid_file = home.cluster_home() / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    home.start()
    assert home.sql("SELECT count(*) >= 0 FROM kept") == "True"


def test_a_cluster_of_another_version_is_refused_by_name(home: Home) -> None:
    version = home.cluster_home() / "data" / "PG_VERSION"
    real = version.read_text()
    version.write_text("9\n")
    home.run("services.stop()")
    refused = home.run("services.start()", check=False)
    version.write_text(real)
    assert "was made by PostgreSQL 9" in refused.stderr
    assert "docs/operations.md" in refused.stderr


def test_a_cluster_that_is_gone_is_not_replaced_by_an_empty_one(home: Home) -> None:
    cluster = home.cluster_home() / "data"
    aside = cluster.with_name("aside")
    home.run("services.stop()")
    cluster.rename(aside)
    refused = home.run("services.start()", check=False)
    assert "is gone" in refused.stderr
    aside.rename(cluster)
    home.start()
    assert home.sql("SELECT count(*) >= 0 FROM kept") == "True"


# --- Places of their own -----------------------------------------------------------------------------------------------

ODD_NAMES = {
    "long": "a-rather-long-name-" * 8,
    "space": "my data dir",
    "other letters": "données-数据",
    "signs": "it's 100% *?(sûre) 数据 #1;&|",
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, id=kind, marks=[pytest.mark.slow] * (kind != "signs")) for kind, name in ODD_NAMES.items()],
)
def test_any_path_will_do(homes: list[Home], name: str) -> None:
    place = Home(owner_called(ORDINARY), name)
    homes.append(place)
    place.start()
    assert place.sql("SELECT 1") == "1"
    names = names_of(place.processes())
    assert names >= {"postgres", "redis-server"}
    place.run("assert services.run(); services.stop(); assert not services.run()")
    assert place.processes() == []


def test_a_path_that_a_shell_would_read_otherwise_is_refused(homes: list[Home]) -> None:
    place = Home(owner_called(ORDINARY), "$HOME")
    homes.append(place)
    refused = place.run("services.start()", check=False)
    assert "cannot handle a path" in refused.stderr
    assert place.processes() == []


@pytest.mark.slow
def test_two_places_live_side_by_side(homes: list[Home]) -> None:
    first, second = Home(None), Home(None)
    homes += [first, second]
    first.start()
    second.start()
    first.sql("CREATE TABLE only_here (n int)")
    assert second.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'") == "0"
    first.run("services.stop()")
    assert second.sql("SELECT 1") == "1"


def test_without_redis_there_is_no_address_of_one(homes: list[Home]) -> None:
    place = Home(None)
    homes.append(place)
    place.start(CX_REDIS_SERVER="none")
    assert "redis_url" not in (place.data_dir / "services.json").read_text()
    assert names_of(place.processes()) == {"postgres"}
    place.run("assert services.run()", CX_REDIS_SERVER="none")


def test_a_place_that_cannot_be_used_is_named_with_the_reason(homes: list[Home]) -> None:
    place = Home(None)
    homes.append(place)
    place.data_dir.write_text("a file")
    refused = place.run("services.start()", check=False)
    assert f"The data directory cannot be used: [Errno 20] Not a directory: '{place.data_dir}" in refused.stderr


def test_root_does_not_take_over_the_data_of_an_ordinary_user(homes: list[Home]) -> None:
    place = Home(owner_called("nobody"))
    homes.append(place)
    place.run("services._make_private(services.data_dir); (services.data_dir / 'postgres').mkdir()")
    place.owner = None
    refused = place.run("services.start()", check=False)
    assert "belongs to nobody. Start the server as nobody." in refused.stderr


@pytest.mark.slow
def test_services_that_were_stopped_amid_their_first_start_start_again(homes: list[Home]) -> None:
    """SIGTERM at once, during initdb and during pg_ctl."""
    place = Home(None)
    homes.append(place)
    code = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
    code += "try: services.start()\nfinally: services.stop()\n"
    dropped = ("DATABASE_URL", "REDIS_URL")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    preamble = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\n"
    preamble += f"from cxsurvey.embedded import Services\nservices = Services(Path({str(place.data_dir)!r}))\n"
    for seen in ("postgres-password", "initdb", "cluster-made"):
        starting = subprocess.Popen([sys.executable, "-c", preamble + code], env=environment, stdout=subprocess.DEVNULL)

        def has_come(seen: str = seen) -> bool:
            if seen == "initdb":
                return any(process.name() == "initdb" for process in place.processes())
            return (place.data_dir / seen).exists()

        until(has_come, 30)
        starting.terminate()
        assert starting.wait(30) == 143
        until(lambda: place.processes() == [], 10, lambda: str(place.processes()))
    place.start()
    assert place.sql("SELECT 1") == "1"


# --- manage.py ---------------------------------------------------------------------------------------------------------

MIGRATIONS = ("showmigrations", "axes", "--plan")


def manage(place: Home, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    dropped = ("DATABASE_URL", "REDIS_URL", "CX_TEST_DATA_DIR")
    inherited = {key: value for key, value in os.environ.items() if key not in dropped}
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=inherited | {"CX_DATA_DIR": str(place.data_dir)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_commands_share_services_of_their_own_and_the_last_one_stops_them(homes: list[Home]) -> None:
    place = Home(None)
    homes.append(place)
    running = [manage(place, *MIGRATIONS) for _number in range(3)]
    for one in running:
        out, errors = one.communicate(timeout=120)
        assert (one.returncode, "axes.0001_initial" in out) == (0, True), errors
    assert place.processes() == []
    assert not (place.data_dir / "services.json").exists()


def test_a_command_borrows_what_runs_and_leaves_it(homes: list[Home]) -> None:
    """The server that runs it holds its lock, here this process."""
    from cxsurvey.embedded import Services

    place = Home(None)
    homes.append(place)
    server = Services(place.data_dir)
    server.lock_server()
    place.start()
    before = {process.pid for process in place.processes() if process.name() == "redis-server"}
    out, errors = (one := manage(place, *MIGRATIONS)).communicate(timeout=120)
    assert (one.returncode, "axes.0001_initial" in out) == (0, True), errors
    assert {process.pid for process in place.processes() if process.name() == "redis-server"} == before
    assert place.sql("SELECT 1") == "1"
    os.close(server._server_lock or 0)


@pytest.mark.slow
def test_what_a_killed_command_left_running_is_taken_over_and_stopped(homes: list[Home]) -> None:
    place = Home(None)
    homes.append(place)
    waiting = manage(place, "shell", "-v", "0", "-c", "print(1, flush=True); import signal; signal.pause()")
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "1\n"
    waiting.kill()
    waiting.wait(10)
    assert place.processes() != []
    out, errors = (one := manage(place, *MIGRATIONS)).communicate(timeout=120)
    assert (one.returncode, "axes.0001_initial" in out) == (0, True), errors
    assert place.processes() == []


@pytest.mark.slow
def test_a_terminated_command_stops_its_services(homes: list[Home]) -> None:
    place = Home(None)
    homes.append(place)
    waiting = manage(place, "shell", "-v", "0", "-c", "print(1, flush=True); import signal; signal.pause()")
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "1\n"
    waiting.terminate()
    assert waiting.wait(30) == 143
    assert place.processes() == []


@pytest.mark.parametrize("command", ["help", "check"])
def test_commands_that_need_no_services_start_none(homes: list[Home], command: str) -> None:
    place = Home(None)
    homes.append(place)
    out, errors = (one := manage(place, command)).communicate(timeout=60)
    assert one.returncode == 0, out + errors
    assert not (place.data_dir / "postgres-password").exists()
