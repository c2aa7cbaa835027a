"""A group without offsets on a known log: processors refuse to guess, and a rewind tells them where to begin."""

from dataclasses import replace

from tests.support.cli import run
from tests.support.kafka import read_topic, store
from tests.support.processes import Programs
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, judge, processed
from tests.support.waiting import until

REFUSED = 78


async def test_processors_refuse_and_a_rewind_tells_them_where_to_begin(place: Place, programs: Programs) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=71, calls=300))
    first = programs.processor()
    await processed(place, count)
    model = await judge(place)
    assert first.stop() == 0

    other = replace(place, group=f"{place.group}-2")
    refused = programs.processor(PROCESSOR_GROUP=other.group)

    async def over() -> bool:
        return not refused.running

    await until(over, what="the processor refuses")
    assert refused.process.returncode == REFUSED
    assert "set them with `ringover-ops rewind`" in refused.log.read_text()
    assert await committed_offsets(other) == {}

    await run(
        {**programs.env, "PROCESSOR_GROUP": other.group}, "rewind", "--to-earliest", "--execute", "--no-wait", expect=0
    )
    programs.processor(PROCESSOR_GROUP=other.group)
    await processed(other, count)

    events = await read_topic(place.bootstrap_servers, place.topics.call)
    assert len(events) == 2 * sum(event.topic == "call" for event in model.events)
