"""The benchmark's webhooks: valid, a tenth of them repeated, and as many events as it says."""

from collections import Counter

import pytest

from benchmarks import workload
from tests.support.reference_model import Raw, expected


@pytest.mark.parametrize("records", [10, 999, 20_000])
def test_keys_are_those_of_the_log(records: int) -> None:
    log = list(workload.log(records))

    assert len(log) == records
    assert {event.key for event in log} == workload.keys(records)
    assert len(workload.keys(records)) == workload.unique(records) == records - records // 10


def test_a_repeated_event_comes_after_its_first() -> None:
    numbers = {event.key: number for number, event in enumerate(map(workload.event, range(18_000)))}
    seen = -1
    for event in workload.log(20_000):
        assert numbers[event.key] <= seen + 1
        seen = max(seen, numbers[event.key])


def test_log_becomes_the_events_that_its_keys_say() -> None:
    raw = [
        Raw(3, offset, event.call_id.encode(), event.body, tuple(workload.headers(event.slug, offset)))
        for offset, event in enumerate(workload.log(2000))
    ]

    found = expected(raw, "raw")

    assert {dict(event.headers)["ce_idempotencykey"] for event in found.events} == workload.keys(2000)
    assert (len(found.events), found.duplicates) == (1800, 200)
    assert (found.conflicts, found.dead_letters) == (0, [])


def test_bodies_are_about_as_long_as_a_real_one() -> None:
    assert {len(workload.event(number).body) // 10 for number in range(0, 400, 50)} <= {24, 25, 26}


def test_ids_grow_with_the_log() -> None:
    started = [event.call_id for event in workload.log(5000) if not event.ended]
    first = list(dict.fromkeys(started))

    assert first == sorted(first)
    assert first[0] > workload.call_id(50_000_000)  # above every claim that is there before


def test_calls_of_the_ingress_are_all_different() -> None:
    assert max(Counter(event.call_id for event in workload.started(2000)).values()) == 1
