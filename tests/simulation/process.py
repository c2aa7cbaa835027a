"""One process of the simulation: the real pipeline, on ports whose every request waits for the schedule."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry

from processors.lag import PartitionStatus
from processors.metrics import ProcessorMetrics
from processors.pipeline import PartitionConfig, PartitionPipeline, Ports
from runtime.errors import FencedError, PipelineError, TransientError
from schemas.topics import TopicNames
from tests.simulation.virtual_time import VirtualLoop
from tests.support.broker import MemoryKafka
from tests.support.memory import CrashError, Hooks, MemoryDatabase, MemoryLog, MemoryOutput, MemoryState, Step

LOG = "raw@1"
PARTITION = 3
TOPICS = TopicNames()
METRICS = ProcessorMetrics(CollectorRegistry())  # nobody looks at them

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Request:
    """One request of a process: on its way, or (`outcome`) with its effect done and the answer on its way back."""

    step: Step
    effect: Callable[[], Any]
    answer: asyncio.Future[Any]
    outcome: Callable[[], None] | None = None

    def perform(self) -> None:
        """Its effect on the world, once."""
        if self.outcome is not None:
            return
        try:
            result = self.effect()
        except PipelineError as error:
            self.fail(error)
        else:
            self.outcome = lambda: self.answer.set_result(result)

    def fail(self, error: Exception) -> None:
        """This is what the process will hear, whatever became of the request."""
        self.outcome = lambda: self.answer.set_exception(error)

    def deliver(self) -> None:
        """The answer arrives; nobody may be there to hear it."""
        assert self.outcome is not None
        if not self.answer.done():
            self.outcome()


class Late(list[Callable[[], Any]]):
    """Requests under way whose senders have given up, crashed or gone."""

    def arrive(self, effect: Callable[[], Any]) -> None:
        """One of them happens; nobody hears whether it could."""
        self.remove(effect)
        try:
            effect()
        except PipelineError:
            return


class Steps(Hooks):
    """Holds every request until the schedule decides on it."""

    def __init__(self, late: Late) -> None:
        super().__init__()
        self.waiting: list[Request] = []
        self._late = late

    async def reach(self, step: Step) -> None:
        if self.crashed:
            raise CrashError(step)

    async def call(self, step: Step, effect: Callable[[], Answer], done: Step | None = None) -> Answer:
        await self.reach(step)
        request = Request(step, effect, asyncio.get_running_loop().create_future())
        self.waiting.append(request)
        try:
            answer = cast("Answer", await request.answer)
        except asyncio.CancelledError:
            self._abandon(request)
            raise
        await self.reach(done or step)
        return answer

    def _abandon(self, request: Request) -> None:
        if request in self.waiting:
            self.waiting.remove(request)
            if request.outcome is None:
                self._late.append(request.effect)


class Process:
    """One life of a processor on the partition, from its takeover on."""

    def __init__(
        self,
        loop: VirtualLoop,
        kafka: MemoryKafka,
        database: MemoryDatabase,
        late: Late,
        *,
        number: int,
        max_records: int,
    ) -> None:
        self.number = number
        self.steps = Steps(late)
        self.stop = asyncio.Event()
        self.status = PartitionStatus()
        self.frozen = False
        ports = Ports(
            MemoryLog(kafka, self.steps),
            MemoryState(database, LOG, PARTITION, self.steps),
            MemoryOutput(kafka, self.steps),
        )
        pipeline = PartitionPipeline(
            PartitionConfig(PARTITION, "group", TOPICS, max_records), ports, METRICS, self.status
        )
        self.task = loop.create_task(pipeline.run(self.stop))

    @property
    def works(self) -> bool:
        """Whether it has taken the partition over and lives."""
        return self.status.position is not None and not self.task.done()

    def crash(self) -> list[Request]:
        """Every step from now on fails; the requests that were under way."""
        self.steps.crash()
        under_way, self.steps.waiting = self.steps.waiting, []
        for request in under_way:
            if not request.answer.done():
                request.answer.set_exception(CrashError(request.step))
        return [request for request in under_way if request.outcome is None]

    def ended(self) -> str:
        """How it ended. Raises what may never happen."""
        if self.task.cancelled():
            return "cancelled"
        error = self.task.exception()
        if error is None:
            return "stopped"
        if isinstance(error, CrashError | FencedError | TransientError):
            return type(error).__name__
        raise error
