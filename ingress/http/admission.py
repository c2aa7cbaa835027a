"""How many connections there are and how many bytes they hold, and who gives way when there is no more room.

Who owes us the rest of a request gives way, the one that has owed it longest first: a sender that drips keeps nobody
out. A request that arrived completely is never given up here.
"""

from typing import Protocol

from ingress.metrics import IngressMetrics

# Of each connection, not counted: most webhooks, and a head, fit. Part of what a connection costs in any case.
FREE_BYTES = 4096
# Slow senders give way before the room is used up, because it takes a turn of the loop until their bytes are free.
MAKE_ROOM_AT = 0.75
# Connections that were told to go and have not gone yet, beyond the limit.
SPARE_CONNECTIONS = 128


class Peer(Protocol):
    """One connection, as seen from here."""

    def give_way(self) -> None:
        """End soon; what was held for it is still held until it left."""


class Capacity:
    """The connections and the bytes of one process."""

    def __init__(self, *, max_connections: int, max_bytes: int, metrics: IngressMetrics) -> None:
        self._max_connections = max_connections
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._open: set[Peer] = set()
        self._held: dict[Peer, int] = {}
        # In the order in which they began to wait; the second only those that hold something.
        self._waiting: dict[Peer, None] = {}
        self._waiting_with_bytes: dict[Peer, None] = {}
        self._leaving: set[Peer] = set()
        self._bytes = 0
        self._bytes_leaving = 0
        metrics.connections.set_function(lambda: len(self._open))
        metrics.buffered_bytes.set_function(lambda: self._bytes)

    def admit(self, peer: Peer) -> bool:
        """Whether there is room for a new connection; the one that waited longest makes it."""
        if len(self._open) - len(self._leaving) >= self._max_connections:
            oldest = next(iter(self._waiting), None)
            if oldest is None or len(self._open) >= self._max_connections + SPARE_CONNECTIONS:
                self._metrics.connections_refused.inc()
                return False
            self._displace(oldest, "connection")
        self._open.add(peer)
        self._waiting[peer] = None
        return True

    def hold(self, peer: Peer, size: int) -> bool:
        """Whether `peer` may hold `size` bytes from now on; if not, it holds what it held."""
        counted = max(0, size - FREE_BYTES)
        growth = counted - self._held.get(peer, 0)
        if not growth:
            return True
        if growth > 0 and self._bytes + growth > self._max_bytes:
            return False
        self._count(peer, counted)
        if growth > 0:
            self._make_room()
        return True

    def complete(self, peer: Peer) -> None:
        """The request of `peer` has arrived completely."""
        self._waiting.pop(peer, None)
        self._waiting_with_bytes.pop(peer, None)

    def waits(self, peer: Peer) -> None:
        """`peer` was answered; from now on it owes us its next request."""
        if peer in self._open and peer not in self._leaving:
            self._waiting.pop(peer, None)
            self._waiting[peer] = None
            if peer in self._held:
                self._waiting_with_bytes[peer] = None

    def leave(self, peer: Peer) -> None:
        """The connection is closed; what it holds is counted until `release`."""
        self.complete(peer)
        self._open.discard(peer)
        if peer in self._leaving:
            self._leaving.remove(peer)
            self._bytes_leaving -= self._held.get(peer, 0)

    def release(self, peer: Peer) -> None:
        """`peer` holds nothing any more, for good."""
        self._count(peer, 0)

    def _count(self, peer: Peer, counted: int) -> None:
        growth = counted - self._held.pop(peer, 0)
        if counted:
            self._held[peer] = counted
            if peer in self._waiting:
                self._waiting_with_bytes.setdefault(peer)
        else:
            self._waiting_with_bytes.pop(peer, None)
        self._bytes += growth
        if peer in self._leaving:
            self._bytes_leaving += growth

    def _make_room(self) -> None:
        enough = self._max_bytes * MAKE_ROOM_AT
        while self._bytes - self._bytes_leaving > enough and self._waiting_with_bytes:
            self._displace(next(iter(self._waiting_with_bytes)), "bytes")

    def _displace(self, peer: Peer, wanted: str) -> None:
        self.complete(peer)
        self._leaving.add(peer)
        self._bytes_leaving += self._held.get(peer, 0)
        self._metrics.displaced.labels(wanted).inc()
        peer.give_way()
