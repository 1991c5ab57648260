"""The command `classify`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from batchdigits.cli.common import (
    FileColumnOption,
    JobsOption,
    LabelColumnOption,
    LabelsOption,
    LayoutOption,
    ModelOption,
    ModelsDirOption,
    QuietOption,
    ReportOption,
    available_cores,
    command_line,
    count_aloud,
    exit_codes,
    say,
)
from batchdigits.cli.evaluate import find_truth
from batchdigits.errors import NoInputError, OutputError, UsageError
from batchdigits.types import Layout

if TYPE_CHECKING:
    from batchdigits.assessment import JudgedPage
    from batchdigits.types import Row


class Format(StrEnum):
    """Output formats."""

    CSV = "csv"
    JSONL = "jsonl"
    XLSX = "xlsx"


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
    layout: LayoutOption = Layout.DIGIT,
    digits: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Write a row for every single digit, too, with its box: .csv, .jsonl or .xlsx.",
            envvar="BATCHDIGITS_DIGITS",
            show_default=False,
        ),
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Add columns p0 to p9 (to --digits, where a picture may show several).",
            envvar="BATCHDIGITS_PROBABILITIES",
        ),
    ] = False,
    labels: LabelsOption = None,
    file_column: FileColumnOption = None,
    label_column: LabelColumnOption = None,
    report: ReportOption = None,
    review_below: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Mark rows ok from this confidence on (texts: from 0.9 at least); `evaluate` finds one.",
            envvar="BATCHDIGITS_REVIEW_BELOW",
            show_default="the model's own",
        ),
    ] = None,
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
    """Read the digits in each picture; write a row per page."""
    with exit_codes():
        from batchdigits.batch import classify_sources
        from batchdigits.classifiers.runner import load_model
        from batchdigits.sources.regions import parse_regions
        from batchdigits.sources.walk import display_name, find_sources
        from batchdigits.summary import Tally
        from batchdigits.writers import make_table, make_writer, write_rows

        regions = parse_regions(region or [])
        chosen, target = _output(form, output)
        tables = [(target, chosen, make_table(probabilities=probabilities and layout is Layout.DIGIT))]
        if digits is not None:
            if str(digits) == "-" or (target is not None and digits.absolute() == target.absolute()):
                raise UsageError("--digits needs a file of its own.")
            tables.append((digits, _output(None, digits)[0], make_table(digits=True, probabilities=probabilities)))
        elif probabilities and layout is not Layout.DIGIT:
            raise UsageError(f"With --layout {layout}, --probabilities needs --digits: a row may have many digits.")
        if labels is None and report is not None:
            raise UsageError("--report needs --labels.")
        match = find_truth(labels, file_column, label_column)
        classifier = load_model(model, models_dir)
        if review_below is not None:
            classifier = classifier.with_threshold(review_below)
        listing = find_sources(inputs, skip=[path for path, *_ in tables if path is not None])
        if not listing.sources:
            others = f" ({len(listing.others)} other files)" if listing.others else ""
            places = ", ".join(display_name(str(given)) for given in inputs)
            raise NoInputError(f"No image in {places}{others}. Is it the right folder?")
        tally = Tally()
        with contextlib.ExitStack() as files:
            writers = [make_writer(files.enter_context(_open_output(to)), kind, table) for to, kind, table in tables]
            rows = classify_sources(
                listing.sources, classifier, regions=regions, layout=layout, jobs=jobs or available_cores()
            )
            shown = rows if quiet else count_aloud(rows, total=len(listing.sources), title="files")
            counted = tally.watch(row for part in shown for row in part)
            rows_told = _tell(counted) if verbose else counted
            judged: list[JudgedPage] = []
            write_rows(_keep(rows_told, judged) if labels else rows_told, *writers)
        if verbose:
            for name in listing.others:
                say(f"skipped {name}: no image")
        if not quiet:
            say(tally.summary(len(listing.others), target))
            if step := tally.next_step(inputs, region or [], layout, model):
                say(step)
        if labels:
            from batchdigits.assessment import assess_rows
            from batchdigits.report.evaluation_report import no_shots, write_report
            from batchdigits.report.gallery import take_shots

            place = report or Path(f"{target.with_suffix('') if target else 'predictions'}-report")
            found = assess_rows({classifier.card.label: judged}, match)
            # of a region, the gallery would show the whole page
            shoot = (
                no_shots
                if regions
                else partial(take_shots, sources=listing.sources, settings=classifier.card.imaging, layout=layout)
            )
            write_report(place, found, found.scores(), layout=layout, command=command_line(), take_shots=shoot)
            if not quiet:
                say(f"report: {place / 'report.html'}")
        raise typer.Exit(tally.exit_code(strict=strict))


def _keep(rows: Iterable[Row], judged: list[JudgedPage]) -> Iterator[Row]:
    """Keep of each row, as it passes, what the report needs."""
    from batchdigits.assessment import judge_later

    for row in rows:
        judged.append(judge_later(row))
        yield row


def _tell(rows: Iterable[Row]) -> Iterator[Row]:
    """Say of each row that is not ok why, as it passes."""
    for row in rows:
        if row.reason:
            say(f"{row.status} {row.page.title}: {row.detail or row.reason}")
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
