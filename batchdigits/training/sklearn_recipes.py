"""Recipes in scikit-learn: labelled tiles to an ONNX graph of ten scores.

All of them see a tile as its oriented gradients (`features`), and "no digit" as an eleventh class.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from batchdigits.classifiers.runner import softmax
from batchdigits.training.features import FEATURES, SPREAD, compute_features, project
from batchdigits.training.progress import Progress
from batchdigits.training.recipes import Trained
from batchdigits.training.sklearn_graphs import forest_graph, linear_graph, neighbours_graph, support_vector_graph
from batchdigits.training.tiles import NOT_A_DIGIT, LabelledTiles

Floats = NDArray[np.float32]

_SHRINKAGE = 0.01
_CLASSES = NOT_A_DIGIT + 1


def fit_projection(
    features: Floats, labels: NDArray[np.int64], *, components: int, lda_weight: float, seed: int
) -> tuple[Floats, Floats]:
    """Fit the space in which neighbours are sought and trees are grown: half-whitened PCA beside LDA.

    PCA keeps what varies, half-whitened so that the first components do not drown the rest; LDA adds the directions
    that part the classes.

    Returns
    -------
    matrix : (936, components + classes - 1) ndarray of float32
    offset : (components + classes - 1,) ndarray of float32
        A feature row f lies at f @ matrix + offset.
    """
    pca = PCA(min(components, *features.shape), random_state=seed).fit(features)
    # shrunk, so that few examples do not give directions that magnify rounding errors
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=_SHRINKAGE).fit(features, labels)
    half = pca.components_.T * pca.explained_variance_**-0.25
    parting = lda.scalings_[:, : len(lda.classes_) - 1]
    matrices = []
    for matrix, weight in ((half, 1.0), (parting, lda_weight)):
        spread = float(np.sqrt(np.var(features @ matrix, axis=0).sum()))
        matrices.append(matrix * (weight / spread))
    matrix = np.hstack(matrices).astype(np.float32)
    return matrix, (-features.mean(axis=0) @ matrix).astype(np.float32)


def condense(
    points: Floats, labels: NDArray[np.int64], *, per_class: int, seed: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Replace each class by its k-means centres, never more than a third of its points.

    Returns
    -------
    centres : (M, D) ndarray of float32
    classes : (M,) ndarray of int64
    """
    centres, classes = [], []
    for label in np.unique(labels):
        own = points[labels == label]
        count = min(per_class, max(1, len(own) // 3))
        means = KMeans(count, init="random", n_init=1, max_iter=12, tol=0, random_state=seed).fit(own)
        centres.append(means.cluster_centers_.astype(np.float32))
        classes.append(np.full(count, label, np.int64))
    return np.concatenate(centres), np.concatenate(classes)


def knn(
    tiles: LabelledTiles,
    *,
    seed: int,
    epochs: int | None,
    progress: Progress,
    per_class: int = 1350,
    bandwidth: float = 0.12,
    components: int = 64,
    lda_weight: float = 1.2,
    background: float = 1e-6,
) -> Trained:
    """Fit nearest neighbours among condensed prototypes, each voting by a Gaussian kernel of its distance.

    All prototypes vote: next to the nearest the far ones weigh nothing, yet a digit whose nearest prototype is only a
    little farther than the winner's still gets its share, which a cut after k neighbours would deny it.

    Parameters
    ----------
    tiles : LabelledTiles
        What to learn from; all ten digits.
    seed : int
        The same seed and tiles give the same model.
    epochs, progress
        Without effect: there are no epochs.
    per_class : int
        Prototypes per class, k-means centres in feature space: no picture of the training data is kept.
    bandwidth : float
        A prototype at squared distance d votes with exp(-d / bandwidth).
    components, lda_weight
        See `fit_projection`.
    background : float
        A vote for "no digit" that is the same everywhere, so that what lies far from every prototype is no digit.
    """
    features = compute_features(tiles.pixels)
    matrix, offset = fit_projection(features, tiles.labels, components=components, lda_weight=lda_weight, seed=seed)
    centres, classes = condense(features @ matrix + offset, tiles.labels, per_class=per_class, seed=seed)
    neighbours = NearestNeighbors(n_neighbors=len(centres), algorithm="brute").fit(centres.astype(np.float64))

    def predict(pixels: Floats) -> NDArray[np.float64]:
        points = compute_features(pixels).astype(np.float64) @ matrix + offset
        distances, order = neighbours.kneighbors(points)
        votes = np.exp(-(distances**2) / bandwidth)
        counted = np.stack([(votes * (classes[order] == c)).sum(axis=1) for c in range(_CLASSES)], axis=1)
        counted[:, NOT_A_DIGIT] += background
        return np.asarray(counted / counted.sum(axis=1, keepdims=True), dtype=np.float64)

    parameters = {
        "per_class": per_class,
        "bandwidth": bandwidth,
        "components": components,
        "lda_weight": lda_weight,
        "background": background,
    }
    graph = neighbours_graph(matrix, offset, centres, classes, bandwidth=bandwidth, background=background)
    return Trained(graph, predict, parameters)


def rf(
    tiles: LabelledTiles,
    *,
    seed: int,
    epochs: int | None,
    progress: Progress,
    trees: int = 100,
    leaves: int = 800,
    max_features: int = 8,
    components: int = 40,
    lda_weight: float = 1.2,
) -> Trained:
    """Fit a random forest on the projected features: trees split along one axis, so the axes should mean something.

    Parameters
    ----------
    tiles, seed, epochs, progress
        As for `knn`.
    trees, leaves : int
        Of the forest, and of each tree: they bound the size of the model.
    max_features : int
        Axes that are tried for every split.
    components, lda_weight
        See `fit_projection`.
    """
    features = compute_features(tiles.pixels)
    matrix, offset = fit_projection(features, tiles.labels, components=components, lda_weight=lda_weight, seed=seed)
    forest = RandomForestClassifier(
        trees, max_leaf_nodes=leaves, max_features=max_features, n_jobs=-1, random_state=seed
    )
    forest.fit(project(tiles.pixels, matrix, offset), tiles.labels)
    floor = 1 / (trees * leaves)  # a class that no leaf holds is improbable, not impossible

    def predict(pixels: Floats) -> NDArray[np.float64]:
        shares = np.zeros((len(pixels), _CLASSES))
        shares[:, forest.classes_] = forest.predict_proba(project(pixels, matrix, offset))
        shares += floor
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float64)

    parameters = {
        "trees": trees,
        "leaves": leaves,
        "max_features": max_features,
        "components": components,
        "lda_weight": lda_weight,
    }
    return Trained(forest_graph(matrix, offset, forest, floor=floor), predict, parameters)


def logreg(
    tiles: LabelledTiles,
    *,
    seed: int,
    epochs: int | None,
    progress: Progress,
    strength: float = 0.4,
    iterations: int = 500,
) -> Trained:
    """Fit a multinomial logistic regression on the features.

    Parameters
    ----------
    tiles, seed, epochs, progress
        As for `knn`.
    strength : float
        scikit-learn's C, the inverse of the regularisation.
    iterations : int
        At most; what is gained after them is a matter of hundredths of a percent.
    """
    model = LogisticRegression(C=strength, max_iter=iterations, tol=1e-5, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped on purpose
        model.fit(compute_features(tiles.pixels) * SPREAD, tiles.labels)
    weights = np.zeros((_CLASSES, FEATURES))
    bias = np.full(_CLASSES, -20.0)  # without examples of "no digit" it stays out of reach
    weights[model.classes_], bias[model.classes_] = model.coef_ * SPREAD, model.intercept_

    def predict(pixels: Floats) -> NDArray[np.float64]:
        return softmax(compute_features(pixels).astype(np.float64) @ weights.T + bias)

    return Trained(linear_graph(weights, bias), predict, {"strength": strength, "iterations": iterations})


def svm(
    tiles: LabelledTiles,
    *,
    seed: int,
    epochs: int | None,
    progress: Progress,
    components: int = 100,
    strength: float = 10.0,
    gamma: float = 3.0,
    sharpness: float = 2.0,
    most: int = 140_000,
) -> Trained:
    """Fit support vectors with a Gaussian kernel on the principal components of the features.

    Parameters
    ----------
    tiles, seed, epochs, progress
        As for `knn`.
    components : int
        Principal components kept, not whitened.
    strength : float
        scikit-learn's C.
    gamma : float
        Of the kernel exp(-gamma d²), d of length 1 like the features.
    sharpness : float
        A class's score is the sum over its rivals of log sigmoid(sharpness x margin): the chance to win every pair.
    most : int
        Tiles fitted at most, chosen at random: time and size grow with them.
    """
    chosen = np.random.default_rng(seed).permutation(len(tiles))[:most]
    pixels, labels = tiles.pixels[chosen], tiles.labels[chosen]
    features = compute_features(pixels)
    pca = PCA(min(components, *features.shape), random_state=seed).fit(features)
    matrix = pca.components_.T.astype(np.float32)
    offset = (-features.mean(axis=0) @ matrix).astype(np.float32)
    machine = SVC(C=strength, gamma=gamma, decision_function_shape="ovo", cache_size=2000, random_state=seed)
    machine.fit(project(pixels, matrix, offset), labels)

    def predict(pixels: Floats) -> NDArray[np.float64]:
        margins = machine.decision_function(project(pixels, matrix, offset))
        return softmax(_couple(margins, machine.classes_, sharpness))

    parameters = {
        "components": components,
        "strength": strength,
        "gamma": gamma,
        "sharpness": sharpness,
        "most": most,
        "support_vectors": int(machine.n_support_.sum()),
    }
    return Trained(support_vector_graph(matrix, offset, machine, sharpness=sharpness), predict, parameters)


def _couple(margins: NDArray[np.float64], classes: NDArray[np.int64], sharpness: float) -> NDArray[np.float64]:
    """Turn the margins of pairs into scores of all classes; see `svm`."""
    scores = np.full((len(margins), _CLASSES), -20.0)
    scores[:, classes] = 0
    first, second = np.triu_indices(len(classes), 1)
    for column, (one, other) in enumerate(zip(classes[first], classes[second], strict=True)):
        scores[:, one] -= np.logaddexp(0, -sharpness * margins[:, column])
        scores[:, other] -= np.logaddexp(0, sharpness * margins[:, column])
    return scores
