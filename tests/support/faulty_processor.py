"""The real processor with a fault built in: it signals itself at a named point of its cycle.

FAULT_POINT: `claimed` (before the transaction), `sent` (all but the end of the transaction is done), `committed`.
FAULT_SIGNAL: KILL or STOP. FAULT_AT: at the how manyth transaction that has records, counted over all partitions.
"""

import itertools
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition

from processors.kafka_output import KafkaOutput
from processors.model import Record
from processors.service import ProcessorService
from processors.settings import ProcessorSettings
from runtime import lifecycle, logs
from runtime.kafka import client_options
from runtime.settings import load

POINT = os.environ["FAULT_POINT"]
SIGNAL = signal.Signals[f"SIG{os.environ['FAULT_SIGNAL']}"]
AT = int(os.environ.get("FAULT_AT", "1"))

transactions = itertools.count(1)


def fault(point: str, number: int) -> None:
    if point == POINT and number == AT:
        os.kill(os.getpid(), SIGNAL)


class FaultyOutput(KafkaOutput):
    async def commit(self, records: Mapping[str, Sequence[Record]], next_offset: int) -> None:
        if not records:
            await super().commit(records, next_offset)
            return
        number = next(transactions)
        commit_transaction = self._producer.commit_transaction

        async def faulty_commit() -> None:
            fault("sent", number)
            await commit_transaction()

        self._producer.commit_transaction = faulty_commit
        fault("claimed", number)
        await super().commit(records, next_offset)
        fault("committed", number)
        self._producer.commit_transaction = commit_transaction


def main() -> None:
    settings = load(ProcessorSettings)
    logs.configure(service="processor", level=settings.log_level, style=settings.log_format)
    options = client_options(settings, client_id="faulty-processor")

    def make_output(source: TopicPartition) -> FaultyOutput:
        return FaultyOutput(options, group=settings.processor_group, source=source)

    async def run(stop: lifecycle.Stop) -> None:
        await ProcessorService(settings, make_output=make_output).run(stop)

    sys.exit(lifecycle.run(run))


if __name__ == "__main__":
    main()
