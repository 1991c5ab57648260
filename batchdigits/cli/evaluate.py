"""The command `evaluate`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchdigits.cli.common import (
    FileColumnOption,
    JobsOption,
    LabelColumnOption,
    LabelsOption,
    LayoutOption,
    ModelsDirOption,
    QuietOption,
    ReportOption,
    available_cores,
    command_line,
    count_aloud,
    exit_codes,
    say,
)
from batchdigits.errors import ExitCode, NoInputError, UsageError
from batchdigits.types import Layout

if TYPE_CHECKING:
    from batchdigits.assessment import Assessment, Match
    from batchdigits.sources.walk import Source


class ScoreFormat(StrEnum):
    """Formats of `evaluate`."""

    TABLE = "table"
    JSON = "json"
    MD = "md"


def evaluate(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER]", help="Pictures in folders named by what they show (FOLDER/7/a.jpg), or see --labels."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Model: a name or a folder. Repeatable, to compare several.",
            envvar="BATCHDIGITS_MODEL",
            show_default="cnn",
        ),
    ] = None,
    labels: LabelsOption = None,
    file_column: FileColumnOption = None,
    label_column: LabelColumnOption = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Judge these rows, a CSV of `classify`, instead of reading pictures.", envvar="BATCHDIGITS_PREDICTIONS"
        ),
    ] = None,
    layout: LayoutOption = Layout.DIGIT,
    report: ReportOption = None,
    form: Annotated[
        ScoreFormat, typer.Option("--format", "-f", help="What to print.", envvar="BATCHDIGITS_SCORE_FORMAT")
    ] = ScoreFormat.TABLE,
    fail_under: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Exit with 6 if any model is right less often.", envvar="BATCHDIGITS_FAIL_UNDER"
        ),
    ] = None,
    target_error: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Find the confidence from which on at most this share is wrong.",
            envvar="BATCHDIGITS_TARGET_ERROR",
        ),
    ] = None,
    models_dir: ModelsDirOption = None,
    jobs: JobsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure how good models are on pictures whose digits are known."""
    with exit_codes():
        from batchdigits.assessment import assess_predictions
        from batchdigits.report.evaluation_report import write_report
        from batchdigits.report.score_table import format_scores

        match = find_truth(labels, file_column, label_column)
        sources: list[Source] = []
        if predictions is not None:
            if inputs or model:
                raise UsageError("--predictions judges rows that are there: it takes no pictures and no --model.")
            found = assess_predictions(predictions, match)
        elif inputs:
            sources = _find(inputs, report)
            found = _read(sources, model or ["cnn"], match, models_dir, layout, jobs or available_cores(), quiet)
        else:
            raise UsageError("Name a folder with pictures, or --predictions.")
        scores = found.scores(target_error=target_error)
        if report is not None:
            write_report(report, found, scores, sources=sources, layout=layout, command=command_line())
            if not quiet:
                say(f"report: {report / 'report.html'}")
        text = json.dumps(scores, indent=2, ensure_ascii=False) + "\n"
        typer.echo(text if form is ScoreFormat.JSON else format_scores(scores, form.value), nl=False)
        raise typer.Exit(_exit_code(scores, fail_under))


def find_truth(labels: Path | None, file_column: str | None, label_column: str | None) -> Match:
    """Return what finds the labels of pages: in a table, or in the names of their folders."""
    from functools import partial

    from batchdigits.sources.labels import labels_of_folders, match_labels, read_labels

    if labels is None:
        if file_column or label_column:
            raise UsageError("--file-column and --label-column are of --labels.")
        return labels_of_folders
    return partial(match_labels, read_labels(labels, file_column=file_column, label_column=label_column))


def _find(inputs: list[Path], report: Path | None) -> list[Source]:
    from batchdigits.sources.walk import find_sources

    sources = list(find_sources(inputs, skip=[report] if report else []).sources)
    if not sources:
        raise NoInputError(f"No image in {', '.join(map(str, inputs))}. Is it the right folder?")
    return sources


def _read(
    sources: list[Source],
    names: list[str],
    match: Match,
    models_dir: Path | None,
    layout: Layout,
    jobs: int,
    quiet: bool,
) -> Assessment:
    from batchdigits.assessment import assess_sources
    from batchdigits.classifiers.runner import load_model

    classifiers = [load_model(name, models_dir) for name in names]

    def watch(rows: Any) -> Any:
        return rows if quiet else count_aloud(rows, total=len(sources), title="files")

    return assess_sources(sources, classifiers, match, layout=layout, jobs=jobs, watch=watch)


def _exit_code(scores: dict[str, Any], fail_under: float | None) -> ExitCode:
    """Return what the scores amount to; rows that could not be read come before a goal that was missed."""
    unread = scores["models"][0]["status"]["error"]["count"]
    if unread:
        return ExitCode.ALL_ERRORS if unread == scores["models"][0]["count"] else ExitCode.SOME_ERRORS
    if fail_under is not None and any(model["accuracy"] < fail_under for model in scores["models"]):
        for model in scores["models"]:
            if model["accuracy"] < fail_under:
                say(f"{model['model']}: {model['accuracy']:.2%} is below the {fail_under:.2%} asked for")
        return ExitCode.BELOW_TARGET
    return ExitCode.OK
