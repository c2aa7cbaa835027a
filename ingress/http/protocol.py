"""Serves connections by aiohttp's handling of them, with the limits that it lacks.

This module and `ingress.http.answering` know aiohttp's insides (`RequestHandler`, as of 3.14); the tests with raw
sockets hold them to account.
"""

import asyncio
import socket
from typing import Any

from aiohttp import http_parser, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestPayloadError, _ErrInfo

from ingress.http.admission import FREE_BYTES, Admission
from ingress.http.answering import Answering, EvictedError
from ingress.http.loop_budget import LoopBudget

# Bounds of what is kept of one connection, beside the bytes that `Admission` counts.
MAX_HEAD_LINE_BYTES = 8190  # of the request line, and of each header; beyond it: 400
MAX_HEADERS = 64  # 25 KB of objects; proxies bring a webhook to about 30
MAX_QUEUED = 2  # requests parsed behind the one that is being answered; aiohttp's own limit is 32
READ_BYTES = 64 * 1024  # of a body unread by us: reading pauses at twice as many
RECEIVE_BUFFER_BYTES = 64 * 1024  # the kernel's, which doubles it: it bounds one read, and the kernel's memory


class Connection(Answering):
    """Serves one connection within limits.

    Beyond aiohttp: a head must be complete within `head_seconds`; a peer that does not read its answers is cut; a body
    whose chunks break fails at once; every error answer is ours; what is held of it is counted by `admission`.
    """

    __slots__ = (
        "_admission",
        "_arrivals",
        "_deferred",
        "_endings",
        "_evicted",
        "_head_began",
        "_head_seconds",
        "_head_timer",
        "_held",
        "_loose",
        "_payload",
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        arrivals: LoopBudget,
        endings: LoopBudget,
        admission: Admission,
        head_seconds: float,
        **options: Any,
    ) -> None:
        super().__init__(
            manager,
            max_line_size=MAX_HEAD_LINE_BYTES,
            max_field_size=MAX_HEAD_LINE_BYTES,
            max_headers=MAX_HEADERS,
            read_bufsize=READ_BYTES,
            **options,
        )
        self._queue_less()
        self._arrivals = arrivals
        self._endings = endings
        self._deferred: list[bytes] = []
        self._admission = admission
        self._evicted = False
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_began = 0.0
        # Bytes received and not yet done with, at most; and the part of them that is in heads or unparsed, at most.
        self._held = 0
        self._loose = 0
        self._payload: StreamReader = EMPTY_PAYLOAD  # of the latest request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._admission.admit(self):
            assert isinstance(transport, asyncio.Transport)
            self._evicted = True
            transport.abort()
            return
        connection: socket.socket | None = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Count what came, and parse it now, or later if this iteration of the loop has no room."""
        if data and not self._take(len(data)):
            return
        if not data or (not self._deferred and self._arrivals.take()):
            self._parse(data)
            return
        if not self._deferred:
            self._arrivals.later(self._parse_deferred)
            self._pause_transport_reading()
        self._deferred.append(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks; aiohttp always says "close"
        """Close now, or in a later iteration of the loop; True keeps the transport open until then."""
        transport = self.transport
        if transport is None or self._endings.take() or transport.get_extra_info("ssl_object") is not None:
            return False  # with TLS it closes whatever we say
        self._endings.later(transport.close)
        return True

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on if reading was paused; aiohttp asks for it at the end of every body, and parses nothing once more."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Free its place; let go of the rest now, or in a later iteration of the loop."""
        self._admission.leave(self)
        if self._endings.take():
            self._let_go(exc)
        else:
            self._endings.later(lambda: self._let_go(exc))

    def _let_go(self, exc: BaseException | None) -> None:
        """Forget the head's clock; what a request holds is held until it is done."""
        self._stop_head_timer()
        if not self._request_in_progress:
            self._admission.release(self)
        super().connection_lost(exc)
        self._payload = EMPTY_PAYLOAD  # it knows us; a circle would wait for the garbage collection

    def evict(self) -> None:
        """Close what is idle; answer 503 to what is half received."""
        if self._held or not self._payload.is_eof():
            self._refuse_rest()
        else:
            self._evicted = True
            self.force_close()

    def pause_writing(self) -> None:
        """Cut a peer that lets 64 KiB of answers (and the kernel's buffers) pile up unread."""
        super().pause_writing()
        if self.transport is not None:
            self.transport.abort()

    def _parse_deferred(self) -> None:
        data = b"".join(self._deferred)
        self._deferred.clear()
        if self._manager is None or self._evicted:
            return
        if not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        """Parse; start the head's clock when bytes came that do not complete one."""
        payload = self._payload
        requests, in_head, body = self._request_count, payload.is_eof(), payload.total_bytes
        super().data_received(data)
        if self._request_count != requests:
            self._head_is_complete(data, self._request_count - requests)
        else:
            self._loose += len(data) - (payload.total_bytes - body)
            if data and in_head and not self._request_in_progress and not self._messages:
                self._start_head_timer()
        if self._payload.is_eof() and (self._request_in_progress or self._messages):
            self._admission.complete(self)

    def _take(self, size: int) -> bool:
        """Whether there is room for `size` bytes more; if not, they and all that follow are not taken."""
        if not self._evicted and not self._hold(self._held + size):
            self._refuse_rest()
        return not self._evicted  # it may have evicted itself, having waited longest

    def _hold(self, size: int) -> bool:
        """Whether so many bytes may be held from now on."""
        if (size > FREE_BYTES or self._held > FREE_BYTES) and not self._admission.hold(self, size):
            return False
        self._held = size
        return True

    def answered(self) -> None:
        """Free what was held for the request; from now on the sender owes us the next one."""
        if self.transport is None:
            self._admission.release(self)
            return
        size = self._loose
        for _, payload in self._messages:
            size += payload.total_bytes
        self._hold(size)
        if not (self._messages and self._payload.is_eof()):
            self._admission.waits(self)

    def _queue_less(self) -> None:
        self._max_msg_queue_size = MAX_QUEUED
        self._msg_queue_resume_size = MAX_QUEUED // 2
        self._parser = http_parser.HttpRequestParser(
            self,
            self._loop,
            READ_BYTES,
            max_line_size=MAX_HEAD_LINE_BYTES,
            max_field_size=MAX_HEAD_LINE_BYTES,
            max_headers=MAX_HEADERS,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=MAX_QUEUED,
        )

    def _head_is_complete(self, data: bytes, requests: int) -> None:
        """Heads were completed by `data`, or without it from what was left unparsed of earlier data."""
        if self._head_timer is not None:
            self.head_took = self._loop.time() - self._head_began
            self._stop_head_timer()
        else:
            self.head_took = 0.0
        messages = self._messages
        message, self._payload = messages[-1]
        # All that came before `data` is parsed, so whatever is not body is at most the rest of it.
        self._loose = len(data) or self._loose
        for number in range(1, requests + 1):
            self._loose -= messages[-number][1].total_bytes
        if isinstance(message, _ErrInfo):
            self._fail_broken_body(message)

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._arrivals.later(lambda: self._queue_error(408))

    def _refuse_rest(self) -> None:
        """Take nothing more; 503 for what is half received."""
        self._evicted = True
        self._stop_head_timer()
        self._pause_transport_reading()
        if self._payload.is_eof():
            self._arrivals.later(lambda: self._queue_error(503))
        else:
            self._payload.set_exception(EvictedError())

    def _queue_error(self, status: int) -> None:
        error = HttpProcessingError(code=status, message="")
        self._messages.append((_ErrInfo(status=status, exc=error, message=""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_began = self._loop.time()
            self._head_timer = self._loop.call_later(self._head_seconds, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _fail_broken_body(self, message: _ErrInfo) -> None:
        """Tell the reader of a body that its chunks broke: the parser only queues an error behind the request."""
        message.exc.__traceback__ = None  # its frames hold the data and know it: a circle that nobody counts
        current = self._current_request
        if current is not None and not current.content.is_eof():
            current.content.set_exception(RequestPayloadError())
