"""Selects the records of a committed batch that are traced, and what is told of each: a pure function."""

from collections.abc import Sequence
from typing import NamedTuple

from processors.decide import labels
from processors.model import Batch, DeadLettered, Normalized, Outcome, Verdict
from schemas.headers import TRACEPARENT, header, is_sampled, valid_traceparent

MAX_TRACED = 64  # of one batch: three spans each, so that a rewind of millions is not slowed down


class TracedRecord(NamedTuple):
    """Is a record whose webhook is traced.

    `again`: it had been claimed before, by an earlier pass or by a process that did not commit. `code` is that of a
    dead letter's reason.
    """

    traceparent: str
    offset: int
    again: bool
    event_type: str
    outcome: str
    code: str | None


def select_traced(batch: Batch, outcomes: Sequence[Outcome]) -> list[TracedRecord]:
    """Select the first records of the batch whose traceparent is valid and says that the trace is recorded."""
    found: list[TracedRecord] = []
    for verdict, outcome in zip(batch.verdicts, outcomes, strict=True):
        traceparent = _sampled(verdict)
        if traceparent is None:
            continue
        event_type, label = labels(outcome)
        code = outcome.reason.code.value if isinstance(outcome, DeadLettered) else None
        again = verdict.offset < batch.steps.counted_until
        found.append(TracedRecord(traceparent, verdict.offset, again, event_type, label, code))
        if len(found) == MAX_TRACED:
            break
    return found


def _sampled(verdict: Verdict) -> str | None:
    value = verdict.traceparent if isinstance(verdict, Normalized) else header(verdict.record.headers, TRACEPARENT)
    if value is None or value.endswith(b"-00"):  # by far the most, and quickly told
        return None
    text = value.decode("ascii", "replace")
    return text if valid_traceparent(text) and is_sampled(text) else None
