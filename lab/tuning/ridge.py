r"""Ridge regression with strengths to tune: everything about its best response is known.

$$ L_T(\lambda, w) = \tfrac1n \|X w - t\|^2 + \sum_j e^{\lambda_{g(j)}} w_j^2, \qquad
   w^*(\lambda) = A^{-1} \tfrac1n X^T t, \quad A = \tfrac1n X^T X + \mathrm{diag}(e^{\lambda_{g(j)}}), \qquad
   \frac{\partial w^*}{\partial \lambda_k} = -A^{-1}\, (e^{\lambda_k} 1_{g = k} \odot w^*) $$

with one strength for each group g of weights, and $L_V(\lambda) = \tfrac1m \|X_V w^*(\lambda) - t_V\|^2$, whose slope is the
hypergradient.

A linear network $y = s^T Q x$ with the penalty $e^\lambda \|\partial y / \partial x\|^2$ is this regression of
$u = Q^T s$ (there with a sum in place of the mean). With $X = U D Q_0$ and $s_0 = Q_0 u_{OLS}$ its best response is
$Q^*(\lambda) = \mathrm{diag}(\sigma(\log d_j^2 - \lambda))\, Q_0$, $s^* = s_0$: every hidden unit is gated by a sigmoid of the
hyperparameter, and the affine gates of a self-tuning network are what is linear of it.

Source: MacKay and others, *Self-Tuning Networks*, ICLR 2019, theorem of section 3.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import random
from lab.tuning.responses import Affine


class Part(NamedTuple):
    """Rows of a table."""

    x: Float[Array, "n d"]
    t: Float[Array, " n"]


class Ridge(eqx.Module):
    """Rows to train on, to validate on and to test on; ``groups`` (d, h) has a 1 where a strength is that of a weight."""

    train: Part
    valid: Part
    test: Part
    groups: Float[Array, "d h"]

    def strengths(self, lam: Float[Array, "*batch h"]) -> Float[Array, "*batch d"]:
        """Of each weight."""
        return jnp.exp(lam) @ self.groups.T

    def loss(self, lam: Float[Array, " h"], w: Float[Array, " d"]) -> Float[Array, ""]:
        """L_T."""
        return error(self.train, w) + (self.strengths(lam) * w**2).sum()

    def _system(self, lam: Array) -> Array:
        x = self.train.x
        return x.T @ x / len(x) + jnp.diag(self.strengths(lam))

    def best(self, lam: Float[Array, " h"]) -> Float[Array, " d"]:
        """w*(lambda)."""
        x, t = self.train
        return jnp.linalg.solve(self._system(lam), x.T @ t / len(x))

    def jacobian(self, lam: Float[Array, " h"]) -> Float[Array, "d h"]:
        """dw*/dlambda."""
        pull = self.groups * jnp.exp(lam)[None] * self.best(lam)[:, None]
        return -jnp.linalg.solve(self._system(lam), pull)

    def validated(self, lam: Float[Array, " h"]) -> Float[Array, ""]:
        """L_V at the best response."""
        return error(self.valid, self.best(lam))

    def hypergradient(self, lam: Float[Array, " h"]) -> Float[Array, " h"]:
        """dL_V/dlambda, by the implicit function theorem."""
        return self.jacobian(lam).T @ jax.grad(error, argnums=1)(self.valid, self.best(lam))


def error(part: Part, w: Float[Array, " d"]) -> Float[Array, ""]:
    """Mean squared error of weights."""
    return ((part.x @ w - part.t) ** 2).mean()


def made(key: PRNGKeyArray, noise: ArrayLike, groups: Float[Array, "d h"], n: int = 60, tests: int = 500) -> Ridge:
    """Rows with normal features and weights, a target with noise of this deviation, as many to validate on as to train on.

    The weights of the last group are a quarter of the others, so that groups differ in what they need.
    """
    d = len(groups)
    of_w, of_x, of_noise = jax.random.split(key, 3)
    w = random.normal(of_w, (d,), groups.dtype) / d**0.5
    w = w * (1 - 0.75 * groups[:, -1] * (groups.shape[1] > 1))
    x = random.normal(of_x, (2 * n + tests, d), groups.dtype)
    t = x @ w + noise * random.normal(of_noise, (len(x),), groups.dtype)
    train, valid, test = (Part(x[part], t[part]) for part in (slice(n), slice(n, 2 * n), slice(2 * n, None)))
    return Ridge(train, valid, test, groups)


def grouped(d: int, h: int, dtype: Any = float) -> np.ndarray:
    """(d, h): weights in h groups of neighbours, of equal size but for one."""
    return np.eye(h, dtype=dtype)[np.arange(d) * h // d]


def optimum(ridge: Ridge, span: tuple[float, float] = (-8.0, 4.0), count: int = 25) -> Float[Array, " h"]:
    """The strengths of least validation error, by BFGS from the best of a grid; within the span where the error is flat.

    Args:
        ridge: with one or two strengths.
        span: ends of the grid, along each of them.
    """
    h = ridge.groups.shape[1]
    axis = jnp.linspace(*span, count, dtype=ridge.groups.dtype)
    grid = jnp.stack(jnp.meshgrid(*[axis] * h, indexing="ij"), axis=-1).reshape(-1, h)
    start = grid[jax.vmap(ridge.validated)(grid).argmin()]
    solver = optx.BFGS(rtol=1e-10, atol=1e-10)
    found = optx.minimise(lambda lam, _: ridge.validated(lam), solver, start, max_steps=200, throw=False).value
    return jnp.where(ridge.validated(found) <= ridge.validated(start), jnp.clip(found, *span), start)


class Unit(NamedTuple):
    """A linear network at its best response: Q_0, s_0 and the singular values."""

    rotation: Float[Array, "r d"]
    output: Float[Array, " r"]
    singular: Float[Array, " r"]

    def gates(self, lam: ArrayLike) -> Float[Array, " r"]:
        """Of each hidden unit, at the penalty exp(lambda)."""
        live = self.singular > 0
        return jnp.where(live, jax.nn.sigmoid(2 * jnp.log(jnp.where(live, self.singular, 1)) - lam), 0)

    def weights(self, lam: ArrayLike) -> Float[Array, " d"]:
        """u = Q*(lambda)^T s*."""
        return self.rotation.T @ (self.gates(lam) * self.output)


def linear_network(part: Part) -> Unit:
    """The best response of a linear network to the penalty on its Jacobian, as gates of its hidden units.

    Directions in which the rows do not extend (singular values below rounding) have output and gate 0.

    >>> Unit(jnp.eye(2), jnp.ones(2), jnp.array([1.0, 2.0])).gates(0.0).tolist()
    [0.5, 0.8]
    """
    left, singular, rotation = jnp.linalg.svd(part.x, full_matrices=False)
    live = singular > jnp.finfo(singular.dtype).eps * max(part.x.shape) * singular[0]
    singular = jnp.where(live, singular, 0)
    return Unit(rotation, jnp.where(live, left.T @ part.t / jnp.where(live, singular, 1), 0), singular)


class RidgeTask(eqx.Module):
    """A ridge regression as what a self-tuning network learns: an affine response, all rows in every step."""

    ridge: Ridge
    batch: int = eqx.field(static=True)  # perturbed hyperparameters of a step

    def start(self, key: PRNGKeyArray) -> Affine:
        d, h = self.ridge.groups.shape
        return Affine(jnp.zeros(d, self.ridge.groups.dtype), jnp.zeros((d, h), self.ridge.groups.dtype))

    def train(
        self, model: Affine, lam: Float[Array, "n h"], gate: Float[Array, "n h"], key: PRNGKeyArray
    ) -> Float[Array, ""]:
        return jax.vmap(self.ridge.loss)(lam, model(gate)).mean()

    def valid(
        self, model: Affine, lam: Float[Array, "n h"], gate: Float[Array, "n h"], key: PRNGKeyArray
    ) -> Float[Array, ""]:
        return jax.vmap(error, in_axes=(None, 0))(self.ridge.valid, model(gate)).mean()

    def seen(self, model: Affine, lam: Float[Array, " h"], gate: Float[Array, " h"]) -> dict[str, Array]:
        """Losses of the response at lambda, and how far it and its slope are from the best response's."""
        w, best, slope = model(gate), self.ridge.best(lam), self.ridge.jacobian(lam)
        far = lambda one, other: jnp.linalg.norm(one - other) / jnp.linalg.norm(other)  # noqa: E731
        return {
            "train_loss": error(self.ridge.train, w),
            "val_loss": error(self.ridge.valid, w),
            "test_loss": error(self.ridge.test, w),
            "weight_error": far(w, best),
            "jac_error": far(model.slope, slope),
            "along": _along(self.ridge, w),
            "tilt": _direction(self.ridge) @ model.slope,
        }


def _direction(ridge: Ridge) -> Array:
    """The unit vector of the weights without a penalty."""
    x, t = ridge.train
    free = jnp.linalg.lstsq(x, t)[0]
    return free / jnp.linalg.norm(free)


def _along(ridge: Ridge, w: Array) -> Array:
    return w @ _direction(ridge)


def response_along(ridge: Ridge, lam: Float[Array, "n h"]) -> Float[Array, " n"]:
    """The true best response along the weights without a penalty: what of them is left under each penalty."""
    return jax.vmap(lambda each: _along(ridge, ridge.best(each)))(lam)
