"""Groups of the newer protocol (KIP-848): seen, named and left alone while they run, moved when nobody is in them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import Consumer, ShareConsumer

from ops.kit.groups import Group, GroupState
from tests.support import cli
from tests.support.kafka import connect, store
from tests.support.processes import Programs
from tests.support.rewinding import judge_passes, rewind, whole_pass
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, processed
from tests.support.waiting import until

POLL_SECONDS = 0.2


def _options(place: Place, group: str) -> dict[str, Any]:
    return {"bootstrap.servers": place.bootstrap_servers, "group.id": group, "client.id": "billing-1"}


@contextmanager
def consumer(place: Place, group: str, topic: str) -> Iterator[Consumer]:
    """A member of `group`, by the newer protocol; it commits what it is told to, and leaves at the end."""
    member = Consumer(
        {
            **_options(place, group),
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    member.subscribe([topic])
    try:
        yield member
    finally:
        member.close()


async def read(member: Consumer, count: int) -> list[tuple[int, int]]:
    """Partition and offset of the next `count` records."""
    found: list[tuple[int, int]] = []

    async def enough() -> bool:
        message = await asyncio.to_thread(member.poll, POLL_SECONDS)
        if message is not None:
            assert message.error() is None
            found.append((message.partition() or 0, message.offset() or 0))
        return len(found) >= count

    await until(enough, what=f"{count} records")
    return found


@pytest.fixture
async def events(place: Place) -> int:
    """Records on the call topic; how many."""
    return await store(place.bootstrap_servers, place.topics.call, list(traffic(seed=60, calls=40)))


async def test_a_group_downstream_is_seen_named_while_it_runs_and_moved_when_it_has_stopped(
    place: Place, programs: Programs, events: int
) -> None:
    group, topic = f"{place.topics.prefix}billing", place.topics.call
    of_group = ("--group", group, "--topic", topic)
    with consumer(place, group, topic) as member:
        first = await read(member, events)
        member.commit(asynchronous=False)

        lag = await cli.run(programs.env, "lag", *of_group, "-o", "json", expect=0)
        plan = await rewind(programs.env, *of_group, "--to-earliest", "-o", "json")
        refused = await rewind(programs.env, *of_group, "--to-earliest", "--execute", expect=6)

        member_id = (await _group(place, group)).members[0].member_id
        still = await rewind(programs.env, *of_group, "--to-latest", "-o", "json")
    assert (lag.json["state"], lag.json["lag_records"]) == ("Stable", 0)
    assert {item["target"] for item in plan.json["plan"]["partitions"]} == {0}
    assert f"billing-1 ({member_id} at 127.0.0.1)" in refused.err
    before = {item["partition"]: item["committed"] for item in plan.json["plan"]["partitions"]}
    assert {item["partition"]: item["committed"] for item in still.json["plan"]["partitions"]} == before

    await _empty(place, group)
    done = await rewind(programs.env, *of_group, "--to-earliest", "--execute", "-o", "json")

    assert done.json["executed"]
    with consumer(place, group, topic) as member:
        assert sorted(await read(member, events)) == sorted(first)
    (entry,) = (await rewind(programs.env, "log", "-o", "json")).json
    assert entry["group"] == group
    await _empty(place, group)
    await rewind(programs.env, "undo", "1", "--execute")
    undone = await rewind(programs.env, *of_group, "--to-latest", "-o", "json")
    assert {item["partition"]: item["committed"] for item in undone.json["plan"]["partitions"]} == before


async def test_a_member_that_comes_back_at_the_last_moment_keeps_its_offsets(
    place: Place, programs: Programs, events: int
) -> None:
    """Between the tool's look at the group and its commit; the broker refuses the commit."""
    group, topic = f"{place.topics.prefix}billing", place.topics.call
    with consumer(place, group, topic) as member:
        await read(member, events)
        member.commit(asynchronous=False)

        ran = await rewind(
            programs.env,
            *("--group", group, "--topic", topic, "--to-earliest", "--execute"),
            module="tests.support.unseen_members",
            expect=6,
        )

        now = await rewind(programs.env, "--group", group, "--topic", topic, "--to-earliest", "-o", "json")
    assert f"group {group} has members again" in ran.err
    assert any(item["committed"] for item in now.json["plan"]["partitions"])


async def test_our_own_group_is_moved_though_a_consumer_of_the_newer_protocol_has_used_its_name(
    place: Place, programs: Programs
) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, list(traffic(seed=61, calls=60)))
    processor = programs.processor()
    await processed(place, count)
    assert processor.stop() == 0
    before = await committed_offsets(place)
    with consumer(place, place.group, place.topics.raw) as member:
        await until(lambda: _assigned(member), what="partitions")
        refused = await rewind(programs.env, "--to-earliest", "--execute", "--timeout", "2", expect=6)
    assert "is not empty: billing-1 (" in refused.err
    await _empty(place, place.group)
    assert (await _group(place, place.group)).protocol == "consumer"

    await rewind(programs.env, "--to-earliest", "--execute", "--no-wait")

    assert set((await committed_offsets(place)).values()) == {0}
    programs.processor()
    await processed(place, sum(before.values()))
    await judge_passes(place, [whole_pass(before), whole_pass(dict.fromkeys(before))])


async def test_a_share_group_is_called_one_and_not_moved(place: Place, programs: Programs) -> None:
    group = f"{place.topics.prefix}sharing"
    member = ShareConsumer(_options(place, group))
    member.subscribe([place.topics.call])
    try:

        async def joined() -> bool:
            await asyncio.to_thread(member.poll, POLL_SECONDS)
            return (await _group(place, group)).state == "Stable"

        await until(joined, what="a share group")
        for command in ("lag",), ("rewind", "--to-earliest", "--execute"):
            ran = await cli.run(programs.env, *command, "--group", group, "--topic", place.topics.call, expect=2)
            assert f"{group} is a share group (Stable), and no consumer group" in ran.err
    finally:
        member.close()


async def _assigned(member: Consumer) -> bool:
    await asyncio.to_thread(member.poll, POLL_SECONDS)
    return bool(member.assignment())


async def _group(place: Place, group: str) -> GroupState:
    admin = AIOKafkaAdminClient(**connect(place.bootstrap_servers))
    await admin.start()
    try:
        return await Group(admin, group).state()
    finally:
        await admin.close()


async def _empty(place: Place, group: str) -> None:
    async def empty() -> bool:
        return (await _group(place, group)).empty

    await until(empty, what=f"nobody in {group}")
