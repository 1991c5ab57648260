"""Order statistics: numpy's own, which takes longer to prepare than to find them among a digit's few pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def percentile(values: NDArray[np.float32], percent: float) -> float:
    """Return what `np.percentile` does, to the last bit.

    Parameters
    ----------
    values : (N,) ndarray of float32
        In any order, at least one, none of them NaN.
    percent : float
        0 to 100.
    """
    last = values.size - 1
    place = last * (percent / 100)
    below = int(place)
    if below >= last:
        return float(values.max())
    low, high = np.partition(values, (below, below + 1))[below : below + 2]
    share, step = place - below, high - low
    return float(high - step * (1 - share) if share >= 0.5 else low + step * share)


def median(values: NDArray[Any]) -> float:
    """Return what `np.median` does, to the last bit.

    Parameters
    ----------
    values : ndarray of float32, or of integers
        In any order, at least one, none of them NaN.
    """
    half, odd = divmod(values.size, 2)
    if odd:
        return float(np.partition(values, half, axis=None)[half])
    low, high = np.partition(values, (half - 1, half), axis=None)[half - 1 : half + 1]
    return float((low + high) / 2)
