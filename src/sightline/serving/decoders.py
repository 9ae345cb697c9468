"""Threads that decode pictures. Nothing waits for one that does not come back: C code cannot be interrupted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from sightline.data.decoder import Pixels

STUCK_SECONDS = 5.0
"""So long at one picture, a decoder is held to be stuck. The slowest that is accepted takes less (data/cost.py)."""


@dataclass(eq=False)
class _Job:
    work: Callable[[], Pixels]
    answer: Future[Pixels] = field(default_factory=Future[Pixels])


class Decoders:
    """`number` threads that take jobs in their order. The process can end while they work."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._begun: dict[int, float] = {}
        self._threads: list[threading.Thread] = []
        self._stopping = False

    async def run(self, work: Callable[[], Pixels]) -> Pixels:
        """Do `work` in a thread; what it raises is raised. When the caller is cancelled, work that waits is dropped."""
        job = _Job(work)
        self._start()
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        try:
            return await asyncio.wrap_future(job.answer)
        finally:
            with self._changed:
                if job in self._jobs:
                    self._jobs.remove(job)

    def stuck(self) -> bool:
        """Whether every thread has been at one picture for longer than any takes."""
        begun = list(self._begun.values())
        return len(begun) == self.number and max(begun) < time.monotonic() - STUCK_SECONDS

    def stop(self) -> None:
        """Begin no further job, and wait for none."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _start(self) -> None:
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._work, args=(index,), name=f"sightline-decoder-{index}", daemon=True)
                for index in range(self.number)
            ]
            for thread in self._threads:
                thread.start()

    def _work(self, index: int) -> None:
        while (job := self._next()) is not None:
            if not job.answer.set_running_or_notify_cancel():
                continue
            self._begun[index] = time.monotonic()
            try:
                job.answer.set_result(job.work())
            except BaseException as error:
                job.answer.set_exception(error)
            finally:
                del self._begun[index]

    def _next(self) -> _Job | None:
        with self._changed:
            while not self._jobs and not self._stopping:
                self._changed.wait()
            return None if self._stopping else self._jobs.popleft()
