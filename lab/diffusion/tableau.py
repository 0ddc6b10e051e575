r"""A sampler from a function of one step, or from a Butcher tableau: any explicit Runge-Kutta method of
$dy/d\sigma = (y - D) / \sigma$ in $y = x/a$ along $\sigma = s/a$.

There Euler's method is DDIM and Heun's that of EDM, for every schedule (Karras et al., *Elucidating the Design Space*, NeurIPS
2022), so a tableau of one's own stands beside them on the same grid.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from lab.diffusion.predictions import Prediction
from lab.diffusion.schedules import noise
from lab.diffusion.walk import Moved, Step

_NEAR = 1e-9


class Tableau(eqx.Module):
    """An explicit Runge-Kutta method as a ``Sampler``.

    Args:
        stages: the lower triangle of the tableau: row i has the i weights of the slopes before, the first row none.
        weights: of all slopes; of sum one.
        clock: where in a step each slope is taken; the sums of the rows when omitted.

    A step to sigma = 0, where a slope has no value, is Euler's, as in EDM's sampler: it ends at D.

    Raises:
        ValueError: rows that are no lower triangle, weights that do not sum to one, a clock outside 0 to 1.

    >>> heun = Tableau([[], [1.0]], [0.5, 0.5])
    >>> heun.evaluations
    2
    """

    stages: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    weights: tuple[float, ...] = eqx.field(static=True)
    clock: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, stages: Any, weights: Any, clock: Any = None):
        self.stages = tuple(tuple(float(each) for each in row) for row in stages)
        self.weights = tuple(float(each) for each in weights)
        self.clock = tuple(sum(row) for row in self.stages) if clock is None else tuple(float(each) for each in clock)
        count = len(self.weights)
        if not count or [len(row) for row in self.stages] != list(range(count)) or len(self.clock) != count:
            raise ValueError(
                f"the rows have {', '.join(str(len(row)) for row in self.stages) or 'no'} entries and there are {count} "
                "weights: an explicit method of n stages has rows of 0, 1, ..., n - 1 entries, n weights and n times"
            )
        if abs(sum(self.weights) - 1) > _NEAR or not np.isfinite([sum(row) for row in self.stages]).all():
            raise ValueError(
                f"the weights sum to {sum(self.weights):g}, but a step must be whole: they must sum to one"
            )
        if not all(0 <= each <= 1 for each in self.clock):
            raise ValueError(f"the clock is {self.clock}, but slopes are taken within a step: from 0 to 1")

    @property
    def evaluations(self) -> int:
        return len(self.weights)

    def begin(self, x: Array) -> None:
        return None

    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        now, later = step.now.level, step.later.level
        one, y, length = jnp.ones_like(now.sigma), x / now.a, later.sigma - now.sigma
        slopes: list[Array] = []
        first = None
        for row, part in zip(self.stages, self.clock, strict=True):
            place, sigma = y, now.sigma + part * length
            for weight, slope in zip(row, slopes, strict=True):
                place = place + weight * length * slope
            data = predict(place, one, sigma)
            first = data if first is None else first
            slopes.append((place - data) / jnp.where(sigma > 0, sigma, 1))
        for weight, slope in zip(self.weights, slopes, strict=True):
            y = y + weight * length * slope
        assert first is not None
        return Moved(later.a * jnp.where(later.sigma > 0, y, first), first, None)


class Stepped(eqx.Module):
    """A function of one step as a ``Sampler``, without memory and without noise.

    Args:
        step: called with a prediction, the ``Level`` now, the ``Level`` later and the points (n, d) now; returns those later.
        evaluations: of the prediction in a step; counted when omitted, where a loop of JAX counts once.

    The prediction that is shown is that of the points now, which costs nothing beside a step that asks for it too.

    >>> def ddim(predict, now, later, x):
    ...     data = predict(x, now.a, now.s)
    ...     return later.a * data + later.s * (x - now.a * data) / now.s
    >>> Stepped(ddim).evaluations
    1
    """

    step: Callable[..., Array] = eqx.field(static=True)
    evaluations: int = eqx.field(static=True)

    def __init__(self, step: Callable[..., Array], evaluations: int | None = None):
        self.step = step
        self.evaluations = _asks(step) if evaluations is None else evaluations

    def begin(self, x: Array) -> None:
        return None

    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        now = step.now.level
        return Moved(self.step(predict, now, step.later.level, x), predict(x, now.a, now.s), None)


def _asks(step: Callable[..., Array]) -> int:
    """How often a step asks for the prediction; once where that can't be told."""
    asked = 0

    def predict(x: Array, a: Array, s: Array) -> Array:
        nonlocal asked
        asked += 1
        return x

    def once(x: Array) -> Array:
        vp = noise("vp")
        return step(predict, vp(jnp.asarray(0.5)), vp(jnp.asarray(0.25)), x)

    with suppress(Exception):  # what is wrong with it is told where it is tried
        jax.eval_shape(once, jax.ShapeDtypeStruct((1, 2), jnp.result_type(float)))
    return max(asked, 1)
