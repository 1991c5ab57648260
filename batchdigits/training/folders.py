"""A folder per digit, as people collect their own handwriting, to labelled examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.errors import DataError, PageError
from batchdigits.imaging.normalise import make_tile
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.looking import first_size, look_for_digit
from batchdigits.sources.documents import read_page, read_pages
from batchdigits.sources.walk import Source, display_name, find_sources
from batchdigits.training.parallel import run_chunks
from batchdigits.training.progress import silent
from batchdigits.types import Layout, Page, PageId

_DIGITS = "0123456789"
_NAMED = 5  # so many left out are named; the others are counted
_CHUNK = 8  # files per task: sending a task to another process costs about as much as a small picture
_FEW = 24  # files; below that, starting processes takes longer than reading them


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Digits that people wrote, in the order of their files' names."""

    pictures: NDArray[np.uint8]  #: (N, 28, 28), ink 255 on 0, as MNIST has them: fitted, centred, not deskewed
    tiles: NDArray[np.float32]  #: (N, 28, 28), 0 paper, 1 ink, as `classify` would make them
    labels: NDArray[np.int64]  #: (N,), 0-9


class _Example(NamedTuple):
    label: int
    picture: NDArray[np.uint8]
    tile: NDArray[np.float32]


class _LeftOut(NamedTuple):
    name: str
    reason: str


def read_folder(
    folder: Path, settings: ImagingSettings, *, fewest: int, jobs: int, say: Callable[[str], None]
) -> Examples:
    """Read the photos and scans of one digit each in ``FOLDER/0`` to ``FOLDER/9`` and all folders below these.

    Parameters
    ----------
    folder : Path
        Files directly in it are ignored; `say` is told.
    settings : ImagingSettings
        As in use later.
    fewest : int
        Examples that every digit must have. 0 lets digits be missing.
    jobs : int
        Processes. The examples are the same for any number.
    say : callable
        Told which pictures are left out: those that cannot be read, hold no ink, or several digits.

    Raises
    ------
    DataError
        If there are no pictures, pictures in folders that are no digit's, too few of a digit, or none that can be read.
    """
    name = display_name(str(folder))
    sources = _find_pictures(folder, name, say)
    # known before anything is read, which may take minutes
    _check_counts(name, (_label(source) for source in sources), least=min(1, fewest), fewest=fewest)
    say(f"reading {len(sources):,} files in {name}")
    results = _read_all(sources, settings, jobs)
    examples = [result for result in results if isinstance(result, _Example)]
    _report_left_out(name, [result for result in results if isinstance(result, _LeftOut)], len(results), say)
    _check_counts(name, (example.label for example in examples), least=fewest, fewest=fewest)
    return Examples(
        np.stack([example.picture for example in examples]),
        np.stack([example.tile for example in examples]),
        np.array([example.label for example in examples], np.int64),
    )


def _label(source: Source) -> int:
    return int(source.name[0])


def _find_pictures(folder: Path, name: str, say: Callable[[str], None]) -> list[Source]:
    """Return the files in the digits' folders; tell of those elsewhere."""
    listing = find_sources([folder])
    found, ignored, strangers = [], list(listing.others), set()
    for source in listing.sources:
        top, slash, _ = source.name.partition("/")
        if slash and len(top) == 1 and top in _DIGITS:
            found.append(source)
        elif slash and not source.problem:
            strangers.add(top)
        else:
            ignored.append(source.name)
    if strangers:
        raise DataError(
            f"{name} has pictures in folders that are named for no digit, labels outside 0-9: "
            f"{_first_few(sorted(strangers))}. Rename these folders, or move them elsewhere."
        )
    if ignored:
        say(f"{name}: ignored {len(ignored):,} that are no pictures or in no digit's folder: {_first_few(ignored)}")
    if not found:
        raise DataError(f"{name} has no pictures in folders named 0 to 9. Expected {name}/0/*.jpg to {name}/9/*.jpg.")
    return found


def _first_few(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _check_counts(name: str, labels: Iterable[int], *, least: int, fewest: int) -> None:
    """Refuse data with fewer than `least` of a digit, naming `fewest` as what is needed."""
    counts = np.bincount(list(labels), minlength=10)
    few = [f"{counts[digit] or 'none'} of {digit}" for digit in range(10) if counts[digit] < least]
    if few:
        raise DataError(
            f"{name} has too few examples: {', '.join(few)}. At least {fewest} of each digit are needed; "
            "--with-mnist makes do with fewer."
        )


def _report_left_out(name: str, left_out: list[_LeftOut], total: int, say: Callable[[str], None]) -> None:
    """Tell how many pictures are left out, and why the first of them.

    Raises
    ------
    DataError
        If that is all of them.
    """
    if len(left_out) == total:
        raise DataError(
            f"{name}: none of its {total:,} pictures shows one digit that can be read. "
            f"The first, {left_out[0].name}: {left_out[0].reason}"
        )
    if left_out:
        say(f"{name}: {len(left_out):,} of {total:,} pictures are left out")
        for item in left_out[:_NAMED]:
            say(f"  {item.name}: {item.reason}")
        if len(left_out) > _NAMED:
            say(f"  and {len(left_out) - _NAMED:,} more")


def _read_all(sources: Sequence[Source], settings: ImagingSettings, jobs: int) -> list[_Example | _LeftOut]:
    if jobs == 1 or len(sources) < _FEW:
        return _read_chunk(sources, settings)
    # joblib keeps processes for the next call, and these know nothing of a change of the working folder
    sources = [source.absolute() for source in sources]
    tasks = [(sources[s : s + _CHUNK], settings) for s in range(0, len(sources), _CHUNK)]
    parts = run_chunks(_read_in_process, tasks, jobs=jobs, progress=silent, title="pictures")
    return [result for part in parts for result in part]


def _read_in_process(sources: Sequence[Source], settings: ImagingSettings) -> list[_Example | _LeftOut]:
    cv2.setNumThreads(1)  # the processes share the cores already
    return _read_chunk(sources, settings)


def _read_chunk(sources: Sequence[Source], settings: ImagingSettings) -> list[_Example | _LeftOut]:
    return [result for source in sources for result in _read_source(source, settings)]


def _read_source(source: Source, settings: ImagingSettings) -> list[_Example | _LeftOut]:
    """Read one file, looked at as `classify` would: a page each."""
    if source.problem:
        return [_LeftOut(source.name, f"Cannot be opened ({source.problem.replace('_', ' ')}).")]
    pages = read_pages(source.path, source.name, reduce_to=first_size(settings, Layout.DIGIT))
    return [_read_page(page, source, settings) for page in pages]


def _read_page(page: Page | tuple[PageId, PageError], source: Source, settings: ImagingSettings) -> _Example | _LeftOut:
    if not isinstance(page, Page):
        return _LeftOut(_title(page[0]), page[1].detail)
    try:
        tiles, _, _, steps = look_for_digit(page, settings, partial(read_page, source.path, page.id))
    except Exception as error:  # one picture that defeats imaging must not cost all others
        return _LeftOut(_title(page.id), f"Imaging failed: {type(error).__name__}: {error}")
    if not tiles.boxes or tiles.unless_blank:
        return _LeftOut(_title(page.id), "No ink was found.")
    if "several_digits" in tiles.notes:
        return _LeftOut(_title(page.id), "It seems to show several digits.")
    upright_as_written = make_tile(steps.digit, replace(settings, max_slant=0.0))
    return _Example(_label(source), np.rint(upright_as_written * 255).astype(np.uint8), steps.tile)


def _title(page: PageId) -> str:
    return page.file if page.number == 1 else f"{page.file}, page {page.number}"
