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
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
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
def aggregate(values: Float[Array, " rows"], counted: Array, how: How = "sum") -> Float[Array, ""]:
    """Sum, mean or largest of the values that count; 0 where none does."""
    if how == "max":
        return jnp.where(counted, values, 0).max(initial=0)
    total = jnp.where(counted, values, 0).sum()
    return total / jnp.maximum(counted.sum(), 1) if how == "mean" else total


@chosen
def error_of(steps: Steps, how: How = "sum", *, scaled: bool = True) -> Float[Array, ""]:
    r"""$R_E = \mathrm{agg}_j\, E_j |h_j|$ over accepted steps; ``scaled=False``: of $|\mathrm{err}_j|_2$ in place of E_j."""
    rows = steps.rows
    return aggregate((rows.E if scaled else rows.error) * rows.h, rows.accepted, how)


@chosen
def squared_error_of(steps: Steps, how: How = "sum") -> Float[Array, ""]:
    r"""$\mathrm{agg}_j\, E_j^2$ over accepted steps."""
    return aggregate(steps.rows.E**2, steps.rows.accepted, how)


@chosen
def stiffness_of(steps: Steps, how: How = "sum", *, by_h: bool = False) -> Float[Array, ""]:
    r"""$\mathrm{agg}_j\, S_j$ over accepted steps, with ``by_h`` of $S_j |h_j|$: the R_S of the paper."""
    rows = steps.rows
    return aggregate(rows.S * rows.h if by_h else rows.S, rows.accepted, how)


def local_error_of(steps: Steps, key: PRNGKeyArray, t0: ArrayLike, t1: ArrayLike) -> Float[Array, ""]:
    """E h of the step that contains a random time between the ends: long steps are drawn more often."""
    rows, u = steps.rows, jax.random.uniform(key, (), steps.rows.h.dtype)
    at = jnp.abs(u * (jnp.asarray(t1) - jnp.asarray(t0)))
    gone = jnp.abs(rows.t - jnp.asarray(t0, rows.t.dtype))
    here = rows.accepted & (gone <= at) & (at < gone + rows.h)
    return aggregate(rows.E * rows.h, here)


def derivative(field: Callable[[Array, Array], Array], k: int) -> Callable[[Array, Array], Array]:
    r"""$d^k z / dt^k$ of solutions of $z' = f(t, z)$: $g_1 = f$, $g_{k+1} = \partial_t g_k + (\partial_z g_k) f$."""
    if k < 1:
        raise ValueError(f"k = {k}, but derivatives are counted from 1")
    if k == 1:
        return field
    lower = derivative(field, k - 1)

    def along(t: Array, z: Array) -> Array:
        return jax.jvp(lower, (t, z), (jnp.ones_like(t), field(t, z)))[1]

    return along


def bending(field: Callable[[Array, Array], Array], k: int = 2) -> Callable[[Array, Array], Array]:
    r"""$|d^k z / dt^k|^2 / \dim$, the mean over all numbers of the state: what ``solve`` integrates ``beside`` for TayNODE."""
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
    limit: float = TSIT5.limit,
) -> Float[Array, ""]:
    """The term of the loss. For Tay2 and Tay3 ``steps`` must have integrated ``bending`` beside; local needs a key.

    Raises:
        ValueError: a strength below 0, or what a kind needs is missing.
    """
    if not isinstance(strength, Tracer) and not jnp.asarray(strength) >= 0:
        raise ValueError(f"strength = {strength}, but it must not be negative: what is stiff would be sought")
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
