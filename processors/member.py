"""One stay in the consumer group: joins, runs a pipeline per assigned partition, lets go of them, leaves.

The group only decides who owns a partition; a takeover makes it so. Whatever ends a stay (stop, fenced, an error that
is no partition's own), the next stay begins from nothing but what Kafka and PostgreSQL hold.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from processors.kafka_log import KafkaLog
from processors.kafka_offsets import read_offsets
from processors.kafka_output import KafkaOutput, OffsetPlace
from processors.pipeline import Lane, PartitionPipeline, Ports, stopped_within
from processors.ports import Output, Tracer
from processors.postgres_state import PostgresState
from processors.standing import Standing
from runtime.errors import FencedError, LogUnavailableError, TransientError
from runtime.kafka import close_consumer, reading
from runtime.logs import logger
from runtime.metrics import ProcessorMetrics
from schemas.topics import MAX_MESSAGE_BYTES, TopicNames

START_SECONDS = 30.0
RETRY_SECONDS = (0.2, 5.0)  # first and longest wait between takeovers of a partition that fails
RELEASE_SECONDS = 5.0  # to finish a transaction when the group takes partitions away
# Of one partition at once, and of all: bounds memory, and with it a batch.
PARTITION_BYTES = MAX_MESSAGE_BYTES
FETCH_BYTES = 4 * MAX_MESSAGE_BYTES

OutputFactory = Callable[[TopicPartition, OffsetPlace], Output]

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class MemberConfig:
    """How to be a member: Kafka options, group, topics, sizes, times, and who is told of it."""

    options: Mapping[str, Any]
    group: str
    topics: TopicNames
    batch_records: int
    session_timeout_seconds: float
    drain_seconds: float
    tracer: Tracer | None = None


@dataclass(slots=True)
class Assignment:
    """What this member owns now; read by lag metrics and readiness."""

    joined: bool = False
    standings: dict[TopicPartition, Standing] = field(default_factory=dict)


class Member(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no type information
    """See the module. One object serves one stay."""

    def __init__(
        self,
        config: MemberConfig,
        state: PostgresState,
        metrics: ProcessorMetrics,
        assignment: Assignment,
        make_output: OutputFactory | None = None,
    ) -> None:
        self._config = config
        self._state = state
        self._metrics = metrics
        self._assignment = assignment
        self._make_output = make_output or self._kafka_output
        self._let_go = asyncio.Event()
        self._leaving = False
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._places: dict[TopicPartition, TopicPartition] = {}  # of the records of offsets, once they were read
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.member = self._consumer(group_id=config.group, auto_offset_reset="earliest")
        self.fetcher = self._consumer(group_id=None, auto_offset_reset="none")

    async def stay(self, stop: asyncio.Event) -> None:
        """Be a member until `stop` is set, or until something ends the stay.

        Raises:
            TransientError: Kafka is away; stay again later.
            FencedError: another process owns one of our partitions; stay again.
            RefusedError: a partition cannot go on without breaking the guarantee.
        """
        try:
            with reading():
                async with asyncio.timeout(START_SECONDS):
                    await self.fetcher.start()
                    # As a member we would hear of it only with the next look at everything, a minute later.
                    seen = await self.fetcher.topics()
                    for topic in (self._config.topics.raw, self._config.topics.offset):
                        if topic not in seen:
                            raise LogUnavailableError(f"topic {topic} does not exist or may not be seen")
                    await self.member.start()
            self.member.subscribe([self._config.topics.raw], listener=self)
            await self._watch(stop)
        finally:
            self._leaving = True
            await self._release(self._config.drain_seconds)
            self._assignment.joined = False
            await close_consumer(self.member)
            await close_consumer(self.fetcher)
            if self._failed.done() and not self._failed.cancelled():
                self._failed.exception()  # raised already, or outweighed

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """The group rebalances: finish what is open, let go of everything."""
        if revoked:
            log.info("partitions.revoked", count=len(revoked))
        await self._release(min(RELEASE_SECONDS, self._config.session_timeout_seconds / 2))

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """The group has decided: take over what is ours."""
        if self._leaving:
            return
        partitions = sorted(assigned)
        log.info("partitions.assigned", partitions=[partition.partition for partition in partitions])
        self._let_go = asyncio.Event()
        if partitions:
            self.member.pause(*partitions)  # the fetcher fetches
            self.fetcher.assign(partitions)
        self._assignment.standings = {partition: Standing() for partition in partitions}
        for partition in partitions:
            task = asyncio.create_task(self._keep(partition, self._assignment.standings[partition], self._let_go))
            task.add_done_callback(self._note_end)
            self._tasks[partition] = task
        self._metrics.partitions.set(len(partitions))
        self._assignment.joined = True

    async def _watch(self, stop: asyncio.Event) -> None:
        """Wait for the stop, for a partition's failure or for one of the membership itself."""
        stopped = asyncio.create_task(stop.wait())
        polling = asyncio.create_task(self._poll())
        try:
            watched: list[asyncio.Future[Any]] = [self._failed, polling, stopped]
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for ended in watched[:2]:
                if ended.done():
                    ended.result()
        finally:
            stopped.cancel()
            polling.cancel()
            await asyncio.wait({stopped, polling})

    async def _poll(self) -> None:
        """Keep the membership's errors visible for ever; every partition is paused, so no record comes."""
        while True:
            with reading():
                await self.member.getmany(timeout_ms=1000)

    async def _keep(self, partition: TopicPartition, standing: Standing, let_go: asyncio.Event) -> None:
        """Run the partition's pipeline, again after whatever passes, until it is let go."""
        wait, longest = RETRY_SECONDS
        while not let_go.is_set():
            output = self._make_output(partition, lambda: self._places[partition])
            began = asyncio.get_running_loop().time()
            try:
                await self._pipeline(partition, output, standing).run(let_go)
            except TransientError as error:
                self._metrics.retries.labels(type(error).__name__).inc()
                standing.problem = str(error)
                log.warning("partition.retry", partition=partition.partition, reason=str(error), retry_in=wait)
                if asyncio.get_running_loop().time() - began > longest:
                    wait = RETRY_SECONDS[0]  # it had worked for a while
                await stopped_within(let_go, wait)
                wait = min(wait * 2, longest)
            finally:
                await output.stop()

    def _pipeline(self, partition: TopicPartition, output: Output, standing: Standing) -> PartitionPipeline:
        lane = Lane(partition.partition, self._config.group, self._config.topics, self._config.batch_records)
        raw = KafkaLog(self.member, self.fetcher, partition, committed=self._committed)
        ports = Ports(raw, self._state.partition(partition.partition), output)
        return PartitionPipeline(lane, ports, self._metrics, standing, self._config.tracer)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """A partition's task ends without error only when it is let go; an error ends the stay."""
        error = None if task.cancelled() else task.exception()
        if isinstance(error, FencedError):
            self._metrics.fenced.inc()
            log.warning("partition.fenced", reason=str(error))
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _release(self, seconds: float) -> None:
        """Ask every partition to finish its transaction; cancel those that do not in time."""
        self._let_go.set()
        tasks = list(self._tasks.values())
        self._tasks.clear()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                log.warning("partitions.cancelled", count=len(late))
                await asyncio.wait(late, timeout=seconds)
        self._assignment.standings = {}
        self._metrics.partitions.set(0)

    def _kafka_output(self, partition: TopicPartition, place: OffsetPlace) -> Output:
        return KafkaOutput(self._config.options, group=self._config.group, source=partition, place=place)

    async def _committed(self, partition: TopicPartition) -> int | None:
        config = self._config
        with reading():
            found = await read_offsets(config.options, config.topics.offset, config.group, [partition])
        self._places[partition] = found[partition].place
        return found[partition].offset

    def _consumer(self, *, group_id: str | None, auto_offset_reset: str) -> AIOKafkaConsumer:
        session_ms = int(self._config.session_timeout_seconds * 1000)
        return AIOKafkaConsumer(
            **self._config.options,
            group_id=group_id,
            auto_offset_reset=auto_offset_reset,
            enable_auto_commit=False,
            isolation_level="read_committed",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 3,
            rebalance_timeout_ms=60_000,
            max_poll_interval_ms=3_600_000,  # the pipeline's own waits are not a reason to lose partitions
            max_partition_fetch_bytes=PARTITION_BYTES,
            fetch_max_bytes=FETCH_BYTES,
            fetch_max_wait_ms=200,
        )
