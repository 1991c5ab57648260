"""Labelled pictures to labelled tiles, by the imaging code that serves users' photos."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.normalise import make_tile
from batchdigits.imaging.pipeline import trace
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.augment import distort, enlarge
from batchdigits.training.parallel import run_chunks
from batchdigits.training.progress import Progress, silent
from batchdigits.training.scenes import random_small_scene
from batchdigits.training.simulator import photograph, simulate_ink

NOT_A_DIGIT = 10
"""The label of a tile that shows no digit, or not one."""

_CHUNK = 250  # pictures per job: the random numbers belong to the chunk, so `jobs` does not change them
_SAME_DIGIT = 0.55  # cosine of two tiles: below it, imaging took something else for the digit


@dataclass(frozen=True, slots=True, eq=False)
class LabelledTiles:
    """Tiles and what they show."""

    pixels: NDArray[np.float32]  #: (N, 28, 28), 0 paper, 1 ink
    labels: NDArray[np.int64]  #: (N,), 0-9, or `NOT_A_DIGIT`

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.labels)

    def __getitem__(self, where: slice | NDArray[np.bool_]) -> LabelledTiles:
        """Return some of them."""
        return LabelledTiles(self.pixels[where], self.labels[where])


def join(*sets: LabelledTiles) -> LabelledTiles:
    """Put sets one after the other."""
    return LabelledTiles(np.concatenate([s.pixels for s in sets]), np.concatenate([s.labels for s in sets]))


def tile_pictures(
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    settings: ImagingSettings,
    *,
    jobs: int,
    progress: Progress = silent,
) -> LabelledTiles:
    """Make the tile of every picture.

    Parameters
    ----------
    pictures : (N, H, W) ndarray of uint8
        Grey pictures of one digit each.
    labels : (N,) ndarray of int64
        Their digits.
    settings : ImagingSettings
        As in use later.
    jobs : int
        Processes. The tiles are the same for any number.
    progress : Progress
        Told how far it is.

    Returns
    -------
    LabelledTiles
        Of the same length and order.
    """
    tasks = [(pictures[s : s + _CHUNK], settings) for s in range(0, len(pictures), _CHUNK)]
    parts = run_chunks(_tile_chunk, tasks, jobs=jobs, progress=progress, title="digits")
    return LabelledTiles(np.concatenate([np.zeros((0, 28, 28), np.float32), *parts]), labels.astype(np.int64))


def _tile_chunk(pictures: NDArray[np.uint8], settings: ImagingSettings) -> NDArray[np.float32]:
    return np.stack([trace(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), settings).tile for picture in pictures])


def simulate_tiles(
    count: int,
    handwriting: tuple[NDArray[np.uint8], NDArray[np.int64]],
    settings: ImagingSettings,
    *,
    seed: int,
    difficulty: tuple[float, float],
    only_found: bool,
    jobs: int,
    progress: Progress = silent,
) -> LabelledTiles:
    """Take simulated photos and make their tiles: half of them of real handwriting, half of our own skeletons.

    Parameters
    ----------
    count : int
        Photos to take.
    handwriting : ((N, H, W) ndarray of uint8, (N,) ndarray of int64)
        Digits, ink 255 on 0, to be written on the simulated paper, and their labels.
    settings : ImagingSettings
        As in use later.
    seed : int
        The same seed gives the same tiles.
    difficulty : (float, float)
        Range of `random_small_scene`'s difficulty.
    only_found : bool
        Leave out photos where imaging found something else than the digit. Right for training, where such a tile
        would be a wrong label; wrong for calibration, where it is what will happen.
    jobs : int
        Processes.
    progress : Progress
        Told how far it is.

    Returns
    -------
    LabelledTiles
        `count` of them, or somewhat fewer with `only_found`.
    """
    sizes = [min(_CHUNK, count - start) for start in range(0, count, _CHUNK)] or [0]
    tasks = [(size, handwriting, settings, (seed, number), difficulty, only_found) for number, size in enumerate(sizes)]
    parts = run_chunks(_simulate_chunk, tasks, jobs=jobs, progress=progress, title="simulated photos")
    return join(*parts)


def _simulate_chunk(
    count: int,
    handwriting: tuple[NDArray[np.uint8], NDArray[np.int64]],
    settings: ImagingSettings,
    seed: tuple[int, int],
    difficulty: tuple[float, float],
    only_found: bool,
) -> LabelledTiles:
    rng = np.random.default_rng(seed)
    tiles, labels = [], []
    for number in range(count):
        scene = random_small_scene(rng, difficulty=rng.uniform(*difficulty))
        if number % 2:
            chosen = int(rng.integers(len(handwriting[1])))
            label, ink = int(handwriting[1][chosen]), enlarge(handwriting[0][chosen])
        else:
            label = int(rng.integers(10))
            ink, scene = simulate_ink(label, scene, rng)
        tile = trace(photograph(ink, scene, rng), settings).tile
        if only_found and not _same_digit(tile, ink, settings):
            continue
        tiles.append(tile)
        labels.append(label)
    return LabelledTiles(np.asarray(tiles, np.float32).reshape(-1, 28, 28), np.asarray(labels, np.int64))


def distort_tiles(
    count: int,
    handwriting: tuple[NDArray[np.uint8], NDArray[np.int64]],
    settings: ImagingSettings,
    *,
    seed: int,
    strength: float,
    jobs: int,
    progress: Progress = silent,
) -> LabelledTiles:
    """Let other hands write the digits: distorted, then made into tiles as any ink is.

    Parameters
    ----------
    count : int
        Tiles to make, at most one of each digit given.
    handwriting : ((N, H, W) ndarray of uint8, (N,) ndarray of int64)
        Digits, ink 255 on 0, and their labels.
    settings : ImagingSettings
        As in use later.
    seed : int
        The same seed gives the same tiles.
    strength : float
        See `distort`.
    jobs : int
        Processes.
    progress : Progress
        Told how far it is.

    Returns
    -------
    LabelledTiles
        `count` of them, or as many as there is handwriting.
    """
    chosen = np.random.default_rng(seed).permutation(len(handwriting[1]))[:count]
    tasks = [
        (handwriting[0][chosen[s : s + _CHUNK]], settings, (seed, s), strength) for s in range(0, len(chosen), _CHUNK)
    ]
    parts = run_chunks(_distort_chunk, tasks, jobs=jobs, progress=progress, title="distorted digits")
    return LabelledTiles(np.concatenate([np.zeros((0, 28, 28), np.float32), *parts]), handwriting[1][chosen])


def _distort_chunk(
    pictures: NDArray[np.uint8], settings: ImagingSettings, seed: tuple[int, int], strength: float
) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return np.stack([make_tile(distort(enlarge(picture), rng, strength=strength), settings) for picture in pictures])


def _same_digit(tile: NDArray[np.float32], ink: NDArray[np.float32], settings: ImagingSettings) -> bool:
    """Tell whether a photo's tile shows what the ink alone would give."""
    wanted = make_tile(ink, settings)
    lengths = float(np.linalg.norm(tile)) * float(np.linalg.norm(wanted))
    return lengths > 0 and float(np.vdot(tile, wanted)) / lengths > _SAME_DIGIT
