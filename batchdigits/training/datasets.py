"""Labelled digits to train on: MNIST from Keras, an ``.npz`` in its layout, a folder of one's own handwriting."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batchdigits.errors import DataError, DependencyError, UsageError
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.sources.walk import display_name
from batchdigits.training.download import TRIES, DownloadError, retry
from batchdigits.training.folders import read_folder
from batchdigits.training.progress import Progress, silent
from batchdigits.training.tiles import LabelledTiles, join, tile_pictures

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_FEWEST = 20  # examples of each digit: below that neither a fit nor a held-out part means anything
_TEST_SHARE = 6  # one in so many of a folder's pictures is set aside for testing
_FEWEST_IN_FOLDER = 24  # a sixth of them is set aside, and `_FEWEST` are left


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Labelled digits, split as their makers split them."""

    x_train: NDArray[np.uint8]  #: (N, H, W), ink 255 on 0
    y_train: NDArray[np.int64]  #: (N,), 0-9
    x_test: NDArray[np.uint8]  #: (M, H, W); for measuring only; M may be 0, which leaves out the scores
    y_test: NDArray[np.int64]  #: (M,)
    tiles_train: NDArray[np.float32] | None = None  #: (N, 28, 28), made from the photos; None: to be made from x_train
    tiles_test: NDArray[np.float32] | None = None  #: (M, 28, 28), likewise
    own_test: int | None = None  #: so many first ones of the test part are the user's own, the rest is MNIST's

    @property
    def test_parts(self) -> dict[str, slice]:
        """What a card calls each part of the test pictures, and where it is."""
        if self.own_test is None:
            return {"test": slice(None)}
        return {"test": slice(self.own_test), "mnist": slice(self.own_test, None)}

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits of all pixels and labels of the training part."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x_train).tobytes())
        digest.update(np.ascontiguousarray(self.y_train).tobytes())
        return digest.hexdigest()[:12]


def load_data(
    path: Path | None,
    settings: ImagingSettings,
    *,
    with_mnist: bool = False,
    mnist: Path | None = None,
    seed: int = 0,
    jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Dataset, str]:
    """Load what to train on.

    Parameters
    ----------
    path : Path or None
        A folder as for `load_folder`, a file as for `load_npz`, or None for MNIST as Keras downloads it.
    settings : ImagingSettings
        As in use later.
    with_mnist : bool
        Add MNIST to what is at `path`, which may then have few examples of a digit, or none.
    mnist : Path, optional
        An ``.npz`` to take MNIST from, instead of Keras' download.
    seed : int
        Chooses which of a folder's pictures are set aside for testing.
    jobs : int
        Processes for reading pictures and making tiles.
    say : callable
        Told what is being done, and what is left out.

    Returns
    -------
    dataset : Dataset
    name : str
        What a card calls it.

    Raises
    ------
    UsageError
        If MNIST is to be added to nothing.
    DependencyError, DataError
        If the data cannot be had, or cannot be used.
    """
    if mnist and not with_mnist:
        raise UsageError("--mnist says where --with-mnist finds MNIST: give both, or --data alone.")
    if path is None:
        if with_mnist:
            raise UsageError("--with-mnist adds MNIST to your own digits: give these with --data, or leave it out.")
        return load_keras_mnist(say=say), "MNIST"
    if _is_folder(path):
        fewest = 0 if with_mnist else _FEWEST_IN_FOLDER
        dataset = load_folder(path, settings, jobs=jobs, seed=seed, fewest=fewest, say=say)
    else:
        dataset = load_npz(path)
    name = display_name(path.name if path.name not in ("", "..") else path.resolve().name)
    if not with_mnist:
        return dataset, name
    other = load_npz(mnist) if mnist else load_keras_mnist(say=say)
    return join_mnist(dataset, other, settings, jobs=jobs), f"{name} + MNIST"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long, a folder that may not be entered: opening it will say so
        return False


def load_folder(
    path: Path,
    settings: ImagingSettings,
    *,
    jobs: int,
    seed: int = 0,
    fewest: int = _FEWEST_IN_FOLDER,
    say: Callable[[str], None] = lambda _: None,
) -> Dataset:
    """Read photos and scans of one digit each, a folder per digit: ``PATH/0/*.jpg`` to ``PATH/9``, at any depth.

    A sixth of each digit is set aside for testing.

    Parameters
    ----------
    path : Path
        Decoded and made into tiles as `classify` does it. Pictures that cannot be read, hold no ink or several digits
        are left out, and `say` is told.
    settings : ImagingSettings
        As in use later.
    jobs : int
        Processes. The data is the same for any number.
    seed : int
        Chooses the sixth.
    fewest : int
        Examples that every digit must have. 0 lets digits be missing, for data that is to be joined with other.
    say : callable
        Told what is being done, and what is left out.

    Raises
    ------
    DataError
        If there are no pictures, pictures in folders that are no digit's, too few of a digit, or none that can be read.
    """
    if not _is_folder(path):
        raise DataError(f"{display_name(str(path))} is no folder. Expected one with a folder per digit, 0 to 9, in it.")
    found = read_folder(path, settings, fewest=fewest, jobs=jobs, say=say)
    test = choose_sixth(found.labels, seed)
    return Dataset(
        found.pictures[~test],
        found.labels[~test],
        found.pictures[test],
        found.labels[test],
        found.tiles[~test],
        found.tiles[test],
    )


def choose_sixth(labels: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Return a mask (N,) of a sixth of each digit, to be set aside."""
    rng = np.random.default_rng(seed)
    test = np.zeros(len(labels), np.bool_)
    for digit in range(10):
        shuffled = rng.permutation(np.flatnonzero(labels == digit))
        test[shuffled[: len(shuffled) // _TEST_SHARE]] = True
    return test


def dataset_tiles(
    dataset: Dataset, settings: ImagingSettings, *, jobs: int, progress: Progress = silent
) -> tuple[LabelledTiles, LabelledTiles]:
    """Return the tiles of the training and of the test part, in their order; make those that are still to be made."""

    def part(x: NDArray[np.uint8], y: NDArray[np.int64], tiles: NDArray[np.float32] | None) -> LabelledTiles:
        if tiles is None:
            return tile_pictures(x, y, settings, jobs=jobs, progress=progress)
        return LabelledTiles(tiles, y)

    return (
        part(dataset.x_train, dataset.y_train, dataset.tiles_train),
        part(dataset.x_test, dataset.y_test, dataset.tiles_test),
    )


def join_mnist(own: Dataset, mnist: Dataset, settings: ImagingSettings, *, jobs: int) -> Dataset:
    """Add MNIST to a user's own digits.

    Returns
    -------
    Dataset
        The user's own come first in both parts. Its `test_parts` keep them apart: what counts is how well the user's
        own hand is read, and ten thousand test pictures of MNIST would drown it. All tiles are made.

    Raises
    ------
    DataError
        If the pictures differ in size, or the user's own are MNIST.
    """
    if own.digest == mnist.digest:
        raise DataError("--with-mnist: the data given is MNIST already. Leave --with-mnist out.")
    size, expected = own.x_train.shape[1:], mnist.x_train.shape[1:]
    if size != expected:
        raise DataError(
            f"--with-mnist: pictures of {size[0]} x {size[1]} pixels cannot be joined with MNIST's of "
            f"{expected[0]} x {expected[1]}. Scale them first, or give them as a folder of pictures."
        )
    (own_train, own_test), (train, test) = (dataset_tiles(data, settings, jobs=jobs) for data in (own, mnist))
    all_train, all_test = join(own_train, train), join(own_test, test)
    return Dataset(
        np.concatenate([own.x_train, mnist.x_train]),
        all_train.labels,
        np.concatenate([own.x_test, mnist.x_test]),
        all_test.labels,
        all_train.pixels,
        all_test.pixels,
        own_test=len(own_test),
    )


def load_npz(path: Path) -> Dataset:
    """Read a data set in Keras' layout of MNIST: ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Raises
    ------
    DataError
        If the file is missing, is no such archive, or holds other shapes or labels. Pickled arrays are refused.
    """
    try:
        if path.exists() and not path.is_file():  # opening a named pipe would wait for ever
            raise DataError(f"{path} is no file.")
        # numpy leaves a file open that it opened and could not read
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            missing = [key for key in _KEYS if key not in archive]
            if missing:
                raise DataError(f"{path} has no {', '.join(missing)}. Expected the arrays {', '.join(_KEYS)}.")
            arrays = {key: archive[key] for key in _KEYS}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Give --data an .npz, or a folder with a folder per digit.") from error
    except DataError:
        raise
    except Exception as error:  # what zipfile and numpy say of a damaged archive has no common class
        raise DataError(f"{path} cannot be read as an .npz archive: {error}") from error
    return check_arrays(str(path), arrays)


def load_keras_mnist(
    *, say: Callable[[str], None] = lambda _: None, wait: Callable[[float], None] = time.sleep
) -> Dataset:
    """Load MNIST by Keras' own download, which it keeps in its cache and checks by a hash whenever it is loaded.

    Parameters
    ----------
    say : callable
        Told of every try that failed.
    wait : callable
        Waits so many seconds before the next try.

    Raises
    ------
    DependencyError
        If Keras is not installed.
    DataError
        If the download fails three times.
    """
    try:
        from keras.datasets import mnist
    except ImportError as error:
        raise DependencyError(
            "MNIST is downloaded by Keras, which is not installed. Install it (pip install 'batchdigits[keras]'), "
            "or give --data (with --with-mnist: --mnist) the path of an mnist.npz."
        ) from error
    say("loading MNIST; the first time, Keras downloads it (11 MB)")
    try:
        # half a file needs no care: Keras removes what it could not finish, and replaces what has not the right hash
        (x_train, y_train), (x_test, y_test) = retry(mnist.load_data, say=say, wait=wait)
    except DownloadError as error:
        raise DataError(
            f"Keras could not download MNIST, in {TRIES} tries: {error}. Without internet, let Keras download it on "
            "another machine, which keeps it as .keras/datasets/mnist.npz in the home folder, copy that file, and "
            "give it with --data mnist.npz (with --with-mnist: --mnist mnist.npz)."
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
    if (test := arrays["x_test"]).shape[1:] != (train := arrays["x_train"]).shape[1:]:
        raise DataError(f"{name}: x_test is {test.shape}, of another picture size than x_train, {train.shape}.")
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
