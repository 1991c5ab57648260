from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from batchdigits.classifiers.runner import load_model
from batchdigits.errors import DataError, DependencyError, ModelError, OutputError
from batchdigits.evaluation import expected_calibration_error
from batchdigits.imaging.pipeline import trace
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.calibration import choose_thresholds, fit_calibration, fit_temperature
from batchdigits.training.datasets import check_arrays, load_keras_mnist, load_npz
from batchdigits.training.export import prove_equal
from batchdigits.training.features import FEATURES, compute_features, gradient_filters
from batchdigits.training.simulator import simulate_photo
from batchdigits.training.tiles import simulate_tiles, tile_pictures
from batchdigits.training.train import recipe, train

SETTINGS = ImagingSettings()


def small_arrays(per_digit=40, test=5):
    """Our own digits in MNIST's layout."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), per_digit + test)
    pictures = np.stack(
        [np.rint(trace(simulate_photo(int(d), rng, difficulty=0), SETTINGS).tile * 255) for d in labels]
    ).astype(np.uint8)
    held = np.arange(len(labels)) % (per_digit + test) < test
    return {
        "x_train": pictures[~held],
        "y_train": labels[~held],
        "x_test": pictures[held],
        "y_test": labels[held],
    }


@pytest.fixture(scope="module")
def arrays():
    return small_arrays()


@pytest.fixture(scope="module")
def dataset(arrays):
    return check_arrays("small", arrays)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "knn"
    return folder, train("knn", dataset, folder, data_name="small", simulated=120)


def test_a_trained_model_is_saved_whole_and_reads_digits(trained, dataset):
    folder, card = trained
    assert sorted(file.name for file in folder.iterdir()) == ["card.json", "model.onnx"]
    assert [file.name for file in folder.parent.iterdir()] == ["knn"]
    tiles = tile_pictures(dataset.x_test, dataset.y_test, SETTINGS, jobs=1)
    found = load_model(folder)(tiles.pixels).probabilities.argmax(axis=1)
    assert (found == tiles.labels).mean() == pytest.approx(card.scores["test_accuracy"], abs=1e-5)
    assert card.scores["test_accuracy"] >= 0.9


def test_the_card_says_on_what_and_how(trained, dataset):
    card = json.loads((trained[0] / "card.json").read_text(encoding="utf-8"))
    assert card["data"]["digest"] == dataset.digest
    assert card["recipe"]["seed"] == 0
    assert "LeCun" in card["data"]["attribution"]
    assert card["libraries"]["scikit-learn"]
    assert card["scores"]["proof_difference"] <= 1e-5


def test_same_seed_same_weights_for_any_number_of_jobs(trained, dataset, tmp_path):
    again = train("knn", dataset, tmp_path / "again", data_name="small", simulated=120, jobs=2)
    other = train("knn", dataset, tmp_path / "other", data_name="small", simulated=120, seed=1)
    assert again.weights_sha256 == trained[1].weights_sha256
    assert other.weights_sha256 != trained[1].weights_sha256


def test_training_again_replaces_the_model(dataset, tmp_path):
    folder = tmp_path / "knn"
    first = train("knn", dataset, folder, data_name="small", simulated=0)
    second = train("knn", dataset, folder, data_name="small", simulated=0, seed=3)
    assert load_model(folder).card.label == f"knn@{second.digest}" != f"knn@{first.digest}"


def test_a_place_that_cannot_be_written_is_said(dataset, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be saved"):
        train("knn", dataset, tmp_path / "file" / "knn", data_name="small", simulated=0)


def test_a_graph_that_differs_is_not_saved():
    class Wrong:
        def scores(self, tiles):
            return np.zeros((len(tiles), 10), np.float32)

    with pytest.raises(ModelError, match="differs"):
        prove_equal(Wrong(), lambda tiles: np.eye(10)[np.zeros(len(tiles), int)], np.zeros((3, 28, 28), np.float32))


def test_features_are_unit_vectors_and_nothing_gives_nothing(dataset):
    tiles = (dataset.x_test / 255).astype(np.float32)
    features = compute_features(tiles)
    assert features.shape == (len(tiles), FEATURES)
    assert np.linalg.norm(features, axis=1) == pytest.approx(1, abs=1e-5)
    assert not compute_features(np.zeros((1, 28, 28), np.float32)).any()


def test_gradient_filters_ignore_even_grey():
    assert gradient_filters().sum(axis=(1, 2)) == pytest.approx(np.zeros(8), abs=1e-6)


def test_simulated_tiles_depend_on_the_seed_alone(dataset):
    def tiles(seed, jobs):
        return simulate_tiles(
            30,
            (dataset.x_train, dataset.y_train),
            SETTINGS,
            seed=seed,
            difficulty=(0, 0.5),
            only_found=False,
            jobs=jobs,
        )

    first, same, other = tiles(1, 1), tiles(1, 2), tiles(2, 1)
    assert (first.pixels == same.pixels).all()
    assert len(first) == 30
    assert (first.pixels != other.pixels).any()


def test_unknown_recipe_names_those_there_are():
    with pytest.raises(ModelError, match="knn"):
        recipe("quantum")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"x_train": a["x_train"].astype(np.float32)}, "x_train is float32"),
        (lambda a: a | {"x_train": a["x_train"][:, 0]}, "x_train is uint8"),
        (lambda a: a | {"y_train": a["y_train"][:-1]}, "y_train is"),
        (lambda a: a | {"y_test": a["y_test"] + 5}, "labels outside 0-9"),
        (lambda a: a | {"y_train": np.where(a["y_train"] == 8, 3, a["y_train"])}, "only 0 training examples of 8"),
    ],
)
def test_odd_arrays_are_refused_with_what_is_odd(arrays, change, message):
    with pytest.raises(DataError, match=message):
        check_arrays("odd", change(arrays))


def test_an_npz_is_read_and_a_broken_one_refused(arrays, tmp_path):
    np.savez(tmp_path / "good.npz", **arrays)
    assert (load_npz(tmp_path / "good.npz").x_train == arrays["x_train"]).all()
    np.savez(tmp_path / "part.npz", x_train=arrays["x_train"])
    with pytest.raises(DataError, match="y_train"):
        load_npz(tmp_path / "part.npz")
    (tmp_path / "broken.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:500])
    with pytest.raises(DataError, match="cannot be read"):
        load_npz(tmp_path / "broken.npz")
    with pytest.raises(DataError, match="does not exist"):
        load_npz(tmp_path / "none.npz")


def test_pickled_arrays_are_refused(arrays, tmp_path):
    np.savez(tmp_path / "pickled.npz", **(arrays | {"y_test": np.array([object()], dtype=object)}))
    with pytest.raises(DataError, match="cannot be read"):
        load_npz(tmp_path / "pickled.npz")


def test_without_keras_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras.datasets", None)
    with pytest.raises(DependencyError, match=r"batchdigits\[keras\].*--data"):
        load_keras_mnist()


def test_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 4000)
    logits = rng.normal(0, 1, (4000, 10))
    logits[np.arange(4000), labels] += 2
    honest = fit_temperature(logits.astype(np.float32), labels)
    assert fit_temperature((5 * logits).astype(np.float32), labels) == pytest.approx(5 * honest, rel=0.02)


def test_calibration_takes_held_out_digits_for_digits():
    rng = np.random.default_rng(0)
    calibration = fit_calibration(rng.normal(0, 1, (5000, 10)).astype(np.float32), rng.integers(0, 10, 5000))
    assert calibration.temperature > 0
    assert calibration.energy_scale > 0


def test_the_threshold_keeps_the_risk_and_no_more():
    confidence = np.linspace(1, 0.5, 1000)
    correct = np.ones(1000, bool)
    correct[600::10] = False
    threshold = choose_thresholds(confidence, correct, risk=0.01).review_below
    accepted = confidence >= threshold
    assert (~correct[accepted]).mean() <= 0.01
    assert accepted.sum() >= 600


def test_where_nothing_is_safe_nothing_is_ok():
    assert choose_thresholds(np.full(10, 0.9), np.zeros(10, bool)).review_below == 1.0


def test_calibration_error_of_honest_and_of_boastful_confidence():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 50_000)
    correct = rng.random(50_000) < confidence
    assert expected_calibration_error(confidence, correct) < 0.01
    assert expected_calibration_error(np.ones(1000), np.arange(1000) % 2 == 0) == pytest.approx(0.5)
    assert np.isnan(expected_calibration_error(np.zeros(0), np.zeros(0, bool)))
