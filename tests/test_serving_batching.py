"""The engine alone: what is put together, what is left out, and how it ends."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from helpers.serving import Rule, by_hand, classifier
from sightline.serving.batching import Engine, best_batch


def pixels(count, level=7):
    return np.full((count, 8, 8, 1), level, np.uint8)


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to pass")


def drive(work):
    """Run `work(engine, rule)` with an engine of batches of 8."""
    rule = Rule()
    engine = Engine(classifier(rule), 8)
    try:
        return asyncio.run(work(engine, rule)), rule.batches
    finally:
        rule.free.set()
        engine.stop()


def test_a_lone_call_goes_at_once():
    async def work(engine, rule):
        return await asyncio.wait_for(engine.probabilities(pixels(1)), 5)

    rows, batches = drive(work)
    assert np.array_equal(rows, by_hand(pixels(1)))
    assert batches == [1]


def test_what_waits_is_computed_together_each_with_its_own_answer():
    async def work(engine, rule):
        rule.free.clear()
        first = asyncio.create_task(engine.probabilities(pixels(1)))
        await until(lambda: rule.calls == 1)
        rest = [asyncio.create_task(engine.probabilities(pixels(n, 40 * n))) for n in (1, 2, 3, 4)]
        await asyncio.sleep(0)  # all of them wait now
        rule.free.set()
        await first
        return await asyncio.gather(*rest)

    answers, batches = drive(work)
    # 1 + 2 + 3 fit into eight, four more do not.
    assert batches == [1, 6, 4]
    for n, rows in zip((1, 2, 3, 4), answers, strict=True):
        assert np.array_equal(rows, by_hand(pixels(n, 40 * n)))


def test_a_call_larger_than_a_batch_is_computed_in_parts():
    async def work(engine, rule):
        return await engine.probabilities(pixels(20))

    rows, batches = drive(work)
    assert rows.shape == (20, 3)
    assert batches == [8, 8, 4]


def test_nobody_waits_for_a_call_that_was_given_up():
    async def work(engine, rule):
        rule.free.clear()
        first = asyncio.create_task(engine.probabilities(pixels(1)))
        await until(lambda: rule.calls == 1)
        second = asyncio.create_task(engine.probabilities(pixels(5)))
        third = asyncio.create_task(engine.probabilities(pixels(2)))
        await asyncio.sleep(0)  # both of them wait now
        second.cancel()
        await asyncio.sleep(0)
        rule.free.set()
        await asyncio.gather(first, third)

    _, batches = drive(work)
    assert batches == [1, 2]


def test_an_error_reaches_all_of_its_batch_and_no_other():
    async def work(engine, rule):
        rule.error = ValueError("no")
        with pytest.raises(ValueError, match="no"):
            await engine.probabilities(pixels(1))
        rule.error = None
        return await engine.probabilities(pixels(1))

    rows, _ = drive(work)
    assert rows.shape == (1, 3)


def test_stopping_finishes_what_waits():
    async def work(engine, rule):
        rule.free.clear()
        calls = [asyncio.create_task(engine.probabilities(pixels(8))) for _ in range(3)]
        await until(lambda: rule.calls == 1)  # the others wait
        ending = asyncio.create_task(asyncio.to_thread(engine.stop))
        await asyncio.sleep(0.05)
        assert not ending.done()
        rule.free.set()
        await ending
        return await asyncio.wait_for(asyncio.gather(*calls), 5)

    answers, batches = drive(work)
    assert len(answers) == 3
    assert batches == [8, 8, 8]
    assert "sightline-engine" not in {thread.name for thread in threading.enumerate()}


def test_a_loop_that_ended_leaves_nothing_undone_for_the_next():
    rule = Rule()
    engine = Engine(classifier(rule), 8)

    async def leave():
        asyncio.create_task(engine.probabilities(pixels(1)))  # noqa: RUF006
        await asyncio.sleep(0)

    async def ask():
        return await asyncio.wait_for(engine.probabilities(pixels(2)), 5)

    asyncio.run(leave())
    assert np.array_equal(asyncio.run(ask()), by_hand(pixels(2)))
    engine.stop()


class Costs(Rule):
    """Takes as long as `costs` says, by the clock that the engine measures with."""

    def __init__(self, costs, clock):
        super().__init__()
        self.costs, self.clock = costs, clock

    def probabilities(self, pixels):
        self.clock[0] += self.costs(len(pixels))
        return super().probabilities(pixels)


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        (lambda n: 0.001, 64),  # a batch costs what one picture does: the larger the better
        (lambda n: 0.001 * n, 1),  # nothing is gained
        (lambda n: 0.001 * max(n, 8), 8),
        (lambda n: 0.1 + 0.001 * n, 64),
        (lambda n: 0.3, 1),  # slower than anyone wants to wait
    ],
)
def test_the_batch_is_the_smallest_that_pays(monkeypatch, seconds, best):
    clock = [0.0]
    monkeypatch.setattr("sightline.serving.batching.time.perf_counter", lambda: clock[0])
    assert best_batch(classifier(Costs(seconds, clock))) == best
