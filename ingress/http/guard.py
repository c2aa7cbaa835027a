"""Keeps the limits of a connection, from between its transport and aiohttp's protocol.

aiohttp reads requests and writes answers. It knows no deadline for a head, no bound of connections and bytes, and waits
for a peer that reads nothing. A guard sees the bytes of both directions and passes them on; the handler tells it when a
request is complete and when it is answered. It speaks HTTP only to refuse.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from ingress.http.admission import FREE_BYTES, Admission
from ingress.http.answers import Problem
from ingress.http.loop_budget import LoopBudget
from ingress.http.problems import EVICTED, INTERNAL, TIMED_OUT, UNREADABLE
from ingress.http.wrapped_transport import WrappedTransport
from runtime.deadlines import Deadlines

RECEIVE_BUFFER_BYTES = 64 * 1024  # the kernel's, which doubles it: it bounds one read, and the kernel's memory
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Passed on at once while no request is begun: whatever is in it, what aiohttp makes of it stays small.
PIECE_BYTES = FREE_BYTES


@dataclass(slots=True)
class ConnectionLimits:
    """Holds what the connections of one server share."""

    admission: Admission
    arrivals: LoopBudget  # of pieces passed on per iteration of the event loop
    endings: LoopBudget  # of connections let go of
    heads: "Deadlines[Guard]"  # for the head of a request, from its first byte
    refusal: Callable[[Problem], bytes]  # makes the answer, and counts it


class Guard(asyncio.Protocol, WrappedTransport):
    """Stands between a transport, whose protocol it is, and aiohttp's protocol, whose transport it is.

    `began` is the time of the event loop at which the first byte of the present request came; None between requests.
    """

    __slots__ = (
        "_body_bytes",
        "_closes",
        "_complete",
        "_head_read",
        "_held",
        "_inner",
        "_inner_paused",
        "_last_piece",
        "_limits",
        "_loop",
        "_pending",
        "_reading",
        "_refused",
        "_server",
        "began",
    )

    def __init__(self, server: web.Server, limits: ConnectionLimits) -> None:
        super().__init__()
        self._server = server
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._inner: asyncio.Protocol | None = None
        self.began: float | None = None
        # Whether the head of the present request was read, and whether all of the request came.
        self._head_read = self._complete = False
        self._closes = self._refused = False
        self._reading: asyncio.Timeout | None = None  # of who waits for the body
        # Bytes received and not yet done with, at most; what of them was not yet passed on; the last that was.
        self._held = self._body_bytes = 0
        self._pending = b""
        self._last_piece = 0
        self._inner_paused = False

    # Called by the handler.

    def begins(self) -> bool:
        """Note that a head was read; whether its request is to be answered."""
        if self._refused:
            return False
        self._head_read = True
        self._body_bytes = 0
        if self.began is None:  # it came together with the request before it
            self.began = self._loop.time()
        self._limits.heads.forget(self)
        return True

    def reading(self, seconds: float) -> asyncio.Timeout:
        """Limit the wait for a body: to `seconds` after the first byte of its request, or until it has to give way."""
        assert self.began is not None
        self._reading = asyncio.timeout_at(self.began + seconds)
        if self._pending:
            self._limits.arrivals.later(self._pass_on)
        return self._reading

    @property
    def evicted(self) -> bool:
        """Whether the rest of the request is not waited for, because others need the room."""
        return self._refused

    def invite(self) -> None:
        """Tell the sender to go on with its body."""
        if self._transport is not None:
            self._transport.write(CONTINUE)

    def complete(self, body_bytes: int) -> None:
        """Note that nothing more of the request is waited for; it does not give way to others any more."""
        self._reading = None
        self._complete = True
        self._body_bytes = body_bytes
        self._limits.admission.complete(self)

    def answer(self, data: bytes, *, closes: bool) -> None:
        """Write the answer to the request; then what was held for it is free."""
        self._closes = closes
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(data)
        self._answered()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._limits.admission.admit(self):
            self._refused = True
            self._transport.abort()
            return
        connection: socket.socket | None = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._inner = self._server()
        self._inner.connection_made(self)

    def data_received(self, data: bytes) -> None:
        """Count what came, and pass it on: now, or later if it is much or this iteration of the loop has no room."""
        size = self._held + len(data)
        if self._refused or (size > FREE_BYTES and not self._takes(size)):
            return
        self._held = size
        if self.began is None and not self._closes:
            self._begin()
        is_next = not self._pending and not self._complete
        self._pending += data
        if is_next and self._limits.arrivals.take():
            self._pass()
        else:
            self.hold_reading()
            if is_next:
                self._limits.arrivals.later(self._pass_on)

    def eof_received(self) -> bool:
        """Close now, or in a later iteration of the loop; True keeps the transport open until then."""
        transport = self._transport
        if transport is None or self._limits.endings.take() or transport.get_extra_info("ssl_object") is not None:
            return False  # with TLS it closes whatever we say
        self._limits.endings.later(transport.close)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Free its place; let go of the rest now, or in a later iteration of the loop."""
        self._limits.admission.leave(self)
        self._limits.heads.forget(self)
        if self._limits.endings.take():
            self._let_go(exc)
        else:
            self._limits.endings.later(lambda: self._let_go(exc))

    def pause_writing(self) -> None:
        """Cut a peer that lets 64 KiB of answers (and the kernel's buffers) pile up unread."""
        self.abort()

    def resume_writing(self) -> None:
        """Do nothing: `pause_writing` has ended the connection."""

    # Called by aiohttp's protocol, whose transport this is.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Answer in our words what aiohttp answers by itself: a request that it could not read, or a fault."""
        if not self._refused:
            self._refuse(UNREADABLE if data[9:12] == b"400" else INTERNAL)

    def pause_reading(self) -> None:
        self._inner_paused = True
        self.hold_reading()

    def resume_reading(self) -> None:
        self._inner_paused = False
        if self._pending:
            self._limits.arrivals.later(self._pass_on)
        elif self._paused:  # aiohttp asks for it twice in each request
            self._go_on()

    # Called when a limit is reached.

    def evict(self) -> None:
        """Close what is idle; answer 503 to what is half received."""
        if self._reading is not None:
            self._give_up_body()
        elif self.began is not None:
            self._refuse(EVICTED)
        else:
            self._refused = True
            self.close()

    def head_is_late(self) -> None:
        """Refuse a head that took too long, in an iteration of the loop that has room for it."""
        self._limits.arrivals.later(self._refuse_late_head)

    def _refuse_late_head(self) -> None:
        if self.began is not None and not self._head_read and not self._refused:
            self._refuse(TIMED_OUT)

    def _takes(self, size: int) -> bool:
        """Whether there is room to hold `size` bytes; if not, what came and all that follows is not taken."""
        if self._limits.admission.hold(self, size):
            return not self._refused  # it may have evicted itself, having waited longest
        if self._reading is not None:
            self._give_up_body()
        elif self._head_read:
            self._refused = True  # the answer that is due ends the connection
            self.hold_reading()
        else:
            self._refuse(EVICTED)
        return False

    def _begin(self) -> None:
        """Start the clock of a request, which waits for its sender from now on."""
        self.began = self._limits.heads.watch(self)
        self._limits.admission.waits(self)

    def _pass_on(self) -> None:
        if self._pending and not (self._complete or self._inner_paused or self._refused):
            self._pass()

    def _pass(self) -> None:
        """Pass on what waits, as much as the present request may have at once; the rest in a later iteration."""
        piece, self._pending = self._pending, b""
        if len(piece) > PIECE_BYTES and self._reading is None:
            piece, self._pending = piece[:PIECE_BYTES], piece[PIECE_BYTES:]
        self._last_piece = len(piece)
        if self._inner is not None:
            self._inner.data_received(piece)
        if self._pending:
            self.hold_reading()
            self._limits.arrivals.later(self._pass_on)
        elif self._paused and not self._inner_paused:
            self._go_on()

    def _answered(self) -> None:
        """Free what was held for the request; from now on the sender owes us the next one."""
        self._head_read = self._complete = False
        self._reading = None
        self.began = None
        if self._inner is None:
            self._limits.admission.release(self)
            return
        if self._refused:
            self.close()
            return
        unread = len(self._pending)
        # Beyond the body: the head, and at most the last piece of what came after it.
        held = unread + min(max(0, self._held - unread - self._body_bytes), self._last_piece)
        if self._held > FREE_BYTES:
            self._limits.admission.hold(self, held)
        self._held = held
        self._limits.admission.waits(self)
        if unread and not self._closes and not self.is_closing():
            self._begin()
            self._limits.arrivals.later(self._pass_on)

    def _give_up_body(self) -> None:
        """Wake who waits for the body, to answer 503; take nothing more."""
        self._refused = True
        self.hold_reading()
        if self._reading is not None and not self._reading.expired():
            self._reading.reschedule(self._loop.time())

    def _refuse(self, problem: Problem) -> None:
        """Answer in place of the handler, and close."""
        self._refused = True
        self._pending = b""
        self._limits.heads.forget(self)
        if self._transport is not None and not self._transport.is_closing():
            if not self._closes:  # else the last answer was given
                self._transport.write(self._limits.refusal(problem))
            self._transport.close()

    def _let_go(self, exc: Exception | None) -> None:
        """Part from aiohttp's protocol; what a request holds is held until it is done."""
        if not self._head_read:
            self._limits.admission.release(self)
        inner, self._inner = self._inner, None
        self._transport = None
        self._pending = b""
        if inner is not None:
            inner.connection_lost(exc)

    def _go_on(self) -> None:
        if not self._refused:
            self.go_on_reading()


def guard_of(request: web.BaseRequest) -> Guard | None:
    """Return the guard of the connection over which a request came; None when the connection has ended."""
    transport = request.transport
    return transport if isinstance(transport, Guard) else None
