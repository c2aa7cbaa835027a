"""The publisher with a spool: when it spools, and that each key's order holds whatever Kafka does and however late."""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from ingress.metrics import SpoolMetrics
from ingress.ports import OutgoingRecord
from ingress.spool.model import SpoolLimits
from ingress.spool.publisher import FallbackPublisher
from ingress.spool.spool import Spool
from runtime.errors import PublishError, RecordRefusedError, SpoolFullError
from schemas.topics import TopicNames
from tests.support.waiting import until
from tests.unit.ingress.publishers import MemoryPublisher, PublisherContract, Stored, Subject, as_future
from tests.unit.ingress.spools import ROOMY, record, spool_in, values_of

AFTER_SECONDS = 0.05
TOPICS = TopicNames("test.")


@dataclass
class MemoryBroker:
    """A broker whose behaviour is told record by record, and then by `away`.

    `late` acknowledges when `release` is called; `lost` never does, but the record is in the log; `ghost` and `hang`
    never do, and the record comes into the log with `release`.
    """

    log: list[OutgoingRecord] = field(default_factory=list)
    plan: list[str] = field(default_factory=list)
    away: bool = False
    refused: set[bytes] = field(default_factory=set)
    refusal: type[Exception] = RecordRefusedError
    attempts: int = 0
    timeout: float = 60
    _ghosts: list[OutgoingRecord] = field(default_factory=list)
    _present: asyncio.Event = field(default_factory=asyncio.Event)
    _release: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def connected(self) -> bool:
        return not self.away

    async def reconnected(self) -> None:
        while self.away:
            await self._present.wait()

    def leave(self) -> None:
        self.away = True
        self._present.clear()

    def return_(self) -> None:
        self.away = False
        self._present.set()
        self.release()

    def release(self) -> None:
        self.log += self._ghosts
        self._ghosts.clear()
        self._release.set()
        self._release = asyncio.Event()

    def publish(self, record: OutgoingRecord) -> asyncio.Future[None]:
        return as_future(self._publish(record))

    async def _publish(self, record: OutgoingRecord) -> None:
        self.attempts += 1
        if record.value in self.refused:
            raise self.refusal("too large")
        if self.away:
            raise PublishError("away")
        match self.plan.pop(0) if self.plan else "ok":
            case "fail":
                raise PublishError("failed")
            case "lost":
                self.log.append(record)
                raise PublishError("the acknowledgement was lost")
            case "ghost":
                self._ghosts.append(record)
                raise PublishError("no acknowledgement")
            case "hang":
                self._ghosts.append(record)
                await self._patience(asyncio.Event())
            case "late":
                await self._patience(self._release)
                self.log.append(record)
            case _:
                await asyncio.sleep(0)
                self.log.append(record)

    async def _patience(self, event: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self.timeout):
                await event.wait()
        except TimeoutError as error:
            raise PublishError("no acknowledgement") from error

    def values(self) -> list[int]:
        return [int(record.value) for record in self.log]


@dataclass
class Running:
    publisher: FallbackPublisher
    spool: Spool

    async def drained(self) -> None:
        async def empty() -> bool:
            return self.spool.records == 0

        await until(empty, what="an empty spool")


@asynccontextmanager
async def spooling(
    broker: MemoryBroker,
    directory: Path,
    *,
    limits: SpoolLimits = ROOMY,
    registry: CollectorRegistry | None = None,
    after: float = AFTER_SECONDS,
    max_direct: int = 100,
) -> AsyncIterator[Running]:
    async with spool_in(directory, limits) as spool, asyncio.TaskGroup() as group:
        metrics = SpoolMetrics(registry or CollectorRegistry())
        publisher = FallbackPublisher(broker, spool, after_seconds=after, max_direct=max_direct, metrics=metrics)
        task = group.create_task(publisher.run())
        try:
            yield Running(publisher, spool)
        finally:
            task.cancel()


class ConnectedMemoryPublisher(MemoryPublisher):
    """The in-memory publisher, which is always there."""

    connected = True

    async def reconnected(self) -> None:
        return


class TestSpoolingPublisher(PublisherContract):
    """What goes through the spool keeps the contract, too; what can never be stored is refused later, in the log."""

    test_record_too_large_fails_alone = None  # type: ignore[assignment]
    test_record_for_an_unknown_topic_fails_alone = None  # type: ignore[assignment]

    @pytest.fixture(params=[100, 0], ids=["direct", "spooled"])
    async def subject(self, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
        inner = ConnectedMemoryPublisher([TOPICS.raw, TOPICS.dead_letter])
        async with spool_in(tmp_path) as spool, asyncio.TaskGroup() as group:
            publisher = FallbackPublisher(
                inner,
                spool,
                after_seconds=5,
                max_direct=request.param,
                metrics=SpoolMetrics(CollectorRegistry()),
            )
            task = group.create_task(publisher.run())

            async def read(topic: str) -> list[Stored]:
                await Running(publisher, spool).drained()
                return inner.stored[topic]

            yield Subject(publisher, TOPICS, read)
            task.cancel()


async def test_record_that_kafka_takes_leaves_the_spool_alone(tmp_path: Path) -> None:
    broker = MemoryBroker()
    async with spooling(broker, tmp_path, after=60) as running:
        await running.publisher.publish(record(1))

        assert (broker.values(), running.spool.records) == ([1], 0)
        assert running.publisher.note() is None


@pytest.mark.parametrize("fault", ["fail", "hang", "ghost", "late"])
async def test_record_that_kafka_does_not_take_soon_is_spooled_and_drained(tmp_path: Path, fault: str) -> None:
    broker = MemoryBroker(plan=[fault])
    async with spooling(broker, tmp_path) as running:
        await running.publisher.publish(record(1))
        await running.drained()

        assert broker.values()[0] == 1


async def test_while_kafka_is_away_nothing_waits_for_it(tmp_path: Path) -> None:
    broker = MemoryBroker()
    broker.leave()
    async with spooling(broker, tmp_path, after=60) as running:
        await asyncio.gather(*(running.publisher.publish(record(number)) for number in range(100)))

        assert broker.attempts == 0
        assert await values_of(running.spool) == list(range(100))
        assert running.publisher.note() == "100 records wait in the spool, the oldest for 0 s"
        broker.return_()
        await running.drained()
        assert broker.values() == list(range(100))


async def test_key_with_spooled_records_goes_behind_them_and_others_do_not(tmp_path: Path) -> None:
    broker = MemoryBroker(refused={b"1"})
    async with spooling(broker, tmp_path) as running:
        await running.publisher.publish(record(1, b"stuck"))
        await running.publisher.publish(record(2, b"stuck"))
        await running.publisher.publish(record(3, b"free"))
        assert broker.values() == [3]

        broker.refused.clear()
        await running.drained()
        assert broker.values() == [3, 1, 2]


@pytest.mark.parametrize("refusal", [RecordRefusedError, ValueError])
async def test_record_that_fails_does_not_hold_up_the_drain_and_stays(tmp_path: Path, refusal: type[Exception]) -> None:
    broker = MemoryBroker(refused={b"0"}, refusal=refusal)
    broker.leave()
    async with spooling(broker, tmp_path) as running:
        keys = [b"stuck", *(b"call-%d" % number for number in range(1, 300))]
        await asyncio.gather(*(running.publisher.publish(record(n, key)) for n, key in enumerate(keys)))
        broker.return_()

        async def others() -> bool:
            return running.spool.records == 1

        await until(others, what="all but one record drained")
        assert await values_of(running.spool) == [0]
        assert sorted(broker.values()) == list(range(1, 300))


async def test_second_record_of_a_key_waits_for_the_first(tmp_path: Path) -> None:
    broker = MemoryBroker(plan=["late"])
    async with spooling(broker, tmp_path, after=60) as running, asyncio.TaskGroup() as group:
        group.create_task(running.publisher.publish(record(1)))
        await asyncio.sleep(0)
        group.create_task(running.publisher.publish(record(2)))
        other = group.create_task(running.publisher.publish(record(3, b"another")))
        await other
        assert broker.values() == [3]

        broker.release()
    assert broker.values() == [3, 1, 2]


async def test_one_that_gives_up_waiting_passes_its_turn_on(tmp_path: Path) -> None:
    broker = MemoryBroker(plan=["late"])
    async with spooling(broker, tmp_path, after=60) as running, asyncio.TaskGroup() as group:
        tasks = [group.create_task(running.publisher.publish(record(number))) for number in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        broker.release()
        await asyncio.wait(tasks)
        assert broker.values() == [0, 2, 3]
        assert running.publisher._waiting_by_key == {}


async def test_too_many_unanswered_records_go_to_the_spool(tmp_path: Path) -> None:
    broker = MemoryBroker(plan=["late"] * 10)
    async with spooling(broker, tmp_path, after=60, max_direct=10) as running, asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(running.publisher.publish(record(number, b"%d" % number)))
        await asyncio.sleep(0)
        await running.publisher.publish(record(10, b"10"))
        await running.drained()
        assert broker.values() == [10]
        broker.release()


async def test_full_spool_is_an_error_of_its_own(tmp_path: Path) -> None:
    broker = MemoryBroker()
    broker.leave()
    async with spooling(broker, tmp_path, limits=SpoolLimits(max_bytes=100, max_age_seconds=60)) as running:
        await running.publisher.publish(record(1))
        for number in range(10):
            with pytest.raises(SpoolFullError):
                await running.publisher.publish(OutgoingRecord("raw", b"k%d" % number, b"x" * 100, []))

        assert running.publisher._waiting_by_key == {}


async def test_what_is_left_is_drained_first_after_a_restart(tmp_path: Path) -> None:
    broker = MemoryBroker()
    broker.leave()
    async with spooling(broker, tmp_path) as running:
        for number in range(5):
            await running.publisher.publish(record(number))
    async with spooling(broker, tmp_path) as running:
        broker.return_()
        await running.publisher.publish(record(5))
        await running.drained()

    assert broker.values() == [0, 1, 2, 3, 4, 5]


FAULTS = st.sampled_from(["ok", "ok", "fail", "lost", "ghost", "hang", "late"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 3)),
        st.tuples(st.sampled_from(["leave", "return", "release", "breathe", "restart"]), st.just(0)),
    ),
    min_size=5,
    max_size=60,
)


@settings(deadline=None, max_examples=40)
@given(STEPS, st.lists(FAULTS, max_size=40))
def test_each_key_keeps_its_order_whatever_happens(steps: list[tuple[str, int]], plan: list[str]) -> None:
    """First copies of a key's answered records are in the order of arrival, ghosts and restarts included."""
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as directory:
        broker, accepted = runner.run(_story(steps, plan, Path(directory)))

    first: dict[bytes | None, list[int]] = defaultdict(list)
    for found in broker.log:
        if int(found.value) not in first[found.key]:
            first[found.key].append(int(found.value))
    assert {key: values for key, values in first.items() if values != accepted[key]} == {}
    assert first.keys() == accepted.keys()


async def _story(
    steps: list[tuple[str, int]], plan: list[str], directory: Path
) -> tuple[MemoryBroker, dict[bytes | None, list[int]]]:
    broker = MemoryBroker(plan=plan, timeout=0.02)
    accepted: dict[bytes | None, list[int]] = defaultdict(list)
    publishing: list[asyncio.Task[None]] = []
    remaining = [*enumerate(steps), (len(steps), ("settle", 0))]
    while remaining:
        async with spooling(broker, directory, after=0.005) as running, asyncio.TaskGroup() as group:
            while remaining:
                number, (step, key) = remaining.pop(0)
                match step:
                    case "publish":
                        name = b"call-%d" % key
                        accepted[name].append(number)
                        publishing.append(group.create_task(running.publisher.publish(record(number, name))))
                        await asyncio.sleep(0)  # it has arrived
                    case "leave":
                        broker.leave()
                    case "return":
                        broker.return_()
                    case "release":
                        broker.release()
                    case "breathe":
                        await asyncio.sleep(0.002)
                    case "settle":
                        broker.plan.clear()  # each fault left would double the wait until the next attempt
                        broker.return_()
                        await asyncio.gather(*publishing)
                        await running.drained()
                    case _:
                        break  # restart
    broker.release()
    return broker, accepted
