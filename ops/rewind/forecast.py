"""Reads what will come out of the records read again: owners from the state table, dead letters from their topic."""

from collections.abc import Iterable, Mapping, Sequence

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ops.calls.partition import outputs_of
from ops.kit.scan import Range, scan, since
from ops.rewind.plan import Forecast, Move
from ops.rewind.scope import Place
from schemas import dead_letter
from schemas.headers import header

# One range over all partitions, so that the block ranges of claim_by_place are used; the join then looks closely.
OWNERS = """
SELECT count(*) FROM claim AS c
JOIN unnest(%(partitions)s::int[], %(starts)s::bigint[], %(ends)s::bigint[]) AS r (partition, first, past)
  ON c.partition = r.partition AND c.owner_offset >= r.first AND c.owner_offset < r.past
WHERE c.log_id = %(log_id)s AND c.owner_offset >= %(first)s AND c.owner_offset < %(past)s
"""
PROGRESS = "SELECT partition, next_offset FROM progress JOIN log USING (log_id) WHERE name = %(name)s"

Ranges = Mapping[int, Range]


async def progress_of(connection: psycopg.AsyncConnection, log_name: str) -> dict[int, int]:
    """How far each partition was claimed."""
    cursor = await connection.execute(PROGRESS, {"name": log_name})
    return dict(await cursor.fetchall())


async def forecast(
    connection: psycopg.AsyncConnection,
    consumer: AIOKafkaConsumer,
    place: Place,
    moves: Sequence[Move],
    counts: Mapping[str, int],
) -> Forecast:
    """Forecasts the events of the records that `moves` makes processors read again; `counts`: partitions by topic."""
    again = {m.partition: Range(m.target, m.target + m.records) for m in moves if m.target is not None and m.records}
    times: dict[int, int] = {}  # by partition of the dead-letter topic, from when on it may have some of them
    for move in moves:
        if move.target_ms is not None and move.partition in again:
            for number in outputs_of(move.partition, counts[place.names.dead_letter], raw=counts[place.names.raw]):
                times[number] = min(move.target_ms, times.get(number, move.target_ms))
    return Forecast(
        records=sum(len(wanted) for wanted in again.values()),
        events=await _owners(connection, place.log_name, again),
        dead_letters=await _dead_letters(consumer, place, again, times),
    )


async def _owners(connection: psycopg.AsyncConnection, log_name: str, again: Ranges) -> int:
    cursor = await connection.execute("SELECT log_id FROM log WHERE name = %(name)s", {"name": log_name})
    log = await cursor.fetchone()
    if log is None or not again:
        return 0
    parameters = {
        "log_id": log[0],
        "partitions": list(again),
        "starts": [wanted.start for wanted in again.values()],
        "ends": [wanted.end for wanted in again.values()],
        "first": min(wanted.start for wanted in again.values()),
        "past": max(wanted.end for wanted in again.values()),
    }
    cursor = await connection.execute(OWNERS, parameters)
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def _dead_letters(consumer: AIOKafkaConsumer, place: Place, again: Ranges, times: Mapping[int, int]) -> int:
    """How many raw records of the ranges became dead letters: each is written again on every pass, and counts once.

    A dead letter has its raw record's timestamp, so none of the range comes before the first one that late.
    """
    found: set[tuple[int, int]] = set()
    ranges: dict[TopicPartition, Range] = {}
    for number, first_ms in times.items():
        ranges |= await since(consumer, [TopicPartition(place.names.dead_letter, number)], first_ms)
    async for records in scan(consumer, ranges):
        found.update(_origins(records, place))
    return sum(number in again and again[number].start <= offset < again[number].end for number, offset in found)


def _origins(records: Iterable[ConsumerRecord], place: Place) -> Iterable[tuple[int, int]]:
    """Partition and offset of the raw records that this group gave up."""
    topic, group = place.topic.encode(), place.group.encode()
    for record in records:
        if header(record.headers, dead_letter.TOPIC) == topic and header(record.headers, dead_letter.GROUP) == group:
            yield (
                _number(header(record.headers, dead_letter.PARTITION)),
                _number(header(record.headers, dead_letter.OFFSET)),
            )


def _number(value: bytes | None) -> int:
    """A header's number; -1 for what is none, as somebody else may write it."""
    return int(value) if value is not None and value.isdigit() else -1
