"""The contract of every model; a new one gets these tests for free."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from batchdigits.classifiers.card import CARD_FILE, WEIGHTS_FILE, Calibration, read_card
from batchdigits.classifiers.runner import BATCH, calibrate, energy, load_model, softmax
from batchdigits.classifiers.store import MODEL_NAMES, find_all, find_model, shipped_models
from batchdigits.errors import ModelError
from batchdigits.imaging.pipeline import trace
from batchdigits.imaging.settings import IMAGING_VERSION, ImagingSettings
from batchdigits.training.simulator import simulate_photo

DIGITS = np.random.default_rng(7).integers(0, 10, 100)


@pytest.fixture(scope="module")
def tiles():
    rng = np.random.default_rng(8)
    return np.stack([trace(simulate_photo(int(d), rng, difficulty=0.1), ImagingSettings()).tile for d in DIGITS])


@pytest.fixture(scope="module", params=MODEL_NAMES)
def model(request):
    return load_model(shipped_models() / request.param)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(shipped_models() / MODEL_NAMES[0], tmp_path / "copy")


def change_card(folder, **changes):
    path = folder / CARD_FILE
    card = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(card), encoding="utf-8")


def test_probabilities_are_ten_and_sum_to_one(model, tiles):
    scores = model(tiles)
    assert scores.probabilities.shape == (len(tiles), 10)
    assert scores.probabilities.sum(axis=1) == pytest.approx(1)
    assert ((scores.known >= 0) & (scores.known <= 1)).all()


def test_no_tiles_no_scores(model):
    scores = model(np.zeros((0, 28, 28), np.float32))
    assert scores.probabilities.shape == (0, 10)
    assert scores.known.shape == (0,)


def test_clear_digits_are_read(model, tiles):
    assert (model(tiles).probabilities.argmax(axis=1) == DIGITS).mean() >= 0.97


def test_same_tile_same_numbers_whatever_its_company(model, tiles):
    alone = model(tiles[:1]).probabilities
    for place in (0, 1, BATCH // 2, BATCH - 1):
        batch = tiles[:BATCH].copy()
        batch[place] = tiles[0]
        assert (model(batch).probabilities[place] == alone).all()


def test_a_model_of_the_first_card_format_still_reads(tiles, tmp_path):
    place = tmp_path / "format-1"
    shutil.copytree(Path(__file__).parent / "data" / "format-1", place)
    with pytest.raises(ModelError, match="imaging version 1"):  # its tiles would be others
        load_model(place)
    card = json.loads((place / CARD_FILE).read_text(encoding="utf-8"))
    card["imaging"]["version"] = IMAGING_VERSION
    (place / CARD_FILE).write_text(json.dumps(card), encoding="utf-8")
    old = load_model(place)
    assert old.card.format == 1
    assert (old(tiles).probabilities.argmax(axis=1) == DIGITS).mean() >= 0.9


def test_noise_is_never_ok_and_less_known_than_a_digit(model, tiles):
    noise = model(np.random.default_rng(0).random((50, 28, 28), np.float32))
    confidence = noise.probabilities.max(axis=1) * noise.known
    assert (confidence < model.card.thresholds.review_below).all()
    digits = model(tiles).known
    assert np.median(digits) > 0.9
    assert np.median(noise.known) < np.quantile(digits, 0.05)


def test_loading_twice_gives_the_same(model, tiles):
    again = load_model(shipped_models() / model.card.name)
    assert again.card.label == model.card.label
    assert (again(tiles).probabilities == model(tiles).probabilities).all()


def test_the_card_survives_writing(model):
    assert json.loads(model.card.to_json())["weights_sha256"] == model.card.weights_sha256


def test_shipped_models_are_small():
    size = sum(file.stat().st_size for file in shipped_models().rglob("*") if file.is_file())
    assert size <= 25_000_000
    assert (shipped_models() / "knn" / WEIGHTS_FILE).stat().st_size <= 5_000_000


def test_the_digest_follows_what_decides_a_row(model):
    card = model.card
    assert dataclasses.replace(card, limits="other words", created="2000-01-01").digest == card.digest
    assert dataclasses.replace(card, imaging=ImagingSettings(min_stroke=1.0)).digest != card.digest
    colder = dataclasses.replace(card.calibration, temperature=card.calibration.temperature / 2)
    assert dataclasses.replace(card, calibration=colder).digest != card.digest


def test_a_folder_is_found_by_name_and_by_path(folder):
    assert find_model(str(folder)) == folder
    assert find_model("copy", folder.parent) == folder
    assert folder in list(find_all(folder.parent))
    assert find_model("knn") == shipped_models() / "knn"


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ({"name": "../knn"}, "no name of a model"),
        ({"name": ".."}, "no name of a model"),
        ({"name": "/etc"}, "no name of a model"),
        ({"name": 7}, "no name of a model"),
        ({"name": "no-such"}, "no model 'no-such'"),
        ({"name": "ensemble"}, "train ensemble"),
        ({"digest": "0" * 12}, "train ensemble"),
        ({"weight": -1}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"weight": "x"}, "damaged"),
    ],
)
def test_an_ensemble_takes_only_the_members_it_was_made_with(tmp_path, member, message):
    folder = shutil.copytree(shipped_models() / "ensemble", tmp_path / "mine")
    first, *rest = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))["members"]
    assert load_model(folder).card.members
    change_card(folder, members=[first | member, *rest])
    with pytest.raises(ModelError, match=message):
        load_model(folder)


def test_an_ensemble_prefers_the_members_beside_it(tmp_path):
    for name in MODEL_NAMES:
        shutil.copytree(shipped_models() / name, tmp_path / name)
    member = load_model(tmp_path / "ensemble").card.members[0].name
    (tmp_path / member / WEIGHTS_FILE).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="SHA-256"):
        load_model(tmp_path / "ensemble")


@pytest.mark.parametrize("name", ["..", ".", "", "../models/knn/..", "no-such"])
def test_names_do_not_reach_outside(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError):
        load_model(find_model(name, tmp_path / "models"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "newer than"),
        ({"format": "1"}, "damaged"),
        ({"imaging": {"version": 99}}, "imaging version 99"),
        ({"imaging": {"no_such_setting": 1}}, "damaged"),
        ({"calibration": {}}, "damaged"),
        ({"calibration": {"temperature": 0, "energy_middle": 0, "energy_scale": 1}}, "positive"),
        ({"weights_sha256": "0" * 64}, "does not match"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(folder, changes, message):
    change_card(folder, **changes)
    with pytest.raises(ModelError, match=message):
        load_model(folder)


def test_a_graph_that_is_none_is_refused(folder):
    junk = b"no graph at all"
    (folder / WEIGHTS_FILE).write_bytes(junk)
    change_card(folder, weights_sha256=hashlib.sha256(junk).hexdigest())
    with pytest.raises(ModelError, match="cannot be used"):
        load_model(folder)


def test_the_card_is_read_as_it_was_written(folder):
    assert read_card(folder) == read_card(shipped_models() / MODEL_NAMES[0])


def test_softmax_of_large_scores_does_not_overflow():
    scores = np.array([[1e4, 0.0, -1e4]], np.float32)
    assert softmax(scores) == pytest.approx(np.array([[1, 0, 0]]))
    assert energy(scores) == pytest.approx(np.array([1e4]))


def test_temperature_softens_and_energy_tells_the_known():
    scores = np.array([[0.0, -4.0], [-50.0, -54.0]], np.float32)
    sharp = calibrate(scores, Calibration(1.0, -10.0, 2.0))
    soft = calibrate(scores, Calibration(4.0, -10.0, 2.0))
    assert sharp.probabilities[0, 0] > soft.probabilities[0, 0] > 0.5
    assert sharp.known[0] > 0.99
    assert sharp.known[1] < 0.01
