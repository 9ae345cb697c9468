"""What surrounds every answer: who may call, the headers that keep browsers safe, the count and the log line."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.serving.access import Access
from sightline.serving.metrics import Metrics

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
LONGEST_PATH = 200


class Gate:
    """An application with the same frame around every answer.

    `routes`: the paths that are counted by name. `log` gets a line of JSON for each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        *,
        access: Access,
        routes: Collection[str],
        log: Callable[[str], object] | None,
    ) -> None:
        self.app, self.metrics, self.access, self.routes, self.log = app, metrics, access, routes, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what is not one goes through as it is."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0
        headers = Headers(scope=scope)
        path = self.access.path(scope)
        # The sender and a proxy may disagree on where such a message ends, so nothing may follow it (RFC 9112, 6.1).
        ambiguous = "content-length" in headers and "transfer-encoding" in headers

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given: list[tuple[bytes, bytes]] = list(message["headers"])
                own = {name for name, _ in given}
                message["headers"] = given + [pair for pair in FRAME if pair[0] not in own]
                if ambiguous and b"connection" not in own:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            refusal = self.access.refusal(scope["method"], headers)
            if refusal is not None:
                await refusal.response()(scope, receive, send_framed)
            elif not path:  # the root path without its slash, where the page's own addresses would lead astray
                place = f"{self.access.root_path.rpartition('/')[2]}/"
                await Response(status_code=308, headers={"Location": place})(scope, receive, send_framed)
            else:
                below = {**scope, "path": scope.get("root_path", "") + path}
                await self.app(below, receive, send_framed)
        except Exception:
            if not status:
                raise  # with no answer begun, whoever runs this must know
        finally:
            seconds = time.perf_counter() - start
            if status:
                self.metrics.request(path if path in self.routes else "other", status, seconds)
            if self.log is not None:
                self.log(_line(scope, status, seconds))


def _line(scope: Scope, status: int, seconds: float) -> str:
    client: Any = scope.get("client")
    return json.dumps(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": client[0] if client else None,
            "method": scope["method"][:20],
            "path": scope["path"][:LONGEST_PATH],
            "status": status or None,
            "milliseconds": round(seconds * 1000, 3),
        }
    )


def to_stderr(line: str) -> None:
    """Write a log line where it does not mix with results; requests are answered though nobody reads it."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
