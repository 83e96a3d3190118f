"""docs/apps.md is true: its client runs as printed, and what it says of a WebView is what the page does."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from surveys.models.instruments import Kind
from tests.printed import ROOT, blocks, indented
from tests.stack import Stack, free_port

PAGE = "docs/apps.md"
DEMO = ROOT / "surveys/demo/programme.yaml"

pytestmark = pytest.mark.xdist_group("apps")  # one stack for all, hence one worker


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A server with the demo's configuration and none of its history."""
    with Stack(tmp_path_factory.mktemp("apps") / "data") as stack:
        stack.start()
        stack.manage("import_programme", str(DEMO))
        yield stack


class App:
    """The printed client on a device of its own: what it holds outlives a run."""

    def __init__(self, server: Stack, folder: Path) -> None:
        self.server, self.held = server, folder / "held"
        self.script = folder / "survey.py"
        self.script.write_text("\n\n".join(blocks(PAGE, "python")))
        self.key = server.api_key("responses:write")

    def run(self, *typed: str, url: str = "", key: str = "") -> list[str]:
        """The lines that it prints."""
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "CX_URL": url or self.server.url, "CX_KEY": key or self.key, "CX_HELD": str(self.held), "NO_PROXY": "*",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-I", "-X", "utf8", str(self.script), *typed],
            env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def waiting(self) -> list[Path]:
        return sorted((self.held / "outbox").iterdir())

    def recorded(self) -> list[dict[str, Any]]:
        """Every answer that the server has of this touchpoint, the newest first."""
        asked = {"Authorization": f"Bearer {self.server.api_key('responses:read')}"}
        query = {"touchpoint": "app-order"}
        found = requests.get(f"{self.server.url}/api/v1/responses/", query, headers=asked, timeout=10)
        results: list[dict[str, Any]] = found.json()["results"]
        return results


@pytest.fixture
def app(server: Stack, tmp_path: Path) -> App:
    return App(server, tmp_path)


def printed_session(beginning: str) -> tuple[list[str], list[str]]:
    """What the page says is typed after the script's name, and the lines that answer it."""
    command, *answer = indented(PAGE, f"$ python survey.py {beginning}").splitlines()
    return shlex.split(command)[3:], answer


def test_the_client_asks_and_answers_as_printed(app):
    before = len(app.recorded())
    typed, answer = printed_session("5 ")
    assert app.run(*typed) == answer
    newest, *others = app.recorded()
    assert len(others) == before
    assert newest["answers"] == {"score": 5, "reason": ["speed", "ease"], "comment": "Two taps, and the tea was ready."}
    assert (newest["mode"], newest["language"], newest["customer"]) == ("app", "en", "C-42")


def test_a_fault_comes_back_with_its_pointer_and_is_not_sent_for_ever(app):
    before = len(app.recorded())
    typed, answer = printed_session("6")
    assert app.run(*typed)[-3:] == answer[1:]
    assert app.waiting() == []
    assert len(app.recorded()) == before


def test_offline_it_asks_what_was_asked_last_and_sends_later_under_the_same_id(app):
    before = len(app.recorded())
    app.run("4")
    nobody = f"http://127.0.0.1:{free_port()}"
    lines = app.run("3", "", "In a tunnel", url=nobody)
    assert lines[0].startswith("How satisfied were you?")
    assert lines[-2:] == ["no connection", "waiting: 1"]
    assert app.run(url=nobody) == ["no connection", "waiting: 1"]  # the app starts again, still without a connection
    kept = json.loads(app.waiting()[0].read_text())
    assert app.run(key="wrong.key") == ["later: 401", "waiting: 1"]
    assert app.run() == ["done: 201", "waiting: 0"]
    newest, *others = app.recorded()
    assert len(others) == before + 1
    assert (newest["id"], newest["answers"]) == (kept["id"], {"score": 3, "comment": "In a tunnel"})
    assert datetime.fromisoformat(newest["responded_at"]) == datetime.fromisoformat(kept["responded_at"])


def test_an_answer_whose_reply_was_lost_is_counted_once(app):
    app.run("2")  # what is asked is known from now on
    before = len(app.recorded())
    app.run("1", url=f"http://127.0.0.1:{free_port()}")
    (waiting,) = app.waiting()
    again = app.held / "again"
    shutil.copy(waiting, again)
    assert app.run() == ["done: 201", "waiting: 0"]
    shutil.copy(again, waiting)  # as if its 201 had never arrived
    assert app.run() == ["done: 200", "waiting: 0"]
    other = json.loads(again.read_text()) | {"answers": {"score": 5}}
    waiting.write_text(json.dumps(other))
    assert app.run() == ["done: 409", "/id is taken.", "waiting: 0"]
    assert len(app.recorded()) == before + 1
    assert app.recorded()[0]["answers"] == {"score": 1}


def test_every_kind_of_question_stands_in_the_table():
    table = (ROOT / PAGE).read_text().split("| `kind` |")[1].split("\n\n")[0]
    assert [kind for kind in Kind.values if f"`{kind}`" not in table] == []
