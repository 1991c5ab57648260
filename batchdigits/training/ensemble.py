"""An ensemble: models that are there already, and the weights of their votes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from batchdigits.classifiers.card import Card, Member
from batchdigits.classifiers.runner import Votes, load_model, log_odds
from batchdigits.errors import ModelError
from batchdigits.training.export import check_place, save_model
from batchdigits.training.measure import judge
from batchdigits.training.tile_sets import TileSets
from batchdigits.training.train import describe_data, library_versions, today

_LEAST = 0.02  # a member that weighs less is left out: it would cost its time for nothing


def fit_weights(votes: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Fit the weights of a logarithmic opinion pool (Genest and Zidek, 1986) to held-out tiles.

    Parameters
    ----------
    votes : (M, N, 10) ndarray of float32
        Every member's log odds of every digit against "no digit".
    labels : (N,) ndarray of int64
        0-9, or 10 for no digit.

    Returns
    -------
    (M,) ndarray of float64
        At least 0: those that make the labels likeliest.
    """
    padded = np.concatenate([votes, np.zeros((*votes.shape[:2], 1), np.float32)], axis=2).astype(np.float64)
    rows = np.arange(len(labels))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        pooled = np.tensordot(weights, padded, axes=1)
        logs = pooled - logsumexp(pooled, axis=1, keepdims=True)
        surplus = np.exp(logs)
        surplus[rows, labels] -= 1
        return float(-logs[rows, labels].mean()), np.einsum("mnc,nc->m", padded, surplus) / len(labels)

    count = len(votes)
    start = np.full(count, 1 / count)
    return np.asarray(minimize(loss, start, jac=True, bounds=[(0, None)] * count, method="L-BFGS-B").x)


def train_ensemble(
    names: Sequence[str],
    sets: TileSets,
    folder: Path,
    *,
    models_dir: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Card:
    """Weigh models against each other and save the ensemble.

    Parameters
    ----------
    names : sequence of str
        The members; each must be there, trained on the same data with the same seed.
    sets : TileSets
        Weights and calibration are fitted to the held-out part, which no member was fitted to.
    folder : Path
        Where the model folder goes.
    models_dir : Path, optional
        Where members are looked for first.
    say : callable
        Told what is being done.

    Raises
    ------
    ModelError
        If a member is missing, or may have been fitted to what is held out here.
    OutputError
        If the folder cannot be written.
    """
    check_place(folder)
    started = time.perf_counter()
    members = [load_model(name, models_dir) for name in names]
    for member in members:
        _check_member(member.card, sets)
    say(f"ensemble: weighing {', '.join(names)}")
    tiles, others = sets.held, sets.held_others
    pixels = np.concatenate([tiles.pixels, others.pixels])
    votes = np.stack([log_odds(member(pixels)) for member in members])
    weights = fit_weights(votes, np.concatenate([tiles.labels, others.labels]))
    chosen = [
        (member, float(round(weight, 4))) for member, weight in zip(members, weights, strict=True) if weight >= _LEAST
    ]
    calibration, thresholds, scores, curves = judge(Votes(chosen), sets)
    card = Card(
        name="ensemble",
        recipe={"name": "ensemble", "asked": list(names)},
        imaging=sets.imaging,
        data=describe_data(sets),
        calibration=calibration,
        thresholds=thresholds,
        scores={"fit_seconds": round(time.perf_counter() - started, 1)} | scores,
        weights_sha256="",
        weights_bytes=0,
        created=today(),
        libraries=library_versions(),
        limits=members[0].card.limits,
        members=tuple(Member(member.card.name, member.card.digest, weight) for member, weight in chosen),
        curves=curves,
    )
    save_model(folder, card, None)
    return card


def _check_member(card: Card, sets: TileSets) -> None:
    differing = [key for key, value in sets.origin.items() if card.data.get(key) != value]
    if differing or card.imaging != sets.imaging or card.members:
        what = (
            "is an ensemble itself" if card.members else f"was trained with another {', '.join(differing) or 'imaging'}"
        )
        raise ModelError(
            f"{card.label} {what}: it may have been fitted to what is held out here. "
            f"Train it on the same data with the same options first: batchdigits train {card.name}"
        )
