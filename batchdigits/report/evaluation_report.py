"""The folder of a report: the page for people, the figures for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from batchdigits.assessment import Assessment
from batchdigits.errors import OutputError
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.report.gallery import Shot, take_shots
from batchdigits.report.page import render_report
from batchdigits.report.score_table import format_csv
from batchdigits.sources.walk import Source
from batchdigits.types import Layout, PageId
from batchdigits.writers import atomic_file


def write_report(
    folder: Path,
    assessment: Assessment,
    scores: Mapping[str, Any],
    *,
    sources: Sequence[Source],
    layout: Layout,
    command: str,
    settings: ImagingSettings | None = None,
) -> None:
    """Write ``report.html``, ``evaluation.json`` and ``evaluation.csv``.

    Parameters
    ----------
    folder : Path
        Made if it is not there; other files in it stay.
    assessment, scores, layout, command
        See `render_report`.
    sources : sequence of Source
        Where the pictures of the gallery come from; none leaves them out.
    settings : ImagingSettings, optional
        What the tiles in the gallery are made with.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    named = {source.name: source for source in sources}

    def shoot(pages: Iterable[PageId]) -> Mapping[PageId, Shot]:
        return take_shots(pages, named, settings or ImagingSettings(), layout)

    page = render_report(assessment, scores, layout=layout, command=command, take_shots=shoot)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    for name, text in (
        ("evaluation.json", json.dumps(scores, indent=2, ensure_ascii=False) + "\n"),
        ("evaluation.csv", format_csv(scores)),
        ("report.html", page),
    ):
        with atomic_file(folder / name) as file:
            file.write(text.encode("utf-8", "backslashreplace"))
