"""One file, or some pages of a document, to tiles: what a worker does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2

from batchdigits.errors import ModelError, PageError
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.looking import Reread, find_tiles, first_size
from batchdigits.orientation import Classify
from batchdigits.pickling import by_fields
from batchdigits.sources.documents import HEAD, Document, OpenFile
from batchdigits.sources.images import cut_region
from batchdigits.sources.limits import USUAL, Limits
from batchdigits.sources.pdf import is_pdf
from batchdigits.sources.regions import Region
from batchdigits.sources.stamps import Stamp, stamp_of
from batchdigits.sources.walk import Source
from batchdigits.types import Layout, Page, PageId, Tiles

_PAGES = 8  # of a document at a time: so many stand in memory at once, and so many are lost to a power cut
_FRESH = 2_000_000_000  # nanoseconds: a file changed so lately may change again without getting another time

PASSING = frozenset(("reader_missing", "worker_died"))
"""Reasons that may be gone when the same content is read again: a resumed run tries once more, as it does with what
could not be opened at all."""

_PROBLEMS = {
    "missing": "There is no such file.",
    "unreadable": "It cannot be opened: a link that leads nowhere, or no permission.",
    "unreadable_folder": "The folder cannot be listed: no permission, most probably.",
    "not_a_file": "It is a pipe, a socket or a device, not a file.",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read: all that decides which tiles one gives."""

    imaging: ImagingSettings = field(default_factory=ImagingSettings)
    regions: tuple[Region, ...] = ()  #: parts to read of every page, in the order of their rows; none for the whole
    layout: Layout = Layout.DIGIT
    limits: Limits = USUAL
    digests: bool = False  #: take those of the files' contents as well, for a state that is kept


@by_fields
@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring pages of one file."""

    source: Source
    nth: int = 0  #: of several files that have the same name, one from each input
    first: int = 1  #: page
    count: int = _PAGES  #: of pages at most; 0 only counts those of the file
    pages: int = 0  #: of the file; 0 where that is to be found out, and the rest to be read after these

    @property
    def weight(self) -> int:
        """How many pages are known to be in it."""
        return 1 if self.first == 1 else self.count


@dataclass(frozen=True, slots=True)
class Failure:
    """A page that could not be read."""

    page: PageId
    error: PageError


@by_fields
@dataclass(frozen=True, slots=True)
class Read:
    """What a part of a file came to."""

    items: tuple[Tiles | Failure, ...]  #: one per page, or per region of each page, in order
    count: int = 1  #: of pages read
    pages: int = 1  #: of the whole file
    stamp: Stamp | None = None  #: of the file; None if it changed meanwhile, or if it may be read better another time
    digest: bytes = b""  #: of the file's content, if it was asked for; of its first part only
    milliseconds: float = 0.0


def read_part(part: Part, reading: Reading, classify: Classify | None = None) -> Read:
    """Read some pages of a file down to their tiles; a model tells which way up they lie: see `look`."""
    cv2.setNumThreads(1)  # the processes share the cores already
    start = time.perf_counter()
    source = part.source
    if source.problem:
        error = PageError(source.problem, _PROBLEMS[source.problem])
        return Read(tuple(_fail_everywhere(PageId(source.name, part.first), error, reading.regions)))
    stamp, digest = None, b""
    items: list[Tiles | Failure] = []
    count, pages = 1, part.pages or part.first
    try:
        with OpenFile(source.place) as opened:
            stamp = opened.stamp()
            digest = opened.digest() if reading.digests and part.first == 1 else b""
            document = opened.document(reading.limits)
            pages = part.pages or document.pages
            count = min(part.count, pages - part.first + 1)
            for number in range(part.first, part.first + count):
                items += _read_one(document, PageId(source.name, number), reading, classify)
    except ModelError:  # costs the run, not a file
        raise
    except Exception as error:  # whatever it is, a person learns of it from the row and the exit code
        items += _fail_everywhere(PageId(source.name, part.first), _told(error, "file"), reading.regions)
    passing = any(isinstance(item, Failure) and item.error.reason in PASSING for item in items)
    comparable = bool(digest) or part.first > 1
    kept = stamp if comparable and stamp == stamp_of(source.place) and not passing else None
    if kept and time.time_ns() - kept.modified < _FRESH:
        kept = kept._replace(modified=0)  # the next run compares the content
    return Read(tuple(items), count, pages, kept, digest, 1000 * (time.perf_counter() - start))


def read_source(
    source: Source, settings: ImagingSettings, regions: Sequence[Region] = (), layout: Layout = Layout.DIGIT
) -> list[Tiles | Failure]:
    """Read one file down to its tiles.

    Parameters
    ----------
    source : Source
        The file.
    settings : ImagingSettings
        Of the model.
    regions : sequence of Region
        Parts to read of every page, in the order of their rows; none for the whole page.
    layout : Layout
        What to look for.

    Returns
    -------
    list of Tiles or Failure
        One per page, or per region of each page, in order. Never empty.
    """
    reading = Reading(settings, tuple(regions), layout)
    items: list[Tiles | Failure] = []
    parts = [Part(source)]
    for part in parts:
        read = read_part(part, reading)
        items += read.items
        parts += rest_of(part, read)
    return items


def rest_of(part: Part, read: Read) -> list[Part]:
    """Return what is left to read of a file, in order, once a part of it has told how many pages it has."""
    if part.pages:
        return []
    size = 1 if part.count == 0 else _PAGES
    done = part.first + read.count
    return [
        Part(part.source, part.nth, first, min(size, read.pages - first + 1), read.pages)
        for first in range(done, read.pages + 1, size)
    ]


def is_risky(part: Part) -> bool:
    """Tell whether reading may take all time and memory there is: a few words in a PDF may ask pdfium for that."""
    if part.source.problem:
        return False
    try:
        with part.source.path.open("rb") as file:
            return is_pdf(file.read(HEAD))
    except OSError:
        return False


def smaller_parts(part: Part) -> list[Part]:
    """Return what to read instead of a part that killed its worker; empty if it is a single page."""
    if part.count and not part.pages:
        return [Part(part.source, part.nth, part.first, count=0)]
    if part.count > 1:
        pages = range(part.first, part.first + part.count)
        return [Part(part.source, part.nth, number, 1, part.pages) for number in pages]
    return []


def give_up(part: Part, why: str, reading: Reading) -> Read:
    """Return what stands for a part that cannot be read without killing its worker."""
    error = PageError("worker_died", why)
    items = tuple(_fail_everywhere(PageId(part.source.name, part.first), error, reading.regions))
    return Read(items, 1, part.pages or part.first)


def _told(error: Exception, what: str) -> PageError:
    """Return what to say of something that cannot be read."""
    if isinstance(error, PageError):
        return error
    return PageError("unreadable", f"The {what} cannot be read: {type(error).__name__}: {error}")


def _fail_everywhere(page: PageId, error: PageError, regions: Sequence[Region]) -> Iterator[Failure]:
    """Give each region of an unreadable page its row."""
    for name in [region.name for region in regions] or [""]:
        yield Failure(page._replace(region=name), error)


def _read_one(document: Document, id: PageId, reading: Reading, classify: Classify | None) -> Iterator[Tiles | Failure]:
    """Read one page; what defeats reading or imaging costs its own rows, never the run."""
    # a region may be a small part of its page: only the whole page may be decoded at reduced size
    reduce_to = None if reading.regions else first_size(reading.imaging, reading.layout)
    try:
        page = document.read(id, reduce_to)
    except Exception as error:  # it must not cost the other pages theirs
        yield from _fail_everywhere(id, _told(error, "page"), reading.regions)
        return
    if not reading.regions:
        yield image_page(page, reading.imaging, reading.layout, partial(document.read, id), classify)
    for region in reading.regions:
        try:
            yield image_page(cut_region(page, region), reading.imaging, reading.layout, classify=classify)
        except PageError as error:
            yield Failure(id._replace(region=region.name), error)


def image_page(
    page: Page,
    settings: ImagingSettings,
    layout: Layout,
    reread: Reread | None = None,
    classify: Classify | None = None,
) -> Tiles | Failure:
    """Find the digits; a page that defeats imaging costs its own row, never the run."""
    try:
        return find_tiles(page, settings, layout, reread, classify)
    except ModelError:
        raise
    except Exception as error:  # whatever it is, a person learns of it from the row and the exit code
        return Failure(page.id, PageError("imaging_failed", f"Imaging failed: {type(error).__name__}: {error}"))
