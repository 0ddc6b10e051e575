r"""Classifiers whose regularization is tuned while they are trained: perceptrons and convolutional networks.

Dropout, noise of the input, decay of the weights, and squares that are cut out of images differ from example to example, as
their hyperparameters do; none of them is in the validation loss, whose slope in the hyperparameters is that of the response.
"""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import random
from lab.tuning.ranges import Range, values
from lab.tuning.responses import Gated, GatedConv, gated, gated_conv

RATE = Range(0.0, 0.95)
DECAY = Range(log=True)
NOISE = Range(0.0)
_LEAST = 1e-3  # of a rate of dropout
HOLES = 3  # at most


class Rows(NamedTuple):
    """Samples with classes."""

    x: Float[Array, "n d"]
    y: Int[Array, " n"]


class Samples(NamedTuple):
    """Rows to train on, to validate on and to test on."""

    train: Rows
    valid: Rows
    test: Rows


class Perceptron(eqx.Module):
    """Two hidden layers of gated units."""

    layers: tuple[Gated, ...]


class Convolutional(eqx.Module):
    """Two gated convolutions, halved in size after each, and a gated layer."""

    convolutions: tuple[GatedConv, GatedConv]
    layers: tuple[Gated, Gated]


def cross_entropy(logits: Float[Array, "n classes"], y: Int[Array, " n"]) -> Float[Array, ""]:
    """Mean, in nats."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean()


def _dropped(x: Array, rate: Array, key: PRNGKeyArray) -> Array:
    """With a rate for each example."""
    rate = jnp.clip(rate, _LEAST, 0.95)[:, None]
    return jnp.where(random.uniform(key, x.shape, x.dtype) >= rate, x / (1 - rate), 0)


class _Classifier(eqx.Module):
    """What the two kinds of network have in common, as tasks of a self-tuning training."""

    samples: Samples
    classes: int = eqx.field(static=True)
    units: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)

    @property
    @abstractmethod
    def ranges(self) -> tuple[Range, ...]:
        """Of each hyperparameter."""

    @abstractmethod
    def start(self, key: PRNGKeyArray) -> Any:
        """A network that was not trained."""

    @abstractmethod
    def logits(
        self, model: Any, x: Array, gate: Array, rates: Array | None = None, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n classes"]:
        """Of examples; with regularization where its rates (n, h) and a key are given."""

    def penalty(self, model: Any, gate: Array, rates: Array) -> Float[Array, ""]:
        """Of the weights, in training."""
        return jnp.zeros((), rates.dtype)

    def _batch(self, rows: Rows, key: PRNGKeyArray) -> Rows:
        at = random.randint(key, (self.batch,), 0, len(rows.x))
        return Rows(rows.x[at], rows.y[at])

    def train(
        self, model: Any, lam: Float[Array, "n h"], gate: Float[Array, "n h"], key: PRNGKeyArray
    ) -> Float[Array, ""]:
        of_rows, of_noise = jax.random.split(key)
        rows, rates = self._batch(self.samples.train, of_rows), values(self.ranges, lam)
        logits = self.logits(model, rows.x, gate, rates, of_noise)
        return cross_entropy(logits, rows.y) + self.penalty(model, gate, rates)

    def valid(
        self, model: Any, lam: Float[Array, "n h"], gate: Float[Array, "n h"], key: PRNGKeyArray
    ) -> Float[Array, ""]:
        rows = self._batch(self.samples.valid, key)
        return cross_entropy(self.logits(model, rows.x, gate), rows.y)

    def seen(self, model: Any, lam: Float[Array, " h"], gate: Float[Array, " h"]) -> dict[str, Array]:
        """Cross-entropies and the share of right answers, without regularization."""
        told = {}
        for name, rows in (("train", self.samples.train), ("val", self.samples.valid), ("test", self.samples.test)):
            logits = self.logits(model, rows.x, jnp.broadcast_to(gate, (len(rows.x), gate.size)))
            told[f"{name}_loss"] = cross_entropy(logits, rows.y)
            if name == "test":
                told["accuracy"] = (logits.argmax(axis=1) == rows.y).mean(dtype=logits.dtype)
        return told


class PerceptronTask(_Classifier):
    """Rates of dropout of the input and of both hidden layers, and if asked for the decay of the weights."""

    decays: bool = eqx.field(static=True, default=False)

    @property
    def ranges(self) -> tuple[Range, ...]:
        return (RATE,) * 3 + (DECAY,) * self.decays

    def start(self, key: PRNGKeyArray) -> Perceptron:
        x = self.samples.train.x
        sizes = (x.shape[1], self.units, self.units, self.classes)
        keys = jax.random.split(key, 3)
        made = [
            gated(k, out, into, len(self.ranges), x.dtype)
            for k, into, out in zip(keys, sizes[:-1], sizes[1:], strict=True)
        ]
        return Perceptron(tuple(made))

    def logits(
        self, model: Perceptron, x: Array, gate: Array, rates: Array | None = None, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n classes"]:
        for i, layer in enumerate(model.layers):
            if i:
                x = jax.nn.relu(x)
            if rates is not None and key is not None:
                x = _dropped(x, rates[:, i], jax.random.fold_in(key, i))
            x = layer(x, gate)
        return x

    def penalty(self, model: Perceptron, gate: Array, rates: Array) -> Float[Array, ""]:
        if not self.decays:
            return super().penalty(model, gate, rates)
        squares = jnp.stack([layer.squares(gate) for layer in model.layers]).sum(axis=0)
        return (rates[:, 3] * squares).mean() / 2


class ConvolutionalTask(_Classifier):
    """Of square images: dropout before the last layer, noise of the input's scale, length and number of squares cut out.

    The noise multiplies by u, uniform between 1 / (1 + a) and 1 + a. Length and number are whole: only the training sees that.
    """

    @property
    def side(self) -> int:
        side = round(self.samples.train.x.shape[1] ** 0.5)
        if side**2 != self.samples.train.x.shape[1]:
            raise ValueError(
                f"a convolutional network needs square images, and these samples have {self.samples.train.x.shape[1]} "
                "features: choose the perceptron, or images"
            )
        return side

    @property
    def ranges(self) -> tuple[Range, ...]:
        return RATE, NOISE, Range(0.0, float(self.side // 2 + 1), whole=True), Range(0.0, HOLES + 1.0, whole=True)

    def start(self, key: PRNGKeyArray) -> Convolutional:
        dtype, channels, h = self.samples.train.x.dtype, max(4, self.units // 8), len(self.ranges)
        keys = jax.random.split(key, 4)
        flat = (self.side // 4) ** 2 * 2 * channels
        return Convolutional(
            (gated_conv(keys[0], channels, 1, 3, h, dtype), gated_conv(keys[1], 2 * channels, channels, 3, h, dtype)),
            (gated(keys[2], self.units, flat, h, dtype), gated(keys[3], self.classes, self.units, h, dtype)),
        )

    def logits(
        self, model: Convolutional, x: Array, gate: Array, rates: Array | None = None, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n classes"]:
        image = x.reshape(len(x), 1, self.side, self.side)
        if rates is not None and key is not None:
            image = cut_out(scaled(image, rates[:, 1], jax.random.fold_in(key, 1)), rates[:, 2], rates[:, 3], key)
        for convolution in model.convolutions:
            image = _halved(jax.nn.relu(convolution(image, gate)))
        hidden = jax.nn.relu(model.layers[0](image.reshape(len(x), -1), gate))
        if rates is not None and key is not None:
            hidden = _dropped(hidden, rates[:, 0], jax.random.fold_in(key, 2))
        return model.layers[1](hidden, gate)


def _halved(image: Array) -> Array:
    """The largest of each two by two."""
    return jax.lax.reduce_window(image, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def scaled(image: Float[Array, "n c a b"], noise: Float[Array, " n"], key: PRNGKeyArray) -> Float[Array, "n c a b"]:
    """Each image times a number of its own, uniform between 1 / (1 + noise) and 1 + noise."""
    at = random.uniform(key, noise.shape, image.dtype)
    factor = (1 - at) / (1 + noise) + at * (1 + noise)
    return image * factor[:, None, None, None]


def cut_out(
    image: Float[Array, "n c a b"], length: Float[Array, " n"], count: Float[Array, " n"], key: PRNGKeyArray
) -> Float[Array, "n c a b"]:
    """Each image without so many squares of this length, at random places; a square may overhang, and be over another."""
    n, _, a, b = image.shape
    centre = random.randint(key, (2, n, HOLES), 0, jnp.array([a, b])[:, None, None])
    first = centre - (length[None, :, None] // 2).astype(int)
    rows, columns = jnp.arange(a)[None, None, :], jnp.arange(b)[None, None, :]
    in_rows = (rows >= first[0][..., None]) & (rows < first[0][..., None] + length[:, None, None])
    in_columns = (columns >= first[1][..., None]) & (columns < first[1][..., None] + length[:, None, None])
    used = jnp.arange(HOLES)[None, :] < count[:, None]
    hole = (in_rows[..., :, None] & in_columns[..., None, :] & used[..., None, None]).any(axis=1)
    return jnp.where(hole[:, None], 0, image)
