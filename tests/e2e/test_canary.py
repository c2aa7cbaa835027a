"""Canaries: personal data and secrets go through everything, and come out of nothing that operators and strangers see.

The commands have a test of their own; this one is about the processes: their logs (at debug), metrics, readiness,
answers and traces.
"""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import aiohttp
import orjson
import pytest

from tests.support.collector import Collector, collecting
from tests.support.kafka import read_topic
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.signing import SECRET as SIGNING_SECRET
from tests.support.signing import signature
from tests.support.verdict import Place, processed

NUMBER = "+33655501234"
CANARIES = {
    "number": NUMBER.lstrip("+"),
    "transcript": "canary-transcript-of-a-caller",
    "e-mail": "canary.caller@example.org",
    "link": "canary-recording-link",
    "name": "canary-display-name",
    "token": "canary-bearer-token",
    "wrong token": "canary-wrong-token",
    "secret": SIGNING_SECRET.decode(),
    "wrong signature": "c0ffee" * 10 + "c0ff",
    "in a header": "canary-header-value",
    "in a path": "canary-path",
}


@dataclass
class Seen:
    """Everything that the world outside of Kafka and PostgreSQL got to see, by where."""

    texts: dict[str, str]

    def leaks(self, canaries: Iterable[str]) -> list[str]:
        return [
            f"{canary} in {where}"
            for where, text in self.texts.items()
            for canary in canaries
            if canary.lower() in text.lower()
        ]


def call(call_id: str, **fields: object) -> dict[str, object]:
    number = {
        "from": NUMBER,
        "to": NUMBER,
        "agent": {"id": "a1", "name": CANARIES["name"], "email": CANARIES["e-mail"]},
    }
    return {"id": call_id, "direction": "inbound", **number, **fields}


def event(name: str, call_id: str, **fields: object) -> dict[str, object]:
    return {"event": name, "timestamp": "2026-01-02T15:00:00Z", "call": call(call_id), **fields}


def recorded(call_id: str) -> dict[str, object]:
    media = {"id": "r1", "url": f"https://example.org/{CANARIES['link']}?mail={CANARIES['e-mail']}"}
    words = {"text": f"{CANARIES['transcript']} {NUMBER} {CANARIES['e-mail']}", "language": "fr"}
    return event("call.recording_ready", call_id, recording=media, transcript=words)


def bodies() -> list[tuple[str, bytes]]:
    """Slug and body: good ones, conflicts, and each way to be wrong with a canary at the place that is wrong."""
    good = [
        ("call-started", event("call.started", "c-1")),
        ("call-started", {**event("call.started", "c-1"), "call": call("c-1", direction="outbound")}),
        ("recording-ready", recorded("c-2")),
        ("recording-ready", recorded("c-2")),
        *(
            ("call-started", {**event("call.started", "c-13"), "call": call("c-13", **{side: f"sip:{canary}"})})
            for side in ("from", "to")  # without E.164 form: in the event's headers, and a conflict
            for canary in (f"{NUMBER}@example.org", CANARIES["e-mail"])
        ),
    ]
    wrong = [
        ("call-started", {**event("call.started", "c-3"), "call": call("c-3", direction=NUMBER)}),
        ("call-started", {**event("call.started", "c-4"), "call": call("c-4", to=f"tel:{NUMBER}")}),
        ("call-started", {**event("call.started", "c-5"), "timestamp": CANARIES["e-mail"]}),
        ("call-started", {**event("call.started", "c-6"), "event": CANARIES["transcript"]}),
        ("call-ended", {**event("call.ended", "c-7"), CANARIES["e-mail"]: NUMBER}),
        ("recording-ready", {**recorded("c-8"), "recording": {"id": "r", "url": [CANARIES["link"]]}}),
        ("call-started", {**event("call.started", "c-9"), "call": call("x" * 129 + NUMBER)}),
        ("call-started", {**event("call.started", "c-10"), "event_id": f"{NUMBER}\n{CANARIES['e-mail']}"}),
        ("call-started", [NUMBER, CANARIES["transcript"]]),
    ]
    broken = [
        ("call-started", orjson.dumps(recorded("c-11"))[:-9]),
        ("call-started", b'{"number": ' + NUMBER.encode() + b', "' + CANARIES["transcript"].encode() + b'": }'),
        ("call-started", CANARIES["e-mail"].encode() + b"\xff"),
    ]
    return [(slug, orjson.dumps(body)) for slug, body in (*good, *wrong)] + broken


@dataclass
class Running:
    ingress: Program
    processor: Program
    url: str
    collector: Collector


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as running:
        yield running


@pytest.fixture
async def running(programs: Programs, collector: Collector) -> Running:
    port = stable_port()
    ingress = programs.ingress(
        INGRESS_HOST="127.0.0.1",
        INGRESS_PORT=str(port),
        INGRESS_BEARER_TOKENS=f"three:{CANARIES['token']}",
        LOG_LEVEL="debug",
        **collector.environment,
    )
    processor = programs.processor(LOG_LEVEL="debug", **collector.environment)
    await ingress.ready()
    await processor.ready()
    return Running(ingress, processor, f"http://127.0.0.1:{port}", collector)


async def test_no_canary_is_seen_outside(place: Place, running: Running) -> None:
    answers = await send_everything(running.url)
    stored = await read_topic(place.bootstrap_servers, place.topics.raw)
    await processed(place, len(stored))
    seen = Seen(
        {
            "answers": "\n".join(answers),
            "the ingress's metrics": await running.ingress.metrics(),
            "the processor's metrics": await running.processor.metrics(),
            "the ingress's readiness": str(await running.ingress.readyz()),
            "the processor's readiness": str(await running.processor.readyz()),
        }
    )
    for program in (running.ingress, running.processor):
        assert await asyncio.to_thread(program.stop) == 0  # the collector must answer meanwhile
    seen.texts["the traces"] = running.collector.bytes_taken.decode(errors="replace")
    seen.texts["the ingress's log"] = running.ingress.log.read_text()
    seen.texts["the processor's log"] = running.processor.log.read_text()

    assert seen.leaks(CANARIES.values()) == []
    await assert_that_it_would_have_been_found(place, seen)


async def assert_that_it_would_have_been_found(place: Place, seen: Seen) -> None:
    """The canaries did go through: they are in the topics; and what was searched is really what was said."""
    topics = Seen({})
    for topic in (place.topics.raw, place.topics.call, place.topics.recording, place.topics.dead_letter):
        topics.texts[topic] = " ".join(
            str((r.value, r.headers)) for r in await read_topic(place.bootstrap_servers, topic)
        )
    inside = {leak.partition(" in ")[0] for leak in topics.leaks(CANARIES.values())}
    assert inside >= {CANARIES[name] for name in ("number", "transcript", "e-mail", "link", "name")}
    assert len(re.findall("webhook.answered", seen.texts["the ingress's log"])) >= len(bodies())
    for name in ("POST /wh/ringover/recording-ready", "process ", "call.recording_ready", "not_json"):
        assert name in seen.texts["the traces"], name
    for code in ("signature_wrong", "token_wrong", "not_found", "body_too_large", "not_json"):
        assert code in seen.texts["the ingress's log"], code
        assert code in seen.texts["the ingress's metrics"], code


async def send_everything(url: str) -> list[str]:
    """Post each body signed, by token, with wrong credentials, too large, elsewhere; every answer with its headers."""
    answers: list[str] = []
    async with aiohttp.ClientSession(headers={"X-Canary": CANARIES["in a header"]}) as session:

        async def post(path: str, body: bytes, **headers: str) -> None:
            sent = {"Content-Type": "application/json", **headers}
            async with session.post(f"{url}/{path}", data=io.BytesIO(body), headers=sent) as response:
                answers.append(f"{response.status} {dict(response.headers)} {await response.text()}")

        for slug, body in bodies():
            path = f"wh/ringover/{slug}"
            await post(path, body, **{"X-Ringover-Signature": signature(body)})
            await post(path, body, Authorization=f"Bearer {CANARIES['token']}")
            await post(path, body, Authorization=f"Bearer {CANARIES['wrong token']}")
            await post(path, body, **{"X-Ringover-Signature": CANARIES["wrong signature"]})
            await post(path, body, **{"X-Request-Id": NUMBER, "traceparent": CANARIES["e-mail"]})
        large = orjson.dumps({**recorded("c-12"), "more": "x" * 1024 * 1024})
        await post("wh/ringover/recording-ready", large, **{"X-Ringover-Signature": signature(large)})
        await post(f"wh/ringover/{CANARIES['in a path']}?mail={CANARIES['e-mail']}", b"{}")
        await post("wh/ringover/call-started", b"{}", **{"Content-Type": CANARIES["in a header"]})
    await send_what_is_not_http(url, answers)
    return answers


async def send_what_is_not_http(url: str, answers: list[str]) -> None:
    host, port = url.removeprefix("http://").split(":")
    for head in (
        f"POST /wh/ringover/{CANARIES['in a path']} HTTP/9.9",
        f"{NUMBER} {CANARIES['e-mail']}",
        f"POST / HTTP/1.1\r\nX {CANARIES['in a header']}: 1",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{head}\r\nHost: x\r\n\r\n".encode())
        answers.append((await asyncio.wait_for(reader.read(), 10)).decode())
        writer.close()
