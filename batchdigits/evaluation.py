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
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(index, weights=confidence - correct, minlength=bins)
    return float(np.abs(gap).sum() / len(correct))
