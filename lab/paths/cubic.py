"""Monotone cubic interpolation with its integral and the inverse of that: motion along a curve of given speed."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.numerics.differentiation import at_root

_TINY = 1e-30


class MonotoneCubic(eqx.Module):
    """A piecewise cubic, not negative, and its integral from the first knot."""

    knots: Float[Array, " n"]
    values: Float[Array, " n"]
    slopes: Float[Array, " n"]
    integrals: Float[Array, " n"]

    @classmethod
    def through(cls, knots: Float[Array, " n"], values: Float[Array, " n"]) -> "MonotoneCubic":
        """The PCHIP interpolant: monotone between two knots, and so not negative where the values are not."""
        h, slope = jnp.diff(knots), jnp.diff(values) / jnp.diff(knots)
        slopes = _slopes(h, slope)
        area = h * (values[:-1] + values[1:]) / 2 + h * h * (slopes[:-1] - slopes[1:]) / 12
        return cls(knots, values, slopes, jnp.concatenate([jnp.zeros(1, area.dtype), jnp.cumsum(area)]))

    def _cell(self, i: Array) -> tuple[Array, Array, Array, Array, Array]:
        h = self.knots[i + 1] - self.knots[i]
        return h, self.values[i], self.values[i + 1], self.slopes[i], self.slopes[i + 1]

    def _find(self, at: Array, among: Array) -> Array:
        return jnp.clip(jnp.searchsorted(among, at, side="right") - 1, 0, self.knots.shape[0] - 2)

    def value(self, x: Array) -> Array:
        i = self._find(x, self.knots)
        inside = jnp.maximum(_hermite(x - self.knots[i], *self._cell(i))[0], 0.0)
        return jnp.where(x >= self.knots[-1], self.values[-1], inside)

    def inverse(self, integral: Array) -> Array:
        """Where the integral has this value."""
        fixed = jax.lax.stop_gradient(self)
        wanted = jax.lax.stop_gradient(integral)
        i = fixed._find(wanted, fixed.integrals)
        cell = fixed._cell(i)
        h, low, high = cell[:3]
        left = wanted - fixed.integrals[i]
        # exact for a straight line, the square root at a zero included
        u = 2 * left / (low + jnp.sqrt(jnp.maximum(low**2 + 2 * left * (high - low) / h, 0.0)) + _TINY)

        def newton(_: Any, u: Array) -> Array:
            value, area = _hermite(u, *cell)
            return jnp.clip(u - (area - left) / jnp.maximum(value, _TINY), 0.0, h)

        u = jax.lax.fori_loop(0, 6, newton, u)
        still = _hermite(u, *cell)[0] <= 0  # there the inverse has no derivative
        inside = jnp.where(still, h / 2, u)

        def apart(u: Array) -> Array:
            return jnp.where(still, u - inside, self.integrals[i] + _hermite(u, *self._cell(i))[1] - integral)

        return self.knots[i] + jnp.where(still, u, at_root(inside, apart))


def _hermite(u, h, low, high, first, last) -> tuple[Array, Array]:
    """The cubic of a cell, and its integral from the start of the cell."""
    mean = (high - low) / h
    c2 = (3 * mean - 2 * first - last) / h
    c3 = (first + last - 2 * mean) / (h * h)
    return low + u * (first + u * (c2 + u * c3)), u * (low + u * (first / 2 + u * (c2 / 3 + u * c3 / 4)))


def _slopes(h: Array, slope: Array) -> Array:
    """PCHIP (Fritsch, Butland 1984): harmonic means inside, three points limited at the ends."""
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    same = slope[1:] * slope[:-1] > 0
    a, b = jnp.where(same, slope[:-1], 1.0), jnp.where(same, slope[1:], 1.0)
    inner = jnp.where(same, (w1 + w2) / (w1 / a + w2 / b), 0.0)

    def end(h0, h1, d0, d1):
        found = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
        found = jnp.where(found * d0 <= 0, 0.0, found)
        return jnp.where((d0 * d1 <= 0) & (jnp.abs(found) > 3 * jnp.abs(d0)), 3 * d0, found)

    first, last = end(h[0], h[1], slope[0], slope[1]), end(h[-1], h[-2], slope[-1], slope[-2])
    return jnp.concatenate([first[None], inner, last[None]])
