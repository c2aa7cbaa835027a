"""`ringover-ops rewind` with real processes: plan and forecast, rewinds under load, undo, and what is refused."""

import asyncio
import itertools
from datetime import datetime
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from tests.support.comparison import source_offset
from tests.support.kafka import Webhook, as_raw, connect, read_topic, store
from tests.support.processes import Programs
from tests.support.reference_model import expected
from tests.support.rewinding import judge_passes, rewind, rewind_until, whole_pass
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, processed


async def _store(place: Place, webhooks: list[Webhook]) -> int:
    return await store(place.bootstrap_servers, place.topics.raw, webhooks)


async def test_plan_and_forecast_are_exact_and_change_nothing(place: Place, programs: Programs, tmp_path: Path) -> None:
    count = await _store(place, list(traffic(seed=41, calls=400, garbage=0.05)))
    programs.processor()
    await processed(place, count)
    before = await committed_offsets(place)
    raw = await read_topic(place.bootstrap_servers, place.topics.raw)
    model = expected(as_raw(raw), place.topics.raw)

    ran = await rewind(
        programs.env, "--to-offset", "40", "--topic", ":0,2", "-o", "json", "--plan-out", str(tmp_path / "plan.json")
    )

    plan = ran.json["plan"]
    moved = {item["partition"]: item for item in plan["partitions"]}
    assert sorted(moved) == [0, 2]
    assert {p: (m["committed"], m["target"], m["log_start"]) for p, m in moved.items()} == {
        p: (before[p], 40, 0) for p in (0, 2)
    }
    records = sum(before[p] - 40 for p in (0, 2))
    events = [e for e in model.events if e.partition in moved and source_offset(e) >= 40]
    dead = [d for d in model.dead_letters if d.raw.partition in moved and d.raw.offset >= 40]
    assert dead
    assert plan["forecast"] == {
        "records": records,
        "events": len(events),
        "dead_letters": len(dead),
        "silent": records - len(events) - len(dead),
    }
    assert f"{len(events):,} events emitted again" in ran.err
    assert "assumed" in ran.err
    times = {(r.partition, r.offset): r.timestamp for r in raw}
    for partition, item in moved.items():
        assert _ms(item["target_time"]) == times[partition, 40]
    assert await committed_offsets(place) == before
    assert (await rewind(programs.env, "log", "-o", "json")).json == []


async def test_rewind_under_load_repeats_the_first_pass_exactly(place: Place, programs: Programs) -> None:
    count = await _store(place, list(traffic(seed=42, calls=900)))
    for _ in range(2):
        programs.processor()
    await processed(place, count)
    over = asyncio.Event()
    loading = asyncio.create_task(_load(place, over))

    stale = await rewind(programs.env, "--shift-by", "-5", "--execute", expect=5)
    assert "the plan is stale" in stale.err
    ran = await rewind(programs.env, "--to-earliest", "--execute", "-o", "json")

    over.set()
    count += await loading
    await processed(place, count)
    assert ran.json["executed"]
    assert ran.json["result"]["rewind_id"] == 1
    old = {item["partition"]: item["committed"] for item in ran.json["result"]["partitions"]}
    assert sum(old.values()) >= 900
    await judge_passes(place, [whole_pass(old), whole_pass(dict.fromkeys(old))])
    (entry,) = (await rewind(programs.env, "log", "-o", "json")).json
    assert entry["before"] == {str(partition): offset for partition, offset in old.items()}
    assert entry["outcome"].startswith("passed again: ")
    assert "measured by rewind 1" in (await rewind(programs.env, "--to-earliest")).err


async def _load(place: Place, over: asyncio.Event) -> int:
    """Store webhooks, some at a time, until the rewind is over: before, during and after it."""
    count = 0
    for seed in itertools.count(430):
        count += await _store(place, list(traffic(seed, calls=6)))
        try:
            async with asyncio.timeout(0.1):
                await over.wait()
        except TimeoutError:
            continue
        break
    return count


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


async def test_undo_goes_back_only_where_the_group_has_not_passed_again(place: Place, programs: Programs) -> None:
    count = await _store(place, list(traffic(seed=44, calls=300)))
    processor = programs.processor()
    await processed(place, count)
    assert processor.stop() == 0
    old = await committed_offsets(place)
    first = await rewind_until(
        programs.env, "--to-earliest", "--execute", "--topic", ":0,1", said="passing again: 0 of"
    )
    assert first.code == 0
    assert "the processors go on without us" in first.err
    assert await committed_offsets(place) == {**old, 0: 0, 1: 0}

    plan = (await rewind(programs.env, "undo", "1", "-o", "json")).json["plan"]
    assert {item["partition"]: item["target"] for item in plan["partitions"]} == {0: old[0], 1: old[1]}
    assert (plan["records"], plan["skipped"]) == (0, 0)
    assert await committed_offsets(place) == {**old, 0: 0, 1: 0}
    await rewind(programs.env, "undo", "1", "--execute")
    assert await committed_offsets(place) == old

    again = await rewind(programs.env, "undo", "1", "--execute", "-o", "json")
    assert "nothing to do" in again.err
    count += await _store(place, list(traffic(seed=45, calls=50)))
    programs.processor()
    await processed(place, count)
    await judge_passes(place, [whole_pass(dict.fromkeys(old))])
    log = (await rewind(programs.env, "log", "-o", "json")).json
    assert [(entry["rewind_id"], entry["before"]) for entry in log] == [
        (2, {"0": 0, "1": 0}),
        (1, {"0": old[0], "1": old[1]}),
    ]


async def test_what_is_refused_touches_nothing(place: Place, programs: Programs) -> None:
    count = await _store(place, list(traffic(seed=46, calls=100)))
    processor = programs.processor()
    await processed(place, count)
    assert processor.stop() == 0
    old = await committed_offsets(place)
    extra = await _store(place, list(traffic(seed=47, calls=20)))
    refused = [
        (4, "no consumer group", ("--group", "typo", "--to-earliest")),
        (4, "no consumer group", ("--to-group", "typo")),
        (4, "no 99", ("--to-earliest", "--topic", ":99")),
        (4, "no rewind 7", ("undo", "7")),
        (6, "beyond its end", ("--to-offset", "99999")),
        (6, f"{extra} records", ("--to-latest", "--execute")),
    ]
    runs = await asyncio.gather(*(rewind(programs.env, *arguments, expect=code) for code, _, arguments in refused))
    assert [said for (_, said, _), ran in zip(refused, runs, strict=True) if said not in ran.err] == []
    assert await committed_offsets(place) == old
    assert (await rewind(programs.env, "log", "-o", "json")).json == []

    skipping = await rewind(programs.env, "--to-latest", "--skip-unprocessed", "--execute")

    assert f"{extra} records are passed over" in skipping.err
    assert sum((await committed_offsets(place)).values()) == count + extra


async def test_a_plan_that_retention_has_overtaken_is_stale(place: Place, programs: Programs, tmp_path: Path) -> None:
    count = await _store(place, list(traffic(seed=48, calls=200)))
    programs.processor()
    await processed(place, count)
    old = await committed_offsets(place)
    file = str(tmp_path / "plan.json")
    await rewind(programs.env, "--to-earliest", "--plan-out", file)
    await _delete_records(place, partition=1, before=20)

    ran = await rewind(programs.env, "--from-file", file, "--execute", "-o", "json", expect=5)

    assert "earliest kept is offset 20" in ran.err
    assert "stale" in ran.err
    assert not ran.json["executed"]
    assert {item["partition"]: item["target"] for item in ran.json["plan"]["partitions"]} == {0: 0, 1: 20, 2: 0}
    assert await committed_offsets(place) == old
    named = await rewind(programs.env, "--to-offset", "5", expect=6)
    assert "partition 1 begins at 20: offset 5 was removed by retention" in named.err
    since = await rewind(programs.env, "--since", "1h", "-o", "json")
    assert "partition 1: retention has removed" in since.err
    assert [item["target"] for item in since.json["plan"]["partitions"]] == [0, 20, 0]


async def test_a_member_that_does_not_let_go_is_named_and_the_processors_go_on(
    place: Place, programs: Programs
) -> None:
    count = await _store(place, list(traffic(seed=50, calls=50)))
    stubborn = AIOKafkaConsumer(
        place.topics.raw,
        **connect(place.bootstrap_servers),
        group_id=place.group,
        client_id="stubborn-1",
        enable_auto_commit=False,
    )
    processor = programs.processor()
    await processed(place, count)
    assert processor.stop() == 0
    old = await committed_offsets(place)
    await stubborn.start()
    try:
        ran = await rewind(programs.env, "--to-earliest", "--execute", "--timeout", "2", expect=6)
    finally:
        await stubborn.stop()

    assert "waiting for stubborn-1 (" in ran.err
    assert "is not empty: stubborn-1 (" in ran.err
    assert await committed_offsets(place) == old
    programs.processor()
    count += await _store(place, list(traffic(seed=501, calls=20)))
    await processed(place, count)
    await judge_passes(place, [whole_pass(dict.fromkeys(old))])


async def test_a_group_downstream_is_moved_only_while_nobody_is_in_it(place: Place, programs: Programs) -> None:
    count = await _store(place, list(traffic(seed=49, calls=100)))
    programs.processor()
    await processed(place, count)
    group = f"{place.topics.prefix}billing"
    consumer = AIOKafkaConsumer(
        place.topics.call,
        **connect(place.bootstrap_servers),
        group_id=group,
        client_id="billing-1",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        await consumer.getmany(timeout_ms=2000)
        await consumer.commit()
        arguments = ("--group", group, "--topic", place.topics.call, "--to-earliest", "--execute", "-o", "json")

        active = await rewind(programs.env, *arguments, expect=6)

        assert "billing-1" in active.err
    finally:
        await consumer.stop()
    done = await rewind(programs.env, *arguments)
    assert done.json["plan"]["forecast"] is None
    assert sum(item["records"] for item in done.json["result"]["partitions"]) > 0
    downstream = Place(place.bootstrap_servers, place.database_url, place.topics, group)
    offsets = await rewind(programs.env, "--group", group, "--topic", place.topics.call, "--to-latest", "-o", "json")
    assert {item["committed"] for item in offsets.json["plan"]["partitions"]} == {0}
    assert downstream.group in (await rewind(programs.env, "log")).out


async def _delete_records(place: Place, *, partition: int, before: int) -> None:
    admin = AIOKafkaAdminClient(**connect(place.bootstrap_servers))
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(place.topics.raw, partition): RecordsToDelete(before)})
    finally:
        await admin.close()
