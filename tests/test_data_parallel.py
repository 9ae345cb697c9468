"""The same work on many items in threads: the order, how much is under way, and the end."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from sightline.data import parallel
from sightline.data.parallel import map_in_order


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 500])
def test_answers_come_in_order(chunk: int, count: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.0001 * (item % 3))
        return item * item

    assert list(map_in_order(work, range(count), chunk)) == [item * item for item in range(count)]


def test_few_answers_wait_and_none_is_begun_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "usable_cores", lambda: 2)
    begun: list[int] = []
    before = threading.active_count()
    with contextlib.closing(map_in_order(lambda item: begun.append(item) or item, range(10_000), 10)) as answers:
        assert next(answers) == 0
        time.sleep(0.2)
        assert len(begun) <= 40, "two threads, two chunks of ten each"
    there = len(begun)
    time.sleep(0.1)
    assert len(begun) == there
    assert threading.active_count() == before


def test_an_error_ends_the_work_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "usable_cores", lambda: 2)
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 25:
            raise MemoryError
        return item

    answers = map_in_order(work, range(10_000), 10)
    with pytest.raises(MemoryError):
        list(answers)
    assert len(begun) < 100
