"""Rewinds in tests: the command as a process, and topics that hold several passes, judged by the reference model."""

import signal
from collections.abc import Mapping, Sequence

from aiokafka import ConsumerRecord

from schemas.dead_letter import CODE, OFFSET, PREFIX
from schemas.headers import header
from tests.support.cli import Ran, run, started
from tests.support.comparison import source_offset
from tests.support.kafka import as_raw, read_topic
from tests.support.reference_model import Dead, Event, Expected, expected
from tests.support.verdict import Place, judge_state

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
        _assert_same(topic, found, wanted)
    dead = await _read(place, place.topics.dead_letter)
    found_offsets = [(r.partition, int(header(r.headers, OFFSET) or -1)) for r in dead]
    wanted_dead = [
        one
        for partition in sorted({p for p, _ in found_offsets} | {d.raw.partition for d in model.dead_letters})
        for one_pass in passes
        for one in model.dead_letters
        if one.raw.partition == partition and _within(one_pass, partition, one.raw.offset)
    ]
    _assert_same("offsets of dead letters", found_offsets, [(d.raw.partition, d.raw.offset) for d in wanted_dead])
    _assert_same(place.topics.dead_letter, _dead_letters_found(dead), _dead_letters_wanted(wanted_dead))
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


async def _read(place: Place, topic: str) -> list[ConsumerRecord]:
    return await read_topic(place.bootstrap_servers, topic)


def _dead_letters_found(
    records: Sequence[ConsumerRecord],
) -> list[tuple[int, bytes | None, bytes, tuple[object, ...], str]]:
    found = []
    for r in records:
        originals = tuple(pair for pair in r.headers if not pair[0].startswith(PREFIX))
        code = header(r.headers, CODE) or b""
        found.append((r.partition, r.key, r.value, originals, code.decode()))
    return found


def _dead_letters_wanted(dead: Sequence[Dead]) -> list[tuple[int, bytes | None, bytes, tuple[object, ...], str]]:
    return [(d.raw.partition, d.raw.key, d.raw.value, tuple(d.raw.headers), d.code) for d in dead]


def _assert_same(topic: str, found: object, wanted: object) -> None:
    """Compare whole topics without printing megabytes when they differ."""
    if found == wanted:
        return
    raise AssertionError(f"{topic}: {_difference(found, wanted)}")


def _difference(found: object, wanted: object) -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            if found.get(key) != wanted.get(key):
                return f"partition {key}: {_difference(found.get(key, []), wanted.get(key, []))}"
    if isinstance(found, list) and isinstance(wanted, list):
        for index, (one, other) in enumerate(zip(found, wanted, strict=False)):
            if one != other:
                return f"{len(found)} found, {len(wanted)} wanted; first difference at {index}: {one!r} != {other!r}"
        return f"{len(found)} found, {len(wanted)} wanted; one is the beginning of the other"
    return f"{found!r} != {wanted!r}"
