"""Runs pytest's workers side by side on one Kafka and one PostgreSQL: `python -m tests.support.together [OPTION...]`.

Each worker would start servers of its own; they find the shared ones by the variables that
`tests.support.infrastructure` looks at first. Tests keep apart by topic prefix, group and database.
"""

import os
import subprocess
import sys

from xdist.scheduler import LoadFileScheduling

from tests.support.archive import ensure_archive
from tests.support.infrastructure import infrastructure

OF_WHOLE_PROGRAMS = "tests/e2e/"
WITH_SERVERS_OF_THEIR_OWN = ("outages/", "test_other_postgres.py", "test_secured.py", "test_benchmarks.py")


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """Gives a worker file by file, as starting servers for a file costs much; of those without, test by test."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        name = file.removeprefix(OF_WHOLE_PROGRAMS)
        return file if name == file or name.startswith(WITH_SERVERS_OF_THEIR_OWN) else nodeid


def main() -> int:
    """Start the servers, run pytest with the given options, stop the servers; pytest's exit code."""
    ensure_archive()
    with infrastructure() as found:
        shared = {"KAFKA_BOOTSTRAP_SERVERS": found.kafka_bootstrap_servers, "DATABASE_URL": found.database_url}
        return subprocess.run(
            [sys.executable, "-m", "pytest", *sys.argv[1:]], check=False, env=os.environ | shared
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
