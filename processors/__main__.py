"""Runs `ringover-processor`."""

import sys

from processors.service import GC_OBJECTS, SERVICE, ProcessorService
from processors.settings import ProcessorSettings
from runtime.lifecycle import Stop, calm_garbage_collection, run_process


def main() -> int:
    """Run the processor until SIGTERM; returns the exit code."""
    summary = "Turns Ringover's raw webhooks in Kafka into normalized events, exactly once."
    return run_process(SERVICE, summary, ProcessorSettings, serve)


async def serve(settings: ProcessorSettings, stop: Stop) -> None:
    """Process until `stop` is set.

    Raises:
        RefusedError: going on would break the guarantee, or a setting can never work.
        AddressInUseError: the admin port is taken.
    """
    service = ProcessorService(settings)
    calm_garbage_collection(objects=GC_OBJECTS)
    await service.run(stop)


if __name__ == "__main__":
    sys.exit(main())
