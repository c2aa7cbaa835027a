"""Every codec that a topic, the broker or another producer may choose: each program and each command reads it."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.record._crecords import default_records

from ops.topics.plan import wanted_topics
from schemas.topics import TOPICS
from tests.conftest import TEST_PARTITIONS
from tests.support import cli
from tests.support.codecs import CODECS, set_codec, store_by_aiokafka, store_by_librdkafka
from tests.support.kafka import Webhook, connect
from tests.support.load import post_all
from tests.support.ports import stable_port
from tests.support.processes import Programs
from tests.support.rewinding import judge_passes, rewind, whole_pass
from tests.support.traffic import ended, traffic
from tests.support.verdict import Place, committed_offsets, judge, processed


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many batches of each codec the tests' own reader has met; Snappy's framing apart."""
    met: Counter[str] = Counter()

    def counting(name: str, decode: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        def count_and_decode(payload: bytes) -> bytes:
            met[f"{name}, framed" if bytes(payload[:8]) == b"\x82SNAPPY\0" else name] += 1
            return decode(payload)

        return count_and_decode

    for name in CODECS:
        attribute = f"{name}_decode"
        monkeypatch.setattr(default_records, attribute, counting(name, getattr(default_records, attribute)))
    return met


async def test_webhooks_come_out_and_every_command_works_whatever_codec_the_topics_have(
    place: Place, programs: Programs, decoded: Counter[str]
) -> None:
    port = stable_port()
    await programs.ingress(INGRESS_PORT=str(port)).ready()
    await programs.processor().ready()
    count = 0
    topics = wanted_topics(place.topics, replication_factor=1, partitions=TEST_PARTITIONS)
    for number, codec in enumerate(CODECS):
        await set_codec(place.bootstrap_servers, topics, codec)
        calls = [*traffic(seed=70 + number, calls=20, garbage=0), ended(codec), ended(codec), ended("bad", duration=-1)]
        answers = await post_all(f"http://127.0.0.1:{port}", calls)
        assert not answers.refused
        count += len(answers.accepted)
        await processed(place, count)
    await judge(place)
    assert {*decoded} == {"gzip", "snappy, framed", "lz4", "zstd"}

    await _rewinds_work(place, programs)
    await _commands_work(programs)


async def _commands_work(programs: Programs) -> None:
    env = programs.env
    shown = await asyncio.gather(*(cli.run(env, "calls", "show", codec, "-o", "json", expect=0) for codec in CODECS))
    assert [[webhook["verdict"] for webhook in ran.json["webhooks"]] for ran in shown] == [["event", "duplicate"]] * 4
    lag, letters, _verified, tail, applied = await asyncio.gather(
        cli.run(env, "lag", "-o", "json", expect=0),
        cli.run(env, "dead-letters", "list", "--each", "-o", "json", expect=0),
        cli.run(env, "state", "verify", "-o", "json", expect=0),
        cli.run(env, "tail", "--from-beginning", "--max", "50", "-o", "json", expect=0),
        cli.run(env, "topics", "apply", "--partitions", str(TEST_PARTITIONS), "-o", "json", expect=3),
    )
    assert lag.json["lag_records"] == 0
    assert len(tail.out.splitlines()) == 50
    differences = {(one["topic"], one["what"], one["wanted"], one["found"]) for one in applied.json["differences"]}
    assert differences == {
        (f"{env['KAFKA_TOPIC_PREFIX']}{topic.name}", "compression.type", "producer", CODECS[-1]) for topic in TOPICS
    }
    identity = letters.json[0]["id"]
    await cli.run(env, "dead-letters", "show", identity, "-o", "json", expect=0)
    await cli.run(env, "dead-letters", "replay", "--all", "--even-if-still-bad", "--execute", expect=0)
    await cli.run(env, "state", "rebuild", "--wipe", "--execute", seconds=90, expect=0)
    await cli.run(env, "state", "verify", expect=0)


async def _rewinds_work(place: Place, programs: Programs) -> None:
    before = await committed_offsets(place)
    await rewind(programs.env, "--to-earliest", "--execute")
    await processed(place, sum(before.values()))
    await judge_passes(place, [whole_pass(before), whole_pass(dict.fromkeys(before))])

    group, topic = f"{place.topics.prefix}billing", place.topics.call
    of_group = ("--group", group, "--topic", topic)
    async with AIOKafkaConsumer(
        **connect(place.bootstrap_servers), group_id=group, enable_auto_commit=False
    ) as downstream:
        partitions = [TopicPartition(topic, number) for number in before]
        downstream.assign(partitions)
        await downstream.commit(await downstream.end_offsets(partitions))
    done = await rewind(programs.env, *of_group, "--since", "1h", "--execute", "-o", "json")
    assert all(item["target_time"] for item in done.json["result"]["partitions"])
    lag = await cli.run(programs.env, "lag", *of_group, "-o", "json", expect=0)
    assert all(item["committed"] == 0 and item["lag_seconds"] for item in lag.json["partitions"])


async def test_other_producers_codecs_are_read(place: Place, programs: Programs, decoded: Counter[str]) -> None:
    count = 0
    for number, codec in enumerate(CODECS):
        for offset, store in ((0, _by_librdkafka), (40, store_by_aiokafka)):
            webhooks = list(traffic(seed=80 + number + offset, calls=10))
            count += await store(place.bootstrap_servers, place.topics.raw, webhooks, codec)
    programs.processor()
    await processed(place, count)
    await judge(place)
    assert {*decoded} == {"gzip", "snappy", "snappy, framed", "lz4", "zstd"}


async def _by_librdkafka(bootstrap_servers: str, topic: str, webhooks: list[Webhook], codec: str) -> int:
    return await asyncio.to_thread(store_by_librdkafka, bootstrap_servers, topic, webhooks, codec)
