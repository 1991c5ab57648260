from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest

from batchdigits.classifiers.runner import load_model
from batchdigits.classifiers.store import MODEL_NAMES
from batchdigits.errors import DataError, DependencyError, ModelError, OutputError, UsageError
from batchdigits.evaluation import expected_calibration_error, reliability, risk_coverage
from batchdigits.imaging.pipeline import trace
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.augment import jitter
from batchdigits.training.calibration import choose_thresholds, fit_calibration, fit_known, fit_temperature
from batchdigits.training.datasets import check_arrays, load_keras_mnist, load_npz
from batchdigits.training.ensemble import fit_weights, train_ensemble
from batchdigits.training.export import prove_equal
from batchdigits.training.features import FEATURES, compute_features, gradient_filters
from batchdigits.training.job import ENSEMBLE, train_models
from batchdigits.training.recipes import find_recipe
from batchdigits.training.simulator import simulate_photo
from batchdigits.training.tile_sets import make_tile_sets
from batchdigits.training.tiles import NOT_A_DIGIT, simulate_tiles, tile_pictures
from batchdigits.training.train import train

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
def sets(dataset):
    return make_tile_sets(dataset, SETTINGS, name="small", simulated=240)


@pytest.fixture(scope="module")
def trained(sets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "knn"
    return folder, train("knn", sets, folder)


def test_a_trained_model_is_saved_whole_and_reads_digits(trained, sets):
    folder, card = trained
    assert sorted(file.name for file in folder.iterdir()) == ["card.json", "model.onnx"]
    assert [file.name for file in folder.parent.iterdir()] == ["knn"]
    test = sets.test["test"]
    found = load_model(folder)(test.pixels).probabilities.argmax(axis=1)
    assert (found == test.labels).mean() == pytest.approx(card.scores["test_accuracy"], abs=1e-5)
    assert card.scores["test_accuracy"] >= 0.9


@pytest.mark.parametrize("name", ["knn", "rf", "logreg", "svm", "ann", "cnn"])
def test_every_recipe_learns_to_tell_digits_from_each_other_and_from_other_things(name, sets, tmp_path):
    if name in ("ann", "cnn"):
        pytest.importorskip("keras", reason="Keras is not installed: no networks to train")
    card = train(name, sets, tmp_path / name, epochs=6)
    assert card.scores["test_accuracy"] >= 0.85
    assert card.scores["proof_difference"] <= 1e-5
    model = load_model(tmp_path / name)
    digits, others = model(sets.held_digits.pixels).known, model(sets.measured_others.pixels).known
    assert (digits[:, None] > others[None, :]).mean() > 0.75  # the area under the ROC curve


def test_the_card_says_on_what_and_how(trained, dataset, sets):
    card = json.loads((trained[0] / "card.json").read_text(encoding="utf-8"))
    assert card["data"]["digest"] == dataset.digest
    assert card["data"]["simulated_photos"] == 240
    assert card["recipe"]["seed"] == 0
    assert card["libraries"]["scikit-learn"]
    assert card["scores"]["proof_difference"] <= 1e-5
    assert card["scores"]["others_count"] == len(sets.measured_others)
    curves = card["curves"]["simulated"]
    assert sum(count for _, _, count in curves["reliability"]) == card["scores"]["simulated_count"]
    assert curves["risk_coverage"][-1][1] == 1
    assert 1 - curves["risk_coverage"][-1][2] == pytest.approx(card["scores"]["simulated_accuracy"], abs=1e-4)


def test_every_model_but_the_ensemble_has_a_recipe():
    pytest.importorskip("keras", reason="Keras is not installed: no recipes of networks")
    recipes = {name: find_recipe(name) for name in MODEL_NAMES if name != ENSEMBLE}
    assert len(set(recipes.values())) == len(MODEL_NAMES) - 1


@pytest.mark.parametrize("name", ["knn", "rf", "svm"])
def test_same_seed_same_weights(name, sets, tmp_path):
    first, again, other = (
        train(name, sets, tmp_path / str(number), seed=seed).weights_sha256 for number, seed in enumerate([0, 0, 1])
    )
    assert first == again != other or name == "svm"  # libsvm draws nothing by chance


def test_the_same_tiles_for_any_number_of_jobs(sets, dataset):
    again = make_tile_sets(dataset, SETTINGS, name="small", simulated=240, jobs=2)
    other = make_tile_sets(dataset, SETTINGS, name="small", simulated=240, seed=1)
    assert (again.fit.pixels == sets.fit.pixels).all()
    assert (again.measured_others.pixels == sets.measured_others.pixels).all()
    assert len(other.fit) != len(sets.fit) or (other.fit.pixels != sets.fit.pixels).any()


def test_what_is_held_out_is_not_fitted_to(sets):
    fitted = {tile.tobytes() for tile in sets.fit.pixels}
    for held in (sets.held_digits, sets.held_photos, sets.measured_photos, sets.test["test"]):
        assert not any(tile.tobytes() in fitted for tile in held.pixels)
    assert set(np.unique(sets.fit.labels)) == {*range(10), NOT_A_DIGIT}


def test_training_again_replaces_the_model(sets, tmp_path):
    folder = tmp_path / "knn"
    first = train("knn", sets, folder)
    second = train("knn", sets, folder, seed=3)
    assert load_model(folder).card.label == f"knn@{second.digest}" != f"knn@{first.digest}"


def test_a_place_that_cannot_be_written_is_said(sets, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be saved"):
        train("knn", sets, tmp_path / "file" / "knn")


def test_a_graph_that_differs_is_not_saved():
    class Wrong:
        def scores(self, tiles):
            return np.zeros((len(tiles), 10), np.float32)

    with pytest.raises(ModelError, match="differs"):
        prove_equal(Wrong(), lambda tiles: np.eye(11)[np.zeros(len(tiles), int)], np.zeros((3, 28, 28), np.float32))


def test_an_ensemble_is_a_card_that_names_its_members(sets, tmp_path):
    singles = [train(name, sets, tmp_path / name) for name in ("knn", "logreg")]
    card = train_ensemble(["knn", "logreg"], sets, tmp_path / "ensemble", models_dir=tmp_path)
    assert [file.name for file in (tmp_path / "ensemble").iterdir()] == ["card.json"]
    assert {(m.name, m.digest) for m in card.members} <= {(single.name, single.digest) for single in singles}
    test = sets.test["test"]
    found = load_model("ensemble", tmp_path)(test.pixels).probabilities.argmax(axis=1)
    assert (found == test.labels).mean() == pytest.approx(card.scores["test_accuracy"], abs=1e-5)

    train("knn", sets, tmp_path / "knn", seed=5)
    with pytest.raises(ModelError, match="train ensemble"):
        load_model("ensemble", tmp_path)


def test_no_member_may_have_seen_what_an_ensemble_is_weighed_on(sets, tmp_path):
    train("knn", sets, tmp_path / "knn")
    other = dataclasses.replace(sets, origin={**sets.origin, "seed": 1})
    with pytest.raises(ModelError, match="another seed"):
        train_ensemble(["knn"], other, tmp_path / "ensemble", models_dir=tmp_path)
    assert not (tmp_path / "ensemble").exists()


def test_votes_go_to_the_member_that_knows():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 11, 3000)
    knows, guesses = rng.normal(0, 1, (2, 3000, 10)).astype(np.float32)
    knows[labels < 10, labels[labels < 10]] += 4
    knows[labels == NOT_A_DIGIT] -= 4
    weights = fit_weights(np.stack([knows, guesses]), labels)
    assert weights[0] > 10 * weights[1]


def test_a_missing_library_is_told_before_the_work(tmp_path, monkeypatch):
    for module in ("keras", "tensorflow"):
        monkeypatch.setitem(sys.modules, module, None)
    for module in ("keras_recipes", "keras_graphs"):
        monkeypatch.delitem(sys.modules, f"batchdigits.training.{module}", raising=False)
    with pytest.raises(DependencyError, match=r"batchdigits\[keras\]"):
        next(train_models(["all"], tmp_path / "models", data=tmp_path / "never-read.npz"))


def test_what_cannot_be_trained_is_told(tmp_path):
    with pytest.raises(UsageError, match="ensemble"):
        next(train_models(["quantum"], tmp_path))


def test_features_are_unit_vectors_and_nothing_gives_nothing(dataset):
    tiles = (dataset.x_test / 255).astype(np.float32)
    features = compute_features(tiles)
    assert features.shape == (len(tiles), FEATURES)
    assert np.linalg.norm(features, axis=1) == pytest.approx(1, abs=1e-5)
    assert not compute_features(np.zeros((1, 28, 28), np.float32)).any()


def test_gradient_filters_ignore_even_grey():
    assert gradient_filters(1.0, 5).sum(axis=(1, 2)) == pytest.approx(np.zeros(8), abs=1e-6)


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
        find_recipe("quantum")


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


def test_what_is_a_digit_is_told_by_its_energy():
    rng = np.random.default_rng(0)
    middle, scale = fit_known(rng.normal(8, 1, 5000), rng.normal(2, 1, 500))
    known = 1 / (1 + np.exp(-(np.array([2.0, 8.0]) - middle) / scale))
    assert known[0] < 0.05
    assert known[1] > 0.99


@pytest.mark.parametrize("others", [np.zeros(5), np.full(5, 30.0)])
def test_energies_that_say_nothing_or_everything_give_a_finite_curve(others):
    assert np.isfinite(fit_known(np.full(50, 30.0), others)).all()


def test_calibration_of_meaningless_scores_is_finite():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (5000, 10)).astype(np.float32)
    calibration = fit_calibration(scores, rng.integers(0, 10, 5000), scores[:100])
    assert calibration.temperature > 0
    assert calibration.energy_scale > 0


def test_the_threshold_keeps_the_risk_and_no_more():
    confidence = np.linspace(1, 0.5, 1000)
    correct = np.ones(1000, bool)
    correct[600::10] = False
    threshold = choose_thresholds(confidence, correct, np.zeros(0), risk=0.01).review_below
    accepted = confidence >= threshold
    assert (~correct[accepted]).mean() <= 0.01
    assert accepted.sum() >= 600


def test_where_nothing_is_safe_nothing_is_ok():
    assert choose_thresholds(np.full(10, 0.9), np.zeros(10, bool), np.zeros(0)).review_below == 1.0


def test_the_least_sure_are_looked_at_again_however_good_the_model():
    confidence = np.linspace(0.6, 1, 1001)
    threshold = choose_thresholds(confidence, np.ones(1001, bool), np.zeros(0), spare=0.01).review_below
    assert (confidence < threshold).mean() == pytest.approx(0.01, abs=0.002)


def test_the_threshold_keeps_out_what_is_no_digit():
    strangers = np.linspace(0, 0.9, 1001)
    threshold = choose_thresholds(np.linspace(0.6, 1, 10), np.ones(10, bool), strangers, fooled=0.02).review_below
    assert (strangers >= threshold).mean() <= 0.021
    assert threshold == pytest.approx(0.882, abs=0.002)


def test_calibration_error_of_honest_and_of_boastful_confidence():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 50_000)
    correct = rng.random(50_000) < confidence
    assert expected_calibration_error(confidence, correct) < 0.01
    assert expected_calibration_error(np.ones(1000), np.arange(1000) % 2 == 0) == pytest.approx(0.5)
    assert np.isnan(expected_calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_reliability_by_hand():
    bars = reliability(np.array([0.1, 0.15, 0.95, 0.97, 1.0]), np.array([False, True, True, True, False]), bins=2)
    assert bars == [(0.125, 0.5, 2), (pytest.approx(0.97333, abs=1e-5), pytest.approx(0.66667, abs=1e-5), 3)]


def test_risk_and_coverage_by_hand():
    confidence, correct = np.array([0.9, 0.8, 0.8, 0.3]), np.array([True, True, False, False])
    curve = risk_coverage(confidence, correct, points=1000)
    assert curve == [(0.9, 0.25, 0.0), (0.8, 0.75, pytest.approx(1 / 3, abs=1e-6)), (0.3, 1.0, 0.5)]
    assert risk_coverage(np.zeros(0), np.zeros(0, bool)) == []


def test_jitter_keeps_digits_what_they_are(dataset):
    tiles = tile_pictures(dataset.x_test, dataset.y_test, SETTINGS, jobs=1).pixels
    moved = jitter(tiles, np.random.default_rng(0))
    assert (moved == jitter(tiles, np.random.default_rng(0))).all()
    assert (moved != tiles).any(axis=(1, 2)).all()
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert moved.sum(axis=(1, 2)) == pytest.approx(tiles.sum(axis=(1, 2)), rel=0.6)
    assert jitter(tiles, np.random.default_rng(0), strength=0) == pytest.approx(tiles, abs=1e-5)
