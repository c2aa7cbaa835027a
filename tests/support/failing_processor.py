"""The real processor, of which one partition fails for as long as a file exists.

FAILING_PARTITION: its number. FAILING_FILE: the file. FAILING_STEP: `start` (of a takeover) or `commit` (of events)
raise what is expected of them; `record` (each one, when it is judged), `claim` and `cancelled` what nobody expects, and
what quotes the record; `probe` and `member` raise beside the partitions. It tries again, and looks at the lag and at
the topics, more often than the real one.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition

from processors import member, pipeline, service, standstill
from processors.kafka_output import KafkaOutput, OffsetPlace
from processors.model import Claim, Owners, RawRecord, Verdict, Written
from processors.normalize import normalize as judge
from processors.pause import PauseSwitch
from processors.postgres_state import PartitionState
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


def fails(number: int, step: str) -> bool:
    return step == STEP and number == PARTITION and FILE.exists()


def install() -> None:
    """Put the unexpected where no constructor argument reaches."""
    claim_all = PartitionState.claim

    def normalize(record: RawRecord, *, source: str) -> Verdict:
        if fails(int(source.rpartition("/")[2]), "record"):
            raise UnicodeEncodeError("latin-1", (record.key or b"").decode(), 0, 1, "ordinal not in range(256)")
        if fails(int(source.rpartition("/")[2]), "cancelled"):
            raise asyncio.CancelledError
        return judge(record, source=source)

    async def claim(
        self: PartitionState, first: int, next_offset: int, claims: Sequence[Claim], **options: Any
    ) -> Owners:
        if claims and fails(self._partition, "claim"):
            raise KeyError(claims[0].key)
        return await claim_all(self, first, next_offset, claims, **options)

    def beside(step: str, original: Any) -> Any:
        async def work(*arguments: Any) -> Any:
            if fails(PARTITION, step):
                raise AssertionError("of the test")
            return await original(*arguments)

        return work

    PauseSwitch._look = beside("probe", PauseSwitch._look)  # type: ignore[method-assign]
    service.ProcessorService._sample_lag = beside(  # type: ignore[method-assign]
        "probe", service.ProcessorService._sample_lag
    )
    member.Member._poll = beside("member", member.Member._poll)  # type: ignore[method-assign]
    pipeline.normalize = normalize  # type: ignore[attr-defined]
    PartitionState.claim = claim  # type: ignore[method-assign]


def main() -> None:
    settings = load(ProcessorSettings)
    logs.configure(service="processor", level=settings.log_level, style=settings.log_format)
    member.RETRY_SECONDS = (0.2, 0.4)
    kafka.METADATA_MAX_AGE_MS = 1000
    member.STANDSTILL_SECONDS = 0.4
    service.PROBE_EVERY_SECONDS = 0.5
    standstill.TELL_EVERY_SECONDS = 0.5
    install()
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
