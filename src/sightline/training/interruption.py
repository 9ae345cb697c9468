"""Ctrl-C during training: finish the step, keep a checkpoint, then stop. A second one stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator
from types import FrameType


class Interruption:
    """Whether the user, or the system by SIGTERM, has asked this process to stop."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handle the signal: remember the first, stop at once at the second."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def watch_for_interruption() -> Generator[Interruption]:
    """Take over SIGINT and SIGTERM while the context lasts; does nothing outside the main thread."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
