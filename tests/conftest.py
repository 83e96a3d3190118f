"""Fixtures for what stands outside: a mail server, a whole running stack, a browser."""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from django.core.signals import request_finished, request_started
from django.test import TransactionTestCase

from tests.mail_api import MailApi
from tests.sms_server import SmsServer
from tests.smtp_sink import SmtpSink
from tests.stack import Stack

# How long one example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("cxsurvey", deadline=None)
hypothesis.settings.load_profile("cxsurvey")


class _LiveRequests:
    """Requests that live servers are answering. A page that is closed may still have one; emptying the tables under it is a deadlock."""

    def __init__(self) -> None:
        self.count = 0
        self.changed = threading.Condition()
        request_started.connect(lambda **_: self._add(1), weak=False)
        request_finished.connect(lambda **_: self._add(-1), weak=False)

    def _add(self, number: int) -> None:
        if threading.current_thread() is not threading.main_thread():  # the test client's are over when it returns
            with self.changed:
                self.count = max(0, self.count + number)
                self.changed.notify_all()

    def wait(self, seconds: float = 10) -> None:
        with self.changed:
            if not self.changed.wait_for(lambda: self.count == 0, seconds):
                self.count = 0  # one that was never closed holds up one test, not all that follow


_live_requests = _LiveRequests()
_empty_tables = TransactionTestCase._fixture_teardown


def _empty_tables_when_all_is_answered(case: TransactionTestCase) -> None:
    _live_requests.wait()
    _empty_tables(case)


TransactionTestCase._fixture_teardown = _empty_tables_when_all_is_answered

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(autouse=True)
def _plain_static_files(settings, request: pytest.FixtureRequest) -> None:
    """No collectstatic in tests: names without hashes."""
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _quiet_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bell remembers what it rang; each test starts with a fresh one."""
    from surveys import bell

    bell._last_rung.clear()
    monkeypatch.setattr(bell, "_silent_until", 0.0)


@pytest.fixture
def smtp_sink() -> Iterator[SmtpSink]:
    """A real SMTP server that keeps what it gets and can be told to refuse."""
    with SmtpSink() as sink:
        yield sink


@pytest.fixture
def sms_server() -> Iterator[SmsServer]:
    """A real HTTP server that takes texts as Twilio does, and can be told to answer otherwise."""
    server = SmsServer()
    server.as_twilio()
    yield server
    server.stop()


@pytest.fixture
def mail_api(settings) -> Iterator[MailApi]:
    """A real HTTP server that speaks for a provider of email, and can be told to answer otherwise: `mail_api.use("mailgun")`."""
    api = MailApi(settings)
    yield api
    api.stop()


@pytest.fixture
def stack(smtp_sink: SmtpSink, tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Starts web, worker and beat as processes on a fresh database: `running = stack(demo=False)`."""
    started: list[Stack] = []

    def start(**options: object) -> Stack:
        running = Stack(tmp_path / f"stack{len(started)}", email_url=smtp_sink.url, **options)  # type: ignore[arg-type]
        started.append(running)
        running.start()
        return running

    yield start
    for running in started:
        running.stop()
        running.remove()


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def sms(settings, sms_server: SmsServer, smtp_sink: SmtpSink) -> SmsServer:
    """Texts go to a provider's own API, letters to a mail server; both keep what came."""
    settings.SMS_URL = f"twilio://AC1:tok@+15551234567?api={sms_server.url}"
    settings.BASE_URL = "https://cx.example.org"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    sms_server.mails = smtp_sink.messages
    return sms_server


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """One headless Chromium for all browser tests; skips, saying so, where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright's loop lives in this thread
    with playwright.sync_playwright() as driver:
        path = _chromium()
        try:
            running = driver.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        except playwright.Error as error:
            pytest.skip(f"no Chromium to test with: {str(error).splitlines()[0]}")
        yield running
        running.close()


@pytest.fixture
def page(browser, request: pytest.FixtureRequest) -> Iterator[object]:
    """A page of 390 x 844 in a context of its own; a failed test leaves a screenshot in test-artifacts/."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="en")
    opened = context.new_page()
    yield opened
    if getattr(request.node, "failed", False):
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", request.node.nodeid)
        (ROOT / "test-artifacts").mkdir(exist_ok=True)
        opened.screenshot(path=str(ROOT / "test-artifacts" / f"{name}.png"), full_page=True)
    context.set_offline(True)  # a page that is closed sends what it holds
    context.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    if report.failed:
        item.failed = True  # type: ignore[attr-defined]
    return report
