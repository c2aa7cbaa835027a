"""Takes one request in: what its head says about its body, and the body itself, within size and time."""

import os
import re
from collections.abc import Iterator
from encodings.aliases import aliases

from aiohttp import HttpVersion11, StreamReader, hdrs, web
from multidict import istr

from ingress.http.answers import JSON_TYPE, REQUEST_ID_HEADER, Problem
from ingress.http.guard import Guard
from ingress.http.problems import BODY_INCOMPLETE, ENCODED, EVICTED, NOT_JSON_TYPE, TIMED_OUT, TOO_LARGE

MAX_STORED_CONTENT_TYPE = 256  # characters; real ones have under 40

_X_REQUEST_ID = istr(REQUEST_ID_HEADER)
_ENCODINGS = {*aliases, *aliases.values()}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")  # RFC 9562 section 4, any version

_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def _random() -> Iterator[str]:
    """32 random hexadecimal digits, again and again; the system is asked for many at a time."""
    while True:
        digits = os.urandom(16 * 256).hex()
        for start in range(0, len(digits), 32):
            yield digits[start : start + 32]


_RANDOM = _random()


def request_id(request: web.BaseRequest) -> str:
    """Keep the sender's `X-Request-Id` when it is one UUID, otherwise make a new one."""
    values = request.headers.getall(_X_REQUEST_ID, ())
    if len(values) == 1 and _UUID.fullmatch(values[0]):
        return values[0]
    return new_request_id()


def new_request_id() -> str:
    """Make a request id."""
    digits = next(_RANDOM)
    # As uuid.uuid4 (RFC 9562 section 5.4), in a quarter of its time: the version, and two bits of the variant.
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


def refusal_of_head(request: web.BaseRequest, *, max_body_bytes: int) -> Problem | None:
    """Refuse by the head alone: for the media type, an encoding, the announced length. None if it may go on."""
    headers = request.headers
    content_types = headers.getall(hdrs.CONTENT_TYPE, ())
    if content_types != [JSON_TYPE] and (len(content_types) != 1 or media_type(content_types[0]) != JSON_TYPE):
        return NOT_JSON_TYPE
    if hdrs.CONTENT_ENCODING in headers and not all(map(means_none, headers.getall(hdrs.CONTENT_ENCODING))):
        return ENCODED
    if int(headers.get(hdrs.CONTENT_LENGTH, 0)) > max_body_bytes:  # the parser has read it as a number
        return TOO_LARGE
    return None


def means_none(content_encoding: str) -> bool:
    """Whether a Content-Encoding leaves the body as it is: `identity`, nothing, or a charset put there by mistake.

    No registered coding (RFC 9110 section 8.4.1: gzip, deflate, compress, br, zstd) has the name of a charset.
    """
    codings = (coding.strip(" \t").lower() for coding in content_encoding.split(","))
    return all(coding in {"", "identity"} or _is_charset(coding) for coding in codings)


def _is_charset(name: str) -> bool:
    """Whether Python lists this name for an encoding of text; `codecs.lookup` would remember whatever is asked."""
    known = name.replace("-", "_")
    if known not in _ENCODINGS:
        return False
    try:
        "".encode(known)  # refuses what Python has beside them: zlib, bz2, base64, hex, rot13
    except LookupError:
        return False
    return True


def media_type(content_type: str) -> str:
    """`content_type` without its parameters (RFC 9110 section 8.3.1: names are case-insensitive)."""
    return content_type.partition(";")[0].strip().lower()


def storable_content_type(content_type: str) -> str:
    """`content_type` as it is recorded: without parameters when these are absurd."""
    if len(content_type) <= MAX_STORED_CONTENT_TYPE and content_type.isascii():
        return content_type
    return media_type(content_type)


def arrived_body(request: web.BaseRequest, guard: Guard, *, max_body_bytes: int) -> bytes | Problem | None:
    """Take a body that has arrived, or tell that it is too large; None while it has not arrived completely."""
    content = request.content
    if not content.is_eof() or content.exception() is not None:
        return None
    body = content.read_nowait()
    guard.complete(len(body))
    return body if len(body) <= max_body_bytes else TOO_LARGE


async def read_body(
    request: web.BaseRequest, guard: Guard, *, max_body_bytes: int, timeout_seconds: float
) -> bytes | Problem:
    """Wait for the body, or tell why there is none; never reads more than a buffer beyond the limit.

    It has to be there `timeout_seconds` after the first byte of the request.
    """
    body = b""
    try:
        async with guard.reading(timeout_seconds):
            _invite(request, guard)
            body = await _read(request.content, max_body_bytes)
    except TimeoutError:
        return EVICTED if guard.evicted else TIMED_OUT
    except (web.RequestPayloadError, ConnectionError) as error:
        error.__traceback__ = None  # its frames hold the body and the stream, which holds the error
        return BODY_INCOMPLETE
    finally:
        guard.complete(len(body))
    return body if len(body) <= max_body_bytes else TOO_LARGE


async def _read(content: StreamReader, max_bytes: int) -> bytes:
    # Not a list of pieces: an object for each byte of a dripped body would be many times its size.
    body = bytearray()
    while len(body) <= max_bytes and (piece := await content.readany()):
        body += piece
    return bytes(body)


def _invite(request: web.BaseRequest, guard: Guard) -> None:
    """Tell a sender that waits for it to go on with its body (RFC 9110 section 10.1.1); others wait in vain for 1 s."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.version == HttpVersion11:
        guard.invite()
