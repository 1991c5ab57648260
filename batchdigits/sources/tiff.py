"""The frames of a TIFF: where each begins, and the file as if it began with one of them.

Pillow would parse the directories of all frames before the one it is asked for, each time a file is opened.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO, Literal, NamedTuple


class Frames(NamedTuple):
    """The chain of directories that leads from frame to frame."""

    starts: tuple[int, ...]  #: of each frame's directory, in bytes
    damaged: bool = False  #: the last of these directories is: nothing leads to the frames behind it


class _Kind(NamedTuple):
    """The widths of numbers in a TIFF, in bytes."""

    order: Literal["little", "big"]
    first_at: int  #: where the header says where the first directory begins
    offset: int
    entries: int  #: of how many there are in a directory
    entry: int


_KINDS = {
    b"II*\0": _Kind("little", 4, 4, 2, 12),
    b"MM\0*": _Kind("big", 4, 4, 2, 12),
    b"II+\0": _Kind("little", 8, 8, 8, 20),
    b"MM\0+": _Kind("big", 8, 8, 8, 20),
}


def find_frames(file: BinaryIO, most: int) -> Frames | None:
    """Follow the chain of frames.

    Parameters
    ----------
    file : binary file
        Any file.
    most : int
        How many frames to look for; one more is returned if there are more.

    Returns
    -------
    Frames or None
        None if this is no TIFF. A chain that leads in a circle ends before the frame that it comes back to.
    """
    file.seek(0)
    kind = _KINDS.get(file.read(4))
    if kind is None:
        return None
    size = file.seek(0, os.SEEK_END)
    starts: dict[int, None] = {}
    start = _number(file, kind.first_at, kind.offset, kind)
    while start not in starts and len(starts) <= most and (start or not starts):
        starts[start] = None
        entries = _number(file, start, kind.entries, kind)
        end = start + kind.entries + entries * kind.entry
        if not start or end + kind.offset > size:
            return Frames(tuple(starts), damaged=True)
        start = _number(file, end, kind.offset, kind)
    return Frames(tuple(starts))


def _number(file: BinaryIO, at: int, width: int, kind: _Kind) -> int:
    file.seek(min(at, (1 << 63) - 1))  # larger ones, which damage makes, are no place in a file
    return int.from_bytes(file.read(width), kind.order)


class FromFrame(io.RawIOBase):
    """A TIFF that begins with another of its frames."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        super().__init__()
        self._file = file
        file.seek(0)
        header = file.read(16)
        kind = _KINDS[header[:4]]
        offset = start.to_bytes(kind.offset, kind.order)
        self._header = header[: kind.first_at] + offset
        file.seek(0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return that of the whole file: libtiff reads from it, and is told which directory to take."""
        return self._file.fileno()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read from the file; its header says where the frame is."""
        at = self._file.tell()
        content = self._file.read(size)
        ours = self._header[at : at + len(content)]
        return ours + content[len(ours) :]
