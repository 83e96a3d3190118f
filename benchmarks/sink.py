"""An SMTP server of a process's own that takes every mail and keeps none: it counts them by their Message-ID.

`python -m benchmarks.sink` prints its port. Then each line on its input gets one line of JSON: what arrived since the last one
({"mails", "ids", "bytes", "busy_s"}). It ends with its input. A real conversation, in as little Python as it takes, so that it is
never what a benchmark waits for: `busy_s` is the processor time that it needed.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from types import TracebackType
from typing import Any

OFFERS = b"250-sink\r\n250-PIPELINING\r\n250-SIZE 33554432\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
ANSWERS = {b"EHLO": OFFERS, b"HELO": b"250 sink\r\n", b"QUIT": b"221 bye\r\n"}
_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


class _Arrived:
    def __init__(self) -> None:
        self.ids: Counter[bytes] = Counter()
        self.bytes = 0
        self.since = time.process_time()


class _Conversation(asyncio.Protocol):
    def __init__(self, arrived: _Arrived) -> None:
        self.arrived = arrived
        self.waiting = b""
        self.in_data = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        waiting, said = self.waiting + data, []
        while True:
            head, end, rest = waiting.partition(b"\r\n.\r\n" if self.in_data else b"\r\n")
            if not end:
                break
            waiting = rest
            if self.in_data:
                self._take(head)
                said.append(b"250 OK\r\n")
                self.in_data = False
            elif head[:4].upper() == b"DATA":
                said.append(b"354 go on\r\n")
                self.in_data = True
            else:
                said.append(ANSWERS.get(head[:4].upper(), b"250 OK\r\n"))
        self.waiting = waiting
        if said:
            self.transport.write(b"".join(said))

    def _take(self, mail: bytes) -> None:
        found = _ID.search(mail)
        self.arrived.ids[found[1] if found else b""] += 1
        self.arrived.bytes += len(mail)


async def _serve() -> None:
    arrived = _Arrived()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Conversation(arrived), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        told = {"mails": arrived.ids.total(), "ids": len(arrived.ids), "bytes": arrived.bytes}
        print(json.dumps({**told, "busy_s": time.process_time() - arrived.since}), flush=True)
        arrived.ids.clear()
        arrived.bytes, arrived.since = 0, time.process_time()


class Sink:
    """The process, for as long as the block lasts."""

    def __enter__(self) -> "Sink":
        command = [sys.executable, "-m", "benchmarks.sink"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._line())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)

    def take(self) -> dict[str, Any]:
        """What arrived since it was asked last."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self._line())
        return told

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


if __name__ == "__main__":
    asyncio.run(_serve())
