r"""Posterior-mean rectified flow: the posterior mean, and a flow from it to the law of clean images.

$X^* = E[X \mid Y]$, $Z_0 = X^* + \sigma_s \varepsilon$, $Z_1 = X$ of the same pair, and with $Z_t = (1 - t) Z_0 + t Z_1$

$$ v(z, t) = E[Z_1 - Z_0 \mid Z_t = z] = \frac{E[X \mid Z_t = z] - z}{1 - t} . $$

Of all estimators whose answers are distributed as X the least mean square error is $\mathrm{MMSE} + W_2^2(X^*, X)$, that of the
optimal map applied to X*; samples of the posterior have $2\,\mathrm{MMSE}$, and the flow is between. Here all is exact: for
jointly Gaussian X and Y, and for the empirical law of pairs.

References: Ohayon, Michaeli, Elad, Posterior-Mean Rectified Flow, ICLR 2025; Freirich, Michaeli, Meir, A Theory of the
    Distortion-Perception Tradeoff in Wasserstein Space, NeurIPS 2021.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.inverse.operators import known
from lab.numerics import Loop, pure
from lab.numerics.arguments import real, whole
from lab.numerics.jit import jit
from lab.ot.gaussian import Bures, bures
from lab.paths.carry import Carried, carry, even

_SMALL = 1e-10  # of the largest eigenvalue: a covariance with less is singular
_FINE = 32  # steps of Gauss's method of order 8 for the matrix equation
_STAGES = 4
_START, _END = 1e-14, 1e-10  # of the largest eigenvalue: the smallest scale that the grid resolves at either end
_LOST = 1e-15  # of the largest eigenvalue: the covariance of Y is singular
_FAINT = 1e-12  # of the largest variance: a smaller variance of the noise is lost to rounding


class Restoration(NamedTuple):
    """Jointly Gaussian X and Y = H X + N(0, Q) of mean 0, and what is known of every estimator.

    Mean square errors are sums over the n components.
    """

    covariance: Float[Array, "n n"]  # S, of X
    gain: Float[Array, "n m"]  # the posterior mean is gain Y
    star: Float[Array, "n n"]  # S*, of the posterior mean, and its covariance with X
    mmse: Float[Array, ""]  # of the posterior mean
    transport: Bures  # the optimal map from the posterior mean to X, and its cost W_2^2

    @property
    def best(self) -> Float[Array, ""]:
        """The least error of an estimator that is distributed as X."""
        return self.mmse + self.transport.squared

    @property
    def sampling(self) -> Float[Array, ""]:
        """The error of samples of the posterior."""
        return 2 * self.mmse

    def between(self, s: Any) -> tuple[Array, Array]:
        r"""Error and $W_2$ to the law of X of $(1 - s) X^* + s\,T(X^*)$: the best of all estimators at that distance.

        Raises:
            ValueError: s outside [0, 1].
        """
        s = real("s", s, low=0, high=1)
        return self.mmse + s**2 * self.transport.squared, (1 - s) * jnp.sqrt(self.transport.squared)

    def flow(self, noise: ArrayLike = 0.0) -> "LinearFlow":
        """The rectified flow from the posterior mean with noise of this standard deviation.

        Raises:
            ValueError: noise below 0; or, where the covariance of the posterior mean is singular, noise that is 0 or so small
                that its variance is lost to rounding.
        """
        noise = real("noise", noise, (), low=0)
        if known(noise, self.star):
            least, most = np.linalg.eigvalsh(self.star)[[0, -1]]
            if not least > _SMALL * most and float(noise) ** 2 <= _FAINT * most:
                raise ValueError(
                    f"noise = {float(noise):g} is not allowed: the covariance of the posterior mean is singular, and no flow "
                    f"fills the missing dimensions without noise. Choose noise above {(_FAINT * max(most, 0)) ** 0.5:.1g}"
                )
        n = len(self.covariance)
        start = self.star + noise**2 * jnp.eye(n, dtype=self.star.dtype)
        return LinearFlow(start, self.covariance, self.star)


def restoration(covariance: Any, operator: Any, noise: Any) -> Restoration:
    r"""The laboratory of X ~ N(0, S) and Y = H X + N(0, Q): what every estimator can reach.

    $$ X^* = E[X \mid Y] = S H^\top (H S H^\top + Q)^{-1} Y, \qquad \mathrm{MMSE} = \mathrm{tr}(S - S^*), \qquad
       D = \mathrm{MMSE} + W_2^2(X^*, X) $$

    with $S^*$ the covariance of $X^*$; D is the least error of an estimator that is distributed as X.

    Args:
        covariance: S (n, n), positive semi-definite.
        operator: H (m, n).
        noise: Q (m, m), positive semi-definite; H S H' + Q must not be singular.

    Returns:
        a ``Restoration``; its errors are sums over the n components.

    Raises:
        ValueError: shapes that do not fit, or matrices that are not symmetric and positive semi-definite.

    Source:
        Ohayon, Michaeli, Elad, Posterior-Mean Rectified Flow, ICLR 2025; Freirich, Michaeli, Meir, NeurIPS 2021.

    Examples:
        >>> from lab import inverse
        >>> scalar = inverse.restoration([[1.0]], [[1.0]], [[1.0]])
        >>> [round(float(error), 4) for error in (scalar.mmse, scalar.best, scalar.sampling)]  # the second is 2 - sqrt(2)
        [0.5, 0.5858, 1.0]
    """
    dtype = jnp.result_type(float)
    s, h, q = (jnp.asarray(each, dtype) for each in (covariance, operator, noise))
    if s.ndim != 2 or h.ndim != 2 or s.shape != (h.shape[1],) * 2 or q.shape != (h.shape[0],) * 2:
        raise ValueError(
            f"S {s.shape}, H {h.shape} and Q {q.shape} are given, but (n, n), (m, n) and (m, m) are needed"
        )
    for name, matrix in (("S", s), ("Q", q)):
        if known(matrix):
            _check_covariance(name, np.asarray(matrix))
    real("H", h)
    if known(s, h, q):
        least, most = np.linalg.eigvalsh(np.asarray(h @ s @ h.T + q))[[0, -1]]
        if not least > _LOST * most:
            raise ValueError(
                "H S H' + Q is singular, so that the posterior mean is not defined: let Q be positive definite"
            )
    return _restoration(s, h, q)


@jit
def _restoration(s: Array, h: Array, q: Array) -> Restoration:
    cross = s @ h.T
    gain = jnp.linalg.solve(h @ cross + q, cross.T).T
    star = gain @ cross.T
    star = (star + star.T) / 2
    zero = jnp.zeros(len(s), s.dtype)
    return Restoration(s, gain, star, jnp.trace(s - star), bures(zero, star, zero, s))


class LinearFlow(NamedTuple):
    r"""The rectified flow between jointly Gaussian $Z_0$ and X, of mean 0: $v(z, t) = B_t C_t^{-1} z$ with

    $$ C_t = \mathrm{Cov}\,Z_t, \qquad B_t = \mathrm{Cov}(X - Z_0, Z_t) . $$
    """

    start: Float[Array, "n n"]  # covariance of Z_0
    end: Float[Array, "n n"]  # of X
    cross: Float[Array, "n n"]  # of Z_0 with X

    def at(self, t: ArrayLike) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
        """C_t and B_t."""
        t = jnp.asarray(t)
        return self._at(t, 1 - t)

    def _at(self, t: Array, left: Array) -> tuple[Array, Array]:
        """``at``, with 1 - t as its own argument: near t = 1 the difference would lose its digits."""
        both = self.cross + self.cross.T
        c = left**2 * self.start + t**2 * self.end + t * left * both
        b = left * self.cross.T + t * self.end - left * self.start - t * self.cross
        return c, b

    def velocity(self, t: ArrayLike) -> Float[Array, "n n"]:
        """The matrix of v at a time."""
        c, b = self.at(t)
        return jnp.linalg.solve(c, b.T).T

    def map(self, steps: int | None = None) -> Float[Array, "n n"]:
        r"""The matrix M of the flow, which maps Z_0 to Z_1: the flow itself, or so many Euler steps.

        The flow solves $M' = B_t C_t^{-1} M$ by Gauss's method of order 8 in a variable in which both ends are stretched to
        the smallest scale of the covariances. The relative error is below 1e-8, or that of rounding in ``start``,
        eps times its condition number, if that is larger. Differentiable. Time O(n^3).

        Raises:
            ValueError: steps below 1.
        """
        return _map(self) if steps is None else _euler(self, whole("steps", steps, 1))

    def error(self, matrix: Any) -> Float[Array, ""]:
        """The mean square error of the estimator matrix Z_0."""
        return jnp.trace(self.end + matrix @ self.start @ matrix.T - 2 * matrix @ self.cross)


def from_measurement(covariance: Any, operator: Any, noise: Any, extra: ArrayLike = 0.0) -> LinearFlow:
    """The flow from Y itself, plus noise of standard deviation ``extra``; H must be square.

    Raises:
        ValueError: Y of another dimension than X.
    """
    s, h, q = (jnp.asarray(each, jnp.result_type(float)) for each in (covariance, operator, noise))
    if h.shape[0] != h.shape[1]:
        raise ValueError(f"H is {h.shape}, but a flow from Y to X needs both of one dimension")
    start = h @ s @ h.T + q + jnp.asarray(extra) ** 2 * jnp.eye(len(s), dtype=s.dtype)
    return LinearFlow(start, s, h @ s)


@jit
def _euler(flow: LinearFlow, steps: int) -> Array:
    eye = jnp.eye(len(flow.end), dtype=flow.end.dtype)
    return jax.lax.fori_loop(0, steps, lambda i, m: m + flow.velocity(i / steps) @ m / steps, eye)


@jit
def _map(flow: LinearFlow) -> Array:
    r"""With $a = e^{L x} - 1$ and $b = e^{L (1 - x)} - 1$ the time is $t = m a / (m a + b)$, so that $t / (1 - t)$ grows
    geometrically from the ratio of the smallest deviation of Z_0 to the largest of X to the inverse ratio."""
    n, dtype = len(flow.end), flow.end.dtype
    nodes, inner, weights = (jnp.asarray(each, dtype) for each in _gauss(_STAGES))
    start, end = (jnp.linalg.eigvalsh(each) for each in jax.lax.stop_gradient((flow.start, flow.end)))
    low, high = jnp.maximum(start[0], _START * start[-1]), jnp.maximum(end[0], _END * end[-1])
    first, last = jnp.sqrt(low / end[-1]), jnp.sqrt(start[-1] / high)  # the grid does not change the solution
    middle, reach = jnp.sqrt(first * last), jnp.log(last / first) / 2 + 1

    def slope(x):
        a, b = middle * jnp.expm1(reach * x), jnp.expm1(reach * (1 - x))
        speed = reach * (middle * jnp.exp(reach * x) * b + a * jnp.exp(reach * (1 - x))) / (a + b) ** 2
        c, cross = flow._at(a / (a + b), b / (a + b))
        return speed * jnp.linalg.solve(c, cross.T).T

    def step(k, m):
        slopes = jax.vmap(slope)((k + nodes) / _FINE) / _FINE
        coupled = jnp.einsum("ij,iab->iajb", inner, slopes).reshape(_STAGES * n, -1)
        right = (slopes @ m).reshape(-1, n)
        found = jnp.linalg.solve(jnp.eye(_STAGES * n, dtype=dtype) - coupled, right).reshape(_STAGES, n, n)
        return m + jnp.einsum("i,iab->ab", weights, found)

    return jax.lax.fori_loop(0, _FINE, step, jnp.eye(n, dtype=dtype))


def _gauss(stages: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, matrix and weights of Gauss's method, which evaluates neither end of a step.

    Source: Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, 1993, section II.7.
    """
    roots, weights = np.polynomial.legendre.leggauss(stages)
    nodes, power = (roots + 1) / 2, np.arange(1, stages + 1)
    integrals = nodes[:, None] ** power / power
    return nodes, integrals @ np.linalg.inv(nodes[:, None] ** (power - 1)), weights / 2


class PairFlow(eqx.Module):
    r"""The exact velocity for the empirical law of pairs (x_i, x*_i), as a field for ``lab.paths.carry``:

    $$ v = \frac{G - z}{1 - t}, \quad G = \sum_i w_i x_i, \quad
       w_i \propto e^{-|z - t x_i - (1 - t) x^*_i|^2 / 2 h^2}, \quad h = \max((1 - t)\,\sigma_s, h_{\min}) . $$

    Without the least width it repeats single x_i as t goes to 1. Time O(particles pairs d), memory O(particles pairs).

    Args:
        x, star: (N, d).
        noise: sigma_s, above 0; traced.
        least: h_min, not negative; traced.
    """

    x: Float[Array, "pairs d"]
    star: Float[Array, "others e"]
    noise: ArrayLike
    least: ArrayLike = 0.0

    def __check_init__(self) -> None:
        if self.x.shape != self.star.shape:
            raise ValueError(f"x has shape {self.x.shape} and star {self.star.shape}, but they are pairs")
        if known(self.noise, self.least) and not (np.asarray(self.noise) > 0 and np.asarray(self.least) >= 0):
            raise ValueError(f"noise = {self.noise}, least = {self.least}: above 0 and not negative are needed")

    def clean(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """G(z, t), the mean of X given where a particle is."""
        t = jnp.asarray(t, z.dtype)
        at = t * self.x + (1 - t) * self.star
        width = jnp.maximum((1 - t) * jnp.asarray(self.noise, z.dtype), jnp.asarray(self.least, z.dtype))
        squared = (z * z).sum(1)[:, None] - 2 * z @ at.T + (at * at).sum(1)[None, :]
        return jax.nn.softmax(-squared / (2 * width**2), axis=1) @ self.x

    def __call__(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        if known(t) and not float(np.asarray(t)) < 1:
            raise ValueError(f"t = {t}, but the velocity is (G - z) / (1 - t), for t below 1")
        return (self.clean(t, z) - z) / (1 - jnp.asarray(t, z.dtype))


def restore(field: Any, z: Float[Array, "n d"], steps: int, loop: Loop = pure) -> Carried:
    r"""Euler's steps from t = 0 to 1, $z \leftarrow z + v(z, i / K) / K$, which ask the field at 0, 1/K, ..., 1 - 1/K.

    Args:
        field: v, called at (t, z) it returns velocities (n, d).
        z: (n, d), where the flow begins.
        steps: K, at least 1.
        loop: ``pure``, or a ``Chunked`` that reports and stops.

    Returns:
        a ``Carried``; ``end`` is the answer (n, d).

    Raises:
        ValueError: steps below 1, or z of another shape.

    Source:
        Ohayon, Michaeli, Elad, Posterior-Mean Rectified Flow, ICLR 2025.

    Examples:
        >>> from lab import inverse
        >>> import jax.numpy as jnp
        >>> inverse.restore(lambda t, z: 2.0 - z, jnp.zeros((1, 1)), 1).end.tolist()  # one step goes all the way
        [[2.0]]
    """
    z = real("z", z, ("n", "d"), finite=False)
    return carry(loop, field, z, even(whole("steps", steps, 1)), solver="euler", euler_last=True)


def _check_covariance(name: str, matrix: np.ndarray) -> None:
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-10):
        raise ValueError(f"{name} must be finite and symmetric")
    values = np.linalg.eigvalsh(matrix)
    if values[0] < -_SMALL * max(values[-1], 1e-300):
        raise ValueError(f"{name} has the eigenvalue {values[0]:.6g}, but it must be positive semi-definite")
