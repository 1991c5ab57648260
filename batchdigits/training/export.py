"""Trained graphs to model folders: proved equal to the original first, then written whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batchdigits.classifiers.card import CARD_FILE, WEIGHTS_FILE, Card
from batchdigits.classifiers.runner import Session, softmax
from batchdigits.errors import ModelError, OutputError

TOLERANCE = 1e-5


def prove_equal(
    session: Session, predict: Callable[[NDArray[np.float32]], NDArray[np.float64]], tiles: NDArray[np.float32]
) -> float:
    """Return the largest difference in probability between a graph and its original.

    Compared are all eleven: the ten digits, and "no digit", whose score is always 0.

    Raises
    ------
    ModelError
        If it is above 1e-5: the export is wrong.
    """
    scores = np.pad(session.scores(tiles), ((0, 0), (0, 1)))
    difference = float(np.abs(softmax(scores) - predict(tiles)).max())
    if not difference <= TOLERANCE:
        raise ModelError(f"The exported graph differs from the trained model by {difference:.1e}; nothing was saved.")
    return difference


def _holds_model(folder: Path) -> bool:
    """Tell whether a model is there to be replaced; anything else in its place is an `OutputError`."""
    if not (folder.exists() or folder.is_symlink()):
        return False
    if not (folder / CARD_FILE).is_file():
        raise OutputError(f"{folder} is there already, and is no model. Move it, or give another --models-dir.")
    return True


def check_place(folder: Path) -> None:
    """Make the folder that a model will be saved in, and try it: sooner told than after an hour of training.

    Raises
    ------
    OutputError
        If the place cannot be written.
    """
    _holds_model(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent):
            pass
    except OSError as error:
        raise OutputError(f"The model cannot be saved to {folder}: {error.strerror}.") from error


def save_model(folder: Path, card: Card, weights: bytes | None) -> None:
    """Write a model folder beside its place, then move it there; an older one is replaced.

    `weights` is None for an ensemble, which has none of its own.

    Raises
    ------
    OutputError
        If the place cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as workplace:
            new, old = Path(workplace, "new"), Path(workplace, "old")
            new.mkdir()
            if weights is not None:
                (new / WEIGHTS_FILE).write_bytes(weights)
            (new / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
            if _holds_model(folder):
                folder.rename(old)
            new.rename(folder)
    except OSError as error:
        raise OutputError(f"The model cannot be saved to {folder}: {error.strerror}.") from error
