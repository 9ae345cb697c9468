"""The standard streams, made fit for whatever is printed and whoever reads: set once, where the program starts.

A program may be started without streams (by pythonw, as a service, with `>&-`), with an encoding that lacks most
characters, or before a reader that leaves early (`| head`). None of this may end a training: what nobody can read is
dropped, and what the encoding lacks is written as an escape.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, Literal, TextIO

from sightline.errors import ResourceError

DESCRIPTORS = (0, 1, 2)


def prepare_streams() -> None:
    """Give sys.stdin, sys.stdout and sys.stderr what all commands rely on.

    - Each is there: what is missing is the null device, so that no file that is opened later gets its descriptor.
    - Nothing that is printed is refused by the encoding. Names of files go through as the bytes that they are.
    - When a reader leaves, the rest is dropped. Anything else that stdout cannot write, such as to a full disk, raises
      ResourceError; on stderr it is dropped too.
    """
    _open_missing()
    sys.stdin = _present(sys.stdin, "r")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    sys.stdout = _writable(_present(sys.stdout, "w"), "stdout")
    sys.stderr = _writable(_present(sys.stderr, "w"), "stderr")


def is_utf8(stream: TextIO) -> bool:
    """Whether a stream can write every character."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "").replace("_", "") == "utf8"


def read_all(stream: TextIO) -> bytes:
    """Read what is left on a stream, as the bytes that came."""
    buffer = getattr(stream, "buffer", None)
    return os.fsencode(stream.read()) if buffer is None else buffer.read()


def _open_missing() -> None:
    for descriptor in DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_RDWR)
                if null != descriptor:
                    os.dup2(null, descriptor, inheritable=True)
                    os.close(null)
                else:
                    os.set_inheritable(null, True)


def _present(stream: TextIO | None, mode: Literal["r", "w"]) -> TextIO:
    # Python has None for a descriptor that was closed when it started.
    return Path(os.devnull).open(mode, encoding="utf-8") if stream is None else stream


def _writable(stream: TextIO, name: str) -> TextIO:
    errors = "backslashreplace" if name == "stderr" or not is_utf8(stream) else "surrogateescape"
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors=errors)
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return stream
    if os.name == "nt" and stream.isatty():  # a console there takes characters, not bytes, and has no reader to leave
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(descriptor, name)), encoding=stream.encoding, errors=errors,
        line_buffering=stream.line_buffering or stream.isatty(), write_through=stream.write_through,
    )  # fmt: skip


class _Descriptor(io.FileIO):
    """What a stream writes to, until its reader leaves."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._stream, self._gone = name, False

    def write(self, data: Any, /) -> int:
        """Write bytes, or drop them where nobody reads any more. Raises ResourceError as `prepare_streams` says."""
        size = memoryview(data).nbytes
        if self._gone:
            return size
        try:
            return super().write(data) or 0
        except OSError as error:
            self._gone = True  # Python would try once more when it ends
            if self._stream == "stderr" or self._has_left(error):
                return size
            reason = (error.strerror or type(error).__name__).lower()
            advice = "Free some space, or write the results to another place."
            raise ResourceError("stdout", f"it cannot be written ({reason})", advice=advice) from error

    def _has_left(self, error: OSError) -> bool:
        left = error.errno in (errno.EPIPE, errno.EBADF, errno.ESHUTDOWN)
        on_windows = os.name == "nt" and error.errno == errno.EINVAL  # what a pipe without a reader gives there
        return left or on_windows or (error.errno == errno.EIO and self.isatty())
