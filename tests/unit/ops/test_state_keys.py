"""Which claim keys an operator's key may mean."""

import pytest

from ops.kit.errors import UsageError
from ops.state.read import candidates
from schemas.events import EventType
from schemas.identity import claim_key, idempotency_key


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("ringover:call.ended:a", ["ringover:call.ended:a"]),
        ("ringover:call.started:a:b", ["ringover:call.started:a:b", "ringover:call.started:a%3Ab"]),
        ("ringover:call.ended:a%3Ab", ["ringover:call.ended:a%3Ab", "ringover:call.ended:a%253Ab"]),
        ("ringover:call.recording_ready:a:b", ["ringover:call.recording_ready:a:b"]),
        (
            "ringover:call.recording_ready:a:b:c",
            [
                "ringover:call.recording_ready:a:b:c",
                "ringover:call.recording_ready:a:b%3Ac",
                "ringover:call.recording_ready:a%3Ab:c",
            ],
        ),
        ("ringover:call.recording_ready:a", ["ringover:call.recording_ready:a"]),
    ],
)
def test_every_reading_of_a_key_is_tried(given: str, wanted: list[str]) -> None:
    assert candidates(given) == wanted


@pytest.mark.parametrize("call_id", ["a", "a:b", "a%", "100%:b", ":", "%3A"])
@pytest.mark.parametrize("recording_id", [None, "r", "r:s", ":", "%"])
def test_published_and_escaped_keys_both_find_the_claim(call_id: str, recording_id: str | None) -> None:
    event = EventType.CALL_ENDED if recording_id is None else EventType.RECORDING_READY
    claim = claim_key(event, call_id, recording_id)

    assert claim in candidates(idempotency_key(event, call_id, recording_id))
    assert claim in candidates(claim)


@pytest.mark.parametrize(
    "given", ["", "a", "ringover", "ringover:call.ended", "ringover:call.ended:", "x:call.ended:a"]
)
def test_what_is_no_key_is_a_usage_error(given: str) -> None:
    with pytest.raises(UsageError, match="not an idempotency key"):
        candidates(given)
