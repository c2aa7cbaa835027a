"""The real `ringover-ops` with a fault built in: it signals itself at a named point of a replay or import.

FAULT_POINT: `begun` (rows are in the book, nothing is sent), `half` (half of the chunk is acknowledged), `sent` (all of
it is, and not noted). FAULT_SIGNAL: KILL or STOP.
"""

import os
import signal
from collections.abc import Mapping, Sequence

from ops.__main__ import main
from ops.dead_letters.ledger import Book, Kind
from ops.dead_letters.model import LetterId
from ops.dead_letters.plan import Outgoing
from ops.dead_letters.raw import RawTopic

POINT = os.environ["FAULT_POINT"]
SIGNAL = signal.Signals[f"SIG{os.environ['FAULT_SIGNAL']}"]

begin, produce = Book.begin, RawTopic.produce


def fault(point: str) -> None:
    if point == POINT:
        os.kill(os.getpid(), SIGNAL)


async def faulty_begin(
    self: Book, records: Sequence[Outgoing], raw_ends: Mapping[int, int], kind: Kind
) -> set[LetterId]:
    begun = await begin(self, records, raw_ends, kind)
    fault("begun")
    return begun


async def faulty_produce(self: RawTopic, records: Sequence[Outgoing]) -> dict[LetterId, int]:
    middle = len(records) // 2
    places = await produce(self, records[:middle])
    fault("half")
    places |= await produce(self, records[middle:])
    fault("sent")
    return places


if __name__ == "__main__":
    Book.begin = faulty_begin  # type: ignore[method-assign]
    RawTopic.produce = faulty_produce  # type: ignore[method-assign]
    main()
