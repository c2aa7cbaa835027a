"""`ringover-ops state` on a pipeline that runs: show, stats, verify, compact, rebuild, with the model as oracle."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from pydantic import SecretStr

from ops.kit.change import carry_out
from ops.kit.errors import UnsafeError
from ops.kit.output import OutputFormat, say
from ops.kit.progress import shown_progress
from ops.kit.settings import StateSettings
from ops.state import rebuild as rebuilding
from tests.support import cli
from tests.support.cli import Ran
from tests.support.kafka import connect, store
from tests.support.processes import Programs
from tests.support.traffic import ended, recording, traffic
from tests.support.verdict import Place, committed_offsets, duplicates_counted, judge, processed
from tests.support.waiting import until


async def run(programs: Programs, *arguments: str) -> Ran:
    return await cli.run(programs.env, "state", *arguments, seconds=90)


def execute(place: Place, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    with psycopg.connect(place.database_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


async def ran(place: Place, programs: Programs, seed: int, calls: int, processors: int = 1) -> int:
    """Webhooks processed by so many processors, which go on running; how many there were."""
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed, calls))
    for _ in range(processors):
        await programs.processor().ready()
    await processed(place, count)
    return count


async def test_show_finds_claims_by_published_and_escaped_key(place: Place, programs: Programs) -> None:
    webhooks = [ended("a"), ended("a"), ended("a", duration=61), recording("a:b", "c"), recording("a", "b:c")]
    count = await store(place.bootstrap_servers, place.topics.raw, webhooks)
    await programs.processor().ready()
    await processed(place, count)

    by_key = await run(programs, "show", "ringover:call.ended:a", "-o", "json")
    ambiguous = await run(programs, "show", "ringover:call.recording_ready:a:b:c", "-o", "json")
    escaped = await run(programs, "show", "ringover:call.recording_ready:a%3Ab:c", "-o", "json")
    table = await run(programs, "show", "ringover:call.ended:a")

    (claim,) = by_key.json
    assert (claim["owner_offset"], claim["records"], claim["duplicates"]) == (0, 3, 2)
    assert [conflict["offset"] for conflict in claim["conflicts"]] == [2]
    assert claim["log"] == f"{place.topics.raw}@1"
    assert {claim["claim_key"] for claim in ambiguous.json} == {
        "ringover:call.recording_ready:a%3Ab:c",
        "ringover:call.recording_ready:a:b%3Ac",
    }
    assert [claim["claim_key"] for claim in escaped.json] == ["ringover:call.recording_ready:a%3Ab:c"]
    assert "offset 2" in table.out
    assert (await run(programs, "show", "ringover:call.ended:nobody")).code == 4
    assert (await run(programs, "show", "call.ended:a")).code == 2


async def test_stats_count_and_tell_when_the_table_is_behind(place: Place, programs: Programs) -> None:
    await ran(place, programs, 401, 300)
    programs.all[0].stop()
    model = await judge(place)

    found = (await run(programs, "stats", "-o", "json")).json
    execute(place, "UPDATE progress SET next_offset = next_offset - 5 WHERE partition = 0")
    behind = await run(programs, "stats")

    assert found["claims"] == len(model.owners)
    assert sum(row["duplicates"] for row in found["event_types"]) == model.duplicates
    assert sum(row["conflicts"] for row in found["event_types"]) == model.conflicts
    assert {row["partition"]: row["committed"] for row in found["partitions"]} == await committed_offsets(place)
    assert [row["behind"] for row in found["partitions"]] == [0, 0, 0]
    assert "5 behind" in behind.out
    assert "the next takeover" in behind.err


async def test_verify_is_clean_and_finds_each_fault(place: Place, programs: Programs) -> None:
    count = await ran(place, programs, 402, 400)

    clean = await run(programs, "verify", "-o", "json")
    assert clean.code == 0, clean.err
    assert clean.json["records"] == count

    key = "ringover:call.started:call-402-{}"
    wrong, gone, moved, other = (key.format(number) for number in (10, 20, 30, 40))
    execute(place, "UPDATE claim SET owner_offset = owner_offset + 1 WHERE idempotency_key = %s", wrong)
    execute(place, "DELETE FROM claim WHERE idempotency_key = %s", gone)
    execute(place, "UPDATE claim SET partition = (partition + 1) %% 3 WHERE idempotency_key = %s", moved)
    execute(place, "UPDATE claim SET content_hash = content_hash + 1 WHERE idempotency_key = %s", other)
    execute(
        place,
        "INSERT INTO claim SELECT log_id, 'ringover:call.ended:invented', 1, 3, now(), 7, 1 FROM log WHERE name = %s",
        f"{place.topics.raw}@1",
    )
    found = await run(programs, "verify", "-o", "json")
    table = await run(programs, "verify", "--max", "2")

    assert found.code == table.code == 3
    faults = {(finding["fault"], finding["claim_key"]) for finding in found.json["findings"]}
    assert ("missing", gone) in faults
    assert ("invented", "ringover:call.ended:invented") in faults
    assert ("wrong_content", other) in faults
    assert {("wrong_owner", wrong), ("wrong_owner", moved)} <= faults
    assert {of for _, of in faults} == {wrong, gone, moved, other, "ringover:call.ended:invented"}
    assert "state rebuild --wipe" in table.err


async def test_compact_removes_only_what_is_old_and_out_of_the_log(place: Place, programs: Programs) -> None:
    await ran(place, programs, 403, 400)
    programs.all[0].stop()
    starts = await _remove_records(place, up_to=100)
    execute(place, "UPDATE claim SET owner_time = owner_time - interval '50 days' WHERE owner_offset < 150")
    execute(place, "UPDATE conflict SET record_time = record_time - interval '50 days' WHERE record_offset < 150")
    execute(place, "UPDATE claim SET owner_time = owner_time + interval '10 days' WHERE owner_offset < 50")
    before = _claims(place)

    refused = await run(programs, "compact", "--ttl", "29d", "--execute")
    plan = (await run(programs, "compact", "--ttl", "45d", "-o", "json")).json
    unchanged = _claims(place)
    done = await run(programs, "compact", "--ttl", "45d", "--execute", "--rate", "5000")

    assert refused.code == 6
    assert "retention of 30 days" in refused.err
    assert unchanged == before
    removed = {key for key, (partition, offset) in before.items() if 50 <= offset < starts[partition]}
    assert len(removed) > 50
    assert (plan["plan"]["claims"], plan["executed"], plan["result"]) == (len(removed), False, None)
    assert plan["plan"]["older_but_in_log"] > 0
    assert done.code == 0, done.err
    assert _claims(place) == {key: owner for key, owner in before.items() if key not in removed}
    assert (await run(programs, "compact", "--ttl", "45d", "-o", "json")).json["plan"]["claims"] == 0
    assert execute(place, "SELECT count(*) FROM conflict WHERE record_offset < 100") == [(0,)]


async def test_rebuild_fills_in_what_is_missing_beside_a_processor(place: Place, programs: Programs) -> None:
    await ran(place, programs, 404, 400)
    execute(place, "DELETE FROM claim WHERE owner_offset BETWEEN 20 AND 60")

    plan = await run(programs, "rebuild")
    done = await run(programs, "rebuild", "--execute", "-o", "json")

    assert "this is the plan" in plan.err
    assert done.code == 0, done.err
    assert done.json["executed"]
    await judge(place)
    assert (await run(programs, "verify")).code == 0


async def test_rebuild_with_wipe_while_processors_run_and_webhooks_come(place: Place, programs: Programs) -> None:
    count = await ran(place, programs, 405, 2000, processors=2)
    execute(place, "UPDATE claim SET owner_offset = owner_offset + 1 WHERE owner_offset %% 7 = 0")
    execute(place, "DELETE FROM claim WHERE owner_offset %% 5 = 0")

    async with _webhooks_coming(place, seed=406) as stored:
        done = await run(programs, "rebuild", "--wipe", "--execute", "-o", "json")
    count += sum(stored)
    await processed(place, count)

    assert done.code == 0, done.err
    model = await judge(place)
    assert duplicates_counted(place) == model.duplicates
    assert execute(place, "SELECT count(*) FROM pause") == [(0,)]
    assert (await run(programs, "verify")).code == 0


async def test_rebuild_with_wipe_keeps_claims_that_the_log_cannot_tell_any_more(
    place: Place, programs: Programs
) -> None:
    await ran(place, programs, 410, 300)
    programs.all[0].stop()
    await _remove_records(place, up_to=80)
    before = _claims(place)
    removed = {key for key, (_, offset) in before.items() if offset < 80}
    execute(place, "DELETE FROM claim WHERE owner_offset > 100")

    plan = await run(programs, "rebuild", "--wipe")
    done = await run(programs, "rebuild", "--wipe", "--execute", "-o", "json")
    verdict = await run(programs, "verify", "-o", "json")

    assert f"{len(removed)} of them of records that retention has removed" in plan.err
    assert done.code == 0, done.err
    assert done.json["result"]["claims_kept"] == len(removed)
    assert _claims(place) == before
    assert verdict.code == 0
    assert verdict.json["claims_of_removed_owners"] == len(removed)


def kill_with_children(parent: int) -> None:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for pid in (parent, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def test_rebuild_killed_in_the_middle_is_healed_by_the_processors(place: Place, programs: Programs) -> None:
    count = await ran(place, programs, 407, 3000, processors=2)
    before = await committed_offsets(place)
    tool = await cli.start(programs.env, "state", "rebuild", "--wipe", "--execute", "--rate", "1000")

    async def in_the_middle() -> bool:
        assert tool.returncode is None, await tool.communicate()
        progress = _progress(place)
        return any(progress.values()) and sum(progress.values()) < sum(before.values()) - 1000

    await until(in_the_middle, seconds=90, what="half a table")
    kill_with_children(tool.pid)  # a worker alone would end its batch, which may be all that is left
    await tool.wait()
    assert execute(place, "SELECT count(*) FROM pause") == [(1,)]
    count += await store(place.bootstrap_servers, place.topics.raw, traffic(408, 200))
    await processed(place, count, seconds=60)

    model = await judge(place)
    assert duplicates_counted(place) == model.duplicates
    assert any("partition.healed" in processor.log.read_text() for processor in programs.all)
    assert (await run(programs, "verify")).code == 0


async def test_rebuild_with_wipe_is_refused_while_someone_else_pauses(place: Place, programs: Programs) -> None:
    await ran(place, programs, 409, 50)
    execute(place, "INSERT INTO pause VALUES (%s, now() + interval '1 hour', 'rewind by ann')", place.group)
    before = _claims(place)

    refused = await run(programs, "rebuild", "--wipe", "--execute")

    assert refused.code == 6
    assert "rewind by ann" in refused.err
    assert _claims(place) == before


async def test_rebuild_with_wipe_is_refused_while_somebody_stays_in_the_group(
    place: Place, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ran(place, programs, 411, 50)
    assert programs.all[0].stop() == 0
    before = _claims(place)
    monkeypatch.setattr(rebuilding, "EMPTY_SECONDS", 2.0)
    settings = StateSettings(
        kafka_bootstrap_servers=place.bootstrap_servers,
        kafka_topic_prefix=place.topics.prefix,
        processor_group=place.group,
        database_url=SecretStr(place.database_url),
    )
    change = rebuilding.RebuildState(settings, shown_progress, say, operator="ann", wipe=True, rate=None)
    stubborn = AIOKafkaConsumer(
        place.topics.raw,
        **connect(place.bootstrap_servers),
        group_id=place.group,
        client_id="stubborn-1",
        enable_auto_commit=False,
    )
    await stubborn.start()
    try:
        with pytest.raises(UnsafeError, match=r"is not empty: stubborn-1 \(") as refused:
            await carry_out(change, execute=True, output=OutputFormat.JSON)
    finally:
        await stubborn.stop()

    assert refused.value.exit_code == 6
    assert _claims(place) == before
    assert execute(place, "SELECT count(*) FROM pause") == [(0,)]


def _progress(place: Place) -> dict[int, int]:
    rows = execute(place, "SELECT partition, next_offset FROM progress")
    return {int(str(partition)): int(str(offset)) for partition, offset in rows}


def _claims(place: Place) -> dict[str, tuple[int, int]]:
    rows = execute(place, "SELECT idempotency_key, partition, owner_offset FROM claim")
    return {str(key): (int(str(partition)), int(str(offset))) for key, partition, offset in rows}


async def _remove_records(place: Place, *, up_to: int) -> dict[int, int]:
    """As retention does; where the partitions begin now."""
    admin = AIOKafkaAdminClient(**connect(place.bootstrap_servers))
    await admin.start()
    try:
        partitions = [TopicPartition(place.topics.raw, number) for number in range(3)]
        await admin.delete_records({partition: RecordsToDelete(before_offset=up_to) for partition in partitions})
    finally:
        await admin.close()
    return {partition.partition: up_to for partition in partitions}


@asynccontextmanager
async def _webhooks_coming(place: Place, *, seed: int) -> AsyncIterator[list[int]]:
    """Webhooks stored again and again while the body runs; how many each time."""
    stored: list[int] = []
    stop = asyncio.Event()

    async def coming() -> None:
        while not stop.is_set():
            webhooks = traffic(seed * 1000 + len(stored), 50)
            stored.append(await store(place.bootstrap_servers, place.topics.raw, webhooks))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.2)

    task = asyncio.create_task(coming())
    try:
        yield stored
    finally:
        stop.set()
        await task
