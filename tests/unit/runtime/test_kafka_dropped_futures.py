"""What the client drops is no error of ours; what anybody else drops is."""

import asyncio
import gc
import logging
import socket

import pytest
import uvloop
from aiokafka.errors import KafkaConnectionError

from runtime.kafka import quiet_dropped_futures


async def _drop(error: Exception) -> None:
    loop = asyncio.get_running_loop()
    quiet_dropped_futures(loop)
    loop.create_future().set_exception(error)
    gc.collect()


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (KafkaConnectionError("away"), 0),
        (socket.gaierror(socket.EAI_NONAME, "the name of a stopped container"), 0),
        (ValueError("a bug"), 1),
    ],
    ids=["client", "lookup", "other"],
)
def test_only_what_nobody_foresees_is_an_error(error: Exception, logged: int, caplog: pytest.LogCaptureFixture) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_drop(error))

    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == logged
