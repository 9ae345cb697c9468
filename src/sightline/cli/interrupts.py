"""Ctrl-C from the first import to the end: always exit code 130, never a half-imported module.

Python raises KeyboardInterrupt wherever the program is. Within an import that goes wrong: C code that imports a module
(torch imports NumPy so) drops the exception, or leaves the module without half of its names. So here an interrupt
waits for the import to end, or for the second one.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

EXIT_CODE = 130
AGAIN_SECONDS = 0.02
IMPORTING = "<frozen importlib._bootstrap"

_waiting = False


def catch_interrupts() -> None:
    """Handle Ctrl-C from now on, unless it is ignored, as in the background of a shell."""
    # Windows has no timer that would end the wait.
    if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGALRM, _interrupt)
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _again


def end_at_interrupts() -> None:
    """End at once when Ctrl-C comes: the work is done, and what Python still does should not show a traceback."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(EXIT_CODE)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _waiting  # noqa: PLW0603
    if not _is_importing(frame):
        _waiting = False
        raise KeyboardInterrupt
    if _waiting and number == signal.SIGINT:
        os._exit(EXIT_CODE)
    _waiting = True
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)


def _again(lost: UnraisableHookArgs) -> None:
    """Raise once more an interrupt that came where Python drops exceptions, such as in `__del__`."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    else:
        sys.__unraisablehook__(lost)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(IMPORTING):
            return True
        frame = frame.f_back
    return False
