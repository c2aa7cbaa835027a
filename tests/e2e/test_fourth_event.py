"""An event that is a row more (tests.support.fourth_event), with real processes: shown, replayed and erased."""

from pathlib import Path
from typing import Any

import orjson

from schemas.dead_letter import Code
from tests.support import cli, fourth_event
from tests.support.fourth_event import EXPECTED, NAME, WEBHOOK
from tests.support.kafka import Webhook, read_topic, store
from tests.support.processes import Programs
from tests.support.traffic import ended, recording, started
from tests.support.verdict import Place, processed

CALL = WEBHOOK.key
TEXT = "Rappelez-moi"
BAD = Webhook(WEBHOOK.slug, CALL, WEBHOOK.body.replace(b"12 }", b'"12" }'))
OTHER = Webhook(WEBHOOK.slug, CALL, WEBHOOK.body.replace(b"12 }", b"13 }"))
OF_CALL = [started(CALL), WEBHOOK, WEBHOOK, OTHER, BAD, ended(CALL), recording(CALL, "r1")]
WEBHOOKS = [*OF_CALL, recording("other", "r1")]


async def test_a_fourth_event_is_known_to_processor_and_operators(
    place: Place, programs: Programs, tmp_path: Path
) -> None:
    fourth_event.write(tmp_path)
    env = fourth_event.environment(tmp_path)

    async def asked(line: str) -> Any:
        ran = await cli.run(programs.env | env, *line.split(), "-o", "json", expect=0)
        assert TEXT not in ran.out + ran.err
        return ran.json

    await store(place.bootstrap_servers, place.topics.raw, WEBHOOKS)
    await programs.processor(**env).ready(seconds=90)
    await processed(place, len(WEBHOOKS))

    emitted = await read_topic(place.bootstrap_servers, place.topics.recording)
    assert orjson.dumps(orjson.loads(EXPECTED)) in [found.value for found in emitted]

    shown = await asked(f"calls show {CALL}")
    assert [webhook["verdict"] for webhook in shown["webhooks"]] == [
        *("event", "event", "duplicate", "conflict", "dead letter", "event", "event")
    ]
    assert shown["webhooks"][1]["events"][0]["fields"]["from_e164"] == "•••0304"
    assert shown["webhooks"][4]["reason"]["code"] == Code.FIELD_WRONG_TYPE.value
    assert f"ringover:{NAME}:{CALL}:ro_vm_9" in {claim["key"] for claim in shown["claims"]}

    replayed = await asked(f"calls replay {CALL} --execute")
    assert [event["type"] for event in replayed["plan"]["events"]].count(NAME) == 1

    plan = (await asked(f"erase --call-id {CALL}"))["plan"]
    assert [(len(call["claims"]), call["conflicts"]) for call in plan["calls"]] == [(4, 1)]
    assert sum(topic["records"] for topic in plan["topics"]) == len(OF_CALL) + 2 * 4 + 1
    assert TEXT not in (await cli.run(programs.env | env, "tail", "--from-beginning", "--max", "10", expect=0)).out
