"""The job: sources to tiles (in worker processes), tiles to rows (here), in order."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchdigits.classifiers.runner import BATCH, Classifier, Scores, load_model, model_for_ways_up
from batchdigits.classifiers.store import DEFAULT_MODEL
from batchdigits.pool import Pool, Task
from batchdigits.reading import READERS, failed
from batchdigits.runlog import timed
from batchdigits.sources.pixels import picture_from_array
from batchdigits.sources.regions import Region, parse_regions
from batchdigits.sources.walk import Source, find_sources
from batchdigits.types import Layout, Page, PageId, Row, Tiles
from batchdigits.worker import (
    Failure,
    Part,
    Read,
    Reading,
    give_up,
    image_page,
    is_risky,
    read_part,
    rest_of,
    smaller_parts,
)

_FEW = 24  # below that, starting processes takes longer than reading the files
_MEMORY = 1 << 30  # bytes for a process,
_PER_PIXEL = 12  # and for each pixel that a page may have: several times what any reader takes
_FULL = 8 * BATCH  # tiles: the last batch of so many is filled up with few that tell nothing
_WAIT = 1.0  # seconds that a result may wait for others to fill a batch


class Done(NamedTuple):
    """A part of a file that has become rows."""

    part: Part
    read: Read
    rows: list[Row]


def classify_parts(
    parts: Iterable[Part],
    classifier: Classifier,
    reading: Reading,
    *,
    jobs: int = 1,
    stop: threading.Event | None = None,
    guarded: bool = False,
) -> Iterator[Done]:
    """Classify parts of files, and what they show to come after them.

    Parameters
    ----------
    parts : iterable of Part
        What to read, in the order of the rows; taken as they are needed.
    classifier : Classifier
        The model. It stays in this process; for the layout ``page`` a quick one goes to the others, since which way up
        a page lies must be known before all its tiles are made.
    reading : Reading
        How files are read.
    jobs : int
        Processes that read and prepare pictures. The rows are the same for any number.
    stop : threading.Event, optional
        Once it is set, only what is in hand is finished.
    guarded : bool
        Read in other processes however few the files are: one of them may kill what reads it.
    """
    classify = teller_of_ways_up(classifier, reading.layout)
    work = partial(read_part, reading=reading, classify=classify)
    give_up_on = partial(give_up, reading=reading)
    memory = _MEMORY + _PER_PIXEL * reading.limits.max_pixels
    task = Task(work, rest_of, smaller_parts, give_up_on, _few, memory)
    left = iter(parts)
    first = list(itertools.islice(left, _FEW))
    pool = Pool(task, jobs=jobs, stop=stop or threading.Event())
    yield from _classify(pool.results(itertools.chain(first, left), here=not guarded and _few(first)), classifier)


def teller_of_ways_up(classifier: Classifier, layout: Layout) -> Classifier | None:
    """Return the model that tells which way up a page lies; none for what is held as it lies, which needs none."""
    return model_for_ways_up(classifier) if layout is Layout.PAGE else None


def _few(parts: Iterable[Part]) -> bool:
    parts = list(parts)
    return sum(part.weight for part in parts) < _FEW and not any(is_risky(part) for part in parts)


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
        The model.
    regions, layout
        See `Reading`.
    jobs : int
        Processes that read and prepare pictures. The rows are the same for any number.

    Yields
    ------
    list of Row
        The rows of one source, in the order of `sources`; of a long document, of some pages at a time.
    """
    reading = Reading(classifier.card.imaging, tuple(regions), layout)
    for done in classify_parts((Part(source.absolute()) for source in sources), classifier, reading, jobs=jobs):
        yield done.rows


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
    page, wanted = Page(PageId(name), picture_from_array(pixels)), Layout(layout)
    teller = teller_of_ways_up(classifier, wanted)
    (rows,) = rows_of([[image_page(page, classifier.card.imaging, wanted, classify=teller)]], classifier)
    return rows[0]


def _classify(reads: Iterable[tuple[Part, Read] | None], classifier: Classifier) -> Iterator[Done]:
    """Collect results until their tiles fill batches, or until the first has waited for long; turn them into rows."""
    waiting: list[tuple[Part, Read]] = []
    count, since = 0, 0.0
    for found in reads:
        since = since if waiting else time.monotonic()
        if found is not None:
            waiting.append(found)
            count += sum(len(item.boxes) for item in found[1].items if isinstance(item, Tiles))
        if count >= _FULL or len(waiting) >= BATCH or time.monotonic() - since > _WAIT:
            yield from _finish(waiting, classifier)
            waiting, count = [], 0
    if waiting:
        yield from _finish(waiting, classifier)


def _finish(waiting: Sequence[tuple[Part, Read]], classifier: Classifier) -> Iterator[Done]:
    with timed("classify", f"parts of files: {len(waiting)}"):
        all_rows = list(rows_of([read.items for _, read in waiting], classifier))
    return (Done(part, read, rows) for (part, read), rows in zip(waiting, all_rows, strict=True))


def rows_of(results: Sequence[Sequence[Tiles | Failure]], classifier: Classifier) -> Iterator[list[Row]]:
    """Classify the tiles of several sources in one go; yield the rows of each."""
    tiles = [item.pixels for result in results for item in result if isinstance(item, Tiles)]
    scores = classifier(np.concatenate([np.zeros((0, 28, 28), np.float32), *tiles]))
    card, used = classifier.card, 0
    label = card.label
    for result in results:
        rows = []
        for item in result:
            if isinstance(item, Failure):
                rows.append(failed(item.page, item.error, label))
                continue
            part = slice(used, used + len(item.boxes))
            used = part.stop
            own = Scores(scores.probabilities[part], scores.known[part])
            rows.append(READERS[item.layout](item, own, card.thresholds, label))
        yield rows
