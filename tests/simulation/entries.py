"""What a schedule can append to the raw log: few calls, so that duplicates and conflicts are frequent."""

from schemas.headers import Headers
from tests.support.kafka import Webhook, raw_headers
from tests.support.traffic import ended, recording, started


def _entry(webhook: Webhook, key: bytes | None = None) -> tuple[bytes | None, bytes | None, Headers]:
    return key or webhook.key.encode(), webhook.body, raw_headers(webhook.slug)


# None is a transaction marker.
ENTRIES: tuple[tuple[bytes | None, bytes | None, Headers] | None, ...] = (
    _entry(ended("a")),
    _entry(ended("b")),
    _entry(ended("a", duration=61)),
    _entry(started("a")),
    _entry(recording("b", "r")),
    (b"a", b"not json", raw_headers("call-ended")),
    _entry(ended("b", duration=61)),
    _entry(started("a", second=1)),  # another time, the same content: no conflict
    _entry(ended("c"), key=b"a"),  # in the wrong place
    (None, None, []),
    _entry(started("d")),
    _entry(ended("c")),
    None,
)
