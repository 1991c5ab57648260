"""Other hands: distortions that turn one writer's digit into what another might have written."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def enlarge(picture: NDArray[np.uint8]) -> Map:
    """Turn a small picture of a digit (ink 255 on 0) into a sharp ink map six times its size, cropped to the ink."""
    rows, columns = np.flatnonzero(picture.max(axis=1) > 25), np.flatnonzero(picture.max(axis=0) > 25)
    if rows.size == 0:
        return np.zeros((6, 6), np.float32)
    ink = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32) / 255
    enlarged = cv2.resize(np.pad(ink, 1), None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip((enlarged - 0.25) * 2, 0, 1), dtype=np.float32)


def distort(ink: Map, rng: np.random.Generator, *, strength: float = 1.0) -> Map:
    """Write a digit as another hand would: proportions, slope, waviness and pen changed.

    Parameters
    ----------
    ink : (H, W) ndarray of float32
        0 paper, 1 ink, cropped to the digit; some 60 to 200 pixels high.
    rng : numpy.random.Generator
        The same state gives the same digit.
    strength : float
        0 changes nothing, 1 is all that leaves most digits legible.

    Returns
    -------
    (H', W') ndarray of float32
        0 paper, 1 ink, with paper around it.
    """
    height, width = ink.shape
    side = int(1.6 * max(height, width)) + 8
    angle = np.deg2rad(rng.normal(0, 7) * strength)
    stretch = np.exp(rng.normal(0, 0.16) * strength)  # width against height
    shear = rng.normal(0, 0.12) * strength
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = np.array([[1 / np.sqrt(stretch), shear], [0, np.sqrt(stretch)]])
    matrix = turn @ shape  # from the new picture to the old one
    y, x = np.mgrid[:side, :side].astype(np.float32) - np.float32((side - 1) / 2)
    source_x = matrix[0, 0] * x + matrix[0, 1] * y + (width - 1) / 2
    source_y = matrix[1, 0] * x + matrix[1, 1] * y + (height - 1) / 2
    # Elastic: smooth random shifts (Simard, Steinkraus and Platt, 2003), as a coarse grid enlarged.
    reach = 0.045 * strength * max(height, width)
    for target in (source_x, source_y):
        grid = rng.normal(0, reach, (5, 5)).astype(np.float32)
        target += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    moved = cv2.remap(ink, source_x.astype(np.float32), source_y.astype(np.float32), cv2.INTER_LINEAR)
    return _change_pen(np.asarray(moved, dtype=np.float32), rng, strength)


def _change_pen(ink: Map, rng: np.random.Generator, strength: float) -> Map:
    """Make strokes wider or narrower, never so narrow that they break."""
    change = int(np.rint(rng.normal(0, 0.025) * strength * ink.shape[0]))
    if change == 0:
        return ink
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(change) + 1, abs(change) + 1))
    if change > 0:
        return np.asarray(cv2.dilate(ink, disc), dtype=np.float32)
    thinner = np.asarray(cv2.erode(ink, disc), dtype=np.float32)
    return thinner if thinner.sum() > 0.45 * ink.sum() else ink


def jitter(tiles: Map, rng: np.random.Generator, *, strength: float = 1.0) -> Map:
    """Return tiles that are turned, sheared, stretched, moved and bent, each in its own way and by its own amount.

    Parameters
    ----------
    tiles : (N, 28, 28) ndarray of float32
        0 paper, 1 ink.
    rng : numpy.random.Generator
        The same state gives the same tiles.
    strength : float
        Of the most moved tile. 0 changes nothing, 1 is about twice what imaging leaves uncorrected.
    """
    count, side = len(tiles), tiles.shape[-1]
    middle = np.float32((side - 1) / 2)
    y, x = np.mgrid[:side, :side].astype(np.float32) - middle
    # some tiles hardly move: those in use have not been resampled, and must not look strange
    amount = strength * rng.uniform(0, 1, count)
    angle = np.deg2rad(rng.normal(0, 9, count) * amount)
    shear, wide, high = rng.normal(0, 0.1, (3, count)) * amount
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    shape = np.stack([np.exp(wide), shear, np.zeros(count), np.exp(high)], axis=1).reshape(-1, 2, 2)
    matrices = (turn @ shape).astype(np.float32)
    shifts = (rng.normal(0, 1, (count, 2)) * amount[:, None]).astype(np.float32) + middle
    grids = (rng.normal(0, 0.9, (count, 4, 4, 2)) * amount[:, None, None, None]).astype(np.float32)
    out = np.empty_like(tiles)
    for tile, matrix, shift, grid, moved in zip(tiles, matrices, shifts, grids, out, strict=True):
        bend = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        source_x = matrix[0, 0] * x + matrix[0, 1] * y + shift[0] + bend[..., 0]
        source_y = matrix[1, 0] * x + matrix[1, 1] * y + shift[1] + bend[..., 1]
        cv2.remap(tile, source_x, source_y, cv2.INTER_CUBIC, dst=moved)  # linear would blur
    return np.clip(out, 0, 1)
