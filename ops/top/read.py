"""Reads from Kafka and PostgreSQL what `top` shows; commits nothing, joins no group."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.kit.committed import committed_offsets
from ops.kit.groups import Group, GroupMember
from ops.kit.kafka import admin_client, reader
from ops.kit.pause import holder_of
from ops.kit.postgres import database
from ops.kit.scan import Range, scan
from ops.kit.settings import StateSettings
from ops.kit.standstill import standstills, with_standstills
from ops.kit.topics import partitions_of_all
from ops.lag.model import GroupLag
from ops.lag.read import lag_of_commits
from ops.top.snapshot import NewOutputs, Process, Snapshot, paced, rates
from schemas.dead_letter import TOPIC as ORIGIN_TOPIC
from schemas.headers import header
from schemas.topics import EVENT_TOPICS, TopicNames


@dataclass(slots=True)
class PipelineReader:
    """Keeps clients open from look to look, and what the last look found.

    Offsets of the output topics cannot be subtracted: every transaction ends with a marker that takes one. So what is
    new there is read and counted.
    """

    settings: StateSettings
    names: TopicNames
    group: Group
    log: AIOKafkaConsumer
    outputs: AIOKafkaConsumer
    connection: psycopg.AsyncConnection
    raw: Sequence[TopicPartition]
    written: Sequence[TopicPartition]
    last: tuple[float, GroupLag] | None = None
    ends: dict[TopicPartition, int] = field(default_factory=dict)

    async def snapshot(self, now: float) -> Snapshot:
        """Read everything; `now` is of a clock that only goes forward, in seconds.

        Raises:
            OpsError: Kafka or PostgreSQL is away or refuses.
        """
        name, raw = self.group.name, self.names.raw
        found = await self.group.state()
        committed = await committed_offsets(self.settings, self.group, self.raw, own_topic=self.names.offset)
        new = await self._new_outputs()
        lag = await lag_of_commits(self.log, self.raw, committed, group=name, state=found.state)
        lag = with_standstills(lag, await standstills(self.connection, name, raw))
        began, before = self.last or (now, None)
        self.last = now, lag
        at = datetime.now(UTC)
        return Snapshot(
            at=at,
            rates=rates(before, lag, new, now - began),
            lag=paced(before, lag, now - began, at=at),
            processors=sorted((process(member, raw) for member in found.members), key=lambda p: (p.client_id, p.host)),
            pause=await holder_of(self.connection, name),
        )

    async def _new_outputs(self) -> NewOutputs | None:
        ends: dict[TopicPartition, int] = await self.outputs.end_offsets(list(self.written))
        before, self.ends = self.ends, ends
        if not before:
            return None
        events = dict.fromkeys(map(self.names.of, EVENT_TOPICS), 0)
        dead = {True: 0, False: 0}
        async for records in scan(self.outputs, {part: Range(before[part], ends[part]) for part in ends}):
            if records[0].topic in events:
                events[records[0].topic] += len(records)
                continue
            for record in records:
                dead[header(record.headers, ORIGIN_TOPIC) is not None] += 1
        return NewOutputs(events, dead_of_processors=dead[True], dead_of_ingress=dead[False])


def process(member: GroupMember, topic: str) -> Process:
    """Show a member of the group with its partitions of `topic`."""
    partitions = sorted(p.partition for p in member.partitions if p.topic == topic)
    return Process(member.client_id, member.host.removeprefix("/"), partitions)


@asynccontextmanager
async def pipeline_reader(settings: StateSettings) -> AsyncIterator[PipelineReader]:
    """Open the clients; errors as in `PipelineReader.snapshot`."""
    names = TopicNames(settings.kafka_topic_prefix)
    async with (
        admin_client(settings) as admin,
        reader(settings, isolation="read_uncommitted") as log,
        reader(settings, isolation="read_committed") as outputs,
        database(settings) as connection,
    ):
        counts = await partitions_of_all(admin, (names.raw, *names.outputs))
        every = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
        raw = [partition for partition in every if partition.topic == names.raw]
        group = Group(admin, settings.processor_group)
        yield PipelineReader(settings, names, group, log, outputs, connection, raw, every[len(raw) :])
