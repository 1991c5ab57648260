"""The paper under a picture's ink: medians of small copies, since light changes slowly."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

ROUGH_WINDOW = 0.55
"""Of the long side: a window that hardly a digit can fill."""


def histogram(picture: NDArray[Any]) -> NDArray[np.float64]:
    """Return how often each grey level occurs, (256,)."""
    return np.asarray(cv2.calcHist([picture], [0], None, [256], [0, 256]).ravel(), dtype=np.float64)


def scale_down(pixels: Image, at_most: int) -> Image:
    """Return a picture with at most this long side: light changes slowly."""
    height, width = pixels.shape[:2]
    factor = at_most / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if factor <= 0.25:  # means of four pixels, and of four of these: many times faster than of any number
        halved = max(1, width // 2), max(1, height // 2)
        pixels = np.asarray(cv2.resize(pixels, halved, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        return scale_down(pixels, at_most) if factor <= 0.2 else scale_to(pixels, size)
    # down to a half, two neighbours tell as much as the area does, which takes ten times as long
    how = cv2.INTER_AREA if factor <= 0.5 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=how), dtype=np.uint8)


def scale_to(pixels: Image, size: tuple[int, int]) -> Image:
    """Return what is known of the light at another width and height."""
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def estimate_background(
    pixels: Image, window: float, at_most: int, *, mirror: bool = False, size: tuple[int, int] | None = None
) -> Image:
    """Estimate the paper without the ink: the median of a window wider than any stroke.

    Parameters
    ----------
    pixels : (H, W, 3) or (H, W) ndarray of uint8
        The picture.
    window : float
        Side of the window as a share of the long side. Strokes thinner than half of it vanish, and so do shadows.
    at_most : int
        The median is taken of a copy with at most this long side; light changes slowly.
    mirror : bool
        Continue the picture beyond its rim mirrored, so that a thin dark frame stays thin, instead of repeating its
        last pixels, which follows a falling light better.
    size : (int, int), optional
        Width and height of what is returned, if not those of the picture.

    Returns
    -------
    (H, W, 3) or (H, W) ndarray of uint8
        The paper's colour at every pixel.

    Notes
    -----
    A median keeps the straight edge of a hard shadow, which a mean or a polynomial would smear into a false stroke.
    """
    small = scale_down(pixels, at_most)
    side = min(max(3, round(max(small.shape[:2]) * window)) | 1, 255)
    pad = side // 2 if mirror else 0
    padded = np.asarray(cv2.copyMakeBorder(small, pad, pad, pad, pad, cv2.BORDER_REFLECT), dtype=np.uint8)
    paper = _wide_median(padded, side)[pad : pad + small.shape[0], pad : pad + small.shape[1]]
    return scale_to(paper, size or (pixels.shape[1], pixels.shape[0]))


def _wide_median(picture: Image, side: int) -> Image:
    """Return the median of a window of `side` x `side`, the picture's rim repeated beyond it.

    On a clean grey sheet one level has more than half of almost every window, and so is its median: to count that is
    many times faster than a median, which then serves the rest.
    """
    if picture.ndim == 2:
        counts = histogram(picture)
        level = int(counts.argmax())
        if 2 * counts[level] >= picture.size:
            return _median_beside(level, picture, side)
    return np.asarray(cv2.medianBlur(picture, side), dtype=np.uint8)


def _median_beside(level: int, picture: Image, side: int) -> Image:
    """Return the same median for a picture of which one grey level has most."""
    same = (picture == level).astype(np.uint8)
    count = cv2.boxFilter(same, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_REPLICATE)
    left, top, width, height = cv2.boundingRect((2 * count < side * side).astype(np.uint8))
    found = np.full_like(picture, level)
    if width:
        reach = side // 2
        y, x = max(0, top - reach), max(0, left - reach)
        around = picture[y : top + height + reach, x : left + width + reach]
        inside = slice(top - y, top - y + height), slice(left - x, left - x + width)
        found[top : top + height, left : left + width] = cv2.medianBlur(around, side)[inside]
    return found
