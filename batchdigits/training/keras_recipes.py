"""Recipes in Keras: networks, trained on tiles that are jittered anew in every epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from batchdigits.classifiers.runner import softmax
from batchdigits.training.augment import jitter
from batchdigits.training.features import FEATURES, SPREAD, add_features, compute_features
from batchdigits.training.graphs import GraphBuilder
from batchdigits.training.keras_graphs import add_network
from batchdigits.training.progress import Progress
from batchdigits.training.recipes import Trained
from batchdigits.training.sklearn_graphs import AGAINST_NONE
from batchdigits.training.tiles import NOT_A_DIGIT, LabelledTiles

Floats = NDArray[np.float32]

_BATCH = 128
_EPOCHS = 14
_MOMENTUM = 0.9  # of batch normalisation's averages
_SETTLING = 50  # batches: until the averages are those of the final weights, however short the training was


def ann(
    tiles: LabelledTiles,
    *,
    seed: int,
    epochs: int | None,
    progress: Progress,
    rate: float = 2e-3,
    decay: float = 0.001,
    dropout: float = 0.3,
    jitter_strength: float = 0.8,
) -> Trained:
    """Fit a network of dense layers on the oriented gradients of a tile.

    Parameters
    ----------
    tiles : LabelledTiles
        What to learn from; all ten digits.
    seed : int
        The same seed and tiles give nearly the same model: see `_fit`.
    epochs : int, optional
        Passes over the tiles, 14 by default.
    progress : Progress
        Told of every epoch.
    rate, decay, dropout : float
        The highest learning rate, the decay of the weights, and the share of values that every layer forgets.
    jitter_strength : float
        See `jitter`.
    """
    keras.utils.set_random_seed(seed)
    inputs = value = keras.Input((FEATURES,))
    for width in (384, 192):
        value = layers.Dense(width, use_bias=False)(value)
        value = layers.Dropout(dropout)(_activate(value))
    model = keras.Model(inputs, layers.Dense(NOT_A_DIGIT + 1)(value))

    def prepare(pixels: Floats) -> Floats:
        return compute_features(pixels) * SPREAD

    g = GraphBuilder()
    features = g.add("Mul", add_features(g, "tiles"), g.constant(np.array([SPREAD], np.float32)))
    parameters = {"epochs": epochs or _EPOCHS, "rate": rate, "decay": decay, "jitter": jitter_strength}
    return _train(model, tiles, prepare, g, features, seed, parameters | {"dropout": dropout}, progress)


def cnn(
    tiles: LabelledTiles,
    *,
    seed: int,
    epochs: int | None,
    progress: Progress,
    rate: float = 3e-3,
    decay: float = 0.02,
    dropout: float = 0.3,
    jitter_strength: float = 1.2,
) -> Trained:
    """Fit a small residual network of convolutions.

    Parameters
    ----------
    tiles, seed, epochs, progress
        As for `ann`.
    rate, decay, dropout : float
        The highest learning rate, the decay of the weights, and the share of values that the last layer forgets.
    jitter_strength : float
        See `jitter`.
    """
    keras.utils.set_random_seed(seed)
    g = GraphBuilder()
    channel = g.add("Unsqueeze", "tiles", g.constant(np.array([1], np.int64)))
    parameters = {"epochs": epochs or _EPOCHS, "rate": rate, "decay": decay, "jitter": jitter_strength}
    model = _network(dropout)
    return _train(model, tiles, _as_images, g, channel, seed, parameters | {"dropout": dropout}, progress)


def cnn2(tiles: LabelledTiles, *, seed: int, epochs: int | None, progress: Progress) -> Trained:
    """Fit the network of `cnn` from the next seed: a second opinion for the ensemble.

    Two fits of one network err on different tiles, and their pooled vote errs less than either (Hansen and Salamon,
    1990; Lakshminarayanan et al., 2017).

    Parameters
    ----------
    tiles, seed, epochs, progress
        As for `cnn`.
    """
    return cnn(tiles, seed=seed + 1, epochs=epochs, progress=progress)


def _train(
    model: keras.Model,
    tiles: LabelledTiles,
    prepare: Callable[[Floats], Floats],
    g: GraphBuilder,
    prepared: str,
    seed: int,
    parameters: dict[str, float],
    progress: Progress,
) -> Trained:
    """Fit a network and export it; `prepared` is in the graph `g` what `prepare` makes of tiles for Keras."""
    feed = _Feed(tiles, prepare, seed, parameters["jitter"])
    epochs = int(parameters["epochs"])
    _fit(model, feed, epochs=epochs, rate=parameters["rate"], decay=parameters["decay"], progress=progress)
    graph = g.build(add_network(g, model, prepared, last=AGAINST_NONE), NOT_A_DIGIT)

    def predict(pixels: Floats) -> NDArray[np.float64]:
        return softmax(model.predict(prepare(pixels), batch_size=512, verbose=0))

    return Trained(graph, predict, parameters | {"weights": model.count_params()})


def _network(dropout: float) -> keras.Model:
    """Build the network: three sizes of map, a residual block (He et al., 2016) at the two smaller ones."""
    inputs = keras.Input((28, 28, 1))
    value = _convolve(inputs, 24)
    for width in (48, 96):
        value = _convolve(value, width, strides=2)
        value = layers.Add()([value, _convolve(_convolve(value, width), width)])
    # every channel weighs its 7 x 7 places by itself: where a stroke lies matters, which an average would forget
    value = _activate(layers.DepthwiseConv2D(7, use_bias=False)(value))
    value = layers.Dropout(dropout)(layers.Flatten()(value))
    return keras.Model(inputs, layers.Dense(NOT_A_DIGIT + 1)(value))


def _convolve(value: Any, width: int, strides: int = 1) -> Any:
    return _activate(layers.Conv2D(width, 3, strides=strides, padding="same", use_bias=False)(value))


def _activate(value: Any) -> Any:
    return layers.ReLU()(layers.BatchNormalization(momentum=_MOMENTUM)(value))


def _as_images(pixels: Floats) -> Floats:
    return pixels[..., None]


class _Feed(keras.utils.PyDataset):
    """Batches in an order, and with a jitter, that depend on seed, epoch and batch alone."""

    def __init__(self, tiles: LabelledTiles, prepare: Callable[[Floats], Floats], seed: int, strength: float) -> None:
        super().__init__()
        self._tiles, self._prepare, self._seed, self._strength = tiles, prepare, seed, strength
        self._epoch = 0
        self._batch = min(_BATCH, len(tiles))
        self._order = self._shuffle()

    def _shuffle(self) -> NDArray[np.int64]:
        return np.random.default_rng((self._seed, self._epoch)).permutation(len(self._tiles))

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._order = self._shuffle()

    def __len__(self) -> int:
        return len(self._tiles) // self._batch

    def __getitem__(self, number: int) -> tuple[Floats, NDArray[np.int64]]:
        chosen = self._order[number * self._batch : (number + 1) * self._batch]
        rng = np.random.default_rng((self._seed, self._epoch, number))
        pixels = jitter(self._tiles.pixels[chosen], rng, strength=self._strength)
        return self._prepare(pixels), self._tiles.labels[chosen]


class _Watch(keras.callbacks.Callback):
    """Tells of every epoch."""

    def __init__(self, epochs: int, progress: Progress) -> None:
        super().__init__()
        self._steps = iter(progress(range(epochs), total=epochs, title="epochs"))
        next(self._steps, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        next(self._steps, None)


def _fit(model: keras.Model, feed: _Feed, *, epochs: int, rate: float, decay: float, progress: Progress) -> None:
    """Fit a network: AdamW, its rate rising for one epoch, then falling along a cosine; the last weights are kept.

    No epoch is chosen by any score. On one machine the same seed gives the same weights; on another, sums are rounded
    in another order, and the weights differ while the accuracy agrees within a few hundredths of a percent.
    """
    tf.config.experimental.enable_op_determinism()
    steps = len(feed)
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 10, max(1, (epochs - 1) * steps), alpha=1e-3, warmup_target=rate, warmup_steps=steps
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(feed, epochs=epochs, verbose=0, callbacks=[_Watch(epochs, progress)], shuffle=False)
    for number in range(_SETTLING):
        model(feed[number % steps][0], training=True)
