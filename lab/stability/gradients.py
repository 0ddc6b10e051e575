r"""Gradients of the outputs sample by sample, their Gram matrix, and what the Gram matrix says.

A model is $f(\theta; x)$ with k outputs, its loss $L = \frac1{2n} \sum_i |f(\theta; x_i) - y_i|^2$. With $g_{io}$ the gradient
of output o at sample i and A the (nk, p) matrix of all of them,

$$ H_i = \sum_o g_{io} g_{io}^T, \qquad G = \frac1n \sum_i H_i = \frac1n A^T A, \qquad K = A A^T . $$

G is the Gauss-Newton matrix, the Hessian of L where $f(\theta; x_i) = y_i$ for all i. Its nonzero eigenvalues are those
of K / n, so that trace, Frobenius norm and top eigenvalue need K alone, and nothing of size p x p is ever made.
"""

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.numerics import arguments
from lab.numerics.jit import jit

type Tree = Any
type Predict = Callable[[Any, Any], Array]
"""From parameters and one sample to its output, () or (k,)."""

_ENTRIES = 10**8  # of A at once, before it is made in chunks


def call(model: Callable, x: Array) -> Array:
    r"""The ``Predict`` of a model that is a pytree and is called with one sample: an equinox module.

    $$ f(\theta; x) = \theta(x) $$

    Args:
        model: the parameters, which can be called.
        x: one sample.

    Returns:
        its output, () or (k,).

    Source:
        Wu and Su (2023), of the notation $f(x; \theta)$.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> stability.call(lambda x: 2 * x, jnp.array([3.0])).tolist()
        [6.0]
    """
    return model(x)


class Parts(NamedTuple):
    """Parameters taken apart, so that what is no array does not enter a compiled program as one."""

    free: Tree  # what is differentiated by; floating-point arrays
    fixed: Tree  # other arrays
    rest: tuple[tuple[Hashable, ...], Any]  # everything else, functions say; hashable


def part(params: Tree, chosen: Any = None) -> Parts:
    """Take parameters apart. ``chosen``: a pytree of bools, False where an array is to stay fixed."""
    arrays, rest = eqx.partition(params, lambda leaf: isinstance(leaf, jax.Array | np.ndarray))
    free, fixed = eqx.partition(arrays, lambda leaf: jnp.issubdtype(leaf.dtype, jnp.floating))
    if chosen is not None:
        free, held = eqx.partition(free, chosen)
        fixed = eqx.combine(fixed, held)
    if not jax.tree.leaves(free):
        raise ValueError("no floating-point array is among the parameters: there is nothing to differentiate by")
    leaves, structure = jax.tree.flatten(rest)
    return Parts(jax.tree.map(jnp.asarray, free), fixed, (tuple(leaves), structure))


def join(free: Tree, fixed: Tree, rest: tuple) -> Tree:
    """Put the parts together again."""
    return eqx.combine(free, fixed, jax.tree.unflatten(rest[1], rest[0]))


def flat(params: Tree) -> tuple[Float[Array, " p"], Callable[[Array], Tree]]:
    """The parameters as one vector, in the order of the pytree, and the way back."""
    parts = part(params)
    vector, unravel = ravel_pytree(parts.free)
    return vector, lambda v: join(unravel(v), parts.fixed, parts.rest)


def samples(name: str, values: Any) -> Array:
    """Samples along the leading axis, as an array: of real numbers where a list is given."""
    found = jnp.asarray(values) if hasattr(values, "dtype") else arguments.real(name, values)
    if found.ndim < 1 or found.shape[0] < 1:
        raise ValueError(f"{name} has shape {found.shape}: at least one sample along a leading axis is needed")
    return found


@jit
def outputs(predict: Predict, params: Tree, x: Array, chunk: int | None = None) -> Float[Array, "n k"]:
    """The outputs at all samples x (n, ...); a model of one output has k = 1."""
    return jax.lax.map(lambda each: jnp.atleast_1d(predict(params, each)), x, batch_size=chunk or x.shape[0])


def residuals(
    predict: Predict, params: Tree, x: ArrayLike | Sequence, y: ArrayLike | Sequence, chunk: int | None = None
) -> Float[Array, "n k"]:
    """$e_i = f(x_i) - y_i$.

    Args:
        predict: from parameters and one sample to its output, () or (k,).
        params: any pytree.
        x: samples (n, ...).
        y: targets (n,) or (n, k).
        chunk: samples at once; all when omitted.

    Returns:
        residuals (n, k); a model of one output has k = 1.

    Raises:
        ValueError: y that does not fit the outputs.

    Source:
        Wu and Su (2023), of the setting.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> stability.residuals(lambda w, x: w @ x, jnp.ones(2), jnp.eye(2), jnp.array([1.0, 3.0]))
        Array([[ 0.],
               [-2.]], dtype=float64)
    """
    x, y = samples("x", x), samples("y", y)
    found = outputs(predict, params, x, chunk)
    if y.shape[0] != x.shape[0] or y.size != found.size:
        raise ValueError(f"y has shape {y.shape}, but the model gives {found.shape} at the {x.shape[0]} samples")
    return found - y.reshape(found.shape)


def jacobian(
    predict: Predict, params: Tree, x: ArrayLike | Sequence, chunk: int | None = None
) -> Float[Array, "n k p"]:
    r"""The gradient of each output at each sample, $g_{io} = \nabla_\theta f_o(\theta; x_i)$.

    Memory O(n k p), and in each chunk what reverse mode needs.

    Args:
        predict: from parameters and one sample to its output, () or (k,).
        params: any pytree, of p numbers.
        x: samples (n, ...).
        chunk: samples at once; all when omitted.

    Returns:
        gradients (n, k, p), in the order of the flattened pytree.

    Source:
        Wu and Su (2023), of the setting.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> stability.jacobian(lambda w, x: w @ x, jnp.ones(2), jnp.array([[3.0, 4.0]]))  # of a linear model, the sample
        Array([[[3., 4.]]], dtype=float64)
    """
    return _jacobian(predict, params, samples("x", x), chunk)


@jit
def _jacobian(predict: Predict, params: Tree, x: Array, chunk: int | None) -> Float[Array, "n k p"]:
    vector, rebuild = flat(params)
    rows = jax.jacrev(lambda v, each: jnp.atleast_1d(predict(rebuild(v), each)))
    return jax.lax.map(lambda each: rows(vector, each), x, batch_size=chunk or x.shape[0])


def gram(
    predict: Predict, params: Tree, x: ArrayLike | Sequence, chunk: int | None = None, entries: int = _ENTRIES
) -> Float[Array, "nk nk"]:
    """$K = A A^T$, samples first, then outputs.

    Where A has more than ``entries`` entries it is made block by block and never held: memory O(n^2 k^2 + chunk k p), time
    O(n / chunk) times that of one pass. Thresholds need float64.

    Args:
        predict: from parameters and one sample to its output, () or (k,).
        params: any pytree, of p numbers.
        x: samples (n, ...).
        chunk: samples at once; all when omitted, or what ``entries`` allows.
        entries: of A, (n k, p), that may be held.

    Returns:
        the Gram matrix (n k, n k).

    Source:
        Wu and Su (2023), of the setting.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> stability.gram(lambda w, x: w @ x, jnp.ones(2), jnp.array([[3.0, 4.0], [1.0, 0.0]]))
        Array([[25.,  3.],
               [ 3.,  1.]], dtype=float64)
    """
    return _gram(predict, params, samples("x", x), chunk, arguments.whole("entries", entries, 1))


@jit
def _gram(predict: Predict, params: Tree, x: Array, chunk: int | None, entries: int) -> Float[Array, "nk nk"]:
    n = x.shape[0]
    size = flat(params)[0].size
    k = jax.eval_shape(lambda: outputs(predict, params, x[:1])).shape[1]
    if n * k * size <= entries:
        rows = jacobian(predict, params, x, chunk).reshape(n * k, size)
        return jnp.matmul(rows, rows.T, precision="highest")
    chunk = min(n, chunk or max(1, entries // (2 * k * size)))
    blocks = -(-n // chunk)
    padded = jnp.concatenate([x, jnp.broadcast_to(x[:1], (blocks * chunk - n, *x.shape[1:]))])
    padded = padded.reshape(blocks, chunk, *x.shape[1:])

    def block(each):
        return jacobian(predict, params, each).reshape(chunk * k, size)

    def row(each):
        left = block(each)
        products = jax.lax.map(lambda other: jnp.matmul(left, block(other).T, precision="highest"), padded)
        return jnp.moveaxis(products, 0, 1).reshape(chunk * k, blocks * chunk * k)

    whole = jax.lax.map(row, padded).reshape(blocks * chunk * k, blocks * chunk * k)[: n * k, : n * k]
    return (whole + whole.T) / 2


class Sizes(NamedTuple):
    """How large G is."""

    trace: Float[Array, ""]
    frobenius: Float[Array, ""]
    lambda_max: Float[Array, ""]
    fourth: Float[Array, ""]  # (1/n) sum tr(H_i^2), the mean of |g|^4 where k = 1


@arguments.arrays()
def sizes(k: Float[Array, "nk nk"], outputs: int = 1) -> Sizes:
    r"""Of G, from its Gram matrix: tr, $\|G\|_F, \lambda_{\max}$, $\frac1n \sum_i \mathrm{tr}\,H_i^2$. Time O(n^3 k^3).

    Args:
        k: the Gram matrix K, (n k, n k).
        outputs: of the model, k.

    Returns:
        the four numbers.

    Source:
        Wu and Su (2023).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> found = stability.sizes(4 * jnp.eye(4))  # orthogonal gradients of norm 2
        >>> [float(number.round(9)) for number in found]
        [4.0, 2.0, 1.0, 16.0]
    """
    n = check_gram(k, outputs)
    top = jnp.linalg.eigvalsh(k)[-1] / n
    return Sizes(jnp.trace(k) / n, jnp.linalg.norm(k) / n, top, (own_blocks(k, outputs) ** 2).sum() / n)


def check_gram(k: Array, outputs: int) -> int:
    """The number of samples of a Gram matrix.

    Raises:
        ValueError: outputs that do not divide its size.
    """
    if arguments.whole("outputs", outputs, 1) and k.shape[0] % outputs:
        raise ValueError(
            f"outputs = {outputs} is not allowed: k has {k.shape[0]} rows, which outputs must divide into samples"
        )
    return k.shape[0] // outputs


def own_blocks(k: Float[Array, "nk nk"], outputs: int = 1) -> Float[Array, "n k k"]:
    """The blocks of each sample with itself."""
    n = k.shape[0] // outputs
    blocks = k.reshape(n, outputs, n, outputs)
    return blocks[jnp.arange(n), :, jnp.arange(n), :]


@arguments.arrays()
def alignment(k: Float[Array, "nk nk"], e: Float[Array, "n k"]) -> Float[Array, ""]:
    r"""$\mu = \mathrm{tr}(\Sigma G) / (2 L \|G\|_F^2)$, with $\Sigma$ the covariance of the gradient of one sample's loss.

    $$ \Sigma = \frac1n \sum_i s_i s_i^T - \nabla L \nabla L^T, \qquad s_i = \sum_o e_{io} g_{io} . $$

    The subtracted term is kept.

    Args:
        k: the Gram matrix K, (n k, n k).
        e: residuals (n, k).

    Returns:
        mu; NaN where the loss or G is 0.

    Raises:
        ValueError: shapes that do not fit, or numbers that are not finite.

    Source:
        Wu, Wang and Su (2022).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> float(stability.alignment(jnp.eye(4), jnp.ones((4, 1))))  # 1 - 1/n
        0.75
    """
    n, outputs = e.shape
    if k.shape[0] != e.size:
        raise ValueError(
            f"k has shape {k.shape}: shape ({e.size}, {e.size}) is needed, one row a residual of e {e.shape}"
        )
    blocks = k.reshape(n * outputs, n, outputs)
    pull = jnp.einsum("ajo,jo->aj", blocks, e, precision="highest")  # A s_j
    spread = (pull**2).sum() / n**2 - (pull.mean(axis=1) ** 2).sum() / n
    return spread / ((e**2).sum() / n * (k**2).sum() / n**2)


def check_interpolation(e: Float[Array, "n k"], y: Array, tolerance: float = 1e-3) -> None:
    """Warn where the residuals are no small part of y: G is then not the Hessian, and thresholds do not bind."""
    if isinstance(e, Tracer):
        return
    left, whole = float(jnp.linalg.norm(e)), float(np.linalg.norm(np.asarray(y)))
    if not left <= tolerance * whole:
        warnings.warn(
            f"this is no interpolating minimum: the residual has norm {left:.3g} and the targets {whole:.3g}; "
            "thresholds say what SGD can hold at a minimum only, so train on until the residual vanishes",
            stacklevel=3,
        )


def check_finite(rows: Array) -> None:
    """Raise where a gradient is infinite or NaN."""
    if not isinstance(rows, Tracer) and not np.isfinite(np.asarray(rows)).all():
        raise ValueError(
            "the gradients are not all finite: no threshold exists there; look at the weights and the data"
        )
