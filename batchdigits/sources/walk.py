"""Folders and files to a sorted list of what to read."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from io import FileIO
from operator import attrgetter
from pathlib import Path, PurePath

from batchdigits.errors import NoInputError
from batchdigits.pickling import by_fields
from batchdigits.sources.patterns import Patterns

PAGE_EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")
    + (".avif", ".heic", ".heif", ".pdf")
)
OWN_SUFFIXES = (".inspect.png", ".state", ".state-wal", ".state-shm", ".state-journal", ".run.json", ".tmp")
"""Endings of files that runs leave behind; they are never read back as pages."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
ANY_CODEC_BRANDS = frozenset((b"mif1", b"msf1"))
AVIF_BRANDS = frozenset((b"avif", b"avis"))


@by_fields
@dataclass(frozen=True, slots=True)
class Source:
    """One file to read. All files of a folder share its root: a hundred thousand of them must cost little."""

    root: str  #: the input folder, with a separator at its end; empty for the current one, or a path from a list
    relative: str  #: from there to the file, `/` as separator; bytes that are not UTF-8 as Python keeps them in paths
    problem: str = ""  #: why it cannot even be opened, a stable code; empty if nothing is known against it

    @classmethod
    def of(cls, path: Path) -> Source:
        """Return a file as if it were named itself: its row is named by the file name alone."""
        return cls(sys.intern(str(path).removesuffix(path.name)), path.name)

    @property
    def place(self) -> str:
        """Where it is."""
        return self.root + self.relative

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.place)

    @property
    def name(self) -> str:
        r"""What its rows are named by: `relative`, with bytes that are not UTF-8 as ``\xNN``."""
        return display_name(self.relative)

    def absolute(self) -> Source:
        """Return the same source, with a path that does not depend on the current folder."""
        if os.path.isabs(self.root or self.relative):  # noqa: PTH117
            return self
        return Source(sys.intern(os.path.join(os.getcwd(), self.root)), self.relative, self.problem)  # noqa: PTH109,PTH118


@dataclass(frozen=True, slots=True)
class Listing:
    """What a walk found."""

    sources: tuple[Source, ...]  #: sorted by name, by code points
    others: tuple[str, ...]  #: names of files that are no pages, sorted


def display_name(path: str) -> str:
    r"""Return a path as text: `/` as separator, bytes that are not UTF-8 as ``\xNN``."""
    path = path.replace(os.sep, "/")
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")


def looks_like_page(head: bytes) -> bool:
    """Tell an image or a PDF by its first bytes (16 are enough)."""
    if head.startswith((*_SIGNATURES, b"%PDF-")):
        return True
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return True
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":  # two letters alone would make images of many texts
        return True
    return head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS | ANY_CODEC_BRANDS | AVIF_BRANDS


def find_sources(
    inputs: Iterable[Path],
    *,
    skip: Collection[Path] = (),
    exclude: Collection[str] = (),
    listed: Collection[str | Path] = (),
) -> Listing:
    """Find every image and PDF under the given folders and files.

    Parameters
    ----------
    inputs : iterable of Path
        Folders are walked to the bottom; links to folders are not followed. Hidden files and folders are left out,
        unless named themselves. The rows of a file named itself have its name alone.
    skip : collection of Path
        Files of this run, never to be opened.
    exclude : collection of str
        Shell-style patterns of files and folders to leave out, matched with regard to case. Without ``/`` a pattern is
        for every single part of the path relative to the input folder, with one for the path as a whole, where ``*``
        may stand for several parts; one at its start says just that, one at its end means folders only. What
        `inputs` name themselves stays.
    listed : collection of str or Path
        Paths as `read_file_list` gives them. They differ from `inputs`: rows are named by the path as written, it is
        this path that `exclude` is for, and a file that does not exist is a source with the problem ``missing``.

    Returns
    -------
    Listing
        A folder that cannot be listed is a source with the problem ``unreadable_folder``. What is reached twice under
        the same name is there once.

    Raises
    ------
    NoInputError
        If an input does not exist.
    """
    modes = [(given, _mode(given)) for given in inputs]  # a mistyped one is told before a long walk
    findings = _Findings(skip, exclude)
    for given, mode in modes:
        findings.take_input(given, mode)
    for written in listed:
        findings.take_listed(_tidy(written))
    once = dict.fromkeys if len(modes) + len(listed) > 1 else list  # one folder holds nothing twice
    sources = sorted(once(findings.sources), key=attrgetter("relative"))
    # equal names from two inputs keep the order of the inputs: sorting is stable
    sources.sort(key=attrgetter("name"))
    return Listing(tuple(sources), tuple(sorted(source.name for source in once(findings.others))))


def _mode(given: Path) -> int:
    try:
        return given.stat().st_mode
    except (OSError, ValueError):  # also: a name too long, a folder that may not be entered
        name = display_name(str(given))
        raise NoInputError(f"{name} does not exist. Check the path; quote it if it has spaces.") from None


def _tidy(written: str | Path) -> str:
    """Return a path without what does not change it, `/` as separator; empty for the current folder."""
    path = PurePath(written).as_posix()
    if os.sep == "/" and path.startswith("//"):  # pathlib keeps two, which on Windows alone mean something
        path = path[1:]
    return "" if path == "." else path


def _as_prefix(folder: Path) -> str:
    """Return what, set before the name of a file in it, makes the path of that file."""
    return str(folder / "x")[:-1]  # no separator after "" and "/", one after others


class _Findings:
    """What has been found, and the rules of what to leave out."""

    def __init__(self, skip: Collection[Path], exclude: Collection[str]) -> None:
        self.sources: list[Source] = []
        self.others: list[Source] = []
        self._excludes = Patterns(exclude)
        self._skipped = {found for path in skip if (found := identity(str(path))) is not None}
        # links apart, a file goes by its own name whatever way leads to it: others need not be looked up
        self._skipped_names = {os.path.normcase(_place(path).name) for path in skip}

    def take_input(self, given: Path, mode: int) -> None:
        """Take what a user asked for by its path: nothing excludes it."""
        if stat.S_ISDIR(mode):
            self._walk(_as_prefix(given), "")
            return
        source = Source.of(given)
        if not self._is_own(source.relative, str(given), is_link=True):
            self._add(source, stat.S_ISREG(mode))

    def take_listed(self, relative: str) -> None:
        """Take a tidy path from a list."""
        mode, problem = 0, ""
        try:
            mode = Path(relative).stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            problem = "missing"
        except (OSError, ValueError):
            problem = "unreadable"
        is_folder = stat.S_ISDIR(mode)
        if self._excludes.cover_part_of(relative, is_folder):
            return
        if is_folder:
            self._walk("", _as_prefix(Path(relative)).replace(os.sep, "/"))
        elif self._is_own(relative, relative, is_link=True):
            return
        elif problem:
            self.sources.append(Source("", relative, problem))
        else:
            self._add(Source("", relative), stat.S_ISREG(mode))

    def _walk(self, root: str, start: str) -> None:
        """Take all files below a folder, in no order."""
        folders = [start]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(root + folder or ".") as entries:
                    folders += [f"{folder}{entry.name}/" for entry in entries if self._take_entry(root, folder, entry)]
            except OSError:
                self.sources.append(Source(root, folder or "./", "unreadable_folder"))

    def _take_entry(self, root: str, folder: str, entry: os.DirEntry[str]) -> bool:
        """Take a file; return whether it is a folder instead, which is to be walked."""
        if entry.name.startswith("."):
            return False
        try:
            is_link, is_folder, is_regular = entry.is_symlink(), entry.is_dir(), entry.is_file()
        except OSError:  # of links only: a circle, or one into a folder that may not be entered
            is_link, is_folder, is_regular = True, False, False
        relative = folder + entry.name
        if self._excludes.cover(relative, is_folder):
            return False
        if is_folder:
            return not is_link
        if not self._is_own(entry.name, entry.path, is_link):
            self._add(Source(root, relative), is_regular)
        return False

    def _is_own(self, name: str, path: str, is_link: bool) -> bool:
        """Tell a file of this or another run, without opening it: closing an SQLite file gives up all its locks."""
        if name.endswith(OWN_SUFFIXES):
            return True
        if not self._skipped or not (is_link or os.path.normcase(name) in self._skipped_names):
            return False
        return identity(path) in self._skipped

    def _add(self, source: Source, is_regular: bool) -> None:
        by_name = os.path.splitext(source.relative)[1].lower() in PAGE_EXTENSIONS  # noqa: PTH122
        if by_name and not is_regular:
            self.sources.append(Source(source.root, source.relative, _why_not_regular(source.path)))
        elif by_name or (is_regular and _starts_like_page(source.root + source.relative)):
            self.sources.append(source)
        else:
            self.others.append(source)


def identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file from all others, whatever its name; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _place(path: Path) -> Path:
    """Return the absolute path behind all links; a link that leads in a circle stays as it is."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: Python before 3.13 says so of a circle
        return path.absolute()


def _why_not_regular(path: Path) -> str:
    try:
        path.stat()
    except OSError:
        return "unreadable"
    return "not_a_file"  # opening a named pipe would wait for ever


def _starts_like_page(path: str) -> bool:
    try:
        with FileIO(path) as file:
            return looks_like_page(file.read(16))
    except OSError:
        return False
