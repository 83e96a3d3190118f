"""Keeps web, worker and beat alive under honcho. In: commands. Out: their lines on our output, and an exit status.

Honcho ends everything when one process dies. Here a process that dies is started again; only one that keeps dying ends the
server. Where the server itself is killed, its processes end too; `end_leftovers` finds those that could not.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import psutil
from honcho.manager import Manager
from honcho.printer import Printer
from honcho.process import Process

MARK = "CX_SERVER_OF"  # in the environment of every process of a server: its data directory
DEATHS, WITHIN_S = 5, 60.0  # more often than this is a fault that starting again does not mend
PAUSE_S = 0.5
KILL_WAIT_S = 4.0


class KeptProcess(Process):  # type: ignore[misc]
    """Starts its command again when it ended unasked. Runs in a process of its own, like honcho's."""

    stopping: Any  # a multiprocessing.Event, set by the manager
    server_pid: int

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        self._events = events
        self._orphaned = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # these are the manager's, who then tells us
        threading.Thread(target=self._watch_server, daemon=True).start()
        deaths: deque[float] = deque(maxlen=DEATHS)
        while True:
            code = self._run_once()
            deaths.append(time.monotonic())
            often = len(deaths) == DEATHS and deaths[-1] - deaths[0] < WITHIN_S
            if self.stopping.is_set() or self._orphaned.is_set() or often:
                break
            self._send_message(f"ended ({code}); starting it again\n".encode())
            self.stopping.wait(PAUSE_S)
        self._send_message({"returncode": code}, type="stop")

    def _run_once(self) -> int:
        self._child = self._child_ctor(self.cmd, env=self.env, cwd=self.cwd, preexec_fn=_default_signals)
        self._send_message({"pid": self._child.pid}, type="start")
        if self.stopping.is_set() or self._orphaned.is_set():  # the signal went to the one before
            self._child.terminate()
        reader = threading.Thread(target=self._pass_on, args=(self._child.stdout,), daemon=True)
        reader.start()
        code: int = self._child.wait()
        # What is left of its group still holds the port, or a message in the middle; and our end of its output.
        with contextlib.suppress(OSError):
            os.killpg(self._child.pid, signal.SIGKILL)
        reader.join(KILL_WAIT_S)
        return code

    def _pass_on(self, output: Any) -> None:
        with output:
            for line in iter(output.readline, b""):
                self._send_message(line)

    def _watch_server(self) -> None:
        """A server that was killed takes its processes along."""
        while (
            os.getppid() == self.server_pid
        ):  # a pipe would stay open for as long as a process that was forked later lives
            time.sleep(0.2)
        self._orphaned.set()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(OSError):
                os.killpg(self._child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(KILL_WAIT_S)
                break
        os._exit(1)  # at once: nobody reads what is still to be said


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class KeepingManager(Manager):  # type: ignore[misc]
    """Honcho's manager over KeptProcess."""

    def __init__(self) -> None:
        super().__init__(Printer(sys.stdout, prefix=True))
        self._stopping = multiprocessing.Event()
        self._process_ctor = self._make_process

    def _make_process(self, *arguments: Any, **options: Any) -> KeptProcess:
        process = KeptProcess(*arguments, **options)
        process.stopping = self._stopping
        process.server_pid = os.getpid()
        return process

    def terminate(self) -> None:
        self._stopping.set()
        super().terminate()


def keep_running(commands: dict[str, str], data_dir: Path, cwd: Path) -> int:
    """Run the commands until SIGTERM, SIGINT or SIGHUP, or until one keeps dying. Returns the exit status."""
    multiprocessing.set_start_method("fork", force=True)  # honcho's processes are closures
    manager = KeepingManager()
    for name, command in commands.items():
        manager.add_process(name, f"exec {command}", cwd=str(cwd), env=os.environ | {MARK: str(data_dir)})
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup stays nohup
        signal.signal(signal.SIGHUP, lambda *_: manager.terminate())
    manager.loop()
    return int(manager.returncode or 0)


def end_leftovers(data_dir: Path) -> int:
    """End processes of a server that was killed without being able to end them; the caller holds its lock. Returns how many."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(data_dir):
                process.terminate()
                found.append(process)
        except psutil.Error:
            continue
    _gone, alive = psutil.wait_procs(found, timeout=KILL_WAIT_S)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=KILL_WAIT_S)
    return len(found)
