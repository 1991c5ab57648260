"""Scores and pictures to one HTML page that needs nothing else."""

from __future__ import annotations

import hashlib
import platform
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

import jinja2
import numpy as np

from batchdigits import __version__
from batchdigits.assessment import Assessment, JudgedPage
from batchdigits.report.charts import coverage_chart, histogram, reliability_chart
from batchdigits.report.gallery import Shot
from batchdigits.types import Layout, PageId, Status

_MISTAKES, _DOUBTFUL, _RIGHT = 60, 24, 12  # pictures of each kind
_BINS = 20
_SAMPLE = "Right and marked ok"

TakeShots = Callable[[Iterable[PageId]], Mapping[PageId, Shot]]


def render_report(
    assessment: Assessment, scores: Mapping[str, Any], *, layout: Layout, command: str, take_shots: TakeShots
) -> str:
    """Write the report.

    Parameters
    ----------
    assessment : Assessment
        The rows.
    scores : mapping
        Of them, as `Assessment.scores` returns them.
    layout : Layout
        What was looked for.
    command : str
        What made it, for people to repeat.
    take_shots : callable
        Gives pictures of pages, as far as there are any.

    Returns
    -------
    str
        HTML.
    """
    chosen = {label: _choose(rows) for label, rows in assessment.rows.items()}
    shots = take_shots(row.page for parts in chosen.values() for rows, *_ in parts for row in rows)
    models = [
        {
            "name": label,
            "scores": own,
            "galleries": [
                {
                    "title": title,
                    "note": note,
                    "total": total,
                    "open": number == 0 and title != _SAMPLE,
                    "cards": [_card(row, shots.get(row.page)) for row in shown],
                }
                for shown, title, note, total in chosen[label]
            ],
            "charts": _charts(own, assessment.rows[label]),
            "folders": _by_folder(assessment.rows[label]),
        }
        for number, (label, own) in enumerate(zip(assessment.rows, scores["models"], strict=True))
    ]
    first = scores["models"][0]
    wrong = first["status"]["ok"]["count"] - first["status"]["ok"]["right"]
    return _template().render(
        headline=f"{_percent(first['accuracy'], 1)} right, {_percent(1 - first['ok_share'], 1)} flagged, "
        f"{wrong} wrong and not flagged",
        models=models,
        comparisons=scores["comparisons"],
        short=_short(list(assessment.rows)),
        unlabelled=scores["unlabelled"],
        unused=scores["unused"],
        has_digits=all(own["digit"] for own in scores["models"]),
        wide=layout is not Layout.DIGIT,
        command=command,
        version=__version__,
        python=platform.python_version(),
        digest=_digest(next(iter(assessment.rows.values()))),
        percent=_percent,
        number=lambda value: "" if value is None else f"{value:.4f}",
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    source = files("batchdigits.report").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)


def _short(labels: Sequence[str]) -> dict[str, str]:
    """Leave digests out where names tell models apart."""
    names = [label.partition("@")[0] for label in labels]
    return {label: name if names.count(name) == 1 else label for label, name in zip(labels, names, strict=True)}


def _percent(share: float | None, places: int = 2) -> str:
    return "–" if share is None else f"{share:.{places}%}"


def _choose(rows: Sequence[JudgedPage]) -> list[tuple[list[JudgedPage], str, str, int]]:
    """Return what to show: the mistakes, what is right but flagged, and some of the rest."""

    def worst(found: Iterable[JudgedPage]) -> list[JudgedPage]:
        return sorted(found, key=lambda row: -row.judged.confidence)

    mistakes = [row for row in rows if not row.judged.right]
    silent = worst(row for row in mistakes if row.judged.status is Status.OK)
    told = worst(row for row in mistakes if row.judged.status is not Status.OK)
    doubtful = [row for row in rows if row.judged.right and row.judged.status is not Status.OK]
    right = [row for row in rows if row.judged.right and row.judged.status is Status.OK]
    sample = np.random.default_rng(0).permutation(len(right))[:_RIGHT]
    return [
        (silent[:_MISTAKES], "Wrong and marked ok", "The surest first.", len(silent)),
        (told[:_MISTAKES], "Wrong and flagged", "The surest first; a person was asked to look.", len(told)),
        (worst(doubtful)[: -_DOUBTFUL - 1 : -1], "Right, but flagged", "The most doubtful first.", len(doubtful)),
        ([right[number] for number in np.sort(sample)], _SAMPLE, "A random sample.", len(right)),
    ]


def _card(row: JudgedPage, shot: Shot | None) -> dict[str, Any]:
    judged = row.judged
    tone = "good" if judged.right else "bad" if judged.status is Status.OK else "warn"
    return {
        "shot": shot,
        "guess": judged.prediction or "no digit",
        "truth": judged.truth,
        "tone": tone,
        "confidence": f"{judged.confidence:.2%}" if judged.prediction else "",
        "status": f"{judged.status.value} {row.reason.replace('_', ' ')}".strip(),
        "file": row.page.title,
    }


def _charts(scores: Mapping[str, Any], rows: Sequence[JudgedPage]) -> list[dict[str, str]]:
    calibration = scores["calibration"]
    if not calibration["count"]:
        return []
    said = [row.judged for row in rows if row.judged.prediction]
    place = np.minimum((np.array([row.confidence for row in said]) * _BINS).astype(int), _BINS - 1)
    right = np.array([row.right for row in said], np.bool_)
    counts = [np.bincount(place[which], minlength=_BINS).tolist() for which in (right, ~right)]
    return [
        {
            "title": "Does confidence hold?",
            "svg": reliability_chart(calibration["reliability"]),
            "note": "On the line, as many are right as the confidence says; below it, it says too much.",
        },
        {
            "title": "How much can be accepted?",
            "svg": coverage_chart(calibration["risk_coverage"]),
            "note": "The surest rows first: the share of them that is wrong.",
        },
        {
            "title": "How sure is it?",
            "svg": histogram(*counts),
            "note": "Rows by confidence, wrong ones on top; heights grow with the root of the count.",
        },
    ]


def _by_folder(rows: Sequence[JudgedPage]) -> list[dict[str, Any]]:
    folders: dict[str, list[JudgedPage]] = defaultdict(list)
    for row in rows:
        folders[str(PurePosixPath(row.page.file).parent)].append(row)
    return [
        {
            "name": name,
            "count": len(own),
            "right": sum(row.judged.right for row in own),
            "ok": sum(row.judged.status is Status.OK for row in own),
            "silent": sum(row.judged.status is Status.OK and not row.judged.right for row in own),
        }
        for name, own in sorted(folders.items())
    ]


def _digest(rows: Sequence[JudgedPage]) -> str:
    """Return twelve hexadecimal digits of the pages and their labels."""
    named = sorted(f"{row.page.title}\0{row.judged.truth}" for row in rows)
    return hashlib.sha256("\n".join(named).encode("utf-8", "backslashreplace")).hexdigest()[:12]
