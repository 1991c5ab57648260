"""A digit's ink to a tile as MNIST has them: upright, 20 x 20, centred by mass in 28 x 28."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.ranks import percentile
from batchdigits.imaging.settings import ImagingSettings

TILE = 28
BOX = 20
OVERSAMPLING = 4

RIM = 3
"""Pixels at working size that a stroke's soft rim may reach beyond its edge."""

Map = NDArray[np.float32]

_CUBIC = np.array([[0, -0.75, 1.5, -0.75], [1, 0, -2.25, 1.25], [0, 0.75, 1.5, -1.25], [0, 0, -0.75, 0.75]])
"""Of the four pixels around a place, a row each: what powers of its distance from the second one weigh it. As steep as
OpenCV has it."""

_NEAR = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
_BESIDE = np.ones((3, 3), np.uint8)


def soft_ink(contrast: Map, mask: NDArray[np.uint8], others: NDArray[np.uint8] | None = None) -> Map:
    """Return the ink of one digit, its strokes 1 and their rims in between.

    Parameters
    ----------
    contrast : (H, W) ndarray of float32
        Ink contrast around the digit.
    mask : (H, W) ndarray of uint8
        0 paper and other marks, 255 this digit.
    others : (H, W) ndarray of uint8, optional
        255 what is none of it; its own rim, one pixel wide, is none either.

    Returns
    -------
    (H, W) ndarray of float32
        0 to 1. All 0 for an empty mask.
    """
    inside = contrast[mask > 0]
    if not inside.size:
        return np.zeros(contrast.shape, np.float32)
    own = cv2.dilate(mask, _NEAR)
    if others is not None:
        own = cv2.bitwise_or(mask, cv2.bitwise_and(own, cv2.bitwise_not(cv2.dilate(others, _BESIDE))))
    strength = _limit(contrast / np.float32(percentile(inside, 75)))
    return np.asarray(cv2.copyTo(strength, own), dtype=np.float32)


def _limit(values: Map) -> Map:
    """Bring the values within 0 to 1 in place: np.clip takes several times as long for so few."""
    cv2.threshold(values, 0.0, 0.0, cv2.THRESH_TOZERO, dst=values)
    cv2.threshold(values, 1.0, 1.0, cv2.THRESH_TRUNC, dst=values)
    return values


def crop(ink: Map) -> Map:
    """Cut away empty rows and columns. An ink map without ink gives a single empty pixel."""
    left, top, width, height = cv2.boundingRect((ink > 0.3).view(np.uint8))
    return ink[top : top + height, left : left + width] if width else np.zeros((1, 1), np.float32)


def scale_to(ink: Map, side: int) -> Map:
    """Resize so that the long side is `side` pixels."""
    height, width = ink.shape
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if factor < 1:
        return np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    # linear would blur what a few pixels tell of a small digit
    return _limit(np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_CUBIC), dtype=np.float32))


def stroke_width(ink: Map) -> float:
    """Return the mean width of the strokes in pixels, 0 without ink.

    Across a stroke of width w the distance to its edge averages w / 4.
    """
    core = np.zeros((ink.shape[0] + 2, ink.shape[1] + 2), np.uint8)
    core[1:-1, 1:-1] = ink > 0.5
    distance = cv2.distanceTransform(core, cv2.DIST_L2, 5)
    inside = distance[core.view(np.bool_)]
    if not inside.size:
        return 0.0
    mean = np.add.reduce(inside) / inside.size
    return 4 * float(mean) - 2  # the transform counts to the next pixel's centre: half too far


@cache
def _disc(side: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)


def thicken(ink: Map, least: float) -> Map:
    """Thicken strokes thinner than `least` pixels to that width; others stay as they are."""
    missing = least - stroke_width(ink)
    if missing <= 0:
        return ink
    whole = int(missing)
    padded = np.zeros((ink.shape[0] + 2 * whole + 4, ink.shape[1] + 2 * whole + 4), np.float32)
    padded[whole + 2 : -whole - 2, whole + 2 : -whole - 2] = ink
    thick, thicker = (np.asarray(cv2.dilate(padded, _disc(side)), np.float32) for side in (whole + 1, whole + 2))
    # a share of the last pixel: by whole ones, strokes that hardly differ would come out a pixel apart
    thicker -= thick
    thicker *= np.float32(missing - whole)
    thicker += thick
    return thicker


def slant(ink: Map, at_most: float) -> float:
    """Return the shear that sets the strokes upright, in pixels across per pixel down, from the second moments."""
    moments = cv2.moments(ink)
    if moments["mu02"] <= 1e-6:
        return 0.0
    return float(min(max(moments["mu11"] / moments["mu02"], -at_most), at_most))


def deskew(ink: Map, at_most: float) -> Map:
    """Shear the digit upright, by its second moments, on a canvas wide enough for it."""
    shear = slant(ink, at_most)
    margin = math.ceil(abs(shear) * ink.shape[0] / 2) + 1
    return _limit(_shear(ink, shear, margin))


def _shear(ink: Map, shear: float, margin: int) -> Map:
    """Shear around the middle row, onto a canvas that is wider by a margin on both sides.

    Each row moves by itself, between pixels by cubic convolution (Keys, 1981). OpenCV's `warpAffine` does the same, and
    takes longer: it looks at four rows for each pixel.
    """
    height, across = ink.shape
    width = across + 2 * margin
    source = shear * (np.arange(height) - (height - 1) / 2) - margin  # where each row of the canvas begins in the ink's
    first = np.floor(source)
    share = source - first
    square = share * share
    powers = np.array([np.ones(height), share, square, square * share])
    weights = (_CUBIC @ powers).astype(np.float32)[:, :, np.newaxis]
    before = 2 * margin + 2  # empty pixels, so that every place has four around it
    padded = np.zeros((height, across + 2 * before), np.float32)
    padded[:, before : before + across] = ink
    starts = np.arange(height) * padded.shape[1] + first.astype(np.int64) + (before - 1)
    near = padded.ravel().take(starts[:, np.newaxis] + np.arange(width + 3))
    sheared = weights[0] * near[:, :width]
    for tap in (1, 2, 3):
        sheared += weights[tap] * near[:, tap : tap + width]
    return np.asarray(sheared, dtype=np.float32)


def fit(ink: Map) -> Map:
    """Fit into 20 x 20, aspect kept, and centre by mass in 28 x 28, as MNIST does (LeCun et al., 1998).

    Returns
    -------
    (28, 28) ndarray of float32
        0 paper, 1 ink. All 0 for an empty ink map.
    """
    box = scale_to(ink, BOX * OVERSAMPLING)
    total = float(box.sum())
    tile = np.zeros((TILE, TILE), np.float32)
    if total <= 0:
        return tile
    height, width = box.shape
    x = float(box.sum(axis=0) @ np.arange(width)) / total
    y = float(box.sum(axis=1) @ np.arange(height)) / total
    side = TILE * OVERSAMPLING
    middle = (side - 1) / 2
    canvas = np.zeros((side, side), np.float32)
    # mass far off the box's middle must not push ink over the rim
    left = min(max(round(middle - x), 0), side - width)
    top = min(max(round(middle - y), 0), side - height)
    canvas[top : top + height, left : left + width] = box
    return np.asarray(cv2.resize(canvas, (TILE, TILE), interpolation=cv2.INTER_AREA), dtype=np.float32)


def make_tile(ink: Map, settings: ImagingSettings) -> Map:
    """Turn the soft ink of one digit into its tile: crop, thicken, deskew, fit.

    Parameters
    ----------
    ink : (H, W) ndarray of float32
        0 paper, 1 ink, one digit.
    settings : ImagingSettings
        Give the least stroke width and the largest slant.

    Returns
    -------
    (28, 28) ndarray of float32
        0 paper, 1 ink.
    """
    enlarged = scale_to(crop(ink), BOX * OVERSAMPLING)
    thick = thicken(enlarged, settings.min_stroke * OVERSAMPLING)
    return fit(crop(deskew(thick, settings.max_slant)))
