"""Whether a file is still what it was: by a look at it, or by its content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple


class Stamp(NamedTuple):
    """What changes when a file does: cheap to look at, good enough to skip the content."""

    size: int  #: bytes
    modified: int  #: nanoseconds
    inode: int


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def digest_of(path: Path) -> bytes:
    """Return 12 bytes that stand for the content of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).digest()
    except OSError:
        return b""
