r"""One step of an integrator, as data: what it asks of the slope, and what it remembers for the next one.

What is carried is $y = (x, e)$, points and whatever is integrated beside them (None where nothing is). A step is

$$ (y_{k+1},\, m_{k+1},\, \text{slope at its beginning}) = \mathrm{step}(\mathrm{slope},\, \mathrm{span}_k,\, y_k,\, m_k),
   \qquad m_0 = \mathrm{step.begin}(y_0), $$

with ``slope(t, y)`` $= dy/dt$, and ``slope(t, y, tilt)`` the same with tilt times the score added to that of x. The loops of
``ode``, ``sde`` and ``carry`` run any of them; a step of your own is a pytree (an ``eqx.Module``) with this call.

| step | order | evaluations | memory |
|---|---|---|---|
| ``RungeKutta`` | that of its tableau | one a stage | none |
| ``AdamsBashforth`` | 2 | 1 | slope and length of the step before |
| ``Diffusion`` | weak 1 or 2 | 1 or 2 | none |
| ``Parted`` | of each of its parts | | of each of its parts |
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import random

type Together = tuple[Array, Any]
"""Points, and what is integrated beside them."""
type Slope = Callable[..., Together]
"""The right-hand side, called at (t, y) or (t, y, tilt)."""


class Span(NamedTuple):
    """From when to when a step goes."""

    now: Array
    later: Array
    before: Any = None  # noise level now, where there is noise; a number, or one that broadcasts against x
    after: Any = None  # and later
    key: PRNGKeyArray | None = None  # of this step's noise
    whole: Array | None = None  # given and False where only the slope now is known: the step must be Euler's


@runtime_checkable
class Step(Protocol):
    """What a step of your own must be."""

    @property
    def evaluations(self) -> int:
        """Of the slope, in a step."""
        ...

    @property
    def latest(self) -> float:
        """The latest time it asks at, as a share of the step: below 1 it never asks at the end of the grid."""
        ...

    def begin(self, y: Together) -> Any:
        """The memory before the first step: a pytree of arrays."""
        ...

    def __call__(self, slope: Slope, span: Span, y: Together, memory: Any) -> tuple[Together, Any, Together]: ...


class Tableau(NamedTuple):
    """An explicit Runge-Kutta method."""

    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]  # strictly lower rows
    weights: tuple[float, ...]
    order: int


class RungeKutta(eqx.Module):
    r"""$k_i = b(t + c_i h,\, y + h \sum_{j<i} a_{ij} k_j)$, and $y \leftarrow y + h \sum_i w_i k_i$.

    Args:
        tableau: a ``Tableau``, or a name in ``SOLVERS``.

    Raises:
        ValueError: an unknown name, or a tableau that is not explicit.
    """

    tableau: Tableau = eqx.field(static=True)

    def __init__(self, tableau: Tableau | str):
        if isinstance(tableau, str):
            if tableau not in SOLVERS:
                raise ValueError(
                    f"tableau = {tableau!r} is not allowed: give one of {', '.join(map(repr, SOLVERS))}, or a Tableau; "
                    "lab.paths.adaptive has 'tsit5', 'dopri5' and 'dopri8'"
                )
            tableau = SOLVERS[tableau]
        nodes, stages, weights, _ = tableau
        if not len(nodes) or not len(nodes) == len(stages) == len(weights):
            raise ValueError(
                f"the tableau has {len(nodes)} nodes, {len(stages)} stages and {len(weights)} weights: "
                "as many of each are needed"
            )
        if any(len(row) > i for i, row in enumerate(stages)):
            raise ValueError("the tableau is not explicit: stage i may use the i stages before it")
        self.tableau = tableau

    @property
    def evaluations(self) -> int:
        return len(self.tableau.nodes)

    @property
    def latest(self) -> float:
        return max(self.tableau.nodes)

    def begin(self, y: Together) -> None:
        return None

    def __call__(self, slope: Slope, span: Span, y: Together, memory: None) -> tuple[Together, None, Together]:
        h = span.later - span.now
        reach = h if span.whole is None else h * span.whole  # of no length all stages are the first one
        slopes: list[Together] = []
        for node, row in zip(self.tableau.nodes, self.tableau.stages, strict=True):
            slopes.append(slope(span.now + node * reach, _moved(y, reach, row, slopes)))
        return _moved(y, h, self.tableau.weights, slopes), None, slopes[0]


class AdamsBashforth(eqx.Module):
    r"""$y \leftarrow y + h\,[(1 + \frac r2)\, b_k - \frac r2\, b_{k-1}]$ with $r = h / h_{k-1}$; the first step is Euler's."""

    @property
    def evaluations(self) -> int:
        return 1

    @property
    def latest(self) -> float:
        return 0.0

    def begin(self, y: Together) -> tuple[Together, Array]:
        return jax.tree.map(jnp.zeros_like, y), jnp.full((), jnp.inf, y[0].dtype)

    def __call__(self, slope: Slope, span: Span, y: Together, memory: Any) -> tuple[Together, Any, Together]:
        old, length = memory
        h = span.later - span.now
        half = h / length / 2
        half = half if span.whole is None else half * span.whole
        first = slope(span.now, y)
        y = jax.tree.map(lambda z, new, old: (z + h * ((1 + half) * new - half * old)).astype(z.dtype), y, first, old)
        return y, (first, h), first


@chosen
class Diffusion(eqx.Module):
    r"""$dX = (b \pm \epsilon s)\,dt + \sqrt{2\epsilon}\,dW$, + forward in time.

    Args:
        scheme: "euler" (Euler-Maruyama), "heun" (trapezoidal, weak order 2 for a constant epsilon), "noise-first" (adds the
            noise first and evaluates twice at the end of the step, weak order 1).

    The noise has the key of the step. What is integrated beside x has none.
    """

    scheme: Literal["euler", "heun", "noise-first"] | str = eqx.field(static=True)

    @property
    def evaluations(self) -> int:
        return 1 if self.scheme == "euler" else 2

    @property
    def latest(self) -> float:
        return 0.0 if self.scheme == "euler" else 1.0

    def begin(self, y: Together) -> None:
        return None

    def __call__(self, slope: Slope, span: Span, y: Together, memory: None) -> tuple[Together, None, Together]:
        x, later, after = y[0], span.later, span.after
        assert span.key is not None
        h = later - span.now
        sign = jnp.sign(h)
        noise = jnp.sqrt(2 * span.before * jnp.abs(h)) * random.normal(span.key, x.shape, x.dtype)
        if self.scheme == "noise-first":
            noised = (x + noise, y[1])
            first = slope(later, noised, sign * after)
            second = slope(later, _along(noised, h, first), sign * after)
            return _trapezoid(noised, h, first, second), None, first
        first = slope(span.now, y, sign * span.before)
        moved = _noised(_along(y, h, first), noise)
        if self.scheme == "euler":
            return moved, None, first
        if span.whole is not None:
            here = (span.now, span.before, y)  # so that the second slope is the first
            later, after, moved = jax.tree.map(partial(jnp.where, span.whole), (later, after, moved), here)
        second = slope(later, moved, sign * after)
        return _noised(_trapezoid(y, h, first, second), noise), None, first


class Parted(eqx.Module):
    """The first rows by one step, those that follow by another, and so on.

    Args:
        steps: one for each part. The noise of part i has the key ``fold_in(key of the step, i)``.
        rows: how many rows each part has, but the last, which has all that are left.
    """

    steps: tuple
    rows: tuple[int, ...] = eqx.field(static=True)

    @property
    def evaluations(self) -> int:
        return max(step.evaluations for step in self.steps)

    @property
    def latest(self) -> float:
        return max(step.latest for step in self.steps)

    def _parts(self, y: Together) -> list[Together]:
        ends = [sum(self.rows[:i]) for i in range(len(self.steps))] + [None]
        return [jax.tree.map(lambda z: z[a:b], y) for a, b in pairwise(ends)]  # noqa: B023  # used at once

    def begin(self, y: Together) -> tuple:
        return tuple(step.begin(part) for step, part in zip(self.steps, self._parts(y), strict=True))

    def __call__(self, slope: Slope, span: Span, y: Together, memory: tuple) -> tuple[Together, tuple, Together]:
        found = []
        for i, (step, part, old) in enumerate(zip(self.steps, self._parts(y), memory, strict=True)):
            key = None if span.key is None else jax.random.fold_in(span.key, i)
            found.append(step(slope, span._replace(key=key), part, old))
        new, memories, firsts = zip(*found, strict=True)
        return _joined(new), memories, _joined(firsts)


SOLVERS: dict[str, Tableau] = {
    "euler": Tableau((0.0,), ((),), (1.0,), 1),
    "midpoint": Tableau((0.0, 1 / 2), ((), (1 / 2,)), (0.0, 1.0), 2),
    "heun": Tableau((0.0, 1.0), ((), (1.0,)), (1 / 2, 1 / 2), 2),
    "rk4": Tableau(
        (0.0, 1 / 2, 1 / 2, 1.0), ((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4
    ),
}


def _moved(y: Together, h: Array, weights: tuple[float, ...], slopes: list[Together]) -> Together:
    def one(z, *slopes):
        add = sum((h * a * k for a, k in zip(weights, slopes, strict=True) if a), jnp.zeros_like(z))
        return z + jnp.asarray(add, z.dtype)

    return jax.tree.map(one, y, *slopes)


def _along(y: Together, h: Array, slope: Together) -> Together:
    return jax.tree.map(lambda z, k: (z + h * k).astype(z.dtype), y, slope)


def _trapezoid(y: Together, h: Array, first: Together, second: Together) -> Together:
    return jax.tree.map(lambda z, a, b: (z + h * (a + b) / 2).astype(z.dtype), y, first, second)


def _noised(y: Together, noise: Array) -> Together:
    return y[0] + noise, y[1]


def _joined(parts: Any) -> Together:
    return jax.tree.map(lambda *each: jnp.concatenate(each), *parts)
