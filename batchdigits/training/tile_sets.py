"""All tiles that a training needs, made once for however many models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.datasets import Dataset, choose_sixth, dataset_tiles
from batchdigits.training.non_digit_tiles import simulate_non_digit_tiles
from batchdigits.training.progress import Progress, silent
from batchdigits.training.scrawls import Handwriting
from batchdigits.training.tiles import (
    NOT_A_DIGIT,
    LabelledTiles,
    distort_tiles,
    join,
    simulate_tiles,
)

_DISTORTION = 0.7  # a third fewer errors on hands unlike MNIST's than without; at 1.0 the digits themselves suffer
_FEWEST_HELD = 50


@dataclass(frozen=True, slots=True, eq=False)
class TileSets:
    """Tiles by their purpose; no digit is in two of them, however distorted."""

    fit: LabelledTiles  #: digits, distorted digits, simulated photos of digits and of other things
    held_digits: LabelledTiles  #: to calibrate by
    held_photos: LabelledTiles  #: to calibrate by
    held_others: LabelledTiles  #: to calibrate by: no digits
    measured_photos: LabelledTiles  #: to measure by
    measured_others: LabelledTiles  #: to measure by: no digits
    test: Mapping[str, LabelledTiles]  #: to measure by: the parts of the data's own test part
    imaging: ImagingSettings  #: what all were made with
    origin: Mapping[str, Any]  #: name and digest of the data, and all that decides the tiles, for the card

    @property
    def held(self) -> LabelledTiles:
        """All digits to calibrate by."""
        return join(self.held_digits, self.held_photos)


def make_tile_sets(
    dataset: Dataset,
    settings: ImagingSettings,
    *,
    name: str,
    seed: int = 0,
    simulated: int = 20_000,
    jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> TileSets:
    """Make the tiles.

    Parameters
    ----------
    dataset : Dataset
        A sixth of its training part is held out for calibration; its test part is only measured on.
    settings : ImagingSettings
        What tiles are made with, and what the model will ask for in use.
    name : str
        What the card calls the data.
    seed : int
        The same seed and data give the same tiles, for any number of `jobs`.
    simulated : int
        Simulated photos of digits to fit to. As many of other things go with them, and up to two and a half times as
        many distorted digits.
    jobs : int
        Processes.
    say : callable
        Told what is being done.
    progress : Progress
        Told how far it is.
    """
    held = choose_sixth(dataset.y_train, seed)
    handwriting = dataset.x_train[~held], dataset.y_train[~held]
    unseen = dataset.x_train[held], dataset.y_train[held]
    distorted, kept = simulated * 5 // 2, max(_FEWEST_HELD, simulated // 6)

    say(f"making tiles of {len(held):,} digits, {simulated:,} simulated photos and as many of other things")
    every, test = dataset_tiles(dataset, settings, jobs=jobs, progress=progress)

    def simulate(count: int, digits: Handwriting, seed: int, *, easy: bool) -> LabelledTiles:
        # what imaging mistakes for the digit is a wrong label in a fit; in use it happens, and so it must in measuring
        hardest = 0.8 if easy else 0.9
        return simulate_tiles(
            count,
            digits,
            settings,
            seed=seed,
            difficulty=(0.0, hardest),
            only_found=not easy,
            jobs=jobs,
            progress=progress,
        )

    def simulate_others(count: int, digits: Handwriting, seed: int) -> LabelledTiles:
        pixels, _ = simulate_non_digit_tiles(
            count, digits, settings, seed=seed, difficulty=(0.0, 0.9), jobs=jobs, progress=progress
        )
        return LabelledTiles(pixels, np.full(len(pixels), NOT_A_DIGIT, np.int64))

    fit = join(
        every[~held],
        distort_tiles(distorted, handwriting, settings, seed=seed, strength=_DISTORTION, jobs=jobs, progress=progress),
        simulate(simulated, handwriting, seed, easy=False),
        simulate_others(simulated, handwriting, seed),
    )
    # two halves: one to calibrate by, one to measure by
    photos = simulate(2 * kept, unseen, seed + 1, easy=True)
    strangers = simulate_others(2 * kept, unseen, seed + 1)
    return TileSets(
        fit=fit,
        held_digits=every[held],
        held_photos=photos[:kept],
        held_others=strangers[: len(strangers) // 2],
        measured_photos=photos[kept:],
        measured_others=strangers[len(strangers) // 2 :],
        test={title: test[where] for title, where in dataset.test_parts.items()},
        imaging=settings,
        origin={
            "name": name,
            "digest": dataset.digest,
            "seed": seed,
            "simulated_photos": simulated,
            "distorted_digits": min(distorted, len(handwriting[1])),
            "distortion": _DISTORTION,
            "simulated_others": simulated,
        },
    )
