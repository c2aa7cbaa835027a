"""An independent client (librdkafka) reads the normalized topics and finds the specification's objects."""

import json
from importlib import resources

from confluent_kafka import Consumer, Message

from schemas.events import ENDPOINTS
from tests.support.kafka import Webhook, store
from tests.support.processes import Programs
from tests.support.verdict import Place, processed

NORMALIZED = {
    "call-started": b'{"call_id":"ro_call_123","direction":"inbound","from_e164":"+33601020304",'
    b'"to_e164":"+33189000000","queue_id":"ro_queue_1","agent_ref":"ro_agent_77"}',
    "call-ended": b'{"call_id":"ro_call_123","duration_sec":312,"hangup_cause":"normal_clearing",'
    b'"disposition":"answered"}',
    "recording-ready": b'{"call_id":"ro_call_123","recording_id":"ro_rec_555",'
    b'"recording_url":"https://provider.example/recordings/ro_rec_555.mp3",'
    b'"transcript_text":"Bonjour, je souhaite prendre rendez-vous...","transcript_lang":"fr"}',
}


async def test_the_specifications_webhooks_come_out_as_its_objects(place: Place, programs: Programs) -> None:
    examples = resources.files("schemas") / "examples"
    bodies = [(slug, (examples / slug / "specification.json").read_bytes()) for slug in ENDPOINTS]
    webhooks = [Webhook(slug, "ro_call_123", body) for slug, body in bodies]
    count = await store(place.bootstrap_servers, place.topics.raw, [*webhooks, *webhooks])
    programs.processor()
    await processed(place, count)

    found = _read(place, [place.topics.call, place.topics.recording], 3)

    assert [value for _, value, _ in found] == list(NORMALIZED.values())
    assert {key for key, _, _ in found} == {b"ro_call_123"}
    started = found[0][2]
    assert json.loads(found[0][1])["agent_ref"] == "ro_agent_77"
    assert started["ce_type"] == b"call.started"
    assert started["ce_idempotencykey"] == b"ringover:call.started:ro_call_123"
    assert started["ce_id"] == b"32bc8aa445ca3061b3158389eb3138f89958f18d171bf1f0a26e212f3ec8dc06"


def _plain(message: Message) -> tuple[bytes, bytes, dict[str, bytes]]:
    key, value, headers = message.key(), message.value(), message.headers()
    assert isinstance(key, bytes)
    assert isinstance(value, bytes)
    assert isinstance(headers, list)
    return key, value, {name: text for name, text in headers if isinstance(text, bytes)}


def _read(place: Place, topics: list[str], count: int) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
    """The first `count` records of each topic in turn, and the proof that no more follow."""
    found = []
    for topic in topics:
        consumer = Consumer(
            {
                "bootstrap.servers": place.bootstrap_servers,
                "group.id": f"{topic}-reader",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )
        consumer.subscribe([topic])
        ended: set[int] = set()
        while len(ended) < 3:
            message = consumer.poll(10)
            assert message is not None, "the broker does not answer"
            if message.error():
                ended.add(message.partition() or 0)
            else:
                found.append(_plain(message))
        consumer.close()
    assert len(found) == count
    return found
