"""Rewinds in tests: the command as a process, and topics that hold several passes, judged by the reference model."""

import signal
from collections.abc import Mapping, Sequence

from aiokafka import ConsumerRecord

from schemas.dead_letter import OFFSET
from schemas.headers import header
from tests.support.cli import Ran, run, started
from tests.support.kafka import as_raw, read_topic
from tests.support.reference_model import Event, Expected, expected
from tests.support.verdict import Place, assert_same, dead_letters_found, dead_letters_wanted, judge_state

RUN_SECONDS = 90.0

Pass = Mapping[int, tuple[int, int | None]]  # by partition: raw offsets [start, end) of a pass; None: to the end


async def rewind(env: Mapping[str, str], *arguments: str, module: str = "ops", expect: int | None = 0) -> Ran:
    """Run `ringover-ops rewind` to its end."""
    return await run(env, "rewind", *arguments, module=module, expect=expect, seconds=RUN_SECONDS)


async def rewind_until(env: Mapping[str, str], *arguments: str, said: str) -> Ran:
    """Run `ringover-ops rewind` until it says something, then press Ctrl-C."""
    async with started(env, "rewind", *arguments, seconds=RUN_SECONDS) as process:
        assert process.stderr is not None
        heard = b""
        while said.encode() not in heard:
            line = await process.stderr.readline()
            assert line, heard.decode()
            heard += line
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), (heard + err).decode())


def whole_pass(ends: Mapping[int, int | None]) -> Pass:
    return {partition: (0, end) for partition, end in ends.items()}


async def judge_passes(place: Place, passes: Sequence[Pass]) -> Expected:
    """Assert that every output topic holds exactly these passes over the raw log, one after another."""
    raw = as_raw(await read_topic(place.bootstrap_servers, place.topics.raw))
    model = expected(raw, place.topics.raw)
    for name, topic in (("call", place.topics.call), ("recording", place.topics.recording)):
        found = [(r.partition, r.key, r.value, tuple(r.headers)) for r in await _read(place, topic)]
        events = [event for event in model.events if event.topic == name]
        wanted = [(e.partition, e.key, e.value, e.headers) for e in _in_passes(events, passes)]
        assert_same(topic, found, wanted)
    dead = await _read(place, place.topics.dead_letter)
    found_offsets = [(r.partition, int(header(r.headers, OFFSET) or -1)) for r in dead]
    wanted_dead = [
        one
        for partition in sorted({p for p, _ in found_offsets} | {d.raw.partition for d in model.dead_letters})
        for one_pass in passes
        for one in model.dead_letters
        if one.raw.partition == partition and _within(one_pass, partition, one.raw.offset)
    ]
    assert_same("offsets of dead letters", found_offsets, [(d.raw.partition, d.raw.offset) for d in wanted_dead])
    assert_same(place.topics.dead_letter, dead_letters_found(dead), dead_letters_wanted(wanted_dead))
    judge_state(place, model, raw)
    return model


def _in_passes(events: Sequence[Event], passes: Sequence[Pass]) -> list[Event]:
    """By partition, then by pass, then by offset: as they must lie on the topic."""
    return [
        event
        for partition in sorted({event.partition for event in events})
        for one_pass in passes
        for event in events
        if event.partition == partition and _within(one_pass, partition, source_offset(event))
    ]


def _within(one_pass: Pass, partition: int, offset: int) -> bool:
    start, end = one_pass.get(partition, (0, 0))
    return start <= offset and (end is None or offset < end)


def source_offset(event: Event) -> int:
    return int(dict(event.headers)["ce_sourceoffset"].decode().rpartition("/")[2])


async def _read(place: Place, topic: str) -> list[ConsumerRecord]:
    return await read_topic(place.bootstrap_servers, topic)
