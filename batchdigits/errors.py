"""Exit codes, and the errors that carry them.

A bad page is a row, a bad request is an exception: `PageError` costs one row, every other error here ends the run.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script can learn from ``$?``. 1 (unexpected) and 2 (usage) are Typer's own."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NO_INPUT = 3
    SOME_ERRORS = 4
    ALL_ERRORS = 5
    BELOW_TARGET = 6
    MODEL = 7
    DEPENDENCY = 8
    OUTPUT = 9
    INTERRUPTED = 130
    TERMINATED = 143


class BatchdigitsError(Exception):
    """A request that cannot be met. The message says what to do about it."""

    exit_code: ExitCode = ExitCode.UNEXPECTED


class UsageError(BatchdigitsError):
    """An option whose value makes no sense."""

    exit_code = ExitCode.USAGE


class NoInputError(BatchdigitsError):
    """No file to read: the input is missing, empty, or holds no image."""

    exit_code = ExitCode.NO_INPUT


class ModelError(BatchdigitsError):
    """The model is missing, damaged, too new, or does not match this version."""

    exit_code = ExitCode.MODEL


class DependencyError(BatchdigitsError):
    """An optional package is needed for the whole request."""

    exit_code = ExitCode.DEPENDENCY


class OutputError(BatchdigitsError):
    """The output cannot be written."""

    exit_code = ExitCode.OUTPUT


class RunInterrupted(BatchdigitsError):
    """A run that was asked to stop, and did, with all that it had in hand saved.

    Parameters
    ----------
    message : str
        Says how to go on.
    exit_code : ExitCode
        `INTERRUPTED` or `TERMINATED`.
    """

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Terminated(BaseException):
    """SIGTERM came, and must not wait: what `KeyboardInterrupt` is to Ctrl-C."""


class DataError(BatchdigitsError):
    """Training data that cannot be used."""

    exit_code = ExitCode.NO_INPUT


class PageError(Exception):
    """One page that cannot be read: becomes an ``error`` row.

    Parameters
    ----------
    reason : str
        Stable code for the CSV.
    detail : str
        A sentence for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)  # both in args, so that the error survives the way back from a worker process
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        """Return the sentence for people."""
        return self.detail
