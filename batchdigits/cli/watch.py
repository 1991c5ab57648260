"""The command `watch`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from batchdigits.cli.common import (
    JobsOption,
    LayoutOption,
    ModelOption,
    ModelsDirOption,
    QuietOption,
    command_line,
    exit_codes,
    say,
)
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
    VerboseOption,
    begin,
    make_job,
    make_targets,
    read_aloud,
    settings_in_force,
    stop_politely,
    write_all,
)
from batchdigits.errors import UsageError
from batchdigits.sources.limits import USUAL
from batchdigits.types import Layout


def watch(
    context: typer.Context,
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER", help="Folders to watch, to the bottom.", show_default=False)
    ],
    model: ModelOption = "cnn",
    output: OutputOption = None,
    form: FormatOption = None,
    settle: Annotated[
        float,
        typer.Option(min=0, help="Seconds that a file must not have changed to be taken.", envvar="BATCHDIGITS_SETTLE"),
    ] = 2.0,
    exclude: ExcludeOption = None,
    region: RegionOption = None,
    layout: LayoutOption = Layout.DIGIT,
    digits: DigitsOption = None,
    probabilities: ProbabilitiesOption = False,
    review_below: ReviewBelowOption = None,
    models_dir: ModelsDirOption = None,
    jobs: JobsOption = None,
    max_pixels: MaxPixelsOption = USUAL.max_pixels,
    max_pages: MaxPagesOption = USUAL.max_pages,
    log_file: LogFileOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Classify what arrives in folders, until stopped; the output always holds all that is there."""
    with exit_codes():
        from batchdigits.run import check_targets, drop_gone, has_state, own_paths
        from batchdigits.runlog import log_to
        from batchdigits.runrecord import RunRecord, record_path, recording
        from batchdigits.runstate import open_state, state_path
        from batchdigits.sources.arrivals import watch_sources
        from batchdigits.sources.walk import find_sources

        targets = make_targets(output, form, digits, probabilities=probabilities, layout=layout)
        if str(output) == "-" or not has_state(targets[0].path):
            raise UsageError("watch needs an --output that is a file. To pass rows on, use classify --output -.")
        job = make_job(model, models_dir, review_below, region, layout, max_pixels, max_pages, jobs)
        own = [*own_paths(targets), *([log_file] if log_file else [])]
        find = partial(find_sources, folders, skip=own, exclude=exclude or [])
        settings = settings_in_force(context)
        with open_state(state_path(targets[0].path)) as state, log_to(log_file), stop_politely() as stop:
            check_targets(targets)
            new_record = partial(RunRecord, command_line(), settings, job, [target.path for target in targets])
            anew = begin(state, job, resume=True, quiet=quiet)
            up_to_date = False
            for listing in watch_sources(folders, find, settle=settle, skip=own, stop=stop):
                record = new_record(skipped=len(listing.others), anew=() if up_to_date else anew)
                read_aloud(state, listing.sources, record, stop, quiet=True, verbose=verbose)
                drop_gone(state, listing.sources, record.counts)
                counts = record.counts
                if not counts.finished or (up_to_date and not counts.read and not counts.gone):
                    continue
                with recording(record_path(targets[0].path), record):
                    write_all(state, record, targets)
                    record.exit_code = record.tally.exit_code(strict=False)
                up_to_date = True
                if not quiet:
                    summary = record.tally.summary(record.skipped, targets[0].path)
                    say(f"{counts.read:,} files read, {counts.gone:,} gone: {summary}")
            raise stop.interrupted("all that was read is kept")
