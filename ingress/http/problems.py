"""Lists every refusal with its status, its stable code and its headers.

`type` is `about:blank`, so `title` is the status's phrase (RFC 9457 section 4.2.1); machines read `code`.
"""

from dataclasses import replace
from http import HTTPStatus

from ingress.http.answers import Problem

UNREADABLE = Problem(HTTPStatus.BAD_REQUEST, "http_unreadable", "the request is not valid HTTP/1.1", close=True)
BODY_INCOMPLETE = Problem(HTTPStatus.BAD_REQUEST, "body_incomplete", "the body ended early", close=True)
ADDRESS_NOT_ALLOWED = Problem(
    HTTPStatus.FORBIDDEN, "address_not_allowed", "this address may not send webhooks here", close=True
)
NOT_FOUND = Problem(HTTPStatus.NOT_FOUND, "not_found", "there is no such endpoint")
METHOD_NOT_ALLOWED = Problem(
    HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "webhooks are sent with POST", headers={"Allow": "POST"}
)
TIMED_OUT = Problem(
    HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "the request did not arrive completely in time", close=True
)
TOO_LARGE = Problem(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", "the body is larger than the limit", close=True
)
NOT_JSON_TYPE = Problem(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type_unsupported", "the Content-Type must be application/json, once"
)
ENCODED = Problem(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "content_encoding_unsupported",
    "send the body as it is: no Content-Encoding but identity",
    headers={"Accept-Encoding": "identity"},  # RFC 9110 section 15.5.16
)
OVERLOADED = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded",
    "too much is being received or stored: send it again",
    headers={"Retry-After": "1"},
)
# The same for a request that is not waited for to its end.
EVICTED = replace(OVERLOADED, close=True)
NOT_STORED = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "not_stored",
    "the webhook could not be stored durably: send it again",
    headers={"Retry-After": "5"},
)
SPOOL_FULL = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "spool_full",
    "no more webhooks can be kept until older ones are stored: send it again",
    headers={"Retry-After": "30"},
)
INTERNAL = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the fault is ours: send it again later", close=True)

#: All but the 401 of each of the authenticator's codes.
ALL = (
    UNREADABLE,
    BODY_INCOMPLETE,
    ADDRESS_NOT_ALLOWED,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    TIMED_OUT,
    TOO_LARGE,
    NOT_JSON_TYPE,
    ENCODED,
    OVERLOADED,
    EVICTED,
    NOT_STORED,
    SPOOL_FULL,
    INTERNAL,
)


def unauthenticated(code: str, detail: str) -> Problem:
    """Make a 401; the code and the detail are the authenticator's."""
    return Problem(HTTPStatus.UNAUTHORIZED, code, detail, headers={"WWW-Authenticate": "Bearer"})
