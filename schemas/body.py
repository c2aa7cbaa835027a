"""Parses a webhook's body, for ingress, processor and operators' tools alike, so that all read the same."""

from typing import Any

import orjson

# A receiver may ignore it at the beginning of a JSON text (RFC 8259 section 8.1); some libraries of senders write it.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse_body(body: bytes) -> Any:
    """Parse a body, without the byte order mark that it may begin with; of a repeated name the last one counts.

    Raises:
        orjson.JSONDecodeError: it is not JSON. The position counts from behind the mark.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:  # with a mark it is not JSON: looked for only now, since hardly a body has one
        if not body.startswith(BYTE_ORDER_MARK):
            raise
    return orjson.loads(body[len(BYTE_ORDER_MARK) :])
