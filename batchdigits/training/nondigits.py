"""Simulated photos of what is not one digit, so that models learn to refuse it.

They go through the same scenes and the same camera as the simulated digits: a model must not tell the two apart by the
paper. What a fair person could take for a clean digit is left out rather than included: a model that learnt to distrust
digits would be worse than one that lets a few letters pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from batchdigits.training import marks, prints, scrawls, spoilt
from batchdigits.training.fields import Float
from batchdigits.training.pens import random_pen
from batchdigits.training.scenes import Colour, PrintedBox, Ruling, Scene, random_small_scene
from batchdigits.training.scrawls import Handwriting, Writer
from batchdigits.training.simulator import for_pencil, photograph

_WRITTEN: Mapping[str, Callable[[Writer], Float]] = MappingProxyType({
    "letter": scrawls.letter,
    "word": scrawls.word,
    "symbol": scrawls.symbol,
    "drawing": scrawls.drawing,
    "scribble": scrawls.scribble,
    "outline": scrawls.outline,
    "crossed_out": spoilt.crossed_out,
    "several": spoilt.several,
    "circled": spoilt.circled,
    "fragment": spoilt.fragment,
})  # fmt: skip
_PRINTED: Mapping[str, Callable[[np.random.Generator], Float]] = MappingProxyType({
    "printed": prints.letter,
    "solid": prints.solid,
    "patch": prints.patch,
    "corner": prints.corner,
})  # fmt: skip
_STREWN: Mapping[str, Callable[[np.random.Generator, tuple[int, int]], Float]] = MappingProxyType({
    "ruling": marks.ruling,
    "smudge": marks.smudge,
})  # fmt: skip

#: What `simulate_non_digit` draws.
KINDS: tuple[str, ...] = (*_WRITTEN, *_PRINTED, *_STREWN)

_STAINS: tuple[Colour, ...] = ((40, 70, 110), (60, 90, 140), (90, 90, 95), (50, 50, 55), (120, 130, 160), (45, 35, 35))


def simulate_non_digit(
    kind: str, rng: np.random.Generator, *, difficulty: float = 0.5, handwriting: Handwriting | None = None
) -> NDArray[np.uint8]:
    """Take a picture of something that is not one digit.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    rng : numpy.random.Generator
        The same state gives the same pixels.
    difficulty : float
        As of `random_scene`.
    handwriting : ((N, H, W) ndarray of uint8, (N,) ndarray of int64) or None
        Digits, ink 255 on 0, and their labels, for the kinds that spoil digits; None for our own skeletons alone.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        BGR, some 100 to 280 pixels a side.
    """
    return photograph(*draw_non_digit(kind, rng, difficulty=difficulty, handwriting=handwriting), rng)


def draw_non_digit(
    kind: str, rng: np.random.Generator, *, difficulty: float = 0.5, handwriting: Handwriting | None = None
) -> tuple[Float, Scene]:
    """Draw what `simulate_non_digit` photographs, without taking the picture.

    Returns
    -------
    ink : (H, W) ndarray of float32
        0 is paper, 1 is ink.
    scene : Scene
        Where it belongs, its `digit_height` that of the whole ink map.
    """
    scene = random_small_scene(rng, difficulty=difficulty)
    if kind in _STREWN:
        return _STREWN[kind](rng, scene.size), _soiled(scene, kind, rng)
    if kind in _PRINTED:
        ink = _PRINTED[kind](rng)
        return ink, _placed(ink, _bare(scene), rng)
    pen = random_pen(rng)
    if pen.kind == "pencil":
        scene = for_pencil(scene, rng)
    ink = _WRITTEN[kind](Writer(rng, pen, 0.6 + 0.6 * difficulty, handwriting))
    scene = _placed(ink, scene, rng)
    return ink, _at_edge(ink, scene, rng) if kind == "fragment" and rng.random() < 0.4 else scene


def _bare(scene: Scene) -> Scene:
    """Take rulings and boxes off the sheet: another box around a box's corner would make it something else."""
    return replace(scene, ruling=Ruling(), box=PrintedBox())


def _placed(ink: Float, scene: Scene, rng: np.random.Generator) -> Scene:
    """Find a place for an ink map of any proportions: as high as a digit would be, unless it is too wide for that."""
    height, width = scene.size
    widest = rng.uniform(0.55, 0.95) * width
    size = rng.uniform(0.45, 0.8) if rng.random() < 0.15 else 1.0
    scale = size * min(scene.digit_height * height / ink.shape[0], widest / ink.shape[1])
    rows, columns = scale * ink.shape[0], scale * ink.shape[1]
    room = np.array([width - columns, height - rows]) / (2 * min(scene.size))
    offset = rng.uniform(-0.7, 0.7, 2) * np.maximum(room, 0)
    return replace(scene, digit_height=rows / height, offset=(float(offset[0]), float(offset[1])))


def _at_edge(ink: Float, scene: Scene, rng: np.random.Generator) -> Scene:
    """Move an ink map to the picture's upper or lower edge."""
    height, width = scene.size
    inside = (1 - scene.digit_height) * height / 2 / min(height, width)
    return replace(scene, offset=(scene.offset[0], float(inside * rng.choice((-1, 1)))), rotation=0.0, perspective=0.0)


def _soiled(scene: Scene, kind: str, rng: np.random.Generator) -> Scene:
    """Let the ink map cover the whole picture; stains have colours of their own."""
    scene = replace(_bare(scene), digit_height=1.0, offset=(0.0, 0.0))
    if kind == "ruling" or scene.white_on_black or rng.random() < 0.3:
        return scene
    stain = _STAINS[int(rng.integers(len(_STAINS)))]
    return replace(scene, ink=stain, strength=float(rng.uniform(0.35, 1)))
