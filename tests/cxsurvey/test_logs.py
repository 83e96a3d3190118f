import logging

import pytest
from django.db import OperationalError
from kombu.exceptions import OperationalError as BrokerError

from cxsurvey import logs


@pytest.fixture
def said(monkeypatch):
    """Lines that pass, and a clock that is set by hand."""

    class Lines(logging.Handler):
        lines: list[str] = []
        now = 1000.0

        def emit(self, record):
            self.lines.append(self.format(record))

    handler = Lines()
    handler.lines = []
    handler.addFilter(logs.QuietOutages())
    logger = logging.getLogger("tests.outages")
    logger.addHandler(handler)
    monkeypatch.setattr(logs.time, "monotonic", lambda: handler.now)
    yield handler
    logger.removeHandler(handler)


def fail(error, cause=None):
    try:
        raise error from cause
    except Exception:
        logging.getLogger("tests.outages").exception("it failed")


def test_an_outage_is_one_line_and_is_said_again_after_a_while(said):
    for _tick in range(5):
        fail(OperationalError("could not connect\nIs the server running?"))
    assert said.lines == ["OperationalError: could not connect Is the server running?"]
    said.now += logs.EVERY_S
    fail(OperationalError("still away"))
    assert said.lines[1:] == ["OperationalError: still away"]


def test_an_outage_behind_another_exception_is_one_too(said):
    fail(RuntimeError("couldn't apply scheduled task"), BrokerError("connection refused"))
    assert said.lines == ["OperationalError: connection refused"]


def test_each_kind_of_outage_is_said(said):
    fail(OperationalError("database"))
    fail(BrokerError("broker"))
    assert said.lines == ["OperationalError: database", "OperationalError: broker"]


def test_any_other_failure_keeps_its_message_and_its_traceback(said):
    for _time in range(2):
        fail(ValueError("a bug"))
    assert len(said.lines) == 2
    assert said.lines[0].startswith("it failed\nTraceback")
    logging.getLogger("tests.outages").warning("plain")
    assert said.lines[2] == "plain"
