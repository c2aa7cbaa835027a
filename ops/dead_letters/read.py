"""Reads dead letters: committed ones only, in order within a partition, without a group."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.dead_letters.ledger import LedgerEntry, ReplayLedger
from ops.dead_letters.model import Identity, Letter, LetterId, Selection, read_letter
from ops.dead_letters.outcome import OutcomeToday, WouldBeEvent, outcome_today
from ops.kit.errors import NotFoundError
from ops.kit.kafka import admin_client, reader
from ops.kit.masking import shown_id
from ops.kit.postgres import database
from ops.kit.progress import Advance, ShowProgress
from ops.kit.scan import Range, scan, whole_topic
from ops.kit.settings import StateSettings
from ops.kit.topics import partitions_of_all
from schemas.placement import partition_of, spread
from schemas.topics import TopicNames

READING = "reading dead letters"


@dataclass(frozen=True, slots=True)
class DeadLetterSession:
    """Holds what one command works with; `closing` ends with it, for what is opened on the way."""

    settings: StateSettings
    consumer: AIOKafkaConsumer
    ledger: ReplayLedger
    topic: str
    partitions: int
    spread: int  # over so many partitions of the raw topic are keys spread
    closing: AsyncExitStack

    def partition_of(self, key: bytes) -> int:
        """Return where the ingress puts a key."""
        return partition_of(key, range(self.spread))

    async def letters(self, *, partition: int | None = None) -> AsyncIterator[Letter]:
        """Yield every dead letter that is in the topic now, or in one partition of it."""
        numbers = range(self.partitions) if partition is None else [partition]
        async for letter in self._scan(await self._whole(numbers)):
            yield letter

    async def by_id(self, letter_ids: Collection[LetterId]) -> dict[LetterId, Letter]:
        """Return the letters with these ids, those of them that are there. Reads what lies between them, too."""
        ranges = {}
        for place, kept in (await self._whole(range(self.partitions))).items():
            offsets = [letter_id.offset for letter_id in letter_ids if letter_id.partition == place.partition]
            if offsets:
                ranges[place] = Range(max(min(offsets), kept.start), min(max(offsets) + 1, kept.end))
        return {letter.id: letter async for letter in self._scan(ranges) if letter.id in letter_ids}

    async def scan(
        self, entries: Collection[LetterId], take: Callable[[Letter], None], advance: Advance
    ) -> set[Identity]:
        """Hand every dead letter to `take`; return what was replayed, whichever of its passes is in `entries`."""
        replayed: set[Identity] = set()
        async for letter in self.letters():
            advance(1)
            if letter.id in entries:
                replayed.add(letter.identity)
            take(letter)
        return replayed

    async def _whole(self, numbers: Collection[int]) -> dict[TopicPartition, Range]:
        return await whole_topic(self.consumer, [TopicPartition(self.topic, number) for number in numbers])

    async def _scan(self, ranges: Mapping[TopicPartition, Range]) -> AsyncIterator[Letter]:
        async for records in scan(self.consumer, ranges):
            for record in records:
                letter_id = LetterId(record.partition, record.offset)
                yield read_letter(letter_id, record.timestamp, record.key, record.value, record.headers)


@asynccontextmanager
async def open_session(settings: StateSettings) -> AsyncIterator[DeadLetterSession]:
    """Open everything that reading needs; errors inside the context are converted to `OpsError`."""
    names = TopicNames(settings.kafka_topic_prefix)
    async with admin_client(settings) as admin:
        counts = await partitions_of_all(admin, (names.raw, names.dead_letter))
    async with (
        database(settings) as connection,
        reader(settings, isolation="read_committed") as consumer,
        AsyncExitStack() as closing,
    ):
        yield DeadLetterSession(
            settings,
            consumer,
            ReplayLedger(connection, names.dead_letter),
            names.dead_letter,
            counts[names.dead_letter],
            spread(counts.values()),
            closing,
        )


@dataclass(slots=True)
class LetterGroup:
    """Counts the dead letters of one stage and code: `records` once for each pass over the raw log.

    Times are the records', which carry the raw record's timestamp; `sample` and `message` are of the earliest.
    """

    also_in_json: ClassVar = ("bodies",)

    stage: str
    code: str
    sample: LetterId
    message: str
    first_seen: datetime
    last_seen: datetime
    records: int = 0
    replayed: int = 0
    members: set[Identity] = field(default_factory=set, repr=False)

    @property
    def bodies(self) -> int:
        """Distinct raw records, and each body that the ingress could not place."""
        return len(self.members)


@dataclass(slots=True)
class Groups:
    """Groups letters one by one; keeps no body."""

    found: dict[tuple[str, str], LetterGroup] = field(default_factory=dict)

    def add(self, letter: Letter) -> None:
        reason, time = letter.reason, letter.time
        new = LetterGroup(reason.stage, reason.code, letter.id, reason.message, time, time)
        group = self.found.setdefault((reason.stage, reason.code), new)
        group.records += 1
        group.members.add(letter.identity)
        group.last_seen = max(group.last_seen, time)
        if (time, letter.id) < (group.first_seen, group.sample):
            group.first_seen, group.sample, group.message = time, letter.id, reason.message

    def by_size(self, replayed: Collection[Identity]) -> list[LetterGroup]:
        """Return the groups, the largest first; `replayed` counts in whichever of its dead letters it was."""
        for group in self.found.values():
            group.replayed = sum(member in replayed for member in group.members)
        return sorted(self.found.values(), key=lambda group: (-group.bodies, group.stage, group.code))


@dataclass(slots=True)
class ListedLetter:
    """Tells of one dead letter without its body; it counts as replayed when another of its passes was."""

    id: LetterId
    time: datetime
    stage: str
    code: str
    key: object
    origin: str | None
    message: str
    identity: Identity = field(repr=False)
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class LetterFacts:
    """Holds one dead letter and what is known of it; `others` are the same raw record's, `entry` is of any of them."""

    letter: Letter
    outcome: OutcomeToday
    owned: bool
    others: Sequence[LetterId]
    entry: LedgerEntry | None


async def grouped(settings: StateSettings, selection: Selection, progress: ShowProgress) -> list[LetterGroup]:
    """Return the selected letters by stage and code, the largest group first."""
    groups = Groups()
    replayed = await _selected(settings, selection, progress, groups.add)
    return groups.by_size(replayed)


async def listed(settings: StateSettings, selection: Selection, progress: ShowProgress) -> list[ListedLetter]:
    """Return the selected letters one by one, oldest first."""
    letters: list[ListedLetter] = []

    def add(letter: Letter) -> None:
        key = None if letter.key is None else shown_id(letter.key.decode(errors="replace"))
        reason = letter.reason
        letters.append(
            ListedLetter(
                letter.id, letter.time, reason.stage, reason.code, key, letter.place, reason.message, letter.identity
            )
        )

    replayed = await _selected(settings, selection, progress, add)
    for found in letters:
        found.replayed = found.identity in replayed
    return sorted(letters, key=lambda found: found.time)


async def _selected(
    settings: StateSettings, selection: Selection, progress: ShowProgress, take: Callable[[Letter], None]
) -> set[Identity]:
    def take_selected(letter: Letter) -> None:
        if selection.matches(letter):
            take(letter)

    async with open_session(settings) as session:
        entries = await session.ledger.entries()
        with progress(READING) as advance:
            return await session.scan(entries, take_selected, advance)


async def facts_of(settings: StateSettings, letter_id: LetterId) -> LetterFacts:
    """Return everything that is known of one dead letter.

    Raises:
        NotFoundError: there is none, or retention has removed it.
    """
    async with open_session(settings) as session:
        letter = (await session.by_id({letter_id})).get(letter_id)
        if letter is None:
            raise NotFoundError(f"no dead letter {letter_id} in {session.topic}")
        # The passes of one raw record stand in one partition, unless the topic has grown between them.
        passes = [other.id async for other in session.letters() if other.identity == letter.identity]
        entries = await session.ledger.entries()
        outcome = outcome_today(letter)
        keys = [outcome.claim_key] if isinstance(outcome, WouldBeEvent) else []
        owned = bool(await session.ledger.owned(settings.log_name, keys))
    entry = next((entries[other] for other in passes if other in entries), None)
    return LetterFacts(letter, outcome, owned, [other for other in passes if other != letter_id], entry)


async def export(settings: StateSettings, selection: Selection, write: Callable[[Letter], None]) -> int:
    """Hand each selected letter to `write`, the first of each raw record; return how many there were.

    Raises:
        NotFoundError: an id that was asked for is not there; the others are written.
    """
    written: set[Identity] = set()
    left = set(selection.ids)
    async with open_session(settings) as session:
        for partition in range(session.partitions):  # one after another, so that exports can be compared
            async for letter in session.letters(partition=partition):
                if not selection.matches(letter):
                    continue
                left.discard(letter.id)
                if letter.identity not in written:
                    written.add(letter.identity)
                    write(letter)
        if left:
            raise NotFoundError(f"not in {session.topic}: {', '.join(map(str, sorted(left)))}")
    return len(written)
