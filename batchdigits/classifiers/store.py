"""Where models are found by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from batchdigits.classifiers.card import CARD_FILE
from batchdigits.errors import ModelError

DEFAULT_MODEL = "cnn"
MODEL_NAMES = ("knn", "rf", "logreg", "svm", "ann", "cnn", "cnn2", "ensemble")
"""Models that can be trained, in the order of training: the ensemble needs the others."""


def user_models() -> Path:
    """Return the folder that `train` saves to."""
    return Path(platformdirs.user_data_dir("batchdigits", appauthor=False)) / "models"


def shipped_models() -> Path:
    """Return the folder of the models that come with the program: in a wheel, or in a checkout."""
    package = Path(__file__).resolve().parents[1]
    in_wheel = package / "shipped_models"
    return in_wheel if in_wheel.is_dir() else package.parent / "models"


def search_path(models_dir: Path | None) -> tuple[Path, ...]:
    """Return the folders that hold models by name, the first to be looked in first."""
    rest = (user_models(), shipped_models())
    return rest if models_dir is None else (models_dir, *rest)


def find_all(models_dir: Path | None) -> Iterator[Path]:
    """Yield every model folder, in the order of names; of equal names only the one that would be used."""
    found: dict[str, Path] = {}
    for place in search_path(models_dir):
        if place.is_dir():
            for folder in place.iterdir():
                if (folder / CARD_FILE).is_file():
                    found.setdefault(folder.name, folder)
    for name in sorted(found):
        yield found[name]


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError):  # a name too long for a file
        return False


def is_model(folder: Path) -> bool:
    """Tell whether a folder holds a card."""
    return _is(folder / CARD_FILE, Path.is_file)


def find_model(model: str, models_dir: Path | None = None) -> Path:
    """Find a model by name, or take a folder as it is.

    Raises
    ------
    ModelError
        If there is none; the message names those that are there.
    """
    if model == Path(model).name and model not in ("", ".", ".."):  # a plain name never reaches outside the search path
        for place in search_path(models_dir):
            if is_model(place / model):
                return place / model
    if _is(Path(model), Path.is_dir):
        return Path(model)
    if model in MODEL_NAMES:
        raise ModelError(f"The model {model!r} is not here. Train it: batchdigits train {model}")
    present = [folder.name for folder in find_all(models_dir)]
    close = difflib.get_close_matches(model, [*present, *MODEL_NAMES], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ModelError(f"There is no model {model!r}.{hint} Models here: {', '.join(present) or 'none'}.")
