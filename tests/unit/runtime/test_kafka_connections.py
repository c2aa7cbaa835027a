"""A connection that breaks between two writes: the client must meet the error that it handles, on the loop we run."""

import asyncio
import struct

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from runtime import aiokafka_fixes
from sandbox.devstack.ports import HOST

NO_VERSIONS = struct.pack(">ihi", 1, 0, 0)  # correlation id, no error, an empty list (ApiVersions v0)


async def _answer_versions(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    await reader.readexactly(size)
    writer.write(struct.pack(">i", len(NO_VERSIONS)) + NO_VERSIONS)
    await reader.read()
    writer.close()


async def _write_after_a_break() -> None:
    server = await asyncio.start_server(_answer_versions, HOST, 0)
    async with server:
        connection = AIOKafkaConnection(HOST, server.sockets[0].getsockname()[1])
        await connection.connect()
        try:
            connection._writer.transport.abort()
            await connection._closed_fut  # the transport is closed now; the client finds out a moment later
            await connection.send(ApiVersionRequest())
        finally:
            connection.close()


def test_writing_to_a_broken_connection_is_a_kafka_error() -> None:
    aiokafka_fixes.apply()
    aiokafka_fixes.apply()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(KafkaConnectionError):
        runner.run(_write_after_a_break())
