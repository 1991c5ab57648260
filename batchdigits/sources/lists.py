"""A file with a path per line to the paths."""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path

from batchdigits.errors import NoInputError
from batchdigits.sources.walk import display_name


def read_file_list(source: Path | None) -> list[str]:
    r"""Read a list of paths.

    Parameters
    ----------
    source : Path or None
        The file; None or ``-`` for the standard input. It has one path per line, or, if it holds a NUL at all, these
        between the paths, as ``find -print0`` writes them. Lines may end as on Windows; text may be UTF-16 with its
        mark, as PowerShell writes it.

    Returns
    -------
    list of str
        The paths as written, for `find_sources`; names need not be UTF-8. Empty lines are left out. Empty for an
        empty file.

    Raises
    ------
    NoInputError
        If the list cannot be read.
    """
    source = source or Path("-")
    name = display_name(str(source))
    try:
        return _split(_read(source))
    except IsADirectoryError:
        raise NoInputError(f"{name} is a folder, no list. To read all that is in it, give it as INPUT.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NoInputError(f"Cannot read the list {name}: {reason}. It needs a path per line, as text.") from None


def _read(source: Path) -> bytes:
    if str(source) != "-":
        return source.read_bytes()
    if sys.stdin is None:  # of a process that was started without one
        raise OSError("there is no standard input")
    return sys.stdin.buffer.read()


def _split(data: bytes) -> list[str]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    paths = data.split(b"\0") if b"\0" in data else (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return [os.fsdecode(path) for path in paths if path]
