r"""What a training adds to its loss so that the field becomes cheap to solve.

| name | what | of |
|---|---|---|
| ER | $\mathrm{agg}_j\; E_j h_j$ | error, by the length of the step |
| ER2 | $\mathrm{agg}_j\; E_j^2$ | error |
| SR | $\mathrm{agg}_j\; S_j / 3.5068$ | stiffness, in units of the limit of Tsit5 on the real axis |
| ER+SR | $\mathrm{agg}_j\; (E_j h_j + 0.1\,S_j / 3.5068)$ | both |
| local | $E_j h_j$ of the step that contains a random time | error; any adjoint would do |
| Tay2, Tay3 | $\int |d^K z / dt^K|^2 dt / \dim$ | Taylor coefficients of the solution |

over accepted steps j. STEER adds nothing: it ends each training solution at a random time, $t_1 + U(-b, b)$.

With ``by_h`` the stiffness is $\sum_j S_j h_j$, the R_S of the paper; its code has no h. A small E lets the controller take
longer steps. Where the two stages of S are as near as rounding, S is noise.

Sources: Pal et al., ICML 2021 (ER, SR); Pal, Edelman, Rackauckas, *Locally Regularized Neural Differential Equations*, ICML
2023; Ghosh et al., *STEER*, NeurIPS 2020; Kelly et al., *Learning Differential Equations that are Easy to Solve*, NeurIPS 2020
(TayNODE).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import arguments, random
from lab.numerics.differentiation import refuse_derivative
from lab.ode.solving import Steps
from lab.ode.tableaus import TSIT5

type How = Literal["sum", "mean", "max"] | str
type Kind = (
    Literal["vanilla", "ER", "ER2", "SR", "ER+SR", "local", "STEER", "STEER+ER", "STEER+SR", "Tay2", "Tay3"] | str
)

KINDS = ("vanilla", "ER", "ER2", "SR", "ER+SR", "local", "STEER", "STEER+ER", "STEER+SR", "Tay2", "Tay3")
BOTH = 0.1
"""Weight of the stiffness beside the error, where both are added."""


@chosen
@arguments.arrays(values=arguments.ANY)
def aggregate(values: Float[Array, " rows"], counted: Bool[Array, " rows"], how: How = "sum") -> Float[Array, ""]:
    r"""Sum, mean or largest of the values that count, $\mathrm{agg}_j\, v_j$; 0 where none does.

    Args:
        values: (rows,).
        counted: (rows,), bools.
        how: ``sum``, ``mean`` or ``max``, which is at least 0.

    Returns:
        one number.

    Raises:
        ValueError: another word.

    Source:
        Pal et al. (2021), whose sums over steps these are.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> values, counted = jnp.array([1.0, 5.0, 3.0]), jnp.array([True, False, True])
        >>> [float(ode.aggregate(values, counted, how)) for how in ("sum", "mean", "max")]
        [4.0, 2.0, 3.0]
    """
    if how == "max":
        return jnp.where(counted, values, 0).max(initial=0)
    total = jnp.where(counted, values, 0).sum()
    return total / jnp.maximum(counted.sum(), 1) if how == "mean" else total


@chosen
def error_of(steps: Steps, how: How = "sum", *, scaled: bool = True) -> Float[Array, ""]:
    r"""$R_E = \mathrm{agg}_j\, E_j |h_j|$ over accepted steps; ``scaled=False``: of $|\mathrm{err}_j|_2$ in place of E_j.

    Args:
        steps: from ``solve``.
        how: ``sum``, ``mean`` or ``max``.
        scaled: by the tolerances.

    Returns:
        one number, differentiable.

    Raises:
        ValueError: another word.

    Source:
        Pal et al. (2021).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> steps = ode.solve(lambda t, y: -2 * y, jnp.ones(1), max_steps=16)
        >>> rows = steps.rows
        >>> bool(jnp.allclose(ode.error_of(steps), (rows.E * rows.h)[rows.accepted].sum()))
        True
    """
    rows = steps.rows
    return aggregate((rows.E if scaled else rows.error) * rows.h, rows.accepted, how)


@chosen
def squared_error_of(steps: Steps, how: How = "sum") -> Float[Array, ""]:
    r"""$\mathrm{agg}_j\, E_j^2$ over accepted steps.

    Args:
        steps: from ``solve``.
        how: ``sum``, ``mean`` or ``max``.

    Returns:
        one number, differentiable; below 1 for ``mean`` and ``max``.

    Raises:
        ValueError: another word.

    Source:
        Pal et al. (2021).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> steps = ode.solve(lambda t, y: -2 * y, jnp.ones(1), max_steps=16)
        >>> 0 < float(ode.squared_error_of(steps, "max")) < 1
        True
    """
    return aggregate(steps.rows.E**2, steps.rows.accepted, how)


@chosen
def stiffness_of(steps: Steps, how: How = "sum", *, by_h: bool = False) -> Float[Array, ""]:
    r"""$\mathrm{agg}_j\, S_j$ over accepted steps, with ``by_h`` of $S_j |h_j|$: the R_S of the paper.

    Args:
        steps: from ``solve``.
        how: ``sum``, ``mean`` or ``max``.
        by_h: times the length of the step.

    Returns:
        one number, differentiable.

    Raises:
        ValueError: another word.

    Source:
        Pal et al. (2021).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> steps = ode.solve(lambda t, y: -2 * y, jnp.ones(1), max_steps=16)
        >>> round(float(ode.stiffness_of(steps, "mean")), 6)  # the rate
        2.0
    """
    rows = steps.rows
    return aggregate(rows.S * rows.h if by_h else rows.S, rows.accepted, how)


def local_error_of(steps: Steps, key: PRNGKeyArray, t0: ArrayLike, t1: ArrayLike) -> Float[Array, ""]:
    """$E_j |h_j|$ of the step that contains a random time between the ends: long steps are drawn more often.

    Args:
        steps: from ``solve``.
        key: of the time, uniform.
        t0: where the solution began.
        t1: where it ends; may lie before t0.

    Returns:
        one number, differentiable in the steps; the ends have no derivative, since the drawn step jumps.

    Raises:
        ValueError: ends that are not finite numbers.

    Source:
        Pal, Edelman and Rackauckas (2023).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> steps = ode.solve(lambda t, y: -2 * y, jnp.ones(1), max_steps=16)
        >>> found = ode.local_error_of(steps, jax.random.key(0), 0.0, 1.0)
        >>> bool(jnp.isclose(steps.rows.E * steps.rows.h, found).any())  # it is that of one step
        True
    """
    t0, t1 = refuse_derivative(
        (arguments.real("t0", t0, ()), arguments.real("t1", t1, ())), "the step that holds the drawn time jumps"
    )
    rows, u = steps.rows, random.uniform(key, (), steps.rows.h.dtype)
    at = jnp.abs(u * (jnp.asarray(t1) - jnp.asarray(t0)))
    gone = jnp.abs(rows.t - jnp.asarray(t0, rows.t.dtype))
    here = rows.accepted & (gone <= at) & (at < gone + rows.h)
    return aggregate(rows.E * rows.h, here)


def derivative(field: Callable[[Array, Array], Array], k: int) -> Callable[[Array, Array], Array]:
    r"""$d^k z / dt^k$ of solutions of $z' = f(t, z)$: $g_1 = f$, $g_{k+1} = \partial_t g_k + (\partial_z g_k) f$.

    Args:
        field: f(t, z).
        k: which derivative, from 1.

    Returns:
        a function of t, an array of shape (), and z.

    Raises:
        ValueError: k below 1.

    Source:
        Kelly et al. (2020).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> third = ode.derivative(lambda t, z: 2 * z, 3)  # of exp(2 t): 8 exp(2 t)
        >>> float(third(jnp.array(0.0), jnp.array(1.0)))
        8.0
    """
    k = arguments.whole("k", k, 1)
    if k == 1:
        return field
    lower = derivative(field, k - 1)

    def along(t: Array, z: Array) -> Array:
        return jax.jvp(lower, (t, z), (jnp.ones_like(t), field(t, z)))[1]

    return along


def bending(field: Callable[[Array, Array], Array], k: int = 2) -> Callable[[Array, Array], Array]:
    r"""$|d^k z / dt^k|^2 / \dim$, the mean over all numbers of the state: what ``solve`` integrates ``beside`` for TayNODE.

    Args:
        field: f(t, z).
        k: which derivative, from 1.

    Returns:
        a function of t and z whose value is one number.

    Raises:
        ValueError: k below 1.

    Source:
        Kelly et al. (2020).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> float(ode.bending(lambda t, z: 2 * z)(jnp.array(0.0), jnp.array([1.0, 0.0])))  # 4^2 / 2
        8.0
    """
    high = derivative(field, k)
    return lambda t, z: (high(t, z) ** 2).mean()


@chosen
def order_of(kind: Kind) -> int:
    """Of the derivative that TayNODE penalises; 0 for other kinds."""
    return int(kind[3:]) if kind.startswith("Tay") else 0


def check_numbers(given: Mapping[str, Any], may_vanish: tuple[str, ...] = ()) -> None:
    """Refuse numbers of a training that are not positive, or below 0 where they may vanish; traced ones are not looked at."""
    for name, value in given.items():
        if isinstance(value, Tracer):
            continue
        number, zero = float(np.asarray(value)), name in may_vanish
        if not (np.isfinite(number) and (number > 0 or (zero and number == 0))):
            raise ValueError(
                f"{name} = {number:g}, but a {'number of at least 0' if zero else 'positive number'} is needed"
            )


@chosen
def penalty(
    kind: Kind,
    steps: Steps,
    strength: ArrayLike = 1.0,
    *,
    how: How = "mean",
    key: PRNGKeyArray | None = None,
    t0: ArrayLike = 0.0,
    t1: ArrayLike = 1.0,
    limit: ArrayLike = TSIT5.limit,
) -> Float[Array, ""]:
    r"""The term of the loss: strength times what the kind says, $\mathrm{agg}_j\, E_j h_j$ for ER; 0 for vanilla and STEER.

    For Tay2 and Tay3 ``steps`` must have integrated ``bending`` beside; local needs a key.

    Args:
        kind: one of ``KINDS``.
        steps: from ``solve``.
        strength: at least 0; may be traced.
        how: ``sum``, ``mean`` or ``max`` over steps.
        key: of the time that local draws.
        t0: where the solution began, for local.
        t1: where it ends, for local.
        limit: the stiffness is told in units of it.

    Returns:
        one number, differentiable.

    Raises:
        ValueError: a strength below 0, a limit that is not positive, an unknown word, or what a kind needs is missing.

    Source:
        Pal et al. (2021); Pal, Edelman and Rackauckas (2023); Ghosh et al. (2020); Kelly et al. (2020).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ode
        >>> steps = ode.solve(lambda t, y: -2 * y, jnp.ones(1), max_steps=16)
        >>> round(float(ode.penalty("SR", steps, limit=1.0)), 6), float(ode.penalty("vanilla", steps))
        (2.0, 0.0)
    """
    if not isinstance(strength, Tracer) and not np.asarray(strength) >= 0:
        raise ValueError(f"strength = {strength}, but it must not be negative: what is stiff would be sought")
    limit = arguments.real("limit", limit, (), low=0, strict=True)
    if kind == "local":
        if key is None:
            raise ValueError("the local regularizer draws a time: give a key")
        return jnp.asarray(strength) * local_error_of(steps, key, t0, t1)
    if order_of(kind):
        if steps.beside is None:
            raise ValueError(f"{kind} needs the integral of bending(field, {order_of(kind)}), which solve has beside=")
        return jnp.asarray(strength) * steps.beside
    parts = {
        "ER": lambda: error_of(steps, how),
        "ER2": lambda: squared_error_of(steps, how),
        "SR": lambda: stiffness_of(steps, how) / limit,
    }
    parts["ER+SR"] = lambda: error_of(steps, how) + BOTH * stiffness_of(steps, how) / limit
    found = parts.get(kind.removeprefix("STEER+"))
    return jnp.zeros_like(steps.t) if found is None else jnp.asarray(strength) * found()
