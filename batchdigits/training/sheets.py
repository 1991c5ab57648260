"""Sheets of paper, with what is printed on them."""

from __future__ import annotations

import cv2
import numpy as np

from batchdigits.training.fields import Float, smooth_field
from batchdigits.training.scenes import SIDES, Colour, Scene


def scale_colour(colour: Colour) -> Float:
    """Bring a colour from 0-255 to a (3,) float32 array 0-1."""
    return np.array(colour, dtype=np.float32) / np.float32(255)


def draw_sheet(scene: Scene, margin: int, rng: np.random.Generator) -> Float:
    """Make the sheet that a scene is written on.

    Parameters
    ----------
    scene : Scene
    margin : int
        Pixels drawn beyond each side of the picture.
    rng : numpy.random.Generator

    Returns
    -------
    (H + 2 * margin, W + 2 * margin, 3) ndarray of float32
        BGR, 0-1, of the paper with its texture, ruling, box and specks.
    """
    height, width = scene.size
    shape = height + 2 * margin, width + 2 * margin
    brightness = np.ones(shape, dtype=np.float32)
    if scene.texture > 0:
        side = min(scene.size)
        weave = smooth_field(rng, shape, 1)
        weave += smooth_field(rng, shape, side / 60)
        weave += 1.5 * smooth_field(rng, shape, side / 8)
        brightness += np.float32(0.5 * scene.texture) * weave
    sheet = np.asarray(cv2.merge([brightness * value for value in scale_colour(scene.paper)]), dtype=np.float32)
    if scene.ruling.kind != "none":
        _tone(sheet, _ruling(scene, margin), scene.ruling.colour)
    if scene.box.kind != "none":
        _tone(sheet, _box(scene, margin), scene.box.colour)
    for _ in range(scene.specks):
        centre = int(rng.integers(shape[1])), int(rng.integers(shape[0]))
        cv2.circle(sheet, centre, int(rng.integers(0, 2 + min(scene.size) // 200)), (0.35, 0.35, 0.35), -1, cv2.LINE_AA)
    return sheet


def _tone(sheet: Float, amount: Float, colour: Colour) -> None:
    """Print a colour onto the sheet, in place, where `amount` (H, W) is above 0."""
    sheet *= np.asarray(cv2.merge([1 - amount * (1 - value) for value in scale_colour(colour)]), dtype=np.float32)


def _cover(length: int, start: float, end: float) -> Float:
    """How much of each of `length` pixels lies between two positions: (length,) float32, 0-1."""
    at = np.arange(length, dtype=np.float32)
    return np.asarray(np.clip(np.minimum(at + 1, end) - np.maximum(at, start), 0, 1), dtype=np.float32)


def _comb(length: int, pitch: float, thickness: float, first: float) -> Float:
    """Cover of equally spaced lines: (length,) float32, 0-1."""
    total = np.zeros(length, dtype=np.float32)
    for centre in np.arange(first % pitch - pitch, length + pitch, pitch):
        total += _cover(length, centre - thickness / 2, centre + thickness / 2)
    return np.minimum(total, 1)


def _ruling(scene: Scene, margin: int) -> Float:
    """How much of each pixel the ruling covers."""
    side = min(scene.size)
    rows, columns = scene.size[0] + 2 * margin, scene.size[1] + 2 * margin
    ruling = scene.ruling
    pitch = max(3.0, ruling.pitch * side)
    thickness = max(0.5, ruling.thickness * side)
    if ruling.kind == "dotted":
        thickness *= 2  # dots as thin as lines would hardly be seen
    across = _comb(rows, pitch, thickness, margin + ruling.phase[1] * pitch)[:, None]
    down = _comb(columns, pitch, thickness, margin + ruling.phase[0] * pitch)[None, :]
    if ruling.kind == "ruled":
        return np.broadcast_to(across, (rows, columns))
    if ruling.kind == "squared":
        return np.maximum(across, down)
    return across * down


def _box(scene: Scene, margin: int) -> Float:
    """How much of each pixel the box's border covers."""
    side = min(scene.size)
    rows, columns = scene.size[0] + 2 * margin, scene.size[1] + 2 * margin
    box = scene.box
    thick = max(1.0, box.thickness * side)
    left, top, right, bottom = (margin + value * side for value in box.margins)
    right, bottom = columns - right, rows - bottom
    within_x = _cover(columns, left, right)[None, :]
    within_y = _cover(rows, top, bottom)[:, None]
    drawn = SIDES if box.kind == "full" else box.sides
    amount = np.zeros((rows, columns), dtype=np.float32)
    for name, line in (
        ("left", within_y * _cover(columns, left, left + thick)[None, :]),
        ("top", within_x * _cover(rows, top, top + thick)[:, None]),
        ("right", within_y * _cover(columns, right - thick, right)[None, :]),
        ("bottom", within_x * _cover(rows, bottom - thick, bottom)[:, None]),
    ):
        if name in drawn:
            np.maximum(amount, line, out=amount)
    return amount
