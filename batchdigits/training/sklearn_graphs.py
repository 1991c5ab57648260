"""Fitted scikit-learn models as ONNX graphs from tiles to ten scores."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from batchdigits.training.features import add_features
from batchdigits.training.graphs import GraphBuilder
from batchdigits.training.tiles import NOT_A_DIGIT

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.svm import SVC

Floats = NDArray[np.floating]

_CLASSES = NOT_A_DIGIT + 1
_LANES = 32  # of votes that are summed side by side
AGAINST_NONE = np.vstack([np.eye(NOT_A_DIGIT), -np.ones(NOT_A_DIGIT)])
"""(11, 10): from the logarithms of eleven probabilities to the log odds of ten digits against no digit."""


def _start(matrix: Floats, offset: Floats) -> tuple[GraphBuilder, str]:
    graph = GraphBuilder()
    return graph, graph.add_linear(add_features(graph, "tiles"), matrix, offset)


def _squared_length(g: GraphBuilder, rows: str, width: int) -> str:
    # a product with ones, not ReduceSum, whose rounding depends on where in memory a row begins
    return g.add("MatMul", g.add("Mul", rows, rows), g.constant(np.ones((width, 1), np.float32)))


def neighbours_graph(
    matrix: Floats,
    offset: Floats,
    centres: Floats,
    classes: NDArray[np.int64],
    *,
    bandwidth: float,
    background: float,
) -> onnx.ModelProto:
    """Write the kernel votes of prototypes as a graph."""
    g, points = _start(matrix, offset)
    members = [np.flatnonzero(classes == label) for label in range(_CLASSES)]
    most = -(-max(map(len, members)) // _LANES) * _LANES
    # Class by class, each filled up with prototypes at an immense distance: sums of equal parts are many times faster
    # than a product with a table of what belongs to which class.
    shape = _CLASSES * most
    width = centres.shape[1]
    turned, lengths = np.zeros((width + 1, shape)), np.full(shape, -1e4)
    for label, own in enumerate(members):
        place = slice(label * most, label * most + len(own))
        turned[:width, place] = centres[own].T * (2 / bandwidth)
        lengths[place] = -(centres[own].astype(np.float64) ** 2).sum(axis=1) / bandwidth
    # -|p - c|^2 = 2 p.c - |c|^2 - |p|^2, in units of the bandwidth: one product, with |p|^2 as a column of its own
    turned[width] = -1 / bandwidth
    rows = g.add("Concat", points, _squared_length(g, points, width), axis=1)
    # votes too small for a normal number would take many times as long, and weigh nothing
    least_vote = g.constant(np.array(-80, np.float32))
    votes = g.add("Exp", g.add("Max", g.add_linear(rows, turned, lengths), least_vote))
    # sums over a middle axis: over the last one, rounding depends on where in memory a row begins
    by_class = g.add("Reshape", votes, g.constant(np.array([-1, most // _LANES, _LANES], np.int64)))
    lanes = g.add("ReduceSum", by_class, g.constant(np.array([1], np.int64)), keepdims=0)
    sums = g.add("MatMul", lanes, g.constant(np.ones((_LANES, 1), np.float32)))
    counted = g.add("Reshape", sums, g.constant(np.array([-1, _CLASSES], np.int64)))
    # what lies far from every prototype is no digit; the logarithm of a class without a vote stays finite
    least = np.full((1, _CLASSES), 1e-37)
    least[0, NOT_A_DIGIT] = background
    logs = g.add("Log", g.add("Add", counted, g.constant(least.astype(np.float32))))
    return g.build(g.add("MatMul", logs, g.constant(AGAINST_NONE.astype(np.float32))), NOT_A_DIGIT)


def linear_graph(weights: Floats, bias: Floats) -> onnx.ModelProto:
    """Write a linear model of the features as a graph; `weights` (11, 936), `bias` (11,)."""
    g, scores = _start(weights.T @ AGAINST_NONE, bias @ AGAINST_NONE)
    return g.build(scores, NOT_A_DIGIT)


def forest_graph(matrix: Floats, offset: Floats, forest: RandomForestClassifier, *, floor: float) -> onnx.ModelProto:
    """Write a forest on projected features as a graph."""
    g, points = _start(matrix, offset)
    shares = g.add_ml("TreeEnsembleRegressor", points, **_tree_attributes(forest))
    logs = g.add("Log", g.add("Add", shares, g.constant(np.array([floor], np.float32))))
    return g.build(g.add("MatMul", logs, g.constant(AGAINST_NONE.astype(np.float32))), NOT_A_DIGIT)


def _tree_attributes(forest: RandomForestClassifier) -> dict[str, Any]:
    """Return a forest as the attributes of ONNX's TreeEnsembleRegressor."""
    nodes: dict[str, list[Any]] = {
        key: [] for key in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    }
    targets: dict[str, list[Any]] = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for number, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        leaf = tree.children_left < 0
        # scikit-learn compares float32 with a float64 threshold; rounded down, the float32 one decides the same
        thresholds = tree.threshold.astype(np.float32)
        above = thresholds > tree.threshold
        thresholds[above] = np.nextafter(thresholds[above], np.float32(-np.inf))
        nodes["treeids"] += [number] * tree.node_count
        nodes["nodeids"] += range(tree.node_count)
        nodes["featureids"] += np.where(leaf, 0, tree.feature).tolist()
        nodes["values"] += np.where(leaf, 0, thresholds).tolist()
        nodes["modes"] += ["LEAF" if end else "BRANCH_LEQ" for end in leaf]
        nodes["truenodeids"] += np.where(leaf, 0, tree.children_left).tolist()
        nodes["falsenodeids"] += np.where(leaf, 0, tree.children_right).tolist()
        shares = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True) / len(forest.estimators_)
        where, which = np.nonzero(leaf[:, None] & (shares > 0))
        targets["treeids"] += [number] * len(where)
        targets["nodeids"] += where.tolist()
        targets["ids"] += forest.classes_[which].tolist()
        targets["weights"] += shares[where, which].tolist()
    attributes = {f"nodes_{key}": values for key, values in nodes.items()}
    attributes |= {f"target_{key}": values for key, values in targets.items()}
    return attributes | {"n_targets": _CLASSES, "aggregate_function": "SUM", "post_transform": "NONE"}


def support_vector_graph(matrix: Floats, offset: Floats, machine: SVC, *, sharpness: float) -> onnx.ModelProto:
    """Write a Gaussian support vector machine, one against one, as a graph."""
    g, single = _start(matrix, offset)
    # thousands of large weights of both signs: in single precision their sum would not keep five digits
    points = g.add("Cast", single, to=onnx.TensorProto.DOUBLE)
    gamma, vectors = float(machine.gamma), machine.support_vectors_
    turned = g.add("Cast", g.constant(vectors.T.astype(np.float32)), to=onnx.TensorProto.DOUBLE)
    # -gamma |p - c|^2 = 2 gamma p.c - gamma |c|^2 - gamma |p|^2
    products = g.add("MatMul", g.add("Mul", points, g.constant(np.array([2 * gamma]))), turned)
    near = g.add("Sub", products, g.constant(gamma * (vectors.astype(np.float64) ** 2).sum(axis=1)))
    lengths = g.add("MatMul", g.add("Mul", points, points), g.constant(np.full((vectors.shape[1], 1), gamma)))
    kernel = g.add("Exp", g.add("Sub", near, lengths))
    sums = g.add("MatMul", kernel, _pair_weights(g, machine))
    margins = g.add("Cast", g.add("Add", sums, g.constant(machine.intercept_)), to=onnx.TensorProto.FLOAT)
    # log sigmoid(x) = -softplus(-x), for both sides of every pair
    scaled = g.add("Mul", margins, g.constant(np.array([sharpness], np.float32)))
    won, lost = g.add("Softplus", g.add("Neg", scaled)), g.add("Softplus", scaled)
    first, second = np.triu_indices(len(machine.classes_), 1)
    share = np.zeros((2 * len(first), _CLASSES))
    share[np.arange(len(first)), machine.classes_[first]] = -1
    share[len(first) + np.arange(len(first)), machine.classes_[second]] = -1
    bias = np.full(_CLASSES, -20.0)
    bias[machine.classes_] = 0
    scores = g.add_linear(g.add("Concat", won, lost, axis=1), share @ AGAINST_NONE, bias @ AGAINST_NONE)
    return g.build(scores, NOT_A_DIGIT)


def _pair_weights(g: GraphBuilder, machine: SVC) -> str:
    """Add the (M, pairs) weights of the support vectors, unfolded from libsvm's (classes - 1, M) on loading.

    A vector of class c weighs only in the classes - 1 pairs that c is part of.
    """
    count = len(machine.classes_)
    pairs = list(itertools.combinations(range(count), 2))
    ends = np.cumsum(machine.n_support_)
    blocks = []
    for own, (start, end) in enumerate(zip(ends - machine.n_support_, ends, strict=True)):
        unfold = np.zeros((count - 1, len(pairs)), np.float32)
        for rival in range(count):
            if rival != own:
                pair = pairs.index((min(own, rival), max(own, rival)))
                unfold[rival - (rival > own), pair] = 1
        weights = machine.dual_coef_[:, start:end].T.astype(np.float32)
        blocks.append(g.add("MatMul", g.constant(weights), g.constant(unfold)))
    return g.add("Cast", g.add("Concat", *blocks, axis=0), to=onnx.TensorProto.DOUBLE)
