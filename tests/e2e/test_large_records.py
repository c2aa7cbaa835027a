"""Raw records that the ingress never writes: as large as the topic takes, and larger ones in compressed batches."""

from aiokafka import AIOKafkaProducer

from schemas.dead_letter import DeadLetter
from schemas.topics import MAX_MESSAGE_BYTES
from tests.support.kafka import Webhook, producer, raw_headers, read_topic, store
from tests.support.processes import Programs
from tests.support.traffic import ended, recording
from tests.support.verdict import Place, judge, processed

HEAD_BYTES = 100  # of a batch with one record, about; a test that the broker refuses says by how much


async def write(client: AIOKafkaProducer, topic: str, webhook: Webhook) -> None:
    key = webhook.key.encode()
    await client.send_and_wait(topic, webhook.body, key, partition=0, headers=raw_headers(webhook.slug))


def as_large_as_raw_takes(webhook: Webhook, placeholder: bytes) -> Webhook:
    around = sum(len(name) + len(value) + 4 for name, value in raw_headers(webhook.slug)) + len(webhook.key)
    room = MAX_MESSAGE_BYTES - HEAD_BYTES - around - len(webhook.body)
    return Webhook(webhook.slug, webhook.key, webhook.body.replace(placeholder, placeholder + b"x" * room))


async def test_largest_raw_records_become_events_and_dead_letters(place: Place, programs: Programs) -> None:
    garbage = Webhook("call-ended", "large", b'{"garbage')
    long_url = recording("large", "r")
    async with producer(place.bootstrap_servers) as client:
        for webhook in (
            ended("before"),
            as_large_as_raw_takes(garbage, b"garbage"),
            as_large_as_raw_takes(long_url, b"provider.example/"),
            ended("after"),
        ):
            await write(client, place.topics.raw, webhook)

    programs.processor()
    await processed(place, 4)

    model = await judge(place)
    assert (len(model.events), len(model.dead_letters)) == (3, 1)


async def test_record_that_only_compression_makes_fit_does_not_stop_its_partition(
    place: Place, programs: Programs
) -> None:
    body = b'{"event":"call.ended","x":"' + b"x" * (4 * MAX_MESSAGE_BYTES) + b'"}'
    client = AIOKafkaProducer(
        bootstrap_servers=place.bootstrap_servers, compression_type="gzip", max_request_size=16 * 1024 * 1024
    )
    await client.start()
    long_url = recording("large", "r")
    huge = Webhook(long_url.slug, "large", long_url.body.replace(b"https://", b"https://" + b"x" * len(body)))
    await write(client, place.topics.raw, Webhook("call-ended", "large", body))
    await write(client, place.topics.raw, huge)
    await client.stop()
    await store(place.bootstrap_servers, place.topics.raw, [ended("after")])

    programs.processor()
    await processed(place, 3)

    assert len(await read_topic(place.bootstrap_servers, place.topics.call)) == 1
    dead = await read_topic(place.bootstrap_servers, place.topics.dead_letter)
    assert [(record.key, record.value) for record in dead] == [(b"large", None), (b"large", None)]
    reasons = [DeadLetter.decode(record.headers) for record in dead]
    assert [letter.reason.code for letter in reasons] == ["field_missing", "too_large"]
    assert [letter.origin.offset for letter in reasons if letter.origin] == [0, 1]
    assert all("see the raw record" in letter.reason.message for letter in reasons)
