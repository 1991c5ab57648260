"""Recipes in scikit-learn: labelled tiles to an ONNX graph of ten scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier

from batchdigits.training.features import add_features, compute_features
from batchdigits.training.graphs import GraphBuilder
from batchdigits.training.tiles import LabelledTiles

_SHRINKAGE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a recipe returns."""

    graph: onnx.ModelProto  #: tiles (N, 28, 28) to scores (N, 10)
    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]]  #: the original: (N, 28, 28) to probabilities (N, 10)
    parameters: dict[str, float]  #: for the card


def fit_projection(
    features: NDArray[np.float32], labels: NDArray[np.int64], *, components: int, lda_weight: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit the space in which neighbours are sought: half-whitened PCA beside LDA.

    PCA keeps what varies, half-whitened so that the first components do not drown the rest; LDA adds the directions
    that part the digits.

    Returns
    -------
    matrix : (392, components + 9) ndarray of float32
    mean : (392,) ndarray of float32
        A feature row f lies at (f - mean) @ matrix.
    """
    pca = PCA(components, random_state=seed).fit(features)
    # shrunk, so that few examples do not give directions that magnify rounding errors
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=_SHRINKAGE).fit(features, labels)
    half = pca.components_.T * pca.explained_variance_**-0.25
    parting = lda.scalings_[:, :9]
    matrices = []
    for matrix, weight in ((half, 1.0), (parting, lda_weight)):
        spread = float(np.sqrt(np.var(features @ matrix, axis=0).sum()))
        matrices.append(matrix * (weight / spread))
    matrix = np.hstack(matrices).astype(np.float32)
    return matrix, np.asarray(features.mean(axis=0), dtype=np.float32)


def condense(
    points: NDArray[np.float32], labels: NDArray[np.int64], *, per_class: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Replace each class by its k-means centres, never more than a third of its points.

    Returns
    -------
    centres : (M, D) ndarray of float32
    classes : (M,) ndarray of int64
    """
    centres, classes = [], []
    for digit in range(10):
        own = points[labels == digit]
        count = min(per_class, max(1, len(own) // 3))
        means = KMeans(count, init="random", n_init=1, max_iter=12, tol=0, random_state=seed).fit(own)
        centres.append(means.cluster_centers_.astype(np.float32))
        classes.append(np.full(count, digit, np.int64))
    return np.concatenate(centres), np.concatenate(classes)


def knn(
    tiles: LabelledTiles,
    *,
    seed: int,
    per_class: int = 1500,
    bandwidth: float = 0.12,
    components: int = 64,
    lda_weight: float = 1.2,
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
    per_class : int
        Prototypes per digit, k-means centres in feature space: no picture of the training data is kept.
    bandwidth : float
        A prototype at squared distance d votes with exp(-d / bandwidth).
    components, lda_weight
        See `fit_projection`.

    Returns
    -------
    Trained
        A score is the logarithm of a digit's votes, so that its energy is a log density: low far from everything seen.
    """
    features = compute_features(tiles.pixels)
    matrix, mean = fit_projection(features, tiles.labels, components=components, lda_weight=lda_weight, seed=seed)
    points = ((features - mean) @ matrix).astype(np.float32)
    centres, classes = condense(points, tiles.labels, per_class=per_class, seed=seed)
    nearest = KNeighborsClassifier(
        len(centres),
        algorithm="brute",
        # relative to the nearest, so that votes far from everything do not all vanish
        weights=lambda distances: np.exp((distances[:, :1] ** 2 - distances**2) / bandwidth),
    ).fit(centres.astype(np.float64), classes)

    def predict(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
        points = (compute_features(pixels).astype(np.float64) - mean) @ matrix
        return np.asarray(nearest.predict_proba(points), dtype=np.float64)

    parameters = {
        "per_class": per_class,
        "bandwidth": bandwidth,
        "components": components,
        "lda_weight": lda_weight,
    }
    return Trained(_knn_graph(matrix, mean, centres, classes, bandwidth), predict, parameters)


def _knn_graph(
    matrix: NDArray[np.float32],
    mean: NDArray[np.float32],
    centres: NDArray[np.float32],
    classes: NDArray[np.int64],
    bandwidth: float,
) -> onnx.ModelProto:
    """Write the kernel votes as a graph."""
    g = GraphBuilder()
    points = g.add("MatMul", g.add("Sub", add_features(g, "tiles"), g.constant(mean)), g.constant(matrix))
    # -|p - c|^2 = 2 p.c - |c|^2 - |p|^2, in units of the bandwidth
    products = g.add("MatMul", points, g.constant(centres.T * np.float32(2 / bandwidth)))
    lengths = (centres.astype(np.float64) ** 2).sum(axis=1) / bandwidth
    near = g.add("Sub", products, g.constant(lengths.astype(np.float32)))
    # a product with ones, not ReduceSum, whose rounding depends on where in memory a row begins
    own = g.add("MatMul", g.add("Mul", points, points), g.constant(np.ones((centres.shape[1], 1), np.float32)))
    highest = g.add("ReduceMax", near, axes=[1], keepdims=1)
    votes = g.add("Exp", g.add("Sub", near, highest))
    # whose vote is whose: a table that is worked out when the graph is loaded, which keeps the file small
    is_digit = g.add("Equal", g.constant(classes[:, None].astype(np.int32)), g.constant(np.arange(10, dtype=np.int32)))
    counted = g.add("MatMul", votes, g.add("Cast", is_digit, to=onnx.TensorProto.FLOAT))
    nearest = g.add("Sub", highest, g.add("Div", own, g.constant(np.array([bandwidth], np.float32))))
    tiny = g.constant(np.array([1e-30], np.float32))  # the logarithm of a digit without a vote stays finite
    return g.build(g.add("Add", g.add("Log", g.add("Add", counted, tiny)), nearest), 10)
