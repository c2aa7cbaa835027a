"""`ringover-ops erase` on a pipeline that runs: what it finds, what goes, what must stay, and until when."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from schemas.dead_letter import Code, Reason, Stage, reason_headers
from schemas.placement import partition_of
from tests.conftest import TEST_PARTITIONS
from tests.support import cli
from tests.support.cli import Ran
from tests.support.kafka import Webhook, producer, read_topic, store
from tests.support.processes import Programs
from tests.support.traffic import ended, recording, started
from tests.support.verdict import Place, processed

NUMBER = "+33698765432"
CALL = "erased:1"  # a colon is escaped in claim keys
AT_MOST = timedelta(days=30 + 7, minutes=5 + 1)  # retention, segment, the broker's check, the deletion's delay
UP_TO_ITS_END = -1


def of_number(call_id: str) -> Webhook:
    call = {"id": call_id, "direction": "inbound", "from": NUMBER, "to": "+33189000000"}
    body = {"event": "call.started", "timestamp": "2026-01-02T15:00:00.000Z", "call": call}
    return Webhook("call-started", call_id, orjson.dumps(body))


def bad(call_id: str) -> Webhook:
    return Webhook("call-started", call_id, b'{"event":"call.exploded","call":{"id":"%s"}}' % call_id.encode())


WEBHOOKS = [
    *(of_number(CALL), ended(CALL), ended(CALL), ended(CALL, duration=61), recording(CALL, "r1"), bad(CALL)),
    *(started("erased:11"), ended("erased:11"), recording("erased:11", "r1")),  # another call, of somebody else
]


async def erase(programs: Programs, *arguments: str, expect: int = 0) -> Ran:
    ran = await cli.run(programs.env, "erase", *arguments, expect=expect)
    assert NUMBER[1:] not in ran.out + ran.err
    return ran


async def asked(programs: Programs, *arguments: str) -> Any:
    return (await erase(programs, *arguments, "-o", "json")).json


def query(place: Place, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(place.database_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def claims(place: Place) -> set[str]:
    return {key for (key,) in query(place, "SELECT idempotency_key FROM claim")}


async def remove(
    place: Place,
    topics: Sequence[str],
    *,
    before: int = UP_TO_ITS_END,
    partitions: Sequence[int] = range(TEST_PARTITIONS),
) -> None:
    """As retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=place.bootstrap_servers)
    await admin.start()
    try:
        found = [TopicPartition(topic, number) for topic in topics for number in partitions]
        await admin.delete_records({partition: RecordsToDelete(before) for partition in found})
    finally:
        await admin.close()


def latest(topic: Any) -> datetime:
    return datetime.fromisoformat(topic["gone_at_the_latest"])


async def ran(place: Place, programs: Programs, webhooks: Sequence[Webhook]) -> None:
    await store(place.bootstrap_servers, place.topics.raw, webhooks)
    await programs.processor().ready()
    await processed(place, len(webhooks))


async def test_a_number_is_followed_from_the_plan_to_the_last_row(place: Place, programs: Programs) -> None:
    topics = place.topics
    await ran(place, programs, WEBHOOKS)
    reason = reason_headers(Reason(Stage.ACCEPT, Code.NOT_JSON, "the body is not JSON"), None)
    async with producer(place.bootstrap_servers) as client:  # what the ingress does with a body without a call id
        await client.send_and_wait(topics.dead_letter, b"call of " + NUMBER.encode(), headers=reason)
    before = claims(place)

    document = await asked(programs, "--number", NUMBER)
    plan = document["plan"]

    assert plan["subject"] == "number •••5432"
    assert [call["call_id"] for call in plan["calls"]] == [CALL]
    assert [found["records"] for found in plan["topics"]] == [6, 2, 1, 2]
    assert plan["rows"] == [
        {"what": "claims", "count": 3, "kept": True},
        {"what": "conflicts", "count": 1, "kept": True},
    ]
    raw = plan["topics"][0]
    assert timedelta(0) <= latest(raw) - datetime.fromisoformat(raw["newest"]) - AT_MOST < timedelta(hours=1)
    assert "INGRESS_SPOOL_DIR" in " ".join(plan["out_of_reach"])
    assert (document["result"], claims(place), query(place, "SELECT FROM erasure")) == (None, before, [])

    noted = await erase(programs, "--number", NUMBER, "--execute")

    assert "0 claims and 0 conflicts erased" in noted.err
    assert "cannot be deleted" in noted.out
    assert claims(place) == before, "the raw log still has the call: a rewind needs its claims"
    assert query(place, "SELECT kind, call_ids, completed_at FROM erasure") == [("number", [CALL], None)]

    await remove(place, [topics.raw])
    dead = await asked(programs, "--pending", "--execute")
    assert (dead["result"]["claims"], claims(place)) == (0, before), "a dead letter of the call may be replayed"

    await remove(place, [topics.dead_letter])
    first = await asked(programs, "--pending", "--execute")

    assert (first["result"]["claims"], first["result"]["conflicts"], first["result"]["completed"]) == (3, 1, [])
    assert claims(place) == {key for key in before if "erased%3A11" in key} != set()
    assert query(place, "SELECT FROM conflict") == []
    assert (await erase(programs, "--pending")).out.count("number") == 1, "its events are on the topics"

    await remove(place, [topics.call, topics.recording])
    assert (await asked(programs, "--pending", "--execute"))["result"]["completed"] == [], (
        "before retention had its time"
    )
    query(place, "UPDATE erasure SET remains_until = now()")
    assert (await asked(programs, "--pending", "--execute"))["result"]["completed"] == [1]
    ((call_ids, count, completed),) = query(place, "SELECT call_ids, claims, completed_at FROM erasure")
    assert (call_ids, count, completed is not None) == (None, 3, True)
    await erase(programs, "--number", NUMBER, expect=4)


async def test_claims_stay_while_a_duplicate_is_in_the_raw_log_and_go_after_it(
    place: Place, programs: Programs
) -> None:
    await ran(place, programs, [started("c"), started("c")])
    (only,) = claims(place)
    partition = (await read_topic(place.bootstrap_servers, place.topics.raw))[0].partition
    await remove(place, [place.topics.raw], before=1, partitions=[partition])  # the owner is gone, its duplicate is not

    kept = await asked(programs, "--call-id", "c", "--execute")

    assert kept["plan"]["rows"] == [{"what": "claims", "count": 1, "kept": True}]
    assert (kept["result"]["claims"], claims(place)) == (0, {only})
    assert len(await read_topic(place.bootstrap_servers, place.topics.raw)) == 1

    await remove(place, [place.topics.raw, place.topics.call])
    gone = await asked(programs, "--call-id", "c", "--execute")

    assert (gone["result"]["claims"], gone["plan"]["remains"], claims(place)) == (1, False, set())
    (row,) = query(place, "SELECT who <> '', call_ids, completed_at IS NOT NULL FROM erasure WHERE erasure_id = 2")
    assert row == (True, None, True)
    pending = await asked(programs, "--pending", "--execute")
    assert [request["erasure_id"] for request in pending["plan"]["requests"]] == [1]


async def test_what_a_rewind_wrote_again_counts_from_the_rewind(place: Place, programs: Programs) -> None:
    """Its records have their old times, their transactions' markers today's: so the segment is of today."""
    old = datetime.now(UTC) - timedelta(days=20)
    options = {"bootstrap_servers": place.bootstrap_servers, "transactional_id": place.group}
    async with asyncio.timeout(60), AIOKafkaProducer(**options) as client:
        for call_id in (b"first", b"again"):
            async with client.transaction():
                at = {"key": call_id, "partition": partition_of(call_id, range(TEST_PARTITIONS))}
                await client.send_and_wait(place.topics.call, b"{}", timestamp_ms=int(old.timestamp() * 1000), **at)

    first, again = [(await asked(programs, "--call-id", name))["plan"]["topics"][1] for name in ("first", "again")]

    assert partition_of(b"first", range(TEST_PARTITIONS)) == partition_of(b"again", range(TEST_PARTITIONS))
    assert timedelta(0) <= latest(first) - old - AT_MOST < timedelta(hours=1)
    assert latest(again) > datetime.now(UTC) - timedelta(hours=1) + AT_MOST
