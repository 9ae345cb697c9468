"""The same work on many pictures, in threads: in order, with few answers waiting, and ended at once.

Threads are enough, since Pillow and hashlib let go of Python's lock while they decode, shrink and hash: on two cores
they decode photographs as fast as processes do, and they start at once (docs/log.md). What processes would add is that
a crash inside a decoder's C code ends a process of its own; here it would end this one. No picture is known that makes
it crash, and a cache is published only when it is whole, so that nothing is lost with it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MOST_THREADS = 8
CHUNK = 64


def map_in_order(work: Callable[[Item], Answer], items: Sequence[Item], chunk: int = CHUNK) -> Generator[Answer]:
    """Give `work(item)` for every item, in order; threads take `chunk` items at a time.

    At most two chunks a thread are under way or wait to be taken. Where the generator is closed, or an item raises, no
    further item is begun.
    """
    stopping = threading.Event()

    def work_on(part: Sequence[Item]) -> list[Answer]:
        return [work(item) for item in part if not stopping.is_set()]

    threads = max(1, min(usable_cores(), MOST_THREADS, -(-len(items) // chunk)))
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[list[Answer]]] = deque()
    try:
        for start in range(0, len(items), chunk):
            waiting.append(pool.submit(work_on, items[start : start + chunk]))
            if len(waiting) == 2 * threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        stopping.set()
        pool.shutdown(cancel_futures=True)


def usable_cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
