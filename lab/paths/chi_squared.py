r"""Squared lengths of Gaussian noise: the chi-square law, the noncentral one of distances, and a test of it."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, log_ndtr
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.numerics.arguments import real, whole
from lab.numerics.jit import jit

_TERMS = 400  # of the series, around half the noncentrality
_SERIES = 200  # degrees of freedom up to which the series is used
_UNROLL = 4  # terms that are added in one pass over the memory
_WIDE = 600.0  # noncentrality from which on the terms no longer cover the Poisson law


def mean_square_density(values: ArrayLike | Sequence, d: int) -> Float[Array, " n"]:
    r"""The density of $|n|^2 / d$ for $n \sim N(0, I)$ in d dimensions, at these values.

    Raises:
        ValueError: a negative value, or d below 1.
    """
    values, d = real("values", values, ("n",), low=0), whole("d", d, 1)
    half = d * values / 2
    power = jax.scipy.special.xlogy(d / 2 - 1, half)  # at 0 with two degrees of freedom the density is not 0
    return jnp.exp(power - half - gammaln(d / 2)) * d / 2


def kolmogorov(squared: ArrayLike | Sequence, d: int) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Kolmogorov's statistic of squared lengths against the chi-square law of d degrees, and its p-value for large samples.

    Raises:
        ValueError: no lengths, a negative one, or d below 1.
    """
    squared, d = real("squared", squared, ("n",), low=0), whole("d", d, 1)
    n = squared.size
    if not n:
        raise ValueError("squared is empty: at least one squared length is needed")
    level = jax.scipy.special.gammainc(d / 2, jnp.sort(squared) / 2)
    rank = jnp.arange(n, dtype=level.dtype)
    statistic = jnp.maximum(((rank + 1) / n - level).max(), (level - rank / n).max())
    scaled = statistic * (jnp.sqrt(n * 1.0) + 0.12 + 0.11 / jnp.sqrt(n * 1.0))  # Stephens (1970)
    j = jnp.arange(1, 101, dtype=level.dtype)
    p = 2 * ((-1.0) ** (j - 1) * jnp.exp(-2 * j**2 * scaled**2)).sum()
    return statistic, jnp.where(scaled < 0.2, 1.0, jnp.clip(p, 0, 1))


def log_survival(r: ArrayLike | Sequence, d: int, noncentrality: ArrayLike | Sequence) -> Array:
    r"""$\log P(X > r)$ of the noncentral $\chi^2$ law with d degrees of freedom.

    Up to 200 degrees of freedom the Poisson mixture, with terms that are all positive: with $a = d/2$, $x = r/2$,
    $l = $ noncentrality / 2 and $J \sim \mathrm{Poisson}(l)$,

    $$ P(X > r) = Q(a, x) + \sum_{i \ge 0} \frac{x^{a+i} e^{-x}}{\Gamma(a + i + 1)}\, P(J > i), $$

    to some 1e-10 of the logarithm in float64, up to 6 standard deviations out at least. Beyond, and for noncentralities above
    600, the normal approximation of Sankaran (1963), whose logarithm errs by some 2e-4 at d = 3072 and 1e-2 at d = 64.

    Args:
        r: any shape.
        d: static.
        noncentrality: broadcast to r. Time up to 400 multiplications an element of r, memory 400 numbers an element
            of this.

    Raises:
        ValueError: a negative r or noncentrality, or d below 1.
    """
    r = real("r", r, low=0)
    return _log_survival(r, whole("d", d, 1), real("noncentrality", noncentrality, low=0, dtype=r.dtype))


@jit
def _log_survival(r: Array, d: int, noncentrality: Array) -> Array:
    noncentrality = jnp.reshape(noncentrality, (1,) * (r.ndim - noncentrality.ndim) + noncentrality.shape)
    if d > _SERIES:
        return _sankaran(r, d, noncentrality)
    wide = noncentrality > _WIDE
    series = _series(r, d, jnp.where(wide, 1.0, noncentrality))
    return jnp.where(wide, _sankaran(r, d, noncentrality), series)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _series(r: Array, d: int, noncentrality: Array) -> Array:
    x, l, first, index = _window(r, noncentrality)
    a = d / 2 + first
    ratio = jnp.log(l)[None] - jnp.log(index[1:])  # of one probability to the one before
    none = first[None] == 0  # P(J = 0), also where l = 0
    begin = jnp.where(none, -l[None], jax.scipy.special.xlogy(first, l)[None] - l[None] - gammaln(first + 1)[None])
    poisson = jnp.exp(jnp.cumsum(jnp.concatenate([begin, ratio]), axis=0))
    above = jnp.cumsum(poisson[::-1], axis=0)[::-1]  # P(J >= index)
    above, after = above[1:-1], above[2:]
    floor = jnp.finfo(x.dtype).tiny * 1e10
    factors = jnp.where(above > floor, after / jnp.maximum(above, floor), 0.0) / (d / 2 + index[1:-1])
    start = a * jnp.log(x) - x - gammaln(a + 1) + jnp.log(jnp.maximum(above[0], floor))
    return jnp.minimum(jnp.logaddexp(_log_gammaincc(a, x), _log_sum(start, x, factors)), 0.0)


@_series.defjvp
def _series_jvp(d, primals, tangents):
    # the derivative in r is minus the density, that in the noncentrality the density at d + 2
    r, noncentrality = primals
    value = _series(r, d, noncentrality)
    slope = jnp.exp(_log_density(r, d, noncentrality) - value)
    across = jnp.exp(_log_density(r, d + 2, noncentrality) - value)
    return value, across * tangents[1] - slope * tangents[0]


def _log_density(r: Array, d: int, noncentrality: Array) -> Array:
    x, l, first, index = _window(r, noncentrality)
    a = d / 2 + first
    start = jax.scipy.special.xlogy(first, l) - l - gammaln(first + 1) + (a - 1) * jnp.log(x) - x - gammaln(a)
    factors = l[None] / ((index[:-2] + 1) * (d / 2 + index[:-2]))
    return _log_sum(start, x, factors, whole=True) - jnp.log(2.0)


def _window(r: Array, noncentrality: Array) -> tuple[Array, Array, Array, Array]:
    """x, l, the first index of the Poisson law that counts (before it P(J > i) is 1), and the indices, one axis in front."""
    x, l = jnp.maximum(r, jnp.finfo(r.dtype).tiny) / 2, noncentrality / 2
    first = jnp.maximum(jnp.floor(l) - _TERMS // 2, 0.0)
    return x, l, first, first[None] + jnp.arange(_TERMS + 1, dtype=r.dtype).reshape((-1,) + (1,) * l.ndim)


def _log_sum(start: Array, x: Array, factors: Array, whole: bool = False) -> Array:
    """log of the sum of terms of which the first is e^start, and the next is factors[i] x times the last.

    ``whole``: every term, by a loop that can be differentiated backwards.
    """
    big = 1e15

    def add(at, carry):
        term, total, log_scale = carry
        for i in range(_UNROLL):
            term = term * (x * factors[at * _UNROLL + i])
            total = total + term
        scale = jnp.where(total > big, 1 / big, 1.0)
        return term * scale, total * scale, jnp.where(total > big, log_scale + math.log(big), log_scale)

    one = jnp.ones_like(x)
    first = one, one, start + jnp.zeros_like(x)
    loop = jax.lax.fori_loop if whole else _while_large
    _, total, log_scale = loop(0, factors.shape[0] // _UNROLL, add, first)
    return log_scale + jnp.log(total)


def _while_large(start: int, stop: int, add: Callable, carry: tuple) -> tuple:
    """``fori_loop`` until nothing is added that counts; carry = (what was added last, the sum, ...), and once it falls what is
    added does not grow again."""

    def counts(state):
        at, (term, total, *_) = state
        return (at < stop) & (jnp.abs(term) > 2 * jnp.finfo(term.dtype).eps * jnp.abs(total)).any()

    def more(state):
        at, carry = state
        return at + 4, jax.lax.fori_loop(0, 4, lambda i, carry: add(at + i, carry), carry, unroll=True)

    return jax.lax.while_loop(counts, more, (jnp.int32(start), carry))[1]


def _log_gammaincc(a: Array, x: Array) -> Array:
    """log Q(a, x): 1 less the power series of P below the mean, Lentz's continued fraction beyond, where Q may underflow."""
    far = x > a + 1
    below, beyond = jnp.where(far, a, x), jnp.where(far, x, a + 2)
    tiny = jnp.finfo(x.dtype).tiny ** 0.5

    def add(i, carry):
        term, total = carry
        term = term * below / (a + i)
        return term, total + term

    def turn(i, carry):
        _, h, b, c, d = carry
        b = b + 2
        by = -i * (i - a)
        d = 1 / (by * d + b)
        c = b + by / c
        return h * (d * c - 1), h * d * c, b, c, d

    total = _while_large(1, 129, add, (jnp.ones_like(x), jnp.ones_like(x)))[1]
    near = jnp.log1p(-jnp.minimum(jnp.exp(a * jnp.log(below) - below - gammaln(a + 1)) * total, 1 - tiny))
    b = beyond + 1 - a
    h = _while_large(1, 129, turn, (1 / b, 1 / b, b, jnp.full_like(b, 1 / tiny), 1 / b))[1]
    return jnp.where(far, a * jnp.log(beyond) - beyond - gammaln(a) + jnp.log(h), near)


def _sankaran(r: Array, d: int, noncentrality: Array) -> Array:
    l = jnp.maximum(noncentrality, 1e-12)
    h = 1 - 2 * (d + l) * (d + 3 * l) / (3 * (d + 2 * l) ** 2)
    p = (d + 2 * l) / (d + l) ** 2
    q = (h - 1) * (1 - 3 * h)
    z = ((r / (d + l)) ** h - (1 + h * p * (h - 1 - (2 - h) * q * p / 2))) / (h * jnp.sqrt(2 * p) * (1 + q * p / 2))
    return log_ndtr(-z)
