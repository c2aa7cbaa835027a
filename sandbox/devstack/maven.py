"""Fetches files of Maven Central over HTTPS, and resolves Kafka's dependencies for the lock file.

Imported only when something must be fetched: jgo, which knows the address and resolves, is an optional dependency.
"""

import errno
import tempfile
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import Dependency, MavenContext, PythonResolver

from sandbox.devstack.errors import DownloadError
from sandbox.devstack.jarlock import LockedJar, sha256_of

# slf4j-simple writes the broker's warnings to stderr; its version is that of the slf4j-api Kafka brings.
ROOTS = ("org.apache.kafka:kafka_2.13:4.4.0", "org.slf4j:slf4j-simple:1.7.36")
HTTP_TIMEOUT_SECONDS = 30
ATTEMPTS = 3
PAUSE_SECONDS = 0.5  # before the second attempt; twice that before the third
CHUNK_BYTES = 256 * 1024


def download(coordinates: str, target: Path, before_chunk: Callable[[], None] = lambda: None) -> None:
    """Write the jar `group:artifact:version` to `target`.

    Raises:
        DownloadError: names the artifact and what to try.
        OSError: the disk is full.
    """
    group, artifact, version = coordinates.split(":")
    url = f"{MAVEN_CENTRAL_URL}/{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar"
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_SECONDS) as answer, target.open("wb") as file:  # noqa: S310 - https
                while chunk := answer.read(CHUNK_BYTES):
                    before_chunk()
                    file.write(chunk)
        except (OSError, HTTPException) as error:  # urllib's own errors are OSErrors
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise
            if attempt == ATTEMPTS:
                raise DownloadError(
                    f"cannot download {coordinates} from Maven Central ({error})",
                    hint="check the network and the proxy variables (HTTPS_PROXY, SSL_CERT_FILE), then try again",
                ) from error
            time.sleep(PAUSE_SECONDS * attempt)
        else:
            return


def resolve_lock() -> list[LockedJar]:
    """Resolve Kafka's runtime dependencies and hash each jar. Trusts what it downloads: review the diff."""
    with tempfile.TemporaryDirectory() as repository:  # jgo must neither trust nor fill `~/.m2`
        context = MavenContext(resolver=PythonResolver(), repo_cache=Path(repository), timeout=HTTP_TIMEOUT_SECONDS)
        roots = [
            Dependency(context.project(g, a).at_version(v).artifact()) for g, a, v in (r.split(":") for r in ROOTS)
        ]
        inputs, transitive = context.resolver.resolve(roots)
        jar = Path(repository, "jar")
        found = []
        for dependency in [*inputs, *transitive]:
            download(f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}", jar)
            found.append(LockedJar(dependency.groupId, dependency.artifactId, dependency.version, sha256_of(jar)))
    return found
