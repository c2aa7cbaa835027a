"""How soon a producer tries again while the markers of its last transaction are being written."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import ConcurrentTransactions, CoordinatorLoadInProgressError
from aiokafka.producer.sender import AddOffsetsToTxnHandler, AddPartitionsToTxnHandler, Sender
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.structs import TopicPartition

from runtime import aiokafka_fixes

DEFAULT_SECONDS = 0.1
FIRST = TopicPartition("t", 0)


def sender() -> Sender:
    return Sender(
        None,
        acks=-1,
        txn_manager=TransactionManager("id", 1000),
        message_accumulator=None,
        retry_backoff_ms=DEFAULT_SECONDS * 1000,
        request_timeout_ms=1000,
    )


async def partitions_answer(code: int) -> tuple[Any, Any]:
    response = SimpleNamespace(errors=[("t", [(0, code)])])
    return AddPartitionsToTxnHandler(sender(), {FIRST}), response


async def offsets_answer(code: int) -> tuple[Any, Any]:
    return AddOffsetsToTxnHandler(sender(), "group"), SimpleNamespace(error_code=code)


@pytest.mark.parametrize(("answer", "theirs"), [(partitions_answer, 0.02), (offsets_answer, DEFAULT_SECONDS)])
async def test_markers_that_are_not_written_yet_are_asked_for_again_soon(answer: Any, theirs: float) -> None:
    """The second line pins what the client does by itself: when it fails, the patch may be needless."""
    aiokafka_fixes.apply()
    aiokafka_fixes.apply()
    handler, response = await answer(ConcurrentTransactions.errno)

    assert type(handler).handle_response.__wrapped__(handler, response) == theirs
    assert handler.handle_response(response) == aiokafka_fixes.MARKERS_SECONDS


@pytest.mark.parametrize("answer", [partitions_answer, offsets_answer])
async def test_a_coordinator_that_has_other_reasons_is_left_alone_for_longer(answer: Any) -> None:
    aiokafka_fixes.apply()
    handler, response = await answer(CoordinatorLoadInProgressError.errno)

    assert handler.handle_response(response) == DEFAULT_SECONDS
