"""Keras models as ONNX graphs: the few layers that our networks are made of, node by node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from batchdigits.training.graphs import GraphBuilder

# Keras keeps images as (N, H, W, C), ONNX as (N, C, H, W): kernels are turned, and so is what gets flattened.


def add_network(g: GraphBuilder, model: keras.Model, inputs: str, *, last: NDArray[np.floating]) -> str:
    """Add a network's layers to a graph.

    Parameters
    ----------
    g : GraphBuilder
    model : keras.Model
        Of the layers in this file, ending in a dense layer.
    inputs : str
        What goes in: (N, C, H, W), or (N, D) rows.
    last : (classes, M) ndarray
        Multiplied with what comes out, within the last layer.

    Returns
    -------
    str
        The (N, M) result.

    Raises
    ------
    TypeError
        For a layer that has no translation here.
    """
    names = {id(model.inputs[0]): inputs}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        translate = _TRANSLATIONS.get(type(layer))
        if translate is None:
            raise TypeError(f"a layer {type(layer).__name__} has no translation to ONNX")
        weights = [np.asarray(weight, dtype=np.float32) for weight in layer.get_weights()]
        if layer is model.layers[-1]:
            weights = [weight @ last for weight in weights]
        names[id(layer.output)] = translate(g, [names[id(source)] for source in sources], layer, weights)
    return names[id(model.outputs[0])]


def _padding(layer: Any) -> dict[str, Any]:
    return {"auto_pad": "SAME_UPPER" if layer.padding == "same" else "VALID", "strides": list(layer.strides)}


def _convolve(g: GraphBuilder, inputs: list[str], layer: Any, weights: list[Any]) -> str:
    kernel, *bias = weights
    constants = [g.constant(kernel.transpose(3, 2, 0, 1)), *(g.constant(b) for b in bias)]
    return g.add("Conv", inputs[0], *constants, **_padding(layer))


def _convolve_each(g: GraphBuilder, inputs: list[str], layer: Any, weights: list[Any]) -> str:
    kernel, *bias = weights  # (h, w, channels, 1)
    constants = [g.constant(kernel.transpose(2, 3, 0, 1)), *(g.constant(b) for b in bias)]
    return g.add("Conv", inputs[0], *constants, group=kernel.shape[2], **_padding(layer))


def _normalise(g: GraphBuilder, inputs: list[str], layer: Any, weights: list[Any]) -> str:
    constants = [g.constant(weight) for weight in weights]  # scale, shift, mean, variance, in both libraries
    return g.add("BatchNormalization", inputs[0], *constants, epsilon=layer.epsilon)


def _pool(g: GraphBuilder, inputs: list[str], layer: Any, weights: list[Any]) -> str:
    return g.add("MaxPool", inputs[0], kernel_shape=list(layer.pool_size), **_padding(layer))


def _flatten(g: GraphBuilder, inputs: list[str], layer: Any, weights: list[Any]) -> str:
    return g.add("Flatten", g.add("Transpose", inputs[0], perm=[0, 2, 3, 1]))


def _dense(g: GraphBuilder, inputs: list[str], layer: Any, weights: list[Any]) -> str:
    kernel, *bias = weights
    return g.add_linear(inputs[0], kernel, bias[0] if bias else np.zeros(kernel.shape[1]))


_TRANSLATIONS: dict[type, Callable[[GraphBuilder, list[str], Any, list[Any]], str]] = {
    keras.layers.Conv2D: _convolve,
    keras.layers.DepthwiseConv2D: _convolve_each,
    keras.layers.BatchNormalization: _normalise,
    keras.layers.MaxPooling2D: _pool,
    keras.layers.Flatten: _flatten,
    keras.layers.Dense: _dense,
    keras.layers.ReLU: lambda g, inputs, layer, weights: g.add("Relu", *inputs),
    keras.layers.Add: lambda g, inputs, layer, weights: g.add("Add", *inputs),
    keras.layers.Dropout: lambda g, inputs, layer, weights: inputs[0],  # does nothing in use
}
