"""Stays in the consumer group once: joins, runs a pipeline per assigned partition, lets go of them, leaves.

The group only decides who owns a partition; a takeover makes it so. Whatever a partition's pipeline raises stays in
that partition, which is taken over again after a while; only being fenced ends the stay. Whatever ends a stay, the next
one begins from nothing but what Kafka and PostgreSQL hold.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from processors.failing import Told, tell_failure
from processors.kafka_log import KafkaLog
from processors.kafka_offsets import read_offsets
from processors.kafka_output import KafkaOutput, OffsetPlace
from processors.lag import PartitionStatus
from processors.metrics import ProcessorMetrics, retry_cause
from processors.pipeline import PartitionConfig, PartitionPipeline, Ports, stopped_within
from processors.ports import Output, RecordTracer
from processors.postgres_state import PostgresState
from runtime.errors import FencedError, LogUnavailableError, TransientError
from runtime.kafka import close_consumer, raise_if_fetching_ended, reading
from runtime.logs import logger
from schemas.topics import MAX_MESSAGE_BYTES, TopicNames

START_SECONDS = 30.0
RETRY_SECONDS = (0.2, 5.0)  # first and longest wait between takeovers of a partition that fails
STANDSTILL_SECONDS = 30.0  # the longest, when waiting alone may not help: it refuses, or met the unexpected
RELEASE_SECONDS = 5.0  # to finish a transaction when the group takes partitions away
# Of one partition at once, and of all: bounds memory, and with it a batch.
PARTITION_BYTES = MAX_MESSAGE_BYTES
FETCH_BYTES = 4 * MAX_MESSAGE_BYTES

OutputFactory = Callable[[TopicPartition, OffsetPlace], Output]

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class MemberConfig:
    """Configures a member: Kafka options, group, topics, sizes, times, and who is told of it."""

    options: Mapping[str, Any]
    group: str
    topics: TopicNames
    batch_records: int
    session_timeout_seconds: float
    drain_seconds: float
    tracer: RecordTracer | None = None


@dataclass(slots=True)
class Assignment:
    """Holds the partitions that this member owns now; read by lag metrics and readiness.

    `told` outlives a stay; `fetcher` is the stay's.
    """

    joined: bool = False
    statuses: dict[TopicPartition, PartitionStatus] = field(default_factory=dict)
    told: Told = field(default_factory=set)
    fetcher: AIOKafkaConsumer | None = None


class Member(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no type information
    """Is a member of the group for one stay."""

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
            self._assignment.fetcher = None
            await close_consumer(self.member)
            await close_consumer(self.fetcher)
            if self._failed.done() and not self._failed.cancelled():
                self._failed.exception()  # raised already, or outweighed

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Finish what is open and let go of everything: the group rebalances."""
        if revoked:
            log.info("partitions.revoked", count=len(revoked))
        await self._release(min(RELEASE_SECONDS, self._config.session_timeout_seconds / 2))

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Take over what is ours: the group has decided."""
        if self._leaving:
            return
        try:
            self._begin(sorted(assigned))
        except Exception as error:  # noqa: BLE001 - the client only logs it, and we would own what nobody works on
            self._fail(error)

    def _begin(self, partitions: list[TopicPartition]) -> None:
        log.info("partitions.assigned", partitions=[partition.partition for partition in partitions])
        self._let_go = asyncio.Event()
        if partitions:
            self.member.pause(*partitions)  # the fetcher fetches
            self.fetcher.assign(partitions)
        self._assignment.statuses = {partition: PartitionStatus() for partition in partitions}
        self._assignment.fetcher = self.fetcher
        for partition in partitions:
            task = asyncio.create_task(self._keep(partition, self._assignment.statuses[partition], self._let_go))
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
                raise_if_fetching_ended(self.fetcher)

    async def _keep(self, partition: TopicPartition, status: PartitionStatus, let_go: asyncio.Event) -> None:
        """Run the partition's pipeline, again after whatever it raises, until it is let go.

        Only being fenced leaves the partition: it says that the group has another owner for it.
        """
        wait, clock = RETRY_SECONDS[0], asyncio.get_running_loop().time
        while not let_go.is_set():
            began = clock()
            try:
                await self._attempt(partition, status, let_go)
            except (Exception, asyncio.CancelledError) as error:  # whatever it is, the others go on
                if isinstance(error, FencedError) or _cancels(error):
                    raise
                longest = RETRY_SECONDS[1] if isinstance(error, TransientError) else STANDSTILL_SECONDS
                worked = clock() - began > longest  # for a while
                wait = RETRY_SECONDS[0] if worked else min(wait, longest)
                self._metrics.retries.labels(retry_cause(error)).inc()
                status.problem = tell_failure(partition.partition, error, wait, self._assignment.told)
                await stopped_within(let_go, wait)
                wait = min(wait * 2, longest)

    async def _attempt(self, partition: TopicPartition, status: PartitionStatus, let_go: asyncio.Event) -> None:
        output = self._make_output(partition, lambda: self._places[partition])
        try:
            await self._pipeline(partition, output, status).run(let_go)
        finally:
            await output.stop()

    def _pipeline(self, partition: TopicPartition, output: Output, status: PartitionStatus) -> PartitionPipeline:
        config = PartitionConfig(
            partition.partition, self._config.group, self._config.topics, self._config.batch_records
        )
        raw = KafkaLog(self.member, self.fetcher, partition, committed=self._committed)
        ports = Ports(raw, self._state.partition(partition.partition), output)
        return PartitionPipeline(config, ports, self._metrics, status, self._config.tracer)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """A partition's task ends when it is let go; by an error when it is fenced, which ends the stay."""
        error = None if task.cancelled() else task.exception()
        if isinstance(error, FencedError):
            self._metrics.fenced.inc()
            log.warning("partition.fenced", reason=str(error))
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
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
        self._assignment.statuses = {}
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


def _cancels(error: BaseException) -> bool:
    """Whether we are cancelled from outside; the client lets inner cancellations out (aiokafka issue 647)."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
