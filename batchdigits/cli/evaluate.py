"""The command `evaluate`."""

from __future__ import annotations

import os
from enum import StrEnum
from functools import partial
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
    from batchdigits.report.page import TakeShots


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
    mnist: Annotated[
        bool,
        typer.Option(
            "--mnist", help="Judge models on MNIST's test part, as Keras downloads it.", envvar="BATCHDIGITS_MNIST_TEST"
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="The same for an .npz in the layout of Keras' mnist.npz.", envvar="BATCHDIGITS_TEST_NPZ"),
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
        from batchdigits.report.evaluation_report import no_shots, write_report
        from batchdigits.report.score_table import format_scores

        given = [bool(inputs), predictions is not None, mnist or data is not None]
        if sum(given) != 1:
            raise UsageError("Give one of these: a folder with pictures, --predictions, --mnist, --data.")
        if given[2] and (labels or layout is not Layout.DIGIT):
            raise UsageError("--mnist and --data bring their own labels, of one digit each.")
        if predictions is not None and model:
            raise UsageError("--predictions judges rows that are there: it takes no --model.")
        match = find_truth(labels, file_column, label_column)
        cores = jobs or available_cores()
        shoot: TakeShots
        if predictions is not None:
            found, shoot = assess_predictions(predictions, match), no_shots
        elif inputs:
            found, shoot = _read(inputs, report, model or ["cnn"], match, models_dir, layout, cores, quiet)
        else:
            found, shoot = _read_test_part(data, model or ["cnn"], models_dir, cores, quiet)
        scores = found.scores(target_error=target_error)
        if report is not None:
            write_report(report, found, scores, layout=layout, command=command_line(), take_shots=shoot)
            if not quiet:
                say(f"report: {report / 'report.html'}")
        typer.echo(format_scores(scores, form.value), nl=False)
        raise typer.Exit(_exit_code(scores, fail_under))


def find_truth(labels: Path | None, file_column: str | None, label_column: str | None) -> Match:
    """Return what finds the labels of pages: in a table, or in the names of their folders."""
    from batchdigits.sources.labels import labels_of_folders, match_labels, read_labels

    if labels is None:
        if file_column or label_column:
            raise UsageError("--file-column and --label-column are of --labels.")
        return labels_of_folders
    return partial(match_labels, read_labels(labels, file_column=file_column, label_column=label_column))


def _read(
    inputs: list[Path],
    report: Path | None,
    names: list[str],
    match: Match,
    models_dir: Path | None,
    layout: Layout,
    jobs: int,
    quiet: bool,
) -> tuple[Assessment, TakeShots]:
    """Judge pictures in folders."""
    from batchdigits.assessment import assess_sources
    from batchdigits.classifiers.runner import load_model
    from batchdigits.report.gallery import take_shots
    from batchdigits.sources.walk import find_sources

    sources = find_sources(inputs, skip=[report] if report else []).sources
    if not sources:
        raise NoInputError(f"No image in {', '.join(map(str, inputs))}. Is it the right folder?")
    classifiers = [load_model(name, models_dir) for name in names]

    def watch(rows: Any) -> Any:
        return rows if quiet else count_aloud(rows, total=len(sources), title="files")

    found = assess_sources(sources, classifiers, match, layout=layout, jobs=jobs, watch=watch)
    return found, partial(take_shots, sources=sources, settings=classifiers[0].card.imaging, layout=layout)


def _read_test_part(
    data: Path | None, names: list[str], models_dir: Path | None, jobs: int, quiet: bool
) -> tuple[Assessment, TakeShots]:
    """Judge the test part of MNIST, or of data in its layout."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets with pages of advice
    from batchdigits.benchmark import TestPart
    from batchdigits.classifiers.runner import load_model
    from batchdigits.training.datasets import load_keras_mnist, load_npz
    from batchdigits.training.progress import silent

    classifiers = [load_model(name, models_dir) for name in names]
    part = TestPart(load_npz(data) if data else load_keras_mnist(say=say), data.name if data else "MNIST")
    return part.assess(classifiers, jobs=jobs, progress=silent if quiet else count_aloud), part.take_shots


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
