"""Which dead letters a command is about: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ops.dead_letters.model import Letter, LetterId, parse_id
from ops.kit.errors import UsageError
from ops.kit.times import milliseconds, parse_age, parse_time


@dataclass(frozen=True, slots=True)
class Selection:
    """Every condition that is given must hold; `since_ms` is included, `until_ms` is not."""

    ids: frozenset[LetterId] = frozenset()
    codes: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def everything(self) -> bool:
        """Whether no condition is given."""
        return self == Selection()

    def matches(self, letter: Letter) -> bool:
        """Whether the command is about this one."""
        return (
            (not self.ids or letter.letter_id in self.ids)
            and (not self.codes or letter.why.code in self.codes)
            and (not self.stages or letter.why.stage in self.stages)
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or letter.timestamp_ms < self.until_ms)
        )


def select(
    *,
    ids: Sequence[str] = (),
    codes: Sequence[str] = (),
    stages: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
    now: datetime,
) -> Selection:
    """The selection that options mean.

    Raises:
        UsageError: they make no sense, alone or together.
    """
    since_ms, until_ms = _moment(since, now), _moment(until, now)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise UsageError("--since must be before --until")
    if ids and (codes or stages or since or until):
        raise UsageError("give ids or conditions (--code, --stage, --since, --until), not both")
    return Selection(
        ids=frozenset(parse_id(text) for text in ids),
        codes=frozenset(codes),
        stages=frozenset(stages),
        since_ms=since_ms,
        until_ms=until_ms,
    )


def _moment(text: str | None, now: datetime) -> int | None:
    """A time, or an age before `now`."""
    if text is None:
        return None
    # A time has a `-` or `:`; anything else is meant as an age.
    try:
        moment = parse_time(text) if "-" in text or ":" in text else now - parse_age(text)
    except OverflowError as error:
        raise UsageError(f"{text!r} is out of range") from error
    return milliseconds(moment)
