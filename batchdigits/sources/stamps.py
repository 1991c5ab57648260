"""Whether a file is still what it was: by a look at it, or by its content."""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO, NamedTuple

_DIGEST = 12  # bytes: as many pictures as there will ever be have no two in common
_BLOCK = 1 << 18  # bytes


class Stamp(NamedTuple):
    """What changes when a file does: cheap to look at, good enough to skip the content."""

    size: int  #: bytes
    modified: int  #: nanoseconds
    inode: int


def stamp_of(path: str | os.PathLike[str]) -> Stamp | None:
    """Return the stamp of a file; None if there is none."""
    try:
        return stamp_from(os.stat(path))  # noqa: PTH116
    except OSError:
        return None


def stamp_from(found: os.stat_result) -> Stamp:
    """Return the stamp that a look at a file gives."""
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def digest_of(path: str | os.PathLike[str]) -> bytes:
    """Return 12 bytes that stand for the content of a file; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return digest_of_file(file)
    except OSError:
        return b""


def digest_of_file(file: BinaryIO) -> bytes:
    """Return what `digest_of` does, of an open file, from its beginning; empty if it cannot be read."""
    found = hashlib.sha256()
    try:
        file.seek(0)
        while block := file.read(_BLOCK):
            found.update(block)
    except OSError:
        return b""
    return found.digest()[:_DIGEST]


def digest_of_bytes(content: bytes) -> bytes:
    """Return what `digest_of` does, of a file that is read already."""
    return hashlib.sha256(content).digest()[:_DIGEST]
