"""What is wrong with a picture, in words that say how to take a better one."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.ranks import median, percentile

_SMALLEST = 12  # pixels of the original: below it, digits that differ in a pen's stroke look alike
_ILLEGIBLE = 5.5  # likewise: below it, nobody can tell them, whatever a model says
_FAINTEST = 2.5  # times the contrast that the paper's noise does not reach
_SOFTEST = 0.06  # of the digit's size, from paper to full ink: beyond it, loops close and gaps fill
_STEEP = 0.1  # of the rim: its steepest part tells how sharp a picture is
_SHARP = 4.0  # pixels at working size that an edge may take in any case
_SPARSE = 16  # where no more than one pixel in so many is of the rim, only those are looked at

_BESIDE = np.ones((3, 3), np.uint8)


def is_illegible(size: float, scale: float) -> bool:
    """Tell whether a digit of that size, in pixels, is too small to be read; see `find_faults`."""
    return size * scale < _ILLEGIBLE


def find_faults(
    contrast: NDArray[np.float32], least: NDArray[np.float32], mask: NDArray[np.uint8], size: float, scale: float
) -> tuple[str, ...]:
    """Tell what makes some ink hard to read. The limits are where `benchmarks/robustness.py` shows readings to fail.

    Parameters
    ----------
    contrast : (H, W) ndarray of float32
        Ink contrast, 0 paper, up to 1 ink.
    least : (H, W) ndarray of float32
        The contrast that noise alone does not reach.
    mask : (H, W) ndarray of uint8
        0 paper, else the ink in question.
    size : float
        Of a digit: the longer side of its box, in pixels.
    scale : float
        The original's pixels per pixel here.

    Returns
    -------
    tuple of str
        Of ``too_small``, ``faint`` and ``blurred``, those that are so, the gravest first.
    """
    inside = mask > 0
    if not inside.any():
        return ()
    level = percentile(contrast[inside], 75)
    # a median takes longer than all else here, and is not needed where even the greatest is little enough
    faint = level < _FAINTEST * float(least.max()) and level < _FAINTEST * median(least[inside])
    faults = {
        "too_small": size * scale < _SMALLEST,
        "faint": faint,
        "blurred": _is_soft(contrast, inside.view(np.uint8), level, max(_SHARP, _SOFTEST * size)),
    }
    return tuple(fault for fault, found in faults.items() if found)


def _is_soft(contrast: NDArray[np.float32], mask: NDArray[np.uint8], level: float, most: float) -> bool:
    """Tell whether the ink's edges take more pixels than that: as many as the contrast would at its steepest rise."""
    rim = np.asarray(cv2.dilate(mask, _BESIDE), dtype=np.uint8)
    edge = cv2.countNonZero(rim)
    # where clearly more than a tenth of the rim is steep enough, to count that is faster than to find how steep
    enough, clearly = 1.001 * level / most, _STEEP * edge + 1
    if edge * _SPARSE < rim.size and _count_steep(contrast, rim, enough) > clearly:
        return False
    across, down = (cv2.Sobel(contrast, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    steep = (cv2.magnitude(across, down) > np.float32(enough)).view(np.uint8)
    if cv2.countNonZero(cv2.bitwise_and(steep, rim)) > clearly:
        return False
    steepest = percentile(np.hypot(across[rim > 0], down[rim > 0]), 100 * (1 - _STEEP))
    return level > steepest * most


def _count_steep(contrast: NDArray[np.float32], rim: NDArray[np.uint8], steepness: float) -> int:
    """Count the pixels of a rim, but for those at the picture's edge, where the contrast rises more steeply."""
    height, width = rim.shape
    inner = np.zeros_like(rim)
    inner[1:-1, 1:-1] = rim[1:-1, 1:-1]
    at, values = np.flatnonzero(inner > 0), contrast.ravel()
    (a, b, c), (d, _, e), (f, g, h) = (
        [values[at + row * width + column] for column in (-1, 0, 1)] for row in (-1, 0, 1)
    )
    across, down = (c + 2 * e + h) - (a + 2 * d + f), (f + 2 * g + h) - (a + 2 * b + c)
    return int(np.count_nonzero(np.hypot(across, down) > 8 * steepness))
