"""Work in processes: in order, few pieces at a time, and a process that dies costs one piece.

The processes are loky's: they need no guard in a user's script, outlive one call, and stand behind the interface of
`concurrent.futures`, as those of a cluster do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from batchdigits.errors import BatchdigitsError

T = TypeVar("T")
R = TypeVar("R")

_CHUNK = 8  # pieces per call: to send one to another process costs about as much as reading a small picture
_AHEAD = 2  # chunks for each process: one in hand, one waiting
_PATIENCE = 180.0  # seconds that a chunk may take
_PATIENCE_ALONE = 60.0  # seconds that a single piece may
_BEAT = 1.0  # seconds between two signs of life while nothing comes
_DIED = "The process that read it died: out of memory, or a decoder's crash."
_HANGS = "Reading it came to no end: the process was ended."
_STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Task(Generic[T, R]):
    """What is to be done with each piece. All functions must be found by name in their module."""

    work: Callable[[T], R]
    follow: Callable[[T, R], Sequence[T]]  #: pieces to be done next, once a piece has shown that there are more
    split: Callable[[T], Sequence[T]]  #: what a piece that killed its process is made of; empty if it is the smallest
    give_up: Callable[[T, str], R]  #: what stands for the smallest piece that kills its process
    few: Callable[[Iterable[T]], bool]  #: whether these pieces are done here: sooner than processes start, and safely
    memory: int | None = None  #: bytes that a process may take; what asks for more kills its process


class Pool(Generic[T, R]):
    """Does pieces of a task in processes.

    Parameters
    ----------
    task : Task
        What to do.
    jobs : int
        Processes.
    stop : threading.Event
        Once it is set, only what is in hand is finished.
    """

    def __init__(self, task: Task[T, R], *, jobs: int, stop: threading.Event) -> None:
        self._task, self._jobs, self._stop = task, jobs, stop
        self._started: Executor | None = None

    def results(self, pieces: Iterable[T], *, here: bool) -> Iterator[tuple[T, R] | None]:
        """Do pieces, and those that follow from them.

        Parameters
        ----------
        pieces : iterable
            Taken as they are needed.
        here : bool
            Do them in this process: soonest done, but what kills a process then kills this one.

        Yields
        ------
        (piece, result)
            In the order of `pieces`; what follows from a piece comes right after it. None every second while nothing
            comes, so that whoever collects results can make use of those that are there.

        Raises
        ------
        BatchdigitsError
            If no process can be started.
        """
        try:
            yield from self._here(pieces) if here else self._there(pieces, _CHUNK)
        except (Exception, GeneratorExit):
            raise
        except BaseException:  # somebody is in a hurry: what is in hand is not waited for
            if self._started:
                self._started.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]
            raise

    def _here(self, pieces: Iterable[T]) -> Iterator[tuple[T, R] | None]:
        for piece in pieces:
            if self._stop.is_set():
                return
            result = self._task.work(piece)
            yield piece, result
            more = self._task.follow(piece, result)
            yield from self.results(more, here=self._task.few(more))

    def _there(self, pieces: Iterable[T], size: int) -> Iterator[tuple[T, R] | None]:
        running: deque[tuple[list[T], Future[list[R]]]] = deque()
        left = iter(pieces)
        while True:
            while (
                len(running) < _AHEAD * self._jobs and not self._stop.is_set() and (chunk := list(islice(left, size)))
            ):
                running.append((chunk, self._submit(chunk)))
            if not running:
                return
            chunk, future = running.popleft()
            if self._stop.is_set() and future.cancel():
                continue
            results = yield from self._wait(future, _PATIENCE if len(chunk) > 1 else _PATIENCE_ALONE)
            if isinstance(results, list):
                for piece, result in zip(chunk, results, strict=True):
                    yield piece, result
                    yield from self._there(self._task.follow(piece, result), 1)
            elif len(chunk) > 1:
                yield from self._there(chunk, 1)
            elif smaller := self._task.split(chunk[0]):
                yield from self._there(smaller, 1)
            else:
                # one that hangs is known for it; one of several whose processes died together is only suspected
                result = self._task.give_up(chunk[0], _HANGS) if results == _HANGS else self._alone(chunk[0])
                yield chunk[0], result
                yield from self._there(self._task.follow(chunk[0], result), 1)

    def _submit(self, chunk: list[T]) -> Future[list[R]]:
        from loky import BrokenProcessPool

        while True:
            try:
                with contextlib.suppress(BrokenProcessPool), _signals_held():
                    self._started = _processes(self._jobs, self._task.memory)
                    return self._started.submit(_work, self._task.work, chunk)
            except OSError as error:
                raise BatchdigitsError(f"No process can be started to read pictures: {error}.") from error

    def _wait(self, future: Future[list[R]], patience: float) -> Generator[None, None, list[R] | str]:
        """Return a chunk's results; why not, if its process, or another one beside it, died or hung."""
        from loky import BrokenProcessPool
        from loky.process_executor import ShutdownExecutorError

        end = time.monotonic() + patience
        while True:
            try:
                return future.result(_BEAT)
            except (BrokenProcessPool, ShutdownExecutorError, CancelledError):
                return _DIED
            except TimeoutError:
                if time.monotonic() > end:
                    _processes(self._jobs, self._task.memory).shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]
                    return _HANGS
            yield

    def _alone(self, piece: T) -> R:
        """Do a suspect in a process of its own."""
        from loky import BrokenProcessPool, ProcessPoolExecutor

        with _signals_held():
            start = os.getpid(), self._task.memory
            executor = ProcessPoolExecutor(max_workers=1, initializer=_prepare, initargs=start)
            future: Future[list[R]] = executor.submit(_work, self._task.work, [piece])
        try:
            return future.result(_PATIENCE_ALONE)[0]
        except BrokenProcessPool:
            return self._task.give_up(piece, _DIED)
        except TimeoutError:
            return self._task.give_up(piece, _HANGS)
        finally:
            executor.shutdown(wait=True, kill_workers=True)


def _processes(jobs: int, memory: int | None) -> Executor:
    """Return the processes, which are kept for the next call; new ones if one of them died."""
    from loky import get_reusable_executor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it waits for what a caller before did not take to its end
        executor: Executor = get_reusable_executor(
            max_workers=jobs, initializer=_prepare, initargs=(os.getpid(), memory)
        )
    return executor


def _work(work: Callable[[T], R], chunk: list[T]) -> list[R]:
    return [work(piece) for piece in chunk]


def _prepare(parent: int, memory: int | None) -> None:
    """Prepare a new process: it is for the parent to end it, in good time, and at once if the parent is killed."""
    if memory is not None and sys.platform == "linux":  # elsewhere this limit is not kept, or not known
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back while processes start, which inherit that: terminals and systemd tell all of them.

    Ignoring them would be inherited as well, but what came meanwhile would be lost to this process.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
