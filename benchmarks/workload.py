"""Makes the benchmark's webhooks, and says what must come out of them: pure, the same at every run.

Ids grow with time, as a provider's counter does. Calls come in blocks: a hundred begin, then the same hundred end.
Every tenth record repeats an earlier one, half of them one that was just sent, half one from long before.
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.headers import Headers, RawHeaders

SECRET = "a-secret-of-the-benchmark"  # noqa: S105 - no secret
SECRET_ID = "bench"  # noqa: S105 - its name
BLOCK = 100  # calls
REPEAT_EVERY = 10  # records
NEAR, FAR = 3, 3000  # events back
FIRST_CALL = 1_000_000_000  # of the log; claims that were there before have smaller numbers

_STARTED = (
    '{"event":"call.started","timestamp":"2026-01-02T15:00:00.000Z","call":{"id":"%s","direction":"inbound",'
    '"from":"+33601020304","to":"+33189000000","queue_id":"ro_queue_1",'
    '"agent":{"id":"ro_agent_77","email":"agent77@example.com"}}}'
)
_ENDED = (
    '{"event":"call.ended","timestamp":"2026-01-02T15:05:12.000Z","call":{"id":"%s","direction":"inbound",'
    '"from":"+33601020304","to":"+33189000000","duration_sec":312,"hangup_cause":"normal_clearing",'
    '"disposition":"answered","agent":{"id":"ro_agent_77"}}}'
)


@dataclass(frozen=True, slots=True)
class Event:
    """Is one webhook of one call."""

    call: int
    ended: bool

    @property
    def call_id(self) -> str:
        """The call's id, which is the record's key."""
        return call_id(self.call)

    @property
    def body(self) -> bytes:
        """The webhook's body, about 260 bytes."""
        return ((_ENDED if self.ended else _STARTED) % self.call_id).encode()

    @property
    def slug(self) -> str:
        return "call-ended" if self.ended else "call-started"

    @property
    def key(self) -> bytes:
        return f"ringover:call.{'ended' if self.ended else 'started'}:{self.call_id}".encode()


def call_id(number: int) -> str:
    """The id of a call; ids sort like their numbers."""
    return f"ro_call_{number:012d}"


def event(number: int) -> Event:
    """The `number`th different event of the log."""
    block, place = divmod(number, 2 * BLOCK)
    return Event(FIRST_CALL + block * BLOCK + place % BLOCK, ended=place >= BLOCK)


def unique(records: int) -> int:
    """How many different events a log of so many records has."""
    return records - records // REPEAT_EVERY


def log(records: int) -> Iterator[Event]:
    """The events of a log, in order, with their repetitions."""
    for number in range(records):
        fresh = number - number // REPEAT_EVERY
        if number % REPEAT_EVERY == REPEAT_EVERY - 1:
            back = NEAR if number // REPEAT_EVERY % 2 else FAR
            yield event(max(0, fresh - back))
        else:
            yield event(fresh)


def keys(records: int) -> set[bytes]:
    """The idempotency keys that must come out of a log, each once."""
    return {event(number).key for number in range(unique(records))}


def headers(slug: str, number: int) -> Headers:
    """The raw headers of the `number`th record; the signature is of no matter to a processor."""
    return RawHeaders(
        request_id=f"00000000-0000-4000-8000-{number:012d}",
        endpoint=slug,
        received_at="2026-01-02T15:00:00.123Z",
        auth_scheme="hmac",
        auth_key_id=SECRET_ID,
        content_type="application/json",
        signature="5f" * 32,
    ).encode()


def sign(body: bytes) -> str:
    """The signature of a body, hex."""
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def started(count: int, *, first: int = 0) -> list[Event]:
    """The first events of so many different calls, for the ingress."""
    return [Event(first + number, ended=False) for number in range(count)]
