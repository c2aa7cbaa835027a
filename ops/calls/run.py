"""Emits a call's events again in one Kafka transaction; commits no group's offsets."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced
from rich.table import Table

from ops.calls.plan import CallReplayPlan, ReplayedEvent, plan_replay
from ops.calls.read import read_timeline
from ops.calls.show import replay_tables
from ops.calls.timeline import counted
from ops.kit.change import Change
from ops.kit.errors import NotFoundError, OpsError, UnsafeError
from ops.kit.kafka import CLIENT_ID, kafka_errors
from ops.kit.progress import ShowProgress
from processors.kafka_output import require_known
from processors.settings import ProcessorSettings
from runtime.broker_errors import broker_words
from runtime.kafka import client_options, close_producer
from schemas.topics import MAX_OUTPUT_BYTES, TopicNames

START_SECONDS = 30.0
COMMIT_SECONDS = 20.0  # below the transaction's timeout, so that we give up before the broker does
TRANSACTION_TIMEOUT_MS = 30_000


class EmittedTo(NamedTuple):
    """Says where an event was written."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class EmittedEvents:
    """Tells where the plan's events were written, in the plan's order."""

    events: Sequence[EmittedTo]


class ReplayCall(Change[CallReplayPlan, EmittedEvents]):
    """Emits a call's events once more, byte for byte as every pass does, without moving any group."""

    def __init__(self, settings: ProcessorSettings, call_id: str, since: str, progress: ShowProgress) -> None:
        self._settings, self._call_id, self._since, self._progress = settings, call_id, since, progress

    async def plan(self) -> CallReplayPlan:
        timeline = await read_timeline(self._settings, self._call_id, self._since, self._progress)
        plan = plan_replay(timeline, TopicNames(self._settings.kafka_topic_prefix))
        if not plan.events and plan.refusal is None:
            why = "; ".join(plan.notes) or "nothing valid was received of it"
            raise NotFoundError(f"no event of call {plan.call_id} in the last {self._since}: {why}")
        return plan

    def refuse(self, plan: CallReplayPlan) -> None:
        if plan.refusal is not None:
            raise UnsafeError(plan.refusal)

    async def execute(self, plan: CallReplayPlan) -> EmittedEvents:
        """Write everything, in order, visible all at once.

        Raises:
            OpsError: nothing is visible to consumers; or, if the broker fell silent while committing, that is not
                known.
        """
        producer = AIOKafkaProducer(
            **client_options(self._settings, client_id=CLIENT_ID),
            transactional_id=f"{self._settings.processor_group}|replay",  # of no processor; keeps two replays apart
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            acks="all",
            max_request_size=MAX_OUTPUT_BYTES,
        )
        try:
            with kafka_errors(self._settings, transaction_ms=TRANSACTION_TIMEOUT_MS):
                async with asyncio.timeout(START_SECONDS):
                    await producer.start()
                return EmittedEvents(await _transaction(producer, plan.events))
        finally:
            await close_producer(producer)

    def tables(self, plan: CallReplayPlan) -> Iterable[Table]:
        return replay_tables(plan)

    def notes(self, plan: CallReplayPlan) -> Iterable[str]:
        return [] if plan.refusal else [f"note: {note}" for note in plan.notes]

    def done(self, plan: CallReplayPlan, result: EmittedEvents) -> str:
        return f"{counted(len(result.events), 'event')} of call {plan.call_id} emitted again"


async def _transaction(producer: AIOKafkaProducer, events: Sequence[ReplayedEvent]) -> list[EmittedTo]:
    try:
        async with asyncio.timeout(COMMIT_SECONDS):
            for event in events:
                await require_known(producer, TopicPartition(event.topic, event.partition))
            await producer.begin_transaction()
            sent = [
                await producer.send(
                    found.topic,
                    value=found.event.value,
                    key=found.event.key,
                    partition=found.partition,
                    timestamp_ms=found.timestamp_ms,
                    headers=found.event.headers,
                )
                for found in events
            ]
            # Every acknowledgement is awaited: the client would commit although a send failed.
            written = await asyncio.gather(*sent)
            await producer.commit_transaction()
    except (ProducerFenced, InvalidProducerEpoch) as error:
        raise OpsError("another replay of this group began meanwhile; nothing was emitted") from error
    except (TimeoutError, KafkaError, IllegalOperation) as error:
        # After any error the client's transaction is in no known state: it is abandoned, and the broker ends it.
        raise OpsError(
            f"Kafka did not confirm the transaction ({broker_words(error)}): `calls show` tells whether it was written"
        ) from error
    return [EmittedTo(place.topic, place.partition, place.offset) for place in written]
