"""Tiles of what is not one digit, by the imaging code that serves users' photos."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.normalise import make_tile
from batchdigits.imaging.pipeline import trace
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.nondigits import KINDS, draw_non_digit
from batchdigits.training.parallel import run_chunks
from batchdigits.training.progress import Progress, silent
from batchdigits.training.simulator import photograph

_CHUNK = 250  # pictures per job: the random numbers belong to the chunk, so `jobs` does not change them
_WHOLE = 0.9  # of the ink: below it, imaging lost so much that what is left may be a digit
# imaging may hollow these to a ring
_MASSES = ("scribble", "outline", "crossed_out", "solid", "patch", "corner", "ruling", "smudge")


def simulate_non_digit_tiles(
    count: int,
    handwriting: tuple[NDArray[np.uint8], NDArray[np.int64]],
    settings: ImagingSettings,
    *,
    seed: int,
    difficulty: tuple[float, float],
    jobs: int,
    progress: Progress = silent,
) -> tuple[NDArray[np.float32], list[str]]:
    """Take simulated photos of what is not one digit, and make their tiles.

    Left out are photos in which imaging finds no ink (they are blank already), and those of which it leaves what may be
    a digit after all: the digit without the ring around it, one digit of several, an upright bar, a plain ring.

    Parameters
    ----------
    count : int
        Photos to take, the same number of every kind.
    handwriting : ((N, H, W) ndarray of uint8, (N,) ndarray of int64)
        Digits, ink 255 on 0, to be spoilt, and their labels. With N = 0 all are our own skeletons.
    settings : ImagingSettings
        As in use later.
    seed : int
        The same seed gives the same tiles.
    difficulty : (float, float)
        Range of `random_small_scene`'s difficulty.
    jobs : int
        Processes. The tiles are the same for any number.
    progress : Progress
        Told how far it is.

    Returns
    -------
    pixels : (M, 28, 28) ndarray of float32
        0 paper, 1 ink; M is somewhat below `count`.
    kinds : list of str
        Of `KINDS`, one for each tile.
    """
    tasks = [
        (range(s, min(s + _CHUNK, count)), handwriting, settings, (seed, s), difficulty)
        for s in range(0, count, _CHUNK)
    ]
    parts = run_chunks(_non_digit_chunk, tasks, jobs=jobs, progress=progress, title="pictures without a digit")
    tiles = [np.zeros((0, 28, 28), np.float32), *(pixels for pixels, _ in parts)]
    return np.concatenate(tiles), [kind for _, kinds in parts for kind in kinds]


def _non_digit_chunk(
    numbers: range,
    handwriting: tuple[NDArray[np.uint8], NDArray[np.int64]],
    settings: ImagingSettings,
    seed: tuple[int, int],
    difficulty: tuple[float, float],
) -> tuple[NDArray[np.float32], list[str]]:
    rng = np.random.default_rng(seed)
    tiles, kinds = [], []
    for number in numbers:
        kind = KINDS[number % len(KINDS)]
        ink, scene = draw_non_digit(kind, rng, difficulty=rng.uniform(*difficulty), handwriting=handwriting)
        steps = trace(photograph(ink, scene, rng), settings)
        if steps.groups and not _may_be_digit(steps.tile, kind, ink, settings):
            tiles.append(steps.tile)
            kinds.append(kind)
    return np.asarray(tiles, np.float32).reshape(-1, 28, 28), kinds


def _may_be_digit(tile: NDArray[np.float32], kind: str, ink: NDArray[np.float32], settings: ImagingSettings) -> bool:
    """Tell whether what imaging left of a non-digit could be a digit."""
    if kind != "several" and _is_bar(tile):
        return True
    if kind in _MASSES and (_is_ring(tile, 0.4) or _is_ring(tile, 0.75)):
        return True
    return not _is_whole(tile, ink, settings)


def _is_bar(tile: NDArray[np.float32]) -> bool:
    """Tell whether a tile shows a narrow, more or less upright mark: someone's 1."""
    moments = cv2.moments(tile)
    spread = np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]])
    (short, long), axes = np.linalg.eigh(spread)
    return bool(short < 0.2 * long and abs(axes[1, 1]) > 0.5)  # the longer axis at least 30 degrees from the level


def _is_ring(tile: NDArray[np.float32], level: float) -> bool:
    """Tell whether the marks above a level are round with one hole: someone's 0."""
    outlines, tree = cv2.findContours((tile > level).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return False
    areas = [cv2.contourArea(outline) for outline in outlines]
    largest = int(np.argmax(areas))
    holes = [area for area, link in zip(areas, tree[0], strict=True) if link[3] == largest]
    hull = cv2.contourArea(cv2.convexHull(outlines[largest]))
    return len(holes) == 1 and holes[0] > 0.02 * areas[largest] and areas[largest] > 0.8 * hull


def _is_whole(tile: NDArray[np.float32], ink: NDArray[np.float32], settings: ImagingSettings) -> bool:
    """Tell whether a photo's tile shows all of the ink and nothing else, a pixel to and fro."""
    wanted, near = make_tile(ink, settings), np.ones((3, 3), np.uint8)
    found = float(np.minimum(wanted, cv2.dilate(tile, near)).sum())
    meant = float(np.minimum(tile, cv2.dilate(wanted, near)).sum())
    return found >= _WHOLE * float(wanted.sum()) and meant >= _WHOLE * float(tile.sum())
