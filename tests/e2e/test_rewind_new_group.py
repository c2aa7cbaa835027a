"""A group without offsets on a known log: processors refuse to guess, and a rewind tells them where to begin."""

from dataclasses import replace

from tests.conftest import TEST_PARTITIONS
from tests.support.cli import run
from tests.support.kafka import read_topic, store
from tests.support.processes import Programs
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, judge, processed
from tests.support.waiting import until


async def test_processors_refuse_and_a_rewind_tells_them_where_to_begin(place: Place, programs: Programs) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=71, calls=300))
    first = programs.processor()
    await processed(place, count)
    model = await judge(place)
    assert first.stop() == 0

    other = replace(place, group=f"{place.group}-2")
    refused = programs.processor(PROCESSOR_GROUP=other.group)

    async def refuses() -> bool:
        assert refused.running, refused.tail()
        return (await refused.readyz())[1].count("set them with `ringover-ops rewind`") == TEST_PARTITIONS

    await until(refuses, what="a refusal for each partition")
    assert await committed_offsets(other) == {}

    await run(
        {**programs.env, "PROCESSOR_GROUP": other.group}, "rewind", "--to-earliest", "--execute", "--no-wait", expect=0
    )
    await processed(other, count)
    await refused.ready()

    events = await read_topic(place.bootstrap_servers, place.topics.call)
    assert len(events) == 2 * sum(event.topic == "call" for event in model.events)
