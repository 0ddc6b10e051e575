r"""Which learning rates a minimum can hold: exact critical ones, growth rates, and the scalar bounds.

Write $T = \mathrm{Id} - 2 \eta C + \eta^2 D$ with $C(M) = (H M + M H) / 2$ and
$D(M) = (1 - c) H M H + c \frac1n \sum_i H_i M H_i$. Then $\rho \le 1$ iff $\eta D \le 2 C$, so

$$ \eta^* = 2 / \lambda_{\max}(C^{-1} D) . $$

In the eigenbasis of H, C multiplies entry (i, j) by $(h_i + h_j) / 2$; the symmetric operator $C^{-1/2} D C^{-1/2}$ is applied
in O(n r^2) without being formed, and Lanczos finds its largest eigenvalue. By Perron and Frobenius that is attained at a
positive semidefinite matrix, which the identity, whence Lanczos starts, cannot be orthogonal to.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab import precision
from lab.numerics import NotConverged, Reason, arguments
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.stability.gradients import Sizes
from lab.stability.lanczos import eigenpairs
from lab.stability.moments import Modes, average, in_modes


class Threshold(NamedTuple):
    """An eigenvalue of the second-moment operator, or a step size made of it."""

    value: Float[Array, "..."]
    error: Float[Array, "..."]  # relative bound on the eigenvalue by its residual; usually far too large
    iterations: Int[Array, "..."]  # applications of the operator
    converged: Bool[Array, "..."]


class _Ratio(eqx.Module):
    """C^{-1/2} D C^{-1/2} on matrices, as vectors."""

    basis: Modes
    c: Array

    def __call__(self, v: Array) -> Array:
        h = self.basis.values
        half = (h[:, None] + h[None, :]) / 2
        root = jnp.where(half > 0, 1 / jnp.sqrt(jnp.where(half > 0, half, 1)), 0)
        m = root * v.reshape(h.size, h.size)
        d = (1 - self.c) * h[:, None] * m * h[None, :] + self.c * average(self.basis.rows, m)
        return (root * d).ravel()


class _Map(eqx.Module):
    """T on matrices, as vectors."""

    basis: Modes
    eta: Array
    c: Array

    def __call__(self, v: Array) -> Array:
        r = self.basis.values.size
        return in_modes(self.basis, v.reshape(r, r), self.eta, self.c).ravel()


def critical(
    basis: Modes, c: ArrayLike | Sequence, beta: ArrayLike | None = None, *, steps: int = 100, tolerance: float = 1e-7
) -> Threshold:
    r"""The largest stable learning rate $\eta^* = 2 / \lambda_{\max}(C^{-1} D)$, elementwise in c; inf where H = 0.

    Time O(steps n k r^2) for each c; memory O(steps r^2). Differentiable in the gradients, c and beta by the implicit
    function theorem; with momentum once. The bound on the error carries no derivative.

    Args:
        basis: the gradients, from ``modes`` or ``modes_of``.
        c: ``noise(n, batch, replacement)``, of any shape; traced.
        beta: momentum; the first crossing of rho = 1 is then found by bisection.
        steps: of Lanczos at most, static.
        tolerance: of the residual relative to the eigenvalue, whose error is about its square.

    Returns:
        eta, in the shape of c, with a bound on its relative error.

    Raises:
        ValueError: float32, c outside [0, 1], momentum outside [0, 1).

    Source:
        Wu and Su (2023), of the setting; the exact threshold is the lab's.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> basis = stability.modes(jnp.eye(4))  # orthogonal gradients: 2 / trace with B = 1, 2 / lambda_max with c = 0
        >>> stability.critical(basis, jnp.array([1.0, 0.0])).value.round(6)
        Array([2., 8.], dtype=float64)
    """
    _double(basis)
    c = _share(c).astype(basis.values.dtype)
    if beta is None:
        one = _Critical(basis, steps, tolerance)
    else:
        one = jax.tree_util.Partial(_critical_momentum, basis, beta=_momentum(beta, c.dtype))
    found = _each(one, c.ravel())
    return jax.tree.map(lambda leaf: leaf.reshape(c.shape), found)


class _Critical(eqx.Module):
    basis: Modes
    steps: int = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)

    def __call__(self, c: Array) -> Threshold:
        h = self.basis.values
        start = jnp.diag(jnp.sqrt(h))
        value, error, count, good = _lanczos(_Ratio(self.basis, c), start, self.steps, self.tolerance)
        nothing = h[-1] <= 0
        value, error = jnp.where(nothing, 0, value), jnp.where(nothing, 0, error)
        return Threshold(2 / value, error / jnp.where(nothing, 1, value), count, good | nothing)


def growth(
    basis: Modes,
    eta: ArrayLike | Sequence,
    c: ArrayLike | Sequence,
    beta: ArrayLike | None = None,
    *,
    steps: int = 100,
    tolerance: float = 1e-7,
) -> Threshold:
    r"""$\rho(\eta, c)$, by which $E|\delta|^2$ grows in a step in the long run; ``eta`` and ``c`` broadcast against each other.

    With momentum the operator is not self-adjoint and has many eigenvalues of nearly the same size, on which power iteration
    is slow; rho is then found by bisection, with the feedback of the noise (``_feedback``). Differentiable as ``critical`` is.

    Args:
        basis: the gradients, from ``modes`` or ``modes_of``.
        eta: learning rates, positive; traced.
        c: of the batches, from ``noise``; traced.
        beta: momentum.
        steps: of Lanczos at most, static.
        tolerance: of the residual relative to the eigenvalue.

    Returns:
        rho, in the shape that eta and c have together; at most 1 where the minimum is stable.

    Raises:
        ValueError: float32, eta that is not positive, c outside [0, 1], momentum outside [0, 1).

    Source:
        Wu, Ma and E (2018), of linear stability; the exact rate is the lab's.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> basis = stability.modes(jnp.ones((1, 1)))  # gradient descent on H = 1: (1 - eta)^2
        >>> stability.growth(basis, jnp.array([0.5, 3.0]), 0.0).value.round(9)
        Array([0.25, 4.  ], dtype=float64)
    """
    _double(basis)
    eta = arguments.real("eta", eta, low=0, strict=True)
    eta, c = jnp.broadcast_arrays(*(each.astype(basis.values.dtype) for each in (eta, _share(c))))
    beta = None if beta is None else _momentum(beta, eta.dtype)
    found = _each(_Growth(basis, beta, steps, tolerance), (eta.ravel(), c.ravel()))
    return jax.tree.map(lambda leaf: leaf.reshape(eta.shape), found)


@jit
def _each(function: Callable, over: Any) -> Threshold:
    return jax.lax.map(function, over)


class _Growth(eqx.Module):
    basis: Modes
    beta: Array | None
    steps: int = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)

    def __call__(self, pair: tuple[Array, Array]) -> Threshold:
        (eta, c), basis = pair, self.basis
        if self.beta is not None:
            return _growth_momentum(basis, eta, c, self.beta)
        within = jnp.diag((basis.values > 0).astype(basis.values.dtype))
        value, error, count, good = _lanczos(_Map(basis, eta, c), within, self.steps, self.tolerance)
        nothing = basis.values[-1] <= 0
        value = jnp.where(nothing, 1, value)
        return Threshold(value, error / value, count, good | nothing)


def _lanczos(operator: eqx.Module, start: Array, steps: int, tolerance: float) -> tuple[Array, ...]:
    with warnings.catch_warnings():  # what did not converge is in the answer
        warnings.simplefilter("ignore", NotConverged)
        found = eigenpairs(operator, start.ravel(), steps=steps, tolerance=tolerance)  # type: ignore[arg-type]
    reason = jnp.asarray(found.reason)
    return found.values[0], found.residuals[0], jnp.asarray(found.iterations), reason == Reason.CONVERGED


def _momentum(beta: ArrayLike | Sequence, dtype) -> Array:
    beta = arguments.real("beta", beta, low=0)
    if not isinstance(beta, Tracer) and not (np.asarray(beta) < 1).all():
        raise ValueError(f"beta = {beta} is not allowed: the momentum beta must be at least 0 and below 1")
    return beta.astype(dtype)


def _share(c: ArrayLike | Sequence) -> Array:
    """The noise of batches, checked."""
    return arguments.real("c", c, low=0, high=1)


def _feedback(basis: Modes, eta: Array, c: Array, beta: Array, rho: Array) -> Threshold:
    r"""How much noise the noise makes, where moments are discounted by rho per step: rho is the growth rate iff this is 1.

    The mean moves mode i by $J_i$. Discounted and summed over all later times, the answer to a kick N of the velocity is
    $g \circ N$, and it kicks again; T - rho is singular iff the map

    $$ N \mapsto g \circ \eta^2 c\, [\textstyle\frac1n \sum_i H_i N H_i - H N H], \quad
       g_{ij} = [(\rho I - J_i \otimes J_j)^{-1} \mathbf 1 ]_{\delta\delta}, \quad
       J_i = \begin{pmatrix} 1 - \eta h_i & \beta \\ -\eta h_i & \beta \end{pmatrix} $$

    has the eigenvalue 1. It keeps positive semidefinite matrices so, and its spectral radius falls as rho rises above the
    growth rate of the mean.
    """
    return _answer(basis, eta, c, beta, rho)[0]


def _answer(basis: Modes, eta: Array, c: Array, beta: Array, rho: Array) -> tuple[Threshold, Array]:
    """The spectral radius of that map, and its eigenmatrix."""
    kick, gain = _kick(basis, eta, c), _gain(basis, eta, beta, rho)
    return _power(lambda m: gain * kick(m), jnp.diag((basis.values > 0).astype(basis.values.dtype)))


def _kick(basis: Modes, eta: Array, c: Array) -> Callable[[Array], Array]:
    h = basis.values
    inside = (h > 0)[:, None] & (h > 0)[None, :]
    return lambda m: jnp.where(inside, eta**2 * c * (average(basis.rows, m) - h[:, None] * m * h[None, :]), 0)


def _gain(basis: Modes, eta: Array, beta: Array, rho: Array) -> Array:
    h = basis.values
    inside = (h > 0)[:, None] & (h > 0)[None, :]
    j = _mean_maps(h, eta, beta)
    pairs = jnp.einsum("iab,jcd->ijacbd", j, j).reshape(h.size, h.size, 4, 4)
    one = jnp.broadcast_to(jnp.eye(4, dtype=h.dtype), pairs.shape)
    gap = jnp.where(inside[:, :, None, None], rho * one - pairs, one)
    return jnp.linalg.solve(gap, jnp.ones((h.size, h.size, 4, 1), h.dtype))[:, :, 0, 0]


@eqx.filter_custom_jvp
def _crossing(unknown: int, *given: Any) -> Array:
    """Of (basis, eta, c, beta, rho) the unknown one, found before, as a function of the others: where the feedback is 1."""
    return given[unknown]


@_crossing.def_jvp
def _crossing_jvp(primals, tangents):
    r"""The eigenvalue changes by $\langle A m, d(g A) m \rangle / \langle A m, m \rangle$, with A the kick and g the gain."""
    unknown, *given = primals
    basis, eta, c, *_ = given
    m, pull = refuse_derivative(
        (found := _answer(*given)[1], _kick(basis, eta, c)(found)),
        "the second derivative of a threshold with momentum is not implemented: take finite differences of the first",
    )

    size = jnp.vdot(pull, m)  # 0 without noise, when the crossing is not read

    def quotient(basis, eta, c, beta, rho):
        return jnp.vdot(pull, _gain(basis, eta, beta, rho) * _kick(basis, eta, c)(m)) / jnp.where(size > 0, size, 1)

    slope = jax.grad(lambda x: quotient(*(*given[:unknown], x, *given[unknown + 1 :])))(given[unknown])
    changes = [None if place == unknown else change for place, change in enumerate(tangents[1:])]
    if not jax.tree.leaves(changes):
        return given[unknown], jnp.zeros_like(given[unknown])
    moved = eqx.filter_jvp(quotient, tuple(given), tuple(changes))[1]
    return given[unknown], -moved / jnp.where(slope != 0, slope, 1)


def _mean_maps(h: Array, eta: Array, beta: Array) -> Float[Array, "r 2 2"]:
    momentum = jnp.full_like(h, beta)
    return jnp.stack([jnp.stack([1 - eta * h, momentum], -1), jnp.stack([-eta * h, momentum], -1)], 1)


def _power(
    step: Callable[[Array], Array], start: Array, limit: int = 5000, tolerance: float = 1e-11
) -> tuple[Threshold, Array]:
    """The spectral radius of a map that keeps positive semidefinite matrices so, by plain iteration from the identity.

    Successive values approach it like a geometric series, of which the rest is added (Aitken).
    """

    def body(carry):
        m, old, last, _, count = carry
        new = step(m)
        size = jnp.linalg.norm(new)
        change = size - old
        ratio = jnp.clip(jnp.where(last != 0, change / jnp.where(last != 0, last, 1), 0), 0, 0.9999)
        rest = jnp.where(count < 2, jnp.inf, change * ratio / (1 - ratio))
        return new / jnp.where(size > 0, size, 1), size, change, rest, count + 1

    def go(carry):
        _, size, change, rest, count = carry
        wrong = jnp.maximum(jnp.abs(rest) ** 2 / size, jnp.abs(change))  # of the sum, to second order
        return (count < 3) | ((wrong > tolerance * size) & (count < limit))

    start = start / jnp.maximum(jnp.linalg.norm(start), 1e-300)
    zero = jnp.zeros((), start.dtype)
    m, size, change, rest, count = jax.lax.while_loop(go, body, (start, zero, zero, zero, jnp.int32(0)))
    return Threshold(size + rest, jnp.abs(rest), count, jnp.abs(change) <= tolerance * size), m


def _bisect(below: Callable[[Array], Threshold], low: Array, high: Array, above_is_one: bool, halvings: int = 60):
    """Where the feedback crosses 1 between ``low`` and ``high``. ``above_is_one``: whether it exceeds 1 at the upper end."""

    def halve(_, carry):
        low, high, good, count = carry
        middle = (low + high) / 2
        found = below(middle)
        up = (found.value < 1) == above_is_one
        low, high = jnp.where(up, middle, low), jnp.where(up, high, middle)
        return low, high, good & found.converged, count + found.iterations

    low, high, good, count = jax.lax.fori_loop(0, halvings, halve, (low, high, jnp.asarray(True), jnp.int32(0)))
    return Threshold((low + high) / 2, (high - low) / high, count, good)


def _critical_momentum(basis: Modes, c: Array, *, beta: Array) -> Threshold:
    """The mean decays iff eta h_max < 2 (1 + beta); below that, T is stable iff the feedback at rho = 1 is below 1."""
    h = basis.values
    nothing = h[-1] <= 0
    limit = 2 * (1 + beta) / jnp.where(nothing, 1, h[-1])
    one = jnp.ones((), h.dtype)
    held = jax.lax.stop_gradient((basis, c, beta, limit))
    found = _bisect(lambda eta: _feedback(held[0], eta, held[1], held[2], one), jnp.zeros_like(limit), held[3], True)
    still = nothing | (c <= 0)
    mean = (c <= 0) | (found.value >= (1 - 1e-12) * limit)  # the noise does not matter, but the mean
    value = _crossing(1, basis, jnp.where(mean, held[3] / 2, found.value), c, beta, one)
    value = jnp.where(nothing, jnp.inf, jnp.where(mean, limit, value))
    return Threshold(value, jnp.where(still, 0, found.error), found.iterations, found.converged | still)


def _growth_momentum(basis: Modes, eta: Array, c: Array, beta: Array) -> Threshold:
    h = basis.values
    j = _mean_maps(h, eta, beta)
    half, product = (j[:, 0, 0] + j[:, 1, 1]) / 2, jnp.full_like(h, beta)  # trace / 2 and determinant
    under = half**2 - product
    root = jnp.where(under > 0, jnp.sqrt(jnp.where(under > 0, under, 1)), 0)
    each = jnp.where(under < 0, product, (jnp.abs(half) + root) ** 2)
    mean = jnp.where(h > 0, each, 0).max()
    norms = jnp.where(h > 0, (j**2).sum(axis=(1, 2)), 0).max()
    fourth = (jnp.einsum("nkr,nlr->nkl", basis.rows, basis.rows) ** 2).sum() / basis.n
    high = norms + 2 * eta**2 * c * fourth  # |T| in the trace norm
    held = jax.lax.stop_gradient((basis, eta, c, beta))
    found = _bisect(lambda rho: _feedback(*held, rho), *jax.lax.stop_gradient((mean, high)), False)
    still, nothing = (h[-1] <= 0) | (c <= 0), h[-1] <= 0
    quiet = (c <= 0) | (found.value <= (1 + 1e-12) * mean)  # the noise does not matter, but the mean
    value = _crossing(4, basis, eta, c, beta, jnp.where(quiet, 2 * high + 1, found.value))
    value = jnp.where(nothing, 1, jnp.where(quiet, mean, value))
    return Threshold(value, jnp.where(still, 0, found.error), found.iterations, found.converged | still)


class Bounds(NamedTuple):
    """Learning rates above which a minimum cannot be stable, from scalars alone; each is at least the exact one."""

    moments: Float[Array, "..."]  # 2 tr / ((1 - c) |G|_F^2 + c E tr H_i^2), the sharpest
    trace: Float[Array, "..."]  # 2 tr / ((1 - c) |G|_F^2 + c tr^2 / k); for B = 1, k = 1 it is 2 / tr
    descent: Float[Array, "..."]  # 2 / lambda_max: of gradient descent, and of the mean of SGD


def bounds(of: Sizes, c: ArrayLike | Sequence, outputs: int = 1) -> Bounds:
    r"""Necessary conditions, from $\langle I, T(I) \rangle \le \langle I, I \rangle$; elementwise in c.

    For B > 1 tr(G) <= 2 / eta is not implied: with replacement it is tr(G) <= 2 B / eta.

    Args:
        of: how large G is, from ``sizes``.
        c: of the batches, from ``noise``.
        outputs: of the model, k.

    Returns:
        learning rates above which the minimum is not stable, each in the shape of c.

    Raises:
        ValueError: c outside [0, 1], or outputs below 1.

    Source:
        Wu and Su (2023).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> [float(eta.round(9)) for eta in stability.bounds(stability.sizes(jnp.eye(4)), 1.0)]
        [2.0, 2.0, 8.0]
    """
    c, outputs = _share(c).astype(of.trace.dtype), arguments.whole("outputs", outputs, 1)
    square = (1 - c) * of.frobenius**2
    return Bounds(
        2 * of.trace / (square + c * of.fourth),
        2 * of.trace / (square + c * of.trace**2 / outputs),
        jnp.broadcast_to(2 / of.lambda_max, c.shape),
    )


class Limits(NamedTuple):
    """What a stable minimum may have, in units of 2 / eta."""

    trace: Float[Array, "..."]  # eta tr(G) / 2 is at most this; inf where there is no such limit
    descent: Float[Array, "..."]  # eta lambda_max / 2 is at most this


def limits(c: ArrayLike | Sequence, outputs: int = 1, beta: ArrayLike | Sequence = 0.0) -> Limits:
    r"""The bounds that need nothing of G, elementwise in c: $\eta\, \mathrm{tr}(G) / 2 \le k / c$ and
    $\eta \lambda_{\max} / 2 \le 1 + \beta$.

    With replacement k / c is k B, so that only single samples and one output have tr(G) <= 2 / eta; gradient descent, c = 0,
    has no limit on the trace, and with momentum none is known.

    Args:
        c: of the batches, from ``noise``.
        outputs: of the model, k.
        beta: momentum.

    Returns:
        both limits, in units of 2 / eta.

    Raises:
        ValueError: c outside [0, 1], momentum outside [0, 1), outputs below 1.

    Source:
        Wu and Su (2023).

    Examples:
        >>> from lab import stability
        >>> found = stability.limits(stability.noise(10, 4))
        >>> float(found.trace), float(found.descent)
        (4.0, 1.0)
    """
    arguments.whole("outputs", outputs, 1)
    c, beta = jnp.broadcast_arrays(_share(c).astype(float), _momentum(beta, float))
    none = (c <= 0) | (beta > 0)
    return Limits(jnp.where(none, jnp.inf, outputs / jnp.where(none, 1, c)), 1 + beta)


def loss_bound(
    frobenius: ArrayLike | Sequence, batch: ArrayLike | Sequence, mu: ArrayLike | Sequence
) -> Float[Array, "..."]:
    r"""$\sqrt{B / \mu} / \|G\|_F$: above it the loss grows where the alignment stays at least $\mu$.

    Args:
        frobenius: norm of G.
        batch: B.
        mu: the alignment.

    Returns:
        a learning rate, elementwise.

    Raises:
        ValueError: a number that is not positive.

    Source:
        Wu, Wang and Su (2022).

    Examples:
        >>> from lab import stability
        >>> float(stability.loss_bound(2.0, 4, 1.0))
        1.0
    """
    frobenius, batch, mu = (
        arguments.real(name, value, low=0, strict=True)
        for name, value in (("frobenius", frobenius), ("batch", batch), ("mu", mu))
    )
    return jnp.sqrt(batch / mu) / frobenius


def _double(basis: Modes) -> None:
    # near rho = 1 single precision cannot tell stable from unstable
    precision.need_float64("a threshold", **{"the gradient (of weights and data)": basis.values})
