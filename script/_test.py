"""The checks of `script/test`, one after another; every one runs, so that one call tells everything."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
SOURCES = ["cxsurvey", "surveys", "metrics", "benchmarks"]
OLDEST = "15"  # of the PostgreSQLs that are supported
OLDEST_PLACES = [
    f"/usr/lib/postgresql/{OLDEST}/bin",
    f"/usr/pgsql-{OLDEST}/bin",
]  # Debian's, and PGDG's for the Red Hats
ON_OLDEST = ["tests/test_journey.py", "tests/metrics/test_rollup.py", "tests/metrics/test_flow_to_cells.py"]


def run(title: str, *command: str, **environment: str) -> bool:
    print(f"— {title}", flush=True)
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment)
    print(f"  {'ok' if done.returncode == 0 else 'FAILED'} ({time.monotonic() - started:.0f} s)", flush=True)
    return done.returncode == 0


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def install_chromium() -> None:
    """Debian's package as root, else Playwright's own download; the suite skips and says so where neither works."""
    if find_chromium():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("— installing Chromium and a Chinese font (Debian's packages)", flush=True)
        quiet = {"stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        packages = ["chromium", "fonts-noto-cjk"]
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], **quiet)
    if not find_chromium():
        print("— installing Chromium (Playwright's download)", flush=True)
        done = subprocess.run([str(BIN / "playwright"), "install", "chromium"], stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            print("  No Chromium could be installed: the browser tests will be skipped.", flush=True)


def find_oldest_postgres() -> str | None:
    places = [os.environ.get("CX_OLDEST_POSTGRES_BIN", ""), *OLDEST_PLACES]
    return next((place for place in places if place and (Path(place) / "initdb").exists()), None)


def test_on_oldest_postgres(python: str) -> bool:
    place = find_oldest_postgres()
    if place is None:
        print(f"— NOT RUN: the journey and the roll-up on PostgreSQL {OLDEST}, the oldest supported; there is none in")
        print(f"  {' or '.join(OLDEST_PLACES)}. CX_OLDEST_POSTGRES_BIN names its bin directory.", flush=True)
        return True
    reported = subprocess.run([f"{place}/postgres", "--version"], capture_output=True, text=True).stdout.strip()
    command = [python, "-m", "pytest", "-rs", *ON_OLDEST]
    return run(f"the journey and the roll-up on {reported}", *command, CX_POSTGRES_BIN=place)


def main(arguments: list[str]) -> int:
    everything = "--all" in arguments
    rest = [argument for argument in arguments if argument != "--all"]
    production = {
        "SECRET_KEY": "a-key-for-the-deployment-check-0123456789-abcdefghijklmnop",
        "BASE_URL": "https://cx.example.org",
        "EMAIL_URL": "smtp://localhost:25",
    }
    install_chromium()
    python = str(BIN / "python")
    with tempfile.TemporaryDirectory(prefix="cx-check-") as scratch:
        services = {"CX_DATA_DIR": scratch}
        results = [
            run("ruff check", str(BIN / "ruff"), "check", "."),
            run("ruff format", str(BIN / "ruff"), "format", "--check", "."),
            run("mypy", str(BIN / "mypy"), *SOURCES),
            run("import contracts", str(BIN / "lint-imports"), "--no-cache"),
            run(
                "migrations match the models", python, "manage.py", "makemigrations", "--check", "--dry-run", **services
            ),
            run(
                "check --deploy",
                python,
                "manage.py",
                "check",
                "--deploy",
                "--fail-level",
                "WARNING",
                **services,
                **production,
            ),
        ]
    workers = ["-n", "2", "--dist", "loadgroup"] if not any(a.startswith(("-n", "-p")) for a in rest) else []
    marks = [] if everything else ["-m", "not slow"]
    # -rs: whoever reads the last lines learns what was not run here, and why.
    results.append(run("pytest", python, "-m", "pytest", "-rs", *workers, *marks, *rest))
    if everything and not rest:
        results.append(test_on_oldest_postgres(python))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
