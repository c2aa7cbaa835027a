"""The real `ringover-ops` with a fault built into `rewind --execute`: it signals itself at a named step.

FAULT_POINT: a step of ops.rewind.execute.Execution or of the Lease it holds, with `before:` or `after:`, or
`inside:commit` (everything is sent but the end of the transaction). FAULT_SIGNAL: KILL (the default) or STOP. The lease
is short, so that a test need not wait for a real one.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaProducer

from ops.__main__ import main
from ops.kit.pause import Lease, Timing
from ops.rewind import execute
from ops.rewind.execute import Execution

WHEN, _, STEP = os.environ["FAULT_POINT"].partition(":")
SIGNAL = signal.Signals[f"SIG{os.environ.get('FAULT_SIGNAL', 'KILL')}"]
TIMING = Timing(lease=1.5, renew_every=0.4, commit=2.5)


def die() -> None:
    os.kill(os.getpid(), SIGNAL)


def faulty(step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def wrapped(*arguments: Any) -> Any:
        if WHEN == "before":
            die()
        answer = await step(*arguments)
        die()
        return answer

    return wrapped


async def die_at_the_end(_producer: AIOKafkaProducer) -> None:
    die()


def build_in() -> None:
    execute.TIMING = TIMING
    if WHEN == "inside":
        setattr(AIOKafkaProducer, "commit_transaction", die_at_the_end)  # noqa: B010 - mypy would not let us assign
    else:
        owner = Lease if hasattr(Lease, STEP) else Execution
        setattr(owner, STEP, faulty(getattr(owner, STEP)))


if __name__ == "__main__":
    build_in()
    main()
