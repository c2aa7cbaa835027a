"""Bounds the connections and the bytes that they hold, and evicts one when there is no more room.

Evicted is who owes us the rest of a request, the one that has owed it longest first: a sender that drips keeps nobody
out. Whose request arrived completely is never evicted.
"""

from typing import Protocol

from ingress.metrics import IngressMetrics

# Of each connection, not counted: most webhooks, and a head, fit. Part of what a connection costs in any case.
FREE_BYTES = 4096
# Slow senders are evicted before the room is used up: it takes an iteration of the loop until their bytes are free.
MAKE_ROOM_AT = 0.75
# Connections that were told to go and have not gone yet, beyond the limit.
SPARE_CONNECTIONS = 128


class Evictable(Protocol):
    """Is a connection that can be told to end."""

    def evict(self) -> None:
        """End soon; what was held for it is still held until it left."""


class Admission:
    """Counts the connections and the bytes of one process, and admits those for which there is room."""

    def __init__(self, *, max_connections: int, max_bytes: int, metrics: IngressMetrics) -> None:
        self._max_connections = max_connections
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._open: set[Evictable] = set()
        self._held: dict[Evictable, int] = {}
        # In the order in which they began to wait; the second only those that hold something.
        self._waiting: dict[Evictable, None] = {}
        self._waiting_with_bytes: dict[Evictable, None] = {}
        self._leaving: set[Evictable] = set()
        self._bytes = 0
        self._bytes_leaving = 0
        metrics.connections.set_function(lambda: len(self._open))
        metrics.buffered_bytes.set_function(lambda: self._bytes)

    def admit(self, connection: Evictable) -> bool:
        """Whether there is room for a new connection; the one that waited longest is evicted for it."""
        if len(self._open) - len(self._leaving) >= self._max_connections:
            oldest = next(iter(self._waiting), None)
            if oldest is None or len(self._open) >= self._max_connections + SPARE_CONNECTIONS:
                self._metrics.connections_refused.inc()
                return False
            self._evict(oldest, "connection")
        self._open.add(connection)
        self._waiting[connection] = None
        return True

    def hold(self, connection: Evictable, size: int) -> bool:
        """Whether `connection` may hold `size` bytes from now on; if not, it holds what it held."""
        counted = max(0, size - FREE_BYTES)
        growth = counted - self._held.get(connection, 0)
        if not growth:
            return True
        if growth > 0 and self._bytes + growth > self._max_bytes:
            return False
        self._count(connection, counted)
        if growth > 0:
            self._make_room()
        return True

    def complete(self, connection: Evictable) -> None:
        """Note that the request of `connection` has arrived completely."""
        self._waiting.pop(connection, None)
        self._waiting_with_bytes.pop(connection, None)

    def waits(self, connection: Evictable) -> None:
        """Note that `connection` was answered; from now on it owes us its next request."""
        if connection in self._open and connection not in self._leaving:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None
            if connection in self._held:
                self._waiting_with_bytes[connection] = None

    def leave(self, connection: Evictable) -> None:
        """Note that the connection is closed; what it holds is counted until `release`."""
        self.complete(connection)
        self._open.discard(connection)
        if connection in self._leaving:
            self._leaving.remove(connection)
            self._bytes_leaving -= self._held.get(connection, 0)

    def release(self, connection: Evictable) -> None:
        """Note that `connection` holds nothing any more, for good."""
        self._count(connection, 0)

    def _count(self, connection: Evictable, counted: int) -> None:
        growth = counted - self._held.pop(connection, 0)
        if counted:
            self._held[connection] = counted
            if connection in self._waiting:
                self._waiting_with_bytes.setdefault(connection)
        else:
            self._waiting_with_bytes.pop(connection, None)
        self._bytes += growth
        if connection in self._leaving:
            self._bytes_leaving += growth

    def _make_room(self) -> None:
        enough = self._max_bytes * MAKE_ROOM_AT
        while self._bytes - self._bytes_leaving > enough and self._waiting_with_bytes:
            self._evict(next(iter(self._waiting_with_bytes)), "bytes")

    def _evict(self, connection: Evictable, wanted: str) -> None:
        self.complete(connection)
        self._leaving.add(connection)
        self._bytes_leaving += self._held.get(connection, 0)
        self._metrics.evicted.labels(wanted).inc()
        connection.evict()
