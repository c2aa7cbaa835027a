"""The real processor with a fault built in: it signals itself at a named point of its cycle.

FAULT_POINT, one of POINTS. FAULT_SIGNAL: KILL or STOP. FAULT_AT: when the point is passed for the how manyth time,
counted over all partitions; transactions without records do not count.
"""

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.transaction import EndTxnRequest

from processors import member, postgres_state
from processors.kafka_log import KafkaLog
from processors.kafka_output import KafkaOutput, OffsetPlace
from processors.member import Member
from processors.model import RawRecord, Written
from processors.service import ProcessorService
from processors.settings import ProcessorSettings
from runtime import lifecycle, logs
from runtime.kafka import client_options
from runtime.settings import load

POINTS = {
    "revoked": "the group takes partitions away, nothing is finished yet",
    "initialized": "the transactional id is taken over, the committed offset not read yet",
    "fetched": "records are here, nothing is done with them",
    "claim_sent": "the claims are on their way, the answer is not used",
    "claimed": "all is decided, before the transaction",
    "begun": "a transaction without anything in it",
    "first_send": "the first batch is handed to the client",
    "all_acks": "all batches are acknowledged",
    "sent": "the offsets, too: all but the end of the transaction is done",
    "end_txn_sent": "the end is on its way, the answer is not used",
    "committed": "after the transaction",
}
ON_ITS_WAY_SECONDS = 0.005  # what was written has left the process by then

POINT = os.environ.get("FAULT_POINT", "")
SIGNAL = signal.Signals[f"SIG{os.environ.get('FAULT_SIGNAL', 'KILL')}"]
AT = int(os.environ.get("FAULT_AT", "1"))

passed = itertools.count(1)

Answer = TypeVar("Answer")


def fault(point: str) -> None:
    if point == POINT and next(passed) == AT:
        os.kill(os.getpid(), SIGNAL)


async def unanswered(point: str, answer: Coroutine[Any, Any, Answer]) -> Answer:
    """Faults while the request is under way or its answer unread."""
    if point != POINT:
        return await answer
    asking = asyncio.ensure_future(answer)
    await asyncio.sleep(ON_ITS_WAY_SECONDS)
    fault(point)
    return await asking


class FaultyOutput(KafkaOutput):
    async def start(self) -> None:
        await super().start()
        fault("initialized")

    async def commit(self, records: Mapping[str, Sequence[Written]], next_offset: int) -> None:
        if not records:
            await super().commit(records, next_offset)
            return
        fault("claimed")
        own = self._producer
        self._producer = _FaultyProducer(own)
        try:
            await super().commit(records, next_offset)
        finally:
            self._producer = own
        fault("committed")


class _FaultyProducer:
    """The producer during one transaction with records."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._sent = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    async def begin_transaction(self) -> None:
        await self._producer.begin_transaction()
        fault("begun")

    async def send_batch(self, *arguments: Any, **more: Any) -> Any:
        acknowledgement = await self._producer.send_batch(*arguments, **more)
        if not self._sent:
            self._sent = True
            fault("first_send")
        return acknowledgement

    async def send_offsets_to_transaction(self, *arguments: Any) -> None:
        fault("all_acks")
        await self._producer.send_offsets_to_transaction(*arguments)

    async def commit_transaction(self) -> None:
        fault("sent")
        await self._producer.commit_transaction()


class FaultyLog(KafkaLog):
    async def fetch(self, max_records: int, *, wait: bool = True) -> Sequence[RawRecord]:
        records = await super().fetch(max_records, wait=wait)
        if records:
            fault("fetched")
        return records


def install() -> None:
    """Put the points where no constructor argument reaches."""
    member.KafkaLog = FaultyLog  # type: ignore[attr-defined]
    let_go, run_statement, send = Member.on_partitions_revoked, postgres_state._run, AIOKafkaConnection.send

    async def on_revoked(self: Member, revoked: list[TopicPartition]) -> None:
        if revoked:
            fault("revoked")
        await let_go(self, revoked)

    async def run(connection: Any, query: str, parameters: Mapping[str, object]) -> Any:
        point = "claim_sent" if query == "claim" and parameters["keys"] else ""
        return await unanswered(point, run_statement(connection, query, parameters))

    def write(connection: Any, request: Any, expect_response: bool = True) -> Any:
        answer = send(connection, request, expect_response)
        return unanswered("end_txn_sent", answer) if isinstance(request, EndTxnRequest) else answer

    Member.on_partitions_revoked = on_revoked  # type: ignore[method-assign]
    postgres_state._run = run
    AIOKafkaConnection.send = write


def main() -> None:
    assert POINT in POINTS, f"FAULT_POINT must be one of {', '.join(POINTS)}"
    settings = load(ProcessorSettings)
    logs.configure(service="processor", level=settings.log_level, style=settings.log_format)
    options = client_options(settings, client_id="faulty-processor")
    install()

    def make_output(source: TopicPartition, place: OffsetPlace) -> FaultyOutput:
        return FaultyOutput(options, group=settings.processor_group, source=source, place=place)

    async def run(stop: lifecycle.Stop) -> None:
        await ProcessorService(settings, make_output=make_output).run(stop)

    sys.exit(lifecycle.run(run))


if __name__ == "__main__":
    main()
