"""What a recipe is: labelled tiles to a graph of ten scores, and the recipes by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import numpy as np
import onnx
from numpy.typing import NDArray

from batchdigits.errors import DependencyError, ModelError
from batchdigits.training.progress import Progress
from batchdigits.training.tiles import LabelledTiles

Predict = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a recipe returns.

    A score is the log odds of a digit against "no digit at all": the softmax of the ten scores and a 0 beside them
    gives the probabilities of all eleven.
    """

    graph: onnx.ModelProto  #: tiles (N, 28, 28) to scores (N, 10)
    predict: Predict  #: the original: tiles (N, 28, 28) to probabilities (N, 11), the last that of no digit
    parameters: Mapping[str, float]  #: for the card


class Recipe(Protocol):
    """A way to train. `epochs` None means the recipe's own number; recipes without epochs ignore it."""

    def __call__(self, tiles: LabelledTiles, *, seed: int, epochs: int | None, progress: Progress) -> Trained:
        """Fit on tiles of digits (labels 0-9) and of other things (`NOT_A_DIGIT`)."""


_RECIPES = {
    "knn": "batchdigits.training.sklearn_recipes:knn",
    "rf": "batchdigits.training.sklearn_recipes:rf",
    "logreg": "batchdigits.training.sklearn_recipes:logreg",
    "svm": "batchdigits.training.sklearn_recipes:svm",
    "ann": "batchdigits.training.keras_recipes:ann",
    "cnn": "batchdigits.training.keras_recipes:cnn",
    "cnn2": "batchdigits.training.keras_recipes:cnn2",
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of this name.

    Raises
    ------
    ModelError
        If there is none.
    DependencyError
        If it needs a library that is not installed.
    """
    if name not in _RECIPES:
        raise ModelError(f"There is no recipe {name!r}. Recipes: {', '.join(_RECIPES)}.")
    module, _, function = _RECIPES[name].partition(":")
    try:
        return cast("Recipe", getattr(import_module(module), function))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("keras", "tensorflow"):
            raise
        raise DependencyError(
            f"Training {name} needs TensorFlow, which is not installed: pip install 'batchdigits[keras]'"
        ) from error
