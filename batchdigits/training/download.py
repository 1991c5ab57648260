"""Downloads that fail once in a while."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Callable, Iterator
from typing import TypeVar

_T = TypeVar("_T")

_PAUSES = (2.0, 8.0)  # seconds before the second and the third try
TRIES = len(_PAUSES) + 1
_STALLED = 60.0  # seconds without a byte, after which a download counts as failed


class DownloadError(Exception):
    """Every try has failed; the last one's reason."""


def retry(load: Callable[[], _T], *, say: Callable[[str], None], wait: Callable[[float], None]) -> _T:
    """Call what downloads, three times if need be.

    Parameters
    ----------
    load : callable
        What it prints is dropped: progress has no place among the data on standard output.
    say : callable
        Told of every failure that is followed by another try.
    wait : callable
        Waits so many seconds.

    Raises
    ------
    DownloadError
        If all tries fail.
    """
    for pause in (*_PAUSES, None):
        try:
            with contextlib.redirect_stdout(io.StringIO()), _stalling_fails():
                return load()
        except Exception as error:  # Keras raises a bare Exception when a download fails
            reason = str(error) or type(error).__name__
            if pause is None:
                raise DownloadError(reason) from error
        say(f"the download failed ({reason}); trying again in {pause:g} seconds")
        wait(pause)
    raise AssertionError("the last try returns or raises")


@contextlib.contextmanager
def _stalling_fails() -> Iterator[None]:
    """Let a connection that has gone silent fail: by default it would be waited for without end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALLED)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
