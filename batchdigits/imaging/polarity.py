"""Ink on paper, or chalk on a board: which side of the ground's brightness the strokes lie on."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.light import ROUGH_WINDOW, Image, estimate_background, histogram

_ROUGHEST = 80  # long side of a copy whose medians tell chalk from ink roughly
_THIRDS = np.full((1, 3), 1 / 3, np.float32)
_STROKES = np.arange(256.0) ** 2 * (np.arange(256) >= 20)  # what a deviation weighs: less than 20 is noise, no stroke


def is_light_on_dark(pixels: Image, background: Image) -> bool:
    """Tell chalk on a board from ink on paper.

    Whichever side of the paper's brightness the strong deviations lie on is ink; a bright ground must be outweighed
    clearly before it is taken for a board, since glare and sharpening halos are bright too.
    """
    return _light_excess(pixels, background) > 1


def _light_excess(pixels: Image, background: Image) -> float:
    """Return how many times the light deviations outweigh what the dark ones and the ground ask of them."""
    grey, ground = _brightness(pixels), _brightness(background)
    # uint8 subtraction stops at 0
    dark, light = histogram(cv2.subtract(ground, grey)), histogram(cv2.subtract(grey, ground))
    return excess(dark, light, float(np.median(background[::4, ::4])))


def _brightness(pixels: Image) -> Image:
    """Return (H, W), the mean of the channels."""
    return pixels if pixels.ndim == 2 else np.asarray(cv2.transform(pixels, _THIRDS), dtype=np.uint8)


def excess(dark: NDArray[np.float64], light: NDArray[np.float64], ground: float) -> float:
    """Return how far light outweighs dark, given how many pixels deviate from the ground by 0, 1, 2 ... grey levels."""
    darkness, lightness = (float(counts @ _STROKES[: len(counts)]) for counts in (dark, light))
    asked = darkness * (4.0 if ground > 110 else 0.5)
    return lightness / asked if asked else (math.inf if lightness else 0.0)


def is_negative(pixels: Image, small: Image, at_most: int) -> bool:
    """Tell chalk from ink by a coarse estimate of the paper where that leaves no doubt, else by a close one.

    Few pictures come within the eightfold of either side, and even if the two estimates disagree on the brightness of
    the ground, that alone is worth no more than the eightfold.

    Of these, what is light must be so to a narrow window too: along the edge of a hard shadow a wide one takes light
    paper for chalk, but it misses no stroke, however thick.

    Parameters
    ----------
    pixels : (H, W, 3) or (H, W) ndarray of uint8
        The picture.
    small : (h, w, 3) or (h, w) ndarray of uint8
        The same, smaller, to estimate the paper from.
    at_most : int
        See `estimate_background`.
    """
    small = _brightness(small)
    coarse = _light_excess(
        small, estimate_background(small, ROUGH_WINDOW, at_most=min(_ROUGHEST, at_most), mirror=True)
    )
    if not 1 / 8 < coarse < 8:
        return coarse > 1
    size = pixels.shape[1], pixels.shape[0]
    pixels = _brightness(pixels)
    return all(
        is_light_on_dark(pixels, estimate_background(small, window=window, at_most=at_most, mirror=True, size=size))
        for window in (ROUGH_WINDOW, 0.2)
    )
