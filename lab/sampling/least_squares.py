r"""Weighted least squares on random points, and what is known of it.

$$ \hat f = \arg\min_{v \in V_m} \frac1n \sum_i w(x_i) (f(x_i) - v(x_i))^2, \qquad G = \frac1n \Phi^T W \Phi, \qquad
   \|f - \hat f\|^2 = \|f - P f\|^2 + |\hat c - c|^2 , $$

with $\Phi$ the orthonormal functions at the points. G is near the identity where the points are good; $\lambda_{\min}(G)$ says
how stable the fit is. Solved by QR of $\sqrt{W/n}\,\Phi$: G, whose condition is the square, is never inverted.

Sources: Cohen and Migliorati, *Optimal weighted least-squares methods*, 2017; Nouy and Michel, arXiv 2312.14057, 2023; the
bounds of ``expected_ratio`` are derived in the lab.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lab.numerics import arguments
from lab.numerics.roots import square_root
from lab.sampling.bases import Basis


class Fit(NamedTuple):
    """A least-squares fit, and the stability of its points."""

    coefficients: Float[Array, "*batch m"]
    lambda_min: Float[Array, "*batch"]  # of G; the fit is exact for f in V_m where it is not 0
    lambda_max: Float[Array, "*batch"]
    residuals: Float[Array, "*batch n"]  # f - fhat at the points; 0 where not used
    weights: Float[Array, "*batch n"]  # w / n, 0 where not used
    leverage: Float[Array, "*batch n"]  # diagonal of the hat matrix; its sum is m

    @property
    def condition(self) -> Array:
        """Of G."""
        return self.lambda_max / self.lambda_min

    @property
    def residual(self) -> Array:
        r"""$\frac1n \sum w (f - \hat f)^2$."""
        return (self.weights * self.residuals**2).sum(axis=-1)


@arguments.arrays(weights=arguments.NOT_NEGATIVE, values=arguments.ANY)
def fit(
    phi: Float[Array, "n m"],
    weights: Float[Array, " n"],
    values: Float[Array, " n"],
    used: Bool[Array, " n"] | None = None,
) -> Fit:
    r"""Fit the values by weighted least squares.

    $$ \hat c = \arg\min_c \frac1n \sum_i w_i (f_i - \varphi(x_i) \cdot c)^2 $$

    Time O(n m^2). Coefficients are not finite where G is singular, which lambda_min = 0 tells.

    Args:
        phi: the basis at the points, (n, m).
        weights: w at the points, (n,).
        values: f at the points, (n,).
        used: (n,), False at points that were removed; values there are not read.

    Returns:
        coefficients (m,), the extreme eigenvalues of G, and for each point its residual, weight w / n and leverage.

    Raises:
        ValueError: shapes that do not fit, fewer points than functions, numbers that are not finite, or negative weights.

    Source:
        Cohen and Migliorati (2017).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> phi = jnp.array([[1.0, -1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> found = sampling.fit(phi, jnp.ones(3), jnp.array([1.0, 3.0, 5.0]))
        >>> found.coefficients.round(9), float(found.leverage.sum().round(9))
        (Array([3., 2.], dtype=float64), 2.0)
    """
    if phi.shape[0] < phi.shape[1]:
        raise ValueError(f"phi has shape {phi.shape}: at least as many points as functions are needed for a fit")
    share = _share(weights, used)
    root = square_root(share)
    values = jnp.where(share > 0, values, 0.0)
    q, r = jnp.linalg.qr(root[:, None] * phi)
    coefficients = jax.scipy.linalg.solve_triangular(r, q.T @ (root * values))
    sizes = jnp.linalg.svd(r, compute_uv=False) ** 2
    residuals = jnp.where(share > 0, values - phi @ coefficients, 0.0)
    return Fit(coefficients, sizes[-1], sizes[0], residuals, share, (q**2).sum(axis=1))


def _share(weights: Array, used: Array | None) -> Array:
    """w / n over the points in use."""
    if used is None:
        return weights / weights.shape[0]
    return jnp.where(used, weights, 0.0) / jnp.maximum(used.sum(), 1)


def gram(
    phi: Float[Array, "n m"], weights: Float[Array, " n"], used: Bool[Array, " n"] | None = None
) -> Float[Array, "m m"]:
    r"""$G = \frac1n \Phi^T W \Phi$, for its eigenvalues only."""
    return phi.T @ (_share(weights, used)[:, None] * phi)


def stability(
    phi: Float[Array, "n m"], weights: Float[Array, " n"], used: Bool[Array, " n"] | None = None
) -> Float[Array, ""]:
    r"""$\lambda_{\min}(G)$, to about 1e-16 of the largest eigenvalue."""
    # singular values: LAPACK's eigenvalues of 30 rows and more wait for its threads
    return jnp.linalg.svd(gram(phi, weights, used), compute_uv=False)[-1]


class Truth(NamedTuple):
    """The orthogonal projection of a known function."""

    coefficients: Float[Array, " m"]
    best: Float[Array, ""]  # squared distance of f from V_m

    def squared_error(self, coefficients: Float[Array, "*batch m"]) -> Float[Array, "*batch"]:
        r"""$\|f - \hat f\|^2 = \|f - Pf\|^2 + |\hat c - c|^2$."""
        shape = (1,) * (coefficients.ndim - 1)
        return self.best + ((coefficients - self.coefficients.reshape(*shape, -1)) ** 2).sum(axis=-1)


def truth(basis: Basis, f: Callable, n: int = 200) -> Truth:
    r"""Project f by a quadrature.

    $$ c = \int f \varphi\, d\mu, \qquad \|f - Pf\|^2 = \int (f - c \cdot \varphi)^2 d\mu $$

    Args:
        basis: m functions.
        f: from coordinates (N, e) to (N,).
        n: quadrature nodes a coordinate.

    Returns:
        coefficients (m,) and the squared distance of f from the span.

    Source:
        Nouy and Michel (2023).

    Examples:
        >>> from lab import sampling
        >>> of = sampling.truth(sampling.legendre(2), lambda x: x[:, 0] ** 2)
        >>> round(float(of.coefficients[0]), 4), round(float(of.best), 4)  # the mean of x^2, and its variance
        (0.3333, 0.0889)
    """
    points, masses = basis.quadrature(arguments.whole("n", n, 1))
    return project(basis(points), masses, f(basis.coordinates(points)))


def project(phi: Float[Array, "n m"], masses: Float[Array, " n"], values: Float[Array, " n"]) -> Truth:
    """Project the values of f at nodes, whose masses integrate products of two of the functions ``phi`` exactly."""
    coefficients = phi.T @ (masses * values)
    return Truth(coefficients, masses @ (values - phi @ coefficients) ** 2)


# --- error estimates from the points alone ---


class Estimate(NamedTuple):
    """A squared L2 error, estimated without knowing f elsewhere."""

    value: Float[Array, ""]
    error: Float[Array, ""]  # standard error over the parts; of single points, which repel, a guess


def cross_validation(
    phi: Float[Array, "n m"],
    weights: Float[Array, " n"],
    values: Float[Array, " n"],
    parts: int,
    used: Bool[Array, " n"] | None = None,
) -> Estimate:
    r"""$\|f - \hat f\|^2$ of the fit without a part, measured on that part: mean of $w (f - \hat f_{-\text{part}})^2$.

    Args:
        parts: the points in order are cut into this many equal parts, n for single points. Where the parts are independent
            designs with marginals dmu / w, as repetitions are, this is unbiased for the error of a fit from all parts but
            one, and so rather too high for that from all. Single points of a repelling design lie where the others are not:
            too high as well.

    By $e_{-p} = (I - H_{pp})^{-1} e_p$; infinite where all parts but one do not determine the fit. O(n m^2 + n^3 / parts^2).
    """
    n = phi.shape[0]
    if not 2 <= parts <= n or n % parts:
        raise ValueError(f"{parts} parts, but {n} points must be cut into at least 2 equal ones: give a divisor of {n}")
    found = fit(phi, weights, values, used)
    root = square_root(found.weights)
    q, _ = jnp.linalg.qr(root[:, None] * phi)
    q = q.reshape(parts, n // parts, -1)
    left = jnp.eye(n // parts)[None] - q @ q.transpose(0, 2, 1)
    scaled = (root * found.residuals).reshape(parts, -1)
    singular = jnp.linalg.svd(left, compute_uv=False)[:, -1] < 1e-12  # left is positive semi-definite
    left = jnp.where(singular[:, None, None], jnp.eye(n // parts)[None], left)
    part = (jnp.linalg.solve(left, scaled[:, :, None])[:, :, 0] ** 2).sum(axis=1)
    counts = jnp.asarray(parts, phi.dtype) if used is None else used.sum() * (parts / n)
    part = jnp.where(singular, jnp.inf, part) * counts
    value = part.sum() / counts
    spread = jnp.where(jnp.isfinite(value), ((part - value) ** 2).sum() - (parts - counts) * value**2, 0.0)
    return Estimate(value, square_root(jnp.maximum(spread, 0.0) / (counts * (counts - 1))))


# --- bounds ---


def chernoff_rate(delta: float | Array) -> Array:
    r"""$c_\delta = \delta + (1 - \delta) \log(1 - \delta)$: 0.1534 at 1/2."""
    delta = arguments.real("delta", delta, low=0, high=1)
    return jnp.where(delta < 1, delta + (1 - delta) * jnp.log1p(-jnp.where(delta < 1, delta, 0.5)), 1.0)


def failure_bound(m: int, n: int | Array, delta: float | Array, k: float | int | Array | None = None) -> Array:
    r"""Matrix Chernoff, for independent points: $P(\lambda_{\min}(G) < 1 - \delta) \le m \exp(-n c_\delta / K)$.

    Args:
        k: $K = \sup w k_m$; m, that of the optimal weights, if not given. For r independent DPPs n and K are r and m.

    Raises:
        ValueError: m that is not a whole number of at least 1, or delta outside [0, 1].
    """
    arguments.whole("m", m, 1)
    return jnp.minimum(1.0, m * jnp.exp(-n * chernoff_rate(delta) / (m if k is None else k)))


def points_needed(m: int, delta: float, eta: float, k: float | int | None = None) -> int:
    """How many independent points make that bound at most eta.

    Raises:
        ValueError: m that is not a whole number of at least 1, or delta or eta outside (0, 1].
    """
    arguments.whole("m", m, 1)
    for name, value in (("delta", delta), ("eta", eta)):
        arguments.real(name, value, ())
        if not 0 < value <= 1:
            raise ValueError(f"{name} = {value} is not allowed: {name} must be above 0 and at most 1")
    return math.ceil((m if k is None else k) * math.log(m / eta) / float(chernoff_rate(delta)))


def expected_ratio(n: int, delta: float, probability: float, k: float | int | None = None) -> Array:
    r"""Bounds of $E[\|f - \hat f\|^2 \mid \lambda_{\min} \ge 1 - \delta] / \|f - P f\|^2$.

    For independent points, with K given, $1 + (1-\delta)^{-2} K / (n P)$; for any design whose marginals average to dmu / w,
    $1 + (1-\delta)^{-1} / P$. P is the probability of the event.

    Raises:
        ValueError: delta outside [0, 1], or a probability that is not above 0 and at most 1.
    """
    by = 1 - arguments.real("delta", delta, low=0, high=1)
    arguments.real("probability", probability, low=0, strict=True)
    event = arguments.real("probability", probability, high=1)
    return 1 + (1 / (by * event) if k is None else k / (n * by**2 * event))
