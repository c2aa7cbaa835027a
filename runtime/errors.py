"""Defines the pipeline's errors by what whoever catches them does next.

PipelineError
├── TransientError           try again; nothing was committed
│   ├── StateUnavailableError    PostgreSQL does not answer: wait outside any transaction
│   ├── StateBehindError         PostgreSQL lost commits: take over again, which heals
│   ├── LogUnavailableError      Kafka does not answer a read: try again
│   │   └── OpenTransactionError     another producer's open transaction hides records: it ends by itself, or by hand
│   └── PublishError             Kafka did not take it: replace the producer
│       ├── RecordRefusedError       it is the record or its topic, not the producer
│       ├── SpoolFullError           the spool has no room for it either
│       └── SpoolUnavailableError    the spool's disk does not take it or give it back
├── FencedError              another process owns the partition now: go back to the group
└── RefusedError             going on would break the guarantee: stand still and page
"""


class PipelineError(Exception):
    """Is the base of every error that the pipeline raises on purpose."""


class TransientError(PipelineError):
    """Something outside is away for a while; the same step will work later."""


class StateUnavailableError(TransientError):
    """The state table cannot be reached, or refuses for a passing reason."""


class StateBehindError(TransientError):
    """The state table knows less of the raw log than was committed: it lost commits and must be healed."""


class LogUnavailableError(TransientError):
    """Kafka does not answer a read, or refuses for a passing reason."""


class OpenTransactionError(LogUnavailableError):
    """A transaction of another producer is open: records behind its first one cannot be read until it ends."""


class PublishError(TransientError):
    """Kafka did not acknowledge in time or reported an error: the producer that saw it must not be used again."""


class RecordRefusedError(PublishError):
    """Kafka refuses this record, or its topic: the producer is as good as before."""


class SpoolFullError(PublishError):
    """The spool has reached its bound in bytes or in age: nothing is taken until it is drained."""


class SpoolUnavailableError(PublishError):
    """The spool's disk is full or fails: this was not written or not read, but what is spooled stays."""


class FencedError(PipelineError):
    """A newer producer with our transactional id exists: another process owns the partition."""


class RefusedError(PipelineError):
    """Going on would lose or repeat events. The message says what was found and what an operator can do.

    Raised of one partition, that one stands still; raised of the whole process, it ends with exit code 78.
    """
