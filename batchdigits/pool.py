"""Work in processes: in order, few pieces at a time, and a process that dies costs one piece.

The processes are loky's: they need no guard in a user's script, outlive one call, and stand behind the interface of
`concurrent.futures`, as those of a cluster do.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from batchdigits.errors import BatchdigitsError

T = TypeVar("T")
R = TypeVar("R")
_Timed = tuple[R, float]  # a result, and the seconds that it took
_Parcel = bytes | str  # pickled results, or the path of the file that holds them

_CHUNK = 8  # pieces in the first calls, and in those after a process has died
_LEAST = 2  # pieces per call: one that is sent alone is already suspected
_MOST = 256  # pieces per call: to send a call takes as long as reading some small pictures
_GOAL = 0.1  # seconds that a call should take
_TURN = 0.3  # seconds after which a call returns with what is done: what it holds takes memory, and may be lost
_AHEAD = 2  # chunks for each process: one in hand, one waiting
_PATIENCE = 180.0  # seconds that a chunk may take
_PATIENCE_ALONE = 60.0  # seconds that a single piece may
_BEAT = 1.0  # seconds between two signs of life while nothing comes
_DIED = "The process that read it died: out of memory, or a decoder's crash."
_HANGS = "Reading it came to no end: the process was ended."
_LETTER = 2048  # bytes: what a pipe takes whole or not at all, with what loky adds
_PROTOCOL = pickle.HIGHEST_PROTOCOL
_KEPT = {-1: 1 << 27, -3: 1 << 25}  # bytes: glibc's M_TRIM_THRESHOLD, and its M_MMAP_THRESHOLD at its highest
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
        self._work = pickle.dumps(task.work)
        self._size = _CHUNK  # of the next chunk, in pieces
        self._spool = ""  # a folder for large results

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
            yield from self._here(pieces) if here else self._there(pieces)
        except (Exception, GeneratorExit):
            raise
        except BaseException:  # somebody is in a hurry: what is in hand is not waited for
            if self._started:
                self._started.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]
            raise
        finally:
            if self._spool:
                shutil.rmtree(self._spool, ignore_errors=True)
                self._spool = ""

    def _here(self, pieces: Iterable[T]) -> Iterator[tuple[T, R] | None]:
        for piece in pieces:
            if self._stop.is_set():
                return
            result = self._task.work(piece)
            yield piece, result
            more = self._task.follow(piece, result)
            yield from self.results(more, here=self._task.few(more))

    def _there(self, pieces: Iterable[T], *, alone: bool = False) -> Iterator[tuple[T, R] | None]:
        running: deque[tuple[list[T], Future[_Parcel]]] = deque()
        left = iter(pieces)
        while True:
            while (
                len(running) < _AHEAD * self._jobs
                and not self._stop.is_set()
                and (chunk := list(islice(left, 1 if alone else self._size)))
            ):
                running.append((chunk, self._submit(chunk)))
            if not running:
                return
            chunk, future = running.popleft()
            if self._stop.is_set() and future.cancel():
                continue
            results = yield from self._wait(future, _PATIENCE if len(chunk) > 1 else _PATIENCE_ALONE)
            if isinstance(results, list):
                self._size = self._size if alone else _next_size(self._size, results)
                for piece, (result, _) in zip(chunk, results, strict=False):
                    yield piece, result
                    yield from self._follow(piece, result)
                if len(results) < len(chunk):
                    yield from self._there(chunk[len(results) :])
                continue
            self._size = _CHUNK  # there may be more of these: fewer pieces are lost with them
            if len(chunk) > 1:
                yield from self._there(chunk, alone=True)
            elif smaller := self._task.split(chunk[0]):
                yield from self._there(smaller, alone=True)
            else:
                # one that hangs is known for it; one of several whose processes died together is only suspected
                result = self._task.give_up(chunk[0], _HANGS) if results == _HANGS else self._alone(chunk[0])
                yield chunk[0], result
                yield from self._follow(chunk[0], result)

    def _follow(self, piece: T, result: R) -> Iterable[tuple[T, R] | None]:
        more = self._task.follow(piece, result)
        return self._there(more, alone=True) if more else ()

    def _submit(self, chunk: list[T]) -> Future[_Parcel]:
        from loky import BrokenProcessPool

        while True:
            try:
                with contextlib.suppress(BrokenProcessPool), _signals_held():
                    self._started = _processes(self._jobs, self._task.memory)
                    return self._send(self._started, chunk)
            except OSError as error:
                raise BatchdigitsError(f"No process can be started to read pictures: {error}.") from error

    def _send(self, executor: Executor, chunk: list[T]) -> Future[_Parcel]:
        if not self._spool:
            with contextlib.suppress(OSError):  # without a folder for them, large results come as small ones do
                self._spool = tempfile.mkdtemp(prefix="batchdigits.")
        return executor.submit(_work, self._work, pickle.dumps(chunk, _PROTOCOL), self._spool)

    def _wait(self, future: Future[_Parcel], patience: float) -> Generator[None, None, list[_Timed[R]] | str]:
        """Return a chunk's results; why not, if its process, or another one beside it, died or hung."""
        from loky import BrokenProcessPool
        from loky.process_executor import ShutdownExecutorError

        end = time.monotonic() + patience
        while True:
            try:
                parcel = future.result(_BEAT)
            except (BrokenProcessPool, ShutdownExecutorError, CancelledError):
                return _DIED
            except TimeoutError:
                if time.monotonic() > end:
                    _processes(self._jobs, self._task.memory).shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]
                    return _HANGS
            else:
                try:
                    return _unpack(parcel)
                except OSError:  # somebody tidies up where it lay
                    return _DIED
            yield

    def _alone(self, piece: T) -> R:
        """Do a suspect in a process of its own; twice, since whoever killed the others may have killed that one too."""
        for _ in range(2):
            if done := self._try_alone(piece):
                return done[0]
        return self._task.give_up(piece, _DIED)

    def _try_alone(self, piece: T) -> list[R]:
        """Return the result; nothing if the process died."""
        from loky import BrokenProcessPool, ProcessPoolExecutor

        with _signals_held():
            start = os.getpid(), self._task.memory
            executor = ProcessPoolExecutor(max_workers=1, initializer=_prepare, initargs=start)
            future = self._send(executor, [piece])
        try:
            return [result for result, _ in _unpack(future.result(_PATIENCE_ALONE))]
        except BrokenProcessPool:
            return []
        except TimeoutError:
            return [self._task.give_up(piece, _HANGS)]
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


def _next_size(size: int, results: Sequence[_Timed[R]]) -> int:
    """Return how many pieces like most of these are worth a call; a chunk grows step by step."""
    usual = sorted(taken for _, taken in results)[len(results) // 2]  # the first in a process takes much longer
    return max(_LEAST, min(2 * size, _MOST, int(_GOAL / max(usual, 1e-6))))


def _work(work: bytes, chunk: bytes, spool: str) -> _Parcel:
    """Do pieces, in order, until the turn is over; at least one.

    All comes and goes as bytes: what loky itself pickles goes through a pickler that looks at every object in Python.
    """
    _spools.add(spool)
    do = _load(work)
    results: list[_Timed[Any]] = []
    start = before = time.perf_counter()
    for piece in pickle.loads(chunk):
        result = do(piece)
        now = time.perf_counter()
        results.append((result, now - before))
        before = now
        if now - start > _TURN:
            break
    return _pack(pickle.dumps(results, _PROTOCOL), spool)


_spools: set[str] = set()  # what this process has been told of


def _pack(content: bytes, spool: str) -> _Parcel:
    """Leave what is large in a file, and return its path.

    A process may be killed while it writes. What it leaves of a large message in the pipe that all share, loky would
    read, and wait for the rest for ever.
    """
    if not spool or len(content) <= _LETTER:
        return content
    path = Path(spool, f"{os.getpid()}-{time.perf_counter_ns()}")
    try:
        path.write_bytes(content)
    except OSError:  # no room there: it is rare that a process is killed in that very moment
        return content
    return str(path)


def _unpack(parcel: _Parcel) -> list[_Timed[Any]]:
    if isinstance(parcel, bytes):
        content = parcel
    else:
        path = Path(parcel)
        content = path.read_bytes()
        path.unlink()
    results: list[_Timed[Any]] = pickle.loads(content)
    return results


@lru_cache(maxsize=1)
def _load(work: bytes) -> Callable[[Any], Any]:
    do: Callable[[Any], Any] = pickle.loads(work)
    return do


def _prepare(parent: int, memory: int | None) -> None:
    """Prepare a new process: it is for the parent to end it, in good time, and at once if the parent is killed."""
    if memory is not None and sys.platform == "linux":  # elsewhere this limit is not kept, or not known
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    _keep_memory()
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _keep_memory() -> None:
    """Have glibc keep what one picture has freed for the next: to be given it anew, page by page, takes a while."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(AttributeError, OSError):  # other C libraries have no such setting
            set_option = ctypes.CDLL(None).mallopt
            for option, most in _KEPT.items():
                set_option(option, most)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    for spool in _spools:
        shutil.rmtree(spool, ignore_errors=True)
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
