"""From an answer's 303 to the metric that counts it, in seconds, while a hundred answers come in each second.

Web, worker and beat run by the commands of script/server. Answers are posted to the form at even times, whether or not those
before are done, and the API's metric is asked for n all the while, as a page would be. An answer's delay ends with the reply
that counts as many answers as had been taken with it. The limit is the issue's: five seconds at the 95th percentile.
"""

import asyncio
import json
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from benchmarks.load import request
from benchmarks.respond import invite, prepare
from benchmarks.result import Skipped, measured
from benchmarks.stage import ROOT, Stage, free_port

BAR = 1.0
LIMIT_S = 5.0
PER_SECOND = 100
LANES = 16  # connections that answers are posted over, more than there are web threads
POLL_S = 0.05
PATIENCE_S = 60.0


def run(stage: Stage, quick: bool = False) -> dict[str, Any]:
    """Seconds, the 95th percentile of each round."""
    if quick:
        raise Skipped("it needs its own seconds of load; the full run has it")
    seconds, rounds = 20, 3
    stage.collect_static()
    touchpoint, instrument, version = prepare()
    from surveys.models import ApiKey

    _row, key = ApiKey.objects.create_key(name="bench", scopes=["metrics:read"])
    figures, notes = [], []
    with _Server(stage) as server:
        for round_ in range(rounds + 1):
            # The first few wake the worker, and open every connection.
            tokens = invite(touchpoint, instrument, PER_SECOND * seconds if round_ else LANES)
            before = server.counted(key)
            delays = asyncio.run(_answer_and_watch(server.port, tokens, version, key, before))
            if not round_:
                continue
            figures.append(_percentile(delays, 0.95))
            notes.append(f"{_percentile(delays, 0.5):.1f} / {max(delays):.1f}")
        stage.note_memory()
    note = f"{PER_SECOND} answers/s for {seconds} s; median / longest delay: {'; '.join(notes)} s"
    more: dict[str, Any] = {"peak_mb": stage.peak_mb, "note": note}
    return measured("latency", figures, [LIMIT_S] * rounds, BAR, "s at p95", better="lower", **more)


class _Server:
    """Web, worker and beat on the stage's services, until the block ends. The stage ends what is left."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.port = free_port()

    def __enter__(self) -> "_Server":
        from cxsurvey.server import commands

        for command in commands("127.0.0.1", self.port, self.stage.data_dir).values():
            self.stage.web.append(subprocess.Popen(shlex.split(command), cwd=ROOT))
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2):
                    return self
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def __exit__(self, *_error: object) -> None:
        self.stage.end_web()

    def counted(self, key: str) -> int:
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v1/metrics/nps/")
        asked.add_header("Authorization", f"Bearer {key}")
        with urllib.request.urlopen(asked, timeout=5) as reply:
            n: int = json.load(reply)["n"]
            return n


async def _answer_and_watch(port: int, tokens: Sequence[str], version: int, key: str, before: int) -> list[float]:
    """The delay of every answer, in the order in which they were taken."""
    answered: list[float] = []
    seen: list[tuple[float, int]] = []  # when a reply came, and how many answers of this round it counts
    started = time.perf_counter()
    places = iter(enumerate(tokens))

    async def lane() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for place, token in places:
            await asyncio.sleep(max(0.0, started + place / PER_SECOND - time.perf_counter()))
            writer.write(_answer(token, version))
            status, _body = await _reply(reader)
            if status != 303:
                raise AssertionError(f"an answer was not taken: {status}")
            answered.append(time.perf_counter())
        writer.close()

    async def watch() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not seen or seen[-1][1] < len(tokens):
            writer.write(request("GET", "/api/v1/metrics/nps/", b"", "text/plain", Authorization=f"Bearer {key}"))
            status, body = await _reply(reader)
            if status != 200:
                raise AssertionError(f"the metric does not come: {status}")
            seen.append((time.perf_counter(), json.loads(body)["n"] - before))
            if time.perf_counter() > started + len(tokens) / PER_SECOND + PATIENCE_S:
                raise AssertionError(f"{len(tokens) - seen[-1][1]} answers were never counted")
            await asyncio.sleep(POLL_S)
        writer.close()

    await asyncio.gather(watch(), *(lane() for _lane in range(LANES)))
    if seen[-1][1] != len(tokens):
        raise AssertionError(f"{seen[-1][1]} answers were counted, {len(tokens)} were given")
    counts = iter(seen)
    at, n = next(counts)
    delays = []
    for place, taken in enumerate(answered):
        while n <= place:
            at, n = next(counts)
        delays.append(max(0.0, at - taken))
    return delays


def _answer(token: str, version: int) -> bytes:
    fields = {"version": version, "language": "en", "score": "9", "comment": "The courier was kind and quick."}
    return request("POST", f"/s/{token}/", urlencode(fields).encode(), "application/x-www-form-urlencoded")


async def _reply(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of a reply that tells its length."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(None, 2)[1])
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
    return status, await reader.readexactly(length)


def _percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that are at least as large as this share of them."""
    return sorted(values)[max(0, -(-round(share * len(values) * 1000) // 1000) - 1)]
