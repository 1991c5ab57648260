"""Figures that are promised, measured on data that is not part of the project."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from batchdigits import Status, classify
from batchdigits.training.datasets import load_npz


@pytest.fixture(scope="module")
def mnist_rows(real_data, knn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist")
    dataset = load_npz(real_data / "mnist.npz")
    for number, (picture, label) in enumerate(zip(dataset.x_test, dataset.y_test, strict=True)):
        cv2.imwrite(str(folder / f"{number:05d}_{label}.png"), picture)
    return list(classify(folder, model=knn, jobs=2))


def test_mnist_as_files(mnist_rows):
    assert len(mnist_rows) == 10_000
    right = np.array([row.prediction == row.page.file[-5] for row in mnist_rows])
    ok = np.array([row.status is Status.OK for row in mnist_rows])
    assert right.mean() >= 0.985
    assert right[ok].mean() >= 0.995
    assert ok.mean() >= 0.9


@pytest.mark.parametrize(("folder", "at_most"), [("singles_photo", 3), ("drawn", 1), ("cells", 4)])
def test_real_photos(real_data, knn, folder, at_most):
    with (real_data / "dev" / folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(file)}
    rows = {row.page.file: row for row in classify(real_data / "dev" / folder, model=knn)}
    assert set(labels) <= set(rows)
    wrong = [name for name, label in labels.items() if rows[name].prediction != label]
    assert len(wrong) <= at_most, wrong
