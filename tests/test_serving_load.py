"""Too many calls at once, answers that take too long, probes, and the end: what is in hand is finished."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from helpers.serving import HEAD, SLOW, Rule, answer_of, classifier, picture, problem, running, until
from sightline.serving import Limits, create_app
from sightline.serving.problems import Problem

MIB = 2**20


def test_a_full_queue_is_429_with_a_time_to_come_again():
    rule = Rule(seconds=SLOW)
    with running(classifier(rule), Limits(max_batch=1, queue=3)) as server, ThreadPoolExecutor(3) as pool:
        rule.free.clear()
        waiting = [pool.submit(server.post, picture()) for _ in range(3)]
        until(lambda: server.app.in_hand == 3)
        refused = server.post(picture())
        details = problem(refused, 429)
        assert int(refused.headers["Retry-After"]) >= 1
        assert "3 calls" in details["detail"]
        assert server.get("/health/live").ok
        rule.free.set()
        assert [call.result().status_code for call in waiting] == [200] * 3
        assert server.post(picture()).ok


def test_an_answer_that_takes_too_long_is_503():
    rule = Rule(seconds=SLOW)
    with running(classifier(rule), Limits(max_batch=1, answer_seconds=0.3)) as server:
        rule.free.clear()
        response = server.post(picture())
        problem(response, 503)
        assert int(response.headers["Retry-After"]) >= 1
        problem(server.get("/health/ready"), 503)
        rule.free.set()
        until(lambda: server.post(picture()).ok)


def test_probes_share_one_inference():
    """However many ask whether it is ready, one more picture waits for the network."""
    rule = Rule(seconds=SLOW)

    async def work():
        app = create_app(classifier(rule), Limits(max_batch=1))
        async with app.lifespan(None):
            rule.free.clear()
            measured = rule.calls
            probes = [asyncio.create_task(app.ready(None)) for _ in range(50)]
            while rule.calls == measured:
                await asyncio.sleep(0.005)
            for probe in probes[::2]:
                probe.cancel()
            await asyncio.sleep(0.01)
            assert [probe.cancelled() for probe in probes] == [True, False] * 25
            rule.free.set()
            answers = await asyncio.wait_for(asyncio.gather(*probes[1::2]), 10)
            assert {answer.status_code for answer in answers} == {200}
            assert rule.calls == measured + 1
            rule.value = float("nan")  # a later probe asks the network anew, and hears of what is wrong now
            with pytest.raises(Problem, match="no number"):
                await app.ready(None)
            assert rule.calls == measured + 2

    asyncio.run(work())


def test_probes_of_two_event_loops_wait_for_neither_others():
    app = create_app(classifier(Rule(seconds=SLOW)), Limits(max_batch=1))
    left = asyncio.new_event_loop()
    left.run_until_complete(asyncio.wait([left.create_task(app.ready(None))], timeout=0))
    try:
        assert asyncio.run(app.ready(None)).status_code == 200
    finally:
        left.run_until_complete(asyncio.sleep(0.1))
        left.close()
        app.engine.stop()


def test_much_arriving_at_once_is_429():
    # One body of nearly 1 MiB fits where one call may be in hand; what comes beyond is refused, not kept.
    limits = Limits(max_batch=1, queue=1, max_body_mib=1, receive_seconds=5)
    with running(limits=limits) as server:
        head = HEAD + b"Content-Length: %d\r\n\r\n" % MIB
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=10) as first,
            socket.create_connection(("127.0.0.1", server.port), timeout=10) as second,
        ):
            for connection in (first, second):
                connection.sendall(head + b"x" * (MIB - 10))
            (refused,) = select.select([first, second], [], [], 10)[0]
            assert answer_of(refused)[0] == 429
            kept = second if refused is first else first
            kept.sendall(b"x" * 10)
            assert answer_of(kept)[0] == 422
        problem(server.post(b"x" * MIB), 422)  # as much as fits, so that nothing else is counted any more


def test_ending_refuses_new_work_and_finishes_what_is_in_hand():
    rule, before = Rule(seconds=SLOW), set(threading.enumerate())
    with running(classifier(rule)) as server, ThreadPoolExecutor(1) as pool:
        rule.free.clear()
        measured = rule.calls
        waiting = pool.submit(server.post, picture(255))
        until(lambda: rule.calls == measured + 1)
        server.server.end()
        response = server.get("/health/ready")
        problem(response, 503)
        refused = server.post(picture())
        problem(refused, 503)
        assert "Retry-After" in refused.headers
        assert not waiting.done()
        rule.free.set()
        assert waiting.result().json()["predictions"][0]["label"] == "light"
        server.thread.join(10)
        with pytest.raises(requests.ConnectionError):
            server.get("/health/live")
    assert set(threading.enumerate()) <= before
