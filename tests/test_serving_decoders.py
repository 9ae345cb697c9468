"""Decoders that do not come back: the server says so, answers everything else, and ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from helpers import bombs
from helpers.serving import picture, problem, running, until
from sightline.serving import Limits, decoders
from sightline.serving import app as app_room

PROGRAM = """
import sys, time
import sightline.classifier
from helpers.serving import classifier
from sightline.serving import app
sightline.classifier.load = lambda path, **_: classifier()
app.prepare = lambda *_: time.sleep(60)
from sightline.cli.app import run
sys.exit(run(["serve", "model", "--port", "0", "--json", "--max-batch", "4", "--answer-seconds", "2"]))
"""
LARGE = {"Content-Type": "image/bmp"}


@pytest.fixture
def held(monkeypatch):
    """Hold every picture that is decoded in a thread, until the event is set."""
    free, real = threading.Event(), app_room.prepare

    def wait(*arguments):
        if threading.current_thread().name.startswith("sightline-decoder"):
            free.wait(30)
        return real(*arguments)

    monkeypatch.setattr(app_room, "prepare", wait)
    yield free
    free.set()


def large():
    return picture(200, (300, 300), "BMP")


def test_it_is_not_ready_while_every_decoder_is_stuck_and_ready_again_after(held, monkeypatch):
    monkeypatch.setattr(decoders, "STUCK_SECONDS", 1.0)
    with running(limits=Limits(max_batch=8, decode_threads=2)) as served, ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.post, large(), headers=LARGE)
        until(lambda: served.app.in_hand == 1)
        time.sleep(1.2)
        assert served.get("/health/ready").ok  # one of two is free
        second = pool.submit(served.post, large(), headers=LARGE)
        until(lambda: served.app.in_hand == 2)
        assert served.get("/health/ready").ok  # it has only begun
        time.sleep(1.2)
        assert "every decoder" in problem(served.get("/health/ready"), 503)["detail"]
        assert served.get("/health/live").ok
        begun = time.perf_counter()
        assert served.post(picture()).ok  # a small picture needs no thread
        assert time.perf_counter() - begun < 3
        held.set()
        assert first.result().ok and second.result().ok
        assert served.get("/health/ready").ok


def test_stuck_decoders_hold_neither_answers_nor_the_end(held):
    with running(limits=Limits(max_batch=8, decode_threads=1, answer_seconds=0.3)) as served:
        for _ in range(3):
            assert "no answer within" in problem(served.post(large(), headers=LARGE), 503)["detail"]
        assert len(served.app._decoders._jobs) == 0  # what nobody waits for is not kept
        begun = time.perf_counter()
        served.server.end()
        served.thread.join(10)
        assert not served.thread.is_alive() and time.perf_counter() - begun < 8


def test_a_bomb_is_refused_while_others_are_answered_at_once():
    bomb = bombs.scan_bomb(50_000)
    assert 6 << 20 < len(bomb) < 8 << 20
    with running() as served, ThreadPoolExecutor(4) as pool:
        begun = time.perf_counter()
        answers = [pool.submit(served.post, bomb, headers={"Content-Type": "image/jpeg"}) for _ in range(4)]
        longest = 0.0
        for _ in range(20):
            one = time.perf_counter()
            assert served.post(picture()).ok
            longest = max(longest, time.perf_counter() - one)
        for answer in answers:
            assert "more scans" in problem(answer.result(), 422)["detail"]
        assert time.perf_counter() - begun < 3
        assert longest < 0.2


@pytest.fixture
def stuck(request):
    """A server as a program, whose decoder does not come back."""
    folders = [str(request.path.parent), os.environ.get("PYTHONPATH", "")]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))},
    ) as program:
        url = json.loads(program.stdout.readline())["url"]
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(requests.post, f"{url}/v1/predict", large(), headers=LARGE, timeout=20)
            until(lambda: "sightline_calls_in_hand 1.0" in requests.get(f"{url}/metrics", timeout=20).text)
            yield program, asked
            program.kill()


def test_it_ends_within_the_time_of_an_answer_though_a_decoder_is_stuck(stuck):
    program, asked = stuck
    begun = time.perf_counter()
    program.terminate()
    assert asked.result().status_code == 503
    assert program.wait(10) == 0
    assert time.perf_counter() - begun < 9
    assert "Traceback" not in program.stderr.read()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(stuck, second):
    program, _ = stuck
    program.terminate()
    time.sleep(0.3)
    assert program.poll() is None
    begun = time.perf_counter()
    program.send_signal(second)
    assert program.wait(5) == -second
    assert time.perf_counter() - begun < 4
