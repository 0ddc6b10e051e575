"""Models by name, or by what makes one: their first weights, their arrays, and samples as they take them."""

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, PRNGKeyArray

from lab.stability.gradients import Tree
from lab.stability.models import Data, convolutional, diagonal, perceptron, two_layer

MODELS = DIAGONAL, TWO_LAYER, PERCEPTRON, CONVOLUTIONAL = ("diagonal", "two-layer ReLU", "perceptron", "convolutional")


class Maker(ABC):
    """Makes a model that is not among ``MODELS``; compared by identity, since a program is compiled for it."""

    @abstractmethod
    def __call__(self, key: PRNGKeyArray, scale: ArrayLike, outputs: tuple[int, ...]) -> Tree:
        """The model, called with a sample, with outputs of this shape; its weights times ``scale``."""


def initial(
    key: PRNGKeyArray,
    model: str | Maker,
    scale: ArrayLike,
    shape: tuple[int, ...],
    outputs: tuple[int, ...],
    width: int = 0,
) -> Tree:
    """The model with its first weights.

    Args:
        model: one of ``MODELS``, or what makes another.
        scale: factor of the weights.
        shape: of a sample.
        outputs: shape of what the model gives at a sample: () or (k,).
        width: hidden units of each layer, or channels; the diagonal network has none.

    Raises:
        ValueError: a convolutional network for samples that are no images.
    """
    d, k = int(np.prod(shape)), int(np.prod(outputs))
    if isinstance(model, Maker):
        return model(key, scale, outputs)
    if model == DIAGONAL:
        return diagonal(key, d, scale)
    if model == TWO_LAYER:
        return two_layer(key, d, width, scale)
    if model == PERCEPTRON:
        return perceptron(key, (d, width, width, k), "tanh", scale)
    if len(shape) != 2:
        raise ValueError(f"samples of shape {shape} were given, but a convolutional network takes images (h, w)")
    return convolutional(key, (shape[0], shape[1]), width, k, "relu", scale)


def as_taken(model: str | Maker, data: Data) -> Data:
    """Samples as the model takes them: flat but for images of a convolutional network, and one output as a number."""
    if isinstance(model, Maker):
        return data

    def inputs(x: Array | None) -> Array | None:
        return x if x is None or model == CONVOLUTIONAL else x.reshape(len(x), -1)

    def answers(y: Array | None) -> Array | None:
        return y if y is None or y.size != len(y) else y.reshape(len(y))

    x, y = inputs(data.x), answers(data.y)
    assert x is not None
    assert y is not None
    return Data(x, y, inputs(data.x_test), answers(data.y_test))


class Parameters(NamedTuple):
    """What is known of a model's parameters from shapes alone."""

    arrays: tuple[tuple[str, int], ...]  # name and size of each, in the order of the flat vector
    uses: float  # how often a weight is used for a sample
    normed: bool  # whether the model has a ``norm()`` that can be followed


@lru_cache(maxsize=64)
def parameters(model: str | Maker, shape: tuple[int, ...], outputs: tuple[int, ...], width: int = 0) -> Parameters:
    """Of the model that ``initial`` makes; nothing is computed."""
    tree = eqx.filter_eval_shape(lambda: initial(jax.random.key(0), model, 1.0, shape, outputs, width))
    real = eqx.filter(tree, lambda leaf: jnp.issubdtype(getattr(leaf, "dtype", int), jnp.floating))
    paths, leaves = zip(*jax.tree_util.tree_flatten_with_path(real)[0], strict=True)
    if isinstance(model, str):
        known = {DIAGONAL: ("a", "b"), TWO_LAYER: ("w", "a")}
        names = known.get(model, ("W₁", "b₁", "W₂", "b₂", "W₃", "b₃"))
        uses = float(np.prod(shape)) if model == CONVOLUTIONAL else 1.0  # a convolution uses its own at every pixel
    else:
        names = [jax.tree_util.keystr(path, simple=True, separator="/").removeprefix("params/") for path in paths]
        uses = max(1.0, _operations(tree, shape) / (2 * sum(leaf.size for leaf in leaves)))
    sizes = tuple((name, leaf.size) for name, leaf in zip(names, leaves, strict=True))
    return Parameters(sizes, uses, hasattr(tree, "norm"))


def _operations(tree: Any, shape: tuple[int, ...]) -> float:
    """That the model takes at one sample; 0 where the compiler does not say."""
    arrays, rest = eqx.partition(tree, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    program = jax.jit(lambda arrays, x: eqx.combine(arrays, rest)(x))
    cost: Any = program.lower(arrays, jax.ShapeDtypeStruct(shape, float)).cost_analysis()
    return (cost or {}).get("flops", 0.0)
