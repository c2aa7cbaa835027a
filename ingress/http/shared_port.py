"""Shares the webhooks' port with other processes (SO_REUSEPORT), and leaves it without a reset.

The kernel deals new connections to all sockets that listen on a port, and resets those that wait at one when it is
closed. So a socket that leaves is first told to drop the first packet (SYN) of each connection: the sender's kernel
repeats it after a second, and then another process gets it.
"""

import asyncio
import ctypes
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress

from runtime.admin import cannot_listen

# For handshakes under way to end and be accepted. Well below the second after which a SYN is repeated.
SETTLE_SECONDS = 0.5
LOOK_SECONDS = 0.01
GIVE_UP_SECONDS = 5.0

_SO_ATTACH_FILTER = 26  # socket(7); Python has no name for it
_UNACKED = slice(24, 28)  # of `struct tcp_info`: of a listening socket, the connections that wait to be accepted
# Classic BPF over the TCP header: its flags are byte 13, SYN is 2 of them. (code, jump if true, if false, operand)
_DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF_FFFF))


def listening(host: str, port: int, *, backlog: int) -> list[socket.socket]:
    """Listen on each address of the host, beside other processes that do so with the same setting.

    Raises:
        AddressInUseError: a process without the setting has the port, or the host is not ours.
    """
    opened: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            opened.append(socket.create_server(address, family=family, backlog=backlog, reuse_port=True))
    except OSError as error:
        for one in opened:
            one.close()
        raise cannot_listen(host, port, error) from error
    return opened


async def leave(listeners: Sequence[socket.socket]) -> None:
    """Return when nothing waits to be accepted any more and nothing new comes, after `GIVE_UP_SECONDS` at the latest.

    Elsewhere than on Linux it returns at once: there is no such filter.
    """
    if sys.platform != "linux":
        return
    for listener in listeners:
        refuse_new(listener)
    with suppress(TimeoutError):
        async with asyncio.timeout(GIVE_UP_SECONDS):
            await asyncio.sleep(SETTLE_SECONDS)
            while any(_waiting(listener) for listener in listeners):  # noqa: ASYNC110 - only the kernel knows
                await asyncio.sleep(LOOK_SECONDS)


def refuse_new(listener: socket.socket) -> None:
    """Drop the packets that open connections; handshakes under way are finished."""
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
    program = struct.pack("HL", len(_DROP_SYN), ctypes.addressof(steps))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _waiting(listener: socket.socket) -> int:
    return int.from_bytes(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[_UNACKED], sys.byteorder)
