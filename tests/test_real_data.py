"""Figures that are promised, measured on data that is not part of the project."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from batchdigits import Status, classify, load_model
from batchdigits.batch import rows_of
from batchdigits.classifiers.store import MODEL_NAMES
from batchdigits.evaluation import edit_distance, expected_calibration_error
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.sources.walk import find_sources
from batchdigits.training.datasets import load_npz
from batchdigits.training.tiles import tile_pictures
from batchdigits.worker import read_source

# What the shipped models must not fall below; the aims for cnn and ensemble are 0.9965 (of three seeds) and 0.9970, and
# two tiles of 10,000 are left to what another machine rounds otherwise.
LEAST = {"knn": 0.989, "rf": 0.984, "logreg": 0.989, "svm": 0.993, "ann": 0.992}
LEAST |= {"cnn": 0.9963, "cnn2": 0.9963, "ensemble": 0.9968}
MOST_WRONG = {
    "singles_photo": {"cnn": 1, "cnn2": 1, "ensemble": 1},
    "drawn": {"cnn": 1, "cnn2": 1, "ensemble": 1},
    "cells": {"cnn": 2, "cnn2": 2, "ensemble": 2},
}


@pytest.fixture(scope="module")
def mnist(real_data):
    dataset = load_npz(real_data / "mnist.npz")
    return dataset, tile_pictures(dataset.x_test, dataset.y_test, ImagingSettings(), jobs=2)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_mnist(mnist, name):
    _, tiles = mnist
    scores = load_model(name)(tiles.pixels)
    right = scores.probabilities.argmax(axis=1) == tiles.labels
    assert right.mean() >= LEAST[name]
    assert expected_calibration_error(scores.probabilities.max(axis=1) * scores.known, right) <= 0.005


def test_mnist_as_files(mnist, tmp_path):
    dataset, tiles = mnist
    model = load_model("knn")
    for number, (picture, label) in enumerate(zip(dataset.x_test[:2000], dataset.y_test, strict=False)):
        cv2.imwrite(str(tmp_path / f"{number:05d}_{label}.png"), picture)
    rows = list(classify(tmp_path, model=model, jobs=2))
    right = np.array([row.prediction == row.page.file[-5] for row in rows])
    ok = np.array([row.status is Status.OK for row in rows])
    found = model(tiles.pixels[:2000]).probabilities.argmax(axis=1)
    assert [row.prediction for row in rows] == [str(digit) for digit in found]
    assert right[ok].mean() >= 0.99
    assert ok.mean() >= 0.9


@pytest.fixture(scope="module")
def photos(real_data):
    """Every labelled picture: its folder, its tiles, its label."""
    found = []
    for folder in MOST_WRONG:
        with (real_data / "dev" / folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            labels = {row["file"]: row["label"] for row in csv.DictReader(file)}
        sources = {source.name: source for source in find_sources([real_data / "dev" / folder]).sources}
        for name, label in labels.items():
            (tiles,) = read_source(sources[name], ImagingSettings())
            found.append((folder, tiles, label))
    return found


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_real_photos(photos, name):
    model = load_model(name)
    rows = [row for (row,) in rows_of([[tiles] for _, tiles, _ in photos], model)]
    for folder, most in MOST_WRONG.items():
        wrong = [
            row.page.file
            for row, (place, _, label) in zip(rows, photos, strict=True)
            if place == folder and row.prediction != label
        ]
        assert len(wrong) <= most.get(name, 4), wrong
    flagged = sum(row.status is not Status.OK for row in rows)
    assert flagged <= (0.03 if name in ("cnn", "cnn2", "ensemble") else 0.07) * len(rows)


@pytest.mark.parametrize(
    ("folder", "layout", "exact", "least"),
    [("forms_boxed_strips", "number", 12, 0.97), ("multi_photo", "page", 6, 0.95)],
)
def test_numbers_and_pages(real_data, folder, layout, exact, least):
    place = real_data / "dev" / folder
    with (place / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(file)}
    rows = {row.page.file: row for row in classify(place, model="cnn", layout=layout) if row.page.file in labels}
    assert rows.keys() == labels.keys()
    assert sum(rows[name].prediction == label for name, label in labels.items()) >= exact
    wrong = sum(edit_distance(rows[name].prediction.replace(" ", ""), labels[name].replace(" ", "")) for name in labels)
    assert 1 - wrong / sum(len(label.replace(" ", "")) for label in labels.values()) >= least
    assert all(rows[name].prediction == labels[name] for name in labels if rows[name].status is Status.OK)
