"""The one door to files of every format: pages, read in any order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from batchdigits.errors import PageError
from batchdigits.sources.heif import is_heif, open_heif
from batchdigits.sources.images import open_image
from batchdigits.sources.limits import USUAL, Limits
from batchdigits.sources.pdf import is_pdf, open_pdf
from batchdigits.types import Page, PageId

HEAD = 1024  # bytes: so far into a file its PDF header may begin


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
    with contextlib.ExitStack() as stack:
        yield _open(path, limits, stack)


def _open(path: Path, limits: Limits, stack: contextlib.ExitStack) -> Document:
    """Open a file; every way this can fail becomes a `PageError`."""
    try:
        file = stack.enter_context(path.open("rb"))
        head = file.read(HEAD)
        if not head:
            raise PageError("empty_file", "The file is empty (0 bytes).")
        if is_pdf(head):
            return stack.enter_context(open_pdf(path, limits))
        if is_heif(head):
            return open_heif(file, limits)
        return open_image(file, limits)
    except PageError:
        raise
    except FileNotFoundError as error:
        raise PageError("unreadable", "The file is gone, or a link leads nowhere.") from error
    except PermissionError as error:
        raise PageError("unreadable", "No permission to read the file.") from error
    except Exception as error:  # a decoder's complaints about a broken file have no common class
        raise PageError("unreadable", f"The file cannot be read: {error}") from error


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
