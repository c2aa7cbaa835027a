"""Bounds how fast `state compact` and `state rebuild` work, so that the pipeline beside them keeps its share."""


class Throttle:
    """Spaces work out to at most `rate` units a second; None: as fast as it goes."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._free_at = 0.0

    def wait_seconds(self, count: int, now: float) -> float:
        """How long to wait after `count` units that ended `now` (monotonic seconds)."""
        if self._rate is None:
            return 0.0
        self._free_at = max(self._free_at, now) + count / self._rate
        return self._free_at - now
