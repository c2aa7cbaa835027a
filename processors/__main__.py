"""Composition root of `ringover-processor`."""

import gc
import sys

from processors.service import ProcessorService
from processors.settings import ProcessorSettings
from runtime import lifecycle, logs
from runtime.settings import describe, load, masked


def main() -> None:
    """Run the processor until SIGTERM or SIGINT; exits 0 after a clean stop, 78 when an operator must look."""
    if "--help" in sys.argv[1:] or "-h" in sys.argv[1:]:
        sys.stdout.write(describe("ringover-processor", ProcessorSettings))
        return
    settings = load(ProcessorSettings)
    logs.configure(service="processor", level=settings.log_level, style=settings.log_format)
    logs.logger(__name__).info("process.starting", **masked(settings))

    async def run(stop: lifecycle.Stop) -> None:
        service = ProcessorService(settings)
        gc.freeze()  # what lives as long as the process is not looked at again
        await service.run(stop)

    sys.exit(lifecycle.run(run))


if __name__ == "__main__":
    main()
