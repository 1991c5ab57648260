"""The job of `evaluate`: rows and their truth to the scores of one model or several."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from batchdigits import __version__
from batchdigits.batch import classify_sources
from batchdigits.classifiers.runner import Classifier
from batchdigits.errors import NoInputError
from batchdigits.evaluation import SCHEMA, Judged, choose_threshold, compare, evaluate_rows
from batchdigits.sources.labels import Matched
from batchdigits.sources.walk import Source
from batchdigits.types import Layout, PageId, Row, Status
from batchdigits.writers import read_csv

Match = Callable[[Iterable[PageId]], Matched]
"""Finds the labels of pages."""

_COLUMNS = ("file", "page", "region", "prediction", "confidence", "status", "second", "model")


@dataclass(frozen=True, slots=True)
class JudgedPage:
    """A row beside what it should be."""

    page: PageId
    reason: str
    judged: Judged


@dataclass(frozen=True, slots=True)
class Assessment:
    """How good one model is on some pages, or several on the same ones."""

    rows: dict[str, list[JudgedPage]]  #: of each model, by its label: those whose truth is known
    matched: Matched

    def scores(self, *, target_error: float | None = None) -> dict[str, Any]:
        """Return all figures, ready for JSON.

        Parameters
        ----------
        target_error : float, optional
            Also choose the confidence from which on at most this share of the rows is wrong.

        Returns
        -------
        dict
            ``models``: for each its label and what `evaluate_rows` returns; ``comparisons``: McNemar's test for each
            pair, and the pages on which it differs; ``unlabelled`` pages and ``unused`` labels.
        """
        models = []
        for label, rows in self.rows.items():
            scores = {"model": label, **evaluate_rows([row.judged for row in rows])}
            if target_error is not None:
                scores["target_error"] = target_error
                scores["review_below"] = _threshold(rows, target_error)
            models.append(scores)
        return {
            "schema": SCHEMA,
            "batchdigits": __version__,
            "models": models,
            "comparisons": [self._compare(one, other) for one, other in combinations(self.rows, 2)],
            "unlabelled": [page.title for page in self.matched.unlabelled],
            "unused": list(self.matched.unused),
        }

    def _compare(self, one: str, other: str) -> dict[str, Any]:
        pairs = list(zip(self.rows[one], self.rows[other], strict=True))
        right = np.array([(first.judged.right, second.judged.right) for first, second in pairs], np.bool_).reshape(
            -1, 2
        )
        differing = [a.page.title for a, b in pairs if a.judged.prediction != b.judged.prediction]
        return {"models": [one, other], **asdict(compare(right[:, 0], right[:, 1])), "differing": differing}


def _threshold(rows: Sequence[JudgedPage], target: float) -> float | None:
    said = [row.judged for row in rows if row.judged.prediction]
    confidence = np.array([row.confidence for row in said], np.float64)
    return choose_threshold(confidence, np.array([row.right for row in said], np.bool_), target)


def assess_sources(
    sources: Sequence[Source],
    classifiers: Sequence[Classifier],
    match: Match,
    *,
    layout: Layout = Layout.DIGIT,
    jobs: int = 1,
    watch: Callable[[Iterable[list[Row]]], Iterable[list[Row]]] = iter,
) -> Assessment:
    """Read files with every model and judge what they say.

    Parameters
    ----------
    sources : sequence of Source
        The files.
    classifiers : sequence of Classifier
        The models.
    match : callable
        Finds the labels.
    layout, jobs
        See `classify_sources`.
    watch : callable
        Passes the rows of each file on, to show how far it is.

    Raises
    ------
    NoInputError
        If no page has a label.
    """
    found = {
        classifier.card.label: [
            judge_later(row)
            for rows in watch(classify_sources(sources, classifier, layout=layout, jobs=jobs))
            for row in rows
        ]
        for classifier in classifiers
    }
    return assess_rows(found, match)


def assess_predictions(path: Path, match: Match) -> Assessment:
    """Judge rows that `classify` has written to a CSV, without reading a picture.

    Raises
    ------
    NoInputError
        If it cannot be read, is none of ours, or no page has a label.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(_read_predictions(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NoInputError(f"The predictions {path} cannot be read: {error}.") from error
    except (KeyError, ValueError, TypeError) as error:
        raise NoInputError(
            f"{path} is no CSV of `batchdigits classify`: its columns should be {', '.join(_COLUMNS)}, ..."
        ) from error
    models: dict[str, list[JudgedPage]] = {}
    for model, row in rows:
        models.setdefault(model, []).append(row)
    if len(models) > 1:
        raise NoInputError(f"{path} has rows of several models: {', '.join(models)}. Judge them one by one.")
    return assess_rows(models, match)


def _read_predictions(file: Any) -> Iterator[tuple[str, JudgedPage]]:
    for cells in read_csv(file):
        page = PageId(cells["file"], int(cells["page"]), cells["region"])
        ten = [cells.get(f"p{digit}") for digit in range(10)]
        judged = Judged(
            "",
            cells["prediction"],
            float(cells["confidence"]),
            Status(cells["status"]),
            cells["second"],
            tuple(float(value) for value in ten if value),
        )
        yield cells["model"], JudgedPage(page, cells["reason"], judged)


def judge_later(row: Row) -> JudgedPage:
    """Keep of a row what counts once its truth is known."""
    alone = len(row.digits) == 1
    probabilities = row.digits[0].probabilities if alone else ()
    judged = Judged("", row.prediction, row.confidence, row.status, row.second, probabilities)
    return JudgedPage(row.page, row.reason, judged)


def assess_rows(rows: dict[str, list[JudgedPage]], match: Match) -> Assessment:
    """Judge rows that were kept, of one model or several on the same pages.

    Raises
    ------
    NoInputError
        If no page has a label.
    """
    pages = [row.page for row in next(iter(rows.values()), [])]
    matched = match(pages)
    if not matched.truth:
        raise NoInputError(
            f"None of {len(pages)} pages has a label. Labels name files as the rows do, or folders are named by digits."
        )
    known = {
        label: [
            replace(row, judged=replace(row.judged, truth=matched.truth[row.page]))
            for row in own
            if row.page in matched.truth
        ]
        for label, own in rows.items()
    }
    return Assessment(known, matched)
