"""The photo simulator: pictures of handwritten digits, with labels that are right by construction."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.training.fields import Float, plane, smooth_field, step, three
from batchdigits.training.pens import Pen, draw_ink, random_pen
from batchdigits.training.scenes import PrintedBox, Ruling, Scene, random_scene
from batchdigits.training.sheets import draw_sheet, scale_colour
from batchdigits.training.skeletons import STYLES, draw_skeleton

__all__ = [
    "STYLES",
    "Pen",
    "PrintedBox",
    "Ruling",
    "Scene",
    "draw_ink",
    "draw_skeleton",
    "photograph",
    "random_pen",
    "random_scene",
    "simulate_ink",
    "simulate_photo",
]


def simulate_photo(
    digit: int,
    rng: np.random.Generator,
    *,
    difficulty: float = 0.5,
    scene: Scene | None = None,
    style: str | None = None,
    pen: Pen | None = None,
) -> NDArray[np.uint8]:
    """Write a digit and take its picture.

    Parameters
    ----------
    digit : int
        0-9.
    rng : numpy.random.Generator
        The same state gives the same pixels.
    difficulty : float
        0 is a clean scan, 1 as bad as a person still reads. Without effect where `scene` is given.
    scene, style, pen
        Fixed instead of drawn: see `random_scene`, `STYLES` and `random_pen`.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        BGR.
    """
    if scene is None:
        scene = random_scene(rng, difficulty=difficulty)
    ink, scene = simulate_ink(digit, scene, rng, style=style, pen=pen, wobble=0.6 + 0.6 * difficulty)
    return photograph(ink, scene, rng)


def simulate_ink(
    digit: int,
    scene: Scene,
    rng: np.random.Generator,
    *,
    style: str | None = None,
    pen: Pen | None = None,
    wobble: float = 0.9,
) -> tuple[Float, Scene]:
    """Write a digit for a scene, without taking the picture.

    Returns
    -------
    ink : (H, W) ndarray of float32
        0 is paper, 1 is ink, H the digit's height in the scene.
    scene : Scene
        The same, its ink grey where the pen turned out to be a pencil.
    """
    if pen is None:
        pen = random_pen(rng)
        if pen.kind == "pencil":
            scene = for_pencil(scene, rng)
    strokes = draw_skeleton(digit, rng, style, wobble=wobble)
    return draw_ink(strokes, height=max(8, round(scene.digit_height * scene.size[0])), pen=pen, rng=rng), scene


def for_pencil(scene: Scene, rng: np.random.Generator) -> Scene:
    """Give a scene the grey of graphite; chalk stays chalk."""
    if scene.white_on_black:
        return scene
    grey = int(rng.integers(50, 85))
    return replace(scene, ink=(grey, grey, grey), strength=min(scene.strength, float(rng.uniform(0.65, 0.95))))


def photograph(ink: Float, scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Take a picture of an ink map.

    Parameters
    ----------
    ink : (H, W) ndarray of float32
        0 is paper, 1 is ink. Any size: it is scaled to the scene's digit height.
    scene : Scene
    rng : numpy.random.Generator
        Where grain, light directions and noise come from.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        BGR, of the scene's size.
    """
    height, width = scene.size
    side = min(height, width)
    # What rotation and perspective pull into view must be drawn as well.
    reach = np.sin(np.deg2rad(min(abs(scene.rotation), 45.0))) * max(height, width) / 2
    margin = int(np.ceil(reach + 1.5 * scene.perspective * side)) + 1
    sheet = draw_sheet(scene, margin, rng)
    _write(sheet, ink, scene)
    if scene.edge > 0:
        _show_table(sheet, scene, margin, rng)
    picture = _project(sheet, scene, margin, rng)
    _light(picture, scene, rng)
    if scene.blur * side > 0.2:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), scene.blur * side), dtype=np.float32)
    _add_noise(picture, scene.noise, rng)
    np.clip(picture, 0, 1, out=picture)
    pixels = np.asarray(cv2.convertScaleAbs(picture, alpha=255), dtype=np.uint8)
    return pixels if scene.jpeg_quality is None else _compress(pixels, scene.jpeg_quality)


def _write(sheet: Float, ink: Float, scene: Scene) -> None:
    """Put the ink onto the sheet, in place."""
    height, width = scene.size
    rows = max(1, round(scene.digit_height * height))
    columns = max(1, round(ink.shape[1] * rows / ink.shape[0]))
    shrinking = rows < ink.shape[0]
    scaled = cv2.resize(ink, (columns, rows), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
    amount = np.clip(np.asarray(scaled, dtype=np.float32), 0, 1) * np.float32(scene.strength)
    side = min(height, width)
    top = round(sheet.shape[0] / 2 + scene.offset[1] * side - rows / 2)
    left = round(sheet.shape[1] / 2 + scene.offset[0] * side - columns / 2)
    amount = amount[max(0, -top) :, max(0, -left) :]
    patch = sheet[max(0, top) :, max(0, left) :][: amount.shape[0], : amount.shape[1]]
    amount = three(amount[: patch.shape[0], : patch.shape[1]])
    colour = scale_colour(scene.ink)
    if scene.white_on_black:
        patch += amount * (colour - patch)
    else:
        patch *= 1 - amount * (1 - colour)


def _show_table(sheet: Float, scene: Scene, margin: int, rng: np.random.Generator) -> None:
    """Let the sheet end before one side of the picture, in place."""
    turns = int(rng.integers(4))
    turned = np.rot90(sheet, turns)
    rows, columns = turned.shape[:2]
    depth = margin + scene.edge * min(scene.size)
    end = depth + np.linspace(-1, 1, columns, dtype=np.float32) * np.float32(rng.normal(0, 0.02) * columns)
    distance = np.arange(rows, dtype=np.float32)[:, None] - end[None, :]
    sheet_there = step(distance, 1.0)
    shade = 1 - np.float32(0.25) * np.exp(np.minimum(distance, 0) / np.float32(4))
    grain = 1 + np.float32(0.06) * smooth_field(rng, (rows, columns), 12)
    turned *= three(sheet_there)
    turned += three((1 - sheet_there) * grain * shade) * scale_colour(scene.table)


def _project(sheet: Float, scene: Scene, margin: int, rng: np.random.Generator) -> Float:
    """See the sheet through a camera that is a little rotated and not quite above it."""
    height, width = scene.size
    middle = np.array([width, height]) / 2
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    shift = rng.uniform(-1, 1, (4, 2)) * scene.perspective * min(height, width)
    angle = np.deg2rad(-scene.rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = (corners + shift - middle) @ turn.T + middle + margin
    matrix = cv2.getPerspectiveTransform(seen.astype(np.float32), corners.astype(np.float32))
    picture = cv2.warpPerspective(sheet, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture, dtype=np.float32)


def _light(picture: Float, scene: Scene, rng: np.random.Generator) -> None:
    """Light the scene from one side, and let something cast a shadow, in place."""
    shape = picture.shape[0], picture.shape[1]
    light = np.full(shape, scene.exposure, dtype=np.float32)
    if scene.falloff > 0:
        slope = plane(rng, shape)
        light *= 1 - np.float32(scene.falloff) * np.clip(np.float32(0.5) * (slope + 1), 0, 1) ** np.float32(1.5)
    if scene.shadow > 0:
        side = min(shape)
        line = plane(rng, shape) * np.float32(max(shape) / 2) + np.float32(rng.normal(0, 0.2) * side)
        line += np.float32(0.06 * side) * smooth_field(rng, shape, side / 2)
        light *= 1 - np.float32(scene.shadow) * step(line, scene.shadow_softness * side)
    picture *= three(light)


def _add_noise(picture: Float, strength: float, rng: np.random.Generator) -> None:
    """Add a sensor's noise, in place: fine in brightness, coarser in colour as raw converters leave it."""
    if strength <= 0:
        return
    rows, columns = picture.shape[:2]
    picture += three(rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(strength))
    colour = rng.standard_normal((rows // 2 + 1, columns // 2 + 1, 3), dtype=np.float32) * np.float32(0.5 * strength)
    picture += cv2.resize(colour, (columns, rows), interpolation=cv2.INTER_LINEAR)


def _compress(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Save as JPEG and read back."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError("OpenCV cannot read the JPEG it wrote")
    return np.asarray(decoded, dtype=np.uint8)
