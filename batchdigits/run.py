"""One run: what is there, what is known already, what must be read, and the files that are written in the end."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batchdigits import __version__
from batchdigits.batch import Done, classify_parts
from batchdigits.classifiers.runner import Classifier
from batchdigits.runlog import log, timed
from batchdigits.runstate import Key, Known, RunState, state_path
from batchdigits.sources.stamps import digest_of, stamp_of
from batchdigits.sources.walk import Source
from batchdigits.types import Row
from batchdigits.versions import installed_versions
from batchdigits.worker import Part, Reading
from batchdigits.writers import Table, atomic_file, make_writer, remove_leftovers, write_rows

_EVERY = 0.25  # seconds between two times that rows are put on disk: what a power cut costs
DECIDING = ("numpy", "onnxruntime", "opencv-python-headless", "pillow", "pypdfium2")
"""Packages whose next version may read a picture otherwise."""


@dataclass(frozen=True, slots=True)
class Target:
    """A file of rows to write."""

    path: Path
    form: str  #: as for `make_writer`
    table: Table


@dataclass(frozen=True, slots=True)
class Job:
    """What a run does with every file."""

    classifier: Classifier
    reading: Reading
    jobs: int = 1  #: processes


@dataclass(slots=True)
class Counts:
    """How far a run has come, in files."""

    found: int = 0
    kept: int = 0  #: read by an earlier run, unchanged since
    read: int = 0  #: by this run, to their last page
    gone: int = 0  #: since an earlier run

    @property
    def finished(self) -> bool:
        """Whether every file has all its rows."""
        return self.kept + self.read == self.found


def has_state(output: Path) -> bool:
    """Tell whether a run can keep its state beside an output: not beside a device or a pipe."""
    return output.is_file() or not output.exists()


def deciding_settings(job: Job) -> dict[str, Any]:
    """Return all that rows depend on beside the files, for people and for JSON."""
    reading = job.reading
    return {
        "batchdigits": __version__,
        "model": job.classifier.card.label,
        "imaging": reading.imaging.to_dict(),
        "layout": reading.layout.value,
        "regions": [[region.name, *region.values, *region.percent] for region in reading.regions],
        "max-pixels": reading.limits.max_pixels,
        "max-pages": reading.limits.max_pages,
        "libraries": installed_versions(DECIDING),
    }


def read_new(
    state: RunState,
    sources: Sequence[Source],
    job: Job,
    counts: Counts,
    *,
    stop: threading.Event,
    guarded: bool = True,
) -> Iterator[Done]:
    """Read what the state does not know, and record it.

    Parameters
    ----------
    state : RunState
        Begun.
    sources : sequence of Source
        All that is there now, sorted.
    job : Job
        What to do with each.
    counts : Counts
        Kept up to date.
    stop : threading.Event
        Once it is set, only what is in hand is finished.
    guarded : bool
        See `classify_parts`; needless only where somebody is waiting, and the run before did not break off.

    Yields
    ------
    Done
        A part of a file whose rows are on disk.
    """
    counts.found = len(sources)
    waiting: list[Done] = []
    since = time.monotonic()
    parts = _to_read(state, sources, counts)
    reading = replace(job.reading, digests=True)
    try:
        found = classify_parts(
            parts, job.classifier, reading, jobs=job.jobs, stop=stop, guarded=guarded or state.broke_off
        )
        for done in found:
            waiting.append(done)
            if time.monotonic() - since > _EVERY:
                recorded, waiting = _record(state, waiting, counts), []
                yield from recorded
                since = time.monotonic()
    finally:
        recorded = _record(state, waiting, counts)
    yield from recorded


def _to_read(state: RunState, sources: Iterable[Source], counts: Counts) -> Iterator[Part]:
    """Return what is left to read, counting what is not."""
    nothing_known = state.is_empty  # and what this run comes to know of a file, it knows after it was here
    for key, source in _keyed(sources):
        known = None if nothing_known or source.problem else state.known(key)
        if known is None or not _unchanged(state, key, source, known):
            yield Part(source.absolute(), key.nth)
        elif known.done < known.pages:
            yield Part(source.absolute(), key.nth, known.done + 1)
        else:
            counts.kept += 1


def _unchanged(state: RunState, key: Key, source: Source, known: Known) -> bool:
    """Tell whether a file is what it was: by its size and time, or else by its content."""
    stamp = stamp_of(source.place)
    if stamp is None or stamp == known.stamp:
        return stamp is not None
    if stamp.size != known.stamp.size or digest_of(source.place) != known.digest:
        return False
    state.restamp(key, stamp)
    return True


def _keyed(sources: Iterable[Source]) -> Iterator[tuple[Key, Source]]:
    key = Key("", 0)
    for source in sources:
        key = Key(source.name, key.nth + 1 if source.name == key.name else 0)
        yield key, source


def _record(state: RunState, done: list[Done], counts: Counts) -> list[Done]:
    state.record(done)
    for part, read, rows in count_files(done, counts):
        for row in rows:
            level = logging.WARNING if row.detail else logging.INFO
            if log.isEnabledFor(level):
                log.log(
                    level,
                    row.detail or row.reason or row.status.value,
                    extra={"file": part.source.name, "page": row.page.number, "stage": "read"}
                    | {"milliseconds": round(read.milliseconds / len(rows), 1)},
                )
    return done


def count_files(done: Iterable[Done], counts: Counts) -> Iterator[Done]:
    """Count files that are read to their end, as they pass."""
    for one in done:
        counts.read += one.part.first + one.read.count > one.read.pages
        yield one


def drop_gone(state: RunState, sources: Iterable[Source], counts: Counts) -> None:
    """Forget the rows of files that are there no more."""
    counts.gone = state.drop_all_but(key for key, _ in _keyed(sources))


def check_targets(targets: Iterable[Target]) -> None:
    """Find out that a file cannot be written before a night's work; clear what a killed run left beside it.

    Raises
    ------
    OutputError
        If a folder is missing or may not be written to.
    """
    for target in targets:
        remove_leftovers(target.path)
        with contextlib.suppress(_Tried), atomic_file(target.path):
            raise _Tried


class _Tried(Exception):
    """Leaves the file that is there as it is."""


def write_targets(rows: Iterable[Row], targets: Sequence[Target]) -> None:
    """Write every row into every target; each appears whole, or not at all.

    Raises
    ------
    OutputError
        If the disk is full, say.
    """
    with timed("write", ", ".join(str(target.path) for target in targets)), contextlib.ExitStack() as files:
        writers = [
            make_writer(files.enter_context(atomic_file(target.path)), target.form, target.table) for target in targets
        ]
        write_rows(rows, *writers)


def own_paths(targets: Iterable[Target]) -> list[Path]:
    """Return the files that a run writes and must never read."""
    return [place for target in targets for place in (target.path, state_path(target.path))]
