r"""Weights as a function of the hyperparameters: best responses, approximated where one is.

A layer of a network whose every unit is gated by an affine function of the hyperparameters,

$$ \hat W(\lambda) = W_e + \mathrm{diag}(V \lambda)\, W_h, \qquad \hat b(\lambda) = b_e + (C \lambda) \odot b_h , $$

is applied without building a matrix for each example: $W_e x + b_e + (V\lambda) \odot (W_h x) + (C\lambda) \odot b_h$.
Weights that are few have a response without structure, $\hat w(\lambda) = w_0 + \Theta \lambda$.

Source: MacKay, Vicol, Lorraine, Duvenaud, Grosse, *Self-Tuning Networks*, ICLR 2019, section 3.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import random


class Affine(eqx.Module):
    """w_0 + Theta lambda."""

    anchor: Float[Array, " k"]
    slope: Float[Array, "k h"]

    def __call__(self, lam: Float[Array, "*batch h"]) -> Float[Array, "*batch k"]:
        return self.anchor + lam @ self.slope.T if lam.ndim == 1 else self.anchor[None] + lam @ self.slope.T


class Gated(eqx.Module):
    """A dense layer; ``of_weight`` is V and ``of_bias`` is C."""

    weight: Float[Array, "out into"]
    bias: Float[Array, " out"]
    gated_weight: Float[Array, "out into"]
    gated_bias: Float[Array, " out"]
    of_weight: Float[Array, "out h"]
    of_bias: Float[Array, "out h"]

    def __call__(self, x: Float[Array, "n into"], lam: Float[Array, "n h"]) -> Float[Array, "n out"]:
        plain = x @ self.weight.T + self.bias[None]
        return (
            plain
            + (lam @ self.of_weight.T) * (x @ self.gated_weight.T)
            + (lam @ self.of_bias.T) * self.gated_bias[None]
        )

    def at(self, lam: Float[Array, " h"]) -> tuple[Float[Array, "out into"], Float[Array, " out"]]:
        """The matrix and the bias for given hyperparameters."""
        weight = self.weight + (self.of_weight @ lam)[:, None] * self.gated_weight
        return weight, self.bias + (self.of_bias @ lam) * self.gated_bias

    def squares(self, lam: Float[Array, "n h"]) -> Float[Array, " n"]:
        r"""$\|\hat W(\lambda_i)\|^2$ of each example, row by row: no matrix of its own is built."""
        plain, mixed, gated = (
            (a * b).sum(axis=1)
            for a, b in (
                (self.weight, self.weight),
                (self.weight, self.gated_weight),
                (self.gated_weight, self.gated_weight),
            )
        )
        gate = lam @ self.of_weight.T
        return (plain[None] + 2 * gate * mixed[None] + gate**2 * gated[None]).sum(axis=1)


class GatedConv(eqx.Module):
    """A convolution of odd kernels that keeps the size, each channel that comes out gated."""

    weight: Float[Array, "out into k k"]
    bias: Float[Array, " out"]
    gated_weight: Float[Array, "out into k k"]
    gated_bias: Float[Array, " out"]
    of_weight: Float[Array, "out h"]
    of_bias: Float[Array, "out h"]

    def __call__(self, x: Float[Array, "n into a b"], lam: Float[Array, "n h"]) -> Float[Array, "n out a b"]:
        plain = _convolved(x, self.weight) + self.bias[None, :, None, None]
        gate, bias = lam @ self.of_weight.T, (lam @ self.of_bias.T) * self.gated_bias[None]
        return plain + gate[:, :, None, None] * _convolved(x, self.gated_weight) + bias[:, :, None, None]

    def at(self, lam: Float[Array, " h"]) -> tuple[Float[Array, "out into k k"], Float[Array, " out"]]:
        """The kernels and the biases for given hyperparameters."""
        weight = self.weight + (self.of_weight @ lam)[:, None, None, None] * self.gated_weight
        return weight, self.bias + (self.of_bias @ lam) * self.gated_bias


def _convolved(x: Array, kernels: Array) -> Array:
    return jax.lax.conv_general_dilated(x, kernels, (1, 1), "SAME")


def _parts(key: PRNGKeyArray, shape: tuple[int, ...], hypers: int, dtype: Any) -> tuple[Array, ...]:
    """Uniform weights within 1 / sqrt(inputs), gates that are all but shut."""
    bound = 1 / math.prod(shape[1:]) ** 0.5
    keys = jax.random.split(key, 6)
    weights = [random.uniform(k, shape, dtype, -bound, bound) for k in keys[:2]]
    biases = [random.uniform(k, shape[:1], dtype, -bound, bound) for k in keys[2:4]]
    gates = [0.01 * random.normal(k, (shape[0], hypers), dtype) for k in keys[4:]]
    return weights[0], biases[0], weights[1], biases[1], *gates


def gated(key: PRNGKeyArray, out: int, into: int, hypers: int, dtype: Any = None) -> Gated:
    """A dense layer before training: weights uniform within 1 / sqrt(into), gates normal of deviation 0.01."""
    return Gated(*_parts(key, (out, into), hypers, jnp.dtype(float if dtype is None else dtype)))


def gated_conv(key: PRNGKeyArray, out: int, into: int, kernel: int, hypers: int, dtype: Any = None) -> GatedConv:
    """A convolution before training, likewise."""
    dtype = jnp.dtype(float if dtype is None else dtype)
    return GatedConv(*_parts(key, (out, into, kernel, kernel), hypers, dtype))
