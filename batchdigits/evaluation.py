"""Truth and predictions to counts and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from batchdigits.types import Status

SCHEMA = 1
"""Of what `evaluate_rows` returns; grows when a key changes its meaning or goes."""

_NONE = 10  # of a confusion matrix: the column of what is no single digit


@dataclass(frozen=True, slots=True)
class Judged:
    """A row whose truth is known."""

    truth: str
    prediction: str
    confidence: float
    status: Status
    second: str = ""
    probabilities: tuple[float, ...] = ()  #: ten, of a row with one digit; empty where they are not known

    @property
    def right(self) -> bool:
        """Whether all of the prediction is what was written."""
        return self.prediction == self.truth


def evaluate_rows(rows: Sequence[Judged]) -> dict[str, Any]:
    """Measure how good rows are.

    Parameters
    ----------
    rows : sequence of Judged
        All that have a label: what is blank or could not be read counts as wrong.

    Returns
    -------
    dict
        Ready for JSON. Shares are 0 to 1 and None where there is nothing to divide by:

        ``count``, ``right``, ``accuracy`` with ``accuracy_low`` and ``accuracy_high``
            The 95 % interval is Wilson's (1927).
        ``status``
            For each, ``count``, ``right`` and ``accuracy``; ``ok_share`` is beside it.
        ``calibration``
            ``ece`` (15 bins of equal width), ``reliability``, ``risk_coverage``: of rows with a prediction.
        ``text``
            ``digit_error_rate``: digits to change, add or drop, of those written; ``digits``.
        ``digit``
            Of rows whose truth is one digit, None without any: ``count``, ``top2_accuracy``, ``confusion`` (11 columns:
            0 to 9, and what was read as no single digit), ``each`` and the averages ``macro`` and ``weighted`` with
            ``precision``, ``recall``, ``f1``, ``support``; ``log_loss`` and ``brier`` (the squared errors of all ten
            probabilities) of those whose probabilities are known, ``probabilities_count``.
    """
    right = np.array([row.right for row in rows], np.bool_)
    predicted = np.array([row.prediction != "" for row in rows], np.bool_)
    confidence = np.array([row.confidence for row in rows], np.float64)
    said, held = confidence[predicted], right[predicted]
    written = sum(len(row.truth.replace(" ", "")) for row in rows)
    wrong = sum(edit_distance(row.prediction.replace(" ", ""), row.truth.replace(" ", "")) for row in rows)
    single = [row for row in rows if len(row.truth) == 1]
    return {
        "schema": SCHEMA,
        **_accuracy(right),
        "ok_share": _share(sum(row.status is Status.OK for row in rows), len(rows)),
        "status": {
            status.value: _accuracy(right[[row.status is status for row in rows]] if rows else right)
            for status in Status
        },
        "calibration": {
            "count": len(said),
            "ece": expected_calibration_error(said, held) if len(said) else None,
            "reliability": reliability(said, held),
            "risk_coverage": risk_coverage(said, held),
        },
        "text": {"digits": written, "digit_error_rate": _share(wrong, written)},
        "digit": _evaluate_digits(single) if single else None,
    }


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _accuracy(right: NDArray[np.bool_]) -> dict[str, Any]:
    count, good = len(right), int(right.sum())
    interval = binomtest(good, count).proportion_ci(0.95, method="wilson") if count else None
    return {
        "count": count,
        "right": good,
        "accuracy": _share(good, count),
        "accuracy_low": float(interval.low) if interval else None,
        "accuracy_high": float(interval.high) if interval else None,
    }


def _evaluate_digits(rows: Sequence[Judged]) -> dict[str, Any]:
    """Measure rows whose truth is one digit."""
    truth = np.array([int(row.truth) for row in rows])
    guess = np.array([int(row.prediction) if len(row.prediction) == 1 else _NONE for row in rows])
    digits = list(range(10))
    each = precision_recall_fscore_support(truth, guess, labels=digits, zero_division=0)
    known = [number for number, row in enumerate(rows) if row.probabilities]
    probabilities = np.array([rows[number].probabilities for number in known]).reshape(-1, 10)
    return {
        "count": len(rows),
        "top2_accuracy": float(np.mean([row.right or row.second == row.truth for row in rows])),
        "confusion": confusion_matrix(truth, guess, labels=[*digits, _NONE])[:10].tolist(),
        "each": [_scores(*(float(column[digit]) for column in each)) for digit in digits],
        **{average: _average(truth, guess, average) for average in ("macro", "weighted")},
        "probabilities_count": len(known),
        "log_loss": _log_loss(truth[known], probabilities) if known else None,
        "brier": float(np.mean(np.sum((probabilities - np.eye(10)[truth[known]]) ** 2, axis=1))) if known else None,
    }


def _average(truth: NDArray[np.int64], guess: NDArray[np.int64], average: str) -> dict[str, float]:
    present = sorted(set(truth.tolist()))  # a digit that nobody wrote has no recall to average
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, guess, labels=present, average=average, zero_division=0
    )
    return _scores(precision, recall, f1, len(truth))


def _scores(precision: float, recall: float, f1: float, support: float) -> dict[str, float]:
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": int(support)}


def _log_loss(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    whole = probabilities / probabilities.sum(axis=1, keepdims=True)  # those of a CSV are rounded
    return float(log_loss(truth, whole, labels=list(range(10))))


def choose_threshold(confidence: NDArray[np.float64], correct: NDArray[np.bool_], target: float) -> float | None:
    """Return the lowest confidence from which on at most a share of `target` is wrong.

    Parameters
    ----------
    confidence, correct
        As for `risk_coverage`.
    target : float
        0 to 1.

    Returns
    -------
    float or None
        None if no threshold is so good: even the surest rows are wrong too often.
    """
    if not len(correct):
        return None
    order = np.argsort(-confidence, kind="stable")
    levels, wrong = confidence[order], np.cumsum(~correct[order])
    ends = np.append(levels[1:] < levels[:-1], True)  # rows that share a confidence are accepted together
    good = np.flatnonzero(ends & (wrong <= target * np.arange(1, len(levels) + 1)))
    return float(levels[good[-1]]) if len(good) else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same rows."""

    first_alone: int  #: rows that only the first read right
    second_alone: int
    p_value: float  #: McNemar's exact test: how likely a difference so large is, were both equally good


def compare(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Comparison:
    """Compare what two models read right of the same rows, by McNemar's exact test (1947)."""
    alone, other = int((first & ~second).sum()), int((second & ~first).sum())
    p_value = float(binomtest(alone, alone + other).pvalue) if alone + other else 1.0
    return Comparison(alone, other, p_value)


def expected_calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_], *, bins: int = 15) -> float:
    """Return how far confidence is from the share that is right, on average.

    Parameters
    ----------
    confidence : (N,) ndarray of float64
        0 to 1.
    correct : (N,) ndarray of bool
        Whether the prediction was right.
    bins : int
        Of equal width (Guo et al., 2017).

    Returns
    -------
    float
        0 is perfect; NaN for N = 0.
    """
    if not len(correct):
        return float("nan")
    index = _bin_of(confidence, bins)
    gap = np.bincount(index, weights=confidence - correct, minlength=bins)
    return float(np.abs(gap).sum() / len(correct))


def _bin_of(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def reliability(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], *, bins: int = 15
) -> list[tuple[float, float, int]]:
    """Return the reliability diagram's bars (Guo et al., 2017).

    Parameters
    ----------
    confidence, correct, bins
        As for `expected_calibration_error`.

    Returns
    -------
    list of (float, float, int)
        Mean confidence, share right and count of every bin that holds something, the lowest first.
    """
    index = _bin_of(confidence, bins)
    bars = []
    for number in np.unique(index):
        own = index == number
        mean, share = float(confidence[own].mean()), float(correct[own].mean())
        bars.append((round(mean, 5), round(share, 5), int(own.sum())))
    return bars


def risk_coverage(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], *, points: int = 50
) -> list[tuple[float, float, float]]:
    """Return the risk-coverage curve (El-Yaniv and Wiener, 2010).

    Parameters
    ----------
    confidence : (N,) ndarray of float64
        0 to 1.
    correct : (N,) ndarray of bool
        Whether the prediction was right.
    points : int
        At most so many, closer together towards full coverage, where the errors are.

    Returns
    -------
    list of (float, float, float)
        Confidence threshold, share of all at or above it, share of these that is wrong; empty for N = 0.
    """
    if not len(correct):
        return []
    order = np.argsort(-confidence, kind="stable")
    levels, wrong = confidence[order], np.cumsum(~correct[order])
    # counts accepted: all that share a confidence are accepted together
    ends = np.flatnonzero(np.append(levels[1:] < levels[:-1], True)) + 1
    wanted = len(correct) * (1 - np.geomspace(1e-4, 1, points) + 1e-4)
    chosen = np.unique(ends[np.minimum(np.searchsorted(ends, wanted), len(ends) - 1)])
    return [
        (round(float(levels[n - 1]), 5), round(float(n / len(correct)), 5), round(float(wrong[n - 1] / n), 6))
        for n in chosen
    ]


def edit_distance(one: str, other: str) -> int:
    """Return how many characters to change, add or drop make one text the other (Levenshtein)."""
    previous = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        current = [i]
        for j, b in enumerate(other, start=1):
            current.append(min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a != b)))
        previous = current
    return previous[-1]
