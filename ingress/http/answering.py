"""Answers requests on aiohttp's connections, by requests and answers of our own.

aiohttp makes a task, a request, a response and a writer for each request, which takes as long as all of our own work.
What is left to it: the parser, pipelining, keep-alive, shutdown. Every error answer is ours, too.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.http import HttpVersion10, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from ingress.http.answers import Answer, Problem
from ingress.http.problems import EVICTED, INTERNAL, TIMED_OUT, UNREADABLE
from ingress.http.requests import Request
from runtime.failures import report

#: Answers a request; never raises but to be cancelled.
Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]
#: Makes the answer to a request that never became one.
AnswerUnreadable: TypeAlias = Callable[[Problem], Answer]

_PROBLEMS = {400: UNREADABLE, 408: TIMED_OUT, 503: EVICTED}


class EvictedError(Exception):
    """The rest of a body is not waited for, because others need the room."""


class Answering(RequestHandler):
    """Answers the requests of a connection one after another, in one task."""

    __slots__ = ("_answer_unreadable", "_handler", "_lingering", "head_took")

    def __init__(
        self,
        manager: web.Server,
        *,
        handler: Handler,
        answer_unreadable: AnswerUnreadable,
        lingering_seconds: float,
        **options: Any,
    ) -> None:
        """After an answer that leaves a body unread, it is read for `lingering_seconds`."""
        super().__init__(
            manager,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # None switches it off
            **options,
        )
        self._handler = handler
        self._answer_unreadable = answer_unreadable
        self._lingering = lingering_seconds
        #: Seconds from the first to the last byte of the latest head.
        self.head_took = 0.0

    @abstractmethod
    def answered(self) -> None:
        """Called after each request, however it ended."""

    @property
    def address(self) -> str | None:
        """Of the peer; None when it has gone."""
        peer = self.peername
        return str(peer[0]) if isinstance(peer, tuple) else peer

    def write(self, data: bytes) -> None:
        """Send bytes; to a peer that has gone, nothing."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    async def start(self) -> None:
        """Answer one request after another until the connection ends.

        It is a coroutine of aiohttp's that this replaces: it runs as the connection's task.
        """
        while not self._force_close:
            if not self._messages:
                self._waiter = self._loop.create_future()
                try:  # cancelled when the connection is closed meanwhile
                    await self._waiter
                finally:
                    self._waiter = None
            message, payload = self._messages.popleft()
            self._resume_parsing()
            try:
                goes_on = await self._answer_one(message, payload)
                if not payload.is_eof():
                    await self._linger(payload)
                    goes_on = goes_on and payload.is_eof()
            except Exception as error:  # noqa: BLE001 - one connection's
                report("connection.failed", error)
                self.force_close()
                return
            except BaseException:
                self.force_close()
                raise
            if not goes_on or self._close:
                break
            if self._messages:
                await asyncio.sleep(0)  # pipelined: the other connections come first
            else:
                self._start_keepalive()
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    def _resume_parsing(self) -> None:
        """A message left the queue: make room for the next."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    async def _answer_one(self, message: RawRequestMessage | _ErrInfo, payload: StreamReader) -> bool:
        """Answer one request, then what was held for it is free; whether another may follow."""
        self._request_in_progress = True
        try:
            if isinstance(message, _ErrInfo):
                # The parser's own words may quote the request, so they are not repeated.
                answer = self._answer_unreadable(_PROBLEMS.get(message.status, INTERNAL))
                self.write(answer.wire(keep_alive=False))
                return False
            request = Request(message, payload, self)
            self._current_request = request  # type: ignore[assignment]  # aiohttp cancels it when the connection ends
            answer = await self._handler(request)
            self._current_request = None
            # After an upgrade that is declined the parser does not go on.
            keep_alive = not (answer.close or message.should_close or self._upgraded)
            self.write(
                answer.wire(
                    keep_alive=keep_alive,
                    announced=message.version == HttpVersion10,
                    with_body=message.method != "HEAD",
                )
            )
            return keep_alive
        finally:
            self._current_request = None
            self._request_in_progress = False
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)
            self.answered()

    async def _linger(self, payload: StreamReader) -> None:
        """Read what the answer left unread, for a while: closing at once could reset the connection, and the answer."""
        try:
            async with asyncio.timeout(self._lingering):
                while not payload.is_eof() and not self._force_close:
                    await payload.readany()
        except (TimeoutError, RequestPayloadError, ConnectionError, EvictedError):
            pass

    def _start_keepalive(self) -> None:
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
