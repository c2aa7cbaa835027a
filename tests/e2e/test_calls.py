"""One call from an operator's side, with real processes: what is known of it, and its events once more."""

from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka import ConsumerRecord

from tests.support.cli import Ran, run
from tests.support.kafka import Webhook, as_raw, read_topic, store
from tests.support.processes import Programs
from tests.support.reference_model import expected
from tests.support.traffic import ended, recording, started, traffic
from tests.support.verdict import Place, committed_offsets, judge, processed
from tests.support.waiting import until

CALL = "call:7"  # a colon is escaped in claim keys
NATIONAL = Webhook(
    "call-started",
    CALL,
    b'{"event":"call.started","timestamp":"2026-01-02T15:00:00Z",'
    b'"call":{"id":"call:7","direction":"inbound","to":"0189000000"}}',
)
# Larger than the batches of a Kafka producer.
LONG = Webhook(
    "recording-ready",
    CALL,
    b'{"event":"call.recording_ready","timestamp":"2026-01-02T15:09:00Z","call":{"id":"call:7"},'
    b'"recording":{"id":"r2","url":"x"},"transcript":{"text":"' + b"bonjour " * 40_000 + b'","language":"fr"}}',
)
OF_CALL = [
    NATIONAL,
    started(CALL),
    started(CALL),
    ended(CALL),
    ended(CALL, duration=61),
    recording(CALL, "r1"),
    LONG,
]
VERDICTS = ["dead letter", "event", "duplicate", "event", "conflict", "event", "event"]
COUNTS = f"call {CALL}: 7 webhooks received, 4 events, 1 duplicate, 1 conflict, 1 dead letter"


async def test_show_tells_what_came_in_and_what_became_of_it(place: Place, programs: Programs) -> None:
    count = await _store(place, [*traffic(seed=41, calls=40), *OF_CALL, *traffic(seed=42, calls=40), started("call")])

    code, before, _ = await _json(programs, "show", CALL)
    assert code == 0
    assert before["summary"].startswith(f"{COUNTS}; not processed yet: the group is ")
    assert [webhook["verdict"] for webhook in before["webhooks"]] == VERDICTS
    assert not any(webhook["processed"] or webhook["events"] for webhook in before["webhooks"])
    assert before["claims"] == []

    programs.processor()
    await processed(place, count)
    model = await judge(place)

    after = await _settled(programs, f"{COUNTS}; all processed")
    mine = [raw for raw in await _raw(place) if raw.key == CALL.encode()]
    assert [webhook["offset"] for webhook in after["webhooks"]] == [raw.offset for raw in mine]
    assert [webhook["verdict"] for webhook in after["webhooks"]] == VERDICTS
    owners = {offset for identity, (_, offset) in model.owners.items() if identity[1] == CALL}
    assert {webhook["offset"] for webhook in after["webhooks"] if webhook["events"]} == owners
    assert {claim["offset"] for claim in after["claims"]} == owners
    assert [len(webhook["events"]) + len(webhook["dead_letters"]) for webhook in after["webhooks"]] == [
        int(verdict in ("event", "dead letter")) for verdict in VERDICTS
    ]
    assert after["webhooks"][0]["dead_letters"][0]["code"] == after["webhooks"][0]["reason"]["code"] == "number_invalid"
    assert after["webhooks"][2]["owner"]["offset"] == after["webhooks"][1]["offset"]
    assert [webhook["conflict_noted"] for webhook in after["webhooks"]].index(True) == VERDICTS.index("conflict")

    code, text, talk = await _calls(programs, "show", CALL)
    assert (code, talk) == (0, "")
    assert text.splitlines()[0] == f"{COUNTS}; all processed"
    assert "+33601020304" not in text
    assert "+33601020304" in (await _calls(programs, "show", CALL, "--reveal"))[1]


async def test_show_of_an_unknown_call_ends_with_4(place: Place, programs: Programs) -> None:
    await _store(place, [started("other")])

    assert await _calls(programs, "show", CALL, "--since", "2h") == (
        4,
        f"nothing known of call {CALL} in the last 2h\n",
        "",
    )
    assert (await _calls(programs, "show", CALL, "--since", "soon"))[0] == 2
    code, _, talk = await _calls(programs, "replay", CALL, "--execute")
    assert (code, talk.count("\n")) == (4, 1)


async def test_replay_emits_exactly_the_first_pass_once_more(place: Place, programs: Programs) -> None:
    count = await _store(place, [*traffic(seed=43, calls=40), *OF_CALL, *traffic(seed=44, calls=40)])
    code, _, talk = await _calls(programs, "replay", CALL, "--execute")
    assert code == 6
    assert talk.startswith("error: not processed yet: 7 of the call's 7 webhooks")

    processor = programs.processor()
    await processed(place, count)
    await judge(place)
    await _settled(programs, f"{COUNTS}; all processed")
    before = await _topics(place)
    offsets = await committed_offsets(place)

    code, plan, _ = await _json(programs, "replay", CALL)
    assert (code, plan["executed"], plan["result"], len(plan["plan"]["events"])) == (0, False, None, 4)
    assert await _topics(place) == before

    code, done, talk = await _json(programs, "replay", CALL, "--execute")
    assert (code, done["executed"]) == (0, True)
    assert talk == f"4 events of call {CALL} emitted again\n"
    again = [_added(old, new) for old, new in zip(before, await _topics(place), strict=True)]
    first_pass = [[_content(record) for record in topic if record.key == CALL.encode()] for topic in before]
    assert [[_content(record) for record in topic] for topic in again] == [*first_pass[:2], []]
    assert [len(topic) for topic in again] == [2, 2, 0]
    assert [event["topic"] for event in done["result"]["events"]] == [e["topic"] for e in done["plan"]["events"]]
    assert {(e["topic"], e["offset"]) for e in done["result"]["events"]} == {
        (r.topic, r.offset) for t in again for r in t
    }
    assert await committed_offsets(place) == offsets

    # The processor has seen nothing of it, and goes on.
    count += await _store(place, [started(CALL), recording(CALL, "r3")])
    await processed(place, count)
    assert processor.running
    await _settled(programs, f"call {CALL}: 9 webhooks received, 5 events, 2 duplicates, 1 conflict, 1 dead letter")
    assert len(_added(before[1], (await _topics(place))[1])) == 3
    assert len(expected(await _raw(place), place.topics.raw).events) == sum(map(len, (await _topics(place))[:2])) - 4


async def _store(place: Place, webhooks: Sequence[Webhook]) -> int:
    return await store(place.bootstrap_servers, place.topics.raw, webhooks)


async def _raw(place: Place) -> list[Any]:
    return as_raw(await read_topic(place.bootstrap_servers, place.topics.raw))


async def _topics(place: Place) -> list[list[ConsumerRecord]]:
    """The call, recording and dead-letter topics."""
    names = (place.topics.call, place.topics.recording, place.topics.dead_letter)
    return [await read_topic(place.bootstrap_servers, name) for name in names]


def _added(old: Sequence[ConsumerRecord], new: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
    """What came after `old`; asserts that `old` is still there as it was."""
    known = {(record.partition, record.offset): record for record in old}
    assert [record for record in new if (record.partition, record.offset) in known] == list(old)
    return [record for record in new if (record.partition, record.offset) not in known]


def _content(record: ConsumerRecord) -> tuple[object, ...]:
    return record.topic, record.partition, record.key, record.value, record.headers, record.timestamp


async def _settled(programs: Programs, summary: str) -> dict[str, Any]:
    """The answer of `show` once its summary begins like this: a commit may show some time after it returned."""

    async def answer() -> dict[str, Any] | None:
        found = (await _json(programs, "show", CALL))[1]
        return found if found["summary"].startswith(summary) else None

    found = await until(answer, what=f"the summary {summary!r}")
    assert found is not None
    return found


async def _json(programs: Programs, *arguments: str) -> tuple[int, dict[str, Any], str]:
    code, out, talk = await _calls(programs, *arguments, "-o", "json")
    return code, orjson.loads(out), talk


async def _calls(programs: Programs, *arguments: str) -> Ran:
    return await run(programs.env, "calls", *arguments)
