"""A pytest plugin, loaded before Django's settings: real services for every run, thrown away at its end.

With pytest-xdist the controller starts them and the workers inherit the addresses; each worker has a database of its own.
DATABASE_URL or REDIS_URL in the environment name other ones.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from cxsurvey.embedded import Services
from cxsurvey.translations import compile_stale

ROOT = Path(__file__).resolve().parent.parent
_owned: Services | None = None


def start() -> None:
    """At import: later is too late, since pytest-django reads the settings before any conftest is loaded."""
    global _owned
    for name in ("EMAIL_URL", "SMS_URL", "SMS_PRICE", "BASE_URL", "ALLOWED_HOSTS", "SECRET_KEY", "CX_TIME_ZONE"):
        os.environ.pop(name, None)  # the developer's own settings must not colour a test
    if "CX_TEST_DATA_DIR" in os.environ:
        return
    compile_stale(ROOT / "locale")
    os.environ["CX_DATA_DIR"] = os.environ["CX_TEST_DATA_DIR"] = tempfile.mkdtemp(prefix="cx-test-")
    _owned = Services(Path(os.environ["CX_DATA_DIR"]))
    _owned.start(fsync=False)


start()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    global _owned
    if _owned is None:
        return
    services, _owned = _owned, None
    home = services.home
    services.stop()
    shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(services.data_dir, ignore_errors=True)
