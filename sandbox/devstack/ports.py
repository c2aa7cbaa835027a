"""Finds a free port of 127.0.0.1, and refuses a taken one."""

import socket
from collections.abc import Collection

from sandbox.devstack.errors import PortTakenError

HOST = "127.0.0.1"


def free_port(*, apart_from: Collection[int] = ()) -> int:
    """Finds a port nobody listens on now. Somebody may take it before the server binds it: callers retry."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in apart_from:
            return port


def claim_port(port: int, *, server: str) -> int:
    """Returns `port` if it is free, or any free port for 0.

    Raises:
        PortTakenError: somebody listens on `port`.
    """
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        # As the servers do: a port in TIME_WAIT is free, one that somebody listens on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as exc:
            raise PortTakenError(
                f"{server} cannot listen on {HOST}:{port}: the port is already taken",
                hint="stop what listens there, choose another port, or 0 for a free one",
            ) from exc
    return port
