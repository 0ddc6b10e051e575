r"""The same terms out of diffrax: a solver of its own that adds up E and S while ``diffeqsolve`` runs.

>>> import diffrax
>>> import jax.numpy as jnp
>>> from lab.ode import on_diffrax
>>> term = diffrax.ODETerm(lambda t, y, args: -2 * y)
>>> found = on_diffrax.solve(term, jnp.array([1.0]), 0.0, 1.0, h0=0.01, rtol=1e-6, atol=1e-6)
>>> f"{float(found.R_S / found.accepted):.3f}"
'2.000'

diffrax holds the lengths of steps fixed under ``grad`` (``diff_h=False`` of ``lab.ode.solve``). Gradients must be those of the
steps: by its default adjoint, ``RecursiveCheckpointAdjoint``, not by ``BacksolveAdjoint``, which knows neither E nor S.
"""

from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array

from lab.numerics import Reason
from lab.ode.steppers import norms, ratio, root
from lab.ode.tableaus import DOPRI5, TSIT5, Tableau


class Totals(NamedTuple):
    """What was added up over accepted steps."""

    E_h: Array
    E_squared: Array
    S: Array
    S_h: Array


class Telling(diffrax.AbstractWrappedSolver, diffrax.AbstractAdaptiveSolver):
    """Tsit5 or Dopri5 of diffrax on states (y, ``Totals``); the field gives (f, zeros), as ``telling`` makes it.

    Rejected steps are left out by themselves. The norm of the controller must see y alone (``norm``), or the totals dilute it.

    Attributes:
        rtol, atol: those of the controller.
    """

    solver: diffrax.AbstractERK
    rtol: Any
    atol: Any
    interpolation_cls = diffrax.LocalLinearInterpolation

    @property
    def term_structure(self) -> Any:
        return self.solver.term_structure

    def order(self, terms: Any) -> Any:
        return self.solver.order(terms)

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> Any:
        return self.solver.init(_alone(terms), t0, t1, y0[0], args)

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        return terms.vf(t0, y0, args)

    def step(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: Any, made_jump: Any) -> Any:
        y, totals = y0
        y1, error, dense, state, result = self.solver.step(_alone(terms), t0, t1, y, args, solver_state, made_jump)
        tableau, h, k = _tableau(self.solver), jnp.abs(t1 - t0), dense["k"]  # k is h f
        place = y + sum(float(weight) * k[j] for j, weight in enumerate(tableau.a[-2]) if weight)
        S = ratio(*norms((k[-1] - k[-2]) / (t1 - t0), y1 - place))
        scale = self.atol + self.rtol * jnp.maximum(jnp.abs(y), jnp.abs(y1))
        E = root(((error / scale) ** 2).mean())
        more = Totals(*(a + b for a, b in zip(totals, (E * h, E**2, S, S * h), strict=True)))
        y1, error = (y1, more), (error, jax.tree.map(jnp.zeros_like, totals))
        return y1, error, {"y0": y0, "y1": y1}, state, result


class _Alone(eqx.Module):
    """A field on y and totals, as one on y."""

    term: Any

    def __call__(self, t: Any, y: Any, args: Any) -> Any:
        nothing = Totals(*(jnp.zeros((), y.dtype),) * 4)
        return self.term.vf(t, (y, nothing), args)[0]


def _alone(terms: Any) -> diffrax.ODETerm:
    return diffrax.ODETerm(_Alone(terms))


def _tableau(solver: Any) -> Tableau:
    known = {diffrax.Tsit5: TSIT5, diffrax.Dopri5: DOPRI5}.get(type(solver))
    if known is None:
        name = type(solver).__name__
        raise ValueError(
            f"solver = {name}, but error and stiffness are known of diffrax's Tsit5 and Dopri5 alone: take one"
        )
    return known


def telling(term: diffrax.ODETerm) -> diffrax.ODETerm:
    """The term on states (y, totals)."""

    def field(t: Any, y: Any, args: Any) -> Any:
        return term.vf(t, y[0], args), jax.tree.map(jnp.zeros_like, y[1])

    return diffrax.ODETerm(field)


def norm(y: Any) -> Array:
    """Root mean square of y alone."""
    return root((y[0] ** 2).mean())


class Found(NamedTuple):
    """A solution by diffrax, and what was added up."""

    y: Array
    R_E: Array  # sum of E h
    E_squared: Array  # sum of E^2
    R_S: Array  # sum of S
    R_S_h: Array  # sum of S h
    accepted: Array
    rejected: Array
    evaluations: Array
    reason: Array


def solve(
    term: diffrax.ODETerm,
    y0: Array,
    t0: Any,
    t1: Any,
    *,
    h0: Any,
    rtol: Any = 1e-6,
    atol: Any = 1e-6,
    solver: Any = None,
    args: Any = None,
    max_steps: int = 4096,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> Found:
    """``diffeqsolve`` with the plain controller, and the sums of E h, E^2, S and S h over accepted steps.

    Args:
        term: of y alone.
        y0: an array of any shape.
        solver: ``diffrax.Tsit5()`` when omitted, or ``Dopri5``.

    Raises:
        ValueError: another solver, or an adjoint that does not see the steps.
        RuntimeError: the end was not reached, where that is known.
    """
    solver = diffrax.Tsit5() if solver is None else solver
    _tableau(solver)
    if isinstance(adjoint, diffrax.BacksolveAdjoint):
        raise ValueError(
            "adjoint = BacksolveAdjoint, but an equation solved backwards knows neither errors nor lengths of steps: take "
            "RecursiveCheckpointAdjoint or DirectAdjoint"
        )
    zero = jnp.zeros((), y0.dtype)
    found = diffrax.diffeqsolve(
        telling(term),
        Telling(solver, rtol, atol),
        t0,
        t1,
        h0,
        (y0, Totals(zero, zero, zero, zero)),
        args,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol, norm=norm),
        adjoint=diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint,
        max_steps=max_steps,
        throw=False,
    )
    assert found.ys is not None
    y, totals = jax.tree.map(lambda leaf: leaf[-1], found.ys)
    ended = found.result == diffrax.RESULTS.successful
    reason = jnp.where(ended, Reason.CONVERGED, Reason.MAX_ITERATIONS).astype(jnp.int32)
    if not isinstance(reason, Tracer) and int(reason) != Reason.CONVERGED:
        raise RuntimeError(
            f"diffrax did not reach t1 = {t1} in {max_steps} steps: raise max_steps, or loosen the tolerances"
        )
    counts = found.stats["num_accepted_steps"], found.stats["num_rejected_steps"]
    evaluations = 1 + _tableau(solver).evaluations * found.stats["num_steps"]
    E_h, E_squared, S, S_h = totals
    return Found(y, E_h, E_squared, S, S_h, counts[0], counts[1], evaluations, reason)
