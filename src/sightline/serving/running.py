"""From an application to a running server: the socket, the signals, and the end without haste."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from types import FrameType

import uvicorn

from sightline.errors import Interrupted, ResourceError, UsageError
from sightline.serving.access import no_address
from sightline.serving.app import App
from sightline.serving.capacity import capacity
from sightline.serving.protocol import protocol

TICK_SECONDS = 0.05
KEEP_ALIVE_SECONDS = 30
MOST_WAITING = 1024
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes any that is free.

    Raises ResourceError where the port is taken or refused, UsageError for an address that is not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    except (socket.gaierror, UnicodeError):
        raise no_address(host) from None
    try:
        listener = socket.create_server((host, port), family=family)
    except PermissionError:
        raise ResourceError(
            "--port", f"{port} may not be opened by this user", advice="Use one above 1023, or --port 0 for any."
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError("--host", f"{host} is not this machine's", "an address of this machine") from None
        taken = "in use" in (error.strerror or "").lower()
        found = f"{port} is taken by another program" if taken else f"{port} cannot be opened ({error.strerror})"
        raise ResourceError("--port", found, advice="Use another one, or --port 0 for any that is free.") from None
    # asyncio sends at once (TCP_NODELAY) only on sockets that name their protocol. Otherwise the body of an answer
    # would wait until the client confirms its head, which it may put off for 40 ms.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())


def address(listener: socket.socket) -> str:
    """Give the URL at which a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run(
    app: App,
    listener: socket.socket,
    *,
    trust_proxies: Sequence[str] = (),
    started: Callable[[], object] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is in hand.

    `trust_proxies`: addresses whose X-Forwarded-For and X-Forwarded-Proto are believed. `started` is called when
    requests are taken; what it raises is raised at the end. Raises Interrupted after Ctrl-C.
    """
    for library in ("PIL", "python_multipart"):  # what they say of broken uploads would fill the log
        logging.getLogger(library).setLevel(logging.CRITICAL)
    server = Server(app, trust_proxies)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(server.serve_on(listener, started))
    if server.interrupted:
        raise Interrupted("serve", "stopped by Ctrl-C after all open requests were answered")


class Server(uvicorn.Server):
    """Uvicorn, whose end begins with the application taking no new work."""

    def __init__(self, app: App, trust_proxies: Sequence[str] = ()) -> None:
        self.capacity = capacity()
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol(app.limits.receive_seconds, self.capacity),
                backlog=self.capacity.at_once,
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="critical",
                access_log=False,
                proxy_headers=bool(trust_proxies),
                forwarded_allow_ips=list(trust_proxies),
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=int(app.limits.answer_seconds) + 1,
            )
        )
        self.app = app
        self.interrupted = False

    async def serve_on(self, listener: socket.socket, started: Callable[[], object] | None = None) -> None:
        """Serve until `end` was called. What `started` raises is raised then."""
        asyncio.get_running_loop().set_exception_handler(self.capacity.failed)
        watch = asyncio.create_task(self._watch(listener, started))
        try:
            await self.serve(sockets=[listener])
        finally:
            watch.cancel()
        if watch.done():
            watch.result()

    async def _watch(self, listener: socket.socket, started: Callable[[], object] | None) -> None:
        while not self.started:
            await asyncio.sleep(TICK_SECONDS)
        # asyncio accepts as many at a time as wait in the system; a burst may wait there without descriptors.
        listener.listen(MOST_WAITING)
        try:
            if started is not None:
                started()
        finally:  # it serves, and can be ended, also where nobody could be told
            while not (self.app.draining and self.app.in_hand == 0):
                await asyncio.sleep(TICK_SECONDS)
            self.should_exit = True

    def end(self) -> None:
        """Take no new work, and stop when what is in hand is finished."""
        self.app.drain()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to end; a second signal ends the process at once, as the system does, whatever its threads do."""
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self.interrupted |= sig == signal.SIGINT
        self.end()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handle the two signals as long as it serves. Uvicorn would raise them once more at its end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sig: signal.signal(sig, self.handle_exit) for sig in SIGNALS}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)
