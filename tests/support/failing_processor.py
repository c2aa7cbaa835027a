"""The real processor, of which one partition fails for as long as a file exists.

FAILING_PARTITION: its number. FAILING_STEP: `start` (of a takeover) or `commit` (of events). FAILING_FILE: the file.
It tries again, and looks at the lag and at the topics, more often than the real one.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiokafka import TopicPartition

from processors import member, service
from processors.kafka_output import KafkaOutput, OffsetPlace
from processors.model import Written
from processors.settings import ProcessorSettings
from runtime import kafka, lifecycle, logs
from runtime.errors import PublishError
from runtime.kafka import client_options
from runtime.settings import load

PARTITION = int(os.environ.get("FAILING_PARTITION", "0"))
STEP = os.environ.get("FAILING_STEP", "")
FILE = Path(os.environ.get("FAILING_FILE", ""))


class FailingOutput(KafkaOutput):
    fails = False

    async def start(self) -> None:
        await super().start()
        self._fail("start")

    async def commit(self, records: Mapping[str, Sequence[Written]], next_offset: int) -> None:
        if records:
            self._fail("commit")
        await super().commit(records, next_offset)

    def _fail(self, step: str) -> None:
        if self.fails and step == STEP and FILE.exists():
            raise PublishError("of the test")


def main() -> None:
    settings = load(ProcessorSettings)
    logs.configure(service="processor", level=settings.log_level, style=settings.log_format)
    member.RETRY_SECONDS = (0.2, 0.4)
    kafka.METADATA_MAX_AGE_MS = 1000
    service.PROBE_EVERY_SECONDS = 0.5
    options = client_options(settings, client_id="failing-processor")

    def make_output(source: TopicPartition, place: OffsetPlace) -> FailingOutput:
        output = FailingOutput(options, group=settings.processor_group, source=source, place=place)
        output.fails = source.partition == PARTITION
        return output

    async def run(stop: lifecycle.Stop) -> None:
        await service.ProcessorService(settings, make_output=make_output).run(stop)

    sys.exit(lifecycle.run(run))


if __name__ == "__main__":
    main()
