"""The job: sources to tiles (in worker processes), tiles to rows (here), in order."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.classifiers.runner import BATCH, Classifier, Scores, load_model
from batchdigits.classifiers.store import DEFAULT_MODEL
from batchdigits.errors import PageError
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.looking import Reread, first_size, look
from batchdigits.reading import READERS, failed
from batchdigits.sources.images import cut_region, picture_from_array, read_page, read_pages
from batchdigits.sources.regions import Region, parse_regions
from batchdigits.sources.walk import Source, find_sources
from batchdigits.types import Layout, Page, PageId, Row, Tiles

_CHUNK = 8  # files per task: sending a task to another process costs about as much as a small picture
_FEW = 24  # below that, starting processes takes longer than reading the files


@dataclass(frozen=True, slots=True)
class Failure:
    """A page that could not be read."""

    page: PageId
    error: PageError


def read_source(
    source: Source, settings: ImagingSettings, regions: Sequence[Region] = (), layout: Layout = Layout.DIGIT
) -> list[Tiles | Failure]:
    """Read one file down to its tiles: what a worker does.

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
    if source.problem:
        detail = f"Cannot be opened ({source.problem.replace('_', ' ')})."
        return _fail_everywhere(PageId(source.name), PageError(source.problem, detail), regions)
    # a region may be a small part of its page: only the whole page may be decoded at reduced size
    reduce_to = None if regions else first_size(settings, layout)
    results: list[Tiles | Failure] = []
    for page in read_pages(source.path, source.name, reduce_to=reduce_to):
        if not isinstance(page, Page):
            results += _fail_everywhere(*page, regions)
        elif not regions:
            results.append(_image(page, settings, layout, partial(read_page, source.path, page.id)))
        else:
            results += [_read_region(page, region, settings, layout) for region in regions]
    return results


def _fail_everywhere(page: PageId, error: PageError, regions: Sequence[Region]) -> list[Tiles | Failure]:
    """Give each region of an unreadable page its row."""
    names = [region.name for region in regions] or [""]
    return [Failure(page._replace(region=name), error) for name in names]


def _read_region(page: Page, region: Region, settings: ImagingSettings, layout: Layout) -> Tiles | Failure:
    try:
        return _image(cut_region(page, region), settings, layout)
    except PageError as error:
        return Failure(page.id._replace(region=region.name), error)


def _image(page: Page, settings: ImagingSettings, layout: Layout, reread: Reread | None = None) -> Tiles | Failure:
    """Find the digits; a page that defeats imaging costs its own row, never the run."""
    try:
        return look(page, settings, layout, reread).tiles
    except Exception as error:  # whatever it is, a person learns of it from the row and the exit code
        return Failure(page.id, PageError("imaging_failed", f"Imaging failed: {type(error).__name__}: {error}"))


def _read_chunk(
    sources: Sequence[Source], settings: ImagingSettings, regions: Sequence[Region], layout: Layout
) -> list[list[Tiles | Failure]]:
    cv2.setNumThreads(1)  # the processes share the cores already
    return [read_source(source, settings, regions, layout) for source in sources]


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C while processes start, which inherit that: it is for this process to end them, in silence."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a mask would not do: loky lifts it
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def classify_sources(
    sources: Sequence[Source],
    classifier: Classifier,
    *,
    regions: Sequence[Region] = (),
    layout: Layout = Layout.DIGIT,
    jobs: int = 1,
) -> Iterator[list[Row]]:
    """Classify files.

    Parameters
    ----------
    sources : sequence of Source
        What to read, in the order of the rows.
    classifier : Classifier
        The model; it stays in this process.
    regions, layout
        See `read_source`.
    jobs : int
        Processes that read and prepare pictures. The rows are the same for any number.

    Yields
    ------
    list of Row
        The rows of one source, in the order of `sources`.
    """
    settings = classifier.card.imaging
    chunks = [sources[start : start + _CHUNK] for start in range(0, len(sources), _CHUNK)]
    if jobs == 1 or len(sources) < _FEW:
        results = (read_source(source, settings, regions, layout) for source in sources)
    else:
        from joblib import Parallel, delayed  # takes 0.2 s, which a single photo should not wait for

        # joblib keeps processes for the next call, and these know nothing of a change of the working folder
        chunks = [[replace(source, path=source.path.absolute()) for source in chunk] for chunk in chunks]
        parallel = Parallel(n_jobs=jobs, return_as="generator")
        with _interrupts_ignored():
            read = parallel(delayed(_read_chunk)(chunk, settings, regions, layout) for chunk in chunks)
        results = (result for chunk in read for result in chunk)
    yield from _classify(results, classifier)


def classify(
    inputs: str | Path | Iterable[str | Path],
    *,
    model: str | Path | Classifier = DEFAULT_MODEL,
    regions: Sequence[str] = (),
    layout: Layout | str = Layout.DIGIT,
    jobs: int = 1,
) -> Iterator[Row]:
    """Classify the digits in files and folders.

    Parameters
    ----------
    inputs : str, Path, or iterable of them
        Folders are walked to the bottom.
    model : str, Path or Classifier
        A name, a model folder, or what `load_model` returned.
    regions : sequence of str
        ``x,y,w,h`` or ``NAME=x,y,w,h``, in pixels or percent: read only these parts of every page.
    layout : Layout or str
        ``digit``: the one digit of each picture; ``number``: the digits of its one line; ``page``: lines of digits,
        whichever way up.
    jobs : int
        Processes. The rows are the same for any number.

    Yields
    ------
    Row
        One per page, or per region of it, ordered by path, page and region.

    Raises
    ------
    BatchdigitsError
        If an input or the model is missing, or a region makes no sense; a bad file is a row.
    """
    paths = [Path(inputs)] if isinstance(inputs, str | Path) else [Path(path) for path in inputs]
    classifier = model if isinstance(model, Classifier) else load_model(model)
    sources = find_sources(paths).sources
    wanted = parse_regions(list(regions))
    for rows in classify_sources(sources, classifier, regions=wanted, layout=Layout(layout), jobs=jobs):
        yield from rows


def classify_array(
    pixels: NDArray[Any],
    *,
    model: str | Path | Classifier = DEFAULT_MODEL,
    layout: Layout | str = Layout.DIGIT,
    name: str = "",
) -> Row:
    """Classify the digits in a picture that is in memory.

    Parameters
    ----------
    pixels : (H, W), (H, W, 3) or (H, W, 4) ndarray
        uint8, uint16, bool, or float from 0 to 1; dark on light or light on dark. The order of the colours does not
        matter, a fourth channel is opacity.
    model, layout
        See `classify`.
    name : str
        What the row calls it.

    Raises
    ------
    ValueError
        If the array is no picture.
    """
    classifier = model if isinstance(model, Classifier) else load_model(model)
    page = Page(PageId(name), picture_from_array(pixels))
    (rows,) = rows_of([[_image(page, classifier.card.imaging, Layout(layout))]], classifier)
    return rows[0]


def _classify(results: Iterable[list[Tiles | Failure]], classifier: Classifier) -> Iterator[list[Row]]:
    """Collect results until their tiles fill a batch, then turn them into rows."""
    waiting: list[list[Tiles | Failure]] = []
    count = 0
    for result in results:
        waiting.append(result)
        count += sum(len(item.boxes) for item in result if isinstance(item, Tiles))
        if count >= BATCH or len(waiting) >= BATCH:
            yield from rows_of(waiting, classifier)
            waiting, count = [], 0
    yield from rows_of(waiting, classifier)


def rows_of(results: Sequence[Sequence[Tiles | Failure]], classifier: Classifier) -> Iterator[list[Row]]:
    """Classify the tiles of several sources in one go; yield the rows of each."""
    tiles = [item.pixels for result in results for item in result if isinstance(item, Tiles)]
    scores = classifier(np.concatenate([np.zeros((0, 28, 28), np.float32), *tiles]))
    card, used = classifier.card, 0
    for result in results:
        rows = []
        for item in result:
            if isinstance(item, Failure):
                rows.append(failed(item.page, item.error, card.label))
                continue
            part = slice(used, used + len(item.boxes))
            used = part.stop
            own = Scores(scores.probabilities[part], scores.known[part])
            rows.append(READERS[item.layout](item, own, card.thresholds, card.label))
        yield rows
