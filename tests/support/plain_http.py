"""HTTP by hand: a client library takes more of a busy machine than the ingress does."""

import asyncio
import re

from tests.support.kafka import Webhook
from tests.support.signing import signature

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class UnreachableError(OSError):
    """No connection could be opened, so nothing was sent."""


class Connections:
    """Keep-alive connections to one address, as many as there are requests at once.

    One that the server closed while it was idle is not used again. What was sent is never sent a second time.
    Unless they are `kept`, each request has a connection of its own.
    """

    def __init__(self, host: str, port: int, *, kept: bool = True) -> None:
        self._address = (host, port)
        self._kept = kept
        self._idle: list[Connection] = []

    async def post(self, webhook: Webhook) -> str:
        """The head of the answer; see `exchange`."""
        return (await self.exchange(webhook))[0]

    async def exchange(self, webhook: Webhook) -> tuple[str, bytes]:
        """Head and body of the answer.

        Raises:
            UnreachableError: nothing was sent.
            OSError, asyncio.IncompleteReadError: it was sent, and not answered.
        """
        reader, writer = await self._connection()
        writer.write(
            f"POST /wh/ringover/{webhook.slug} HTTP/1.1\r\nHost: ingress\r\nContent-Type: application/json\r\n"
            f"X-Ringover-Signature: {signature(webhook.body)}\r\nContent-Length: {len(webhook.body)}\r\n\r\n".encode()
            + webhook.body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
        assert length is not None, head
        body = await reader.readexactly(int(length[1]))
        if not self._kept or re.search(r"\r\nconnection: close\r\n", head, re.IGNORECASE):
            writer.close()
        else:
            self._idle.append((reader, writer))
        return head, body

    def close(self) -> None:
        """Close what is idle."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def _connection(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and reader.exception() is None:
                return reader, writer
            writer.close()
        try:
            return await asyncio.open_connection(*self._address)
        except OSError as error:
            raise UnreachableError(*error.args) from error
