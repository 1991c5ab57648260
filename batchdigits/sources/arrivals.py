"""A folder that files keep coming to: which of them are there in full."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from batchdigits.errors import NoInputError
from batchdigits.sources.stamps import Stamp, stamp_of
from batchdigits.sources.walk import OWN_SUFFIXES, Listing, Source, identity

_LOOK = 0.5  # seconds between two looks at files that are still being written
_PATROL = 300.0  # seconds after which to look without being told: network folders do not always tell


def watch_sources(
    folders: Sequence[Path],
    find: Callable[[], Listing],
    *,
    settle: float,
    skip: Collection[Path],
    stop: threading.Event,
) -> Iterator[Listing]:
    """Watch folders.

    Parameters
    ----------
    folders : sequence of Path
        To be told of by the system.
    find : callable
        Lists what is there.
    settle : float
        Seconds that a file must have kept its size and time to count as written.
    skip : collection of Path
        Files whose changes mean nothing.
    stop : threading.Event
        Ends it.

    Yields
    ------
    Listing
        What is there in full: at once, and whenever that may have changed. Nothing while the folders are empty or gone.

    Raises
    ------
    NoInputError
        If a folder is not there to begin with.
    """
    find()
    own = {str(path.absolute()) for path in skip}
    waiting = Waiting(settle)
    looked = -_PATROL
    for told in _changes(folders, own, stop):
        if told or waiting.any or time.monotonic() - looked > _PATROL:
            looked = time.monotonic()
            try:
                listing = find()
            except NoInputError:  # unmounted, perhaps, and back in a minute
                continue
            if ready := waiting.settled(listing.sources):
                yield Listing(ready, listing.others)


def _changes(folders: Sequence[Path], own: Collection[str], stop: threading.Event) -> Iterator[bool]:
    """Yield again and again whether something may have changed, even while a folder is gone."""
    from watchfiles import watch

    def matters(_: object, path: str) -> bool:
        return path not in own and not path.endswith(OWN_SUFFIXES)

    while not stop.is_set():
        places = [identity(str(folder)) for folder in folders]
        changes = watch(
            *folders,
            watch_filter=matters,
            stop_event=stop,
            rust_timeout=round(1000 * _LOOK),
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        try:
            for number, change in enumerate(changes):
                # what came since the last look, before the system was asked, it tells nobody of
                yield bool(change) or number == 0
                if [identity(str(folder)) for folder in folders] != places:
                    break  # what is watched is no longer what has this name
        except FileNotFoundError:
            stop.wait(_LOOK)
        yield True


class Waiting:
    """Files that may still be written to.

    Parameters
    ----------
    settle : float
        Seconds that a file must have kept its size and time to count as written.
    """

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._seen: dict[str, tuple[Stamp, float]] = {}  # what a young file looked like, and since when

    @property
    def any(self) -> bool:
        """Whether there is a file to look at again soon."""
        return bool(self._seen)

    def settled(self, sources: Sequence[Source]) -> tuple[Source, ...]:
        """Return the files that are written; remember those that may not be."""
        ready: list[Source] = []
        seen: dict[str, tuple[Stamp, float]] = {}
        now, clock = time.time(), time.monotonic()
        for source in sources:
            if source.problem:
                ready.append(source)
                continue
            look = stamp_of(source.path)
            if look is None:  # gone again
                continue
            before, since = self._seen.get(key := str(source.path), (look, clock))
            if before != look:
                since = clock
            # its time may come from another machine's clock: young is also what is of the future
            if now - look.modified / 1e9 >= self._settle or clock - since >= self._settle:
                ready.append(source)
            else:
                seen[key] = look, since
        self._seen = seen
        return tuple(ready)
