"""Everything that is too much of one client: bodies, pictures, heads, time; and what is no HTTP at all."""

from __future__ import annotations

import io
import socket
import struct
import tempfile
import time
import zlib

import pytest
from PIL import Image

from helpers.serving import HEAD, answer_of, check_problem, picture, problem, running, until
from sightline.serving import Limits
from sightline.serving.protocol import Protocol

MIB = 2**20


@pytest.fixture(scope="module")
def served():
    limits = Limits(max_batch=8, max_body_mib=0.25, max_megapixels=1, max_images=3, receive_seconds=0.6)
    with running(limits=limits) as server:
        yield server


def test_a_declared_body_is_refused_before_it_comes(served):
    status, _, body = served.raw(HEAD + b"Content-Length: %d\r\n\r\n" % (10 * MIB))
    assert "0.25 MiB" in check_problem(body, 413)["detail"]
    assert status == 413


@pytest.mark.parametrize("length", [b"9" * 19, b"99999999999999999999"])
def test_an_absurd_length_is_refused(served, length):
    status, _, _ = served.raw(HEAD + b"Content-Length: " + length + b"\r\n\r\n")
    assert status in (400, 413)


def test_an_undeclared_body_is_counted_as_it_comes(served):
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    status, _, body = served.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 8)
    assert status == 413
    check_problem(body, 413)


def test_a_large_body_is_refused_so_that_the_client_sees_it(served):
    # A client that sends everything before it reads must not find a broken connection instead of the answer.
    problem(served.post(b"x" * MIB), 413)


def test_a_body_of_just_the_limit_is_read(served):
    problem(served.post(b"x" * (MIB // 4)), 422)
    problem(served.post(b"x" * (MIB // 4 + 1)), 413)


def test_more_bytes_than_declared_are_no_part_of_the_body(served):
    content = picture(255)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content + b"rubbish\r\n\r\n")
        received = b""
        while part := connection.recv(65536):
            received += part
    first, _, second = received.partition(b"HTTP/1.1 400 ")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert b"light" in first
    check_problem(second.partition(b"\r\n\r\n")[2], 400)


@pytest.mark.parametrize(
    "head", [HEAD + b"Content-Length: 1000\r\n\r\nabc", HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"]
)
def test_a_body_that_does_not_come_is_408(served, head):
    start = time.monotonic()
    status, headers, body = served.raw(head)
    assert status == 408
    check_problem(body, 408)
    assert headers["connection"] == "close"
    assert 0.5 < time.monotonic() - start < 8


def test_a_body_that_drips_is_408(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        for _ in range(12):
            try:
                connection.sendall(b"x")
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(0.1)
        assert answer_of(connection)[0] in (408, 0)  # 0: reset by what was sent after the answer


@pytest.mark.parametrize("beginning", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_a_head_that_does_not_come_ends_the_connection(served, beginning):
    start = time.monotonic()
    assert served.raw(beginning)[0] == 0
    assert 0.4 < time.monotonic() - start < 8


def reading_little(server, monkeypatch):
    """Connect with buffers of a few KiB on both sides, as small as the system has them."""
    real = Protocol.connection_made

    def made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        real(self, transport)

    monkeypatch.setattr(Protocol, "connection_made", made)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", server.port))
    return connection


def waiting(server, connection):
    """How many bytes wait for this client to read; None where the server knows it no more."""
    own = connection.getsockname()
    for each in set(server.server.server_state.connections):
        if each.client == own:
            return each.transport.get_write_buffer_size()
    return None


def large_request(server, *headers):
    """A request whose answer is larger than those buffers, but smaller than what uvicorn lets wait by itself."""
    path = "/openapi.json"
    assert 8 * 1024 < len(server.get(path).content) < 60 * 1024
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{''.join(headers)}\r\n".encode()


@pytest.mark.parametrize("way", ["kept", "closed", "one side closed", "many"])
def test_an_answer_that_nobody_takes_ends_the_connection(served, monkeypatch, way):
    request = large_request(served, *(["Connection: close\r\n"] if way == "closed" else []))
    with reading_little(served, monkeypatch) as connection:
        connection.sendall(request * (50 if way == "many" else 1))
        until(lambda: waiting(served, connection))
        start = time.monotonic()
        if way == "one side closed":
            connection.shutdown(socket.SHUT_WR)
        until(lambda: not waiting(served, connection))
        assert 0.4 < time.monotonic() - start < 8
        until(lambda: not served.server.server_state.tasks)


def test_an_answer_that_is_taken_slowly_but_in_time_is_whole(served, monkeypatch):
    request = large_request(served)
    expected = served.get("/openapi.json").content
    with reading_little(served, monkeypatch) as connection:
        for _ in range(2):  # the time of the first is not the second's
            connection.sendall(request)
            time.sleep(0.4)
            status, _, body = answer_of(connection)
            assert (status, body) == (200, expected)


def test_an_answer_that_nobody_takes_does_not_hold_up_the_end(monkeypatch):
    limits = Limits(max_batch=8, receive_seconds=0.6, answer_seconds=14)
    with running(limits=limits) as server, reading_little(server, monkeypatch) as connection:
        connection.sendall(large_request(server) * 50)
        until(lambda: waiting(server, connection))
        start = time.monotonic()
        server.server.end()
        server.thread.join(20)
        assert time.monotonic() - start < 8


def test_a_client_that_leaves_is_forgotten(served):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leave by a reset
    assert served.post(picture()).ok
    assert served.app.in_hand == 0


def png_claiming(width, height):
    """Make a PNG whose header claims a size, with hardly any data behind it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(1001, 1000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_of_too_many_pixels_is_not_decoded(served, size):
    start = time.monotonic()
    problem(served.post(png_claiming(*size)), 413)
    assert time.monotonic() - start < 5


def test_a_bomb_that_is_a_whole_picture_is_not_decoded(served):
    stream = io.BytesIO()
    Image.new("1", (6000, 6000)).save(stream, "PNG")
    assert len(stream.getvalue()) < 64 * 1024
    details = problem(served.post(stream.getvalue()), 413)
    assert "6000 x 6000" in details["detail"]


def test_a_picture_of_just_the_limit_is_decoded(served):
    assert served.post(picture(size=(1000, 1000))).ok


def test_too_many_pictures_are_422(served):
    files = [("file", (str(i), picture())) for i in range(4)]
    assert served.post(files=files[:3]).ok
    assert "at most 3" in problem(served.post(files=files), 422)["detail"]


def test_huge_heads_are_400(served):
    for head in (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    ):
        status, headers, body = served.raw(head)
        assert status in (400, 0)  # 0: reset by what was sent after the answer
        if status:
            check_problem(body, 400)
            assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not HTTP but TLS\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400(served, text):
    status, _, body = served.raw(text)
    assert status == 400 or (status == 501 and b"gzip" in text)
    check_problem(body, 400)
    assert served.get("/health/live").ok


def test_a_chunk_that_is_none_ends_the_call(served):
    status, _, body = served.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n")
    assert status == 400
    check_problem(body, 400)


def test_an_answer_s_body_does_not_wait_for_the_client_to_confirm_its_head(served, monkeypatch):
    """With Nagle's algorithm each answer would take 40 ms longer."""
    undelayed = []
    real = Protocol.connection_made

    def watched(self, transport):
        real(self, transport)
        undelayed.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(Protocol, "connection_made", watched)
    assert served.post(picture()).status_code == 200
    assert undelayed and all(undelayed)


def test_requests_one_behind_the_other_are_answered_in_order(served):
    one = HEAD + b"Content-Length: %d\r\n\r\n%s"
    light, dark = picture(255), picture(0)
    both = one % (len(light), light) + one % (len(dark), dark)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(both)
        received = b""
        while received.count(b"milliseconds") < 2:
            received += connection.recv(65536)
    assert received.index(b'"label":"light"') < received.index(b'"label":"dark"')


def test_uploads_are_never_on_disk(served, monkeypatch, tmp_path):
    def no_file(*_args, **_options):
        raise AssertionError("a file was opened")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError), tempfile.TemporaryFile():
        pass
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", no_file)
    noise = Image.effect_noise((400, 400), 90)
    stream = io.BytesIO()
    noise.save(stream, "PNG")
    assert served.post(files=[("file", ("big.png", stream.getvalue()))]).ok
