"""Truth and predictions to counts and scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
