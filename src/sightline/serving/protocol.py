"""HTTP as it arrives: uvicorn's protocol, with limits on slow heads and readers, and its refusals as problem+json.

A connection takes a descriptor, and a server without any accepts nobody and spins; so there is a most of them. And a
client may stop sending before its answer comes.

uvicorn waits for a request's head, and for a client that reads, as long as these please: a few hundred connections that
send a byte a minute would take all there are. It offers no setting for either, so its protocol is derived from here.
What is relied on are asyncio's own callbacks and h11's states; `send_400_response` and `on_response_complete` are
uvicorn's. tests/test_serving_limits.py holds all of it against the installed versions.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from sightline.serving.capacity import Capacity
from sightline.serving.gate import FRAME
from sightline.serving.problems import Problem


class Protocol(H11Protocol):
    """A connection. A request's head, and a body that nobody reads any more, must be here within `patience` seconds.

    In as many seconds an answer must have been taken. Bodies that are read are timed by the application, which can
    answer 408.
    """

    patience: ClassVar[float] = 10.0
    capacity: ClassVar[Capacity] = Capacity()
    _ended: bool = False
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        if self.capacity.is_full(len(self.connections)):
            self.transport = transport
            self._refuse(Problem(503, "too many connections are open; try again later"))
            return
        # Writing is paused as soon as anything waits for the client, and goes on when nothing does.
        transport.set_write_buffer_limits(high=0)
        super().connection_made(transport)
        self._await_more()

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and see whether a head is still missing."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE and self.conn.our_state is not h11.DONE:
            self._stop_waiting()
        elif self._deadline is None and not self.transport.is_closing():
            self._await_more()

    def on_response_complete(self) -> None:
        """Let the rest of a body pass that was refused early, so that the client comes to read the answer."""
        if self.conn.their_state is h11.SEND_BODY:
            self._await_more()
        super().on_response_complete()
        if self._ended and self.cycle.response_complete:
            self.transport.close()

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] (asyncio's may be either)
        """Keep the connection of a client that only has nothing more to send, until what it asked for is answered."""
        self._ended = True
        cycle = cast("RequestResponseCycle | None", self.cycle)  # uvicorn's type says that there always is one
        return cycle is not None and not cycle.response_complete and self.conn.their_state is not h11.SEND_BODY

    def pause_writing(self) -> None:
        """Let the client read, also on a connection that is being closed; one that does not is cut off."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._stop_timing_reader()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self._stop_timing_reader()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Refuse what is no HTTP, and end the connection, since nobody knows where the next request begins."""
        if self.cycle and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(Problem(400, "this is no HTTP request that can be understood"))
        self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem that is the connection's last."""
        response = problem.response()
        headers = [*response.raw_headers, *FRAME, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=problem.status, headers=headers, reason=problem.title.encode("ascii")),
            h11.Data(data=bytes(response.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_more(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(self.patience, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_timing_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def protocol(patience: float, capacity: Capacity) -> type[Protocol]:
    """Make the protocol with another patience and capacity."""
    return type("PatientProtocol", (Protocol,), {"patience": patience, "capacity": capacity})
