"""How many connections a server keeps open: fewer than its system has descriptors for."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field
from typing import Any

from sightline.errors import ResourceError

MOST_CONNECTIONS = 1024
MOST_AT_ONCE = 64
SPARE = 16
"""Descriptors that are left for files."""
IN_FLIGHT = 4
"""How many times `at_once` connections can be accepted before the first of them is counted."""
SECONDS_BETWEEN_LINES = 60.0
_log = logging.getLogger("sightline.serving")


@dataclass
class Capacity:
    """`most`: connections that are kept open. `at_once`: those that are accepted before others are served."""

    most: int = MOST_CONNECTIONS
    at_once: int = MOST_AT_ONCE
    _told: float = field(default=float("-inf"), init=False)

    def is_full(self, connections: int) -> bool:
        """Whether one more is too many; the log has a line about it at most once a minute."""
        if connections < self.most:
            return False
        self._tell(f"{self.most} connections are open, the most that are kept; more are refused with 503")
        return True

    def failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle what fails in an event loop: a connection that could not be accepted is told in a line, no traceback.

        asyncio tries again after a second.
        """
        error = context.get("exception")
        if isinstance(error, OSError) and "socket" in context:
            self._tell(f"connections cannot be accepted ({(error.strerror or type(error).__name__).lower()})")
        else:
            loop.default_exception_handler(context)

    def _tell(self, line: str) -> None:
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            _log.warning("%s", line)


def capacity() -> Capacity:
    """Find how many connections this process can keep open. Raises ResourceError where there is no room for any."""
    try:
        import resource
    except ImportError:  # Windows, which counts sockets apart from files
        return Capacity()
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return Capacity()
    used = _open_files()
    free = allowed - used - SPARE
    at_once = max(1, min(MOST_AT_ONCE, free // (2 * IN_FLIGHT)))
    most = min(MOST_CONNECTIONS, free - IN_FLIGHT * at_once)
    if most < 1:
        needed = used + SPARE + IN_FLIGHT + 1
        advice = "Raise the limit, for example with ulimit -n 1024."
        raise ResourceError("open files", f"at most {allowed} are allowed", f"at least {needed}", advice)
    return Capacity(most, at_once)


def _open_files() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder))  # noqa: PTH208
        except OSError:
            continue
    return SPARE
