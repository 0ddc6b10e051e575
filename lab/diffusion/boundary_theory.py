r"""The best start where it is known: of a Gaussian posterior, and on a line.

Of a posterior $N(\mu(y), C)$ the flow from T ends at

$$ h(x_T, y) = \mu + C^{1/2} (a_T^2 C + s_T^2 I)^{-1/2} (x_T - a_T \mu) \;\to\; \mu(y) + C^{1/2} x_T \quad (a_T \to 0), $$

so that the density of the end is largest for $x_T = 0$, whatever y is, and

$$ E_{z \mid y} |h - z|^2 = \mathrm{tr}\,C + x_T^\top C x_T : $$

a random start costs $2\,\mathrm{tr}\,C$ on average, 3.01 dB more than $x_T = 0$, and all y rank the candidates alike. The best
of K draws keeps a share q of the excess, $q = E \min_k x_k^\top C x_k / \mathrm{tr}\,C$.

Sharing does not show in single images: beside a draw z of the posterior the scores of one image are those above plus
$2 (\mu - z)^\top C^{1/2} x_T$, of twice their variance over
starts. So the mean scores of n images correlate with those of n others by

$$ \frac{2\,\mathrm{tr}\,C^2}{2\,\mathrm{tr}\,C^2 + 4\,\mathrm{tr}\,C^2 / n} = \frac{n}{n + 2} : $$

a third for single images, 0.93 for 25, though the ranking by expected scores is the same for all.

On a line $h = F_{0|y}^{-1}(\Phi(x_T))$, so that the end is a mode at $x_T^* = \Phi^{-1}(F_{0|y}(\mathrm{mode}))$: near 0 where
the posterior has one mode, anywhere where two compete.

Source: Ma, Yang, Yang, Fu, Liu, ICLR 2024, for the question; the closed forms follow from linear Gaussian models.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammainc, gammaincc, gammaln, ndtr, ndtri
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.numerics.arguments import real
from lab.numerics.differentiation import at_root
from lab.numerics.jit import jit
from lab.numerics.matrix_functions import symmetric
from lab.numerics.mixtures import Mixture, widened

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)  # of the quadrature over the least of K
_FAR = 40.0  # what is below e^-40 of the largest value is left out
_BISECTIONS = 80
_PLACES = 2001  # where a mode is looked for first


@jit
def gaussian_end(
    mean: Float[Array, "n d"],
    covariance: Float[Array, "d d"],
    x: Float[Array, "n d"],
    a: ArrayLike = 0.0,
    s: ArrayLike = 1.0,
) -> Float[Array, "n d"]:
    """Where the flow ends from x at the level (a, s), without noise, of posteriors of these means; in the limit a = 0 when
    omitted."""
    a, s = jnp.asarray(a, x.dtype), jnp.asarray(s, x.dtype)
    made = symmetric(covariance, 0.0)
    return mean + (x - a * mean) @ made.function(jnp.sqrt) @ made.affine(a**2, s**2).function(jax.lax.rsqrt)


@jit
def gaussian_score(covariance: Float[Array, "d d"], x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """E|h - z|^2 over the data given y, of each start: tr C + x' C x, for any y."""
    return jnp.trace(covariance) + ((x @ covariance) * x).sum(axis=1)


@jit
def effective_dimension(values: Float[Array, "*n d"]) -> Array:
    r"""$(\mathrm{tr}\,C)^2 / \mathrm{tr}\,C^2$ from the eigenvalues: how many equal ones would fluctuate as much."""
    return values.sum(axis=-1) ** 2 / (values**2).sum(axis=-1)


def best_of(k: Any, d: Any) -> Array:
    r"""The share q of the excess that the best of K random starts keeps, of a covariance with d equal eigenvalues,

    $$ q = \frac1d\,E \min_{k \le K} \chi^2_d = \frac1d \int_0^\infty P(\chi^2_d > u)^K\,du . $$

    Of other covariances it is near that of their effective dimension. The squared error is (1 + q) / 2 of that of a random
    start. Gauss-Legendre quadrature in log u, to 1e-9 of q for K up to 1e12.

    Args:
        k, d: at least 1, and at least 0.1; numbers or arrays that broadcast, whole or not.

    Raises:
        ValueError: k or d below that.

    >>> [round(float(best_of(100, d)), 3) for d in (8, 64, 1024)]
    [0.186, 0.614, 0.893]
    """
    k, d = jnp.broadcast_arrays(real("k", k, low=1, dtype=float), real("d", d, low=0.1, dtype=float))
    return _best_of(k, d)


@jit
def _best_of(k: Array, d: Array) -> Array:
    shape = k.shape
    k, d = k.reshape(-1, 1), d.reshape(-1, 1)

    def log_left(u: Array) -> Array:
        """log P(chi^2 > u)^K, which keeps its digits where it is near 0."""
        below, above = gammainc(d / 2, u / 2), gammaincc(d / 2, u / 2)
        small = below < 0.5
        tiny = jnp.finfo(u.dtype).tiny
        log = jnp.where(small, jnp.log1p(-jnp.where(small, below, 0)), jnp.log(jnp.where(small, 1, above + tiny)))
        return k * log

    def log_place(level: float) -> Array:
        """log u where log_left has fallen to that level."""

        def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = (low + high) / 2
            before = log_left(jnp.exp(middle)) > level
            return jnp.where(before, middle, low), jnp.where(before, high, middle)

        least = jnp.full_like(d, -600.0 if d.dtype == jnp.float64 else -80.0)
        ends = jax.lax.fori_loop(0, _BISECTIONS, halve, (least, jnp.log(d + 10 * jnp.sqrt(d) + 100)))
        return jax.lax.stop_gradient(ends[1])

    # below low the integrand is 1, above high it is nothing; between them one bend, narrow in many dimensions
    eps = float(jnp.finfo(d.dtype).eps)
    bend, high = log_place(-1.0), log_place(-_FAR)
    low = jnp.maximum(log_place(-eps), bend - _FAR)
    total = jnp.exp(low)
    for start, stop in ((low, bend), (bend, high)):
        places = start + (stop - start) * jnp.asarray((_NODES + 1) / 2, d.dtype)[None]
        values = jnp.exp(log_left(jnp.exp(places)) + places)
        total = total + (stop - start) * (values @ jnp.asarray(_WEIGHTS / 2, d.dtype))[:, None]
    return (total / d).reshape(shape)


@jit
def agreement(n: ArrayLike) -> Float[Array, ""]:
    """The correlation of the mean scores of n images with those of n others, n / (n + 2), where all share one ranking."""
    n = jnp.asarray(n, float)
    return n / (n + 2)


@jit
def spread_of_squares(d: ArrayLike) -> Float[Array, ""]:
    """The standard deviation of |x|^2 / d of one draw, sqrt(2 / d): what a search has to choose from."""
    return jnp.sqrt(2 / jnp.asarray(d, float))


@jit
def mean_norm(d: ArrayLike) -> Float[Array, ""]:
    """E|x| of a draw of N(0, I)."""
    d = jnp.asarray(d, float)
    return jnp.sqrt(2.0) * jnp.exp(gammaln((d + 1) / 2) - gammaln(d / 2))


# ---- on a line -------------------------------------------------------------------------------------------------------


def on_line(prior: Mixture, noise: ArrayLike, y: ArrayLike | Sequence) -> tuple[Array, Array, Array]:
    """The posterior of each $y = x_0 + \\sigma\\varepsilon$ on a line: weights and means (n, K), deviations (K,).

    Raises:
        ValueError: a prior that is not on a line, or noise that is not positive.
    """
    if prior.dimension != 1:
        raise ValueError(f"the prior has {prior.dimension} dimensions, but a line is needed")
    noise = real("noise", noise, (), low=0, strict=True, dtype=prior.means.dtype)
    return _on_line(prior, noise, real("y", y, ("n",)))


@jit
def _on_line(prior: Mixture, noise: Array, y: Array) -> tuple[Array, Array, Array]:
    m, c = prior.means[:, 0], widened(prior.covariances, 2, 1).reshape(-1)
    whole = c + noise**2
    apart = y[:, None] - m[None]
    logits = jnp.log(prior.weights / jnp.sqrt(whole))[None] - apart**2 / (2 * whole)[None]
    return jax.nn.softmax(logits, axis=1), m[None] + apart * (c / whole)[None], jnp.sqrt(c * noise**2 / whole)


type Parts = tuple[Array, Array, Array]


@jit
def line_density(law: Parts, x: Float[Array, " m"]) -> Float[Array, "n m"]:
    """Of each law at the places."""
    weights, means, deviations = law
    z = (x[None, :, None] - means[:, None]) / deviations[None, None]
    return (weights[:, None] * jnp.exp(-(z**2) / 2) / deviations[None, None]).sum(axis=2) / jnp.sqrt(2 * jnp.pi)


def _below(law: Parts, x: Array, sign: float = 1.0) -> Array:
    """The probability below x (n, m), or above it."""
    weights, means, deviations = law
    z = sign * (x[:, :, None] - means[:, None]) / deviations[None, None]
    return (weights[:, None] * ndtr(z)).sum(axis=2)


@jit
def line_end(law: Parts, x: Float[Array, " m"]) -> Float[Array, "n m"]:
    r"""$F^{-1}(\Phi(x_T))$ of each law, from the starts: where the flow ends in the limit $a_T = 0$."""
    _, means, deviations = law
    goal, rest = ndtr(x)[None], ndtr(-x)[None]
    upper = x[None] > 0  # by the smaller tail, which keeps its digits
    low, high = (
        jnp.broadcast_to(end[:, None], (len(means), len(x)))
        for end in ((means - 40 * deviations[None]).min(axis=1), (means + 40 * deviations[None]).max(axis=1))
    )

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        rises = jnp.where(upper, _below(law, middle, -1.0) > rest, _below(law, middle) < goal)
        return jnp.where(rises, middle, low), jnp.where(rises, high, middle)

    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (low, high))

    def apart(end: Array) -> Array:
        return jnp.where(upper, rest - _below(law, end, -1.0), _below(law, end) - goal)

    return at_root((low + high) / 2, apart)


@jit
def line_start(law: Parts, end: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""$\Phi^{-1}(F(x_0))$: the start that ends there."""
    below, above = _below(law, end[:, None])[:, 0], _below(law, end[:, None], -1.0)[:, 0]
    return jnp.where(below < above, ndtri(below), -ndtri(above))


@jit
def line_mode(law: Parts) -> Float[Array, " n"]:
    """The highest mode of each law: the best of many places, then Newton's method."""
    weights, means, deviations = law
    low, high = (means - 2 * deviations[None]).min(axis=1), (means + 2 * deviations[None]).max(axis=1)
    share = jnp.linspace(0.0, 1.0, _PLACES)

    def one(weights: Array, means: Array, low: Array, high: Array) -> Array:
        law = (weights[None], means[None], deviations)
        places = low + share * (high - low)
        begun = places[line_density(law, places)[0].argmax()]

        def log_density(x: Array) -> Array:
            z = (x - means) / deviations
            return jax.nn.logsumexp(jnp.log(weights / deviations) - z**2 / 2)

        def newton(_: Any, x: Array) -> Array:
            slope, bend = jax.grad(log_density)(x), jax.grad(jax.grad(log_density))(x)
            return x - jnp.where(bend < 0, slope / bend, 0.0)

        return jax.lax.fori_loop(0, 8, newton, begun)

    return jax.vmap(one)(weights, means, low, high)


def line_optimum(prior: Mixture, noise: ArrayLike, y: ArrayLike | Sequence) -> Float[Array, " n"]:
    r"""$x_T^*(y) = \Phi^{-1}(F_{0|y}(\mathrm{mode}))$: the start whose end has the largest density, exactly.

    >>> prior = Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.04, 0.09])
    >>> [round(float(x), 3) for x in line_optimum(prior, 0.5, jnp.array([-1.2, 0.0]))]
    [-0.001, -0.744]
    """
    law = on_line(prior, noise, y)
    return line_start(law, line_mode(law))
