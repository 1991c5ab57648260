"""From tiles to a saved model, measured and calibrated on what its fit has not seen."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchdigits.classifiers.card import Card
from batchdigits.classifiers.runner import Session
from batchdigits.training.export import check_place, prove_equal, save_model
from batchdigits.training.measure import judge
from batchdigits.training.progress import Progress, silent
from batchdigits.training.recipes import find_recipe
from batchdigits.training.tile_sets import TileSets
from batchdigits.versions import installed_versions

_MNIST_DIGEST = "d18cfd466eb1"
_MNIST_ATTRIBUTION = (
    "MNIST: Yann LeCun, Corinna Cortes, Christopher J. C. Burges; derived from NIST Special Database 3 and 1."
)

_LIBRARIES = ("numpy", "opencv-python-headless", "onnx", "scikit-learn", "keras", "tensorflow")

_LIMITS = (
    "Reads one isolated handwritten digit. Weakest on faint pencil across a hard shadow, on strokes thick enough to "
    "fill their loops, and on 1 and 7 of unfamiliar habits. What shows no digit is flagged as far as it resembles what "
    "was simulated; letters that some hands write like digits (O, I, S, Z, B, g, q) are read as these."
)


def train(
    name: str,
    sets: TileSets,
    folder: Path,
    *,
    seed: int = 0,
    epochs: int | None = None,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> Card:
    """Train a model and save it.

    Parameters
    ----------
    name : str
        The recipe.
    sets : TileSets
        What to fit to, calibrate by and measure on.
    folder : Path
        Where the model folder goes.
    seed : int
        The same seed and tiles give the same weights with scikit-learn; with Keras, as close as its recipes say.
    epochs : int, optional
        For networks; None is the recipe's own number.
    say : callable
        Told what is being done.
    progress : Progress
        Told how far it is.

    Returns
    -------
    Card
        What was saved, with its measured scores.

    Raises
    ------
    ModelError
        If there is no such recipe, or the exported graph differs from the original.
    DependencyError
        If the recipe needs a library that is not installed.
    OutputError
        If the folder cannot be written.
    """
    recipe = find_recipe(name)
    check_place(folder)
    say(f"{name}: fitting to {len(sets.fit):,} tiles")
    started = time.perf_counter()
    trained = recipe(sets.fit, seed=seed, epochs=epochs, progress=progress)
    seconds = round(time.perf_counter() - started, 1)
    say(f"{name}: proving the exported graph equal to the original, calibrating, measuring")
    weights = trained.graph.SerializeToString()
    session = Session(weights)
    difference = prove_equal(session, trained.predict, sets.held.pixels[:: max(1, len(sets.held) // 2000)])
    calibration, thresholds, scores, curves = judge(session, sets)
    card = Card(
        name=name,
        recipe={"name": name, "seed": seed, **trained.parameters},
        imaging=sets.imaging,
        data=describe_data(sets),
        calibration=calibration,
        thresholds=thresholds,
        scores={"fit_seconds": seconds, "proof_difference": difference} | scores,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_bytes=len(weights),
        created=today(),
        libraries=library_versions(),
        limits=_LIMITS,
        curves=curves,
    )
    save_model(folder, card, weights)
    return card


def describe_data(sets: TileSets) -> dict[str, Any]:
    """Return what the card says of the data, with the attribution that MNIST asks for."""
    has_mnist = sets.origin["digest"] == _MNIST_DIGEST or "mnist" in sets.test
    return {**sets.origin, "attribution": _MNIST_ATTRIBUTION if has_mnist else ""}


def today() -> str:
    """Return the date as ISO 8601, for the card."""
    return datetime.now(UTC).date().isoformat()


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that shape a model, those that are installed."""
    return installed_versions(_LIBRARIES)
