"""What libraries say about damaged pictures, kept off stderr: the decoder's own error has all that a user needs."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import warnings
from collections.abc import Callable
from typing import Any

from PIL import _imaging  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]

SetHandler = Callable[[Any], Any]


def _error_handler_of_libtiff() -> SetHandler | None:
    """Find libtiff's function that sets who is told of errors, and gives the last; None where Pillow hides it.

    Every damaged line of a TIFF is an error, which libtiff by itself prints: 20 times the picture's own size. Pillow
    sets the handler of its warnings alone.
    """
    with contextlib.suppress(OSError, AttributeError):  # linked into Pillow itself, as on Windows
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        return set_handler
    return None


class _Quiet:
    """Pillow's warnings and libtiff's messages off as long as any thread decodes.

    They tell of odd metadata and of damage, and must not become errors where warnings are errors. Both are one for all
    threads, so the first one in turns them off, and the last one out puts them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved: warnings.catch_warnings[None] | None = None
        self._set_handler = _error_handler_of_libtiff()
        self._handler: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.simplefilter("ignore")
                if self._set_handler is not None:
                    self._handler = self._set_handler(None)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._saved is not None:
                self._saved.__exit__(None, None, None)
                self._saved = None
                if self._set_handler is not None:
                    self._set_handler(self._handler)


QUIET = _Quiet()
