"""The archive of Kafka's classes, with which each of the tests' many brokers starts with half the CPU time."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.devstack.errors import DevstackError
from sandbox.devstack.jars import ensure_jars
from sandbox.devstack.kafka import KafkaExtra, archive, java_command
from sandbox.devstack.stack import Devstack, DevstackConfig


def ensure_archive() -> None:
    """Make it, if it is not there: ten seconds, once for each version of Kafka and Java. Tests pass without, too."""
    jars = ensure_jars()
    if archive(jars).exists():
        return
    print("test: making the archive of Kafka's classes, once", file=sys.stderr)  # noqa: T201
    try:
        with TemporaryDirectory(dir=jars[0].parent, prefix="archive-") as made:
            recorded, new = Path(made, "recorded"), Path(made, "new")
            recording = ("-XX:AOTMode=record", f"-XX:AOTConfiguration={recorded}")
            with Devstack(DevstackConfig(postgres=False, kafka_extra=KafkaExtra(jvm_options=recording))):
                pass  # the broker notes at its end what it has loaded
            # Java 25 warns of some adapters that it finds in the archive and does not take.
            without_adapters = ("-XX:+UnlockDiagnosticVMOptions", "-XX:-AOTAdapterCaching")
            making = (
                "-XX:AOTMode=create",
                f"-XX:AOTConfiguration={recorded}",
                f"-XX:AOTCache={new}",
                *without_adapters,
            )
            subprocess.run(java_command(jars, *making), check=True, capture_output=True, text=True)
            new.replace(archive(jars))
    except (DevstackError, OSError, subprocess.CalledProcessError) as error:
        print(f"test: without it, as it could not be made: {error}", file=sys.stderr)  # noqa: T201
