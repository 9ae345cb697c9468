"""A server in a thread, around a network whose answers can be worked out by hand."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import requests
from PIL import Image

from sightline.classifier import Classifier
from sightline.data.preprocessing import unit_preprocessing
from sightline.serving import Limits, create_app
from sightline.serving.access import hosts_of
from sightline.serving.running import Server, address, listen

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
NAMES = ("dark", "grey", "light")
SLOW = 0.004


@dataclass
class Rule:
    """Three classes by the mean brightness of a picture. Can be held up, told to fail, and remembers its batches.

    `SLOW` seconds are long enough for calls to gather meanwhile.
    """

    batches: list[int] = field(default_factory=list)
    free: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    value: float = 1.0
    seconds: float = 0.0
    calls: int = 0

    def __post_init__(self) -> None:
        self.free.set()

    def probabilities(self, pixels):
        self.calls += 1
        self.free.wait(20)
        time.sleep(self.seconds)
        self.batches.append(len(pixels))
        if self.error:
            raise self.error
        return self.value * by_hand(pixels)


def by_hand(pixels):
    """Give float32 (n, 3) for uint8 (n, H, W, C): distances to three levels, made to sum to 1."""
    mean = pixels.reshape(len(pixels), -1).astype(np.float64).mean(axis=1)
    near = np.exp(-np.abs(mean[:, None] - np.array([0.0, 128.0, 255.0])) / 64)
    return (near / near.sum(axis=1, keepdims=True)).astype(np.float32)


def classifier(backend=None, size=(8, 8, 1), names=NAMES) -> Classifier:
    return Classifier(backend or Rule(), unit_preprocessing(size), names)


def picture(level=200, size=(8, 8), kind="PNG", **options) -> bytes:
    stream = io.BytesIO()
    Image.new("L", size, level).save(stream, kind, **options)
    return stream.getvalue()


@dataclass
class Served:
    url: str
    port: int
    app: Any
    server: Server
    thread: threading.Thread

    def post(self, content=None, query="", **options) -> requests.Response:
        if content is not None:
            options["data"] = content
            options.setdefault("headers", {"Content-Type": "image/png"})
        return requests.post(f"{self.url}/v1/predict{query}", timeout=20, **options)

    def get(self, path, **options) -> requests.Response:
        return requests.get(self.url + path, timeout=20, **options)

    def raw(self, *parts: bytes, pause=0.0, timeout=15.0) -> tuple[int, dict[str, str], bytes]:
        """Send bytes as they are, and read until the other side closes or the answer is whole."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            for part in parts:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(part)
                time.sleep(pause)
            return answer_of(connection)


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer; status 0 where the connection ends without one."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while b"\r\n\r\n" not in received:
            part = connection.recv(65536)
            if not part:
                return 0, {}, received
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        part = connection.recv(65536)
        if not part:
            break
        body += part
    return int(lines[0].split()[1]), headers, body[: int(headers.get("content-length", len(body)))]


@contextlib.contextmanager
def running(model=None, limits=None, **options):
    """Serve `model` until the block ends."""
    listener = listen("127.0.0.1", 0)
    trust_proxies = options.pop("trust_proxies", ())
    options.setdefault("hosts", hosts_of("127.0.0.1"))
    app = create_app(model or classifier(), limits or Limits(max_batch=8), **options)
    server = Server(app, trust_proxies)
    started = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve_on(listener, started.set)))
    url, port = address(listener), listener.getsockname()[1]
    thread.start()
    try:
        assert started.wait(20)
        yield Served(url, port, app, server, thread)
    finally:
        server.end()
        thread.join(20)
        assert not thread.is_alive()


def problem(response: requests.Response, status: int) -> dict[str, Any]:
    """Check that an answer is problem+json of this status, and give it."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    return check_problem(response.content, status)


def check_problem(content: bytes, status: int) -> dict[str, Any]:
    details = json.loads(content)
    assert details["status"] == status
    assert details["type"] == "about:blank"
    assert details["title"]
    assert details["detail"]
    assert "\n" not in details["detail"]
    return details


def until(condition):
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come to pass")
