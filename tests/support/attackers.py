"""Hostile senders as a process of their own: `python -m tests.support.attackers KIND HOST PORT COUNT`.

Says `ready` when all are at work, goes on until its standard input ends (or a minute), and says what was answered.
"""

import asyncio
import json
import os
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle

import uvloop

from runtime.lifecycle import raise_open_files
from tests.unit.ingress.serving import BODY, signed_head

LONGEST_SECONDS = 60
DRIP_SECONDS = 1.0
LARGE = b'{"event":"call.started","call":{"id":"large"},"x":[' + b"1234567," * 131_000 + b"0]}"
FORGED = signed_head(BODY + b" ", f"Content-Length: {len(BODY)}") + BODY
HEAD = b"POST /nowhere HTTP/1.1\r\nHost: x\r\n"

# What a sender says first; then it sends a byte now and then.
DRIPPING = {
    "heads": (b"", HEAD, HEAD + b"".join(b"a%d:\r\n" % n for n in range(60)) + b"b:"),
    "bodies": (signed_head(BODY, "Content-Length: 1000000") + b"{" + b" " * 40_000,),
}
PIPELINED = (HEAD + b"Content-Length: 0\r\n\r\n") * 1000
REPEATED = {"forged": FORGED, "large": signed_head(LARGE, f"Content-Length: {len(LARGE)}") + LARGE}


def drip(address: tuple[str, int], count: int, openings: tuple[bytes, ...], stopped: Callable[[], bool]) -> None:
    """Keep `count` connections open, sending a byte over each that has begun once a second."""
    senders: list[tuple[socket.socket, bytes]] = []
    opened = closed = 0
    told = False
    kinds = cycle(openings)
    while not stopped():
        swept = time.monotonic()
        alive = [sender for sender in senders if goes_on(*sender)]
        closed += len(senders) - len(alive)
        senders = alive
        while len(senders) < count:
            opening = next(kinds)
            sender = socket.create_connection(address, timeout=10)
            sender.sendall(opening)
            sender.setblocking(False)
            senders.append((sender, opening))
            opened += 1
        if not told:
            print("ready", flush=True)  # noqa: T201 - a program
            told = True
        time.sleep(max(0.0, swept + DRIP_SECONDS - time.monotonic()))
    print(json.dumps({"opened": opened, "closed": closed}), flush=True)  # noqa: T201


def pour(address: tuple[str, int], count: int, stopped: Callable[[], bool]) -> None:
    """Pipeline requests over `count` connections, as much as they take, and never read an answer."""
    senders: dict[socket.socket, int] = {}  # with the place in the requests at which to go on
    sent = closed = 0
    print("ready", flush=True)  # noqa: T201
    while not stopped():
        while len(senders) < count:
            sender = socket.create_connection(address, timeout=10)
            sender.setblocking(False)
            senders[sender] = 0
        for sender, place in list(senders.items()):
            try:
                taken = sender.send(PIPELINED[place:])
            except BlockingIOError:
                continue
            except OSError:
                sender.close()
                del senders[sender]
                closed += 1
            else:
                senders[sender] = (place + taken) % len(PIPELINED)
                sent += taken
        time.sleep(0.01)
    print(json.dumps({"sent": sent, "closed": closed}), flush=True)  # noqa: T201


def goes_on(sender: socket.socket, opening: bytes) -> bool:
    """Send a byte; close the connection when the other side has had enough of it."""
    try:
        if opening:
            sender.send(b"x")
        sender.recv(4096)  # an answer, or the end
    except BlockingIOError:
        return True
    except OSError:
        pass
    sender.close()
    return False


async def repeat(address: tuple[str, int], count: int, request: bytes, stopped: Callable[[], bool]) -> None:
    """Send the same request over `count` connections as fast as it is answered."""
    answers: Counter[str] = Counter()

    async def sender() -> None:
        while not stopped():
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(*address)
                try:
                    while not stopped():
                        writer.write(request)
                        answers[await answer(reader)] += 1
                finally:
                    writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(sender())
        print("ready", flush=True)  # noqa: T201
    print(json.dumps(answers), flush=True)  # noqa: T201


async def answer(reader: asyncio.StreamReader) -> str:
    """The status of one answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return head[9:12].decode()


def main() -> None:
    kind, host, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    raise_open_files()
    os.nice(10)  # attackers of the real kind have a machine of their own
    end = time.monotonic() + LONGEST_SECONDS

    def stopped() -> bool:
        return time.monotonic() > end or bool(select.select([0], [], [], 0)[0])

    if kind in DRIPPING:
        drip((host, port), count, DRIPPING[kind], stopped)
    elif kind == "pipelined":
        pour((host, port), count, stopped)
    else:
        uvloop.run(repeat((host, port), count, REPEATED[kind], stopped))


if __name__ == "__main__":
    main()
