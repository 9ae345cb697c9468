"""Decoding many pictures: in this process, or in workers that talk through pipes.

A worker is a bare Python that reads jobs as JSON lines and answers with bytes. Unlike `multiprocessing`, this neither
imports the user's script again (which may lack a main guard) nor sends pickles; unlike a fork, it is safe beside
torch's threads. Workers are out of Ctrl-C's reach and end when this process does, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.data.decoder import OutOfMemoryError, decode
from sightline.data.preprocessing import Preprocessing
from sightline.errors import ImageError, ResourceError

Chunk = tuple[NDArray[np.uint8], dict[int, str]]
"""Pixels, uint8 (n, H, W, C), and for each unreadable picture its row, which is zero, and why."""

INLINE_BELOW = 500
"""Pictures up to which starting processes takes longer than decoding."""
MOST_WORKERS = 8
CHUNK_FILES, CHUNK_BYTES = 64, 1 << 26
START_WORKER = "from sightline.data.decode_workers import work; work()"


class WorkerError(ResourceError):
    """A process that decodes ended by itself."""


def decode_chunks(root: Path, ids: Sequence[str], wanted: Preprocessing) -> Generator[Chunk]:
    """Decode the pictures `root / id` in order, a chunk at a time.

    Raises OutOfMemoryError, or WorkerError when a worker ends by itself, for want of memory too.
    """
    chunk = max(1, min(CHUNK_FILES, CHUNK_BYTES // (wanted.height * wanted.width * wanted.channels)))
    jobs = [list(ids[start : start + chunk]) for start in range(0, len(ids), chunk)]
    count = min(usable_cores(), MOST_WORKERS, len(jobs)) if len(ids) >= INLINE_BELOW and sys.executable else 1
    if count == 1:
        for job in jobs:
            yield decode_chunk(root, job, wanted)
        return
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_Worker(root, wanted)) for _ in range(count)]
        for worker, job in zip(workers, jobs, strict=False):
            worker.send(job)
        # Each worker has one job at a time and they answer in turn, so chunks come in order and none piles up.
        for index, job in enumerate(jobs):
            worker = workers[index % count]
            answer = worker.receive(job)
            if index + count < len(jobs):
                worker.send(jobs[index + count])
            yield answer


def decode_chunk(root: Path, ids: Sequence[str], wanted: Preprocessing) -> Chunk:
    """Decode a few pictures in this process."""
    pixels = np.zeros((len(ids), wanted.height, wanted.width, wanted.channels), np.uint8)
    failed: dict[int, str] = {}
    for row, name in enumerate(ids):
        try:
            pixels[row] = decode(root / name, wanted)
        except ImageError as error:
            failed[row] = error.found
    return pixels, failed


def usable_cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    """A process that decodes, seen from the one that asks."""

    def __init__(self, root: Path, wanted: Preprocessing) -> None:
        self._wanted = wanted
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", START_WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        self._write(json.dumps({"root": str(root.absolute()), "wanted": wanted.model_dump()}))

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with contextlib.suppress(OSError):
            self._process.communicate()

    def send(self, ids: list[str]) -> None:
        self._write(json.dumps(ids))

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode("ascii") + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended([]) from None

    def receive(self, ids: list[str]) -> Chunk:
        size = int.from_bytes(self._read(8, ids), "little")
        failed = {int(row): str(why) for row, why in json.loads(self._read(size, ids)).items()}
        shape = (len(ids), self._wanted.height, self._wanted.width, self._wanted.channels)
        return np.frombuffer(self._read(int(np.prod(shape)), ids), np.uint8).reshape(shape), failed

    def _read(self, count: int, ids: list[str]) -> bytes:
        assert self._process.stdout is not None
        content = self._process.stdout.read(count)
        if len(content) != count:
            raise self._ended(ids)
        return content

    def _ended(self, ids: list[str]) -> WorkerError:
        where = f" between {ids[0]} and {ids[-1]}" if ids else ""
        found = f"a process that decodes pictures ended by itself{where} (exit code {self._process.wait()})"
        return WorkerError("decoding", found, advice="see whether memory ran out; a smaller --image-size takes less")


def work() -> None:
    """Be a worker: first what is wanted, then jobs, a JSON line each, on stdin until it closes; answers on stdout."""
    # What a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lines = sys.stdin.buffer
    task = json.loads(lines.readline())
    root, wanted = Path(task["root"]), Preprocessing.model_validate(task["wanted"])
    try:
        for line in lines:
            pixels, failed = decode_chunk(root, json.loads(line), wanted)
            header = json.dumps(failed).encode("ascii")
            answers.write(len(header).to_bytes(8, "little") + header)
            answers.write(pixels.data)
            answers.flush()
    except (BrokenPipeError, MemoryError, OutOfMemoryError):
        # Nobody listens any more, and closing the pipe would say so on stderr; or who listens will say it in one line.
        os._exit(1)
