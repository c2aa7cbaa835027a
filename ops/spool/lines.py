"""Spooled records as lines of JSON, unmasked: pure.

Bytes are text when they are UTF-8, else `{"base64": "..."}`.
"""

import base64

from ingress.spool.model import Row


def line_of(row: Row) -> dict[str, object]:
    """The record with everything that would be sent."""
    record = row.record
    return {
        "id": row.id,
        "spooled_at_ms": row.spooled_at,
        "topic": record.topic,
        "key": None if record.key is None else _text(record.key),
        "headers": [[name, _text(value)] for name, value in record.headers],
        "value": _text(record.value),
    }


def _text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
