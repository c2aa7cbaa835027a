"""Through the real ingress and processor: whatever an authenticated sender posts is kept; nobody else gets in."""

from dataclasses import dataclass

import aiohttp
import orjson

from schemas.dead_letter import DeadLetter
from schemas.headers import REQUEST_ID, header
from tests.support.kafka import Webhook, read_topic
from tests.support.ports import stable_port
from tests.support.processes import Programs
from tests.support.signing import signature
from tests.support.traffic import ended, recording, started
from tests.support.verdict import Place, judge, processed

TOKEN = "a-token-of-the-tests"
STARTED = started("bad").body
ENDED = ended("bad").body
RECORDED = recording("bad", "r").body


def _with(body: bytes, path: str, value: object) -> bytes:
    """The body with one field replaced; `...` removes it."""
    document = orjson.loads(body)
    parent = document
    *way, name = path.split(".")
    for step in way:
        parent = parent[step]
    if value is ...:
        del parent[name]
    else:
        parent[name] = value
    return orjson.dumps(document)


@dataclass(frozen=True)
class Case:
    slug: str
    body: bytes
    code: str
    at_once: bool = False  # found by the ingress


CASES = {
    "not JSON": Case("call-started", b"not json", "not_json", at_once=True),
    "empty body": Case("call-started", b"", "not_json", at_once=True),
    "JSON array": Case("call-started", b"[1]", "not_an_object", at_once=True),
    "no call id": Case("call-started", _with(STARTED, "call.id", ...), "call_id_unusable", at_once=True),
    "no call": Case("call-started", _with(STARTED, "call", ...), "call_id_unusable", at_once=True),
    "call id a number": Case("call-started", _with(STARTED, "call.id", 7), "call_id_unusable", at_once=True),
    "call id empty": Case("call-started", _with(STARTED, "call.id", ""), "call_id_unusable", at_once=True),
    "call id of 10 kB": Case("call-started", _with(STARTED, "call.id", "x" * 10_000), "call_id_unusable", at_once=True),
    "call id with NUL": Case("call-started", _with(STARTED, "call.id", "a\0b"), "call_id_unusable", at_once=True),
    "lone surrogate": Case("call-started", STARTED.replace(b"q_1", b"\\ud800"), "not_json", at_once=True),
    "bad UTF-8": Case("call-started", STARTED.replace(b"q_1", b"\xff\xfe"), "not_json", at_once=True),
    "depth 5000": Case(
        "call-started", STARTED[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}", "not_json", at_once=True
    ),
    "depth 1000": Case("call-started", STARTED[:-1] + b',"x":' + b"[" * 1000 + b"]" * 1000 + b"}", "too_deep"),
    "duration 2^64": Case("call-ended", ENDED.replace(b'sec":60', b'sec":18446744073709551616'), "field_wrong_type"),
    "duration 2^63": Case("call-ended", ENDED.replace(b'sec":60', b'sec":9223372036854775808'), "field_invalid"),
    "negative duration": Case("call-ended", _with(ENDED, "call.duration_sec", -1), "field_invalid"),
    "duration a string": Case("call-ended", _with(ENDED, "call.duration_sec", "60"), "field_wrong_type"),
    "invalid number": Case("call-started", _with(STARTED, "call.to", "0189000000"), "number_invalid"),
    "event of another endpoint": Case("call-started", ENDED, "event_mismatch"),
    "unknown event": Case("call-started", _with(STARTED, "event", "call.parked"), "event_unknown"),
    "missing event": Case("call-started", _with(STARTED, "event", ...), "field_missing"),
    "missing field": Case("call-ended", _with(ENDED, "call.disposition", ...), "field_missing"),
    "missing recording": Case("recording-ready", _with(RECORDED, "recording", ...), "field_missing"),
    "agent a string": Case("call-started", _with(STARTED, "call.agent", "x"), "field_wrong_type"),
    "bad timestamp": Case("call-started", _with(STARTED, "timestamp", "2026-01-02 15:00"), "timestamp_invalid"),
    "timestamp a number": Case("call-started", _with(STARTED, "timestamp", 1767366000), "field_wrong_type"),
}


async def test_every_kind_of_bad_body_becomes_a_dead_letter_and_the_processor_goes_on(
    place: Place, programs: Programs
) -> None:
    port = stable_port()
    await programs.ingress(INGRESS_PORT=str(port)).ready()
    await programs.processor().ready()
    asked = {}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for name, case in CASES.items():
            status, answer = await _post(session, Webhook(case.slug, "bad", case.body))
            assert (status, answer["status"]) == (202, "dead_lettered" if case.at_once else "accepted"), name
            asked[answer["request_id"]] = name
        repeated = STARTED.replace(b'"call":', b'"call":{"id":"other"},"call":')  # repeated keys: the last wins
        good = [started("good"), ended("good"), recording("good", "r"), Webhook("call-started", "bad", repeated)]
        for webhook in good:
            assert (await _post(session, webhook))[0] == 202
    await processed(place, len(good) + sum(not case.at_once for case in CASES.values()))

    model = await judge(place)
    assert [event.key for event in model.events].count(b"good") == 3
    assert [event.key for event in model.events].count(b"bad") == 1
    dead = await read_topic(place.bootstrap_servers, place.topics.dead_letter)
    found = {}
    for record in dead:
        name = asked[(header(record.headers, REQUEST_ID) or b"").decode()]
        reason = DeadLetter.decode(record.headers).reason
        found[name] = (record.value, reason.code.value)
        assert len(reason.message) > 10, name
    assert found == {name: (case.body, case.code) for name, case in CASES.items()}


async def test_nothing_unauthenticated_is_stored(place: Place, programs: Programs) -> None:
    port = stable_port()
    await programs.ingress(INGRESS_PORT=str(port), INGRESS_BEARER_TOKENS=f"t:{TOKEN}").ready()
    right, wrong = signature(STARTED), signature(STARTED + b" ")
    name, bearer = "X-Ringover-Signature", f"Bearer {TOKEN}"
    refused: dict[str, list[tuple[str, str]]] = {
        "no credentials": [],
        "signature of another body": [(name, wrong)],
        "not a signature": [(name, "é" * 32)],
        "empty signature": [(name, "")],
        "wrong token": [("Authorization", "Bearer nobody")],
        "another scheme": [("Authorization", f"Basic {TOKEN}")],
        "repeated signature": [(name, right), (name, right)],
        "repeated authorization": [("Authorization", bearer), ("Authorization", bearer)],
        "wrong signature beside a right token": [(name, wrong), ("Authorization", bearer)],
    }
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for case, headers in refused.items():
            json = [("Content-Type", "application/json"), *headers]
            async with session.post("/wh/ringover/call-started", data=STARTED, headers=json) as response:
                problem = await response.json(content_type="application/problem+json")
                assert (response.status, problem["status"]) == (401, 401), case
                assert response.headers["WWW-Authenticate"] == "Bearer", case
        for proof in ({name: f"sha256={right.upper()}"}, {"Authorization": f"bEARER {TOKEN}"}):
            json_headers = {"Content-Type": "application/json", **proof}
            async with session.post("/wh/ringover/call-started", data=STARTED, headers=json_headers) as response:
                assert response.status == 202

    assert len(await read_topic(place.bootstrap_servers, place.topics.raw)) == 2
    assert await read_topic(place.bootstrap_servers, place.topics.dead_letter) == []


async def _post(session: aiohttp.ClientSession, webhook: Webhook) -> tuple[int, dict[str, str]]:
    headers = {"Content-Type": "application/json", "X-Ringover-Signature": signature(webhook.body)}
    async with session.post(f"/wh/ringover/{webhook.slug}", data=webhook.body, headers=headers) as response:
        return response.status, await response.json()
