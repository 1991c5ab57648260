"""Oriented gradients, pooled: what the classical models see of a tile.

Written once, as ONNX nodes: training computes its features by running the very nodes that will serve.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchdigits.training.graphs import GraphBuilder, GraphRunner

ORIENTATIONS = 8


class Scale(NamedTuple):
    """One size of what is looked at."""

    sigma: float  #: of the Gaussian whose derivative is the filter, pixels
    side: int  #: of the filter, pixels
    window: int  #: side of the squares that are averaged over, pixels
    stride: int  #: from square to square, pixels
    padding: int  #: paper around the tile, pixels
    cells: int  #: squares in a row


# A fine and a coarse one err on different digits: together they cost the linear model a tenth of its errors.
SCALES = (Scale(0.8, 5, 5, 3, 1, 9), Scale(1.5, 7, 9, 5, 4, 6))
FEATURES = ORIENTATIONS * sum(scale.cells**2 for scale in SCALES)

SPREAD = np.float32(FEATURES**0.5)
"""Times the features, which have length 1, for what expects values of about 1."""


def gradient_filters(sigma: float, side: int, orientations: int = ORIENTATIONS) -> NDArray[np.float32]:
    """Return derivative-of-Gaussian filters.

    Returns
    -------
    (orientations, side, side) ndarray of float32
        Evenly spread over the full circle, absolute values summing to 1 each.
    """
    axis = np.arange(side) - side // 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    bell = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    angles = 2 * np.pi * np.arange(orientations) / orientations
    filters = np.stack([bell * (x * np.cos(angle) + y * np.sin(angle)) for angle in angles])
    return np.asarray(filters / np.abs(filters).sum(axis=(1, 2), keepdims=True), dtype=np.float32)


def add_features(graph: GraphBuilder, tiles: str) -> str:
    """Add the nodes from tiles (N, 28, 28) to features (N, 936), each row of length 1 (an empty tile: all 0).

    At each scale: gradients in eight directions, rectified, averaged over overlapping windows, and their square roots
    scaled to one length: the histogram of oriented gradients of Dalal and Triggs (2005) at MNIST's size, after
    Hellinger.
    """
    channel = graph.add("Unsqueeze", tiles, graph.constant(np.array([1], np.int64)))
    return graph.add("Concat", *(_add_scale(graph, channel, scale) for scale in SCALES), axis=1)


def _add_scale(graph: GraphBuilder, channel: str, scale: Scale) -> str:
    filters = graph.constant(gradient_filters(scale.sigma, scale.side)[:, None])
    edges = graph.add("Relu", graph.add("Conv", channel, filters, pads=[scale.side // 2] * 4))
    pooled = graph.add(
        "AveragePool",
        edges,
        kernel_shape=[scale.window] * 2,
        strides=[scale.stride] * 2,
        pads=[scale.padding] * 4,
        count_include_pad=1,
    )
    rooted = graph.add("Flatten", graph.add("Sqrt", pooled))
    length = graph.add("ReduceL2", rooted, axes=[1], keepdims=1)
    longest = graph.add("Max", length, graph.constant(np.array([1e-6], np.float32)))
    return graph.add("Div", rooted, graph.add("Mul", longest, graph.constant(np.sqrt([len(SCALES)], dtype=np.float32))))


@cache
def _features() -> GraphRunner:
    graph = GraphBuilder()
    return GraphRunner(graph.build(add_features(graph, "tiles"), FEATURES))


def compute_features(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (N, 936) features of (N, 28, 28) tiles."""
    return _features()(tiles)


def project(
    tiles: NDArray[np.float32], matrix: NDArray[np.float32], offset: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return ``features @ matrix + offset``, to the last bit as a graph of a model will compute it.

    A tree compares: a last bit that falls on the other side of a threshold is another leaf.
    """
    graph = GraphBuilder()
    result = graph.add_linear(add_features(graph, "tiles"), matrix, offset)
    return GraphRunner(graph.build(result, matrix.shape[1]))(tiles)
