"""One point of one model looked at whole: spectrum, trace, blocks, and, where the outputs are known, thresholds.

Nothing here knows of labels or pictures: plain numbers in, NamedTuples out.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import Loop, pure
from lab.stability import moments
from lab.stability.gradients import (
    Predict,
    Sizes,
    Tree,
    alignment,
    check_finite,
    check_interpolation,
    gram,
    residuals,
    sizes,
)
from lab.stability.hessian import FULL, Block, BlockNorms, block_norms, full, hessian
from lab.stability.lanczos import Eigen, eigenpairs
from lab.stability.moments import modes, noise
from lab.stability.spectrum import Density, Estimate, Quadrature, density, quadrature, trace
from lab.stability.thresholds import Bounds, Threshold, bounds, critical


class Stability(NamedTuple):
    """What SGD on square loss can hold here. The first axis of thresholds is with, then without replacement."""

    sizes: Sizes
    residual: Float[Array, ""]  # norm of f - y; thresholds bind where it is 0
    mu: Float[Array, ""]
    batch_sizes: Float[Array, " b"]
    eta: Threshold  # critical learning rates (2, b)
    bounds: Bounds  # (2, b)


class Analysis(NamedTuple):
    """A function of a pytree at a point."""

    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    blocks: tuple[Block, ...]
    top: Eigen
    quadrature: Quadrature
    density: Density
    trace: Estimate
    block_norms: BlockNorms
    matrix: Float[Array, "p p"] | None  # None above ``limit`` parameters
    stability: Stability | None  # None unless ``predict`` was given


def stability(
    predict: Predict,
    params: Tree,
    x: Array,
    y: Array,
    batch_sizes: Sequence[int] | None = None,
    chunk: int | None = None,
) -> Stability:
    """Critical learning rates of a minimum of square loss, for batch sizes with and without replacement.

    Args:
        predict: from parameters and one sample to its output.
        params: at the minimum; in float64.
        x, y: the training samples.
        batch_sizes: 1, 2, 4, ... up to n when omitted; above n with replacement only, without it is NaN.
        chunk: samples at once.

    Raises:
        ValueError: gradients that are not finite, float32, a batch outside what is allowed.

    Warns:
        UserWarning: the residual does not vanish.

    Time O(n^3 k^3) and some tens of times n^2 k^2 r for each batch size.
    """
    error = residuals(predict, params, x, y, chunk)
    check_finite(error)
    check_interpolation(error, y)
    n, outputs = error.shape
    k = gram(predict, params, x, chunk)
    basis, measured = modes(k, outputs), sizes(k, outputs)
    batch = jnp.asarray(moments.batch_sizes(n) if batch_sizes is None else batch_sizes)
    c = jnp.stack([noise(n, batch, True), noise(n, jnp.minimum(batch, n), False)])
    fits = jnp.stack([batch > 0, batch <= n])
    eta, found = critical(basis, c), bounds(measured, c, outputs)
    return Stability(
        measured,
        jnp.linalg.norm(error),
        alignment(k, error),
        jnp.asarray(batch, k.dtype),
        eta._replace(value=jnp.where(fits, eta.value, jnp.nan)),
        Bounds(*(jnp.where(fits, each, jnp.nan) for each in found)),
    )


def analyze(
    loss: Callable[..., Array],
    params: Tree,
    *data: Array,
    key: PRNGKeyArray,
    predict: Predict | None = None,
    batch_sizes: Sequence[int] | None = None,
    only: str | Sequence[str] | None = None,
    top: int = 3,
    steps: int = 40,
    probes: int = 8,
    products: int = 60,
    limit: int = FULL,
    chunk: int | None = None,
    loop: Loop = pure,
) -> Analysis:
    """Look at ``loss(params, *data)``.

    Args:
        loss: a scalar function: of an equinox module, a dictionary of flax, any pytree.
        params: where.
        data: its other arguments. With ``predict`` they are x and y, and the loss should be half the mean squared error.
        key: of all that is drawn.
        predict: from parameters and one sample to its output; thresholds are then computed.
        batch_sizes, chunk: as of ``stability`` and ``hessian``.
        only: paths of the parameters that count for the Hessian.
        top: eigenpairs.
        steps, probes: of Lanczos, for them and for the density.
        products: for the trace, by XTrace up to a million parameters, by Hutchinson above.
        limit: parameters up to which the full matrix is made.
        loop: ``pure``, or a ``Chunked`` that reports and stops: between products for eigenpairs, probes for the density.

    Raises:
        ValueError: a loss or gradient that is infinite or NaN, or what the parts raise.

    About steps + probes * steps + products + 4 blocks products with the Hessian. Memory O((steps + products) p), without XTrace
    O(steps p).
    """
    operator = hessian(loss, params, *data, only=only, chunk=chunk)
    value, slope = operator.loss(), operator.gradient()
    if not bool(jnp.isfinite(value)):
        raise ValueError(
            f"the loss is {value} at these parameters: there is no Hessian to look at; train with a smaller step"
        )
    check_finite(slope)
    keys = jax.random.split(key, 4)
    size = operator.size
    steps = min(steps, size)
    found = eigenpairs(operator, keys[0], min(top, steps), steps=steps, loop=loop)
    seen = quadrature(keys[1], operator, probes=probes, steps=steps, loop=loop)
    low_memory = size > 10**6 or products // 2 >= size
    cuts = [0, *(block.stop for block in operator.blocks)]
    return Analysis(
        value,
        jnp.linalg.norm(slope),
        operator.blocks,
        found,
        seen,
        density(seen),
        trace(keys[2], operator, products, "hutchinson" if low_memory else "xtrace"),
        block_norms(keys[3], operator, cuts, 4),
        full(operator, limit=limit) if size <= limit else None,
        None if predict is None else stability(predict, params, data[0], data[1], batch_sizes, chunk),
    )
