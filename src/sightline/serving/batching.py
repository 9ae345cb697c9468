"""Dynamic batching: whatever waits when the network is free goes through it together.

Nothing waits for company: a lone call is computed at once, and while a batch is being computed the next one gathers by
itself. A thread owns the Classifier.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.classifier import Classifier

LARGEST_MEASURED = 64
# What a larger batch must gain in images a second to be worth its longer wait.
WORTHWHILE = 1.05
LONGEST_BATCH_SECONDS = 0.2
MEASUREMENTS = 3

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float32]
Future = asyncio.Future[Rows]


@dataclass(frozen=True)
class Job:
    """A call's pictures, uint8 (n, H, W, C), and who waits for their probabilities, float32 (n, K)."""

    pixels: Pixels
    answer: Future


def best_batch(classifier: Classifier) -> int:
    """Find how many pictures at once the network computes best here: the smallest number that no other clearly beats.

    Tries 1, 2, 4 ... up to 64, until a batch takes longer than a fifth of a second; takes under two seconds.
    """
    best = size = 1
    seconds = _seconds(classifier, size)
    rate = size / seconds
    while size < LARGEST_MEASURED and seconds <= LONGEST_BATCH_SECONDS:
        size *= 2
        seconds = _seconds(classifier, size)
        if size / seconds > WORTHWHILE * rate:
            best, rate = size, size / seconds
    return best


def _seconds(classifier: Classifier, size: int) -> float:
    """Seconds of a batch, the fastest of a few."""
    pixels = np.zeros((size, *classifier.size), np.uint8)
    fastest = float("inf")
    classifier.probabilities(pixels, size)
    for _ in range(MEASUREMENTS):
        start = time.perf_counter()
        classifier.probabilities(pixels, size)
        fastest = min(fastest, time.perf_counter() - start)
        if fastest > LONGEST_BATCH_SECONDS:
            break
    return fastest


class Engine:
    """A Classifier behind a queue. Whoever puts calls into it bounds their number.

    `max_batch`: pictures the network sees at once. `on_batch` is told how many it saw, from the thread that computes.
    """

    def __init__(self, classifier: Classifier, max_batch: int, on_batch: Callable[[int], object] = int) -> None:
        self.classifier = classifier
        self.max_batch = max_batch
        self._on_batch = on_batch
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin to compute; does nothing where it has begun."""
        with self._changed:
            if self._thread is None:
                self._stopping = False
                self._thread = threading.Thread(target=self._work, name="sightline-engine", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Compute what waits, then end."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._changed.notify()
        if thread is not None:
            thread.join()

    async def probabilities(self, pixels: Pixels) -> Rows:
        """Compute float32 (n, K) for uint8 (n, H, W, C). When the caller is cancelled, its pictures are left out."""
        job = Job(pixels, asyncio.get_running_loop().create_future())
        self.start()
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        return await job.answer

    def _work(self) -> None:
        while jobs := self._next():
            _deliver(jobs, self._compute(jobs))

    def _next(self) -> list[Job]:
        """Wait for jobs and take as many as fit into a batch; none when it is time to end."""
        with self._changed:
            while True:
                jobs = self._take()
                if jobs or self._stopping:
                    return jobs
                self._changed.wait()

    def _take(self) -> list[Job]:
        """Take the jobs that fit into a batch, at least one where one waits."""
        jobs: list[Job] = []
        images = 0
        while self._jobs and (not jobs or images + len(self._jobs[0].pixels) <= self.max_batch):
            job = self._jobs.popleft()
            if not job.answer.cancelled():
                jobs.append(job)
                images += len(job.pixels)
        return jobs

    def _compute(self, jobs: list[Job]) -> list[Rows] | Exception:
        """Each job's probabilities, or the error that all of them must hear of: the next batch may go well."""
        try:
            rows = self.classifier.probabilities(np.concatenate([job.pixels for job in jobs]), self.max_batch)
        except Exception as error:
            return error
        self._on_batch(len(rows))
        return np.split(rows, np.cumsum([len(job.pixels) for job in jobs])[:-1])


def _deliver(jobs: list[Job], result: list[Rows] | Exception) -> None:
    """Give every job its answer, in its own event loop: one call into a loop for all of its jobs."""
    for loop in {job.answer.get_loop() for job in jobs}:
        own = [number for number, job in enumerate(jobs) if job.answer.get_loop() is loop]
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, jobs, own, result)


def _settle(jobs: list[Job], own: Sequence[int], result: list[Rows] | Exception) -> None:
    for number in own:
        answer = jobs[number].answer
        if answer.done():
            continue
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result[number])
