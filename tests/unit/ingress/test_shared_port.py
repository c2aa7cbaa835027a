"""A port that several ingresses share: who may have it, and how one leaves it without a connection reset."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from ingress.http.shared_port import listening, refuse_new
from runtime.admin import AddressInUseError
from tests.unit.ingress.serving import BODY, serving, signed_head

HOST = "127.0.0.1"
CONNECTIONS = 16  # of the senders; that all meet the same of two listeners happens once in 32,768 runs
SECONDS = 20.0


@pytest.fixture
def senders() -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    yield opened
    for one in opened:
        one.close()


async def test_connections_that_wait_when_an_ingress_leaves_are_answered(senders: list[socket.socket]) -> None:
    request = signed_head(BODY, f"Content-Length: {len(BODY)}") + BODY
    async with serving(shares_port=True) as server:
        for _ in range(CONNECTIONS):  # the loop does not run meanwhile, so the kernel keeps them
            senders.append(socket.create_connection((HOST, server.port)))
            senders[-1].sendall(request)

    for sender in senders:
        sender.settimeout(SECONDS)
        assert sender.recv(1000).startswith(b"HTTP/1.1 202 ")


async def test_connections_that_arrive_while_an_ingress_leaves_are_those_of_another(
    senders: list[socket.socket],
) -> None:
    [leaving] = listening(HOST, 0, backlog=CONNECTIONS)
    [staying] = listening(HOST, leaving.getsockname()[1], backlog=CONNECTIONS)
    refuse_new(leaving)
    loop = asyncio.get_running_loop()
    with staying:
        connects = []
        for _ in range(CONNECTIONS):
            senders.append(socket.socket())
            senders[-1].setblocking(False)
            connects.append(asyncio.ensure_future(loop.sock_connect(senders[-1], staying.getsockname())))
        await asyncio.sleep(0)  # each has sent its first packet
        leaving.close()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*connects)

        staying.setblocking(False)
        accepted = [staying.accept()[0] for _ in range(CONNECTIONS)]
    for one in accepted:
        one.close()


def test_port_of_a_process_without_the_setting_is_refused() -> None:
    with socket.create_server((HOST, 0)) as alone:
        port = alone.getsockname()[1]

        with pytest.raises(AddressInUseError, match=f"cannot listen on {HOST}:{port}"):
            listening(HOST, port, backlog=1)


def test_shared_port_is_refused_to_a_process_without_the_setting() -> None:
    [sharing] = listening(HOST, 0, backlog=1)

    with sharing, pytest.raises(OSError, match="in use"):
        socket.create_server(sharing.getsockname())
