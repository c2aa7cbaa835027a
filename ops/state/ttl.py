"""How long claims must be kept: pure."""

from datetime import timedelta

UNLIMITED = -1  # Kafka's retention.ms for "never removed"


def too_short(ttl: timedelta, retention_ms: int) -> str | None:
    """Why claims older than `ttl` must not go; None if they may.

    While a duplicate is in the raw log, a rewind reads it again, and without its claim it would become an owner and be
    emitted. What is beyond the retention is the time in which a late duplicate is still recognized on a rewind.
    """
    if retention_ms == UNLIMITED:
        return (
            "the raw topic keeps records for ever (retention.ms -1), so a rewind may reach any of them: every claim is "
            "needed; give the topic a retention first"
        )
    retention = timedelta(milliseconds=retention_ms)
    if ttl < retention:
        return (
            f"a TTL of {_days(ttl)} is below the raw topic's retention of {_days(retention)}: a rewind would find "
            "duplicates whose claims are gone, and emit them as if they were new"
        )
    return None


def _days(age: timedelta) -> str:
    days = age / timedelta(days=1)
    return f"{days:g} days" if days >= 1 else f"{age / timedelta(hours=1):g} hours"
