"""One step of an adaptive solver, with an estimate of its error and of the stiffness: any stepper, and Runge and Kutta's."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from lab.choices import chosen
from lab.ode.tableaus import Tableau, pair

_SHORT = 256  # numbers of a vector whose length is one sum with that of others


class Tried(NamedTuple):
    """What one step came to."""

    y: Array
    error: Array  # as y
    over: Array  # between two slopes at one time
    under: Array  # and between their places: S is the ratio of their norms
    memory: Any  # for the step that follows, if this one is accepted
    beside: Any  # increment of what is integrated beside y


@runtime_checkable
class Stepper(Protocol):
    """A step with an estimate of its error: ``RungeKutta``, ``stochastic.Noisy``, or one of your own, an ``eqx.Module``."""

    @property
    def order(self) -> float:
        """k: the error of a step goes as its length to this power."""
        ...

    @property
    def evaluations(self) -> int:
        """Of the field, in a step."""
        ...

    @property
    def begins(self) -> int:
        """Of the field, before the first step."""
        ...

    def begin(self, t: Array, y: Array) -> Any:
        """The memory of the first step."""
        ...

    def __call__(self, t: Array, h: Array, y: Array, memory: Any) -> Tried:
        """From t to t + h."""
        ...


def root(square: Array) -> Array:
    """The square root, whose derivative at 0 is 0; NaN stays NaN."""
    nothing = square == 0
    return jnp.where(nothing, 0, jnp.sqrt(jnp.where(nothing, 1, square)))


def ratio(over: Array, under: Array) -> Array:
    """|over| / |under| of two lengths, and 0 where nothing is under."""
    return jnp.where(under > 0, over / jnp.where(under > 0, under, 1), 0)


def norms(*vectors: Array) -> tuple[Array, ...]:
    """The lengths of vectors of one size. Of short ones, in one sum: each sum is a call that takes longer than its numbers."""
    if vectors[0].size <= _SHORT:
        return tuple(root((jnp.stack([vector.ravel() for vector in vectors]) ** 2).sum(axis=1)))
    return tuple(root((vector**2).sum()) for vector in vectors)


@chosen
class RungeKutta(eqx.Module):
    """A step of an embedded pair.

    Attributes:
        field: f(t, y).
        tableau: the pair, or its name.
        beside: r(t, y), integrated along y by the same weights; it has no part in the error. None for nothing.
    """

    field: Any
    tableau: Tableau = eqx.field(static=True, converter=pair)
    beside: Any = None

    @property
    def order(self) -> float:
        return float(self.tableau.order)

    @property
    def evaluations(self) -> int:
        return self.tableau.evaluations

    @property
    def begins(self) -> int:
        return 1

    def begin(self, t: Array, y: Array) -> Array:
        return self.field(t, y)

    def __call__(self, t: Array, h: Array, y: Array, memory: Array) -> Tried:
        tableau, slopes, places = self.tableau, [memory], [y]
        for row, c in zip(tableau.a[1:], tableau.c[1:], strict=True):
            places.append(y + h * _weighted(row, slopes))
            slopes.append(self.field(t + c * h, places[-1]))
        over, under = slopes[-1] - slopes[-2], places[-1] - places[-2]
        beside = None
        if self.beside is not None:
            known = [
                weight * self.beside(t + c * h, at)
                for weight, c, at in zip(tableau.b, tableau.c, places, strict=True)
                if weight
            ]
            beside = h * sum(known[1:], known[0])
        return Tried(places[-1], h * _weighted(tableau.error, slopes), over, under, slopes[-1], beside)


def _weighted(weights: np.ndarray, values: list[Array]) -> Array:
    parts = [float(weight) * value for weight, value in zip(weights, values, strict=False) if weight]
    return sum(parts[1:], parts[0])
