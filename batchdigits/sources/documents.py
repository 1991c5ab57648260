"""The one door to files of every format: pages, read in any order."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from batchdigits.errors import PageError
from batchdigits.sources.heif import is_heif, open_heif
from batchdigits.sources.images import open_image
from batchdigits.sources.limits import USUAL, Limits
from batchdigits.sources.pdf import is_pdf, open_pdf
from batchdigits.sources.png import open_plain_png
from batchdigits.sources.stamps import Stamp, digest_of_bytes, digest_of_file, stamp_from
from batchdigits.types import Page, PageId

HEAD = 1024  # bytes: so far into a file its PDF header may begin
_START = 1 << 16  # bytes read at once: all that most pictures of single digits have
_JPEG = b"\xff\xd8\xff"
_WHOLE = 1 << 25  # bytes: a JPEG that has no more is read once, for its digest and for its decoder


class Document(Protocol):
    """An open file."""

    pages: int  #: how many, at least 1; each can be asked for

    def read(self, page: PageId, reduce_to: int | None = None) -> Page:
        """Read one page; its number says which.

        Parameters
        ----------
        page : PageId
            Also what the page will be called.
        reduce_to : int, optional
            The page may come at 1/2, 1/4 or 1/8 of its size while its long side stays at least this many pixels.

        Raises
        ------
        PageError
            If it cannot be read. The other pages still can.
        """


class OpenFile:
    """A file, opened once for all that is asked of it; to be left as any open file.

    Parameters
    ----------
    path : str or path-like
        Of anything.

    Raises
    ------
    PageError
        If it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._open = contextlib.ExitStack()
        try:
            self._file = self._open.enter_context(open(path, "rb"))  # noqa: PTH123, SIM115
            self._start = self._file.read(_START)
            is_whole = len(self._start) < _START
            size = os.fstat(self._file.fileno()).st_size if self._start.startswith(_JPEG) else 0
            if _START <= size <= _WHOLE:
                self._file.seek(0)
                self._start = self._file.read(size + 1)  # two parts put together would take more time
                is_whole = len(self._start) <= size  # it may grow meanwhile
            self._is_whole = is_whole
        except Exception as error:
            self._open.close()
            raise _told(error) from error

    def __enter__(self) -> OpenFile:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, and its document."""
        self._open.close()

    def stamp(self) -> Stamp:
        """Return the stamp of the very file that is read, whatever its name leads to by now."""
        return stamp_from(os.fstat(self._file.fileno()))

    def digest(self) -> bytes:
        """Return 12 bytes that stand for the content; empty if it cannot be read."""
        return digest_of_bytes(self._start) if self._is_whole else digest_of_file(self._file)

    def document(self, limits: Limits = USUAL) -> Document:
        """Find the pages of the file without decoding any; they can be read while it is open.

        Raises
        ------
        PageError
            If none can be read.
        """
        try:
            return self._document(limits)
        except Exception as error:
            raise _told(error) from error

    def _document(self, limits: Limits) -> Document:
        if not self._start:
            raise PageError("empty_file", "The file is empty (0 bytes).")
        plain = open_plain_png(self._start, limits) if len(self._start) < _START else None
        if plain:
            return plain
        head = self._start[:HEAD]
        if is_pdf(head):
            return self._open.enter_context(open_pdf(Path(self._path), limits))
        file = io.BytesIO(self._start) if self._is_whole else self._file
        return open_heif(file, limits) if is_heif(head) else open_image(file, limits)


def _told(error: Exception) -> PageError:
    """Return what to say of a file that cannot be opened."""
    if isinstance(error, PageError):
        return error
    if isinstance(error, FileNotFoundError):
        return PageError("unreadable", "The file is gone, or a link leads nowhere.")
    if isinstance(error, PermissionError):
        return PageError("unreadable", "No permission to read the file.")
    # a decoder's complaints about a broken file have no common class
    return PageError("unreadable", f"The file cannot be read: {error}")


@contextlib.contextmanager
def open_document(path: Path, limits: Limits = USUAL) -> Iterator[Document]:
    """Open a file without decoding any page.

    Parameters
    ----------
    path : Path
        An image, a TIFF of several frames, or a PDF, whatever its name says.
    limits : Limits
        What is too large.

    Raises
    ------
    PageError
        If none of its pages can be read.
    """
    with OpenFile(path) as opened:
        yield opened.document(limits)


def read_pages(
    path: Path, name: str, *, reduce_to: int | None = None, limits: Limits = USUAL
) -> Iterator[Page | tuple[PageId, PageError]]:
    """Read the pages of one file.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What its rows call it.
    reduce_to, limits
        See `Document.read` and `open_document`.

    Yields
    ------
    Page or (PageId, PageError)
        One per page, in order; the error where that page cannot be read, or the file cannot.
    """
    try:
        with open_document(path, limits) as document:
            for number in range(1, document.pages + 1):
                page = PageId(name, number)
                try:
                    found: Page | tuple[PageId, PageError] = document.read(page, reduce_to)
                except PageError as error:
                    found = page, error
                yield found
    except PageError as error:
        yield PageId(name), error


def read_page(path: Path, page: PageId, reduce_to: int | None = None, limits: Limits = USUAL) -> Page:
    """Read one page of a file; see `Document.read`.

    Raises
    ------
    PageError
        If it cannot be read, or there is no such page.
    """
    with open_document(path, limits) as document:
        if not 1 <= page.number <= document.pages:
            raise PageError("unreadable", f"There is no page {page.number}.")
        return document.read(PageId(page.file, page.number), reduce_to)
