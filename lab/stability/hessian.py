r"""The Hessian of any scalar function of a pytree, as an operator: never formed unless asked for and small.

$$ H v = \frac{d}{ds} \nabla L(\theta + s v) \Big|_{s = 0} $$

costs about two gradients and holds a few vectors of the size of the parameters, so that ten million of them are no obstacle.
For $L = \frac1n \sum_i \ell(f(\theta; x_i), y_i)$ it splits into

$$ H = \underbrace{\frac1n \sum_i J_i^T \ell''_i J_i}_{\text{Gauss-Newton}} + \text{what the curvature of } f \text{ adds},
   \qquad F = \frac1n \sum_i \nabla \ell_i \nabla \ell_i^T , $$

F the empirical Fisher matrix. For square loss the second part vanishes where every residual does.
"""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import arguments, random
from lab.numerics.jit import jit
from lab.stability.gradients import Tree, join, part, samples
from lab.stability.lanczos import Operator, as_tree
from lab.stability.spectrum import deviation

FULL = 4000  # parameters up to which the full matrix is made unless told otherwise: 128 MB in float64


class Block(NamedTuple):
    """One array among the parameters, and its place in the flat vector."""

    path: str  # as "layers/0/weight"
    start: int
    stop: int
    shape: tuple[int, ...]


def blocks(params: Tree, only: str | Sequence[str] | None = None) -> tuple[Block, ...]:
    r"""The arrays of floating-point parameters, in the order of the flat vector $\theta \in R^p$; those of ``only``, if given.

    Args:
        params: any pytree.
        only: paths or patterns, as "layers/0/weight", "layers/*/bias" or "layers/0".

    Returns:
        path, place in the flat vector and shape of each.

    Raises:
        ValueError: a pattern that fits no path.

    Source:
        Wu and Su (2023), of the notation.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> [(block.path, block.start, block.stop) for block in stability.blocks({"a": jnp.ones(2), "b": jnp.ones((2, 3))})]
        [('a', 0, 2), ('b', 2, 8)]
    """
    return _placed(part(params, _chosen(params, only)).free)


def _placed(free: Tree) -> tuple[Block, ...]:
    found, at = [], 0
    for path, leaf in jax.tree_util.tree_flatten_with_path(free)[0]:
        found.append(Block(_name(path), at, at + leaf.size, leaf.shape))
        at += leaf.size
    return tuple(found)


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _chosen(params: Tree, only: str | Sequence[str] | None) -> Any:
    if only is None:
        return None
    patterns = [only] if isinstance(only, str) else list(only)
    free = part(params).free
    paths = [_name(path) for path, _ in jax.tree_util.tree_flatten_with_path(free)[0]]
    for pattern in patterns:
        if not any(_fits(path, pattern) for path in paths):
            raise ValueError(f"no parameter is at {pattern!r}; there are {', '.join(paths)}")
    return jax.tree_util.tree_map_with_path(lambda path, _: any(_fits(_name(path), each) for each in patterns), free)


def _fits(path: str, pattern: str) -> bool:
    """A pattern names a leaf or a branch, ``*`` stands for anything."""
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}/*")


class _Curvature(eqx.Module):
    """What all operators on the parameters share."""

    function: Any
    free: Tree
    fixed: Tree
    rest: tuple = eqx.field(static=True)
    data: tuple
    chunk: int | None = eqx.field(static=True)

    @property
    def size(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self.free))

    @property
    def dtype(self):
        return jnp.result_type(*jax.tree.leaves(self.free))

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The arrays differentiated by."""
        return _placed(self.free)

    def params(self, vector: Float[Array, " p"] | None = None) -> Tree:
        """The parameters, or other ones from a flat vector."""
        free = self.free if vector is None else ravel_pytree(self.free)[1](vector)
        return join(free, self.fixed, self.rest)

    def _mean(self, of: Callable) -> Any:
        """The mean over the data of ``of(part of the data)``, itself a mean, in chunks."""
        chunk = self.chunk
        if chunk is None or chunk >= self.data[0].shape[0]:
            return of(self.data)
        n = self.data[0].shape[0]
        whole = n // chunk * chunk
        parts = tuple(x[:whole].reshape(-1, chunk, *x.shape[1:]) for x in self.data)

        def add(total, each):
            return jax.tree.map(lambda t, new: t + chunk / n * new, total, of(each)), None

        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(of, tuple(x[0] for x in parts)))
        total = jax.lax.scan(add, zero, parts)[0]
        if whole == n:
            return total
        return jax.tree.map(lambda t, new: t + (n - whole) / n * new, total, of(tuple(x[whole:] for x in self.data)))


class Hessian(_Curvature):
    """The Hessian of a function of a pytree, called with a flat vector (p,). Made by ``hessian``."""

    def _loss(self, free: Tree, data: tuple) -> Array:
        return self.function(join(free, self.fixed, self.rest), *data)

    @jit
    def loss(self, vector: Float[Array, " p"] | None = None) -> Float[Array, ""]:
        """The function here, or at other parameters."""
        free = self.free if vector is None else ravel_pytree(self.free)[1](vector)
        return self._mean(lambda data: self._loss(free, data))

    @jit
    def gradient(self) -> Float[Array, " p"]:
        return self._mean(lambda data: ravel_pytree(jax.grad(self._loss)(self.free, data))[0])

    @jit
    def __call__(self, v: Float[Array, " p"]) -> Float[Array, " p"]:
        tangent = ravel_pytree(self.free)[1](v)

        def product(data):
            slope = partial(jax.grad(self._loss), data=data)
            return ravel_pytree(jax.jvp(slope, (self.free,), (tangent,))[1])[0]

        return self._mean(product)


def hessian(
    loss: Callable[..., Array],
    params: Tree,
    *data: Any,
    only: str | Sequence[str] | None = None,
    chunk: int | None = None,
) -> Hessian:
    r"""The Hessian of ``loss(params, *data)`` by the parameters, as an operator.

    $$ v \mapsto H v = \frac{d}{ds} \nabla L(\theta + s v) \Big|_{s = 0} $$

    A product takes about two gradients and memory O(p) beside what reverse mode needs of a chunk.

    Args:
        loss: a scalar function. A user's own: of an equinox module, a flax or optax dictionary, or any pytree.
        params: where. Only floating-point arrays are differentiated by.
        data: the other arguments.
        only: paths of the arrays that count, as "layers/0/weight", "layers/*/bias" or "layers/0"; all when omitted.
        chunk: samples at once, where the loss is a mean over the leading axis of every array of ``data``.

    Returns:
        an operator that is called with a flat vector (p,).

    Raises:
        ValueError: a path that does not exist, nothing to differentiate by, or a loss that is no scalar.

    Source:
        Pearlmutter, Fast exact multiplication by the Hessian (1994).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> operator = stability.hessian(lambda w: w[0] ** 2 * w[1], jnp.array([2.0, 5.0]))
        >>> operator(jnp.array([1.0, 0.0]))  # the first column: 2 w_1, 2 w_0
        Array([10.,  4.], dtype=float64)
    """
    if chunk is not None:
        arguments.whole("chunk", chunk, 1)
    parts = part(params, _chosen(params, only))
    made = Hessian(as_tree(loss), parts.free, parts.fixed, parts.rest, data, chunk)
    shape = jax.eval_shape(lambda: loss(params, *data))
    if shape.shape != ():
        raise ValueError(f"the loss has shape {shape.shape}, but a scalar is needed: take its mean")
    return made


class GaussNewton(_Curvature):
    """The Gauss-Newton matrix of a mean of ``criterion(predict(params, x), y)``; for cross-entropy the Fisher matrix."""

    predict: Any

    @jit
    def __call__(self, v: Float[Array, " p"]) -> Float[Array, " p"]:
        tangent = ravel_pytree(self.free)[1](v)

        def product(data):
            x, y = data

            def run(free):
                return jax.vmap(partial(self.predict, join(free, self.fixed, self.rest)))(x)

            found, moved = jax.jvp(run, (self.free,), (tangent,))
            slope = jax.grad(lambda out: jax.vmap(self.function)(out, y).mean())
            pulled = jax.jvp(slope, (found,), (moved,))[1]
            return ravel_pytree(jax.vjp(run, self.free)[1](pulled)[0])[0]

        return self._mean(product)


class Fisher(_Curvature):
    """The empirical Fisher matrix, the second moment of the gradient of one sample's loss."""

    predict: Any

    @jit
    def __call__(self, v: Float[Array, " p"]) -> Float[Array, " p"]:
        tangent = ravel_pytree(self.free)[1](v)

        def product(data):
            x, y = data

            def each(free):
                params = join(free, self.fixed, self.rest)
                return jax.vmap(lambda a, b: self.function(self.predict(params, a), b))(x, y)

            moved = jax.jvp(each, (self.free,), (tangent,))[1]
            return ravel_pytree(jax.vjp(each, self.free)[1](moved / moved.size)[0])[0]

        return self._mean(product)


class Difference(eqx.Module):
    """A difference of two operators."""

    left: Any
    right: Any

    @property
    def size(self) -> int:
        return self.left.size

    @property
    def dtype(self):
        return self.left.dtype

    @jit
    def __call__(self, v: Float[Array, " p"]) -> Float[Array, " p"]:
        return self.left(v) - self.right(v)


class Split(NamedTuple):
    """A Hessian and what it is made of, as operators."""

    hessian: Hessian
    gauss_newton: GaussNewton
    rest: Difference  # the Hessian minus Gauss-Newton
    fisher: Fisher


class _Loss(eqx.Module):
    predict: Any
    criterion: Any

    def __call__(self, params, x, y):
        return jax.vmap(lambda a, b: self.criterion(self.predict(params, a), b))(x, y).mean()


def square(output: ArrayLike | Sequence, y: ArrayLike | Sequence) -> Float[Array, ""]:
    r"""$\frac12 |f - y|^2$, whose mean is the loss for which thresholds are stated.

    Args:
        output: f, () or (k,).
        y: the target, of the same shape.

    Returns:
        the loss of one sample.

    Source:
        Wu and Su (2023), of the setting.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> float(stability.square(jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])))
        2.0
    """
    output = arguments.real("output", output, finite=False)
    return ((output - arguments.real("y", y, output.shape, finite=False)) ** 2).sum() / 2


def split(
    predict: Callable,
    params: Tree,
    x: ArrayLike | Sequence,
    y: ArrayLike | Sequence,
    criterion: Callable = square,
    only: str | Sequence[str] | None = None,
    chunk: int | None = None,
) -> Split:
    r"""Take the Hessian of the mean of ``criterion(predict(params, x_i), y_i)`` apart.

    $$ H = \frac1n \sum_i J_i^T \ell''_i J_i + \text{what the curvature of } f \text{ adds}, \qquad
       F = \frac1n \sum_i \nabla \ell_i \nabla \ell_i^T $$

    Args:
        predict: from parameters and one sample to its output.
        params: where, any pytree.
        x: samples (n, ...).
        y: targets (n, ...).
        criterion: from an output and a target to the loss of the sample.
        only: paths of the arrays that count, as of ``hessian``.
        chunk: samples at once.

    Returns:
        the Hessian, the Gauss-Newton matrix, their difference and the empirical Fisher matrix, as operators.

    Source:
        Schraudolph, Fast curvature matrix-vector products (2002).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> parts = stability.split(lambda w, x: w @ x, jnp.ones(2), jnp.eye(2), jnp.array([1.0, 3.0]))
        >>> one = jnp.array([0.0, 1.0])  # of a linear model nothing is left beside Gauss-Newton; residuals are 0 and -2
        >>> [part(one).tolist() for part in parts]
        [[0.0, 0.5], [0.0, 0.5], [0.0, 0.0], [0.0, 2.0]]
    """
    x, y = samples("x", x), samples("y", y)
    predict, criterion = as_tree(predict), as_tree(criterion)
    whole = hessian(_Loss(predict, criterion), params, x, y, only=only, chunk=chunk)
    shared = (criterion, whole.free, whole.fixed, whole.rest, (x, y), chunk, predict)
    newton = GaussNewton(*shared)
    return Split(whole, newton, Difference(whole, newton), Fisher(*shared))


@jit
def _columns(operator, size: int, dtype_like: Array, chunk: int):
    one = lambda j: operator(jnp.zeros(size, dtype_like.dtype).at[j].set(1))  # noqa: E731
    return jax.lax.map(one, jnp.arange(size), batch_size=chunk)


def full(operator: Any, *, limit: int = FULL, chunk: int = 64) -> Float[Array, "p p"]:
    """The whole matrix, by products with unit vectors, ``chunk`` at once; symmetrised, $(M + M^T) / 2$.

    Args:
        operator: as made by ``hessian`` or ``split``; whatever has ``size``, ``dtype`` and a product.
        limit: parameters that are allowed.
        chunk: products at once.

    Returns:
        the matrix (p, p).

    Raises:
        ValueError: more than ``limit`` parameters.

    Source:
        Pearlmutter (1994), of the products.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> stability.full(stability.hessian(lambda w: w[0] * w[1], jnp.ones(2)))
        Array([[0., 1.],
               [1., 0.]], dtype=float64)
    """
    size, chunk = operator.size, arguments.whole("chunk", chunk, 1)
    if size > limit:
        memory = size**2 * jnp.dtype(operator.dtype).itemsize / 1e9
        raise ValueError(
            f"the full matrix of {size:,} parameters would take {memory:,.1f} GB and as many products: limit = {limit:,} "
            "is allowed; choose arrays with only=, or take products, eigenpairs, density, trace and pooled, "
            "which never form it"
        )
    rows = _columns(operator, size, jnp.zeros((), operator.dtype), min(chunk, size))
    return (rows + rows.T) / 2


def pooled(operator: Any, cuts: Sequence[int] | np.ndarray) -> Float[Array, "b b"]:
    r"""The mean entry of each block of rows and columns between ``cuts`` = (0, ..., p): exact, one product for each block.

    $$ \frac{1_a^T H 1_b}{|a|\, |b|} $$

    For a picture of a matrix that is too large to form; O(b) products, memory O(b^2 + p).

    Args:
        operator: as made by ``hessian``.
        cuts: rising from 0 to p; static.

    Returns:
        means (b, b), of b blocks.

    Raises:
        ValueError: cuts that do not rise from 0 to p.

    Source:
        Pearlmutter (1994), of the products.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> bowl = stability.hessian(lambda w: (w[0] ** 2 + 3 * w[1] ** 2) / 2, jnp.ones(2))
        >>> stability.pooled(bowl, (0, 2))  # (1 + 0 + 0 + 3) / 4
        Array([[1.]], dtype=float64)
    """
    return _pooled(operator, _rising(cuts, operator.size))


def _rising(cuts: Sequence[int] | np.ndarray, size: int) -> tuple[int, ...]:
    """The cuts, checked."""
    found = tuple(arguments.whole("cuts", cut) for cut in cuts)
    if len(found) < 2 or found[0] != 0 or found[-1] != size or any(a >= b for a, b in pairwise(found)):
        raise ValueError(f"cuts = {found} is not allowed: cuts must rise from 0 to the number of parameters, {size}")
    return found


@jit
def _pooled(operator: Any, cuts: tuple[int, ...]) -> Float[Array, "b b"]:
    edges = jnp.asarray(cuts)
    owner = jnp.searchsorted(edges, jnp.arange(operator.size), side="right") - 1
    count = len(cuts) - 1
    width = jnp.diff(edges).astype(operator.dtype)

    def row(b):
        return jax.ops.segment_sum(operator((owner == b).astype(operator.dtype)), owner, count)

    sums = jax.lax.map(row, jnp.arange(count))
    return (sums + sums.T) / 2 / (width[:, None] * width[None, :])


class BlockNorms(NamedTuple):
    """How large each block is."""

    mean_square: Float[Array, "b b"]  # of its entries
    error: Float[Array, "b b"]  # standard error


def block_norms(key: PRNGKeyArray, operator: Any, cuts: Sequence[int] | np.ndarray, probes: int = 8) -> BlockNorms:
    r"""The mean square entry of each block, estimated: $E |(H z)_a|^2 = \|H_{ab}\|_F^2$ for random signs z on block b.

    What ``pooled`` misses where signs cancel. ``probes`` products for each block.

    Args:
        key: of the signs.
        operator: as made by ``hessian``.
        cuts: rising from 0 to p; static.
        probes: at least two, for the standard error; static.

    Returns:
        mean squares and their standard errors, (b, b).

    Raises:
        ValueError: fewer than two probes, or cuts that do not rise from 0 to p.

    Source:
        Hutchinson (1990), of the random signs.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> bowl = stability.hessian(lambda w: (w[0] ** 2 + 3 * w[1] ** 2) / 2, jnp.ones(2))
        >>> stability.block_norms(jax.random.key(0), bowl, (0, 1, 2), 2).mean_square
        Array([[1., 0.],
               [0., 9.]], dtype=float64)
    """
    return _block_norms(key, operator, _rising(cuts, operator.size), arguments.whole("probes", probes, 2))


@jit
def _block_norms(key: PRNGKeyArray, operator: Any, cuts: tuple[int, ...], probes: int) -> BlockNorms:
    edges, count = jnp.asarray(cuts), len(cuts) - 1
    owner = jnp.searchsorted(edges, jnp.arange(operator.size), side="right") - 1
    width = jnp.diff(edges).astype(operator.dtype)

    def one(pair):
        key, b = pair
        signs = random.rademacher(key, (operator.size,), operator.dtype)
        return jax.ops.segment_sum(operator(jnp.where(owner == b, signs, 0)) ** 2, owner, count)

    keys = jax.random.split(key, (probes * count,))
    squares = jax.lax.map(one, (keys, jnp.tile(jnp.arange(count), probes))).reshape(probes, count, count)
    squares = squares.transpose(0, 2, 1) / (width[:, None] * width[None, :])[None]
    return BlockNorms(squares.mean(axis=0), deviation(squares) / probes**0.5)


class Landscape(NamedTuple):
    """The loss around a point."""

    offsets: Float[Array, " s"]  # along each direction
    loss: Float[Array, "..."]  # (s,) or (s, s)
    quadratic: Float[Array, "..."]  # what gradient and Hessian predict


@arguments.arrays()
@jit
def landscape(
    operator: Hessian, directions: Float[Array, "d p"], offsets: Float[Array, " s"], chunk: int = 1
) -> Landscape:
    r"""The loss along one direction or over the plane of two, eigenvectors say, beside its quadratic model.

    $$ L(\theta) + s \cdot D \nabla L + \tfrac12 s^T D H D^T s, \qquad \text{at } \theta + s D $$

    Args:
        operator: as made by ``hessian``.
        directions: rows D, (1, p) or (2, p), not scaled here.
        offsets: steps along each, (s,).
        chunk: points at once.

    Returns:
        loss and model, (s,) or (s, s).

    Raises:
        ValueError: other than one or two directions, or of another length than the parameters.

    Source:
        Li, Xu, Taylor, Studer and Goldstein, Visualizing the loss landscape of neural nets (2018).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> cube = stability.hessian(lambda w: w[0] ** 3, jnp.ones(1))
        >>> seen = stability.landscape(cube, jnp.ones((1, 1)), jnp.array([-1.0, 0.0, 1.0]))
        >>> seen.loss, seen.quadratic  # (1 + s)^3, and 1 + 3 s + 3 s^2
        (Array([0., 1., 8.], dtype=float64), Array([1., 1., 7.], dtype=float64))
    """
    if len(directions) not in (1, 2):
        raise ValueError(f"directions has {len(directions)} rows, but one or two can be drawn")
    if directions.shape[1] != operator.size:
        raise ValueError(
            f"directions has shape {directions.shape}: shape (., {operator.size}) is needed, a number for each parameter"
        )
    grids = jnp.meshgrid(*[offsets] * len(directions), indexing="ij")
    steps = jnp.stack([grid.ravel() for grid in grids], axis=1)
    centre = ravel_pytree(operator.free)[0]
    loss = jax.lax.map(lambda step: operator.loss(centre + step @ directions), steps, batch_size=chunk)
    slope = directions @ operator.gradient()
    curve = directions @ jax.lax.map(operator, directions).T
    model = operator.loss() + steps @ slope + jnp.einsum("si,ij,sj->s", steps, curve, steps) / 2
    return Landscape(offsets, loss.reshape(grids[0].shape), model.reshape(grids[0].shape))


@arguments.arrays()
def sharpness(operator: Operator, gradient: Float[Array, " p"]) -> Float[Array, ""]:
    """$g^T H g / |g|^2$, of a batch where both are of the batch; NaN where the gradient is 0.

    Args:
        operator: a product with H.
        gradient: g, (p,).

    Returns:
        the Rayleigh quotient, between the extreme eigenvalues of H.

    Source:
        Golub and Van Loan, Matrix Computations, on the Rayleigh quotient.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> float(stability.sharpness(lambda v: jnp.array([1.0, 3.0]) * v, jnp.ones(2)))
        2.0
    """
    return jnp.vdot(gradient, operator(gradient)) / jnp.vdot(gradient, gradient)
