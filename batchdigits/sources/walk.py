"""Folders and files to a sorted list of what to read."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from batchdigits.errors import NoInputError

IMAGE_EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")
    + (".avif", ".heic", ".heif")
)
OWN_SUFFIXES = (".inspect.png", ".csv.state", ".tmp")
"""Endings of files that runs leave behind; they are never read back as pages."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BRANDS = frozenset((b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1"))


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read."""

    path: Path
    name: str  #: relative to its input folder, `/` as separator; bytes that are not UTF-8 as ``\\xNN``
    problem: str = ""  #: why it cannot even be opened, a stable code; empty if nothing is known against it


@dataclass(frozen=True, slots=True)
class Listing:
    """What a walk found."""

    sources: tuple[Source, ...]  #: sorted by name, by code points
    others: tuple[str, ...]  #: names of files that are no images, sorted


def display_name(path: str) -> str:
    r"""Return a path as text: `/` as separator, bytes that are not UTF-8 as ``\xNN``."""
    return os.fsencode(path.replace(os.sep, "/")).decode("utf-8", "backslashreplace")


def looks_like_image(head: bytes) -> bool:
    """Tell an image by its first bytes (16 are enough)."""
    if head.startswith(_SIGNATURES):
        return True
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return True
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":  # two letters alone would make images of many texts
        return True
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS


def _examine(path: Path, name: str) -> Source | None:
    """Return the file as a source, or None if it is no image."""
    by_name = path.suffix.lower() in IMAGE_EXTENSIONS
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a named pipe would wait for ever
            return Source(path, name, "not_a_file") if by_name else None
        if by_name:
            return Source(path, name)
        with path.open("rb") as file:
            return Source(path, name) if looks_like_image(file.read(16)) else None
    except OSError:
        return Source(path, name, "unreadable") if by_name else None


def _place(path: Path) -> Path:
    """Return the absolute path behind all links; a link that leads in a circle stays as it is."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: Python before 3.13 says so of a circle
        return path.absolute()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, a folder that may not be entered
        return False


def find_sources(inputs: Iterable[Path], *, skip: Collection[Path] = ()) -> Listing:
    """Find every image under the given folders and files.

    Parameters
    ----------
    inputs : iterable of Path
        Folders are walked to the bottom; links to folders are not followed. Hidden files and folders are left out,
        unless named themselves.
    skip : collection of Path
        Files of this run, never to be read.

    Returns
    -------
    Listing
        A folder that cannot be listed is a source with the problem ``unreadable_folder``.

    Raises
    ------
    NoInputError
        If an input does not exist.
    """
    unwanted = {_place(path) for path in skip}
    sources: list[Source] = []
    others: list[str] = []

    def add(path: Path, name: str) -> None:
        if path.name.endswith(OWN_SUFFIXES) or (unwanted and _place(path) in unwanted):
            return
        source = _examine(path, name)
        if source is None:
            others.append(name)
        else:
            sources.append(source)

    for given in inputs:
        if not _exists(given):
            raise NoInputError(f"{display_name(str(given))} does not exist. Check the path; quote it if it has spaces.")
        if not given.is_dir():
            add(given, display_name(given.name))
            continue

        def complain(error: OSError, root: Path = given) -> None:
            folder = Path(os.fsdecode(error.filename))
            name = display_name(str(folder.relative_to(root))) + "/"
            sources.append(Source(folder, name, "unreadable_folder"))

        for folder, subfolders, files in os.walk(given, onerror=complain):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            here = Path(folder)
            for file in files:
                if not file.startswith("."):
                    add(here / file, display_name(str((here / file).relative_to(given))))
    # equal names from two inputs keep the order of the inputs: sort is stable
    return Listing(tuple(sorted(sources, key=lambda source: source.name)), tuple(sorted(others)))
