"""Looks at Kafka and PostgreSQL for `top`; commits nothing, joins no group."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ops.kit.committed import committed_offsets
from ops.kit.groups import Group, GroupMember
from ops.kit.kafka import admin_client, reader
from ops.kit.pause import holder_of
from ops.kit.postgres import database
from ops.kit.scan import Range, scan
from ops.kit.settings import StateSettings
from ops.kit.standstill import standstills, with_standstills
from ops.kit.topics import partitions_of
from ops.lag.read import lag_of_commits
from ops.top.snapshot import Look, Pause, Process, Written
from schemas.dead_letter import TOPIC as ORIGIN_TOPIC
from schemas.headers import header
from schemas.topics import EVENT_TOPICS, TopicNames


@dataclass(slots=True)
class Observer:
    """Open clients, and where the output topics ended at the last look.

    Offsets of the output topics cannot be subtracted: every transaction ends with a marker that takes one. So what is
    new there is read and counted.
    """

    settings: StateSettings
    admin: AIOKafkaAdminClient
    log: AIOKafkaConsumer
    outputs: AIOKafkaConsumer
    connection: psycopg.AsyncConnection
    raw: Sequence[TopicPartition]
    written: Sequence[TopicPartition]
    ends: dict[TopicPartition, int] = field(default_factory=dict)

    async def look(self, at: float) -> Look:
        """Everything now; `at` is when, for the rates.

        Raises:
            OpsError: Kafka or PostgreSQL is away or refuses.
        """
        group = self.settings.processor_group
        found = Group(self.admin, group)
        now = await found.state()
        own_topic = TopicNames(self.settings.kafka_topic_prefix).offset
        committed = await committed_offsets(self.settings, found, self.raw, own_topic=own_topic)
        written = await self._written()
        lag = await lag_of_commits(self.log, self.raw, committed, group=group, state=now.state)
        lag = with_standstills(lag, await standstills(self.connection, group, self.settings.raw_topic))
        holder = await holder_of(self.connection, group)
        return Look(
            at=at,
            lag=lag,
            processes=sorted((process(member, self.settings.raw_topic) for member in now.members), key=_name),
            pause=None if holder is None else Pause(holder.reason, holder.seconds_left),
            written=written,
        )

    async def _written(self) -> Written | None:
        ends: dict[TopicPartition, int] = await self.outputs.end_offsets(list(self.written))
        before, self.ends = self.ends, ends
        if not before:
            return None
        names = TopicNames(self.settings.kafka_topic_prefix)
        events = dict.fromkeys(map(names.of, EVENT_TOPICS), 0)
        dead = {True: 0, False: 0}
        async for records in scan(self.outputs, {part: Range(before[part], ends[part]) for part in ends}):
            if records[0].topic in events:
                events[records[0].topic] += len(records)
                continue
            for record in records:
                dead[header(record.headers, ORIGIN_TOPIC) is not None] += 1
        return Written(events, dead_of_processors=dead[True], dead_of_ingress=dead[False])


def _name(process: Process) -> tuple[str, str]:
    return process.client_id, process.host


def process(member: GroupMember, topic: str) -> Process:
    """A member of the group with its partitions of `topic`."""
    partitions = tuple(sorted(p.partition for p in member.partitions if p.topic == topic))
    return Process(member.client_id, member.host.removeprefix("/"), partitions)


@asynccontextmanager
async def observer(settings: StateSettings) -> AsyncIterator[Observer]:
    """Clients that stay open from look to look."""
    names = TopicNames(settings.kafka_topic_prefix)
    async with (
        admin_client(settings) as admin,
        reader(settings, isolation="read_uncommitted") as log,
        reader(settings, isolation="read_committed") as outputs,
        database(settings) as connection,
    ):
        raw = await _partitions(admin, names.raw)
        written = [partition for name in names.outputs for partition in await _partitions(admin, name)]
        yield Observer(settings, admin, log, outputs, connection, raw, written)


async def _partitions(admin: AIOKafkaAdminClient, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(await partitions_of(admin, topic))]
