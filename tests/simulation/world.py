"""Kafka, PostgreSQL and some processes on one partition, driven step by step by a schedule.

Every request of a process waits here until the schedule lets it happen, refuses it, loses its answer or lets it arrive
when its sender has long given up. Frozen processes are those whose turn does not come.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.errors import LogUnavailableError, PublishError, StateUnavailableError
from tests.simulation.entries import ENTRIES
from tests.simulation.process import PARTITION, Late, Process, Request
from tests.simulation.schedule import EVENTS, LATE, LOST, Schedule, faults_of
from tests.simulation.virtual_time import VirtualLoop
from tests.support.broker import MemoryKafka
from tests.support.memory import MemoryDatabase

MAX_PROCESSES = 3
MAX_RECORDS = 24
SNAPSHOTS = 5
TURNS_TO_REST = 4000  # far more than any schedule needs: beyond it something is stuck
UNAVAILABLE = {"log": LogUnavailableError, "state": StateUnavailableError, "output": PublishError}

Waiting = tuple[Process, Request]


@dataclass(slots=True)
class Stretch:
    """Committed work from where the beginning or a rewind set the offset to where the next rewind found it."""

    first: int
    first_commit: int
    end: int | None = None


class World:
    """See the module; `run` takes a schedule to its end and everything to rest."""

    def __init__(self, loop: VirtualLoop, schedule: Schedule, tally: Counter[str]) -> None:
        self.kafka = MemoryKafka(PARTITION, prompt=False)
        self.database = MemoryDatabase()
        self.restored: list[MemoryDatabase] = []
        self.stretches = [Stretch(0, 0)]
        self.trace: list[str] = []
        self._loop = loop
        self._schedule = schedule
        self._tally = tally
        self._late = Late()
        self._snapshots = [self.database.backup()]
        self._living: list[Process] = []
        self._count = 0
        self._events: dict[str, Callable[[], bool]] = {
            "go on": lambda: False,
            "slow answer": self._slow_answer,
            "freeze": lambda: self._set_frozen(frozen=True),
            "thaw": lambda: self._set_frozen(frozen=False),
            "crash": self._crash,
            "new owner": self._new_owner,
            "append": self._append,
            "tick": self._tick,
            "markers": self._write_markers,
            "late request arrives": self._arrive,
            "snapshot": self._snapshot,
            "restore": self._restore,
            "rewind": self._rewind,
            "stop": lambda: self._end(cancel=False),
            "cancel": lambda: self._end(cancel=True),
            "transaction expires": self._expire,
            "coordinator restarts": self._restart_coordinator,
        }

    def run(self) -> None:
        for _ in range(self._schedule.one_of(range(12))):
            self._append()
        self._new_owner()
        while self._schedule.left:
            event = self._schedule.one_of(EVENTS)
            if not (self._fault() if event == "fault" else self._happens(event)):
                self._step(self._schedule.one_of)
            self._bury()
        self._come_to_rest()
        self.stretches[-1].end = self.kafka.committed

    def _happens(self, event: str) -> bool:
        happened = self._events[event]()
        if happened:
            self._note(event)
        return happened

    def _note(self, event: str, detail: str = "") -> None:
        self._tally[event] += 1
        self.trace.append(event + detail)

    # Requests

    def _waiting(self) -> list[Waiting]:
        return [(process, request) for process in self._awake() for request in process.steps.waiting]

    def _awake(self) -> list[Process]:
        return [process for process in self._living if not process.frozen]

    def _step(self, one_of: Callable[[Sequence[Waiting]], Waiting]) -> None:
        """Let one request happen, or time pass if there is none; begin anew where nobody is left."""
        waiting = self._waiting()
        if waiting:
            process, request = one_of(waiting)
            self._tally["steps"] += 1
            self.trace.append(f"{request.step} of {process.number}")
            self._perform(request)
            self._answer(process, request)
        elif not self._tick():
            self._new_owner()

    def _perform(self, request: Request) -> None:
        request.perform()

    def _answer(self, process: Process, request: Request) -> None:
        process.steps.waiting.remove(request)
        request.deliver()
        self._loop.settle()

    def _slow_answer(self) -> bool:
        waiting = [(process, request) for process, request in self._waiting() if request.outcome is None]
        if waiting:
            process, request = self._schedule.one_of(waiting)
            self.trace.append(f"{request.step} of {process.number}")
            self._perform(request)
        return bool(waiting)

    def _fault(self) -> bool:
        waiting = [(process, request) for process, request in self._waiting() if request.outcome is None]
        if not waiting:
            return False
        process, request = self._schedule.one_of(waiting)
        fault = self._schedule.one_of(faults_of(request.step))
        self._note(f"{request.step}: {fault}", f", of {process.number}")
        if fault == LATE:
            self._late.append(request.effect)
        elif fault == LOST:
            self._perform(request)
        request.fail(UNAVAILABLE[request.step.partition(".")[0]](fault))
        self._answer(process, request)
        return True

    def _arrive(self) -> bool:
        if not self._late:
            return False
        self._late.arrive(self._schedule.one_of(self._late))
        return True

    # Processes

    def _start(self, max_records: int) -> Process:
        world = (self._loop, self.kafka, self.database, self._late)
        process = Process(*world, number=self._count, max_records=max_records)
        self._living.append(process)
        self._count += 1
        self._loop.settle()
        return process

    def _new_owner(self) -> bool:
        """The group gives the partition to a new process, whatever became of the others."""
        if len(self._living) >= MAX_PROCESSES:
            return False
        self._start(self._schedule.one_of((3, 1, 2, 7)))
        return True

    def _set_frozen(self, *, frozen: bool) -> bool:
        candidates = [process for process in self._living if process.frozen is not frozen]
        if candidates:
            self._schedule.one_of(candidates).frozen = frozen
        return bool(candidates)

    def _crash(self) -> bool:
        if self._living:
            self._kill(self._schedule.one_of(self._living))
        return bool(self._living)

    def _kill(self, process: Process) -> None:
        for request in process.crash():
            if self._schedule.one_of((False, True)):
                self._late.append(request.effect)
        self._loop.settle()

    def _end(self, *, cancel: bool) -> bool:
        """What a member does that has to let go: first it asks, then it does not wait any longer."""
        candidates = [process for process in self._awake() if not process.stop.is_set()]
        if candidates:
            process = self._schedule.one_of(candidates)
            process.stop.set()
            if cancel:
                process.task.cancel()
            self._loop.settle()
        return bool(candidates)

    def _bury(self) -> None:
        """Forget the processes that have ended, and learn how."""
        for process in [process for process in self._living if process.task.done()]:
            self._living.remove(process)
            self._note(f"ended: {process.ended()}", f", {process.number}")

    # The world

    def _append(self) -> bool:
        if self.kafka.end >= MAX_RECORDS:
            return False
        entry = self._schedule.one_of(ENTRIES)
        if entry is None:
            self.kafka.mark()
        else:
            self.kafka.append(*entry)
        return True

    def _tick(self) -> bool:
        waits = self._loop.waits_for_time
        if waits:
            self._loop.advance()
        return waits

    def _write_markers(self) -> bool:
        pending = self.kafka.ending is not None
        self.kafka.write_markers()
        return pending

    def _expire(self) -> bool:
        pending = self.kafka.open is not None
        self.kafka.expire()
        return pending

    def _restart_coordinator(self) -> bool:
        self.kafka.restart(self._schedule.one_of([None, *self.kafka.commits]))
        return True

    def _snapshot(self) -> bool:
        self._snapshots = [*self._snapshots[1 - SNAPSHOTS :], self.database.backup()]
        return True

    def _restore(self) -> bool:
        """PostgreSQL loses commits."""
        snapshot = self._schedule.one_of(self._snapshots)
        self.restored.append(snapshot)
        self.database.restore(snapshot)
        return True

    def _rewind(self) -> bool:
        """Operators go back while nobody works; who is frozen may wake up later."""
        if self.kafka.committed is None:
            return False
        for process in self._awake():
            self._kill(process)
        self.kafka.init_producer()
        committed = self.kafka.committed
        self.stretches[-1].end = committed
        target = committed - self._schedule.one_of(range(committed + 1))
        self.kafka.rewind(target)
        self.stretches.append(Stretch(target, len(self.kafka.commits)))
        return True

    # Rest

    def _come_to_rest(self) -> None:
        """No more faults: everybody wakes up, what is under way arrives, and a new owner brings it to an end."""
        self.trace.append("no more faults")
        for process in self._living:
            process.frozen = False
        while self._late:
            self._late.arrive(self._late[0])
        owner = self._start(3)
        for turn in range(TURNS_TO_REST):
            self.kafka.write_markers()
            if self.kafka.drained and owner.works:
                break
            self._step(_in_turn(turn))
            self._bury()
            if owner.task.done():
                owner = self._start(3)
        assert self.kafka.drained, f"stuck: {self.kafka.committed} of {self.kafka.end}"
        self._let_all_end()

    def _let_all_end(self) -> None:
        for process in self._living:
            process.stop.set()
        self._loop.settle()
        self._bury()
        for turn in range(TURNS_TO_REST):
            if not self._living:
                break
            self._step(_in_turn(turn))
            self._bury()
        assert not self._living, "stuck: processes do not stop"
        self.kafka.write_markers()


def _in_turn(turn: int) -> Callable[[Sequence[Waiting]], Waiting]:
    return lambda waiting: waiting[turn % len(waiting)]
