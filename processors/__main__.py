"""`ringover-processor`: the composition root of the processor."""

import gc
import sys

from processors.service import ProcessorService
from processors.settings import ProcessorSettings
from runtime.lifecycle import Stop
from runtime.process import run_process


def main() -> int:
    """Run the processor until SIGTERM; returns the exit code."""
    summary = "Turns Ringover's raw webhooks in Kafka into normalized events, exactly once."
    return run_process("ringover-processor", summary, ProcessorSettings, serve)


async def serve(settings: ProcessorSettings, stop: Stop) -> None:
    """Process until `stop` is set.

    Raises:
        RefusedError: going on would break the guarantee, or a setting can never work.
        AddressInUseError: the admin port is taken.
    """
    service = ProcessorService(settings)
    gc.freeze()  # what lives as long as the process need not be looked at again
    await service.run(stop)


if __name__ == "__main__":
    sys.exit(main())
