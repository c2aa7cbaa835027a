"""Reason headers: their names, and what comes back of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dead_letter import PREFIX, Code, DeadLetter, Origin, Reason, Stage, reason_headers

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
REASONS = st.builds(Reason, st.sampled_from(Stage), st.sampled_from(Code), TEXT)
ORIGINS = st.builds(Origin, TEXT, st.integers(0, 2**31), st.integers(0, 2**63), TEXT)
ORIGINALS = st.lists(
    st.tuples(TEXT.filter(lambda name: not name.startswith(PREFIX)), st.binary(max_size=40)), max_size=8
)


@settings(deadline=None)
@given(REASONS, st.none() | ORIGINS, ORIGINALS)
def test_dead_letter_survives_the_round_trip_with_its_original_headers(
    reason: Reason, origin: Origin | None, originals: list[tuple[str, bytes]]
) -> None:
    read = DeadLetter.decode([*originals, *reason_headers(reason, origin)])

    assert read == DeadLetter(reason, origin, originals)


def test_headers_have_the_names_of_kip_1191_and_our_two() -> None:
    reason = Reason(Stage.NORMALIZE, Code.FIELD_MISSING, "call.to: Field required")

    assert reason_headers(reason, Origin("ringover.raw.v1", 3, 42, "ringover-normalizer")) == [
        ("__dlq.errors.stage", b"normalize"),
        ("__dlq.errors.code", b"field_missing"),
        ("__dlq.errors.message", b"call.to: Field required"),
        ("__dlq.errors.topic", b"ringover.raw.v1"),
        ("__dlq.errors.partition", b"3"),
        ("__dlq.errors.offset", b"42"),
        ("__dlq.errors.group", b"ringover-normalizer"),
    ]


def test_last_reason_counts_when_a_replay_failed_again() -> None:
    first = Reason(Stage.NORMALIZE, Code.NUMBER_INVALID, "call.to: first")
    second = Reason(Stage.NORMALIZE, Code.FIELD_MISSING, "call.to: second")
    old, new = Origin("raw", 1, 5, "group"), Origin("raw", 1, 9, "group")

    read = DeadLetter.decode([("a", b"1"), *reason_headers(first, old), *reason_headers(second, new)])

    assert (read.reason, read.origin, read.original_headers) == (second, new, [("a", b"1")])


@pytest.mark.parametrize("missing", ["__dlq.errors.stage", "__dlq.errors.code"])
def test_record_without_a_reason_is_no_dead_letter(missing: str) -> None:
    headers = reason_headers(Reason(Stage.ACCEPT, Code.NOT_JSON, "x"), None)

    with pytest.raises(KeyError):
        DeadLetter.decode([pair for pair in headers if pair[0] != missing])


@pytest.mark.parametrize(("name", "value"), [("stage", b"lunch"), ("code", b"other"), ("message", b"\xff")])
def test_damaged_reason_is_an_error(name: str, value: bytes) -> None:
    headers = reason_headers(Reason(Stage.ACCEPT, Code.NOT_JSON, "x"), None)

    with pytest.raises(ValueError, match=r".+"):
        DeadLetter.decode([*headers, (PREFIX + name, value)])
