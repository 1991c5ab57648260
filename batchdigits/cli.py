"""The command line: flags to one library call to an exit code. Nothing else here; nothing below prints or exits.

Imports of the library stand inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from batchdigits import __version__
from batchdigits.errors import BatchdigitsError, ExitCode, NoInputError, OutputError, UsageError

if TYPE_CHECKING:
    from batchdigits.types import Row

T = TypeVar("T")

app = typer.Typer(
    name="batchdigits",
    help="Handwritten digits in photos and scans to rows of data: a prediction, an honest confidence, a status.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Format(StrEnum):
    """Output formats."""

    CSV = "csv"
    JSONL = "jsonl"
    XLSX = "xlsx"


class TableFormat(StrEnum):
    """Formats of `models`."""

    TABLE = "table"
    JSON = "json"
    MD = "md"


ModelOption = Annotated[
    str, typer.Option("--model", "-m", metavar="NAME", help="Model: a name or a folder.", envvar="BATCHDIGITS_MODEL")
]
ModelsDirOption = Annotated[
    Path | None,
    typer.Option(
        help="Look for models (and save them) here first.", envvar="BATCHDIGITS_MODELS_DIR", show_default=False
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
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, no summary.", envvar="BATCHDIGITS_QUIET")
]


class _Terminated(BaseException):
    """SIGTERM came."""


def say(message: str) -> None:
    """Print a line for people, to stderr."""
    typer.echo(message, err=True)


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Turn errors into a message on stderr and their exit code."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except BatchdigitsError as error:
        say(f"batchdigits: {error}")
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        say("batchdigits: interrupted; nothing was written")
        raise typer.Exit(ExitCode.INTERRUPTED) from error
    except _Terminated as error:
        say("batchdigits: terminated; nothing was written")
        raise typer.Exit(ExitCode.TERMINATED) from error
    finally:
        signal.signal(signal.SIGTERM, before)


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


@app.command()
def classify(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT", help="Folders (walked to the bottom) and image files.")
    ],
    model: ModelOption = "cnn",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the rows go; - is stdout.",
            envvar="BATCHDIGITS_OUTPUT",
            show_default="predictions.csv",
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="Format of the rows.",
            envvar="BATCHDIGITS_FORMAT",
            show_default="by the output's name, else csv",
        ),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]X,Y,W,H",
            help="Read only this part of every page: pixels or percent of the upright page. Repeatable, a row each.",
            envvar="BATCHDIGITS_REGION",
        ),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add columns p0 to p9.", envvar="BATCHDIGITS_PROBABILITIES")
    ] = False,
    models_dir: ModelsDirOption = None,
    jobs: JobsOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Let blank and review count like error.", envvar="BATCHDIGITS_STRICT")
    ] = False,
    quiet: QuietOption = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Name skipped files and say what is wrong with each page.",
            envvar="BATCHDIGITS_VERBOSE",
        ),
    ] = False,
) -> None:
    """Read the digit in each picture; write a row per page."""
    with exit_codes():
        from batchdigits.batch import classify_sources
        from batchdigits.classifiers.runner import load_model
        from batchdigits.sources.regions import parse_regions
        from batchdigits.sources.walk import display_name, find_sources
        from batchdigits.summary import Tally
        from batchdigits.writers import make_writer, write_rows

        regions = parse_regions(region or [])
        chosen, target = _output(form, output)
        classifier = load_model(model, models_dir)
        listing = find_sources(inputs, skip=() if target is None else (target,))
        if not listing.sources:
            others = f" ({len(listing.others)} other files)" if listing.others else ""
            places = ", ".join(display_name(str(given)) for given in inputs)
            raise NoInputError(f"No image in {places}{others}. Is it the right folder?")
        tally = Tally()
        with _open_output(target) as file:
            rows = classify_sources(listing.sources, classifier, regions=regions, jobs=jobs or available_cores())
            shown = rows if quiet else count_aloud(rows, total=len(listing.sources), title="files")
            counted = tally.watch(row for part in shown for row in part)
            rows_told = _tell(counted) if verbose else counted
            write_rows(rows_told, make_writer(file, chosen, probabilities=probabilities))
        if verbose:
            for name in listing.others:
                say(f"skipped {name}: no image")
        if not quiet:
            say(tally.summary(len(listing.others), target))
            if step := tally.next_step(inputs, region or [], model):
                say(step)
        raise typer.Exit(tally.exit_code(strict=strict))


def _tell(rows: Iterable[Row]) -> Iterator[Row]:
    """Say of each row that is not ok why, as it passes."""
    for row in rows:
        if row.reason:
            page = f"page {row.page.number}" if row.page.number > 1 else ""
            place = " ".join(part for part in (row.page.file, page, row.page.region) if part)
            say(f"{row.status} {place}: {row.detail or row.reason}")
        yield row


def _output(form: Format | None, output: Path | None) -> tuple[str, Path | None]:
    """Return format and path of the output, each inferred from the other; the path is None for stdout."""
    if form is None:
        suffix = "" if output is None else output.suffix.lower().lstrip(".")
        form = Format(suffix) if suffix in list(Format) else Format.CSV
    if output is None:
        return form.value, Path(f"predictions.{form.value}")
    return form.value, None if str(output) == "-" else output


@contextlib.contextmanager
def _open_output(target: Path | None) -> Iterator[IO[bytes]]:
    from batchdigits.writers import atomic_file

    if target is not None:
        with atomic_file(target) as file:
            yield file
        return
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except (OSError, OutputError) as error:
        # Python would complain once more when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise OutputError("Whoever reads the output has stopped reading.") from error
        if isinstance(error, OSError):
            raise OutputError(f"Standard output cannot be written: {error.strerror}.") from error
        raise


@app.command()
def inspect(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture.")],
    model: ModelOption = "cnn",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the PNG goes.",
            envvar="BATCHDIGITS_INSPECT_OUTPUT",
            show_default="NAME.inspect.png",
        ),
    ] = None,
    page: Annotated[int, typer.Option(min=1, help="Page of a TIFF.", envvar="BATCHDIGITS_PAGE")] = 1,
    region: Annotated[
        str | None, typer.Option(metavar="[NAME=]X,Y,W,H", help="Only this part of it.", envvar="BATCHDIGITS_REGION")
    ] = None,
    models_dir: ModelsDirOption = None,
) -> None:
    """Draw on one PNG how a picture is read.

    Every step from photo to tile, and the ten probabilities.
    """
    with exit_codes():
        from batchdigits.classifiers.runner import load_model
        from batchdigits.report.inspection import inspect_image
        from batchdigits.writers import atomic_file

        target = output or Path(f"{image.name}.inspect.png")
        if target.suffix.lower() != ".png" and not target.is_dir():  # BATCHDIGITS_OUTPUT may be the rows of `classify`
            raise UsageError(f"--output {target} is no .png, which the drawing is.")
        if target.exists() and image.exists() and target.samefile(image):
            raise UsageError(f"--output {target} is the picture itself.")
        classifier = load_model(model, models_dir)
        row, png = inspect_image(image, classifier, page=page, region=region)
        with atomic_file(target) as file:
            file.write(png)
        reason = f" ({row.reason})" if row.reason else ""
        say(f"{row.prediction or 'no digit'}, confidence {row.confidence:.4f}, {row.status.value}{reason} -> {target}")


@app.command()
def train(
    name: Annotated[
        str, typer.Argument(metavar="NAME|all", help="knn, rf, logreg, svm, ann, cnn, ensemble, or all of them.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="An .npz in the layout of Keras' mnist.npz, or a folder with your own photos in a folder per digit.",
            envvar="BATCHDIGITS_DATA",
            show_default="Keras' own download of MNIST",
        ),
    ] = None,
    with_mnist: Annotated[
        bool, typer.Option("--with-mnist", help="Add MNIST to --data.", envvar="BATCHDIGITS_WITH_MNIST")
    ] = False,
    mnist: Annotated[
        Path | None,
        typer.Option(
            help="Where --with-mnist finds MNIST, as an .npz.",
            envvar="BATCHDIGITS_MNIST",
            show_default="Keras' own download",
        ),
    ] = None,
    models_dir: ModelsDirOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same data: same model.", envvar="BATCHDIGITS_SEED")] = 0,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over the data, for ann and cnn.",
            envvar="BATCHDIGITS_EPOCHS",
            show_default="the recipe's own",
        ),
    ] = None,
    simulated: Annotated[
        int,
        typer.Option(
            min=0,
            help="Simulated photos added to the data; distorted digits and pictures of other things go with them.",
            envvar="BATCHDIGITS_SIMULATED",
        ),
    ] = 20_000,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Processes that prepare pictures. The model is the same for any number.",
            envvar="BATCHDIGITS_JOBS",
            show_default="all cores",
        ),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Train a model, save it, print its scores.

    It learns from MNIST, or the digits in --data, and from simulated photos.
    """
    with exit_codes():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets with pages of advice
        from batchdigits.classifiers.store import user_models
        from batchdigits.training.job import train_models
        from batchdigits.training.progress import silent

        place = models_dir or user_models()
        tell = (lambda _: None) if quiet else say
        for card in train_models(
            [name],
            place,
            data=data,
            with_mnist=with_mnist,
            mnist=mnist,
            seed=seed,
            epochs=epochs,
            simulated=simulated,
            jobs=jobs or available_cores(),
            say=tell,
            progress=silent if quiet else count_aloud,
        ):
            tell(f"{card.name}: saved to {place / card.name}")
            for key, value in card.scores.items():
                typer.echo(f"{card.name} {key}: {value}")


@app.command()
def models(
    models_dir: ModelsDirOption = None,
    form: Annotated[
        TableFormat, typer.Option("--format", "-f", help="Format of the table.", envvar="BATCHDIGITS_TABLE_FORMAT")
    ] = TableFormat.TABLE,
) -> None:
    """List the models and their measured scores."""
    with exit_codes():
        from batchdigits.report.model_table import describe, format_table

        found, damaged = describe(models_dir)
        typer.echo(format_table(found, form.value), nl=False)
        for message in damaged:
            say(f"batchdigits: {message}")
        if damaged:
            raise typer.Exit(ExitCode.MODEL)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"batchdigits {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Handwritten digits in photos and scans to rows of data: a prediction, an honest confidence, a status."""


def main() -> None:
    """Run the command line."""
    app()
