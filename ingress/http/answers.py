"""Writes answers: 202 with what became of the webhook, or problem details (RFC 9457).

They are made as bytes at once: `web.Response` takes as long as everything else that aiohttp does for a request
(docs/design.md, "Overload").
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from ingress.accept import Accepted, ToRaw

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-Id"
# In place of aiohttp's, which tells versions.
SERVER = "ringover-ingress"


@dataclass(slots=True)
class Answer:
    """Holds one answer; `close` ends the connection after it."""

    status: HTTPStatus
    head: bytes  # status line and header lines, but for those that depend on the connection
    request_id: str
    body: bytes
    close: bool = False

    def wire(self, *, keep_alive: bool, announced: bool = False, with_body: bool = True) -> bytes:
        """Write the bytes to send; HTTP/1.0 wants it `announced` that a connection is kept."""
        kept = b"Connection: keep-alive\r\n" if announced else b""
        return b"%b%b\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
            self.head,
            self.request_id.encode(),
            len(self.body),
            _date(int(time.time())),
            kept if keep_alive else b"Connection: close\r\n",
            self.body if with_body else b"",
        )


class SentAnswer(web.StreamResponse):
    """Tells aiohttp that an answer was written, and whether the connection goes on after it."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._kept = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._kept

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write nothing more."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing more."""


KEPT = SentAnswer(keep_alive=True)
CLOSED = SentAnswer(keep_alive=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """Describes a refusal; `close` ends the connection, since what follows on it cannot be trusted or is not wanted."""

    status: HTTPStatus
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False

    def answer(self, request_id: str) -> Answer:
        body = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        head = _head(self.status, PROBLEM_TYPE, self.headers)
        return Answer(self.status, head, request_id, orjson.dumps(body), self.close)


def accepted_answer(accepted: Accepted, request_id: str) -> Answer:
    """Answer 202: the webhook is durable; for a dead letter the reason says why sending it again would not help."""
    answer: dict[str, object]
    if isinstance(accepted, ToRaw):
        answer = {
            "status": "accepted",
            "request_id": request_id,
            "event_id": accepted.event_id,
            "idempotency_key": accepted.idempotency_key,
        }
    else:
        answer = {
            "status": "dead_lettered",
            "request_id": request_id,
            "event_id": None,
            "idempotency_key": None,
            "reason": {"code": accepted.reason.code.value, "message": accepted.reason.message},
        }
    return Answer(_202, _ACCEPTED, request_id, orjson.dumps(answer))


def _head(status: HTTPStatus, content_type: str, more: Mapping[str, str]) -> bytes:
    """Everything up to the value of the request id."""
    headers = {"Content-Type": content_type, "Server": SERVER, **more}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status.value} {status.phrase}", *lines, f"{REQUEST_ID_HEADER}: "]).encode("ascii")


_202 = HTTPStatus.ACCEPTED  # to look it up for each answer takes as long as a call
_ACCEPTED = _head(HTTPStatus.ACCEPTED, JSON_TYPE, {})


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    """The Date line (RFC 9110 section 6.6.1) of a second of Unix time."""
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode("ascii")
