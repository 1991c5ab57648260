"""Tiles to probabilities: one small runner for every model, since each is one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from batchdigits.classifiers.card import Calibration, Card, Member, read_card, read_weights
from batchdigits.classifiers.store import find_model, is_model, shipped_models
from batchdigits.errors import ModelError

BATCH = 64
"""Tiles per call of the graph, always: with one shape, a tile's numbers do not depend on its company."""

_TELLS_WAYS_UP = "ann"  # of the shipped models the one that does best for its time, and as well as any

_ELSEWHERE = b"location"
"""How a graph from anywhere would name a file for ONNX Runtime to open. None of ours has the word."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a classifier says of N tiles."""

    probabilities: NDArray[np.float64]  #: (N, 10), each row sums to 1: P(c | a digit)
    known: NDArray[np.float64]  #: (N,), P(a digit): how much the tile is like anything seen in training


class Session:
    """An ONNX graph from tiles to ten scores, on one thread."""

    def __init__(self, weights: bytes) -> None:
        if _ELSEWHERE in weights:
            raise ValueError("its numbers lie in another file, which no card vouches for")
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.load_model_format", "ONNX")  # its own format is not for strangers
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # work is shared out by pages, not inside
        options.log_severity_level = 3  # errors, which are raised as well
        self._session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shapes = [list(node.shape)[1:] for node in (*inputs, *outputs)]
        fixed = [node.shape[0] for node in (*inputs, *outputs) if isinstance(node.shape[0], int)]
        if any(size != BATCH for size in fixed):
            raise ValueError(f"the graph takes batches of {fixed[0]}, expected any number")
        if shapes != [[28, 28], [10]] or inputs[0].type != "tensor(float)":
            raise ValueError(f"the graph's shapes are {shapes}, expected (N, 28, 28) float to (N, 10)")
        self._input = inputs[0].name

    def scores(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (N, 10) raw scores of (N, 28, 28) tiles."""
        out = np.empty((len(tiles), 10), np.float32)
        batch = np.zeros((BATCH, 28, 28), np.float32)
        for start in range(0, len(tiles), BATCH):
            part = tiles[start : start + BATCH]
            batch[: len(part)] = part
            batch[len(part) :] = 0
            (result,) = self._session.run(None, {self._input: batch})
            out[start : start + len(part)] = result[: len(part)]
        if not np.isfinite(out).all():
            raise ModelError("The model's graph gives no finite numbers. Train the model again.")
        return out


class StoredSession(Session):
    """The graph of a model folder: other processes are told where it lies, and open it themselves."""

    def __init__(self, folder: Path, card: Card) -> None:
        weights = read_weights(folder, card)
        try:
            super().__init__(weights)
        except Exception as error:  # onnxruntime's errors have no common class
            raise ModelError(f"{folder} cannot be used: {error}") from error
        self._place = folder.absolute(), card

    def __reduce__(self) -> tuple[type[StoredSession], tuple[Path, Card]]:
        """Travel without the weights; the card vouches that the same are found there."""
        return StoredSession, self._place


def softmax(scores: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return probabilities: each row of exp(scores / temperature), scaled to sum 1."""
    scaled = scores.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def energy(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return log sum exp of each row: high for tiles like those seen in training (Liu et al., 2020)."""
    exact = scores.astype(np.float64)
    highest = exact.max(axis=1, initial=-np.inf)
    return np.asarray(highest + np.log(np.exp(exact - highest[:, None]).sum(axis=1)), dtype=np.float64)


def calibrate(scores: NDArray[np.floating], calibration: Calibration) -> Scores:
    """Turn raw scores into probabilities."""
    distance = (energy(scores) - calibration.energy_middle) / calibration.energy_scale
    known = 1 / (1 + np.exp(-np.clip(distance, -50, 50)))
    return Scores(softmax(scores, calibration.temperature), known)


def log_odds(scores: Scores) -> NDArray[np.float32]:
    """Return the (N, 10) log odds of each digit against "no digit", from calibrated probabilities."""
    tiny = 1e-12
    known = np.clip(scores.known, tiny, 1 - tiny)
    odds = np.log(np.maximum(scores.probabilities, tiny)) + np.log(known / (1 - known))[:, None]
    return np.asarray(odds, dtype=np.float32)


class Scorer(Protocol):
    """What a classifier takes its raw scores from: a graph, or an ensemble's members."""

    def scores(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (N, 10) raw scores of (N, 28, 28) tiles."""


class Classifier:
    """A model, ready to use, here or, sent there, in another process.

    Parameters
    ----------
    card : Card
        What is known of it.
    scorer : Scorer
        Its graph, or its members.
    """

    def __init__(self, card: Card, scorer: Scorer) -> None:
        self.card = card
        self._scorer = scorer

    def with_threshold(self, review_below: float) -> Classifier:
        """Return the same model with another confidence from which on rows are ``ok``; its digest tells them apart."""
        thresholds = replace(self.card.thresholds, review_below=review_below)
        return Classifier(replace(self.card, thresholds=thresholds), self._scorer)

    def __call__(self, tiles: NDArray[np.float32]) -> Scores:
        """Classify tiles.

        Parameters
        ----------
        tiles : (N, 28, 28) ndarray of float32
            0 paper, 1 ink. N may be 0.

        Returns
        -------
        Scores
            Calibrated.
        """
        return calibrate(self._scorer.scores(tiles), self.card.calibration)


class Votes:
    """The weighted sum of the members' calibrated log odds: a logarithmic opinion pool.

    Parameters
    ----------
    members : sequence of (Classifier, float)
        With their weights.
    """

    def __init__(self, members: Sequence[tuple[Classifier, float]]) -> None:
        self._members = tuple(members)

    def scores(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (N, 10) raw scores of (N, 28, 28) tiles."""
        total = np.zeros((len(tiles), 10), np.float32)
        for classifier, weight in self._members:
            total += np.float32(weight) * log_odds(classifier(tiles))
        return total


def load_model(model: str | Path, models_dir: Path | None = None) -> Classifier:
    """Load a model by name or from its folder.

    Raises
    ------
    ModelError
        If it is missing, damaged, too new, or its graph is of other shapes.
    """
    folder = model if isinstance(model, Path) else find_model(model, models_dir)
    card = read_card(folder)
    if card.members:
        return Classifier(card, Votes([_load_member(folder, card, member, models_dir) for member in card.members]))
    return Classifier(card, StoredSession(folder, card))


def model_for_ways_up(classifier: Classifier) -> Classifier:
    """Return the model that tells which way up digits lie, whichever reads them: a quick one does that as well as any.

    Parameters
    ----------
    classifier : Classifier
        The one that reads them. It is returned itself if the shipped model is not there, or takes other tiles.
    """
    quick = _shipped_for_ways_up()
    return quick if quick and quick.card.imaging == classifier.card.imaging else classifier


@cache
def _shipped_for_ways_up() -> Classifier | None:
    folder = shipped_models() / _TELLS_WAYS_UP
    return load_model(folder) if is_model(folder) else None


def _load_member(folder: Path, card: Card, member: Member, models_dir: Path | None) -> tuple[Classifier, float]:
    """Load a member, from beside the ensemble or by name; it must be the very one the weight was fitted for."""
    beside = folder.parent / member.name
    place = beside if is_model(beside) else find_model(member.name, models_dir)
    found = read_card(place)
    if found.members or found.digest != member.digest or found.imaging != card.imaging:
        raise ModelError(
            f"{folder} was made with {member.name}@{member.digest}, but {found.label} is there. "
            "Train it again: batchdigits train ensemble"
        )
    return load_model(place), member.weight
