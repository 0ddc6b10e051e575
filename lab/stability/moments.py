r"""The exact second-moment operator of SGD, linearised at an interpolating minimum.

With $\delta = \theta - \theta^*$ and $M = E[\delta \delta^T]$, a step of size $\eta$ on a batch of B samples gives

$$ T(M) = (I - \eta H) M (I - \eta H) + \eta^2 c \Big[ \frac1n \sum_i H_i M H_i - H M H \Big], $$

$c = 1/B$ for batches drawn with replacement and $c = (n - B) / (B (n - 1))$ without; full batches have c = 0. T is
self-adjoint and keeps positive semidefinite matrices so; its spectral radius rho is therefore its largest eigenvalue, and the
minimum is stable iff rho <= 1. Directions in which no gradient points never move and are left out.

Everything is done in the eigenbasis of H within its range (``Modes``), which the Gram matrix gives, so that nothing has the
size of the parameters. ``second_moment`` and ``gram_moment`` are the two plain forms.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import arguments, eigen
from lab.numerics.jit import jit
from lab.stability.gradients import check_gram


def noise(n: int, batch: ArrayLike | Sequence, replacement: ArrayLike = True) -> Float[Array, "..."]:
    """c of a batch of B out of n samples: $1/B$ with replacement, $(n - B) / (B (n - 1))$ without.

    Args:
        n: samples.
        batch: B, of any shape; may be traced.
        replacement: of any shape; may be traced.

    Returns:
        c, elementwise.

    Raises:
        ValueError: batch below 1, or above n without replacement.

    Source:
        Cochran, Sampling Techniques, on the finite population correction.

    Examples:
        >>> from lab import stability
        >>> float(stability.noise(5, 2)), float(stability.noise(5, 2, False)), float(stability.noise(5, 5, False))
        (0.5, 0.375, 0.0)
    """
    if not isinstance(batch, Tracer) and not isinstance(replacement, Tracer):
        _check_batch(n, batch, replacement)
    return _noise(jnp, n, arguments.real("batch", batch).astype(float), replacement)


def share_of_noise(n: int, batch: int, replacement: bool) -> float:
    """``noise``, known when a program is compiled, and on the host; refuses the same batches."""
    _check_batch(n, batch, replacement)
    return float(_noise(np, n, batch, replacement))


def _check_batch(n: int, batch: ArrayLike | Sequence, replacement: ArrayLike) -> None:
    arguments.whole("n", n, 1)
    arguments.real("batch", batch, low=1)
    if (np.logical_not(replacement) & (np.asarray(batch) > n)).any():
        raise ValueError(f"batch = {batch}, but without replacement it must be at most n = {n}")


def _noise(host: Any, n: int, batch: Any, replacement: ArrayLike) -> Any:
    return host.where(replacement, 1 / batch, (n - batch) / (batch * max(n - 1, 1)))


def batch_sizes(n: int) -> list[int]:
    """1, 2, 4, ... below n, and n: of the curves over batch sizes."""
    return [2**i for i in range(n.bit_length()) if 2**i < n] + [n]


def positive(**given: ArrayLike) -> None:
    """Raise where a number that is known is not positive and finite."""
    for name, value in given.items():
        if not isinstance(value, Tracer) and not ((np.asarray(value) > 0) & np.isfinite(value)).all():
            raise ValueError(f"{name} = {value}, but it must be positive and finite")


class Modes(NamedTuple):
    """The gradients in the eigenbasis of H. Modes outside its range have value 0 and no gradient."""

    rows: Float[Array, "n k r"]
    values: Float[Array, " r"]  # of H, ascending

    @property
    def n(self) -> int:
        return self.rows.shape[0]


@arguments.arrays()
def modes(k: Float[Array, "nk nk"], outputs: int = 1) -> Modes:
    r"""From the Gram matrix K, the gradients in the eigenbasis of $H = \frac1n A^T A$; r = n k. Needs float64 near rho = 1.

    Time O(n^3 k^3). Differentiable where the nonzero eigenvalues differ, for changes that leave the rank as it is: the
    eigenbasis of a repeated eigenvalue has no derivative, which is not finite then.

    Args:
        k: the Gram matrix, (n k, n k).
        outputs: of the model, k.

    Returns:
        rows (n, k, r) and eigenvalues of H (r,), ascending.

    Raises:
        ValueError: gradients that are infinite or NaN, a matrix that is not square, or outputs that do not divide it.

    Source:
        Wu and Su (2023), of the setting; the eigenbasis is the lab's.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> stability.modes(jnp.diag(jnp.array([2.0, 4.0]))).values
        Array([1., 2.], dtype=float64)
    """
    check_gram(k, outputs)
    size = k.shape[0]
    cut = 10 * size * float(jnp.finfo(k.dtype).eps)
    values, vectors = eigen.eigh(k, cut)
    kept = values > cut * values[-1]
    lengths = jnp.where(kept, jnp.sqrt(jnp.where(kept, values, 1.0)), 0.0)
    rows = (vectors * lengths[None, :]).reshape(size // outputs, outputs, size)
    return Modes(rows, jnp.where(kept, values, 0.0) * outputs / size)


@arguments.arrays()
def modes_of(a: Float[Array, "n k p"]) -> Modes:
    r"""From the gradients themselves, in the eigenbasis of $H = \frac1n \sum_{io} g_{io} g_{io}^T$; r = min(p, n k).

    Args:
        a: gradients (n, k, p), as from ``jacobian``.

    Returns:
        rows (n, k, r) and eigenvalues of H (r,), ascending.

    Raises:
        ValueError: gradients that are infinite or NaN.

    Source:
        Wu and Su (2023), of the setting; the eigenbasis is the lab's.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> stability.modes_of(jnp.array([[[1.0]], [[3.0]]])).values.round(9)  # (1 + 9) / 2
        Array([5.], dtype=float64)
    """
    n, k, size = a.shape
    rows = a.reshape(n * k, size)
    if n * k <= size:
        return modes(jnp.matmul(rows, rows.T, precision="highest"), k)
    cut = 10 * size * float(jnp.finfo(a.dtype).eps)
    values, vectors = eigen.eigh(jnp.matmul(rows.T, rows, precision="highest") / n, cut)
    kept = values > cut * values[-1]
    rows = jnp.where(kept[None, :], jnp.matmul(rows, vectors, precision="highest"), 0.0)
    return Modes(rows.reshape(n, k, size), jnp.where(kept, values, 0.0))


def average(rows: Float[Array, "n k r"], m: Float[Array, "r r"]) -> Float[Array, "r r"]:
    r"""$\frac1n \sum_i H_i M H_i$. Time O(n k r (r + k))."""
    n, k, size = rows.shape
    product = partial(jnp.einsum, precision="highest")
    inner = product("akj,alj->akl", product("aki,ij->akj", rows, m), rows)
    outer = product("akl,alj->akj", inner, rows)
    return jnp.matmul(rows.reshape(n * k, size).T, outer.reshape(n * k, size), precision="highest") / n


def second_moment(
    a: Float[Array, "n k p"], m: Float[Array, "p p"], eta: ArrayLike, c: ArrayLike
) -> Float[Array, "p p"]:
    """T(M) in the coordinates of the parameters, or in any others that the gradients are given in. Time O(n k p^2 + p^3)."""
    n, k, size = a.shape
    product = partial(jnp.matmul, precision="highest")
    h = product(a.reshape(n * k, size).T, a.reshape(n * k, size)) / n
    eta, c = jnp.asarray(eta, a.dtype), jnp.asarray(c, a.dtype)
    keep = jnp.eye(size, dtype=a.dtype) - eta * h
    return product(product(keep, m), keep) + eta**2 * c * (average(a, m) - product(product(h, m), h))


def gram_moment(
    k: Float[Array, "nk nk"], s: Float[Array, "nk nk"], eta: ArrayLike, c: ArrayLike, outputs: int = 1
) -> Float[Array, "nk nk"]:
    r"""The same for $S = E[e e^T]$, $e = A \delta$ the change of the outputs, from the Gram matrix alone:

    $$ S \leftarrow (I - \eta K / n) S (I - \eta K / n) + \eta^2 c K [\mathrm{blockdiag}(S) / n - S / n^2] K . $$
    """
    size = k.shape[0]
    n = size // outputs
    product = partial(jnp.matmul, precision="highest")
    keep = jnp.eye(size, dtype=k.dtype) - eta * k / n
    own = jnp.kron(jnp.eye(n, dtype=k.dtype), jnp.ones((outputs, outputs), k.dtype))
    return product(product(keep, s), keep) + eta**2 * c * product(product(k, own * s / n - s / n**2), k)


def in_modes(basis: Modes, m: Float[Array, "r r"], eta: ArrayLike, c: ArrayLike) -> Float[Array, "r r"]:
    """T(M) in the eigenbasis, where H is diagonal."""
    h = basis.values
    eta, c = jnp.asarray(eta, h.dtype), jnp.asarray(c, h.dtype)
    keep = 1 - eta * h
    return keep[:, None] * m * keep[None, :] + eta**2 * c * (average(basis.rows, m) - h[:, None] * m * h[None, :])


def momentum_moment(
    basis: Modes, m: Float[Array, "two_r two_r"], eta: ArrayLike, c: ArrayLike, beta: ArrayLike
) -> Float[Array, "two_r two_r"]:
    r"""The second moment of $(\delta, v)$ after $v \leftarrow \beta v - \eta H_S \delta$, $\delta \leftarrow \delta + v$.

    Not self-adjoint, but it keeps positive semidefinite matrices so.
    """
    r = basis.values.size
    pull = eta * basis.values

    def mean(x):  # (I - eta H, beta; -eta H, beta) on the two halves of the rows
        top, low = x[:r], x[r:]
        v = beta * low - pull[:, None] * top
        return jnp.concatenate([top + v, v])

    moved = mean(mean(m).T).T
    own, h = m[:r, :r], basis.values
    kick = eta**2 * c * (average(basis.rows, own) - h[:, None] * own * h[None, :])
    return moved + jnp.tile(kick, (2, 2))


class Epochs(NamedTuple):
    """Growth of the second moment under reshuffling, estimated from random permutations (Monte Carlo; no closed form)."""

    rho: Float[Array, ""]  # of one epoch, of the average over the drawn permutations
    error: Float[Array, ""]  # standard error, to first order
    per_step: Float[Array, ""]  # rho^(1 / batches in an epoch), beside the rho of independent batches


def reshuffled(
    key: PRNGKeyArray, basis: Modes, eta: ArrayLike, batch: int, permutations: int = 100, iterations: int = 200
) -> Epochs:
    r"""rho of an epoch in which every sample is used once, in random order, in batches of ``batch`` (the last may be smaller):

    $$ M \mapsto E_\pi [P_\pi M P_\pi^T], \qquad P_\pi = \prod_j (I - \eta H_{S_j(\pi)}) . $$

    The expectation is over ``permutations`` draws. Differentiable through the iterations.
    Time O(permutations (n k r^2 + iterations r^3)), memory O(permutations r^2).
    Its largest eigenvalue is slightly biased upwards; ``error`` does not see that.

    Args:
        key: of the permutations.
        basis: the gradients, from ``modes`` or ``modes_of``.
        eta: learning rate, positive; traced.
        batch: from 1 to n; static.
        permutations: at least 2, for the standard error; static.
        iterations: of the power iteration; static.

    Returns:
        rho of an epoch, its standard error, and rho by step.

    Raises:
        ValueError: eta that is not positive, batch outside 1 ... n.

    Source:
        The lab's, of linearised SGD as in Wu and Su (2023).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> basis = stability.modes(jnp.ones((1, 1)))  # one sample, H = 1: (1 - eta)^2
        >>> float(stability.reshuffled(jax.random.key(0), basis, 0.5, 1, permutations=2, iterations=2).rho)
        0.25
    """
    positive(eta=eta)
    noise(basis.n, arguments.whole("batch", batch), False)
    arguments.whole("permutations", permutations, 2)
    arguments.whole("iterations", iterations, 1)
    return _reshuffled(key, basis, jnp.asarray(eta, basis.values.dtype), batch, permutations, iterations)


@jit
def _reshuffled(key: PRNGKeyArray, basis: Modes, eta: Array, batch: int, permutations: int, iterations: int) -> Epochs:
    n, _, r = basis.rows.shape
    count = -(-n // batch)
    product = partial(jnp.matmul, precision="highest")

    def epoch(key):
        order = jax.random.permutation(key, n)
        order = jnp.concatenate([order, jnp.full(count * batch - n, n)]).reshape(count, batch)

        def step(p, chosen):
            live = chosen < n
            a = jnp.where(live[:, None, None], basis.rows[jnp.minimum(chosen, n - 1)], 0.0).reshape(-1, r)
            return p - eta / live.sum() * product(a.T, product(a, p)), None

        return jax.lax.scan(step, jnp.eye(r, dtype=basis.rows.dtype), order)[0]

    drawn = jax.lax.map(epoch, jax.random.split(key, permutations))
    turned = drawn.transpose(0, 2, 1)
    start = jnp.diag((basis.values > 0).astype(drawn.dtype))
    start = start / jnp.linalg.norm(start)

    def peak(p, q):
        def step(_, carry):
            m, _ = carry
            m = product(product(p, m[None]), q).mean(axis=0)
            size = jnp.linalg.norm(m)
            return m / jnp.where(size > 0, size, 1), size

        return jax.lax.fori_loop(0, iterations, step, (start, jnp.zeros((), drawn.dtype)))

    right, rho = peak(drawn, turned)
    left, _ = peak(turned, drawn)
    each = (product(product(drawn, right[None]), turned) * left[None]).sum(axis=(1, 2)) / (left * right).sum()
    return Epochs(rho, each.std(ddof=1) / jnp.sqrt(permutations), rho ** (1 / count))
