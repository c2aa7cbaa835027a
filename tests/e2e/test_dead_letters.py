"""Operators look at dead letters, send them back and repair them: the real command line on real servers."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psycopg
from aiokafka import ConsumerRecord

from ops.dead_letters.sender import CHUNK_RECORDS
from schemas.dead_letter import CODE, OFFSET, STAGE, TOPIC
from schemas.dead_letter import PARTITION as ORIGIN_PARTITION
from schemas.headers import Headers, header
from schemas.placement import partition_of
from tests.conftest import TEST_PARTITIONS
from tests.support import cli
from tests.support.kafka import Webhook, as_raw, producer, raw_headers, read_topic, store
from tests.support.load import post_all
from tests.support.ports import stable_port
from tests.support.processes import Programs
from tests.support.reference_model import Event, Raw, expected
from tests.support.traffic import ended, recording, started
from tests.support.verdict import Place, processed
from tests.support.waiting import until

CANARY_NUMBER = "+33655443322"
CANARY_TEXT = "the patient said a secret"
FAULTY = "tests.support.faulty_replay"


@dataclass(frozen=True)
class Old:
    """A dead letter as an older version wrote it: of the processor if it has an origin, else of the ingress."""

    webhook: Webhook
    code: str
    origin: int | None


async def run(programs: Programs, *arguments: str, code: int = 0, module: str = "ops", **env: str) -> tuple[str, str]:
    _, out, err = await cli.run({**programs.env, **env}, "dead-letters", *arguments, module=module, expect=code)
    return out, err


async def run_json(programs: Programs, *arguments: str, code: int = 0) -> Any:
    return orjson.loads((await run(programs, *arguments, "-o", "json", code=code))[0])


async def dead(place: Place, letters: Iterable[Old]) -> None:
    """Write dead letters as an older version would have; a processor's in the partition of its raw record."""
    async with producer(place.bootstrap_servers) as client:
        for letter in letters:
            key = letter.webhook.key.encode()
            stage = b"accept" if letter.origin is None else b"normalize"
            reason: Headers = [(STAGE, stage), (CODE, letter.code.encode())]
            partition = partition_of(key, range(TEST_PARTITIONS))
            if letter.origin is not None:
                origin = (place.topics.raw, str(partition), str(letter.origin))
                reason += [
                    (name, text.encode()) for name, text in zip((TOPIC, ORIGIN_PARTITION, OFFSET), origin, strict=True)
                ]
            await client.send(
                place.topics.dead_letter,
                letter.webhook.body,
                None if letter.origin is None else key,
                partition=partition,
                headers=[*raw_headers(letter.webhook.slug), *reason],
            )
        await client.flush()


def time_passes(place: Place) -> None:
    """Make unsettled rows old enough that nobody waits for them."""
    with psycopg.connect(place.database_url, autocommit=True) as connection:
        connection.execute("UPDATE replay SET begun_at = begun_at - interval '1 hour' WHERE raw_offset IS NULL")


async def raw_of(place: Place) -> list[ConsumerRecord]:
    return await read_topic(place.bootstrap_servers, place.topics.raw)


async def markers(place: Place, name: str = "replayed-from") -> Counter[bytes]:
    found = [header(record.headers, name) for record in await raw_of(place)]
    return Counter(marker for marker in found if marker is not None)


async def published(place: Place) -> list[Event]:
    """All events on both topics, as the reference model writes them."""
    return [
        Event(name, record.partition, record.key, record.value, tuple(record.headers))
        for name, topic in (("call", place.topics.call), ("recording", place.topics.recording))
        for record in await read_topic(place.bootstrap_servers, topic)
    ]


def by_topic(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event.topic, event.partition))  # stable: the order within stays


def of_call(number: int) -> list[Webhook]:
    call = f"call-{number}"
    return [started(call), ended(call), recording(call, "r")]


def bad_number(call: str) -> Webhook:
    return Webhook("call-started", call, started(call).body.replace(b"+33189000000", b"0189000000"))


async def test_list_and_show_tell_everything_and_reveal_nothing(place: Place, programs: Programs) -> None:
    port = stable_port()
    await programs.ingress(INGRESS_PORT=str(port)).ready()
    await programs.processor().ready()
    call = {"id": "c1", "direction": "inbound", "from": CANARY_NUMBER, "to": "0189000000", "note": CANARY_TEXT}
    body = {"event": "call.started", "timestamp": "2026-01-02T15:00:00Z", "call": call, CANARY_NUMBER: 1}
    number = Webhook("call-started", "c1", orjson.dumps({**body, "transcript": {"text": CANARY_TEXT}}))
    aside = [
        Webhook("call-started", "-", f"not json {CANARY_TEXT} {CANARY_NUMBER}".encode()),
        Webhook("call-started", "-", orjson.dumps({"email": f"{CANARY_TEXT}@x.fr"})),
    ]
    answers = await post_all(f"http://127.0.0.1:{port}", [number, *aside])
    assert (len(answers.accepted), len(answers.dead_lettered)) == (1, 2)
    await processed(place, 1)

    groups, each, of_ingress, old = await asyncio.gather(
        run_json(programs, "list"),
        run_json(programs, "list", "--each"),
        run_json(programs, "list", "--since", "1h", "--stage", "accept", "--each"),
        run_json(programs, "list", "--until", "1h"),
    )
    assert {(group["stage"], group["code"], group["bodies"], group["records"]) for group in groups} == {
        ("accept", "not_json", 1, 1),
        ("accept", "call_id_unusable", 1, 1),
        ("normalize", "number_invalid", 1, 1),
    }
    assert [letter["key"] for letter in each if letter["stage"] == "normalize"] == ["c1"]
    assert (len(of_ingress), old) == (2, [])

    tables = await asyncio.gather(run(programs, "list"), run(programs, "list", "--each"))
    details = await asyncio.gather(*(run(programs, "show", letter["id"]) for letter in each))
    shown = {letter["code"]: detail[0] for letter, detail in zip(each, details, strict=True)}
    said = [*shown.values(), *(out for out, _ in tables)]
    for canary in (CANARY_NUMBER, CANARY_NUMBER[1:], CANARY_TEXT):
        assert all(canary not in text for text in said)
    assert "•••3322" in shown["number_invalid"]
    assert "would be a dead letter again: number_invalid" in shown["number_invalid"]
    assert f"{place.topics.raw}/" in shown["number_invalid"]
    assert "cannot be replayed as it is: not_json" in shown["not_json"]
    assert '"signature": "present"' in shown["number_invalid"]
    for revealed in await asyncio.gather(*(run_json(programs, "show", letter["id"], "--reveal") for letter in each)):
        assert CANARY_TEXT in str(revealed["body"])
        assert revealed["headers"]["signature"] == "present"
    _, missing = await run(programs, "show", "0:99", code=4)
    assert missing.startswith("error: no dead letter 0:99")


async def test_replay_after_a_fix_emits_each_once_in_order(place: Place, programs: Programs) -> None:
    await programs.processor().ready()
    await store(place.bootstrap_servers, place.topics.raw, of_call(0))
    good = [webhook for number in range(1, 15) for webhook in of_call(number)]
    fixed = [Old(webhook, "event_of_old", origin) for origin, webhook in enumerate(good, start=1000)]
    aside = [Old(started("aside"), "call_id_unusable", None)]
    known = [Old(started("call-0"), "event_of_old", 2000)]
    still_bad = [
        Old(bad_number("bad"), "number_invalid", 3000),
        Old(Webhook("call-ended", "-", b"{"), "not_json", None),
    ]
    await dead(place, [*fixed, *aside, *known, *still_bad, *fixed])  # fixed twice: two passes
    before = await read_topic(place.bootstrap_servers, place.topics.dead_letter)
    await processed(place, 3)

    plan = await run_json(programs, "replay", "--all")
    assert {(row["code"], row["becomes"], row["sent"], row["count"]) for row in plan["plan"]["outcomes"]} == {
        ("event_of_old", "event", True, len(good)),
        ("event_of_old", "duplicate", True, 1),
        ("call_id_unusable", "event", True, 1),
        ("number_invalid", "dead letter again: number_invalid", False, 1),
        ("not_json", "cannot be replayed: not_json", False, 1),
    }
    assert (plan["executed"], plan["result"], len(await raw_of(place))) == (False, None, 3)
    assert plan["plan"]["passes_of_the_same_record"] == len(good)

    done = await run_json(programs, "replay", "--all", "--execute")
    assert (done["executed"], done["result"]["sent"]) == (True, len(good) + 2)
    await processed(place, 3 + len(good) + 2)
    raw = await raw_of(place)
    events = await published(place)
    assert by_topic(events) == by_topic(expected(as_raw(raw), place.topics.raw).events)
    assert len(events) == 3 + len(good) + 1
    as_sent = [Raw(0, at, webhook.key.encode(), webhook.body, ()) for at, webhook in enumerate(good)]
    direct = Counter((event.key, event.value) for event in expected(as_sent, place.topics.raw).events)
    assert direct <= Counter((event.key, event.value) for event in events)
    for webhook in good:
        sent = [record for record in raw if record.value == webhook.body]
        assert [(record.key, header(record.headers, CODE)) for record in sent] == [(webhook.key.encode(), None)]
    for number in range(1, 15):
        of_one = [record.value for record in raw if record.key == f"call-{number}".encode()]
        assert of_one == [webhook.body for webhook in of_call(number)]
    assert max((await markers(place)).values()) == 1
    assert await read_topic(place.bootstrap_servers, place.topics.dead_letter) == before

    again = await run_json(programs, "replay", "--all", "--execute")
    assert (again["result"]["sent"], again["plan"]["replayed_already"]) == (0, len(good) + 2)
    listed = {group["code"]: group for group in await run_json(programs, "list")}
    assert [listed["event_of_old"][name] for name in ("bodies", "records", "replayed")] == [43, 85, 43]
    bad = await run_json(programs, "replay", "--code", "number_invalid", "--even-if-still-bad", "--execute")
    assert bad["result"]["sent"] == 1

    async def again_dead() -> bool:
        return len(await read_topic(place.bootstrap_servers, place.topics.dead_letter)) == len(before) + 1

    await until(again_dead, what="the one that is still bad is a dead letter again")


async def test_a_killed_replay_goes_on_and_repeats_nothing(place: Place, programs: Programs) -> None:
    count = 0
    for number, point in enumerate(("begun", "half", "sent")):
        calls = [f"{point}-{call}" for call in range(20)]
        await dead(place, [Old(started(call), point, 100 * number + at) for at, call in enumerate(calls)])
        fault = {"FAULT_POINT": point, "FAULT_SIGNAL": "KILL"}
        await run(programs, "replay", "--code", point, "--execute", module=FAULTY, code=-signal.SIGKILL, **fault)
        count += 20
        if point == "half":  # the other points wait for real
            time_passes(place)

        out, said = await run(programs, "replay", "--all", "--execute", "-o", "json")

        done = orjson.loads(out)["result"]
        assert done["sent"] == 0
        found = {"begun": (0, 20), "half": (10, 10), "sent": (20, 0)}[point]
        assert (done["settled"]["found"], done["settled"]["sent"]) == found
        assert said.startswith(f"of an interrupted run: {found[0]} were in the raw log, {found[1]} sent now\n")
        replayed = await markers(place)
        assert (len(replayed), set(replayed.values())) == (count, {1})
    in_order: dict[int, list[int]] = {}
    for record in await raw_of(place):
        marker = (header(record.headers, "replayed-from") or b"").decode()
        assert marker.startswith(f"{place.topics.dead_letter}/{record.partition}/")
        in_order.setdefault(record.partition, []).append(int(marker.rpartition("/")[2]))
    assert all(offsets == sorted(offsets) for offsets in in_order.values())


async def test_ctrl_c_ends_a_replay_after_the_chunk_at_hand(place: Place, programs: Programs) -> None:
    count = CHUNK_RECORDS + 20
    await dead(place, [Old(started(f"call-{number}"), "old", number) for number in range(count)])

    fault = {"FAULT_POINT": "begun", "FAULT_SIGNAL": "INT"}
    _, said = await run(programs, "replay", "--all", "--execute", module=FAULTY, code=1, **fault)
    assert f"sent: {CHUNK_RECORDS} of {count}" in said
    done = await run_json(programs, "replay", "--all", "--execute")

    assert (done["result"]["sent"], done["plan"]["replayed_already"]) == (20, CHUNK_RECORDS)
    replayed = await markers(place)
    assert (len(replayed), set(replayed.values())) == (count, {1})


async def test_of_two_tools_at_once_the_second_is_refused(place: Place, programs: Programs) -> None:
    await dead(place, [Old(started("one"), "old", 1)])
    fault = {"FAULT_POINT": "begun", "FAULT_SIGNAL": "STOP"}
    env = {**programs.env, **fault}
    async with cli.started(env, "dead-letters", "replay", "--all", "--execute", module=FAULTY) as first:
        state = Path(f"/proc/{first.pid}/stat")  # proc(5): T is stopped by a signal

        async def frozen() -> bool:
            assert first.returncode is None
            return (await asyncio.to_thread(state.read_text)).rpartition(")")[2].split()[0] == "T"

        await until(frozen, what="the first tool stands still")
        _, said = await run(programs, "replay", "--all", "--execute", code=6)
        assert said.startswith("error: another replay or import")
        await run(programs, "replay", "--all")  # a plan needs no lock
        first.send_signal(signal.SIGCONT)
        async with asyncio.timeout(30):
            await first.communicate()
    assert first.returncode == 0
    assert list((await markers(place)).values()) == [1]


async def test_export_repair_import(place: Place, programs: Programs, tmp_path: Path) -> None:
    await programs.processor().ready()
    port = stable_port()
    await programs.ingress(INGRESS_PORT=str(port)).ready()
    no_id = Webhook("call-ended", "-", ended("aside").body.replace(b'"id":"aside",', b""))
    hopeless = Webhook("call-started", "-", b"\xff\xfe")
    answers = await post_all(f"http://127.0.0.1:{port}", [bad_number("a"), no_id, hopeless])
    assert not answers.refused
    await processed(place, 1)
    file, repaired = tmp_path / "dead.jsonl", tmp_path / "repaired.jsonl"

    _, warned = await run(programs, "export", "--file", str(file))
    assert "unmasked" in warned
    assert file.stat().st_mode & 0o077 == 0
    assert (await run(programs, "export"))[0].encode() == file.read_bytes()
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    repairs = {"number_invalid": started("a").body, "call_id_unusable": ended("aside").body}
    for line in lines:
        if line["reason"]["code"] in repairs:
            line["value"] = repairs[line["reason"]["code"]].decode()
    repaired.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))

    plan = await run_json(programs, "import", str(repaired))
    assert (plan["plan"]["to_send"], plan["plan"]["left_out"], plan["result"]) == (2, 1, None)
    fault = {"FAULT_POINT": "begun", "FAULT_SIGNAL": "KILL"}
    await run(programs, "import", str(repaired), "--execute", module=FAULTY, code=-signal.SIGKILL, **fault)
    time_passes(place)
    freed = await run_json(programs, "replay", "--all", "--execute")  # does not have the repaired bodies
    assert (len(freed["result"]["settled"]["forgotten"]), freed["result"]["sent"]) == (2, 0)
    await run(programs, "import", str(repaired), "--execute", module=FAULTY, code=-signal.SIGKILL, **fault)
    time_passes(place)
    done = await run_json(programs, "import", str(repaired), "--execute", code=1)  # one line is refused
    assert (done["result"]["settled"]["sent"], done["result"]["sent"]) == (2, 0)
    again = await run_json(programs, "import", str(repaired), "--execute", code=1)
    assert (again["result"]["sent"], again["plan"]["replayed_already"]) == (0, 2)

    await processed(place, 3)
    imported = await markers(place, "imported-from")
    assert (len(imported), set(imported.values())) == (2, {1})
    events = await published(place)
    assert {(event.key, dict(event.headers)["ce_type"]) for event in events} == {
        (b"a", b"call.started"),
        (b"aside", b"call.ended"),
    }
    raw = as_raw(await raw_of(place))
    assert by_topic(events) == by_topic(expected(raw, place.topics.raw).events)
