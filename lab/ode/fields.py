r"""Fields in the plane whose stiffness is known, or shows: what an adaptive solver meets.

| name | equation | mu |
|---|---|---|
| van-der-pol | $x'' = \mu (1 - x^2) x' - x$ | length of the slow stretches and steepness of the jumps |
| relaxation | $x' = -\mu (x - \cos t) - \sin t$, $y' = -y$ | exactly the stiffness: all solutions fall onto cos t |
| spiral | $y' = A\, y^3$ componentwise, $A = (-0.1, \mu; -\mu, -0.1)$ | how fast it turns |
| brusselator | $x' = 1 + x^2 y - (1 + \mu) x$, $y' = \mu x - x^2 y$ | above 2 it swings |
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lab.choices import chosen

type Name = Literal["van-der-pol", "relaxation", "spiral", "brusselator"] | str


def _van_der_pol(t: Array, y: Array, mu: Array) -> Array:
    return jnp.stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])


def _relaxation(t: Array, y: Array, mu: Array) -> Array:
    return jnp.stack([-mu * (y[0] - jnp.cos(t)) - jnp.sin(t), -y[1]])


def _spiral(t: Array, y: Array, mu: Array) -> Array:
    cubes = y**3
    return jnp.stack([-0.1 * cubes[0] + mu * cubes[1], -mu * cubes[0] - 0.1 * cubes[1]])


def _brusselator(t: Array, y: Array, mu: Array) -> Array:
    square = y[0] ** 2 * y[1]
    return jnp.stack([1 + square - (1 + mu) * y[0], mu * y[0] - square])


class Known(NamedTuple):
    """A field, and where it is usually begun."""

    call: Callable[[Array, Array, Array], Array]
    y0: tuple[float, float]


FIELDS = {
    "van-der-pol": Known(_van_der_pol, (2.0, 0.0)),
    "relaxation": Known(_relaxation, (0.0, 1.0)),
    "spiral": Known(_spiral, (2.0, 0.0)),
    "brusselator": Known(_brusselator, (1.5, 3.0)),
}


class OneOf(eqx.Module):
    """One of the fields by its number, so that one program serves them all."""

    which: Int[Array, ""]
    mu: Float[Array, ""]

    def __call__(self, t: Array, y: Float[Array, "2"]) -> Float[Array, "2"]:
        return jax.lax.switch(self.which, [known.call for known in FIELDS.values()], t, y, self.mu)


class Own(eqx.Module):
    """A field of your own, f(t, y, mu), or f(t, y)."""

    call: Any = eqx.field(static=True)
    mu: Float[Array, ""]
    takes: bool = eqx.field(static=True)  # whether it takes mu

    def __call__(self, t: Array, y: Array) -> Array:
        return self.call(t, y, self.mu) if self.takes else self.call(t, y)


@chosen
def field(name: Name, mu: Any) -> OneOf:
    """A field by its name."""
    return OneOf(jnp.int32(list(FIELDS).index(name)), jnp.asarray(mu, float))
