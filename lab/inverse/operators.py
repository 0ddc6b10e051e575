r"""What is measured of an image or a volume: a map $A$ from arrays of one shape to arrays of another.

A linear operator has an adjoint, $\langle A x, y\rangle = \langle x, A^* y\rangle$ with the real inner product
$\mathrm{Re} \sum \bar u v$, exact by construction: what a subclass does not write is JAX's transpose of it. Inputs are real;
measurements may be complex. All calls take any number of leading axes.
"""

from abc import abstractmethod
from collections.abc import Callable
from math import prod
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from lab import precision
from lab.numerics import random
from lab.numerics.differentiation import held_constant, refuse_derivative, with_derivative_of, without_derivative
from lab.numerics.jit import jit

type Shape = tuple[int, ...]

DENSE = 1 << 22  # entries of a matrix that is formed without being asked for
_POWER = 5000  # steps of the power method


class Operator(eqx.Module):
    """Any differentiable map. A new one writes ``inputs`` and ``apply``.

    Attributes:
        inputs: shape of what is measured; static.
    """

    inputs: eqx.AbstractVar[Shape]
    is_linear: ClassVar[bool] = False

    @abstractmethod
    def apply(self, x: Float[Array, "..."]) -> Array:
        """Of one array of shape ``inputs``, pure, without checks."""

    @property
    def outputs(self) -> Shape:
        """The shape of a measurement."""
        return self._measured.shape

    @property
    def is_complex(self) -> bool:
        """Whether measurements are complex."""
        return bool(jnp.issubdtype(self._measured.dtype, jnp.complexfloating))

    @property
    def measurements(self) -> Any:
        """How many numbers are measured; traced where a mask decides."""
        return prod(self.outputs) * (2 if self.is_complex else 1)

    @property
    def noisy(self) -> Any:
        """Which numbers of a measurement have noise: not those that a mask hides."""
        return True

    def __call__(self, x: Any) -> Array:
        """The measurement without noise.

        Args:
            x: (..., *inputs), real.

        Returns:
            (..., *outputs).

        Raises:
            ValueError: another shape.
        """
        precision.uncut(x=x)
        return _rows(self, _fitting("x", jnp.asarray(x), self.inputs, "the operator takes"), "apply")

    def __matmul__(self, first: "Operator") -> "Operator":
        """``first``, then this."""
        if not isinstance(first, Operator):
            return NotImplemented
        both = isinstance(self, Linear) and isinstance(first, Linear)
        return (Composed if both else _Chain)(after=self, before=first)  # pyright: ignore

    @property
    def _measured(self) -> jax.ShapeDtypeStruct:
        return jax.eval_shape(self.apply, jax.ShapeDtypeStruct(self.inputs, jnp.result_type(float)))


class Linear(Operator):
    """A linear map. A subclass overrides what it knows a shorter way to: ``back``, ``norm``, ``invert``, ``project``,
    ``basis``."""

    is_linear: ClassVar[bool] = True

    @property
    def is_tame(self) -> bool:
        """Whether the pseudo-inverse leaves noise about as it is."""
        return True

    def back(self, y: Array) -> Array:
        """The adjoint of one measurement."""
        given = jax.ShapeDtypeStruct(self.inputs, jnp.real(y).dtype)
        transposed = jax.linear_transpose(self.apply, given)
        return transposed(jnp.conj(y))[0]  # of a real input the transpose is real

    def normal(self, x: Array) -> Array:
        """$A^* A x$ of one array: what conjugate gradients ask for."""
        return self.back(self.apply(x))

    def invert(self, y: Array) -> Array:
        """The least-squares answer of least norm of one measurement."""
        if prod(self.inputs) * prod(self.outputs) > DENSE:
            raise ValueError(
                f"the pseudo-inverse of this operator, {self.inputs} to {self.outputs}, is not known and too large to be "
                "formed: begin with the adjoint, or solve with a prox"
            )
        stacked = jnp.concatenate([y.real.ravel(), y.imag.ravel()]) if self.is_complex else y.ravel()
        return (jnp.linalg.pinv(self.matrix(y.real.dtype)) @ stacked).reshape(self.inputs)

    def project(self, x: Array, y: Array) -> Array:
        """Of all that measure y, or come nearest to it, the one nearest to x."""
        return x + self.invert(y - self.apply(x))

    def norm(self) -> Float[Array, ""]:
        r"""The largest singular value $\|A\|_2$, by the power method on $A^* A$."""
        return _norm(self)

    def basis(self) -> "Basis | None":
        """The singular value decomposition, where a shorter way to it is known than by the whole matrix."""
        return None

    def adjoint(self, y: Any) -> Array:
        """$A^* y$.

        Args:
            y: (..., *outputs).

        Returns:
            (..., *inputs), real.
        """
        precision.uncut(y=y)
        return _rows(self, _fitting("y", jnp.asarray(y), self.outputs, "the operator gives"), "back")

    def pinv(self, y: Any) -> Array:
        """$A^+ y$: of all x with the least $|A x - y|$ the one of least norm.

        Raises:
            ValueError: it is not known, and the matrix is too large to be formed.
        """
        precision.uncut(y=y)
        return _rows(self, _fitting("y", jnp.asarray(y), self.outputs, "the operator gives"), "invert")

    def matrix(self, dtype: Any = None) -> Float[Array, "m n"]:
        """The matrix of the flattened operator; of a complex one the real parts above the imaginary ones. Memory O(m n)."""
        return _matrix(self, jnp.dtype(dtype or jnp.result_type(float)))


class Basis(eqx.Module):
    r"""Of $A = U\,\mathrm{diag}(s)\,V^\top$ what acts on images; see ``spectral.basis``.

    Attributes:
        turn: $V^\top$, orthogonal.
        values: s, of the shape that ``turn`` gives; 0 in the directions that are not measured.
        found: $V^\top A^+$.
        inverse: $A^+$, where the operator itself has no short way to it.
    """

    turn: Linear
    values: Float[Array, "..."]
    found: Linear
    inverse: Linear | None = None


def turned(turn: Linear, of: Linear) -> Linear:
    """``turn`` after the pseudo-inverse of an operator that has a short way to it."""
    return _Turned(turn=turn, of=of)  # pyright: ignore


class _Turned(Linear):
    turn: Linear
    of: Linear

    @property
    def inputs(self) -> Shape:  # type: ignore[override]
        return self.of.outputs

    def apply(self, x: Array) -> Array:
        return self.turn.apply(self.of.invert(x))


class _Chain(Operator):
    after: Operator
    before: Operator

    def __check_init__(self) -> None:
        _chained(self.after, self.before)

    @property
    def inputs(self) -> Shape:  # type: ignore[override]
        return self.before.inputs

    @property
    def measurements(self) -> Any:
        return self.after.measurements

    @property
    def noisy(self) -> Any:
        return self.after.noisy

    def apply(self, x: Array) -> Array:
        return self.after.apply(self.before.apply(x))


class Composed(_Chain, Linear):
    """``after @ before``: one linear operator after the other."""

    after: Linear
    before: Linear

    @property
    def is_tame(self) -> bool:
        return self.after.is_tame and self.before.is_tame

    def back(self, y: Array) -> Array:
        return self.before.back(self.after.back(y))


class Function(Operator):
    """A differentiable function of an array; see ``operator``."""

    function: Callable[[Array], Array]
    inputs: Shape = eqx.field(static=True)

    def apply(self, x: Array) -> Array:
        return self.function(x)


class _LinearFunction(Linear):
    function: Callable[[Array], Array]
    inputs: Shape = eqx.field(static=True)
    transpose: Callable[[Array], Array] | None = None

    def apply(self, x: Array) -> Array:
        return self.function(x)

    def back(self, y: Array) -> Array:
        return super().back(y) if self.transpose is None else self.transpose(y)


def operator(
    function: Callable[[Array], Array],
    inputs: Shape,
    *,
    linear: bool = False,
    adjoint: Callable[[Array], Array] | None = None,
) -> Operator:
    r"""A function of one's own as an operator, $x \mapsto A(x)$.

    Args:
        function: of an array of shape ``inputs``, in JAX.
        inputs: the shape of x.
        linear: the adjoint is then its transpose, unless ``adjoint`` is given.
        adjoint: of a linear one, from its outputs to its inputs.

    Returns:
        an ``Operator``, ``Linear`` where it is said to be.

    Raises:
        ValueError: it is not linear, or the adjoint is not its adjoint: two random arrays tell.

    Source:
        Claerbout, Earth Soundings Analysis, 1992, on operators and their adjoints as programs.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import inverse
        >>> sums = inverse.operator(lambda x: x.cumsum(), (3,), linear=True)
        >>> sums.adjoint(jnp.asarray([1.0, 0.0, 2.0])).tolist()
        [3.0, 2.0, 2.0]
    """
    if not linear:
        if adjoint is not None:
            raise ValueError(
                "an adjoint is given, but the function is not said to be linear: add linear=True, or leave it out"
            )
        return Function(function=function, inputs=tuple(inputs))
    made = _LinearFunction(function=function, inputs=tuple(inputs), transpose=adjoint)
    one, other = (random.normal(key, made.inputs) for key in jax.random.split(jax.random.key(0)))
    together, apart = made(one + 2 * other), made(one) + 2 * made(other)
    scale = float(jnp.linalg.norm(apart)) or 1.0
    off = float(jnp.linalg.norm(together - apart)) / scale
    if not off <= _tolerance(together.real.dtype):
        raise ValueError(
            f"the function is not linear: of two random arrays f(x + 2 y) misses f(x) + 2 f(y) by {off:.2g} of its norm; leave "
            "out linear=True"
        )
    if adjoint is not None and not (off := adjoint_error(made)) <= _tolerance(together.real.dtype):
        raise ValueError(
            f"the adjoint is not that of the function: of two random arrays <f(x), y> and <x, adjoint(y)> differ by {off:.2g} "
            "of the product of the norms; leave it out to have the function transposed"
        )
    return made


def adjoint_error(made: Linear, key: PRNGKeyArray | None = None) -> float:
    r"""How far an adjoint is from that of its operator, for random x and y.

    $$ \frac{|\langle A x, y\rangle - \langle x, A^* y\rangle|}{|A x|\, |y|} $$

    Args:
        made: the operator.
        key: of x and y; the same for every call when omitted.

    Returns:
        a number, of rounding's size where the adjoint is right.

    Source:
        Claerbout, Earth Soundings Analysis, 1992: the dot-product test.

    Examples:
        >>> from lab import inverse
        >>> inverse.adjoint_error(inverse.average((1, 4, 4), 2)) < 1e-12
        True
    """
    first, second, third = jax.random.split(jax.random.key(0) if key is None else key, 3)
    x = random.normal(first, made.inputs)
    y = random.normal(second, made.outputs)
    y = y + 1j * random.normal(third, made.outputs) if made.is_complex else y
    ax, aty = made(x), made.adjoint(y)
    off = jnp.abs(jnp.vdot(ax, y).real - jnp.vdot(x, aty))
    return float(off / (jnp.linalg.norm(ax) * jnp.linalg.norm(y)))


def _tolerance(dtype: Any) -> float:
    return 1e4 * float(jnp.finfo(dtype).eps)


def _chained(after: Operator, before: Operator) -> None:
    if before.is_complex:
        raise ValueError(
            "the first operator gives complex numbers, but the second takes real ones: choose real measurements"
        )
    if before.outputs != after.inputs:
        raise ValueError(
            f"the first operator gives {before.outputs}, but the second takes {after.inputs}: the two shapes must agree"
        )


def _fitting(name: str, x: Array, shape: Shape, who: str) -> Array:
    if x.shape[x.ndim - len(shape) :] != shape or x.ndim < len(shape):
        raise ValueError(f"{name} has shape {x.shape}, but {who} (..., {', '.join(map(str, shape))})")
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float))


@jit
def _rows(made: Any, x: Array, which: str) -> Array:
    """A method of one array, over leading axes."""
    method = getattr(made, which)
    shape = made.inputs if which == "apply" else made.outputs
    batch = x.shape[: x.ndim - len(shape)]
    found = jax.vmap(method)(x.reshape(-1, *shape)) if batch else method(x)
    return found.reshape(*batch, *found.shape[1:]) if batch else found


@eqx.filter_custom_jvp
def _norm(made: Linear) -> Array:
    return _top(made)[1]


@_norm.def_jvp
def _(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    r"""$d|A|_2 = \langle A v, dA\,v\rangle / |A v|$ with v the singular vector."""
    vector, value = _top(*primals)
    vector = refuse_derivative(
        vector,
        "the second derivative of a norm that is computed by the power method is not implemented: use a Dense operator",
    )
    slope = eqx.filter_jvp(lambda made: jnp.linalg.norm(made.apply(vector)), primals, tangents)[1]
    return value, jnp.asarray(slope, value.dtype)


@jit
def _top(made: Linear) -> tuple[Array, Array]:
    dtype = jnp.result_type(float)
    made = held_constant(made)

    def improve(carry):
        x, value, _, count = carry
        x = made.back(made.apply(x))
        new = jnp.linalg.norm(x)
        return x / jnp.where(new > 0, new, 1), new, value, count + 1

    def unsettled(carry):
        _, value, before, count = carry
        return (jnp.abs(value - before) > 4 * jnp.finfo(dtype).eps * value) & (count < _POWER)

    x = random.normal(jax.random.key(0), made.inputs, dtype)
    start = x / jnp.linalg.norm(x), jnp.asarray(0.0, dtype), jnp.asarray(-1.0, dtype), jnp.int32(0)
    vector, value, _, _ = jax.lax.while_loop(unsettled, improve, start)
    return vector, jnp.sqrt(value)


@jit
def _matrix(made: Linear, dtype: Any) -> Array:
    n = prod(made.inputs)
    columns = jax.vmap(made.apply)(jnp.eye(n, dtype=dtype).reshape(n, *made.inputs)).reshape(n, -1)
    return (jnp.concatenate([columns.real, columns.imag], axis=1) if made.is_complex else columns).T


_NULL_SPACE = (
    "a matrix with fewer rows than columns has no unique singular vectors in its null space: they have no derivative in the "
    "matrix. Differentiate in the measurement, or take a method that does not decompose the operator"
)


@jit
def decomposed(matrix: Float[Array, "m n"]) -> tuple[Array, Array, Array, Array]:
    r"""$V^\top$ (n, n), s (n,), $V^\top A^+$ and $A^+$ (n, m), with what rounding leaves of s as 0."""
    m, n = matrix.shape
    u, s, vt = jnp.linalg.svd(jax.lax.stop_gradient(matrix) if m < n else matrix, full_matrices=m < n)
    if m < n:
        u, s, vt = without_derivative((u, s, vt), matrix, _NULL_SPACE)
    u = u[:, : len(s)]
    there = s > 10 * max(m, n) * jnp.finfo(s.dtype).eps * s[0]
    found = jnp.where(there, 1 / jnp.where(there, s, 1), 0)[:, None] * u.T
    values = jnp.zeros(n, s.dtype).at[: len(s)].set(jnp.where(there, s, 0))
    inverse = with_derivative_of(vt[: len(s)].T @ found, jnp.linalg.pinv(matrix))  # where values are equal too
    return vt, values, jnp.zeros((n, m), s.dtype).at[: len(s)].set(found), inverse


def known(*values: Any) -> bool:
    """Whether arrays are there to be checked, not traced."""
    return not any(isinstance(value, Tracer) for value in values)


def checked(name: str, x: Any) -> np.ndarray:
    """An array of numbers that are finite."""
    made = np.asarray(x)
    if made.dtype.kind not in "fiub" or not np.isfinite(made).all():
        raise ValueError(f"{name} must be finite real numbers")
    return made
