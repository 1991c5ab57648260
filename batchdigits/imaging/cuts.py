"""Where digits that touch may be cut apart: offered here, decided by what a classifier makes of the pieces."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NARROWEST = 0.75
"""Of a digit's size: what is narrower holds no two digits."""

_SINGLE = 0.9  # of a digit's size: in a mark that is narrower, two strokes side by side are more likely a 0's
_EDGE = 0.15  # of a digit's size: no cut nearer to an end
_REACH = 0.1  # of a digit's size: a valley is the lowest place so far on both sides
_DEPTH = 0.8  # of the hills on either side
_HILLS = 0.3  # of a digit's size: how far off a hill may be


def find_cuts(mask: NDArray[np.uint8], size: float) -> list[int]:
    """Find the columns at which a connected mark may be cut: valleys of its ink, and of its height.

    Where two digits touch, there is less ink in a column than in them; or, where each has an upright stroke there, at
    least a notch above or below.

    Parameters
    ----------
    mask : (H, W) ndarray of uint8
        0 paper, else ink; one connected mark, cropped.
    size : float
        Of a digit: the longer side of its box, in pixels.

    Returns
    -------
    list of int
        Columns, left to right: each begins a new piece. Empty for a mark that is too narrow for two digits.
    """
    height, width = mask.shape
    if width < NARROWEST * size:
        return []
    ink = mask > 0
    first, last = ink.argmax(axis=0), height - ink[::-1].argmax(axis=0)
    profiles = ink.sum(axis=0), last - first
    found = sorted(x for profile in profiles for x in _valleys(profile.astype(np.float32), size))
    if width < _SINGLE * size:
        found = [x for x in found if _is_one_stroke(ink[:, x])]
    cuts: list[int] = []
    for x in found:
        if not cuts or x - cuts[-1] > _REACH * size:
            cuts.append(x)
    return cuts


def _is_one_stroke(column: NDArray[np.bool_]) -> bool:
    """Tell whether the ink of a column is in one piece."""
    return bool(np.count_nonzero(column[1:] & ~column[:-1]) + column[0] == 1)


def _valleys(profile: NDArray[np.float32], size: float) -> list[int]:
    """Return the lowest places of a profile that have hills on both sides."""
    smooth = cv2.GaussianBlur(profile[None], (0, 0), max(1.0, size / 30))
    reach, hills = round(_REACH * size) + 1, round(_HILLS * size) + 1
    # OpenCV's morphology is the maximum and the minimum of a window; what lies beyond the ends is left out
    window = np.ones((1, hills), np.uint8)
    before, after = (cv2.dilate(smooth, window, anchor=anchor).ravel() for anchor in ((hills - 1, 0), (0, 0)))
    lowest = cv2.erode(smooth, np.ones((1, 2 * reach + 1), np.uint8)).ravel()
    level = smooth.ravel()
    x = np.arange(max(1, round(_EDGE * size)), round(len(level) - _EDGE * size))
    hill = np.minimum(before[x - 1], after[x])
    return [int(place) for place in x[(level[x] == lowest[x]) & (level[x] < _DEPTH * hill)]]
