"""Random fields: the smooth and rough randomness of paper, ink and light."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Float:
    """Draw a smooth random field.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (int, int)
        Height and width of the field.
    cell : float
        About how many pixels lie between independent values. Below 1.5 every pixel is on its own.

    Returns
    -------
    (H, W) ndarray of float32
        Mean near 0, standard deviation near 0.7, or 1 where pixels are independent.
    """
    height, width = shape
    if cell < 1.5:
        return rng.standard_normal(shape, dtype=np.float32)
    grid = rng.standard_normal((max(2, round(height / cell)) + 1, max(2, round(width / cell)) + 1), dtype=np.float32)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def three(field: Float) -> Float:
    """Repeat a field (H, W) for three channels: (H, W, 3), many times faster than to broadcast over the last axis."""
    return np.asarray(cv2.merge([field, field, field]), dtype=np.float32)


def plane(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Slope in a random direction: (H, W) float32, 0 at the centre, about -1..1 at the ends of the longer side."""
    angle = rng.uniform(0, 2 * np.pi)
    scale = 2 / max(shape)
    y = (np.arange(shape[0], dtype=np.float32) - shape[0] / 2) * np.float32(np.sin(angle) * scale)
    x = (np.arange(shape[1], dtype=np.float32) - shape[1] / 2) * np.float32(np.cos(angle) * scale)
    return np.asarray(y[:, None] + x[None, :], dtype=np.float32)


def step(distance: Float, softness: float) -> Float:
    """Turn signed distances into a ramp 0..1 that rises over `softness` around 0."""
    ramp = distance / np.float32(max(softness, 1e-3)) + np.float32(0.5)
    return np.asarray(np.clip(ramp, 0, 1), dtype=np.float32)
