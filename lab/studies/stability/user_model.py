"""A user's own model: parameters, and a function of one sample or a square loss, as a model that is called with a sample."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, PRNGKeyArray

from lab.numerics.jit import jit
from lab.stability.gradients import Predict, Tree, call
from lab.stability.initial import Maker

type BatchLoss = Callable[[Any, Any, Any], Array]
"""Half the mean squared error of a batch, from parameters, x (b, ...) and y (b, ...)."""


class Called(eqx.Module):
    """Parameters, called with a sample as the lab's own models are."""

    params: Any
    predict: Callable = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)  # of the output

    def __call__(self, x: Array) -> Array:
        return jnp.reshape(self.predict(self.params, x), self.shape)


class Normed(Called):
    """Of parameters with a norm that can be followed."""

    def norm(self) -> Array:
        return jnp.reshape(self.params.norm(), ())


class OwnModel(Maker):
    """Makes the model; another one is another program.

    Args:
        params: a pytree, or a function that makes one from a key. Its arrays of real numbers are trained.
        predict: from parameters and one sample to its output; the parameters are called when neither it nor a loss is given.
        loss: in its place, half the mean squared error of a batch.

    Raises:
        ValueError: nothing to train.
        TypeError: ``predict`` or ``loss`` that is no function.
    """

    def __init__(self, params: Any, predict: Predict | None = None, loss: BatchLoss | None = None):
        self.params, self.predict, self.loss = params, predict, loss
        self.made = not reals(params)  # by a function of a key
        if self.made and not callable(params):
            raise ValueError("no array of real numbers is among the parameters: there is nothing to train")
        for name, function in (("predict", predict), ("loss", loss)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function, not a {type(function).__name__}")

    def start(self) -> Tree:
        """The parameters, or their shapes where a function makes them."""
        if not self.made:
            return self.params
        try:
            found = eqx.filter_eval_shape(self.params, jax.random.key(0))
        except Exception as problem:
            raise ValueError(f"params, called with a key, fails: {_sentence(problem)}") from problem
        if not reals(found):
            raise ValueError("params, called with a key, makes no array of real numbers: there is nothing to train")
        return found

    def __call__(self, key: PRNGKeyArray, scale: ArrayLike, outputs: tuple[int, ...]) -> Called:
        params = self.params(key) if self.made else self.params
        params = jax.tree.map(lambda leaf: scale * jnp.asarray(leaf, float) if _real(leaf) else leaf, params)
        kind = Normed if hasattr(params, "norm") else Called
        return kind(params, self._predict(outputs), outputs)

    def of_seed_zero(self, outputs: tuple[int, ...]) -> Called:
        """The model as it is compared and checked."""
        return jit(self.__call__)(jax.random.key(0), jnp.ones(()), outputs)

    def _predict(self, outputs: tuple[int, ...]) -> Predict:
        if self.loss is not None:
            return partial(_from_loss, self.loss, outputs)
        return call if self.predict is None else self.predict

    def check(self, name: str, x: np.ndarray, y: np.ndarray) -> None:
        """The model takes these samples and gives as many outputs as they have; its loss is the square loss.

        Args:
            name: of the data, for the sentence.
            x: (n, ...).
            y: (n,) or (n, k).

        Raises:
            ValueError: what does not fit together.
        """
        shape, start = y.shape[1:], self.start()
        sample = jax.ShapeDtypeStruct(x.shape[1:], float)
        try:
            found = eqx.filter_eval_shape(self._predict(shape), start, sample)
        except Exception as problem:
            asked = "loss(params, x, y)" if self.loss else "predict(params, x)" if self.predict else "the model"
            raise ValueError(
                f"{asked} fails on {'a batch of one sample' if self.loss else 'one sample'} x of shape {x.shape[1:]}: "
                f"{_sentence(problem)}"
            ) from problem
        leaves = jax.tree.leaves(found)
        if len(leaves) != 1 or getattr(leaves[0], "size", 0) != int(np.prod(shape)):
            what = " and ".join(str(getattr(leaf, "shape", leaf)) for leaf in leaves) or "nothing"
            raise ValueError(
                f"the model gives {what} at one sample of shape {x.shape[1:]}, but y in {name} has shape {y.shape}: "
                f"{'one number' if np.prod(shape) == 1 else f'the shape {shape}'} for each sample is needed"
            )
        if not jnp.issubdtype(leaves[0].dtype, jnp.floating):
            raise ValueError(f"the model gives {leaves[0].dtype}, but real numbers are needed")
        if self.loss is not None:
            self._check_square(self.loss, x[:8], y[:8])

    def _check_square(self, loss: BatchLoss, x: np.ndarray, y: np.ndarray) -> None:
        """From the loss alone: f is y - dl/dy, and l must then be |f - y|^2 / 2."""
        model = self.of_seed_zero(y.shape[1:])
        samples, answers = jnp.asarray(x, float), jnp.asarray(y, float)
        found = float(loss(model.params, samples, answers))
        wanted = float(((jax.vmap(model)(samples) - answers) ** 2).sum() / len(y) / 2)
        if not abs(found - wanted) <= 1e-4 * max(abs(wanted), 1e-12):
            raise ValueError(
                f"the loss is not half the mean squared error: on {len(y)} samples it is {found:.6g}, and that would be "
                f"{wanted:.6g}; thresholds are of that loss only: give predict instead, or use lab.stability.analyze"
            )

    def __str__(self) -> str:
        return "yours"


def _from_loss(loss: BatchLoss, shape: tuple[int, ...], params: Tree, x: Array) -> Array:
    """f(x) from a square loss: minus its slope at y = 0."""
    return -jax.grad(lambda y: loss(params, x[None], y[None]))(jnp.zeros(shape, x.dtype))


def reals(params: Tree) -> list[Any]:
    """The arrays of real numbers in a pytree: what is trained."""
    return [leaf for leaf in jax.tree.leaves(params) if _real(leaf)]


def _real(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


def _sentence(problem: Exception) -> str:
    """The first line of what went wrong in a user's function."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0]}" if lines else type(problem).__name__
