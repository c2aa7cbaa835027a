"""aiohttp's low-level server with our connections."""

from typing import Any

from aiohttp import http_parser, web

from ingress.http.admission import Capacity
from ingress.http.answering import AnswerUnreadable, Handler
from ingress.http.loop_budget import Turns
from ingress.http.protocol import Connection
from runtime.errors import RefusedError

ARRIVALS_PER_TURN = 128  # pieces of data parsed in one turn of the loop: 25 ms if each is a head of the largest kind
ENDINGS_PER_TURN = 512  # connections let go of in one turn, as many as it may accept: 8 ms


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


class Server(web.Server):
    """Makes the connections, which share what they may do in one turn."""

    def __init__(
        self, handler: Handler, *, answer_unreadable: AnswerUnreadable, capacity: Capacity, **options: Any
    ) -> None:
        super().__init__(handler)  # type: ignore[arg-type]  # only our connections call it
        self._options = {
            "handler": handler,
            "answer_unreadable": answer_unreadable,
            "arrivals": Turns(ARRIVALS_PER_TURN),
            "endings": Turns(ENDINGS_PER_TURN),
            "capacity": capacity,
            **options,
        }

    def __call__(self) -> Connection:
        """A connection; asyncio calls this for each one that it accepts."""
        return Connection(self, loop=self._loop, **self._options)
