"""Fetches Kafka's jars once from Maven Central, verifies them against the lock, and keeps them outside the clone.

`python -m sandbox.devstack.jars lock` resolves Kafka's dependencies anew and rewrites the lock file.
"""

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Literal

import typer

from sandbox.devstack import wheels
from sandbox.devstack.errors import AbortedError, UnsupportedPlatformError, disk_errors
from sandbox.devstack.jarlock import LOCK_PATH, LockedJar, parse_lock, render_lock
from sandbox.devstack.locks import file_lock
from sandbox.devstack.progress import counted

PARALLEL_DOWNLOADS = 6
STAGING_PREFIX = "fetching-"


def cache_dir() -> Path:
    """Where everything that can be fetched again lives: `RINGOVER_CACHE_DIR`, or the XDG cache."""
    if chosen := os.environ.get("RINGOVER_CACHE_DIR"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "ringover-events").absolute()


def jar_dir(lock: str) -> Path:
    """The cache directory of the jars of a lock file with this text."""
    return cache_dir() / f"kafka-jars-{hashlib.sha256(lock.encode()).hexdigest()[:12]}"


def ensure_jars(abort: threading.Event | None = None) -> list[Path]:
    """The verified jars of the lock, fetching them when the cache does not have them.

    The directory carries the lock's digest in its name and appears by one rename, so it is complete
    or absent, and a new lock never meets old jars. All bytes are hashed at each call (0.1 s).

    Raises:
        DownloadError, ChecksumError, DiskFullError, AbortedError: nothing half-done is left behind.
    """
    text = LOCK_PATH.read_text(encoding="utf-8")
    jars = parse_lock(text)
    cache = cache_dir()
    complete = jar_dir(text)
    if not complete.is_dir():
        check = _stop_if(abort)
        with disk_errors(cache):
            cache.mkdir(parents=True, exist_ok=True)
            with file_lock(cache / "kafka-jars.lock", give_up=lambda _holder: check()):
                if not complete.is_dir():  # else a concurrent start fetched it while we waited
                    _fetch(jars, complete, check)
    verify(jars, complete)
    return [complete / jar.filename for jar in jars]


def verify(jars: Sequence[LockedJar], directory: Path) -> None:
    """Hashes every jar below `directory`.

    Raises:
        ChecksumError: the first jar that is not the locked one.
    """
    with disk_errors(directory), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda jar: jar.verify(directory / jar.filename), jars))


def _stop_if(abort: threading.Event | None) -> Callable[[], None]:
    def check() -> None:
        if abort is not None and abort.is_set():
            raise AbortedError("stopped while fetching Kafka's jars")

    return check


def _fetch(jars: Sequence[LockedJar], complete: Path, check: Callable[[], None]) -> None:
    maven = _maven()
    for abandoned in complete.parent.glob(f"{STAGING_PREFIX}*"):  # we hold the lock: its owner is dead
        shutil.rmtree(abandoned)
    with ExitStack() as stack:
        staging = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=complete.parent, prefix=STAGING_PREFIX)))
        ready = staging / "ready"
        ready.mkdir()
        one_more = stack.enter_context(counted("Kafka's jars from Maven Central", len(jars)))

        def fetch_one(jar: LockedJar) -> None:
            check()
            maven.download(jar.coordinates, ready / jar.filename, check)
            jar.verify(ready / jar.filename)

        pool = ThreadPoolExecutor(PARALLEL_DOWNLOADS)
        stack.callback(pool.shutdown, cancel_futures=True)
        for future in as_completed([pool.submit(fetch_one, jar) for jar in jars]):
            future.result()
            one_more()
        ready.rename(complete)


def _maven() -> ModuleType:
    try:
        from sandbox.devstack import maven  # noqa: PLC0415 - an optional dependency
    except ImportError as exc:
        raise UnsupportedPlatformError("the package jgo is not installed", hint=wheels.HINT) from exc
    return maven


def write_lock() -> None:
    """Resolve Kafka's dependencies anew, and replace the lock file by one rename."""
    with tempfile.TemporaryDirectory(dir=LOCK_PATH.parent) as staging:
        new = Path(staging, LOCK_PATH.name)
        new.write_text(render_lock(_maven().resolve_lock()), encoding="utf-8")
        new.rename(LOCK_PATH)


def main(command: Literal["lock"]) -> None:
    """Rewrites the lock file."""
    write_lock()
    typer.echo(f"{command}: wrote {LOCK_PATH.name}", err=True)


if __name__ == "__main__":
    typer.run(main)
