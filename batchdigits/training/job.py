"""The job of `train`: data, tiles, and one model after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from batchdigits.classifiers.card import Card
from batchdigits.classifiers.store import MODEL_NAMES
from batchdigits.errors import UsageError
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.datasets import load_data
from batchdigits.training.ensemble import train_ensemble
from batchdigits.training.export import check_place
from batchdigits.training.progress import Progress, silent
from batchdigits.training.recipes import find_recipe
from batchdigits.training.tile_sets import make_tile_sets
from batchdigits.training.train import train

ENSEMBLE = "ensemble"


def train_models(
    names: Sequence[str],
    place: Path,
    *,
    data: Path | None = None,
    with_mnist: bool = False,
    mnist: Path | None = None,
    seed: int = 0,
    epochs: int | None = None,
    simulated: int = 20_000,
    jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> Iterator[Card]:
    """Train models on the same tiles, each saved before it is yielded.

    Parameters
    ----------
    names : sequence of str
        Of `MODEL_NAMES`, or ``all`` alone. An ensemble weighs all single models, which are looked for in `place` first.
    place : Path
        Model folders go into it.
    data, with_mnist, mnist
        See `load_data`.
    seed, simulated, jobs
        See `make_tile_sets`.
    epochs : int, optional
        See `train`.
    say, progress
        Told what is being done, and how far it is.

    Raises
    ------
    UsageError
        For a name that is none.
    DependencyError
        If a recipe needs a library that is not installed: told before anything is done.
    DataError, ModelError, OutputError
        See `load_data` and `train`.
    """
    wanted = list(MODEL_NAMES) if list(names) == ["all"] else list(names)
    if unknown := [name for name in wanted if name not in MODEL_NAMES]:
        raise UsageError(f"There is no recipe {unknown[0]!r}. Recipes: {', '.join(MODEL_NAMES)}, all.")
    singles = [name for name in MODEL_NAMES if name != ENSEMBLE]
    for name in wanted:
        if name in singles:
            find_recipe(name)
    settings = ImagingSettings()
    dataset, data_name = load_data(data, settings, with_mnist=with_mnist, mnist=mnist, seed=seed, jobs=jobs, say=say)
    for name in wanted:
        check_place(place / name)
    sets = make_tile_sets(
        dataset, settings, name=data_name, seed=seed, simulated=simulated, jobs=jobs, say=say, progress=progress
    )
    for name in wanted:
        if name == ENSEMBLE:
            yield train_ensemble(singles, sets, place / name, models_dir=place, say=say)
        else:
            yield train(name, sets, place / name, seed=seed, epochs=epochs, say=say, progress=progress)
