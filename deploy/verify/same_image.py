"""Whether two images, as `docker save` wrote them, have the same files with the same times, owners and modes.

    python deploy/verify/same_image.py one.tar other.tar

A whiteout (the note in a layer that a file of the base is gone) gets the time of the build from Docker 20.10, whatever
we do, so its time alone is not compared; how many layers are the same to the byte is said.
"""

import hashlib
import json
import sys
import tarfile
from typing import IO, NamedTuple

WHITEOUT = ".wh."


class Entry(NamedTuple):
    """What a layer says of one path."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    time: float
    link: str
    sha256: str


def layers(image: str) -> list[tuple[str, dict[str, Entry]]]:
    """For each layer its digest and what is in it."""
    with tarfile.open(image) as archive:
        (manifest,) = json.load(_member(archive, "manifest.json"))
        found = []
        for name in manifest["Layers"]:
            digest = hashlib.sha256(_member(archive, name).read()).hexdigest()
            with tarfile.open(fileobj=_member(archive, name)) as layer:
                found.append((digest, {member.name: _entry(layer, member) for member in layer}))
        return found


def _member(archive: tarfile.TarFile, name: str | tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(name)
    assert file is not None
    return file


def _entry(layer: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    content = _member(layer, member).read() if member.isreg() else b""
    time = 0 if WHITEOUT in member.name else member.mtime
    sha256 = hashlib.sha256(content).hexdigest()
    return Entry(member.type, member.mode, (member.uid, member.gid), time, member.linkname, sha256)


def main(one: str, other: str) -> int:
    """0 when they are the same; else 1 and the paths that differ."""
    ones, others = layers(one), layers(other)
    if len(ones) != len(others):
        sys.stdout.write(f"{len(ones)} layers, {len(others)} layers\n")
        return 1
    different = [
        f"layer {number}: {path}: {mine.get(path)} {yours.get(path)}"
        for number, ((_, mine), (_, yours)) in enumerate(zip(ones, others, strict=True), 1)
        for path in sorted(mine.keys() | yours.keys())
        if mine.get(path) != yours.get(path)
    ]
    files = sum(len(entries) for _, entries in ones)
    same = sum(a == b for (a, _), (b, _) in zip(ones, others, strict=True))
    sys.stdout.write("\n".join([*different[:20], f"{files} paths, {len(different)} differ"]) + "\n")
    sys.stdout.write(f"{same} of {len(ones)} layers are the same to the byte\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
