"""A small HTTP client on asyncio streams: so little work that what is measured is the server."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


def request(path: str, content: bytes, kind: str = "image/png") -> bytes:
    """Write a POST of a picture, ready to be sent."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class Connection:
    """A connection that is kept."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, message: bytes) -> tuple[int, bytes]:
        """Send a request and read its answer: status, body."""
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writer.write(message)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        start = lower.index(b"content-length:") + 15
        body = await self._reader.readexactly(int(lower[start : lower.index(b"\r", start)]))
        if b"connection: close" in lower:
            self.close()
        return int(head[9:12]), body

    def close(self) -> None:
        """Leave."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


@dataclass
class Tally:
    """What came of many requests."""

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return sum(self.statuses.values()) / self.seconds


async def load(port: int, messages: list[bytes], count: int, connections: int) -> Tally:
    """Send `count` requests, taken in turn from `messages`, over so many connections at once."""
    tally = Tally()
    left = iter(range(count))

    async def work() -> None:
        connection = Connection(port)
        for number in left:
            start = time.perf_counter()
            status, _ = await connection.ask(messages[number % len(messages)])
            tally.latencies.append(time.perf_counter() - start)
            tally.statuses[status] = tally.statuses.get(status, 0) + 1
        connection.close()

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    tally.seconds = time.perf_counter() - start
    return tally
