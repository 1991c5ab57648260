"""The steps that a page passes through, each timed alone, in one thread as in the workers of a batch.

pytest benchmarks/test_kernels.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from speed_inputs import QUALITY, draw

from batchdigits.classifiers.runner import load_model
from batchdigits.classifiers.store import shipped_models
from batchdigits.imaging.ink import binarise, measure_contrast, resize_to_work, sharpen_marks
from batchdigits.imaging.lines import find_lines
from batchdigits.imaging.normalise import make_tile
from batchdigits.imaging.pipeline import Steps, clear_lines, trace, window_around
from batchdigits.imaging.segment import Group, find_parts, group_parts
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.imaging.text import trace_text
from batchdigits.looking import first_size
from batchdigits.sources.documents import open_document
from batchdigits.types import Layout, Page, PageId

SETTINGS = ImagingSettings()
Benchmark = Callable[..., Any]  # pytest-benchmark's fixture has no types


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    cv2.setNumThreads(1)


def decode(path: Path, layout: Layout) -> Page:
    """Decode a file as a run does, at reduced size where that will do."""
    with open_document(path) as document:
        return document.read(PageId(path.name), first_size(SETTINGS, layout))


def saved(kind: str, number: int, folder: Path) -> Path:
    """Save a picture as JPEG."""
    path = folder / f"{kind}.jpg"
    cv2.imwrite(str(path), draw(kind, number)[0], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return path


@pytest.fixture(scope="module")
def photo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a photo of a digit in a printed box."""
    return saved("photo", 0, tmp_path_factory.mktemp("photo"))


@pytest.fixture(scope="module")
def photo(photo_file: Path) -> NDArray[np.uint8]:
    return decode(photo_file, Layout.DIGIT).pixels


@pytest.fixture(scope="module")
def plain_photo(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    """Return one without anything printed."""
    return decode(saved("photo", 1, tmp_path_factory.mktemp("plain")), Layout.DIGIT).pixels


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("page", 0, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def small() -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(draw("small", 0)[0], cv2.COLOR_GRAY2BGR), dtype=np.uint8)


@pytest.fixture(scope="module")
def steps(photo: NDArray[np.uint8]) -> Steps:
    return trace(photo, SETTINGS)


@pytest.fixture(scope="module")
def tiles() -> NDArray[np.float32]:
    return np.stack([draw("small", number)[0] / np.float32(255) for number in range(64)])


def test_decode_12_MP_JPEG_reduced(benchmark: Benchmark, photo_file: Path) -> None:
    page = benchmark(decode, photo_file, Layout.DIGIT)
    assert first_size(SETTINGS, Layout.DIGIT) <= max(page.pixels.shape) < 4000


def test_decode_A4_JPEG(benchmark: Benchmark, page_file: Path) -> None:
    assert benchmark(decode, page_file, Layout.PAGE).pixels.size


def test_resize_photo_to_work(benchmark: Benchmark, photo_file: Path) -> None:
    with open_document(photo_file) as document:
        photo = document.read(PageId("photo"), 3 * SETTINGS.work_size // 2).pixels  # as for a second look
    assert max(benchmark(resize_to_work, photo, SETTINGS).shape) == SETTINGS.work_size


def test_measure_contrast_photo(benchmark: Benchmark, steps: Steps) -> None:
    assert benchmark(measure_contrast, steps.work, SETTINGS).ink.any()


def test_binarise_photo(benchmark: Benchmark, steps: Steps) -> None:
    measured = measure_contrast(steps.work, SETTINGS)
    assert benchmark(binarise, measured).any()


def test_find_lines_photo(benchmark: Benchmark, steps: Steps) -> None:
    marks = sharpen_marks(steps.contrast, steps.marks, SETTINGS)
    assert benchmark(find_lines, marks, (), steps.contrast)


def test_clear_lines_photo(benchmark: Benchmark, steps: Steps) -> None:
    assert benchmark(clear_lines, steps.contrast, steps.marks, SETTINGS).ink.any()


def test_find_and_group_parts_photo(benchmark: Benchmark, steps: Steps) -> None:
    def find_groups() -> list[Group]:
        labels, parts = find_parts(steps.ink, steps.contrast)
        return group_parts(parts, labels, SETTINGS)

    assert benchmark(find_groups)


def test_make_tile_photo(benchmark: Benchmark, steps: Steps) -> None:
    digit = steps.digit[window_around(steps.groups[0].box)]
    assert benchmark(make_tile, digit, SETTINGS).any()


def test_trace_photo(benchmark: Benchmark, photo: NDArray[np.uint8]) -> None:
    assert benchmark(trace, photo, SETTINGS).lines


def test_trace_plain_photo(benchmark: Benchmark, plain_photo: NDArray[np.uint8]) -> None:
    assert benchmark(trace, plain_photo, SETTINGS).groups


def test_trace_28x28(benchmark: Benchmark, small: NDArray[np.uint8]) -> None:
    assert benchmark(trace, small, SETTINGS).groups


def test_trace_text_A4(benchmark: Benchmark, page_file: Path) -> None:
    pixels = decode(page_file, Layout.PAGE).pixels
    assert benchmark(trace_text, pixels, SETTINGS, Layout.PAGE).boxes


@pytest.mark.parametrize("model", ["knn", "cnn"])
def test_classify_64_tiles(benchmark: Benchmark, tiles: NDArray[np.float32], model: str) -> None:
    classifier = load_model(shipped_models() / model)
    assert benchmark(classifier, tiles).probabilities.shape == (64, 10)
