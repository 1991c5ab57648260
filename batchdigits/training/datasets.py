"""Labelled digits to train on: MNIST from Keras or from an ``.npz`` in Keras' layout."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batchdigits.errors import DataError, DependencyError

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_FEWEST = 20  # examples of each digit: below that neither a fit nor a held-out part means anything


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Labelled digits, split as their makers split them."""

    x_train: NDArray[np.uint8]  #: (N, H, W), ink 255 on 0
    y_train: NDArray[np.int64]  #: (N,), 0-9
    x_test: NDArray[np.uint8]  #: (M, H, W); for measuring only
    y_test: NDArray[np.int64]  #: (M,)

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits of all pixels and labels of the training part."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x_train).tobytes())
        digest.update(np.ascontiguousarray(self.y_train).tobytes())
        return digest.hexdigest()[:12]


def load_npz(path: Path) -> Dataset:
    """Read a data set in Keras' layout of MNIST: ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Raises
    ------
    DataError
        If the file is missing, is no such archive, or holds other shapes or labels. Pickled arrays are refused.
    """
    try:
        # numpy leaves a file open that it opened and could not read
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            missing = [key for key in _KEYS if key not in archive]
            if missing:
                raise DataError(f"{path} has no {', '.join(missing)}. Expected the arrays {', '.join(_KEYS)}.")
            arrays = {key: archive[key] for key in _KEYS}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Give --data the path of an mnist.npz.") from error
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, MemoryError) as error:
        raise DataError(f"{path} cannot be read as an .npz archive: {error}") from error
    return check_arrays(str(path), arrays)


def load_keras_mnist() -> Dataset:
    """Load MNIST by Keras' own download, which it keeps in its cache.

    Raises
    ------
    DependencyError
        If Keras is not installed.
    DataError
        If the download fails.
    """
    try:
        from keras.datasets import mnist
    except ImportError as error:
        raise DependencyError(
            "MNIST is downloaded by Keras, which is not installed. Install it (pip install 'batchdigits[keras]'), "
            "or give --data the path of an mnist.npz."
        ) from error
    try:
        (x_train, y_train), (x_test, y_test) = mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise DataError(
            f"Keras could not download MNIST ({error}). Offline, give --data the path of an mnist.npz."
        ) from error
    return check_arrays("MNIST", {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test})


def check_arrays(name: str, arrays: dict[str, NDArray[np.generic]]) -> Dataset:
    """Check that arrays are pictures of digits with their labels.

    Raises
    ------
    DataError
        Saying which array is wrong, and how.
    """
    for key in _KEYS:
        if not isinstance(arrays[key], np.ndarray):
            raise DataError(f"{name}: {key} is no array.")
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim != 3 or x.dtype != np.uint8 or min(x.shape[1:]) < 8:
            raise DataError(f"{name}: x_{part} is {x.dtype} {x.shape}, expected uint8 (N, height, width).")
        if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer):
            raise DataError(f"{name}: y_{part} is {y.dtype} {y.shape}, expected {len(x)} whole numbers.")
        if len(y) and not (np.min(y) >= 0 and np.max(y) <= 9):
            raise DataError(f"{name}: y_{part} has labels outside 0-9.")
    counts = np.bincount(arrays["y_train"].astype(np.int64), minlength=10)
    if counts.min() < _FEWEST:
        digit = int(counts.argmin())
        raise DataError(f"{name}: only {counts[digit]} training examples of {digit}; at least {_FEWEST} are needed.")
    return Dataset(
        arrays["x_train"].astype(np.uint8),
        arrays["y_train"].astype(np.int64),
        arrays["x_test"].astype(np.uint8),
        arrays["y_test"].astype(np.int64),
    )
