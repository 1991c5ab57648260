"""From labelled pictures to a saved model, measured and calibrated on what its fit has not seen."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from batchdigits.classifiers.card import Card, Thresholds
from batchdigits.classifiers.runner import BATCH, Session, calibrate
from batchdigits.errors import ModelError
from batchdigits.evaluation import expected_calibration_error
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.calibration import choose_thresholds, fit_calibration
from batchdigits.training.datasets import Dataset
from batchdigits.training.export import check_place, prove_equal, save_model
from batchdigits.training.tiles import LabelledTiles, distort_tiles, join, simulate_tiles, tile_pictures

if TYPE_CHECKING:
    from batchdigits.training.sklearn_recipes import Trained

_DISTORTION = 0.7  # a third fewer errors on hands unlike MNIST's than without; at 1.0 the digits themselves suffer

_RECIPES = {"knn": "batchdigits.training.sklearn_recipes:knn"}

MNIST_ATTRIBUTION = (
    "MNIST: Yann LeCun, Corinna Cortes, Christopher J. C. Burges; derived from NIST Special Database 3 and 1."
)

_LIMITS = (
    "Trained on MNIST and on photos that batchdigits simulates. Reads one isolated handwritten digit; weakest on faint "
    "pencil across a hard shadow, on strokes thick enough to fill their loops, and on 1 and 7 of unfamiliar habits."
)


def recipe(name: str) -> Callable[..., Trained]:
    """Return the recipe of this name.

    Raises
    ------
    ModelError
        If there is none.
    """
    if name not in _RECIPES:
        raise ModelError(f"There is no recipe {name!r}. Recipes: {', '.join(_RECIPES)}.")
    module, _, function = _RECIPES[name].partition(":")
    return cast("Callable[..., Trained]", getattr(import_module(module), function))


def train(
    name: str,
    dataset: Dataset,
    folder: Path,
    *,
    data_name: str,
    seed: int = 0,
    simulated: int = 20_000,
    jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> Card:
    """Train a model and save it.

    Parameters
    ----------
    name : str
        The recipe.
    dataset : Dataset
        A sixth of its training part is held out for calibration; its test part is only measured on.
    folder : Path
        Where the model folder goes.
    data_name : str
        What the card calls the data.
    seed : int
        The same seed and data give the same weights, for any number of `jobs`.
    simulated : int
        Simulated photos added to the training, and as many distorted digits.
    jobs : int
        Processes for making tiles.
    say : callable
        Told what is being done.

    Returns
    -------
    Card
        What was saved, with its measured scores.

    Raises
    ------
    ModelError
        If there is no such recipe, or the exported graph differs from the original.
    OutputError
        If the folder cannot be written.
    """
    fit_recipe = recipe(name)
    check_place(folder)
    settings = ImagingSettings()
    order = np.random.default_rng(seed).permutation(len(dataset.y_train))
    held, own = order[: len(order) // 6], order[len(order) // 6 :]
    handwriting = dataset.x_train[own], dataset.y_train[own]
    unseen = dataset.x_train[held], dataset.y_train[held]

    say(f"making tiles of {len(order):,} digits, {simulated:,} distorted ones and {simulated:,} simulated photos")
    digits = tile_pictures(*handwriting, settings, jobs=jobs)
    photos = simulate_tiles(
        simulated, handwriting, settings, seed=seed, difficulty=(0.0, 0.9), only_found=True, jobs=jobs
    )
    distorted = distort_tiles(simulated, handwriting, settings, seed=seed, strength=_DISTORTION, jobs=jobs)
    held_digits = tile_pictures(*unseen, settings, jobs=jobs)
    # a third as many photos, two halves: one to calibrate by, one to measure by
    held_photos = simulate_tiles(
        max(100, 2 * (simulated // 6)),
        unseen,
        settings,
        seed=seed + 1,
        difficulty=(0.0, 0.8),
        only_found=False,
        jobs=jobs,
    )
    half = len(held_photos) // 2
    calibration_photos, measured_photos = _part(held_photos, slice(half)), _part(held_photos, slice(half, None))

    say(f"fitting {name}")
    started = time.perf_counter()
    trained = fit_recipe(join(digits, photos, distorted), seed=seed)
    seconds = time.perf_counter() - started

    say("proving the exported graph equal to the original, calibrating, measuring")
    weights = trained.graph.SerializeToString()
    session = Session(weights)
    difference = prove_equal(session, trained.predict, held_digits.pixels[:2000])
    unseen_tiles = join(held_digits, calibration_photos)
    calibration = fit_calibration(session.scores(unseen_tiles.pixels), unseen_tiles.labels)

    def read(tiles: LabelledTiles) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        scores = calibrate(session.scores(tiles.pixels), calibration)
        right = scores.probabilities.argmax(axis=1) == tiles.labels
        return scores.probabilities.max(axis=1) * scores.known, right

    thresholds = choose_thresholds(*read(calibration_photos))
    test = tile_pictures(dataset.x_test, dataset.y_test, settings, jobs=jobs)
    scores = {"proof_difference": difference, "fit_seconds": round(seconds, 1), "tiles_per_second": _speed(session)}
    scores |= _measure("test", *read(test), thresholds) | _measure("simulated", *read(measured_photos), thresholds)
    card = Card(
        name=name,
        recipe={"name": name, "seed": seed, "simulated": simulated, "distortion": _DISTORTION} | trained.parameters,
        imaging=settings,
        data={"name": data_name, "digest": dataset.digest, "attribution": MNIST_ATTRIBUTION},
        calibration=calibration,
        thresholds=thresholds,
        scores=scores,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_bytes=len(weights),
        created=datetime.now(UTC).date().isoformat(),
        libraries={
            package: version(package) for package in ("numpy", "scikit-learn", "opencv-python-headless", "onnx")
        },
        limits=_LIMITS,
    )
    save_model(folder, card, weights)
    return card


def _part(tiles: LabelledTiles, where: slice) -> LabelledTiles:
    return LabelledTiles(tiles.pixels[where], tiles.labels[where])


def _measure(
    title: str, confidence: NDArray[np.float64], right: NDArray[np.bool_], thresholds: Thresholds
) -> dict[str, float]:
    """Return the scores of one set for the card; what an empty set would leave undefined is left out."""
    accepted = confidence >= thresholds.review_below
    scores: dict[str, float] = {f"{title}_count": len(right)}
    if len(right):
        scores[f"{title}_accuracy"] = round(float(right.mean()), 5)
        scores[f"{title}_ece"] = round(expected_calibration_error(confidence, right), 5)
        scores[f"{title}_ok_share"] = round(float(accepted.mean()), 5)
    if accepted.any():
        scores[f"{title}_ok_accuracy"] = round(float(right[accepted].mean()), 5)
    return scores


def _speed(session: Session, batches: int = 20) -> int:
    """Return tiles per second on this machine, one thread."""
    tiles = np.random.default_rng(0).random((BATCH * batches, 28, 28), np.float32)
    session.scores(tiles[:BATCH])
    started = time.perf_counter()
    session.scores(tiles)
    return round(len(tiles) / (time.perf_counter() - started))
