"""Timestamps, numbers and ids: what is accepted, and as what."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas import fields
from schemas.fields import CalledNumber, CallerNumber, Id, Seconds, Timestamp, is_id, utc_timestamp


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-01-02T15:00:00.000Z", "2026-01-02T15:00:00.000Z"),
        ("2026-01-02T15:00:00Z", "2026-01-02T15:00:00Z"),
        ("2026-01-02t15:00:00z", "2026-01-02T15:00:00Z"),
        ("2026-01-02 15:00:00Z", "2026-01-02T15:00:00Z"),
        ("2026-01-02T15:00:00.1Z", "2026-01-02T15:00:00.1Z"),
        ("2026-01-02T15:00:00.123456789012Z", "2026-01-02T15:00:00.123456789012Z"),
        ("2026-01-02T15:00:00.500+01:00", "2026-01-02T14:00:00.500Z"),
        ("2026-01-01T00:30:00+05:45", "2025-12-31T18:45:00Z"),
        ("2026-01-01T00:30:00+0545", "2025-12-31T18:45:00Z"),
        ("2026-01-02T15:00:00.500+0100", "2026-01-02T14:00:00.500Z"),
        ("2026-01-02T15:00:00-2359", "2026-01-03T14:59:00Z"),
        ("2026-01-02T15:00:00+0000", "2026-01-02T15:00:00Z"),
        ("2025-12-31T23:30:00-01:00", "2026-01-01T00:30:00Z"),
        ("2026-01-02T15:00:00-00:00", "2026-01-02T15:00:00Z"),
        ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_timestamp_becomes_utc_with_its_fraction_as_written(written: str, utc: str) -> None:
    assert utc_timestamp(written) == utc


@pytest.mark.parametrize(
    "written",
    [
        "",
        "2026-01-02",
        "2026-01-02T15:00:00",  # no zone
        "2026-01-02T15:00Z",  # no seconds
        "2026-01-02T15:00:00.Z",  # no digit after the point
        "2026-01-02T15:00:00,5Z",
        "2026-01-02T15:00:00+01",
        "2026-01-02T15:00:00+24:00",
        "2026-01-02T15:00:00+2400",
        "2026-01-02T15:00:00+01:60",  # RFC 3339: minutes end at 59
        "2026-01-02T15:00:00+0160",
        "2026-01-02T15:00:00+010",
        "2026-01-02T15:00:00+1:00",
        "2026-01-02T15:00:00+01 00",
        "2026-01-02T15:00:00 Z",
        "2026-02-30T15:00:00Z",
        "2026-13-01T15:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T15:60:00Z",
        "2016-12-31T23:59:60Z",  # a leap second that was
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",  # before year 1 in UTC
        "9999-12-31T23:59:59-00:01",  # after year 9999 in UTC
        "+2026-01-02T15:00:00Z",
        "2026-01-02T15:00:00Z\n",
        " 2026-01-02T15:00:00Z",
        "٢٠٢٦-01-02T15:00:00Z",  # digits, but not ASCII ones
        "2026-W01-5T15:00:00Z",
        "1767366000",
    ],
)
def test_anything_else_is_not_a_timestamp(written: str) -> None:
    assert utc_timestamp(written) is None
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(Timestamp).validate_python(written)
    assert refusal.value.errors()[0]["type"] == "invalid_timestamp"


@settings(deadline=None)
@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 30)),  # noqa: DTZ001 - hypothesis adds zones
    st.integers(-1439, 1439),
    st.text("0123456789", max_size=12),
)
def test_timestamp_names_the_same_moment_in_every_zone(moment: datetime, minutes: int, fraction: str) -> None:
    zoned = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    point = f".{fraction}" if fraction else ""
    zone = zoned.isoformat()[-6:]

    for offset in (zone, zone.replace(":", "")):
        written = zoned.replace(tzinfo=None).isoformat() + point + offset
        assert utc_timestamp(written) == zoned.astimezone(UTC).replace(tzinfo=None).isoformat() + point + "Z"


def test_fraction_may_be_as_long_as_it_likes_but_is_not_kept() -> None:
    digits = "1" * 1_000_000
    kept = fields._cached_split.cache_info().currsize

    assert utc_timestamp(f"2026-01-02T15:00:00.{digits}+01:00") == f"2026-01-02T14:00:00.{digits}Z"
    assert fields._cached_split.cache_info().currsize == kept


@pytest.mark.parametrize("number", ["+33601020304", "+333123", "+123456789012345", "+19999999"])
def test_e164_is_accepted(number: str) -> None:
    assert TypeAdapter(CalledNumber).validate_python(number) == number


@pytest.mark.parametrize(
    "number",
    [
        "33601020304",
        "0033601020304",
        "0601020304",
        "+0601020304",
        "+33 6 01 02 03 04",
        "+33-601020304",
        "+33(0)601020304",
        "+12345",
        "+1234567890123456",
        "+",
        "++33601020304",
        "+33601020304\n",
        "+3360102030a",
        "+٣٣٦٠١٠٢٠٣٠٤",
        "tel:+33601020304",
        "anonymous",
        "",
        "1234567",
        "sip:",
        "sips:a@b",
        "12a",
    ],
)
def test_anything_else_is_not_e164(number: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(CalledNumber).validate_python(number)

    assert refusal.value.errors()[0]["type"] == "invalid_number"


@pytest.mark.parametrize("number", ["1", "000123", "sip:a", "Sip:a@b.example;x=y"])
def test_extension_and_sip_address_are_accepted_as_received(number: str) -> None:
    caller: TypeAdapter[str | None] = TypeAdapter(CallerNumber)

    assert TypeAdapter(CalledNumber).validate_python(number) == caller.validate_python(number) == number


def test_anonymous_caller_is_no_number_at_all() -> None:
    caller: TypeAdapter[str | None] = TypeAdapter(CallerNumber)

    assert not caller.validate_python("")
    assert caller.validate_python(None) is None
    assert caller.validate_python("+33601020304") == "+33601020304"
    with pytest.raises(ValidationError):
        caller.validate_python(" ")


@pytest.mark.parametrize(
    "text", ["a", "x" * 128, "a:b", "a b", "é", "日本", "\U0001f4de" * 128, "%", "\u200b", "\u00a0"]
)
def test_id_is_accepted(text: str) -> None:
    assert is_id(text)
    assert TypeAdapter(Id).validate_python(text) == text


@pytest.mark.parametrize(
    "value", ["", "x" * 129, "a\x00", "\n", "a\n", "a\tb", "\x7f", "\x80", "\x9f", None, 1, b"a", ["a"], True]
)
def test_anything_else_is_not_an_id(value: object) -> None:
    assert not is_id(value)
    with pytest.raises(ValidationError):
        TypeAdapter(Id).validate_python(value, strict=True)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=130))
def test_ingress_and_models_agree_on_what_an_id_is(text: str) -> None:
    try:
        TypeAdapter(Id).validate_python(text)
    except ValidationError:
        assert not is_id(text)
    else:
        assert is_id(text)


@pytest.mark.parametrize(("seconds", "valid"), [(0, True), (2**63 - 1, True), (2**63, False), (-1, False)])
def test_seconds_fit_a_signed_64_bit_integer(seconds: int, valid: bool) -> None:
    adapter: TypeAdapter[int] = TypeAdapter(Seconds)

    if valid:
        assert adapter.validate_python(seconds) == seconds
    else:
        with pytest.raises(ValidationError):
            adapter.validate_python(seconds)
