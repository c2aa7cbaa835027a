"""What the load sends: the same for a seed, at the rate asked for, with everything in it that must be survived."""

from collections import Counter
from itertools import islice

import orjson

from tests.chaos.calls import Call, calls
from tests.support.traffic import GARBAGE

RATE = 100.0


def drawn(seed: int = 1, count: int = 3000) -> list[Call]:
    return list(islice(calls(seed, RATE), count))


def test_a_seed_names_a_load() -> None:
    assert drawn(1, 50) == drawn(1, 50)
    assert drawn(1, 50) != drawn(2, 50)


def test_webhooks_come_at_the_rate() -> None:
    found = drawn()

    assert 0.9 * RATE < sum(len(call.sends) for call in found) / found[-1].begins < 1.1 * RATE
    assert [call.begins for call in found] == sorted(call.begins for call in found)


def test_every_request_has_an_id_of_its_own_and_every_webhook_bytes_of_its_own() -> None:
    sends = [send for call in drawn() for send in call.sends]
    bodies = {send.webhook.body: send.webhook for send in sends if send.webhook.body not in GARBAGE}

    assert len({send.request_id for send in sends}) == len(sends)
    assert len(bodies) < len(sends)  # duplicates have the same bytes
    assert sum(send.copy for send in sends) > len(sends) - len(bodies)  # and some have others


def test_there_are_duplicates_far_and_near_conflicts_garbage_and_forgeries() -> None:
    sends = [send for call in drawn() for send in call.sends]
    copies = [send for send in sends if send.copy]
    ended = Counter(
        orjson.loads(send.webhook.body)["call"]["duration_sec"] - int(send.webhook.key.rpartition("-")[2])
        for send in copies
        if send.webhook.slug == "call-ended"
    )

    assert 0.05 < len(copies) / len(sends) < 0.2
    assert {send.after > 30 for send in copies} == {True, False}
    assert ended.keys() == {0, 1}  # the same content, and another
    assert any(send.forged for send in sends)
    assert any(send.webhook.body in GARBAGE for send in sends)
