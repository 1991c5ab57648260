"""The folder of a report: the page for people, the figures for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from batchdigits.assessment import Assessment
from batchdigits.errors import OutputError
from batchdigits.report.gallery import Shot
from batchdigits.report.page import TakeShots, render_report
from batchdigits.report.score_table import format_csv, format_scores
from batchdigits.types import Layout, PageId
from batchdigits.writers import atomic_file


def no_shots(pages: Iterable[PageId]) -> Mapping[PageId, Shot]:
    """Show no pictures: for rows that are all there is."""
    return {}


def write_report(
    folder: Path,
    assessment: Assessment,
    scores: Mapping[str, Any],
    *,
    layout: Layout,
    command: str,
    take_shots: TakeShots = no_shots,
) -> None:
    """Write ``report.html``, ``evaluation.json`` and ``evaluation.csv``.

    Parameters
    ----------
    folder : Path
        Made if it is not there; other files in it stay.
    assessment, scores, layout, command, take_shots
        See `render_report`.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    page = render_report(assessment, scores, layout=layout, command=command, take_shots=take_shots)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    for name, text in (
        ("evaluation.json", format_scores(scores, "json")),
        ("evaluation.csv", format_csv(scores)),
        ("report.html", page),
    ):
        with atomic_file(folder / name) as file:
            file.write(text.encode("utf-8", "backslashreplace"))
