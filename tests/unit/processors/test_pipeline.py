"""The guarantee on in-memory ports: every event once per pass, whatever crashes, freezes or is lost between steps."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from processors import model
from processors.lag import PartitionStatus
from processors.metrics import ProcessorMetrics
from processors.pipeline import PartitionConfig, PartitionPipeline, Ports
from processors.ports import RecordTracer
from runtime.errors import (
    FencedError,
    PublishError,
    RefusedError,
    StateBehindError,
    StateUnavailableError,
    TransientError,
)
from schemas.identity import ClaimKey
from schemas.topics import TopicNames
from tests.support.broker import MemoryKafka
from tests.support.kafka import raw_headers
from tests.support.memory import (
    CrashError,
    Gate,
    Hooks,
    MemoryDatabase,
    MemoryLog,
    MemoryOutput,
    MemoryState,
    Step,
)
from tests.support.reference_model import Raw, expected

LOG = "raw@1"
PARTITION = 3
TOPICS = TopicNames()
DEADLINE_SECONDS = 3.0
Written = dict[str, list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]]]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.pipeline.STATE_RETRY_SECONDS", (0.0005, 0.001))


class Process:
    """One life of a processor on one partition."""

    def __init__(
        self, kafka: MemoryKafka, database: MemoryDatabase, *, max_records: int = 3, tracer: RecordTracer | None = None
    ) -> None:
        self.hooks = Hooks()
        self.kafka = kafka
        self.stop = asyncio.Event()
        self.status = PartitionStatus()
        self.registry = CollectorRegistry()
        ports = Ports(
            MemoryLog(kafka, self.hooks),
            MemoryState(database, LOG, PARTITION, self.hooks),
            MemoryOutput(kafka, self.hooks),
        )
        config = PartitionConfig(PARTITION, "group", TOPICS, max_records)
        self._pipeline = PartitionPipeline(config, ports, ProcessorMetrics(self.registry), self.status, tracer)

    async def run(self) -> None:
        """Until it is stopped or fails, at most until the deadline."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self._pipeline.run(self.stop)

    async def drain(self) -> None:
        """Until everything in the log is committed, then a clean stop."""
        task = asyncio.create_task(self.run())
        await becomes(lambda: task.done() or (self.status.position is not None and self.kafka.drained))
        self.stop.set()
        await task

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


async def becomes(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition is in many places
            await asyncio.sleep(0)


async def everything_that_can_happen() -> None:
    """Every task runs until it waits for something that is held."""
    for _ in range(50):
        await asyncio.sleep(0)


def ended(call: str, seconds: int = 1) -> bytes:
    body = {
        "event": "call.ended",
        "timestamp": "2026-01-02T15:05:12.000Z",
        "call": {"id": call, "duration_sec": seconds, "hangup_cause": "normal_clearing", "disposition": "answered"},
    }
    return json.dumps(body).encode()


def append(kafka: MemoryKafka, *entries: str | None) -> None:
    """One record each: `a` and `a2` are call.ended of call `a` (the latter with other content), None is no JSON."""
    for entry in entries:
        if entry is None:
            kafka.append(b"x", b"not json", raw_headers("call-ended"))
        else:
            kafka.append(entry[0].encode(), ended(entry[0], int(entry[1:] or "1")), raw_headers("call-ended"))


def world(*entries: str | None) -> tuple[MemoryKafka, MemoryDatabase]:
    kafka = MemoryKafka(PARTITION)
    append(kafka, *entries)
    return kafka, MemoryDatabase()


def wanted(log: list[Raw], *, since: int = 0) -> Written:
    """What one pass over the log from `since` on must write, by the reference model."""
    oracle = expected(log, TOPICS.raw)
    found: Written = {}
    for event in oracle.events:
        if int(dict(event.headers)["ce_sourceoffset"].rpartition(b"/")[2]) >= since:
            found.setdefault(TOPICS.call, []).append((event.key, event.value, event.headers))
    for dead in oracle.dead_letters:
        if dead.raw.offset >= since:
            reason = (dead.raw.key, dead.raw.value, (*dead.raw.headers, ("__dlq.errors.code", dead.code.encode())))
            found.setdefault(TOPICS.dead_letter, []).append(reason)
    return found


def written(kafka: MemoryKafka) -> Written:
    """What was committed; of a dead letter's reason only the code, which is what the model knows."""

    def shown(record: model.Written) -> tuple[tuple[str, bytes | None], ...]:
        return tuple(
            (name, value)
            for name, value in record.headers
            if not name.startswith("__dlq.") or name == "__dlq.errors.code"
        )

    return {topic: [(r.key, r.value, shown(r)) for r in records] for topic, records in kafka.written.items()}


def counts(database: MemoryDatabase) -> dict[str, int]:
    """Records by call, from the state table."""
    return {key.rpartition(":")[2]: row.records for (_, key), row in database.claims.items()}


async def test_log_comes_out_as_the_reference_model_says() -> None:
    kafka, database = world("a", "b", None, "a", "a2", "c", "b", None)
    process = Process(kafka, database)

    await process.drain()

    assert written(kafka) == wanted(kafka.as_raw())
    assert kafka.committed == 8
    assert counts(database) == {"a": 3, "b": 2, "c": 1}
    assert list(database.conflicts.values()) == [ClaimKey("ringover:call.ended:a")]
    assert process.metric("ringover_events_total", type="call.ended", outcome="emitted") == 3
    assert process.metric("ringover_events_total", type="call.ended", outcome="duplicate") == 2
    assert process.metric("ringover_events_total", type="call.ended", outcome="conflict") == 1
    assert process.metric("ringover_dead_letters_total", code="not_json") == 2
    assert process.status.position == 8
    assert not process.status.pending


async def test_idle_partition_takes_up_what_comes_later() -> None:
    kafka, database = world()
    process = Process(kafka, database)
    task = asyncio.create_task(process.run())
    await becomes(lambda: process.hooks.reached.count(Step.FETCH) >= 3)

    append(kafka, "a")

    await becomes(lambda: kafka.committed == 1)
    process.stop.set()
    await task
    assert written(kafka) == wanted(kafka.as_raw())


@pytest.mark.parametrize("step", [Step.CLAIM, Step.CLAIMED, Step.CONFLICTS, Step.COMMIT, Step.COMMIT_DONE, Step.FETCH])
async def test_crash_at_any_step_of_a_batch_still_gives_each_event_once(step: Step) -> None:
    kafka, database = world("a", None, "a2", "b", "a", "c", "b", None)
    victim = Process(kafka, database)

    async def crash() -> None:
        victim.hooks.crash()

    victim.hooks.at(step, crash)
    with pytest.raises(CrashError):
        await victim.run()

    await Process(kafka, database).drain()

    assert written(kafka) == wanted(kafka.as_raw())
    assert counts(database) == {"a": 3, "b": 2, "c": 1}


async def test_state_that_is_away_is_waited_for_and_nothing_is_dead_lettered() -> None:
    kafka, database = world("a", "b", "a2", "c")
    process = Process(kafka, database)
    answers = iter([StateUnavailableError("away")] * 5)

    async def away() -> None:
        for error in answers:
            raise error

    process.hooks.at(Step.CLAIM, away)

    await process.drain()

    assert written(kafka) == wanted(kafka.as_raw())
    assert TOPICS.dead_letter not in kafka.written
    assert process.metric("ringover_retries_total", cause="state") == 5
    assert kafka.epoch == 1  # no new takeover, no new producer


async def test_state_that_is_away_holds_no_transaction_and_does_not_keep_a_stop_waiting() -> None:
    kafka, database = world("a", "b")
    process = Process(kafka, database)

    async def away() -> None:
        raise StateUnavailableError("away")

    process.hooks.at(Step.CLAIM, away)
    task = asyncio.create_task(process.run())
    await becomes(lambda: process.hooks.reached.count(Step.CLAIM) > 3)

    process.stop.set()

    with pytest.raises(StateUnavailableError):
        await task
    assert Step.COMMIT not in process.hooks.reached[process.hooks.reached.index(Step.CLAIM) :]


async def test_conflicts_are_noted_before_their_batch_is_committed() -> None:
    kafka, database = world("a", "a2")
    process = Process(kafka, database)
    gate = Gate()
    process.hooks.at(Step.CONFLICTS, gate)
    task = asyncio.create_task(process.run())
    await gate.held.wait()

    assert kafka.committed == 0

    gate.open()
    await becomes(lambda: kafka.committed == 2)
    process.stop.set()
    await task


async def test_state_that_lost_claims_stops_the_pipeline_and_the_next_takeover_heals_it() -> None:
    kafka, database = world("a", "b", None)
    backup = database.backup()
    process = Process(kafka, database)
    task = asyncio.create_task(process.run())
    await becomes(lambda: kafka.committed == 3)

    database.restore(backup)
    append(kafka, "a", "a2", "c")

    with pytest.raises(StateBehindError):
        await task
    healer = Process(kafka, database)
    await healer.drain()
    assert written(kafka) == wanted(kafka.as_raw())
    assert counts(database) == {"a": 3, "b": 1, "c": 1}
    assert database.progress == {(LOG, PARTITION): 6}
    assert healer.metric("ringover_healed_records_total") == 3


async def test_healing_writes_nothing_and_passes_markers() -> None:
    kafka, database = world("a", "b", "a")
    kafka.mark()
    kafka.rewind(4)

    await Process(kafka, database, max_records=2).drain()

    assert kafka.written == {}
    assert kafka.commits == []
    assert database.progress == {(LOG, PARTITION): 4}
    assert counts(database) == {"a": 2, "b": 1}


async def test_healing_stops_at_the_committed_offset_although_a_fetch_brings_more() -> None:
    kafka, database = world("a", "b", "c", "d")
    kafka.rewind(2)

    healer = Process(kafka, database, max_records=10)

    await healer.drain()

    assert healer.metric("ringover_healed_records_total") == 2
    assert written(kafka) == wanted(kafka.as_raw(), since=2)
    assert counts(database) == {"a": 1, "b": 1, "c": 1, "d": 1}


async def test_stop_in_the_middle_of_healing_ends_it_and_the_next_one_goes_on() -> None:
    kafka, database = world("a", "b", "c", "d", "e", "f", "g")
    kafka.rewind(7)
    process = Process(kafka, database, max_records=1)
    gate = Gate()
    process.hooks.at(Step.CLAIMED, gate)
    task = asyncio.create_task(process.run())
    await gate.held.wait()

    process.stop.set()
    gate.open()
    await task

    assert database.progress[LOG, PARTITION] < 7
    await Process(kafka, database).drain()
    assert database.progress == {(LOG, PARTITION): 7}
    assert counts(database) == dict.fromkeys("abcdefg", 1)
    assert kafka.written == {}


async def test_crash_in_the_middle_of_healing_loses_no_conflict() -> None:
    database = await _healed_after_a_crash("a", "a2")  # in its last batch: nobody begins before that one again

    assert database.conflicts == {(LOG, PARTITION, 1): ClaimKey("ringover:call.ended:a")}


async def test_crash_before_the_last_batch_of_healing_loses_no_conflict() -> None:
    database = await _healed_after_a_crash("a", "a2", "b")

    assert database.conflicts == {(LOG, PARTITION, 1): ClaimKey("ringover:call.ended:a")}


async def _healed_after_a_crash(*entries: str) -> MemoryDatabase:
    kafka, database = world(*entries)
    kafka.rewind(len(entries))
    healer = Process(kafka, database, max_records=2)

    async def crash() -> None:
        healer.hooks.crash()

    healer.hooks.at(Step.CLAIMED, crash)
    with pytest.raises(CrashError):
        await healer.run()

    await Process(kafka, database).drain()
    return database


async def test_copy_made_between_claims_and_conflicts_of_a_batch_loses_no_conflict() -> None:
    kafka, database = world("a", "a2", "b", "b2", "c")
    process = Process(kafka, database, max_records=2)
    copies: list[MemoryDatabase] = []

    async def copy() -> None:
        copies.append(database.backup())

    process.hooks.at(Step.CLAIMED, copy)
    await process.drain()
    database.restore(copies[0])
    assert database.progress == {(LOG, PARTITION): 2}
    assert database.conflicts == {}

    healer = Process(kafka, database, max_records=2)
    await healer.drain()

    assert sorted(offset for _, _, offset in database.conflicts) == [1, 3]
    assert counts(database) == {"a": 2, "b": 2, "c": 1}
    assert healer.metric("ringover_healed_records_total") == 3


@pytest.mark.parametrize("every", [1, 2, 100])
async def test_dead_letters_split_no_batch_and_need_no_transaction_of_their_own(every: int) -> None:
    kafka, database = world(*(None if number % every == 0 else "a" for number in range(100)))
    process = Process(kafka, database, max_records=25)

    await process.drain()

    assert written(kafka) == wanted(kafka.as_raw())
    assert kafka.commits == [0, 25, 50, 75, 100]
    assert process.hooks.reached.count(Step.CLAIM) == 4
    assert process.metric("ringover_batch_records_count") == 4
    assert process.metric("ringover_commit_duration_seconds_count") == 4


async def test_batch_is_of_all_that_waits_although_it_comes_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.pipeline.SLICE_RECORDS", 10)
    kafka, database = world(*(str(number) for number in range(80)))
    process = Process(kafka, database, max_records=25)

    await process.drain()

    assert written(kafka) == wanted(kafka.as_raw())
    assert kafka.commits == [0, 25, 50, 75, 80]
    assert process.hooks.reached[: process.hooks.reached.index(Step.CLAIM)].count(Step.FETCH) == 3


async def test_healing_in_slices_ends_at_the_committed_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.pipeline.SLICE_RECORDS", 2)
    kafka, database = world("a", "b", "a2", "c", "d")
    await Process(kafka, database).drain()
    append(kafka, "e", "f", "g")
    lost = MemoryDatabase()
    healer = Process(kafka, lost, max_records=10)

    await healer.drain()

    assert healer.metric("ringover_healed_records_total") == 5
    assert lost.claims.keys() >= database.claims.keys()
    assert written(kafka) == wanted(kafka.as_raw())


async def test_gap_of_markers_is_passed() -> None:
    kafka, database = world("a")
    kafka.mark()
    append(kafka, "b", "a")
    kafka.mark()
    kafka.mark()
    append(kafka, "c")

    await Process(kafka, database).drain()

    assert written(kafka) == wanted(kafka.as_raw())
    assert kafka.commits == [0, 4, 7]


async def test_position_that_retention_took_stops_everything() -> None:
    kafka, database = world("a", "b", "c", "d", "e", "f", "g")
    process = Process(kafka, database, max_records=2)

    async def retention() -> None:
        if process.hooks.reached.count(Step.FETCH) == 2:
            kafka.remove_before(5)

    process.hooks.at(Step.FETCH, retention)

    with pytest.raises(RefusedError):
        await process.run()

    assert kafka.committed == 2  # what was in order is committed, nothing after it


async def test_gap_that_retention_made_is_refused_although_the_fetch_succeeded() -> None:
    kafka, database = world("a", "b", "c")
    process = Process(kafka, database)
    task = asyncio.create_task(process.run())
    await becomes(lambda: kafka.committed == 3)

    async def retention() -> None:
        kafka.remove_before(4)  # the log was asked for its bounds, after a fetch that began at offset 4

    process.hooks.at(Step.BOUNDS, retention)
    kafka.mark()
    append(kafka, "e")

    with pytest.raises(RefusedError, match="removed before they were processed"):
        await task
    assert kafka.committed == 3


async def test_next_batch_is_claimed_while_the_last_one_commits() -> None:
    kafka, database = world("a", "b", "c", "d")
    process = Process(kafka, database, max_records=2)
    # The takeover's own commit has happened by then.
    kafka.rewind(0)
    database.progress[LOG, PARTITION] = 0
    gate = Gate()
    process.hooks.at(Step.COMMIT, gate)
    task = asyncio.create_task(process.run())
    await gate.held.wait()

    await becomes(lambda: database.progress[LOG, PARTITION] == 4)
    await everything_that_can_happen()

    assert kafka.committed == 0
    assert process.hooks.reached.count(Step.COMMIT) == 1  # transactions follow each other
    assert process.status.position == 0
    assert len(process.status.pending) == 2
    gate.open()
    await becomes(lambda: kafka.committed == 4)
    process.stop.set()
    await task
    assert written(kafka) == wanted(kafka.as_raw())


@pytest.mark.parametrize("step", [Step.FETCH, Step.CLAIM, Step.CLAIMED, Step.COMMIT])
async def test_zombie_that_wakes_after_a_takeover_is_fenced_and_adds_nothing(step: Step) -> None:
    kafka, database = world("a", "b", None, "a", "b2", "c")
    kafka.rewind(0)
    database.progress[LOG, PARTITION] = 0
    zombie = Process(kafka, database, max_records=2)
    gate = Gate()
    zombie.hooks.at(step, gate)
    frozen = asyncio.create_task(zombie.run())
    await gate.held.wait()

    await Process(kafka, database, max_records=4).drain()
    gate.open()

    with pytest.raises(FencedError):
        await frozen
    assert written(kafka) == wanted(kafka.as_raw())
    assert kafka.committed == 6


async def test_two_owners_side_by_side_emit_once() -> None:
    kafka, database = world(*"abcabdabe" * 3)
    kafka.rewind(0)
    database.progress[LOG, PARTITION] = 0
    zombie, owner = Process(kafka, database, max_records=1), Process(kafka, database, max_records=2)
    task = asyncio.create_task(zombie.run())
    await becomes(lambda: (kafka.committed or 0) >= 4)

    await owner.drain()

    append(kafka, "a", "f")  # if nothing else did, this makes the zombie try
    with pytest.raises(FencedError):
        await task
    await Process(kafka, database).drain()
    assert written(kafka) == wanted(kafka.as_raw())


async def no_answer() -> None:
    raise PublishError("no answer")


async def test_failed_transaction_is_told_and_the_next_takeover_repeats_its_batch() -> None:
    kafka, database = world("a", "b", "a", "c")
    kafka.rewind(0)
    database.progress[LOG, PARTITION] = 0
    process = Process(kafka, database, max_records=2)

    process.hooks.at(Step.COMMIT, no_answer)
    with pytest.raises(PublishError):
        await process.run()
    assert kafka.written == {}

    await Process(kafka, database).drain()

    assert written(kafka) == wanted(kafka.as_raw())


async def test_age_of_what_failed_stays_known_until_it_is_committed() -> None:
    kafka, database = world("a", "b", "c")
    kafka.rewind(0)
    database.progress[LOG, PARTITION] = 0
    process = Process(kafka, database, max_records=2)

    process.hooks.at(Step.COMMIT, no_answer)
    for _ in range(2):
        with pytest.raises(PublishError):
            await process.run()
        assert process.status.oldest == kafka.records[0].timestamp
        assert not process.status.pending

    process.hooks.remove(Step.COMMIT)
    await process.drain()
    assert process.status == PartitionStatus(position=3)


async def test_age_of_what_failed_is_forgotten_when_a_takeover_finds_it_committed() -> None:
    kafka, database = world("a", "b")
    process = Process(kafka, database)
    answers = iter([PublishError("no answer")])

    async def lost_answer() -> None:
        for error in answers if kafka.committed else ():
            raise error

    process.hooks.at(Step.COMMIT_DONE, lost_answer)
    with pytest.raises(PublishError):
        await process.run()
    assert process.status.oldest == kafka.records[0].timestamp

    await process.drain()

    assert process.status == PartitionStatus(position=2)


async def test_markers_at_the_end_are_no_lag() -> None:
    kafka, database = world("a", "b")
    kafka.mark()
    process = Process(kafka, database)
    task = asyncio.create_task(process.run())

    await becomes(lambda: process.status.position == kafka.end == 3)

    process.stop.set()
    await task
    assert kafka.committed == 2


async def test_healing_that_fails_leaves_nothing_in_hand() -> None:
    kafka, database = world("a", "b", "c")
    kafka.rewind(3)
    healer = Process(kafka, database, max_records=1)
    losses = iter([StateBehindError("lost more")])

    async def lose() -> None:
        for error in losses:
            raise error

    healer.hooks.at(Step.CLAIM, lose)
    with pytest.raises(StateBehindError):
        await healer.run()
    task = asyncio.create_task(healer.run())
    await becomes(lambda: healer.status.position == 3)
    await everything_that_can_happen()

    assert healer.status == PartitionStatus(position=3)

    healer.stop.set()
    await task


async def test_transaction_that_succeeded_without_an_answer_is_not_repeated() -> None:
    kafka, database = world("a", "b", "a", "c")
    process = Process(kafka, database, max_records=2)

    async def lost_answer() -> None:
        if kafka.committed:
            raise PublishError("no answer")

    process.hooks.at(Step.COMMIT_DONE, lost_answer)
    with pytest.raises(PublishError):
        await process.run()
    assert kafka.committed == 2

    await Process(kafka, database).drain()

    assert written(kafka) == wanted(kafka.as_raw())


async def test_stop_lets_the_open_transaction_finish() -> None:
    kafka, database = world("a", "b")
    kafka.rewind(0)
    database.progress[LOG, PARTITION] = 0
    process = Process(kafka, database)
    gate = Gate()
    process.hooks.at(Step.COMMIT, gate)
    task = asyncio.create_task(process.run())
    await gate.held.wait()

    process.stop.set()
    gate.open()
    await task

    assert kafka.committed == 2
    assert written(kafka) == wanted(kafka.as_raw())


async def test_cancelled_pipeline_lets_its_transaction_finish_first() -> None:
    kafka, database = world("a", "b")
    kafka.rewind(0)
    database.progress[LOG, PARTITION] = 0
    process = Process(kafka, database)
    gate = Gate()
    process.hooks.at(Step.COMMIT, gate)
    task = asyncio.create_task(process.run())
    await gate.held.wait()

    task.cancel()
    gate.open()

    with suppress(asyncio.CancelledError):
        await task
    assert kafka.committed == 2


async def test_rewind_emits_the_same_bytes_again_and_counts_nothing_twice() -> None:
    kafka, database = world("a", "b", None, "a", "b2", "c", "a")
    await Process(kafka, database).drain()
    first_pass = written(kafka)
    kafka.written.clear()

    kafka.rewind(0)
    await Process(kafka, database, max_records=2).drain()

    assert written(kafka) == first_pass == wanted(kafka.as_raw())
    assert counts(database) == {"a": 3, "b": 2, "c": 1}
    assert len(database.conflicts) == 1


async def test_partial_rewind_keeps_duplicates_of_earlier_owners_silent() -> None:
    kafka, database = world("a", "b", None, "a", "c", "b", None)
    await Process(kafka, database).drain()
    kafka.written.clear()

    kafka.rewind(2)
    await Process(kafka, database).drain()

    assert written(kafka) == wanted(kafka.as_raw(), since=2)


async def test_log_of_another_identity_shares_no_claims() -> None:
    kafka, database = world("a")
    database.progress["raw@0", PARTITION] = 7
    await Process(kafka, database).drain()

    assert written(kafka) == wanted(kafka.as_raw())


ENTRIES = st.lists(st.none() | st.sampled_from(["a", "a2", "b", "b2", "c", "d"]), max_size=14)


async def live_through(entries: list[str | None], data: st.DataObject) -> None:
    """Many short lives on one log: killed at any step, the database set back to any earlier copy in between."""
    kafka, database = world(*entries[: len(entries) // 2])
    backups = [database.backup()]
    for life in range(data.draw(st.integers(0, 4), "lives")):
        process = Process(kafka, database, max_records=data.draw(st.integers(1, 5), f"batch of life {life}"))
        process.hooks.crash_at_call(data.draw(st.integers(0, 40), f"crash of life {life}"))
        with suppress(CrashError, TransientError):
            await process.drain()
        backups.append(database.backup())
        if data.draw(st.integers(0, 3), "restore") == 0 and kafka.committed is not None:
            database.restore(data.draw(st.sampled_from(backups), "backup"))
        if data.draw(st.booleans(), "markers"):
            kafka.mark()
    append(kafka, *entries[len(entries) // 2 :])
    await Process(kafka, database, max_records=data.draw(st.integers(1, 20), "last batch")).drain()

    assert written(kafka) == wanted(kafka.as_raw())
    valid = [entry[0] for entry in entries if entry is not None]
    assert counts(database) == {call: valid.count(call) for call in valid}


@settings(deadline=None, max_examples=150)
@given(ENTRIES, st.data())
def test_any_history_of_crashes_and_restores_gives_each_event_once(
    entries: list[str | None], data: st.DataObject
) -> None:
    with asyncio.Runner() as runner:
        runner.run(live_through(entries, data))
