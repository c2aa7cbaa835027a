"""`ringover-ingress`: one process, or several on one port with `--workers`."""

import sys

from ingress.service import SERVICE, serve
from ingress.settings import IngressSettings
from ingress.spool.leftover import refuse_leftovers
from ingress.workers import serve_with
from runtime.lifecycle import Stop
from runtime.process import run_workers


def main() -> int:
    """Run the ingress until SIGTERM; returns the exit code."""
    summary = "Takes Ringover's webhooks over HTTP and stores them in Kafka."
    return run_workers(SERVICE, summary, IngressSettings, _serve)


async def _serve(settings: IngressSettings, stop: Stop, workers: int) -> None:
    if settings.ingress_spool_dir is not None:
        refuse_leftovers(settings.ingress_spool_dir, workers)
    if workers == 1:
        await serve(settings, stop)
    else:
        await serve_with(settings, stop, workers)


if __name__ == "__main__":
    sys.exit(main())
