"""Ports that stay somebody's for the whole run, even while the server is down or has yet to begin."""

import random
import socket

from sandbox.devstack.ports import HOST

PORTS = range(20_000, 32_000)  # below Linux's ephemeral ports: nobody's outgoing connection takes one meanwhile

_given: set[int] = set()


def stable_port() -> int:
    """A port that nobody listens on, and that is given to nobody else here."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            if port not in _given and probe.connect_ex((HOST, port)) != 0:
                _given.add(port)
                return port
