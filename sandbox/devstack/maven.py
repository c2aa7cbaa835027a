"""Maven Central through jgo: the only module that needs it, imported only when something must be fetched."""

import errno
import time
from pathlib import Path

from jgo.maven import Artifact, Dependency, MavenContext, PythonResolver

from sandbox.devstack.errors import DownloadError
from sandbox.devstack.jarlock import LockedJar, sha256_of
from sandbox.devstack.progress import DownloadProgress

# slf4j-simple writes the broker's warnings to stderr; its version is that of the slf4j-api Kafka brings.
ROOTS = ("org.apache.kafka:kafka_2.13:4.4.0", "org.slf4j:slf4j-simple:1.7.36")
HTTP_TIMEOUT_SECONDS = 30
ATTEMPTS = 3
PAUSE_SECONDS = 0.5  # before the second attempt; twice that before the third


class MavenCentral:
    """Fetches jars into a repository directory of our own: jgo must neither trust nor fill `~/.m2`."""

    def __init__(self, repository: Path, progress: DownloadProgress | None = None) -> None:
        resolver = PythonResolver(progress_callback=progress.download if progress else None)
        self._context = MavenContext(resolver=resolver, repo_cache=repository, timeout=HTTP_TIMEOUT_SECONDS)

    def download(self, coordinates: str) -> Path:
        """One jar.

        Raises:
            DownloadError: names the artifact and what to try.
            OSError: the disk is full.
        """
        artifact = self._artifact(coordinates)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return Path(artifact.resolve())
            except (OSError, RuntimeError) as exc:  # requests' errors are OSErrors
                # jgo writes in place, and would take what is there for the whole.
                if artifact.cached_path is not None:
                    artifact.cached_path.unlink(missing_ok=True)
                if isinstance(exc, OSError) and exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise
                if attempt == ATTEMPTS:
                    raise _failed(coordinates, exc) from exc
            time.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError("unreachable")

    def resolve_lock(self) -> list[LockedJar]:
        """Resolves Kafka's runtime dependencies and hashes each jar. Trusts what it downloads: review the diff."""
        roots = [Dependency(self._artifact(coordinates)) for coordinates in ROOTS]
        inputs, transitive = self._context.resolver.resolve(roots)
        found = []
        for dep in [*inputs, *transitive]:
            path = self.download(f"{dep.groupId}:{dep.artifactId}:{dep.version}")
            found.append(LockedJar(dep.groupId, dep.artifactId, dep.version, sha256_of(path)))
        return found

    def _artifact(self, coordinates: str) -> Artifact:
        group, artifact, version = coordinates.split(":")
        return self._context.project(group, artifact).at_version(version).artifact()


def _failed(coordinates: str, reason: Exception) -> DownloadError:
    why = "no answer with that file" if isinstance(reason, RuntimeError) else type(reason).__name__
    return DownloadError(
        f"cannot download {coordinates} from Maven Central ({why})",
        hint="check the network and the proxy variables (HTTPS_PROXY, REQUESTS_CA_BUNDLE), then try again",
    )
