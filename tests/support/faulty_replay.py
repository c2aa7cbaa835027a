"""The real `ringover-ops` with a fault built in: it signals itself at a named point of a replay or import.

FAULT_POINT: `begun` (rows are in the ledger, nothing is sent), `half` (half of the chunk is acknowledged), `sent` (all
of it is, and not noted). FAULT_SIGNAL: KILL or STOP.
"""

import os
import signal
from collections.abc import Mapping, Sequence

from ops.__main__ import main
from ops.dead_letters.ledger import ReplayLedger
from ops.dead_letters.model import LetterId
from ops.dead_letters.plan import ReplayKind, ReplayRecord
from ops.dead_letters.sender import ReplaySender

POINT = os.environ["FAULT_POINT"]
SIGNAL = signal.Signals[f"SIG{os.environ['FAULT_SIGNAL']}"]

begin, produce = ReplayLedger.begin, ReplaySender.produce


def fault(point: str) -> None:
    if point == POINT:
        os.kill(os.getpid(), SIGNAL)


async def faulty_begin(
    self: ReplayLedger, records: Sequence[ReplayRecord], raw_ends: Mapping[int, int], kind: ReplayKind
) -> set[LetterId]:
    begun = await begin(self, records, raw_ends, kind)
    fault("begun")
    return begun


async def faulty_produce(self: ReplaySender, records: Sequence[ReplayRecord]) -> dict[LetterId, int]:
    middle = len(records) // 2
    places = await produce(self, records[:middle])
    fault("half")
    places |= await produce(self, records[middle:])
    fault("sent")
    return places


if __name__ == "__main__":
    ReplayLedger.begin = faulty_begin  # type: ignore[method-assign]
    ReplaySender.produce = faulty_produce  # type: ignore[method-assign]
    main()
