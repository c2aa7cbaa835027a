"""Notes when each event came out, as a process: `python -m benchmarks.seen SERVERS COUNT FIRST OUT TOPIC...`.

Reads committed events from now on, says "ready" when it does, and ends after COUNT events or some silent seconds. Keys
before FIRST are of no matter: a warming up may still come out. OUT gets the moment (in seconds of the monotonic
clock) by record key.
"""

import json
import sys
from pathlib import Path
from time import monotonic

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

SILENT_SECONDS = 15.0
TIMEOUT_SECONDS = 30.0


def main(bootstrap_servers: str, count: int, first: str, out: Path, topics: list[str]) -> None:
    """Read, and write what was seen when."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "bench-seen",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    places = []
    for topic in topics:
        partitions = consumer.list_topics(topic, TIMEOUT_SECONDS).topics[topic].partitions
        # The end is looked up now: what is written from here on is seen.
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), TIMEOUT_SECONDS)[1] for p in partitions}
        places += [TopicPartition(topic, p, end if end >= 0 else OFFSET_END) for p, end in ends.items()]
    consumer.assign(places)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    seen: dict[str, float] = {}
    last = monotonic() + TIMEOUT_SECONDS  # for the first one
    while len(seen) < count and monotonic() < last + SILENT_SECONDS:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            last = monotonic()
            key = (message.key() or b"").decode()
            if key >= first:
                seen.setdefault(key, last)
    consumer.close()
    out.write_text(json.dumps(seen), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), sys.argv[5:])
