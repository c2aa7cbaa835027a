"""The port through which the handler has an authenticated webhook traced."""

from typing import Protocol


class Trace(Protocol):
    """A webhook that is traced."""

    @property
    def trace_id(self) -> str:
        """In hex, for the log."""

    @property
    def traceparent(self) -> str:
        """For the record: whoever processes it goes on below its publication."""

    def ended(self, status: int | None, code: str) -> None:
        """The answer is known; `status` is None when nobody waits for it any more."""


class Tracer(Protocol):
    """Decides which webhooks are traced."""

    def begin(
        self, *, parent: str | None, began_ns: int, endpoint: str, key_id: str, topic: str, body_bytes: int
    ) -> Trace | None:
        """Trace a webhook that is about to be published, or None.

        `parent` is its traceparent, if it is valid; `began_ns` when its head had arrived, since the epoch.
        """
