"""Runs `ringover-ingress`."""

import sys

from ingress.service import SERVICE, serve
from ingress.settings import IngressSettings
from runtime.lifecycle import run_process


def main() -> int:
    """Run the ingress until SIGTERM; returns the exit code."""
    summary = "Takes Ringover's webhooks over HTTP and stores them in Kafka."
    return run_process(SERVICE, summary, IngressSettings, serve)


if __name__ == "__main__":
    sys.exit(main())
