"""Other ways to send pictures: gzip, JSON with base64, names that are not ASCII; and connections that end oddly."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import socket
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest
import requests

from helpers.serving import HEAD, Rule, answer_of, classifier, picture, problem, running, until
from sightline.serving import Limits

MIB = 2**20
JSON = {"Content-Type": "application/json"}
PACKED = {"Content-Type": "image/png", "Content-Encoding": "gzip"}


@pytest.fixture(scope="module")
def served():
    with running(limits=Limits(max_batch=8, max_body_mib=1, max_images=3)) as server:
        yield server


def test_a_gzip_body_is_unpacked(served):
    plain = served.post(picture(40)).json()["predictions"]
    for headers in (PACKED, {**PACKED, "Content-Encoding": "X-Gzip"}):
        assert served.post(gzip.compress(picture(40)), headers=headers).json()["predictions"] == plain
    parts = (gzip.compress(picture(40))[place : place + 7] for place in range(0, 200, 7))  # in chunks
    assert served.post(parts, headers=PACKED).json()["predictions"] == plain
    form = requests.Request("POST", served.url, files={"file": picture(40)}).prepare()
    packed = {"Content-Type": form.headers["Content-Type"], "Content-Encoding": "gzip"}
    assert served.post(gzip.compress(form.body), headers=packed).ok


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(picture())[:-1], gzip.compress(picture()) + b"x", gzip.compress(picture()) * 2,
     zlib.compress(picture())],
    ids=["empty", "no gzip", "cut", "with more behind it", "twice", "zlib"],  # content would have the time in it
)  # fmt: skip
def test_damaged_gzip_is_400(served, content):
    assert "gzip" in problem(served.post(content, headers=PACKED), 400)["detail"]


def test_a_bomb_is_unpacked_no_further_than_the_limit(served):
    bomb = gzip.compress(bytes(200 * MIB))
    assert len(bomb) < MIB / 4
    tracemalloc.start()
    problem(served.post(bomb, headers=PACKED), 413)
    assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    tracemalloc.stop()
    just = picture() + bytes(MIB - len(picture()))
    assert served.post(gzip.compress(just), headers=PACKED).status_code in (200, 422)
    problem(served.post(gzip.compress(just + b"x"), headers=PACKED), 413)


def test_json_with_base64_or_data_urls_is_answered(served):
    text = base64.b64encode(picture(255)).decode()
    broken = "\n".join(text[place : place + 76] for place in range(0, len(text), 76))
    images = [text, f"data:image/png;base64,{text}", broken]
    answers = served.post(json.dumps({"images": images}), headers=JSON).json()["predictions"]
    assert [(answer["name"], answer["label"]) for answer in answers] == [(f"image {n}", "light") for n in range(3)]
    mixed = served.post(json.dumps({"images": [text, "AAAA"]}), headers=JSON).json()["predictions"]
    assert mixed[0]["label"] == "light" and mixed[1]["error"]["status"] == 422


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        ("", 400, "not JSON"),
        ("{", 400, "not JSON"),
        ("[" * 100_000, 400, "not JSON"),
        ("[]", 400, '{"images": ["...", ...]}'),
        ('{"image": "AAAA"}', 400, '{"images": ["...", ...]}'),
        ('{"images": "AAAA"}', 400, '{"images": ["...", ...]}'),
        ('{"images": []}', 400, '{"images": ["...", ...]}'),
        ('{"images": [1]}', 400, '{"images": ["...", ...]}'),
        ('{"images": ["AAAA"], "top": 1}', 400, '{"images": ["...", ...]}'),
        ('{"images": ["AAA"]}', 400, "image 0 is not base64"),
        ('{"images": ["AAAA", "\u00e9"]}', 400, "image 1 is not base64"),
        ('{"images": ["data:image/png,AAAA"]}', 400, "image 0 is not a data URL with base64"),
        ('{"images": ["https://example.org/a.png"]}', 400, "image 0 is not base64"),
        ('{"images": ["A", "A", "A", "A"]}', 422, "at most 3"),
    ],
)
def test_other_json_is_refused_in_words(served, content, status, said):
    assert said in problem(served.post(content.encode(), headers=JSON), status)["detail"]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (b"filename*=UTF-8''%e7%8c%ab.png", "猫.png"),
        (b"filename=\"cat.png\"; filename*=utf-8'zh'%E7%8C%AB.png", "猫.png"),
        (b"filename*=iso-8859-1''caf%E9.png", "café.png"),
        (b"filename*=utf-8''%ff.png", "\ufffd.png"),
        (b"filename*=klingon''x.png; filename=\"cat.png\"", "cat.png"),
        (b"filename=\"a; filename*=utf-8''b.png\"", "a; filename*=utf-8''b.png"),
    ],
)
def test_extended_names_of_files_are_read(served, written, name):
    form = b'--B\r\nContent-Disposition: form-data; name="file"; %s\r\n\r\n%s\r\n--B--\r\n' % (written, picture())
    answer = served.post(form, headers={"Content-Type": "multipart/form-data; boundary=B"})
    assert answer.json()["predictions"][0]["name"] == name


def test_a_message_with_two_lengths_is_the_connections_last(served):
    content = picture()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
    for both, stays in ((b"Content-Length: 5\r\n", False), (b"", True)):
        with socket.create_connection(("127.0.0.1", served.port), timeout=15) as connection:
            connection.sendall(HEAD + both + b"Transfer-Encoding: chunked\r\n\r\n" + chunked)
            status, headers, _ = answer_of(connection)
            assert status == 200 and (headers.get("connection") != "close") is stays
            connection.settimeout(0.3 if stays else 15)
            if stays:
                with pytest.raises(TimeoutError):
                    connection.recv(1)
            else:
                assert connection.recv(1) == b""


def test_a_client_that_has_stopped_sending_gets_its_answers():
    content = picture()
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content
    rule = Rule(seconds=0.2)
    with running(classifier(rule)) as server:
        for count in (1, 3):
            with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
                connection.sendall(request * count)
                connection.shutdown(socket.SHUT_WR)
                received = b""
                while part := connection.recv(65536):
                    received += part
            assert received.count(b"HTTP/1.1 200 OK") == count
        with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
            connection.sendall(request[:-1])
            connection.shutdown(socket.SHUT_WR)
            assert b"200 OK" not in connection.recv(65536)
        until(lambda: not server.server.server_state.connections)


PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from helpers.serving import classifier
from sightline.serving import Limits, create_app
from sightline.serving.running import address, listen, run
listener = listen("127.0.0.1", 0)
app = create_app(classifier(), Limits(max_batch=4, receive_seconds=60))
run(app, listener, started=lambda: print(address(listener), flush=True))
"""


def start(limit):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(limit)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parent,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_more_connections_than_descriptors_are_refused_in_a_line():
    with start(64) as program, contextlib.ExitStack() as held:
        try:
            url = program.stdout.readline().strip()
            port = int(url.rpartition(":")[2])
            # One after the other, since the system drops what comes while few are accepted.
            for _ in range(70):
                last = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            assert last.recv(4096).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            held.close()
            until(lambda: _is_alive(url))
        finally:
            program.terminate()
        out, err = program.communicate(timeout=20)
    assert re.fullmatch(r"\d+ connections are open, the most that are kept; more are refused with 503\n", err)
    assert (program.returncode, out) == (0, "")


def test_too_few_descriptors_for_any_connection_are_told():
    with start(16) as program:
        out, err = program.communicate(timeout=20)
    assert "open files: at most 16 are allowed (expected at least" in err and "ulimit -n" in err
    assert (program.returncode, out) == (1, "")


def _is_alive(url):
    try:
        return requests.get(f"{url}/health/live", timeout=20).ok
    except requests.ConnectionError:
        return False
