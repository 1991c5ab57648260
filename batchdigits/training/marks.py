"""What is on paper without anyone having written: rulings, stains, dust, holes, staples, folds."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from batchdigits.training.fields import Float, plane, smooth_field, step


def ruling(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Print pieces of rulings over a whole picture: crossing, ending in it, thick or thin.

    Always with level lines: an upright one alone may be a 1.
    """
    height, width = shape
    canvas = np.zeros(shape, np.uint8)
    side = min(shape)
    thick = max(1, round(side * float(np.exp(rng.uniform(np.log(0.006), np.log(0.05))))))
    pitch = rng.uniform(0.1, 0.35) * side
    count = int(rng.integers(1, 5))
    top = rng.uniform(0.1, 0.6) * height
    left = rng.uniform(-0.2, 0.45) * width
    right = left + rng.uniform(0.3, 1.3) * width
    for i in range(count):
        y = round(top + i * pitch)
        ends = (round(left + rng.normal(0, 0.02) * side), y), (round(right + rng.normal(0, 0.02) * side), y)
        cv2.line(canvas, *ends, 255, thick, cv2.LINE_4)
    uprights = int(rng.integers(0, 5)) if count > 1 else int(rng.choice((0, 2, 3)))
    reach = rng.uniform(0.1, 0.5) * pitch
    for x in np.linspace(left, min(right, left + uprights * pitch), uprights + 2)[1:-1]:
        ends = (round(x), round(top - reach)), (round(x), round(top + (count - 1) * pitch + reach))
        cv2.line(canvas, *ends, 255, thick, cv2.LINE_4)
    return canvas.astype(np.float32) / np.float32(255)


def smudge(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Soil a whole picture: a blot, the arc of a cup, a smear, a rubbed-out place, dust, a staple, a fold."""
    ways: tuple[Callable[[np.random.Generator, tuple[int, int]], Float], ...] = (
        _blot,
        _arc,
        _smear,
        _rubbed,
        _dust,
        _staple,
        _fold,
        _shade,
        _holes,
    )
    return ways[int(rng.integers(len(ways)))](rng, shape)


def _offsets(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Float, Float]:
    """Return x and y of every pixel from a point near the picture's middle, in its shorter side."""
    side = np.float32(min(shape))
    y = (np.arange(shape[0], dtype=np.float32) - np.float32(rng.uniform(0.35, 0.65) * shape[0])) / side
    x = (np.arange(shape[1], dtype=np.float32) - np.float32(rng.uniform(0.35, 0.65) * shape[1])) / side
    return np.broadcast_to(x[None, :], shape), np.broadcast_to(y[:, None], shape)


def _blot(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Spill ink: a ragged pool and its splashes."""
    x, y = _offsets(rng, shape)
    rough = smooth_field(rng, shape, rng.uniform(0.05, 0.2) * min(shape))
    pool = rng.uniform(0.1, 0.3) - np.hypot(x, y) + np.float32(rng.uniform(0.03, 0.1)) * rough
    return step(np.asarray(pool, dtype=np.float32), rng.uniform(0.01, 0.15))


def _arc(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Leave the upper or lower part of a cup's ring: the whole might be a 0, its sides a 1."""
    x, y = _offsets(rng, shape)
    y = y + np.float32(rng.choice((-0.25, 0.25)))
    radius, width = rng.uniform(0.25, 0.45), rng.uniform(0.015, 0.06)
    ring = 1 - np.abs(np.hypot(x, y) - np.float32(radius)) / np.float32(width)
    reach = np.abs(y) - np.abs(x) / np.float32(np.tan(rng.uniform(0.6, 1.05)))
    uneven = np.clip(0.8 + 0.5 * smooth_field(rng, shape, 0.25 * min(shape)), 0.3, 1)
    ends = step(np.asarray(reach, np.float32), 0.05) * (y > 0 if rng.random() < 0.5 else y < 0)
    return np.asarray(np.clip(ring, 0, 1) * uneven * ends, dtype=np.float32)


def _smear(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Draw a finger through wet ink: streaks along one direction that fade."""
    x, y = _offsets(rng, shape)
    angle = rng.uniform(-0.6, 0.6)
    along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    across = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    streaks = np.interp(across, np.linspace(-1, 1, 120), rng.uniform(0.1, 1, 120)).astype(np.float32)
    half = rng.uniform(0.06, 0.2)
    within = step(np.asarray(half - np.abs(across), np.float32), 0.04) * step(
        np.asarray(0.4 - np.abs(along), np.float32), 0.4
    )
    return np.asarray(streaks * within, dtype=np.float32)


def _rubbed(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Rub something out: crossing sets of pale streaks."""
    return np.asarray(
        np.maximum(_smear(rng, shape), _smear(rng, shape)) * np.float32(rng.uniform(0.4, 0.9)), np.float32
    )


def _dust(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Scatter specks of all sizes, denser in one place."""
    canvas = np.zeros(shape, np.uint8)
    side = min(shape)
    middle = rng.uniform(0.3, 0.7, 2) * (shape[1], shape[0])
    for x, y in middle + rng.normal(0, rng.uniform(0.06, 0.25) * side, (int(rng.integers(6, 60)), 2)):
        radius = max(1, round(side * float(np.exp(rng.uniform(np.log(0.004), np.log(0.03))))))
        cv2.circle(canvas, (round(x), round(y)), radius, int(rng.integers(120, 256)), -1, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255)


def _staple(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Staple the sheet: a short bar, nearly level, its bent ends at times in view."""
    canvas = np.zeros(shape, np.uint8)
    side = min(shape)
    centre = float(rng.uniform(0.4, 0.6) * shape[1]), float(rng.uniform(0.4, 0.6) * shape[0])
    long, thick = rng.uniform(0.25, 0.6) * side, rng.uniform(0.02, 0.06) * side
    angle = float(rng.uniform(-35, 35))
    corners = cv2.boxPoints((centre, (long, max(2.0, thick)), angle))
    cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], 255, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255)


def _fold(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Crease the sheet: a line with a soft shadow on one side."""
    distance = plane(rng, shape) * np.float32(max(shape) / 2) + np.float32(rng.normal(0, 0.15) * min(shape))
    distance += np.float32(0.01 * min(shape)) * smooth_field(rng, shape, 0.3 * min(shape))
    line = np.clip(1.5 - np.abs(distance) / np.float32(rng.uniform(0.5, 2.5)), 0, 1)
    soft = np.where(distance > 0, np.exp(-distance / np.float32(0.08 * min(shape))), 0) * np.float32(
        rng.uniform(0.1, 0.5)
    )
    return np.asarray(np.maximum(line * rng.uniform(0.3, 1), soft), dtype=np.float32)


def _shade(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Let a hard, ragged shadow reach into the picture."""
    distance = plane(rng, shape) * np.float32(max(shape) / 2) - np.float32(rng.uniform(0.1, 0.4) * min(shape))
    distance += np.float32(rng.uniform(0.02, 0.15) * min(shape)) * smooth_field(rng, shape, 0.3 * min(shape))
    return step(distance, rng.uniform(0.5, 12))


def _holes(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Punch the sheet: one or two dark discs."""
    canvas = np.zeros(shape, np.uint8)
    radius = max(3, round(rng.uniform(0.06, 0.2) * min(shape)))
    x, y = rng.uniform(0.35, 0.65) * shape[1], rng.uniform(0.25, 0.45) * shape[0]
    for i in range(int(rng.integers(1, 3))):
        cv2.circle(canvas, (round(x), round(y + 3 * i * radius)), radius, 255, -1, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255)
