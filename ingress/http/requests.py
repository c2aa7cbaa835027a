"""Gives the handler one request: what aiohttp's parser made of its head, and its body as it arrives."""

from typing import Protocol

from aiohttp import StreamReader
from aiohttp.http import HttpVersion, RawRequestMessage
from multidict import CIMultiDictProxy


class Peer(Protocol):
    """Is the connection over which a request came."""

    #: Seconds from the first to the last byte of the latest head.
    head_took: float

    @property
    def address(self) -> str | None:
        """Of the peer; None when it has gone."""

    def write(self, data: bytes) -> None:
        """Send bytes; to a peer that has gone, nothing."""


class Request:
    """Holds one request; aiohttp's own takes several times as long to make. Headers are those of the parser."""

    __slots__ = ("content", "headers", "message", "peer")

    def __init__(self, message: RawRequestMessage, content: StreamReader, peer: Peer) -> None:
        self.message = message
        self.headers: CIMultiDictProxy[str] = message.headers
        self.content = content
        self.peer = peer

    @property
    def method(self) -> str:
        return self.message.method

    @property
    def target(self) -> str:
        """The request's target as sent: a path with its query, or an absolute URI."""
        return self.message.path

    @property
    def path(self) -> str:
        """The path in the target, still percent-encoded."""
        return self.message.url.raw_path

    @property
    def version(self) -> HttpVersion:
        return self.message.version

    def _cancel(self, error: BaseException) -> None:
        """Fail who reads the body: the connection is gone. Called by aiohttp."""
        self.content.set_exception(error)
