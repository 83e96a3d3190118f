"""A small load generator: prepared requests over a few kept connections. In: bytes to send. Out: statuses and seconds."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence


def request(method: str, path: str, body: bytes, content_type: str, **headers: str) -> bytes:
    """One HTTP/1.1 request, ready to be written."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def send_all(port: int, requests: Sequence[bytes], connections: int) -> tuple[float, Counter[int]]:
    """Send every request once, `connections` at a time. Returns (seconds, how often each status came)."""
    return asyncio.run(_send_all(port, requests, connections))


async def _send_all(port: int, requests: Sequence[bytes], connections: int) -> tuple[float, Counter[int]]:
    statuses: Counter[int] = Counter()
    waiting = iter(requests)

    async def lane() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for one in waiting:
            writer.write(one)
            head = await reader.readuntil(b"\r\n\r\n")
            status, _, rest = head.partition(b"\r\n")
            statuses[int(status.split()[1])] += 1
            lowered = rest.lower()
            if b"content-length:" in lowered:
                await reader.readexactly(int(lowered.split(b"content-length:")[1].split(b"\r\n")[0]))
            elif b"transfer-encoding: chunked" in lowered:
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readline()
            if b"connection: close" in lowered:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(lane() for _lane in range(connections)))
    return time.perf_counter() - started, statuses
