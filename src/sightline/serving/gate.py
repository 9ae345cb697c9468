"""What surrounds every answer: the Host check, the headers that keep browsers safe, the count and the log line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.serving.metrics import Metrics
from sightline.serving.problems import Problem

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FRAME = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
"""The headers that every answer has, unless it has them by itself, as they are sent."""
LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "[::1]"))
LONGEST_PATH = 200


class Gate:
    """An application with the same frame around every answer.

    `hosts`: the names that a request may call the server by, so that no page elsewhere reaches it through a name of
    its own (DNS rebinding); None takes all. `routes`: the paths that are counted by name. `log` gets a line of JSON
    for each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        *,
        hosts: Collection[str] | None,
        routes: Collection[str],
        log: Callable[[str], object] | None,
    ) -> None:
        self.app, self.metrics, self.hosts, self.routes, self.log = app, metrics, hosts, routes, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what is not one goes through as it is."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers: list[tuple[bytes, bytes]] = list(message["headers"])
                own = {name for name, _ in headers}
                message["headers"] = headers + [pair for pair in FRAME if pair[0] not in own]
            await send(message)

        try:
            if self.hosts is not None and _host(Headers(scope=scope).get("host", "")) not in self.hosts:
                refusal = Problem(
                    400, "the header Host names another machine; call this one by localhost or its address"
                )
                await refusal.response()(scope, receive, send_framed)
            else:
                await self.app(scope, receive, send_framed)
        except Exception:
            if not status:
                raise  # with no answer begun, whoever runs this must know
        finally:
            seconds = time.perf_counter() - start
            path: str = scope["path"]
            if status:
                self.metrics.request(path if path in self.routes else "other", status, seconds)
            if self.log is not None:
                self.log(_line(scope, path, status, seconds))


def _host(header: str) -> str:
    """The header's name without its port."""
    name, colon, port = header.rpartition(":")
    return (name if colon and (port.isdigit() or not port) else header).lower()


def _line(scope: Scope, path: str, status: int, seconds: float) -> str:
    client: Any = scope.get("client")
    return json.dumps(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": client[0] if client else None,
            "method": scope["method"][:20],
            "path": path[:LONGEST_PATH],
            "status": status or None,
            "milliseconds": round(seconds * 1000, 3),
        }
    )


def to_stderr(line: str) -> None:
    """Write a log line where it does not mix with results."""
    print(line, file=sys.stderr, flush=True)
