"""The command `classify`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    command_line,
    exit_codes,
    say,
)
from batchdigits.cli.evaluate import find_truth
from batchdigits.cli.running import (
    DigitsOption,
    ExcludeOption,
    FormatOption,
    LogFileOption,
    MaxPagesOption,
    MaxPixelsOption,
    OutputOption,
    ProbabilitiesOption,
    RegionOption,
    ReviewBelowOption,
    Stop,
    VerboseOption,
    begin,
    follow,
    make_job,
    make_targets,
    read_aloud,
    settings_in_force,
    stop_politely,
    tell,
    write_all,
)
from batchdigits.errors import NoInputError, OutputError, UsageError
from batchdigits.sources.limits import USUAL
from batchdigits.types import Layout

if TYPE_CHECKING:
    from batchdigits.assessment import JudgedPage, Match
    from batchdigits.run import Job, Target
    from batchdigits.runrecord import RunRecord
    from batchdigits.sources.walk import Listing, Source
    from batchdigits.types import Row


def classify(
    context: typer.Context,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="INPUT", help="Folders (walked to the bottom) and files.", show_default=False),
    ] = None,
    model: ModelOption = "cnn",
    output: OutputOption = None,
    form: FormatOption = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where an earlier run of this output ended: read only what is new or changed.",
            envvar="BATCHDIGITS_RESUME",
        ),
    ] = False,
    files_from: Annotated[
        Path | None,
        typer.Option(
            metavar="LIST",
            help="Read the files and folders named in this file, too, one a line; - is stdin.",
            envvar="BATCHDIGITS_FILES_FROM",
            show_default=False,
        ),
    ] = None,
    exclude: ExcludeOption = None,
    region: RegionOption = None,
    layout: LayoutOption = Layout.DIGIT,
    digits: DigitsOption = None,
    probabilities: ProbabilitiesOption = False,
    labels: LabelsOption = None,
    file_column: FileColumnOption = None,
    label_column: LabelColumnOption = None,
    report: ReportOption = None,
    review_below: ReviewBelowOption = None,
    models_dir: ModelsDirOption = None,
    jobs: JobsOption = None,
    max_pixels: MaxPixelsOption = USUAL.max_pixels,
    max_pages: MaxPagesOption = USUAL.max_pages,
    strict: Annotated[
        bool, typer.Option("--strict", help="Let blank and review count like error.", envvar="BATCHDIGITS_STRICT")
    ] = False,
    log_file: LogFileOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Read the digits in each picture; write a row per page."""
    with exit_codes():
        from batchdigits.run import has_state, own_paths
        from batchdigits.runlog import log_to, timed
        from batchdigits.runrecord import RunRecord

        targets = make_targets(output, form, digits, probabilities=probabilities, layout=layout)
        streamed = str(output) == "-" or not has_state(targets[0].path)
        if resume and streamed:
            raise UsageError("--resume needs an --output that is a file: what is finished is kept beside it.")
        if labels is None and report is not None:
            raise UsageError("--report needs --labels.")
        match = find_truth(labels, file_column, label_column)
        job = make_job(model, models_dir, review_below, region, layout, max_pixels, max_pages, jobs)
        own = [*own_paths(targets), *([log_file] if log_file else [])]
        settings = settings_in_force(context)
        record = RunRecord(command_line(), settings, job, [] if streamed else [target.path for target in targets])
        judged: list[JudgedPage] = []
        keep = partial(_keep, judged=judged) if labels else None
        with log_to(log_file), stop_politely() as stop:
            with timed("walk", "looked for files"):
                listing = _find(inputs or [], files_from, own, exclude or [])
            record.skipped = len(listing.others)
            if streamed:
                _stream(listing.sources, targets, record, keep, stop, quiet=quiet, verbose=verbose)
            else:
                _run(listing.sources, targets, record, keep, stop, resume=resume, quiet=quiet, verbose=verbose)
        if verbose:
            for name in listing.others:
                say(f"skipped {name}: no image")
        if not quiet:
            if resume:
                counts = record.counts
                say(f"{counts.kept:,} files unchanged, {counts.read:,} read, {counts.gone:,} gone")
            say(record.tally.summary(len(listing.others), None if streamed else targets[0].path))
            if step := record.tally.next_step(inputs or [], region or [], layout, model):
                say(step)
        if labels:
            _report(report or _report_place(targets[0].path, streamed), judged, match, job, listing, quiet=quiet)
        raise typer.Exit(record.tally.exit_code(strict=strict))


def _find(inputs: list[Path], files_from: Path | None, own: list[Path], exclude: list[str]) -> Listing:
    """Return what there is to read."""
    from batchdigits.sources.lists import read_file_list
    from batchdigits.sources.walk import display_name, find_sources

    if not inputs and files_from is None:
        raise UsageError("Give a folder or a file to read, or --files-from.")
    listed = [] if files_from is None else read_file_list(files_from)
    if not inputs and not listed:
        raise NoInputError(f"The list {files_from} is empty.")
    listing = find_sources(inputs, skip=own, exclude=exclude, listed=listed)
    if not listing.sources:
        others = f" ({len(listing.others)} other files)" if listing.others else ""
        places = ", ".join(display_name(str(given)) for given in [*inputs, *([files_from] if files_from else [])])
        raise NoInputError(f"No image in {places}{others}. Is it the right folder?")
    return listing


def _run(
    sources: Sequence[Source],
    targets: Sequence[Target],
    record: RunRecord,
    keep: Callable[[Iterable[Row]], Iterable[Row]] | None,
    stop: Stop,
    *,
    resume: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Read what no earlier run has, keeping it as it comes, then write all rows."""
    from batchdigits.run import check_targets, drop_gone
    from batchdigits.runrecord import record_path, recording
    from batchdigits.runstate import open_state, state_path

    target = targets[0].path
    with open_state(state_path(target)) as state, recording(record_path(target), record):
        check_targets(targets)
        record.anew = begin(state, record.job, resume=resume, quiet=quiet)
        # where nobody waits for the first row, no file may end the run by killing its process
        read_aloud(state, sources, record, stop, quiet=quiet, verbose=verbose, guarded=resume)
        if not record.counts.finished:
            counts = record.counts
            again = command_line() + (" --resume" if "--resume" not in sys.argv else "")
            raise stop.interrupted(f"{counts.kept + counts.read:,} of {counts.found:,} files are done. Go on: {again}")
        drop_gone(state, sources, record.counts)
        write_all(state, record, targets, keep)
        record.exit_code = record.tally.exit_code(strict=bool(record.settings["strict"]))


def _stream(
    sources: Sequence[Source],
    targets: Sequence[Target],
    record: RunRecord,
    keep: Callable[[Iterable[Row]], Iterable[Row]] | None,
    stop: Stop,
    *,
    quiet: bool,
    verbose: bool,
) -> None:
    """Write every row as soon as it is there, for a program that is waiting for it; nothing is kept."""
    from batchdigits.batch import classify_parts
    from batchdigits.run import count_files
    from batchdigits.worker import Part
    from batchdigits.writers import make_writer, write_rows

    job, counts = record.job, record.counts
    counts.found = len(sources)
    parts = (Part(source.absolute()) for source in sources)
    done = classify_parts(parts, job.classifier, job.reading, jobs=job.jobs, stop=stop)
    rows: Iterable[Row] = record.tally.watch(follow(count_files(done, counts), counts, quiet=quiet))
    rows = tell(rows) if verbose else rows
    with contextlib.ExitStack() as files:
        writers = [
            make_writer(files.enter_context(_open_output(target.path)), target.form, target.table) for target in targets
        ]
        write_rows(keep(rows) if keep else rows, *writers)
        if not counts.finished:
            raise stop.interrupted(f"{counts.read:,} of {counts.found:,} files are done")


def _keep(rows: Iterable[Row], judged: list[JudgedPage]) -> Iterator[Row]:
    """Keep of each row, as it passes, what the report needs."""
    from batchdigits.assessment import judge_later

    for row in rows:
        judged.append(judge_later(row))
        yield row


def _report(place: Path, judged: list[JudgedPage], match: Match, job: Job, listing: Listing, *, quiet: bool) -> None:
    """Write what is right and wrong, where labels were given."""
    from batchdigits.assessment import assess_rows
    from batchdigits.report.evaluation_report import no_shots, write_report
    from batchdigits.report.gallery import take_shots

    found = assess_rows({job.classifier.card.label: judged}, match)
    layout = job.reading.layout
    # of a region, the gallery would show the whole page
    shoot = (
        no_shots
        if job.reading.regions
        else partial(take_shots, sources=listing.sources, settings=job.reading.imaging, layout=layout)
    )
    write_report(place, found, found.scores(), layout=layout, command=command_line(), take_shots=shoot)
    if not quiet:
        say(f"report: {place / 'report.html'}")


def _report_place(target: Path, streamed: bool) -> Path:
    return Path("predictions-report" if streamed else f"{target.with_suffix('')}-report")


@contextlib.contextmanager
def _open_output(target: Path) -> Iterator[IO[bytes]]:
    from batchdigits.writers import atomic_file

    if str(target) != "-":
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
