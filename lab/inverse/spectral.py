r"""The singular value decomposition of an operator, $A = U\,\mathrm{diag}(s)\,V^\top$, and its pseudo-inverse, found once.

An operator finds them anew at each call. A solver that asks in each step has them found before, and so can a user whose
operator stays the same from run to run: ``prepared(operator)`` is that operator with both at hand.
"""

from math import prod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.inverse.linear import Dense
from lab.inverse.operators import DENSE, Basis, Linear, Shape, decomposed


class _Stacked(Linear):
    """Of complex measurements, their real parts above the imaginary ones."""

    of: Linear
    inputs: Shape = eqx.field(static=True)

    def apply(self, x: Array) -> Array:
        return self.of.apply(jnp.concatenate([x.real.ravel(), x.imag.ravel()]))


class Prepared(Linear):
    """An operator with its decomposition at hand. Made by ``prepared``."""

    of: Linear
    found: Basis

    @property
    def inputs(self) -> Shape:  # type: ignore[override]
        return self.of.inputs

    @property
    def measurements(self) -> Any:
        return self.of.measurements

    @property
    def noisy(self) -> Any:
        return self.of.noisy

    @property
    def is_tame(self) -> bool:
        return self.of.is_tame

    def apply(self, x: Array) -> Array:
        return self.of.apply(x)

    def back(self, y: Array) -> Array:
        return self.of.back(y)

    def invert(self, y: Array) -> Array:
        return self.of.invert(y) if self.found.inverse is None else self.found.inverse.apply(y)

    def norm(self) -> Float[Array, ""]:
        return self.found.values.max()

    def basis(self) -> Basis:
        return self.found


def basis(made: Linear) -> Basis:
    """The decomposition, in the operator's own way or by its matrix.

    Raises:
        ValueError: it is not known, and the matrix is too large to be formed.
    """
    own = made.basis()
    if own is not None:
        return own
    inputs, outputs, n = made.inputs, made.outputs, prod(made.inputs)
    if n * max(n, prod(outputs)) > DENSE:
        raise ValueError(
            f"the singular value decomposition of this operator, {inputs} to {outputs}, is not known, and its matrix is too "
            "large to be decomposed: take smaller images, or a solver that needs the adjoint alone"
        )
    turn, values, found, inverse = decomposed(made.matrix())
    shape = found.shape[1:] if made.is_complex else outputs
    of_data = [Dense(found, shape, (n,)), Dense(inverse, shape, inputs)]
    if made.is_complex:
        of_data = [_Stacked(of=each, inputs=outputs) for each in of_data]
    return Basis(Dense(turn, inputs, (n,)), values, *of_data)


def prepared(made: Linear) -> Linear:
    r"""The operator with its decomposition $A = U\,\mathrm{diag}(s)\,V^\top$ and its pseudo-inverse at hand.

    It is itself where both are short, or where it is prepared already.

    Args:
        made: the operator.

    Returns:
        an operator that measures the same.

    Raises:
        ValueError: as ``basis``: the decomposition is not known, and the matrix is too large to be formed.

    Source:
        Golub, Van Loan, Matrix Computations, on the singular value decomposition.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import inverse
        >>> halves = inverse.prepared(inverse.Dense([[2.0, 0.0], [0.0, 4.0]], (2,)))
        >>> halves.pinv(jnp.asarray([2.0, 2.0])).round(6).tolist()
        [1.0, 0.5]
    """
    if isinstance(made, Prepared):
        return made
    found = basis(made)
    return made if found.inverse is None else Prepared(of=made, found=found)  # pyright: ignore


def short(made: Linear) -> Basis | None:
    """The decomposition, or None where it is not known and the matrix is too large."""
    try:
        return basis(made)
    except ValueError:
        return None


def pulled(found: Basis, off: Array, spread: ArrayLike, noise: ArrayLike) -> Array:
    r"""$A^\top (v A A^\top + w I)^{-1}$ of what a measurement lacks, with v the spread and w the noise, both variances.

    With w = 0 that is $A^+ / v$; with v = 1, added to z, it is the prox $\min_x |A x - y|^2 + w |x - z|^2$.
    """
    s2 = found.values.astype(off.real.dtype) ** 2
    there = s2 > 0
    gain = jnp.where(there, s2 / jnp.where(there, spread * s2 + noise, 1), 0)
    return found.turn.back(gain * found.found.apply(off))
