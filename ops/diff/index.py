"""Remembers what the topics hold of a range of raw offsets of one partition, in 24 bytes a raw record: pure.

Several passes count once: the latest wins, since one topic's later offset was written later.
"""

from array import array
from collections.abc import Mapping

from ops.diff.model import OutputPlace
from ops.kit.scan import Range
from schemas.headers import AnyHeaders

NOTHING = -1
_BITS = 12  # for the partitions of the topics of events


def fingerprint(topic: str, key: bytes | None, value: bytes | None, headers: AnyHeaders, ms: int) -> int:
    """Hash everything that a consumer sees of a record but its offset, to 64 bit; for this process only."""
    # Python's own (SipHash for bytes): a digest over all parts was half of a diff's time.
    return hash((topic, key, value, tuple(headers), ms))


class OutputIndex:
    """Remembers events and dead letters by the raw offset that they were made from.

    `horizons`: for each topic that retention removed records of, the time (ms) of the first record left.
    """

    def __init__(self, wanted: Range, horizons: Mapping[str, float] | None = None) -> None:
        self._range = wanted
        self._horizons = horizons or {}
        self._events = array("q", bytes(8 * len(wanted)))
        self._event_at = array("q", [NOTHING]) * len(wanted)  # offset, and the number of topic and partition, in one
        self._codes = array("h", [NOTHING]) * len(wanted)
        self._topics: list[tuple[str, int]] = []  # with a partition each
        self._code_names: list[str] = []

    def add_event(self, source: int, place: OutputPlace, content: int) -> None:
        """Note an event; a later one of the same raw record replaces it."""
        if self._range.start <= source < self._range.end:
            topic = place.topic, place.partition
            if topic not in self._topics:
                self._topics.append(topic)
            self._events[source - self._range.start] = content
            self._event_at[source - self._range.start] = place.offset << _BITS | self._topics.index(topic)

    def add_dead_letter(self, source: int, code: str) -> None:
        """Note a dead letter; a later one of the same raw record replaces it."""
        if self._range.start <= source < self._range.end:
            if code not in self._code_names:
                self._code_names.append(code)
            self._codes[source - self._range.start] = self._code_names.index(code)

    def event(self, source: int) -> int | None:
        """The fingerprint of the latest event made from a raw record, or None."""
        at = source - self._range.start
        return None if self._event_at[at] == NOTHING else self._events[at]

    def event_place(self, source: int) -> OutputPlace:
        """Where that event is."""
        packed = self._event_at[source - self._range.start]
        return OutputPlace(*self._topics[packed & (1 << _BITS) - 1], packed >> _BITS)

    def dead_letter(self, source: int) -> str | None:
        """The code of the latest dead letter made from a raw record, or None."""
        number = self._codes[source - self._range.start]
        return None if number == NOTHING else self._code_names[number]

    def may_be_removed(self, topic: str, timestamp_ms: int) -> bool:
        """Whether what this topic held of a raw record of that time may be gone."""
        return timestamp_ms <= self._horizons.get(topic, -1)
