"""aiohttp's connection handling with the limits that it lacks, and with our answers to what it cannot read.

This module knows aiohttp's insides (`RequestHandler`, as of 3.14); the tests with raw sockets hold it to account.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import http_parser, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from ingress.answers import Problem
from ingress.problems import INTERNAL, TIMED_OUT, UNREADABLE
from runtime.errors import RefusedError

#: Makes the answer to a request that never became one.
AnswerUnreadable = Callable[[Problem], web.Response]

_PROBLEMS = {400: UNREADABLE, 408: TIMED_OUT}


def require_c_parser() -> None:
    """Refuse to run on aiohttp's Python parser, which is slow and had request-smuggling bugs of its own.

    Raises:
        RefusedError: the C extensions are missing or switched off.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RefusedError(
            "aiohttp runs without its C parser: unset AIOHTTP_NO_EXTENSIONS, or install a wheel of aiohttp for this"
            " platform"
        )


class Connection(RequestHandler):
    """One connection.

    Beyond aiohttp: a head must be complete within `head_seconds`; a peer that does not read its answers is cut; a body
    whose chunks break fails at once; every error answer is ours.
    """

    __slots__ = ("_answer_unreadable", "_head_seconds", "_head_timer")

    def __init__(
        self, manager: web.Server, *, answer_unreadable: AnswerUnreadable, head_seconds: float, **options: Any
    ) -> None:
        super().__init__(manager, **options)
        self._answer_unreadable = answer_unreadable
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Parse; start the head's clock when bytes came that do not complete one."""
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:
            self._stop_head_timer()
            self._fail_broken_body()
        elif data and self._head_timer is None and not self._request_in_progress and not self._messages:
            self._head_timer = self._loop.call_later(self._head_seconds, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the head's clock."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Cut a peer that lets 64 KiB of answers (and the kernel's buffers) pile up unread."""
        super().pause_writing()
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - interface
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - interface
        message: str | None = None,  # noqa: ARG002 - interface
    ) -> web.StreamResponse:
        """Answer as a problem; the parser's own words may quote the request, so they are not repeated."""
        return self._answer_unreadable(_PROBLEMS.get(status, INTERNAL))

    def _head_is_late(self) -> None:
        self._head_timer = None
        error = HttpProcessingError(code=408, message="")
        self._messages.append((_ErrInfo(status=408, exc=error, message=""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _fail_broken_body(self) -> None:
        """Tell the reader of a body that its chunks broke: the parser only queues an error behind the request."""
        message, _ = self._messages[-1] if self._messages else (None, None)
        current = self._current_request
        if isinstance(message, _ErrInfo) and current is not None and not current.content.is_eof():
            current.content.set_exception(RequestPayloadError())


class Server(web.Server):
    """aiohttp's low-level server with our connections."""

    def __init__(self, handler: Any, *, answer_unreadable: AnswerUnreadable, **options: Any) -> None:
        super().__init__(handler)
        self._options = {"answer_unreadable": answer_unreadable, **options}

    def __call__(self) -> Connection:
        """A connection; asyncio calls this for each one that it accepts."""
        return Connection(self, loop=self._loop, **self._options)
