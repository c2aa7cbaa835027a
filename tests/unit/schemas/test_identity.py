"""Event ids and keys: the specification's vectors, and that no two events share a claim key."""

import hashlib
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import EventType
from schemas.identity import claim_key, derived_event_id, idempotency_key

# Any id the contract allows, with the two characters that escaping is about in the front row.
IDS = st.text(
    st.one_of(
        st.sampled_from(":%325Aab"),
        st.characters(exclude_categories=["Cc", "Cs"]),
    ),
    min_size=1,
    max_size=128,
)
PLAIN_IDS = IDS.filter(lambda text: ":" not in text and "%" not in text)


def test_derived_event_id_is_the_specifications() -> None:
    found = derived_event_id(EventType.CALL_STARTED, "ro_call_123", "2026-01-02T15:00:00.000Z")

    assert found == hashlib.sha256(b"ringover|call.started|ro_call_123|2026-01-02T15:00:00.000Z").hexdigest()
    assert found == "32bc8aa445ca3061b3158389eb3138f89958f18d171bf1f0a26e212f3ec8dc06"


def test_idempotency_keys_are_the_specifications() -> None:
    assert idempotency_key(EventType.CALL_STARTED, "ro_call_123") == "ringover:call.started:ro_call_123"
    assert idempotency_key(EventType.CALL_ENDED, "ro_call_123") == "ringover:call.ended:ro_call_123"
    assert (
        idempotency_key(EventType.RECORDING_READY, "ro_call_123", "ro_rec_555")
        == "ringover:call.recording_ready:ro_call_123:ro_rec_555"
    )


def test_colon_in_an_id_does_not_make_two_recordings_one() -> None:
    one = (EventType.RECORDING_READY, "a:b", "c")
    other = (EventType.RECORDING_READY, "a", "b:c")

    assert idempotency_key(*one) == idempotency_key(*other)  # as published, word for word
    assert claim_key(*one) != claim_key(*other)


def test_escaped_id_is_not_mistaken_for_one_that_looks_escaped() -> None:
    ids = ["".join(letters) for length in range(1, 5) for letters in product(":%3A", repeat=length)]

    assert len({claim_key(EventType.CALL_STARTED, call) for call in ids}) == len(ids)


@settings(deadline=None)
@given(st.tuples(IDS, IDS), st.tuples(IDS, IDS))
def test_claim_key_is_injective(one: tuple[str, str], other: tuple[str, str]) -> None:
    same = claim_key(EventType.RECORDING_READY, *one) == claim_key(EventType.RECORDING_READY, *other)

    assert same == (one == other)


@settings(deadline=None)
@given(st.text(":%ab", min_size=2, max_size=9), st.integers(1, 8), st.integers(1, 8))
def test_claim_key_tells_every_split_of_one_text_apart(text: str, first: int, second: int) -> None:
    splits = {(text[:cut], text[cut:]) for cut in (first, second) if 0 < cut < len(text)}

    assert len({claim_key(EventType.RECORDING_READY, *split) for split in splits}) == len(splits)


@settings(deadline=None)
@given(IDS, IDS, IDS)
def test_claim_keys_of_different_events_never_meet(call: str, recorded_call: str, recording: str) -> None:
    keys = {
        claim_key(EventType.CALL_STARTED, call),
        claim_key(EventType.CALL_ENDED, call),
        claim_key(EventType.RECORDING_READY, recorded_call, recording),
    }

    assert len(keys) == 3


@settings(deadline=None)
@given(PLAIN_IDS, PLAIN_IDS)
def test_claim_key_is_the_idempotency_key_for_ordinary_ids(call: str, recording: str) -> None:
    assert str(claim_key(EventType.CALL_ENDED, call)) == idempotency_key(EventType.CALL_ENDED, call)
    assert str(claim_key(EventType.RECORDING_READY, call, recording)) == idempotency_key(
        EventType.RECORDING_READY, call, recording
    )
