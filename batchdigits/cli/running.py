"""What `classify` and `watch` share: the flags of a run, how it is stopped, and its record."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchdigits.cli.common import available_cores, say
from batchdigits.errors import ExitCode, RunInterrupted, Terminated, UsageError
from batchdigits.types import Layout

if TYPE_CHECKING:
    from batchdigits.batch import Done
    from batchdigits.run import Counts, Job, Target
    from batchdigits.runrecord import RunRecord
    from batchdigits.runstate import RunState
    from batchdigits.sources.walk import Source
    from batchdigits.types import Row


class Format(StrEnum):
    """Output formats."""

    CSV = "csv"
    JSONL = "jsonl"
    XLSX = "xlsx"


OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Where the rows go; - is stdout.",
        envvar="BATCHDIGITS_OUTPUT",
        show_default="predictions.csv",
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        help="Format of the rows.",
        envvar="BATCHDIGITS_FORMAT",
        show_default="by the output's name, else csv",
    ),
]
RegionOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]X,Y,W,H",
        help="Read only this part of every page: pixels or percent of the upright page. Repeatable, a row each.",
        envvar="BATCHDIGITS_REGION",
    ),
]
DigitsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Write a row for every single digit, too, with its box: .csv, .jsonl or .xlsx.",
        envvar="BATCHDIGITS_DIGITS",
        show_default=False,
    ),
]
ProbabilitiesOption = Annotated[
    bool,
    typer.Option(
        "--probabilities",
        help="Add columns p0 to p9 (to --digits, where a picture may show several).",
        envvar="BATCHDIGITS_PROBABILITIES",
    ),
]
ReviewBelowOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Mark rows ok from this confidence on (texts: from 0.9 at least); `evaluate` finds one.",
        envvar="BATCHDIGITS_REVIEW_BELOW",
        show_default="the model's own",
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Leave out files and folders of this name (thumbs, '*_old.jpg'), or of this path with a /. Repeatable.",
        envvar="BATCHDIGITS_EXCLUDE",
    ),
]
MaxPixelsOption = Annotated[
    int,
    typer.Option(
        min=1, help="Refuse larger pages, before they are decoded: an error row.", envvar="BATCHDIGITS_MAX_PIXELS"
    ),
]
MaxPagesOption = Annotated[
    int, typer.Option(min=1, help="Refuse documents of more pages: an error row.", envvar="BATCHDIGITS_MAX_PAGES")
]
LogFileOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Append a JSON line for every page and step: time, level, file, stage, milliseconds.",
        envvar="BATCHDIGITS_LOG_FILE",
        show_default=False,
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Name skipped files and say what is wrong with each page.",
        envvar="BATCHDIGITS_VERBOSE",
    ),
]


class Stop(threading.Event):
    """Set by Ctrl-C or SIGTERM, once; the second time is for who cannot wait."""

    number = 0  #: of the signal

    def listen(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.is_set():
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated
        self.number = number
        self.set()
        say("batchdigits: finishing what is in hand; once more to stop at once")

    def interrupted(self, message: str) -> RunInterrupted:
        """Return the error that ends a run which was stopped."""
        if self.number == signal.SIGTERM:
            return RunInterrupted(f"terminated; {message}", ExitCode.TERMINATED)
        return RunInterrupted(f"interrupted; {message}", ExitCode.INTERRUPTED)


@contextlib.contextmanager
def stop_politely() -> Iterator[Stop]:
    """Let Ctrl-C and SIGTERM end a run after the pictures in hand."""
    stop = Stop()
    before = [(number, signal.signal(number, stop.listen)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield stop
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def make_job(
    model: str,
    models_dir: Path | None,
    review_below: float | None,
    region: list[str] | None,
    layout: Layout,
    max_pixels: int,
    max_pages: int,
    jobs: int | None,
) -> Job:
    """Return what the flags say is to be done with every file."""
    from batchdigits.classifiers.runner import load_model
    from batchdigits.run import Job
    from batchdigits.sources.limits import Limits
    from batchdigits.sources.regions import parse_regions
    from batchdigits.worker import Reading

    regions = parse_regions(region or [])
    classifier = load_model(model, models_dir)
    if review_below is not None:
        classifier = classifier.with_threshold(review_below)
    reading = Reading(classifier.card.imaging, regions, layout, Limits(max_pixels, max_pages))
    return Job(classifier, reading, jobs or available_cores())


def make_targets(
    output: Path | None, form: Format | None, digits: Path | None, *, probabilities: bool, layout: Layout
) -> tuple[Target, ...]:
    """Return what the flags say is to be written, the rows first; to the path ``-`` for stdout."""
    from batchdigits.run import Target
    from batchdigits.writers import make_table

    chosen = form or _format_of(output)
    target = output or Path(f"predictions.{chosen}")
    single = layout is Layout.DIGIT
    rows = Target(target, chosen.value, make_table(probabilities=probabilities and single))
    if digits is None:
        if probabilities and not single:
            raise UsageError(f"With --layout {layout}, --probabilities needs --digits: a row may have many digits.")
        return (rows,)
    if str(digits) == "-" or digits.absolute() == target.absolute():
        raise UsageError("--digits needs a file of its own.")
    return rows, Target(digits, _format_of(digits).value, make_table(digits=True, probabilities=probabilities))


def _format_of(path: Path | None) -> Format:
    suffix = "" if path is None else path.suffix.lower().lstrip(".")
    return Format(suffix) if suffix in list(Format) else Format.CSV


def begin(state: RunState, job: Job, *, resume: bool, quiet: bool) -> Sequence[str]:
    """Begin a run; return, and say, what has changed where nothing can be kept of the one before."""
    from batchdigits.run import deciding_settings

    anew = state.begin(deciding_settings(job), resume=resume) or ()
    if anew and not quiet:
        say(f"everything is read anew: {'; '.join(anew)}")
    return anew


def read_aloud(
    state: RunState,
    sources: Sequence[Source],
    record: RunRecord,
    stop: Stop,
    *,
    quiet: bool,
    verbose: bool,
    guarded: bool = True,
) -> None:
    """Read what the state does not know yet, telling people how it goes."""
    from batchdigits.run import read_new

    done = read_new(state, sources, record.job, record.counts, stop=stop, guarded=guarded)
    rows = follow(done, record.counts, quiet=quiet)
    for _ in tell(rows) if verbose else rows:
        pass


def write_all(
    state: RunState,
    record: RunRecord,
    targets: Sequence[Target],
    keep: Callable[[Iterable[Row]], Iterable[Row]] | None = None,
) -> None:
    """Write all rows."""
    from batchdigits.run import write_targets

    rows: Iterable[Row] = record.tally.watch(state.rows(record.job.classifier.card.label))
    write_targets(keep(rows) if keep else rows, targets)


def follow(done: Iterable[Done], counts: Counts, *, quiet: bool) -> Iterator[Row]:
    """Pass on the rows that are read, with a progress bar on stderr where somebody is watching."""
    if quiet or not sys.stderr.isatty():
        for one in done:
            yield from one.rows
        return
    from tqdm import tqdm

    with tqdm(desc="files", total=counts.found, file=sys.stderr, leave=False) as bar:
        for one in done:
            bar.total = counts.found
            bar.update(counts.kept + counts.read - bar.n)
            yield from one.rows


def tell(rows: Iterable[Row]) -> Iterator[Row]:
    """Say of each row that is not ok why, as it passes."""
    for row in rows:
        if row.reason:
            say(f"{row.status} {row.page.title}: {row.detail or row.reason}")
        yield row


def settings_in_force(context: typer.Context) -> dict[str, Any]:
    """Return the value of every flag, by its name, ready for JSON."""
    names = {str(one.name): max(one.opts, key=len).lstrip("-") for one in context.command.params}
    return {names[name]: _plain(value) for name, value in context.params.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
