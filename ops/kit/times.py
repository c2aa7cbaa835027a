"""Reads and shows times as operators write them: with a zone, or as an age. Pure: the present is passed in."""

import re
from datetime import UTC, datetime, timedelta

from ops.kit.errors import UsageError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGE = re.compile(r"(\d+)([smhd])")


def parse_time(text: str) -> datetime:
    """An ISO 8601 date and time with a zone, in UTC.

    Raises:
        UsageError: it is none, or has no zone (a local guess has cost others hours).
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a time; write 2026-11-22T14:05+01:00") from error
    if moment.tzinfo is None:
        raise UsageError(f"{text!r} has no zone; write {text}Z or {text}+01:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise UsageError(f"{text!r} is out of range") from error


def parse_age(text: str) -> timedelta:
    """An age such as `90s`, `15m`, `2h`, `3d` or `1h30m`.

    Raises:
        UsageError: it is none.
    """
    parts = _AGE.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{text!r} is not an age; write 90s, 15m, 2h, 3d or 1h30m")
    try:
        return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())
    except OverflowError as error:
        raise UsageError(f"{text!r} is out of range") from error


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970, as Kafka counts time."""
    return int(moment.timestamp() * 1000)


def shown(moment: datetime) -> str:
    """A time for operators: in UTC and in this machine's zone, to the second."""
    utc, local = moment.astimezone(UTC), moment.astimezone()
    if local.utcoffset() == timedelta():
        return f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC ({local:%H:%M:%S %z})"


def shown_ms(timestamp_ms: int) -> str:
    """`shown` for a Kafka timestamp."""
    return shown(datetime.fromtimestamp(timestamp_ms / 1000, UTC))


def days(age: timedelta) -> str:
    """A length of time as retentions are written: `30 days`, `12 hours`."""
    return f"{age / timedelta(days=1):g} days" if age >= timedelta(days=1) else f"{age / timedelta(hours=1):g} hours"


def duration(seconds: float | None) -> str:
    """Seconds for a person: `0 s`, `850 ms`, `12.3 s`, `4 min 05 s`, `3 h 20 min`, `2 d 04 h`."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds * 1000:.0f} ms" if 0 < seconds < 1 else f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 24 else f"{hours // 24} d {hours % 24:02d} h"
