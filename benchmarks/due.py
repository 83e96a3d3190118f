"""A hundred thousand invitations due at once, two workers: each sent once, memory flat, the web still answering.

`python -m benchmarks.due [--mails N] [--workers N]`: some minutes; not one of `script/bench`, since it has no limit beside it. It prints
what happened and exits with 1 where anything is not as it should be.
"""

import argparse
import http.client
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import quantiles

import psutil

from benchmarks.dispatch import make_due, prepare
from benchmarks.sender import Sender
from benchmarks.sink import Sink
from benchmarks.stage import Stage

IDLE_S = 15
EVERY_S = 0.05
WARM_UP = 1000  # mails, after which a worker has what it needs
GROWTH_MB = 25  # of a worker: what 100,000 letters of 12 kB must not leave behind
SLOWER = 10  # times the idle p99, and never under a second


class Probe:
    """Looks at an open form every 50 ms, and says how long it took: milliseconds, in the order in which they were."""

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path = port, path
        self.took: list[float] = []
        self.failed = 0

    @contextmanager
    def looking(self) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=self._look, args=(over,))
        self.took, self.failed = [], 0
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _look(self, over: threading.Event) -> None:
        while not over.wait(EVERY_S):
            started = time.perf_counter()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request("GET", self.path)
                self.failed += connection.getresponse().status != 200
                connection.close()
            except OSError:
                self.failed += 1
            self.took.append((time.perf_counter() - started) * 1000)

    def percentile(self, share: float) -> float:
        return quantiles(self.took, n=1000)[round(share * 1000) - 1]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.due")
    parser.add_argument("--mails", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    with Stage() as stage, Sink() as sink, ExitStack() as stack:
        wrong = run(stage, sink, stack, options.mails, options.workers)
    for line in wrong:
        print("WRONG:", line)
    return 1 if wrong else 0


def run(stage: Stage, sink: Sink, stack: ExitStack, mails: int, workers: int) -> list[str]:
    """Print the figures; what is not as it should be."""
    rule = prepare()
    stage.collect_static()
    probe = Probe(stage.serve(), f"/t/{_open_form()}/")
    senders = [stack.enter_context(Sender(sink.port)) for _worker in range(workers)]
    make_due(rule, "warm", WARM_UP * workers)
    for sender in senders:
        sender.begin("drain")
    for sender in senders:
        sender.end()
    sink.take()
    with probe.looking():
        time.sleep(IDLE_S)
    idle = probe.percentile(0.5), probe.percentile(0.99)
    make_due(rule, "due", mails)
    watched = [psutil.Process(sender.process.pid) for sender in senders]
    before = [process.memory_info().rss / 2**20 for process in watched]
    most = list(before)
    started = time.perf_counter()
    with probe.looking():
        for sender in senders:
            sender.begin("drain")
        told = []
        for sender in senders:
            while not sender.is_done(1.0):
                most = [max(was, one.memory_info().rss / 2**20) for was, one in zip(most, watched, strict=True)]
            told.append(sender.end())
    seconds = time.perf_counter() - started
    busy = probe.percentile(0.5), probe.percentile(0.99)
    after = [one["rss_mb"] for one in told]
    arrived, statuses, attempts = sink.take(), _statuses(), _attempts()
    print(f"{mails:,} mails by {workers} workers in {seconds:.0f} s: {mails / seconds:,.0f} per second")
    print(
        f"sent by each: {', '.join(str(one['sent']) for one in told)}; the sink was busy {arrived['busy_s'] / seconds:.0%}"
    )
    print(
        f"arrived: {arrived['mails']:,} mails with {arrived['ids']:,} different ids; attempts {attempts}; rows {statuses}"
    )
    for number, (first, peak, last) in enumerate(zip(before, most, after, strict=True), 1):
        print(f"worker {number}: {first:.0f} MB before, {peak:.0f} at most, {last:.0f} after")
    print(f"web: p50 {idle[0]:.0f} ms, p99 {idle[1]:.0f} ms idle; p50 {busy[0]:.0f} ms, p99 {busy[1]:.0f} ms meanwhile")
    expected = mails + WARM_UP * workers
    checks = {
        f"{arrived['mails']} mails with {arrived['ids']} ids arrived": (arrived["mails"], arrived["ids"])
        == (mails, mails),
        f"rows are {statuses}": statuses == {"sent": expected},
        f"attempts are {attempts}": attempts == {"sent": expected},
        f"memory grew: {before} to {most}": all(m - b < GROWTH_MB for b, m in zip(before, most, strict=True)),
        f"{probe.failed} looks at the form failed": probe.failed == 0,
        f"the web was slow: p99 {busy[1]:.0f} ms": busy[1] < max(SLOWER * idle[1], 1000),
    }
    return [what for what, holds in checks.items() if not holds]


def _open_form() -> str:
    from surveys.models import Touchpoint

    touchpoint = Touchpoint.objects.get(slug="bench")
    touchpoint.public = True
    touchpoint.save()
    return str(touchpoint.public_key)


def _statuses() -> dict[str, int]:
    from django.db.models import Count

    from surveys.models import Invitation

    return dict(Invitation.objects.values_list("status").annotate(Count("id")))


def _attempts() -> dict[str, int]:
    from django.db.models import Count

    from surveys.models import DeliveryAttempt

    return dict(DeliveryAttempt.objects.order_by().values_list("result").annotate(Count("id")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
