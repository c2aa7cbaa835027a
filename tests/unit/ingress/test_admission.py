"""Who gets room, and who gives way."""

import pytest
from prometheus_client import CollectorRegistry

from ingress.http.admission import FREE_BYTES, MAKE_ROOM_AT, SPARE_CONNECTIONS, Admission
from ingress.metrics import IngressMetrics

ROOM = 1000


class Peer:
    """A connection that notes whether it was told to go."""

    def __init__(self) -> None:
        self.told = 0

    def evict(self) -> None:
        self.told += 1


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def admission(registry: CollectorRegistry) -> Admission:
    return Admission(max_connections=2, max_bytes=ROOM, metrics=IngressMetrics(registry))


def admitted(admission: Admission, count: int) -> list[Peer]:
    peers = [Peer() for _ in range(count)]
    for peer in peers:
        assert admission.admit(peer)
    return peers


def test_at_the_limit_the_one_that_waited_longest_gives_way(admission: Admission, registry: CollectorRegistry) -> None:
    first, second = admitted(admission, 2)
    admission.waits(first)

    assert admission.admit(Peer())
    assert (first.told, second.told) == (0, 1)
    assert registry.get_sample_value("ringover_http_displaced_total", {"wanted": "connection"}) == 1


def test_complete_requests_never_give_way(admission: Admission, registry: CollectorRegistry) -> None:
    busy = admitted(admission, 2)
    for peer in busy:
        admission.complete(peer)

    assert not admission.admit(Peer())
    assert [peer.told for peer in busy] == [0, 0]
    assert registry.get_sample_value("ringover_http_connections_refused_total") == 1


def test_connections_on_their_way_out_are_bounded_too(admission: Admission, registry: CollectorRegistry) -> None:
    admitted(admission, 2 + SPARE_CONNECTIONS)

    assert not admission.admit(Peer())
    assert registry.get_sample_value("ringover_http_connections") == 2 + SPARE_CONNECTIONS


def test_closed_connection_leaves_room(admission: Admission) -> None:
    first, second = admitted(admission, 2)
    admission.leave(first)
    admission.release(first)

    assert admission.admit(Peer())
    assert second.told == 0


def test_small_requests_need_no_room(admission: Admission, registry: CollectorRegistry) -> None:
    [peer] = admitted(admission, 1)

    assert admission.hold(peer, FREE_BYTES)
    assert registry.get_sample_value("ringover_http_buffered_bytes") == 0


def test_beyond_the_room_nothing_more_is_held(admission: Admission, registry: CollectorRegistry) -> None:
    [peer] = admitted(admission, 1)
    admission.complete(peer)
    assert admission.hold(peer, FREE_BYTES + ROOM)

    assert not admission.hold(peer, FREE_BYTES + ROOM + 1)
    assert registry.get_sample_value("ringover_http_buffered_bytes") == ROOM
    admission.leave(peer)
    assert registry.get_sample_value("ringover_http_buffered_bytes") == ROOM  # until its request is done
    admission.release(peer)
    assert registry.get_sample_value("ringover_http_buffered_bytes") == 0


def test_slow_senders_give_way_before_the_room_is_used_up(admission: Admission) -> None:
    slow, slower = admitted(admission, 2)
    enough = int(ROOM * MAKE_ROOM_AT)
    assert admission.hold(slower, FREE_BYTES + 1)
    assert admission.hold(slow, FREE_BYTES + enough - 1)
    assert (slow.told, slower.told) == (0, 0)

    assert admission.hold(slow, FREE_BYTES + enough)

    assert (slow.told, slower.told) == (0, 1)  # its byte counts as free, though it is still held
    assert admission.hold(slow, FREE_BYTES + enough)
    assert slow.told == 0


def test_one_that_was_told_to_go_is_not_told_again(admission: Admission) -> None:
    first, second = admitted(admission, 2)
    admission.admit(Peer())
    admission.waits(first)
    admission.admit(Peer())

    assert (first.told, second.told) == (1, 1)
