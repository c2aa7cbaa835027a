"""Tells of partitions that stand still: as a metric, and in PostgreSQL for those who look from outside."""

import asyncio

from processors.member import Assignment
from processors.metrics import ProcessorMetrics
from processors.postgres_state import PostgresState
from runtime.errors import StateUnavailableError
from runtime.failures import problem_of
from runtime.logs import logger

TELL_EVERY_SECONDS = 2.0
MAX_WORDS = 500

log = logger(__name__)


class StandstillReporter:
    """Tells for ever what this processor knows of its partitions; `processor` is its name in Kafka.

    Everything is told each time, so what another owner wrote, or a late one, does not stay. Best effort: without
    PostgreSQL nobody outside is told.
    """

    def __init__(
        self, assignment: Assignment, metrics: ProcessorMetrics, state: PostgresState, *, group: str, processor: str
    ) -> None:
        self._assignment = assignment
        self._metrics = metrics
        self._state = state
        self._who = {"group": group, "processor": processor}
        self._failure: str | None = None

    async def run(self) -> None:
        while True:
            self._measure()
            try:
                await self._write()
                self._failure = None
            except Exception as error:  # noqa: BLE001 - it is about looking on, and ends nothing
                self._note(error)
            await asyncio.sleep(TELL_EVERY_SECONDS)

    def _measure(self) -> None:
        self._metrics.partition_problem.clear()
        for partition, status in self._assignment.statuses.items():
            if status.problem is not None:
                self._metrics.partition_problem.labels(partition.partition, status.problem.kind.value).set(1)

    async def _write(self) -> None:
        statuses = self._assignment.statuses
        if not statuses:
            return
        problems = {place.partition: found.problem.words for place, found in statuses.items() if found.problem}
        await self._state.execute(
            "tell_problems",
            {
                **self._who,
                "topic": next(iter(statuses)).topic,
                "well": [
                    place.partition
                    for place, found in statuses.items()
                    if found.problem is None and found.position is not None
                ],
                "partitions": list(problems),
                "problems": [words.replace("\0", "")[:MAX_WORDS] for words in problems.values()],
            },
        )

    def _note(self, error: Exception) -> None:
        words = problem_of(error)
        if words != self._failure and not isinstance(error, StateUnavailableError):
            log.warning("standstill.not_told", reason=words)
        self._failure = words
