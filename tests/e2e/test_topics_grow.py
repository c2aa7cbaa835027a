"""Somebody adds partitions to topics: whichever, whenever, nothing is lost or doubled, and the commands go on."""

from collections import Counter
from collections.abc import Iterable

import pytest
from aiokafka import ConsumerRecord

from schemas.placement import output_partition
from schemas.topics import CALL, DEAD_LETTER, OFFSET, RAW, RECORDING, TOPICS, Topic
from tests.conftest import TEST_PARTITIONS
from tests.support import cli
from tests.support.kafka import Webhook, as_raw, grow, read_topic, store
from tests.support.load import post_all
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.reference_model import expected
from tests.support.traffic import ended, recording, started, traffic
from tests.support.verdict import Place, processed
from tests.support.waiting import until

GROWN = 2 * TEST_PARTITIONS
WATCHFUL = "tests.support.failing_processor"  # nothing fails; it looks at the topics each second


def names(place: Place, topics: Iterable[Topic]) -> list[str]:
    return [place.topics.of(topic) for topic in topics]


async def says(program: Program, *words: str) -> None:
    async def answer() -> bool:
        text = (await program.readyz())[1]
        return all(word in text for word in words)

    await until(answer, seconds=60, what=f"{words} in /readyz")


async def judge(place: Place) -> list[ConsumerRecord]:
    """Each event and each dead letter once, as the model has it, where its raw partition belongs; the events."""
    raw = as_raw(await read_topic(place.bootstrap_servers, place.topics.raw))
    model = expected(raw, place.topics.raw)
    events = []
    for name, topic in (("call", place.topics.call), ("recording", place.topics.recording)):
        found = await read_topic(place.bootstrap_servers, topic)
        wanted = [event for event in model.events if event.topic == name]
        assert Counter((e.key, e.value, tuple(e.headers)) for e in found) == Counter(
            (event.key, event.value, event.headers) for event in wanted
        )
        events += found
    for event in events:
        source = int(dict(event.headers)["ce_sourceoffset"].decode().split("/")[1])
        assert event.partition in {output_partition(source, TEST_PARTITIONS), output_partition(source, GROWN)}
    dead = await read_topic(place.bootstrap_servers, place.topics.dead_letter)
    assert Counter((r.key, r.value) for r in dead) == Counter((d.raw.key, d.raw.value) for d in model.dead_letters)
    return events


@pytest.mark.parametrize(
    "grown",
    [(RAW,), (CALL,), (RECORDING,), (DEAD_LETTER,), (OFFSET,), (RAW, OFFSET), (CALL, RECORDING), TOPICS],
    ids=lambda grown: "+".join(topic.name.split(".")[1] for topic in grown) if len(grown) < 5 else "all",
)
async def test_processors_that_run_and_that_start_lose_and_double_nothing_when_topics_grow(
    place: Place, programs: Programs, grown: tuple[Topic, ...]
) -> None:
    servers, raw = place.bootstrap_servers, place.topics.raw
    count = await store(servers, raw, traffic(seed=61, calls=30, garbage=0.1))
    running = programs.processor(module=WATCHFUL)
    await processed(place, count)

    await grow(servers, names(place, grown), partitions=GROWN)
    count += await store(servers, raw, traffic(seed=62, calls=30, garbage=0.1))
    await processed(place, count, seconds=120)
    await says(running, "ok, but", 'docs/runbook.md, "A topic has grown"')
    if len(grown) < len(TOPICS):
        await says(running, "topics differ in partitions")
    assert f'ringover_topic_partitions{{topic="{grown[0].name}"}} {float(GROWN)}' in await running.metrics()
    assert '"Unrecognized partition"' not in running.tail(10_000)
    assert running.stop() == 0

    count += await store(servers, raw, traffic(seed=63, calls=30, garbage=0.1))
    starting = programs.processor()
    await processed(place, count, seconds=120)
    await starting.ready()

    await judge(place)
    lag = (await cli.run(programs.env, "lag", "-o", "json", expect=0)).json
    assert lag["lag_records"] == 0
    assert len(lag["partitions"]) == (GROWN if RAW in grown else TEST_PARTITIONS)
    assert (await cli.run(programs.env, "state", "verify", expect=0)).code == 0


@pytest.mark.parametrize(
    "steps",
    [[(RAW,), (OFFSET,), (CALL, RECORDING, DEAD_LETTER)], [(OFFSET,), (RAW,)], [(RAW,), (CALL, RECORDING, OFFSET)]],
    ids=["raw-offset-rest", "offset-raw", "raw-outputs"],
)
async def test_what_was_processed_stays_so_whatever_grows_afterwards(
    place: Place, programs: Programs, steps: list[tuple[Topic, ...]]
) -> None:
    """The own record of a partition that the topic of offsets lacked is found again when it has one."""
    servers, raw = place.bootstrap_servers, place.topics.raw
    count = 0
    for number, step in enumerate([(), *steps]):
        await grow(servers, names(place, step), partitions=GROWN)
        count += await store(servers, raw, traffic(seed=70 + number, calls=20))
        processor = programs.processor()
        await processed(place, count, seconds=120)
        assert processor.stop() == 0

    await judge(place)


CALL_ID = "moved-2"  # of 3 partitions in 2, of 6 in 5
BEFORE = [started(CALL_ID), started(CALL_ID)]
AFTER = [started(CALL_ID), ended(CALL_ID), recording(CALL_ID, "r")]


async def moved(place: Place, programs: Programs) -> int:
    """A call that is in two partitions, and all processed; how many records there are."""
    servers, raw = place.bootstrap_servers, place.topics.raw
    count = await store(servers, raw, [*traffic(seed=81, calls=20, garbage=0.1), *BEFORE])
    processor = programs.processor()
    await processed(place, count)
    assert processor.stop() == 0
    await grow(servers, [raw], partitions=GROWN)
    count += await store(servers, raw, AFTER)  # by a client that hashes over all
    programs.processor()
    await processed(place, count, seconds=120)
    mine = [r for r in await read_topic(servers, raw) if r.key == CALL_ID.encode()]
    assert {record.partition for record in mine} == {2, 5}
    return count


async def shown(programs: Programs, *, passes: int) -> None:
    """What `calls show` tells of it: each event once a pass."""
    story = (await cli.run(programs.env, "calls", "show", CALL_ID, "-o", "json", expect=0)).json
    assert [webhook["verdict"] for webhook in story["webhooks"]] == [
        "event",
        "duplicate",
        "duplicate",
        "event",
        "event",
    ]
    assert [len(webhook["events"]) for webhook in story["webhooks"]] == [passes, 0, 0, passes, passes]
    assert story["summary"].endswith("all processed")


async def test_commands_see_a_call_whose_key_moved(place: Place, programs: Programs) -> None:
    await moved(place, programs)

    await shown(programs, passes=1)
    assert (await cli.run(programs.env, "calls", "show", CALL_ID, expect=0)).out
    replayed = (await cli.run(programs.env, "calls", "replay", CALL_ID, "--execute", "-o", "json", expect=0)).json
    assert [event["type"].split(".")[-1] for event in replayed["plan"]["events"]] == [
        "started",
        "ended",
        "recording_ready",
    ]
    await shown(programs, passes=2)
    await cli.run(programs.env, "state", "verify", expect=0)
    await cli.run(programs.env, "top", "--once", "--every", "0.3", expect=0)
    erased = (await cli.run(programs.env, "erase", "--call-id", CALL_ID, "-o", "json", expect=0)).json
    found = {topic["topic"].removeprefix(place.topics.prefix): topic["records"] for topic in erased["plan"]["topics"]}
    assert (found[RAW.name], found[CALL.name], found[RECORDING.name]) == (5, 4, 2)


async def test_a_rewind_and_a_rebuild_repeat_a_call_whose_key_moved(place: Place, programs: Programs) -> None:
    count = await moved(place, programs)

    difference = (await cli.run(programs.env, "rewind", "--to-earliest", "--diff", "-o", "json")).json
    assert (difference["differs"], difference["owners_moved"]) == (False, 0)
    plan = (await cli.run(programs.env, "rewind", "--to-earliest", "-o", "json", expect=0)).json["plan"]
    dead = len(await read_topic(place.bootstrap_servers, place.topics.dead_letter))
    assert (plan["forecast"]["records"], plan["forecast"]["dead_letters"]) == (count, dead)
    await cli.run(programs.env, "rewind", "--to-earliest", "--execute", expect=0)
    await processed(place, count, seconds=120)
    await shown(programs, passes=2)
    await cli.run(programs.env, "state", "rebuild", "--wipe", "--execute", expect=0)
    await cli.run(programs.env, "state", "verify", expect=0)


async def test_an_ingress_that_runs_and_one_that_starts_move_no_key_when_raw_grows(
    place: Place, programs: Programs
) -> None:
    """Keys are spread over the fewest partitions of raw and dead-letter topic."""
    ports = [stable_port(), stable_port()]
    running = programs.ingress(INGRESS_PORT=str(ports[0]))
    await running.ready()
    calls = [started(f"call-{number}") for number in range(20)]
    await posted(ports[0], calls)

    await grow(place.bootstrap_servers, [place.topics.raw], partitions=GROWN)
    await says(running, "ok, but", "topics differ in partitions")
    starting = programs.ingress(INGRESS_PORT=str(ports[1]))
    await starting.ready()
    await says(starting, "ok, but", "topics differ in partitions")
    for port in ports:
        await posted(port, [ended(call.key) for call in calls])

    records = await read_topic(place.bootstrap_servers, place.topics.raw)
    assert len(records) == 60
    placed = {(record.key, record.partition) for record in records}
    assert len(placed) == 20, "a call is in two partitions"
    assert {partition for _, partition in placed} == set(range(TEST_PARTITIONS))
    for program in (running, starting):
        assert f'ringover_topic_partitions{{topic="{RAW.name}"}} {float(GROWN)}' in await program.metrics()
    assert '"topics.differ"' in running.tail(1000)


async def test_an_ingress_that_runs_moves_no_key_whatever_grows(place: Place, programs: Programs) -> None:
    port = stable_port()
    running = programs.ingress(INGRESS_PORT=str(port))
    await running.ready()
    calls = [started(f"call-{number}") for number in range(20)]
    await posted(port, calls)

    await grow(place.bootstrap_servers, names(place, TOPICS), partitions=GROWN)
    await says(running, "ok, but", f"{place.topics.raw} has {GROWN} partitions and had {TEST_PARTITIONS} at the start")
    await posted(port, [ended(call.key) for call in calls])

    records = await read_topic(place.bootstrap_servers, place.topics.raw)
    assert len({(record.key, record.partition) for record in records}) == 20


async def posted(port: int, webhooks: list[Webhook]) -> None:
    answers = await post_all(f"http://127.0.0.1:{port}", webhooks, connections=4)
    assert len(answers.accepted) == len(webhooks)
