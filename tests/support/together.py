"""Runs pytest's workers side by side on one Kafka and one PostgreSQL: `python -m tests.support.together [OPTION...]`.

Each worker would start servers of its own; they find the shared ones by the variables that
`tests.support.infrastructure` looks at first. Tests keep apart by topic prefix, group and database.
"""

import os
import subprocess
import sys

from tests.support.infrastructure import infrastructure


def main() -> int:
    """Start the servers, run pytest with the given options, stop the servers; pytest's exit code."""
    with infrastructure() as found:
        shared = {"KAFKA_BOOTSTRAP_SERVERS": found.kafka_bootstrap_servers, "DATABASE_URL": found.database_url}
        return subprocess.run(
            [sys.executable, "-m", "pytest", *sys.argv[1:]], check=False, env=os.environ | shared
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
