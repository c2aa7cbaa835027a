"""Today's code and changed code over a raw log that real processors have processed, against the reference model."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import orjson
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from pydantic import SecretStr

from ops.calls.model import TopicRecord
from ops.diff.model import DiffKind, DiffResult
from ops.diff.run import diff
from ops.diff.show import hidden
from ops.kit.output import json_bytes
from ops.kit.scan import Range
from processors.model import RawRecord, Verdict
from processors.normalize import normalize
from processors.settings import ProcessorSettings
from tests.support.cli import run
from tests.support.kafka import Webhook, as_raw, connect, producer, read_topic, store
from tests.support.processes import Programs
from tests.support.reference_model import Expected, Raw, expected
from tests.support.traffic import GARBAGE, traffic
from tests.support.verdict import Place, judge, processed

Offset = tuple[int, int]


async def test_diff_finds_nothing_with_the_code_of_the_pass(place: Place, programs: Programs) -> None:
    webhooks = list(traffic(seed=51, calls=400, duplicates=0.3, garbage=0.06))
    count = await store(place.bootstrap_servers, place.topics.raw, webhooks)
    programs.processor(PROCESSOR_BATCH_RECORDS="100")
    await processed(place, count)
    model = await judge(place)
    raw = as_raw(await read_topic(place.bootstrap_servers, place.topics.raw))
    ranges = {partition: Range(0, end) for partition, end in _ends(raw).items()}

    # Of the first call once more: several passes count once.
    assert (await run(programs.env, "calls", "replay", webhooks[0].key, "--execute"))[0] == 0
    code, out, _ = await run(programs.env, "rewind", "--to-earliest", "--diff", "-o", "json")
    assert code == 0
    found = orjson.loads(out)
    assert (found["records"], found["differs"], found["examples"]) == (count, False, [])
    agreeing = {"identical": len(model.events), "dead_letter_identical": len(model.dead_letters)}
    assert found["counts"] == dict.fromkeys(DiffKind, 0) | agreeing | {"silent": model.duplicates}

    # The later half alone: its duplicates of the earlier half stay duplicates.
    half = {partition: Range(whole.end // 2, whole.end) for partition, whole in ranges.items()}
    later = await diff(_settings(place), half)
    assert not later.differs
    assert later.records == sum(len(part) for part in half.values())

    # What retention removed is not called new.
    gone = await _remove(place, records=40)
    removed = await diff(_settings(place), ranges)
    assert not removed.differs
    assert removed.counts[DiffKind.SAME] == len(model.events) - removed.counts[DiffKind.REMOVED]
    assert removed.counts[DiffKind.REMOVED] >= gone > 0


async def test_diff_counts_what_changed_code_would_do(place: Place, programs: Programs) -> None:
    refused = GARBAGE[-1]  # its number is repaired by `_edit`; of calls that nothing else is known of
    webhooks = [Webhook("call-started", key, refused.replace(b"%s", key.encode())) for key in ("n1", "n2", "n3")]
    webhooks += traffic(seed=52, calls=400, duplicates=0.3, garbage=0.06)
    count = await store(place.bootstrap_servers, place.topics.raw, webhooks)
    programs.processor(PROCESSOR_BATCH_RECORDS="100")
    await processed(place, count)
    model = await judge(place)
    raw = as_raw(await read_topic(place.bootstrap_servers, place.topics.raw))
    ranges = {partition: Range(0, end) for partition, end in _ends(raw).items()}

    # Changed code, as the same code over changed bodies: the model knows what must come of those.
    changed = await diff(_settings(place), ranges, normalize=_changed, examples=10_000)
    _judge(changed, model, _passed_again(model, [replace(record, value=_edit(record.value)) for record in raw], place))
    assert "+3318" not in json_bytes(hidden(changed)).decode()

    # On the command line: the latest of several passes counts, here one that emitted other bytes.
    event = model.events[0]
    value = event.value.replace(b'"+33189000000"', b'"+33189000001"')
    async with producer(place.bootstrap_servers) as client:
        at = {"partition": event.partition, "headers": list(event.headers)}
        await client.send_and_wait(place.topics.call, value, event.key, **at)
    code, out, _ = await run(programs.env, "rewind", "--to-earliest", "--diff", "-o", "json")
    one = orjson.loads(out)
    assert (code, one["counts"]["changed"], one["counts"]["identical"]) == (3, 1, len(model.events) - 1)
    fields = {field["name"]: (field["before"], field["after"]) for field in one["examples"][0]["fields"]}
    assert fields["to_e164"] == ("•••0001", "•••0000")
    assert fields.keys() == {"to_e164", "timestamp_ms"}


def _passed_again(before: Expected, edited: list[Raw], place: Place) -> Expected:
    """What a rewind makes of edited bodies: a claimed key keeps its owner, a new one gets its first record."""
    whole = expected(edited, place.topics.raw)
    owners = {**whole.owners, **before.owners}
    alone = [expected([record], place.topics.raw) for record in edited]
    events = [one.events[0] for one in alone for identity, offset in one.owners.items() if owners[identity] == offset]
    return Expected(events=events, dead_letters=whole.dead_letters)


def _judge(found: DiffResult, before: Expected, after: Expected) -> None:
    """Every kind has exactly the records that the two models differ in, and each kind occurs."""
    old, new, old_dead, new_dead = _events(before), _events(after), _dead(before), _dead(after)
    wanted = {
        DiffKind.SAME: {at for at in old if old[at] == new.get(at)},
        DiffKind.CHANGED: {at for at in old.keys() & new.keys() if old[at] != new[at]},
        DiffKind.NEW: new.keys() - old.keys(),
        DiffKind.GONE: old.keys() - new.keys(),
        DiffKind.DEAD_SAME: {at for at in old_dead if old_dead[at] == new_dead.get(at)},
        DiffKind.DEAD_CHANGED: {at for at in old_dead.keys() & new_dead.keys() if old_dead[at] != new_dead[at]},
        DiffKind.DEAD_NEW: new_dead.keys() - old_dead.keys() - old.keys(),
        DiffKind.DEAD_GONE: old_dead.keys() - new_dead.keys() - new.keys(),
    }
    assert {kind: found.counts[kind] for kind in wanted} == {kind: len(places) for kind, places in wanted.items()}
    for kind in (
        DiffKind.SAME,
        DiffKind.CHANGED,
        DiffKind.NEW,
        DiffKind.GONE,
        DiffKind.DEAD_SAME,
        DiffKind.DEAD_CHANGED,
        DiffKind.DEAD_GONE,
    ):
        assert wanted[kind], f"the traffic has nothing {kind.value}"
    examples = {kind: set[Offset]() for kind in DiffKind}
    for example in found.examples:
        examples[example.transition.kind].add((example.partition, example.offset))
        assert bool(example.fields) == (example.transition.kind is DiffKind.CHANGED)
    for kind in (
        DiffKind.CHANGED,
        DiffKind.NEW,
        DiffKind.GONE,
        DiffKind.DEAD_CHANGED,
        DiffKind.DEAD_NEW,
        DiffKind.DEAD_GONE,
    ):
        assert examples[kind] == wanted[kind]
    codes = Counter((example.transition.code_before, example.transition.code_after) for example in found.examples)
    for (came_from, went_to), number in codes.items():
        moved = [at for at in {**old, **new, **old_dead, **new_dead} if at in old_dead or at in new_dead]
        if came_from or went_to:
            pairs = [(old_dead.get(at), new_dead.get(at)) for at in moved if old_dead.get(at) != new_dead.get(at)]
            assert pairs.count((came_from, went_to)) == number
    assert found.owners_moved > 0


def _edit(value: bytes) -> bytes:
    """Bodies as changed code would read them: repairs, refuses, changes."""
    value = value.replace(b'"to":"0189000000"', b'"to":"+33189000000"')  # dead letters become events, or duplicates
    value = value.replace(b'"call.exploded"', b'"call.ended"')  # dead letters get another code
    value = value.replace(b"https://provider.example/", b"https://other.example/")  # recordings change
    # Events become dead letters; where an odd duration was a conflict's, or had one, another record owns the key.
    return re.sub(rb'("duration_sec":\d*[13579],"hangup_cause":)"normal_clearing"', rb'\1""', value)


def _changed(record: RawRecord, *, source: str) -> Verdict:
    edited = TopicRecord(
        "", 0, record.offset, record.timestamp, record.key, _edit(record.value or b""), list(record.headers)
    )
    return normalize(edited, source=source)


def _events(model: Expected) -> Mapping[Offset, object]:
    found: dict[Offset, object] = {}
    for event in model.events:
        _, partition, offset = dict(event.headers)["ce_sourceoffset"].decode().rsplit("/", 2)
        found[int(partition), int(offset)] = (event.topic, event.key, event.value, event.headers)
    return found


def _dead(model: Expected) -> Mapping[Offset, str]:
    return {(dead.raw.partition, dead.raw.offset): dead.code for dead in model.dead_letters}


def _ends(raw: list[Raw]) -> Mapping[int, int]:
    return {record.partition: record.offset + 1 for record in raw}


async def _remove(place: Place, *, records: int) -> int:
    """Remove the first records of a partition of the call topic, as retention does; how many were there."""
    events = [record for record in await read_topic(place.bootstrap_servers, place.topics.call) if not record.partition]
    admin = AIOKafkaAdminClient(**connect(place.bootstrap_servers))
    await admin.start()
    try:
        before = RecordsToDelete(before_offset=events[records].offset)
        await admin.delete_records({TopicPartition(place.topics.call, 0): before})
    finally:
        await admin.close()
    return len({record.value for record in events[:records]})


def _settings(place: Place) -> ProcessorSettings:
    return ProcessorSettings(
        kafka_bootstrap_servers=place.bootstrap_servers,
        kafka_topic_prefix=place.topics.prefix,
        database_url=SecretStr(place.database_url),
        processor_group=place.group,
    )
