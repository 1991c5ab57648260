"""What the commands share: options, messages to people, exit codes."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn, TypeVar

import typer

from batchdigits.errors import BatchdigitsError, ExitCode, Terminated
from batchdigits.types import Layout

T = TypeVar("T")

ModelOption = Annotated[
    str, typer.Option("--model", "-m", metavar="NAME", help="Model: a name or a folder.", envvar="BATCHDIGITS_MODEL")
]
ModelsDirOption = Annotated[
    Path | None,
    typer.Option(
        help="Look for models (and save them) here first.", envvar="BATCHDIGITS_MODELS_DIR", show_default=False
    ),
]
LayoutOption = Annotated[
    Layout,
    typer.Option(
        help="What a picture shows: one digit, the digits of one line, or lines of them, whichever way up.",
        envvar="BATCHDIGITS_LAYOUT",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Processes that read pictures. The rows are the same for any number.",
        envvar="BATCHDIGITS_JOBS",
        show_default="all cores",
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(help="A CSV with the columns file and label.", envvar="BATCHDIGITS_LABELS", show_default=False),
]
FileColumnOption = Annotated[
    str | None,
    typer.Option(help="The column of --labels that names the files.", envvar="BATCHDIGITS_FILE_COLUMN"),
]
LabelColumnOption = Annotated[
    str | None,
    typer.Option(help="The column of --labels that says what they show.", envvar="BATCHDIGITS_LABEL_COLUMN"),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write a page with the mistakes (report.html) and all figures (evaluation.json, evaluation.csv) here.",
        envvar="BATCHDIGITS_REPORT",
        show_default=False,
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, no summary.", envvar="BATCHDIGITS_QUIET")
]


def say(message: str) -> None:
    """Print a line for people, to stderr."""
    typer.echo(message, err=True)


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Turn errors into a message on stderr and their exit code."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except BatchdigitsError as error:
        say(f"batchdigits: {error}")
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        say("batchdigits: interrupted; the output is what it was before")
        raise typer.Exit(ExitCode.INTERRUPTED) from error
    except Terminated as error:
        say("batchdigits: terminated; the output is what it was before")
        raise typer.Exit(ExitCode.TERMINATED) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def command_line() -> str:
    """Return what was typed, for people to repeat."""
    return shlex.join(["batchdigits", *sys.argv[1:]])


def count_aloud(steps: Iterable[T], *, total: int, title: str) -> Iterable[T]:
    """Show a progress bar on stderr while the steps are taken, where somebody is watching."""
    if not sys.stderr.isatty():
        return steps
    from tqdm import tqdm

    shown: Iterable[T] = tqdm(steps, desc=title, total=total, file=sys.stderr, leave=False)
    return shown


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
