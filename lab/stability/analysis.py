"""One point of one model looked at whole: spectrum, trace, blocks, and, where the outputs are known, thresholds.

Nothing here knows of labels or pictures: plain numbers in, NamedTuples out.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import Loop, arguments, pure
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
    samples,
    sizes,
)
from lab.stability.hessian import FULL, Block, BlockNorms, block_norms, full, hessian
from lab.stability.lanczos import Eigen, eigenpairs, norm
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
    x: ArrayLike | Sequence,
    y: ArrayLike | Sequence,
    batch_sizes: Sequence[int] | None = None,
    chunk: int | None = None,
) -> Stability:
    r"""Critical learning rates of a minimum of square loss, for batch sizes with and without replacement.

    $$ \eta^* = 2 / \lambda_{\max}(C^{-1} D), \qquad C(M) = (H M + M H) / 2, \quad
       D(M) = (1 - c) H M H + c \tfrac1n \textstyle\sum_i H_i M H_i $$

    Time O(n^3 k^3) and some tens of times n^2 k^2 r for each batch size. A residual that does not vanish warns (UserWarning).

    Args:
        predict: from parameters and one sample to its output, () or (k,).
        params: at the minimum, any pytree; in float64.
        x: the training samples, (n, ...).
        y: their targets, (n,) or (n, k).
        batch_sizes: 1, 2, 4, ... up to n when omitted; above n with replacement only, without it is NaN.
        chunk: samples at once.

    Returns:
        critical learning rates and scalar bounds, (2, b): with, then without replacement; and how large G is.

    Raises:
        ValueError: gradients that are not finite, float32, a batch outside what is allowed.

    Source:
        Wu and Su (2023); the exact threshold is the lab's.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> linear = lambda w, x: w @ x
        >>> found = stability.stability(linear, jnp.ones(2), jnp.eye(2), jnp.ones(2), [1, 2])
        >>> found.eta.value[1].round(6)  # without replacement: 2 / trace, then 2 / lambda_max
        Array([2., 4.], dtype=float64)
    """
    x, y = samples("x", x), samples("y", y)
    error = residuals(predict, params, x, y, chunk)
    check_finite(error)
    check_interpolation(error, y)
    n, outputs = error.shape
    k = gram(predict, params, x, chunk)
    basis, measured = modes(k, outputs), sizes(k, outputs)
    for size in batch_sizes or ():
        arguments.whole("batch_sizes", size, 1)
    batch = jnp.asarray(moments.batch_sizes(n) if batch_sizes is None else batch_sizes)
    c = jnp.stack([noise(n, batch, True), noise(n, jnp.minimum(batch, n), False)])
    fits = jnp.stack([batch > 0, batch <= n])
    eta, found = critical(basis, c), bounds(measured, c, outputs)
    return Stability(
        measured,
        norm(error),
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
    r"""Look at ``loss(params, *data)``: what its Hessian $\nabla^2 L(\theta)$ is like, and thresholds.

    About steps + probes * steps + products + 4 blocks products with the Hessian. Memory O((steps + products) p), without XTrace
    O(steps p).

    Args:
        loss: a scalar function: of an equinox module, a dictionary of flax, any pytree.
        params: where.
        data: its other arguments. With ``predict`` they are x and y, and the loss should be half the mean squared error.
        key: of all that is drawn.
        predict: from parameters and one sample to its output; thresholds are then computed.
        batch_sizes: as of ``stability``.
        only: paths of the parameters that count for the Hessian.
        top: eigenpairs.
        steps: of Lanczos, for eigenpairs and for the density.
        probes: of the density.
        products: for the trace, by XTrace up to a million parameters, by Hutchinson above or where half of the products are as
            many as the parameters.
        limit: parameters up to which the full matrix is made.
        chunk: samples at once, as of ``hessian`` and ``stability``.
        loop: ``pure``, or a ``Chunked`` that reports and stops: between products for eigenpairs, probes for the density.

    Returns:
        an ``Analysis``.

    Raises:
        ValueError: a loss or gradient that is infinite or NaN, or what the parts raise.

    Source:
        Wu and Su (2023), of the thresholds; the parts name their own.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> bowl = lambda w: (w[0] ** 2 + 3 * w[1] ** 2) / 2
        >>> seen = stability.analyze(bowl, jnp.ones(2), key=jax.random.key(0), top=2, steps=2, probes=2, products=4)
        >>> seen.top.values.round(6), float(seen.trace.value.round(6))
        (Array([3., 1.], dtype=float64), 4.0)
    """
    operator = hessian(loss, params, *data, only=only, chunk=chunk)
    value, slope = operator.loss(), operator.gradient()
    if not isinstance(value, Tracer) and not np.isfinite(value):
        raise ValueError(
            f"the loss is {value} at these parameters: there is no Hessian to look at; train with a smaller step"
        )
    check_finite(slope)
    keys = jax.random.split(key, 4)
    size = operator.size
    steps = min(arguments.whole("steps", steps, 1), size)
    found = eigenpairs(operator, keys[0], min(arguments.whole("top", top, 1), steps), steps=steps, loop=loop)
    seen = quadrature(keys[1], operator, probes=probes, steps=steps, loop=loop)
    low_memory = size > 10**6 or arguments.whole("products", products, 2) // 2 >= size
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
